"""Who speaks in a conference and who has the floor, as the worker measures it, and whom that seats."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from control.protocol.slots import Occupant


class Speakers:
    """Of one conference, by member number."""

    def __init__(self) -> None:
        self.dominant: int | None = None
        self._speaking: set[int] = set()
        self._spoke_at: dict[int, float] = {}

    def speaks(self, number: int, begins: bool, now: float) -> None:
        """Somebody begins to speak or falls silent."""
        if begins:
            self._speaking.add(number)
        else:
            self._speaking.discard(number)
        self._spoke_at[number] = now

    def silence(self, now: float) -> bool:
        """Nobody is known to speak any more; False when nobody was before."""
        silenced = list(self._speaking)
        for number in silenced:
            self.speaks(number, False, now)
        return bool(silenced)

    def takes_floor(self, number: int) -> None:
        self.dominant = number

    def leaves(self, number: int) -> None:
        """The number never comes back."""
        self._speaking.discard(number)
        self._spoke_at.pop(number, None)
        if self.dominant == number:
            self.dominant = None

    def silent_since(self, number: int) -> float | None:
        """None while speaking; minus infinity for who never spoke."""
        return None if number in self._speaking else self._spoke_at.get(number, float("-inf"))

    def content(self, present: Collection[int]) -> dict[str, Any]:
        """P.speakers."""
        return {
            "speaking": sorted(number for number in self._speaking if number in present),
            "dominant": self.dominant if self.dominant in present else None,
        }


NOBODY: Mapping[str, Any] = {"speaking": [], "dominant": None}


def seat(
    pairs: Mapping[int, Occupant],
    speaker: int,
    silent_since: Callable[[int], float | None],
    kept: Collection[int],
) -> dict[int, Occupant]:
    """Slot pairs of a receiver once somebody without one has the floor.

    It takes the pair of the person who has been silent longest; whoever speaks now, or is among those the
    receiver wants to `keep`, stays, and so do screens. Of equals the one on the last pair goes.
    """
    silent: list[tuple[float, int]] = []
    for pair, who in pairs.items():
        since = silent_since(who.member)
        if not who.screen and who.member not in kept and since is not None:
            silent.append((since, -pair))
    if not silent:
        return dict(pairs)
    return {**pairs, -min(silent)[1]: Occupant(speaker)}
