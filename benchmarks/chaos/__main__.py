"""`make chaos` and `make chaos-quick`: faults and attacks on real processes while media flows.

Everything happens in a network namespace of its own. Needs root.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
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
    arguments.add_argument("--rate", type=float, help="packets a second of each of two senders")
    arguments.add_argument(
        "--kills", type=int, default=1000, help="of workers in many_kills (not when quick)"
    )
    chosen = arguments.parse_args()
    if not os.environ.get(INSIDE):
        inside = ["unshare", "-n", sys.executable, "-m", "benchmarks.chaos", *sys.argv[1:]]
        return subprocess.call(inside, env={**os.environ, INSIDE: "1"}, cwd=ROOT)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    rows = Rows()
    wanted = {name for name in chosen.only.split(",") if name}
    own = {step.__name__ for step in (*faults.STEPS, *attacks.STEPS)}
    if not wanted or wanted & own:
        _under_load(rows, chosen.quick, wanted, chosen.rate, chosen.kills)
    # Theirs is another server, and the machine is theirs alone.
    joins.run(rows, chosen.quick, wanted)
    matrix.run(rows, chosen.quick, wanted)
    return 0 if rows.finish(ROOT / "build") else 1


def _under_load(rows: Rows, quick: bool, wanted: set[str], rate: float | None, kills: int) -> None:
    """A server whose control is a stand-in, with twelve packets a millisecond through it, unless told."""
    with tempfile.TemporaryDirectory(prefix="sotto-chaos-") as folder:
        server = ChaosServer(Path(folder))
        people = None
        try:
            server.wait_for("^control ready", 60)
            server.until_guarded()
            # Half of what the goal names in the quick run, so that two cores carry server and participants.
            rate = rate or (1000.0 if quick else 10000.0)
            people = Participants(Path(folder), server.port, rate)
            run = Run(Path(folder), server, people, rows, quick, rate, many=kills)
            run.settle()
            for step in (*faults.STEPS, *attacks.STEPS):
                name = step.__name__
                if not wanted or name in wanted:
                    began = time.monotonic()
                    try:
                        step(run)
                    except (AssertionError, OSError, TimeoutError, ValueError) as error:
                        print(f"{name}: {type(error).__name__}: {str(error)[-2000:]}", file=sys.stderr)
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
