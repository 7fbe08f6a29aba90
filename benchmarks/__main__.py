"""`python -m benchmarks [--quick] [--only NAME ...]`: what the server costs and how late packets come.

Needs root, for network namespaces of its own.
"""

import argparse
import os
import subprocess
import sys
import time

from benchmarks import joins, livekit, rtpengine, sections
from benchmarks.figures import Figures
from benchmarks.network import Network, NotAllowed
from benchmarks.plots import draw
from benchmarks.sections import Bench
from benchmarks.server import ROOT
from benchmarks.tables import tables

RESULTS = ROOT / "benchmarks/results"
SECTIONS = {
    "fanout": sections.fanout,
    "rooms": sections.rooms,
    "saturated": sections.saturated,
    "holding": sections.holding,
    "busy_polling": sections.busy_polling,
    "uneven": sections.uneven,
    "receivers": sections.receivers,
    "repairs": sections.repairs,
    "churn": sections.churn,
    "giant": sections.giant,
    "workers": sections.workers,
    "memory": sections.memory,
    "rtpengine": rtpengine.section,
    "livekit": livekit.section,
    "micro": sections.micro,
    "tables": lambda bench: tables(bench.figures),
    "joins": joins.section,
}
QUICK = ("fanout", "rooms", "micro")


def main() -> int:
    options = argparse.ArgumentParser(
        prog=os.environ.get("SOTTO_CALLED_AS", "python -m benchmarks"), description=__doc__
    )
    options.add_argument("--quick", action="store_true", help="the most telling figures, in under 90 s")
    options.add_argument(
        "--only", nargs="+", choices=SECTIONS, metavar="PART", help=f"of {', '.join(SECTIONS)}"
    )
    options.add_argument("--repeat", type=int, help="of what is compared; the median counts")
    options.add_argument(
        "--add", action="store_true", help="what build/bench.json has of other parts stays: a run in pieces"
    )
    options.add_argument("--results", action="store_true", help="keep the figures under benchmarks/results")
    given = options.parse_args()
    figures, begin = Figures(), time.monotonic()
    broken: list[str] = []
    if given.add:
        figures.keep(ROOT / "build/bench.json")
    try:
        with Network() as network:
            bench = Bench(
                network,
                figures,
                repeat=given.repeat or (1 if given.quick else 3),
                warm_s=2.0 if given.quick else 3.0,
                measure_s=1.5 if given.quick else 3.0,
                quick=given.quick,
                brief=given.quick and not given.only,
                say=lambda text: print(f"    {text}", flush=True),
            )
            for name in given.only or (QUICK if given.quick else SECTIONS):
                print(f"==> {name}", flush=True)
                try:
                    SECTIONS[name](bench)
                except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                    print(f"    {name} broke off: {error}", file=sys.stderr, flush=True)
                    broken.append(name)
    except NotAllowed as error:
        print(f"benchmarks need network namespaces of their own: {error}", file=sys.stderr)
        return 1 if os.geteuid() == 0 else 77
    figures.write(ROOT / "build", RESULTS if given.results else None, sys.argv[1:])
    pictures = draw(bench.curves, ROOT / "build/bench" if not given.results else RESULTS)
    print(figures.table())
    print(f"{time.monotonic() - begin:.0f} s; build/bench.json, {len(pictures)} pictures")
    if broken:
        print(f"broke off, so some of their figures are missing: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
