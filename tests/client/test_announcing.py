"""Conferences as their room announces them: several, carried on, ended by the last or by a dead man's
switch."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from client.announcing import Announcing
from client.errors import Trouble
from client.matrix.homeserver import Homeserver
from client.matrix.room import ConferenceRoom
from client.protocol import limits
from control.demo.browsers import Browsers
from control.demo.participants import Participant
from tests.client.house import Guest, House, coloured, house, until
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), ("alice", "bob", "carol")) as found:
        yield found


def announced(guest: Guest) -> list[tuple[str, str]]:
    """Creators and ids, the newest first."""
    return [each.name for each in guest.conference._room.announcements.running]


def begin(where: House) -> dict[str, object]:
    return {"start": True, "focus": where.people["bot"]}


def test_somebody_inside_carries_on_what_its_creator_announced(where: House) -> None:
    async def scenario() -> None:
        alice = await where.join("alice", None, **begin(where))
        bob = await where.join("bob", None)
        (name,) = announced(bob)
        assert name == (where.user("alice"), alice.conference.conference_id)
        await alice.conference.leave()
        await until(
            lambda: not bob.conference._room.announcements._by_sender[where.user("alice")], "hers ends"
        )
        assert announced(bob) == [name]
        carol = await where.join("carol", None)  # finds it by bob's
        assert carol.conference.conference_id == name[1]
        assert announced(carol) == [name]
        await bob.conference.leave()
        found = carol.conference._attendance.conference
        assert found is not None
        announcers = carol.conference._room.announcements.announcers
        await until(lambda: announcers(found) == {where.user("carol")}, "carol alone announces it")
        assert announced(carol) == [name]
        await carol.conference.leave()
        with pytest.raises(Trouble) as over:
            await where.join("bob", None)
        assert over.value.code == "no_conference"

    where.play(scenario())


def test_the_homeserver_ends_what_nobody_is_left_to_end(
    where: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine that stands still for so long has it go off, as it should.
    monkeypatch.setattr(limits, "SWITCH_S", 12.0)
    monkeypatch.setattr(limits, "SWITCH_AGAIN_S", 0.5)

    async def scenario() -> None:
        alice = await where.join("alice", None, **begin(where))
        who = where.people["people"]["bob"]
        server = await Homeserver.open(where.demo.homeserver.url, who["user_id"], password=who["password"])
        room = ConferenceRoom(server, where.people["room_id"])
        await room.load()
        switch = alice.conference._room.announcements
        await until(lambda: switch._switch is not None, "a switch")
        first = switch._switch
        assert not await server.until(lambda: not room.announcements.running, 14)  # put off and off
        assert switch._switch == first
        for task in alice.conference._attendance._tasks:
            task.cancel()
        assert await server.until(lambda: not room.announcements.running, PATIENCE_S)
        switch._switch = None
        await alice.conference.leave()
        room.close()
        await server.close()

    where.play(scenario())


def test_what_nobody_carries_on_ends_after_its_announcer_left(
    where: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who stay may have a client that cannot: the homeserver ends it, and the focus goes on."""
    monkeypatch.setattr(limits, "SWITCH_S", 2.5)
    monkeypatch.setattr(limits, "CARRIED_ON_S", 0.5)
    monkeypatch.setattr(Announcing, "_look", _tends_only)

    async def scenario() -> None:
        alice = await where.join("alice", None, **begin(where))
        bob = await where.join("bob", None)
        await until(lambda: alice.conference._room.announcements._switch is not None, "a switch")
        name = where.user("alice"), alice.conference.conference_id
        await alice.conference.leave()
        await until(lambda: not announced(bob), "hers ends by itself")
        # And not because she said so.
        assert where.user("alice") in bob.conference._room.announcements._interrupted
        # Whoever can, takes it up: the conference is as it was.
        monkeypatch.undo()
        await until(lambda: announced(bob) == [name], "bob announces it")
        await bob.conference.leave()
        assert announced(bob) == []

    where.play(scenario())


