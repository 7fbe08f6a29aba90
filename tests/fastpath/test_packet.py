"""RTP headers, extensions, payload descriptors and demultiplexing: tables, and the core against the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastpath_ext import packet
from tests import reference

CODECS = ("opus", "vp8", "vp9", "h264", "av1")


def both(mine: Callable[[], Any], model: Callable[[], Any]) -> None:
    """Same answer, or both refuse."""
    try:
        wanted = model()
    except reference.Malformed:
        with pytest.raises(packet.PacketError):
            mine()
    else:
        assert mine() == wanted


def hexes(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


# --- first bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "length", "kind"),
    [
        (0, 1, 20, "stun"),
        (3, 1, 20, "stun"),
        (0, 1, 19, None),
        (4, 0, 100, None),  # ZRTP and others
        (19, 0, 100, None),
        (20, 0, 13, "dtls"),
        (22, 254, 13, "dtls"),
        (63, 0, 13, "dtls"),
        (22, 254, 12, None),
        (64, 0, 100, None),  # TURN channels
        (127, 0, 100, None),
        (128, 96, 12, "rtp"),
        (144, 224, 12, "rtp"),  # marker and payload type 96
        (191, 191, 12, "rtp"),
        (128, 96, 11, None),
        (128, 192, 8, "rtcp"),
        (129, 200, 8, "rtcp"),
        (143, 223, 8, "rtcp"),
        (129, 200, 7, None),
        (192, 0, 100, None),  # QUIC
        (255, 255, 100, None),
    ],
)
def test_first_bytes_tell_the_kind(first: int, second: int, length: int, kind: str | None) -> None:
    datagram = bytes([first, second]) + bytes(length - 2)
    if kind is None:
        with pytest.raises(packet.PacketError):
            packet.demux(datagram)
    else:
        assert packet.demux(datagram) == kind


@given(st.binary(max_size=24))
def test_demux_is_the_model(datagram: bytes) -> None:
    both(lambda: packet.demux(datagram), lambda: reference.demux(datagram))


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_sequence_numbers_compare_over_the_wrap(a: int, b: int) -> None:
    assert packet.sequence_newer(a, b) == (0 < (a - b) % 65536 < 32768)
    wide_a, wide_b = a << 16, b << 16
    assert packet.timestamp_newer(wide_a, wide_b) == (0 < (wide_a - wide_b) % 2**32 < 2**31)


# --- headers ------------------------------------------------------------------------------------------------

PLAIN = "8060 0001 00000002 00000003 "


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("nothing", ""),
        ("eleven bytes", "8060 0001 00000002 000000"),
        ("version 1", "4060 0001 00000002 00000003"),
        ("version 3", "c060 0001 00000002 00000003"),
        ("one CSRC announced, none there", "8160 0001 00000002 00000003"),
        ("fifteen CSRCs announced, fourteen there", "8f60 0001 00000002 00000003" + 14 * "00000000"),
        ("extension announced, none there", "9060 0001 00000002 00000003"),
        ("extension head cut", "9060 0001 00000002 00000003 bede 00"),
        ("extension longer than the packet", "9060 0001 00000002 00000003 bede 0002 10aa0000"),
        ("extension of 65535 words", "9060 0001 00000002 00000003 bede ffff 10aa0000"),
    ],
)
def test_malformed_headers_are_refused(what: str, data: str) -> None:
    with pytest.raises(packet.PacketError):
        packet.rtp_parse(hexes(data))


def test_a_header_with_everything() -> None:
    data = hexes("b2e0 fffe 12345678 87654321 00000007 00000009 bede 0001 10aa0000 cafe 0002")
    assert packet.rtp_parse(data) == (96, True, 65534, 0x12345678, 0x87654321, (7, 9), True, 0xBEDE, 28)
    assert packet.rtp_padding(data) == 2


@pytest.mark.parametrize(
    ("what", "payload", "padding"),
    [
        ("all of it", "00000004", 4),
        ("one byte", "aaaaaa01", 1),
        ("zero", "aaaaaa00", None),
        ("longer than the payload", "aaaaaa05", None),
        ("no payload", "", None),
    ],
)
def test_padding_is_counted_in_the_last_byte(what: str, payload: str, padding: int | None) -> None:
    data = hexes("a060 0001 00000002 00000003", payload)
    if padding is None:
        with pytest.raises(packet.PacketError):
            packet.rtp_padding(data)
    else:
        assert packet.rtp_padding(data) == padding
    assert packet.rtp_padding(hexes(PLAIN, payload)) == 0


def extended(profile: str, elements: str) -> bytes:
    words = len(bytes.fromhex(elements)) // 4
    return hexes("9060 0001 00000002 00000003", profile, f"{words:04x}", elements, "cafe")


@pytest.mark.parametrize(
    ("what", "data", "wanted", "found"),
    [
        ("one byte form", extended("bede", "10aa0000"), 1, "aa"),
        ("the longest of the one byte form", extended("bede", "1f" + 16 * "bb" + "000000"), 1, 16 * "bb"),
        ("behind padding", extended("bede", "0000000020bb0000"), 2, "bb"),
        ("behind another", extended("bede", "11aabb20cc000000"), 2, "cc"),
        ("not there", extended("bede", "10aa0000"), 2, None),
        ("the first of two", extended("bede", "10aa10bb"), 1, "aa"),
        ("id 15 ends the extensions", extended("bede", "f0aa10bb"), 1, None),
        ("id 15 is never found", extended("bede", "f0aa10bb"), 15, None),
        ("id 0 with a length ends them too", extended("bede", "01aa10bb"), 1, None),
        ("two byte form", extended("1000", "0102aabb"), 1, "aabb"),
        ("two byte form with appbits", extended("100f", "0102aabb"), 1, "aabb"),
        ("two byte form, nothing in it", extended("1000", "01000000"), 1, ""),
        ("two byte form, a high id", extended("1000", "ff01aa00"), 255, "aa"),
        ("two byte form, padding between", extended("1000", "010000000201aa00"), 2, "aa"),
        ("another profile", extended("1234", "10aa0000"), 1, None),
        ("before a broken one", extended("bede", "10aa2f00"), 1, "aa"),
        ("no extensions at all", hexes(PLAIN), 1, None),
        ("an empty block of them", extended("bede", ""), 1, None),
    ],
)
def test_extensions_are_found(what: str, data: bytes, wanted: int, found: str | None) -> None:
    assert packet.rtp_extension(data, wanted) == (None if found is None else bytes.fromhex(found))


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("longer than what is left", extended("bede", "10aa2f00")),
        ("two byte form without its length", extended("1000", "0101aa02")),
        ("two byte form longer than what is left", extended("1000", "020300aa")),
    ],
)
def test_a_broken_extension_is_an_error_when_nothing_was_found_before(what: str, data: bytes) -> None:
    with pytest.raises(packet.PacketError):
        packet.rtp_extension(data, 9)


def test_extensions_of_the_wrong_size_are_as_if_not_there() -> None:
    data = extended("1000", "0102aabb0202aabb0303aabbcc0400050161000000")
    ids = {"audio_level": 1, "transport_cc": 2, "abs_send_time": 3, "mid": 4, "rid": 5}
    assert packet.rtp_extensions(data, **ids) == {
        "transport_cc": b"\xaa\xbb",
        "abs_send_time": b"\xaa\xbb\xcc",
        "rid": b"a",
    }
    long = "01" + "11" + 17 * "61" + "00"
    assert packet.rtp_extensions(extended("1000", long), mid=1) == {}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("1161620000000000", "ab"),
        ("1f" + 16 * "7a" + "000000", "z" * 16),
        ("10200000", None),
        ("10800000", None),
    ],
)
def test_mid_and_rid_are_visible_ascii(data: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(packet.PacketError):
            packet.rtp_text(extended("bede", data), 1)
    else:
        assert packet.rtp_text(extended("bede", data), 1) == text
        with pytest.raises(packet.PacketError):
            packet.rtp_text(extended("bede", data), 1, len(text) - 1)


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Bytes that often are a packet: right at first, then perhaps damaged or cut."""
    csrcs = draw(st.integers(0, 3))
    first = 0x80 | draw(st.sampled_from([0, 0x10, 0x20, 0x30])) | csrcs
    data = bytearray([first]) + draw(st.binary(min_size=11 + 4 * csrcs, max_size=11 + 4 * csrcs))
    if first & 0x10:
        profile = draw(st.sampled_from([0xBEDE, 0x1000, 0x1007, 0x4321]))
        elements = b"".join(
            draw(st.lists(st.one_of(st.just(b"\0"), st.binary(max_size=6), elements_of(profile)), max_size=5))
        )
        elements += bytes(-len(elements) % 4)
        data += profile.to_bytes(2, "big") + (len(elements) // 4).to_bytes(2, "big") + elements
    data += draw(st.binary(max_size=12))
    if draw(st.integers(0, 3)) == 0:
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 3)) == 0 else data)


