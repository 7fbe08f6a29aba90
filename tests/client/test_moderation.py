"""Who may ask us to be silent, by the room's power levels."""

from typing import Any

import pytest

from client.matrix.inbox import RoomEvent
from client.moderation import may_ask
from client.protocol.checked import Malformed
from client.protocol.events import MuteRequest, read_mute_request_untrusted

MOD, BOB = "@mod:x", "@bob:x"


def state(levels: dict[str, Any] | None, membership: str = "join") -> list[RoomEvent]:
    events = [
        RoomEvent("!r", "m.room.member", user, {"membership": membership}, 0, f"${user}", user)
        for user in (MOD, BOB)
    ]
    if levels is not None:
        events.append(RoomEvent("!r", "m.room.power_levels", MOD, levels, 0, "$levels", ""))
    return events


@pytest.mark.parametrize(
    ("levels", "moderator", "member"),
    [
        ({"users": {MOD: 50}}, True, False),
        ({"users": {MOD: 49}}, False, False),
        ({"users": {MOD: 49}, "kick": 40}, True, False),
        ({"users": {MOD: 100}, "users_default": 60}, True, True),
        ({"users": {MOD: "100"}}, False, False),
        ({"users": [], "kick": None}, False, False),
        (None, False, False),
    ],
)
def test_whoever_could_remove_somebody_may_ask(
    levels: dict[str, Any] | None, moderator: bool, member: bool
) -> None:
    assert [may_ask(state(levels), user) for user in (MOD, BOB)] == [moderator, member]
    assert not may_ask(state(levels, "leave"), MOD)


def test_a_request_is_read_and_nothing_else_is_one() -> None:
    request = MuteRequest("a-conference-of-the-tests", 3, "audio")
    assert read_mute_request_untrusted(request.content()) == request
    for wrong in (None, {}, request.content() | {"source": "everything"}, request.content() | {"member": 0}):
        with pytest.raises(Malformed):
            read_mute_request_untrusted(wrong)
