"""Rows of the real thing: a real Synapse, the whole server as `sotto serve` starts it, clients in Python.

Two people send pictures and sound to each other, encrypted, while control is killed, the homeserver goes and
comes back, and people come and go. Loss is counted in opened frames of sound, 50 a second of each.
"""

import asyncio
import itertools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos.rows import Rows
from client.errors import Trouble
from client.media.sources import Pattern
from client.receiving import ReceivedFrame
from control.demo.curious import look
from control.demo.memory import Needle, descendants
from tests.client.house import Guest, House, all_see_all, house
from tests.client.test_curious_server import keys_of

ABSENT_S = 10.0, 180.0
"""How long control is stopped, in a quick and in a full run; the goal is 30 minutes."""
DOWN_S = 8.0, 120.0
SOAK_S = 600.0
"""Of the full run. Shorter, and memory that is touched once looks like memory that grows."""


@dataclass
class Heard:
    """Sound of one member as it arrives at another."""

    arrived: list[float] = field(default_factory=list)

    def take(self, frame: ReceivedFrame) -> None:
        if frame.source == "audio":
            self.arrived.append(frame.arrived)

    def gap_ms(self, since: float) -> float:
        times = [since, *(each for each in self.arrived if each >= since)]
        return 1000 * max((b - a for a, b in itertools.pairwise(times)), default=0.0)


@dataclass
class Scene:
    """What the steps share."""

    where: House
    guests: list[Guest]
    heard: list[Heard]
    rows: Rows
    quick: bool

    def opened(self, guest: Guest, other: Guest) -> int:
        return guest.tile(other, "audio").opened

    def process(self, role: str) -> int:
        server = self.where.demo.server
        assert server is not None
        for pid in descendants(server.pid):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[-2:-1] == [role.encode()]:
                return pid
        raise AssertionError(f"no {role}")

    async def lost(self, during: Awaitable[object]) -> tuple[int, int, float]:
        """Frames of sound that one missed of the other, of how many, and the longest gap in ms."""
        alice, bob = self.guests
        since = time.monotonic()
        before = [self.opened(alice, bob), self.opened(bob, alice)]
        await during
        spent = time.monotonic() - since
        after = [self.opened(alice, bob), self.opened(bob, alice)]
        got = sum(after) - sum(before)
        due = round(2 * 50 * spent)
        gap = max(each.gap_ms(since) for each in self.heard)
        return max(0, due - got - 4), due, gap  # two of each are on the way, or waited at the beginning


