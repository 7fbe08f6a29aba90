"""Does anything grow while people come and go? Memory and descriptors of the server's processes, by time.

    python -m benchmarks.chaos.soak build/soak.json

says what a run that was stopped has seen.
"""

import asyncio
import json
import os
import re
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.chaos.rows import Rows
from benchmarks.chaos.scene import Scene
from client.errors import Trouble
from control.demo.memory import descendants
from control.protocol import limits

SOAK_S = float(os.environ.get("SOAK_S", "2880"))
"""Of the full run."""
WARM_UP_S = 480.0
"""Not counted: devices that were logged out are remembered for four minutes (control.io.matrix_forgetting),
the ring of packets fills its first piece (HISTORY_LAP_BYTES), Python's arenas find their size."""
WARM_UP_JOINS = 1000
"""Nor are these: what is remembered up to a number has to be full. The book of calls has a thousand
(callbook.KEPT), encrypted events as many (MESSAGES_KNOWN), of which a call has about five."""
VISITORS = "carol", "dave", "erin", "frank"
"""They come and go side by side: a slope of 1 MiB an hour is found sooner the more joins are in an hour, and
one person may not call more often than the server allows one."""
EACH_S = 1.25 / limits.INVITES_PER_SECOND
"""From somebody's coming to the same one's coming again, at least. Shorter: calls are refused as too many."""
LOOK_S = 5.0
"""Between two looks at the processes. Shorter: more of the machine goes into looking."""
ROLES = {b"serve": "supervisor", b"worker": "workers", b"control": "control"}
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ (\d+) *(.*)")


@dataclass(frozen=True, slots=True)
class Look:
    """At all processes of the server, standbys beside those that they stand by for."""

    at: float
    joins: int
    mib: dict[str, dict[str, float]]
    """Resident, by role and by what it is: heap, anonymous (Python's arenas, stacks), shared, files."""
    descriptors: dict[str, int]

    def of(self, role: str) -> float:
        return sum(self.mib[role].values())

    @property
    def total(self) -> float:
        return sum(self.of(role) for role in self.mib)


async def soak(scene: Scene) -> None:
    """Four come and go all the time, each time with a new device; the slope after the warm-up."""
    if scene.quick:
        scene.rows.absent(
            "soak_rss_mib_per_h", f"not measured in the quick run: it takes {SOAK_S / 60:.0f} minutes"
        )
        return
    server = scene.where.demo.server
    assert server is not None
    looks: list[Look] = []
    troubles: list[str] = []
    joins = 0
    began = time.monotonic()

    async def visits(name: str) -> None:
        nonlocal joins
        while True:
            came = time.monotonic()
            try:
                guest = await asyncio.wait_for(scene.where.join(name, None), 60)
                await guest.conference.leave()
                joins += 1
            except Trouble as trouble:  # of the room's post: the server has no part in it
                troubles.append(trouble.code)
            await asyncio.sleep(EACH_S - (time.monotonic() - came))

    async def looking() -> None:
        while time.monotonic() - began < SOAK_S:
            with suppress(FileNotFoundError, ProcessLookupError):  # one ended meanwhile; the next look counts
                looks.append(look(server.pid, time.monotonic() - began, joins))
                written(scene.folder / "soak.json", looks, troubles)
            await asyncio.sleep(LOOK_S)

    every = [asyncio.create_task(each) for each in (looking(), *map(visits, VISITORS))]
    try:
        # Visits have no end: one that is over has failed.
        done, _ = await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        for each in every:
            each.cancel()
        await asyncio.gather(*every, return_exceptions=True)
    add_rows(scene.rows, looks, troubles)


