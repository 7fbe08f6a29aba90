"""The control process, and the next one: it has imported what it needs and waits for the end of the first.

Imports are two thirds of a second of a core, in which a caller waits. The one that stands by has the
descriptors and has looked into none of them: it reads no table, no account and no token before it begins.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence

from control.children import Child
from control.handover import Handover
from control.processes import Process

STANDBY_AFTER_S = 5.0
"""So long after control began the next one is started. Lower: both begin at once and calls wait for the
core. Higher: two deaths in a row cost the second one's callers the imports."""


class ControlChild:
    """At most one of the two is at work: what both would write is behind one lock (roles.only_one)."""

    def __init__(self, command: Sequence[str], handover: Callable[[], Handover]) -> None:
        self.active = Child("control", command, handover)
        self.standby = Child("standby control", command, self._standing_by)
        self._handover = handover

    @property
    def standby_due(self) -> float | None:
        """When one is to be started, on the monotonic clock; None: there is one, or nothing to wait for."""
        if self.standby.process is not None or self.active.process is None:
            return None
        return max(self.standby.start_at, self.active.began + STANDBY_AFTER_S)

    def start_standby(self) -> Process | None:
        """None while it is not due."""
        due = self.standby_due
        return self.standby.start() if due is not None and due <= time.monotonic() else None

    def promote(self) -> bool:
        """The one at work was reaped. True when the other is at work now: it began by itself."""
        if self.standby.process is None or self.standby.process.ended:
            return False
        self.active.adopt(self.standby.process)
        self.standby.process = None
        self.standby.start_at = 0.0
        return True

    def _standing_by(self) -> Handover:
        assert self.active.process is not None
        return dataclasses.replace(self._handover(), predecessor_fd=self.active.process.pidfd)