def elements_of(profile: int) -> st.SearchStrategy[bytes]:
    data = st.binary(min_size=1, max_size=16)
    if profile == 0xBEDE:
        return st.builds(lambda n, d: bytes([n << 4 | len(d) - 1]) + d, st.integers(1, 14), data)
    return st.builds(lambda n, d: bytes([n, len(d)]) + d, st.integers(1, 255), data)


def model_header(data: bytes) -> tuple[Any, ...]:
    header = reference.rtp_parse(data)
    return tuple(vars(header).values())[:-1]


@given(st.one_of(st.binary(max_size=80), packets()), st.one_of(st.integers(1, 14), st.integers(1, 255)))
@example(bytes.fromhex("9060000100000002000000031000000001"), 1)
def test_headers_are_the_models(data: bytes, wanted: int) -> None:
    both(lambda: packet.rtp_parse(data), lambda: model_header(data))
    both(lambda: packet.rtp_padding(data), lambda: reference.rtp_padding(data))
    both(lambda: packet.rtp_extension(data, wanted), lambda: reference.rtp_extension(data, wanted))


@given(
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 65535),
    timestamp=st.integers(0, 2**32 - 1),
    ssrc=st.integers(0, 2**32 - 1),
    marker=st.booleans(),
    csrc=st.sampled_from([0, 1, 2**32 - 1]),
    ids=st.tuples(*[st.sampled_from([0, 1, 7, 14, 15, 255])] * 4),
    mid=st.binary(max_size=16),
)
def test_headers_are_written_as_the_model_writes_them(
    ids: tuple[int, ...], mid: bytes, **fields: Any
) -> None:
    level, send_time, transport_cc, mid_id = ids
    extensions = [
        (level, b"\x91"),
        (send_time, b"\x01\x02\x03"),
        (transport_cc, b"\xfe\xdc"),
        (mid_id if mid else 0, mid),
    ]
    written = packet.rtp_header(
        **fields,
        audio_level_id=level,
        audio_level=0x91,
        abs_send_time_id=send_time,
        abs_send_time=0x010203,
        transport_cc_id=transport_cc,
        transport_cc=0xFEDC,
        mid_id=mid_id,
        mid=mid,
    )
    two_byte = mid_id > 14 and not mid  # an id is enough to choose the form
    if not (two_byte and max(ids[:3]) <= 14):
        assert written == reference.rtp_header(**fields, extensions=[e for e in extensions if e[0]])
    assert len(written) <= packet.RTP_HEADER_MAX
    parsed = packet.rtp_parse(written + b"payload")
    assert parsed.payload_offset == len(written)
    assert (parsed.sequence, parsed.timestamp, parsed.ssrc) == (
        fields["sequence"],
        fields["timestamp"],
        fields["ssrc"],
    )


