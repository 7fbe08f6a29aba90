"""The bot.

/sync in, call events out, invitations answered. Performs only; what an event means is decided in
control.protocol.
"""

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError
from nio import AsyncClient, Event, MegolmEvent, RoomKeyEvent, SyncResponse
from nio.api import Api

from control.io.matrix_account import SyncPosition
from control.io.matrix_forgetting import Forgetting
from control.io.matrix_keys import (
    Asked,
    KeyQuestions,
    claim_keys,
    is_known_to_be_of_its_sender,
    is_of_its_sender,
)
from control.io.matrix_send import RoomSender
from control.io.matrix_signing import DeviceSigning
from control.io.matrix_turns import Turns
from control.protocol import sync
from control.protocol.direct_message import Refuse, judge_invitation_untrusted, must_leave
from control.protocol.events import MatrixCallEvent
from control.protocol.guest_list import EVERYBODY, GuestList
from control.protocol.progress import Progress

log = logging.getLogger(__name__)
# matrix-nio logs the content of events it finds malformed: offers and addresses have no place in a log.
logging.getLogger("nio").setLevel(logging.CRITICAL)

# How long the homeserver may hold a /sync open. Higher: fewer requests when idle, slower notice of a dead
# connection. Lower: more load.
SYNC_HOLD_MS = 30_000
SYNC_GRACE_S = 15.0
# Between failed attempts, doubling. Higher: a homeserver that is back is noticed later. Lower: one that
# struggles is pressed.
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.25, 3.0
# What a homeserver may make us wait before a room is joined. Higher: one absurd answer holds a caller up.
# Lower: a homeserver that asks for patience is pressed.
JOIN_WAIT_MAX_S = 10.0
# Encrypted events whose key has not come yet. Higher: memory a stranger can fill. Lower: a burst at
# federation delays is lost.
UNDECRYPTED_MAX = 256
UNDECRYPTED_LIFETIME_S = 60.0
# Requests to join or leave rooms at one time. Higher: a flood of invitations becomes a flood of requests.
# Lower: after a long absence some people have to ask again.
ROOM_REQUESTS_MAX = 64
# Timeline events of one room in one answer; older ones are stale calls anyway.
TIMELINE_LIMIT = 50
# Largest answer read. Higher: memory a homeserver can claim. Lower: a bot in tens of thousands of rooms
# cannot start.
ANSWER_MAX_BYTES = 256 * 1024 * 1024

_FILTER = json.dumps(
    {
        "presence": {"not_types": ["*"]},
        "account_data": {"not_types": ["*"]},
        "room": {
            "ephemeral": {"not_types": ["*"]},
            "account_data": {"not_types": ["*"]},
            "timeline": {"limit": TIMELINE_LIMIT},
        },
    },
    separators=(",", ":"),
)


@dataclass(frozen=True, slots=True)
class _Undecrypted:
    """An event whose key has not come."""

    event: MegolmEvent
    age: int  # ms, when it came
    since: float
    done: Callable[[], None]


