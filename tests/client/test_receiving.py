"""From packets to frames with everything between: a focus that forwards well, badly, or with intent."""

from __future__ import annotations

import time

import pytest

from client.keys.frames import BaseKey, Sealer
from client.keys.keyring import Keyring
from client.protocol.messages import Slot, Slots
from client.receiving import TILES_MAX, ReceivedFrame, Receiver
from client.rtp import rtcp
from client.rtp.packet import RtpPacket, read_rtp_untrusted
from client.rtp.send import SendStream
from client.rtp.vp8 import packetise
from client.statistics import Statistics, Tile
from client.transport.sdp import Answer, Answered, Transport

KEY_FRAME = bytes.fromhex("10020a9d012a4001b400") + b"picture" * 200
DELTA = bytes.fromhex("b10300") + b"difference" * 10


def section(mid: str, kind: str, ssrc: int) -> Answered:
    audio = kind == "audio"
    return Answered(
        mid,
        kind,
        "sendonly",
        111 if audio else 96,
        None if audio else 97,
        {"mid": 4, "transport_cc": 3},
        frozenset({"transport-cc"}),
        ssrc,
        None if audio else ssrc + 1,
        (),
    )


class Slotted:
    """A receiver with one pair, what it sends back, and what it gives to its sink."""

    def __init__(self) -> None:
        self.keyring, self.statistics = Keyring(), Statistics()
        self.sent: list[rtcp.Rtcp] = []
        self.feedback: list[bytes] = []
        self.frames: list[ReceivedFrame] = []
        self.states: list[tuple[int, int, str]] = []
        self.receiver = Receiver(self.keyring, self.statistics, 1, self._send, self._changed)
        self.receiver.sinks.append(self.frames.append)
        nobody = Transport("u", "p", (), ())
        answer = Answer(nobody, {"2": section("2", "audio", 20), "3": section("3", "video", 30)}, 5000, 65536)
        self.receiver.answered(answer)
        self.streams = {20: SendStream(111, 48_000, {}), 30: SendStream(96, 90_000, {})}
        for ssrc, stream in self.streams.items():
            stream.ssrc = ssrc
        self.count = 0

    def _send(self, data: bytes) -> None:
        self.sent += rtcp.read_compound_untrusted(data)
        if data[1] == 205 and data[0] & 31 == rtcp.TRANSPORT_CC:
            self.feedback.append(data)

    def _changed(self, tile: Tile) -> None:
        assert tile.state is not None
        self.states.append((tile.member, tile.source, tile.state.value))

    def map(self, member: int | None) -> None:
        source = None if member is None else "camera"
        self.receiver.mapped(Slots(1, (Slot("3", member, source),)))

    def packets(self, sealed: bytes | None, ssrc: int = 30) -> list[bytes]:
        assert sealed is not None
        self.count += 1
        payloads = packetise(sealed, self.count) if ssrc == 30 else [sealed]
        return self.streams[ssrc].packets_of(payloads, self.count / 30, self.count / 30)

    def push(self, sealed: bytes | None, ssrc: int = 30) -> None:
        for packet in self.packets(sealed, ssrc):
            self.receiver.rtp_untrusted(packet)

    def asked(self, kind: type) -> int:
        return sum(isinstance(each, kind) for each in self.sent)


def sealer(member: int, source: int = 1, key: bytes = b"k" * 16) -> Sealer:
    made = Sealer(member, source)
    made.use(BaseKey(0, 0, key))
    return made


@pytest.fixture
def there() -> Slotted:
    made = Slotted()
    made.keyring.add(3, 1, BaseKey(0, 0, b"k" * 16))
    made.keyring.add(3, 0, BaseKey(0, 0, b"a" * 16))
    made.map(3)
    return made


