"""Which encodings a member is asked to send: on at once, off when nobody has viewed them for a while."""

from collections.abc import Set as AbstractSet
from typing import Any

from control.protocol import limits

Encoding = tuple[str, str]  # source, rid


class Sending:
    """Of one sender."""

    def __init__(self) -> None:
        self._active: dict[Encoding, float | None] = {}  # None = viewed, else when it goes off

    def update(self, wanted: AbstractSet[Encoding], now: float) -> None:
        """`wanted` is what somebody views now."""
        for encoding in wanted:
            self._active[encoding] = None
        for encoding, off_at in list(self._active.items()):
            if encoding in wanted:
                continue
            if off_at is None:
                self._active[encoding] = now + limits.ENCODING_OFF_DELAY
            elif off_at <= now:
                del self._active[encoding]

    def next_timeout(self) -> float | None:
        return min((off_at for off_at in self._active.values() if off_at is not None), default=None)

    def content(self, sources: dict[str, tuple[str, ...]]) -> dict[str, Any]:
        """P.send for a member with these sources and their rids, always whole."""
        return {
            "sources": {
                source: {"encodings": {rid: self._encoding(source, rid) for rid in rids}}
                for source, rids in sources.items()
            }
        }

    def _encoding(self, source: str, rid: str) -> dict[str, Any]:
        if (source, rid) not in self._active:
            return {"active": False}
        return {"active": True, "max_bitrate": limits.ENCODING_BITRATES[rid]}
