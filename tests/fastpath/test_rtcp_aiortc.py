"""RTCP against another implementation: aiortc reads what we write, and we read what it writes."""

from __future__ import annotations

from collections.abc import Sequence

from aiortc import rtp as other
from hypothesis import given
from hypothesis import strategies as st

from fastpath_ext import packet
from fastpath_ext.packet_values import Report

U32 = st.integers(0, 2**32 - 1)
REPORTS = st.lists(
    st.builds(Report, U32, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), U32, U32, U32, U32),
    max_size=31,
)
# Names are text without the zero that ends a description.
NAMES = st.binary(min_size=1, max_size=255).map(lambda name: name.replace(b"\0", b"x"))
ASCENDING = st.tuples(
    st.integers(0, 65535), st.lists(st.integers(0, 3000), min_size=1, max_size=200, unique=True)
).map(lambda drawn: [(drawn[0] + step) % 65536 for step in sorted(drawn[1])])


def theirs(written: bytes) -> other.AnyRtcpPacket:
    (read,) = other.RtcpPacket.parse(written)
    return read


def info_of(report: Report) -> other.RtcpReceiverInfo:
    return other.RtcpReceiverInfo(*report)


# --- what we write ------------------------------------------------------------------------------------------


@given(U32, REPORTS)
def test_receiver_reports(sender: int, reports: list[Report]) -> None:
    written = packet.rtcp_rr(sender, reports)
    assert theirs(written) == other.RtcpRrPacket(sender, [info_of(report) for report in reports])
    assert bytes(theirs(written)) == written


@given(U32, st.integers(0, 2**64 - 1), U32, U32, U32)
def test_sender_reports(ssrc: int, ntp: int, timestamp: int, packets: int, octets: int) -> None:
    written = packet.rtcp_sr(ssrc, ntp=ntp, timestamp=timestamp, packets=packets, octets=octets)
    assert theirs(written) == other.RtcpSrPacket(ssrc, other.RtcpSenderInfo(ntp, timestamp, packets, octets))
    assert bytes(theirs(written)) == written


@given(U32, NAMES)
def test_descriptions(ssrc: int, name: bytes) -> None:
    assert theirs(packet.rtcp_sdes(ssrc, name)) == other.RtcpSdesPacket(
        [other.RtcpSourceInfo(ssrc, [(1, name)])]
    )


@given(U32, U32)
def test_goodbyes_and_picture_loss(ssrc: int, media: int) -> None:
    assert theirs(packet.rtcp_bye(ssrc)) == other.RtcpByePacket([ssrc])
    assert theirs(packet.rtcp_pli(ssrc, media)) == other.RtcpPsfbPacket(other.RTCP_PSFB_PLI, ssrc, media)


@given(U32, U32, st.integers(0, 255))
def test_full_intra_requests(sender: int, ssrc: int, number: int) -> None:
    entry = ssrc.to_bytes(4) + bytes((number, 0, 0, 0))
    assert theirs(packet.rtcp_fir(sender, ssrc, number)) == other.RtcpPsfbPacket(4, sender, 0, entry)


@given(U32, U32, ASCENDING)
def test_requests_for_lost_packets(sender: int, media: int, lost: list[int]) -> None:
    read = theirs(packet.rtcp_nack(sender, media, lost))
    assert isinstance(read, other.RtcpRtpfbPacket)
    assert (read.fmt, read.ssrc, read.media_ssrc) == (other.RTCP_RTPFB_NACK, sender, media)
    assert [number % 65536 for number in read.lost] == lost


@given(U32, st.integers(0, 2**64 - 1), st.lists(U32, max_size=255))
def test_estimates(sender: int, rate: int, ssrcs: list[int]) -> None:
    read = theirs(packet.rtcp_remb(sender, rate, ssrcs))
    assert isinstance(read, other.RtcpPsfbPacket)
    assert (read.fmt, read.ssrc, read.media_ssrc) == (other.RTCP_PSFB_APP, sender, 0)
    told, named = other.unpack_remb_fci(read.fci)
    assert named == ssrcs
    assert told <= rate < told + max(1, told >> 17)
    assert read.fci == other.pack_remb_fci(rate, ssrcs)


