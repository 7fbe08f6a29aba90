"""Sealed sources as they are assigned, repaired and taken away; what one encoder makes for two forms."""

from __future__ import annotations

from typing import Any

import pytest

from client.keys.frames import BaseKey, Opened, Verdict
from client.keys.keyring import Keyring
from client.protocol.messages import Encoding, Sealed, SealedEncoding, SealedSource
from client.rtp.packet import RtpPacket, read_rtp_untrusted
from client.rtp.receive import Frame, VideoSlot
from client.sealed.packet import Header, write_ohb
from client.sealed.receiving import SealedReceiver, SealedSlot
from client.sealed.sending import PacketSealer, SealedStream, sealed_streams
from client.sending import CameraSender, _Layer
from client.transport.sdp import Answer, Answered, Transport

BASE = bytes(range(16))
SSRCS = {"t": 1001, "f": 1002}
RTX, OUR_PT, RTX_PT = 5000, 120, 121
PICTURE = b"\x90\x80\x00\x10" + bytes((0x10, 0, 0, 0x9D, 1, 0x2A, 64, 0, 36, 0)) + b"picture"


class Ear:
    """A receiver and everything it was told."""

    def __init__(self) -> None:
        self.keyring = Keyring()
        self.keyring.add(3, 1, BaseKey(4, 0, BASE))
        self.frames: list[tuple[int, bytes]] = []
        self.verdicts: list[Verdict] = []
        self.counts: list[str] = []
        self.receiver = SealedReceiver(self.keyring, self._note, self._deliver, self.counts.append)
        section = Answered(
            "8", "video", "sendonly", OUR_PT, RTX_PT, {}, frozenset(), None, None, (), "send", {}
        )
        answer = Answer(Transport("u", "p", (), ()), {"8": section}, 5000, 65536)
        self.receiver.answered(answer)
        self.assign(SSRCS)

    def assign(self, ssrcs: dict[str, int]) -> None:
        encodings = {name: SealedEncoding(ssrc, None) for name, ssrc in ssrcs.items()}
        source = SealedSource(3, "camera", "8", RTX, encodings)
        self.receiver.assigned(Sealed(1, (source,) if ssrcs else ()))

    def _note(self, slot: SealedSlot, frame: Frame, opened: Opened) -> None:
        self.verdicts.append(opened.verdict)

    def _deliver(self, slot: SealedSlot, frame: Frame, opened: Opened) -> None:
        self.frames.append((slot.ssrc, frame.data))


class Focus:
    """What it does to packets on their way."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}

    def forward(self, data: bytes) -> bytes:
        packet = read_rtp_untrusted(data)
        number = self.numbers[packet.ssrc] = self.numbers.get(packet.ssrc, 99) + 1
        original = Header(packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc, packet.marker)
        sent = Header(OUR_PT, number, packet.timestamp, packet.ssrc, packet.marker)
        body = packet.payload[:-1] + write_ohb(original, sent)
        return RtpPacket(OUR_PT, number, packet.timestamp, packet.ssrc, body, packet.marker).to_bytes()

    def repair(self, forwarded: bytes) -> bytes:
        packet = read_rtp_untrusted(forwarded)
        body = packet.sequence.to_bytes(2, "big") + packet.payload
        return RtpPacket(RTX_PT, 7, packet.timestamp, RTX, body, packet.marker).to_bytes()


@pytest.fixture
def sealer() -> PacketSealer:
    found = PacketSealer(3, 1)
    found.use(BaseKey(4, 0, BASE))
    return found


def stream(sealer: PacketSealer, ssrc: int) -> SealedStream:
    return SealedStream(sealer, 96, 90_000, ssrc, 0, 12)


def picture(of: SealedStream, at: float, count: int = 2) -> list[bytes]:
    """A key frame of so many packets; only the first one's VP8 descriptor says that it begins."""
    rest = [b"\x80" + PICTURE[1:4] + b"more"] * (count - 1)
    return of.frame_packets([PICTURE, *rest], at, at, True)


