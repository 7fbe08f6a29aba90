"""RTCP: what is refused, what is read, what we write, and the arithmetic of reports."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath_ext import packet
from fastpath_ext.packet_values import Report
from tests import reference

MS, SECOND = 10**6, 10**9
U32 = st.integers(0, 2**32 - 1)


def plain(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**b, "reports": [tuple(r) for r in b["reports"]]} if "reports" in b else b for b in blocks]


def like_the_model(compound: bytes) -> None:
    try:
        wanted = reference.rtcp_parse(compound)
    except reference.Malformed:
        with pytest.raises(packet.PacketError):
            packet.rtcp_parse(compound)
    else:
        assert plain(packet.rtcp_parse(compound)) == wanted


# --- reading ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "compound"),
    [
        ("three bytes", "80c900"),
        ("version 1", "40c90001 00000001"),
        ("longer than the datagram", "80c90002 00000001"),
        ("a second block that is cut", "80c90001 00000001 80cb00"),
        ("padding of none", "a0c90001 00000000"),
        ("padding longer than the block", "a0c90001 00000005"),
        ("padding, but nothing to hold it", "a0cb0000"),
        ("a sender report without its numbers", "80c80001 00000001"),
        ("a report block announced, none there", "81c90001 00000001"),
        ("31 report blocks announced, one there", "9fc90007 00000001" + 6 * "00000000"),
        ("a goodbye of one, naming none", "81cb0000"),
        ("feedback without SSRCs", "81ce0001 00000001"),
        ("a NACK of nothing", "81cd0002 00000001 00000002"),
        ("a FIR of nothing", "84ce0002 00000001 00000000"),
        ("a FIR entry cut", "84ce0003 00000001 00000000 00000003"),
        ("a TMMBR entry cut", "83cd0003 00000001 00000000 00000003"),
        ("REMB of 255 SSRCs in 20 bytes", "8fce0004 00000001 00000000 52454d42 ff000001"),
        ("REMB without its rate", "8fce0003 00000001 00000000 52454d42"),
        ("transport feedback cut in its head", "8fcd0003 00000001 00000002 00010001"),
    ],
)
def test_what_contradicts_its_length_is_refused(what: str, compound: str) -> None:
    with pytest.raises(packet.PacketError):
        packet.rtcp_parse(bytes.fromhex(compound))


@pytest.mark.parametrize(
    ("what", "compound", "key", "value"),
    [
        ("a goodbye", "82cb0002 00000001 00000002", "ssrcs", [1, 2]),
        ("a goodbye with a reason", "81cb0002 00000001 01460000", "ssrcs", [1]),
        ("a NACK of one", "81cd0003 00000001 00000002 ffff0000", "lost", [65535]),
        ("a NACK over the wrap", "81cd0003 00000001 00000002 ffff8001", "lost", [65535, 0, 15]),
        ("a FIR", "84ce0004 00000001 00000000 00000009 07000000", "fir", [(9, 7)]),
        ("a TMMBN of nobody", "84cd0002 00000001 00000000", "tmmb", []),
        ("a TMMBN", "84cd0004 00000001 00000000 00000009 0432a028", "tmmb", [(9, 2 * 6480, 40)]),
        ("TMMBR beyond 64 bits", "83cd0004 00000001 00000000 00000009 fffffe00", "tmmb", [(9, 2**64 - 1, 0)]),
        ("REMB", "8fce0005 00000001 00000000 52454d42 011a20df 4874ed16", "remb", 8927168),
        ("REMB beyond 32 bits", "8fce0004 00000001 00000000 52454d42 00bffff0", "remb", 2**32 - 1),
        ("REMB shifted by 63", "8fce0004 00000001 00000000 52454d42 00fc0001", "remb", 2**32 - 1),
        ("REMB of zero, shifted by 63", "8fce0004 00000001 00000000 52454d42 00fc0000", "remb", 0),
        ("loss below zero", "81c90007 00000001" + "00000002 00ffffff" + 32 * "0",
         "reports", [(2, 0, -1, 0, 0, 0, 0)]),
        ("padding is not part of it", "a0c90002 00000001 00000004", "body", b"\0\0\0\1"),
        ("an unknown type is passed over", "80fe0001 00000001", "type", 254),
        ("other application feedback", "8fce0003 00000001 00000000 41424344", "media", 0),
    ],
)  # fmt: skip
def test_what_a_block_says(what: str, compound: str, key: str, value: Any) -> None:
    (block,) = packet.rtcp_parse(bytes.fromhex(compound))
    assert block[key] == value


def test_nothing_at_all_is_no_block() -> None:
    assert packet.rtcp_parse(b"") == []


def block_of(kind: int, count: int, body: bytes, padding: int) -> bytes:
    body += bytes(-len(body) % 4)
    if padding:
        body += bytes(3) + bytes([padding])
    return struct.pack("!BBH", 0x80 | (0x20 if padding else 0) | count, kind, len(body) // 4) + body


BLOCKS = st.builds(
    block_of,
    st.sampled_from([200, 201, 202, 203, 205, 206, 207]),
    st.sampled_from([0, 1, 2, 3, 4, 15, 31]),
    st.one_of(
        st.binary(max_size=60), st.builds(lambda rest: bytes(8) + b"REMB" + rest, st.binary(max_size=16))
    ),
    st.sampled_from([0, 0, 0, 4, 1, 200]),
)


@given(
    st.builds(
        lambda blocks, cut: b"".join(blocks)[: cut or None], st.lists(BLOCKS, max_size=3), st.integers(-3, 0)
    )
)
def test_compounds_are_the_models(compound: bytes) -> None:
    like_the_model(compound)


@given(st.binary(max_size=40))
def test_any_bytes_are_the_models(compound: bytes) -> None:
    like_the_model(compound)


# --- writing ------------------------------------------------------------------------------------------------

REPORTS = st.builds(Report, U32, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), U32, U32, U32, U32)


@given(U32, st.lists(REPORTS, max_size=31))
def test_receiver_reports_are_read_back(sender: int, reports: list[Report]) -> None:
    (block,) = reference.rtcp_parse(packet.rtcp_rr(sender, reports))
    assert (block["ssrc"], block["reports"]) == (sender, [tuple(report) for report in reports])


@given(U32, st.integers(0, 2**64 - 1), U32, U32, U32)
def test_sender_reports_are_read_back(ssrc: int, ntp: int, timestamp: int, packets: int, octets: int) -> None:
    written = packet.rtcp_sr(ssrc, ntp=ntp, timestamp=timestamp, packets=packets, octets=octets)
    (block,) = reference.rtcp_parse(written)
    assert [block[key] for key in ("ssrc", "ntp", "timestamp", "packets", "octets")] == [
        ssrc, ntp, timestamp, packets, octets,
    ]  # fmt: skip


@given(U32, st.binary(max_size=255))
def test_descriptions_end_with_a_zero_at_a_multiple_of_four(ssrc: int, cname: bytes) -> None:
    written = packet.rtcp_sdes(ssrc, cname)
    ((kind, count, body),) = reference.rtcp_blocks(written)
    head = struct.pack("!IBB", ssrc, 1, len(cname)) + cname
    assert (kind, count) == (202, 1)
    assert body.startswith(head)
    assert 1 <= len(body) - len(head) <= 4
    assert not any(body[len(head) :])


@given(U32, U32, st.lists(st.integers(0, 3000), min_size=1, max_size=200, unique=True), st.integers(0, 65535))
def test_nacks_name_exactly_what_was_lost(sender: int, media: int, lost: list[int], start: int) -> None:
    numbers = [(start + step) % 65536 for step in sorted(lost)]
    (block,) = reference.rtcp_parse(packet.rtcp_nack(sender, media, numbers))
    assert (block["sender"], block["media"], block["lost"]) == (sender, media, numbers)
    assert packet.rtcp_parse(packet.rtcp_nack(sender, media, numbers))[0]["lost"] == numbers


@given(U32, st.integers(0, 2**64 - 1), st.lists(U32, max_size=255))
def test_remb_is_rounded_down_to_18_bits(sender: int, rate: int, ssrcs: list[int]) -> None:
    (block,) = reference.rtcp_parse(packet.rtcp_remb(sender, rate, ssrcs))
    assert block["ssrcs"] == ssrcs
    shift = max(0, rate.bit_length() - 18)
    assert block["remb"] == min(rate >> shift << shift, 2**32 - 1)


LIMITS = st.lists(st.tuples(U32, st.integers(0, 2**64 - 1), st.integers(0, 511)), max_size=16)


@given(U32, LIMITS, st.booleans())
def test_limits_are_rounded_down_to_17_bits(
    sender: int, limits: list[tuple[int, int, int]], notification: bool
) -> None:
    written = packet.rtcp_tmmbr(sender, limits, notification=notification)
    (block,) = reference.rtcp_parse(written)
    assert (block["count"], block["sender"], block["media"]) == (4 if notification else 3, sender, 0)
    assert block["tmmb"] == [
        (ssrc, rate >> (shift := max(0, rate.bit_length() - 17)) << shift, overhead)
        for ssrc, rate, overhead in limits
    ]
    assert packet.rtcp_parse(written)[0]["tmmb"] == block["tmmb"]


def test_requests_and_goodbyes() -> None:
    assert packet.rtcp_pli(1, 2) == bytes.fromhex("81ce0002 00000001 00000002")
    assert packet.rtcp_fir(1, 2, 255) == bytes.fromhex("84ce0004 00000001 00000000 00000002 ff000000")
    assert packet.rtcp_bye(7) == bytes.fromhex("81cb0001 00000007")


REPORT = Report(1, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("write", "length"),
    [
        (lambda room: packet.rtcp_rr(1, [REPORT, REPORT], room), 56),
        (lambda room: packet.rtcp_sr(1, ntp=2, timestamp=3, packets=4, octets=5, room=room), 28),
        (lambda room: packet.rtcp_sdes(1, b"name", room), 16),
        (lambda room: packet.rtcp_bye(1, room), 8),
        (lambda room: packet.rtcp_pli(1, 2, room), 12),
        (lambda room: packet.rtcp_fir(1, 2, 3, room), 20),
        (lambda room: packet.rtcp_nack(1, 2, [1, 100], room), 20),
        (lambda room: packet.rtcp_remb(1, 2, [3, 4], room), 28),
        (lambda room: packet.rtcp_tmmbr(1, [(2, 3, 4)], room=room), 20),
    ],
)
def test_what_does_not_fit_is_not_written(write: Callable[[int], bytes], length: int) -> None:
    assert len(write(length)) == length
    for room in range(length):
        with pytest.raises(packet.PacketError, match="room"):
            write(room)


# --- arithmetic ---------------------------------------------------------------------------------------------


def received(indices: list[int], ssrc: int = 5) -> packet.Encoding:
    encoding = packet.Encoding(ssrc)
    for index in indices:
        encoding.received(index, 0, 90000, SECOND)
    return encoding


@pytest.mark.parametrize(
    ("what", "indices", "fraction", "lost", "highest"),
    [
        ("all came", [10, 11, 12, 13], 0, 0, 13),
        ("one of four lost", [10, 11, 13], 64, 1, 13),
        ("out of order", [10, 13, 11, 12], 0, 0, 13),
        ("the first was overtaken", [10, 9, 11], 0, -1, 11),
        ("over the wrap", [65534, 65536], 85, 1, 65536),
        ("beyond 32 bits", [2**32 - 1, 2**32], 0, 0, 0),
        ("more lost than 24 bits hold", [0, 2**31], 255, 2**23 - 1, 2**31),
    ],
)
def test_loss_as_in_appendix_a3(
    what: str, indices: list[int], fraction: int, lost: int, highest: int
) -> None:
    report = received(indices).report(2 * SECOND)
    assert report is not None
    assert (report.fraction_lost, report.lost, report.highest) == (fraction, lost, highest)


def test_each_report_tells_of_its_own_interval() -> None:
    encoding = received([1, 2, 4])
    assert encoding.report(SECOND).fraction_lost == 64  # type: ignore[union-attr]
    encoding.received(5, 0, 90000, SECOND)
    encoding.received(3, 0, 90000, SECOND)
    report = encoding.report(SECOND)
    assert report is not None
    assert (report.fraction_lost, report.lost) == (0, 0)


def test_no_packet_no_report() -> None:
    encoding = packet.Encoding(5)
    assert encoding.report(SECOND) is None
    encoding.received(1, 0, 90000, 0)
    assert encoding.report(SECOND).ssrc == 5  # type: ignore[union-attr]
    encoding.restart(6)
    assert encoding.report(SECOND) is None


def test_the_last_sender_report_comes_back_with_its_age() -> None:
    encoding = received([1])
    encoding.sender_report(0x1111_2222_3333_4444, 0, 5 * SECOND)
    report = encoding.report(5 * SECOND + SECOND // 2)
    assert report is not None
    assert (report.last_sr, report.delay_since_last_sr) == (0x2222_3333, 32768)


def test_round_trip_from_our_own_sender_report() -> None:
    sent = packet.rtcp_ntp(100 * SECOND) >> 16 & 0xFFFFFFFF
    report = REPORT._replace(last_sr=sent, delay_since_last_sr=65536)
    assert abs(packet.rtcp_round_trip_us(report, 101 * SECOND + 50 * MS) - 50_000) < 20
    assert packet.rtcp_round_trip_us(report, 101 * SECOND) == 1
    assert packet.rtcp_round_trip_us(report, 100 * SECOND) == 0  # shorter than the delay it tells
    assert packet.rtcp_round_trip_us(report, 200 * SECOND) == 0
    assert packet.rtcp_round_trip_us(REPORT, 100 * SECOND) == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 50), U32, st.sampled_from([0, MS, 20 * MS, SECOND, 10**13]), st.booleans()),
        max_size=60,
    ),
    st.integers(0, 2**34),
    st.sampled_from([8000, 48000, 90000]),
)
def test_reports_are_the_models(
    packets: list[tuple[int, int, int, bool]], start: int, clock_rate: int
) -> None:
    mine, model, now = packet.Encoding(9), reference.Encoding(9), SECOND
    for step, timestamp, elapsed, report in packets:
        now += elapsed
        mine.received(start + step, timestamp, clock_rate, now)
        model.packet(start + step, timestamp, clock_rate, now)
        if report:
            assert mine.report(now) == model.report(now)
            mine.sender_report(now << 8, 0, now)
            model.sender_report = (now << 8, now)
    assert mine.report(now) == model.report(now)


@given(st.integers(0, 2**62))
def test_ntp_of_nanoseconds(ns: int) -> None:
    assert packet.rtcp_ntp(ns) == (ns // SECOND % 2**32 << 32) + (ns % SECOND << 32) // SECOND
