"""Moderators of the room ask for silence, and we obey (docs/protocol.md section 7)."""

import asyncio
from collections.abc import Callable

from client.errors import Trouble
from client.happenings import AskedToMute, Happening
from client.matrix.homeserver import Homeserver
from client.matrix.inbox import RoomEvent
from client.protocol import names
from client.protocol.checked import Malformed
from client.protocol.events import MuteRequest, read_mute_request_untrusted

# What the room asks of whoever removes others, where it says nothing (Matrix specification, power levels).
_KICK_LEVEL = 50


class Moderation:
    """`mute` turns a source of ours off, by name; False when it is off."""

    def __init__(
        self,
        homeserver: Homeserver,
        room_id: str,
        conference_id: str,
        number: int,
        mute: Callable[[str], bool],
        tell: Callable[[Happening], None],
    ) -> None:
        self._homeserver, self._room_id, self._conference_id = homeserver, room_id, conference_id
        self._number, self._mute, self._tell = number, mute, tell
        self._tasks: set[asyncio.Task[None]] = set()
        homeserver.inbox.on_event.append(self._heard)

    def close(self) -> None:
        self._homeserver.inbox.on_event.remove(self._heard)
        for task in self._tasks:
            task.cancel()

    async def ask(self, member: int, source: str) -> None:
        """Of another member: it is theirs to obey. Trouble when the homeserver does not take it."""
        request = MuteRequest(self._conference_id, member, source)
        await self._homeserver.send(self._room_id, names.MUTE_REQUEST, request.content())

    def _heard(self, event: RoomEvent) -> None:
        if event.room_id != self._room_id or event.type != names.MUTE_REQUEST:
            return
        try:
            request = read_mute_request_untrusted(event.content)
        except Malformed:
            return
        # In clear it is anybody's word on the way.
        if event.encrypted and (request.conference_id, request.member) == (self._conference_id, self._number):
            task = asyncio.create_task(self._obey(request.source, event.sender), name="mute request")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _obey(self, source: str, sender: str) -> None:
        try:
            state = await self._homeserver.state(self._room_id)
        except Trouble:
            return
        if may_ask(state, sender) and self._mute(source):
            self._tell(AskedToMute(source, sender))


def may_ask(state: list[RoomEvent], user_id: str) -> bool:
    """Could this user remove somebody from the room whose state this is?"""
    levels: dict[str, object] = {}
    joined = False
    for event in state:
        if event.type == "m.room.power_levels" and event.state_key == "":
            levels = event.content
        elif event.type == "m.room.member" and event.state_key == user_id:
            joined = event.content.get("membership") == "join"
    users = levels.get("users")
    own = users.get(user_id) if isinstance(users, dict) else None
    level = own if isinstance(own, int) else levels.get("users_default", 0)
    kick = levels.get("kick", _KICK_LEVEL)
    return joined and isinstance(level, int) and isinstance(kick, int) and level >= kick
