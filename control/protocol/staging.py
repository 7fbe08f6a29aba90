"""What follows from who is in a conference and what they want: slot pairs, rows of the table, what is told.

All of it is worked out anew by `refresh` and compared with what was last published or told; nothing is
patched in several places.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from control.protocol import names
from control.protocol.allocation import Row
from control.protocol.events import Effect
from control.protocol.forwarding import Routes, compile_routes, diff
from control.protocol.member import Member
from control.protocol.overload import Shed
from control.protocol.rates import Rates
from control.protocol.sealing import assign as assign_sealed
from control.protocol.sealing import needed_forms
from control.protocol.slots import Occupant, assign
from control.protocol.speakers import Speakers, seat
from control.protocol.spreading import Spread
from control.protocol.telling import Roster, Scene, tell, tell_roster, tell_speakers
from control.protocol.transport import Transport
from control.protocol.view import View, occupants, see, view_key, wanted_encodings

_NOTHING: Final = Routes()


class Staging:
    """Of one conference, whose members and speakers others change. `number` groups its rows."""

    def __init__(
        self, members: Mapping[int, Member], speakers: Speakers, spread: Spread, number: int, rates: Rates
    ) -> None:
        self._members = members
        self._speakers = speakers
        self._spread = spread
        self._number = number
        self._all_rates = self._rates = rates
        self._shed = Shed.NOTHING
        self._routes: dict[int, Routes] = {}
        self._roster = Roster()
        self._occupants: list[Occupant] = []
        self._views: dict[int, View] = {}
        self._present: set[int] = set()
        self._inner: dict[tuple[Row, int], int] = {}
        self._scene = Scene(speakers.content(()), frozenset(), rates, self._inner)

    def shed(self, shed: Shed) -> None:
        """What is given up from the next `refresh` on."""
        self._rates = shed.rates(self._all_rates)
        self._shed = shed

    def refresh(self, welcome: Callable[[Member], Mapping[str, Any]], now: float) -> list[Effect]:
        """Works out what should be and says what is new of it: first to the table, then to the members.

        `welcome` is for newcomers.
        """
        members = self._members
        for member in members.values():
            member.wishes.bound(self._shed.level)
        self._spread.settle(members)
        self._assign_pairs()
        unsealed = assign_sealed(members)
        views: dict[int, View] = {}
        for number, member in members.items():
            known = self._views.get(number)
            same = known is not None and known.key == view_key(member, members)
            views[number] = known if known is not None and same else see(member, members)
        self._views = views
        for number, wanted in wanted_encodings(members, views.values()).items():
            members[number].sending.viewed = wanted
            members[number].sending.forms = needed_forms(members[number], members)
        effects: list[Effect] = []
        routes = compile_routes(members, self._number, self._rates, views, self._spread.strangers)
        for worker in sorted(routes.keys() | self._routes.keys()):
            change = diff(worker, self._routes.get(worker, _NOTHING), routes.get(worker, _NOTHING))
            if change is not None:
                effects.append(change)
        self._routes = routes
        self._spread.give_back()
        self._free_sealed(unsealed)
        self._roster.update(members)
        self._present = {number for number, member in members.items() if member.present}
        muted = frozenset((number, source) for number, member in members.items() for source in member.muted)
        self._scene = scene = Scene(self._speakers.content(self._present), muted, self._rates, self._inner)
        for number, member in members.items():
            if member.channel_open:
                effects += tell_roster(member, self._roster, welcome)
                effects += tell(member, scene, views[number], now)
        return effects

    def retell(self, member: Member, now: float) -> list[Effect]:
        """As `refresh`, after a change that concerns what one member is told and nothing else."""
        if not member.channel_open:
            return []
        view = self._views[member.number]
        if view.key != view_key(member, self._members):
            view = self._views[member.number] = see(member, self._members)
        return tell(member, self._scene, view, now)

    def inner_index(self, source: Row, encoding: int, index: int, now: float) -> list[Effect]:
        """A worker told where an encoding of a sealed source stands."""
        self._inner[source, encoding] = index
        effects: list[Effect] = []
        for member in self._members.values():
            if source in member.transport.sealed_sinks:
                effects += self.retell(member, now)
        return effects

    def _free_sealed(self, sinks: list[tuple[Transport, Row]]) -> None:
        """Their rows leave the table with what was just published."""
        if not sinks:
            return
        live = {row for member in self._members.values() for row in member.transport.sources.values()}
        for key in [key for key in self._inner if key[0] not in live]:
            del self._inner[key]
        for transport, row in sinks:
            transport.give_back_sinks([row])

    def seats_change(self) -> bool:
        """Has who speaks changed so that somebody gets a pair? Then all is to be refreshed."""
        return any(self._seat_speaker(member) != member.pairs for member in self._members.values())

    def retell_all(self, now: float) -> list[Effect]:
        """As `refresh`, after a change of who speaks that seats nobody."""
        self._scene = scene = replace(self._scene, speakers=self._speakers.content(self._present))
        effects: list[Effect] = []
        for member in self._members.values():
            if member.channel_open:
                effects += tell_speakers(member, scene, now)
        return effects

    def source(self, worker: int, handle: int) -> tuple[int, str] | None:
        """Member number and source of a row that the worker has."""
        row = self._routes.get(worker, _NOTHING).sources.get(handle)
        return None if row is None else (row.member, names.SOURCES[row.kind])

    def _assign_pairs(self) -> None:
        everybody = occupants(self._members)
        same = everybody == self._occupants
        self._occupants = everybody
        for number, member in self._members.items():
            if not same or member.assigned != member.version:
                others = [each for each in everybody if each.member != number]
                member.pairs = assign(member.pairs, others, member.pair_indices)
                member.assigned = member.version
            member.pairs = self._seat_speaker(member)

    def _seat_speaker(self, receiver: Member) -> dict[int, Occupant]:
        """Its pairs once whoever has the floor has one."""
        speaker = self._speakers.dominant
        if speaker in (None, receiver.number) or Occupant(speaker) in receiver.pairs.values():
            return receiver.pairs
        if Occupant(speaker) not in self._occupants or not receiver.pairs:
            return receiver.pairs
        return seat(receiver.pairs, speaker, self._speakers.silent_since, receiver.wishes.kept)
