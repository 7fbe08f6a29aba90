"""What the rows with the real thing share: the house, two people in a conference, and what they hear."""

import itertools
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos.rows import Rows
from client.receiving import ReceivedFrame
from tests.client.house import Guest, House


@dataclass
class Heard:
    """Sound of one member as it arrives at another."""

    arrived: list[float] = field(default_factory=list)

    def take(self, frame: ReceivedFrame) -> None:
        if frame.source == "audio":
            self.arrived.append(frame.arrived)

    def gap_ms(self, since: float) -> float:
        times = [since, *(each for each in self.arrived if each >= since), time.monotonic()]
        return 1000 * max((b - a for a, b in itertools.pairwise(times)), default=0.0)


@dataclass
class Scene:
    """What the steps share."""

    where: House
    guests: list[Guest]
    heard: list[Heard]
    rows: Rows
    quick: bool
    folder: Path

    def opened(self, guest: Guest, other: Guest) -> int:
        return guest.tile(other, "audio").opened

    async def lost(self, during: Awaitable[object]) -> tuple[int, int, float]:
        """Frames of sound that one missed of the other, of how many, and the longest gap in ms."""
        alice, bob = self.guests
        since = time.monotonic()
        before = [self.opened(alice, bob), self.opened(bob, alice)]
        await during
        spent = time.monotonic() - since
        after = [self.opened(alice, bob), self.opened(bob, alice)]
        got = sum(after) - sum(before)
        due = round(2 * 50 * spent)
        gap = max(each.gap_ms(since) for each in self.heard)
        return max(0, due - got - 4), due, gap  # two of each are on the way, or waited at the beginning
