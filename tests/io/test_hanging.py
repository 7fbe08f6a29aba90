"""What hangs is told from what is kept waiting (control/hanging.py)."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from control.hanging import BEGIN_S, HANG_S, TURN_CPU_S, Pace, Watch
from control.processes import Process

LOOK_S = 0.5
BEAT = 100.0
Of = Callable[[float], Pace]

CASES: dict[str, tuple[Of, bool]] = {
    "sleeps for ever, or was stopped": (lambda _: Pace(False, 7), True),
    "waits for a processor": (lambda _: Pace(True, 7), False),
    "gets a little of one now and then": (lambda s: Pace(int(s * 2) % 2 == 0, int(s * 1e6)), False),
    "goes round in circles": (lambda s: Pace(True, int(s * 1e9)), True),
    "goes round in circles on half a processor": (lambda s: Pace(True, int(s * 5e8)), True),
    "goes round in circles and sleeps in between": (lambda s: Pace(False, int(s * 1e9)), True),
}


def found_after(of: Of, since: float, *, began: float, beat: float) -> float | None:
    """Seconds until it is said to hang; None: not in a minute."""
    watch = Watch()
    for look in range(120):
        if watch.look(since + look * LOOK_S, began, beat, 1, of(look * LOOK_S)):
            return look * LOOK_S
    return None


@pytest.mark.parametrize("name", CASES)
def test_one_whose_heart_stands_still(name: str):
    of, hangs = CASES[name]
    found = found_after(of, BEAT, began=BEAT - 50, beat=BEAT)
    assert (found is not None) == hangs
    if found is not None:
        share = 0.5 if "half" in name else 1.0
        assert HANG_S < found <= max(HANG_S, TURN_CPU_S / share) + 2 * LOOK_S


@pytest.mark.parametrize("name", CASES)
def test_one_that_has_not_begun(name: str):
    of, hangs = CASES[name]
    found = found_after(of, BEAT, began=BEAT, beat=BEAT - 5)
    assert (found is not None) == hangs
    assert found is None or found > BEGIN_S


def test_one_that_lives_and_one_that_follows_are_not_called_hanging():
    watch = Watch()
    for look in range(100):
        now = BEAT + look * LOOK_S
        assert not watch.look(now, BEAT, now - 0.02, 1, Pace(False, int(look * 4e8)))
    # The next one's processor time has nothing to do with that of the one before.
    assert not watch.look(BEAT + 60, BEAT + 60, BEAT + 50, 2, Pace(True, int(9e12)))
    assert not watch.look(BEAT + 62.5, BEAT + 60, BEAT + 60, 2, Pace(True, int(9e12)))


@pytest.fixture
def spinning() -> Iterator[Process]:
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    process = Process(child.pid)
    yield process
    child.kill()
    child.wait()
    process.close()


def test_what_the_machine_says_of_a_process(spinning: Process):
    before = spinning.pace().cpu_ns
    while not spinning.pace().runnable or spinning.pace().cpu_ns <= before + 10_000_000:
        continue
    spinning.send(signal.SIGSTOP)
    # It counts as stopped a moment before the system has added up its last time.
    looks = [spinning.pace()]
    while looks[0].runnable or looks != 4 * looks[:1]:
        looks = [spinning.pace() for _ in range(4)]
    assert looks[0].cpu_ns > before


def test_of_one_that_is_no_more_it_is_as_if_it_slept(spinning: Process):
    spinning.send(signal.SIGKILL)
    while not spinning.ended:
        continue
    assert not spinning.pace().runnable
