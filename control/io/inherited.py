"""What a former control process left in a worker's table goes on until its members are gone by themselves.

They keep their media while they call anew, under new handles; then their old connection ends and, 30 s later,
the worker's consent in it.
"""

from collections.abc import Iterable, Mapping

from control.protocol.events import PublishRoutes
from fastpath_ext.table import Table

CONSENT_NS = 29_500_000_000
"""As LIMIT_CONSENT_NS of the worker, which sends them nothing after that."""


class Inherited:
    """The rows that were in use when this process took the table over."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.left = set(table.transport_handles)
        """Transports that are still there."""
        self._claimed: dict[int, int] = {}
        """Transports of members that the conferences go on with, and their incarnations."""
        self._sources = set(table.source_handles)
        self._sinks = set(table.sink_handles)

    @property
    def occupied(self) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
        """Handles of transports, sources and sinks that are not free yet."""
        return frozenset(self.left), frozenset(self._sources), frozenset(self._sinks)

    def claim(self, transports: Mapping[int, int], sources: Iterable[int], sinks: Iterable[int]) -> None:
        """The conferences go on with these: transports with their incarnations, handles of the others."""
        self._claimed |= transports
        self.left -= transports.keys()
        self._sources -= set(sources)
        self._sinks -= set(sinks)

    def lost(self, now_ns: int) -> list[tuple[int, int]]:
        """Handle and incarnation of claimed transports whose member is gone, each once.

        The worker told of it, but perhaps when nobody listened.
        """
        held = {handle: self._table.transport(handle) for handle in self._claimed}
        self._claimed = {
            handle: incarnation
            for handle, incarnation in self._claimed.items()
            if (row := held[handle]) is not None and row.incarnation == incarnation
        }
        gone = [(h, incarnation) for h, incarnation in self._claimed.items() if self._is_gone(h, now_ns)]
        for handle, _ in gone:
            del self._claimed[handle]
        return gone

    @property
    def watches(self) -> bool:
        """Is there anything that may end yet?"""
        return bool(self.left or self._claimed)

    def expired(self, worker: int, now_ns: int) -> PublishRoutes | None:
        """The removal of every inherited transport whose member is gone, with its sources and sinks."""
        table = self._table
        gone = frozenset(handle for handle in self.left if self._is_gone(handle, now_ns))
        if not gone:
            return None
        gone_sources = frozenset(
            handle for handle in self._sources if (row := table.source(handle)) and row.transport in gone
        )
        gone_sinks = frozenset(
            handle for handle in self._sinks if (sink := table.sink(handle)) and sink.transport in gone
        )
        self.left -= gone
        self._sources -= gone_sources
        self._sinks -= gone_sinks
        return PublishRoutes(worker, {}, {}, {}, gone, gone_sources, gone_sinks)

    def _is_gone(self, handle: int, now_ns: int) -> bool:
        """A transport nobody has come to is gone, too: there is no one to tell that they came."""
        status = self._table.transport_status(handle, now_ns)
        age = status.consent_age_ns if status is not None else None
        return age is None or age > CONSENT_NS
