"""One membership from the call to its end, with all that lives as long: keys, hands, tickets."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from client.announcing import Announcing
from client.errors import Trouble
from client.gestures import Gestures
from client.happenings import Ended, Happening
from client.joining import Entry, Pass, Say, enter
from client.keylink import KeyLink
from client.matrix.announcements import Wish
from client.matrix.homeserver import Homeserver
from client.matrix.room import ConferenceRoom
from client.media.sources import Source
from client.membership import Membership
from client.moderation import Moderation
from client.protocol import limits, messages, names
from client.protocol.events import Announcement
from client.protocol.reference import reference
from client.receiving import Sink
from client.ticketing import Ticketing


@dataclass(frozen=True, slots=True)
class Options:
    """`service`: the conference server's web address. `feedback`: tell when each packet came.

    `to_device`: our keys go by Olm and not by the room's timeline.
    """

    service: str | None = None
    feedback: bool = False
    to_device: bool = False
    sealed: bool = False  # sealed RTP wherever both sides can


class Attendance:
    """`enter`, then `close`; `leave` before it unless the focus ended it. `tell` gets `Ended` last."""

    def __init__(
        self,
        homeserver: Homeserver,
        room: ConferenceRoom,
        send: Source | None,
        options: Options,
        sinks: Sequence[Sink],
        tell: Callable[[Happening], None],
    ) -> None:
        self._homeserver, self._room, self._options, self._tell = homeserver, room, options, tell
        sources: list[str] = []
        if send is not None:
            sources += ["audio"] if send.has_sound else []
            sources += ["camera"] if send.has_picture else []
        self._entry = Entry(homeserver, sources, self._hung_up)
        self._entry.feedback = options.feedback
        self._entry.sealed = options.sealed
        self.membership = Membership(self._entry, send, tell)
        self.membership.connections.service = options.service
        for sink in sinks:
            self.membership.add_sink(sink)
        self._pass: Pass | None = None
        self._ticketing: Ticketing | None = None
        self._announcing: Announcing | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def conference(self) -> Announcement | None:
        """The one we are in."""
        return self._pass.conference if self._pass is not None else None

    async def enter(self, wish: Wish, say: Say) -> None:
        """Returns once we are inside; Trouble says why not."""
        membership = self.membership
        self._pass = entitled = await enter(
            self._room,
            self._entry,
            membership.connections.first,
            wish,
            say=say,
            prepare=self._prepare,
        )
        try:
            async with asyncio.timeout(limits.CONNECT_S):
                await membership.welcomed.wait()
        except TimeoutError:
            raise Trouble("channel_failed", "The server did not say welcome.") from None
        membership.gestures = Gestures(
            self._homeserver,
            self._room.room_id,
            entitled.conference.conference_id,
            membership.members,
            self._tell,
        )
        membership.moderation = Moderation(
            self._homeserver,
            self._room.room_id,
            entitled.conference.conference_id,
            membership.number,
            membership.muting.mute_source,
            self._tell,
        )
        assert self._entry.call is not None
        self._ticketing = Ticketing(
            self._homeserver, self._room, entitled, membership, self._entry.call.call_id
        )
        if membership.connections.service is None:
            membership.connections.service = entitled.conference.url
        announcements = self._room.announcements
        self._announcing = Announcing(self._homeserver, announcements, entitled.conference, membership)
        for work in (membership.run(), self._ticketing.run(), self._announcing.run()):
            self._tasks.append(asyncio.create_task(work, name="conference"))
        say(f"inside as member {membership.number}, call number {reference(self._entry.call.call_id)}")

    async def leave(self) -> None:
        """Says so to everybody; the last one ends what it announced."""
        membership = self.membership
        if membership.ended is not None:
            return
        membership.end(Ended("left", "We left."))
        membership.say(messages.hangup())
        with contextlib.suppress(Trouble, TimeoutError):
            async with asyncio.timeout(limits.CONNECT_S):
                if self._entry.call is not None:
                    await self._entry.call.hangup()
                for task in self._tasks:
                    task.cancel()
                if self._announcing is not None:
                    await self._announcing.leave()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.membership.close()
        if self._ticketing is not None:
            self._ticketing.close()

    def _prepare(self, entitled: Pass) -> None:
        """Keys of others may come from the moment that we call."""
        keys = KeyLink(
            self._homeserver,
            self._room.room_id,
            entitled.conference.conference_id,
            [names.SOURCES.index(source) for source in self._entry.sources],
            self.membership.statistics,
            self.membership.keys_arrived,
            self._options.to_device,
        )
        self.membership.use_keys(keys)

    def _hung_up(self, hangup: messages.Hangup) -> None:
        self.membership.hung_up(hangup)
