"""RTP packets (RFC 3550) with header extensions (RFC 8285), as bytes and as values."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

ONE_BYTE, TWO_BYTE = 0xBEDE, 0x1000


class PacketError(Exception):
    """These bytes are no packet of the kind."""


@dataclass(slots=True)
class RtpPacket:
    """`extensions` by their agreed id."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes = b""
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extensions: Mapping[int, bytes] = field(default_factory=dict)
    padding: int = 0  # bytes of it that were there; never written

    def to_bytes(self) -> bytes:
        """Extensions in the one-byte form: ids 1 to 14, values of 1 to 16 bytes."""
        first = 0x80 | (0x10 if self.extensions else 0) | len(self.csrcs)
        second = self.payload_type | (0x80 if self.marker else 0)
        head = struct.pack("!BBHII", first, second, self.sequence, self.timestamp, self.ssrc)
        parts = [head, *(struct.pack("!I", each) for each in self.csrcs)]
        if self.extensions:
            data = b"".join(
                bytes((number << 4 | len(value) - 1,)) + value for number, value in self.extensions.items()
            )
            data += b"\0" * (-len(data) % 4)
            parts += [struct.pack("!HH", ONE_BYTE, len(data) // 4), data]
        return b"".join((*parts, self.payload))


def read_rtp_untrusted(data: bytes) -> RtpPacket:
    """PacketError when it is none."""
    if len(data) < 12 or data[0] >> 6 != 2:
        raise PacketError("no RTP header")
    first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    at = 12 + 4 * (first & 15)
    if at > len(data):
        raise PacketError("cut in its CSRC list")
    csrcs = struct.unpack_from(f"!{first & 15}I", data, 12)
    extensions: dict[int, bytes] = {}
    if first & 0x10:
        if at + 4 > len(data):
            raise PacketError("cut before its extensions")
        profile, words = struct.unpack_from("!HH", data, at)
        end = at + 4 + 4 * words
        if end > len(data):
            raise PacketError("cut in its extensions")
        extensions = _read_extensions(profile, data[at + 4 : end])
        at = end
    end = len(data)
    padding = 0
    if first & 0x20:
        padding = data[-1] if at < end else 0
        if not 0 < padding <= end - at:
            raise PacketError("more padding than payload")
        end -= padding
    return RtpPacket(
        second & 0x7F,
        sequence,
        timestamp,
        ssrc,
        data[at:end],
        bool(second & 0x80),
        csrcs,
        extensions,
        padding,
    )


def _read_extensions(profile: int, data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    two = profile & 0xFFF0 == TWO_BYTE
    if not two and profile != ONE_BYTE:
        return found
    at = 0
    while at < len(data):
        if data[at] == 0:
            at += 1
            continue
        if two:
            if at + 2 > len(data):
                break
            number, length, at = data[at], data[at + 1], at + 2
        else:
            number, length, at = data[at] >> 4, (data[at] & 15) + 1, at + 1
            if number == 15:
                break
        if at + length > len(data):
            raise PacketError("an extension is longer than its block")
        found[number] = data[at : at + length]
        at += length
    return found


def is_rtcp(data: bytes) -> bool:
    """Of a packet of RTP or RTCP on one port (RFC 5761 section 4)."""
    return len(data) > 1 and 192 <= data[1] <= 223


def sequence_difference(later: int, earlier: int) -> int:
    """later - earlier modulo 2**16, from -32768 to 32767."""
    return (later - earlier + 0x8000 & 0xFFFF) - 0x8000


def timestamp_difference(later: int, earlier: int) -> int:
    """later - earlier modulo 2**32, from -2**31 on."""
    return (later - earlier + 0x80000000 & 0xFFFFFFFF) - 0x80000000


class Unwrapper:
    """Numbers of `bits` bits as ones that never wrap."""

    def __init__(self, bits: int) -> None:
        self._size = 1 << bits
        self._last: int | None = None

    def __call__(self, value: int) -> int:
        if self._last is None:
            self._last = value
            return value
        half = self._size >> 1
        step = (value - self._last + half) % self._size - half
        found = self._last + step
        self._last = max(self._last, found)
        return found
