"""Processes die, hang, are renewed; tables and clocks are spoiled."""

import contextlib
import os
import random
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.chaos.participants import Participants
from benchmarks.chaos.rows import more
from benchmarks.chaos.run import Run
from benchmarks.chaos.server import ROOT, ChaosServer


def worker_kills(run: Run) -> None:
    """SIGKILL to the worker under load; the standby goes on from the table.

    Before each kill as much time in which nothing happens: what the machine does by itself is no gap of ours.
    """
    kills = 15 if run.quick else 100
    losses, gaps, undisturbed, wrapped, recovered = [], [], [], 0, 0
    for _ in range(kills):
        run.server.until_guarded()
        run.people.report(0.1)
        undisturbed.append(run.people.report(0.8).gap_ms)
        killed = run.server.worker
        os.kill(killed, signal.SIGKILL)
        run.server.wait_for("^worker 0 ended by SIGKILL")
        seen = run.people.report(0.8)
        while run.server.worker == killed:
            run.server._read(0.05)
        losses.append(seen.lost)
        gaps.append(seen.gap_ms)
        run.kills += 1
        wrapped += 1
        recovered += seen.refused == 0 and seen.received > 0
    p99, without = (sorted(each)[int(len(each) * 0.99)] for each in (gaps, undisturbed))
    what = f"{kills} kills at {2 * run.rate:.0f} packets/s in, {10 * run.rate:.0f} out"
    what += f", {100 * run.load:.0f} % of a core (goal: 20,000 in, half load)"
    run.rows.add("worker_kill_lost_median", statistics.median(losses), "packets", what)
    run.rows.add("worker_kill_lost_max", max(losses), "packets", f"all: {sorted(losses)}")
    run.rows.add(
        "worker_kill_gap_ms_p99", max(0.0, p99 - without), "ms",
        f"p99 {p99:.1f} with a kill, {without:.1f} in as many times without;"
        f" medians {statistics.median(gaps):.1f} and {statistics.median(undisturbed):.1f}",
    )  # fmt: skip
    run.rows.add(
        "roc_recovered", 100 * recovered / wrapped, "percent",
        "each kill is past a wrap; nothing was refused in the second after",
    )  # fmt: skip


MANY_RATE = 2500.0
"""Packets a second of each sender in many_kills. Higher: who stands by takes longer to be ready. Lower:
fewer kills hit a packet under way."""


def many_kills(run: Run) -> None:
    """One after the other, as soon as somebody stands by: what index_repeats rests on."""
    if run.quick:
        return
    chance, worst, began = random.Random(7), 0, time.monotonic()
    run.people.tell("rate", int(min(run.rate, MANY_RATE)))
    while run.kills < run.many:
        run.server.until_guarded()
        time.sleep(chance.random() * 0.05)
        killed = run.server.worker
        os.kill(killed, signal.SIGKILL)
        run.kills += 1
        while run.server.worker == killed:
            run.server._read(0.02)
        # By which signal is not told of one whose parent was a former supervisor (supervisor_kill).
        run.server.wait_for("^worker 0 ended")
        if run.kills % 20 == 0:
            seen = run.people.report(0)
            worst = max(worst, seen.duplicates)
            # On a machine without time this may be SRTP itself: who missed 32,768 packets of a source in a
            # row, 13 s here, no longer knows its rollover counter (RFC 3711).
            assert seen.received, f"no media by kill {run.kills}, {seen.lost_all} packets reached nobody"
    run.people.tell("rate", int(run.rate))
    run.quiet()
    took = time.monotonic() - began
    run.rows.add(
        "many_kills_duplicates", worst, "packets", f"most in 20 kills; by {run.kills} in all, {took:.0f} s"
    )


def worker_stops(run: Run) -> None:
    """SIGSTOP: the supervisor kills it, the standby goes on."""
    run.server.until_guarded()
    stopped = run.server.worker
    run.quiet()
    os.kill(stopped, signal.SIGSTOP)
    run.server.wait_for("^worker 0 ended", 30)
    seen = run.people.report(1.5)
    while run.server.worker == stopped:
        run.server._read(0.05)
    run.rows.add("worker_stop_gap_ms", seen.gap_ms, "ms", f"hung by SIGSTOP; {seen.lost} packets lost")


