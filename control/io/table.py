"""Puts what control decided into a worker's table and makes it current. Decides nothing."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from control.protocol.events import PublishRoutes
from control.protocol.rows import TransportRow
from fastpath_ext.table import Table

log = logging.getLogger(__name__)

RETRY_S = 0.002, 0.1
"""First and longest pause before asking again whether the worker has moved on, doubling. It does so at every
batch, and at once when woken. Lower: more turns for nothing while a worker is away. Higher: changes wait."""


class _Occupied(Protocol):
    @property
    def incarnation(self) -> int: ...


_Row = TypeVar("_Row", bound=_Occupied)
_Held = TypeVar("_Held", bound=_Occupied)


class TableWriter:
    """One worker's table, written.

    Changes of one turn of the event loop, and all that come while the worker has not adopted the generation
    before, go into one generation. When the worker has moved on, what was removed is wiped from the older.
    """

    def __init__(self, table: Table, wake: Callable[[], object]) -> None:
        """`wake` tells the worker that there is something new; a lost one costs only time."""
        self.table = table
        self.mended = 0
        self.refused = 0
        """Rows that the table did not take; each is a bug."""
        self._wake = wake
        self._due: asyncio.Handle | None = None
        self._pause = RETRY_S[0]
        self._closed = False
        if not table.settled:
            # A former control process left it so.
            self._soon()

    def apply(self, routes: PublishRoutes) -> None:
        """Changes the rows. They become current together, in this turn if the worker has kept up."""
        table = self.table
        self._remove(table.remove_sink, routes.gone_sinks)
        self._remove(table.remove_source, routes.gone_sources)
        self._remove(table.remove_transport, routes.gone_transports)
        self._put(self._put_transport, table.transport, table.remove_transport, routes.transports)
        self._put(table.put_source, table.source, table.remove_source, routes.sources)
        self._put(table.put_sink, table.sink, table.remove_sink, routes.sinks)
        self._soon()

    def clear(self) -> None:
        """Removes every row: for control that starts anew and knows nobody its predecessor served."""
        table = self.table
        self._remove(table.remove_sink, table.sink_handles)
        self._remove(table.remove_source, table.source_handles)
        self._remove(table.remove_transport, table.transport_handles)
        self._soon()

    def worker_moved(self) -> None:
        """Something suggests that the worker looks at its table again, such as that a new one is ready."""
        if self._due is not None:
            self._soon()

    def mend(self) -> None:
        """What no longer stands in the table as it was published is published again."""
        if self._closed or not self.table.mend():
            return
        self.mended += 1
        log.error("a table was found damaged and is written anew")
        self._wake()
        self._soon()

    def close(self) -> None:
        """Publishes nothing more; what is current stays so."""
        self._closed = True
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _put_transport(self, handle: int, row: TransportRow) -> None:
        self.table.put_transport(handle, row, keep_keys=row.keep_keys)

    def _remove(self, remove: Callable[[int], None], handles: Iterable[int]) -> None:
        for handle in handles:
            try:
                remove(handle)
            except (ValueError, OverflowError) as error:
                self.refused += 1
                log.error("no such row: %s", error)

    def _put(
        self,
        put: Callable[[int, _Row], None],
        get: Callable[[int], _Held | None],
        remove: Callable[[int], None],
        rows: Mapping[int, _Row],
    ) -> None:
        for handle, row in rows.items():
            try:
                put(handle, row)
            except (ValueError, OverflowError, TypeError, AttributeError) as error:
                self.refused += 1
                log.error("row refused by the table: %s", error)
                # What was there before stays if it is of the same occupant, and goes if it is of another.
                with contextlib.suppress(ValueError, OverflowError):
                    held = get(handle)
                    if held is not None and held.incarnation != row.incarnation:
                        remove(handle)

    def _soon(self) -> None:
        if self._closed:
            return
        if self._due is not None:
            self._due.cancel()
        self._pause = RETRY_S[0]
        self._due = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Publish, wait for the worker, settle; whichever comes next."""
        self._due = None
        if self.table.pending:
            if self.table.publish():
                self._wake()
                self._pause = RETRY_S[0]
        elif self.table.settle():
            return
        self._due = asyncio.get_running_loop().call_later(self._pause, self._turn)
        self._pause = min(self._pause * 2, RETRY_S[1])
