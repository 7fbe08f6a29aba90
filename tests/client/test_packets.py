"""RTP and RTCP of the client: as aiortc reads them, and properties of a slot on a lossy path."""

from __future__ import annotations

import contextlib
import random

import pytest
from aiortc.rtp import (
    HeaderExtensionsMap,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)
from aiortc.rtp import RtpPacket as TheirPacket
from hypothesis import given, settings
from hypothesis import strategies as st

from client.protocol import limits
from client.rtp import rtcp
from client.rtp.packet import PacketError, RtpPacket, Unwrapper, read_rtp_untrusted, sequence_difference
from client.rtp.receive import AudioSlot, Reception, VideoSlot, from_retransmission_untrusted
from client.rtp.send import Retransmission, SendStream
from client.rtp.vp8 import is_key_frame, packetise, picture_size, read_descriptor_untrusted

EXTENSIONS = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=5)
PACKETS = st.builds(
    RtpPacket,
    payload_type=st.integers(96, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=50),
    marker=st.booleans(),
    csrcs=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
    extensions=EXTENSIONS,
)


@given(PACKETS)
def test_packets_there_and_back(packet: RtpPacket) -> None:
    data = packet.to_bytes()
    assert read_rtp_untrusted(data) == packet
    theirs = TheirPacket.parse(data, HeaderExtensionsMap())
    assert (theirs.sequence_number, theirs.timestamp, theirs.ssrc) == (
        packet.sequence,
        packet.timestamp,
        packet.ssrc,
    )
    assert (theirs.payload, bool(theirs.marker), tuple(theirs.csrc)) == (
        packet.payload,
        packet.marker,
        packet.csrcs,
    )


@given(st.binary(max_size=80))
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    with contextlib.suppress(PacketError):
        read_rtp_untrusted(data)
    with contextlib.suppress(PacketError):
        rtcp.read_compound_untrusted(data)
    with contextlib.suppress(PacketError):
        read_descriptor_untrusted(data)


def test_two_byte_extensions_and_padding_are_read() -> None:
    head = bytes.fromhex("b0600001 00000002 00000003".replace(" ", ""))
    block = bytes.fromhex("10000002") + bytes([4, 1, 0x61, 0, 200, 2, 1, 2])
    packet = read_rtp_untrusted(head + block + b"payload" + b"\0\0\x03")
    assert packet.extensions == {4: b"a", 200: b"\x01\x02"}
    assert (packet.payload, packet.padding) == (b"payload", 3)


@pytest.mark.parametrize(("bits", "size"), [(16, 1 << 16), (32, 1 << 32)])
def test_unwrapped_numbers_never_wrap(bits: int, size: int) -> None:
    unwrap = Unwrapper(bits)
    found = [unwrap(value % size) for value in (size - 2, size - 1, size, size + 1, size - 1, size + 5)]
    assert found == [size - 2, size - 1, size, size + 1, size - 1, size + 5]
    assert sequence_difference(1, 0xFFFF) == 2


# --- RTCP, read by aiortc ---


def test_reports_as_aiortc_reads_them() -> None:
    block = rtcp.Block(7, 0.25, -3, 70_000, 12, 0x11223344, 65536)
    report = rtcp.SenderReport(5, rtcp.ntp_time(1_764_000_000.5), 90_000, 10, 1000, (block,))
    data = rtcp.write_sender_report(report) + rtcp.write_cname(5, "sotto")
    theirs, names = RtcpPacket.parse(data)
    assert isinstance(theirs, RtcpSrPacket)
    assert isinstance(names, RtcpSdesPacket)
    assert names.chunks[0].items == [(1, b"sotto")]
    assert theirs.sender_info.ntp_timestamp == report.ntp
    assert (theirs.reports[0].ssrc, theirs.reports[0].fraction_lost, theirs.reports[0].packets_lost) == (
        7,
        64,
        -3,
    )
    assert rtcp.read_compound_untrusted(data) == [report]
    assert rtcp.unix_time(report.ntp) == pytest.approx(1_764_000_000.5)
    (receiver,) = RtcpPacket.parse(rtcp.write_receiver_report(9, [block]))
    assert isinstance(receiver, RtcpRrPacket)
    assert receiver.reports[0].highest_sequence == 70_000


