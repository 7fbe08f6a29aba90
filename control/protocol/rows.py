"""What control decides for the fast path, as values: one dataclass per row of fastpath/table.h.

`forwarding.compile_routes` makes them, `control.io.table` writes them; nobody else knows either. Handles are
small integers, the index of a row; `incarnation` is never 0 and never used twice for one handle.
"""

from dataclasses import dataclass, field
from enum import IntEnum

NONE = 0xFFFFFFFF


class SrtpProfile(IntEnum):
    """Protection profile of the hop (RFC 5764 4.1.2, RFC 7714 14.2); NONE until DTLS is done."""

    NONE = 0
    AES128_CM_SHA1_80 = 0x0001
    AEAD_AES_128_GCM = 0x0007
    AEAD_AES_256_GCM = 0x0008


class SourceKind(IntEnum):
    """Source numbers of docs/protocol.md."""

    AUDIO = 0
    CAMERA = 1
    SCREEN = 2
    SCREEN_AUDIO = 3


class Codec(IntEnum):
    """Codecs the fast path can tell key frames of."""

    OPUS = 0
    VP8 = 1
    VP9 = 2
    H264 = 3
    AV1 = 4
    SEALED = 5  # encrypted end to end as a whole (RFC 8723), whatever it is


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """Both sides' ICE credentials; text of RFC 8445 5.3."""

    local_ufrag: str
    local_pwd: str = field(repr=False)
    remote_ufrag: str


@dataclass(frozen=True, slots=True)
class HopKeys:
    """SRTP master keys and salts of one hop as DTLS exported them (RFC 5764 4.2)."""

    profile: SrtpProfile
    rx_key: bytes = field(repr=False)
    rx_salt: bytes = field(repr=False)
    tx_key: bytes = field(repr=False)
    tx_salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ExtensionIds:
    """Header extension ids of a BUNDLE group (RFC 8285), 0 = not negotiated."""

    mid: int = 0
    rid: int = 0
    repaired_rid: int = 0
    audio_level: int = 0
    abs_send_time: int = 0
    transport_cc: int = 0
    dependency_descriptor: int = 0


@dataclass(frozen=True, slots=True)
class TransportRow:
    """One member's connection."""

    incarnation: int
    conference: int
    ice: tuple[IceCredentials, ...]
    keys: HopKeys | None
    rtcp_ssrc: int
    remb_bps: int
    sources: tuple[int, ...]
    ext: ExtensionIds
    transport_cc_down: bool = False  # slots negotiated transport-wide feedback: what it is sent is numbered
    downlink_max_bps: int = 0  # the operator's bound of what it is sent, 0 = none
    # Number of another worker + 1: stands for that one's members of the conference, who come by the rings
    # between workers (fastpath/handover.h) and have no connection here. No keys, no credentials.
    foreign: int = 0
    follows: int | None = None  # the same member's connection before it, whose estimate it begins with
    keep_keys: bool = False  # the keys are those in the table, which a former control process put there


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One microphone, camera or screen that arrives on a transport."""

    incarnation: int
    transport: int
    transport_incarnation: int
    member: int
    kind: SourceKind
    codec: Codec
    clock_rate: int
    payload_type: int
    rtx_payload_type: int
    muted: bool
    mid: str
    rids: tuple[str, ...]
    ssrcs: tuple[int, ...] = ()  # none: learnt from mid and rid
    rtx_ssrcs: tuple[int, ...] = ()
    # Between which rates its encodings may be clamped; bit/s, lowest encoding first. Of audio: what it counts
    # as before it is measured.
    max_bps: tuple[int, ...] = ()
    floor_bps: tuple[int, ...] = ()  # 0 or left out: fastpath/clamp.h works it out
    share_percent: int = 0  # of the median viewer's share, below it a viewer moves down; 0 = the default
    resends: bool = False  # audio whose sender takes NACKs and sends the packet itself once more
    tmmbr: bool = False  # negotiated: the clamp is also sent as RFC 5104 says
    exports: int = 0  # bits of the workers that it is handed over to
    # Of one that arrives at another worker: that one's number + 1, and its row there.
    home: int = 0
    home_source: int = 0
    home_incarnation: int = 0


@dataclass(frozen=True, slots=True)
class SinkRow:
    """One outgoing RTP stream: a receive slot and what it should carry."""

    incarnation: int
    transport: int
    transport_incarnation: int
    source: int
    source_incarnation: int
    ssrc: int
    rtx_ssrc: int
    kind: SourceKind
    clock_rate: int
    payload_type: int
    rtx_payload_type: int
    max_encoding: int
    priority: int
    focus: bool = False  # looked at: grows before any thumbnail
    hidden: bool = False  # nobody looks at it now: costs nothing, the mapping stays
    resend: bool = False  # audio whose receiver may ask for a packet once more
    loudest: bool = False  # an audio slot without a member of its own: the worker chooses
    sealed: bool = False  # no slot: this one sealed source, under its own SSRCs
