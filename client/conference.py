"""A conference as a program takes part in it: joined, listened to, left."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import quote

from client.attendance import Attendance, Options
from client.errors import Trouble
from client.happenings import Complaint, Ended, Happening
from client.matrix.announcements import Wish
from client.matrix.homeserver import Homeserver
from client.matrix.room import ConferenceRoom
from client.media.record import Recorder
from client.media.sources import Source
from client.membership import Membership
from client.protocol import limits, messages
from client.receiving import Sink
from client.service import ask
from client.statistics import Statistics

log = logging.getLogger(__name__)

# Ends of a membership after which another call is made: the connection is gone, not the conference.
_CALL_AGAIN = frozenset({"resume_unknown", "channel_failed", "ice_failed"})


class Conference:
    """Use `join`, then `events`; end with `leave`."""

    def __init__(
        self, homeserver: Homeserver, room: ConferenceRoom, send: Source | None, options: Options
    ) -> None:
        self._homeserver, self._room, self._send, self._options = homeserver, room, send, options
        self._happenings: asyncio.Queue[Happening] = asyncio.Queue()
        self._sinks: list[Sink] = []
        self._attendance = self._another()
        self._over: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._recorder: Recorder | None = None
        self._watching: asyncio.Task[None] | None = None
        self._calling: asyncio.Task[None] | None = None
        self._called_at = time.monotonic()
        self._inside = False

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
        conference: str | None = None,
        another: bool = False,
        voice: bool = False,
        members: int | None = None,
        sealed: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> "Conference":
        """Returns once we are inside; Trouble says why not.

        `room`: id or alias of the conference room. `send`: what we send, nothing by default. `start`: begin
        a conference when none runs, on `focus` (a Matrix id) or on the one that served the last.
        `to_device`: give our keys by Olm instead of the room's timeline. `service`: the conference server's
        web address; it says what of these it wants, and there a lost connection is made anew. `say` is told
        what is being done. `feedback`: tell when each packet came, so that a slow network is noticed before
        it loses any; not on a machine that is busy. `conference`: the id of one of several that run, not the
        newest. `another`: begin one whatever runs; `voice` and `members`: of one that is begun, for sound
        alone, and for so many devices. `sealed`: sealed RTP wherever both sides can.
        """
        address = service if service is not None and service.startswith("https:") else None
        if service is not None:
            told = await ask(service)
            focus, address = focus or told.focus, told.url or address
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
            options = Options(service, feedback, bool(to_device), sealed)
            self = cls(server, conference_room, send, options)
            wish = Wish(start, another, conference, focus, address, voice, members)
            await self._attendance.enter(wish, say)
            self._inside = True
            self._watching = asyncio.create_task(self._watch_homeserver(), name="conference")
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
    def _membership(self) -> Membership:
        return self._attendance.membership

    @property
    def number(self) -> int:
        """Our member number; another one after a `Joined` that follows the first."""
        return self._membership.number

    @property
    def conference_id(self) -> str | None:
        conference = self._attendance.conference
        return conference.conference_id if conference is not None else None

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
        return self._membership.tiles.layers

    @property
    def sealed_layers(self) -> Mapping[tuple[int, str], messages.Layer]:
        """Likewise of sealed sources, by member and source."""
        return self._membership.tiles.sealed_layers

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
        self._sinks.append(sink)
        self._membership.add_sink(sink)

    def subscribe(self, *wanted: messages.Subscription, without: tuple[tuple[int, str], ...] = ()) -> None:
        """In which size sources of others are wanted; `without`: those not wanted at all."""
        self._membership.tiles.subscribe(wanted, without)

    def mute(self, audio: bool, video: bool) -> None:
        """A muted source sends nothing."""
        self._membership.muting.mute(audio, video)

    async def ask_to_mute(self, member: int, source: str) -> None:
        """Ask them to turn "audio", "camera" or "screen" off; counts where we are a moderator of the room."""
        if self._membership.moderation is not None:
            await self._membership.moderation.ask(member, source)

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
        return await asyncio.shield(self._over)

    async def leave(self) -> None:
        """Says so to everybody; ends the conference when it is ours and nobody else is inside."""
        self._inside = False
        if self._calling is not None:
            self._calling.cancel()
            await asyncio.gather(self._calling, return_exceptions=True)
        await self._attendance.leave()
        self._end(Ended("left", "We left."))
        await self._close()

    # --- inside ---

    def _another(self) -> Attendance:
        """With the keys of its own that every membership has."""

        def tell(happening: Happening) -> None:
            if attendance is self._attendance:
                self._happened(happening)

        attendance = Attendance(self._homeserver, self._room, self._send, self._options, self._sinks, tell)
        return attendance

    def _happened(self, happening: Happening) -> None:
        if not isinstance(happening, Ended):
            return self._happenings.put_nowait(happening)
        lately = time.monotonic() - self._called_at < limits.CALL_AGAIN_S
        if not self._inside or lately or happening.code not in _CALL_AGAIN:
            return self._end(happening)
        self._happenings.put_nowait(Complaint(happening.code, happening.message + " Calling again."))
        self._calling = asyncio.create_task(self._call_again(), name="conference")
        return None

    async def _call_again(self) -> None:
        """A new membership, with a new number and new keys, where the one before cannot be gone on with."""
        self._called_at = time.monotonic()
        before = self._attendance
        await before.close()
        self._attendance = self._another()
        try:
            conference = before.conference.conference_id if before.conference is not None else None
            await self._attendance.enter(
                Wish(conference=conference), lambda said: log.info("calling again: %s", said)
            )
        except Trouble as trouble:
            self._end(Ended(trouble.code, trouble.message))

    def _end(self, ended: Ended) -> None:
        """Once."""
        if not self._over.done():
            self._over.set_result(ended)
            self._happenings.put_nowait(ended)

    async def _watch_homeserver(self) -> None:
        trouble = await self._homeserver.lost
        self._inside = False
        self._end(Ended(trouble.code, trouble.message))

    def _name_of(self, number: int) -> str:
        member = self.members.get(number)
        return member.user_id[1:].partition(":")[0] if member is not None else "unknown"

    async def _close(self) -> None:
        for task in (self._watching, self._calling):
            if task is not None:
                task.cancel()
        await self._attendance.close()
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
