"""Calling `sotto` as an operator does."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.patience import PATIENCE_S

SOTTO = [sys.executable, "-m", "control"]


def sotto(
    *arguments: str | Path, status: int | None = 0, timeout_s: float = 2 * PATIENCE_S
) -> subprocess.CompletedProcess:
    """Runs a command to its end; its output, and a look at its exit status."""
    done = subprocess.run(
        [*SOTTO, *map(str, arguments)], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert status is None or done.returncode == status, done.stdout + done.stderr
    return done


def until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Waits; so long only where it will not come true, or the machine has much else to do."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s
        time.sleep(0.1)
