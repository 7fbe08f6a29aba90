"""Everything that is really said in an end-to-end run, held against docs/schemas: by this client, by the
focus, and by browsers in the same room."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from client import resuming, service
from client.http import exchange
from client.matrix.homeserver import Homeserver
from client.matrix.inbox import DirectMessage, Inbox, RoomEvent
from client.membership import Membership
from client.transport.link import Link
from tests.client import schemas

_EVENTS = {**schemas.ROOM, **schemas.CALL}


@dataclass
class Overheard:
    """`kinds`: how often each was said, with "> " before what the focus or others said and "< " before
    ours."""

    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def event(self, direction: str, kind: str, content: dict[str, Any]) -> None:
        if kind in _EVENTS:
            self.kinds[f"{direction} {kind}"] += 1
            self.problems += schemas.problems_of_event(kind, content, _EVENTS)

    def http(self, body: dict[str, Any] | None, answer: Any) -> None:
        if body is None:
            self.kinds["> http.config"] += 1
            self.problems += schemas.problems("http/config", answer)
            return
        self.kinds["< http.resume"] += 1
        self.problems += schemas.problems("http/resume", body)
        self.problems += schemas.problems("http/resume_answer", answer)

    def message(self, direction: str, text: str, known: dict[str, str]) -> None:
        message = json.loads(text)
        self.kinds[f"{direction} {message['type']}"] += 1
        self.problems += schemas.problems_of_message(message, known)


@contextmanager
def overhear() -> Iterator[Overheard]:
    """Of all clients in this process while the block runs; problems fail at its end."""
    heard = Overheard()
    send, tell, direct = Homeserver.send, Inbox._tell, Homeserver.send_direct
    take, message, say = Inbox._direct, Membership.message_untrusted, Link.say

    async def sending(self: Homeserver, room_id: str, kind: str, content: dict[str, Any]) -> str:
        heard.event("<", kind, content)
        return await send(self, room_id, kind, content)

    async def sending_direct(self: Homeserver, device: Any, kind: str, content: dict[str, Any]) -> bool:
        heard.event("<", kind, content)
        return await direct(self, device, kind, content)

    def telling(self: Inbox, event: RoomEvent | None) -> None:
        if event is not None and not event.own:
            heard.event(">", event.type, {k: v for k, v in event.content.items() if k != "m.relates_to"})
        tell(self, event)

    async def taking(self: Inbox, event: Any) -> None:
        told = DirectMessage(event.type, event.content, self._ours)
        heard.event(">", told.type, told.content)
        await take(self, event)

    def hearing(self: Membership, data: str, link: Link) -> None:
        heard.message(">", data, schemas.FOCUS)
        message(self, data, link)

    def saying(self: Link, text: str) -> bool:
        heard.message("<", text, schemas.CLIENT)
        return say(self, text)

    async def exchanging(address: str, body: dict[str, Any] | None = None) -> Any:
        answer = await exchange(address, body)
        heard.http(body, answer)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        for module in (resuming, service):
            patch.setattr(module, "exchange", exchanging)
        patch.setattr(Homeserver, "send", sending)
        patch.setattr(Homeserver, "send_direct", sending_direct)
        patch.setattr(Inbox, "_tell", telling)
        patch.setattr(Inbox, "_direct", taking)
        patch.setattr(Membership, "message_untrusted", hearing)
        patch.setattr(Link, "say", saying)
        yield heard
    if heard.problems:
        raise AssertionError("\n".join(sorted(set(heard.problems))[:8]))
