"""Figures: what is counted is defined, what is defined is counted, and the text is what Prometheus reads."""

import re
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from control.metrics import CONTROL_COUNTERS, LABELS_MAX, Counts, Gauge, SottoCollector, registry

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


def test_labels_are_bounded_and_an_undefined_name_is_a_counted_bug() -> None:
    counts = Counts()
    for number in range(LABELS_MAX + 10):
        counts.count("invites_refused", f"code{number}")
    counts.count("no_such_counter")
    figures = scrape(counts)
    assert len(figures["sotto_invites_refused_total"]) == LABELS_MAX + 1
    assert figures["sotto_invites_refused_total"][("other",)] == 10
    assert figures["sotto_internal_errors_total"] == {("counter",): 1}
