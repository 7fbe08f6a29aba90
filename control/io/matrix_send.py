"""Outgoing events: one queue per room, in order, within the homeserver's rate limit, with a bound on waiting.

matrix-nio retries a rate-limited request for ever and lets later ones overtake it; a call's events must
neither wait past the life of the invite nor change places.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from aiohttp import ClientError
from nio import AsyncClient, RoomSendResponse
from nio.exceptions import LocalProtocolError

from control.io.matrix_keys import KeyQuestions

log = logging.getLogger(__name__)

# Events waiting in one room. Higher: memory for a homeserver that is away. Lower: a burst of several calls in
# one DM is cut.
QUEUE_MAX = 32
# An event is given up when it is older. Higher: answers to callers that have gone. Lower: a stock
# homeserver's 0.2 events a second (429 for 5 s at a time) loses answers.
LIFETIME_S = 60.0
# Wait after a refusal that names no time, and the bounds of what a homeserver may ask for.
RETRY_MIN_S, RETRY_DEFAULT_S, RETRY_MAX_S = 0.1, 1.0, 15.0


@dataclass(frozen=True, slots=True)
class _Outgoing:
    event_type: str
    content: dict[str, Any]
    transaction: str
    expires: float
    done: Callable[[bool], None]


class RoomSender:
    """Sends events; `count(name)` is told of waits and losses, `observe(name, label, seconds)` how long."""

    def __init__(
        self,
        client: AsyncClient,
        count: Callable[[str], None],
        questions: KeyQuestions,
        observe: Callable[[str, str, float], None] = lambda name, label, value: None,
        limited: Callable[[], None] = lambda: None,
    ) -> None:
        """`limited` is called when the homeserver makes an event wait."""
        self._client = client
        self._count = count
        self._questions = questions
        self._observe = observe
        self._limited = limited
        self._queues: dict[str, asyncio.Queue[_Outgoing]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def send(
        self,
        room_id: str,
        event_type: str,
        content: dict[str, Any],
        done: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Queues an event; encrypted when the room is. Never blocks.

        `done(delivered)` is called when the homeserver has it, or when it is given up.
        """
        queue = self._queues.setdefault(room_id, asyncio.Queue(QUEUE_MAX))
        expires = asyncio.get_running_loop().time() + LIFETIME_S
        try:
            queue.put_nowait(_Outgoing(event_type, content, uuid4().hex, expires, done))
        except asyncio.QueueFull:
            self._count("matrix_send_dropped")
            done(False)
            return
        if room_id not in self._tasks:
            self._tasks[room_id] = asyncio.create_task(self._drain(room_id, queue), name="matrix-send")

    async def stop(self) -> None:
        """Gives what is queued one second, then ends."""
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=1.0)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _drain(self, room_id: str, queue: "asyncio.Queue[_Outgoing]") -> None:
        """Ends when the queue is empty, so that idle rooms cost nothing."""
        try:
            while not queue.empty():
                await self._deliver(room_id, queue.get_nowait())
        finally:
            del self._tasks[room_id]
            if queue.empty():
                self._queues.pop(room_id, None)

    async def _deliver(self, room_id: str, event: _Outgoing) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < event.expires:
            wait = await self._attempt(room_id, event)
            if isinstance(wait, bool):
                event.done(wait)
                return
            await asyncio.sleep(wait)
        event.done(False)
        self._count("matrix_send_dropped")
        log.warning("an event for a room was given up after %.0f s", LIFETIME_S)

    async def _learn_devices(self, room_id: str) -> None:
        """Of the people of an encrypted room. matrix-nio would ask about those of all rooms."""
        room = self._client.rooms.get(room_id)
        if room is None or not room.encrypted:
            return
        if not room.members_synced:
            await self._client.joined_members(room_id)
        await self._questions.learn(list(room.users))

    async def _attempt(self, room_id: str, event: _Outgoing) -> float | bool:
        """Seconds to wait before the next attempt; a bool when it is done with: was it delivered?"""
        try:
            # A device that is new since the last query would be left out of the room key and could not
            # read this.
            await self._learn_devices(room_id)
            answer = await self._client.room_send(
                room_id,
                event.event_type,
                event.content,
                tx_id=event.transaction,
                ignore_unverified_devices=True,
            )
        except (ClientError, TimeoutError, OSError):
            self._count("matrix_send_retried")
            return RETRY_DEFAULT_S
        except LocalProtocolError as error:
            # The room is not known yet (its join is still on the way), or it is gone.
            log.info("an event cannot be sent yet: %s", type(error).__name__)
            self._count("matrix_send_retried")
            return RETRY_DEFAULT_S
        except Exception as error:  # false keys of a device in the room; matrix-nio has no common base for it
            self._count("matrix_poison")
            log.warning("an event cannot be encrypted (%s) and was skipped", type(error).__name__)
            # matrix-nio leaves its mark that the key is being shared, and would wait for that for ever.
            if (sharing := self._client.sharing_session.pop(room_id, None)) is not None:
                sharing.set()
            return False
        if isinstance(answer, RoomSendResponse):
            self._count("matrix_sent")
            return True
        if answer.status_code == "M_LIMIT_EXCEEDED":
            self._count("matrix_rate_limited")
            self._limited()
            wait = _bounded((answer.retry_after_ms or 0) / 1000)
            self._observe("matrix_rate_limit_wait_seconds", "", wait)
            return wait
        log.warning("the homeserver refused an event: %s", answer.status_code)
        self._count("matrix_send_refused")
        return False


def _bounded(seconds: float) -> float:
    """What a homeserver asks for, within reason: an absurd wait must not silence a room for ever."""
    return min(max(seconds, RETRY_MIN_S), RETRY_MAX_S) if seconds else RETRY_DEFAULT_S
