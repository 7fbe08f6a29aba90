"""What was agreed with a member, as values: conference, table and answer are made of these."""

from dataclasses import dataclass
from typing import Final

from control.protocol.sdp_values import Fingerprint

# Header extensions by the name they have in ExtensionIds.
EXTENSION_URIS: Final = {
    "mid": "urn:ietf:params:rtp-hdrext:sdes:mid",
    "rid": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "repaired_rid": "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    "audio_level": "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "abs_send_time": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "transport_cc": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "dependency_descriptor": "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
}


@dataclass(frozen=True, slots=True)
class Features:
    """Switches that later work flips, nothing else."""

    # Transport-wide feedback from us to senders. Off: they raise and lower their rate by loss and REMB only.
    # On without feedback from the worker would drive Chromium to 100 kbit/s.
    transport_cc_up: bool = True
    # Transport-wide feedback of receivers to us. Off: what they are sent is estimated by REMB, or by loss.
    transport_cc_down: bool = True
    # NACK and RTX of video, both ways. Off: a lost packet shows until the next key frame.
    nack_rtx: bool = True
    # Cameras and screens. Off in conferences for voice alone: sections that send video are declined.
    pictures: bool = True
    # NACK of audio, both ways, answered with the packet itself. Off: a lost packet is 20 ms that are made up.
    nack_audio: bool = True


@dataclass(frozen=True, slots=True)
class ExtensionIds:
    """Agreed header extension ids of one section; None where not agreed."""

    mid: int | None = None
    rid: int | None = None
    repaired_rid: int | None = None
    audio_level: int | None = None
    abs_send_time: int | None = None
    transport_cc: int | None = None
    dependency_descriptor: int | None = None


@dataclass(frozen=True, slots=True)
class SenderSection:
    """A section in which the member sends one source."""

    mid: str
    source: str  # "audio", "camera", "screen" or "screen_audio"
    kind: str  # "audio" or "video"
    payload_type: int
    rtx_payload_type: int | None
    clock_rate: int
    codec: str  # "opus" or "vp8"
    rids: tuple[str, ...]  # simulcast layers from low to high; empty: one encoding without a rid
    extension_ids: ExtensionIds
    feedback: tuple[str, ...]
    active: bool  # False while the member offers it inactive
    stream_id: str | None  # its key in sdp_stream_metadata
    ssrcs: tuple[int, ...]  # those the offer names, if any; mid and rid on the packets are what counts
    declared: tuple[int, int] | None  # of a sender of one encoding: its SSRC and that of its RTX, 0 = none
    sealed: bool = False  # RFC 8723: under SSRCs that we give, beside a section of the same source as frames


@dataclass(frozen=True, slots=True)
class SlotSection:
    """A section in which the member receives what we map onto it."""

    mid: str
    kind: str
    pair: int | None  # None: a loudest slot, audio that belongs to no member
    payload_type: int
    rtx_payload_type: int | None
    clock_rate: int
    codec: str
    extension_ids: ExtensionIds
    feedback: tuple[str, ...]
    active: bool


@dataclass(frozen=True, slots=True)
class DataSection:
    """The data channel's section."""

    mid: str
    sctp_port: int
    max_message_size: int  # bytes the member takes at most; 0: any


@dataclass(frozen=True, slots=True)
class Agreement:
    """What an offer and we agree to."""

    ice_ufrag: str  # the member's
    ice_pwd: str
    fingerprints: tuple[Fingerprint, ...]  # one of these must be the member's certificate
    ice_restart: bool  # the member's ICE credentials differ from those of the agreement before
    senders: tuple[SenderSection, ...]
    slots: tuple[SlotSection, ...]
    data: DataSection
    idle: tuple[str, ...]  # mids of sections that were never anything but inactive
    rejected: tuple[int, ...]  # indices of sections answered with port 0
    mids: tuple[str, ...]  # by index; a re-offer may not move them
    revision: int  # 1 for the first agreement of a call
    declined: bool = False  # a section was left out because of what the conference is for
    opened: tuple[SlotSection, ...] = ()  # where sealed sources of others arrive, at most one of a kind
