"""Who announces a conference has one announcement: carrying on another's would end it (protocol 1)."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from client.matrix.announcements import Announcements, Wish
from client.matrix.homeserver import Homeserver
from client.matrix.inbox import RoomEvent
from client.protocol import limits, names

ROOM, ME, ALICE = "!room:a.example", "@me:a.example", "@alice:a.example"
HERS, OTHER = "h" * 24, "o" * 24


class People:
    """What announcements ask a homeserver for."""

    user_id = ME

    def joined(self, _room_id: str, _user_id: str) -> bool:
        return True


def announced(conference_id: str, by: str, created_ts: int, **more: Any) -> RoomEvent:
    content = {"conference_id": conference_id, "focus": {"user_id": "@f:a.example"}, "created_ts": created_ts}
    return RoomEvent(ROOM, names.CONFERENCE, by, {**content, **more}, created_ts, f"${created_ts}", by)


@pytest.mark.parametrize(
    ("mine", "engaged"),
    [
        ([], False),
        ([announced(OTHER, ME, 2)], True),
        ([announced(OTHER, ME, 2), announced(OTHER, ME, 3, ended=True)], False),
        ([announced(HERS, ME, 2, creator=ALICE)], False),
    ],
    ids=["nothing", "another", "another that has ended", "hers already"],
)
def test_one_announcement_of_each(mine: list[RoomEvent], engaged: bool) -> None:
    announcements = Announcements(cast("Homeserver", People()), ROOM)
    for event in [announced(HERS, ALICE, 1), *mine]:
        announcements.heard(event)
    hers = next(each for each in announcements.running if each.conference_id == HERS)
    assert announcements.engaged(hers) is engaged


@pytest.mark.parametrize(
    ("mine", "waits"),
    [
        ([], False),
        ([{"ended": True}], False),
        ([{"ended": True, "switch": True}], True),
        ([{"ended": True, "switch": True}, {"ended": True}], False),
        ([{"ended": True, "switch": "yes"}], False),
    ],
    ids=[
        "nothing",
        "its last member ended it",
        "the homeserver did",
        "and then somebody",
        "a malformed switch",
    ],
)
def test_what_only_a_switch_ended_may_be_carried_on(mine: list[dict[str, Any]], waits: bool) -> None:
    """Right after an outage of the homeserver nobody who comes finds the room empty (protocol 1)."""

    async def scenario() -> None:
        announcements = Announcements(cast("Homeserver", People()), ROOM)
        now = int(time.time() * 1000)
        announcements.heard(announced(HERS, ALICE, 1))
        for each in mine:
            announcements.heard(RoomEvent(ROOM, names.CONFERENCE, ALICE, each, now, "$ended", ALICE))
        looking = asyncio.create_task(announcements.awaited(Wish(conference=HERS)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert looking.done() == (not waits)
        if waits:
            announcements.heard(announced(HERS, ME, 1, creator=ALICE))
        found = await looking
        assert (found is not None) == (waits or not mine)

    asyncio.run(scenario())


def test_what_a_switch_ended_a_while_ago_holds_nobody_up() -> None:
    announcements = Announcements(cast("Homeserver", People()), ROOM)
    for age_s in (limits.INTERRUPTED_S, -limits.INTERRUPTED_S - 60):  # and a clock that is wrong
        ts = int((time.time() - age_s) * 1000)
        announcements.heard(
            RoomEvent(ROOM, names.CONFERENCE, ALICE, {"ended": True, "switch": True}, ts, "$ended", ALICE)
        )
        assert asyncio.run(announcements.awaited(Wish())) is None


def test_one_that_the_focus_no_longer_knows_holds_nobody_up() -> None:
    announcements = Announcements(cast("Homeserver", People()), ROOM)
    announcements.heard(announced(HERS, ALICE, 1))
    announcements.heard(announced(OTHER, ME, 2))
    announcements.is_over(OTHER)
    assert not announcements.engaged(announcements.running[0])
