"""How often something is said again: the first change at once, later ones gathered."""


class Pace:
    """Of one kind of message to one member, at most once in `interval` seconds."""

    __slots__ = ("_free_at", "due", "interval")

    def __init__(self, interval: float) -> None:
        self.due: float | None = None  # when what is held back may be said
        self.interval = interval
        self._free_at = float("-inf")

    def may_say(self, changed: bool, now: float) -> bool:
        """True when the change is to be said now, which is then taken as done."""
        self.due = self._free_at if changed and now < self._free_at else None
        if not changed or self.due is not None:
            return False
        self._free_at = now + self.interval
        return True

    def reset(self) -> None:
        """Whoever listens knows nothing: the next is said at once."""
        self.due = None
        self._free_at = float("-inf")
