"""Sealed packets on the wire: `ciphertext | tag | key id | OHB` (docs/protocol.md section 11.4). Pure."""

import struct
from dataclasses import dataclass

from client.keys.kid import make_kid
from client.sealed.keys import KEY_ID_BYTES, TAG_BYTES, InnerKey, SealedError

SEQUENCE, PAYLOAD_TYPE, MARKER, MARKER_WAS = 0x01, 0x02, 0x04, 0x08
EMPTY_OHB = b"\0"


@dataclass(frozen=True, slots=True)
class Header:
    """What the inner tag covers of a packet's header."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    padding: bool = False  # the P bit; the padding itself is in what is sealed

    def to_bytes(self) -> bytes:
        """12 + 4 x CC bytes, X = 0."""
        first = 0x80 | (0x20 if self.padding else 0) | len(self.csrcs)
        second = self.payload_type | (0x80 if self.marker else 0)
        head = struct.pack("!BBHII", first, second, self.sequence, self.timestamp, self.ssrc)
        return head + b"".join(struct.pack("!I", each) for each in self.csrcs)


def write_ohb(original: Header, sent: Header) -> bytes:
    """What a distributor appends that changed `original` into `sent` (RFC 8723 section 4)."""
    config, fields = 0, b""
    if sent.payload_type != original.payload_type:
        config |= PAYLOAD_TYPE
        fields += bytes((original.payload_type,))
    if sent.sequence != original.sequence:
        config |= SEQUENCE
        fields += original.sequence.to_bytes(2, "big")
    if sent.marker != original.marker:
        config |= MARKER | (MARKER_WAS if original.marker else 0)
    return fields + bytes((config,))


def take_ohb_untrusted(header: Header, payload: bytes) -> tuple[Header, bytes]:
    """The original header, and the payload without its OHB; SealedError when there is no proper one."""
    if not payload:
        raise SealedError("empty")
    config = payload[-1]
    if config & 0xF0 or config & (MARKER | MARKER_WAS) == MARKER_WAS:
        raise SealedError("an OHB of another kind")
    size = 1 + (2 if config & SEQUENCE else 0) + (1 if config & PAYLOAD_TYPE else 0)
    if len(payload) < size:
        raise SealedError("cut in its OHB")
    at = len(payload) - size
    payload_type, sequence, marker = header.payload_type, header.sequence, header.marker
    if config & PAYLOAD_TYPE:
        payload_type = payload[at]
        if payload_type > 127:
            raise SealedError("a payload type of eight bits")
        at += 1
    if config & SEQUENCE:
        sequence = int.from_bytes(payload[at : at + 2], "big")
    if config & MARKER:
        marker = bool(config & MARKER_WAS)
    original = Header(
        payload_type, sequence, header.timestamp, header.ssrc, marker, header.csrcs, header.padding
    )
    return original, payload[: len(payload) - size]


def key_id_of_untrusted(body: bytes) -> tuple[bytes, bytes]:
    """Ciphertext with its tag, and the key id, of a payload without OHB."""
    if len(body) < TAG_BYTES + KEY_ID_BYTES:
        raise SealedError("too short for a tag")
    return body[:-KEY_ID_BYTES], body[-KEY_ID_BYTES:]


def nearest_index(sequence: int, base: int) -> int:
    """The index with this sequence number that is nearest to `base` (RFC 3711 section 3.3.1)."""
    step = (sequence - base + 0x8000) % 0x10000 - 0x8000
    return base + step if base + step >= 0 else base + step + 0x10000


def strip_padding_untrusted(header: Header, payload: bytes) -> bytes:
    """The inner payload without its padding."""
    if not header.padding:
        return payload
    if not payload or not 0 < payload[-1] <= len(payload):
        raise SealedError("more padding than payload")
    return payload[: -payload[-1]]


def inner_key(base_key: bytes, member: int, source: int, epoch: int, step: int) -> InnerKey:
    return InnerKey(base_key, make_kid(member, source, epoch, step))