async def _tends_only(self: Announcing, now: float) -> None:
    if self._user_id in self._all.announcers(self._conference):
        await self._all.tend(now)


def test_a_homeserver_that_was_away_ends_nothing_that_is_alive(
    where: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away for longer than the switch has: it goes off at its return, and whoever comes then gets in."""
    monkeypatch.setattr(limits, "SWITCH_S", 3.0)
    monkeypatch.setattr(limits, "SWITCH_AGAIN_S", 1.0)
    homeserver = where.demo.homeserver

    async def scenario() -> None:
        alice = await where.join("alice", None, **begin(where))
        bob = await where.join("bob", None)
        await until(lambda: alice.conference._room.announcements._switch is not None, "a switch")
        name = where.user("alice"), alice.conference.conference_id
        heard = bob.conference._room.announcements._interrupted
        monkeypatch.setattr(limits, "CARRIED_AGAIN_S", PATIENCE_S)
        await asyncio.to_thread(homeserver.stop)
        await asyncio.sleep(limits.SWITCH_S)
        homeserver.start()  # here: it ends with the thread that started it
        carol = await where.join("carol", None)
        assert carol.conference.conference_id == name[1]
        await until(lambda: announced(bob) == [name] and not heard, "it is announced again")
        for each in (carol, bob, alice):
            await each.conference.leave()
        monkeypatch.setattr(limits, "CARRIED_AGAIN_S", 1.0)  # nobody is left to carry it on
        with pytest.raises(Trouble) as over:
            await where.join("bob", None)
        assert over.value.code == "no_conference"

    where.play(scenario())


def test_two_in_one_room_each_with_its_terms(where: House) -> None:
    async def scenario() -> None:
        alice = await where.join("alice", coloured("red"), **begin(where))
        wanted = {"another": True, "voice": True, "members": 1, "focus": where.people["bot"]}
        bob = await where.join("bob", coloured("blue"), **wanted)
        assert bob.conference.conference_id != alice.conference.conference_id
        await until(lambda: len(announced(alice)) == 2, "both are announced")
        await until(lambda: bool(bob.conference.members), "the roster")
        # For sound alone, and for one device: the newest is what "join" means, and it is full.
        assert bob.conference.members[bob.number].sources == ("audio",)
        with pytest.raises(Trouble) as full:
            await where.join("carol", None)
        assert full.value.code == "full"
        carol = await where.join("carol", None, conference=alice.conference.conference_id)
        assert carol.conference.conference_id == alice.conference.conference_id
        await until(lambda: len(alice.conference.members) == 2, "alice and carol")
        assert set(bob.conference.members) == {bob.number}
        for each in (carol, bob, alice):
            await each.conference.leave()

    where.play(scenario())


@pytest.mark.browser
def test_a_browser_carries_on_what_a_python_client_announced(where: House) -> None:
    """Last in this file: the browser's own announcement ends only a while after it was closed."""

    async def scenario() -> None:
        with Browsers() as browsers:
            browser = await browsers.launch("chromium", fps=15)
            async with where.guests(("alice", coloured("red"))) as inside:
                (alice,) = inside
                bob = await Participant.arrive(browser, "bob", where.demo.urls["bob"] + "&join")
                await bob.joined(PATIENCE_S)
                await bob.sees([alice.number], PATIENCE_S)
                conference = alice.conference.conference_id
                inside.remove(alice)
                await alice.conference.leave()
                # Whoever comes now finds it by bob's announcement, and hers is over.
                carol = await where.enter(inside, "carol", coloured("green"))
                assert carol.conference.conference_id == conference
                found = carol.conference._attendance.conference
                assert found is not None
                announcements = carol.conference._room.announcements
                await until(
                    lambda: announcements.announcers(found) == {where.user("bob")}, "bob alone announces it"
                )
                await bob.sees([carol.number], PATIENCE_S)

    where.play(scenario())
