"""Events of a room one after the other, where something has to be asked about one of them first.

Meanwhile those of other rooms go on.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

log = logging.getLogger(__name__)

TURNS_MAX: Final = 32
"""Events of one room that wait. Higher: memory for people of a homeserver that does not answer. Lower: their
calls are lost sooner."""

_Turn = tuple[Callable[[], Awaitable[None]], Callable[[], None]]


class Turns:
    """`count(name)` is told of those that were too many, and of those that could not be handled."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._queues: dict[str, deque[_Turn]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def waiting(self, room_id: str) -> bool:
        return room_id in self._queues

    def take(self, room_id: str, turn: Callable[[], Awaitable[None]], done: Callable[[], None]) -> None:
        """Performs `turn` when all before it in this room are; then, or when it is given up, `done`."""
        queue = self._queues.get(room_id)
        if queue is None:
            queue = self._queues[room_id] = deque()
            task = asyncio.create_task(self._perform(room_id, queue), name="matrix-turns")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(queue) >= TURNS_MAX:
            self._count("matrix_device_mismatched")
            done()
            return
        queue.append((turn, done))

    async def close(self) -> None:
        """What still waits is not done: the next process is told of it again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _perform(self, room_id: str, queue: deque[_Turn]) -> None:
        try:
            while queue:
                turn, done = queue[0]
                try:
                    await turn()
                except Exception as error:  # of matrix-nio, which has no common base for them
                    self._count("matrix_poison")
                    log.warning("an event could not be handled (%s) and was skipped", type(error).__name__)
                queue.popleft()
                if not queue:
                    del self._queues[room_id]  # what is told of the last one may bring the next
                done()
        finally:
            if self._queues.get(room_id) is queue:
                del self._queues[room_id]
