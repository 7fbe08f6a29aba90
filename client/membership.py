"""One membership: what the focus says is followed, media are received and sent, until it ends."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping

from client.gestures import Gestures
from client.happenings import (
    Complaint,
    Ended,
    Happening,
    Joined,
    LayerChanged,
    MemberChanged,
    MemberJoined,
    MemberLeft,
    Speaking,
    TileChanged,
    Wanted,
)
from client.joining import Entry
from client.keylink import KeyLink
from client.keys.epochs import Epochs
from client.keys.exchange import Device
from client.keys.frames import Verdict
from client.media.sources import Source
from client.protocol import limits, messages, names
from client.protocol.checked import Malformed
from client.protocol.reading import read_message_untrusted
from client.receiving import Receiver, Sink
from client.resuming import resume
from client.rtp import rtcp
from client.rtp.packet import PacketError
from client.sending import CameraSender, MicrophoneSender, Senders
from client.statistics import Statistics, Tile
from client.transport.link import Link
from client.transport.sdp import AnswerUnusable, read_answer_untrusted

log = logging.getLogger(__name__)

# How often holes, reports and missing keys are looked at. Lower: more work; higher: later repairs.
TICK_S = 0.02


_LOST = Ended("channel_failed", "The connection to the server was lost.")


class Membership:
    """`tell` is given everything that happens, `Ended` last."""

    def __init__(self, entry: Entry, source: Source | None, tell: Callable[[Happening], None]) -> None:
        self._entry, self._source, self._tell = entry, source, tell
        self.statistics = Statistics()
        self.members: dict[int, messages.Member] = {}
        self.slots: dict[str, messages.Slot] = {}
        self.layers: dict[str, messages.Layer] = {}
        self.viewers: Mapping[str, messages.Viewing] = {}
        self.number = 0
        self.welcomed = asyncio.Event()
        self.ended: Ended | None = None
        self.over = asyncio.Event()
        self.senders = Senders(self._send_packet)
        self.gestures: Gestures | None = None
        self.epochs: Epochs | None = None
        self.epoch = 0, b""  # number and verifier of the one that is current
        self.service: str | None = None  # the address that config.json comes from
        self._keys: KeyLink | None = None
        self._link: Link | None = None
        self._next: Link | None = None  # a second connection that is being made
        self._resume: messages.Resume | None = None
        self._moving: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._metadata = messages.stream_metadata(entry.stream_id)
        self._silence_s = limits.CHANNEL_SILENCE_S
        self._receiver: Receiver | None = None
        self._sinks: list[Sink] = []
        self._heard_at = time.monotonic()
        self._reports: set[asyncio.Future[None]] = set()

    # --- made ---

    def use_keys(self, keys: KeyLink) -> None:
        """Of the conference that is tried now; `self.keys_arrived` is to be told by it."""
        if self._keys is not None:
            self._keys.close()
        self._keys = keys

    def new_link(self) -> Link:
        """The first, or another attempt at it."""
        self._link = self._make_link()
        return self._link

    def _make_link(self) -> Link:
        def rtp(data: bytes) -> None:
            self._rtp(data, link)

        def message(data: str) -> None:
            # Nothing counts that comes over the channel of a connection that was left.
            if link is self._link or link is self._next:
                self._message(data, link)

        def lost() -> None:
            if link is self._link:
                self._lost()

        link = Link(rtp, self._rtcp, message, lost)
        return link

    def add_sink(self, sink: Sink) -> None:
        self._sinks.append(sink)
        if self._receiver is not None:
            self._receiver.sinks.append(sink)

    def keys_arrived(self, member: int) -> None:
        if self._receiver is not None:
            self._receiver.keys_arrived(member)

    def somebody_left(self) -> None:
        """The conference, or its room."""
        if self.epochs is not None:
            self.epochs.somebody_left(time.monotonic(), self.rank())

    def rank(self) -> int:
        """Our place among those inside, by number; -1 while the roster does not name us."""
        present = sorted(self.members)
        return present.index(self.number) if self.number in present else -1

    async def run(self) -> None:
        """Everything that is due by the clock, until the end."""
        self.senders.start()
        self._more_slots()
        while self.ended is None:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            assert self._receiver is not None
            self._receiver.tick(now)
            for report in self.senders.reports(now):
                await self._send_packet(report)
            self._ask_for_keys()
            if self.gestures is not None:
                self.gestures.tick(now)
            if now - self._heard_at > self._silence_s:
                self._lost()

    def say(self, message: str) -> None:
        if self._link is not None:
            self._link.say(message)

    def end(self, ended: Ended) -> None:
        if self.ended is None:
            self.ended = ended
            self._tell(ended)
            self.over.set()

    def hung_up(self, hangup: messages.Hangup) -> None:
        """By the focus, over the data channel or in the direct-message room."""
        self.end(Ended(hangup.code, hangup.message or f"The server ended the call: {hangup.reason}."))

    def mute(self, audio: bool, video: bool) -> None:
        if self.senders.microphone is not None:
            self.senders.microphone.muted = audio
        if self.senders.camera is not None:
            self.senders.camera.muted = video
        self._metadata = messages.stream_metadata(self._entry.stream_id, audio, video)
        self.say(messages.metadata_changed(self._metadata))

    async def close(self) -> None:
        await self.senders.stop()
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.gather(self._moving, return_exceptions=True)
        if self._keys is not None:
            self._keys.close()
        if self.gestures is not None:
            self.gestures.close()
        if self._entry.call is not None:
            self._entry.call.close()
        if self._link is not None:
            await self._link.close()

    # --- what the focus says ---

    def _message(self, data: str, link: Link) -> None:
        if link is self._link:
            self._heard_at = time.monotonic()
        try:
            message = read_message_untrusted(data)
        except Malformed as error:
            log.warning("a message of the server was passed over: %s", error)
            return self.statistics.count("messages malformed")
        match message:
            case messages.Welcome():
                self._welcome(message, link)
            case messages.Ping():
                self.say(messages.pong())
            case messages.Negotiated(sdp, code, text):
                self._negotiated(sdp, code, text)
            case messages.FocusError(code, text, _):
                self._tell(Complaint(code, text))
            case messages.Hangup():
                self.hung_up(message)
            case messages.Unknown():
                self.statistics.count("messages of unknown type")
            case _ if self.welcomed.is_set():
                self._news(message)
            case _:
                self.statistics.count("messages before the welcome")
        return None

    def _news(self, message: messages.Message) -> None:
        match message:
            case messages.Members():
                self._roster(message)
            case messages.Slots(_, slots):
                self.slots = {slot.mid: slot for slot in slots}
                assert self._receiver is not None
                self._receiver.mapped(message)
                self._more_slots()
            case messages.Send(sources):
                self._send_wanted(sources)
            case messages.Speakers(speaking, dominant):
                here = tuple(number for number in speaking if number in self.members)
                self._tell(Speaking(here, dominant if dominant in self.members else None))
            case messages.Layers(layers):
                self._layers(layers)
            case messages.Viewers(viewers):
                self.viewers = viewers
            case messages.Epoch():
                self.epoch = message.epoch, message.verifier
                if self.epochs is not None:
                    self.epochs.told(message)
                    self.prove()

    def _welcome(self, welcome: messages.Welcome, link: Link) -> None:
        """We have a number: from here on there are keys, a receiver and senders. Nothing said before
        holds."""
        self.slots, self.layers, self.viewers = {}, {}, {}
        self._resume = welcome.resume
        self.epoch = welcome.epoch, welcome.verifier
        self._silence_s = max(5.0, 2.5 * welcome.ping_interval_s)
        if self.welcomed.is_set():
            return self._move(welcome, link)
        assert self._keys is not None
        self.number = welcome.member
        self._keys.start(welcome.member)
        self._receiver = Receiver(
            self._keys.keyring,
            self.statistics,
            secrets.randbits(32),
            self._send_soon,
            self._tile_changed,
        )
        self._receiver.sinks += self._sinks
        self._agree()
        self.welcomed.set()
        self._tell(Joined(welcome.member, welcome.conference_id))
        return None

    def _roster(self, told: messages.Members) -> None:
        assert self._keys is not None
        gone = set(told.gone)
        if told.reset:
            gone |= set(self.members) - {each.member for each in told.present}
        for number in gone:
            if (member := self.members.pop(number, None)) is not None:
                self._keys.left(number)
                if self.gestures is not None:
                    self.gestures.left(number)
                self._tell(MemberLeft(number, member.user_id))
                self.somebody_left()
        for member in told.present:
            known = self.members.get(member.member)
            self.members[member.member] = member
            if member.member == self.number or known == member:
                continue
            if known is None:
                device = Device(member.user_id, member.device_id)
                self._keys.joined(member.member, device, news=not told.reset)
                self._tell(MemberJoined(member.member, *device))
                if self.gestures is not None:
                    self.gestures.joined()
            else:
                muted = member.audio_muted, member.video_muted
                self._tell(MemberChanged(member.member, *muted, member.sources))
        if self.number in self.members:
            self._keys.roster_told()

    def _layers(self, layers: Mapping[str, messages.Layer]) -> None:
        for mid, layer in layers.items():
            slot = self.slots.get(mid)
            if slot is None:
                continue
            self.layers[mid] = layer
            if slot.member is not None and slot.source is not None:
                self._tell(LayerChanged(slot.member, slot.source, layer.encoding, layer.temporal))

    def _send_wanted(self, sources: Mapping[str, Mapping[str, messages.Encoding]]) -> None:
        if self.senders.camera is not None:
            self.senders.camera.want(sources.get("camera", {}))
        for source, encodings in sources.items():
            self._tell(Wanted(source, tuple(rid for rid, each in encodings.items() if each.active)))

    def _more_slots(self) -> None:
        """Offers four pairs more when the others are more than pairs (docs/protocol.md section 4)."""
        offerer = self._entry.offerer
        if offerer is None or self._link is None or not self._link.connected:
            return
        others = len(self.members) - 1
        if others <= offerer.pairs or offerer.pairs >= limits.SLOT_PAIRS_MAX:
            return
        offerer.pairs = min(limits.SLOT_PAIRS_MAX, offerer.pairs + limits.SLOT_PAIR_STEP)
        self.say(messages.negotiate(offerer.offer(), messages.stream_metadata(self._entry.stream_id)))

    def _negotiated(self, sdp: str | None, code: str, text: str) -> None:
        if sdp is None or self._link is None or self._entry.offerer is None:
            return self._tell(Complaint(code, text))
        try:
            self._link.answer = read_answer_untrusted(sdp, self._entry.offerer.lines)
        except AnswerUnusable as error:
            return self._tell(Complaint("answer_unusable", str(error)))
        return self._agree()

    def _agree(self, second: bool = False) -> None:
        """What was answered becomes slots and senders; again after each second offer."""
        assert self._link is not None
        assert self._link.answer is not None
        assert self._receiver is not None
        assert self._keys is not None
        self._receiver.answered(self._link.answer, second)
        if self._source is None or self.senders.camera or self.senders.microphone:
            return
        assert self._entry.offerer is not None
        for line in self._entry.offerer.lines:
            section = self._link.answer.sections.get(line.mid)
            if section is None or section.direction != "recvonly":
                continue
            sealer = self._keys.sealer(names.SOURCES.index(line.role))
            if line.role == "camera":
                self.senders.camera = CameraSender(section, self._source, sealer, self._send_packet)
            else:
                self.senders.microphone = MicrophoneSender(section, self._source, sealer, self._send_packet)

    def prove(self) -> None:
        """Epochs whose ticket has come."""
        for proof in self.epochs.proofs() if self.epochs is not None else ():
            self.say(messages.prove(proof.epoch, proof.verifier, proof.signature))

    # --- another connection ---

    def _lost(self) -> None:
        """The channel is dead, which is not a leave: media may go on while a second connection is made."""
        if self._moving is not None and not self._moving.done():
            return None
        if self._resume is None or self.service is None or self.ended is not None:
            return self.end(_LOST)
        self._tell(Complaint("channel_failed", "The connection to the server is lost; making another."))
        self._moving = asyncio.create_task(self._make_another(self.service, self._resume), name="resume")
        return None

    async def _make_another(self, service: str, ticket: messages.Resume) -> None:
        def attempt() -> Link:
            self._next = self._make_link()
            return self._next

        first = self._link
        self._moved.clear()
        begun = time.monotonic()

        def wanted() -> bool:
            return self.ended is None and time.monotonic() - begun < limits.RESUME_S

        link = await resume(service, ticket, self._entry, self._metadata, attempt, wanted)
        # Its welcome, which moves us, may be behind the opening of the channel.
        try:
            async with asyncio.timeout(limits.CONNECT_S if link is not None else 0):
                await self._moved.wait()
        except TimeoutError:
            return self.end(_LOST)
        await asyncio.sleep(limits.MOVE_S)
        self.say(messages.resumed())
        if first is not None:
            await first.close()
        return None

    def _move(self, welcome: messages.Welcome, link: Link) -> None:
        """A welcome over the second connection: from now on it is the one."""
        if link is not self._next or welcome.member != self.number:
            return
        self._link, self._next = link, None
        self._heard_at = time.monotonic()
        self.statistics.count("resumed")
        self._moved.set()
        self._agree(second=True)
        if self.senders.camera is not None:
            self.senders.camera.key_frame()

    # --- media ---

    def _rtp(self, data: bytes, link: Link) -> None:
        if self._receiver is not None:
            self._receiver.rtp_untrusted(data, link is self._link)

    def _rtcp(self, data: bytes) -> None:
        try:
            compound = rtcp.read_compound_untrusted(data)
        except PacketError:
            return self.statistics.count("rtcp malformed")
        for message in compound:
            if isinstance(message, rtcp.SenderReport) and self._receiver is not None:
                self._receiver.sender_report(message)
            if isinstance(message, rtcp.KeyFrameRequest):
                self.statistics.count("key frames wanted of us")
            for packet in self.senders.heard(message):
                self._send_soon(packet)
        return None

    def _tile_changed(self, tile: Tile) -> None:
        if tile.state is not None:
            self._tell(TileChanged(tile.member, names.SOURCES[tile.source], tile.state.value))

    def _ask_for_keys(self) -> None:
        assert self._keys is not None
        for tile in self.statistics.tiles.values():
            if tile.state == Verdict.KEY_MISSING and tile.member in self.members:
                asked = self._keys.ask_for(tile.member, tile.source, tile.epoch, tile.state_since)
                if asked:
                    self.say(messages.missing_key(tile.member, names.SOURCES[tile.source]))

    async def _send_packet(self, packet: bytes) -> None:
        if self._link is not None:
            await self._link.send(packet)

    def _send_soon(self, packet: bytes) -> None:
        task = asyncio.ensure_future(self._send_packet(packet))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)