@pytest.mark.parametrize("length", range(12))
def test_names_of_any_length_are_padded_as_rfc_3550_says(length: int) -> None:
    (theirs,) = RtcpPacket.parse(rtcp.write_cname(1, "x" * length))
    assert isinstance(theirs, RtcpSdesPacket)
    assert theirs.chunks[0].items == [(1, b"x" * length)]


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40, unique=True))
def test_nacks_as_aiortc_reads_them(sequences: list[int]) -> None:
    data = rtcp.write_nack(1, 2, sorted(sequences))
    (theirs,) = RtcpPacket.parse(data)
    assert isinstance(theirs, RtcpRtpfbPacket)
    assert sorted(theirs.lost) == sorted(sequences)
    (ours,) = rtcp.read_compound_untrusted(data)
    assert isinstance(ours, rtcp.Nack)
    assert sorted(ours.sequences) == sorted(sequences)


def test_key_frame_requests_and_remb() -> None:
    (theirs,) = RtcpPacket.parse(rtcp.write_pli(1, 2))
    assert isinstance(theirs, RtcpPsfbPacket)
    assert (theirs.fmt, theirs.media_ssrc) == (1, 2)
    assert rtcp.read_compound_untrusted(rtcp.write_pli(1, 2)) == [rtcp.KeyFrameRequest(1, 2)]
    fir = bytes.fromhex("84ce000400000001000000000000000205000000")
    assert rtcp.read_compound_untrusted(fir) == [rtcp.KeyFrameRequest(1, 2)]
    remb = bytes.fromhex("8fce000500000001000000005245 4d42010a0000 00000007".replace(" ", ""))
    remb = remb[:17] + b"\x0b\x71\xb0" + remb[20:]
    (found,) = rtcp.read_compound_untrusted(remb)
    assert isinstance(found, rtcp.Remb)
    assert (found.bitrate, list(found.ssrcs)) == unpack_remb_fci(remb[12:])


# --- transport-wide feedback ---


def read_feedback(data: bytes) -> list[tuple[int, int]]:
    """Sequence numbers that arrived and their times in units of 250 us, by the draft's text."""
    base, count = int.from_bytes(data[12:14], "big"), int.from_bytes(data[14:16], "big")
    clock = int.from_bytes(data[16:19], "big") * 256
    statuses: list[int] = []
    at = 20
    while len(statuses) < count:
        chunk = int.from_bytes(data[at : at + 2], "big")
        at += 2
        if chunk >> 15 == 0:
            statuses += [chunk >> 13 & 3] * (chunk & 0x1FFF)
        elif chunk >> 14 == 3:
            statuses += [chunk >> 2 * (6 - index) & 3 for index in range(7)]
        else:
            statuses += [chunk >> 13 - index & 1 for index in range(14)]
    found = []
    for index, status in enumerate(statuses[:count]):
        if status:
            size = status
            clock += int.from_bytes(data[at : at + size], "big", signed=size == 2)
            at += size
            found.append((base + index & 0xFFFF, clock))
    return found


@settings(max_examples=200)
@given(
    st.integers(0, 1 << 20),
    st.lists(st.tuples(st.integers(1, 30), st.integers(-20_000, 200_000)), min_size=1, max_size=100),
)
def test_transport_wide_feedback_says_when_packets_came(first: int, steps: list[tuple[int, int]]) -> None:
    arrivals, sequence, at = [], first, 50_000_000
    for ahead, later in steps:
        sequence, at = sequence + ahead, at + later
        arrivals.append((sequence, at))
    told_at = 0
    found: list[tuple[int, int]] = []
    number = 0
    while told_at < len(arrivals):
        data, told = rtcp.write_transport_cc(1, 2, number, arrivals[told_at:])
        assert len(data) % 4 == 0
        assert told > 0
        assert data[19] == number & 0xFF
        found += read_feedback(data)
        told_at += told
        number += 1
    assert [each for each, _ in found] == [each & 0xFFFF for each, _ in arrivals]
    for (_, units), (_, micros) in zip(found, arrivals, strict=True):
        assert abs(units * 250 - micros) <= 250


# --- VP8 ---

KEY = bytes.fromhex("10020a9d012a4001b400") + b"p" * 3000
DELTA = bytes.fromhex("b10300") + b"d" * 500


