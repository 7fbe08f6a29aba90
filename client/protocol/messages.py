"""Messages of the data channel (docs/protocol.md section 4): the focus's as values, ours written."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from client.protocol import names
from client.protocol.checked import unpadded


@dataclass(frozen=True, slots=True)
class Welcome:
    version: int
    member: int
    conference_id: str
    ping_interval_s: float
    epoch: int
    verifier: bytes
    resume: "Resume | None" = None


@dataclass(frozen=True, slots=True)
class Resume:
    """With what, and where, a second connection of this member is asked for."""

    token: str = field(repr=False)
    url: str


def resume_address(url: str, service: str | None) -> str | None:
    """Where a second connection is asked for; None where nobody said, or where a token would travel in clear.

    `service`: the address that config.json comes from.
    """
    address = urljoin(service or "", url)
    parts = urlsplit(address)
    own = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return address if parts.scheme == "https" or (parts.scheme == "http" and own) else None


@dataclass(frozen=True, slots=True)
class Member:
    member: int
    user_id: str
    device_id: str
    audio_muted: bool
    video_muted: bool
    sources: tuple[str, ...]

    def mutes(self, source: str) -> bool:
        """Whether nothing is to be expected of the source. Of screens the roster says nothing."""
        return {"audio": self.audio_muted, "camera": self.video_muted}.get(source, True)


@dataclass(frozen=True, slots=True)
class Members:
    reset: bool
    present: tuple[Member, ...]
    gone: tuple[int, ...]
    more: bool = False  # of the same whole roster follows


@dataclass(frozen=True, slots=True)
class Slot:
    """`member` and `source` are None while nobody is on it."""

    mid: str
    member: int | None
    source: str | None


@dataclass(frozen=True, slots=True)
class Slots:
    revision: int
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the focus wants of one encoding; the last two of its own nominal size and rate."""

    active: bool
    max_bitrate: int | None = None
    scale_down_by: float = 1.0
    max_framerate: float | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """`sealed`: as `sources`, of sealed forms; `forms` of sources that have one: those somebody is given."""

    sources: Mapping[str, Mapping[str, Encoding]]
    sealed: Mapping[str, Mapping[str, Encoding]] = field(default_factory=dict)
    forms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SealedEncoding:
    """`index`: where it stood when this was said, None before its first packet."""

    ssrc: int
    index: int | None


@dataclass(frozen=True, slots=True)
class SealedSource:
    """A source of another that comes sealed, in the section `mid`."""

    member: int
    source: str
    mid: str
    rtx_ssrc: int | None
    encodings: Mapping[str, SealedEncoding]


@dataclass(frozen=True, slots=True)
class Sealed:
    revision: int
    sources: tuple[SealedSource, ...]


@dataclass(frozen=True, slots=True)
class Speakers:
    speaking: tuple[int, ...]
    dominant: int | None


@dataclass(frozen=True, slots=True)
class Layer:
    """`encoding` None: the network does not carry it."""

    encoding: str | None
    temporal: int


@dataclass(frozen=True, slots=True)
class Layers:
    slots: Mapping[str, Layer]
    sealed: tuple[tuple[tuple[int, str], Layer], ...] = ()  # by member and source


@dataclass(frozen=True, slots=True)
class Viewing:
    viewers: int
    lost_mean: float
    lost_worst: float


@dataclass(frozen=True, slots=True)
class Viewers:
    sources: Mapping[str, Viewing]


@dataclass(frozen=True, slots=True)
class Proposed:
    """An epoch on its way; proved by so many of so many persons."""

    epoch: int
    verifier: bytes
    proved: int
    of: int
    yours: bool


@dataclass(frozen=True, slots=True)
class Epoch:
    """`proved`: have we; if not, we have `grace_s` left. `proposed`: the foremost first."""

    epoch: int
    verifier: bytes
    proved: bool
    grace_s: float | None
    proposed: tuple[Proposed, ...]


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The answer to our offer, or why there is none."""

    sdp: str | None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class FocusError:
    code: str
    message: str
    in_reply_to: str


@dataclass(frozen=True, slots=True)
class Hangup:
    reason: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A type of a later version of the contract: passed over."""

    type: str


Message = (
    Welcome
    | Members
    | Slots
    | Send
    | Sealed
    | Speakers
    | Layers
    | Viewers
    | Epoch
    | Negotiated
    | Ping
    | FocusError
    | Hangup
    | Unknown
)


# --- ours ---


@dataclass(frozen=True, slots=True)
class Subscription:
    """How one source of a member is wanted. Height 0: hidden, its slot stays, no packets come."""

    member: int
    source: str
    width: int
    height: int
    focus: bool | None = None
    priority: int = 0


def write(message_type: str, content: Mapping[str, Any]) -> str:
    return json.dumps({"type": message_type, "content": content}, separators=(",", ":"), ensure_ascii=False)


def subscription(subscribe: Iterable[Subscription], unsubscribe: Iterable[tuple[int, str]] = ()) -> str:
    entries: list[dict[str, object]] = []
    for each in subscribe:
        entry: dict[str, object] = {
            "stream_id": str(each.member),
            "track_id": each.source,
            "width": each.width,
            "height": each.height,
        }
        if each.focus is not None:
            entry["focus"] = each.focus
        if each.priority:
            entry["priority"] = each.priority
        entries.append(entry)
    gone = [{"stream_id": str(number), "track_id": source} for number, source in unsubscribe]
    return write(names.TRACK_SUBSCRIPTION, {"subscribe": entries, "unsubscribe": gone})


def metadata_changed(metadata: Mapping[str, Any]) -> str:
    return write(names.METADATA_CHANGED, {names.METADATA: dict(metadata)})


def stream_metadata(stream_id: str, audio_muted: bool = False, video_muted: bool = False) -> dict[str, Any]:
    """sdp_stream_metadata of our one user-media stream."""
    return {stream_id: {"purpose": names.USERMEDIA, "audio_muted": audio_muted, "video_muted": video_muted}}


def negotiate(sdp: str, metadata: Mapping[str, Any]) -> str:
    content = {"description": {"type": "offer", "sdp": sdp}, names.METADATA: dict(metadata)}
    return write(names.NEGOTIATE, content)


def pong() -> str:
    return write(names.PONG, {})


def missing_key(number: int, source: str) -> str:
    return write(names.MISSING_KEY, {"member": number, "source": source})


def prove(epoch: int, verifier: bytes, proof: bytes) -> str:
    return write(names.PROVE, {"epoch": epoch, "verifier": unpadded(verifier), "proof": unpadded(proof)})


def resumed() -> str:
    return write(names.RESUMED, {})


def hangup(reason: str = "user_hangup") -> str:
    return write(names.HANGUP, {"reason": reason})
