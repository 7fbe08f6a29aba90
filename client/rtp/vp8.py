"""VP8 in RTP (RFC 7741): the payload descriptor, frames into packets."""

from dataclasses import dataclass

from client.protocol import limits
from client.rtp.packet import PacketError


@dataclass(frozen=True, slots=True)
class Descriptor:
    """`length` bytes at the start of a payload."""

    start: bool  # first packet of partition 0, of a frame therefore
    length: int
    picture_id: int | None = None


def read_descriptor_untrusted(payload: bytes) -> Descriptor:
    """PacketError when the payload ends in it."""
    if not payload:
        raise PacketError("empty")
    first, at, picture_id = payload[0], 1, None
    try:
        if first & 0x80:
            flags = payload[at]
            at += 1
            if flags & 0x80:
                picture_id = payload[at]
                at += 1
                if picture_id & 0x80:
                    picture_id = (picture_id & 0x7F) << 8 | payload[at]
                    at += 1
            at += (flags >> 6 & 1) + (1 if flags & 0x30 else 0)
    except IndexError:
        raise PacketError("cut in its VP8 descriptor") from None
    if at >= len(payload):
        raise PacketError("nothing after its VP8 descriptor")
    return Descriptor(first & 0x10 != 0 and first & 7 == 0, at, picture_id)


def packetise(frame: bytes, picture_id: int, most: int = limits.RTP_PAYLOAD_MAX) -> list[bytes]:
    """Payloads of about equal size, each with a descriptor that has a picture id of 15 bits."""
    if not frame:
        return []
    count = -(-len(frame) // (most - 4))
    size = -(-len(frame) // count)
    tail = bytes((0x80, 0x80 | picture_id >> 8 & 0x7F, picture_id & 0xFF))
    return [
        bytes((0x90 if start == 0 else 0x80,)) + tail + frame[start : start + size]
        for start in range(0, len(frame), size)
    ]


def is_key_frame(frame: bytes) -> bool:
    """Of an encoded frame, plain or sealed: its first bytes are clear."""
    return bool(frame) and not frame[0] & 1


def picture_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height that a key frame names (RFC 6386 section 9.1)."""
    if not is_key_frame(frame) or len(frame) < 10 or frame[3:6] != b"\x9d\x01\x2a":
        return None
    return (frame[6] | frame[7] << 8) & 0x3FFF, (frame[8] | frame[9] << 8) & 0x3FFF
