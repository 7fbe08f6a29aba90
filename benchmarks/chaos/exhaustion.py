"""The real control runs out of descriptors, memory or disk: who calls is told so, who is inside hears on."""

import asyncio
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.chaos.scene import Scene
from client.errors import Trouble
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


SHORTAGES = {"file descriptors": _few_descriptors, "memory": _little_memory, "disk space": _full_disk}


async def exhausted(scene: Scene) -> None:
    """Each of them in turn: a call while it is short, and a call as soon as it is there again."""
    told, lost, due, recoveries = [], 0, 0, []
    for what, short in SHORTAGES.items():
        with short(scene):
            await scene.where.until_ready(False)
            missed, of, _ = await scene.lost(_refused(scene, what, told))
            lost, due = lost + missed, due + of
        began = time.monotonic()
        await scene.where.until_ready(True)
        guest = await asyncio.wait_for(scene.where.join("carol", None), 60)
        recoveries.append(time.monotonic() - began)
        await guest.conference.leave()
    note = f"of {len(SHORTAGES)} calls the real control refused, with the reason: {', '.join(told)}"
    scene.rows.add("exhausted_joins_told", len(told), "calls", note)
    scene.rows.add("exhausted_media_lost", lost, "frames", f"of {due} frames of sound meanwhile")
    note = f"until somebody is inside again, log-in included; all {[round(each, 1) for each in recoveries]}"
    scene.rows.add("exhausted_recovery_s", max(recoveries), "s", note)


async def _refused(scene: Scene, what: str, told: list[str]) -> None:
    try:
        guest = await asyncio.wait_for(scene.where.join("carol", None), 60)
    except Trouble as trouble:
        if trouble.code == names.BUSY and what in str(trouble):
            told.append(what)
        else:
            print(f"exhausted: {what}: {trouble.code} {trouble}")
    else:
        await guest.conference.leave()