def test_pictures_and_sound(there: Slotted) -> None:
    picture, sound = sealer(3), sealer(3, 0, b"a" * 16)
    there.push(picture.seal(KEY_FRAME))
    there.push(picture.seal(DELTA))
    there.push(sound.seal(b"\x78opus"), 20)
    assert [(each.member, each.source, each.data) for each in there.frames] == [
        (3, "camera", KEY_FRAME),
        (3, "camera", DELTA),
        (3, "audio", b"\x78opus"),
    ]
    assert there.states == [(3, 1, "decrypting"), (3, 0, "decrypting")]
    assert there.statistics.tiles[3, 1].size == (320, 180)


def test_a_key_that_comes_late_brings_a_key_frame_at_once(there: Slotted) -> None:
    late = sealer(4, key=b"l" * 16)
    there.map(4)
    there.push(late.seal(KEY_FRAME))
    there.push(late.seal(DELTA))
    assert there.states == [(4, 1, "key missing")]
    there.receiver.tick(time.monotonic())
    assert there.asked(rtcp.KeyFrameRequest) == 0  # it would be sealed as well
    there.keyring.add(4, 1, BaseKey(0, 0, b"l" * 16))
    there.receiver.keys_arrived(4)
    there.receiver.tick(time.monotonic())
    assert there.asked(rtcp.KeyFrameRequest) == 1
    there.push(late.seal(DELTA))
    assert there.frames == []  # it needs what nobody could open
    there.push(late.seal(KEY_FRAME))
    there.push(late.seal(DELTA))
    assert [each.data for each in there.frames] == [KEY_FRAME, DELTA]
    assert there.states[-1] == (4, 1, "decrypting")


def test_a_member_who_sends_in_clear(there: Slotted) -> None:
    there.push(KEY_FRAME)
    assert there.frames == []
    assert there.states == [(3, 1, "not encrypted")]


def test_kids_of_anybody_fill_no_memory(there: Slotted) -> None:
    for number in range(TILES_MAX + 20):
        there.push(sealer(number % 60000 + 10, 0).seal(b"\x78x"), 20)
    assert len(there.statistics.tiles) == TILES_MAX
    assert there.statistics.counts["frames of too many"] == 20


def test_holes_are_asked_for_and_reports_written(there: Slotted) -> None:
    by = sealer(3)
    there.push(by.seal(KEY_FRAME))
    first, *rest = there.packets(by.seal(KEY_FRAME))
    for packet in rest:
        there.receiver.rtp_untrusted(packet)
    now = time.monotonic()
    there.receiver.tick(now + 0.05)
    (nack,) = [each for each in there.sent if isinstance(each, rtcp.Nack)]
    assert (nack.media, nack.sequences) == (30, (read_rtp_untrusted(first).sequence,))
    repeated = read_rtp_untrusted(first)
    wire = RtpPacket(97, 77, repeated.timestamp, 31, repeated.sequence.to_bytes(2, "big") + repeated.payload)
    wire.marker = repeated.marker
    there.receiver.rtp_untrusted(wire.to_bytes())
    assert len(there.frames) == 2
    assert there.statistics.counts["repaired"] == 1
    there.receiver.tick(now + 2)
    reports = [each for each in there.sent if isinstance(each, rtcp.ReceiverReport) and each.blocks]
    assert {block.ssrc for report in reports for block in report.blocks} == {30}


def test_feedback_tells_of_every_packet_that_was_numbered(there: Slotted) -> None:
    by = sealer(3, 0, b"a" * 16)
    for number in (65534, 65535, 0, 2):
        packet = RtpPacket(111, number, 0, 20, by.seal(b"\x78x") or b"")
        packet.extensions = {3: number.to_bytes(2, "big")}
        there.receiver.rtp_untrusted(packet.to_bytes())
    there.receiver.tick(time.monotonic() + 1)
    (data,) = there.feedback
    assert int.from_bytes(data[12:14], "big") == 65534
    assert int.from_bytes(data[14:16], "big") == 5


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x60" + bytes(10), b"\xff" * 40])
def test_rubbish_is_counted(there: Slotted, data: bytes) -> None:
    there.receiver.rtp_untrusted(data)
    assert sum(there.statistics.counts.values()) == 1
    assert there.frames == []
