"""Looks every second how busy the workers are and what the machine has left. Decides nothing."""

import asyncio
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from control.metrics import DELAYS
from control.protocol.events import Event, SuppliesLeft, WorkerBusy
from control.protocol.overload import late_part
from fastpath_ext.counters import Counters

LOOK_S = 1.0
"""Between two looks. Higher: overload is met later. Lower: a burst looks like overload."""


LATE = ("delay_more",)
"""Counters of packets that left more than 50 ms after they came."""


def delayed(counts: Mapping[str, int]) -> int:
    """All packets whose way through a worker was measured."""
    return sum(counts[each] for each in DELAYS)


class Worker(Protocol):
    """What is needed of one; control.io.workers.WorkerLink."""

    @property
    def index(self) -> int: ...
    @property
    def counters(self) -> Counters: ...


class Measures:
    """Tells `handle` until it is closed."""

    def __init__(self, workers: Sequence[Worker], data_dir: Path, handle: Callable[[Event], None]) -> None:
        self._workers = workers
        self._data_dir = data_dir
        self._handle = handle
        self._before: dict[int, tuple[float, int, int, int]] = {}
        self.saturation: dict[int, float] = {}
        """By worker: its part of the last second at work, 0 to 1."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def close(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        for worker in self._workers:
            now, counts = time.monotonic(), worker.counters.values()
            busy_us, late, sent = counts["loop_busy_us"], sum(counts[each] for each in LATE), delayed(counts)
            before = self._before.get(worker.index)
            self._before[worker.index] = now, busy_us, late, sent
            if before is not None and now > before[0]:
                busy = min(max((busy_us - before[1]) / 1e6 / (now - before[0]), 0.0), 1.0)
                self.saturation[worker.index] = busy
                part = late_part(late - before[2], sent - before[3])
                self._handle(WorkerBusy(worker.index, busy, min(max(part, 0.0), 1.0)))
        self._handle(supplies(self._data_dir))


def supplies(data_dir: Path) -> SuppliesLeft:
    """Of this process; None where nothing bounds it or nothing is known of it."""
    return SuppliesLeft(_descriptors(), _memory(), _disk(data_dir))


def _descriptors() -> int | None:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return None
    try:
        return most - len(os.listdir("/proc/self/fd"))
    except OSError:  # not even one to look
        return 0


def _memory() -> int | None:
    """The least of what the machine, the process's control groups and its own limit leave."""
    left = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                left.append(int(line.split()[1]) * 1024)
        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            left.append(most - pages * resource.getpagesize())
        left.extend(_groups(Path("/proc/self/cgroup").read_text(), GROUPS))
    except (OSError, ValueError):  # other kernels, no descriptor to look with
        pass
    return min(left, default=None)


GROUPS = Path("/sys/fs/cgroup")


def _groups(own: str, mounted: Path) -> Iterator[int]:
    """Bytes left in each control group that holds the process and bounds its memory, shared memory included.

    `own` is /proc/self/cgroup. What the kernel keeps of files counts as used there, and is given back when
    somebody needs it: it is left.
    """
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            root, limit, current, of_files = mounted, "memory.max", "memory.current", ""
        elif "memory" in controllers.split(","):
            root, limit, current = mounted / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            of_files = "total_"
        else:
            continue
        own_group = root / path.lstrip("/")
        for group in (own_group, *own_group.parents):
            if not group.is_relative_to(root):
                break
            try:
                most, used = (group / limit).read_text().strip(), int((group / current).read_text())
                parts = dict(each.split() for each in (group / "memory.stat").read_text().splitlines())
            except OSError:  # the root has none; in some containers the path is another than what is seen
                continue
            if most != "max":
                kept = sum(int(parts.get(f"{of_files}{kind}_file", 0)) for kind in ("inactive", "active"))
                yield int(most) - used + kept


def _disk(data_dir: Path) -> int | None:
    try:
        found = os.statvfs(data_dir)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
