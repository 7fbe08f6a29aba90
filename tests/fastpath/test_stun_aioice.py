"""Our STUN against aioice's codec, both directions, and against everybody's malformed messages."""

from __future__ import annotations

import errno
import json
import random
import struct
from pathlib import Path

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from fastpath_ext.packet_crypto import CryptoError, make_ufrag, stun_parse, stun_respond, ufrag_handle

OURS, THEIRS, PASSWORD = make_ufrag(4711, "abcd2345"), "Th3Y", "p" * 24


def request(
    username: str = f"{OURS}:{THEIRS}", password: str = PASSWORD, **attributes: object
) -> stun.Message:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = username
    for name, value in {"PRIORITY": 1_853_824_767, "ICE-CONTROLLING": 2**63 + 5, **attributes}.items():
        message.attributes[name.replace("_", "-")] = value
    message.add_message_integrity(password.encode())
    return message


def respond(message: bytes, address: str = "192.0.2.1", port: int = 50_000) -> bytes:
    return stun_respond(message, OURS, PASSWORD, THEIRS, address, port)


def refusal(message: bytes) -> int:
    with pytest.raises(CryptoError) as caught:
        respond(message)
    return caught.value.errno


@pytest.mark.parametrize(
    ("address", "port"),
    [("192.0.2.1", 1), ("255.254.253.252", 65_535), ("2001:db8::1:2", 443), ("fe80::1", 32_853)],
)
def test_aioice_reads_our_answer(address: str, port: int) -> None:
    message = request()
    answer = respond(bytes(message), address, port)
    assert len(answer) <= len(bytes(message))
    parsed = stun.parse_message(answer)
    assert parsed.check_message_integrity(PASSWORD.encode())
    assert (parsed.message_method, parsed.message_class) == (stun.Method.BINDING, stun.Class.RESPONSE)
    assert parsed.transaction_id == message.transaction_id
    assert parsed.attributes["XOR-MAPPED-ADDRESS"] == (address, port)
    assert list(parsed.attributes) == ["XOR-MAPPED-ADDRESS", "MESSAGE-INTEGRITY", "FINGERPRINT"]


def test_we_read_what_aioice_writes() -> None:
    parsed = stun_parse(bytes(request()))
    assert parsed.username.decode() == f"{OURS}:{THEIRS}"
    assert ufrag_handle(parsed.username.decode()) == 4711
    assert (parsed.priority, parsed.use_candidate) == (1_853_824_767, False)
    assert (parsed.controlling, parsed.controlled) == (2**63 + 5, None)
    nominated = request(USE_CANDIDATE=None, SOFTWARE="some client")
    assert stun_parse(bytes(nominated)).use_candidate
    assert respond(bytes(nominated))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (request(password="q" * 24), errno.EACCES),
        (request(username=f"{OURS}:{THEIRS}x"), errno.ENOENT),
        (request(username=f"{OURS}:Th3X"), errno.ENOENT),
        (request(username=f"{OURS[:-1]}x:{THEIRS}"), errno.ENOENT),
        (request(username=OURS), errno.ENOENT),
        (request(username=f"{THEIRS}:{OURS}"), errno.ENOENT),
        (request(username=""), errno.EINVAL),
        (request(REALM="not in ICE"), errno.EINVAL),
    ],
)
def test_silence(message: stun.Message, why: int) -> None:
    assert refusal(bytes(message)) == why


def test_silence_without_integrity_or_fingerprint() -> None:
    bare = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes={"USERNAME": f"{OURS}:{THEIRS}"})
    bare.add_fingerprint()
    assert refusal(bytes(bare)) == errno.EINVAL
    whole = bytes(request())
    cut = whole[:2] + struct.pack("!H", len(whole) - 28) + whole[4:-8]
    assert refusal(cut) == errno.EINVAL


def test_nothing_behind_the_integrity_is_believed() -> None:
    """Somebody on the path adds USE-CANDIDATE and makes the fingerprint right again."""
    whole = bytes(request())[:-8] + struct.pack("!HH", 0x0025, 0)
    whole = whole[:2] + struct.pack("!H", len(whole) - 20 + 8) + whole[4:]
    forged = whole + struct.pack("!HHI", 0x8028, 4, stun.message_fingerprint(whole))
    assert not stun_parse(forged).use_candidate
    assert respond(forged)


