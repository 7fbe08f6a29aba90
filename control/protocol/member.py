"""One member of a conference: who it is, what it sends, and what it wants to see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from control.protocol import limits, names
from control.protocol.budget import Budget
from control.protocol.call import Call, State
from control.protocol.content import Metadata
from control.protocol.deals import Deals, Losses
from control.protocol.pace import Pace
from control.protocol.sending import Sending
from control.protocol.slots import Occupant
from control.protocol.speakers import NOBODY
from control.protocol.tokens import Tokens
from control.protocol.transport import Transport
from control.protocol.wishes import Wishes

# Which sources a stream of a purpose has, and which field of its metadata mutes each.
_STREAMS = {
    names.USERMEDIA: (("audio", "audio_muted"), ("camera", "video_muted")),
    names.SCREENSHARE: (("screen_audio", "audio_muted"), ("screen", "video_muted")),
}


@dataclass(slots=True)
class Told:
    """What was last said over the data channel, so that only changes are said, and some not too often."""

    welcome: bool = False
    roster: Mapping[int, Any] = field(default_factory=dict)  # who is here; roster.py
    looked: tuple[object, ...] = ()  # what `telling.tell` looked at last
    slots: list[dict[str, Any]] | None = None
    revision: int = 0
    send: dict[str, Any] | None = None
    epoch: dict[str, Any] | None = None  # P.epoch without its time
    sealed: list[dict[str, Any]] | None = None
    sealed_revision: int = 0
    speakers: Mapping[str, Any] = field(default_factory=lambda: NOBODY)
    viewers: Mapping[str, Any] = field(default_factory=dict)
    subscriptions_full: bool = False
    due: float | None = None  # when something may be told that was held back
    send_pace: Pace = field(default_factory=lambda: Pace(limits.MESSAGE_GAP))
    speakers_pace: Pace = field(default_factory=lambda: Pace(limits.MESSAGE_GAP))
    layers_pace: Pace = field(default_factory=lambda: Pace(limits.MESSAGE_GAP))
    viewers_pace: Pace = field(default_factory=lambda: Pace(limits.VIEWERS_GAP))

    @property
    def paces(self) -> tuple[Pace, ...]:
        return self.send_pace, self.speakers_pace, self.layers_pace, self.viewers_pace

    def reset(self) -> None:
        """The channel is new: nothing was said over it."""
        self.welcome, self.slots, self.send, self.speakers, self.viewers = False, None, None, NOBODY, {}
        self.epoch = self.sealed = None
        self.roster, self.looked = {}, ()
        for pace in self.paces:
            pace.reset()
        self.due = None


@dataclass(slots=True)
class Coming:
    """A second connection that is being made (resumption.py)."""

    transport: Transport
    metadata: Metadata
    deadline: float
    opened: bool = False  # its channel is open, and it waits for others (gathering.py)


@dataclass(frozen=True, slots=True)
class Former:
    """The connection before: goes on while its client moves over."""

    transport: Transport
    until: float


@dataclass(slots=True, eq=False)
class Member:
    """State only; conference.py decides."""

    number: int
    device_id: str
    call: Call
    transport: Transport
    messages: Budget
    negotiations: Budget
    resumes: Budget
    tokens: Tokens = field(default_factory=Tokens)
    coming: Coming | None = None
    former: Former | None = None
    lost: bool = False  # its connection is gone while a second one is being made
    awaited_until: float | None = None  # its connection is a former server's; until then it may come
    present: bool = False  # in the roster: the data channel has been open
    version: int = 0  # counts changes that others see on their slots, and of its own slots
    assigned: int = -1  # the version for which its slot pairs were assigned
    heard: dict[int, tuple[int, str]] = field(default_factory=dict)  # on loudest slots, by handle of the sink
    heard_version: int = 0
    ping_at: float | None = None
    muted: frozenset[str] = frozenset()  # another object only when it is another set
    pairs: Mapping[int, Occupant] = field(default_factory=dict)  # another object only when they are others
    sending: Sending = field(default_factory=Sending)
    deals: Deals = field(default_factory=Deals)
    speaking: set[int] = field(default_factory=set)  # rows of it that are heard to speak, of either form
    losses: dict[str, Losses] = field(default_factory=dict)  # of its viewers, by source; replaced
    entry: tuple[object, object, dict[str, Any] | None] = (None, None, None)  # of the roster
    told: Told = field(default_factory=Told)
    wishes: Wishes = field(default_factory=Wishes)

    @property
    def user_id(self) -> str:
        return self.call.user_id

    def shows(self, handle: int) -> bool:
        """Is this one of its slots for pictures?"""
        transport = self.transport
        slot = next((mid for mid, sink in transport.sinks.items() if sink.row.handle == handle), None)
        return any(each.mid == slot and each.kind == "video" for each in transport.agreement.slots)

    @property
    def channel_open(self) -> bool:
        return self.call.state is State.OPEN

    @property
    def connections(self) -> list[Transport]:
        """All it has in the table: the one it talks over first."""
        others = (self.coming, self.former)
        return [self.transport, *(each.transport for each in others if each is not None)]

    @property
    def sources(self) -> list[str]:
        """Names of what it sends, in the order of their numbers."""
        return [source for source in names.SOURCES if source in self.transport.senders]

    @property
    def pair_indices(self) -> list[int]:
        """Slot pairs of which at least one half is open."""
        return self.transport.pair_indices

    def forget_closed(self) -> None:
        """Sections were closed, and their rows given back: nothing of them means anything any more."""
        self.sending.keep(self.transport.sources.values())
        sealed = self.transport.sealed_sinks.values()
        self.deals.keep({sink.row for sink in (*self.transport.sinks.values(), *sealed)})

    def mute(self, metadata: Metadata) -> None:
        """Take mute states over; a stream of unknown purpose is of a later version."""
        muted = set(self.muted)
        for info in metadata.values():
            for source, name in _STREAMS.get(info.purpose, ()):
                if getattr(info, name):
                    muted.add(source)
                else:
                    muted.discard(source)
        if muted != self.muted:
            self.muted = frozenset(muted)

    def roster_entry(self) -> dict[str, Any]:
        """What the others are told of it; the very same until it is something else."""
        agreement, muted, entry = self.entry
        if agreement is not self.transport.agreement or muted is not self.muted or entry is None:
            entry = self._roster_entry()
            self.entry = self.transport.agreement, self.muted, entry
        return entry

    def _roster_entry(self) -> dict[str, Any]:
        return {
            "member": self.number,
            "user_id": self.user_id,
            "device_id": self.device_id,
            "audio_muted": "audio" in self.muted,
            "video_muted": "camera" in self.muted,
            "sources": self.sources,
            **(
                {"sealed": sealed}
                if (sealed := [each for each in self.sources if each in self.transport.sealed])
                else {}
            ),
        }
