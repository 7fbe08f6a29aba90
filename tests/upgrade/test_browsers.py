"""People talk in browsers while the server becomes a build with other tables: nobody is put out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.demo.memory import descendants
from control.demo.participants import Participant
from tests.client.house import until
from tests.client.programs import copy_program, install_another_build, upgrade
from tests.e2e.stage import Stage, stage
from tests.e2e.watching import all_goes_well, everyone_sees_everyone, private_matters

pytestmark = [pytest.mark.browser, pytest.mark.synapse, pytest.mark.netns, pytest.mark.timeout(400)]

KINDS = {"alice": "chromium", "bob": "chromium", "carol": "firefox"}
LATER = "dave"
MOVED_S = 90.0
"""Two to five seconds where the machine has time."""


@pytest.fixture
def program(root: Path, tmp_path: Path) -> Path:
    return copy_program(root, tmp_path / "program")


@pytest.fixture
def where(program: Path, tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path / "stage", (*KINDS, LATER), program=program) as found:
        yield found


async def test_browsers_move_over_to_a_build_with_another_layout(where: Stage, program: Path) -> None:
    assert where.demo.server is not None
    supervisor = where.demo.server.pid
    chromium, firefox = await asyncio.gather(
        where.browsers.launch(fps=10), where.browsers.launch("firefox", fps=10)
    )
    people = [
        await where.join(firefox if kind == "firefox" else chromium, name) for name, kind in KINDS.items()
    ]
    await everyone_sees_everyone(people)
    await all_goes_well(people)
    before = await asyncio.gather(*(person.state() for person in people))
    former, ports = set(descendants(supervisor)) - {supervisor}, set(where.media_ports())

    install_another_build(program)
    began = time.monotonic()
    said, *moved = await asyncio.gather(
        upgrade(where.demo, program, where.namespace), *(_moved(person, began) for person in people)
    )
    await everyone_sees_everyone(people)
    await all_goes_well(people)
    after = await asyncio.gather(*(person.state() for person in people))
    for one, other in zip(before, after, strict=True):
        assert (other["phase"], other["member"]) == ("joined", one["member"])
        for first, second in zip(one["encoder"], other["encoder"], strict=True):
            assert first["sealed"] <= second["sealed"], "one counter goes on"
    # Whoever was there before ends, and its ports with it.
    await until(lambda: not former & set(descendants(supervisor)), "the former processes end")
    assert ports.isdisjoint(where.media_ports())
    # Who comes now finds them.
    people.append(await where.join(chromium, LATER))
    await everyone_sees_everyone(people)
    await all_goes_well(people)
    log = where.log()
    assert "Traceback" not in log
    assert private_matters(log) == []
    waits = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in zip(KINDS, moved, strict=True))
    print(f"{said}; over another connection after: {waits}")


async def _moved(person: Participant, began: float) -> float:
    """Seconds until the page shows all over its new connection and speaks of no interruption."""
    await person.page.wait(
        "sotto.state().resumed >= 1 && sotto.state().notice === '' && !sotto.state().moving", MOVED_S
    )
    return time.monotonic() - began
