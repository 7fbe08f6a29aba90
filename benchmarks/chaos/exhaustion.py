"""Descriptors, memory, disk or shared memory run out: who calls is told so, who is inside hears on."""

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from benchmarks.chaos.scene import Scene
from client.errors import Trouble
from control.demo.memory import descendants
from control.protocol import limits, names

DISK_MIB = 256
"""Of the data folder's own file system."""


@contextmanager
def own_disk(folder: Path) -> Iterator[None]:
    """The server's data folder on a file system that can be filled without harm."""
    data = folder / "data"
    data.mkdir(parents=True, mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", data], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", data], check=False)


@contextmanager
def _few_descriptors(scene: Scene) -> Iterator[None]:
    pid = scene.where.control
    used = len(os.listdir(f"/proc/{pid}/fd"))
    with _limited(pid, resource.RLIMIT_NOFILE, used + limits.DESCRIPTORS_LEAST // 2):
        yield


@contextmanager
def _little_memory(scene: Scene) -> Iterator[None]:
    pid = scene.where.control
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    with _limited(pid, resource.RLIMIT_AS, used + limits.MEMORY_LEAST // 2):
        yield


@contextmanager
def _limited(pid: int, what: int, soft: int) -> Iterator[None]:
    former = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, former[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, former)


@contextmanager
def _full_disk(scene: Scene) -> Iterator[None]:
    data = scene.where.demo.folder / "data"
    left = os.statvfs(data)
    filler = data / "filler"
    fd = os.open(filler, os.O_CREAT | os.O_WRONLY, 0o600)
    os.posix_fallocate(fd, 0, left.f_bavail * left.f_frsize - limits.DISK_LEAST // 2)
    os.close(fd)
    try:
        yield
    finally:
        filler.unlink()


GROUP_BYTES = 512 << 20
"""Of the control group. Lower: the server alone may need it. Higher: more of the machine is taken."""
HOLD = """
import os, sys
fd = os.memfd_create("filler")
os.posix_fallocate(fd, 0, int(sys.argv[1]))
print("full", flush=True)
sys.stdin.read()
"""


class NoGroups(Exception):
    """This machine has no control groups for memory, or none of ours."""


@contextmanager
def _little_shared_memory(scene: Scene) -> Iterator[None]:
    """All processes of the server in a control group that somebody's shared memory fills: the kernel has none
    to give for a segment, a journal or anything else."""
    group = _memory_group()
    filler = None
    try:
        server = scene.where.demo.server
        assert server is not None
        for pid in descendants(server.pid):
            _move(pid, group)
        used = int((group / "memory.usage_in_bytes").read_text())
        command = [sys.executable, "-c", HOLD, str(GROUP_BYTES - used - limits.MEMORY_LEAST // 2)]
        filler = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            preexec_fn=lambda: _move(os.getpid(), group),
        )  # fmt: skip
        assert filler.stdout is not None
        assert filler.stdout.readline(), "shared memory cannot be filled"
        yield
    finally:
        if filler is not None:
            filler.communicate()
        while inside := (group / "cgroup.procs").read_text().split():
            for pid in inside:
                _move(int(pid), group.parent)
        group.rmdir()


def _move(pid: int, group: Path) -> None:
    with suppress(ProcessLookupError):  # it has ended
        (group / "cgroup.procs").write_text(str(pid))


def _memory_group() -> Path:
    """A new one below our own, of the first version; NoGroups."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            group = Path("/sys/fs/cgroup/memory", path.lstrip("/"), f"sotto-chaos-{os.getpid()}")
            try:
                group.mkdir()
                (group / "memory.limit_in_bytes").write_text(str(GROUP_BYTES))
            except OSError:
                break
            return group
    raise NoGroups


Shortage = Callable[[Scene], AbstractContextManager[None]]
SHORTAGES: dict[str, tuple[str, Shortage]] = {
    "file descriptors": ("file descriptors", _few_descriptors),
    "memory": ("memory", _little_memory),
    "disk space": ("disk space", _full_disk),
    "shared memory": ("memory", _little_shared_memory),
}
"""By what is short: what the refusal has to name, and how it is made so."""


async def exhausted(scene: Scene) -> None:
    """Each of them in turn: a call while it is short, and a call as soon as it is there again."""
    told: list[str] = []
    lost, due, recoveries, tried = 0, 0, [], 0
    for what, (word, short) in SHORTAGES.items():
        if scene.quick and what == "shared memory":
            continue
        try:
            with short(scene):
                await scene.where.until_ready(False)
                missed, of, _ = await scene.lost(_refused(scene, what, word, told))
                lost, due = lost + missed, due + of
        except NoGroups:
            continue
        tried += 1
        began = time.monotonic()
        await scene.where.until_ready(True)
        guest = await asyncio.wait_for(scene.where.join("carol", None), 60)
        recoveries.append(time.monotonic() - began)
        await guest.conference.leave()
    note = f"of {tried} calls the real control refused, with the reason: {', '.join(told)}"
    scene.rows.add("exhausted_joins_told", 100 * len(told) / tried, "percent", note)
    scene.rows.add("exhausted_media_lost", lost, "frames", f"of {due} frames of sound meanwhile")
    note = f"until somebody is inside again, log-in included; all {[round(each, 1) for each in recoveries]}"
    scene.rows.add("exhausted_recovery_s", max(recoveries), "s", note)


async def _refused(scene: Scene, what: str, word: str, told: list[str]) -> None:
    try:
        guest = await asyncio.wait_for(scene.where.join("carol", None), 60)
    except Trouble as trouble:
        if trouble.code == names.BUSY and f"little {word} left" in str(trouble):
            told.append(what)
        else:
            print(f"exhausted: {what}: {trouble.code} {trouble}")
    else:
        await guest.conference.leave()
