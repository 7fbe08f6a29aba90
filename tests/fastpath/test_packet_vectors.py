"""Packets of other implementations: their captures, the ones their tests refuse, what their fuzzers kept."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiortc import rtp as aiortc_rtp
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath_ext import packet
from tests import reference


def cases(vectors: Path, name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((vectors / name).read_text())["cases"]
    return [{**case, "data": bytes.fromhex(case["hex"])} for case in loaded]


def pcap(path: Path) -> Iterator[bytes]:
    """UDP payloads of a little-endian capture of Ethernet and IPv4."""
    data, at = path.read_bytes(), 24
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at + 8)
        frame = data[at + 16 : at + 16 + length]
        at += 16 + length
        header = 14 + (frame[14] & 15) * 4
        yield frame[header + 8 :]


def rtpdump(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    at = data.index(b"\n") + 1 + 16
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("!H", data, at)
        yield data[at + 8 : at + length]
        at += length


def captures(vectors: Path) -> dict[str, list[bytes]]:
    folder = vectors / "pcap"
    return (
        {path.stem: list(pcap(path)) for path in folder.glob("*.pcap")}
        | {path.stem: list(rtpdump(path)) for path in folder.glob("*.rtp*")}
        | {path.stem: [path.read_bytes()] for path in folder.glob("*.raw")}
    )


def everything(vectors: Path) -> list[bytes]:
    """All packets of all corpora, once each."""
    names = [
        "pion/rtp-test-bytes.json",
        "pion/rtcp-test-bytes.json",
        "aiortc/packets.json",
        "libwebrtc-fuzz/rtp-corpus.json",
        "libwebrtc-fuzz/rtcp-corpus.json",
    ]
    packets = [case["data"] for name in names for case in cases(vectors, name)]
    return list(dict.fromkeys(itertools.chain(packets, *captures(vectors).values())))


def same(mine: Callable[..., Any], model: Callable[..., Any], *arguments: Any) -> Any:
    """Both answer the same, which is returned, or both refuse: None."""
    try:
        wanted = model(*arguments)
    except reference.Malformed:
        with pytest.raises(packet.PacketError):
            mine(*arguments)
        return None
    assert mine(*arguments) == wanted
    return wanted


def check_all_readers(data: bytes) -> None:
    """Every reader answers as the model does."""
    same(packet.demux, reference.demux, data)
    header = same(packet.rtp_parse, lambda d: tuple(vars(reference.rtp_parse(d)).values())[:-1], data)
    same(packet.rtp_padding, reference.rtp_padding, data)
    for number in range(1, 16):
        same(packet.rtp_extension, reference.rtp_extension, data, number)
    same(packet.rtcp_parse, reference.rtcp_parse, data)
    payload = data[header[-1] :] if header else data
    same(lambda d: packet.vp8_parse(d)._asdict(), reference.vp8_parse, payload)
    for codec in ("opus", "vp8", "vp9", "h264", "av1"):
        same(packet.payload_key_start, reference.payload_key_start, codec, payload)


def test_every_packet_reads_as_the_model_reads_it(vectors: Path) -> None:
    packets = everything(vectors)
    assert len(packets) > 1000
    for data in packets:
        check_all_readers(data)


def test_every_packet_cut_anywhere_reads_as_the_model_reads_it(vectors: Path) -> None:
    for data in everything(vectors)[::40]:
        for length in {*range(min(len(data), 90)), *range(0, len(data), 101)}:
            check_all_readers(data[:length])


@settings(max_examples=300)
@given(st.data())
def test_every_packet_damaged_reads_as_the_model_reads_it(vectors: Path, data: st.DataObject) -> None:
    known = corpus(vectors)
    damaged = bytearray(known[data.draw(st.integers(0, len(known) - 1))])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            at = min(data.draw(st.integers(0, 60)), len(damaged) - 1)
            damaged[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0xBE, 0x10]))
    check_all_readers(bytes(damaged) * data.draw(st.sampled_from([1, 1, 2])))


_corpus: list[bytes] = []


def corpus(vectors: Path) -> list[bytes]:
    if not _corpus:
        _corpus.extend(everything(vectors))
    return _corpus


# --- what others refuse -------------------------------------------------------------------------------------


def test_what_pion_refuses_for_its_length_is_refused(vectors: Path) -> None:
    """Reports, goodbyes, requests and feedback; the other types we only pass over, and a type that one of its
    parsers is not for is no error of the packet."""
    lengths = {
        "errPacketTooShort",
        "errInvalidHeader",
        "errBadVersion",
        "errWrongPadding",
    }
    ours = (
        "goodbye",
        "receiver_report",
        "sender_report",
        "full_intra",
        "picture_loss",
        "header",
        "transport_layer_nack",
    )
    refused = [
        case
        for case in cases(vectors, "pion/rtcp-test-bytes.json")
        if case["want_error"] in lengths and case["file"].startswith(ours)
    ]
    assert len(refused) == 8
    for case in refused:
        with pytest.raises(packet.PacketError):
            packet.rtcp_parse(case["data"])


def test_what_aiortc_calls_invalid_is_refused(vectors: Path) -> None:
    invalid = [
        case
        for case in cases(vectors, "aiortc/packets.json")
        if case["name"].startswith("rtcp_") and "invalid" in case["name"]
    ]
    assert len(invalid) == 5
    for case in invalid:
        with pytest.raises(packet.PacketError):
            packet.rtcp_parse(case["data"])


def test_pion_rtp_headers_that_are_cut(vectors: Path) -> None:
    cut = [
        case["data"]
        for case in cases(vectors, "pion/rtp-test-bytes.json")
        if case["func"] == "TestUnmarshal_ErrorHandling" or case["field"] == "invalidExtensionLengthPkt"
    ]
    assert len(cut) == 3
    for data in cut:
        with pytest.raises(packet.PacketError):
            packet.rtp_parse(data)


# --- aiortc as a second opinion -----------------------------------------------------------------------------


def test_aiortc_reads_the_same_headers(vectors: Path) -> None:
    agreed = 0
    for data in everything(vectors):
        try:
            theirs = aiortc_rtp.RtpPacket.parse(data)
        except ValueError:
            continue
        mine = packet.rtp_parse(data)
        assert (mine.sequence, mine.timestamp, mine.ssrc) == (
            theirs.sequence_number,
            theirs.timestamp,
            theirs.ssrc,
        )
        assert (mine.payload_type, mine.marker) == (theirs.payload_type, theirs.marker)
        assert list(mine.csrcs) == theirs.csrc
        assert data[mine.payload_offset : len(data) - packet.rtp_padding(data)] == theirs.payload
        agreed += 1
    assert agreed > 1000


def test_aiortc_reads_what_we_write() -> None:
    report = packet.Report(5, 128, -3, 70000, 11, 12, 13)
    compound = (
        packet.rtcp_rr(1, [report])
        + packet.rtcp_sdes(1, b"cname")
        + packet.rtcp_pli(1, 2)
        + packet.rtcp_nack(1, 2, [7, 9, 100])
        + packet.rtcp_remb(1, 1_000_000, [2, 3])
        + packet.rtcp_sr(4, ntp=5, timestamp=6, packets=7, octets=8)
        + packet.rtcp_bye(1)
    )
    rr, sdes, pli, nack, remb, sr, bye = aiortc_rtp.RtcpPacket.parse(compound)
    (block,) = rr.reports
    assert (block.ssrc, block.fraction_lost, block.packets_lost, block.highest_sequence) == (
        5,
        128,
        -3,
        70000,
    )
    assert (block.jitter, block.lsr, block.dlsr) == (11, 12, 13)
    assert sdes.chunks[0].items == [(1, b"cname")]
    assert (pli.fmt, pli.ssrc, pli.media_ssrc) == (1, 1, 2)
    assert nack.lost == [7, 9, 100]
    rate, ssrcs = aiortc_rtp.unpack_remb_fci(remb.fci)
    assert (rate, ssrcs) == (1_000_000 >> 2 << 2, [2, 3])
    assert (sr.ssrc, sr.sender_info.ntp_timestamp, sr.sender_info.octet_count) == (4, 5, 8)
    assert bye.sources == [1]

    header = packet.rtp_header(
        payload_type=96,
        sequence=1,
        timestamp=2,
        ssrc=3,
        csrc=4,
        marker=True,
        mid_id=3,
        mid=b"0",
        audio_level_id=1,
    )
    read = aiortc_rtp.RtpPacket.parse(header + b"payload")
    assert (read.csrc, read.marker, read.payload) == ([4], 1, b"payload")
    profile = packet.rtp_parse(header).extension_profile
    assert aiortc_rtp.unpack_header_extensions(profile, header[20:]) == [(1, b"\0"), (3, b"0")]


@pytest.mark.parametrize("name", ["libwebrtc-vp8", "str0m-vp8"])
def test_aiortc_reads_the_same_vp8_descriptors(vectors: Path, name: str) -> None:
    keys = frames = 0
    for data in captures(vectors)[name]:
        payload = data[packet.rtp_parse(data).payload_offset : len(data) - packet.rtp_padding(data)]
        if not payload:
            continue
        mine = packet.vp8_parse(payload)
        theirs, rest = VpxPayloadDescriptor.parse(payload)
        assert (mine.picture_id, mine.tl0, mine.length) == (
            theirs.picture_id, theirs.tl0picidx, len(payload) - len(rest),
        )  # fmt: skip
        assert mine.temporal_id == (theirs.tid[0] if theirs.tid else None)
        frames += mine.frame_start
        keys += mine.key_frame
    assert frames > 10
    assert 1 <= keys < frames


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("str0m-vp8", "vp8"),
        ("str0m-vp9", "vp9"),
        ("libwebrtc-vp9", "vp9"),
        ("str0m-h264", "h264"),
        ("str0m-av1", "av1"),
    ],
)
def test_a_capture_begins_with_a_key_frame_and_has_few(vectors: Path, name: str, codec: Any) -> None:
    keys: dict[int, list[bool]] = {}
    for data in captures(vectors)[name]:
        header = packet.rtp_parse(data)
        payload = data[header.payload_offset : len(data) - packet.rtp_padding(data)]
        if payload:
            keys.setdefault(header.ssrc, []).append(packet.payload_key_start(codec, payload))
    longest = max(keys.values(), key=len)
    assert any(longest[:3])
    assert sum(longest) < len(longest) / 4
