"""One membership: what the focus says is followed, media are received and sent, until it ends."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping

from client.connections import Connections
from client.gestures import Gestures
from client.happenings import (
    Complaint,
    Ended,
    Happening,
    Joined,
    MemberChanged,
    MemberJoined,
    MemberLeft,
    Speaking,
    Wanted,
)
from client.joining import Entry
from client.keylink import KeyLink
from client.keys.epochs import Epochs
from client.keys.exchange import Device
from client.media.sources import Source
from client.moderation import Moderation
from client.muting import Muting
from client.negotiation import Negotiation
from client.protocol import limits, messages
from client.protocol.checked import Malformed
from client.protocol.reading import read_message_untrusted
from client.receiving import Receiver, Sink
from client.roster import Roster
from client.rtp import rtcp
from client.rtp.packet import PacketError
from client.sending import Senders
from client.statistics import Statistics
from client.tiles import Tiles
from client.transport.link import Link
from client.transport.sdp import AnswerUnusable

log = logging.getLogger(__name__)

# How often holes, reports and missing keys are looked at. Lower: more work; higher: later repairs.
TICK_S = 0.02


class Membership:
    """`tell` is given everything that happens, `Ended` last."""

    def __init__(self, entry: Entry, source: Source | None, tell: Callable[[Happening], None]) -> None:
        self._entry, self._tell = entry, tell
        self.statistics = Statistics()
        self.connections = Connections(entry, self, lambda: self.muting.metadata)
        self._roster = Roster()
        self.tiles = Tiles(self.statistics, self.say, tell)
        self.viewers: Mapping[str, messages.Viewing] = {}
        self.number = 0
        self.welcomed = asyncio.Event()
        self.ended: Ended | None = None
        self.over = asyncio.Event()
        self.senders = Senders(self.connections.send)
        self.muting = Muting(entry.stream_id, self.senders, self.say)
        self._negotiation = Negotiation(entry, self.connections, source, self.senders)
        self.gestures: Gestures | None = None
        self.moderation: Moderation | None = None
        self.epochs: Epochs | None = None
        self.epoch = 0, b""  # number and verifier of the one that is current
        self._keys: KeyLink | None = None
        self._receiver: Receiver | None = None
        self._sinks: list[Sink] = []

    @property
    def members(self) -> Mapping[int, messages.Member]:
        """Those inside, we too, by number."""
        return self._roster.members

    # --- made ---

    def use_keys(self, keys: KeyLink) -> None:
        """Of the conference that is tried now; `self.keys_arrived` is to be told by it."""
        if self._keys is not None:
            self._keys.close()
        self._keys = keys

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
        return self._roster.rank(self.number)

    async def run(self) -> None:
        """Everything that is due by the clock, until the end."""
        self.senders.start()
        self._negotiation.more_slots(len(self.members) - 1)
        while self.ended is None:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            assert self._receiver is not None
            self._receiver.tick(now)
            for report in self.senders.reports(now):
                await self.connections.send(report)
            assert self._keys is not None
            self.tiles.ask_for_keys(self._keys, self.members)
            self.tiles.find_stalled(self.members, now)
            if self.gestures is not None:
                self.gestures.tick(now)
            self.connections.tick(now)

    def say(self, message: str) -> None:
        self.connections.say(message)

    def end(self, ended: Ended) -> None:
        if self.ended is None:
            self.ended = ended
            self._tell(ended)
            self.over.set()

    def hung_up(self, hangup: messages.Hangup) -> None:
        """By the focus, over the data channel or in the direct-message room."""
        self.end(Ended(hangup.code, hangup.message or f"The server ended the call: {hangup.reason}."))

    async def close(self) -> None:
        await self.senders.stop()
        if self._keys is not None:
            self._keys.close()
        if self.gestures is not None:
            self.gestures.close()
        if self.moderation is not None:
            self.moderation.close()
        if self._entry.call is not None:
            self._entry.call.close()
        await self.connections.close()

    def interrupted(self) -> None:
        self._tell(Complaint("channel_failed", "The connection to the server is lost; making another."))

    def lost(self, code: str) -> None:
        self.end(Ended(code, "The connection to the server was lost."))

    # --- what the focus says ---

    def message_untrusted(self, data: str, link: Link) -> None:
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
                self._members(message)
            case messages.Slots():
                self.tiles.mapped(message)
                assert self._receiver is not None
                self._receiver.mapped(message)
                self._negotiation.more_slots(len(self.members) - 1)
            case messages.Send():
                self._send_wanted(message)
            case messages.Sealed():
                assert self._receiver is not None
                self._receiver.sealed.assigned(message)
                self.tiles.assigned(message)
            case messages.Speakers(speaking, dominant):
                here = tuple(number for number in speaking if number in self.members)
                self._tell(Speaking(here, dominant if dominant in self.members else None))
            case messages.Layers():
                self.tiles.layers_told(message)
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
        self.tiles.reset()
        self.viewers = {}
        self.epoch = welcome.epoch, welcome.verifier
        self.connections.ticket = welcome.resume
        self.connections.silence_s = max(5.0, limits.PINGS_MISSED * welcome.ping_interval_s)
        if self.welcomed.is_set():
            return self._move(welcome, link)
        assert self._keys is not None
        self.number = welcome.member
        self._keys.start(welcome.member)
        self._receiver = Receiver(
            self._keys.keyring,
            self.statistics,
            secrets.randbits(32),
            self.connections.send_soon,
            self.tiles.changed,
        )
        self._receiver.sinks += self._sinks
        self._agree()
        self.welcomed.set()
        self._tell(Joined(welcome.member, welcome.conference_id))
        return None

    def _members(self, part: messages.Members) -> None:
        assert self._keys is not None
        told = self._roster.gather(part)
        if told is None:
            return
        changes = self._roster.apply(told, self.number)
        for member in changes.gone:
            self._keys.left(member.member)
            if self.gestures is not None:
                self.gestures.left(member.member)
            self._tell(MemberLeft(member.member, member.user_id))
            self.somebody_left()
        for member in changes.new:
            device = Device(member.user_id, member.device_id)
            self._keys.joined(member.member, device, news=not told.reset)
            self._tell(MemberJoined(member.member, *device))
            if self.gestures is not None:
                self.gestures.joined()
        for member in changes.changed:
            muted = member.audio_muted, member.video_muted
            self._tell(MemberChanged(member.member, *muted, member.sources))
        if self.number in self.members:
            self._keys.roster_told()

    def _send_wanted(self, told: messages.Send) -> None:
        self.senders.want(told)
        for source, encodings in told.sources.items():
            self._tell(Wanted(source, tuple(rid for rid, each in encodings.items() if each.active)))

    def _negotiated(self, sdp: str | None, code: str, text: str) -> None:
        if sdp is None:
            return self._tell(Complaint(code, text))
        try:
            self._negotiation.answered(sdp)
        except AnswerUnusable as error:
            return self._tell(Complaint("answer_unusable", str(error)))
        return self._agree()

    def _agree(self, second: bool = False) -> None:
        assert self._receiver is not None
        assert self._keys is not None
        self._negotiation.agree(self._receiver, self._keys, second)

    def prove(self) -> None:
        """Epochs whose ticket has come."""
        for proof in self.epochs.proofs() if self.epochs is not None else ():
            self.say(messages.prove(proof.epoch, proof.verifier, proof.signature))

    def _move(self, welcome: messages.Welcome, link: Link) -> None:
        """A welcome over the second connection: from now on it is the one."""
        if welcome.member != self.number or not self.connections.take(link):
            return
        self.statistics.count("resumed")
        if self.epochs is not None:
            self.epochs.told(messages.Epoch(welcome.epoch, welcome.verifier, True, None, ()))
            self.epochs.moved()
        self._agree(second=True)
        if self.senders.camera is not None:
            self.senders.camera.key_frame()

    # --- media ---

    def rtp_untrusted(self, data: bytes, current: bool) -> None:
        if self._receiver is not None:
            self._receiver.rtp_untrusted(data, current)

    def rtcp_untrusted(self, data: bytes) -> None:
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
                self.connections.send_soon(packet)
        return None
