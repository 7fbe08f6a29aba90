"""Six people, more than the first offer has slots for, keys by to-device; then a worker dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from control.demo.participants import Participant
from tests.e2e.stage import Stage, stage
from tests.e2e.watching import all_goes_well, everyone_sees_everyone, hardly_noticed, private_matters

pytestmark = [pytest.mark.browser, pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]

NAMES = ("alice", "bob", "carol", "dave", "erin", "frank")
FIRST_SLOT_PAIRS = 4


@dataclass
class Crowd:
    stage: Stage
    people: list[Participant]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    with stage(tmp_path_factory.mktemp("stage"), NAMES, key_transport="to-device") as where:

        async def arrive() -> Crowd:
            browser = await where.browsers.launch(fps=5)
            people = [await where.join(browser, NAMES[0])]
            people += await asyncio.gather(*(where.join(browser, name) for name in NAMES[1:]))
            return Crowd(where, people)

        yield asyncio.run(arrive())


async def test_slots_grow_with_the_crowd_and_keys_go_from_device_to_device(crowd: Crowd) -> None:
    await everyone_sees_everyone(crowd.people)
    await all_goes_well(crowd.people)
    for person in crowd.people:
        sample = await person.sample()
        assert sample["state"]["keys"]["held"] >= 2 * (len(NAMES) - 1)
        receivers = [row["receiver"] for row in sample["stats"]["receivers"]]
        assert len(receivers) == 2 * 2 * FIRST_SLOT_PAIRS, "one step of more slots"
        used = {tile["camera"]["receiver"] for tile in sample["state"]["tiles"]}
        assert len(used) == len(NAMES) - 1


async def test_a_worker_that_dies_is_replaced_and_nobody_connects_anew(crowd: Crowd) -> None:
    where = crowd.stage
    at_work = where.workers_at_work()

    async def kill() -> None:
        for worker in at_work:
            os.kill(worker, signal.SIGKILL)
        await where.replaced(at_work)

    await hardly_noticed(where, crowd.people, kill)


async def test_nothing_private_is_in_the_logs(crowd: Crowd) -> None:
    """Last in this file: after all of the above."""
    log = crowd.stage.log()
    assert "control started" in log
    assert private_matters(log) == []
    assert "Traceback" not in log
