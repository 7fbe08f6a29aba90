"""People talk while the server becomes a build with another layout: nobody is put out, everything goes on."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.happenings import Ended, MemberLeft
from client.receiving import ReceivedFrame
from control.demo.memory import descendants
from tests.client.house import Guest, House, all_see_all, coloured, house, until
from tests.client.programs import copy_program, install_another_build, upgrade

pytestmark = [pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(scope="module")
def program(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_program(root, tmp_path_factory.mktemp("program"))


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
            said = await upgrade(where.demo, program)
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
                f"{said}; longest wait for sound {gaps.longest('audio'):.2f} s,"
                f" for a picture {gaps.longest('camera'):.2f} s"
            )

    where.play(scenario())
