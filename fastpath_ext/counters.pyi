from typing import Final

from typing_extensions import disjoint_base

DESCRIPTIONS: Final[dict[str, str]]
"""Name and help of every counter, in the order of fastpath/counters.h."""

@disjoint_base
class Counters:
    """One worker's counters, read from its state segment. Raises LayoutError."""

    def __init__(self, state_fd: int) -> None: ...
    def values(self) -> dict[str, int]:
        """Totals by name, each exact, not all of one moment."""
