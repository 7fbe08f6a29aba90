"""A homeserver that answers what a test says, and what it may say."""

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.io.bot import CALL
from tests.patience import PATIENCE_S


class HostileHomeserver:
    """Answers each /sync with the next of a list, then holds the request."""

    def __init__(self, answers: list[Any]) -> None:
        self._answers = answers
        self._asked = asyncio.Condition()
        self._since: str | None = None
        self.devices: dict[str, Any] = {}
        self.slow_asked, self.slow_answers = asyncio.Event(), asyncio.Event()  # homeserver "slow"
        self.slow_questions = 0
        self.limited = 0  # so many more messages have to wait
        app = web.Application()
        app.router.add_get("/_matrix/client/v3/sync", self._sync)
        app.router.add_put("/_matrix/client/v3/rooms/{room}/send/{type}/{transaction}", self._send)
        app.router.add_route("*", "/{path:.*}", self._other)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def asked_since(self, position: str) -> None:
        """Waits until the bot asks for what comes after `position`: it has handled all before."""
        async with asyncio.timeout(PATIENCE_S), self._asked:
            await self._asked.wait_for(lambda: self._since == position)

    async def _sync(self, request: web.Request) -> web.Response:
        async with self._asked:
            self._since = request.query.get("since")
            self._asked.notify_all()
        if not self._answers:
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, int):
            return web.Response(status=answer, text="no")
        return web.Response(text=answer if isinstance(answer, str) else json.dumps(answer))

    async def _send(self, request: web.Request) -> web.Response:
        if self.limited:
            self.limited -= 1
            wait = {"errcode": "M_LIMIT_EXCEEDED", "error": "later", "retry_after_ms": 1}
            return web.json_response(wait, status=429)
        return web.json_response({"event_id": "$sent"})

    async def _other(self, request: web.Request) -> web.Response:
        if request.path.endswith("/whoami"):
            return web.json_response({"user_id": "@bot:test", "device_id": "DEV"})
        if request.path.endswith("/joined_members"):
            return web.json_response({"joined": {"@alice:test": {}}})
        if request.path.endswith("/keys/query"):
            asked = (await request.json())["device_keys"]
            if any(user.endswith(":slow") for user in asked):
                self.slow_questions += 1
                self.slow_asked.set()
                await self.slow_answers.wait()
            devices = {user: self.devices[user] for user in asked if user in self.devices}
            return web.json_response({"device_keys": devices, "failures": {}})
        return web.json_response(
            {"one_time_key_counts": {}, "device_keys": {}, "failures": {}, "room_id": "!x:test"}
        )


def timeline(room_id: str, *events: Any) -> dict[str, Any]:
    return {"join": {room_id: {"timeline": {"events": list(events)}}}}


def hangup(number: int) -> dict[str, Any]:
    base = {"type": "m.call.hangup", "sender": "@alice:test", "event_id": f"${number}", "origin_server_ts": 1}
    return {**base, "content": {**CALL, "number": number}}


def poison(event_type: str, content: Any, **more: Any) -> dict[str, Any]:
    base = {"type": event_type, "sender": "@eve:test", "event_id": "$p", "origin_server_ts": 1}
    return {**base, "content": content, **more}
