"""A homeserver, a focus and a room in a network namespace of their own, and Python clients that take part.

A scenario is a coroutine that runs in the namespace, so that the clients' sockets are there too.
"""

from __future__ import annotations

import array
import asyncio
import itertools
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import pytest

from client import Conference
from client.happenings import Happening, TileChanged
from client.keys.frames import Verdict
from client.media.codec import Decoder
from client.media.sources import Pattern, Source
from client.protocol import limits, names
from client.receiving import ReceivedFrame
from client.statistics import Tile
from control.demo.memory import descendants
from control.demo.run import Demo
from control.run_dir import control_lock, holder
from tests.client.overheard import overhear
from tests.e2e.namespace import Namespace
from tests.patience import PATIENCE_S

ADDRESS = "192.0.2.7"
LIMIT_S = 570.0
"""Of one scenario: less than pytest's own, which would not say where it was."""


@dataclass
class Guest:
    """One client inside, everything that happened to it, and what it sees and hears."""

    name: str
    conference: Conference
    happened: list[Happening] = field(default_factory=list)
    pictures: dict[int, av.VideoFrame] = field(default_factory=dict)
    sounds: dict[int, bytes] = field(default_factory=dict)
    decoded: dict[tuple[int, str], int] = field(default_factory=dict)
    _decoders: dict[tuple[int, str], Decoder] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return self.conference.number

    def take(self, frame: ReceivedFrame) -> None:
        key = frame.member, frame.source
        audio = "audio" in frame.source
        decoder = self._decoders.setdefault(key, Decoder(audio))
        for made in decoder.decode(frame.data):
            self.decoded[key] = self.decoded.get(key, 0) + 1
            if isinstance(made, av.VideoFrame):
                self.pictures[frame.member] = made
            else:
                heard = self.sounds.get(frame.member, b"") + loudness_free(made)
                self.sounds[frame.member] = heard[-96_000:]  # the last second

    def tile(self, of: Guest, source: str = "camera") -> Tile:
        key = of.number, names.SOURCES.index(source)
        return self.conference.statistics.tiles.get(key) or Tile(*key)

    def sees_and_hears(self, other: Guest) -> bool:
        return all(self.tile(other, source).state == Verdict.OPENED for source in ("camera", "audio"))

    def states(self, of: Guest, source: str) -> list[str]:
        """Of a tile, in the order in which they came."""
        return [
            each.state
            for each in self.happened
            if isinstance(each, TileChanged) and (each.member, each.source) == (of.number, source)
        ]

    def count(self, name: str) -> int:
        return self.conference.statistics.counts.get(name, 0)


@dataclass
class House:
    namespace: Namespace
    demo: Demo

    heard: Counter[str] = field(default_factory=Counter)

    def play(self, scenario: Awaitable[None]) -> None:
        """Whatever is said meanwhile has to be as docs/schemas says."""

        async def whole() -> None:
            async with asyncio.timeout(LIMIT_S):
                await scenario

        with overhear() as heard, pytest.MonkeyPatch.context() as patch:
            for wait in ("FOCUS_JOIN_S", "ANSWER_S"):
                patch.setattr(limits, wait, PATIENCE_S)
            self.namespace.call(asyncio.run, whole())
            self.heard += heard.kinds

    @property
    def service(self) -> str:
        """The focus's web address."""
        return next(iter(self.demo.urls.values())).partition("?")[0]

    def kill_control(self) -> None:
        """The process that decides; workers and their packets go on."""
        os.kill(self.control, signal.SIGKILL)

    def worker(self) -> int:
        """The one at work: not the one that stands by for it."""
        assert self.demo.server is not None
        started = re.findall(r"worker 0 started, process (\d+)", self.demo.server.log.read_text())
        return int(started[-1])

    @property
    def control(self) -> int:
        """The process that decides: not the one that stands by for it."""
        pid = holder(control_lock(self.demo.folder / "data" / "run"))
        assert pid, "no control is at work"
        return pid

    async def until_ready(self, ready: bool) -> None:
        """Until the focus says that conferences can be joined, or that they cannot."""

        def says() -> bool:
            try:
                with urllib.request.urlopen(f"{self.service}readyz", timeout=5) as answer:
                    return bool(answer.status == 200)
            except urllib.error.HTTPError:
                return False

        deadline = time.monotonic() + PATIENCE_S
        while await asyncio.to_thread(says) is not ready:
            assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: ready is {ready}"
            await asyncio.sleep(0.1)

    async def guarded(self) -> None:
        """Until the next control process has nothing left to do but wait for the end of this one."""

        def waits(pid: int) -> bool:
            return "poll" in Path(f"/proc/{pid}/wchan").read_text()

        def others() -> list[int]:
            assert self.demo.server is not None
            words = {
                pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                for pid in descendants(self.demo.server.pid)
            }
            return [pid for pid, said in words.items() if said[-2:-1] == [b"control"] and pid != self.control]

        await until(lambda: any(waits(pid) for pid in others()), "the next control process stands by")

    @property
    def people(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.demo.folder / "people.json").read_text())
        return told

    def user(self, name: str) -> str:
        return str(self.people["people"][name]["user_id"])

    async def join(self, name: str, send: Source | None, **options: Any) -> Guest:
        who = self.people["people"][name]
        conference = await Conference.join(
            self.demo.homeserver.url,
            who["user_id"],
            password=who["password"],
            room=self.people["room_id"],
            send=send,
            **options,
        )
        guest = Guest(name, conference)
        conference.add_sink(guest.take)
        return guest

    @asynccontextmanager
    async def guests(self, *wanted: tuple[str, Source | None], **options: Any) -> AsyncIterator[list[Guest]]:
        """The first begins a conference; all leave at the end."""
        inside: list[Guest] = []
        followers: list[asyncio.Task[None]] = []
        try:
            for index, (name, send) in enumerate(wanted):
                start = {"start": True, "focus": self.people["bot"]} if index == 0 else {}
                inside.append(await self.join(name, send, **start, **options))
                followers.append(asyncio.create_task(_follow(inside[-1])))
            yield inside
        finally:
            for guest in reversed(inside):
                await guest.conference.leave()
            await asyncio.gather(*followers)

    async def enter(self, inside: list[Guest], name: str, send: Source | None, **options: Any) -> Guest:
        """One more, who leaves with the others."""
        guest = await self.join(name, send, **options)
        inside.append(guest)
        asyncio.get_running_loop().create_task(_follow(guest))
        return guest

    async def room(self, by: Guest, action: str, name: str | None = None) -> None:
        """kick, invite; of `name`, by somebody who may; or join."""
        path = f"/_matrix/client/v3/rooms/{quote(self.people['room_id'])}/{action}"
        body = {} if name is None else {"user_id": self.user(name)}
        status, answer = await by.conference._homeserver.request("POST", path, body)
        assert status == 200, answer


