"""Our sources into packets: encoded as the focus wants them, sealed, sent in time."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from client.keys.frames import Sealer
from client.media.codec import PictureEncoder, SoundEncoder, level
from client.media.sources import Picture, Sound, Source
from client.protocol import limits, names
from client.protocol.messages import Encoding, Send
from client.rtp import rtcp
from client.rtp.send import Retransmission, SendStream
from client.rtp.vp8 import is_key_frame, packetise
from client.sealed.sending import SealedStream
from client.statistics import Sent
from client.transport.sdp import Answered

log = logging.getLogger(__name__)

SendPacket = Callable[[bytes], Awaitable[object]]

# A picture that is later than this is left out. Lower: a busy machine stutters; higher: it falls behind.
LATE_S = 0.5
AUDIO_BPS = 50_000


@dataclass(frozen=True, slots=True)
class Nominal:
    """One encoding as it is when nobody asks for less: its size is the source's divided by `divisor`."""

    divisor: int
    bitrate: int
    rate: float


NOMINAL = {
    "t": Nominal(4, 150_000, 15),
    "m": Nominal(2, 500_000, 30),
    "f": Nominal(1, 1_700_000, 30),
}


@dataclass
class _Layer:
    rid: str
    stream: SendStream
    wanted: Encoding = field(default_factory=lambda: Encoding(False))
    encoder: PictureEncoder = field(default_factory=PictureEncoder)
    key_wanted: bool = True
    picture_id: int = 0
    last_at: float = -1e9
    sealed: SealedStream | None = None
    sealed_wanted: Encoding = field(default_factory=lambda: Encoding(False))

    @property
    def both(self) -> Encoding:
        """What is encoded once for both forms: the least that either wants."""
        active = [each for each in (self.wanted, self.sealed_wanted) if each.active]
        if len(active) < 2:
            return active[0] if active else Encoding(False)
        bitrates = [each.max_bitrate for each in active if each.max_bitrate]
        framerates = [each.max_framerate for each in active if each.max_framerate]
        return Encoding(
            True,
            min(bitrates, default=None),
            max(each.scale_down_by for each in active),
            min(framerates, default=None),
        )