def test_the_longest_header_fits() -> None:
    mid = b"m" * 16
    longest = packet.rtp_header(
        payload_type=96, sequence=1, timestamp=2, ssrc=3, csrc=4,
        audio_level_id=20, abs_send_time_id=21, transport_cc_id=22, mid_id=23, mid=mid,
    )  # fmt: skip
    # Slots have one CSRC; a sealed source keeps its list, of up to fifteen.
    assert len(longest) + 4 * 14 == packet.RTP_HEADER_MAX


# --- payloads -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "codec", "payload", "key"),
    [
        ("VP8 key frame, first packet", "vp8", "10 50010a", True),
        ("VP8 delta frame", "vp8", "10 51010a", False),
        ("VP8 key frame, second packet", "vp8", "00 50010a", False),
        ("VP8 key frame, second partition", "vp8", "11 50010a", False),
        ("VP8 with 15 bit picture id, TL0 and TID", "vp8", "90e0 8123 07 20 50010a", True),
        ("VP8 with nothing behind the descriptor", "vp8", "90e0 8123 07 20", None),
        ("VP8 cut in the picture id", "vp8", "9080 81", None),
        ("VP9 key frame, one layer", "vp9", "8c 8001 aa", True),
        ("VP9 second packet of it", "vp9", "84 8001 aa", False),
        ("VP9 delta frame", "vp9", "cc 8002 aa", False),
        ("VP9 key frame, base layer", "vp9", "ac 8001 00 05 aa", True),
        ("VP9 key frame, upper layer", "vp9", "ac 8001 03 05 aa", False),
        ("VP9 cut at the layers", "vp9", "ac 8001", None),
        ("H264 IDR slice", "h264", "65 88", True),
        ("H264 parameter set", "h264", "67 42", True),
        ("H264 picture parameter set alone", "h264", "68 ce", False),
        ("H264 slice", "h264", "41 9a", False),
        ("H264 aggregate with a parameter set", "h264", "78 0002 6742 0002 68ce", True),
        ("H264 aggregate with the IDR slice second", "h264", "78 0002 68ce 0002 6588", True),
        ("H264 aggregate of slices", "h264", "78 0002 419a 0001 41", False),
        ("H264 aggregate longer than the packet", "h264", "78 0003 419a", None),
        ("H264 aggregate of nothing", "h264", "78 0000", None),
        ("H264 fragment, first of an IDR slice", "h264", "7c 85 88", True),
        ("H264 fragment, later one", "h264", "7c 05 88", False),
        ("H264 fragment without its header", "h264", "7c", None),
        ("AV1 new coded video sequence", "av1", "18 0a", True),
        ("AV1 going on", "av1", "10 32", False),
        ("AV1 that contradicts itself", "av1", "98 0a", False),
        ("Opus", "opus", "78", True),
        ("Opus of no byte", "opus", "", None),
    ],
)
def test_where_a_slot_may_cut_over(what: str, codec: Any, payload: str, key: bool | None) -> None:
    if key is None:
        with pytest.raises(packet.PacketError):
            packet.payload_key_start(codec, hexes(payload))
    else:
        assert packet.payload_key_start(codec, hexes(payload)) is key


