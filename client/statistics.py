"""Figures of one conference, as values that can be printed or sent on."""

import time
from dataclasses import dataclass, field

from client.keys.frames import Verdict


@dataclass(slots=True)
class Tile:
    """One source of one member as it arrives here. `opened` frames were decrypted."""

    member: int
    source: int
    state: Verdict | None = None
    state_since: float = 0.0
    form: str = "frames"  # in which it came last: frames, or sealed
    opened: int = 0
    bytes: int = 0
    key_frames: int = 0
    size: tuple[int, int] | None = None
    refused: dict[Verdict, int] = field(default_factory=dict)
    first_at: float = 0.0
    last_at: float = 0.0
    epochs: set[int] = field(default_factory=set)
    epoch: int = 0  # of the frame that had no key

    @property
    def rate(self) -> float:
        """Frames a second since the first."""
        spent = self.last_at - self.first_at
        return (self.opened - 1) / spent if spent > 0 else 0.0


@dataclass(slots=True)
class Sent:
    """One encoding of ours."""

    source: str
    rid: str
    packets: int
    octets: int
    repeated: int
    lost: float


@dataclass(slots=True)
class Statistics:
    """`counts`: what was passed over, refused or asked for, by name."""

    begun: float = field(default_factory=time.monotonic)
    tiles: dict[tuple[int, int], Tile] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by
