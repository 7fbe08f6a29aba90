"""Rows of the real thing: a real Synapse, the whole server as `sotto serve` starts it, clients in Python.

Two people send pictures and sound to each other, encrypted, while control is killed, the homeserver goes and
comes back, and people come and go. Loss is counted in frames of sound, of 50 a second of each: those that
one sealed, less those that the other opened.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.chaos.exhaustion import exhausted, own_disk
from benchmarks.chaos.rows import Rows
from benchmarks.chaos.scene import Heard, Said, Scene
from benchmarks.chaos.server import ROOT
from benchmarks.chaos.soak import VISITORS, soak
from client.happenings import Ended, MemberLeft
from client.media.sources import Pattern
from control.demo.curious import look
from control.demo.memory import Needle
from tests.client import programs
from tests.client.house import House, all_see_all, house, until
from tests.client.test_curious_server import keys_of

ABSENT_S = 10.0, float(os.environ.get("ABSENT_S", "1800"))
"""How long control is stopped, in a quick and in a full run."""
DOWN_S = 8.0, 60.0


async def control_kills(scene: Scene) -> None:
    """Killed while somebody calls and the next one stands by: until the answer to the call is there."""
    lost, due, backs, kills = 0, 0, [], 2 if scene.quick else 10
    for _ in range(kills):
        await scene.where.guarded()
        called, answered = asyncio.Event(), asyncio.Event()

        def say(text: str, called: asyncio.Event = called, answered: asyncio.Event = answered) -> None:
            if text.startswith("calling"):
                called.set()
            if text == "connecting":
                answered.set()

        joining = asyncio.create_task(scene.where.join("carol", None, say=say))
        await asyncio.wait_for(called.wait(), 30)
        began = time.monotonic()
        scene.where.kill_control()
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
    pid = scene.where.control
    before = [guest.conference._membership.connections.link for guest in scene.guests]
    os.kill(pid, signal.SIGSTOP)
    try:
        lost, due, gap = await scene.lost(asyncio.sleep(seconds))
    finally:
        os.kill(pid, signal.SIGCONT)
    note = f"of {due} frames; the real control stopped for {seconds:.0f} s (goal: 30 minutes)"
    note += f", longest gap {gap:.0f} ms"
    scene.rows.add("control_absent_30min_lost", lost, "frames", note)
    began = time.monotonic()

    def moved() -> bool:
        now = [guest.conference._membership.connections.link for guest in scene.guests]
        return all(one is not other for one, other in zip(before, now, strict=True))

    if seconds > 60:  # sooner their channels are still alive
        after, of, gap = await scene.lost(until(moved, "both have come back", 120))
        took = time.monotonic() - began
        note = f"until both have new connections; {after} of {of} frames lost, longest gap {gap:.0f} ms"
        scene.rows.add("absent_resumed_s", took, "s", note)


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
    answered, heard = asyncio.Event(), []

    def say(text: str) -> None:
        heard.append(f"{text} {time.monotonic() - began:.1f}")
        if text == "connecting":
            answered.set()

    joining = asyncio.create_task(scene.where.join("carol", None, say=say))
    waiting = asyncio.create_task(answered.wait())
    try:
        await asyncio.wait((joining, waiting), timeout=60, return_when=asyncio.FIRST_COMPLETED)
        if not answered.is_set():
            why = repr(joining.exception()) if joining.done() else "nothing yet"
            raise TimeoutError(f"{time.monotonic() - began:.1f} s: {why}; carol heard: {heard}")
        took = time.monotonic() - began
        note = "from the homeserver's first answer to that of a call, with the caller's own log-in"
        scene.rows.add("resync_s", took, "s", note)
        await (await asyncio.wait_for(joining, 60)).conference.leave()
    finally:
        waiting.cancel()
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


async def layout_upgrade(scene: Scene) -> None:
    """`sotto upgrade` to a build with other tables: on ports of its own, and everybody moves over."""
    if scene.quick:
        scene.rows.absent("layout_upgrade_calls_dropped", "not measured in the quick run")
        return
    before = [guest.conference._membership.connections.link for guest in scene.guests]
    happened = [len(guest.happened) for guest in scene.guests]
    programs.install_another_build(scene.program)
    said = ""

    async def renew() -> None:
        nonlocal said
        said = await programs.upgrade(scene.where.demo, scene.program)

    lost, due, gap = await scene.lost(renew())
    links = [guest.conference._membership.connections.link for guest in scene.guests]
    dropped = sum(
        link is former or any(isinstance(each, Ended | MemberLeft) for each in guest.happened[known:])
        for guest, link, former, known in zip(scene.guests, links, before, happened, strict=True)
    )
    try:
        await all_see_all(scene.guests)
    except AssertionError as unseen:
        print(f"layout_upgrade: {unseen}", file=sys.stderr)
        dropped = len(scene.guests)
    scene.rows.add("layout_upgrade_calls_dropped", dropped, "calls", f"of {len(scene.guests)}; {said}")
    scene.rows.add(
        "layout_upgrade_lost", lost, "frames", f"of {due} frames of sound meanwhile, longest gap {gap:.0f} ms"
    )
    guest = await asyncio.wait_for(scene.where.join("carol", None), 60)
    await guest.conference.leave()


Step = Callable[[Scene], Awaitable[None]]
STEPS: tuple[Step, ...] = (
    canary,
    control_absent,
    homeserver_down,
    exhausted,
    control_kills,
    soak,
    layout_upgrade,  # the last: another build goes on after it
)


def run(rows: Rows, quick: bool, wanted: Callable[[str], bool]) -> None:
    steps = [step for step in STEPS if wanted(step.__name__)]
    if not steps:
        return
    with (
        tempfile.TemporaryDirectory(prefix="sotto-chaos-matrix-", ignore_cleanup_errors=True) as folder,
        own_disk(Path(folder)),
    ):
        program = programs.copy_program(ROOT, Path(folder, "program"))
        with house(Path(folder), ("alice", "bob", *VISITORS), program=program) as where:
            _play(where, program, steps, rows, quick)


def _play(where: House, program: Path, steps: list[Step], rows: Rows, quick: bool) -> None:
    async def scenario() -> None:
        picture = Pattern(320, 180, 10, 440)
        # `service`: they come back by resumption.
        async with where.guests(
            ("alice", picture), ("bob", Pattern(320, 180, 10, 880)), service=where.service
        ) as guests:
            heard, said = [Heard(), Heard()], [Said(guest) for guest in guests]
            for guest, ears in zip(guests, heard, strict=True):
                guest.conference.add_sink(ears.take)
            await all_see_all(guests)
            await asyncio.sleep(2)
            for step in steps:
                await _guarded(step, Scene(where, guests, heard, said, rows, quick, ROOT / "build", program))

    where.namespace.call(asyncio.run, scenario())


async def _guarded(step: Step, scene: Scene) -> None:
    began = time.monotonic()
    try:
        await step(scene)
    except Exception as error:
        scene.rows.broke(step.__name__, error)
    print(f"  ({step.__name__}: {time.monotonic() - began:.1f} s)", flush=True)
