"""People talk while the server becomes a build with another layout: nobody is put out, everything goes on."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.happenings import Ended, MemberLeft
from client.receiving import ReceivedFrame
from control.demo.memory import descendants
from tests.client.house import Guest, House, all_see_all, coloured, house, until

pytestmark = [pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(300)]


PACKAGES = "control", "fastpath_ext"


@pytest.fixture(scope="module")
def program(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the server's program, to be replaced by another build."""
    copy = tmp_path_factory.mktemp("program")
    for package in PACKAGES:
        shutil.copytree(root / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "*.c"))
    return copy


@pytest.fixture(scope="module")
def where(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), ("alice", "bob", "carol"), program=program) as found:
        yield found


class Gaps:
    """How long nothing came of anybody, at most, by who missed what."""

    def __init__(self, guests: list[Guest]) -> None:
        self.came: dict[tuple[int, int, str], list[float]] = defaultdict(list)
        for guest in guests:
            guest.conference.add_sink(lambda frame, guest=guest: self._take(guest, frame))  # type: ignore[misc]

    def _take(self, guest: Guest, frame: ReceivedFrame) -> None:
        self.came[guest.number, frame.member, frame.source].append(time.monotonic())

    def longest(self, source: str) -> float:
        """Seconds."""
        return max(
            later - earlier
            for (_, _, what), times in self.came.items()
            if what == source
            for earlier, later in itertools.pairwise(times)
        )


def install_another_build(program: Path) -> None:
    """One whose layout has another name, so that nothing is gone on with in place; or what is in the folder
    SOTTO_OTHER_BUILD: fastpath/table.h changed and compiled."""
    if other := os.environ.get("SOTTO_OTHER_BUILD"):
        for source in (each for package in PACKAGES for each in Path(other, package).rglob("*.[ps]*")):
            if source.suffix in (".py", ".so"):
                target = program / source.relative_to(other)
                target.unlink(missing_ok=True)  # what runs has it mapped
                shutil.copy(source, target)
        return
    layout = program / "control/layout.py"
    layout.write_text(re.sub("^FORM = .*", "FORM = 99", layout.read_text(), flags=re.MULTILINE))


def test_calls_move_over_to_a_build_with_another_layout(where: House, program: Path) -> None:
    async def scenario() -> None:
        server = where.demo.server
        assert server is not None
        async with where.guests(
            ("alice", coloured("red")), ("bob", coloured("blue")), ("carol", coloured("green")),
            service=where.service,
        ) as guests:  # fmt: skip
            await all_see_all(guests)
            numbers = [guest.number for guest in guests]
            links = [guest.conference._membership.connections.link for guest in guests]
            former = set(descendants(server.pid)) - {server.pid}
            gaps = Gaps(guests)
            install_another_build(program)
            config = str(where.demo.folder / "sotto.toml")
            command = [sys.executable, "-m", "control", "upgrade", "--config", config]
            upgraded = await asyncio.to_thread(
                subprocess.run, command, cwd=program, capture_output=True, text=True, check=False
            )
            assert upgraded.returncode == 0, upgraded.stderr + server.last_lines(60)
            assert "renewed from layout" in upgraded.stdout
            for guest, link in zip(guests, links, strict=True):
                await until(
                    lambda guest=guest, link=link: guest.conference._membership.connections.link is not link,  # type: ignore[misc]
                    f"{guest.name} talks over another connection",
                )
            seen = {(a.number, b.number): a.tile(b).opened for a in guests for b in guests}
            for one, other in itertools.permutations(guests, 2):
                await until(
                    lambda one=one, other=other: one.tile(other).opened > seen[one.number, other.number] + 10,  # type: ignore[misc]
                    f"{one.name} sees {other.name} there",
                )
            # Whoever was there before ends once nobody is on the line any more.
            await until(lambda: not former & set(descendants(server.pid)), "the former processes end")
            await all_see_all(guests)
            assert [guest.number for guest in guests] == numbers
            for guest in guests:
                assert not [each for each in guest.happened if isinstance(each, Ended | MemberLeft)]
            print(
                f"{upgraded.stdout.strip()}; longest wait for sound {gaps.longest('audio'):.2f} s,"
                f" for a picture {gaps.longest('camera'):.2f} s"
            )

    where.play(scenario())
