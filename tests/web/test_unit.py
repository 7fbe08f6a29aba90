"""The browser client's own unit tests, run by Node's test runner."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def test_unit_tests_of_the_browser_client(root: Path) -> None:
    if not list((root / "web").glob("test/*.test.ts")):
        pytest.skip("no browser client yet")
    done = subprocess.run(
        [str(root / "tools/node/npm"), "--prefix", "web", "test"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(done.stdout + done.stderr, pytrace=False)
