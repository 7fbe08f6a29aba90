"""What fastpath_ext.packet reads out of packets."""

from typing import NamedTuple


class RtpHeader(NamedTuple):
    """RFC 3550 section 5.1. `padding` is the P bit; how much it is stands under the encryption."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    csrcs: tuple[int, ...]
    padding: bool
    extension_profile: int
    payload_offset: int


class Vp8Descriptor(NamedTuple):
    """RFC 7741 section 4.2, and whether the packet begins a frame or a key frame."""

    length: int
    picture_id: int | None
    picture_id_bits: int
    tl0: int | None
    temporal_id: int | None
    layer_sync: bool
    non_reference: bool
    frame_start: bool
    key_frame: bool


class Report(NamedTuple):
    """A report block of RFC 3550 section 6.4.1. `fraction_lost` of 256, the last two in 1/65536 s."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_sr: int
    delay_since_last_sr: int


class Projected(NamedTuple):
    """A packet's place in the outgoing stream. Picture id and TL0PICIDX only if the input had them."""

    srtp_index: int
    timestamp: int
    picture_id: int
    tl0: int
