from typing import Final

from typing_extensions import disjoint_base

DESCRIPTIONS: Final[dict[str, str]]
"""Name and help of every counter, in the order of fastpath/counters.h."""

@disjoint_base
class Counters:
    """What one worker's state segment says to anybody: read-only. Raises LayoutError."""

    def __init__(self, state_fd: int) -> None: ...
    def values(self) -> dict[str, int]:
        """Totals by name, each exact, not all of one moment."""
    @property
    def heartbeat_ns(self) -> int:
        """When the worker last went round its loop; CLOCK_MONOTONIC, 0 = never."""
    @property
    def workers_started(self) -> int: ...
    @property
    def last_consent_ns(self) -> int:
        """When any member was last heard of; 0 = none ever was."""
