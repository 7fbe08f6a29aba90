"""How receivers fare, read from the workers' tables at the moment of a scrape."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from control.metrics import Gauge
from control.protocol import names
from control.protocol.rows import NONE, SourceKind
from fastpath_ext.values import DownlinkStatus, SinkStatus, SinkValue, SourceValue, TransportValue

# Upper ends of the bands that estimates are counted in, bit/s: a thumbnail, audio with a few of them, a
# middle picture, a full one, that with thumbnails, a screen beside it. More: more series. Fewer: less
# is seen.
BANDS: Final = (150_000, 400_000, 800_000, 1_700_000, 2_500_000, 5_000_000)
_PICTURES: Final = {SourceKind.CAMERA: "camera", SourceKind.SCREEN: "screen"}


class Rows(Protocol):
    """What is needed of a table; fastpath_ext.table.Table."""

    @property
    def transport_handles(self) -> list[int]: ...
    @property
    def sink_handles(self) -> list[int]: ...
    def transport(self, handle: int, /) -> TransportValue | None: ...
    def source(self, handle: int, /) -> SourceValue | None: ...
    def sink(self, handle: int, /) -> SinkValue | None: ...
    def sink_status(self, handle: int, /) -> SinkStatus | None: ...
    def downlink_status(self, handle: int, /) -> DownlinkStatus | None: ...


def members_of(table: Rows) -> int:
    """Whom the worker serves. Those of other workers have rows in its table as well, as senders only."""
    rows = (table.transport(handle) for handle in table.transport_handles)
    return sum(row is not None and not row.foreign for row in rows)


def receiver_gauges(tables: Iterable[Rows]) -> Iterator[Gauge]:
    """Of all workers together. Labels are of fixed sets; every series is there, those at 0 too."""
    receivers: Counter[tuple[str, str]] = Counter()
    slots: Counter[tuple[str, str]] = Counter()
    allocated = wanted = paused = waiting = 0
    for table in tables:
        for handle in table.transport_handles:
            row = table.transport(handle)
            if row is None or row.foreign:  # served elsewhere
                continue
            if (downlink := table.downlink_status(handle)) is not None:
                receivers[_known_by(downlink), _band(downlink.estimate_bps)] += 1
                allocated += downlink.allocated_bps
                wanted += downlink.wanted_bps
                paused += downlink.paused
                waiting += downlink.waiting_bytes
        for handle in table.sink_handles:
            sink = table.sink(handle)
            if sink is not None and sink.kind in _PICTURES and sink.source != NONE:
                slots[_PICTURES[SourceKind(sink.kind)], _gets(table, handle, sink)] += 1
    bands = (*map(str, BANDS), "more")
    for by in ("transport-cc", "remb", "loss"):
        for band in bands:
            yield Gauge(
                "receivers",
                "Receivers by the estimate of their downlink, and by what it is estimated",
                receivers[by, band],
                {"by": by, "up_to_bps": band},
            )
    for source in _PICTURES.values():
        for gets in (*names.RIDS, "paused", "hidden", "muted", "other"):
            yield Gauge(
                "slots",
                "Slots that carry a picture, by the encoding they get within their receiver's estimate",
                slots[source, gets],
                {"source": source, "gets": gets},
            )
    yield Gauge("slots_paused", "Pictures that are wanted and do not fit", paused, {})
    yield Gauge("downlink_allocated_bps", "Sum of what receivers are given", allocated, {})
    yield Gauge("downlink_wanted_bps", "Sum of what all they wish for would take", wanted, {})
    yield Gauge("downlink_waiting_bytes", "Sum of what waits to be sent to receivers", waiting, {})


def _known_by(downlink: DownlinkStatus) -> str:
    if downlink.has_feedback:
        return "transport-cc"
    return "remb" if downlink.remb_bps else "loss"


def _band(bps: int) -> str:
    return next((str(band) for band in BANDS if bps <= band), "more")


def _gets(table: Rows, handle: int, sink: SinkValue) -> str:
    source = table.source(sink.source)
    status = table.sink_status(handle)
    if sink.hidden:
        return "hidden"
    if source is not None and source.muted:
        return "muted"
    if source is None or status is None:
        return "other"
    if status.deal_encoding is None:
        return "paused"
    encodings = source.rids or names.RIDS[-1:]
    name = encodings[status.deal_encoding] if status.deal_encoding < len(encodings) else ""
    return name if name in names.RIDS else "other"
