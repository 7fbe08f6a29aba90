"""What one member wishes to see: which sources, how large, and what matters most (docs/protocol.md 4.5)."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from control.protocol import limits, names
from control.protocol.content import TrackSubscription, TrackWish

# Heights above these ask for a higher encoding.
_MIDDLE_ABOVE: Final = 180
_FULL_ABOVE: Final = 360
THUMBNAIL, MIDDLE, FULL = 0, 1, 2

Track = tuple[int, str]  # member number, source


@dataclass(frozen=True, slots=True)
class Wish:
    """For one track."""

    level: int = THUMBNAIL  # the highest encoding that is of use
    focus: bool = False  # grows before any thumbnail
    priority: int = 0  # 0 to 9
    hidden: bool = False  # mapped, but nobody looks at it now


NO_WISH: Final = Wish()
_OF_A_SCREEN: Final = Wish(FULL, focus=True)  # it is shared to be read


class Wishes:
    """Of one member."""

    def __init__(self) -> None:
        self.version = 0  # counts changes
        self._wishes: dict[Track, Wish | None] = {}  # None = does not want it
        self._most = FULL

    def of(self, track: Track) -> Wish | None:
        """None when it is not wanted at all."""
        wish = self._wishes.get(track, _default(track[1]))
        return wish if wish is None or wish.level <= self._most else replace(wish, level=self._most)

    def bound(self, level: int) -> None:
        """Nobody gets a higher one now, whatever it wishes."""
        self.version += self._most != level
        self._most = level

    def take(self, changes: TrackSubscription, others: Collection[int]) -> bool:
        """Take new wishes over; False when some did not fit.

        Those about members who are not among `others` are no longer of interest.
        """
        complete = True
        new: list[tuple[Track, Wish | None]] = [(track, None) for track in changes.unsubscribe]
        new += [((each.member, each.source), _wish(each)) for each in changes.subscribe]
        for track, wish in new:
            if track[0] not in others:
                continue
            if track in self._wishes or len(self._wishes) < limits.SUBSCRIPTIONS_MAX:
                self.version += self.of(track) != wish
                self._wishes[track] = wish
            else:
                complete = False
        return complete

    def all(self) -> list[tuple[Track, Wish | None]]:
        """Those that were said."""
        return list(self._wishes.items())

    def put(self, track: Track, wish: Wish | None) -> None:
        """One that was said to a former control process."""
        self.version += 1
        self._wishes[track] = wish

    def forget(self, number: int) -> None:
        """A member left; its number never comes back."""
        self._wishes = {track: wish for track, wish in self._wishes.items() if track[0] != number}

    @property
    def kept(self) -> set[int]:
        """Members who are watched in focus or were given a priority: nobody else takes their pair."""
        return {track[0] for track, wish in self._wishes.items() if wish and (wish.focus or wish.priority)}


def position(rids: tuple[str, ...], level: int) -> int:
    """Where in a source's encodings the highest one stands that is not above `level`.

    0 when all are above, or there is only one.
    """
    at = [index for index, rid in enumerate(rids) if names.RIDS.index(rid) <= level]
    return at[-1] if at else 0


def _default(source: str) -> Wish:
    return _OF_A_SCREEN if source == "screen" else NO_WISH


def _wish(said: TrackWish) -> Wish:
    if said.source not in ("camera", "screen"):
        return Wish(priority=said.priority)
    default = _default(said.source)
    height = said.height
    level = default.level if height is None else _level(height)
    by_size = default.focus if height is None else height > _FULL_ABOVE
    focus = by_size if said.focus is None else said.focus
    return Wish(level, focus, said.priority, hidden=height == 0)


def _level(height: int) -> int:
    if height > _FULL_ABOVE:
        return FULL
    return MIDDLE if height > _MIDDLE_ABOVE else THUMBNAIL