class MatrixBot:
    """Runs until `stop`.

    `on_event` gets every readable event of direct-message rooms; `count(name)` is told what went wrong.
    """

    def __init__(
        self,
        client: AsyncClient,
        position: SyncPosition,
        on_event: Callable[[MatrixCallEvent], None],
        count: Callable[[str], None],
        guests: GuestList = EVERYBODY,
        signing: DeviceSigning | None = None,
        observe: Callable[[str, str, float], None] = lambda name, label, value: None,
        limited: Callable[[], None] = lambda: None,
    ) -> None:
        """`guests`: who may invite the bot. `limited`: the homeserver makes its messages wait.

        `signing`: makes the bot's device one that its account has signed.
        """
        self._signing = signing
        self._client = client
        self._forgetting = Forgetting(client)
        self._asked = Asked()
        self._guests = guests
        self._position = position
        self._on_event = on_event
        self._count = count
        self._questions = KeyQuestions(client, count)
        self._sender = RoomSender(client, count, self._questions, observe, limited)
        self._turns = Turns(count)
        self._errands: set[asyncio.Task[None]] = set()
        self._claiming = False
        self._progress = Progress()
        self._undecrypted: OrderedDict[str, _Undecrypted] = OrderedDict()
        self._joining: set[asyncio.Task[None]] = set()
        self._membership_changed: set[str] = set()
        self.synced = asyncio.Event()
        self.last_sync: float | None = None

    def send(
        self,
        room_id: str,
        event_type: str,
        content: dict[str, Any],
        delivered: Callable[[], None] = lambda: None,
    ) -> None:
        """Queues an event for a room; encrypted when the room is.

        `delivered` is called if the homeserver took it.
        """
        end = self._progress.begin()

        def done(taken: bool) -> None:
            if taken:
                delivered()
            end()
            self._store()

        self._sender.send(room_id, event_type, content, done)

    async def run(self) -> None:
        """Follows the homeserver until cancelled; its absence is waited out."""
        since, full_state, backoff = self._position.load(), True, BACKOFF_MIN_S
        while True:
            try:
                answer = await self._fetch(since, full_state)
                token = sync.next_batch_untrusted(answer)
            except (ClientError, TimeoutError, OSError, ValueError, RecursionError, sync.SyncError) as error:
                self._count("matrix_sync_failed")
                log.warning(
                    "sync with the homeserver failed (%s), next attempt in %.1f s",
                    type(error).__name__,
                    backoff,
                )
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, BACKOFF_MAX_S)
                continue
            await self._handle(answer)
            since, full_state, backoff = token, False, BACKOFF_MIN_S
            self._forget_undecrypted()
            self._progress.reached(token)
            self._store()
            self.last_sync = time.monotonic()
            self.synced.set()
            await self._housekeeping()

    async def stop(self) -> None:
        """Delivers what is queued for a moment, then closes the connection."""
        await self._sender.stop()
        for task in self._joining | self._errands:
            task.cancel()
        await self._turns.close()
        await self._questions.close()
        await self._client.close()

    async def _fetch(self, since: str | None, full_state: bool) -> object:
        """The raw answer; nothing of it is believed yet."""
        method, path = Api.sync(
            self._client.access_token,
            since=since,
            timeout=None if full_state else SYNC_HOLD_MS,
            filter=json.loads(_FILTER),
            full_state=full_state,
            set_presence="online",
        )
        path = path.replace(f"access_token={self._client.access_token}&", "")
        headers = {"Authorization": f"Bearer {self._client.access_token}"}
        response = await self._client.send(
            method, path, headers=headers, timeout=SYNC_HOLD_MS / 1000 + SYNC_GRACE_S
        )
        async with response:
            if response.status != 200:
                raise OSError(f"HTTP status {response.status}")
            if (response.content_length or 0) > ANSWER_MAX_BYTES:
                raise OSError("the sync answer is too large")
            return json.loads(await response.read())

    async def _handle(self, answer: object) -> None:
        """Every piece on its own: what one of them breaks, it breaks for itself."""
        for piece in sync.split_untrusted(answer):
            try:
                match piece:
                    case sync.CorePiece(body) | sync.ToDevicePiece(body):
                        await self._feed(body)
                        if isinstance(piece, sync.CorePiece):
                            self._questions.changed(body["device_lists"]["changed"])
                            self._questions.begin()
                    case sync.RoomPiece():
                        await self._room(piece)
                    case sync.InvitePiece(room_id, state):
                        self._invited(room_id, state)
                    case sync.LeftPiece(room_id):
                        self._client.rooms.pop(room_id, None)
                    case sync.PoisonPiece():
                        self._count("matrix_poison")
            except (ClientError, TimeoutError) as error:
                self._count("matrix_request_failed")
                log.warning("a request to the homeserver failed: %s", type(error).__name__)
            except Exception as error:  # matrix-nio has no common base of what it raises at malformed input
                self._count("matrix_poison")
                log.warning("an event could not be handled (%s) and was skipped", type(error).__name__)
        # Only now: in between a room is known by half, and a half-known room looks empty.
        while self._membership_changed:
            self._check_membership(self._membership_changed.pop())

    async def _feed(self, body: sync.JsonObject) -> SyncResponse | None:
        """One piece through matrix-nio; the parsed (and decrypted) answer, None when it refused it."""
        response = SyncResponse.from_dict(body)
        if not isinstance(response, SyncResponse):
            self._count("matrix_poison")
            return None
        self._client.next_batch = ""  # matrix-nio skips an answer with the position it has
        await self._client.receive_response(response)
        for event in response.to_device_events:
            if isinstance(event, RoomKeyEvent):
                self._retry_undecrypted(event.session_id)
        return response

    async def _room(self, piece: sync.RoomPiece) -> None:
        response = await self._feed(piece.body)
        if response is None:
            return
        info = response.rooms.join[piece.room_id]
        if piece.event is not None and piece.event["type"] == "m.room.member":
            self._membership_changed.add(piece.room_id)
        for event in info.timeline.events:
            age = sync.age_ms(piece.event or {}) or 0
            if isinstance(event, MegolmEvent):
                self._keep_undecrypted(event, age)
                continue
            self._take(piece.room_id, event, age, bool(getattr(event, "decrypted", False)))

    def _take(self, room_id: str, event: Event, age: int, encrypted: bool) -> None:
        """Hands it on, at once or in its room's turn: it may have to be asked first whose it is."""
        known = (
            not encrypted
            or event.sender == self._client.user_id
            or is_known_to_be_of_its_sender(self._client, event, room_id)
        )
        if known and not self._turns.waiting(room_id):
            self._deliver(room_id, event.source, age, encrypted)
            return
        since, end = time.monotonic(), self._progress.begin()

        async def turn() -> None:
            if not encrypted or await self._is_true(event, room_id):
                self._deliver(room_id, event.source, age + int((time.monotonic() - since) * 1000), encrypted)

        def done() -> None:
            end()
            self._store()

        self._turns.take(room_id, turn, done)

    def _errand(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that the next answer of the homeserver does not wait for."""

        async def guarded() -> None:
            try:
                await work
            except (ClientError, TimeoutError, OSError) as error:
                self._count("matrix_request_failed")
                log.warning("a key request to the homeserver failed: %s", type(error).__name__)
            except Exception as error:  # as in _handle
                self._count("matrix_poison")
                log.warning("keys could not be handled (%s)", type(error).__name__)

        task = asyncio.create_task(guarded(), name="matrix-errand")
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _is_true(self, event: Event, room_id: str) -> bool:
        """Is a decrypted event from a device of its sender?"""
        if event.sender == self._client.user_id or await is_of_its_sender(
            self._client, event, room_id, self._questions, self._asked
        ):
            return True
        self._count("matrix_device_mismatched")
        return False

    def _deliver(self, room_id: str, source: dict[str, Any], age: int, encrypted: bool) -> None:
        sender, event_type, content = source.get("sender"), source.get("type"), source.get("content")
        if sender == self._client.user_id or not isinstance(sender, str):
            return
        if isinstance(event_type, str) and isinstance(content, dict) and event_type.startswith("m.call."):
            self._on_event(MatrixCallEvent(room_id, sender, event_type, content, age, encrypted))

    def _keep_undecrypted(self, event: MegolmEvent, age: int) -> None:
        """Its key may come with a later answer; a call that waits longer than its invite lives is stale."""
        if age < UNDECRYPTED_LIFETIME_S * 1000:
            kept = _Undecrypted(event, age, time.monotonic(), self._progress.begin())
            if (former := self._undecrypted.get(event.event_id)) is not None:
                former.done()
            self._undecrypted[event.event_id] = kept
            self._count("matrix_undecrypted")
        while len(self._undecrypted) > UNDECRYPTED_MAX:
            self._undecrypted.popitem(last=False)[1].done()

    def _forget_undecrypted(self) -> None:
        """Those whose key did not come in time."""
        oldest = time.monotonic() - UNDECRYPTED_LIFETIME_S
        for event_id, kept in list(self._undecrypted.items()):
            if kept.since < oldest:
                del self._undecrypted[event_id]
                kept.done()

    def _retry_undecrypted(self, session_id: str) -> None:
        self._forget_undecrypted()
        for event_id, kept in list(self._undecrypted.items()):
            if kept.event.session_id == session_id and self._client.olm is not None:
                plain = self._client.olm._decrypt_megolm_no_error(kept.event)
                if plain is not None:
                    del self._undecrypted[event_id]
                    age = kept.age + int((time.monotonic() - kept.since) * 1000)
                    self._take(kept.event.room_id, plain, age, True)
                    kept.done()

    def _invited(self, room_id: str, state: tuple[sync.JsonObject, ...]) -> None:
        """Joining is a request of its own and must not hold up the answer's other pieces."""
        verdict = judge_invitation_untrusted(state, self._client.user_id, self._guests)
        if isinstance(verdict, Refuse):
            self._count("matrix_invite_refused")
            self._spawn(self._leave(room_id, verdict.reason))
        else:
            self._count("matrix_invite_accepted")
            self._spawn(self._join(room_id))

    async def _join(self, room_id: str) -> None:
        answer = await self._client.join(room_id)
        if (wait := getattr(answer, "retry_after_ms", None)) is not None:
            self._count("matrix_rate_limited")
            await asyncio.sleep(min(wait / 1000, JOIN_WAIT_MAX_S))
            await self._client.join(room_id)

    async def _leave(self, room_id: str, reason: str) -> None:
        """matrix-nio's own call has no place for the reason, which the person sees."""
        path = f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/leave"
        headers = {"Authorization": f"Bearer {self._client.access_token}", "Content-Type": "application/json"}
        async with await self._client.send("POST", path, json.dumps({"reason": reason}), headers):
            pass

    def _check_membership(self, room_id: str) -> None:
        room = self._client.rooms.get(room_id)
        if room is None or self._client.user_id not in room.users:
            return
        if reason := must_leave(len(room.users)):
            self._count("matrix_room_left")
            self._spawn(self._leave(room_id, reason))

    def _spawn(self, work: Any) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # a homeserver's odd answer is matrix-nio's to raise about, in any way
                self._count("matrix_request_failed")
                log.warning("a request to the homeserver failed: %s", type(error).__name__)

        if len(self._joining) >= ROOM_REQUESTS_MAX:
            work.close()
            self._count("matrix_invite_dropped")
            return
        task = asyncio.create_task(guarded(), name="matrix-room")
        end = self._progress.begin()

        def done(task: asyncio.Task[None]) -> None:
            self._joining.discard(task)
            if not task.cancelled():  # at the end of the process: the next one is told again
                end()
                self._store()

        self._joining.add(task)
        task.add_done_callback(done)

    def _store(self) -> None:
        """How far everything is done."""
        token = self._progress.take()
        if token is None:
            return
        try:
            self._position.store(token)
        except OSError as error:
            self._count("matrix_position_unsaved")
            log.warning(
                "the sync position cannot be stored (%s): events may be handled again", error.strerror
            )

    async def _housekeeping(self) -> None:
        """Keys other devices need of us, and ours of them."""
        client = self._client
        try:
            if client.should_upload_keys:
                await client.keys_upload()
            elif self._signing is not None:
                await self._signing.sign_once()
            self._questions.begin()
            if not self._claiming:
                self._errand(self._claim())
            self._forgetting.look(time.monotonic())
        except (ClientError, TimeoutError, OSError) as error:
            self._count("matrix_request_failed")
            log.warning("a key request to the homeserver failed: %s", type(error).__name__)
        except Exception as error:  # as in _handle; what follows the homeserver may not end by what it says
            self._count("matrix_poison")
            log.warning("keys could not be handled (%s)", type(error).__name__)

    async def _claim(self) -> None:
        """One-time keys of devices for another Olm session with them. Their homeservers may be slow."""
        self._claiming = True
        try:
            await claim_keys(self._client, self._count)
            await self._client.send_to_device_messages()
        finally:
            self._claiming = False
