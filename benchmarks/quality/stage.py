"""What a scenario plays on: network, server, browsers in either namespace, devices, and a record."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.quality import pages
from benchmarks.quality.device import Device
from benchmarks.quality.network import Link, Network
from benchmarks.quality.pages import Viewer
from benchmarks.quality.server import Server
from control.demo.browsers import Browser, Browsers
from fastpath_ext.values import DownlinkStatus, SinkStatus

SAMPLE_S = 0.05


class Sample(NamedTuple):
    at: float
    downlinks: dict[str, DownlinkStatus]
    """By who receives."""
    bytes: dict[str, tuple[int, ...]]
    """That came of each encoding of a camera until now, lowest first, by who sends."""
    deals: dict[str, tuple[SinkStatus, ...]]
    """Of each slot that carries something, by who receives."""


@dataclass
class Stage:
    network: Network
    server: Server
    out: Path
    """Where plots go."""
    video: Path
    stack: AsyncExitStack
    samples: list[Sample] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    """Members whose downlinks, deals and encodings are sampled."""
    _drivers: dict[str, Browsers] = field(default_factory=dict)

    async def browser(self, link: Link | None = None, *more: str, busy: bool = True) -> Browser:
        """Chromium behind a link, or beside the server. `busy`: its camera sees a moving scene."""
        where = link.name if link else ""
        if where not in self._drivers:
            spawn = partial(_nice, link.spawn if link else self.network.server.spawn, 0 if link else 5)
            self._drivers[where] = self.stack.enter_context(Browsers(spawn))
        return await self._drivers[where].launch(args=(*pages.flags(self.video if busy else None), *more))

    async def viewer(
        self, browser: Browser, name: str, *, sends: bool = False, pairs: int = 4, width: int = 1280
    ) -> Viewer:
        viewer = await Viewer.join(browser, self.server, name, sends=sends, pairs=pairs, width=width)
        self.watched.append(name)
        return viewer

    async def device(self, name: str, link: Link | None = None, **options: object) -> Device:
        socket = link.socket() if link else self.network.server.socket("192.0.2.1")
        device = await Device(self.server, name, socket).join(**options)  # type: ignore[arg-type]
        self.stack.callback(device.close)
        self.watched.append(name)
        return device

    async def sample(self) -> None:
        """Goes on until it is cancelled."""
        table = self.server.link.table
        while True:
            downlinks, received, deals = {}, {}, {}
            members = {one.device_id: one for one in self.server.everybody()}
            now = time.monotonic()
            for name in self.watched:
                member = members.get(name)
                if member is None:
                    continue
                if (status := table.downlink_status(member.transport.row.handle)) is not None:
                    downlinks[name] = status
                if "camera" in member.transport.senders and (source := self.server.source(name)) is not None:
                    received[name] = tuple(one.bytes for one in source.encodings)
                sinks = (table.sink_status(one.row.handle) for one in member.transport.sinks.values())
                deals[name] = tuple(one for one in sinks if one is not None and one.source is not None)
            self.samples.append(Sample(now, downlinks, received, deals))
            await asyncio.sleep(SAMPLE_S)

    def estimates(self, name: str) -> list[tuple[float, int]]:
        return [(one.at, one.downlinks[name].estimate_bps) for one in self.samples if name in one.downlinks]

    def allocated(self, name: str) -> list[tuple[float, int]]:
        return [(one.at, one.downlinks[name].allocated_bps) for one in self.samples if name in one.downlinks]

    def encoding_bps(self, name: str, encoding: int, begin: float, end: float) -> float:
        """What came of an encoding, mean of a time, in bit/s of RTP packets."""
        inside = [one for one in self.samples if begin <= one.at <= end and name in one.bytes]
        if len(inside) < 2:
            return 0.0
        first, last = inside[0], inside[-1]
        return 8 * (last.bytes[name][encoding] - first.bytes[name][encoding]) / (last.at - first.at)


def _nice(
    spawn: Callable[..., subprocess.Popen[Any]], step: int, command: list[str], **options: Any
) -> subprocess.Popen[Any]:
    """Who is measured does not wait for those who encode on the same two cores."""
    return spawn(["nice", "-n", str(step), *command], **options)


@asynccontextmanager
async def stage(work: Path, out: Path, video: Path) -> AsyncIterator[Stage]:
    """`work`: for logs and programs."""
    async with AsyncExitStack() as stack:
        network = stack.enter_context(Network(work))
        server = await stack.enter_async_context(Server(network))
        made = Stage(network, server, out, video, stack)
        sampling = asyncio.create_task(made.sample())
        try:
            yield made
        finally:
            sampling.cancel()


def mean(values: Sequence[tuple[float, float]], begin: float, end: float) -> float | None:
    """Of a record's values in [begin, end]."""
    inside = [value for at, value in values if begin <= at <= end]
    return sum(inside) / len(inside) if inside else None
