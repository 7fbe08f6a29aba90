"""Which rooms the bot joins and leaves."""

from typing import Any

import pytest

from control.protocol.direct_message import Accept, Refuse, judge_invitation_untrusted, must_leave
from control.protocol.guest_list import GuestList

BOT = "@sotto:example.org"


def invitation(**changes: Any) -> dict[str, Any]:
    content = {"membership": "invite", "is_direct": True, **changes.pop("content", {})}
    return {
        "type": "m.room.member",
        "state_key": BOT,
        "sender": "@alice:example.org",
        "content": content,
        **changes,
    }


ROWS = [
    ("a direct message", [invitation()], True),
    ("a room that is not direct", [invitation(content={"is_direct": False})], False),
    ("is_direct is text", [invitation(content={"is_direct": "true"})], False),
    ("somebody else's invitation", [invitation(state_key="@other:example.org")], False),
    ("no sender", [invitation(sender=None)], False),
    ("a join, not an invitation", [invitation(content={"membership": "join"})], False),
    ("content is a list", [invitation() | {"content": []}], False),
    ("nothing", [], False),
    ("after unrelated state", [{"type": "m.room.name", "content": {"name": "x"}}, {}, invitation()], True),
]


@pytest.mark.parametrize(("name", "state", "accepted"), ROWS, ids=[row[0] for row in ROWS])
def test_invitations(name: str, state: list[dict[str, Any]], accepted: bool) -> None:
    verdict = judge_invitation_untrusted(state, BOT)
    assert isinstance(verdict, Accept if accepted else Refuse)


@pytest.mark.parametrize(
    ("allowed", "accepted"),
    [([], True), (["example.org"], True), (["example.net", "example.org"], True), (["example.net"], False)],
)
def test_homeservers_that_are_served(allowed: list[str], accepted: bool) -> None:
    verdict = judge_invitation_untrusted([invitation()], BOT, GuestList(frozenset(allowed)))
    assert isinstance(verdict, Accept if accepted else Refuse)


@pytest.mark.parametrize(("members", "leaves"), [(1, True), (2, False), (3, True), (50, True)])
def test_rooms_left(members: int, leaves: bool) -> None:
    assert (must_leave(members) is not None) == leaves
