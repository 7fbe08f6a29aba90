"""What a bridge saw pass, and figures made of it. Pure; times in seconds of CLOCK_MONOTONIC."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

QUEUE_FULL, LOST, DUPLICATED, CORRUPTED = 1, 2, 4, 8


class Passage(NamedTuple):
    """One packet at the bottleneck of a direction."""

    at: float
    """When it came."""
    size: int
    """Bytes of the IP packet."""
    wait: float
    """Seconds until it had passed, its own sending included."""
    fate: int
    """Sum of QUEUE_FULL, LOST, DUPLICATED, CORRUPTED."""

    @property
    def left(self) -> float:
        return self.at + self.wait

    @property
    def passed(self) -> bool:
        """The bottleneck carried it, whatever became of it afterwards."""
        return not self.fate & QUEUE_FULL


def read_log(text: str, direction: str) -> list[Passage]:
    """The lines of one direction; a last line that is not whole is left out."""
    found = []
    for line in text[: text.rfind("\n") + 1].splitlines():
        at, way, size, wait, fate = line.split()
        if way == direction:
            found.append(Passage(int(at) / 1e9, int(size), int(wait) / 1e6, int(fate)))
    return found


def offered_bps(passages: Iterable[Passage], begin: float, end: float) -> float:
    """What was sent into the bottleneck in [begin, end)."""
    return 8 * sum(one.size for one in passages if begin <= one.at < end) / (end - begin)


def carried_bps(passages: Iterable[Passage], begin: float, end: float) -> float:
    """What came out of the bottleneck in [begin, end)."""
    return 8 * sum(one.size for one in passages if one.passed and begin <= one.left < end) / (end - begin)


def series(passages: Sequence[Passage], begin: float, end: float, step: float = 0.25) -> list[float]:
    """carried_bps of each whole step."""
    sums = [0] * int((end - begin) / step)
    for one in passages:
        index = math.floor((one.left - begin) / step)
        if one.passed and 0 <= index < len(sums):
            sums[index] += one.size
    return [8 * size / step for size in sums]


def percentile(values: Iterable[float], share: float) -> float | None:
    """The value that `share` of them do not exceed; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def queue_ms(passages: Iterable[Passage], begin: float, end: float, share: float = 0.95) -> float | None:
    """Waiting time at the bottleneck that `share` of its packets do not exceed."""
    found = percentile((one.wait for one in passages if one.passed and begin <= one.at < end), share)
    return None if found is None else 1000 * found


def falls_below(
    passages: Sequence[Passage], bps: float, after: float, until: float, hold: float = 0.5
) -> float | None:
    """Seconds from `after` until the first moment at which the mean of the next `hold` seconds is at most
    `bps`; None if there is none before `until`.

    Only just behind a packet can it be the first: the mean falls when one leaves the window's beginning.
    """
    times = [one.at for one in passages]
    total = list(itertools.accumulate((one.size for one in passages), initial=0))

    def mean(begin: float) -> float:
        first, last = bisect.bisect_left(times, begin), bisect.bisect_left(times, begin + hold)
        return 8 * (total[last] - total[first]) / hold

    for moment in (after, *(at + 1e-9 for at in times[bisect.bisect_left(times, after) :])):
        if moment + hold > until:
            return None
        if mean(moment) <= bps:
            return moment - after
    return None


def jain(values: Sequence[float]) -> float | None:
    """Jain's fairness: 1 = all alike, 1/n = one has all."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else None


def longest_gap(times: Iterable[float], begin: float, end: float) -> float:
    """The longest time without an event within [begin, end], its borders counting as events."""
    inside = [begin, *sorted(one for one in times if begin < one < end), end]
    return max(later - earlier for earlier, later in itertools.pairwise(inside))
