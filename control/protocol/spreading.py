"""One conference on several workers: where a newcomer's connection is placed, and which rows of others are
needed there.

A conference lives on one worker until that one has enough to do; then further joiners go to the worker that
has least. Nobody is moved. Each source that is not muted has a row on every other worker with members of the
conference, too, as long as there is room: packets are handed over once (fastpath/handover.h), and that worker
serves its own receivers. A sealed form has one where somebody opens it, muted or not: what a receiver was
given sealed it keeps.
"""

from collections.abc import Mapping, Sequence

from control.protocol import limits
from control.protocol.allocation import FullError, Row, RowAllocator, Rows
from control.protocol.events import TransportId
from control.protocol.member import Member
from control.protocol.transport import Elsewhere, Transport

_Key = tuple[int, TransportId, str]  # the worker it is on, whose source it is, its mid


class Spread:
    """Of one conference. `settle` after each change, `give_back` when that was published."""

    def __init__(self, rows: Sequence[Rows], home: Rows) -> None:
        """`rows` of all workers."""
        self.strangers: dict[tuple[int, int], Row] = {}
        """Transport rows on a worker (first) that stand for the members on another (second)."""
        self._rows = rows
        self._home = home
        self._held: dict[_Key, tuple[Transport, Elsewhere]] = {}
        self._gone: list[tuple[RowAllocator, Row]] = []

    def place(self, members: Mapping[int, Member]) -> Rows:
        """For a newcomer."""
        home = self._home
        if not home.place.joined or not _outgrown(home):
            return home
        there = self.workers(members)

        def cost(rows: Rows) -> tuple[bool, int, bool]:
            extra = 0 if rows.worker in there else limits.SPREAD_COST
            return rows.busy >= limits.SPREAD_BUSY, rows.load + extra, rows is not home

        return min((rows for rows in self._rows if rows.place.joined), key=cost)

    def of(self, member: Member) -> Rows:
        """For another connection of a member: all of them are on one worker."""
        return self._rows[member.transport.id.worker]

    def workers(self, members: Mapping[int, Member]) -> set[int]:
        """All it is on."""
        return _workers(members) | {self._home.worker}

    def settle(self, members: Mapping[int, Member]) -> None:
        """Gives every source a row wherever it is needed, and takes away those that are not."""
        workers = _workers(members)
        if len(workers) < 2 and not self._held:
            return
        wanted = _wanted(members, workers)
        for key, (transport, held) in list(self._held.items()):
            if key not in wanted:
                on, _, mid = key
                del self._held[key], transport.elsewhere[on, mid]
                self._gone.append((self._rows[on].sources, held.row))
                _touch(members, transport)
        for key, transport in wanted.items():
            if key not in self._held:
                self._bring(key, transport, members)
        needed = {(on, whose.worker) for on, whose, _ in self._held}
        for pair in self.strangers.keys() - needed:
            self._gone.append((self._rows[pair[0]].transports, self.strangers.pop(pair)))

    def give_back(self) -> None:
        """What is no longer needed, now that the table does not have it any more."""
        for allocator, row in self._gone:
            allocator.give_back(row)
        self._gone = []

    def take_over(self, transport: Transport, held: Sequence[tuple[int, str, Row, Row]]) -> None:
        """The rows that a source had elsewhere before control was started anew; as far as they are free."""
        home = transport.id.worker
        for on, mid, row, strangers in held:
            if not 0 <= on < len(self._rows) or mid not in transport.sources:
                continue
            rows = self._rows[on]
            try:
                if (on, home) not in self.strangers:
                    rows.transports.adopt(strangers)
                    self.strangers[on, home] = strangers
                if self.strangers[on, home] != strangers:
                    continue
                rows.sources.adopt(row)
            except ValueError:
                continue
            transport.elsewhere[on, mid] = elsewhere = Elsewhere(row, strangers)
            self._held[on, transport.id, mid] = transport, elsewhere

    def _bring(self, key: _Key, transport: Transport, members: Mapping[int, Member]) -> None:
        """Where there is no room, slots there stay empty; it is tried again with the next change."""
        on, whose, mid = key
        rows, pair = self._rows[on], (on, whose.worker)
        if rows.sources.scarce:
            return
        try:
            if pair not in self.strangers:
                self.strangers[pair] = rows.transports.take()
            row = rows.sources.take()
        except FullError:
            return
        transport.elsewhere[on, mid] = elsewhere = Elsewhere(row, self.strangers[pair])
        self._held[key] = transport, elsewhere
        _touch(members, transport)


def _outgrown(rows: Rows) -> bool:
    return rows.load >= limits.SPREAD_TRANSPORTS or rows.busy >= limits.SPREAD_BUSY


def _workers(members: Mapping[int, Member]) -> set[int]:
    return {member.transport.id.worker for member in members.values()}


def _wanted(members: Mapping[int, Member], workers: set[int]) -> dict[_Key, Transport]:
    """Voices first, should there not be room for all."""
    wanted: dict[_Key, Transport] = {}
    opening = {
        (member.transport.id.worker, section.kind)
        for member in members.values()
        for section in member.transport.agreement.opened
        if section.active
    }
    for kind in ("audio", "video"):
        for member in members.values():
            transport = member.transport
            for section in transport.senders.values():
                if section.kind == kind and section.source not in member.muted:
                    for on in workers - {transport.id.worker}:
                        wanted[on, transport.id, section.mid] = transport
            for section in transport.sealed.values():
                if section.kind == kind:
                    for on in workers - {transport.id.worker}:
                        if (on, kind) in opening:
                            wanted[on, transport.id, section.mid] = transport
    return wanted


def _touch(members: Mapping[int, Member], transport: Transport) -> None:
    """Others see it differently now."""
    for member in members.values():
        if member.transport is transport:
            member.version += 1