@given(st.binary(min_size=1, max_size=9000), st.integers(0, 0x7FFF))
def test_frames_are_cut_about_equally(frame: bytes, picture_id: int) -> None:
    payloads = packetise(frame, picture_id)
    read = [read_descriptor_untrusted(each) for each in payloads]
    assert [each.start for each in read] == [True] + [False] * (len(payloads) - 1)
    assert {each.picture_id for each in read} == {picture_id}
    assert b"".join(each[d.length :] for each, d in zip(payloads, read, strict=True)) == frame
    sizes = [len(each) for each in payloads]
    assert max(sizes) <= limits.RTP_PAYLOAD_MAX
    assert max(sizes) - min(sizes) <= len(payloads)


def test_what_a_key_frame_says_of_itself() -> None:
    assert is_key_frame(KEY)
    assert not is_key_frame(DELTA)
    assert picture_size(KEY) == (320, 180)
    assert picture_size(DELTA) is None


def sent(frames: list[bytes], repair: bool = True) -> tuple[SendStream, list[RtpPacket]]:
    stream = SendStream(96, 90_000, {4: b"1"}, Retransmission(97, {4: b"1", 11: b"t"}) if repair else None)
    packets = []
    for index, frame in enumerate(frames):
        packets += stream.packets_of(packetise(frame, index), index / 30, index / 30)
    return stream, [read_rtp_untrusted(each) for each in packets]


def test_a_clean_slot_gives_every_frame() -> None:
    frames = [KEY, DELTA, DELTA, KEY, DELTA]
    _, packets = sent(frames)
    slot = VideoSlot()
    found = [frame for packet in packets for frame in slot.push_untrusted(packet, 0.0)]
    assert [each.data for each in found] == frames
    assert [each.key for each in found] == [True, False, False, True, False]
    assert [each.timestamp - found[0].timestamp for each in found] == [0, 3000, 6000, 9000, 12000]
    assert not slot.wants_key_frame


def test_a_slot_that_begins_with_a_delta_asks_for_a_key_frame() -> None:
    _, packets = sent([DELTA, KEY])
    slot = VideoSlot()
    assert slot.push_untrusted(packets[0], 0.0) == []
    assert slot.wants_key_frame
    found = [frame for packet in packets[1:] for frame in slot.push_untrusted(packet, 0.0)]
    assert [each.data for each in found] == [KEY]
    assert not slot.wants_key_frame


def test_a_lost_packet_is_asked_for_and_repaired() -> None:
    stream, packets = sent([KEY, DELTA, DELTA, DELTA])
    lost = packets.pop(len(packets) - 3)
    slot = VideoSlot()
    found = [frame for packet in packets for frame in slot.push_untrusted(packet, 1.0)]
    assert len(found) == 1
    assert slot.to_ask(1.005) == []
    assert slot.to_ask(1.02) == [lost.sequence]
    assert slot.to_ask(1.05) == []
    again = stream.again(lost.sequence)
    assert again is not None
    wire = read_rtp_untrusted(again)
    assert (wire.payload_type, wire.extensions) == (97, {4: b"1", 11: b"t"})
    repaired = from_retransmission_untrusted(wire, lost.ssrc, 96)
    assert repaired is not None
    assert (repaired.sequence, repaired.payload, repaired.marker) == (
        lost.sequence,
        lost.payload,
        lost.marker,
    )
    assert [each.data for each in slot.push_untrusted(repaired, 1.1)] == [DELTA, DELTA, DELTA]
    assert slot.to_ask(1.3) == []


def test_a_packet_that_never_comes_costs_frames_up_to_the_next_key_frame() -> None:
    _, packets = sent([KEY, DELTA, DELTA, KEY, DELTA])
    lost_at = next(index for index, packet in enumerate(packets) if packet.payload.endswith(DELTA))
    del packets[lost_at]
    slot = VideoSlot()
    found = [frame for packet in packets for frame in slot.push_untrusted(packet, 1.0)]
    assert [each.data for each in found] == [KEY]
    assert slot.give_up(1.5) == []
    assert [each.data for each in slot.give_up(3.0)] == [KEY, DELTA]
    assert slot.given_up == 1
    assert not slot.wants_key_frame
    assert slot.push_untrusted(packets[-1], 3.0) == []  # it was taken already


