"""What a receiver's slots get within its estimate (P.layers), what a sender's viewers lose (P.viewers)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control.protocol import limits
from control.protocol.allocation import Row
from control.protocol.wishes import Track

Place = str | Track
"""Where a picture comes: by mid of its slot, or, sealed, by whose it is."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A video slot that carries somebody, or a sealed source, and is looked at."""

    sink: Row
    member: int
    source: str
    encodings: tuple[str, ...]  # names, from low to high


class Deals:
    """Of one receiver, as the worker made them, and what the receiver was told of them.

    A slot that has just come to show something is not spoken of until the worker has, or has had the time to:
    before that the deal is still of whatever the slot showed before.
    """

    def __init__(self) -> None:
        self.due: float | None = None  # when something may be said that may not be now
        self.version = 0
        # What the last look was at: none of it changed, nothing is to be said. Most looks are of that kind.
        self._looked: tuple[Mapping[Place, Shown], frozenset[Track], int] | None = None
        self._deals: dict[Row, tuple[int | None, int]] = {}  # by sink: encoding, temporal layer
        self._fresh: dict[Place, tuple[Shown, float | None]] = {}  # by place: since when, None = settled
        self._told: dict[Place, dict[str, Any]] = {}

    def deal(self, sink: Row, encoding: int | None, temporal: int) -> None:
        """The worker's; None = paused."""
        self.version += 1
        self._deals[sink] = encoding, temporal
        for mid, (shown, _) in self._fresh.items():
            if shown.sink == sink:
                self._fresh[mid] = shown, None

    def changes(self, shown: Mapping[Place, Shown], muted: frozenset[Track], now: float) -> dict[Place, Any]:
        """What P.layers would say now. Nobody waits for the picture of a muted source."""
        look = shown, muted, self.version
        if self._looked is not None and self._looked[0] is shown and self._looked[1:] == look[1:]:
            return {}
        seen = {mid: slot for mid, slot in shown.items() if (slot.member, slot.source) not in muted}
        self._fresh = {mid: fresh for mid, fresh in self._fresh.items() if mid in seen}
        self.due = None
        news: dict[Place, Any] = {}
        for mid, slot in seen.items():
            known = self._fresh.get(mid)
            if known is None or known[0] != slot:
                known = self._fresh[mid] = slot, now + limits.DEAL_SETTLE
            settled_at = known[1]
            if settled_at is not None and now < settled_at:
                self.due = settled_at if self.due is None else min(self.due, settled_at)
                continue
            content = self._content(slot)
            if content is not None and content != self._told.get(mid):
                news[mid] = content
        self._looked = None if news or self.due is not None else look
        return news

    def say(self, news: Mapping[Place, Any]) -> None:
        """They were told."""
        self._told |= news

    def reset(self) -> None:
        """The receiver knows nothing any more."""
        self._told = {}
        self._looked = None

    def keep(self, sinks: set[Row]) -> None:
        """Deals of other sinks than these are of no more use."""
        self._deals = {sink: deal for sink, deal in self._deals.items() if sink in sinks}

    def _content(self, slot: Shown) -> dict[str, Any] | None:
        deal = self._deals.get(slot.sink)
        if deal is None:
            return None
        encoding, temporal = deal
        if encoding is None:
            return {"encoding": None, "temporal": 0}
        name = slot.encodings[min(encoding, len(slot.encodings) - 1)]
        return {"encoding": name, "temporal": temporal}


def layers_content(news: Mapping[Place, Any]) -> dict[str, Any]:
    """P.layers."""
    sealed = [
        {"member": place[0], "source": place[1], **deal}
        for place, deal in news.items()
        if isinstance(place, tuple)
    ]
    slots = {place: deal for place, deal in news.items() if isinstance(place, str)}
    return {"slots": slots} | ({"sealed": sealed} if sealed else {})


@dataclass(frozen=True, slots=True)
class Losses:
    """Of the viewers of one source, in parts of 256."""

    viewers: int
    worst: int
    mean: int

    def content(self) -> dict[str, Any]:
        """One entry of P.viewers."""
        return {
            "viewers": self.viewers,
            "lost_mean": round(self.mean / 256, 2),
            "lost_worst": round(self.worst / 256, 2),
        }
