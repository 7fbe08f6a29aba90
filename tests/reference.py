"""The packet rules once more, in plain Python and from the RFCs: what the compiled core is compared with.

Written to be read beside the RFC, not to be fast. Everything malformed raises Malformed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

# Packets a receiver may be shown as missing: at once, for each millisecond since the frame before, at most.
GAP_AT_ONCE, GAP_PER_MS, MAX_GAP = 32, 4, 1024


class Malformed(Exception):
    """What the core answers with an error."""


def need(condition: bool) -> None:
    if not condition:
        raise Malformed


class Reader:
    """Bytes taken from the front; taking more than there is is malformed."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        need(len(self.data) - self.at >= count)
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    @property
    def left(self) -> int:
        return len(self.data) - self.at


# --- RFC 7983 section 7, RFC 5761 section 4 -----------------------------------------------------------------


def demux(datagram: bytes) -> str:
    need(len(datagram) >= 8)
    first, second = datagram[0], datagram[1]
    if first in range(128, 192):
        kind, least = ("rtcp", 8) if second in range(192, 224) else ("rtp", 12)
    elif first in range(4):
        kind, least = "stun", 20
    elif first in range(20, 64):
        kind, least = "dtls", 13
    else:
        raise Malformed
    need(len(datagram) >= least)
    return kind


# --- RFC 3550 section 5.1, RFC 8285 -------------------------------------------------------------------------


@dataclass
class Rtp:
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    csrcs: tuple[int, ...]
    padding: bool
    extension_profile: int
    payload_offset: int
    elements: bytes


def rtp_parse(packet: bytes) -> Rtp:
    need(len(packet) <= 0xFFFF)
    reader = Reader(packet)
    first, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", reader.take(12))
    need(first >> 6 == 2)
    csrcs = tuple(reader.number(4) for _ in range(first & 15))
    profile, elements = 0, b""
    if first & 0x10:
        profile = reader.number(2)
        elements = reader.take(4 * reader.number(2))
    return Rtp(
        second & 0x7F,
        second >= 128,
        sequence,
        timestamp,
        ssrc,
        csrcs,
        bool(first & 0x20),
        profile,
        reader.at,
        elements,
    )


def rtp_padding(packet: bytes) -> int:
    header = rtp_parse(packet)
    if not header.padding:
        return 0
    payload = packet[header.payload_offset :]
    need(len(payload) > 0 and 1 <= payload[-1] <= len(payload))
    return payload[-1]


def rtp_elements(header: Rtp) -> tuple[list[tuple[int, bytes]], bool]:
    """Elements up to the first that is malformed, and whether there was one."""
    found: list[tuple[int, bytes]] = []
    one_byte = header.extension_profile == 0xBEDE
    if not one_byte and header.extension_profile >> 4 != 0x100:
        return found, False
    reader = Reader(header.elements)
    try:
        while reader.left:
            head = reader.number(1)
            if head == 0:
                continue
            if one_byte:
                if head >> 4 in (0, 15):
                    break
                found.append((head >> 4, reader.take((head & 15) + 1)))
            else:
                found.append((head, reader.take(reader.number(1))))
    except Malformed:
        return found, True
    return found, False


def rtp_extension(packet: bytes, wanted: int) -> bytes | None:
    found, malformed = rtp_elements(rtp_parse(packet))
    for number, data in found:
        if number == wanted:
            return data
    need(not malformed)
    return None


