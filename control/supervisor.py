"""The process that holds what must outlive the others: sockets, tables, the links of workers with control.

It starts them, starts again what dies, kills what hangs and ends all of them in order. It knows no Matrix and
no crypto and writes nothing to disk.
"""

import logging
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from subprocess import DEVNULL, Popen
from types import FrameType

from control.config import Config
from control.handover import EXIT_HOPELESS, VARIABLE, Handover, MediaSocket, WorkerHandover
from control.io.sockets import bind_media, uplink_pair
from fastpath_ext.table import MAX_SINKS, MAX_SOURCES, MAX_TRANSPORTS, Table

log = logging.getLogger(__name__)

HANG_S = 2.0
"""A worker whose heartbeat is older hangs. Lower: a loaded machine loses workers that would have gone on.
Higher: a longer gap in everybody's media."""
BEGIN_S = 10.0
"""A worker that has not begun its loop by then hangs."""
LOOK_S = 0.5
"""Between two looks at the heartbeats. Two in a row must find a worker hanging: one may only mean that this
process did not run either."""
CONTROL_STOP_S = 10.0
"""What control has to say goodbye in. Higher: a homeserver that does not answer delays the end."""
WORKER_STOP_S = 2.0
PAUSE_S = 0.1, 10.0
"""First and longest pause before a process that keeps dying starts again, doubling. Lower: a homeserver in
trouble is pressed, a core is busy with starting. Higher: back later."""
HEALTHY_S = 10.0
"""Control that ran for so long is started again after the first pause."""
_STOP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


class Child:
    """A process that is kept running: started, watched by a pidfd, started again."""

    def __init__(self, name: str, command: Sequence[str], handover: Handover) -> None:
        self.name = name
        self.starts = 0
        self.start_at = 0.0
        self.pidfd = -1
        self._command = command
        self._handover = handover
        self._process: Popen[bytes] | None = None
        self._pause = 0.0
        self._started = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        self._started = time.monotonic()
        # A group of its own: Ctrl-C in a terminal reaches the supervisor alone, which keeps the order.
        self._process = Popen(
            self._command,
            env={**os.environ, VARIABLE: self._handover.to_json()},
            pass_fds=self._handover.fds,
            stdin=DEVNULL,
            process_group=0,
        )
        self.pidfd = os.pidfd_open(self._process.pid)
        self.starts += 1

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            signal.pidfd_send_signal(self.pidfd, number)

    def reap(self) -> int:
        """Collects the ended process and decides when to start again; its status, negative for a signal."""
        assert self._process is not None
        status = self._process.wait()
        os.close(self.pidfd)
        self._process, self.pidfd = None, -1
        self._pause = self._next_pause(time.monotonic() - self._started)
        self.start_at = time.monotonic() + self._pause
        return status

    def hangs(self) -> bool:
        return False

    def _next_pause(self, lived_s: float) -> float:
        first, longest = PAUSE_S
        return first if lived_s >= HEALTHY_S else min(max(self._pause * 2, first), longest)


class WorkerChild(Child):
    """A worker. What it must not take with it stays open here: tables, sockets, both ends of its uplink."""

    def __init__(self, index: int, cpu: int, command: Sequence[str], config: Config) -> None:
        self.sockets = bind_media(config.media.listen, config.media.port + index if config.media.port else 0)
        self.table = Table.create(MAX_TRANSPORTS, MAX_SOURCES, MAX_SINKS)
        self.control_end, self.worker_end = uplink_pair()
        own = self._handed(index, cpu, self.worker_end, to_worker=True)
        self.for_control = self._handed(index, cpu, self.control_end, to_worker=False)
        self._looks = 0
        super().__init__(f"worker {index}", command, Handover(os.getpid(), (own,)))

    def _handed(self, index: int, cpu: int, uplink: socket.socket, to_worker: bool) -> WorkerHandover:
        sockets = tuple(
            MediaSocket(one.fileno() if to_worker else -1, *one.getsockname()[:2]) for one in self.sockets
        )
        return WorkerHandover(index, cpu, *self.table.fds, uplink.fileno(), sockets)

    @property
    def _turned(self) -> bool:
        """Has this process, and not only one before it, been round its loop?"""
        return self.table.heartbeat_ns / 1e9 >= self._started

    def hangs(self) -> bool:
        now = time.monotonic()
        late = now - self.table.heartbeat_ns / 1e9 > HANG_S if self._turned else now - self._started > BEGIN_S
        self._looks = self._looks + 1 if late else 0
        return self._looks >= 2

    def start(self) -> None:
        self._looks = 0
        super().start()

    def _next_pause(self, lived_s: float) -> float:
        """At once, unless it dies before it has begun: that will go on."""
        return 0.0 if self._turned else super()._next_pause(lived_s)

    def close(self) -> None:
        for one in (*self.sockets, self.control_end, self.worker_end):
            one.close()