@given(U32, st.lists(st.tuples(U32, st.integers(0, 2**64 - 1), st.integers(0, 511)), max_size=16))
def test_limits_stand_in_feedback_of_the_right_kind(sender: int, limits: list[tuple[int, int, int]]) -> None:
    """aiortc knows no TMMBR; its frame is that of other feedback."""
    for form in (3, 4):
        read = theirs(packet.rtcp_tmmbr(sender, limits, notification=form == 4))
        assert isinstance(read, other.RtcpRtpfbPacket)
        assert (read.fmt, read.ssrc, read.media_ssrc) == (form, sender, 0)


@given(st.lists(st.sampled_from([packet.rtcp_rr(1, []), packet.rtcp_pli(1, 2), packet.rtcp_bye(3)])))
def test_compounds_are_their_blocks(blocks: Sequence[bytes]) -> None:
    assert [bytes(read) for read in other.RtcpPacket.parse(b"".join(blocks))] == list(blocks)


# --- what they write ----------------------------------------------------------------------------------------

INFOS = REPORTS.map(lambda reports: [info_of(report) for report in reports])
WRITTEN = st.one_of(
    st.builds(other.RtcpRrPacket, U32, INFOS),
    st.builds(
        other.RtcpSrPacket,
        U32,
        st.builds(other.RtcpSenderInfo, st.integers(0, 2**64 - 1), U32, U32, U32),
        INFOS,
    ),
    st.builds(other.RtcpByePacket, st.lists(U32, max_size=31)),
    st.builds(other.RtcpPsfbPacket, st.just(1), U32, U32),
    st.builds(
        other.RtcpPsfbPacket,
        st.just(15),
        U32,
        st.just(0),
        st.builds(other.pack_remb_fci, st.integers(0, 2**63), st.lists(U32, max_size=9)),
    ),
    st.builds(
        other.RtcpRtpfbPacket, st.just(1), U32, U32, ASCENDING.filter(lambda lost: lost == sorted(lost))
    ),
    st.builds(
        other.RtcpSdesPacket,
        st.lists(st.builds(other.RtcpSourceInfo, U32, st.just([(1, b"name")])), max_size=3),
    ),
)


@given(st.lists(WRITTEN, max_size=4))
def test_what_they_write_is_read(written: list[other.AnyRtcpPacket]) -> None:
    read = packet.rtcp_parse(b"".join(map(bytes, written)))
    assert len(read) == len(written)
    for mine, theirs in zip(read, written, strict=True):
        match theirs:
            case other.RtcpRrPacket() | other.RtcpSrPacket():
                assert mine["ssrc"] == theirs.ssrc
                assert [info_of(report) for report in mine["reports"]] == theirs.reports
                if isinstance(theirs, other.RtcpSrPacket):
                    assert (
                        other.RtcpSenderInfo(mine["ntp"], mine["timestamp"], mine["packets"], mine["octets"])
                        == theirs.sender_info
                    )
            case other.RtcpByePacket():
                assert mine["ssrcs"] == theirs.sources
            case other.RtcpRtpfbPacket():
                assert (mine["sender"], mine["media"], mine["lost"]) == (
                    theirs.ssrc, theirs.media_ssrc, theirs.lost,
                )  # fmt: skip
            case other.RtcpPsfbPacket(fmt=15):
                rate, ssrcs = other.unpack_remb_fci(theirs.fci)
                assert (mine["remb"], mine["ssrcs"]) == (min(rate, 2**32 - 1), ssrcs)
            case other.RtcpPsfbPacket():
                assert (mine["type"], mine["count"], mine["sender"], mine["media"]) == (
                    206, 1, theirs.ssrc, theirs.media_ssrc,
                )  # fmt: skip
            case _:
                assert mine["type"] == 202
