"""How much each encoding may have at most: what the operator allows, per source."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from control.protocol import limits, names
from control.protocol.sdp_agreement import SenderSection

_FULL = names.RIDS[-1]


def encoding_names(section: SenderSection) -> tuple[str, ...]:
    """Of a video source, from low to high; one without rids has a single one, which is called `f`."""
    return section.rids or (_FULL,)


@dataclass(frozen=True, slots=True)
class Rates:
    """Bit/s. What lies between floor and maximum the worker decides (fastpath/clamp.h)."""

    camera: tuple[int, int, int] = limits.CAMERA_BITRATES  # t, m, f
    screen: int = limits.SCREEN_BITRATE
    share_percent: int = limits.SHARE_PERCENT
    downlink_max_bps: int = 0  # of each receiver; 0 = no bound

    def most(self, section: SenderSection) -> tuple[int, ...]:
        """Of each encoding, from low to high."""
        if section.kind == "audio":
            return (limits.AUDIO_BITRATE,)
        by_rid = dict(zip(names.RIDS, self.camera, strict=True))
        if section.source == "screen":
            by_rid = {rid: self.screen * bps // by_rid[_FULL] for rid, bps in by_rid.items()}
        return tuple(by_rid[name] for name in encoding_names(section))

    def lower_thumbnails(self) -> Self:
        """While a worker is overloaded."""
        thumbnail, middle, full = self.camera
        lower = max(thumbnail * limits.OVERLOAD_THUMBNAILS // 100, limits.BITRATE_LEAST)
        return replace(self, camera=(min(thumbnail, lower), middle, full))

    def remb_bps(self, sections: Iterable[SenderSection]) -> int:
        """The most a sender is told for its whole transport: all it may send, and its own overhead."""
        total = sum(sum(self.most(section)) for section in sections)
        return max(limits.REMB_LEAST, total * limits.REMB_PERCENT // 100)
