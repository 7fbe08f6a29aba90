"""Figures by name: value, unit, goal, which way is better. For build/bench.json and a results file."""

import json
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

GOALS: dict[str, tuple[str, float]] = {
    # issue: figures of one core, CPU time per packet sent, device segmenting
    "fanout_video_us": ("<=", 1.0),
    "fanout_video_over_limit": ("<=", 1.25),
    "fanout_paced_us": ("<=", 2.2),
    "meeting_20_us": ("<=", 1.5),
    "audio_room_us": ("<=", 1.8),
    "vs_naive": (">=", 3.0),
    "vs_rtpengine_srtp": (">=", 5.0),
    "vs_livekit": (">=", 10.0),
    "delay_p99_ms": ("<=", 1.0),
    "delay_p999_ms": ("<=", 3.0),
    "delay_p99_saturated_ms": ("<=", 6.0),
    "loss_below_saturation": ("<=", 0.0),
    "kb_per_participant": ("<=", 256.0),
    "joins_per_s": (">=", 200.0),
    "two_workers_scaling": (">=", 1.8),
    "receivers_flat_percent": ("<=", 15.0),
}


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    value: float | None
    """None = not measured; `note` says why."""
    unit: str
    better: str
    """`lower`, `higher`, or empty where it is only told."""
    note: str = ""

    @property
    def goal(self) -> str:
        sign, value = GOALS.get(self.name, ("", 0.0))
        return f"{sign} {value:g}" if sign else ""

    @property
    def met(self) -> bool | None:
        if self.value is None or self.name not in GOALS:
            return None
        sign, value = GOALS[self.name]
        return self.value <= value if sign == "<=" else self.value >= value


class Figures:
    """Gathers values; of several runs of one figure the median counts."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[list[float], str, str, str]] = {}
        self._absent: dict[str, tuple[str, str]] = {}
        self._kept: dict[str, Row] = {}

    def keep(self, file: Path) -> None:
        """What an earlier run wrote there, unless it is measured again."""
        for row in json.loads(file.read_text()) if file.exists() else []:
            if row["value"] is not None:
                self._kept[row["name"]] = Row(
                    row["name"], row["value"], row["unit"], row["better"], row["note"]
                )

    def add(self, name: str, value: float, unit: str, better: str = "lower", note: str = "") -> None:
        self._values.setdefault(name, ([], unit, better, note))[0].append(value)

    def absent(self, name: str, why: str, unit: str = "") -> None:
        self._absent[name] = (unit, why)

    def value(self, name: str) -> float | None:
        return statistics.median(self._values[name][0]) if name in self._values else None

    def rows(self) -> list[Row]:
        rows = [
            Row(name, statistics.median(values), unit, better, spread(values, note))
            for name, (values, unit, better, note) in self._values.items()
        ]
        rows = [row for name, row in self._kept.items() if name not in self._values] + rows
        absent = {**dict.fromkeys(GOALS, ("", "not measured in this run")), **self._absent}
        rows += [
            Row(n, None, unit, "", why)
            for n, (unit, why) in absent.items()
            if n not in self._values and n not in self._kept
        ]
        return rows

    def table(self) -> str:
        lines = [f"{'figure':38} {'value':>10} {'unit':10} {'goal':>10}  "]
        for row in self.rows():
            value = "-" if row.value is None else f"{row.value:.4g}"
            mark = {True: "met", False: "MISSED", None: ""}[row.met]
            lines.append(f"{row.name:38} {value:>10} {row.unit:10} {row.goal:>10}  {mark:7} {row.note}")
        return "\n".join(lines)

    def write(self, folder: Path, results: Path | None, flags: list[str]) -> None:
        rows = [
            {
                "name": r.name,
                "value": r.value,
                "unit": r.unit,
                "goal": r.goal,
                "better": r.better,
                "met": r.met,
                "note": r.note,
            }
            for r in self.rows()
        ]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench.json").write_text(json.dumps(rows, indent=1) + "\n")
        if results is not None:
            results.mkdir(parents=True, exist_ok=True)
            name = f"{time.strftime('%Y-%m-%d-%H%M')}-{commit()[:9]}.json"
            about = {"commit": commit(), "machine": machine(), "flags": flags, "rows": rows}
            (results / name).write_text(json.dumps(about, indent=1) + "\n")


def spread(values: list[float], note: str) -> str:
    if len(values) < 2:
        return note
    return f"{min(values):.4g} to {max(values):.4g} in {len(values)} runs" + (f"; {note}" if note else "")


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], check=False, capture_output=True, text=True)
    changed = subprocess.run(
        ["git", "status", "--porcelain", "-uno"], check=False, capture_output=True, text=True
    )
    return (done.stdout.strip() or "unknown") + (" with changes" if changed.stdout.strip() else "")


def machine() -> dict[str, str]:
    """Its class; no name of it."""
    info = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), ""
    )
    flags = next((line for line in info.splitlines() if line.startswith("flags")), "").split()
    return {
        "processor": model,
        "cores": str(info.count("processor\t")),
        "features": " ".join(f for f in ("aes", "vaes", "vpclmulqdq", "avx512f", "sha_ni") if f in flags),
        "virtual": str("hypervisor" in flags),
        "kernel": platform.release().split("-")[0],
        "load_before": Path("/proc/loadavg").read_text().split()[0],
    }