async def _follow(guest: Guest) -> None:
    async for happening in guest.conference.events():
        guest.happened.append(happening)


async def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(0.02)


async def stands_still(counted: Callable[[], int], alive: Callable[[], int], what: str) -> int:
    """Returns when nothing was counted for a second in which what is alive went on; the number then.

    What was on its way comes first, however long that takes.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        before, going_on = counted(), alive()
        await asyncio.sleep(1)
        grown, gone_on = counted() - before, alive() - going_on
        # Pictures may come as seldom as four in a second, where the machine looks like a slow network.
        if grown == 0 and gone_on >= 2:
            return before
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}, not within {PATIENCE_S:.0f} s: {grown} and {gone_on} in the last")


async def sees(guest: Guest, other: Guest) -> None:
    """And hears."""
    try:
        await until(lambda: guest.sees_and_hears(other), f"{guest.name} sees and hears {other.name}")
    except AssertionError as late:
        raise AssertionError("\n".join([str(late), _account(guest), _account(other)])) from None


async def all_see_all(guests: Sequence[Guest]) -> None:
    def done() -> bool:
        return all(one.sees_and_hears(other) for one in guests for other in guests if one is not other)

    try:
        await until(done, "everybody sees and hears everybody")
    except AssertionError as late:
        raise AssertionError("\n".join([str(late), *(_account(each) for each in guests)])) from None


def _account(guest: Guest) -> str:
    figures = guest.conference.statistics
    tiles = [f"{key}: {tile.state}, {tile.opened}, {tile.refused}" for key, tile in figures.tiles.items()]
    return f"{guest.name} {guest.number}: {tiles}, {figures.counts}, {figures.sent}"


@contextmanager
def house(
    folder: Path,
    people: Sequence[str],
    settings: Mapping[str, str] | None = None,
    workers: int = 1,
    **options: Any,
) -> Iterator[House]:
    """`settings` of the server, as variables."""
    with Namespace(ADDRESS) as namespace:
        demo = Demo(folder, people=people, media_address=ADDRESS, workers=workers, **options)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (settings or {}).items():
                patch.setenv(name, value)
            namespace.call(demo.start)
        try:
            yield House(namespace, demo)
        finally:
            namespace.call(demo.stop)


# --- what is in pictures and sounds ---

COLOURS = {"red": (90, 240), "blue": (240, 110), "green": (91, 81)}
"""Cb and Cr of FFmpeg's colours (BT.601, limited range); green is its #008000."""
TONES = {"red": 440, "blue": 880, "green": 1760}


def coloured(colour: str, rate: float = 15) -> Pattern:
    """A plain picture and a tone, to tell members apart."""
    return Pattern(640, 360, rate, TONES[colour], picture=f"color=c={colour}")


def colour_of(picture: av.VideoFrame) -> str:
    rows = (bytes(plane)[: plane.width] for plane in picture.planes[1:3])
    cb, cr = (sum(row) / len(row) for row in rows)
    return min(COLOURS, key=lambda name: abs(COLOURS[name][0] - cb) + abs(COLOURS[name][1] - cr))


def loudness_free(frame: av.AudioFrame) -> bytes:
    """48 kHz, 16 bits, mono."""
    shape = av.AudioResampler(format="s16", layout="mono", rate=48_000)
    return b"".join(bytes(each.planes[0])[: 2 * each.samples] for each in shape.resample(frame))


def tone_of(sound: bytes) -> float:
    """Hertz, by how often it changes its sign."""
    values = array.array("h", sound[: len(sound) // 2 * 2])
    signs = [value >= 0 for value in values]
    changes = sum(one != other for one, other in itertools.pairwise(signs))
    return changes / 2 / (len(values) / 48_000)
