"""`python -m control.demo` as a person uses it: start, open the URLs, Ctrl-C, start again."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from control.demo.run import own_address
from tests.patience import PATIENCE_S

START_S = 180.0
"""7 to 15 s where the machine has time: a homeserver, its people and rooms, the server."""


class Terminal:
    """The demo's process and the lines it has printed so far."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "control.demo", "--folder", str(folder)],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip())
        self._queue.put(None)

    def wait_for(self, pattern: str, timeout_s: float = START_S) -> str:
        deadline = time.monotonic() + timeout_s
        while (line := self._queue.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
            self.lines.append(line)
            if re.search(pattern, line):
                return line
        pytest.fail("the demo ended:\n" + "\n".join(self.lines), pytrace=False)

    def descendants(self) -> set[int]:
        """Process ids of everything it started, at any depth."""
        parents: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            except OSError:  # it ended while we looked
                continue
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}


@contextmanager
def demo(folder: Path, root: Path) -> Iterator[Terminal]:
    terminal = Terminal(folder, root)
    try:
        yield terminal
    finally:
        if terminal.process.poll() is None:
            terminal.process.send_signal(signal.SIGINT)
            terminal.process.wait(PATIENCE_S)


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
        body: bytes = response.read()
        return body


@pytest.mark.synapse
def test_two_starts_and_two_stops(tmp_path: Path, root: Path) -> None:
    with demo(tmp_path / "demo", root) as first:
        urls = [first.wait_for(rf"{name} +http").split()[-1] for name in ("Alice", "Bob", "Carol")]
        assert urls[1].endswith("/?demo=bob")
        base = urls[0].partition("?")[0]
        assert b"<html" in get(urls[0]).lower()
        config = json.loads(get(base + "config.json"))
        assert set(config["demo"]["people"]) == {"alice", "bob", "carol"}
        assert config["demo"]["room_id"].startswith("!")
        assert get(base + "readyz")
        started = first.descendants()
        assert len(started) >= 3  # homeserver, supervisor, at least one more

        with demo(tmp_path / "demo", root) as other:
            assert "another demo" in other.wait_for("!!!")
            assert other.process.wait(PATIENCE_S) == 1

        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(PATIENCE_S) == 0
        assert not [pid for pid in started if running(pid)]

    with demo(tmp_path / "demo", root) as second:
        again = second.wait_for("Alice +http").split()[-1]
        assert again == urls[0]
        assert json.loads(get(base + "config.json"))["demo"] == config["demo"]


@pytest.mark.synapse
def test_nothing_is_left_when_the_demo_is_killed(tmp_path: Path, root: Path) -> None:
    with demo(tmp_path / "demo", root) as terminal:
        terminal.wait_for("Carol +http")
        started = terminal.descendants()
        terminal.process.kill()
        terminal.process.wait()
        deadline = time.monotonic() + PATIENCE_S
        while left := [pid for pid in started if running(pid)]:
            assert time.monotonic() < deadline, f"{len(left)} processes are left"
            time.sleep(0.05)


def test_the_own_address_is_one_of_this_machine() -> None:
    address = own_address("127.0.0.1")
    listing = subprocess.run(["ip", "address"], capture_output=True, text=True, check=True).stdout
    assert f"inet {address}/" in listing


def running(pid: int) -> bool:
    """True while the process runs; one that ended and is not yet collected counts as ended."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
