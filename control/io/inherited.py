"""What a former control process left in a worker's table goes on until its members are gone by themselves.

They keep their media while they call anew, under new handles; then their old connection ends and, 30 s later,
the worker's consent in it.
"""

from control.protocol.events import PublishRoutes
from fastpath_ext.table import Table

CONSENT_NS = 30_000_000_000
"""As LIMIT_CONSENT_NS of the worker, which sends them nothing after that."""


class Inherited:
    """The rows that were in use when this process took the table over."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.left = set(table.transport_handles)
        """Transports that are still there."""
        self._sources = set(table.source_handles)
        self._sinks = set(table.sink_handles)

    @property
    def occupied(self) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
        """Handles of transports, sources and sinks that are not free yet."""
        return frozenset(self.left), frozenset(self._sources), frozenset(self._sinks)

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
