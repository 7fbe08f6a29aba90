from typing import Final

MAX_WORKERS: Final[int]

def make_rings(workers: int) -> int:
    """A descriptor of a segment with a ring for each ordered pair of workers; ValueError, OSError."""
