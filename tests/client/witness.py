"""Another device of a person whose browser takes part: it is given whatever that browser says in the
conference room and to the focus, and the answers, in clear. So all of it is held against the schemas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

from client.matrix.homeserver import Homeserver
from client.matrix.inbox import RoomEvent
from tests.client.house import House, until


@dataclass
class Witness:
    homeserver: Homeserver
    where: House
    heard: dict[str, set[str]] = field(default_factory=dict)
    """Types of events, by who sent them."""

    def take(self, event: RoomEvent) -> None:
        if not event.own:
            self.heard.setdefault(event.sender, set()).add(event.type)

    async def hears(self, sender: str, *types: str) -> None:
        missing = set(types)
        await until(lambda: not missing - self.heard.get(sender, set()), f"{missing} of {sender}")

    async def join(self) -> None:
        """Its person was put out of the conference room, and is invited again."""
        room = quote(self.where.people["room_id"])
        status, answer = await self.homeserver.request("POST", f"/_matrix/client/v3/join/{room}", {})
        assert status == 200, answer


@asynccontextmanager
async def witness(where: House, name: str) -> AsyncIterator[Witness]:
    """To be there before the browser logs in."""
    who = where.people["people"][name]
    url = where.demo.homeserver.url
    homeserver = await Homeserver.open(url, who["user_id"], password=who["password"])
    found = Witness(homeserver, where)
    homeserver.inbox.on_event.append(found.take)
    try:
        yield found
    finally:
        await homeserver.close()
