"""Looks for secrets in the memory of running processes, as whoever takes over the machine could.

    needles = [Needle("alice's camera", key), ...]
    found = scan([pid, ...], needles)

Writable and anonymous memory is read through /proc/PID/mem, shared memory through its descriptors, each page
that is there once. Code and data of files that nobody can have written to are left out.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
CHUNK = 16 << 20
"""Bytes searched at once. Higher: more memory of our own; lower: more turns."""
ENTRIES = CHUNK // PAGE
_PRESENT_OR_SWAPPED = 3 << 62
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (.)(.).(.) \S+ \S+ (\d+)\s*(.*)")


@dataclass(frozen=True, slots=True)
class Needle:
    """A secret to look for, and what to call it: a scan never tells the secret itself."""

    name: str
    secret: bytes

    @property
    def forms(self) -> dict[str, bytes]:
        """How it might be written down. Base64 without its last character, which depends on what follows."""
        standard = base64.b64encode(self.secret).rstrip(b"=")[:-1]
        url_safe = base64.urlsafe_b64encode(self.secret).rstrip(b"=")[:-1]
        digits = self.secret.hex().encode()
        forms = {"raw": self.secret, "base64": standard, "hex": digits}
        if url_safe != standard:
            forms["base64url"] = url_safe
        if digits.upper() != digits:
            forms["HEX"] = digits.upper()
        return forms


@dataclass(frozen=True, slots=True)
class Found:
    needle: str
    form: str
    pid: int


@dataclass(slots=True)
class Scan:
    """What was found in `searched_bytes` of memory of `processes`."""

    processes: int = 0
    searched_bytes: int = 0
    found: set[Found] = field(default_factory=set)

    def names(self, form: str | None = None) -> set[str]:
        """Names of the needles found, in any form or in this."""
        return {one.needle for one in self.found if form in (None, one.form)}


def scan(pids: Iterable[int], needles: Sequence[Needle]) -> Scan:
    """Raises PermissionError where the memory of a process cannot be read; one that has ended is skipped."""
    patterns = [(one.name, form, text) for one in needles for form, text in one.forms.items()]
    overlap = max((len(text) for _name, _form, text in patterns), default=1) - 1
    result = Scan()
    shared: set[tuple[int, int]] = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for run in _pieces(pid, shared, overlap):
                result.searched_bytes += len(run)
                for name, form, text in patterns:
                    if text in run:
                        result.found.add(Found(name, form, pid))
            result.processes += 1
    return result


def descendants(pid: int) -> list[int]:
    """The process and everything it started, at any depth."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def _pieces(pid: int, shared: set[tuple[int, int]], overlap: int) -> Iterator[bytes]:
    """All memory of a process in pieces; what two pieces have in common is as long as `overlap`."""
    yield from _shared_files(pid, shared, overlap)
    with (
        open(f"/proc/{pid}/mem", "rb", buffering=0) as memory,
        open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap,
    ):
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            mapping = _MAPPING.match(line)
            if mapping is None or mapping[3] != "r" or mapping[7] in ("[vvar]", "[vsyscall]", "[vdso]"):
                continue
            if mapping[7].startswith("/memfd:") or (mapping[6] != "0" and mapping[4] != "w"):
                continue
            for start, end in _present(pagemap.fileno(), int(mapping[1], 16), int(mapping[2], 16)):
                for offset in range(start, end, CHUNK):
                    length = min(CHUNK + overlap, end - offset)
                    with contextlib.suppress(OSError):  # unmapped meanwhile, or a device
                        yield os.pread(memory.fileno(), length, offset)


def _present(pagemap: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Runs of pages that exist: reading the others would only make them."""
    begun: int | None = None
    for first in range(start, end, ENTRIES * PAGE):
        count = min(ENTRIES, (end - first) // PAGE)
        raw = os.pread(pagemap, count * 8, first // PAGE * 8)
        if not raw.strip(b"\0"):
            entries: Iterable[int] = ()
            if begun is not None:
                yield begun, first
                begun = None
        else:
            entries = array("Q", raw)
        for index, entry in enumerate(entries):
            address = first + index * PAGE
            if entry & _PRESENT_OR_SWAPPED:
                begun = address if begun is None else begun
            elif begun is not None:
                yield begun, address
                begun = None
    if begun is not None:
        yield begun, end


def _shared_files(pid: int, seen: set[tuple[int, int]], overlap: int) -> Iterator[bytes]:
    """Shared memory a process has open, each file once for all processes."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if not os.readlink(link).startswith("/memfd:"):
                continue
            with open(link, "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                for offset in range(0, status.st_size, CHUNK):
                    piece = os.pread(file.fileno(), CHUNK + overlap, offset)
                    if piece.strip(b"\0"):
                        yield piece
