"""Who is in a conference, as its members are told (P.members): the first change at once, later ones gathered.

When many join at once, each of those inside is told of all of them together, the later the more there are:
what a join costs does not grow with how many are inside.
"""

from collections.abc import Mapping
from typing import Any

from control.protocol import limits
from control.protocol.member import Member
from control.protocol.pace import Pace
from control.protocol.roster_parts import Entry, parts

Entries = Mapping[int, Entry]  # by member number; never changed, but replaced


class Roster:
    """Of one conference."""

    def __init__(self) -> None:
        self.entries: Entries = {}
        """As it is now; newcomers are told this."""
        self.told: Entries = {}
        """As all were told when it was last due; some, who came later, know more."""
        self._pace = Pace(limits.MESSAGE_GAP)
        self._changes: dict[int, tuple[Entries, list[dict[str, Any]]]] = {}  # by id of what somebody knows

    @property
    def due(self) -> float | None:
        """When changes that are held back may be told."""
        return self._pace.due

    def update(self, members: Mapping[int, Member], now: float) -> bool:
        """Take over who is here; True when all are to be told of changes now."""
        entries = {number: each.roster_entry() for number, each in members.items() if each.present}
        if entries != self.entries:
            self.entries = entries
        self._pace.interval = max(limits.MESSAGE_GAP, len(entries) * limits.ROSTER_GAP_OF_EACH)
        if not self._pace.may_say(self.told != self.entries, now):
            return False
        self.told = self.entries
        self._changes = {}
        return True

    def changes(self, known: Entries) -> list[dict[str, Any]]:
        """P.members for who was told `known` before. One list for all who were told the same."""
        _, found = self._changes.get(id(known), (known, None))
        if found is None:
            present = [entry for number, entry in self.entries.items() if known.get(number) != entry]
            gone = sorted(known.keys() - self.entries.keys())
            found = parts(present, gone, reset=False) if present or gone else []
            self._changes[id(known)] = known, found
        return found

    def everybody(self) -> list[dict[str, Any]]:
        """P.members for a newcomer."""
        return parts(self.entries.values(), [], reset=True)
