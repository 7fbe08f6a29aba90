"""Sealed packets: the published vectors, libsrtp as the second implementation, and what the page prints."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

import pylibsrtp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.keys.frames import BaseKey, Verdict
from client.keys.keyring import Keyring
from client.keys.kid import make_kid
from client.rtp.packet import RtpPacket, read_rtp_untrusted
from client.sealed.descriptor import write_descriptor
from client.sealed.keys import InnerKey, SealedError, key_id, master_of, session_of
from client.sealed.opening import InnerStream
from client.sealed.packet import (
    EMPTY_OHB,
    Header,
    nearest_index,
    strip_padding_untrusted,
    take_ohb_untrusted,
    write_ohb,
)
from client.sealed.sending import PacketSealer, SealedStream
from client.transport.sdp import Offerer, Transport
from fastpath_ext.packet_layers import DependencyReader
from tests.protocol.people import people, world

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "vectors" / "sealed.json"
PAGE = ROOT / "docs" / "protocol.md"
BASE = bytes(range(16))
SSRC = 0xDECAFBAD
LISTED = (1, 0xFFFFFFFF)


def made_vectors() -> dict[str, object]:
    """SOTTO_UPDATE_VECTORS=1 writes them."""
    keys = []
    for member, source, epoch, step in ((1, 0, 0, 0), (3, 1, 4, 2), (65535, 3, 4097, 255)):
        kid = make_kid(member, source, epoch, step)
        master = master_of(BASE, kid)
        session = session_of(*master)
        keys.append(
            {
                "base_key": BASE.hex(),
                "member": member,
                "source": source,
                "epoch": epoch,
                "ratchet": step,
                "kid": f"{kid:010x}",
                "key_id": key_id(source, epoch, step).hex(),
                "master_key": master[0].hex(),
                "master_salt": master[1].hex(),
                "session_key": session[0].hex(),
                "session_salt": session[1].hex(),
            }
        )
    packets = []
    inner = InnerKey(BASE, make_kid(3, 1, 4, 2))
    table = (
        # what the sender makes, what the focus makes of its header, rollover counter, payload
        (Header(96, 100, 3000, SSRC), Header(96, 100, 3000, SSRC), 0, b"payload"),
        (Header(96, 65535, 3000, SSRC, True), Header(120, 65535, 3000, SSRC, True), 0, b"payload"),
        (Header(96, 0x1234, 9, SSRC), Header(96, 7, 9, SSRC), 1, b""),
        (
            Header(96, 5, 9, SSRC, True, (1, 0xFFFFFFFF)),
            Header(33, 6, 9, SSRC, False, (1, 0xFFFFFFFF)),
            2,
            b"x" * 40,
        ),
        (
            Header(111, 5, 9, SSRC, False, (), True),
            Header(111, 5, 9, SSRC, True, (), True),
            0xFFFFFFFF,
            b"x\0\0\x03",
        ),
    )
    for original, sent, rollover, payload in table:
        sealed = inner.seal(original.to_bytes(), SSRC, rollover << 16 | original.sequence, payload)
        body = sealed + key_id(1, 4, 2)
        packets.append(
            {
                "header": original.to_bytes().hex(),
                "rollover": rollover,
                "payload": payload.hex(),
                "sent": (original.to_bytes() + body + EMPTY_OHB).hex(),
                "forwarded": (sent.to_bytes() + body + write_ohb(original, sent)).hex(),
            }
        )
    return {
        "description": "docs/protocol.md section 11: keys; packets as the sender, and a focus that writes "
        "the shortest OHB send them, before the hop encrypts. All are of the second key. In hex.",
        "keys": keys,
        "packets": packets,
    }


def vectors() -> dict[str, list[dict[str, str]]]:
    if os.environ.get("SOTTO_UPDATE_VECTORS"):
        FILE.write_text(json.dumps(made_vectors(), indent=2) + "\n")
    loaded: dict[str, list[dict[str, str]]] = json.loads(FILE.read_text())
    return loaded


def test_the_published_vectors_are_what_we_make() -> None:
    assert vectors() == made_vectors()


def test_published_packets_open() -> None:
    inner = InnerKey(BASE, make_kid(3, 1, 4, 2))
    for vector in vectors()["packets"]:
        for name in ("sent", "forwarded"):
            data = bytes.fromhex(vector[name])
            packet = read_rtp_untrusted(bytes((data[0] & 0xDF,)) + data[1:])
            header = Header(
                packet.payload_type,
                packet.sequence,
                packet.timestamp,
                packet.ssrc,
                packet.marker,
                packet.csrcs,
                bool(data[0] & 0x20),
            )
            original, body = take_ohb_untrusted(header, packet.payload)
            assert original.to_bytes().hex() == vector["header"]
            index = int(vector["rollover"]) << 16 | original.sequence
            plain = inner.open_untrusted(original.to_bytes(), packet.ssrc, index, body[:-3])
            assert plain.hex() == vector["payload"]


def test_libsrtp_makes_the_same_inner_packets() -> None:
    """The inner layer is SRTP under the derived master key and salt: libsrtp over a header with X = 0."""
    kid = make_kid(3, 1, 4, 2)
    key, salt = master_of(BASE, kid)
    policy = pylibsrtp.Policy(
        key=key + salt,
        ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    )
    theirs, ours = pylibsrtp.Session(policy), InnerKey(BASE, kid)
    for sequence in range(65_000, 66_000):  # over a rollover
        header = Header(96, sequence & 0xFFFF, sequence * 3, SSRC, bool(sequence % 2), (7,), False)
        payload = bytes(sequence % 50)
        made = theirs.protect(header.to_bytes() + payload)
        assert made[16:] == ours.seal(header.to_bytes(), SSRC, sequence, payload)


HEADERS = st.builds(
    Header,
    st.integers(0, 127),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.just(SSRC),
    st.booleans(),
    st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
    st.booleans(),
)


@given(HEADERS, st.integers(0, 127), st.integers(0, 0xFFFF), st.booleans(), st.binary(max_size=40))
def test_the_ohb_restores_any_header(
    original: Header, payload_type: int, sequence: int, marker: bool, payload: bytes
) -> None:
    sent = Header(payload_type, sequence, original.timestamp, SSRC, marker, original.csrcs, original.padding)
    restored, left = take_ohb_untrusted(sent, payload + write_ohb(original, sent))
    assert (restored, left) == (original, payload)


@given(HEADERS, st.binary(max_size=60))
def test_hostile_bytes_fail_in_one_way(header: Header, payload: bytes) -> None:
    keyring = Keyring()
    keyring.add(3, 1, BaseKey(4, 2, BASE))
    stream = InnerStream(keyring, 3, 1, None)
    packet = RtpPacket(header.payload_type, header.sequence, header.timestamp, SSRC, payload)
    assert stream.open_untrusted(packet, header.padding).verdict is not Verdict.OPENED
    for read in (
        lambda: take_ohb_untrusted(header, payload),
        lambda: strip_padding_untrusted(header, payload),
    ):
        with contextlib.suppress(SealedError):
            read()


@pytest.mark.parametrize(
    ("sequence", "base", "index"),
    [
        (5, 0, 5),
        (65_535, 0, 65_535),
        (0, 65_535, 65_536),
        (65_535, 65_536, 65_535),
        (40_000, 65_536 + 100, 40_000),
        (10, 3 << 16 | 65_000, 4 << 16 | 10),
        (32_768, 1 << 16, 32_768),
    ],
)
def test_the_nearest_index(sequence: int, base: int, index: int) -> None:
    assert nearest_index(sequence, base) == index


def sealed_pair(told: int | None = None) -> tuple[SealedStream, InnerStream, PacketSealer, Keyring]:
    sealer = PacketSealer(3, 1)
    sealer.use(BaseKey(4, 2, BASE))
    keyring = Keyring()
    keyring.add(3, 1, BaseKey(4, 2, BASE))
    stream = SealedStream(sealer, 96, 90_000, SSRC, 0, 12)
    return stream, InnerStream(keyring, 3, 1, told), sealer, keyring


def one(stream: SealedStream, at: float = 0.0) -> RtpPacket:
    (data,) = stream.frame_packets([b"\x10payload"], at, at, True)
    return read_rtp_untrusted(data)


def test_rollovers_late_joiners_and_pauses() -> None:
    stream, opening, _, keyring = sealed_pair()
    stream.begin_at(65_530)
    packets = [one(stream) for _ in range(12)]
    for packet in packets:
        assert opening.open_untrusted(packet, False).verdict is Verdict.OPENED
    assert opening.open_untrusted(packets[3], False).verdict is Verdict.REPLAYED
    # A late joiner is told; told wrongly, only the tag fails, or a neighbouring counter is right.
    late = one(stream)
    assert InnerStream(keyring, 3, 1, 65_540).open_untrusted(late, False).verdict is Verdict.OPENED
    assert InnerStream(keyring, 3, 1, 5 << 16).open_untrusted(late, False).verdict is Verdict.WRONG_KEY
    # 40,000 packets that this receiver was not sent: by itself it would guess wrong for good.
    for _ in range(40_000):
        stream.protect(RtpPacket(96, stream._sequence, 0, SSRC))
        stream._sequence = stream._sequence + 1 & 0xFFFF
    opening.told(stream.rollover << 16 | stream._sequence)
    assert opening.open_untrusted(one(stream), False).verdict is Verdict.OPENED


def test_keys_change_under_a_running_stream() -> None:
    stream, opening, sealer, keyring = sealed_pair()
    assert opening.open_untrusted(one(stream), False).verdict is Verdict.OPENED
    base = BaseKey(4, 2, BASE).stepped()
    sealer.use(base)  # a ratchet step is derived by the receiver
    opened = opening.open_untrusted(one(stream), False)
    assert (opened.verdict, opened.epoch) == (Verdict.OPENED, 4)
    sealer.use(BaseKey(5, 0, bytes(16)))
    lacking = one(stream)
    assert opening.open_untrusted(lacking, False) == opening.open_untrusted(lacking, False)
    assert opening.open_untrusted(lacking, False).verdict is Verdict.KEY_MISSING
    keyring.add(3, 1, BaseKey(5, 0, bytes(15) + b"\1"))
    assert opening.open_untrusted(lacking, False).verdict is Verdict.WRONG_KEY


def test_no_index_is_sealed_twice_whatever_ssrcs_the_focus_gives() -> None:
    first, _, sealer, _ = sealed_pair()
    first.begin_at(100)
    second = SealedStream(sealer, 96, 90_000, SSRC, 0, 12)
    second.begin_at(100)
    assert first.frame_packets([b"a", b"b"], 0, 0, True)
    assert second.frame_packets([b"c"], 0, 0, True) == []
    assert second.frame_packets([b"d", b"e"], 0, 0, False) != []  # above what was used


def test_a_relabelled_or_changed_packet_is_refused() -> None:
    stream, opening, _, keyring = sealed_pair()
    packet = one(stream)
    other_member = InnerStream(keyring, 4, 1, None)
    keyring.add(4, 1, BaseKey(4, 2, bytes(16)))
    assert other_member.open_untrusted(packet, False).verdict is Verdict.WRONG_KEY
    assert InnerStream(keyring, 3, 0, None).open_untrusted(packet, False).verdict is Verdict.WRONG_KEY
    for change in ("timestamp", "ssrc", "sequence", "payload_type", "marker", "csrcs"):
        data = read_rtp_untrusted(packet.to_bytes())
        value = getattr(data, change)
        setattr(data, change, (9,) if change == "csrcs" else not value if change == "marker" else value ^ 1)
        assert opening.open_untrusted(data, False).verdict is Verdict.WRONG_KEY, change
    assert opening.open_untrusted(packet, True).verdict is Verdict.WRONG_KEY
    assert opening.open_untrusted(packet, False).verdict is Verdict.OPENED


def test_descriptors_are_as_the_core_reads_them() -> None:
    reader = DependencyReader()
    table = (
        ((True, True, False, 7), {"start": True, "end": False, "key": True, "number": 7}),
        ((True, False, True, 7), {"start": False, "end": True, "key": False, "number": 7}),
        ((False, True, True, 8), {"start": True, "end": True, "key": False, "fdiffs": (1,)}),
    )
    for written, read in table:
        found = reader.read(write_descriptor(*written))
        assert found is not None
        assert {name: found[name] for name in read} == read


def _printed() -> list[str]:
    section = PAGE.read_text().partition("### 11.1")[2].partition("### 11.2")[0]
    return re.findall(r"```\n(m=.*?)```", section, re.S)


def _sections(sdp: str) -> dict[str, list[str]]:
    """Lines by mid, SSRCs that are given as #."""
    found = {}
    for section in re.split(r"(?:^|\r?\n)(?=m=)", sdp.strip()):
        lines = [
            re.sub(r"(sealed-ssrc:\w)((?: \d+)+)", lambda m: m[1] + " #" * m[2].count(" "), line)
            for line in section.splitlines()
        ]
        mid = next((line[6:] for line in lines if line.startswith("a=mid:")), "")
        found[mid] = lines
    return found


def _holds(written: str, printed: str) -> None:
    whole = _sections(written)
    for mid, lines in _sections(printed).items():
        if mid:
            assert [line for line in whole[mid] if line in lines] == lines


def test_the_page_prints_offer_and_answer_as_they_are() -> None:
    fingerprint = ("sha-256", ":".join(["AA"] * 32))
    transport = Transport("ufrag", "p" * 22, (fingerprint,), ())
    offer = Offerer(transport, "stream", ("audio", "camera"), pairs=1, loudest=0, sealed=True).offer()
    printed_offer, printed_answer = _printed()
    _holds(offer, printed_offer)
    (alice,) = people(world(), 1, sdp=offer)
    assert alice.answer is not None
    _holds(alice.answer["answer"]["sdp"], printed_answer)
