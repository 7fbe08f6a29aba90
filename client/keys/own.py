"""Our own keys: made, stepped and renewed, sent, and then taken into use (docs/protocol.md section 5).

Pure: time is an argument, in seconds; randomness is a callable.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from client.keys.frames import BaseKey
from client.keys.kid import STEPS
from client.protocol import limits


class Change(IntEnum):
    """By weight: of several that are wanted the heaviest is made."""

    STEP = 1
    NEW = 2
    FIRST = 3


@dataclass(frozen=True, slots=True)
class Made:
    """Keys by source; `number` counts changes from 1."""

    number: int
    change: Change
    keys: dict[int, BaseKey]


@dataclass(frozen=True, slots=True)
class Send:
    """Send these; then call `accepted` or `failed`."""

    keys: dict[int, BaseKey]


@dataclass(frozen=True, slots=True)
class Use:
    """Seal with these from now on."""

    keys: dict[int, BaseKey]


NEVER = float("inf")


class OwnKeys:
    """Ask `poll` after every call and when `due` has come."""

    def __init__(self, sources: Iterable[int], random: Callable[[int], bytes]) -> None:
        self._sources = tuple(sources)
        self._random = random
        self._wanted: Change | None = None
        self._under_way: Made | None = None  # sent, not yet accepted
        self._accepted: Made | None = None  # accepted, not yet in use
        self._current: Made | None = None
        # Of a sending that failed, which some may have nevertheless; None: none, or somebody left since.
        self._unsent: dict[int, BaseKey] | None = None
        self._left = False  # since the sending under way began
        self._epoch = -1  # the highest that was sent: no number is ever of two keys
        self._count = 0
        self._last_sent = self._not_before = -NEVER
        self._use_at = NEVER

    def start(self) -> None:
        """The focus told our number."""
        self._want(Change.FIRST)

    def member_joined(self, now: float) -> int:
        """The first change that is made for the newcomer: keys of earlier ones are not theirs.

        Keys of the last seconds are: people who join together see each other at once, and the step follows.
        """
        recent = self._count > 0 and now - self._last_sent <= limits.KEY_COALESCE_S
        if self._count > 0:
            self._want(Change.STEP)
        return max(1, self._count if recent else self._count + 1)

    def member_left(self) -> None:
        self._unsent, self._left = None, True
        if self._count > 0:  # otherwise nobody has a key of ours yet
            self._want(Change.NEW)

    def since(self, number: int) -> dict[int, list[BaseKey]]:
        """What a receiver needs for whom keys were made from change `number` on: in use, and about to be."""
        found: dict[int, list[BaseKey]] = {}
        for made in (self._current, self._accepted, self._under_way):
            if made is not None and made.number >= number:
                for source, key in made.keys.items():
                    found.setdefault(source, []).append(key)
        return found

    @property
    def due(self) -> float:
        """When `poll` has something to say, as far as is known now."""
        if self._under_way is not None:
            return NEVER
        if self._accepted is not None:
            return self._use_at
        if self._wanted is None:
            return NEVER
        return max(self._last_sent + limits.KEY_COALESCE_S, self._not_before)

    def poll(self, now: float) -> Send | Use | None:
        if now < self.due:
            return None
        if self._accepted is not None:
            self._current, self._accepted, self._use_at = self._accepted, None, NEVER
            return Use(self._current.keys)
        if self._wanted is None:
            return None
        change, self._wanted = self._wanted, None
        self._last_sent = now
        self._count += 1
        self._under_way = Made(self._count, change, self._make(change))
        self._unsent, self._left = None, False
        return Send(self._under_way.keys)

    def accepted(self, now: float) -> None:
        """The homeserver took the event. A new key waits a moment more, until slow receivers have it."""
        if self._under_way is not None:
            self._accepted, self._under_way = self._under_way, None
            self._use_at = now + (limits.KEY_GRACE_S if self._accepted.change == Change.NEW else 0.0)

    def failed(self, now: float) -> None:
        """It is tried again, with the very same keys unless somebody leaves: receivers that have them all the
        same keep the first key of a number."""
        if self._under_way is not None:
            self._unsent = None if self._left else self._under_way.keys
            self._want(self._under_way.change)
            self._under_way = None
            self._not_before = now + limits.KEY_RETRY_S

    def _want(self, change: Change) -> None:
        if not self._sources:
            return  # who sends nothing has no keys
        self._wanted = change if self._wanted is None else max(self._wanted, change)

    def _make(self, change: Change) -> dict[int, BaseKey]:
        if self._unsent is not None and change != Change.STEP:
            return self._unsent
        before = self._current.keys if self._current is not None else {}
        if change == Change.STEP and before and all(key.step + 1 < STEPS for key in before.values()):
            return {source: key.stepped() for source, key in before.items()}
        self._epoch += 1
        return {source: BaseKey(self._epoch, 0, self._random(16)) for source in self._sources}