def add_rows(rows: Rows, looks: list[Look], troubles: list[str]) -> None:
    last = looks[-1]
    counted = [each for each in looks if each.at >= WARM_UP_S and each.joins >= WARM_UP_JOINS]
    if len(counted) < 2:
        why = f"its warm-up was not over after {last.joins} joins in {last.at:.0f} s"
        rows.absent("soak_rss_mib_per_h", why)
        return
    first = counted[0]
    slopes = {role: 3600 * slope([(each.at, each.of(role)) for each in counted]) for role in last.mib}
    per_hour = 3600 * slope([(each.at, each.total) for each in counted])
    note = f"{last.joins} joins in {last.at:.0f} s; fitted over {last.joins - first.joins} of them in"
    note += f" {last.at - first.at:.0f} s, all processes together; MiB/h {_said(slopes)};"
    note += f" MiB {_ends({role: (first.of(role), last.of(role)) for role in last.mib})};"
    warmed = {role: (looks[0].of(role), first.of(role)) for role in last.mib}
    note += f" left out as warm-up: {first.joins} joins in {first.at:.0f} s, MiB {_ends(warmed)}"
    if troubles:
        note += f"; {len(troubles)} joins did not come to be ({', '.join(sorted(set(troubles)))})"
    rows.add("soak_rss_mib_per_h", max(0.0, per_hour), "MiB/h", note)
    # What tells a leak from noise: it is as large when joins are quicker.
    per_join = 1024 * slope([(float(each.joins), each.total) for each in counted])
    kinds = {
        f"{role}'s {kind}": (first.mib[role].get(kind, 0.0), last.mib[role][kind])
        for role in last.mib
        for kind in last.mib[role]
        if round(first.mib[role].get(kind, 0.0), 2) != round(last.mib[role][kind], 2)
    }
    rows.add("soak_kib_per_join", per_join, "KiB", f"MiB {_ends(kinds)}; the rest stayed as it was")
    # Of some moments each: connections to the homeserver come and go.
    fds = {
        role: (
            median(each.descriptors[role] for each in counted[:9]),
            median(each.descriptors[role] for each in counted[-9:]),
        )
        for role in last.descriptors
    }
    grown = sum(b - a for a, b in fds.values())
    rows.add("soak_descriptors_grown", grown, "descriptors", _ends(fds))


def look(supervisor: int, at: float, joins: int) -> Look:
    mib: dict[str, dict[str, float]] = {}
    descriptors: dict[str, int] = {}
    for pid in descendants(supervisor):
        role = ROLES.get(_role_of(pid))
        if role is None:
            continue
        kinds, kind = mib.setdefault(role, {}), ""
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            if mapping := _MAPPING.match(line):
                kind = _kind(mapping[1], mapping[2])
            elif line.startswith("Rss:"):
                kinds[kind] = kinds.get(kind, 0.0) + int(line.split()[1]) / 1024
        descriptors[role] = descriptors.get(role, 0) + len(os.listdir(f"/proc/{pid}/fd"))
    return Look(at, joins, mib, descriptors)


def _kind(inode: str, name: str) -> str:
    if name == "[heap]":
        return "heap"
    if name.startswith("/memfd:"):
        return "shared"
    return "anonymous" if inode == "0" else "files"


def _role_of(pid: int) -> bytes:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return words[words.index(b"control") + 1] if b"control" in words[:-1] else b""


def written(file: Path, looks: list[Look], troubles: list[str]) -> None:
    """At each look: a run that is stopped has seen something."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"looks": [asdict(each) for each in looks], "troubles": troubles}))
    new.replace(file)


def slope(points: list[tuple[float, float]]) -> float:
    """Least squares, of y by x."""
    x0 = sum(x for x, _ in points) / len(points)
    y0 = sum(y for _, y in points) / len(points)
    spread = sum((x - x0) ** 2 for x, _ in points)
    return sum((x - x0) * (y - y0) for x, y in points) / spread if spread else 0.0


def _said(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items())


def _ends(values: dict[str, tuple[float, float]]) -> str:
    return ", ".join(f"{name} {first:.2f} -> {last:.2f}" for name, (first, last) in values.items())


if __name__ == "__main__":
    seen = json.loads(Path(sys.argv[1]).read_text())
    add_rows(Rows(), [Look(**each) for each in seen["looks"]], seen["troubles"])
