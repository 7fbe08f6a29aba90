"""Figures: what is counted is defined, what is defined is counted, and the text is what Prometheus reads."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from control.io.receivers import BANDS, members_of, receiver_gauges
from control.metrics import CONTROL_COUNTERS, LABELS_MAX, Counts, Gauge, SottoCollector, registry
from control.protocol.rows import NONE
from fastpath_ext.values import DownlinkStatus, SinkStatus, SinkValue, SourceValue, TransportValue

USE = re.compile(r"""(?:CountMetric|\bcount|_count)\(\s*"(\w+)\"""")


def test_what_is_counted_is_defined_and_the_other_way_round(root: Path) -> None:
    used = {name for path in (root / "control").rglob("*.py") for name in USE.findall(path.read_text())}
    assert used == set(CONTROL_COUNTERS)


def scrape(counts: Counts, *gauges: Gauge) -> dict[str, dict[tuple[str, ...], float]]:
    collector = SottoCollector(
        counts, {"rx_bytes": "Bytes"}, lambda: [{"rx_bytes": 7}, {"rx_bytes": 8}], lambda: gauges
    )
    text = generate_latest(registry(collector)).decode()
    return {
        sample.name: {tuple(s.labels.values()): s.value for s in family.samples if s.name == sample.name}
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_has_every_figure() -> None:
    counts = Counts()
    counts.count("invites_refused", "full")
    counts.count("invites_refused", "full")
    counts.count("matrix_sent")
    figures = scrape(
        counts, Gauge("members", "Members", 3, {}), Gauge("worker_up", "Alive", 1, {"worker": "0"})
    )
    assert figures["sotto_worker_rx_bytes_total"] == {("0",): 7, ("1",): 8}
    assert figures["sotto_invites_refused_total"] == {("full",): 2}
    assert figures["sotto_matrix_sent_total"] == {(): 1}
    assert figures["sotto_matrix_poison_total"] == {(): 0}
    assert figures["sotto_members"] == {(): 3}
    assert figures["sotto_worker_up"] == {("0",): 1}
    assert figures["process_resident_memory_bytes"][()] > 0


def test_media_are_told_by_kind_and_sizes_are_histograms() -> None:
    names = ("rtp_received", "rtp_received_audio", "rtp_received_video", "run_1", "run_4", "tx_datagrams")
    values = {"rtp_received": 5, "rtp_received_audio": 2, "rtp_received_video": 3, "run_1": 4, "run_4": 1}
    collector = SottoCollector(
        Counts(), dict.fromkeys(names, "Help"), lambda: [{**values, "tx_datagrams": 7}], list
    )
    text = generate_latest(registry(collector)).decode()
    assert 'sotto_worker_rtp_received_total{kind="audio",worker="0"} 2.0' in text
    assert 'sotto_worker_rtp_received_total{kind="video",worker="0"} 3.0' in text
    assert 'sotto_worker_run_datagrams_bucket{le="1",worker="0"} 4.0' in text
    assert 'sotto_worker_run_datagrams_bucket{le="+Inf",worker="0"} 5.0' in text
    assert 'sotto_worker_run_datagrams_sum{worker="0"} 7.0' in text
    assert "run_1_total" not in text
    assert "received_audio" not in text


@dataclass
class Rows:
    """Tables of a worker, in memory."""

    sinks: dict[int, SinkValue]
    sources: dict[int, SourceValue]
    deals: dict[int, SinkStatus]
    downlinks: dict[int, DownlinkStatus | None]
    strangers: frozenset[int] = frozenset()

    @property
    def transport_handles(self) -> list[int]:
        return list(self.downlinks)

    def transport(self, handle: int) -> TransportValue | None:
        row: TransportValue | None = None
        if handle in self.downlinks:
            row = TransportValue._make((1,) + (0,) * (len(TransportValue._fields) - 1))
            row = row._replace(foreign=int(handle in self.strangers))
        return row

    @property
    def sink_handles(self) -> list[int]:
        return list(self.sinks)

    def source(self, handle: int) -> SourceValue | None:
        return self.sources.get(handle)

    def sink(self, handle: int) -> SinkValue | None:
        return self.sinks.get(handle)

    def sink_status(self, handle: int) -> SinkStatus | None:
        return self.deals.get(handle)

    def downlink_status(self, handle: int) -> DownlinkStatus | None:
        return self.downlinks[handle]


def test_how_receivers_fare() -> None:
    def made(of: type[Any], **known: object) -> Any:
        """A row of zeros but for what is said."""
        return of(*(known.get(name, 0) for name in of._fields))

    def sink(source: int, kind: int = 1, hidden: bool = False) -> SinkValue:
        return made(SinkValue, incarnation=1, source=source, kind=kind, max_encoding=2, hidden=hidden)

    def source(rids: tuple[str, ...], muted: bool = False, kind: int = 1) -> SourceValue:
        return made(SourceValue, incarnation=1, kind=kind, muted=muted, rids=rids)

    def deal(encoding: int | None) -> SinkStatus:
        return SinkStatus(1, None, 0, 0, 0, 0, encoding, 2, 0, 0)

    first = Rows(
        {
            0: sink(0), 1: sink(0), 2: sink(0, hidden=True), 3: sink(1), 4: sink(2, kind=2), 5: sink(NONE),
            6: sink(9, kind=0), 7: sink(0),
        },
        {0: source(("t", "m", "f")), 1: source(("t",), muted=True), 2: source((), kind=2)},
        {0: deal(2), 1: deal(None), 2: deal(None), 3: deal(None), 4: deal(0)},
        {0: DownlinkStatus(1, 300_000, 0, True, 250_000, 900_000, 1, 100), 1: None},
    )  # fmt: skip
    far = DownlinkStatus(1, 9_000_000, 9_000_000, False, 1, 2, 0, 3)
    second = Rows({}, {}, {}, {0: far, 7: far}, frozenset({7}))  # 7 is served by another worker
    assert (members_of(first), members_of(second)) == (2, 1)
    figures = scrape(Counts(), *receiver_gauges([first, second]))
    seen = {labels: value for labels, value in figures["sotto_slots"].items() if value}
    assert seen == {
        ("f", "camera"): 1, ("paused", "camera"): 1, ("hidden", "camera"): 1, ("muted", "camera"): 1,
        ("other", "camera"): 1, ("f", "screen"): 1,
    }  # fmt: skip
    receivers = {labels: value for labels, value in figures["sotto_receivers"].items() if value}
    assert receivers == {("transport-cc", "400000"): 1, ("remb", "more"): 1}
    assert len(figures["sotto_receivers"]) == 3 * (len(BANDS) + 1)
    assert figures["sotto_downlink_allocated_bps"] == {(): 250_001}
    assert figures["sotto_slots_paused"] == {(): 1}
    assert figures["sotto_downlink_waiting_bytes"] == {(): 103}


def test_labels_are_bounded_and_an_undefined_name_is_a_counted_bug() -> None:
    counts = Counts()
    for number in range(LABELS_MAX + 10):
        counts.count("invites_refused", f"code{number}")
    counts.count("no_such_counter")
    figures = scrape(counts)
    assert len(figures["sotto_invites_refused_total"]) == LABELS_MAX + 1
    assert figures["sotto_invites_refused_total"][("other",)] == 10
    assert figures["sotto_internal_errors_total"] == {("counter",): 1}
