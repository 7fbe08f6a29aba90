"""A membership of one conference: joined, followed, left."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import quote

from client.errors import Trouble
from client.happenings import (
    Complaint,
    Ended,
    Happening,
    Joined,
    MemberChanged,
    MemberJoined,
    MemberLeft,
    Speaking,
    TileChanged,
    Wanted,
)
from client.joining import Entry, Pass, enter
from client.keylink import KeyLink
from client.keys.exchange import Device
from client.keys.frames import Verdict
from client.matrix.homeserver import Homeserver
from client.matrix.room import ConferenceRoom
from client.media.record import Recorder
from client.media.sources import Source
from client.protocol import limits, messages, names
from client.protocol.checked import Malformed
from client.receiving import Receiver, Sink
from client.rtp import rtcp
from client.rtp.packet import PacketError
from client.sending import CameraSender, MicrophoneSender, Senders
from client.statistics import Statistics, Tile
from client.transport.link import Link
from client.transport.sdp import AnswerUnusable, read_answer_untrusted

log = logging.getLogger(__name__)

TICK_S = 0.02


class Conference:
    """Use `join`, then `events`; end with `leave`.

    `members` are those inside, we too, by number; `statistics` the figures; `number` is ours.
    """

    def __init__(
        self, homeserver: Homeserver, room: ConferenceRoom, send: Source | None, to_device: bool
    ) -> None:
        self._homeserver, self._room, self._source, self._to_device = homeserver, room, send, to_device
        self.statistics = Statistics()
        self.members: dict[int, messages.Member] = {}
        self.number = 0
        self.slots: dict[str, messages.Slot] = {}
        self.layers: dict[str, messages.Layer] = {}
        self.viewers: dict[str, messages.Viewing] = {}
        self._happenings: asyncio.Queue[Happening] = asyncio.Queue()
        self._welcomed = asyncio.Event()
        self._heard_at = time.monotonic()
        self._ended: Ended | None = None
        self._over = asyncio.Event()
        self._keys: KeyLink | None = None
        self._pass: Pass | None = None
        self._link: Link | None = None
        self._entry: Entry | None = None
        self._receiver: Receiver | None = None
        self._recorder: Recorder | None = None
        self._sinks: list[Sink] = []
        self._senders = Senders(self._send_packet)
        self._tasks: list[asyncio.Task[None]] = []
        self._reports: set[asyncio.Future[None]] = set()

    @classmethod
    async def join(
        cls,
        homeserver: str,
        user: str,
        *,
        room: str,
        password: str | None = None,
        token: str | None = None,
        send: Source | None = None,
        focus: str | None = None,
        start: bool = False,
        pairs: int = limits.FIRST_SLOT_PAIRS,
        to_device: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> "Conference":
        """Returns once we are inside; Trouble says why not.

        `room`: id or alias of the conference room. `send`: what we send, nothing by default. `start`: begin
        a conference when none runs, on `focus` (a Matrix id) or on the one that served the last.
        `to_device`: give our keys by Olm instead of the room's timeline. `say` is told what is being done.
        """
        say("logging in")
        server = await Homeserver.open(homeserver, user, password=password, token=token)
        self: Conference | None = None
        try:
            room_id = await _room_id(server, room)
            if not server.encrypted(room_id):
                raise Trouble(
                    "room_not_encrypted", "The room is not encrypted: nothing can be kept secret in it."
                )
            conference_room = ConferenceRoom(server, room_id)
            await conference_room.load()
            self = cls(server, conference_room, send, to_device)
            await self._enter(start, focus, pairs, say)
        except BaseException:
            if self is not None:
                await self._close()
            else:
                await server.close()
            raise
        return self

    # --- for the program that takes part ---

    async def events(self) -> AsyncIterator[Happening]:
        """Everything that happens, from our joining on; ends after `Ended`."""
        while True:
            happening = await self._happenings.get()
            yield happening
            if isinstance(happening, Ended):
                return

    def record(self, path: str) -> None:
        """Every member's picture and sound into a file of their own, in the form in which they were sent:
        `path` with number and name before its ending, .mkv or .webm. Trouble "file_unusable" where that is
        impossible.
        """
        self._recorder = Recorder(path, self._name_of)
        self.add_sink(self._recorder.take)

    def add_sink(self, sink: Sink) -> None:
        """Gets every frame that could be opened, at once; it must not take long."""
        self._sinks.append(sink)
        if self._receiver is not None:
            self._receiver.sinks.append(sink)

    def subscribe(self, *wanted: messages.Subscription, without: tuple[tuple[int, str], ...] = ()) -> None:
        """In which size sources of others are wanted; `without`: those not wanted at all."""
        self._say(messages.subscription(wanted, without))

    def mute(self, audio: bool, video: bool) -> None:
        """A muted source sends nothing."""
        if self._senders.microphone is not None:
            self._senders.microphone.muted = audio
        if self._senders.camera is not None:
            self._senders.camera.muted = video
        assert self._entry is not None
        self._say(messages.metadata_changed(messages.stream_metadata(self._entry.stream_id, audio, video)))

    def refresh(self) -> Statistics:
        """The figures as they are now."""
        self.statistics.sent = self._senders.figures()
        return self.statistics

    @property
    def source_finished(self) -> bool:
        """What we send has come to its end."""
        return self._senders.finished

    @property
    def recording_failed(self) -> str | None:
        return self._recorder.failed if self._recorder is not None else None

    async def wait_ended(self) -> Ended:
        await self._over.wait()
        assert self._ended is not None
        return self._ended

    async def leave(self) -> None:
        """Says so to everybody, ends the conference when it is ours and nobody else is inside."""
        if self._ended is None:
            self._end(Ended("left", "We left."))
            self._say(messages.hangup())
            with contextlib.suppress(Trouble, TimeoutError):
                async with asyncio.timeout(limits.CONNECT_S):
                    if self._entry is not None and self._entry.call is not None:
                        await self._entry.call.hangup()
                    ours = self._pass is not None and self._pass.ticket.creator == self._homeserver.user_id
                    if ours and set(self.members) <= {self.number}:
                        await self._room.end()
        await self._close()

    # --- joining ---

    async def _enter(self, start: bool, focus: str | None, pairs: int, say: Callable[[str], None]) -> None:
        sources = []
        if self._source is not None:
            sources += ["audio"] if self._source.has_sound else []
            sources += ["camera"] if self._source.has_picture else []
        numbers = [names.SOURCES.index(source) for source in sources]
        self._entry = Entry(self._homeserver, sources, pairs, self._hung_up)

        def prepare(entitled: Pass) -> None:
            if self._keys is not None:
                self._keys.close()
            self._keys = KeyLink(
                self._homeserver,
                self._room.room_id,
                entitled.conference.conference_id,
                numbers,
                self.statistics,
                self._keys_arrived,
                self._to_device,
            )

        def new_link() -> Link:
            self._link = Link(self._rtp, self._rtcp, self._message, self._lost)
            return self._link

        self._pass = await enter(
            self._room, self._entry, new_link, start=start, focus=focus, say=say, prepare=prepare
        )
        try:
            async with asyncio.timeout(limits.CONNECT_S):
                await self._welcomed.wait()
        except TimeoutError:
            raise Trouble("channel_failed", "The server did not say welcome.") from None
        self._tasks.append(asyncio.create_task(self._run(), name="conference"))
        self._senders.start()
        self._more_slots()
        self._room.serve_tickets(self._pass.ticket, self._rank)
        say(f"inside as member {self.number}")

    def _rank(self) -> int:
        """Our place among those inside, by number."""
        present = sorted(self.members)
        return present.index(self.number) if self.number in present else -1

    def _welcome(self, welcome: messages.Welcome) -> None:
        """We have a number: from here on there are keys, a receiver and senders."""
        if self._welcomed.is_set():
            return
        assert self._keys is not None
        self.number = welcome.member
        self._keys.start(welcome.member)
        self._receiver = Receiver(
            self._keys.keyring,
            self.statistics,
            secrets.randbits(32),
            self._send_report,
            self._tile_changed,
        )
        self._receiver.sinks += self._sinks
        self._agree()
        self._welcomed.set()
        self._tell(Joined(welcome.member, welcome.conference_id))

    def _agree(self) -> None:
        """What was answered becomes slots and senders; again after each second offer."""
        link, receiver, keys = self._link, self._receiver, self._keys
        assert link is not None
        assert link.answer is not None
        assert receiver is not None
        assert keys is not None
        assert self._entry is not None
        receiver.answered(link.answer)
        if self._source is None or self._senders.camera or self._senders.microphone:
            return
        assert self._entry.offerer is not None
        for line in self._entry.offerer.lines:
            section = link.answer.sections.get(line.mid)
            if section is None or section.direction != "recvonly":
                continue
            sealer = keys.sealer(names.SOURCES.index(line.role))
            if line.role == "camera":
                self._senders.camera = CameraSender(section, self._source, sealer, self._send_packet)
            else:
                self._senders.microphone = MicrophoneSender(section, self._source, sealer, self._send_packet)

    # --- what the focus says ---

    def _message(self, data: str) -> None:
        self._heard_at = time.monotonic()
        try:
            message = messages.read_message_untrusted(data)
        except Malformed as error:
            log.warning("a message of the server was passed over: %s", error)
            return self.statistics.count("messages malformed")
        match message:
            case messages.Welcome():
                self._welcome(message)
            case messages.Ping():
                self._say(messages.pong())
            case messages.Members():
                self._roster(message)
            case messages.Slots(_, slots):
                self.slots = {slot.mid: slot for slot in slots}
                if self._receiver is not None:
                    self._receiver.mapped(message)
                self._more_slots()
            case messages.Send(sources):
                self._send_wanted(sources)
            case messages.Speakers(speaking, dominant):
                self._tell(Speaking(speaking, dominant))
            case messages.Layers(layers):
                self.layers |= layers
            case messages.Viewers(viewers):
                self.viewers |= viewers
            case messages.Negotiated(sdp, code, text):
                self._negotiated(sdp, code, text)
            case messages.FocusError(code, text, _):
                self._tell(Complaint(code, text))
            case messages.Hangup():
                self._hung_up(message)
            case messages.Unknown():
                self.statistics.count("messages of unknown type")
        return None

    def _send_wanted(self, sources: Mapping[str, Mapping[str, messages.Encoding]]) -> None:
        if self._senders.camera is not None:
            self._senders.camera.want(sources.get("camera", {}))
        for source, encodings in sources.items():
            self._tell(Wanted(source, tuple(rid for rid, each in encodings.items() if each.active)))

    def _roster(self, told: messages.Members) -> None:
        assert self._keys is not None
        gone = set(told.gone)
        if told.reset:
            gone |= set(self.members) - {each.member for each in told.present}
        for number in gone:
            if (member := self.members.pop(number, None)) is not None:
                self._keys.left(number)
                self._tell(MemberLeft(number, member.user_id))
        for member in told.present:
            known = self.members.get(member.member)
            self.members[member.member] = member
            if member.member != self.number:
                if known is None:
                    self._keys.joined(
                        member.member, Device(member.user_id, member.device_id), news=not told.reset
                    )
                    self._tell(MemberJoined(member.member, member.user_id, member.device_id))
                elif known != member:
                    self._tell(
                        MemberChanged(member.member, member.audio_muted, member.video_muted, member.sources)
                    )

    def _more_slots(self) -> None:
        """Offers four pairs more when the others are more than pairs (docs/protocol.md section 4)."""
        assert self._entry is not None
        offerer = self._entry.offerer
        if offerer is None or self._link is None or not self._link.connected:
            return
        others = len(self.members) - 1
        if others <= offerer.pairs or offerer.pairs >= limits.SLOT_PAIRS_MAX:
            return
        offerer.pairs = min(limits.SLOT_PAIRS_MAX, offerer.pairs + limits.SLOT_PAIR_STEP)
        self._say(messages.negotiate(offerer.offer(), messages.stream_metadata(self._entry.stream_id)))

    def _negotiated(self, sdp: str | None, code: str, text: str) -> None:
        if sdp is None or self._link is None or self._entry is None or self._entry.offerer is None:
            self._tell(Complaint(code, text))
            return
        try:
            self._link.answer = read_answer_untrusted(sdp, self._entry.offerer.lines)
        except AnswerUnusable as error:
            self._tell(Complaint("answer_unusable", str(error)))
            return
        self._agree()

    def _hung_up(self, hangup: messages.Hangup) -> None:
        self._end(Ended(hangup.code, hangup.message or f"The server ended the call: {hangup.reason}."))

    def _lost(self) -> None:
        self._end(Ended("channel_failed", "The connection to the server was lost."))

    # --- media ---

    def _rtp(self, data: bytes) -> None:
        if self._receiver is not None:
            self._receiver.rtp_untrusted(data)

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
            for packet in self._senders.heard(message):
                self._send_report(packet)
        return None

    def _tile_changed(self, tile: Tile) -> None:
        if tile.state is not None:
            self._tell(TileChanged(tile.member, names.SOURCES[tile.source], tile.state.value))

    def _keys_arrived(self, member: int) -> None:
        if self._receiver is not None:
            self._receiver.keys_arrived(member)

    async def _send_packet(self, packet: bytes) -> None:
        if self._link is not None:
            await self._link.send(packet)

    def _send_report(self, packet: bytes) -> None:
        task = asyncio.ensure_future(self._send_packet(packet))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _run(self) -> None:
        """Everything that is due by the clock."""
        while self._ended is None:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            assert self._receiver is not None
            self._receiver.tick(now)
            for report in self._senders.reports(now):
                await self._send_packet(report)
            self._ask_for_keys()
            if now - self._heard_at > limits.CHANNEL_SILENCE_S:
                self._lost()
            if self._homeserver.lost is not None:
                self._end(Ended(self._homeserver.lost.code, self._homeserver.lost.message))

    def _ask_for_keys(self) -> None:
        assert self._keys is not None
        for tile in self.statistics.tiles.values():
            if tile.state == Verdict.KEY_MISSING and tile.member in self.members:
                asked = self._keys.ask_for(tile.member, tile.source, tile.epoch, tile.state_since)
                if asked:
                    self._say(messages.missing_key(tile.member, names.SOURCES[tile.source]))

    # --- ends ---

    def _say(self, message: str) -> None:
        if self._link is not None:
            self._link.say(message)

    def _tell(self, happening: Happening) -> None:
        self._happenings.put_nowait(happening)

    def _end(self, ended: Ended) -> None:
        if self._ended is None:
            self._ended = ended
            self._tell(ended)
            self._over.set()

    def _name_of(self, number: int) -> str:
        member = self.members.get(number)
        return member.user_id[1:].partition(":")[0] if member is not None else "unknown"

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._senders.stop()
        if self._keys is not None:
            self._keys.close()
        if self._entry is not None and self._entry.call is not None:
            self._entry.call.close()
        if self._link is not None:
            await self._link.close()
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)
        self._room.close()
        await self._homeserver.close()


async def _room_id(server: Homeserver, room: str) -> str:
    """Of a room that we are in, or may join."""
    if room.startswith("#"):
        status, answer = await server.request("GET", f"/_matrix/client/v3/directory/room/{quote(room)}")
        if status != 200 or not isinstance(answer.get("room_id"), str):
            raise Trouble("room_unknown", f"The room {room} is not known.")
        room = answer["room_id"]
    if not server.joined(room):
        status, answer = await server.request("POST", f"/_matrix/client/v3/join/{quote(room)}", {})
        if status != 200:
            raise Trouble("room_unknown", f"The room {room} cannot be joined: {answer.get('errcode')}.")
        if not await server.until(lambda: server.joined(room), limits.FOCUS_JOIN_S):
            raise Trouble("room_unknown", f"The room {room} does not appear.")
    return room