def test_a_picture_by_packets_repairs_and_probes(sealer: PacketSealer) -> None:
    ear, focus, thumbnail = Ear(), Focus(), stream(sealer, SSRCS["t"])
    sent = [focus.forward(each) for each in picture(thumbnail, 0, 3)]
    for each in (sent[0], sent[2]):
        ear.receiver.push_untrusted(each, 1.0)
    assert not ear.frames
    (slot,) = ear.receiver.carried()
    assert isinstance(slot.frames, VideoSlot)
    assert slot.frames.to_ask(1.1) == [101]
    ear.receiver.push_untrusted(focus.repair(sent[1]), 1.2)
    assert [ssrc for ssrc, _ in ear.frames] == [SSRCS["t"]]
    assert ear.verdicts == [Verdict.OPENED]
    ear.receiver.push_untrusted(focus.repair(sent[1]), 1.3)  # a probe repeats what had come
    probe = RtpPacket(RTX_PT, 9, 0, RTX, bytes(254) + b"\xff").to_bytes()
    ear.receiver.push_untrusted(bytes((probe[0] | 0x20,)) + probe[1:], 1.4)
    assert ear.counts == ["repaired", "padding", "padding"]
    ear.receiver.push_untrusted(sent[0], 1.5)
    assert ear.counts[-1] == "sealed packets replayed"
    assert len(ear.frames) == 1


def test_another_encoding_is_another_stream_and_what_is_not_named_is_gone(sealer: PacketSealer) -> None:
    ear, focus = Ear(), Focus()
    for each in picture(stream(sealer, SSRCS["f"]), 1.0):
        ear.receiver.push_untrusted(focus.forward(each), 1.0)
    assert [ssrc for ssrc, _ in ear.frames] == [SSRCS["f"]]
    assert [each.ssrc for each in ear.receiver.carried()] == [SSRCS["f"]]
    ear.assign(SSRCS)  # said again: nothing is forgotten
    assert [each.ssrc for each in ear.receiver.carried()] == [SSRCS["f"]]
    assert ear.receiver.is_sealed(RTX)
    ear.assign({})
    assert not ear.receiver.is_sealed(SSRCS["f"])
    assert not ear.receiver.is_sealed(RTX)


@pytest.mark.parametrize("length", range(60))
def test_bytes_of_any_length(length: int) -> None:
    ear = Ear()
    head = RtpPacket(OUR_PT, 1, 0, SSRCS["t"]).to_bytes()
    for first in (0x80, 0xA0, 0x8F, 0x90, 0xBF):
        ear.receiver.push_untrusted(bytes((first,)) + head[1:] + bytes(length), 1.0)
    head = RtpPacket(RTX_PT, 1, 0, RTX).to_bytes()
    ear.receiver.push_untrusted(head + bytes(length), 1.0)
    assert not ear.frames


@pytest.mark.parametrize(
    ("frames", "sealed", "both"),
    [
        (Encoding(False), Encoding(False), Encoding(False)),
        (Encoding(True, 100), Encoding(False), Encoding(True, 100)),
        (Encoding(False), Encoding(True, 100, 2.0, 10), Encoding(True, 100, 2.0, 10)),
        (Encoding(True, 100, 1.0, 30), Encoding(True, 80, 2.0), Encoding(True, 80, 2.0, 30)),
    ],
)
def test_one_encoder_serves_both_forms(frames: Encoding, sealed: Encoding, both: Encoding) -> None:
    layer = _Layer("t", None)  # type: ignore[arg-type]
    layer.wanted, layer.sealed_wanted = frames, sealed
    assert layer.both == both


def test_a_form_begins_with_a_key_frame_and_streams_are_as_given(sealer: PacketSealer) -> None:
    section = Answered(
        "6",
        "video",
        "recvonly",
        96,
        97,
        {"mid": 4, "rid": 10, "repaired_rid": 11, "dependency_descriptor": 12},
        frozenset(),
        None,
        None,
        ("t", "f"),
        "recv",
        {"t": (1, 2), "f": (3, None)},
    )
    made = sealed_streams(section, sealer)
    assert {name: each.ssrc for name, each in made.items()} == {"t": 1, "f": 3}
    assert made["t"].repair is not None
    assert made["t"].repair.ssrc == 2
    assert made["f"].repair is None
    nothing: Any = None
    camera = CameraSender(section, nothing, nothing, nothing)
    camera.use_sealed(made)
    for layer in camera._layers.values():
        layer.key_wanted = False
    on = {"t": Encoding(True, 100)}
    camera.want(on, {})
    assert camera._layers["t"].key_wanted
    camera._layers["t"].key_wanted = False
    camera.want(on, on)
    assert camera._layers["t"].key_wanted
    assert not camera._layers["f"].key_wanted
