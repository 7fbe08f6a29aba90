"""Whether a worker hangs, or is only kept waiting: by a machine without time it must not be killed for that.

Killed and started again it would be further behind than before, and again and again so.
"""

from dataclasses import dataclass

HANG_S = 2.0
"""A worker whose heartbeat is older hangs, unless it waits for a processor. Lower: a loaded machine loses
workers that would have gone on. Higher: a longer gap in everybody's media."""
BEGIN_S = 10.0
"""A worker that has not begun its loop by then hangs, likewise."""
TURN_CPU_S = 1.0
"""Of a processor's time that one that runs has had since its last heartbeat; a turn of the loop takes
milliseconds. Lower: one that was slowed down is taken for one that goes round in circles. Higher: a longer
gap."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What the machine says of a process's first thread."""

    runnable: bool
    """Runs, or waits for a processor: neither sleeping, nor stopped, nor waiting for a disk."""
    cpu_ns: int
    """Had so far."""


class Watch:
    """Of one process after the other: `look` every now and then."""

    def __init__(self) -> None:
        self._beat = -1.0
        self._cpu_at_beat = self._cpu = 0
        self._pid = 0
        self._found = 0

    def forget(self) -> None:
        """Another process is at work."""
        self._found = 0

    def look(self, now: float, began: float, beat: float, pid: int, pace: Pace) -> bool:
        """Hangs it? Times in s; `beat`: the last heartbeat of whoever was at work, `began`: when this one
        began. Two looks in a row must find it so: one may mean that we did not run either."""
        if (beat, pid) != (self._beat, self._pid):
            self._cpu_at_beat = self._cpu = pace.cpu_ns
            self._beat, self._pid = beat, pid
            self._found = 0
        turned = beat >= began
        late = now - beat > HANG_S if turned else now - began > BEGIN_S
        stands = not pace.runnable and pace.cpu_ns == self._cpu
        circles = pace.cpu_ns - self._cpu_at_beat > (TURN_CPU_S if turned else BEGIN_S) * 1e9
        self._cpu = pace.cpu_ns
        self._found = self._found + 1 if late and (stands or circles) else 0
        return self._found >= 2
