"""The call to the focus: m.call.* of version "1" in the direct-message room (docs/protocol.md section 3)."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from client.errors import Trouble
from client.matrix.homeserver import Homeserver
from client.matrix.inbox import RoomEvent
from client.protocol import limits, names
from client.protocol.checked import Malformed, mapping, text
from client.protocol.messages import Hangup
from client.protocol.reading import read_hangup_untrusted


class FocusCall:
    """One call; `on_hangup` is called when the focus ends it after its answer."""

    def __init__(
        self, homeserver: Homeserver, room_id: str, focus: str, on_hangup: Callable[[Hangup], None]
    ) -> None:
        self._homeserver = homeserver
        self._room_id = room_id
        self._focus = focus
        self._on_hangup = on_hangup
        self.call_id = secrets.token_hex(8)
        self._answer: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        self._negotiated: asyncio.Future[str] | None = None
        self._offer_id = ""  # of the latest offer by the room
        self._ended = False
        homeserver.inbox.on_event.append(self._heard)

    async def invite(self, sdp: str, metadata: dict[str, Any], join: dict[str, Any]) -> str:
        """The answer's SDP; Trouble with the code of the focus when it refuses."""
        await self._send(
            names.INVITE,
            {
                "invitee": self._focus,
                "lifetime": limits.INVITE_LIFETIME_MS,
                "offer": {"type": "offer", "sdp": sdp},
                names.METADATA: metadata,
                names.JOIN: join,
            },
        )
        try:
            async with asyncio.timeout(limits.ANSWER_S):
                party, answer = await self._answer
        except TimeoutError:
            raise Trouble("no_answer", f"The conference server {self._focus} does not answer.") from None
        await self._send(names.SELECT_ANSWER, {"selected_party_id": party})
        # All candidates were in the offer; the focus is ICE-lite and learns the rest from our checks.
        end = {"candidate": "", "sdpMid": "0", "sdpMLineIndex": 0}
        await self._send(names.CANDIDATES, {"candidates": [end]})
        return answer

    async def negotiate(self, sdp: str, metadata: dict[str, Any]) -> str:
        """The answer to a new offer, by the room: for when there is no way to the focus but this. Trouble."""
        self._negotiated = asyncio.get_running_loop().create_future()
        self._offer_id = secrets.token_hex(8)
        description = {"type": "offer", "sdp": sdp}
        content = {
            "lifetime": limits.INVITE_LIFETIME_MS,
            "description": description,
            names.METADATA: metadata,
            names.OFFER_ID: self._offer_id,
        }
        await self._send(names.NEGOTIATE, content)
        try:
            async with asyncio.timeout(limits.ANSWER_S):
                return await self._negotiated
        except TimeoutError:
            raise Trouble("no_answer", f"The conference server {self._focus} does not answer.") from None

    async def hangup(self, reason: str = "user_hangup") -> None:
        if not self._ended:
            self.close()
            await self._send(names.HANGUP, {"reason": reason})

    def close(self) -> None:
        if not self._ended:
            self._ended = True
            self._homeserver.inbox.on_event.remove(self._heard)
            self._answer.cancel()

    async def _send(self, event_type: str, content: dict[str, Any]) -> None:
        head = {
            "call_id": self.call_id,
            "party_id": self._homeserver.device_id,
            "version": names.CALL_VERSION,
        }
        await self._homeserver.send(self._room_id, event_type, {**head, **content})

    def _heard(self, event: RoomEvent) -> None:
        # The room is encrypted: what comes in clear could be anybody's on the way.
        if event.room_id != self._room_id or event.sender != self._focus or not event.encrypted:
            return
        if event.content.get("call_id") != self.call_id:
            return
        try:
            if event.type == names.ANSWER and not self._answer.done():
                description = mapping(event.content.get("answer"), "answer")
                sdp = text(description.get("sdp"), "answer.sdp", limits.MESSAGE_MAX_CHARS)
                self._answer.set_result((text(event.content.get("party_id"), "party_id"), sdp))
            elif event.type == names.NEGOTIATE:
                self._answered(event.content)
            elif event.type in (names.REJECT, names.HANGUP):
                self._over(read_hangup_untrusted(event.content))
        except Malformed as error:
            if not self._answer.done():
                self._answer.set_exception(
                    Trouble("answer_unusable", f"The server's answer is malformed: {error}.")
                )

    def _answered(self, content: dict[str, Any]) -> None:
        waiting = self._negotiated
        if content.get(names.OFFER_ID) != self._offer_id:
            return  # the answer to an earlier offer, which was given up
        description = mapping(content.get("description"), "description")
        if waiting is not None and not waiting.done() and description.get("type") == "answer":
            waiting.set_result(text(description.get("sdp"), "description.sdp", limits.MESSAGE_MAX_CHARS))

    def _over(self, hangup: Hangup) -> None:
        if self._answer.done():
            self._on_hangup(hangup)
        else:
            self._answer.set_exception(
                Trouble(hangup.code, hangup.message or "The conference server refused the call.")
            )
