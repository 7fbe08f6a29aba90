"""One login at a homeserver: its rooms followed, events sent and delivered with the device that encrypted
them."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError
from nio import (
    AsyncClient,
    AsyncClientConfig,
    ErrorResponse,
    LoginResponse,
    MegolmEvent,
    RoomMessagesResponse,
    RoomSendResponse,
    SyncResponse,
    WhoamiResponse,
)
from nio.store import SqliteMemoryStore

from client.errors import Trouble
from client.keys.exchange import Device
from client.matrix.inbox import Inbox, RoomEvent, from_source
from client.matrix.olm import send_olm, use_own_types
from client.matrix.piecewise import sync_piecewise
from client.matrix.sharing import SteadyClient

log = logging.getLogger(__name__)
# matrix-nio logs contents of events that it finds malformed: offers and addresses have no place in a log.
logging.getLogger("nio").setLevel(logging.CRITICAL)

# How long a /sync may be held open; lower: more requests, higher: a dead connection is noticed later.
SYNC_HOLD_MS = 30_000
REQUEST_TIMEOUT_S = 60.0
# What a homeserver may make us wait before a request is given up.
PATIENCE_S = 30.0
BACKOFF_S = 1.0
DEVICE_NAME = "Sotto client"
# Delayed events as homeservers have them today.
_MSC4140 = "org.matrix.msc4140"
_DELAY = f"{_MSC4140}.delay"
_DELAYED = f"/_matrix/client/unstable/{_MSC4140}/delayed_events"

_FILTER = {
    "presence": {"not_types": ["*"]},
    "room": {"ephemeral": {"not_types": ["*"]}, "timeline": {"limit": 50}},
}


class Homeserver:
    """`inbox` tells what comes."""

    def __init__(self, client: AsyncClient, ours: bool) -> None:
        self._client = client
        self._ours = ours  # the device was made by us, and is logged out in the end
        self._following: asyncio.Task[None] | None = None
        self._sending: dict[str, asyncio.Lock] = {}
        self._delays: bool | None = None  # whether the homeserver has delayed events
        self.inbox = Inbox(client, self.device)
        self.lost: asyncio.Future[Trouble] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(
        cls, url: str, user: str, *, password: str | None = None, token: str | None = None
    ) -> "Homeserver":
        """Logs in and syncs once. With a password a device is made for this conference and logged out at the
        end; a token must be of a device that has never encrypted. Trouble says what failed.
        """
        config = AsyncClientConfig(
            store=SqliteMemoryStore,
            max_limit_exceeded=0,
            max_timeouts=0,
            request_timeout=REQUEST_TIMEOUT_S,
            encryption_enabled=True,
            store_sync_tokens=False,
        )
        client = SteadyClient(url.rstrip("/"), user, config=config)
        try:
            await _log_in(client, password, token)
            use_own_types(client)
            self = cls(client, token is None)
            await self._first_sync()
        except (ClientError, TimeoutError, OSError) as error:
            await client.close()
            raise Trouble(
                "homeserver_unreachable", f"The homeserver does not answer: {type(error).__name__}."
            ) from None
        except BaseException:
            await client.close()
            raise
        self._following = asyncio.create_task(self._follow(), name="homeserver")
        return self

    @property
    def user_id(self) -> str:
        return str(self._client.user_id)

    @property
    def device_id(self) -> str:
        return str(self._client.device_id)

    @property
    def device(self) -> Device:
        return Device(self.user_id, self.device_id)

    # --- rooms ---

    def joined(self, room_id: str, user_id: str | None = None) -> bool:
        """Whether they are in the room, as far as we know."""
        room = self._client.rooms.get(room_id)
        user_id = user_id or self.user_id
        return room is not None and user_id in room.users and user_id not in room.invited_users

    def people(self, room_id: str) -> set[str]:
        """Joined and invited."""
        room = self._client.rooms.get(room_id)
        return set(room.users) if room is not None else set()

    def encrypted(self, room_id: str) -> bool:
        room = self._client.rooms.get(room_id)
        return bool(room is not None and room.encrypted)

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether it came true in that time; looked at after each sync."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self.inbox.changed.clear()
                    await self.inbox.changed.wait()
        except TimeoutError:
            return condition()
        return True

    async def history(self, room_id: str, pages: int, size: int = 50) -> list[RoomEvent]:
        """What was said before, the newest first, as far as it can be decrypted."""
        found: list[RoomEvent] = []
        start = ""
        for _ in range(pages):
            answer = await self._client.room_messages(room_id, start=start, limit=size)
            if not isinstance(answer, RoomMessagesResponse):
                break
            for event in answer.chunk:
                if isinstance(event, MegolmEvent):
                    self.inbox.keep(room_id, event)
                elif (read := self.inbox.read(room_id, event)) is not None:
                    found.append(read)
            if not answer.end or not answer.chunk:
                break
            start = answer.end
        return found

    async def send(self, room_id: str, event_type: str, content: dict[str, Any]) -> str:
        """The event's id; encrypted when the room is. Events of one room keep their order."""
        async with self._sending.setdefault(room_id, asyncio.Lock()):
            answer = await self._patiently(
                lambda: self._client.room_send(room_id, event_type, content, ignore_unverified_devices=True)
            )
        if not isinstance(answer, RoomSendResponse):
            raise Trouble("homeserver_refused", f"The homeserver did not take an event: {_reason(answer)}.")
        return str(answer.event_id)

    async def send_direct(self, device: Device, message_type: str, content: dict[str, Any]) -> bool:
        """By Olm; False when it could not be sent. Whether it arrives nobody says."""
        try:
            return await send_olm(self._client, device, message_type, content)
        except (ClientError, TimeoutError, OSError) as error:
            log.info("a message to a device was not sent: %s", type(error).__name__)
        except Exception as error:  # matrix-nio has no common base of what it raises at a device's odd keys
            log.warning("a message to a device could not be made: %s", type(error).__name__)
        return False

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Any request of the client-server API: status and JSON. Trouble where no answer comes."""
        headers = {"Authorization": f"Bearer {self._client.access_token}", "Content-Type": "application/json"}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            data = None if body is None else json.dumps(body)
            try:
                async with await self._client.send(method, path, data, headers) as response:
                    answer = json.loads(await response.read() or b"{}")
                    status = int(response.status)
            except (
                ClientError,
                TimeoutError,
                OSError,
                ValueError,
            ) as error:  # or something before it answers
                raise Trouble(
                    "homeserver_unreachable", f"The homeserver does not answer: {type(error).__name__}."
                ) from None
            wait = answer.get("retry_after_ms", 1000) / 1000 if status == 429 else 0.0
            if not wait or time.monotonic() + wait > deadline:
                return status, answer
            await asyncio.sleep(wait)

    async def set_state(self, room_id: str, event_type: str, key: str, content: dict[str, Any]) -> bool:
        """False when the room does not let us (403)."""
        path = f"/_matrix/client/v3/rooms/{quote(room_id)}/state/{quote(event_type)}/{quote(key)}"
        status, answer = await self.request("PUT", path, content)
        if status not in (200, 403):
            raise Trouble(
                "homeserver_refused", f"The homeserver did not take state: {answer.get('errcode')}."
            )
        return status == 200

    async def delay_state(
        self, room_id: str, event_type: str, key: str, content: dict[str, Any], delay_ms: int
    ) -> str | None:
        """State that the homeserver sets after a while (MSC4140); its name there, None where it does not."""
        if self._delays is None:
            _, versions = await self.request("GET", "/_matrix/client/versions")
            _, found = await self.request("GET", "/_matrix/client/v3/capabilities")
            features, abilities = versions.get("unstable_features"), found.get("capabilities")
            delays = abilities.get(f"{_MSC4140}.delayed_events") if isinstance(abilities, dict) else None
            longest = delays.get("max_delay_ms") if isinstance(delays, dict) else None
            self._delays = (isinstance(features, dict) and features.get(_MSC4140) is True) or (
                isinstance(longest, int) and longest >= delay_ms
            )
        # One that does not know the parameter would set it at once.
        if not self._delays:
            return None
        path = f"/_matrix/client/v3/rooms/{quote(room_id)}/state/{quote(event_type)}/{quote(key)}"
        status, answer = await self.request("PUT", f"{path}?{_DELAY}={delay_ms}", content)
        name = answer.get("delay_id") if status == 200 else None
        return name if isinstance(name, str) else None

    async def delayed(self, name: str, action: str) -> bool:
        """restart or cancel; False when the homeserver does not know it any more."""
        status, _ = await self.request("POST", f"{_DELAYED}/{quote(name)}/{action}", {})
        return status == 200

    async def delayed_state(self, room_id: str, event_type: str) -> list[str]:
        """Names of what the homeserver is to set there in our name, by whatever device of ours."""
        status, answer = await self.request("GET", _DELAYED)
        waiting = answer.get("delayed_events") if status == 200 else None
        found = [each for each in waiting if isinstance(each, dict)] if isinstance(waiting, list) else []
        of_it = [each for each in found if (each.get("room_id"), each.get("type")) == (room_id, event_type)]
        return [each["delay_id"] for each in of_it if isinstance(each.get("delay_id"), str)]

    async def state(self, room_id: str) -> list[RoomEvent]:
        """All of it, as it is now."""
        status, answer = await self.request("GET", f"/_matrix/client/v3/rooms/{quote(room_id)}/state")
        events = answer if status == 200 and isinstance(answer, list) else []
        read = (from_source(room_id, each) for each in events if isinstance(each, dict))
        return [each for each in read if each is not None]

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._ours:
            try:
                async with asyncio.timeout(5):
                    await self._client.logout()
            except (ClientError, TimeoutError, OSError):
                log.info("the device could not be logged out")
        await self._client.close()

    # --- following ---

    async def _first_sync(self) -> None:
        answer = await self._client.sync(timeout=0, sync_filter=_FILTER, full_state=True)
        if not isinstance(answer, SyncResponse):
            raise Trouble("homeserver_refused", f"The homeserver refused to sync: {_reason(answer)}.")
        await self._housekeeping()

    async def _follow(self) -> None:
        client = self._client
        while True:
            try:
                answer = await self._sync()
                if isinstance(answer, SyncResponse):
                    await self.inbox.deliver(answer)
                elif getattr(answer, "status_code", "") == "M_UNKNOWN_TOKEN":
                    self.lost.set_result(
                        Trouble("login_refused", "The homeserver has logged this device out.")
                    )
                    return
                elif _is_complete(answer):
                    async for piece in sync_piecewise(client, _FILTER):
                        await self.inbox.deliver(piece)
                else:
                    await asyncio.sleep(BACKOFF_S)
                await self._housekeeping()
                continue
            except (ClientError, TimeoutError, OSError) as error:
                log.info("sync failed: %s", type(error).__name__)
            except Exception as error:  # matrix-nio has no common base of what it raises at odd answers
                log.warning("an answer of the homeserver could not be handled: %s", type(error).__name__)
            await asyncio.sleep(BACKOFF_S)

    async def _sync(self) -> object:
        """matrix-nio's answer; None where it broke at one."""
        position = self._client.next_batch
        try:
            return await self._client.sync(timeout=SYNC_HOLD_MS, sync_filter=_FILTER)
        except (ClientError, TimeoutError, OSError):
            raise
        except Exception as error:
            log.warning("the library broke at an answer: %s", type(error).__name__)
            self._client.next_batch = position
            return None

    async def _housekeeping(self) -> None:
        client = self._client
        if client.should_upload_keys:
            await client.keys_upload()
        if client.should_query_keys:
            await client.keys_query()
        if client.should_claim_keys:
            await client.keys_claim(client.get_users_for_key_claiming())
        await client.send_to_device_messages()

    async def _patiently(self, ask: Callable[[], Any]) -> Any:
        """Waits as the homeserver says when it limits us, for a while."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = await ask()
            except (ClientError, TimeoutError, OSError) as error:
                raise Trouble(
                    "homeserver_unreachable", f"The homeserver does not answer: {type(error).__name__}."
                ) from None
            wait = (getattr(answer, "retry_after_ms", None) or 0) / 1000
            if not wait or time.monotonic() + wait > deadline:
                return answer
            await asyncio.sleep(wait)


async def _log_in(client: AsyncClient, password: str | None, token: str | None) -> None:
    if token is not None:
        client.access_token = token
        answer = await client.whoami()
        if not isinstance(answer, WhoamiResponse) or not answer.device_id:
            raise Trouble("login_refused", f"The access token was refused: {_reason(answer)}.")
        client.restore_login(answer.user_id, answer.device_id, token)
        return
    if password is None:
        raise Trouble("login_refused", "Neither a password nor an access token was given.")
    answer = await client.login(password, device_name=DEVICE_NAME)
    if not isinstance(answer, LoginResponse):
        raise Trouble("login_refused", f"The homeserver refused the login: {_reason(answer)}.")


def _is_complete(answer: object) -> bool:
    """It came, but matrix-nio broke at it, or refused it."""
    response = answer.transport_response if isinstance(answer, ErrorResponse) else None
    return answer is None or (response is not None and response.status == 200)


def _reason(answer: object) -> str:
    return str(answer.message or answer.status_code) if isinstance(answer, ErrorResponse) else "an odd answer"
