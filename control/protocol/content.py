"""Contents of the contract (docs/protocol.md) as values, and as text where we write them.

What others write is read by reading.py.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from control.protocol.terms import Terms

# Made once: json.dumps makes one for every text that is not written as it does by default.
_encoded: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One entry of sdp_stream_metadata (MSC3077, MSC3291)."""

    purpose: str
    audio_muted: bool
    video_muted: bool


Metadata = Mapping[str, StreamInfo]  # by MediaStream id


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a conference: `open` in the creator's invite."""

    verifier: bytes
    terms: Terms


@dataclass(frozen=True, slots=True)
class Join:
    """The ticket in an invite (docs/protocol.md section 2)."""

    conference_id: str
    creator: str
    epoch: int
    device_id: str
    ts: int
    proof: bytes = field(repr=False)
    opening: Opening | None


@dataclass(frozen=True, slots=True)
class Invite:
    call_id: str
    party_id: str
    lifetime_ms: int
    invitee: str | None
    sdp: str = field(repr=False)
    metadata: Metadata
    join: Join | None


@dataclass(frozen=True, slots=True)
class Candidates:
    call_id: str
    party_id: str
    end: bool  # has the end-of-candidates mark


@dataclass(frozen=True, slots=True)
class SelectAnswer:
    call_id: str
    party_id: str
    selected_party_id: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """From a room, or from a data channel, where call_id and party_id are empty."""

    call_id: str
    party_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    call_id: str
    party_id: str


@dataclass(frozen=True, slots=True)
class Negotiate:
    """A new offer, from a room or from a data channel (there call_id and party_id are empty).

    `offer_id`: what the caller knows the answer by, where it said so.
    """

    call_id: str
    party_id: str
    sdp: str = field(repr=False)
    metadata: Metadata
    offer_id: str | None = None


@dataclass(frozen=True, slots=True)
class MetadataChanged:
    call_id: str
    party_id: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class TrackWish:
    """One entry of `subscribe`; None where it says nothing."""

    member: int
    source: str
    height: int | None = None
    focus: bool | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class TrackSubscription:
    """Entries of `unsubscribe` name member number and source."""

    subscribe: tuple[TrackWish, ...]
    unsubscribe: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Pong:
    pass


@dataclass(frozen=True, slots=True)
class MissingKey:
    member: int
    source: str


@dataclass(frozen=True, slots=True)
class Prove:
    """The member has the ticket secret of an epoch."""

    epoch: int
    verifier: bytes
    proof: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Resumed:
    """The member has moved over to its newest connection."""


@dataclass(frozen=True, slots=True)
class Resume:
    """The body of POST /resume."""

    token: str = field(repr=False)
    sdp: str = field(repr=False)
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Unknown:
    """A type of a later version of the contract, or of somebody else's."""


MatrixContent = Invite | Candidates | SelectAnswer | Hangup | Reject | Negotiate | MetadataChanged | Unknown
ChannelContent = (
    TrackSubscription | MetadataChanged | Negotiate | Pong | MissingKey | Prove | Resumed | Hangup | Unknown
)


def serialise(message_type: str, content: Mapping[str, Any]) -> str:
    """One data channel message as text."""
    return _encoded({"type": message_type, "content": content})


def unpadded(data: bytes) -> str:
    """Base64 as the contract writes it."""
    return base64.b64encode(data).decode().rstrip("=")


def error_object(code: str, message: str) -> dict[str, str]:
    """`P.error` in reject and hangup, and the content of the data channel's."""
    return {"code": code, "message": message}
