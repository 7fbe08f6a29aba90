"""docs/security.md and docs/protocol.md keep to what there is: their tests, rows and figures."""

import re
import subprocess
from pathlib import Path

import pytest

from control.protocol import limits


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs/security.md").read_text()


@pytest.fixture(scope="module")
def files(root: Path) -> dict[str, list[Path]]:
    """All that are kept, by name."""
    listed = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, text=True
    )
    found: dict[str, list[Path]] = {}
    for line in listed.split("\n"):
        if (root / line).is_file():
            found.setdefault(Path(line).name, []).append(root / line)
    return found


@pytest.mark.parametrize(("name", "beginning", "least"), [("security", "", 60), ("protocol", "## 12. ", 35)])
def test_every_test_that_is_named_exists(
    root: Path, files: dict[str, list[Path]], name: str, beginning: str, least: int
) -> None:
    page = (root / f"docs/{name}.md").read_text()
    page = page[page.index(beginning) :]
    missing, where, seen = [], "", 0
    for named in re.findall(r"`([^`\n]+)`", page):
        if found := re.fullmatch(r"(?:[\w./]*/)?([\w.]+\.(?:c|py|ts)): ([\w, ]+)", named):
            where, tests = found[1], found[2].split(", ")
        elif re.fullmatch(r"test_\w+", named):
            tests = [named]
        elif re.fullmatch(r"[\w./]+\.(c|py|ts)", named):
            where, tests = Path(named).name, []
        else:
            continue
        seen += 1
        text = "".join(path.read_text() for path in files.get(where, []))
        missing += [f"{where}: {test}" for test in tests if not re.search(rf"\b{test}\b", text)]
        missing += [where] if not text else []
    assert not missing
    assert seen >= least


def test_every_row_that_is_named_is_measured(page: str, root: Path) -> None:
    measured = "".join(path.read_text() for path in (root / "benchmarks/chaos").glob("*.py"))
    measured += (root / "control/demo/figures.py").read_text()
    for rows in re.findall(r"rows? ((?:`\w+`(?:, )?)+)", page):
        for row in re.findall(r"`(\w+)`", rows):
            assert f'"{row}"' in measured, row


def test_budgets_are_as_they_are_said(page: str, root: Path) -> None:
    """Each figure stands in its row, in some unit in which it may be said."""
    core = dict(re.findall(r"#define (LIMIT_\w+) (\d+)\b", (root / "fastpath/limits.h").read_text()))
    table = page.partition("### What anybody may cost")[2].partition("###")[0]
    rows = [line.split("|")[2:4] for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 12
    words = {1: "one", 0.5: "one in 2 s"}
    for said, names in rows:
        for name in re.findall(r"`(\w+)`", names):
            value = float(core[name] if name in core else getattr(limits, name))
            spelt = {f"{value:g}", f"{value:.0f}", f"{value / 1024:g} KiB", words.get(value, "?")}
            assert any(re.search(rf"(?<![\d.]){re.escape(each)}(?![\d.]\d)", said) for each in spelt), (
                name,
                value,
            )