def test_one_wrong_bit_anywhere() -> None:
    whole = bytes(request(USE_CANDIDATE=None))
    for bit in range(len(whole) * 8):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        assert refusal(bytes(broken)) == errno.EINVAL  # the fingerprint sees every single bit


def test_one_wrong_bit_with_the_fingerprint_made_right() -> None:
    whole = bytes(request(USE_CANDIDATE=None))
    for bit in range((len(whole) - 8) * 8):
        broken = bytearray(whole[:-8])
        broken[bit // 8] ^= 1 << bit % 8
        refusal(bytes(broken) + struct.pack("!HHI", 0x8028, 4, stun.message_fingerprint(bytes(broken))))


def corpus(vectors: Path) -> list[bytes]:
    found = [
        bytes.fromhex(text)
        for text in json.loads((vectors / "stun/rfc5769.json").read_text())["messages"].values()
    ]
    for name in ("pion-stun/testdata.json", "libwebrtc-fuzz/stun-corpus.json", "aioice/stun.json"):
        found += [bytes.fromhex(case["hex"]) for case in json.loads((vectors / name).read_text())["cases"]]
    return found


def test_no_message_of_others_is_answered_and_none_crashes(vectors: Path) -> None:
    chance = random.Random(5)
    messages = corpus(vectors)
    assert len(messages) > 30
    for message in messages:
        refusal(message)
        for length in range(len(message)):
            refusal(message[:length])
        for _ in range(50):
            broken = bytearray(message)
            if broken:
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            refusal(bytes(broken))


def test_rfc_5769_request_and_its_answer(vectors: Path) -> None:
    published = json.loads((vectors / "stun/rfc5769.json").read_text())
    message = bytes.fromhex(published["messages"]["kRfc5769SampleRequest"])
    parsed = stun_parse(message)
    assert (parsed.username, parsed.priority) == (b"evtj:h6vY", 0x6E0001FF)
    assert parsed.controlled == 0x932FF9B151263B36
    answer = stun_respond(message, "evtj", published["short_term_password"], "h6vY", "192.0.2.1", 32_853)
    ours = stun.parse_message(answer)
    theirs = stun.parse_message(bytes.fromhex(published["messages"]["kRfc5769SampleResponse"]))
    assert (
        ours.attributes["XOR-MAPPED-ADDRESS"]
        == theirs.attributes["XOR-MAPPED-ADDRESS"]
        == ("192.0.2.1", 32_853)
    )


@given(st.binary(max_size=400), st.integers(0, 3))
def test_any_bytes(tail: bytes, kind: int) -> None:
    tail = tail[: len(tail) // 4 * 4]
    head = struct.pack("!HHI12s", (1, 1, 0x101, 0x11)[kind], len(tail), 0x2112A442, bytes(12))
    refusal(head + tail)
    fingerprint = struct.pack("!HHI12s", 1, len(tail) + 8, 0x2112A442, bytes(12)) + tail
    refusal(fingerprint + struct.pack("!HHI", 0x8028, 4, stun.message_fingerprint(fingerprint)))


@given(st.integers(0, 2**20 - 1))
def test_a_user_fragment_names_its_handle(handle: int) -> None:
    ufrag = make_ufrag(handle, "Random+/1234")
    assert len(ufrag) == 16
    assert ufrag_handle(ufrag) == handle
    assert ufrag_handle(f"{ufrag}:theirs") == handle


@given(st.text(max_size=8))
def test_other_user_fragments_name_nothing_or_a_handle(ufrag: str) -> None:
    handle = ufrag_handle(ufrag)
    assert handle is None or make_ufrag(handle, "")[:4] == ufrag[:4]


def test_user_fragments_have_their_limits() -> None:
    for handle, tail in ((2**20, ""), (-1, ""), (0, "x" * 13)):
        with pytest.raises(CryptoError):
            make_ufrag(handle, tail)
    assert ufrag_handle("") is None
    assert ufrag_handle("aaa") is None
