"""A conference as a program takes part in it: joined, listened to, left."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import quote

from client.errors import Trouble
from client.gestures import Gestures
from client.happenings import Ended, Happening
from client.joining import Entry, Pass, enter
from client.keylink import KeyLink
from client.keys.epochs import Epochs
from client.keys.ticket import Ticket
from client.matrix.homeserver import Homeserver
from client.matrix.room import ConferenceRoom
from client.media.record import Recorder
from client.media.sources import Source
from client.membership import Membership
from client.protocol import limits, messages, names
from client.receiving import Sink
from client.service import ask
from client.statistics import Statistics

log = logging.getLogger(__name__)


# How often it is looked whether it is our turn to propose an epoch.
EPOCH_TICK_S = 0.2


class Conference:
    """Use `join`, then `events`; end with `leave`."""

    def __init__(self, homeserver: Homeserver, room: ConferenceRoom, send: Source | None) -> None:
        self._homeserver, self._room = homeserver, room
        self._happenings: asyncio.Queue[Happening] = asyncio.Queue()
        self._sources = []
        if send is not None:
            self._sources += ["audio"] if send.has_sound else []
            self._sources += ["camera"] if send.has_picture else []
        self._entry = Entry(homeserver, self._sources, self._hung_up)
        self._membership = Membership(self._entry, send, self._happenings.put_nowait)
        self._pass: Pass | None = None
        self._recorder: Recorder | None = None
        self._tasks: list[asyncio.Task[None]] = []

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
        to_device: bool | None = None,
        service: str | None = None,
        feedback: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> "Conference":
        """Returns once we are inside; Trouble says why not.

        `room`: id or alias of the conference room. `send`: what we send, nothing by default. `start`: begin
        a conference when none runs, on `focus` (a Matrix id) or on the one that served the last.
        `to_device`: give our keys by Olm instead of the room's timeline. `service`: the conference server's
        web address; it says what of these it wants, and there a lost connection is made anew. `say` is told
        what is being done. `feedback`: tell when each packet came, so that a slow network is noticed before
        it loses any; not on a machine that is busy.
        """
        if service is not None:
            told = await ask(service)
            focus = focus or told.focus
            to_device = told.to_device if to_device is None else to_device
        say("logging in")
        server = await Homeserver.open(homeserver, user, password=password, token=token)
        self: Conference | None = None
        try:
            room_id = await _room_id(server, room)
            if not server.encrypted(room_id):
                raise Trouble("room_not_encrypted", "The room is not encrypted, so it keeps no secrets.")
            conference_room = ConferenceRoom(server, room_id)
            await conference_room.load()
            self = cls(server, conference_room, send)
            self._membership.service, self._entry.feedback = service, feedback
            await self._enter(start, focus, bool(to_device), say)
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

    @property
    def number(self) -> int:
        """Our member number."""
        return self._membership.number

    @property
    def epoch(self) -> int:
        """Of the ticket that admits now."""
        return self._membership.epoch[0]

    @property
    def members(self) -> Mapping[int, messages.Member]:
        """Those inside, we too, by number."""
        return self._membership.members

    @property
    def layers(self) -> Mapping[str, messages.Layer]:
        """What our slots get within the estimate of our network, by mid; only what was spoken of."""
        return self._membership.layers

    @property
    def viewers(self) -> Mapping[str, messages.Viewing]:
        """How many watch each of our sources, and what they lose."""
        return self._membership.viewers

    @property
    def statistics(self) -> Statistics:
        """The figures as they are now."""
        self._membership.statistics.sent = self._membership.senders.figures()
        return self._membership.statistics

    def record(self, path: str) -> None:
        """Every member's picture and sound into a file of their own, in the form in which they were sent:
        `path` with number and name before its ending, .mkv or .webm.

        Trouble "file_unusable" where that is impossible.
        """
        self._recorder = Recorder(path, self._name_of)
        self.add_sink(self._recorder.take)

    @property
    def recording_failed(self) -> str | None:
        return self._recorder.failed if self._recorder is not None else None

    def add_sink(self, sink: Sink) -> None:
        """Gets every frame that could be opened, at once; it must not take long."""
        self._membership.add_sink(sink)

    def subscribe(self, *wanted: messages.Subscription, without: tuple[tuple[int, str], ...] = ()) -> None:
        """In which size sources of others are wanted; `without`: those not wanted at all."""
        self._membership.say(messages.subscription(wanted, without))

    def mute(self, audio: bool, video: bool) -> None:
        """A muted source sends nothing."""
        self._membership.mute(audio, video)

    async def raise_hand(self, up: bool = True) -> None:
        """Said to the room, not to the server."""
        if self._membership.gestures is not None:
            await self._membership.gestures.raise_hand(self.number, up)

    async def react(self, emoji: str) -> bool:
        """One emoji; False when the last was less than two seconds ago."""
        gestures = self._membership.gestures
        return gestures is not None and await gestures.react(self.number, emoji)

    @property
    def hands(self) -> list[int]:
        """Members whose hand is up, the longest first."""
        return list(self._membership.gestures.hands) if self._membership.gestures is not None else []

    @property
    def source_finished(self) -> bool:
        """What we send has come to its end."""
        return self._membership.senders.finished

    async def wait_ended(self) -> Ended:
        await self._membership.over.wait()
        assert self._membership.ended is not None
        return self._membership.ended

    async def leave(self) -> None:
        """Says so to everybody; ends the conference when it is ours and nobody else is inside."""
        membership = self._membership
        if membership.ended is None:
            membership.end(Ended("left", "We left."))
            membership.say(messages.hangup())
            with contextlib.suppress(Trouble, TimeoutError):
                async with asyncio.timeout(limits.CONNECT_S):
                    if self._entry.call is not None:
                        await self._entry.call.hangup()
                    ours = self._pass is not None and self._pass.ticket.creator == self._homeserver.user_id
                    if ours and set(membership.members) <= {membership.number}:
                        await self._room.end()
        await self._close()

    # --- inside ---

    async def _enter(
        self, start: bool, focus: str | None, to_device: bool, say: Callable[[str], None]
    ) -> None:
        membership = self._membership

        def prepare(entitled: Pass) -> None:
            keys = KeyLink(
                self._homeserver,
                self._room.room_id,
                entitled.conference.conference_id,
                [names.SOURCES.index(source) for source in self._sources],
                membership.statistics,
                membership.keys_arrived,
                to_device,
            )
            membership.use_keys(keys)

        self._pass = await enter(
            self._room,
            self._entry,
            membership.new_link,
            start=start,
            focus=focus,
            say=say,
            prepare=prepare,
        )
        try:
            async with asyncio.timeout(limits.CONNECT_S):
                await membership.welcomed.wait()
        except TimeoutError:
            raise Trouble("channel_failed", "The server did not say welcome.") from None
        membership.gestures = Gestures(
            self._homeserver,
            self._room.room_id,
            self._pass.conference.conference_id,
            membership.members,
            self._happenings.put_nowait,
        )
        self._follow_epochs(self._pass)
        conference_id = self._pass.conference.conference_id
        for work in (membership.run(), self._watch_homeserver(), self._propose_epochs(conference_id)):
            self._tasks.append(asyncio.create_task(work, name="conference"))
        say(f"inside as member {membership.number}")

    def _follow_epochs(self, entitled: Pass) -> None:
        membership, who = self._membership, self._homeserver.device
        assert self._entry.call is not None
        call_id = self._entry.call.call_id

        def prove(ticket: Ticket) -> bytes:
            return ticket.prove_epoch(who.user_id, who.device_id, call_id)

        epochs = Epochs(entitled.ticket, membership.epoch, prove, secrets.token_bytes)
        membership.epochs = epochs

        def arrived(ticket: Ticket) -> None:
            epochs.ticket_arrived(ticket, time.monotonic())
            membership.prove()

        def member_changed(room_id: str, user_id: str) -> None:
            inside = any(each.user_id == user_id for each in membership.members.values())
            if room_id == self._room.room_id and inside and not self._homeserver.joined(room_id, user_id):
                membership.somebody_left()

        self._homeserver.inbox.on_member.append(member_changed)
        self._room.serve_tickets(lambda: epochs.ticket, membership.rank, arrived)
        membership.prove()

    async def _propose_epochs(self, conference_id: str) -> None:
        while (epochs := self._membership.epochs) is not None:
            await asyncio.sleep(EPOCH_TICK_S)
            now = time.monotonic()
            try:
                if epochs.lacking(now):
                    await self._room.request_ticket(conference_id)
                if (ticket := epochs.poll(now)) is not None:
                    await self._room.send_ticket(ticket)
                    epochs.ticket_arrived(ticket, now)
                    self._membership.prove()
            except Trouble as trouble:  # such as when we are no longer in the room
                log.warning("a ticket was not sent or asked for: %s", trouble.code)

    async def _watch_homeserver(self) -> None:
        trouble = await self._homeserver.lost
        self._membership.end(Ended(trouble.code, trouble.message))

    def _hung_up(self, hangup: messages.Hangup) -> None:
        self._membership.hung_up(hangup)

    def _name_of(self, number: int) -> str:
        member = self.members.get(number)
        return member.user_id[1:].partition(":")[0] if member is not None else "unknown"

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._membership.close()
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
