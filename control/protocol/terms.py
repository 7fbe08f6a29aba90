"""What the creator of a conference set when it was opened: its intent and its limits (docs/protocol.md 1)."""

from dataclasses import dataclass

from control.protocol import limits


@dataclass(frozen=True, slots=True)
class Terms:
    """`voice`: nobody sends pictures. `members_max`: devices that may be inside at one time."""

    voice: bool = False
    members_max: int = limits.MEMBERS_MAX
