"""The rows of a conference as its workers were last given them, and what is to be changed of them.

Compiled member by member, and only of whom something has changed: in a large conference most have not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from control.protocol.allocation import Row
from control.protocol.events import PublishRoutes
from control.protocol.forwarding import Routes, compile_member, compile_strangers, diff
from control.protocol.member import Member
from control.protocol.rates import Rates
from control.protocol.rows import SinkRow, SourceRow, TransportRow
from control.protocol.view import View

_STRANGERS = -1  # no member's number
_NOTHING = Routes()


@dataclass(slots=True)
class _Part:
    """Rows of one member by worker, and what they were made of."""

    version: int
    muted: object
    rates: object
    view: object
    routes: Mapping[int, Routes]


@dataclass(slots=True)
class _Change:
    """Of one worker's rows, being gathered."""

    transports: dict[int, TransportRow] = field(default_factory=dict)
    sources: dict[int, SourceRow] = field(default_factory=dict)
    sinks: dict[int, SinkRow] = field(default_factory=dict)
    gone_transports: set[int] = field(default_factory=set)
    gone_sources: set[int] = field(default_factory=set)
    gone_sinks: set[int] = field(default_factory=set)

    def take(self, part: PublishRoutes) -> None:
        self.transports.update(part.transports)
        self.sources.update(part.sources)
        self.sinks.update(part.sinks)
        self.gone_transports |= part.gone_transports
        self.gone_sources |= part.gone_sources
        self.gone_sinks |= part.gone_sinks

    def routes(self, worker: int) -> PublishRoutes:
        return PublishRoutes(
            worker,
            self.transports,
            self.sources,
            self.sinks,
            # What went from one member to another is not gone.
            frozenset(self.gone_transports - self.transports.keys()),
            frozenset(self.gone_sources - self.sources.keys()),
            frozenset(self.gone_sinks - self.sinks.keys()),
        )


class Published:
    """Of one conference; `number` groups its transports in the tables."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._parts: dict[int, _Part] = {}
        self._sources: dict[tuple[int, int], SourceRow] = {}  # by worker and handle

    def source(self, worker: int, handle: int) -> SourceRow | None:
        """A row that the worker has."""
        return self._sources.get((worker, handle))

    def update(
        self,
        members: Mapping[int, Member],
        rates: Rates,
        views: Mapping[int, View],
        strangers: Mapping[tuple[int, int], Row],
    ) -> list[PublishRoutes]:
        """What turns what was published into what should be, by worker; that is published with this."""
        changes: dict[int, _Change] = {}
        for number, member in members.items():
            view, part = views[number], self._parts.get(number)
            if (
                part is None
                or part.view is not view
                or part.version != member.version
                or part.muted is not member.muted
                or part.rates is not rates
            ):
                routes = compile_member(member, self._number, rates, view)
                self._replace(number, _Part(member.version, member.muted, rates, view, routes), changes)
        for number in [number for number in self._parts if number not in members and number != _STRANGERS]:
            self._replace(number, None, changes)
        if strangers or _STRANGERS in self._parts:
            made: Any = None
            there = compile_strangers(strangers, self._number)
            self._replace(_STRANGERS, _Part(0, made, made, made, there) if there else None, changes)
        return [changes[worker].routes(worker) for worker in sorted(changes)]

    def _replace(self, number: int, part: _Part | None, changes: dict[int, _Change]) -> None:
        before = self._parts.pop(number, None)
        old = {} if before is None else before.routes
        new = {} if part is None else part.routes
        if part is not None:
            self._parts[number] = part
        for worker in old.keys() | new.keys():
            change = diff(worker, old.get(worker, _NOTHING), new.get(worker, _NOTHING))
            if change is None:
                continue
            changes.setdefault(worker, _Change()).take(change)
            for handle in change.gone_sources:
                self._sources.pop((worker, handle), None)
            for handle, row in change.sources.items():
                self._sources[worker, handle] = row
