"""RTCP (RFC 3550, 4585, 5104) as far as this client speaks it, and transport-wide feedback."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from client.rtp.packet import PacketError

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206
NACK, TRANSPORT_CC, PLI, FIR, APP = 1, 15, 1, 4, 15
NTP_EPOCH = 2_208_988_800


@dataclass(frozen=True, slots=True)
class Block:
    """One report about one of the reporter's senders."""

    ssrc: int
    fraction_lost: float
    lost: int
    highest_sequence: int
    jitter: int
    last_sr: int
    delay_since_sr: int


@dataclass(frozen=True, slots=True)
class SenderReport:
    ssrc: int
    ntp: int  # 32.32 bits
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    ssrc: int
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Nack:
    sender: int
    media: int
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeyFrameRequest:
    """PLI or FIR."""

    sender: int
    media: int


@dataclass(frozen=True, slots=True)
class Remb:
    bitrate: int
    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Goodbye:
    ssrcs: tuple[int, ...]


Rtcp = SenderReport | ReceiverReport | Nack | KeyFrameRequest | Remb | Goodbye


def ntp_time(unix: float) -> int:
    """Seconds since 1970 as NTP's 32.32 bits."""
    return int((unix + NTP_EPOCH) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def unix_time(ntp: int) -> float:
    return ntp / (1 << 32) - NTP_EPOCH


def read_compound_untrusted(data: bytes) -> list[Rtcp]:
    """What of it we understand. PacketError when its lengths do not fit."""
    found: list[Rtcp] = []
    at = 0
    while at < len(data):
        if at + 4 > len(data) or data[at] >> 6 != 2:
            raise PacketError("no RTCP header")
        count, kind, words = data[at] & 31, data[at + 1], struct.unpack_from("!H", data, at + 2)[0]
        end = at + 4 + 4 * words
        if end > len(data):
            raise PacketError("an RTCP packet is cut")
        body = data[at + 4 : end]
        if data[at] & 0x20 and body:
            body = body[: max(0, len(body) - body[-1])]
        try:
            found += _read(kind, count, body)
        except struct.error:
            raise PacketError("an RTCP packet is too short") from None
        at = end
    return found


def _read(kind: int, count: int, body: bytes) -> Iterable[Rtcp]:
    match kind:
        case 200:
            ssrc, ntp, timestamp, packets, octets = struct.unpack_from("!IQIII", body)
            yield SenderReport(ssrc, ntp, timestamp, packets, octets, _blocks(body[24:], count))
        case 201:
            yield ReceiverReport(struct.unpack_from("!I", body)[0], _blocks(body[4:], count))
        case 203:
            yield Goodbye(struct.unpack_from(f"!{count}I", body))
        case 205 if count == NACK:
            sender, media = struct.unpack_from("!II", body)
            sequences: list[int] = []
            for at in range(8, len(body) - 3, 4):
                first, mask = struct.unpack_from("!HH", body, at)
                sequences += [first, *(first + 1 + bit & 0xFFFF for bit in range(16) if mask >> bit & 1)]
            yield Nack(sender, media, tuple(sequences))
        case 206 if count == PLI:
            yield KeyFrameRequest(*struct.unpack_from("!II", body))
        case 206 if count == FIR:
            sender = struct.unpack_from("!I", body)[0]
            for at in range(8, len(body) - 7, 8):
                yield KeyFrameRequest(sender, struct.unpack_from("!I", body, at)[0])
        case 206 if count == APP and body[8:12] == b"REMB":
            _, exponent, mantissa = struct.unpack_from("!BBH", body, 12)
            mantissa |= (exponent & 3) << 16
            ssrcs = struct.unpack_from(f"!{body[12]}I", body, 16)
            yield Remb(mantissa << (exponent >> 2), ssrcs)


def _blocks(body: bytes, count: int) -> tuple[Block, ...]:
    found = []
    for index in range(count):
        ssrc, word, highest, jitter, last, delay = struct.unpack_from("!6I", body, 24 * index)
        lost = word & 0xFFFFFF
        lost -= 1 << 24 if lost & 0x800000 else 0
        found.append(Block(ssrc, (word >> 24) / 256, lost, highest, jitter, last, delay))
    return tuple(found)


# --- written ---


def _packet(count: int, kind: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def _write_blocks(blocks: Sequence[Block]) -> bytes:
    return b"".join(
        struct.pack(
            "!6I",
            each.ssrc,
            min(255, int(each.fraction_lost * 256)) << 24
            | max(-0x800000, min(0x7FFFFF, each.lost)) & 0xFFFFFF,
            each.highest_sequence & 0xFFFFFFFF,
            min(each.jitter, 0xFFFFFFFF),
            each.last_sr,
            each.delay_since_sr,
        )
        for each in blocks
    )


def write_sender_report(report: SenderReport) -> bytes:
    body = struct.pack(
        "!IQIII",
        report.ssrc,
        report.ntp,
        report.timestamp,
        report.packets & 0xFFFFFFFF,
        report.octets & 0xFFFFFFFF,
    )
    return _packet(len(report.blocks), SR, body + _write_blocks(report.blocks))


def write_receiver_report(ssrc: int, blocks: Sequence[Block]) -> bytes:
    return _packet(len(blocks), RR, struct.pack("!I", ssrc) + _write_blocks(blocks))


def write_cname(ssrc: int, cname: str) -> bytes:
    item = b"\x01" + bytes((len(cname),)) + cname.encode()
    body = struct.pack("!I", ssrc) + item
    return _packet(1, SDES, body + b"\0" * (4 - len(body) % 4))


def write_pli(sender: int, media: int) -> bytes:
    return _packet(PLI, PSFB, struct.pack("!II", sender, media))


def write_nack(sender: int, media: int, sequences: Iterable[int]) -> bytes:
    """Generic NACK (RFC 4585 section 6.2.1) of at most 17 sequence numbers a word."""
    words: list[list[int]] = []
    for sequence in sequences:
        ahead = sequence - words[-1][0] & 0xFFFF if words else 0
        if 0 < ahead <= 16:
            words[-1][1] |= 1 << ahead - 1
        elif not words or ahead:
            words.append([sequence & 0xFFFF, 0])
    fci = b"".join(struct.pack("!HH", first, mask) for first, mask in words)
    return _packet(NACK, RTPFB, struct.pack("!II", sender, media) + fci)


def write_goodbye(ssrcs: Sequence[int]) -> bytes:
    return _packet(len(ssrcs), BYE, struct.pack(f"!{len(ssrcs)}I", *ssrcs))


FEEDBACK_UNIT_US, REFERENCE_UNIT_US = 250, 64_000


def write_transport_cc(
    sender: int, media: int, number: int, arrivals: Sequence[tuple[int, int]]
) -> tuple[bytes, int]:
    """Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

    `arrivals`: unwrapped sequence numbers, ascending, with their times in microseconds. Returns the packet
    and how many of `arrivals` it tells of: a gap in time that no delta can express ends it.
    """
    base = arrivals[0][0]
    reference = arrivals[0][1] // REFERENCE_UNIT_US
    clock = reference * REFERENCE_UNIT_US
    statuses: list[int] = []
    deltas = bytearray()
    told = 0
    for sequence, at in arrivals:
        delta = (at - clock) // FEEDBACK_UNIT_US
        missing = sequence - base - len(statuses)
        if not -0x8000 <= delta <= 0x7FFF or len(statuses) + missing + 1 > 0x7FFF:
            break
        statuses += [0] * missing
        if 0 <= delta <= 0xFF:
            statuses.append(1)
            deltas.append(delta)
        else:
            statuses.append(2)
            deltas += struct.pack("!h", delta)
        clock += delta * FEEDBACK_UNIT_US
        told += 1
    chunks = bytearray()
    at_status = 0
    while at_status < len(statuses):
        value = statuses[at_status]
        run = 1
        while at_status + run < len(statuses) and statuses[at_status + run] == value and run < 0x1FFF:
            run += 1
        if run >= 7:
            chunks += struct.pack("!H", value << 13 | run)
            at_status += run
            continue
        part = statuses[at_status : at_status + 7]
        part += [0] * (7 - len(part))
        chunks += struct.pack("!H", 0xC000 | sum(each << 2 * (6 - index) for index, each in enumerate(part)))
        at_status += 7
    body = struct.pack("!IIHH", sender, media, base & 0xFFFF, len(statuses))
    body += struct.pack("!I", (reference & 0xFFFFFF) << 8 | number & 0xFF) + chunks + deltas
    return _packet(TRANSPORT_CC, RTPFB, body + b"\0" * (-len(body) % 4)), told
