"""The rows of build/chaos.json and the table of them."""

import itertools
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

GOALS: dict[str, tuple[str, float]] = {
    "worker_kill_lost_median": ("<=", 0),
    "worker_kill_lost_max": ("<=", 64),
    "worker_kill_gap_ms_p99": ("<=", 20),
    "worker_stop_gap_ms": ("", 0),
    "control_kill_lost": ("<=", 0),
    "control_absent_30min_lost": ("<=", 0),
    "upgrade_calls_dropped": ("<=", 0),
    "layout_upgrade_calls_dropped": ("<=", 0),
    "supervisor_kill_calls_dropped": ("<=", 0),
    "index_repeats": ("<=", 0),
    "roc_recovered": (">=", 100),
    "torn_tables": ("<=", 0),
    "spoofed_rss_mib": ("<=", 1),
    "hostile_peer_kib": ("<=", 256),
    "injected_forwarded": ("<=", 0),
    "bytes_to_attacker": ("<=", 0),
    "loss_under_badtag_flood": ("<=", 0.1),
    "reflection_ratio": ("<=", 1.0),
    "consent_stop_s": ("<=", 30),
    "consent_false_stops": ("<=", 0),
    "replayed_accepted": ("<=", 0),
    "slow_consumer_others_p99_ms": ("<=", 1),
    "own_decrypt_failures": ("<=", 0),
    "bitflip_misroutes": ("<=", 0),
    "clock_jump_gap_ms": ("<=", 0),
    "resource_exhaustion_gap_ms": ("<=", 0),
    "resource_exhaustion_lost": ("<=", 0),
    "exhausted_joins_told": (">=", 100),
    "exhausted_media_lost": ("<=", 0),
    "exhausted_recovery_s": ("<=", 10),
    "control_back_s": ("<=", 2),
    "resumed_all_s": ("<=", 10),
    "joins_under_clienthello_spray": (">=", 200),
    "canary_hits": ("<=", 0),
    "homeserver_down_media_change": ("<=", 0),
    "resync_s": ("<=", 10),
    "poison_other_rooms_delivered": (">=", 100),
    "malicious_homeserver_keys": ("<=", 0),
    "soak_rss_mib_per_h": ("<=", 1),
    "soak_descriptors_grown": ("<=", 0),
}


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    value: float | None
    """None = not measured; `note` says why."""
    unit: str
    goal: str
    better: str
    met: bool | None
    note: str


class Rows:
    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._broke: list[str] = []

    def broke(self, step: str, error: Exception) -> None:
        """It did not come to its end."""
        self._broke.append(step)
        print(f"{step}: {type(error).__name__}: {str(error)[-2000:]}", file=sys.stderr)

    def add(self, name: str, value: float, unit: str, note: str = "") -> None:
        sign, goal = GOALS.get(name, ("", 0.0))
        met = None if not sign else (value <= goal if sign == "<=" else value >= goal)
        better = "higher" if sign == ">=" else "lower"
        self._rows[name] = Row(
            name, round(value, 4), unit, f"{sign} {goal:g}" if sign else "", better, met, note
        )
        print(line(self._rows[name]), flush=True)

    def absent(self, name: str, why: str) -> None:
        self._rows[name] = Row(name, None, "", "", "", None, why)

    def finish(self, folder: Path) -> bool:
        """Writes chaos.json, prints what is missing; whether all steps ended and all goals were met."""
        for name in GOALS:
            if name not in self._rows:
                self.absent(name, "not measured in this run")
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(row) for row in self._rows.values()], indent=1)
        (folder / "chaos.json").write_text(text + "\n")
        print("\n" + "\n".join(map(line, self._rows.values())))
        if self._broke:
            print(f"\nSteps that broke off: {', '.join(self._broke)}")
        return not self._broke and all(row.met is not False for row in self._rows.values())


CHANCE = 0.05
"""A difference that chance alone makes more often than this is none. Higher: the machine's moods are taken
for the server's. Lower: small effects are not seen."""


def more(with_it: Sequence[float], without: Sequence[float]) -> tuple[float, str]:
    """How much larger the median is with it than without, and what that rests on.

    0 where a split of the same figures by lot shows as much in more than CHANCE of all splits.
    """
    seen = statistics.median(with_it) - statistics.median(without)
    every = [*with_it, *without]
    as_much = total = 0
    for chosen in itertools.combinations(range(len(every)), len(with_it)):
        inside = set(chosen)
        other = [each for index, each in enumerate(every) if index not in inside]
        total += 1
        as_much += statistics.median([every[i] for i in chosen]) - statistics.median(other) >= seen
    by_lot = as_much / total
    note = f"{sorted(with_it)} with it, {sorted(without)} without: medians differ by {seen:.2f},"
    note += f" by lot as much in {100 * by_lot:.0f} % of all splits"
    return (seen if seen > 0 and by_lot <= CHANCE else 0.0), note


def line(row: Row) -> str:
    value = "-" if row.value is None else f"{row.value:.6g}"
    mark = {True: "met", False: "MISSED", None: ""}[row.met]
    return f"{row.name:32} {value:>10} {row.unit:9} {row.goal:>8}  {mark:7} {row.note}"
