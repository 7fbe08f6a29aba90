"""What control notes for the next control: whole after a kill at any instant, small, and quick to write."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from control.io import memory
from control.io.memory import Memory, make_memory
from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import os, sys
from control.io.memory import Memory
notes = Memory(int(sys.argv[1]))
at = max((int(v["n"]) for v in notes.notes.values()), default=0)
while True:
    at += 1
    # Two keys in one call: each is whole, and the second is never newer than the first.
    other = {"n": at, "x": "y" * (at * 7 % 5000)}
    notes.note([("a", {"n": at, "x": "x" * (at % 3000)}), (f"k{at % 50}", other)])
"""


def reopened(fd: int) -> Memory:
    return Memory(os.dup(fd))


def test_where_memory_ran_out_everything_is_written_when_it_is_there_again(monkeypatch) -> None:
    fd = make_memory()
    first = reopened(fd)
    first.note([("a", 1)])
    left = 0

    def pwrite(to: int, data: bytes, at: int) -> int:
        return os.write_at(to, data[:left], at) if len(data) > 8 else os.write_at(to, data, at)

    monkeypatch.setattr(os, "write_at", os.pwrite, raising=False)
    for left in (0, 3, 12):  # nothing, and pieces of a note
        with monkeypatch.context() as short:
            short.setattr(os, "pwrite", pwrite)
            for number in range(3):
                with pytest.raises(OSError, match="No space left"):
                    first.note([("b", left), (f"c{number}", left)])
        assert reopened(fd).notes.items() >= {"a": 1}.items()
    first.note([("d", 4)])
    assert reopened(fd).notes == {"a": 1, "b": 12, "c0": 12, "c1": 12, "c2": 12, "d": 4}
    assert not first.full


def test_what_was_noted_last_comes_back() -> None:
    fd = make_memory()
    first = reopened(fd)
    assert first.notes == {}
    first.note([("a", 1), ("b", [1, 2])])
    first.note([("a", {"x": "ä"}), ("c", "gone")])
    first.note([("c", None)])
    first.close()
    second = reopened(fd)
    assert second.notes == {"a": {"x": "ä"}, "b": [1, 2]}
    second.note([("b", 3)])
    assert reopened(fd).notes == {"a": {"x": "ä"}, "b": 3}


def test_it_stays_small() -> None:
    fd = make_memory()
    first = reopened(fd)
    for turn in range(3000):
        first.note([(f"k{turn % 20}", {"n": turn, "text": "x" * 2000})])
    used = os.fstat(fd).st_blocks * 512
    assert used < 4 * memory._SLACK
    assert {value["n"] for value in reopened(fd).notes.values()} == set(range(2980, 3000))


def test_another_layout_begins_anew() -> None:
    fd = make_memory()
    reopened(fd).note([("a", 1)])
    os.pwrite(fd, b"SottoN\x00\x63", 0)
    again = reopened(fd)
    assert again.notes == {}
    again.note([("b", 2)])
    assert reopened(fd).notes == {"b": 2}


def test_damage_costs_what_follows_it() -> None:
    fd = make_memory()
    first = reopened(fd)
    first.note([("a", 1)])
    first.note([("b", 2)])
    end = first._area + first._at
    first.note([("c", 3)])
    for place in range(end, first._area + first._at):
        byte = os.pread(fd, 1, place)
        os.pwrite(fd, bytes((byte[0] ^ 0x5A,)), place)
        assert reopened(fd).notes == {"a": 1, "b": 2}, place - end
        os.pwrite(fd, byte, place)


def test_too_much_is_not_noted_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    fd = make_memory()
    first = reopened(fd)
    first.note([("a", 1)])
    monkeypatch.setattr(memory, "AREA", 1 << 20)
    monkeypatch.setattr(memory, "_SLACK", 1 << 10)
    first.note([("b", "x" * (1 << 20))])
    assert first.full
    assert reopened(fd).notes == {}


def test_whole_after_every_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    fd = make_memory()
    chance = random.Random(5)
    last = 0
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(fd)], pass_fds=[fd], cwd=ROOT)
        began = reopened(fd).notes.get("a", {}).get("n", 0)
        deadline = time.monotonic() + PATIENCE_S
        while reopened(fd).notes.get("a", {}).get("n", 0) == began and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        notes = reopened(fd).notes
        newest = notes["a"]["n"]
        assert newest > last
        last = newest
        others = sorted(value["n"] for key, value in notes.items() if key != "a")
        # All fifty of the last, but perhaps the very last.
        assert others[-1] in (newest, newest - 1)
        assert others == list(range(others[-1] - len(others) + 1, others[-1] + 1))
        assert len(others) == min(50, others[-1])
    os.close(fd)
