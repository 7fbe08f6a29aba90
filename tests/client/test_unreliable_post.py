"""A homeserver that loses, repeats and reorders what it should deliver: true clients in a true conference,
with a hand between one of them and its homeserver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from client.keys.frames import Verdict
from client.matrix.inbox import Inbox
from client.protocol import names
from tests.client.house import Guest, House, coloured, house, sees, until

pytestmark = [pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), ("alice", "bob", "carol")) as found:
        yield found


class Post:
    """What comes for one guest. `mangle(kind)`: how often an event of the kind is delivered, 0 loses it, None
    holds it back until the next of its kind has come."""

    def __init__(self, guest: Guest, mangle: Callable[[str], int | None]) -> None:
        self._mangle = mangle
        self._held: dict[str, Callable[[], None]] = {}
        self.lost = self.repeated = self.swapped = 0
        inbox = guest.conference._homeserver.inbox
        inbox.__dict__["_tell"] = lambda event: self._pass(
            event.type if event is not None else "", lambda: Inbox._tell(inbox, event)
        )
        direct = list(inbox.on_direct)
        inbox.__dict__["on_direct"] = self._direct = _Listeners(self, direct)
        self._inbox = inbox

    def _pass(self, kind: str, deliver: Callable[[], None]) -> None:
        times = self._mangle(kind)
        if times is None and kind not in self._held:
            self._held[kind] = deliver
            self.swapped += 1
            return
        self.lost += times == 0
        for _ in range(1 if times is None else times):
            deliver()
        self.repeated += (times or 0) > 1
        if (held := self._held.pop(kind, None)) is not None:
            held()

    def mend(self) -> None:
        for held in self._held.values():
            held()
        del self._inbox.__dict__["_tell"]
        self._inbox.on_direct = list(self._direct.listeners)


class _Listeners:
    """In place of the inbox's list of those who are told of messages from device to device."""

    def __init__(self, post: Post, listeners: list[Callable[[Any], None]]) -> None:
        self._post, self.listeners = post, listeners

    def __iter__(self) -> Iterator[Callable[[Any], None]]:
        def tell(message: Any) -> None:
            self._post._pass(message.type, lambda: [each(message) for each in self.listeners] and None)

        return iter([tell])

    def append(self, listener: Callable[[Any], None]) -> None:
        self.listeners.append(listener)

    def remove(self, listener: Callable[[Any], None]) -> None:
        self.listeners.remove(listener)


async def key_changes(where: House, inside: list[Guest], alice: Guest) -> None:
    """Somebody comes and goes: a step, then a new key."""
    carol = await where.enter(inside, "carol", None)
    await sees(carol, alice)
    inside.remove(carol)
    await carol.conference.leave()


def test_key_messages_that_are_lost_on_their_way_from_device_to_device(where: House) -> None:
    async def scenario() -> None:
        people = ("alice", coloured("red")), ("bob", None)
        async with where.guests(*people, to_device=True) as inside:
            alice, bob = inside
            await sees(bob, alice)
            losses = SimpleNamespace(left=2)

            def lose_two(kind: str) -> int:
                if kind == names.MEDIA_KEYS and losses.left:
                    losses.left -= 1
                    return 0
                return 1

            post = Post(bob, lose_two)
            await key_changes(where, inside, alice)
            await until(lambda: bob.count("keys asked for") > 0, "bob asks")
            await until(lambda: 1 in bob.tile(alice).epochs, "and is given the new key")
            assert post.lost == 2
            await sees(bob, alice)
            post.mend()

    where.play(scenario())


def test_key_events_and_tickets_that_come_twice_and_out_of_order(where: House) -> None:
    async def scenario() -> None:
        people = ("alice", coloured("red")), ("bob", None)
        async with where.guests(*people) as inside:
            alice, bob = inside
            await sees(bob, alice)
            turn = {names.MEDIA_KEYS: [None, 2, 2], names.TICKET: [2], names.TICKET_REQUEST: [2]}

            def mangle(kind: str) -> int | None:
                times = turn.get(kind)
                return times.pop(0) if times else 1

            post = Post(bob, mangle)
            opened = bob.tile(alice).opened
            await key_changes(where, inside, alice)
            # The key of the step comes after the new one, and both twice.
            await until(lambda: 1 in bob.tile(alice).epochs, "the new key is in use")
            assert post.swapped == 1
            assert post.repeated > 0
            await sees(bob, alice)
            await until(lambda: bob.conference.epoch == alice.conference.epoch == 1, "a new ticket")
            assert bob.tile(alice).opened > opened
            for verdict in (Verdict.WRONG_KEY, Verdict.REPLAYED, Verdict.NOT_ENCRYPTED):
                assert verdict not in bob.tile(alice).refused
            assert not [name for name in bob.conference.statistics.counts if name.startswith("keys refused")]
            post.mend()

    where.play(scenario())
