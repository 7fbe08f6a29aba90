"""What is given up when a worker cannot do all its work, in which order, and when it is given back.

New joins are refused first, then full resolution goes, then the middle one, then thumbnails are sent at half
their rate. Audio is never touched. Steps are taken one at a time and slowly enough to see what each brought.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from control.protocol import limits
from control.protocol.rates import Rates
from control.protocol.wishes import FULL, MIDDLE, THUMBNAIL


class Shed(IntEnum):
    """How much is given up; each includes those before it."""

    NOTHING = 0
    JOINS = 1
    FULL_RESOLUTION = 2
    MIDDLE_RESOLUTION = 3
    THUMBNAILS_RATE = 4

    @property
    def level(self) -> int:
        """The highest encoding anybody gets, as in a wish."""
        if self >= Shed.MIDDLE_RESOLUTION:
            return THUMBNAIL
        return MIDDLE if self is Shed.FULL_RESOLUTION else FULL

    def rates(self, rates: Rates) -> Rates:
        """What senders may have at most."""
        return rates.lower_thumbnails() if self is Shed.THUMBNAILS_RATE else rates


OVERLOADED = "The focus is overloaded: join again in a minute."


def late_part(late: int, sent: int) -> float:
    """How much of what a worker sent in a second waited too long for it. A handful of checks says nothing."""
    return late / max(limits.OVERLOAD_PACKETS, sent)


@dataclass(slots=True)
class Load:
    """Of one worker: the part of its time that it works, as measured, and what follows from it."""

    shed: Shed = Shed.NOTHING
    _over_since: float | None = None
    _under_since: float | None = None
    _given_back_at: float | None = None
    _patience: float = field(default=limits.OVERLOAD_RELIEF)

    def measured(self, busy: float, now: float, late: float = 0.0) -> bool:
        """`busy` is 0 to 1, over about a second; `late` the part of its packets that waited for it for more
        than 50 ms, as where its core is taken by others. True when `shed` is another now."""
        over = busy >= limits.OVERLOAD_BUSY or late >= limits.OVERLOAD_LATE
        under = busy <= limits.OVERLOAD_IDLE and late <= limits.OVERLOAD_LATE / 2
        self._over_since = (self._over_since or now) if over else None
        self._under_since = (self._under_since or now) if under else None
        if self._over_since is not None and now - self._over_since >= limits.OVERLOAD_STEP:
            return self._take(now)
        if self._under_since is not None and now - self._under_since >= self._patience:
            return self._give_back(now)
        return False

    def _take(self, now: float) -> bool:
        self._over_since = now
        if self.shed is Shed.THUMBNAILS_RATE:
            return False
        given_back, self._given_back_at = self._given_back_at, None
        if given_back is not None and now - given_back < limits.OVERLOAD_REMEMBERED:
            # It was given back too early: next time it takes longer.
            self._patience = min(self._patience * 2, limits.OVERLOAD_RELIEF_LONGEST)
        elif given_back is not None:
            self._patience = limits.OVERLOAD_RELIEF
        self.shed = Shed(self.shed + 1)
        return True

    def _give_back(self, now: float) -> bool:
        self._under_since = now
        if self.shed is Shed.NOTHING:
            return False
        self._given_back_at = now
        self.shed = Shed(self.shed - 1)
        return True


@dataclass(frozen=True, slots=True)
class Supplies:
    """What is left of what the machine gives a process; None where nothing bounds it."""

    descriptors: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None


class Scarcity:
    """Whether new members are refused because something runs out. What goes on needs nothing new."""

    def __init__(self) -> None:
        self.what: str | None = None

    def measured(self, left: Supplies) -> bool:
        """True when the answer is another now. What is back has to be there twice before it counts."""
        times = 1 if self.what is None else 2
        before, self.what = self.what, None
        for name, there, least in (
            ("file descriptors", left.descriptors, limits.DESCRIPTORS_LEAST),
            ("memory", left.memory_bytes, limits.MEMORY_LEAST),
            ("disk space", left.disk_bytes, limits.DISK_LEAST),
        ):
            if there is not None and there < least * (times if before in (None, name) else 1):
                self.what = name
                break
        return before != self.what

    @property
    def message(self) -> str | None:
        """For whoever wants to join."""
        if self.what is None:
            return None
        return f"The focus has too little {self.what} left for another member: tell its operator."
