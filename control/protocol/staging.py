"""What follows from who is in a conference and what they want: slot pairs, rows of the table, what is told.

All of it is worked out anew by `refresh` and compared with what was last published or told; nothing is
patched in several places. Where nothing has changed is seen by versions, and by values that are the very same
objects, and is left as it is: a conference of hundreds is refreshed as often as they are many.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from control.protocol import names
from control.protocol.allocation import Row
from control.protocol.events import Effect
from control.protocol.member import Member
from control.protocol.overload import Shed
from control.protocol.published import Published
from control.protocol.rates import Rates
from control.protocol.roster import Roster
from control.protocol.sealing import assign as assign_sealed
from control.protocol.sealing import needed_forms
from control.protocol.slots import Occupant, assign
from control.protocol.speakers import Speakers, seat
from control.protocol.spreading import Spread
from control.protocol.telling import Scene, nothing_new, tell, tell_roster, tell_speakers
from control.protocol.transport import SealedSource, Transport
from control.protocol.view import View, is_current, occupants, see, view_key
from control.protocol.wanted import Wanted

_NO_FORMS: Final[Mapping[str, list[str]]] = {}


class Staging:
    """Of one conference, whose members and speakers others change. `number` groups its rows."""

    def __init__(
        self, members: Mapping[int, Member], speakers: Speakers, spread: Spread, number: int, rates: Rates
    ) -> None:
        self._members = members
        self._speakers = speakers
        self._spread = spread
        self._all_rates = self._rates = rates
        self._shed = Shed.NOTHING
        self._published = Published(number)
        self._roster = Roster()
        self._occupants: list[Occupant] = []
        self._seated: frozenset[Occupant] = frozenset()  # the occupants again
        self._versions: dict[int, int] = {}  # of the members when they were last looked at
        self._views: dict[int, View] = {}
        self._wanted = Wanted()
        self._had_sealed = (
            True  # is there, or was there until now, anything sealed? Of before a restart, maybe
        )
        self._inner: dict[tuple[SealedSource, int], int] = {}
        self._scene = Scene(speakers.content(()), frozenset(), rates, self._inner)

    @property
    def due(self) -> float | None:
        """When `refresh` would tell something that is held back."""
        return self._roster.due

    def shed(self, shed: Shed) -> None:
        """What is given up from the next `refresh` on."""
        self._rates = shed.rates(self._all_rates)
        self._shed = shed

    def refresh(self, welcome: Callable[[Member], Mapping[str, Any]], now: float) -> list[Effect]:
        """Works out what should be and says what is new of it: first to the table, then to the members.

        `welcome` is for newcomers.
        """
        members = self._members
        level = self._shed.level
        for member in members.values():
            member.wishes.bound(level)
        self._spread.settle(members)
        versions = {number: member.version for number, member in members.items()}
        changed = {number for number, version in versions.items() if self._versions.get(number) != version}
        changed |= self._versions.keys() - versions.keys()
        self._versions = versions
        self._assign_pairs(changed)
        unsealed = self._assign_sealed() if changed else []
        self._look(changed)
        effects: list[Effect] = [
            *self._published.update(members, self._rates, self._views, self._spread.strangers)
        ]
        self._spread.give_back()
        for transport, row in unsealed:  # it leaves the table with what was just published
            transport.give_back_sinks([row])
        if changed and self._inner:
            self._forget_inner()
        roster_is_due = self._roster.update(members, now)
        scene = self._set_scene()
        for number, member in members.items():
            if not member.channel_open:
                continue
            if roster_is_due or not member.told.welcome:
                effects += tell_roster(member, self._roster, welcome)
            view = self._views[number]
            if not nothing_new(member, scene, view, now):
                effects += tell(member, scene, view, now)
        return effects

    def _look(self, changed: Collection[int]) -> None:
        """What each member sees, and what is wanted of each."""
        members, before = self._members, self._views
        self._views = views = {}
        news = bool(changed)
        for number, member in members.items():
            view = before.get(number)
            if view is None or not is_current(view, member, members, changed):
                view = see(member, members)
                news = True
            views[number] = view
        if not news:
            return
        for number in self._wanted.update(members, changed, dict(views)):
            member = members[number]
            forms = needed_forms(member, members) if member.transport.sealed else _NO_FORMS
            member.sending.views(self._wanted.of(number), forms)

    def _assign_sealed(self) -> list[tuple[Transport, Row]]:
        sealed = any(member.transport.sealed for member in self._members.values())
        had, self._had_sealed = self._had_sealed, sealed
        return assign_sealed(self._members) if sealed or had else []

    def _set_scene(self) -> Scene:
        """Another one only when something of it is another."""
        muted = frozenset(
            (number, source) for number, member in self._members.items() for source in member.muted
        )
        scene = Scene(self._speakers.content(self._roster.told), muted, self._rates, self._inner)
        if (scene.speakers, scene.muted, scene.rates) != (
            self._scene.speakers,
            self._scene.muted,
            self._scene.rates,
        ):
            self._scene = scene
        return self._scene

    def retell(self, member: Member, now: float) -> list[Effect]:
        """As `refresh`, after a change that concerns what one member is told and nothing else."""
        if not member.channel_open:
            return []
        view = self._views[member.number]
        if view.key != view_key(member, self._members):
            view = self._views[member.number] = see(member, self._members)
        return tell(member, self._scene, view, now)

    def inner_index(self, source: SealedSource, encoding: int, index: int, now: float) -> list[Effect]:
        """A worker told where an encoding of a sealed source stands."""
        self._inner[source, encoding] = index
        effects: list[Effect] = []
        for member in self._members.values():
            if source in member.transport.sealed_sinks:
                effects += self.retell(member, now)
        return effects

    def _forget_inner(self) -> None:
        """Of sources that are gone, whether or not anybody opened them."""
        live = {
            (member.transport.id.worker, row)
            for member in self._members.values()
            for row in member.transport.sources.values()
        }
        for key in [key for key in self._inner if key[0] not in live]:
            del self._inner[key]

    def seats_change(self) -> bool:
        """Has who speaks changed so that somebody gets a pair? Then all is to be refreshed."""
        return any(
            self._seat_speaker(member, member.pairs) != member.pairs for member in self._members.values()
        )

    def retell_all(self, now: float) -> list[Effect]:
        """As `refresh`, after a change of who speaks that seats nobody."""
        self._scene = scene = replace(self._scene, speakers=self._speakers.content(self._roster.told))
        effects: list[Effect] = []
        for member in self._members.values():
            if member.channel_open:
                effects += tell_speakers(member, scene, now)
        return effects

    def source(self, worker: int, handle: int) -> tuple[int, str] | None:
        """Member number and source of a row that the worker has."""
        row = self._published.source(worker, handle)
        return None if row is None else (row.member, names.SOURCES[row.kind])

    def _assign_pairs(self, changed: Collection[int]) -> None:
        same = True
        if changed:
            everybody = occupants(self._members)
            same = everybody == self._occupants
            if not same:
                self._occupants, self._seated = everybody, frozenset(everybody)
        for number, member in self._members.items():
            pairs = member.pairs
            if member.assigned != member.version or not (same or self._all_taken(member)):
                pairs = assign(pairs, self._occupants, member.pair_indices, number, self._seated)
                member.assigned = member.version
            pairs = self._seat_speaker(member, pairs)
            if pairs is not member.pairs and pairs != member.pairs:
                member.pairs = pairs

    def _all_taken(self, member: Member) -> bool:
        """Are all of its pairs those of somebody who is here? Then nobody else gets one."""
        return len(member.pairs) == len(member.pair_indices) and self._seated.issuperset(
            member.pairs.values()
        )

    def _seat_speaker(self, receiver: Member, pairs: Mapping[int, Occupant]) -> Mapping[int, Occupant]:
        """Its pairs once whoever has the floor has one."""
        speaker = self._speakers.dominant
        if speaker is None or speaker == receiver.number or not pairs:
            return pairs
        who = Occupant(speaker)
        if who not in self._seated or who in pairs.values():
            return pairs
        return seat(pairs, speaker, self._speakers.silent_since, receiver.wishes.kept)
