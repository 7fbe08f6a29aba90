"""What the rows with the real thing share: the house, two people in a conference, and what they hear."""

import asyncio
import itertools
import socket
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos.rows import Rows
from client.receiving import ReceivedFrame
from tests.client.house import Guest, House

SO_RCVBUFFORCE = 33


@dataclass
class Heard:
    """Sound of one member as it arrives at another."""

    arrived: list[float] = field(default_factory=list)

    def take(self, frame: ReceivedFrame) -> None:
        if frame.source == "audio":
            self.arrived.append(frame.arrived)

    def gap_ms(self, since: float, until: float) -> float:
        times = [since, *(each for each in self.arrived if since <= each <= until), until]
        return 1000 * max((b - a for a, b in itertools.pairwise(times)), default=0.0)


class Said:
    """Frames of sound that somebody sent. A client that gets no processor leaves out what is late."""

    def __init__(self, guest: Guest) -> None:
        self.frames = 0
        microphone = guest.conference._membership.senders.microphone
        assert microphone is not None
        self.microphone = microphone
        self._seal = microphone._sealer.seal
        microphone._sealer.seal = self._counted  # type: ignore[method-assign]
        link = guest.conference._membership.connections.link
        assert link is not None
        for each in link._path.connection._protocols:  # what waits for a slow reader is not the server's loss
            one = each.transport.get_extra_info("socket")
            one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)

    def _counted(self, frame: bytes) -> bytes | None:
        sealed = self._seal(frame)
        self.frames += sealed is not None
        return sealed


@dataclass
class Scene:
    """What the steps share."""

    where: House
    guests: list[Guest]
    heard: list[Heard]
    said: list[Said]
    rows: Rows
    quick: bool
    folder: Path
    program: Path
    """What the server runs: a copy of ours."""

    def opened(self, guest: Guest, other: Guest) -> int:
        return guest.tile(other, "audio").opened

    async def lost(self, during: Awaitable[object]) -> tuple[int, int, float]:
        """Frames of sound that one missed of the other, of how many, and the longest gap in ms."""
        due, got = await self._drained()
        since = time.monotonic()
        await during
        end = time.monotonic()
        said, heard = await self._drained()
        gap = max(each.gap_ms(since, end) for each in self.heard)
        return said - due - (heard - got), said - due, gap

    async def _drained(self) -> tuple[int, int]:
        """Frames sent and opened so far, when nothing is on its way; then they speak again."""
        alice, bob = self.guests
        for each in self.said:
            each.microphone.muted = True
        before, stable = (-1, -1), 0
        while stable < 2:
            await asyncio.sleep(0.25)
            now = (
                sum(each.frames for each in self.said),
                self.opened(alice, bob) + self.opened(bob, alice),
            )
            stable = stable + 1 if now == before else 0
            before = now
        for each in self.said:
            each.microphone.muted = False
        return before
