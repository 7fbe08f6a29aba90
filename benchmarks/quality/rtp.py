"""RTP and RTCP as a synthetic member writes and reads them: independent of the code under measurement."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

LEVEL, MID, TRANSPORT_CC, RID, REPAIRED_RID = 1, 4, 5, 10, 11
"""Header extension ids that it offers."""
NTP_EPOCH = 2_208_988_800


class Packet(NamedTuple):
    """One RTP packet, padding cut off."""

    ssrc: int
    sequence: int
    timestamp: int
    payload_type: int
    marker: bool
    csrc: int | None
    number: int | None
    """Transport-wide sequence number."""
    payload: bytes


def read_packet(packet: bytes) -> Packet:
    first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", packet)
    at = 12 + 4 * (first & 15)
    csrc = struct.unpack_from("!I", packet, 12)[0] if first & 15 else None
    number = None
    if first & 16:
        profile, words = struct.unpack_from("!HH", packet, at)
        elements, at = packet[at + 4 : at + 4 + 4 * words], at + 4 + 4 * words
        number = _element(profile, elements)
    end = len(packet) - (packet[-1] if first & 32 else 0)
    return Packet(ssrc, sequence, timestamp, second & 127, bool(second & 128), csrc, number, packet[at:end])


def _element(profile: int, elements: bytes) -> int | None:
    at = 0
    while profile == 0xBEDE and at < len(elements):
        if elements[at] == 0:
            at += 1
            continue
        length = (elements[at] & 15) + 1
        if elements[at] >> 4 == TRANSPORT_CC and length == 2:
            return int.from_bytes(elements[at + 1 : at + 3])
        at += 1 + length
    return None


def extensions(*elements: tuple[int, bytes]) -> bytes:
    """A one-byte header extension block (RFC 8285)."""
    body = b"".join(bytes((number << 4 | len(value) - 1,)) + value for number, value in elements)
    body += bytes(-len(body) % 4)
    return struct.pack("!HH", 0xBEDE, len(body) // 4) + body


class Block(NamedTuple):
    """One packet of an RTCP compound: type, count or format, what follows its head."""

    type: int
    count: int
    body: bytes


def read_compound(compound: bytes) -> Iterator[Block]:
    at = 0
    while at + 4 <= len(compound):
        first, kind, words = struct.unpack_from("!BBH", compound, at)
        yield Block(kind, first & 31, compound[at + 4 : at + 4 + 4 * words])
        at += 4 + 4 * words


def receiver_report(ssrc: int) -> bytes:
    """An empty one, as the head of a compound."""
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


def pli(sender: int, media: int) -> bytes:
    return struct.pack("!BBHII", 0x81, 206, 2, sender, media)


def nack(sender: int, media: int, sequences: list[int]) -> bytes:
    """RFC 4585 6.2.1; neighbours share an entry."""
    entries: list[tuple[int, int]] = []
    for sequence in sorted(sequences):
        if entries and 0 < sequence - entries[-1][0] <= 16:
            first, mask = entries[-1]
            entries[-1] = first, mask | 1 << sequence - first - 1
        else:
            entries.append((sequence, 0))
    head = struct.pack("!BBHII", 0x81, 205, 2 + len(entries), sender, media)
    return head + b"".join(struct.pack("!HH", first & 0xFFFF, mask) for first, mask in entries)


def nacked(block: Block) -> Iterator[int]:
    """Sequence numbers that a NACK names."""
    for at in range(8, len(block.body), 4):
        first, mask = struct.unpack_from("!HH", block.body, at)
        yield first
        for bit in range(16):
            if mask >> bit & 1:
                yield first + 1 + bit & 0xFFFF


def remb(sender: int, bits_per_second: int, ssrcs: list[int]) -> bytes:
    exponent = max(0, bits_per_second.bit_length() - 18)
    packed = len(ssrcs) << 24 | exponent << 18 | bits_per_second >> exponent
    head = struct.pack("!BBHII", 0x8F, 206, 4 + len(ssrcs), sender, 0)
    return head + b"REMB" + struct.pack(f"!I{len(ssrcs)}I", packed, *ssrcs)


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What a receiver needs of one to put two streams on one clock."""

    ssrc: int
    ntp_s: float
    timestamp: int

    def time_of(self, timestamp: int, clock_rate: int) -> float:
        """The sender's time of an RTP timestamp near it."""
        ahead = (timestamp - self.timestamp + 0x80000000) % 0x100000000 - 0x80000000
        return self.ntp_s + ahead / clock_rate


def write_report(ssrc: int, ntp_s: float, timestamp: int, packets: int, octets: int) -> bytes:
    whole, part = int(ntp_s), int((ntp_s % 1) * 0x100000000)
    head = struct.pack("!BBHIII", 0x80, 200, 6, ssrc, whole + NTP_EPOCH & 0xFFFFFFFF, part)
    return head + struct.pack("!III", timestamp & 0xFFFFFFFF, packets, octets & 0xFFFFFFFF)


def read_report(block: Block) -> SenderReport | None:
    if block.type != 200 or len(block.body) < 24:
        return None
    ssrc, whole, part, timestamp = struct.unpack_from("!IIII", block.body)
    return SenderReport(ssrc, whole - NTP_EPOCH + part / 0x100000000, timestamp)


def transport_feedback(
    sender: int, media: int, feedback_number: int, arrivals: Mapping[int, float], first: int, last: int
) -> bytes:
    """draft-holmer-rmcat-transport-wide-cc-extensions-01 3.1.

    `arrivals`: seconds by unwrapped number; numbers first..last that are not there are told as lost.
    """
    begin = min((at for number, at in arrivals.items() if first <= number <= last), default=0.0)
    reference = int(begin / 0.064)
    clock, symbols, deltas = reference * 256, [], b""  # in 250 us
    for number in range(first, last + 1):
        at = arrivals.get(number)
        if at is None:
            symbols.append(0)
            continue
        ticks = round(at * 4000) - clock
        clock += ticks
        symbols.append(1 if 0 <= ticks <= 255 else 2)
        deltas += (
            struct.pack("!B", ticks)
            if 0 <= ticks <= 255
            else struct.pack("!h", max(-32768, min(32767, ticks)))
        )
    chunks = b""
    for at_symbol in range(0, len(symbols), 7):
        seven = symbols[at_symbol : at_symbol + 7] + [0] * 6
        chunks += struct.pack(
            "!H", 0xC000 | sum(one << 12 - 2 * place for place, one in enumerate(seven[:7]))
        )
    body = struct.pack(
        "!HHI", first & 0xFFFF, len(symbols), (reference & 0xFFFFFF) << 8 | feedback_number & 0xFF
    )
    body += chunks + deltas
    padding = -len(body) % 4
    if padding:
        body += bytes(padding - 1) + bytes((padding,))
    words = 2 + len(body) // 4
    return struct.pack("!BBHII", 0x8F | (0x20 if padding else 0), 205, words, sender, media) + body


def unwrapped(value: int, near: int, bits: int = 16) -> int:
    """The number that is `value` modulo 2**bits and nearest to `near`."""
    size = 1 << bits
    return near + (value - near + size // 2) % size - size // 2
