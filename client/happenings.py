"""What `Conference.events()` yields."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Joined:
    """We are in; `member` is our number."""

    member: int
    conference_id: str


@dataclass(frozen=True, slots=True)
class MemberJoined:
    member: int
    user_id: str
    device_id: str


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """Their mute state or their sources."""

    member: int
    audio_muted: bool
    video_muted: bool
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemberLeft:
    member: int
    user_id: str


@dataclass(frozen=True, slots=True)
class TileChanged:
    """How one source of a member fares here: a verdict of client.keys.frames, for instance "decrypting"."""

    member: int
    source: str
    state: str


@dataclass(frozen=True, slots=True)
class Speaking:
    """Who speaks now, and who most of all."""

    members: tuple[int, ...]
    dominant: int | None


@dataclass(frozen=True, slots=True)
class HandChanged:
    member: int
    raised: bool


@dataclass(frozen=True, slots=True)
class Reacted:
    """One emoji."""

    member: int
    emoji: str


@dataclass(frozen=True, slots=True)
class AskedToMute:
    """A moderator asked, and that source of ours is off; it may be turned on again."""

    source: str
    by: str  # user id


@dataclass(frozen=True, slots=True)
class Wanted:
    """Encodings of a source of ours that the focus wants now."""

    source: str
    encodings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerChanged:
    """The highest encoding of a member's picture that our network carries; None: none at all for now."""

    member: int
    source: str
    encoding: str | None
    temporal: int


@dataclass(frozen=True, slots=True)
class Complaint:
    """The focus could not use a message of ours."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event. `code` is "left" when we went ourselves."""

    code: str
    message: str


Happening = (
    Joined
    | MemberJoined
    | MemberChanged
    | MemberLeft
    | TileChanged
    | Speaking
    | HandChanged
    | Reacted
    | AskedToMute
    | Wanted
    | LayerChanged
    | Complaint
    | Ended
)
