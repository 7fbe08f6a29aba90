"""The members of the conference: the program of stream.c, told what to do and asked what it saw."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.chaos.server import ROOT, conference

STREAM = ROOT / "build/chaos/stream"
SETTLE_S = 0.75
"""A packet is judged half a second after it was sent."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Since the last report."""

    sent: int
    received: int
    lost: int
    """Packets that some receiver did not get."""
    lost_all: int
    """Packets that none got."""
    repeats: int
    refused: int
    duplicates: int
    foreign: int
    misrouted: int
    gap_ms: float
    """The longest time in which some stream brought nothing."""
    p99_ms: float
    now_ns: int
    last_ns: list[int]
    checked_ns: list[int]
    flood_sent_bytes: int
    flood_got_bytes: int
    flood_got: int

    @classmethod
    def of(cls, told: dict[str, Any], sent_before: int) -> Self:
        values = {name: told[name] for name in cls.__slots__ if name in told}
        values |= {
            "gap_ms": told["gap_ns"] / 1e6,
            "p99_ms": told["p99_us"] / 1e3,
            "sent": told["sent"] - sent_before,
        }
        return cls(**values)


class Participants:
    def __init__(self, folder: Path, port: int, rate: float) -> None:
        path = folder / "plan"
        conference().write(path, [("127.0.0.1", port)], warm_s=0, measure_s=0)
        self._process = subprocess.Popen(
            [STREAM, path, str(rate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._sent = 0
        self.failures = 0
        self.repeats = 0
        self.misrouted = 0
        self.foreign = 0

    def tell(self, command: str, value: int = 0) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command} {value}\n")
        self._process.stdin.flush()

    def report(self, after_s: float = SETTLE_S) -> Seen:
        """Waits so long, then tells of the time since the last report."""
        time.sleep(after_s)
        self.tell("report")
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        seen = Seen.of(told, self._sent)
        self._sent = told["sent"]
        self.failures += seen.refused
        self.repeats += seen.repeats
        self.misrouted += seen.misrouted
        self.foreign += seen.foreign
        return seen

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
