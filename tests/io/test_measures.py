"""What the machine has left, as control sees it."""

import asyncio
import gc
import itertools
import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from control.io import measures
from control.io.measures import Measures, supplies
from control.protocol import limits
from control.protocol.events import Event, SuppliesLeft, WorkerBusy
from fastpath_ext.counters import Counters
from fastpath_ext.table import Table
from tests.patience import PATIENCE_S


def test_descriptors_are_counted_and_exhaustion_is_none_left(tmp_path: Path) -> None:
    gc.collect()  # what tests before this one left open is not to be closed in the middle of it
    former = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 60, former[1]))
        before = supplies(tmp_path).descriptors
        assert before is not None
        assert 50 <= before <= 60
        for _ in range(30):
            opened.append(os.open("/dev/null", os.O_RDONLY))
        assert supplies(tmp_path).descriptors == before - 30
        while True:
            try:
                opened.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        assert supplies(tmp_path).descriptors == 0
    finally:
        for fd in opened:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, former)


def test_memory_and_disk_are_bytes(tmp_path: Path) -> None:
    left = supplies(tmp_path)
    assert left.memory_bytes is not None
    assert left.memory_bytes > limits.MEMORY_LEAST
    assert left.disk_bytes is not None
    assert supplies(tmp_path / "nowhere").disk_bytes is None


MIB = 1 << 20


@pytest.mark.parametrize(
    ("own", "files", "left"),
    [
        pytest.param("0::/a/b\n", {}, [], id="no limit anywhere"),
        pytest.param("0::/a/b\n", {"a/b/memory": ("max", 5, 1)}, [], id="one that has none"),
        pytest.param("0::/a/b\n", {"a/b/memory": (100, 70, 0)}, [30], id="its own"),
        pytest.param("0::/a/b\n", {"a/b/memory": (100, 100, 40)}, [40], id="files go when they must"),
        pytest.param(
            "0::/a/b\n", {"a/b/memory": ("max", 70, 0), "a/memory": (80, 75, 0)}, [5], id="that of a parent"
        ),
        pytest.param("0::/\n", {"memory": (100, 90, 0)}, [10], id="the root, in a container"),
        pytest.param("0::/of/the/host\n", {"memory": (100, 90, 0)}, [10], id="a path that is not seen here"),
        pytest.param(
            "8:pids:/a\n4:cpu,memory:/a\n0::/\n", {"memory/a/memory": (100, 90, 6)}, [16], id="version 1"
        ),
    ],
)
def test_memory_of_control_groups(tmp_path: Path, own: str, files, left: list[int]) -> None:
    """In MiB: the limit, what is used, and what of that is the kernel's copy of files."""
    for name, (most, used, kept) in files.items():
        group = tmp_path / Path(name).parent
        group.mkdir(parents=True, exist_ok=True)
        first = "memory" in own
        most = most if most == "max" else str(most * MIB)
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(f"{most}\n")
        (group / ("memory.usage_in_bytes" if first else "memory.current")).write_text(f"{used * MIB}\n")
        head = "total_" if first else ""
        half = kept * MIB // 2
        stat = f"cache {used * MIB}\n{head}inactive_file {half}\n{head}active_file {half}\n"
        (group / "memory.stat").write_text(stat)
    assert [each / MIB for each in measures._groups(own, tmp_path)] == left


async def test_a_worker_that_works_half_of_its_time(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(measures, "LOOK_S", 0.01)
    clock = itertools.count()
    monkeypatch.setattr(measures, "time", SimpleNamespace(monotonic=lambda: next(clock) * 0.05))
    table = Table.create(1, 1, 1)

    class Link:
        index = 3
        counters = Counters(table.fds[1])

    busy = 0

    class Working(Counters):
        def values(self) -> dict[str, int]:
            nonlocal busy
            busy += 25_000
            return {**super().values(), "loop_busy_us": busy, "delay_1ms": busy, "delay_more": busy}

    Link.counters = Working(table.fds[1])
    told: asyncio.Queue[Event] = asyncio.Queue()
    looking = Measures([Link], tmp_path, told.put_nowait)
    found = [await asyncio.wait_for(told.get(), PATIENCE_S) for _ in range(6)]
    looking.close()
    loads = [event for event in found if isinstance(event, WorkerBusy)]
    assert loads
    assert all(event.worker == 3 and event.busy == pytest.approx(0.5) for event in loads)
    assert all(event.late == 0.5 for event in loads)
    assert any(isinstance(event, SuppliesLeft) for event in found)
