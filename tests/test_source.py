"""The source as its tools see it, one tool per test; `make lint` runs this file alone.

A part that does not exist skips its test; a part that exists is never skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository, also those not yet committed; all of them where there is no git."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        if (ROOT / ".git").exists():  # such as somebody else's checkout, which git does not trust
            pytest.fail(listing.stderr, pytrace=False)
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def run(*command: str, cwd: Path = ROOT) -> None:
    """Fail with the tool's own output."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"  # cython-lint looks for pycodestyle there
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    if done.returncode != 0:
        pytest.fail(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)


def existing(files: Sequence[Path], what: str) -> list[str]:
    if not files:
        pytest.skip(f"no {what} yet")
    return [str(file.relative_to(ROOT)) for file in files]


def test_ruff_check() -> None:
    run(str(BIN / "ruff"), "check", "--quiet", ".")


def test_ruff_format() -> None:
    run(str(BIN / "ruff"), "format", "--check", "--quiet", "--diff", ".")


def test_mypy_strict_on_control() -> None:
    run(sys.executable, "-m", "mypy", "-p", "control")


def test_mypy_on_the_python_client() -> None:
    existing(tracked("client/*.py"), "Python client")
    run(sys.executable, "-m", "mypy", "client")


def test_import_contracts() -> None:
    existing(tracked("fastpath_ext/__init__.py"), "compiled modules")
    run(str(BIN / "lint-imports"))


def test_cython_lint() -> None:
    run(str(BIN / "cython-lint"), *existing(tracked("fastpath_ext/*.pyx", "fastpath_ext/*.pxd"), "Cython"))


def test_clang_format() -> None:
    files = existing(tracked("fastpath/*.[ch]", "tests/*.[ch]"), "C")
    run(str(BIN / "clang-format"), "--dry-run", "-Werror", *files)


def test_stubs_match_the_compiled_modules() -> None:
    existing(tracked("fastpath_ext/*.pyx"), "compiled modules")
    if not list(ROOT.glob("fastpath_ext/*.so")):
        pytest.fail("fastpath_ext is not built: make build", pytrace=False)
    run(sys.executable, "-m", "mypy.stubtest", "fastpath_ext")


def test_typescript() -> None:
    existing(tracked("web/tsconfig.json"), "web client")
    run(str(ROOT / "tools/node/npx"), "--no-install", "tsc", "--noEmit", cwd=ROOT / "web")


# --- rules no tool knows ------------------------------------------------------------------------------------


def matching_lines(files: Sequence[Path], pattern: str) -> list[str]:
    found: list[str] = []
    for file in files:
        for number, line in enumerate(file.read_text(errors="ignore").splitlines(), 1):
            if re.search(pattern, line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


def test_the_core_knows_no_python() -> None:
    files = tracked("fastpath/*.[ch]")
    assert matching_lines(files, r"#\s*include\s*[<\"]Python\.h") == []


def test_the_compiled_shell_knows_nothing_of_control() -> None:
    """import-linter reads .py files only; this is the same contract for Cython."""
    files = tracked("fastpath_ext/*.p[yx]*")
    assert matching_lines(files, r"^\s*(from|import|cimport)\s+control\b") == []


def test_every_compiled_module_has_a_stub() -> None:
    modules = {file.stem for file in tracked("fastpath_ext/*.pyx")}
    assert modules == {file.stem for file in tracked("fastpath_ext/*.pyi")} - {"__init__"}


def test_nothing_is_pressed_before_it_is_drawn() -> None:
    """A page draws a moment after it knows: Page.click waits for what it presses."""
    found = matching_lines(tracked("tests/*.py", "benchmarks/*.py"), r"document\.query\w+\(.*\.click\(\)")
    assert found == []


def test_no_file_tells_of_one_machine() -> None:
    """No tracked file holds a path of one machine, nor where one machine fetches its packages from."""
    home = re.escape(str(Path.home())) if str(Path.home()) not in ("/", "/root") else "/root/[.a-z]"
    place = re.escape(str(ROOT.parent)) if str(ROOT.parent) not in ("/", "/tmp", "/home") else "/nowhere-else"
    pattern = rf"(^|[^A-Za-z0-9_.])(/(work|farm|Users)/|{home}/|{place}/)"
    files = [file for file in tracked() if file != Path(__file__)]
    assert matching_lines(files, pattern) == []
    locks = tracked("*package-lock.json")
    assert matching_lines(locks, r'"resolved": "(?!https://registry\.npmjs\.org/)') == []
