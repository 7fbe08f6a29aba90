"""The media worker between two connections in a real browser: what leaves without a key, what opens."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

# A run takes 12 to 35 s on two busy cores. Lower fails on busier ones, higher meets pytest's own limit.
TIMEOUT_S = 240


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("browser", ["chromium", "chromium --streams", "firefox"])
def test_only_frames_with_the_right_key_are_shown(root: Path, tmp_path: Path, browser: str) -> None:
    command = [str(root / "tools/node/node"), "test/browser/run.mjs", *browser.split()]
    with subprocess.Popen(
        command,
        cwd=root / "web",
        # The page that is built and the browser's profile go with the test's folder, whatever happens.
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            said = f"not done in {TIMEOUT_S} s"
        finally:
            # Asked like this, it ends its browser before itself.
            process.terminate()
    if process.returncode != 0:
        pytest.fail(said, pytrace=False)
