"""`make chaos` and `make chaos-quick`: faults and attacks on real processes while media flows.

Everything happens in a network namespace of its own. Needs root.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.chaos import attacks, faults, joins, matrix
from benchmarks.chaos.participants import Participants
from benchmarks.chaos.rows import Rows
from benchmarks.chaos.run import Run
from benchmarks.chaos.server import ROOT, ChaosServer

INSIDE = "SOTTO_CHAOS_INSIDE"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--only", default="", help="names of steps, with commas between them")
    arguments.add_argument("--skip", default="", help="names of steps that are left out")
    arguments.add_argument("--rate", type=float, help="packets a second of each of two senders")
    arguments.add_argument(
        "--kills", type=int, default=1000, help="of workers in many_kills (not when quick)"
    )
    chosen = arguments.parse_args()
    every = {step.__name__ for step in (*UNDER_LOAD, *joins.STEPS, *matrix.STEPS)}
    only, skip = ({name for name in each.split(",") if name} for each in (chosen.only, chosen.skip))
    if unknown := (only | skip) - every:
        arguments.error(f"no such step: {', '.join(sorted(unknown))}; there are {', '.join(sorted(every))}")
    if not os.environ.get(INSIDE):
        inside = ["unshare", "-nm", sys.executable, "-m", "benchmarks.chaos", *sys.argv[1:]]
        return subprocess.call(inside, env={**os.environ, INSIDE: "1"}, cwd=ROOT)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # Nothing of ours is there: with hardly any room in it everything works. (libfaketime needs two pages.)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/dev/shm"], check=True)
    rows = Rows()

    def wanted(name: str) -> bool:
        return name not in skip and (not only or name in only)

    if any(wanted(step.__name__) for step in UNDER_LOAD):
        _under_load(rows, chosen.quick, wanted, chosen.rate, chosen.kills)
    # Theirs is another server, and the machine is theirs alone.
    joins.run(rows, chosen.quick, wanted)
    matrix.run(rows, chosen.quick, wanted)
    return 0 if rows.finish(ROOT / "build") else 1


UNDER_LOAD = (*faults.STEPS, *attacks.STEPS)


def _under_load(
    rows: Rows, quick: bool, wanted: Callable[[str], bool], rate: float | None, kills: int
) -> None:
    """A server whose control is a stand-in, with twelve packets a millisecond through it, unless told."""
    with tempfile.TemporaryDirectory(prefix="sotto-chaos-", ignore_cleanup_errors=True) as folder:
        server = ChaosServer(Path(folder))
        people = None
        try:
            server.wait_for("^control ready", 60)
            server.until_guarded()
            # What the goal names; a tenth of it when quick: two cores carry server and participants.
            rate = rate or (1000.0 if quick else 10000.0)
            people = Participants(Path(folder), server.port, rate)
            run = Run(Path(folder), server, people, rows, quick, rate, many=kills)
            run.settle()
            for step in UNDER_LOAD:
                name = step.__name__
                if wanted(name):
                    began = time.monotonic()
                    try:
                        step(run)
                    except (AssertionError, OSError, TimeoutError, ValueError) as error:
                        rows.broke(name, error)
                        print("\n".join(["the server said:", *run.server.lines[-12:]]), file=sys.stderr)
                        run.calm()
                    print(f"  ({name}: {time.monotonic() - began:.1f} s)", flush=True)
            run.finish()
        finally:
            if people:
                people.close()
            run_server = run.server if "run" in locals() else server
            for one in {server, run_server}:
                one.close()


if __name__ == "__main__":
    sys.exit(main())
