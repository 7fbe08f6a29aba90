"""The process that holds what must outlive the others: sockets, tables, the links of workers with control.

It starts them, starts again what dies, kills what hangs and ends all of them in order. It knows no Matrix and
no crypto and writes nothing to disk but its lock. When it dies itself, the next one takes everything over
from the workers (keeper.py); told to (SIGUSR2), it becomes the program that is installed now, and renews the
others.
"""

import dataclasses
import json
import logging
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

from control import moving, run_dir
from control.children import (
    Child,
    Rings,
    WorkerChild,
    inherited_worker,
    new_worker,
    open_packet_socket,
)
from control.config import Config
from control.control_child import ControlChild
from control.handover import EXIT_HOPELESS, Estate, Handover
from control.keeper import take_over
from control.layout import layout
from control.processes import Process

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""Between two looks at the heartbeats."""
CONTROL_STOP_S = 10.0
"""What control has to say goodbye in. Higher: a homeserver that does not answer delays the end."""
WORKER_STOP_S = 2.0
ORPHAN_S = 60.0
"""So long do processes wait for a supervisor when nobody is on the line. Higher: ports stay taken
after a server
was killed for good. Lower: a slow restart of the machine's services loses the tables."""
_STOP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


class AlreadyRuns(Exception):
    """Another supervisor lives in the same folder; the text says which."""


