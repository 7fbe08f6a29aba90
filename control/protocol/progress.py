"""Which position in the homeserver's timeline may be stored: one before which nothing is left to do.

What an answer to /sync brought takes time: rooms to join, answers to send, keys to wait for. A process
that is killed meanwhile finds it again, if the position it stored lies before.
"""

from collections import deque
from collections.abc import Callable


class Progress:
    """Work that is begun, and the positions that were reached."""

    def __init__(self) -> None:
        self._last = 0
        self._open: set[int] = set()
        self._reached: deque[tuple[int, str]] = deque()

    def begin(self) -> Callable[[], None]:
        """Of something that an answer brought. The result is called when it is done, or given up."""
        self._last += 1
        number = self._last
        self._open.add(number)
        return lambda: self._open.discard(number)

    def reached(self, token: str) -> None:
        """Everything before this position has been begun."""
        if self._reached and self._reached[-1][0] == self._last:
            self._reached.pop()  # nothing was begun since: the later one stands for both
        self._reached.append((self._last, token))

    def take(self) -> str | None:
        """The furthest position before which everything is done; None when there is no further one."""
        oldest = min(self._open, default=self._last + 1)
        found = None
        while self._reached and self._reached[0][0] < oldest:
            found = self._reached.popleft()[1]
        return found
