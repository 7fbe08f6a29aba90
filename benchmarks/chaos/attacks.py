"""What strangers and members do to a server, while media flows."""

import os
import signal
import time
from pathlib import Path

from benchmarks.chaos import faults
from benchmarks.chaos.rows import more
from benchmarks.chaos.run import Run
from control.io.measures import LATE, delayed
from control.protocol.overload import Load, late_part
from fastpath_ext.counters import Counters


def bad_tags(run: Run) -> None:
    """Twice as many forged packets as good ones, from the address of a member."""
    run.quiet()
    run.people.tell("bad", 2)
    seen = run.people.report(4.0 if run.quick else 20.0)
    run.people.tell("bad", 0)
    seen_after = run.people.report()
    lost = seen.lost + seen_after.lost
    run.rows.add(
        "loss_under_badtag_flood", 100 * lost / max(1, seen.sent), "percent", f"{lost} of {seen.sent}"
    )


def replays(run: Run) -> None:
    """Genuine packets sent again, also to the successor of a killed worker."""
    run.server.until_guarded()
    run.quiet()
    run.people.tell("replay", 1)
    first = run.people.report(2.0)
    killed = run.server.worker
    os.kill(killed, signal.SIGKILL)
    run.server.wait_for("^worker 0 ended", 30)
    run.kills += 1
    second = run.people.report(3.0)
    run.people.tell("replay", 0)
    run.rows.add(
        "replayed_accepted", first.duplicates + second.duplicates, "packets",
        f"about {first.sent + second.sent} replays of the newest 4096, over one kill",
    )  # fmt: skip


def mangled(run: Run) -> None:
    """Uplinks that lose, repeat, reorder and corrupt: what leaves the server is right all the same."""
    run.quiet()
    run.people.tell("mangle", 1)
    seen = run.people.report(5.0 if run.quick else 30.0)
    run.people.tell("mangle", 0)
    run.rows.add(
        "decrypt_failures_mangled", seen.refused + seen.repeats, "packets",
        f"of {seen.received} at 30 % loss, 10 % twice, 10 % late, 5 % corrupt on the way up",
    )  # fmt: skip


def strangers(run: Run) -> None:
    """Datagrams from anywhere: nothing is kept, nothing is answered."""
    run.server.until_guarded()
    count = 500_000 if run.quick else 10_000_000
    before = run.quiet()
    run.people.tell("flood", count // 10)
    during = run.people.report(2.0 if run.quick else 20.0)
    run.people.tell("pause", 1)
    time.sleep(0.5)
    pids = {name: run.server.pids[name] for name in ("worker 0", "control")}
    rss = {name: run.rss_kib(pid) for name, pid in pids.items()}
    run.people.tell("flood", count)
    last, seen = during.flood_sent_bytes, run.people.report(1.0)
    while seen.flood_sent_bytes != last:
        last, seen = seen.flood_sent_bytes, run.people.report(1.0)
    time.sleep(0.5)
    grown = {name: run.rss_kib(pid) - rss[name] for name, pid in pids.items()}
    run.people.tell("pause", 0)
    run.rows.add(
        "spoofed_rss_mib",
        max(0, *grown.values()) / 1024,
        "MiB",
        f"{count} datagrams, an eighth of them under names of their own; KiB of each: {grown}",
    )
    out = seen.flood_got_bytes - before.flood_got_bytes
    run.rows.add(
        "bytes_to_attacker", out, "bytes", f"for {seen.flood_sent_bytes - before.flood_sent_bytes} sent"
    )
    run.rows.add("reflection_ratio", out / max(1, seen.flood_sent_bytes), "times", "")
    run.rows.add(
        "loss_under_flood",
        100 * during.lost / max(1, during.sent),
        "percent",
        f"{during.lost} of {during.sent}",
    )
    run.quiet()


def _fiftieth_of_a_core(pid: int) -> Path | None:
    """A control group with the process in it; of version 1, as the machine has it."""
    group = Path("/sys/fs/cgroup/cpu") / f"sotto-chaos-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text("500000")
        (group / "cpu.cfs_quota_us").write_text("10000")
        (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        return None
    return group


def overload(run: Run) -> None:
    """The worker gets a fiftieth of a core: what control would do, by what the worker itself measures."""
    run.server.until_guarded()
    run.quiet()
    (path,) = faults.segments(run.server.worker, "sotto-state")
    state = os.open(path, os.O_RDONLY)
    counters, load = Counters(state), Load()
    group = _fiftieth_of_a_core(run.server.worker)
    if group is None:
        run.rows.absent("overload_noticed_s", "not measured: no control group for processor time here")
        return
    began = before = time.monotonic()
    last, steps, most = counters.values(), [], (0.0, 0.0)
    while time.monotonic() - began < 15 and not steps:
        time.sleep(1.0)
        now, then = time.monotonic(), counters.values()
        busy = (then["loop_busy_us"] - last["loop_busy_us"]) / 1e6 / (now - before)
        late = late_part(sum(then[each] - last[each] for each in LATE), delayed(then) - delayed(last))
        most, before, last = max(most, (late, busy)), now, then
        if load.measured(busy, now, late):
            steps.append(now - began)
    (group.parent / "cgroup.procs").write_text(str(run.server.worker))
    os.close(state)
    note = f"{100 * most[0]:.0f} % of packets waited over 50 ms, it worked {100 * most[1]:.0f} % of its time"
    if steps:
        run.rows.add("overload_noticed_s", steps[0], "s", f"until new joins are refused; {note}")
    else:
        run.rows.absent("overload_noticed_s", f"not met: {note}")
    run.quiet(2.0)
    group.rmdir()


def many_ssrcs(run: Run) -> None:
    """A member sends under a hundred thousand SSRCs, every packet genuine."""
    count = 50_000 if run.quick else 1_000_000
    run.people.tell("pause", 1)
    time.sleep(0.5)
    before = run.rss_kib(run.server.worker)
    run.people.tell("ssrcs", count)
    run.people.report(2.0)
    grown = run.rss_kib(run.server.worker) - before
    run.people.tell("pause", 0)
    run.rows.add(
        "hostile_peer_kib", max(0, grown) / 2, "KiB", f"each of two members under {count // 2} SSRCs"
    )
    run.quiet()


def slow_consumer(run: Run) -> None:
    """A receiver stops reading its socket; four times on and off in turn, because the machine has moods."""
    seconds, with_it, without = 1.5 if run.quick else 6.0, [], []
    for _ in range(4):
        run.people.report(0.5)
        without.append(run.people.report(seconds).p99_ms)
        run.people.tell("deaf", 4)
        with_it.append(run.people.report(seconds).p99_ms)
        run.people.tell("deaf", -1)
        run.people.report(0.3)  # what waited for it meanwhile is no delay of the server's
    later, note = more(with_it, without)
    run.rows.add("slow_consumer_others_p99_ms", later, "ms", f"p99 {note}")


def consent(run: Run) -> None:
    """One member makes no more checks since the beginning; the others keep theirs."""
    left = 33 - (time.monotonic_ns() - run.gone_at_ns) / 1e9
    if left > 0:
        time.sleep(left)
    seen = run.people.report(1.0)
    stopped = sum(now < seen.now_ns - 1_000_000_000 for now in seen.last_ns[:5])
    run.rows.add("consent_false_stops", stopped, "members", "of 5 that went on checking")


STEPS = (
    bad_tags,
    replays,
    mangled,
    slow_consumer,
    strangers,
    overload,
    consent,
    many_ssrcs,
    faults.bit_flips,
)
