"""Six people, more than the first offer has slots for, keys by to-device; then parts of the server die, and paths."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from control.demo.participants import Participant
from tests.e2e.stage import Stage, stage
from tests.e2e.watching import all_goes_well, everyone_sees_everyone, hardly_noticed, private_matters

pytestmark = [pytest.mark.browser, pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]

NAMES = ("alice", "bob", "carol", "dave", "erin", "frank")
FIRST_SLOT_PAIRS = 4
BACK_S = 20.0
"""5 s until a silent channel counts as dead, 0 to 2 s so that not all come at once, and a connection: 6 to 8 s on a
machine that has time for six browsers."""
FOCUS_S = 15.0
# Counters that grow when somebody connects anew: a handshake has two sides.
NEW_CONNECTIONS = ("invites_accepted", "worker_dtls_down", "worker_path_nominated")


@dataclass
class Crowd:
    stage: Stage
    people: list[Participant]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    with stage(tmp_path_factory.mktemp("stage"), NAMES, key_transport="to-device") as where:

        async def arrive() -> Crowd:
            chromium, firefox = await asyncio.gather(
                where.browsers.launch(fps=8), where.browsers.launch("firefox")
            )
            people = [await where.join(chromium, NAMES[0])]
            others = [*((name, chromium) for name in NAMES[1:-1]), (NAMES[-1], firefox)]
            people += await asyncio.gather(*(where.join(browser, name) for name, browser in others))
            return Crowd(where, people)

        yield asyncio.run(arrive())


async def test_slots_grow_with_the_crowd_and_keys_go_from_device_to_device(crowd: Crowd) -> None:
    await everyone_sees_everyone(crowd.people, timeout_s=60)
    await all_goes_well(crowd.people)
    for person in crowd.people:
        sample = await person.sample()
        assert sample["state"]["keys"]["held"] >= 2 * (len(NAMES) - 1)
        receivers = [row["receiver"] for row in sample["stats"]["receivers"]]
        assert len(receivers) == 2 * 2 * FIRST_SLOT_PAIRS, "one step of more slots"
        used = {tile["camera"]["receiver"] for tile in sample["state"]["tiles"]}
        assert len(used) == len(NAMES) - 1


async def test_control_dies_and_all_come_back_while_media_go_on(crowd: Crowd) -> None:
    where = crowd.stage
    before = await asyncio.gather(*(person.state() for person in crowd.people))

    async def kill() -> None:
        (control,) = where.processes("control")
        os.kill(control, signal.SIGKILL)
        begun = time.monotonic()
        await asyncio.gather(*(back(person, 1) for person in crowd.people))
        assert time.monotonic() - begun < BACK_S

    await hardly_noticed(crowd.people, kill, seconds=3)
    after = await asyncio.gather(*(person.state() for person in crowd.people))
    for one, other in zip(before, after, strict=True):
        assert one["member"] == other["member"]
        for first, second in zip(one["encoder"], other["encoder"], strict=True):
            assert (first["epoch"], first["ratchet"]) == (second["epoch"], second["ratchet"])
            assert first["sealed"] <= second["sealed"], "the counter goes on"
    alice, bob, frank = crowd.people[0], crowd.people[1], crowd.people[-1]
    for viewer, viewed in ((alice, frank), (frank, bob)):
        assert await viewer.focus(viewed.member, timeout_s=FOCUS_S) is not None
        await viewer.unfocus()


async def test_who_loses_the_path_comes_back_on_another(crowd: Crowd) -> None:
    """One in Chromium and one in Firefox: their ports are as dead as after a change of the network."""
    where = crowd.stage
    lost = [crowd.people[1], crowd.people[-1]]
    resumed = [(await person.state())["resumed"] for person in lost]
    with ExitStack() as stack:
        for person in lost:
            port = (await person.page.evaluate("sotto.stats()"))["transport"]["port"]
            stack.enter_context(where.namespace.without_port(port))
        await asyncio.gather(
            *(back(person, before + 1) for person, before in zip(lost, resumed, strict=True))
        )
        await everyone_sees_everyone(crowd.people)
        await all_goes_well(crowd.people)
    assert [(await person.state())["phase"] for person in crowd.people] == ["joined"] * len(crowd.people)


async def back(person: Participant, times: int) -> None:
    """Has come back so often, and says nothing of an interruption any more."""
    settled = "sotto.state().notice === '' && !sotto.state().moving"
    await person.page.wait(f"sotto.state().resumed === {times} && {settled}", 40)


async def test_a_worker_that_dies_is_replaced_and_nobody_connects_anew(crowd: Crowd) -> None:
    where = crowd.stage
    before = [await where.total(name) for name in NEW_CONNECTIONS]
    at_work = where.workers_at_work()

    async def kill() -> None:
        for worker in where.workers_at_work():
            os.kill(worker, signal.SIGKILL)

    await hardly_noticed(crowd.people, kill)
    assert [await where.total(name) for name in NEW_CONNECTIONS] == before
    assert set(where.workers_at_work()).isdisjoint(at_work)


async def test_nothing_private_is_in_the_logs(crowd: Crowd) -> None:
    """Last in this file: after all of the above."""
    log = crowd.stage.log()
    assert log.count("control started") >= 2
    assert private_matters(log) == []
    assert "Traceback" not in log
