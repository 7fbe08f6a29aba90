"""The source distribution: what it has in it is enough to compile and run the server."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from control.cli.texts import COMMANDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
COMPILE_S = 800
"""A minute on one core with time; many machines have none."""


def test_it_compiles_and_runs(root: Path, tmp_path: Path) -> None:
    (archive,) = (root / "dist").glob("sotto-*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {
        "fastpath/forward.c",
        "fastpath_ext/worker.pyx",
        "web/dist/index.html",
        "docs/operations.md",
    } <= names
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc"))]
    target = tmp_path / "installed"
    # What it needs to be built and run is here already; that registries have it is for the wheel's test.
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-cache-dir",
         "--target", target, archive],
        check=True, timeout=COMPILE_S, cwd=tmp_path,
    )  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(target)}

    def sotto(*arguments: str) -> str:
        command = [sys.executable, "-m", "control", *arguments]
        return subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)

    assert json.loads(sotto("version", "--json"))["table_layout"] >= 3
    assert all(command in sotto("--help") for command in COMMANDS)
    where = "import control, fastpath_ext.worker as w; print(control.__file__, w.__file__)"
    found = subprocess.check_output([sys.executable, "-c", where], cwd=tmp_path, env=environment, text=True)
    assert found.count(str(target)) == 2
    assert (target / "control/page/index.html").is_file()