def rtp_header(
    *,
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    marker: bool,
    csrc: int,
    extensions: list[tuple[int, bytes]],
) -> bytes:
    """Extensions in their order; the two-byte form when an id needs it."""
    two_byte = any(number > 14 for number, _ in extensions)
    elements = b"".join(
        (bytes([number, len(data)]) if two_byte else bytes([number << 4 | len(data) - 1])) + data
        for number, data in extensions
    )
    elements += bytes(-len(elements) % 4)
    extension = (
        struct.pack("!HH", 0x1000 if two_byte else 0xBEDE, len(elements) // 4) + elements if elements else b""
    )
    first = 0x80 | (0x10 if extension else 0) | (1 if csrc else 0)
    return (
        struct.pack("!BBHII", first, marker << 7 | payload_type & 127, sequence, timestamp, ssrc)
        + (struct.pack("!I", csrc) if csrc else b"")
        + extension
    )


# --- payloads -----------------------------------------------------------------------------------------------


def vp8_parse(payload: bytes) -> dict[str, Any]:
    """RFC 7741 section 4.2; nothing behind the descriptor is malformed too."""
    reader = Reader(payload)
    first = reader.number(1)
    extended = reader.number(1) if first & 0x80 else 0
    picture_id, bits, tl0, temporal_id, layer_sync = None, 0, None, None, False
    if extended & 0x80:
        picture_id, bits = reader.number(1), 7
        if picture_id & 0x80:
            picture_id, bits = (picture_id & 0x7F) << 8 | reader.number(1), 15
    if extended & 0x40:
        tl0 = reader.number(1)
    if extended & 0x30:
        layers = reader.number(1)
        if extended & 0x20:
            temporal_id, layer_sync = layers >> 6, bool(layers & 0x20)
    length = reader.at
    start = bool(first & 0x10) and first & 7 == 0
    return {
        "length": length,
        "picture_id": picture_id,
        "picture_id_bits": bits,
        "tl0": tl0,
        "temporal_id": temporal_id,
        "layer_sync": layer_sync,
        "non_reference": bool(first & 0x20),
        "frame_start": start,
        "key_frame": (reader.number(1) & 1 == 0) and start,
    }


def payload_key_start(codec: str, payload: bytes) -> bool:
    reader = Reader(payload)
    need(reader.left > 0)
    if codec == "opus":
        return True
    if codec == "vp8":
        return bool(vp8_parse(payload)["key_frame"])
    if codec == "vp9":  # RFC 9628 section 4.2
        first = reader.number(1)
        if first & 0x80 and reader.number(1) & 0x80:
            reader.take(1)
        layers = reader.number(1) if first & 0x20 else 0
        spatial_id, inter_layer = layers >> 1 & 7, layers & 1
        predicted, begins_frame = bool(first & 0x40), bool(first & 0x08)
        return begins_frame and not predicted and spatial_id == 0 and not inter_layer
    if codec == "av1":  # RTP payload for AV1, section 4.4
        first = reader.number(1)
        return bool(first & 0x08) and not first & 0x80
    keys = (5, 7)  # RFC 6184: IDR slice, sequence parameter set
    kind = reader.number(1) & 31
    if kind == 28:
        fragment = reader.number(1)
        return bool(fragment & 0x80) and fragment & 31 in keys
    if kind == 24:
        while reader.left:
            unit = reader.take(reader.number(2))
            need(len(unit) > 0)
            if unit[0] & 31 in keys:
                return True
        return False
    return kind in keys


# --- RTCP ---------------------------------------------------------------------------------------------------


def rtcp_blocks(compound: bytes) -> list[tuple[int, int, bytes]]:
    """(type, count, body without padding): RFC 3550 section 6.1."""
    reader, blocks = Reader(compound), []
    while reader.left:
        first, kind, words = struct.unpack("!BBH", reader.take(4))
        need(first >> 6 == 2)
        body = reader.take(4 * words)
        if first & 0x20:
            need(len(body) > 0 and 1 <= body[-1] <= len(body))
            body = body[: -body[-1]]
        blocks.append((kind, first & 31, body))
    return blocks


def rtcp_report(reader: Reader) -> tuple[int, ...]:
    ssrc, fraction, lost = reader.number(4), reader.number(1), reader.number(3)
    lost -= 1 << 24 if lost >= 1 << 23 else 0
    return (ssrc, fraction, lost, *(reader.number(4) for _ in range(4)))


def rtcp_parse(compound: bytes) -> list[dict[str, Any]]:
    parsed = []
    for kind, count, body in rtcp_blocks(compound):
        entry: dict[str, Any] = {"type": kind, "count": count, "body": body}
        reader = Reader(body)
        if kind in (200, 201):
            entry["ssrc"] = reader.number(4)
        if kind == 200:
            entry["ntp"] = reader.number(8)
            entry["timestamp"], entry["packets"], entry["octets"] = (reader.number(4) for _ in range(3))
        if kind in (200, 201):
            entry["reports"] = [rtcp_report(reader) for _ in range(count)]
        if kind == 203:
            entry["ssrcs"] = [reader.number(4) for _ in range(count)]
        if kind in (205, 206):
            entry["sender"], entry["media"] = reader.number(4), reader.number(4)
            rtcp_feedback(kind, count, reader, entry)
        parsed.append(entry)
    return parsed


def rtcp_feedback(kind: int, form: int, reader: Reader, entry: dict[str, Any]) -> None:
    """RFC 4585 section 6, RFC 5104 section 4, draft-alvestrand-rmcat-remb, transport-wide feedback."""
    if (kind, form) == (205, 1):
        need(reader.left > 0)
        entry["lost"] = []
        while reader.left:
            first, mask = reader.number(2), reader.number(2)
            entry["lost"] += [first] + [(first + 1 + bit) % 65536 for bit in range(16) if mask >> bit & 1]
    elif kind == 205 and form in (3, 4):
        entry["tmmb"] = []
        while reader.left:
            ssrc, packed = reader.number(4), reader.number(4)
            rate = (packed >> 9 & 0x1FFFF) << (packed >> 26)
            entry["tmmb"].append((ssrc, min(rate, 2**64 - 1), packed & 511))
    elif (kind, form) == (205, 15):
        entry["transport_cc"] = (reader.number(2), reader.number(2), reader.number(3), reader.number(1))
    elif (kind, form) == (206, 4):
        need(reader.left > 0)
        entry["fir"] = []
        while reader.left:
            entry["fir"].append((reader.number(4), reader.number(1)))
            reader.take(3)
    elif (kind, form) == (206, 15) and reader.data[8:12] == b"REMB":
        reader.take(4)
        count = reader.number(1)
        packed = reader.number(3)
        entry["remb"] = min((packed & 0x3FFFF) << (packed >> 18), 0xFFFFFFFF)
        entry["ssrcs"] = [reader.number(4) for _ in range(count)]


@dataclass
class Encoding:
    """RFC 3550 appendix A.3 (loss) and A.8 (jitter)."""

    ssrc: int
    base: int | None = None
    highest: int = 0
    received: int = 0
    jitter: int = 0
    transit: int = 0
    prior: tuple[int, int] = (0, 0)
    sender_report: tuple[int, int] | None = None

    def packet(self, index: int, timestamp: int, clock_rate: int, now_ns: int) -> None:
        transit = (now_ns * clock_rate // 10**9 - timestamp) % 2**32
        if self.base is None:
            self.base = self.highest = index
        else:
            change = (transit - self.transit) % 2**32
            change = min(change, 2**32 - change)
            if change < 5 * clock_rate:  # else a sender that set its timestamps anew
                self.jitter += change - (self.jitter + 8) // 16
        self.highest = max(self.highest, index)
        self.transit = transit
        self.received += 1

    def report(self, now_ns: int) -> tuple[int, ...] | None:
        if self.base is None:
            return None
        expected = self.highest - self.base + 1
        lost = max(-(2**23), min(2**23 - 1, expected - self.received))
        interval, arrived = expected - self.prior[0], self.received - self.prior[1]
        self.prior = (expected, self.received)
        fraction = min(255, (interval - arrived) * 256 // interval) if interval > arrived else 0
        last, delay = 0, 0
        if self.sender_report is not None:
            ntp, arrival = self.sender_report
            last, delay = ntp >> 16 & 0xFFFFFFFF, (now_ns - arrival) * 65536 // 10**9
        return (self.ssrc, fraction, lost, self.highest % 2**32, self.jitter // 16, last, delay % 2**32)


# --- the outgoing stream ------------------------------------------------------------------------------------


@dataclass
class Input:
    """A packet as received: `origin` is (source, incarnation, encoding, SSRC)."""

    index: int
    timestamp: int
    origin: tuple[int, int, int, int] = (1, 1, 0, 1)
    picture_id: int | None = None
    picture_id_bits: int = 15
    tl0: int | None = None


class Refused(Exception):
    """The packet has no place in the stream."""


class Stream:
    """What a receiver gets: runs of one origin each, every run beginning right after all that came before.

    Keeps the newest packet and each run's beginning instead of offsets: another way of saying it.
    """

    def __init__(self) -> None:
        self.origin: tuple[int, int, int, int] | None = None
        self.first: Input  # the run began with this input ...
        self.first_at: tuple[int, int, int, int]  # ... at this output: index, timestamp, picture id, tl0
        self.run_base = 0  # inputs of before this are refused ...
        self.run_base_at = 0  # ... and it stands here
        self.highest = -1
        self.newest = (0, 0, 0)  # timestamp, picture id, tl0 of the highest
        self.newest_ns = 0

    def begin(
        self, packet: Input, *, now_ns: int, audio: bool = False, clock_rate: int = 90000, random: int = 0
    ) -> tuple[int, int, int, int]:
        timestamp, picture_id, tl0 = self.newest
        if self.highest < 0:
            index, timestamp = random & 0x7FFF, random >> 32
            picture_id, tl0 = packet.picture_id or 0, packet.tl0 or 0
        else:
            index = self.highest + 1
            elapsed = min((max(0, now_ns - self.newest_ns) * clock_rate) // 10**9, 2**30)
            if audio:
                frame = clock_rate // 50
                timestamp += frame * max(1, (elapsed + frame // 2) // frame)
            else:
                timestamp += max(clock_rate // 1000, elapsed)
            picture_id += packet.picture_id is not None
            tl0 += packet.tl0 is not None
        self.origin, self.first = packet.origin, packet
        self.first_at = (index, timestamp, picture_id, tl0)
        self.run_base, self.run_base_at = packet.index, index
        return self._place(packet, index, now_ns, begins=True)

    def map(self, packet: Input, *, now_ns: int) -> tuple[int, int, int, int]:
        self._carried(packet)
        index = self.run_base_at + packet.index - self.run_base
        timestamp = (self.first_at[1] + packet.timestamp - self.first.timestamp) % 2**32
        passed = max(0, now_ns - self.newest_ns) if timestamp != self.newest[0] else 0
        bound = min(MAX_GAP, GAP_AT_ONCE + passed // 10**6 * GAP_PER_MS)
        if index - self.highest > bound + 1:
            index = self.highest + bound + 1
            self.run_base, self.run_base_at = packet.index, index
        return self._place(packet, index, now_ns)

    def skip(self, packet: Input) -> None:
        self._carried(packet)
        index = self.run_base_at + packet.index - self.run_base
        if index != self.highest + 1:
            raise Refused("late")
        self.run_base, self.run_base_at = packet.index + 1, index

    def end(self) -> None:
        self.origin = None

    def _carried(self, packet: Input) -> None:
        if self.origin != packet.origin:
            raise Refused("other")
        if packet.index < self.run_base:
            raise Refused("late")

    def _place(
        self, packet: Input, index: int, now_ns: int, begins: bool = False
    ) -> tuple[int, int, int, int]:
        _, timestamp, picture_id, tl0 = self.first_at
        timestamp = (timestamp + packet.timestamp - self.first.timestamp) % 2**32
        if packet.picture_id is not None:
            picture_id += packet.picture_id - (self.first.picture_id or 0)
            picture_id %= 1 << packet.picture_id_bits
        if packet.tl0 is not None:
            tl0 = (tl0 + packet.tl0 - (self.first.tl0 or 0)) % 256
        if index > self.highest:
            if begins or timestamp != self.newest[0]:
                self.newest_ns = now_ns
            self.highest = index
            self.newest = (
                timestamp,
                self.newest[1] if packet.picture_id is None else picture_id,
                self.newest[2] if packet.tl0 is None else tl0,
            )
        return (
            index,
            timestamp,
            0 if packet.picture_id is None else picture_id,
            0 if packet.tl0 is None else tl0,
        )
