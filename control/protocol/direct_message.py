"""Which rooms the bot is in: direct-message rooms with one person each, never a conference room.

A member's device would be sent the room's keys, so being in a conference room would break the promise that
the server holds no media keys. An invitation that does not say it is direct is refused, and a room that grows
is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.protocol.guest_list import EVERYBODY, GuestList

# The bot and one person. Higher: room keys of other people's conversations reach the server. Lower: nobody
# can call.
MEMBERS_MAX = 2


@dataclass(frozen=True, slots=True)
class Accept:
    """Join it."""

    inviter: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Leave it; `reason` is sent along and shown to the person."""

    reason: str


def judge_invitation_untrusted(
    state: Sequence[Mapping[str, Any]], own_user_id: str, guests: GuestList = EVERYBODY
) -> Accept | Refuse:
    """Decides on the stripped state of an invitation (client-server API, m.room.member with is_direct).

    `guests` are those who are served.
    """
    for event in state:
        content = event.get("content")
        if (
            event.get("type") == "m.room.member"
            and event.get("state_key") == own_user_id
            and isinstance(content, Mapping)
            and content.get("membership") == "invite"
        ):
            inviter = event.get("sender")
            if not isinstance(inviter, str) or not inviter.startswith("@"):
                return Refuse("The invitation does not say who sent it.")
            if not guests.serves(inviter):
                return Refuse("I do not serve you or your homeserver: ask my operator.")
            if content.get("is_direct") is not True:
                return Refuse(
                    "I only join direct-message rooms: in any other room I would be sent its encryption "
                    "keys. Invite me with is_direct, in a room of our own."
                )
            return Accept(inviter)
    return Refuse("The invitation does not name me.")


def must_leave(member_count: int) -> str | None:
    """Why a joined room has to be left, or None.

    `member_count` counts joined and invited people, the bot among them.
    """
    if member_count > MEMBERS_MAX:
        return "I leave rooms with more than one other person, so that I am never sent their encryption keys."
    if member_count < MEMBERS_MAX:
        return "Nobody else is here."
    return None