class Supervisor:
    """`run` returns the exit status after everything has ended."""

    def __init__(
        self,
        config: Config,
        worker_command: Sequence[str],
        control_command: Sequence[str],
        *,
        left: Mapping[str, Any] | None = None,
        become: Callable[[str], None] | None = None,
        orphan_s: float = ORPHAN_S,
    ) -> None:
        """Takes everything that can be missing, with nothing started.

        `left`: what this very process had before it became another program. `become`: does that, with what it
        is to have. BindError, OSError, LayoutError, RunDirError or AlreadyRuns.
        """
        self._folder = run_dir.prepare(config.server.data_dir / "run")
        self._become = become
        self._lock = self._take_lock(left)
        self._packet = open_packet_socket(config.media.packet_interface)
        self._base = Handover(
            os.getpid(),
            (),
            run_dir=str(self._folder),
            orphan_s=orphan_s,
            hold_us=config.media.hold_us,
            busy_poll_us=config.media.busy_poll_us,
            packet_fd=self._packet.fileno() if self._packet else -1,
        )
        self._workers: list[WorkerChild] = []
        self._leaving = moving.Leaving.found(self._folder)
        self._ask: tuple[Process, signal.Signals] | None = None
        self._asked = 0.0
        self._renew: list[WorkerChild] = []
        self._signals = 0
        self._upgrade = False
        self._hopeless = 0
        self._looked = 0.0
        try:
            found = left["workers"] if left else [one.to_values() for one in take_over(self._folder)]
            told = left.get("layout") if left else None
            moves = bool(found) and not moving.is_ours(found, told)
            if moves:
                self._move(config, worker_command, found)
            elif found:
                self._go_on(found, worker_command)
            else:
                self._begin(config, worker_command)
        except BaseException:
            self._close()
            raise
        given = Handover(
            os.getpid(),
            tuple(worker.for_control for worker in self._workers),
            config.to_json(),
            str(self._folder),
            orphan_s=orphan_s,
        )
        self._control = ControlChild(control_command, lambda: self._for_control(given))
        self._adopt_control(left["control"] if left else None)
        if moves and self._control.active.process is not None:
            # It asks the members over and ends, once there is somewhere to go. SIGUSR1 would kill one of a
            # build that does not say its layout.
            number = signal.SIGUSR1 if told is not None else signal.SIGHUP
            self._ask = self._control.active.process, number
        elif left and not moves:
            # The rest becomes the new program one after another, while calls go on.
            self._control.active.send(signal.SIGHUP)
            for worker in self._workers:
                worker.standby.dismiss()
            self._renew = list(self._workers)
        # From here on a signal asks for an orderly end, whenever it comes.
        self._wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake_writer = wake_writer
        self._former_fd = signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        # What nohup ignores stays ignored.
        numbers = [number for number in _STOP if signal.getsignal(number) != signal.SIG_IGN]
        self._former = {number: signal.signal(number, self._on_signal) for number in numbers}
        self._former[signal.SIGUSR2] = signal.signal(signal.SIGUSR2, self._on_upgrade)

    @property
    def media_ports(self) -> list[list[tuple[str, int]]]:
        """Where each worker's sockets are bound."""
        return [[(s.host, s.port) for s in worker.own.sockets] for worker in self._workers]

    def run(self) -> int:
        # 1, not 0: the kernel ignores 0 where core_pattern is a pipe, and 1 means none at all to it.
        if resource.getrlimit(resource.RLIMIT_CORE)[1] != 0:  # a service manager's 0 cannot be raised
            resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
        try:
            while not self._signals and not self._hopeless:
                if self._upgrade:
                    self._be_renewed()
                self._start_due()
                self._wait(self._until_next())
                self._reap()
                self._kill_hanging()
                self._renew_next()
                self._move_on()
            self._stop()
            return self._hopeless
        finally:
            self._kill_all()
            for number, handler in self._former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._former_fd)
            os.close(self._wake_reader)
            os.close(self._wake_writer)
            self._close()

    # ---- beginning ----

    def _take_lock(self, left: Mapping[str, Any] | None) -> run_dir.Lock:
        path = run_dir.supervisor_lock(self._folder)
        try:
            return run_dir.Lock(path, left["lock_fd"] if left else None)
        except BlockingIOError:
            other = run_dir.holder(path)
            raise AlreadyRuns(
                f"{self._folder.parent} is in use by a running server, process {other}: stop it, or replace"
                " it by what is installed now with `sotto upgrade`"
            ) from None

    def _go_on(self, found: Sequence[Mapping[str, Any]], worker_command: Sequence[str]) -> None:
        estates = [Estate.from_values(dict(each)) for each in found]
        for fd in (fd for one in estates for fd in one.worker.fds):
            os.set_inheritable(fd, False)  # as they came through exec every child would have them all
        self._workers = [inherited_worker(one, worker_command, self._base) for one in estates]
        log.info("%d workers taken over, %d at work", len(estates), sum(e.active != 0 for e in estates))

    def _move(
        self, config: Config, worker_command: Sequence[str], found: Sequence[Mapping[str, Any]]
    ) -> None:
        """Begins beside a build whose tables are of another layout."""
        remains = moving.Remains.read(found)
        count = config.server.workers or len(os.sched_getaffinity(0))
        port = moving.first_port(config.media, count, remains.ports)
        self._begin(
            dataclasses.replace(config, media=dataclasses.replace(config.media, port=port)), worker_command
        )
        self._leaving = moving.Leaving.begin(self._folder, remains, self._leaving)
        log.info(
            "the running build has another layout: calls move over, from UDP ports %s to %s",
            " ".join(map(str, sorted(remains.ports))),
            " ".join(str(port) for sockets in self.media_ports for _host, port in sockets),
        )

    def _for_control(self, given: Handover) -> Handover:
        notes = self._leaving.notes if self._leaving is not None else ()
        return dataclasses.replace(given, former_fds=notes)

    def _begin(self, config: Config, worker_command: Sequence[str]) -> None:
        cpus = sorted(os.sched_getaffinity(0))
        count = config.server.workers or len(cpus)
        rings = Rings(count)
        try:
            for index in range(count):
                cpu = cpus[index % len(cpus)]
                self._workers.append(new_worker(index, cpu, worker_command, config, self._base, rings))
        finally:
            rings.close()

    def _adopt_control(self, pid: int | None) -> None:
        pid = pid or run_dir.holder(run_dir.control_lock(self._folder))
        if pid:
            self._control.active.adopt(Process(pid))

    # ---- going on ----

    def _children(self) -> list[Child]:
        workers = [child for worker in self._workers for child in (worker.active, worker.standby)]
        return [*workers, self._control.active, self._control.standby]

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _on_upgrade(self, _number: int, _frame: FrameType | None) -> None:
        self._upgrade = True

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in (*(worker.active for worker in self._workers), self._control.active):
            if child.process is None and child.start_at <= now:
                log.info("%s started, process %d", child.name, child.start().pid)
        for worker in self._workers:
            # After the one at work has begun: it needs the core first.
            if worker.standby.process is None and worker.standby.start_at <= now and worker.turned:
                log.info("%s started, process %d", worker.standby.name, worker.standby.start().pid)
        if (begun := self._control.start_standby()) is not None:
            log.info("%s started, process %d", self._control.standby.name, begun.pid)

    def _until_next(self) -> float:
        now = time.monotonic()
        due = [c.start_at for c in self._children() if c.process is None and c is not self._control.standby]
        if (standby_at := self._control.standby_due) is not None:
            due.append(standby_at)
        # At least: a standby waits for its worker's first turn.
        return min([LOOK_S, *(max(each - now, 0.02) for each in due)])

    def _wait(self, timeout_s: float) -> None:
        """Until a process ends, a signal comes or the time is over."""
        poll = select.poll()
        for fd in (self._wake_reader, *(c.process.pidfd for c in self._children() if c.process is not None)):
            poll.register(fd, select.POLLIN)
        for fd, _events in poll.poll(timeout_s * 1000):
            if fd == self._wake_reader:
                os.read(fd, 64)

    def _reap(self) -> None:
        for worker in self._workers:
            if _reaped(worker.active) and worker.promote():
                process = worker.active.process
                log.info("%s started, process %d", worker.active.name, process.pid if process else 0)
            _reaped(worker.standby)
        if (status := _reaped(self._control.active)) == (EXIT_HOPELESS,):
            self._hopeless = EXIT_HOPELESS
        elif status is not None and self._control.promote():
            process = self._control.active.process
            log.info("%s started, process %d", self._control.active.name, process.pid if process else 0)
        _reaped(self._control.standby)

    def _kill_hanging(self) -> None:
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        for worker in self._workers:
            if worker.hangs():
                log.error("%s hangs and is killed", worker.active.name)
                worker.active.send(signal.SIGKILL)

    # ---- becoming another program ----

    def _be_renewed(self) -> None:
        """Does not return where it works."""
        self._upgrade = False
        if self._become is None:
            return
        left = {
            "lock_fd": self._lock.fd,
            "workers": [worker.estate.to_values() for worker in self._workers],
            "control": self._control.active.process.pid if self._control.active.process else 0,
            "layout": layout(),
        }
        # It would begin as what it is, not as what is installed now.
        self._control.standby.dismiss()
        fds = [self._lock.fd, *(fd for worker in self._workers for fd in worker.own.fds)]
        log.info("becoming the program that is installed now")
        try:
            for fd in fds:
                os.set_inheritable(fd, True)
            self._become(json.dumps(left))
        except OSError as error:
            log.error("this program stays: %s", error.strerror)
        for fd in fds:
            os.set_inheritable(fd, False)

    def _renew_next(self) -> None:
        """One worker at a time, when its new standby is there to take over."""
        if not self._renew:
            return
        worker = self._renew[0]
        standby = worker.standby.process
        if standby is None or worker.active.process is None or standby.ended:
            return
        if not run_dir.keeper_socket(self._folder, worker.index, standby.pid).exists():
            return  # not ready to take over yet
        self._renew.pop(0)
        log.info("%s is relieved", worker.active.name)
        worker.active.send(signal.SIGTERM)

    def _move_on(self) -> None:
        """Asks the former control to send its members over; ends what they left."""
        if self._ask is not None and all(worker.turned for worker in self._workers):
            former, number = self._ask
            if self._control.active.process is not former:
                self._ask = None  # gone, and followed already
            elif not self._asked:
                former.send(number)
                self._asked = time.monotonic()
            elif time.monotonic() - self._asked > CONTROL_STOP_S:
                former.send(signal.SIGKILL)
        if self._leaving is not None and self._leaving.is_over():
            self._leaving.end()
            self._leaving = None
            log.info("the former build has ended")

    # ---- the end ----

    def _stop(self) -> None:
        """Control first, while the workers can still carry what it has to say; a second signal hurries."""
        standbys = [*(worker.standby for worker in self._workers), self._control.standby]
        for standby in standbys:
            standby.send(signal.SIGTERM)
        workers = [*standbys, *(worker.active for worker in self._workers)]
        for group, patience_s in (([self._control.active], CONTROL_STOP_S), (workers, WORKER_STOP_S)):
            # No standby is left that would take over from a worker told to end.
            self._await_end(standbys, WORKER_STOP_S, self._signals)
            signals = self._signals
            for child in group:
                child.send(signal.SIGTERM)
            self._await_end(group, patience_s, signals)
            for child in group:
                if child.process is not None:
                    log.warning("%s does not end and is killed", child.name)
                    child.send(signal.SIGKILL)
                    child.reap()

    def _await_end(self, group: Sequence[Child], patience_s: float, signals: int) -> None:
        """No longer than until more signals have come than these."""
        deadline = time.monotonic() + patience_s
        while any(child.process is not None for child in group) and self._signals == signals:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._wait(left)
            for child in self._children():
                if child.process is not None and child.process.ended:
                    child.reap()

    def _kill_all(self) -> None:
        if self._leaving is not None:
            self._leaving.end()
            self._leaving = None
        for child in reversed(self._children()):
            if child.process is not None:
                child.send(signal.SIGKILL)
        for child in self._children():
            if child.process is not None:
                child.reap()

    def _close(self) -> None:
        for worker in self._workers:
            worker.close()
        if self._leaving is not None:
            self._leaving.close()
        if self._packet:
            self._packet.close()
        self._lock.close()


def _reaped(child: Child) -> tuple[int | None] | None:
    """Its exit status in a tuple, if it has ended."""
    if child.process is None or not child.process.ended:
        return None
    status = child.reap()
    how = (
        "somehow"
        if status is None
        else f"by {signal.Signals(-status).name}"
        if status < 0
        else f"with status {status}"
    )
    log.log(logging.INFO if status == 0 else logging.WARNING, "%s ended %s", child.name, how)
    return (status,)
