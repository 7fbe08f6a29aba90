"""What all steps of a run share."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos.participants import Participants, Seen
from benchmarks.chaos.rows import Rows
from benchmarks.chaos.server import ChaosServer

GONE = 5
"""The member that stops checking at the beginning."""


@dataclass
class Run:
    folder: Path
    server: ChaosServer
    people: Participants
    rows: Rows
    quick: bool
    rate: float
    """Packets a second of each of two senders."""
    load: float = 0.0
    """Share of its core that the worker needs when nothing happens."""
    baseline: Seen | None = None
    gone_at_ns: int = 0
    kills: int = 0
    """Of workers."""
    many: int = 1000
    """Kills by the end of many_kills."""
    former: list[ChaosServer] = field(default_factory=list)

    def settle(self) -> None:
        """Media flows, and what it is like when nothing happens is known."""
        deadline = time.monotonic() + 20
        while (seen := self.people.report(1.0)).received == 0:
            if time.monotonic() > deadline:
                raise TimeoutError("no media arrives: " + "\n".join(self.server.lines[-8:]))
        for _ in range(5):
            self.people.report(1.0)
        gaps, lost, sent = [], 0, 0
        began, busy = time.monotonic(), self.cpu_s(self.server.worker)
        for _ in range(4):
            seen = self.people.report(1.0)
            gaps.append(seen.gap_ms)
            lost += seen.lost
            sent += seen.sent
        if lost * 100 > sent:
            raise RuntimeError(f"{lost} of {sent} packets are lost though nothing happens")
        self.load = (self.cpu_s(self.server.worker) - busy) / (time.monotonic() - began)
        self.baseline = seen
        self.baseline_gap_ms = sorted(gaps)[len(gaps) // 2]
        self.rows.add(
            "baseline_gap_ms", self.baseline_gap_ms, "ms", f"the longest in a second; worst {max(gaps):.1f}"
        )
        self.rows.add("baseline_lost", lost, "packets", f"of {sent}, nothing happened")
        self.people.tell("gone", GONE)
        self.gone_at_ns = time.monotonic_ns()

    def calm(self) -> None:
        """Whatever a step was doing when it failed."""
        for command in ("pause", "mangle", "bad", "replay"):
            self.people.tell(command, 0)
        self.people.tell("deaf", -1)
        self.people.tell("rate", int(self.rate))

    def quiet(self, after_s: float = 0.75) -> Seen:
        return self.people.report(after_s)

    def cpu_s(self, pid: int) -> float:
        """Processor time of a process's first thread so far."""
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9

    def rss_kib(self, pid: int) -> int:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Rss:")))

    def finish(self) -> None:
        """What all of the time showed."""
        rows, people = self.rows, self.people
        seen = people.report(0)
        stop_s = (seen.last_ns[GONE] - seen.checked_ns[GONE]) / 1e9
        if time.monotonic_ns() - self.gone_at_ns > 32e9:
            rows.add("consent_stop_s", stop_s, "s", "from sending the last check to getting the last packet")
        rows.add(
            "own_decrypt_failures", people.failures, "packets", "in the whole run, the mangled time included"
        )
        rows.add(
            "index_repeats",
            people.repeats,
            "packets",
            f"over {self.kills} kills of the worker (goal: 1000), by every receiver's replay window",
        )
        rows.add("injected_forwarded", people.foreign, "packets", "in the whole run")