class CameraSender:
    """The pyramid t, m, f of one source of pictures."""

    def __init__(self, section: Answered, source: Source, sealer: Sealer, send: SendPacket) -> None:
        self._source, self._sealer, self._send = source, sealer, send
        self._remb: int | None = None
        self.muted = False
        self._layers = {rid: _Layer(rid, _stream(section, rid)) for rid in section.rids}

    @property
    def streams(self) -> Mapping[str, SendStream]:
        return {rid: layer.stream for rid, layer in self._layers.items()}

    def want(
        self, encodings: Mapping[str, Encoding], sealed: Mapping[str, Encoding] = MappingProxyType({})
    ) -> None:
        """Of P.send, whole: what is not named is off."""
        for rid, layer in self._layers.items():
            wanted, sealed_wanted = encodings.get(rid, Encoding(False)), sealed.get(rid, Encoding(False))
            begins = wanted.active and not layer.wanted.active
            if begins or (sealed_wanted.active and not layer.sealed_wanted.active):
                layer.key_wanted = True
            layer.wanted, layer.sealed_wanted = wanted, sealed_wanted

    def use_sealed(self, streams: Mapping[str, SealedStream]) -> None:
        """New ones: of a connection of their own."""
        for rid, layer in self._layers.items():
            layer.sealed = streams.get(rid)
        self.key_frame()

    @property
    def sealed_streams(self) -> Mapping[str, SealedStream]:
        return {rid: layer.sealed for rid, layer in self._layers.items() if layer.sealed is not None}

    def key_frame(self) -> None:
        """Of all encodings: receivers change between them."""
        for layer in self._layers.values():
            layer.key_wanted = True

    def bound(self, bitrate: int) -> None:
        """REMB: the whole transport's."""
        self._remb = bitrate

    async def run(self) -> None:
        pictures = self._source.pictures()
        begun = time.monotonic()
        while (picture := await asyncio.to_thread(next, pictures, None)) is not None:
            wait = begun + picture.at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif wait < -LATE_S:
                continue
            due = [] if self.muted or not self._sealer.ready else self._due(picture)
            for layer in due:
                data = await asyncio.to_thread(self._encode, layer, picture)
                await self._ship(layer, picture, data)

    def _due(self, picture: Picture) -> list[_Layer]:
        due = []
        for layer in self._layers.values():
            rate = min(layer.both.max_framerate or 1000, NOMINAL[layer.rid].rate)
            if layer.both.active and picture.at - layer.last_at >= 0.9 / rate:
                layer.last_at = picture.at
                due.append(layer)
        return due

    def _encode(self, layer: _Layer, picture: Picture) -> bytes:
        nominal = NOMINAL[layer.rid]
        scale = nominal.divisor * layer.both.scale_down_by
        width = max(16, int(self._source.width / scale) // 2 * 2)
        height = max(16, int(self._source.height / scale) // 2 * 2)
        rate = min(self._source.rate, layer.both.max_framerate or 1000, nominal.rate)
        key, layer.key_wanted = layer.key_wanted, False
        return layer.encoder.encode(picture, width, height, self._bitrate(layer), rate, key)

    def _bitrate(self, layer: _Layer) -> int:
        wanted = layer.both.max_bitrate or NOMINAL[layer.rid].bitrate
        if self._remb is None:
            return wanted
        active = [each for each in self._layers.values() if each.both.active]
        total = sum(each.both.max_bitrate or NOMINAL[each.rid].bitrate for each in active)
        share = max(60_000, self._remb - AUDIO_BPS) / max(1, total)
        return max(30_000, int(wanted * min(1.0, share)))

    async def _ship(self, layer: _Layer, picture: Picture, data: bytes) -> None:
        picture_id, layer.picture_id = layer.picture_id, layer.picture_id + 1 & 0x7FFF
        if layer.sealed is not None and layer.sealed_wanted.active:
            payloads = packetise(data, picture_id)
            now, key = time.monotonic(), is_key_frame(data)
            for packet in layer.sealed.frame_packets(payloads, picture.at, now, key):
                await self._send(packet)
        if not layer.wanted.active:
            return
        sealed = self._sealer.seal(data)
        if sealed is None:
            return
        for packet in layer.stream.packets_of(packetise(sealed, picture_id), picture.at, time.monotonic()):
            await self._send(packet)


class MicrophoneSender:
    """Opus, 20 ms a packet, with the level of RFC 6464 in the header."""

    def __init__(self, section: Answered, source: Source, sealer: Sealer, send: SendPacket) -> None:
        self._source, self._sealer, self._send = source, sealer, send
        self._level_id = section.extensions.get("audio_level")
        self.muted = False
        self.sealed: SealedStream | None = None
        self.forms: Collection[str] = (names.FRAMES_FORM,)
        self.stream = _stream(section, None)

    @property
    def streams(self) -> Mapping[str, SendStream]:
        return {"": self.stream}

    @property
    def sealed_streams(self) -> Mapping[str, SealedStream]:
        return {"": self.sealed} if self.sealed is not None else {}

    def use_sealed(self, streams: Mapping[str, SealedStream]) -> None:
        self.sealed = next(iter(streams.values()), None)

    async def run(self) -> None:
        sounds = self._source.sounds()
        encoder = SoundEncoder()
        begun = time.monotonic()
        first = True
        while (sound := await asyncio.to_thread(next, sounds, None)) is not None:
            wait = begun + sound.at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if self.muted or not self._sealer.ready or wait < -LATE_S:
                first = True
                continue
            await self._ship(encoder, sound, first)
            first = False

    async def _ship(self, encoder: SoundEncoder, sound: Sound, first: bool) -> None:
        loudness = level(sound.samples)
        for data in encoder.encode(sound):
            extra = {}
            if self._level_id is not None:
                speaks = 0x80 if loudness < 60 else 0
                extra[self._level_id] = bytes((speaks | loudness,))
            # The marker says that a talk begins (RFC 7587 section 4.1).
            now, packets = time.monotonic(), []
            if self.sealed is not None and names.SEALED_FORM in self.forms:
                packets += self.sealed.packets_of([data], sound.at, now, extra, marker=first)
            if names.FRAMES_FORM in self.forms and (sealed := self._sealer.seal(data)) is not None:
                packets += self.stream.packets_of([sealed], sound.at, now, extra, marker=first)
            for packet in packets:
                await self._send(packet)


class Senders:
    """Everything we send, and what comes back about it."""

    def __init__(self, send: SendPacket) -> None:
        self._send = send
        self.camera: CameraSender | None = None
        self.microphone: MicrophoneSender | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._report_at = 0.0

    def start(self) -> None:
        for sender in (self.camera, self.microphone):
            if sender is not None:
                self._tasks.append(asyncio.create_task(_guarded(sender.run()), name="sender"))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def finished(self) -> bool:
        """A file that is not repeated has come to its end."""
        return bool(self._tasks) and all(task.done() for task in self._tasks)

    def _streams(self) -> Iterator[tuple[str, str, SendStream]]:
        if self.camera is not None:
            yield from (("camera", rid, stream) for rid, stream in self.camera.streams.items())
        if self.microphone is not None:
            yield from (("audio", rid, stream) for rid, stream in self.microphone.streams.items())
        for name, sender in (("camera", self.camera), ("audio", self.microphone)):
            for rid, sealed in sender.sealed_streams.items() if sender is not None else ():
                yield f"{name} sealed", rid, sealed

    def want(self, told: Send) -> None:
        """P.send. A source without a sealed form is sent as frames."""
        if self.camera is not None:
            self.camera.want(told.sources.get("camera", {}), told.sealed.get("camera", {}))
        if self.microphone is not None:
            self.microphone.forms = told.forms.get("audio", (names.FRAMES_FORM,))

    def heard(self, message: rtcp.Rtcp) -> list[bytes]:
        """Packets to send again."""
        match message:
            case rtcp.Nack(_, media, sequences):
                found = [
                    stream.again(sequence)
                    for _, _, stream in self._streams()
                    if stream.ssrc == media
                    for sequence in sequences
                ]
                return [packet for packet in found if packet is not None]
            case rtcp.KeyFrameRequest() if self.camera is not None:
                self.camera.key_frame()
            case rtcp.Remb(bitrate, _) if self.camera is not None:
                self.camera.bound(bitrate)
            case rtcp.ReceiverReport(_, blocks) | rtcp.SenderReport(_, _, _, _, _, blocks):
                for block in blocks:
                    for _, _, stream in self._streams():
                        if stream.ssrc == block.ssrc:
                            stream.reported = block
        return []

    def reports(self, now: float) -> list[bytes]:
        """Sender reports, once a second."""
        if now - self._report_at < limits.REPORT_S:
            return []
        self._report_at = now
        reports = [stream.report(now, time.time()) for _, _, stream in self._streams()]
        return [
            rtcp.write_sender_report(report) + rtcp.write_cname(report.ssrc, "sotto")
            for report in reports
            if report is not None
        ]

    def figures(self) -> list[Sent]:
        return [
            Sent(
                source,
                rid,
                stream.packets,
                stream.octets,
                stream.repeated,
                stream.reported.fraction_lost if stream.reported is not None else 0.0,
            )
            for source, rid, stream in self._streams()
        ]


async def _guarded(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:
        log.exception("sending ended")


def _stream(section: Answered, rid: str | None) -> SendStream:
    extensions = {section.extensions["mid"]: section.mid.encode()}
    repair = None
    if rid is not None:
        repaired = dict(extensions)
        extensions[section.extensions["rid"]] = rid.encode()
        if section.rtx_payload_type is not None and "repaired_rid" in section.extensions:
            repaired[section.extensions["repaired_rid"]] = rid.encode()
            repair = Retransmission(section.rtx_payload_type, repaired)
    audio = section.kind == "audio"
    resends = audio and "nack" in section.feedback
    return SendStream(section.payload_type, 48_000 if audio else 90_000, extensions, repair, resends)
