"""What a synthetic receiver makes of what it gets: each packet counts once, and is told as it was."""

from __future__ import annotations

import random
import struct

import pytest

from benchmarks.quality.receiving import DEADLINE_S, Receiver, Slot
from benchmarks.quality.rtp import (
    Block,
    Packet,
    SenderReport,
    extensions,
    nack,
    nacked,
    read_compound,
    read_packet,
    read_report,
    transport_feedback,
    unwrapped,
    write_report,
)

SSRC, RTX = 7, 8


def packet(sequence: int, ssrc: int = SSRC, payload: bytes = b"payload", number: int | None = None) -> Packet:
    return Packet(ssrc, sequence & 0xFFFF, 0, 96, False, None, number, payload)


def repair(sequence: int) -> Packet:
    return packet(1, RTX, struct.pack("!H", sequence & 0xFFFF) + b"payload")


def test_a_gap_is_asked_for_and_again_after_a_round_trip() -> None:
    slot = Slot(SSRC, RTX)
    for sequence in (65534, 65535, 2, 3):  # 0 and 1 are missing
        slot.take(packet(sequence), 10.0)
    assert [number & 0xFFFF for number in slot.to_ask(10.0)] == [0, 1]
    assert slot.to_ask(10.05) == []
    assert len(slot.to_ask(10.1)) == 2


def test_every_number_is_received_repaired_or_late() -> None:
    slot = Slot(SSRC, RTX)
    for sequence in (10, 12, 15):
        slot.take(packet(sequence), 0.0)
    slot.repair(repair(11), 0.1)
    slot.take(packet(13), 0.1)  # only overtaken
    slot.repair(repair(11), 0.2)
    assert slot.to_ask(DEADLINE_S + 0.1) == []
    assert (slot.packets, slot.repaired, slot.late, slot.repeated, slot.expected) == (4, 1, 1, 1, 6)
    assert slot.gap_times == [(0.0, 1), (0.0, 2)]


def test_probes_on_the_repair_stream_repair_nothing() -> None:
    slot = Slot(SSRC, RTX)
    slot.take(packet(10), 0.0)
    slot.repair(packet(1, RTX, b""), 0.0)
    slot.repair(packet(2, RTX, b"\0\x0a"), 0.0)
    assert (slot.padding, slot.repaired, slot.repeated) == (2, 0, 0)


def told(block: bytes) -> dict[int, float | None]:
    """Reads transport-wide feedback of the one chunk type that we write: numbers with seconds or None."""
    (one,) = read_compound(block)
    first, count, rest = struct.unpack_from("!HHI", one.body, 8)
    clock, at = (rest >> 8) * 0.064, 16
    symbols: list[int] = []
    while len(symbols) < count:
        (chunk,) = struct.unpack_from("!H", one.body, at)
        assert chunk >> 14 == 3, "a vector of two-bit symbols"
        symbols += [chunk >> 12 - 2 * place & 3 for place in range(7)]
        at += 2
    found: dict[int, float | None] = {}
    for place, symbol in enumerate(symbols[:count]):
        size = {0: 0, 1: 1, 2: 2}[symbol]
        if size:
            clock += int.from_bytes(one.body[at : at + size], signed=symbol == 2) * 0.00025
            at += size
        found[first + place & 0xFFFF] = clock if size else None
    return found


def test_feedback_says_when_each_packet_came() -> None:
    dice = random.Random(1)
    at, arrivals = 1000.0, {}
    for number in range(65500, 65600):
        at += dice.choice((0.0, 0.0002, 0.02, 0.5))
        if dice.random() < 0.8:
            arrivals[number] = at - dice.choice((0, 0, 0.01))  # some overtook others
    found = told(transport_feedback(1, 2, 3, arrivals, 65500, 65599))
    assert list(found) == [number & 0xFFFF for number in range(65500, 65600)]
    for number in range(65500, 65600):
        when = found[number & 0xFFFF]
        assert (when is None) == (number not in arrivals)
        if when is not None:
            assert when == pytest.approx(arrivals[number], abs=0.0003)


def test_a_receiver_tells_each_number_once() -> None:
    receiver = Receiver(1, [(SSRC, RTX)])
    for number in (5, 6, 9):
        receiver.take(packet(number, number=number), 100, 0.0, 50.0 + number)
    (block,) = receiver.feedback()
    assert [number for number, when in told(block).items() if when is not None] == [5, 6, 9]
    assert receiver.numbers_lost == 2
    assert receiver.feedback() == []


def test_nacks_name_what_is_missing() -> None:
    missing = [100, 101, 116, 117, 300, 65536]
    (block,) = read_compound(nack(1, 2, missing))
    assert sorted(nacked(block)) == [0, 100, 101, 116, 117, 300]


def test_packets_are_read_with_their_padding_and_number() -> None:
    body = extensions((5, b"\x01\x02"), (4, b"0")) + b"payload" + b"\0\0\x03"
    raw = struct.pack("!BBHII", 0xB0, 0x80 | 96, 77, 88, 99) + body
    assert read_packet(raw) == Packet(99, 77, 88, 96, True, None, 0x0102, b"payload")


def test_sender_reports_put_timestamps_on_a_clock() -> None:
    (block,) = read_compound(write_report(SSRC, 1_700_000_000.5, 0xFFFFFFFF, 1, 2))
    report = read_report(block)
    assert isinstance(report, SenderReport)
    assert report.time_of(89_999, 90_000) == pytest.approx(1_700_000_001.5, abs=1e-6)
    assert read_report(Block(201, 0, bytes(28))) is None


@pytest.mark.parametrize(("value", "near", "wanted"), [(1, 65535, 65537), (65535, 65537, 65535), (5, 5, 5)])
def test_unwrapped(value: int, near: int, wanted: int) -> None:
    assert unwrapped(value, near) == wanted
