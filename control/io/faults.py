"""What is written down about an exception that should not have been: its kind and its place.

Never its message or values, which may hold what people sent.
"""

import logging
import traceback
from pathlib import PurePath


def log_fault(log: logging.Logger, where: str, error: BaseException) -> None:
    """One line; each is a bug."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-6:]))
    log.error("internal error in %s: %s at %s", where, type(error).__name__, places)
