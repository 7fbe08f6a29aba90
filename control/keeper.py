"""Each worker process keeps its worker's descriptors for whoever supervises next.

A supervisor that is killed leaves its workers at work. The next one finds every survivor by a Unix socket and
is given sockets, tables and both ends of the link with control: no call notices. A process that nobody
supervises and nobody is on the line of ends itself, or ports would stay taken for ever.
"""

import dataclasses
import json
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from control.handover import Estate, Handover
from control.run_dir import connect, holder, keeper_socket, listen, peer_of, supervisor_lock
from fastpath_ext.counters import Counters
from fastpath_ext.table import LayoutError

log = logging.getLogger(__name__)

CONSENT_NS = 29_500_000_000
"""As LIMIT_CONSENT_NS: a member not heard of for longer is not on the line."""
ANSWER_MAX = 64 * 1024
"""Bytes of what a keeper says of itself."""
ASK_AGAIN = 4
"""So often is a keeper asked once more that did not answer in two seconds. Higher: a server with a hung
process starts later. Lower: it begins anew, without the calls, because the machine was busy."""
LOOK_S = 5.0
"""Between two looks whether there is a supervisor. Higher: ports stay taken that much longer. Lower:
wakes."""


class Keeper:
    """Of one worker process, in a thread of its own: the loop that forwards never waits for it."""

    def __init__(self, handover: Handover) -> None:
        """OSError if the socket cannot be made."""
        (self._own,) = handover.workers
        self._stands_by = handover.predecessor_fd >= 0
        self._orphanhood = Orphanhood(handover)
        self._path = keeper_socket(Path(handover.run_dir), self._own.index, os.getpid())
        self._listening = listen(self._path)
        threading.Thread(target=self._serve, daemon=True, name="keeper").start()

    def begins(self) -> None:
        """From now on it is this process that is at work."""
        self._stands_by = False

    def close(self) -> None:
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._listening, select.POLLIN)
        while True:
            if poll.poll(self._orphanhood.look_s * 1000):
                self._answer()
            elif self._orphanhood.is_over():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def _answer(self) -> None:
        connected, _ = self._listening.accept()
        with connected:
            _pid, uid = peer_of(connected)
            if uid not in (0, os.geteuid()):
                return
            pids = (0, os.getpid()) if self._stands_by else (os.getpid(), 0)
            try:
                connected.settimeout(2.0)
                told = json.dumps(Estate(self._own, *pids).to_values())
                socket.send_fds(connected, [told.encode()], list(self._own.fds))
            except OSError as error:
                log.warning("nothing could be handed to the next supervisor: %s", error.strerror)


def wait_for_end(pidfd: int, or_of: int = -1) -> bool:
    """Until the process has ended: True. False when told to end first (SIGTERM), or when the other ended."""
    wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)  # it writes to the pipe
    poll = select.poll()
    poll.register(wake_reader, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    if or_of >= 0:
        poll.register(or_of, select.POLLIN)
    try:
        return all(fd == pidfd for fd, _events in poll.poll())
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(wake_reader)
        os.close(wake_writer)


class Orphanhood:
    """How long this process has been without a supervisor and without anybody on the line."""

    def __init__(self, handover: Handover) -> None:
        self.look_s = min(LOOK_S, handover.orphan_s / 4)
        self._lock = supervisor_lock(Path(handover.run_dir))
        self._states = [worker.state_fd for worker in handover.workers]
        self._patience_s = handover.orphan_s
        self._since: float | None = None

    def is_over(self) -> bool:
        """Asked every look_s: is it time to end?"""
        if holder(self._lock) is not None or any(_on_the_line(fd) for fd in self._states):
            self._since = None
            return False
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since < self._patience_s:
            return False
        log.warning("no supervisor and no member for %.0f s: the end", self._patience_s)
        return True


def _on_the_line(state_fd: int) -> bool:
    """Is any member of this worker still heard of?"""
    try:
        heard_ns = Counters(state_fd).last_consent_ns
    except (LayoutError, OSError):
        return False
    return heard_ns != 0 and time.monotonic_ns() - heard_ns < CONSENT_NS


def take_over(folder: Path) -> list[Estate]:
    """What the workers of a supervisor that is gone keep, one for each worker, in their order."""
    found: dict[int, Estate] = {}
    for path in sorted(folder.glob("keeper-*.sock")):
        try:
            estate = _ask_patiently(path)
        except (OSError, ValueError) as error:
            log.info("%s is of nobody any more (%s)", path.name, error)
            path.unlink(missing_ok=True)
            continue
        former = found.setdefault(estate.worker.index, estate)
        if former is not estate:
            # The other process of the same worker: its copies of the descriptors are of no use.
            _close(estate.worker.fds)
            found[estate.worker.index] = dataclasses.replace(
                former,
                active=former.active or estate.active,
                standby=former.standby or estate.standby,
            )
    return [found[index] for index in sorted(found)]


def _ask_patiently(path: Path) -> Estate:
    """On a keeper that is there and slow, as on a busy machine, hang all calls of its worker."""
    for _ in range(ASK_AGAIN):
        try:
            return _ask(path)
        except TimeoutError:
            log.warning("%s is slow to answer", path.name)
    return _ask(path)


def _ask(path: Path) -> Estate:
    with connect(path) as connected:
        message, fds, _flags, _address = socket.recv_fds(connected, ANSWER_MAX, 64)
    for fd in fds:
        os.set_inheritable(fd, False)
    try:
        return Estate.from_values(json.loads(message), tuple(fds))
    except (KeyError, TypeError, ValueError) as error:
        _close(fds)
        raise ValueError(f"a keeper that says {type(error).__name__}") from None


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
