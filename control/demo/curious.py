"""What somebody who owns the machines of a call could find there: memory of every process, shared tables,
files.

For `make demo-check` and the tests: both look for media keys and what was said, and for something that must
be there, which shows that the looking works.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from control.demo.memory import Needle, Scan, descendants, scan
from control.demo.run import Demo


@dataclass(frozen=True, slots=True)
class Findings:
    """`secrets`: what no server may have. `known`: what ours must have, for it made it."""

    secrets: Scan
    known: Scan
    in_files: frozenset[str]
    files: int


def look(demo: Demo, secrets: Sequence[Needle], known: Sequence[Needle]) -> Findings:
    """While the call goes on: that is when a server that had them would hold them. PermissionError where the
    memory of other processes cannot be read."""
    assert demo.server is not None
    assert demo.homeserver.pid is not None
    server = descendants(demo.server.pid)
    found, files = in_files(demo.folder, secrets)
    return Findings(scan([*server, demo.homeserver.pid], secrets), scan(server, known), found, files)


def in_files(folder: Path, secrets: Iterable[Needle]) -> tuple[frozenset[str], int]:
    """Names of those that stand in a file below the folder: logs, what the server keeps, the homeserver's
    database; and how many files were read."""
    needles = list(secrets)
    found: set[str] = set()
    read = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        text = path.read_bytes()
        read += 1
        found |= {each.name for each in needles if any(form in text for form in each.forms.values())}
    return frozenset(found), read
