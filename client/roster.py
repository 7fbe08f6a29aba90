"""Who is in the conference, as the focus says (docs/protocol.md section 4). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from client.protocol import limits
from client.protocol.messages import Member, Members


@dataclass(frozen=True, slots=True)
class Changes:
    """Others than ourselves."""

    gone: tuple[Member, ...]
    new: tuple[Member, ...]
    changed: tuple[Member, ...]  # in mute state or sources


class Roster:
    """`members`, ourselves included, by number."""

    def __init__(self) -> None:
        self.members: dict[int, Member] = {}
        self._parts: dict[int, Member] | None = None  # of a whole roster that is not complete yet

    def gather(self, told: Members) -> Members | None:
        """A whole roster that comes in parts as one, with the last of them; None until then."""
        if told.reset:
            self._parts = {}
        if self._parts is None:
            return told
        for number in told.gone:
            self._parts.pop(number, None)
        self._parts |= {each.member: each for each in told.present}
        if told.more and len(self._parts) <= limits.MEMBERS_MAX:
            return None
        whole, self._parts = self._parts, None
        return Members(True, tuple(whole.values()), ())

    def apply(self, told: Members, ours: int) -> Changes:
        gone = set(told.gone)
        if told.reset:
            gone |= set(self.members) - {each.member for each in told.present}
        left = [member for number in gone if (member := self.members.pop(number, None)) is not None]
        before: Mapping[int, Member] = dict(self.members)
        self.members |= {each.member: each for each in told.present}
        others = [each for each in told.present if each.member != ours]
        return Changes(
            tuple(left),
            tuple(each for each in others if each.member not in before),
            tuple(each for each in others if before.get(each.member, each) != each),
        )

    def rank(self, number: int) -> int:
        """Its place among those inside; -1 while it is not named."""
        return sorted(self.members).index(number) if number in self.members else -1