def upgrade(run: Run) -> None:
    """SIGUSR2: every process becomes the program that is installed now."""
    run.server.until_guarded()
    run.quiet()
    before = run.server.worker
    run.server.process.send_signal(signal.SIGUSR2)
    run.server.wait_for("^1 workers taken over, 1 at work", 60)
    run.server.wait_for("^worker 0 is relieved", 60)
    while run.server.worker == before:
        run.server._read(0.1)
    seen = run.people.report(1.0)
    after = run.people.report(1.5)
    dropped = 0 if after.received and after.lost == 0 else sum(n < seen.now_ns for n in after.last_ns[:5])
    run.rows.add("upgrade_calls_dropped", dropped, "calls", f"{seen.lost} packets lost meanwhile")
    run.rows.add("upgrade_lost", seen.lost, "packets")


def supervisor_kill(run: Run) -> None:
    """SIGKILL to the supervisor; a second one takes everything over."""
    run.server.until_guarded()
    run.quiet()
    run.server.process.kill()
    run.server.process.wait()
    second = ChaosServer(run.folder)
    second.pids = {**run.server.pids, **second.pids}
    same = second.ports == run.server.ports
    run.former.append(run.server)
    run.server = second
    seen = run.people.report(1.0)
    run.rows.add(
        "supervisor_kill_calls_dropped",
        0 if same and seen.received else 5,
        "calls",
        f"{seen.lost} packets lost",
    )
    run.server.until_guarded()
    killed = run.server.worker
    os.kill(killed, signal.SIGKILL)
    run.server.wait_for("^worker 0 ended", 30)
    seen = run.people.report(1.5)
    assert seen.received, "the second supervisor does not supervise"


def segments(pid: int, name: str) -> list[str]:
    """Descriptors of shared memory that a process holds."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        with contextlib.suppress(FileNotFoundError):
            if name in os.readlink(path):
                found.append(path)
    return found


def resources(run: Run) -> None:
    """No descriptor and no page more for any process while media flows; in turn with as many as they like."""
    run.server.until_guarded()
    run.quiet()
    pids = [run.server.pids[name] for name in ("worker 0", "standby 0", "control")]
    former = [
        (pid, what, resource.prlimit(pid, what))
        for pid in pids
        for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS)
    ]
    gaps: dict[bool, list[float]] = {True: [], False: []}
    lost = 0
    for exhausted in (False, True, True, False) * (2 if run.quick else 4):
        for pid, what, (soft, hard) in former:
            least = 3 if what == resource.RLIMIT_NOFILE else 1 << 20
            resource.prlimit(pid, what, (least if exhausted else soft, hard))
        run.people.report(0.1)
        seen = run.people.report(0.7)
        gaps[exhausted].append(seen.gap_ms)
        lost += seen.lost if exhausted else 0
    for pid, what, limits in former:
        resource.prlimit(pid, what, limits)
    gap, note = more(gaps[True], gaps[False])
    note = f"no descriptor or page to be had; longest gaps in 0.7 s: {note}"
    run.rows.add("resource_exhaustion_gap_ms", gap, "ms", note)
    run.rows.add("resource_exhaustion_lost", lost, "packets", "in those times")


def clock_jumps(run: Run) -> None:
    """Another server whose wall clock jumps by an hour forth and back, and by a day."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not libraries:
        run.rows.absent("clock_jump_gap_ms", "not measured: libfaketime is not installed")
        return
    with tempfile.TemporaryDirectory(prefix="sotto-chaos-clock-", ignore_cleanup_errors=True) as folder:
        clock = Path(folder) / "clock"
        clock.write_text("+0")
        wrong = {"LD_PRELOAD": str(libraries[0]), "FAKETIME_TIMESTAMP_FILE": str(clock)}
        wrong |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
        run.people.tell("pause", 1)
        server = ChaosServer(Path(folder), wrong)
        people = None
        try:
            server.wait_for("^control ready", 60)
            server.until_guarded()
            people = Participants(Path(folder), server.port, run.rate)
            people.report(3.0)
            before, during, lost = [], [], 0
            for jump in ("+3600", "-3600", "+0", "+86400", "+0"):
                before.append(people.report(0.7).gap_ms)
                clock.write_text(jump)
                seen = people.report(0.7)
                during.append(seen.gap_ms)
                lost += seen.lost
            gap, note = more(during, before)
            note = f"longest gaps around 5 jumps: {note}; {lost} packets lost"
            run.rows.add("clock_jump_gap_ms", gap, "ms", note)
        finally:
            if people:
                people.close()
            server.close()
            run.people.tell("pause", 0)
            run.people.report(1.0)


