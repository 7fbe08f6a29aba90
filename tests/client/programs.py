"""A copy of the server's program that is replaced by another build while it runs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from control.demo.run import Demo
from tests.e2e.namespace import Namespace

PACKAGES = "control", "fastpath_ext"


def copy_program(root: Path, copy: Path) -> Path:
    """Of the repository at `root`, into the folder `copy`; returns that."""
    for package in PACKAGES:
        shutil.copytree(root / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "*.c"))
    return copy


def install_another_build(program: Path) -> None:
    """One whose layout has another name, so that nothing is gone on with in place; or what is in the folder
    SOTTO_OTHER_BUILD: fastpath/table.h changed and compiled."""
    if other := os.environ.get("SOTTO_OTHER_BUILD"):
        for source in (each for package in PACKAGES for each in Path(other, package).rglob("*.[ps]*")):
            if source.suffix in (".py", ".so"):
                target = program / source.relative_to(other)
                target.unlink(missing_ok=True)  # what runs has it mapped
                shutil.copy(source, target)
        return
    layout = program / "control/layout.py"
    layout.write_text(re.sub("^FORM = .*", "FORM = 99", layout.read_text(), flags=re.MULTILINE))


async def upgrade(demo: Demo, program: Path, namespace: Namespace | None = None) -> str:
    """`sotto upgrade`, which returns when everybody has come over; what it said. AssertionError.

    In a namespace where the caller is not in it: the command looks whether there are ports.
    """
    assert demo.server is not None
    command = [sys.executable, "-m", "control", "upgrade", "--config", str(demo.folder / "sotto.toml")]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=program, capture_output=True, text=True, check=False)

    done = await asyncio.to_thread(namespace.call, run) if namespace else await asyncio.to_thread(run)
    assert done.returncode == 0, done.stderr + demo.server.last_lines(60)
    assert "renewed from layout" in done.stdout
    return done.stdout.strip()
