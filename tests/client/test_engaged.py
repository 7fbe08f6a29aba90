"""Who announces a conference has one announcement: carrying on another's would end it (protocol 1)."""

from __future__ import annotations

from typing import Any, cast

import pytest

from client.matrix.announcements import Announcements
from client.matrix.homeserver import Homeserver
from client.matrix.inbox import RoomEvent
from client.protocol import names

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


def test_one_that_the_focus_no_longer_knows_holds_nobody_up() -> None:
    announcements = Announcements(cast("Homeserver", People()), ROOM)
    announcements.heard(announced(HERS, ALICE, 1))
    announcements.heard(announced(OTHER, ME, 2))
    announcements.is_over(OTHER)
    assert not announcements.engaged(announcements.running[0])
