"""The call in the direct-message room: which answer belongs to which offer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from client.errors import Trouble
from client.matrix.call import FocusCall
from client.matrix.inbox import RoomEvent
from client.protocol import limits, names

DM, FOCUS = "!dm:a.example", "@focus:a.example"


class Chat:
    """What a call needs of a homeserver."""

    device_id = "ALICE"

    def __init__(self) -> None:
        self.inbox = SimpleNamespace(on_event=[])
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.call = FocusCall(self, DM, FOCUS, lambda hangup: None)  # type: ignore[arg-type]

    async def send(self, _room_id: str, _kind: str, content: dict[str, Any]) -> None:
        self.sent.put_nowait(content)

    def answer(self, sdp: str, offer: dict[str, Any] | None) -> None:
        """None: an answer that does not say to what."""
        content: dict[str, Any] = {
            "call_id": self.call.call_id,
            "description": {"type": "answer", "sdp": sdp},
        }
        if offer is not None:
            content[names.OFFER_ID] = offer[names.OFFER_ID]
        event = RoomEvent(DM, names.NEGOTIATE, FOCUS, content, 0, "$event", encrypted=True)
        for listener in list(self.inbox.on_event):
            listener(event)


async def test_an_answer_that_comes_late_is_none_to_the_next_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = Chat()
    with monkeypatch.context() as patch:
        patch.setattr(limits, "ANSWER_S", 0)
        with pytest.raises(Trouble, match="does not answer"):
            await chat.call.negotiate("first", {})
    first = await chat.sent.get()
    second = asyncio.create_task(chat.call.negotiate("second", {}))
    offer = await chat.sent.get()
    await asyncio.sleep(0)
    chat.answer("late", first)
    chat.answer("nameless", None)
    chat.answer("in time", offer)
    assert await second == "in time"
