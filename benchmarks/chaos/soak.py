"""Does anything grow while people come and go? Memory and descriptors of the server's processes, by time."""

import asyncio
import json
import os
import time
from pathlib import Path
from statistics import median

from benchmarks.chaos.scene import Scene
from client.errors import Trouble
from control.demo.memory import descendants

SOAK_S = float(os.environ.get("SOAK_S", "1500"))
"""Of the full run."""
WARM_UP_S = 480.0
"""Not counted: devices that were logged out are remembered for four minutes (control.io.matrix_forgetting),
the ring of packets fills its first piece (HISTORY_LAP_BYTES), Python's arenas find their size."""
WARM_UP_JOINS = 250
"""Nor are these: encrypted events are remembered up to a number (MESSAGES_KNOWN). The book of calls, which is
filled up to a thousand, is counted."""
PAUSE_S = 1.0
"""Between somebody's leaving and the next one's coming. Shorter: more joins. Longer: the machine is free for
others."""
ROLES = {b"serve": "supervisor", b"worker": "workers", b"control": "control"}

Series = dict[str, list[tuple[float, float]]]


async def soak(scene: Scene) -> None:
    """One comes and goes all the time, each time with a new device; the slope after the warm-up."""
    if scene.quick:
        scene.rows.absent(
            "soak_rss_mib_per_h", f"not measured in the quick run: it takes {SOAK_S / 60:.0f} minutes"
        )
        return
    server = scene.where.demo.server
    assert server is not None
    memory: Series = {}
    descriptors: dict[str, list[tuple[float, float]]] = {}
    troubles: list[str] = []
    began, rounds, warm = time.monotonic(), 0, 0.0
    while (now := time.monotonic() - began) < SOAK_S:
        try:
            guest = await asyncio.wait_for(scene.where.join("carol", None), 60)
            await guest.conference.leave()
            rounds += 1
            warm = now if rounds == WARM_UP_JOINS else warm
        except Trouble as trouble:  # of the room's post: the server has no part in it
            troubles.append(trouble.code)
        for role, (rss_kib, fds) in measured(server.pid).items():
            memory.setdefault(role, []).append((now, rss_kib / 1024))
            descriptors.setdefault(role, []).append((now, fds))
        await asyncio.sleep(PAUSE_S)
    warm = max(warm, WARM_UP_S)
    (scene.folder / "soak.json").write_text(json.dumps({"mib": memory, "descriptors": descriptors}))
    slopes = {role: 3600 * slope(after(each, warm)) for role, each in memory.items()}
    total = [(t, sum(each[i][1] for each in memory.values())) for i, (t, _) in enumerate(memory["control"])]
    per_hour = 3600 * slope(after(total, warm))
    ends = {role: (after(each, warm)[0][1], each[-1][1]) for role, each in memory.items()}
    # Of some moments each: connections to the homeserver come and go.
    fds = {
        role: (median(n for _, n in after(each, warm)[:9]), median(n for _, n in each[-9:]))
        for role, each in descriptors.items()
    }
    note = f"{rounds} joins in {SOAK_S:.0f} s, {warm:.0f} of them warm-up; all processes together,"
    note += f" in 24 h {24 * per_hour:.0f} MiB; MiB/h {_said(slopes)}; MiB from and to {_ends(ends)};"
    note += f" descriptors {_ends(fds)}"
    if troubles:
        note += f"; {len(troubles)} joins did not come to be ({', '.join(sorted(set(troubles)))})"
    scene.rows.add("soak_rss_mib_per_h", max(0.0, per_hour), "MiB/h", note)
    scene.rows.add("soak_descriptors_grown", sum(b - a for a, b in fds.values()), "descriptors")


def measured(supervisor: int) -> dict[str, tuple[int, int]]:
    """Resident KiB and open descriptors by role, standbys beside those that they stand by for."""
    found: dict[str, tuple[int, int]] = {}
    for pid in descendants(supervisor):
        role = ROLES.get(_role_of(pid))
        if role is None:
            continue
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        rss = int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Rss:")))
        before = found.get(role, (0, 0))
        found[role] = before[0] + rss, before[1] + len(os.listdir(f"/proc/{pid}/fd"))
    return found


def _role_of(pid: int) -> bytes:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return words[words.index(b"control") + 1] if b"control" in words[:-1] else b""


def after(points: list[tuple[float, float]], since: float) -> list[tuple[float, float]]:
    return [point for point in points if point[0] >= since] or points


def slope(points: list[tuple[float, float]]) -> float:
    """Least squares, of y by x."""
    if len(points) < 2:
        return 0.0
    x0 = sum(x for x, _ in points) / len(points)
    y0 = sum(y for _, y in points) / len(points)
    spread = sum((x - x0) ** 2 for x, _ in points)
    return sum((x - x0) * (y - y0) for x, y in points) / spread if spread else 0.0


def _said(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items())


def _ends(values: dict[str, tuple[float, float]]) -> str:
    return ", ".join(f"{name} {first:.4g} -> {last:.4g}" for name, (first, last) in values.items())
