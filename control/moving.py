"""An upgrade to a build that cannot read the tables of the one that runs.

The new build begins with tables, workers and ports of its own, in the process of the former supervisor. The
former workers go on by themselves with what they have; the former control asks every member to bring a
second connection (docs/protocol.md 3.3) and ends; the new one knows conferences, members and tokens from its
notes (gathering.py). When all have come over, or AWAITED_TIMEOUT is over, the former workers end.

Here is the supervisor's part: what a former build left, which ports are free beside its, and its end. Of what
another build left only names are read that every build has: those in `Remains.read`.
"""

import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from control.config import MediaConfig
from control.io.sockets import BindError
from control.layout import layout
from control.processes import Process
from control.protocol.limits import AWAITED_TIMEOUT, RESUME_OVERLAP
from fastpath_ext.counters import Counters
from fastpath_ext.table import LayoutError

log = logging.getLogger(__name__)

LIMIT_S = AWAITED_TIMEOUT + 15.0
"""The former workers end then, whoever they still serve. Control gives up sooner those who did not come."""
LINGER_S = RESUME_OVERLAP + 5.0
"""So long do they go on once all have come over, for clients that close the former connection late."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What a former build left, as far as every build understands it."""

    pids: tuple[int, ...]
    fds: tuple[int, ...]
    notes: tuple[int, ...]
    """Those of `fds` that are control's notes."""
    ports: frozenset[int]

    @classmethod
    def read(cls, workers: Iterable[Mapping[str, Any]]) -> Self:
        """Of each worker's estate, as JSON has it."""
        pids: list[int] = []
        fds: list[int] = []
        notes: list[int] = []
        ports: set[int] = set()
        for estate in workers:
            own = estate["worker"]
            pids += [pid for pid in (estate.get("standby"), estate.get("active")) if pid]
            held = [value for name, value in own.items() if name.endswith("_fd")]
            held += [*own.get("wake_fds", ()), *(each["fd"] for each in own["sockets"])]
            fds += [fd for fd in held if fd >= 0]
            notes += [fd for fd in (own.get("memory_fd", -1),) if fd >= 0]
            ports |= {each["port"] for each in own["sockets"]}
        return cls(tuple(pids), tuple(fds), tuple(notes), frozenset(ports))


def is_ours(workers: Sequence[Mapping[str, Any]], told: str | None) -> bool:
    """Can this build go on with them? `told`: their layout, where their supervisor said it."""
    if told is not None and told != layout():
        return False
    try:
        for estate in workers:
            Counters(estate["worker"]["state_fd"])
    except LayoutError:
        return False
    return True


def first_port(media: MediaConfig, workers: int, taken: Collection[int]) -> int:
    """Where a build begins while another has the ports `taken`; 0 = any. BindError when it has no room."""
    if not media.port:
        return 0
    second = media.upgrade_port or media.port + workers
    for first in (media.port, second, max(taken, default=0) + 1):
        wanted = range(first, first + workers)
        if not set(taken) & set(wanted) and wanted[-1] <= 65535:
            return first
    raise BindError(f"no {workers} UDP ports are left beside those of the running server")


class Leaving:
    """Worker processes of a former build. A file tells of them, should this supervisor die."""

    def __init__(
        self, folder: Path, known: list[tuple[int, int]], until: float, notes: Collection[int]
    ) -> None:
        """`known`: process ids with the times at which they began. `notes` stay open as long as this is."""
        self.notes = tuple(notes)
        self._folder = folder
        self._known = known
        self._until = until
        self._moved_at: float | None = None
        self._processes: list[Process] = []
        for pid, began in known:
            with contextlib.suppress(ProcessLookupError):
                process = Process(pid)
                if _began(pid) == began:
                    self._processes.append(process)
                else:
                    process.close()

    @classmethod
    def begin(cls, folder: Path, remains: Remains, before: "Leaving | None") -> Self:
        """From now on they are left alone; nobody finds them any more to take them over."""
        known = [(pid, began) for pid in remains.pids if (began := _began(pid)) is not None]
        if before is not None:
            known += before._known
            before.close()
        until = time.monotonic() + LIMIT_S
        _moved(folder).unlink(missing_ok=True)
        _record(folder).write_text(json.dumps({"until": until, "processes": known}))
        for pid in remains.pids:
            for path in folder.glob(f"keeper-*-{pid}.sock"):
                path.unlink(missing_ok=True)
        for fd in set(remains.fds) - set(remains.notes):
            os.close(fd)
        for fd in remains.notes:
            os.set_inheritable(fd, False)
        return cls(folder, known, until, remains.notes)

    @classmethod
    def found(cls, folder: Path) -> Self | None:
        """Of a supervisor that is gone."""
        try:
            told = json.loads(_record(folder).read_text())
            known = [(int(pid), int(began)) for pid, began in told["processes"]]
            return cls(folder, known, float(told["until"]), ())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            _record(folder).unlink(missing_ok=True)
            return None

    def is_over(self) -> bool:
        """Asked again and again: have they ended, or is it time?"""
        now = time.monotonic()
        for process in [each for each in self._processes if each.ended]:
            process.collect()
            self._processes.remove(process)
        if self._moved_at is None and _moved(self._folder).exists():
            log.info("all members of the former build have come over")
            self._moved_at = now
        moved = self._moved_at is not None and now >= self._moved_at + LINGER_S
        return moved or not self._processes or now >= self._until

    def end(self) -> None:
        """They have nothing that would be lost."""
        for process in self._processes:
            process.send(signal.SIGKILL)
        for process in self._processes:
            process.collect()
        self._processes = []
        _record(self._folder).unlink(missing_ok=True)
        _moved(self._folder).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """They go on."""
        for process in self._processes:
            process.close()
        for fd in self.notes:
            os.close(fd)
        self._processes, self.notes = [], ()


def is_going_on(folder: Path) -> bool:
    """Is there a former build whose members are still waited for?"""
    return _record(folder).exists() and not _moved(folder).exists()


def all_came(folder: Path) -> None:
    """By control: nobody is awaited any more."""
    if _record(folder).exists():
        _moved(folder).touch()


def _record(folder: Path) -> Path:
    return folder / "moving.json"


def _moved(folder: Path) -> Path:
    return folder / "moved"


def _began(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