def bit_flips(run: Run) -> None:
    """Bits turn over in the config segment of a running worker; then control writes the rows anew."""
    run.server.until_guarded()
    run.quiet()
    chance, flips = random.Random(5), 300 if run.quick else 5000
    (path,) = segments(run.server.worker, "sotto-config")
    segment = os.open(path, os.O_RDWR)
    size = os.fstat(segment).st_size
    lines = [at for at in range(256, size, 64) if any(os.pread(segment, 64, at))]
    run.people.misrouted = 0
    for _ in range(flips):
        at = chance.choice(lines) + chance.randrange(64)
        (value,) = os.pread(segment, 1, at)
        os.pwrite(segment, bytes((value ^ 1 << chance.randrange(8),)), at)
        time.sleep(0.002)
    os.close(segment)
    # A worker that is started now reads what stands there.
    os.kill(run.server.worker, signal.SIGKILL)
    run.server.wait_for("^worker 0 ended", 30)
    run.people.report(1.5)
    began = time.monotonic()
    while not run.people.report(0.2).received and time.monotonic() - began < 20:
        continue
    seen = run.people.report(1.0)
    who, took = "all" if seen.lost == 0 else "NOT ALL", time.monotonic() - began + 0.5
    back = f"media of {who} is back {took:.1f} s after it"
    run.rows.add(
        "bitflip_misroutes", run.people.misrouted, "packets",
        f"{flips} flips in {len(lines)} lines of the config segment, then a kill of the worker; {back}",
    )  # fmt: skip


def torn_tables(run: Run) -> None:
    """The table's own test: control killed 500 times while it writes."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "tests/fastpath/test_table_kill.py"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    found = re.search(r"\d+ kills.* (\d+) torn", done.stdout)
    if not found:
        run.rows.absent("torn_tables", "not measured: " + done.stdout.strip().rpartition("\n")[2])
        return
    run.rows.add("torn_tables", int(found[1]), "tables", found[0])


_OUTCOMES = "passed", "(?:failed|errors?)"


def by_tests(run: Run) -> None:
    """Rows whose evidence is tests: each name stands for cases that have to pass."""
    for row, unit, whole, tests in (
        (
            "poison_other_rooms_delivered", "percent", 100,
            ["tests/protocol/test_sync.py", "tests/io/test_matrix.py::test_poison_never_costs_another_event"],
        ),
        (
            "malicious_homeserver_keys", "keys", 0,
            [
                "tests/io/test_matrix.py::test_false_device_keys_cost_only_their_owner",
                "tests/io/test_bot_keys.py",
            ],
        ),
    ):  # fmt: skip
        command = [sys.executable, "-m", "pytest", "-q", *tests]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        passed, failed = (
            sum(int(n) for n in re.findall(rf"(\d+) {word}", done.stdout)) for word in _OUTCOMES
        )
        if not passed + failed:
            run.rows.absent(row, "not measured: " + done.stdout.strip().rpartition("\n")[2])
            continue
        value = 100 * passed / (passed + failed) if whole else failed
        run.rows.add(row, value, unit, f"{passed} of {passed + failed} tests: {' '.join(tests)}")


STEPS = (
    worker_kills,
    worker_stops,
    resources,
    upgrade,
    supervisor_kill,
    clock_jumps,
    torn_tables,
    by_tests,
    many_kills,
)
