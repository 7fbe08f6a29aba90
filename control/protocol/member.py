"""One member of a conference: who it is, what it sends, and what it wants to see."""

from dataclasses import dataclass, field
from typing import Any

from control.protocol import limits, names
from control.protocol.budget import Budget
from control.protocol.call import Call, State
from control.protocol.content import Metadata, TrackSubscription
from control.protocol.sending import Sending
from control.protocol.slots import Occupant
from control.protocol.transport import Transport

# Heights above these ask for a higher encoding (docs/protocol.md section 4).
_MIDDLE_ABOVE = 180
_FULL_ABOVE = 360
THUMBNAIL, MIDDLE, FULL = 0, 1, 2

# Which sources a stream of a purpose has, and which field of its metadata mutes each.
_STREAMS = {
    names.USERMEDIA: (("audio", "audio_muted"), ("camera", "video_muted")),
    names.SCREENSHARE: (("screen_audio", "audio_muted"), ("screen", "video_muted")),
}

Track = tuple[int, str]  # member number, source


@dataclass(slots=True)
class Told:
    """What was last said over the data channel, so that only changes are said."""

    welcome: bool = False
    slots: list[dict[str, Any]] | None = None
    revision: int = 0
    send: dict[str, Any] | None = None
    subscriptions_full: bool = False


@dataclass(slots=True, eq=False)
class Member:
    """State only; conference.py decides."""

    number: int
    device_id: str
    call: Call
    transport: Transport
    messages: Budget
    negotiations: Budget
    present: bool = False  # in the roster: the data channel has been open
    version: int = 0  # counts changes that others see on their slots, and of its own slots
    assigned: int = -1  # the version for which its slot pairs were assigned
    wishes: int = 0  # counts changes of what it wants to see
    ping_at: float | None = None
    muted: set[str] = field(default_factory=set)
    pairs: dict[int, Occupant] = field(default_factory=dict)
    sending: Sending = field(default_factory=Sending)
    told: Told = field(default_factory=Told)
    _levels: dict[Track, int | None] = field(default_factory=dict)  # None = does not want it

    @property
    def user_id(self) -> str:
        return self.call.user_id

    @property
    def channel_open(self) -> bool:
        return self.call.state is State.OPEN

    @property
    def sources(self) -> list[str]:
        """Names of what it sends, in the order of their numbers."""
        return [source for source in names.SOURCES if source in self.transport.senders]

    @property
    def pair_indices(self) -> list[int]:
        """Slot pairs of which at least one half is open."""
        return sorted({slot.pair for slot in self.transport.agreement.slots if slot.active})

    def level(self, track: Track) -> int | None:
        """The encoding wanted of a track: THUMBNAIL, MIDDLE or FULL; None when it is not wanted at all."""
        # A screen is shared to be read.
        return self._levels.get(track, FULL if track[1] == "screen" else THUMBNAIL)

    def subscribe(self, wishes: TrackSubscription, present: set[int]) -> bool:
        """Take wishes over; False when some did not fit.

        Those about members who are not there are no longer of interest.
        """
        complete = True
        changes: list[tuple[Track, int | None]] = [((each[0], each[1]), None) for each in wishes.unsubscribe]
        changes += [((each[0], each[1]), _level(each[2])) for each in wishes.subscribe]
        for track, level in changes:
            if track[0] not in present or track[0] == self.number:
                continue
            if track in self._levels or len(self._levels) < limits.SUBSCRIPTIONS_MAX:
                self.wishes += self.level(track) != level
                self._levels[track] = level
            else:
                complete = False
        return complete

    def forget(self, number: int) -> None:
        """A member left; its number never comes back."""
        self._levels = {track: level for track, level in self._levels.items() if track[0] != number}

    def mute(self, metadata: Metadata) -> None:
        """Take mute states over; a stream of unknown purpose is of a later version."""
        for info in metadata.values():
            for source, name in _STREAMS.get(info.purpose, ()):
                if getattr(info, name):
                    self.muted.add(source)
                else:
                    self.muted.discard(source)

    def roster_entry(self) -> dict[str, Any]:
        """What the others are told of it."""
        return {
            "member": self.number,
            "user_id": self.user_id,
            "device_id": self.device_id,
            "audio_muted": "audio" in self.muted,
            "video_muted": "camera" in self.muted,
            "sources": self.sources,
        }


def _level(height: int) -> int:
    if height > _FULL_ABOVE:
        return FULL
    return MIDDLE if height > _MIDDLE_ABOVE else THUMBNAIL


def position(rids: tuple[str, ...], level: int) -> int:
    """Where in a source's encodings the highest one stands that is not above `level`.

    0 when all are above, or there is only one.
    """
    at = [index for index, rid in enumerate(rids) if names.RIDS.index(rid) <= level]
    return at[-1] if at else 0
