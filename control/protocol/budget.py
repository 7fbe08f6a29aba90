"""How much somebody may ask of us: a token bucket, with the moment it ran dry told once."""

from enum import Enum


class Verdict(Enum):
    PASS = "pass"  # noqa: S105
    REFUSE = "refuse"  # the first one over the budget: say so
    DROP = "drop"  # already told


class Budget:
    """`rate` per second, up to `burst` at once."""

    __slots__ = ("_burst", "_level", "_rate", "_since", "_told")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._level = float(burst)
        self._since = now
        self._told = False

    def spend(self, now: float, share: float = 1.0) -> Verdict:
        """Take one, if there is one. `share` of the rate is what came since the last time."""
        self._level = min(self._burst, self._level + max(0.0, now - self._since) * self._rate * share)
        self._since = now
        if self._level >= self._burst:
            # Only a pause makes it a new offence: told at every refill, the telling would be the flood.
            self._told = False
        if self._level >= 1:
            self._level -= 1
            return Verdict.PASS
        if self._told:
            return Verdict.DROP
        self._told = True
        return Verdict.REFUSE