class Supervisor:
    """`run` returns the exit status after everything has ended."""

    def __init__(
        self,
        config: Config,
        worker_command: Sequence[str] = (sys.executable, "-m", "control", "worker"),
        control_command: Sequence[str] = (sys.executable, "-m", "control", "control"),
    ) -> None:
        """Takes everything that can be missing: BindError or OSError, with nothing started."""
        cpus = sorted(os.sched_getaffinity(0))
        self._workers: list[WorkerChild] = []
        try:
            for index in range(config.server.workers or len(cpus)):
                self._workers.append(WorkerChild(index, cpus[index % len(cpus)], worker_command, config))
        except BaseException:
            self._close()
            raise
        self._control = Child(
            "control",
            control_command,
            Handover(os.getpid(), tuple(w.for_control for w in self._workers), config.to_json()),
        )
        self._children: list[Child] = [*self._workers, self._control]
        self._signals = 0
        self._hopeless = 0
        self._looked = 0.0

    @property
    def children(self) -> Sequence[Child]:
        """The workers, then control."""
        return self._children

    @property
    def media_ports(self) -> list[list[tuple[str, int]]]:
        """Where each worker's sockets are bound."""
        return [[(s.host, s.port) for s in w.for_control.sockets] for w in self._workers]

    def run(self) -> int:
        # 1, not 0: the kernel ignores 0 where core_pattern is a pipe, and 1 means none at all to it.
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
        wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        former_fd = signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        # What nohup ignores stays ignored.
        numbers = [number for number in _STOP if signal.getsignal(number) != signal.SIG_IGN]
        former = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            while not self._signals and not self._hopeless:
                self._start_due()
                self._wait(wake_reader, self._until_next())
                self._reap()
                self._kill_hanging()
            self._stop(wake_reader)
            return self._hopeless
        finally:
            self._kill_all()
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)
            os.close(wake_reader)
            os.close(wake_writer)
            self._close()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if not child.running and child.start_at <= now:
                child.start()
                log.info("%s started, process %d", child.name, child.pid)

    def _until_next(self) -> float:
        now = time.monotonic()
        due = [max(child.start_at - now, 0.0) for child in self._children if not child.running]
        return min([LOOK_S, *due])

    def _wait(self, wake_reader: int, timeout_s: float) -> None:
        """Until a process ends, a signal comes or the time is over."""
        poll = select.poll()
        for fd in (wake_reader, *(child.pidfd for child in self._children if child.running)):
            poll.register(fd, select.POLLIN)
        for fd, _events in poll.poll(timeout_s * 1000):
            if fd == wake_reader:
                os.read(wake_reader, 64)

    def _reap(self) -> None:
        for child in self._children:
            if not child.running or not _ended(child.pidfd):
                continue
            status = child.reap()
            how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
            log.warning("%s ended %s", child.name, how)
            if child is self._control and status == EXIT_HOPELESS:
                self._hopeless = status

    def _kill_hanging(self) -> None:
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        for child in self._children:
            if child.running and child.hangs():
                log.error("%s hangs and is killed", child.name)
                child.send(signal.SIGKILL)

    def _stop(self, wake_reader: int) -> None:
        """Control first, while the workers can still carry what it has to say; a second signal hurries."""
        for group, patience_s in (([self._control], CONTROL_STOP_S), (self._workers, WORKER_STOP_S)):
            for child in group:
                child.send(signal.SIGTERM)
            deadline, signals = time.monotonic() + patience_s, self._signals
            while any(c.running for c in group) and self._signals == signals:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._wait(wake_reader, left)
                for child in group:
                    if child.running and _ended(child.pidfd):
                        child.reap()
            for child in group:
                if child.running:
                    log.warning("%s does not end and is killed", child.name)
                    child.send(signal.SIGKILL)
                    child.reap()

    def _kill_all(self) -> None:
        for child in self._children:
            if child.running:
                child.send(signal.SIGKILL)
                child.reap()

    def _close(self) -> None:
        for worker in self._workers:
            worker.close()


def _ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
