"""The estimator in virtual time (test_bandwidth_simulation.c): its rows, and its curves drawn."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections import defaultdict
from pathlib import Path

from benchmarks.quality.plots import plot
from benchmarks.quality.rows import Row, of_simulation

SEEDS = "4"
"""Each takes a second. Higher: steadier means. The tests run twice as many."""


def simulate(root: Path, work: Path, out: Path) -> list[Row]:
    programs, traces = work / "ctest", work / "traces"
    traces.mkdir(parents=True, exist_ok=True)
    program = programs / "plain" / "test_bandwidth_simulation"
    make = [
        "make",
        "--no-print-directory",
        "--silent",
        "-C",
        str(root / "tests/fastpath/c"),
        f"OUT={programs}",
    ]
    built = subprocess.run(
        [*make, "ONLY=bandwidth_simulation", str(program)], capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        print(f"    the simulation does not build:\n{built.stderr[-1000:]}", flush=True)
        return []
    found = work / "simulation.json"
    env = {**os.environ, "SOTTO_ROWS": str(found), "SOTTO_TRACES": str(traces), "SOTTO_SEEDS": SEEDS}
    # Its exit status says whether goals were missed; the rows do, too.
    subprocess.run([str(program)], env=env, stdout=subprocess.DEVNULL, check=False)
    for trace in traces.glob("*.csv"):
        _draw(trace, out / f"sim_{trace.stem}.png")
    return of_simulation(json.loads(found.read_text()))


def _draw(trace: Path, picture: Path) -> None:
    """One picture of the first flow, with what all of them receive."""
    capacity, estimate, sent, delay = [], [], [], []
    received: dict[float, float] = defaultdict(float)
    with trace.open() as file:
        for line in csv.DictReader(file):
            at = float(line["seconds"])
            received[at] += float(line["received"])
            if line["flow"] == "0":
                capacity.append((at, float(line["capacity"])))
                estimate.append((at, float(line["target"])))
                sent.append((at, float(line["sent"])))
                delay.append((at, float(line["queue_ms"])))
    curves = {"received by all": list(received.items()), "estimate": estimate, "sent": sent}
    plot(picture, f"virtual time: {trace.stem}", capacity, curves, delay)
