"""`make quality`: plays the scenarios, prints a table, writes build/quality.json and pictures."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.quality import bottleneck, clicks, losses, storms, synthetic
from benchmarks.quality.camera import camera
from benchmarks.quality.rows import Row, failed, merged, table
from benchmarks.quality.simulated import simulate
from benchmarks.quality.stage import Stage, stage

ROOT = Path(__file__).resolve().parents[2]


class Scenario(NamedTuple):
    name: str
    rows: tuple[str, ...]
    play: Callable[[Stage], Awaitable[list[Row]]]
    seconds: float
    """At most."""
    quick: bool = False
    """In quality-quick too."""


SCENARIOS = (
    Scenario("pli_storm", ("pli_per_s_to_source",), storms.pli_storm, 60, quick=True),
    Scenario("nack_storm", ("nack_storm_other_loss",), storms.nack_storm, 60, quick=True),
    Scenario("lip_sync", ("lip_sync_ms",), synthetic.lip_sync, 60, quick=True),
    Scenario("temporal_drop", ("temporal_drop_gap",), synthetic.temporal_drop, 90, quick=True),
    Scenario("speaker", ("speaker_event_ms",), synthetic.speaker, 90, quick=True),
    Scenario("slot_change", ("slot_change_freeze_ms",), losses.slot_change, 90),
    Scenario("focus_switch", ("focus_switch_ms",), clicks.focus_switch, 180),
    Scenario("focus_switch_plain", (), clicks.focus_switch_plain, 120),
    Scenario("loss_5", ("residual_loss_5", "audio_concealed_5"), losses.loss_5, 90),
    Scenario("loss_10", ("residual_loss_10", "audio_concealed_10"), losses.loss_10, 90),
    Scenario(
        "drop_recover",
        (
            "downswitch_s",
            "longest_freeze_ms",
            "recover_s",
            "other_viewers_freeze_ms",
            "unviewed_fullres_stop_s",
        ),
        bottleneck.drop_and_recover,
        120,
    ),
    Scenario(
        "steady_1",
        ("utilisation_1", "queue_delay_p95_ms_1", "clamp_accuracy"),
        bottleneck.steady_1,
        90,
    ),
    Scenario("steady_2.5", ("utilisation_2.5", "queue_delay_p95_ms_2.5"), bottleneck.steady_2_5, 90),
    Scenario("fairness", ("fairness",), bottleneck.fairness, 90),
)


async def play(scenario: Scenario, work: Path, out: Path, video: Path) -> list[Row]:
    """Never raises: what went wrong stands in the rows."""
    try:
        async with asyncio.timeout(scenario.seconds), stage(work / scenario.name, out, video) as made:
            rows = list(await scenario.play(made))
            if not made.server.alive():
                return failed(scenario.rows, "the worker died")
            if errors := made.server.internal_errors():
                print(f"    {errors} internal errors in control", flush=True)
            return rows
    except (Exception, asyncio.CancelledError) as error:
        (work / scenario.name).mkdir(parents=True, exist_ok=True)
        (work / scenario.name / "failure.txt").write_text(traceback.format_exc())
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return failed(scenario.rows, f"the scenario broke: {type(error).__name__}: {reason}"[:300])


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    options.add_argument("--only", nargs="*", help="names of scenarios, or 'simulation'")
    options.add_argument("--quick", action="store_true", help="without browsers")
    options.add_argument("--out", type=Path, default=ROOT / "build")
    chosen = options.parse_args(arguments)
    out, work = chosen.out / "quality", chosen.out / "quality" / "work"
    work.mkdir(parents=True, exist_ok=True)
    result = chosen.out / "quality.json"
    names = chosen.only or [one.name for one in SCENARIOS if one.quick or not chosen.quick] + ["simulation"]
    unknown = set(names) - {one.name for one in SCENARIOS} - {"simulation"}
    if unknown:
        options.error(f"no such scenario: {', '.join(sorted(unknown))}")
    with contextlib.suppress(OSError):
        # What else runs on this machine is no part of the network: browsers and the server inherit it.
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    video = camera(work)
    begun = time.monotonic()
    rounds: list[list[Row]] = []
    for scenario in SCENARIOS:
        if scenario.name in names:
            print(f"==> {scenario.name}", flush=True)
            since = time.monotonic()
            rounds.append(asyncio.run(play(scenario, work, out, video)))
            print(table(rounds[-1]), flush=True)
            print(f"    done in {time.monotonic() - since:.0f} s", flush=True)
    if "simulation" in names:
        print("==> simulation", flush=True)
        rounds.append(simulate(ROOT, work, out))
    rows = merged(rounds)
    result.write_text(json.dumps([one.to_json() for one in rows], indent=1) + "\n")
    missed = [one for one in rows if not one.ok]
    print(f"\n{table(rows)}\n")
    print(f"{len(rows)} rows, {len(missed)} missed, {time.monotonic() - begun:.0f} s; {result}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
