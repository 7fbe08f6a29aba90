"""A focus with intent, at a receiver of sealed RTP: it changes what the hop lets it change, and lies about
whose packets are and where a stream stands. It has no key: packets that it touched do not open."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from client.keys.frames import BaseKey, Verdict
from client.protocol import limits, names
from client.protocol.messages import Sealed, SealedEncoding, SealedSource
from client.rtp.packet import RtpPacket, read_rtp_untrusted
from client.sealed.sending import PacketSealer, SealedStream
from tests.client.test_malicious_focus import ALICE, Told
from tests.client.test_sealed_receiving import BASE, RTX, SSRCS, Ear, Focus, picture, stream

BOB, BOBS = 9, {"t": 2001, "f": 2002}


@pytest.fixture
def sender() -> SealedStream:
    """Member 3's camera, its thumbnail."""
    sealer = PacketSealer(3, 1)
    sealer.use(BaseKey(4, 0, BASE))
    return stream(sealer, SSRCS["t"])


@pytest.fixture
def ear() -> Ear:
    made = Ear()
    made.keyring.add(BOB, 1, BaseKey(4, 0, b"b" * 16))
    made.keyring.add(3, 2, BaseKey(4, 0, b"s" * 16))
    return made


def take(ear: Ear, packets: list[bytes], at: float = 1.0) -> None:
    for each in packets:
        ear.receiver.push_untrusted(each, at)


def assign(ear: Ear, member: int, source: str, index: int | None = None) -> None:
    encodings = {name: SealedEncoding(ssrc, index) for name, ssrc in SSRCS.items()}
    ear.receiver.assigned(Sealed(2, (SealedSource(member, source, "8", RTX, encodings),)))


def test_packets_repeated(ear: Ear, sender: SealedStream) -> None:
    focus = Focus()
    sent = picture(sender, 0.0)
    for _ in range(3):
        take(ear, [focus.forward(each) for each in sent])  # under new numbers on the hop each time
    assert len(ear.frames) == 1
    assert ear.counts.count("sealed packets replayed") == 2 * len(sent)


@pytest.mark.parametrize(("member", "source"), [(BOB, "camera"), (3, "screen"), (7, "camera")])
def test_packets_said_to_be_anothers(ear: Ear, sender: SealedStream, member: int, source: str) -> None:
    """Of another member, of another source, of somebody without a key."""
    focus = Focus()
    assign(ear, member, source)
    take(ear, [focus.forward(each) for each in picture(sender, 0.0)])
    assert ear.frames == []
    assert Verdict.OPENED not in ear.verdicts
    assert ear.verdicts
    assign(ear, 3, "camera")
    take(ear, [focus.forward(each) for each in picture(sender, 1.0)])
    assert len(ear.frames) == 1


def _ssrc(packet: RtpPacket) -> None:
    packet.ssrc = SSRCS["f"]


def _timestamp(packet: RtpPacket) -> None:
    packet.timestamp += 1


def _csrc(packet: RtpPacket) -> None:
    packet.csrcs = (BOB,)


def _byte(at: int) -> Callable[[RtpPacket], None]:
    def change(packet: RtpPacket) -> None:
        payload = bytearray(packet.payload)
        payload[at] ^= 1
        packet.payload = bytes(payload)

    return change


# The whole OHB is PT, SEQ (2) and config at the end; before it the key id (3), the tag (16), the ciphertext.
CHANGES = {
    "another encoding": _ssrc,
    "another time": _timestamp,
    "another contributor": _csrc,
    "what is inside": _byte(0),
    "the tag": _byte(-8),
    "the step": _byte(-5),
    "the epoch": _byte(-6),
    "the source of the key": _byte(-7),
    "the payload type": _byte(-4),
    "the number": _byte(-2),
}


@pytest.mark.parametrize("what", CHANGES)
def test_packets_changed(ear: Ear, sender: SealedStream, what: str) -> None:
    focus, changed = Focus(), []
    for each in picture(sender, 0.0):
        packet = read_rtp_untrusted(focus.forward(each))
        CHANGES[what](packet)
        changed.append(packet.to_bytes())
    take(ear, changed)
    assert ear.frames == []
    assert Verdict.OPENED not in ear.verdicts
    # Nothing of the true ones was used up.
    take(ear, [focus.forward(each) for each in picture(sender, 1.0)])
    assert len(ear.frames) == 1


def test_false_rollover_counters(ear: Ear, sender: SealedStream) -> None:
    focus = Focus()
    assign(ear, 3, "camera", 9 << 16)
    take(ear, [focus.forward(each) for each in picture(sender, 0.0)])
    assert ear.frames == []
    ear.assign({})
    assign(ear, 3, "camera", 100)
    take(ear, [focus.forward(each) for each in picture(sender, 1.0)])
    assert len(ear.frames) == 1
    # Of a stream that opened it costs what follows, as holding it back would, and it shows.
    assign(ear, 3, "camera", 9 << 16)
    take(ear, [focus.forward(each) for each in picture(sender, 2.0)])
    assert len(ear.frames) == 1
    assert ear.verdicts[-1] == Verdict.WRONG_KEY


@pytest.mark.parametrize("paused", [False, True])
async def test_a_sealed_picture_that_is_held_back_is_said_to_be(paused: bool) -> None:
    told = Told()
    told.hear(names.SLOTS, {"revision": 2, "slots": [{"mid": "3", "member": None, "source": None}]})
    assert told.later(60) == []
    camera = {"member": ALICE, "source": "camera"}
    encodings = {"t": {"ssrc": 77, "index": None}}
    source = {**camera, "mid": "8", "rtx_ssrc": None, "encodings": encodings}
    told.hear(names.SEALED, {"revision": 1, "sources": [source]})
    if paused:
        told.hear(names.LAYERS, {"slots": {}, "sealed": [{**camera, "encoding": None, "temporal": 0}]})
    assert told.later(limits.STALL_S + 1) == ([] if paused else ["nothing comes"])
    await told.close()
