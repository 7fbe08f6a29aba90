"""Figures made of what a bridge saw: small cases worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.quality.passages import (
    Passage,
    carried_bps,
    falls_below,
    jain,
    longest_gap,
    offered_bps,
    percentile,
    queue_ms,
    read_log,
    series,
)


def steady(begin: float, end: float, per_s: int, size: int = 125, wait: float = 0.0) -> list[Passage]:
    return [Passage(begin + n / per_s, size, wait, 0) for n in range(round((end - begin) * per_s))]


def test_a_log_is_read_by_direction_and_without_its_torn_end() -> None:
    text = "1000000000 ab 125 2000 0\n1500000000 ba 60 0 2\n1700000000 ab 99 0 1\n18000"
    assert read_log(text, "ab") == [Passage(1.0, 125, 0.002, 0), Passage(1.7, 99, 0.0, 1)]
    assert read_log(text, "ba") == [Passage(1.5, 60, 0.0, 2)]


def test_offered_counts_what_came_and_carried_what_left() -> None:
    passages = [Passage(0.0, 125, 0.0, 0), Passage(0.5, 125, 0.6, 0), Passage(0.9, 125, 0.0, 1)]
    assert offered_bps(passages, 0, 1) == 3000
    assert carried_bps(passages, 0, 1) == 1000
    assert carried_bps(passages, 1, 2) == 1000


def test_series() -> None:
    assert series(steady(10, 11, 100), 10, 11, 0.25) == [100_000] * 4


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [([1, 2, 3, 4], 0.5, 2), ([5], 0.95, 5), ([], 0.5, None), ([3, 1, 2], 1, 3)],
)
def test_percentile(values: list[float], share: float, wanted: float | None) -> None:
    assert percentile(values, share) == wanted


def test_queue_delay_leaves_out_what_did_not_fit() -> None:
    passages = [*steady(0, 1, 95, wait=0.01), *steady(0, 1, 5, wait=0.2), Passage(0.5, 125, 9.0, 1)]
    assert queue_ms(passages, 0, 1) == pytest.approx(10)


def test_falling_below_a_rate_is_the_beginning_of_a_quiet_window() -> None:
    passages = [*steady(0, 2, 1000), *steady(2, 5, 100)]  # 1 Mbit/s, then 100 kbit/s
    assert falls_below(passages, 120_000, after=1.5, until=5) == pytest.approx(0.5, abs=0.03)
    assert falls_below(passages, 50_000, after=1.5, until=5) is None
    assert falls_below(passages, 120_000, after=2.5, until=5) == 0
    assert falls_below([], 1, after=0, until=0.4) is None


def test_jain() -> None:
    assert jain([1, 1, 1]) == 1
    assert jain([1, 0]) == 0.5
    assert jain([0, 0]) is None


def test_longest_gap_sees_the_borders() -> None:
    assert longest_gap([1.0, 1.1, 1.5, 9.0], 0.9, 2.0) == pytest.approx(0.5)
    assert longest_gap([], 0, 3) == 3
