"""Processes by pidfd: started by us, or taken over from a former supervisor, whose children they were."""

import os
import select
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from control.hanging import Pace


class Process:
    """One running process. A number that was given to another meanwhile is never meant."""

    def __init__(self, pid: int, pidfd: int | None = None) -> None:
        """ProcessLookupError if there is none. A given pidfd is ours from now on."""
        self.pid = pid
        self.pidfd = os.pidfd_open(pid) if pidfd is None else pidfd

    @property
    def ended(self) -> bool:
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def pace(self) -> Pace:
        """Where the machine does not tell: as of one that sleeps."""
        try:
            cpu_ns = int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0])
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError, IndexError):
            return Pace(runnable=False, cpu_ns=0)
        return Pace(runnable=state == "R", cpu_ns=cpu_ns)

    def send(self, number: signal.Signals) -> None:
        """A signal; to one that has ended nothing."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            return

    def collect(self) -> int | None:
        """Waits for the end: exit status, negative for a signal, None of one that was not our child."""
        status: int | None = None
        try:
            result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
            if result is not None:
                status = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        except ChildProcessError:
            poll = select.poll()
            poll.register(self.pidfd, select.POLLIN)
            poll.poll()
        self.close()
        return status

    def close(self) -> None:
        """Forgets it; it goes on."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.pidfd = -1


def spawn(command: Sequence[str], environment: Mapping[str, str], fds: Sequence[int]) -> Process:
    """Starts a program with these descriptors open under their own numbers, and nothing on its stdin.

    In a group of its own: Ctrl-C in a terminal reaches the supervisor alone, which keeps the order. Not
    subprocess.Popen, whose objects do not survive the supervisor's own exec.
    """
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    ]
    # Duplicated onto itself a descriptor loses its close-on-exec mark, in the child alone.
    actions += [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in fds]
    pid = os.posix_spawnp(
        command[0],
        list(command),
        dict(environment),
        file_actions=actions,
        setpgroup=0,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2),
    )
    return Process(pid)
