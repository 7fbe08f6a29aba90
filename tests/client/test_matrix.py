"""The client's side of a real homeserver: who encrypted what, to-device, tickets, direct rooms."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nio import ShareGroupSessionResponse

from client.errors import Trouble
from client.keys.ticket import Ticket
from client.matrix.announcements import Wish
from client.matrix.direct import direct_room
from client.matrix.homeserver import Homeserver
from client.matrix.inbox import DirectMessage, RoomEvent
from client.matrix.piecewise import pieces_untrusted
from client.matrix.room import ConferenceRoom
from client.protocol import limits, names
from client.protocol.events import KeyRequest
from control.demo.people import Account
from tests.conftest import Synapse
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.synapse


@asynccontextmanager
async def people(
    synapse: Synapse, *who: str, encrypted: bool = True
) -> AsyncIterator[tuple[str, list[Homeserver]]]:
    """A room with these, each logged in by this client."""
    accounts = await synapse.accounts(*who)
    room_id = await synapse.room(accounts[0], *accounts[1:], encrypted=encrypted)
    async with AsyncExitStack() as stack:
        found = [await logged_in(synapse, account, stack) for account in accounts]
        yield room_id, found


async def logged_in(synapse: Synapse, account: Account, stack: AsyncExitStack) -> Homeserver:
    homeserver = await Homeserver.open(synapse.url, account.user_id, password=account.password)
    stack.push_async_callback(homeserver.close)
    return homeserver


async def until(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_events_come_with_the_device_that_encrypted_them(synapse: Synapse) -> None:
    async with people(synapse, "alice", "bob") as (room_id, (alice, bob)):
        heard: list[RoomEvent] = []
        bob.inbox.on_event.append(heard.append)
        own: list[RoomEvent] = []
        alice.inbox.on_event.append(own.append)
        await alice.send(room_id, "org.example.test", {"n": 1})
        await until(lambda: [each for each in heard if each.type == "org.example.test"])
        event = next(each for each in heard if each.type == "org.example.test")
        assert (event.encrypted, event.device, event.own) == (True, alice.device, False)
        await until(lambda: [each for each in own if each.type == "org.example.test"])
        assert next(each for each in own if each.type == "org.example.test").own


async def test_an_event_in_clear_proves_nobody(synapse: Synapse) -> None:
    async with people(synapse, "alice", "bob", encrypted=False) as (room_id, (alice, bob)):
        heard: list[RoomEvent] = []
        bob.inbox.on_event.append(heard.append)
        await alice.send(room_id, names.MEDIA_KEYS, {"n": 1})
        await until(lambda: [each for each in heard if each.type == names.MEDIA_KEYS])
        event = next(each for each in heard if each.type == names.MEDIA_KEYS)
        assert (event.encrypted, event.device) == (False, None)


async def test_messages_from_device_to_device(synapse: Synapse) -> None:
    async with people(synapse, "alice", "bob") as (_, (alice, bob)):
        heard: list[DirectMessage] = []
        bob.inbox.on_direct.append(heard.append)
        content = KeyRequest("a-conference-of-the-tests", 3, 1, 0).content()
        for _ in range(3):
            assert await alice.send_direct(bob.device, names.KEY_REQUEST, content)
        await until(lambda: len(heard) == 3)
        assert heard[0] == DirectMessage(names.KEY_REQUEST, content, alice.device)
        assert not await alice.send_direct(
            bob.device._replace(device_id="NOBODY"), names.KEY_REQUEST, content
        )


async def test_what_breaks_the_library_breaks_no_more(
    synapse: Synapse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer it does not survive is taken once more, event by event."""
    async with people(synapse, "alice", "bob") as (room_id, (alice, bob)):
        heard: list[RoomEvent] = []
        bob.inbox.on_event.append(heard.append)

        async def broken(**_: Any) -> None:
            await asyncio.sleep(0.05)
            raise KeyError("something odd")

        monkeypatch.setattr(bob._client, "sync", broken)
        for number in range(3):
            await alice.send(room_id, "org.example.test", {"n": number})
        await until(lambda: sum(each.type == "org.example.test" for each in heard) == 3)
        found = [each for each in heard if each.type == "org.example.test"]
        assert [each.content["n"] for each in found] == [0, 1, 2]
        assert {each.device for each in found} == {alice.device}


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_people_who_go_while_a_room_key_goes_round(
    synapse: Synapse, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The library broke (KeyError) when they did just after it had gone round, and kept it just before."""
    async with people(synapse, "alice", "bob", "carol") as (room_id, (alice, bob, carol)):
        heard: list[RoomEvent] = []
        bob.inbox.on_event.append(heard.append)
        send, rounds = alice._client._send, []

        async def carol_goes() -> None:
            assert (await carol.request("POST", f"/_matrix/client/v3/rooms/{quote(room_id)}/leave", {}))[
                0
            ] == 200
            await until(lambda: carol.user_id not in alice.people(room_id))

        async def sending(kind: type, *words: Any, **options: Any) -> Any:
            if kind is not ShareGroupSessionResponse:
                return await send(kind, *words, **options)
            rounds.append(kind)
            if len(rounds) == 1 and moment == "before":
                await carol_goes()
            answer = await send(kind, *words, **options)
            if len(rounds) == 1 and moment == "after":
                await carol_goes()
            return answer

        monkeypatch.setattr(alice._client, "_send", sending)
        await alice.send(room_id, "org.example.test", {})
        session = alice._client.olm.outbound_group_sessions[room_id]
        assert session.users_shared_with == {bob.device}
        await until(lambda: [each for each in heard if each.device == alice.device])
        assert len(rounds) == 2


async def test_a_room_key_that_could_not_be_made_stops_nothing(
    synapse: Synapse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with people(synapse, "alice", "bob") as (room_id, (alice, bob)):
        heard: list[RoomEvent] = []
        bob.inbox.on_event.append(heard.append)
        with monkeypatch.context() as patch:

            async def broken(*_: Any) -> None:
                raise KeyError("something odd")

            patch.setattr(alice._client, "keys_claim", broken)
            with pytest.raises(KeyError):
                await alice.send(room_id, "org.example.test", {})
        await alice.send(room_id, "org.example.test", {})
        await until(lambda: [each for each in heard if each.device == alice.device])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["events", "join", "rooms", "state", "timeline", "!r:x"]), inner)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["rooms", "to_device", "device_lists"]), JSON))
def test_any_answer_falls_into_pieces(answer: dict[str, Any]) -> None:
    assert all(piece["next_batch"] == "x" for piece in pieces_untrusted(answer))


async def test_a_conference_is_found_with_a_ticket(synapse: Synapse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TICKET_ANSWER_S", PATIENCE_S)
    async with people(synapse, "alice", "bob") as (room_id, (alice, bob)):
        inside = ConferenceRoom(alice, room_id)
        await inside.load()
        assert list(inside.announcements.running) == []
        announcement = inside.announcements.new("@sotto:localhost", Wish())
        ticket = await inside.announce(announcement)
        inside.serve_tickets(lambda: ticket, lambda: 0, lambda each: None)
        outside = ConferenceRoom(bob, room_id)
        await outside.load()
        assert list(outside.announcements.running) == [announcement]
        said: list[str] = []
        assert await outside.find_ticket(announcement, said.append) == ticket
        # A false ticket of somebody else counts less than the creator's, whenever it comes.
        false = Ticket(announcement.conference_id, announcement.creator, 0, bytes(32))
        await bob.send(room_id, names.TICKET, false.content())
        await until(lambda: false in [each for each, _, _ in outside._tickets])
        assert outside.best_ticket(announcement) == ticket
        outside.refuse(ticket)
        assert outside.best_ticket(announcement) == false
        await inside.announcements.end()
        await until(lambda: not outside.announcements.running)
        for each in (inside, outside):
            each.close()


async def test_the_next_answers_when_the_first_does_not(
    synapse: Synapse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TICKET_RANK_S", 0.3)
    monkeypatch.setattr(limits, "TICKET_ANSWER_S", PATIENCE_S)
    async with people(synapse, "alice", "bob", "carol") as (room_id, (alice, bob, carol)):
        silent, second, asking = (ConferenceRoom(each, room_id) for each in (alice, bob, carol))
        announcement = silent.announcements.new("@sotto:localhost", Wish())
        ticket = await silent.announce(announcement)
        await asking.load()
        second.serve_tickets(lambda: ticket, lambda: 1, lambda each: None)
        sent: list[RoomEvent] = []
        carol.inbox.on_event.append(sent.append)
        assert await asking.find_ticket(announcement, lambda text: None) == ticket
        tickets = [each for each in sent if each.type == names.TICKET]
        assert {each.sender for each in tickets} <= {alice.user_id, bob.user_id}
        for each in (silent, second, asking):
            each.close()


async def test_the_direct_room_is_made_once(synapse: Synapse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FOCUS_JOIN_S", PATIENCE_S)
    focus = await synapse.account("focus")
    async with people(synapse, "alice") as (_, (alice,)), AsyncExitStack() as stack:
        bot = await logged_in(synapse, focus, stack)

        async def accept() -> None:
            while True:
                for room_id in list(bot._client.invited_rooms):
                    await bot.request("POST", f"/_matrix/client/v3/join/{room_id}", {})
                await asyncio.sleep(0.05)

        joining = asyncio.create_task(accept())
        first = await direct_room(alice, bot.user_id)
        assert alice.encrypted(first)
        assert await direct_room(alice, bot.user_id) == first
        joining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await joining


async def test_a_focus_that_does_not_come(synapse: Synapse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FOCUS_JOIN_S", 0.5)
    focus = await synapse.account("focus")
    async with people(synapse, "alice") as (_, (alice,)):
        with pytest.raises(Trouble) as trouble:
            await direct_room(alice, focus.user_id)
        assert trouble.value.code == "focus_absent"