VP8 = st.builds(
    lambda first, rest: bytes([first]) + rest,
    st.sampled_from([0x80, 0x90, 0x91, 0xB0, 0x10, 0x00]),
    st.binary(max_size=9),
)


@given(st.one_of(st.binary(max_size=9), VP8))
def test_vp8_descriptors_are_the_models(payload: bytes) -> None:
    both(lambda: packet.vp8_parse(payload)._asdict(), lambda: reference.vp8_parse(payload))


@given(VP8, st.integers(0, 32767), st.integers(0, 255))
def test_rewriting_vp8_changes_its_numbers_and_nothing_else(
    payload: bytes, picture_id: int, tl0: int
) -> None:
    try:
        before = packet.vp8_parse(payload)
    except packet.PacketError:
        return
    changed = packet.vp8_rewrite(payload, picture_id, tl0)
    bits = before.picture_id_bits
    assert packet.vp8_parse(changed) == before._replace(
        picture_id=picture_id % 2**bits if bits else None, tl0=None if before.tl0 is None else tl0
    )
    back = packet.vp8_rewrite(changed, before.picture_id or 0, before.tl0 or 0)
    assert back == payload


@pytest.mark.parametrize("codec", CODECS)
@given(payload=st.one_of(st.binary(max_size=40), st.builds(lambda d: b"\x78" + d, st.binary(max_size=12))))
def test_key_frames_are_the_models(codec: Any, payload: bytes) -> None:
    both(
        lambda: packet.payload_key_start(codec, payload), lambda: reference.payload_key_start(codec, payload)
    )
