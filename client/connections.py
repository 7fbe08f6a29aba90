"""The connection to the focus, and another of the same member when it is lost (docs/protocol.md 3.3)."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from client.errors import Trouble
from client.joining import Entry
from client.protocol import limits, messages
from client.resuming import resume
from client.transport.link import Link
from client.transport.sdp import Answer, AnswerUnusable, Transport, read_answer_untrusted

log = logging.getLogger(__name__)


class Ears(Protocol):
    """Told what comes. `current`: not over a connection that was left."""

    def rtp_untrusted(self, data: bytes, current: bool) -> None: ...

    def rtcp_untrusted(self, data: bytes) -> None: ...

    def message_untrusted(self, data: str, link: Link) -> None: ...

    def interrupted(self) -> None:
        """Another connection is being made."""

    def lost(self, code: str) -> None:
        """There is none, and none can be made for this membership: only another call helps."""


class Connections:
    """`link` is the one that counts; `metadata` is what is said of our streams with a new offer."""

    def __init__(self, entry: Entry, ears: Ears, metadata: Callable[[], dict[str, Any]]) -> None:
        self._entry, self._ears, self._metadata = entry, ears, metadata
        self.link: Link | None = None
        self.service: str | None = None  # the address that config.json comes from
        self.ticket: messages.Resume | None = None
        self.silence_s = limits.CHANNEL_SILENCE_S
        self._next: Link | None = None  # a second one that is being made
        self._moving: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self.restarts = 0  # paths that took the place of one that was gone
        self._looked_at = 0.0
        self._moved = asyncio.Event()
        self._heard_at = time.monotonic()
        self._over = False
        self._sending: set[asyncio.Future[None]] = set()

    def first(self) -> Link:
        """The first, or another attempt at it."""
        self.link = self._make()
        return self.link

    def _make(self) -> Link:
        def rtp(data: bytes) -> None:
            self._ears.rtp_untrusted(data, link is self.link)

        def message(data: str) -> None:
            # Nothing counts that comes over the channel of a connection that was left.
            if link is self.link:
                self._heard_at = time.monotonic()
            if link is self.link or link is self._next:
                self._ears.message_untrusted(data, link)

        def lost() -> None:
            if link is self.link:
                self._lost()

        link = Link(rtp, self._ears.rtcp_untrusted, message, lost)
        return link

    def say(self, message: str) -> None:
        if self.link is not None:
            self.link.say(message)

    async def send(self, packet: bytes) -> None:
        if self.link is not None:
            await self.link.send(packet)

    def send_soon(self, packet: bytes) -> None:
        task = asyncio.ensure_future(self.send(packet))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def tick(self, now: float) -> None:
        """A channel over which not even pings come is dead; an address that is gone means another network."""
        if now - self._heard_at > self.silence_s:
            self._lost()
        if now - self._looked_at >= limits.NETWORK_LOOK_S:
            self._looked_at = now
            busy = any(each is not None and not each.done() for each in (self._moving, self._restarting))
            if not busy and self.link is not None and self.link.connected and self.link.stranded:
                self._restarting = asyncio.create_task(self._restart(self.link), name="ice restart")

    def take(self, link: Link) -> bool:
        """A welcome came over `link`; True when it is the second one, which counts from now on."""
        if link is not self._next:
            return False
        self.link, self._next = link, None
        self._heard_at = time.monotonic()
        self._moved.set()
        return True

    async def close(self) -> None:
        self._over = True
        for task in (self._moving, self._restarting):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        for link in (self.link, self._next):
            if link is not None:
                await link.close()

    # --- another path ---

    async def _restart(self, link: Link) -> None:
        """By the direct-message room: the way that the data channel took is gone."""
        call, offerer = self._entry.call, self._entry.offerer
        if call is None or offerer is None:
            return None

        async def renegotiate(transport: Transport) -> Answer:
            offerer.transport = transport
            answer = await call.negotiate(offerer.offer(), self._metadata())
            return read_answer_untrusted(answer, offerer.lines)

        try:
            await link.restart(renegotiate)
        except (Trouble, AnswerUnusable) as failed:
            log.info("no other path: %s", failed.code if isinstance(failed, Trouble) else failed)
            return self._lost()
        self.restarts += 1
        return None

    # --- another ---

    def _lost(self) -> None:
        """The channel is dead, which is not a leave: media may go on while a second connection is made."""
        if self._over or (self._moving is not None and not self._moving.done()):
            return None
        address = self._address()
        if address is None or self.ticket is None:
            self._over = True
            return self._ears.lost("channel_failed")
        self._ears.interrupted()
        self._moving = asyncio.create_task(self._make_another(address, self.ticket), name="resume")
        return None

    def _address(self) -> str | None:
        """Where a second connection is asked for; None where nobody said."""
        return None if self.ticket is None else messages.resume_address(self.ticket.url, self.service)

    async def _make_another(self, address: str, ticket: messages.Resume) -> None:
        def attempt() -> Link:
            self._next = self._make()
            return self._next

        first = self.link
        self._moved.clear()
        lasted = time.monotonic()

        def wanted() -> bool:
            nonlocal lasted
            if first is not None and first.lasts:  # for half an hour, if need be
                lasted = time.monotonic()
            return not self._over and time.monotonic() - lasted < limits.RESUME_S

        try:
            await resume(address, ticket.token, self._entry, self._metadata(), attempt, wanted)
            # Its welcome, which moves us, may be behind the opening of the channel.
            async with asyncio.timeout(limits.CONNECT_S):
                await self._moved.wait()
        except (Trouble, TimeoutError) as failed:
            self._over = True
            return self._ears.lost(failed.code if isinstance(failed, Trouble) else "channel_failed")
        await asyncio.sleep(limits.MOVE_S)
        self.say(messages.resumed())
        if first is not None:
            await first.close()
        return None
