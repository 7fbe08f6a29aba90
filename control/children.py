"""What the supervisor keeps running: control, and of each worker the one at work and the one standing by."""

import dataclasses
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence

from control.config import Config
from control.handover import VARIABLE, Estate, Handover, MediaSocket, WorkerHandover
from control.hanging import Watch
from control.io.memory import make_memory
from control.io.sockets import bind_media, packet_socket, uplink_pair
from control.processes import Process, spawn
from fastpath_ext.counters import Counters
from fastpath_ext.rings import MAX_WORKERS, make_rings
from fastpath_ext.table import MAX_SINKS, MAX_SOURCES, MAX_TRANSPORTS, Table

PAUSE_S = 0.1, 10.0
"""First and longest pause before a process that keeps dying starts again, doubling. Lower: a homeserver in
trouble is pressed, a core is busy with starting. Higher: back later."""
HEALTHY_S = 10.0
"""A process that ran for so long is started again at once."""


class Child:
    """One process that is started again when it ends, ever later if it keeps ending."""

    def __init__(self, name: str, command: Sequence[str], handover: Callable[[], Handover]) -> None:
        self.name = name
        self.start_at = 0.0
        self.process: Process | None = None
        self.began = 0.0
        self._command = command
        self._handover = handover
        self._pause = 0.0

    def start(self) -> Process:
        given = self._handover()
        self.began = time.monotonic()
        self.process = spawn(self._command, {**os.environ, VARIABLE: given.to_json()}, given.fds)
        return self.process

    def adopt(self, process: Process) -> None:
        """One that runs already."""
        self.process, self.began = process, time.monotonic()

    def send(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send(number)

    def reap(self) -> int | None:
        """Collects the ended process and decides when to start again; its status, negative for a signal."""
        assert self.process is not None
        status = self.process.collect()
        self.process = None
        first, longest = PAUSE_S
        lived = time.monotonic() - self.began
        self._pause = 0.0 if lived >= HEALTHY_S else min(max(self._pause * 2, first), longest)
        self.start_at = time.monotonic() + self._pause
        return status

    def dismiss(self) -> None:
        """Ends one that has nothing to lose, such as a standby: another one may be started at once."""
        if self.process is not None:
            self.send(signal.SIGKILL)
            self.reap()
            self.start_at = 0.0


class WorkerChild:
    """One worker: what it must not take with it when it dies, and its two processes."""

    def __init__(
        self, own: WorkerHandover, sockets: Sequence[socket.socket], command: Sequence[str], base: Handover
    ) -> None:
        """`own` as its processes get it. Everything in it stays open here."""
        self.own = own
        self.active = Child(f"worker {own.index}", command, lambda: self._given(-1))
        self.standby = Child(f"standby {own.index}", command, self._standing_by)
        self._sockets = sockets
        self._pulse = Counters(own.state_fd)
        self._base = base
        self._watch = Watch()

    @property
    def index(self) -> int:
        return self.own.index

    @property
    def for_control(self) -> WorkerHandover:
        hidden = tuple(dataclasses.replace(one, fd=-1) for one in self.own.sockets)
        return dataclasses.replace(
            self.own, uplink_fd=self.own.peer_fd, peer_fd=-1, sockets=hidden, rings_fd=-1, wake_fds=()
        )

    @property
    def estate(self) -> Estate:
        """For the next supervisor."""
        pids = [child.process.pid if child.process else 0 for child in (self.active, self.standby)]
        return Estate(self.own, *pids)

    @property
    def turned(self) -> bool:
        """Has this process, and not only one before it, been round its loop?"""
        return self._pulse.heartbeat_ns / 1e9 >= self.active.began

    def hangs(self) -> bool:
        """Looked at now; see hanging.py."""
        process = self.active.process
        if process is None:
            return False
        beat = self._pulse.heartbeat_ns / 1e9
        return self._watch.look(time.monotonic(), self.active.began, beat, process.pid, process.pace())

    def promote(self) -> bool:
        """The one at work was reaped. True when the standby is at work now: it began by itself."""
        if self.standby.process is None or self.standby.process.ended:
            # At once, unless it dies before it has begun: that will go on.
            if self.turned:
                self.active.start_at = 0.0
            return False
        self.active.adopt(self.standby.process)
        self.standby.process = None
        self.standby.start_at = 0.0
        self._watch.forget()
        return True

    def close(self) -> None:
        """Only where nobody goes on."""
        for one in self._sockets:
            one.close()
        for fd in self.own.fds[: -len(self._sockets)]:
            os.close(fd)

    def _given(self, predecessor_fd: int) -> Handover:
        return dataclasses.replace(self._base, workers=(self.own,), predecessor_fd=predecessor_fd)

    def _standing_by(self) -> Handover:
        assert self.active.process is not None
        return self._given(self.active.process.pidfd)


class Rings:
    """What workers hand conferences over by. Each gets descriptors of its own to the same memory."""

    def __init__(self, workers: int) -> None:
        """One worker, or more than fit, have none. OSError."""
        self._fds: list[int] = []
        if not 2 <= workers <= MAX_WORKERS:
            return
        try:
            self._fds.append(make_rings(workers))
            for _ in range(workers):
                self._fds.append(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        except BaseException:
            self.close()
            raise

    def join(self, worker: WorkerHandover) -> WorkerHandover:
        if not self._fds:
            return worker
        rings, *wakes = (os.dup(fd) for fd in self._fds)
        return dataclasses.replace(worker, rings_fd=rings, wake_fds=tuple(wakes), joined=True)

    def close(self) -> None:
        """The workers keep theirs."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []


def new_worker(
    index: int, cpu: int, command: Sequence[str], config: Config, base: Handover, rings: Rings
) -> WorkerChild:
    """With sockets, tables and a link of its own. BindError, OSError."""
    sockets = bind_media(config.media.listen, config.media.port + index if config.media.port else 0)
    try:
        table = Table.create(MAX_TRANSPORTS, MAX_SOURCES, MAX_SINKS)
        config_fd, state_fd = (os.dup(fd) for fd in table.fds)
        control_end, worker_end = uplink_pair()
        memory_fd = make_memory()
    except BaseException:
        for one in sockets:
            one.close()
        raise
    media = tuple(MediaSocket(one.fileno(), *one.getsockname()[:2]) for one in sockets)
    own = WorkerHandover(
        index,
        cpu,
        config_fd,
        state_fd,
        worker_end.detach(),
        media,
        peer_fd=control_end.detach(),
        memory_fd=memory_fd,
    )
    return WorkerChild(rings.join(own), sockets, command, base)


def open_packet_socket(interface: str) -> socket.socket | None:
    """[media].packet_interface. Without it, or where it cannot be had, workers send by UDP alone."""
    if not interface:
        return None
    made = packet_socket(interface)
    if made is None:
        logging.getLogger(__name__).warning(
            "no packet socket on [media].packet_interface: packets leave by UDP alone"
        )
    return made


def inherited_worker(estate: Estate, command: Sequence[str], base: Handover) -> WorkerChild:
    """One that a former supervisor left, with its processes as far as they live. LayoutError."""
    own = estate.worker
    if own.memory_fd < 0:  # of a build that had none
        own = dataclasses.replace(own, memory_fd=make_memory())
    worker = WorkerChild(own, [socket.socket(fileno=one.fd) for one in own.sockets], command, base)
    for child, pid in ((worker.active, estate.active), (worker.standby, estate.standby)):
        try:
            if pid:
                child.adopt(Process(pid))
        except ProcessLookupError:
            continue
    active = worker.active.process
    if active is None or active.ended:
        if active is not None:
            worker.active.reap()
        worker.promote()
    return worker
