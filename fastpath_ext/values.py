"""What the compiled shell hands to Python: small values, no offsets and no keys."""

from typing import NamedTuple


class TransportValue(NamedTuple):
    """A transport row read back. Keys and passwords stay in the table: `keyed` says if there are any."""

    incarnation: int
    conference: int
    srtp_profile: int
    keyed: bool
    local_ufrags: tuple[str, ...]
    rtcp_ssrc: int
    remb_bps: int
    sources: tuple[int, ...]
    transport_cc_down: bool
    downlink_max_bps: int
    foreign: int
    follows: int | None


class SourceValue(NamedTuple):
    """A source row read back; fields as in control's SourceRow."""

    incarnation: int
    transport: int
    transport_incarnation: int
    member: int
    kind: int
    codec: int
    clock_rate: int
    payload_type: int
    rtx_payload_type: int
    muted: bool
    mid: str
    rids: tuple[str, ...]
    ssrcs: tuple[int, ...]
    rtx_ssrcs: tuple[int, ...]
    max_bps: tuple[int, ...]
    floor_bps: tuple[int, ...]
    share_percent: int
    resends: bool
    tmmbr: bool
    exports: int
    home: int
    home_source: int
    home_incarnation: int


class SinkValue(NamedTuple):
    """A sink row read back; fields as in control's SinkRow."""

    incarnation: int
    transport: int
    transport_incarnation: int
    source: int
    source_incarnation: int
    ssrc: int
    rtx_ssrc: int
    kind: int
    clock_rate: int
    payload_type: int
    rtx_payload_type: int
    max_encoding: int
    priority: int
    focus: bool
    hidden: bool
    resend: bool
    loudest: bool
    sealed: bool


class TransportStatus(NamedTuple):
    """What the worker knows of a transport. Totals since the transport began."""

    incarnation: int
    connected: bool
    consent_age_ns: int | None
    """Since the last authenticated check; None before the first."""
    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    reported_lost: int
    round_trip_us: int
    """0 = not known yet."""


class EncodingStatus(NamedTuple):
    """What arrives of one encoding."""

    ssrc: int
    """0 = not known yet."""
    rtx_ssrc: int
    live: bool
    packets: int
    bytes: int
    jitter: int
    """RFC 3550 A.8, in units of the source's clock."""
    age_ns: int | None
    """Since the last packet; None before the first."""


class SourceStatus(NamedTuple):
    """What arrives of a source, lowest encoding first."""

    incarnation: int
    encodings: tuple[EncodingStatus, ...]


class SinkStatus(NamedTuple):
    """What one receive slot carries now, which may lag behind the row until the next key frame."""

    incarnation: int
    source: int | None
    source_incarnation: int
    encoding: int
    packets: int
    octets: int
    deal_encoding: int | None
    """What it gets within its receiver's estimate; None = paused."""
    deal_temporal: int
    deal_bps: int
    fraction_lost: int
    """Of 256, as its receiver's last report said."""


class DownlinkStatus(NamedTuple):
    """What one receiver may be sent, in bit/s of UDP payload."""

    incarnation: int
    estimate_bps: int
    remb_bps: int
    """0 = none came."""
    has_feedback: bool
    """Transport-wide feedback came: the estimate is ours."""
    allocated_bps: int
    wanted_bps: int
    paused: int
    """Pictures that are wanted and do not fit."""
    waiting_bytes: int


class UplinkMessage(NamedTuple):
    """One message between a worker and control; `a` and `b` by kind (fastpath/uplink.h)."""

    kind: int
    transport: int
    incarnation: int
    a: int
    b: int
    time_ns: int
    payload: bytes


class SendOrder(NamedTuple):
    """How one encoding should be sent (struct clamp_order)."""

    active: bool
    bps: int
    scale_percent: int
    """Of its own nominal size: 200 = half as wide."""
    framerate: int
    """0 = as it likes."""


class StunRequest(NamedTuple):
    """What a STUN Binding request says; nobody has authenticated it."""

    username: bytes
    priority: int
    use_candidate: bool
    controlling: int | None
    """The tie breaker, where the attribute is present."""
    controlled: int | None
