"""Which conferences a room announces, and our own announcement of one (docs/protocol.md section 1)."""

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from client.matrix.homeserver import Homeserver
from client.matrix.inbox import RoomEvent
from client.protocol import limits, names
from client.protocol.events import Announcement, read_announcement_untrusted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """Which conference is wanted. `start`: begin one when none runs; `another`: begin one whatever runs.

    `conference`: the id of one that runs, not the newest. The rest is of one that is begun: the focus's
    Matrix id (default: that of the last), its web address, whether for voice alone, and for how many devices.
    """

    start: bool = False
    another: bool = False
    conference: str | None = None
    focus: str | None = None
    url: str | None = None
    voice: bool = False
    members: int | None = None


class Announcements:
    """Of one room. `heard` is to be told of its events of this type."""

    def __init__(self, homeserver: Homeserver, room_id: str) -> None:
        self._homeserver, self._room_id = homeserver, room_id
        self._by_sender: dict[str, Announcement | None] = {}
        self._interrupted: dict[str, int] = {}  # by sender: when the homeserver ended theirs, in ms
        self._dead: set[str] = set()
        self._switch: str | None = None  # the homeserver's name for our dead man's switch
        self._switched_at = -1e9
        self.changed = asyncio.Event()

    def heard(self, event: RoomEvent) -> None:
        """Malformed when it is no announcement."""
        # Only a state key equal to the writer's own id is safe from others.
        if event.state_key not in (None, event.sender):
            return
        found = read_announcement_untrusted(event.content, event.sender)
        known = self._by_sender.get(event.sender)
        if found is not None and known is not None and known.created_ts > found.created_ts:
            return
        self._by_sender[event.sender] = found
        self._interrupted.pop(event.sender, None)
        if found is None and event.content.get("switch") is True:
            self._interrupted[event.sender] = event.ts
        self.changed.set()

    @property
    def running(self) -> Sequence[Announcement]:
        """Those of people in the room that have not ended, the newest first, each conference once."""
        living = {
            each.name: each
            for sender, each in self._by_sender.items()
            if each is not None
            and each.conference_id not in self._dead
            and self._homeserver.joined(self._room_id, sender)
        }
        return sorted(living.values(), key=lambda each: -each.created_ts)

    def wanted(self, wish: Wish) -> Announcement | None:
        return next((each for each in self.running if wish.conference in (None, each.conference_id)), None)

    async def awaited(self, wish: Wish) -> Announcement | None:
        """As `wanted`; where a dead man's switch has just gone off, those inside have time to carry it on.

        Homeservers that were away end at their return what could not be put off meanwhile.
        """
        deadline = asyncio.get_running_loop().time() + limits.CARRIED_AGAIN_S
        while (found := self.wanted(wish)) is None and self._interrupted_lately():
            self.changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self.changed.wait()
            except TimeoutError:
                break
        return found

    def _interrupted_lately(self) -> bool:
        """A switch ended what somebody in the room announced. Homeservers say when it was due, not when it
        went off."""
        return any(
            abs(time.time() - ts / 1000) < limits.INTERRUPTED_S
            and self._homeserver.joined(self._room_id, sender)
            for sender, ts in self._interrupted.items()
        )

    def announcers(self, conference: Announcement) -> set[str]:
        """People in the room who announce it."""
        return {
            sender
            for sender, each in self._by_sender.items()
            if each is not None
            and each.name == conference.name
            and self._homeserver.joined(self._room_id, sender)
        }

    def engaged(self, conference: Announcement) -> bool:
        """Whether we announce another one, from another device: nobody has two."""
        ours = self._by_sender.get(self._homeserver.user_id)
        return ours is not None and ours.name != conference.name and ours.conference_id not in self._dead

    def last_focus(self) -> str | None:
        """Of any conference that was announced here and is known."""
        known = [each for each in self._by_sender.values() if each is not None]
        return max(known, key=lambda each: each.created_ts).focus if known else None

    def is_over(self, conference_id: str) -> None:
        self._dead.add(conference_id)

    # --- ours ---

    def new(self, focus: str, wish: Wish) -> Announcement:
        """A conference of ours, to be announced."""
        now = int(time.time() * 1000)
        known = [each.created_ts for each in self._by_sender.values() if each is not None]
        return Announcement(
            conference_id=secrets.token_urlsafe(24),
            creator=self._homeserver.user_id,
            focus=focus,
            intent="voice" if wish.voice else "video",
            created_ts=max([now, *(each + 1 for each in known)]),
            url=wish.url,
            members=wish.members,
        )

    async def announce(self, conference: Announcement) -> None:
        """Ours, or somebody's whose announcement we carry on."""
        await self._write(conference.content(self._homeserver.user_id))
        self._by_sender[self._homeserver.user_id] = conference
        self._switched_at = -1e9

    async def end(self) -> None:
        """What we announced."""
        await self.disarm()
        await self._write({"ended": True})
        self._by_sender[self._homeserver.user_id] = None

    async def _write(self, content: dict[str, object]) -> None:
        homeserver = self._homeserver
        if not await homeserver.set_state(self._room_id, names.CONFERENCE, homeserver.user_id, content):
            await homeserver.send(self._room_id, names.CONFERENCE, content)

    # --- should we vanish ---

    async def tend(self, now: float) -> None:
        """The homeserver ends what we announce unless it hears from us; where it cannot, nothing is lost."""
        if now - self._switched_at < limits.SWITCH_AGAIN_S:
            return
        self._switched_at = now - limits.SWITCH_AGAIN_S + limits.SWITCH_RETRY_S  # unless it comes to its end
        await self.put_off()
        self._switched_at = now

    async def put_off(self) -> None:
        """The switch: from now on it has its whole time."""
        homeserver = self._homeserver
        if self._switch is not None and await homeserver.delayed(self._switch, "restart"):
            return
        delay_ms = int(limits.SWITCH_S * 1000)
        # What we left behind elsewhere would end this one: a newer announcement does not call it off.
        before = await homeserver.delayed_state(self._room_id, names.CONFERENCE)
        self._switch = await homeserver.delay_state(
            self._room_id, names.CONFERENCE, homeserver.user_id, {"ended": True, "switch": True}, delay_ms
        )
        for left in before if self._switch is not None else ():
            await homeserver.delayed(left, "cancel")

    async def disarm(self) -> None:
        switch, self._switch = self._switch, None
        if switch is not None:
            await self._homeserver.delayed(switch, "cancel")
