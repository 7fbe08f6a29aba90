"""Python's collector of cycles, for a process that lives long and makes few of them."""

import gc
from typing import Final

# New containers between two looks for cycles, and how many of those looks go a generation deeper. A join
# makes some 20,000 containers, and none of its cycles is large. Higher: cycles (a closed connection is 50 KB)
# stay longer. Lower: Python's own 700 cost 6 % of a join.
_THRESHOLDS: Final = 10_000, 20, 20


def settle() -> None:
    """Once everything is imported: that is never looked at again, and what comes after it less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