async def control_kills(scene: Scene) -> None:
    """Killed while somebody calls: until the answer to the call is there."""
    lost, due, backs, kills = 0, 0, [], 2 if scene.quick else 10
    for _ in range(kills):
        called, answered = asyncio.Event(), asyncio.Event()
        asked: list[float] = []

        def say(text: str, called: asyncio.Event = called, answered: asyncio.Event = answered) -> None:
            if text.startswith("calling"):
                called.set()
            if text == "connecting":
                answered.set()

        joining = asyncio.create_task(scene.where.join("carol", None, say=say))
        await asyncio.wait_for(called.wait(), 30)
        began = time.monotonic()
        asked.append(began)
        os.kill(scene.process("control"), signal.SIGKILL)
        missed, of, _ = await scene.lost(asyncio.wait_for(answered.wait(), 60))
        backs.append(time.monotonic() - began)
        lost, due = lost + missed, due + of
        try:
            guest = await asyncio.wait_for(joining, 60)
            await guest.conference.leave()
        except Exception as error:
            print(f"control_kills: carol: {type(error).__name__}: {error}", file=sys.stderr)
        missed, of, _ = await scene.lost(asyncio.sleep(3))
        lost, due = lost + missed, due + of
    backs.sort()
    scene.rows.add(
        "control_back_s", backs[len(backs) // 2], "s",
        f"from the kill to the answer of a call made at that moment; all {[round(b, 1) for b in backs]}",
    )  # fmt: skip
    scene.rows.add(
        "control_kill_lost", lost, "frames", f"of {due} frames of sound, {kills} kills of the real control"
    )


async def control_absent(scene: Scene) -> None:
    seconds = ABSENT_S[not scene.quick]
    pid = scene.process("control")
    os.kill(pid, signal.SIGSTOP)
    try:
        lost, due, gap = await scene.lost(asyncio.sleep(seconds))
    finally:
        os.kill(pid, signal.SIGCONT)
    note = f"of {due} frames; the real control stopped for {seconds:.0f} s (goal: 30 minutes)"
    note += f", longest gap {gap:.0f} ms"
    scene.rows.add("control_absent_lost", lost, "frames", note)


async def homeserver_down(scene: Scene) -> None:
    """Killed, and started again on its database; a call made while it is away is answered then."""
    seconds = DOWN_S[not scene.quick]
    before, due, gap_before = await scene.lost(asyncio.sleep(5))
    homeserver = scene.where.demo.homeserver
    await asyncio.to_thread(homeserver.stop)
    during, due_down, gap = await scene.lost(asyncio.sleep(seconds))
    change = 100 * abs(during / due_down - before / due)
    scene.rows.add(
        "homeserver_down_media_change", change, "percent",
        f"{during} of {due_down} frames missed in {seconds:.0f} s without it, {before} of {due} before;"
        f" longest gap {gap:.0f} ms, before {gap_before:.0f}",
    )  # fmt: skip
    await asyncio.to_thread(homeserver.start)
    began = time.monotonic()
    answered = asyncio.Event()
    joining = asyncio.create_task(
        scene.where.join("carol", None, say=lambda text: answered.set() if text == "connecting" else None)
    )
    try:
        await asyncio.wait_for(answered.wait(), 60)
        took = time.monotonic() - began
        note = "from the homeserver's first answer to that of a call, with the caller's own log-in"
        scene.rows.add("resync_s", took, "s", note)
        await (await asyncio.wait_for(joining, 60)).conference.leave()
    finally:
        joining.cancel()


async def canary(scene: Scene) -> None:
    """Memory, shared memory, files, logs and figures of all processes of the server."""
    link = scene.guests[1].conference._membership.connections.link
    assert link is not None
    assert link.answer is not None
    hidden = [needle for guest in scene.guests for needle in keys_of(guest)]
    must = [Needle("the ICE password", link.answer.transport.password.encode())]
    found = await asyncio.to_thread(look, scene.where.demo, hidden, must)
    hits = len({each.needle for each in found.secrets.found} | found.in_files)
    known = "was found" if found.known.found else "WAS NOT FOUND, so the search proves nothing"
    note = f"of {len(hidden)} keys and secrets in memory, tables and {found.files} files;"
    note += f" a known password {known}"
    scene.rows.add("canary_hits", hits, "hits", note)


async def soak(scene: Scene) -> None:
    """One comes and goes all the time; memory of control and worker, extrapolated."""
    if scene.quick:
        scene.rows.absent("soak_rss_mib_per_h", "not measured in the quick run: it takes ten minutes")
        return
    seconds = SOAK_S
    pids = {role: scene.process(role) for role in ("control", "worker")}
    points: dict[str, list[tuple[float, float]]] = {role: [] for role in pids}
    fds: dict[str, list[int]] = {role: [] for role in pids}
    troubles: list[str] = []
    began, rounds = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        try:
            guest = await asyncio.wait_for(scene.where.join("carol", None), 60)
            await guest.conference.leave()
            rounds += 1
        except Trouble as trouble:  # of the room's post: the server has no part in it
            troubles.append(trouble.code)
        for role, pid in pids.items():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()  # noqa: ASYNC240 - no disk
            rss = int(next(line.split()[1] for line in text.splitlines() if line.startswith("Rss:"))) / 1024
            points[role].append((time.monotonic() - began, rss))
            fds[role].append(len(os.listdir(f"/proc/{pid}/fd")))
    slopes = {role: 3600 * _slope(each[len(each) // 3 :]) for role, each in points.items()}
    note = f"{rounds} joins in {seconds:.0f} s, extrapolated from the last two thirds: {_said(slopes)} MiB/h;"
    note += f" descriptors {[(each[0], each[-1]) for each in fds.values()]}"
    note += (
        f"; {len(troubles)} joins did not come to be ({', '.join(sorted(set(troubles)))})" if troubles else ""
    )
    scene.rows.add("soak_rss_mib_per_h", max(0.0, *slopes.values()), "MiB/h", note)


def _slope(points: list[tuple[float, float]]) -> float:
    """Least squares."""
    if len(points) < 2:
        return 0.0
    x0 = sum(x for x, _ in points) / len(points)
    y0 = sum(y for _, y in points) / len(points)
    spread = sum((x - x0) ** 2 for x, _ in points)
    return sum((x - x0) * (y - y0) for x, y in points) / spread if spread else 0.0


def _said(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in values.items())


STEPS: tuple[Callable[[Scene], Awaitable[None]], ...] = (
    canary,
    control_absent,
    homeserver_down,
    control_kills,
    soak,
)


def run(rows: Rows, quick: bool, chosen: set[str]) -> None:
    steps = [step for step in STEPS if not chosen or step.__name__ in chosen]
    if not steps:
        return
    with (
        tempfile.TemporaryDirectory(prefix="sotto-chaos-matrix-") as folder,
        house(Path(folder), ("alice", "bob", "carol")) as where,
    ):

        async def scenario() -> None:
            picture = Pattern(320, 180, 10, 440)
            # `service`: they come back by resumption.
            async with where.guests(
                ("alice", picture), ("bob", Pattern(320, 180, 10, 880)), service=where.service
            ) as guests:
                heard = [Heard(), Heard()]
                for guest, ears in zip(guests, heard, strict=True):
                    guest.conference.add_sink(ears.take)
                await all_see_all(guests)
                await asyncio.sleep(2)
                for step in steps:
                    await _guarded(step, Scene(where, guests[:2], heard, rows, quick))

        where.namespace.call(asyncio.run, scenario())


async def _guarded(step: Callable[[Scene], Awaitable[None]], scene: Scene) -> None:
    began = time.monotonic()
    try:
        await step(scene)
    except Exception as error:
        print(f"{step.__name__}: {type(error).__name__}: {str(error)[-2000:]}", file=sys.stderr)
    print(f"  ({step.__name__}: {time.monotonic() - began:.1f} s)", flush=True)