def test_when_nothing_follows_a_hole_a_key_frame_is_wanted() -> None:
    _, packets = sent([KEY, DELTA, DELTA])
    del packets[-2]
    slot = VideoSlot()
    found = [frame for packet in packets for frame in slot.push_untrusted(packet, 1.0)]
    assert slot.give_up(3.0) == []
    assert len(found) == 1
    assert slot.wants_key_frame


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.integers(0, 30))
def test_whatever_is_lost_repeated_or_late_frames_are_whole_and_in_order(seed: int, part: int) -> None:
    """A frame is given only if nothing before it, back to a key frame, is missing."""
    dice = random.Random(seed)
    frames = [
        (KEY[:10] if index % 10 == 0 else DELTA[:3]) + index.to_bytes(4, "big") * dice.randint(1, 800)
        for index in range(40)
    ]
    stream, packets = sent(frames)
    slot = VideoSlot()
    found: list[bytes] = []
    now = 0.0
    held: list[RtpPacket] = []
    for packet in packets:
        now += 0.005
        if dice.randrange(100) < part:
            held.append(packet)
            continue
        arrived = [packet, *([packet] if dice.random() < 0.1 else [])]
        found += [frame.data for frame in slot.give_up(now)]
        for sequence in slot.to_ask(now):
            again = stream.again(sequence)
            if again is not None and dice.random() < 0.7:
                repaired = from_retransmission_untrusted(read_rtp_untrusted(again), packet.ssrc, 96)
                assert repaired is not None
                arrived.append(repaired)
        dice.shuffle(arrived)
        found += [frame.data for each in arrived for frame in slot.push_untrusted(each, now)]
    numbers = [frames.index(each) for each in found]
    assert numbers == sorted(set(numbers))
    for index, number in enumerate(numbers):
        if number % 10:
            assert numbers[index - 1] == number - 1


def test_sound_that_comes_twice_is_heard_once() -> None:
    slot = AudioSlot()
    packets = [RtpPacket(111, number, number * 960, 1, b"x") for number in (65534, 65535, 0, 65535, 1)]
    assert [len(slot.push_untrusted(each, 0.0)) for each in packets] == [1, 1, 1, 0, 1]


def test_lost_sound_is_asked_for_and_what_came_after_waits_for_it() -> None:
    slot, stream = AudioSlot(repaired=True), SendStream(111, 48_000, {}, resends=True)
    sent = [stream.packets_of([bytes((number,))], number / 50, number / 50)[0] for number in range(40)]
    packets = [read_rtp_untrusted(each) for each in sent]
    heard: list[int] = []

    def push(number: int, now: float) -> None:
        heard.extend(frame.data[0] for frame in slot.push_untrusted(packets[number], now))

    for number in (0, 1, 3, 4):
        push(number, number / 50)
    assert heard == [0, 1]
    assert slot.to_ask(0.08) == [packets[2].sequence]
    assert slot.to_ask(0.1) == []
    assert stream.again(packets[2].sequence) == sent[2]  # the very same bytes
    push(2, 0.12)
    assert heard == [0, 1, 2, 3, 4]
    # What is not sent again is waited for a little, and too late then.
    for number in (6, 7):
        push(number, number / 50)
    assert heard[-1] == 4
    assert slot.give_up(0.2) == []
    heard.extend(frame.data[0] for frame in slot.give_up(0.12 + limits.AUDIO_WAIT_S + 0.01))
    push(5, 0.4)
    assert heard[5:] == [6, 7]
    # Of a long gap nothing is asked for.
    push(7 + limits.AUDIO_HOLE_MAX - 1, 1.0)
    assert len(slot.to_ask(1.1)) == limits.AUDIO_HOLE_MAX - 2
    heard.clear()
    slot = AudioSlot(repaired=True)
    push(0, 0.0)
    push(39, 1.0)
    assert heard == [0, 39]
    assert slot.to_ask(2.0) == []
    assert SendStream(111, 48_000, {}).again(packets[2].sequence) is None


def test_reception_reports_loss_since_the_last() -> None:
    reception = Reception(7, 48_000)
    assert reception.block(0.0) is None
    for number in (0, 1, 2, 4, 5, 6, 7, 9):
        reception.packet(RtpPacket(111, number, number * 960, 7, b"x"), number * 0.02)
    first = reception.block(1.0)
    assert first is not None
    assert (first.lost, first.highest_sequence, first.fraction_lost) == (2, 9, 0.2)
    reception.sender_report(rtcp.SenderReport(7, 0x1122334455667788, 0, 0, 0), 2.0)
    second = reception.block(2.5)
    assert second is not None
    assert (second.fraction_lost, second.last_sr, second.delay_since_sr) == (0.0, 0x33445566, 32768)


def test_padding_that_probes_is_no_packet() -> None:
    assert from_retransmission_untrusted(RtpPacket(97, 1, 0, 9, b""), 1, 96) is None
