"""Python's collector of cycles, for a process that lives long and makes few of them."""

import gc
from typing import Final

# New containers between two looks for cycles, and how many of those looks go a generation deeper. Higher:
# cycles, such as closed connections, stay longer. Lower: Python's own 700, 10, 10 cost 6 % of a join.
_THRESHOLDS: Final = 5_000, 10, 4


def settle() -> None:
    """Once everything is imported: that is never looked at again, and what comes after it less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
