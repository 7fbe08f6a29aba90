"""A whole conference server with its homeserver and browsers, in a network namespace of the test's own."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from control.demo.browsers import WAIT_S, Browser, Browsers
from control.demo.memory import descendants
from control.demo.participants import Participant
from control.demo.run import Demo
from tests.e2e.namespace import Namespace

ADDRESS = "192.0.2.7"
WINDOW = 1040, 600
"""Four tiles in it get by with thumbnails, a large one wants all there is. Larger: two cores encode more for
tests that are of something else."""


@dataclass
class Stage:
    """Where a test's people meet. Pages come from 127.0.0.1, which browsers trust; media go over ADDRESS."""

    namespace: Namespace
    demo: Demo
    browsers: Browsers
    people: dict[str, Participant] = field(default_factory=dict)

    async def join(self, browser: Browser, name: str, flags: str = "&join") -> Participant:
        """Opens a person's page; returns when the focus has let them in."""
        arriving = Participant.arrive(browser, name, self.demo.urls[name] + flags, size=WINDOW)
        person = self.people[name] = await arriving
        await person.joined()
        return person

    async def metrics(self) -> dict[str, float]:
        """Sotto's own, by name with labels."""
        status, text = await self.browsers.fetch(self.url("metrics"))
        assert status == 200, text
        lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("sotto_"))
        return {name: float(value) for name, _space, value in lines}

    async def total(self, name: str) -> float:
        """Of one counter, over all workers and labels."""
        values = await self.metrics()
        return sum(value for key, value in values.items() if key.partition("{")[0] == f"sotto_{name}_total")

    async def until(self, condition: Callable[[dict[str, float]], bool], *what: str) -> None:
        """Returns when Sotto's figures are so; `what`: the names of those it is about, for the failure."""
        deadline = time.monotonic() + WAIT_S
        while not condition(now := await self.metrics()):
            assert time.monotonic() < deadline, {name: now.get(name) for name in what}
            await asyncio.sleep(0.1)

    def url(self, path: str) -> str:
        return next(iter(self.demo.urls.values())).partition("?")[0] + path

    def processes(self, command: str) -> list[int]:
        """Sotto's processes: "serve", "worker" or "control"."""
        assert self.demo.server is not None
        return [
            pid
            for pid in descendants(self.demo.server.pid)
            if (words := Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
            and b"control" in words
            and command.encode() in words[words.index(b"control") + 1 :]
        ]

    def workers_at_work(self) -> list[int]:
        """Without those that stand by: the last that the supervisor named for each worker."""
        started = re.findall(r"worker (\d+) started, process (\d+)", self.log())
        return [int(pid) for _index, pid in sorted(dict(started).items())]

    def media_ports(self) -> list[int]:
        """UDP ports the supervisor holds."""
        (supervisor,) = self.processes("serve")
        inodes = set()
        for link in Path(f"/proc/{supervisor}/fd").iterdir():
            if found := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink())):
                inodes.add(found[1])
        rows = [line.split() for line in Path(f"/proc/{supervisor}/net/udp").read_text().splitlines()[1:]]
        return [int(row[1].partition(":")[2], 16) for row in rows if row[9] in inodes]

    async def replaced(self, workers: Collection[int]) -> None:
        """Returns when the supervisor has named others in place of these."""
        deadline = time.monotonic() + WAIT_S
        while not set(self.workers_at_work()).isdisjoint(workers):
            assert time.monotonic() < deadline, self.log()[-2000:]
            await asyncio.sleep(0.05)

    def log(self) -> str:
        """What all of Sotto's processes have written."""
        assert self.demo.server is not None
        return self.demo.server.log.read_text()


@contextmanager
def stage(
    folder: Path,
    people: Sequence[str],
    key_transport: str = "timeline",
    embed_in: Sequence[str] = (),
    program: Path | None = None,
) -> Iterator[Stage]:
    with Namespace(ADDRESS) as namespace:
        demo = Demo(
            folder, people=people, media_address=ADDRESS, key_transport=key_transport, workers=2,
            embed_in=embed_in, program=program,
        )  # fmt: skip
        namespace.call(demo.start)
        try:
            with Browsers(namespace.spawn) as browsers:
                yield Stage(namespace, demo, browsers)
        finally:
            namespace.call(demo.stop)
