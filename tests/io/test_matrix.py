"""The bot against a real homeserver, and against one that answers rubbish."""

import asyncio
import base64
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nio import (
    AsyncClient,
    AsyncClientConfig,
    RoomCreateResponse,
    RoomSendResponse,
    ShareGroupSessionResponse,
)
from nio.api import Api
from nio.crypto.sessions import InboundGroupSession, OlmAccount, OutboundGroupSession

from control.demo.people import Account
from control.io.matrix import MatrixBot
from control.io.matrix_account import AccountError, SyncPosition, open_account
from control.io.matrix_signing import DeviceSigning, canonical
from control.protocol.events import MatrixCallEvent
from tests.conftest import Synapse
from tests.patience import PATIENCE_S

CALL = {"call_id": "c1", "party_id": "D1", "version": "1"}


class Rig:
    """A running bot; `event()` waits for the next thing it delivers, `noted()` until it is done with that."""

    def __init__(self, client: AsyncClient, data_dir: Path, signing: DeviceSigning | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.events: asyncio.Queue[MatrixCallEvent] = asyncio.Queue()
        self.bot = MatrixBot(client, SyncPosition(data_dir), self.hears, self._count, signing=signing)
        self.user_id = client.user_id
        self._asked, self._told_in, self._waits = 0, 0, False
        self._fetch, self.bot._fetch = self.bot._fetch, self._counting
        self.task = asyncio.create_task(self.bot.run())

    def hears(self, event: MatrixCallEvent) -> None:
        self.events.put_nowait(event)
        # Of an answer that is handled but for what somebody had to be asked about.
        self._told_in = self._asked - self._waits

    def _count(self, name: str) -> None:
        self.counts[name] += 1
        self._told_in = self._asked

    async def _counting(self, since: str | None, full_state: bool) -> object:
        self._asked += 1
        self._waits = True
        try:
            return await self._fetch(since, full_state)
        finally:
            self._waits = False

    async def noted(self) -> None:
        """Until the answer with the last thing that it told of is handled whole: it asks for the next."""
        async with asyncio.timeout(PATIENCE_S):
            while self._asked == self._told_in:  # noqa: ASYNC110 - seldom, and nobody else waits for it
                await asyncio.sleep(0.01)

    async def event(self) -> MatrixCallEvent:
        async with asyncio.timeout(PATIENCE_S):
            return await self.events.get()

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self.bot.stop()


@pytest.fixture
async def rig(synapse: Synapse, tmp_path: Path) -> AsyncIterator[Rig]:
    account = await synapse.account("bot")
    client = await open_account(synapse.url, account.user_id, tmp_path, account.password, None)
    rig = Rig(client, tmp_path)
    await asyncio.wait_for(rig.bot.synced.wait(), PATIENCE_S)
    yield rig
    await rig.stop()


@pytest.fixture
async def person(synapse: Synapse, tmp_path: Path) -> AsyncIterator[AsyncClient]:
    """Somebody with a client of the same library; syncing is up to the test."""
    client = await somebody(synapse, tmp_path)
    yield client
    await client.close()


async def somebody(synapse: Synapse, tmp_path: Path) -> AsyncClient:
    client = await device_of(synapse, await synapse.account("alice"), tmp_path, "alice")
    await client.keys_upload()
    return client


async def device_of(synapse: Synapse, account: Account, tmp_path: Path, name: str) -> AsyncClient:
    """A new one, whose keys nobody knows yet."""
    folder = tmp_path / name
    folder.mkdir()
    client = AsyncClient(
        synapse.url,
        account.user_id,
        store_path=str(folder),
        config=AsyncClientConfig(encryption_enabled=True),
    )
    await client.login(account.password)
    await client.sync()
    return client


async def until(client: AsyncClient, wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not wanted():
            await client.sync(timeout=1000)
            if client.should_query_keys:
                await client.keys_query()


async def direct_room(person: AsyncClient, bot: str, encrypted: bool) -> str:
    """As the browser client makes it: the bot in createRoom's invitations."""
    state = [{"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
    answer = await person.room_create(invite=[bot], is_direct=True, initial_state=state if encrypted else [])
    assert isinstance(answer, RoomCreateResponse)
    room_id: str = answer.room_id

    def joined() -> bool:
        room = person.rooms.get(room_id)
        return room is not None and bot in room.users and bot not in room.invited_users

    await until(person, joined)
    return room_id


@pytest.mark.synapse
async def test_the_bot_signs_its_own_device(synapse: Synapse, person: AsyncClient, tmp_path: Path) -> None:
    account = await synapse.account("bot")

    async def signed_by() -> tuple[dict[str, Any], dict[str, Any]]:
        """The account's keys, and its devices, as another person sees them."""
        own = Account(person.user_id, "", person.access_token, person.device_id)
        body = {"device_keys": {account.user_id: []}}
        keys = await synapse.client.request("POST", "/_matrix/client/v3/keys/query", own, body)
        return keys, keys["device_keys"][account.user_id]

    for start in range(2):
        client = await open_account(
            synapse.url, account.user_id, tmp_path, account.password if start == 0 else None, None
        )
        signing = DeviceSigning(client, tmp_path, account.password)
        rig = Rig(client, tmp_path, signing)
        async with asyncio.timeout(PATIENCE_S):
            while not signing.done:  # noqa: ASYNC110 - seldom, and nobody else waits for it
                await asyncio.sleep(0.02)
        device_id = client.device_id
        await rig.stop()
        keys, devices = await signed_by()
        if start == 0:
            first = keys["master_keys"][account.user_id]["keys"]
        assert keys["master_keys"][account.user_id]["keys"] == first  # the same one after a restart
        (public,) = keys["self_signing_keys"][account.user_id]["keys"].values()
        device = devices[device_id]
        signature = device["signatures"][account.user_id][f"ed25519:{public}"]
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public + "=")).verify(
            base64.b64decode(signature + "=="), canonical(device)
        )
    kept = tmp_path / "matrix" / "cross_signing.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    # Without its keys the account's identity is not replaced: people would see another bot.
    kept.unlink()
    client = await open_account(synapse.url, account.user_id, tmp_path, None, None)
    signing = DeviceSigning(client, tmp_path, account.password)
    await client.sync()
    await signing.sign_once()
    assert signing.done
    assert (await signed_by())[0]["master_keys"][account.user_id]["keys"] == first
    assert not kept.exists()
    await client.close()


@pytest.mark.synapse
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_calls_arrive_and_answers_leave(rig: Rig, person: AsyncClient, encrypted: bool) -> None:
    room_id = await direct_room(person, rig.user_id, encrypted)
    offer = {**CALL, "lifetime": 60000, "offer": {"type": "offer", "sdp": "v=0\r\n" + "a=x\r\n" * 1000}}
    end = {**CALL, "candidates": [{"candidate": "", "sdpMid": "0"}]}  # a BadEvent to matrix-nio
    malformed = {"call_id": 5}
    for event_type, content in (
        ("m.call.invite", offer),
        ("m.call.candidates", end),
        ("m.call.hangup", malformed),
    ):
        await person.room_send(room_id, event_type, content, ignore_unverified_devices=True)
    await person.room_send(
        room_id, "m.room.message", {"msgtype": "m.text", "body": "hi"}, ignore_unverified_devices=True
    )
    await person.room_send(room_id, "m.call.select_answer", CALL, ignore_unverified_devices=True)

    arrived = [await rig.event() for _ in range(4)]
    assert [event.type for event in arrived] == [
        "m.call.invite", "m.call.candidates", "m.call.hangup", "m.call.select_answer",
    ]  # fmt: skip
    assert {event.room_id for event in arrived} == {room_id}
    assert {event.sender for event in arrived} == {person.user_id}
    assert {event.encrypted for event in arrived} == {encrypted}
    assert arrived[0].content["offer"] == offer["offer"]
    assert arrived[1].content["candidates"] == end["candidates"]
    assert all(0 <= event.age_ms < 5 * PATIENCE_S * 1000 for event in arrived)

    got: list[dict[str, Any]] = []
    person.add_event_callback(lambda room, event: got.append(event.source), None)
    for number in range(20):
        rig.bot.send(
            room_id, "m.call.answer", {**CALL, "number": number, "answer": {"type": "answer", "sdp": "v=0"}}
        )
    await until(person, lambda: sum(e["type"] == "m.call.answer" for e in got) == 20)
    numbers = [e["content"]["number"] for e in got if e["type"] == "m.call.answer"]
    assert numbers == sorted(numbers), "events of one room keep their order"


@pytest.mark.synapse
async def test_a_device_that_comes_while_a_room_key_goes_round(
    synapse: Synapse, rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library broke at that (KeyError), and the answer to a call was lost."""
    account = await synapse.account("alice")
    person, another = [await device_of(synapse, account, tmp_path, name) for name in ("first", "second")]
    await person.keys_upload()
    room_id = await direct_room(person, rig.user_id, True)
    await person.room_send(room_id, "m.call.invite", CALL, ignore_unverified_devices=True)
    await rig.event()
    client = rig.bot._client
    send, rounds = client._send, []

    async def sending(kind: type, *words: Any, **options: Any) -> Any:
        answer = await send(kind, *words, **options)
        if kind is ShareGroupSessionResponse:
            rounds.append(kind)
            if len(rounds) == 1:
                await another.keys_upload()
                async with asyncio.timeout(PATIENCE_S):
                    while another.device_id not in client.device_store[account.user_id]:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
        return answer

    monkeypatch.setattr(client, "_send", sending)
    delivered = asyncio.Event()
    rig.bot.send(room_id, "m.call.answer", CALL, delivered.set)
    await asyncio.wait_for(delivered.wait(), PATIENCE_S)
    assert len(rounds) == 2
    got: list[str] = []
    another.add_event_callback(lambda room, event: got.append(event.source["type"]), None)
    await until(another, lambda: "m.call.answer" in got)
    for device in (person, another):
        await device.close()


@pytest.mark.synapse
async def test_a_join_is_within_the_limits_of_a_stock_homeserver(
    limited_synapse: Synapse, tmp_path: Path
) -> None:
    """0.2 events a second, ten at once: what a join costs stays well below."""
    account = await limited_synapse.account("bot")
    client = await open_account(limited_synapse.url, account.user_id, tmp_path, account.password, None)
    signing = DeviceSigning(client, tmp_path, account.password)
    rig = Rig(client, tmp_path, signing)
    await asyncio.wait_for(rig.bot.synced.wait(), PATIENCE_S)
    person = await somebody(limited_synapse, tmp_path)
    room_id = await direct_room(person, rig.user_id, True)
    answers: list[dict[str, Any]] = []
    person.add_event_callback(lambda room, event: answers.append(event.source), None)
    for number in range(3):  # joined, and joined again twice
        call = {**CALL, "call_id": f"call{number}"}
        for event_type in ("m.call.invite", "m.call.select_answer"):
            sent = await person.room_send(room_id, event_type, call, ignore_unverified_devices=True)
            assert isinstance(sent, RoomSendResponse)
            if event_type == "m.call.invite":
                assert (await rig.event()).content["call_id"] == call["call_id"]
                rig.bot.send(room_id, "m.call.answer", {**call, "answer": {"type": "answer", "sdp": "v=0"}})
                await until(
                    person, lambda n=number: sum(e["type"] == "m.call.answer" for e in answers) == n + 1
                )
            else:
                assert (await rig.event()).type == event_type
    assert rig.counts["matrix_rate_limited"] == 0
    assert signing.done
    await person.close()
    await rig.stop()


@pytest.mark.synapse
async def test_a_room_that_is_not_direct_is_refused_and_a_growing_one_left(
    rig: Rig, person: AsyncClient, synapse: Synapse
) -> None:
    answer = await person.room_create(invite=[rig.user_id], is_direct=False)
    assert isinstance(answer, RoomCreateResponse)

    def gone(room_id: str) -> bool:
        room = person.rooms.get(room_id)
        return room is not None and rig.user_id not in room.users and rig.user_id not in room.invited_users

    await until(person, lambda: rig.counts["matrix_invite_refused"] == 1 and gone(answer.room_id))

    room_id = await direct_room(person, rig.user_id, True)
    third = await synapse.account("carol")
    await person.room_invite(room_id, third.user_id)
    await until(person, lambda: gone(room_id))


@pytest.mark.synapse
async def test_the_login_and_the_keys_survive_a_restart(
    synapse: Synapse, person: AsyncClient, tmp_path: Path
) -> None:
    account = await synapse.account("bot")
    first = Rig(await open_account(synapse.url, account.user_id, tmp_path, account.password, None), tmp_path)
    await asyncio.wait_for(first.bot.synced.wait(), PATIENCE_S)
    device = first.bot._client.device_id
    room_id = await direct_room(person, account.user_id, True)
    await person.room_send(room_id, "m.call.invite", CALL, ignore_unverified_devices=True)
    assert (await first.event()).type == "m.call.invite"
    await first.stop()

    # While the bot is away, in the room key it already has: an answered and a new event.
    await person.room_send(room_id, "m.call.hangup", CALL, ignore_unverified_devices=True)
    second = Rig(await open_account(synapse.url, account.user_id, tmp_path, None, None), tmp_path)
    assert second.bot._client.device_id == device
    event = await second.event()
    assert (event.type, event.encrypted) == ("m.call.hangup", True)
    await second.stop()
    assert second.events.empty(), "what was handled before the restart is not handled again"
    for path in (tmp_path / "matrix").iterdir():
        if path.name in {"login.json", "pickle_key", "position"}:
            assert path.stat().st_mode & 0o077 == 0, f"{path.name} is readable by others"


@pytest.mark.synapse
async def test_what_a_killed_bot_had_not_finished_is_found_by_the_next(
    synapse: Synapse, person: AsyncClient, tmp_path: Path
) -> None:
    """An invitation not yet accepted; a call whose answer the homeserver never got; then nothing."""
    account = await synapse.account("bot")

    async def start() -> Rig:
        password = None if (tmp_path / "matrix/login.json").exists() else account.password
        rig = Rig(await open_account(synapse.url, account.user_id, tmp_path, password, None), tmp_path)
        await asyncio.wait_for(rig.bot.synced.wait(), PATIENCE_S)
        return rig

    async def kill(rig: Rig) -> None:
        """Nothing is delivered, nothing stored any more."""
        rig.task.cancel()
        rig.bot._position.store = lambda token: None
        for task in (*rig.bot._joining, *rig.bot._sender._tasks.values()):
            task.cancel()
        await rig.bot._client.close()

    def answers_at_once(rig: Rig) -> None:
        """As the conferences do: before the bot goes on."""

        def hears(event: MatrixCallEvent) -> None:
            rig.hears(event)
            if event.type == "m.call.invite":
                rig.bot.send(event.room_id, "m.call.answer", CALL)

        rig.bot._on_event = hears

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    rig = await start()
    rig.bot._client.join = never
    answer = await person.room_create(invite=[account.user_id], is_direct=True)
    room_id = answer.room_id
    async with asyncio.timeout(PATIENCE_S):
        while not rig.counts["matrix_invite_accepted"]:  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.01)
    await rig.noted()
    await kill(rig)

    rig = await start()

    def joined() -> bool:
        room = person.rooms.get(room_id)
        return (
            room is not None and account.user_id in room.users and account.user_id not in room.invited_users
        )

    await until(person, joined)
    rig.bot._client.room_send = never
    answers_at_once(rig)
    await person.room_send(room_id, "m.call.invite", CALL)
    assert (await rig.event()).type == "m.call.invite"
    await person.room_send(room_id, "m.call.candidates", CALL)
    assert (await rig.event()).type == "m.call.candidates"
    await rig.noted()
    await kill(rig)

    rig = await start()
    assert (await rig.event()).type == "m.call.invite"
    delivered = asyncio.Event()
    rig.bot.send(room_id, "m.call.answer", CALL, delivered.set)
    await asyncio.wait_for(delivered.wait(), PATIENCE_S)
    assert (await rig.event()).type == "m.call.candidates"
    await person.room_send(room_id, "m.call.select_answer", CALL)
    assert (await rig.event()).type == "m.call.select_answer"
    await rig.noted()
    await kill(rig)

    rig = await start()
    await person.room_send(room_id, "m.call.hangup", CALL)
    assert (await rig.event()).type == "m.call.hangup"
    await rig.stop()


@pytest.mark.synapse
@pytest.mark.parametrize(
    ("password", "token", "text"),
    [("wrong", None, "password"), (None, "wrong", "access token"), (None, None, "neither")],
)
async def test_a_refused_login_says_why(
    synapse: Synapse, tmp_path: Path, password: str | None, token: str | None, text: str
) -> None:
    account = await synapse.account("bot")
    with pytest.raises(AccountError, match=text):
        await open_account(synapse.url, account.user_id, tmp_path, password, token)


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


MEGOLM = {
    "algorithm": "m.megolm.v1.aes-sha2",
    "ciphertext": 5,
    "sender_key": [],
    "session_id": {},
    "device_id": 1,
}
POISON = [
    poison("m.room.encrypted", MEGOLM),
    poison("m.room.member", {"membership": "join", "displayname": {"a": 1}}, state_key="@eve:test"),
    poison("m.room.power_levels", {"users": [], "events": 3}, state_key=""),
    poison("m.room.encryption", {"algorithm": 7}, state_key=""),
    poison("m.call.invite", {}, origin_server_ts="never"),
    None,
    5,
    "text",
    [],
]


async def test_poison_never_costs_another_event(tmp_path: Path) -> None:
    answers: list[Any] = [503, "{not json", {"rooms": {}}, {"next_batch": "s0"}]
    for number, poisonous in enumerate(POISON):
        rooms = timeline("!bad:test", poisonous, hangup(number))
        rooms["join"] |= timeline("!good:test", hangup(100 + number))["join"]
        olm = {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "x", "ciphertext": {"k": poisonous}}
        to_device = [{"type": "m.room.encrypted", "sender": "@eve:test", "content": olm}, poisonous]
        answers.append({"next_batch": f"s{number + 1}", "to_device": {"events": to_device}, "rooms": rooms})
    homeserver = HostileHomeserver(answers)
    async with homeserver as url:
        rig = Rig(await open_account(url, "@bot:test", tmp_path, None, "token"), tmp_path)
        arrived = [await rig.event() for _ in range(2 * len(POISON))]
        await homeserver.asked_since(f"s{len(POISON)}")
        await rig.stop()
    bad = [e.content["number"] for e in arrived if e.room_id == "!bad:test" and e.type == "m.call.hangup"]
    good = [e.content["number"] for e in arrived if e.room_id == "!good:test"]
    assert bad == list(range(len(POISON)))
    assert good == [100 + number for number in range(len(POISON))]
    assert rig.counts["matrix_sync_failed"] == 3
    assert SyncPosition(tmp_path).load() == f"s{len(POISON)}"


async def test_a_homeserver_that_makes_the_bot_wait_is_noticed(tmp_path: Path) -> None:
    homeserver = HostileHomeserver([{"next_batch": "s1", "rooms": timeline("!dm:test", hangup(1))}])
    homeserver.limited = 2
    waits: list[None] = []
    delivered = asyncio.Event()
    async with homeserver as url:
        client = await open_account(url, "@bot:test", tmp_path, None, "token")
        rig = Rig(client, tmp_path)
        rig.bot._sender._limited = lambda: waits.append(None)
        await homeserver.asked_since("s1")
        for number in range(2):
            delivered.clear()
            rig.bot.send("!dm:test", "m.call.answer", {**CALL, "number": number}, delivered.set)
            async with asyncio.timeout(PATIENCE_S):
                await delivered.wait()
        await rig.stop()
    assert len(waits) == rig.counts["matrix_rate_limited"] == 2


def device(owner: str, **changed: Any) -> dict[str, Any]:
    """One device as a key query answers it, with a signature of the right form."""
    keys = {"ed25519:D": "!", "curve25519:D": "!"}
    whole = {"user_id": owner, "device_id": "D", "algorithms": [], "keys": keys}
    whole["signatures"] = {owner: {"ed25519:D": "!"}}
    return {"D": {name: value for name, value in (whole | changed).items() if value is not None}}


def own_device(owner: str = "@zoe:test", account: OlmAccount | None = None) -> dict[str, Any]:
    account = account or OlmAccount()
    keys = {f"{kind}:D": key for kind, key in account.identity_keys.items()}
    unsigned = {"user_id": owner, "device_id": "D", "algorithms": [], "keys": keys}
    signature = account.sign(Api.to_canonical_json(unsigned))
    return {"D": unsigned | {"signatures": {owner: {"ed25519:D": signature}}}}


async def test_a_homeserver_that_is_slow_to_tell_of_devices_holds_up_its_own_people_alone(
    tmp_path: Path,
) -> None:
    eve, account, sent = "@eve:slow", OlmAccount(), OutboundGroupSession()
    key = sent.session_key
    sent.mark_as_shared()

    def encrypted_room(room_id: str, user: str, *events: Any) -> dict[str, Any]:
        state = [poison("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}, state_key="")]
        state += [
            poison("m.room.member", {"membership": "join"}, state_key=who, sender=who)
            for who in (user, "@bot:test")
        ]
        return {room_id: {"state": {"events": state}, "timeline": {"events": list(events)}}}

    def sealed(number: int) -> dict[str, Any]:
        content = {
            "algorithm": "m.megolm.v1.aes-sha2",
            "ciphertext": sent.encrypt(
                json.dumps(
                    {"type": "m.call.hangup", "room_id": "!eve:test", "content": hangup(number)["content"]}
                )
            ),
            "sender_key": account.identity_keys["curve25519"],
            "session_id": sent.id,
            "device_id": "D",
        }
        return poison("m.room.encrypted", content, sender=eve, event_id=f"$sealed{number}")

    plain = {**hangup(2), "sender": eve}
    rooms = encrypted_room("!eve:test", eve, sealed(1), plain)
    homeserver = HostileHomeserver(
        [
            {"next_batch": "s0"},
            {
                "next_batch": "s1",
                "rooms": {"join": rooms | encrypted_room("!alice:test", "@alice:test", hangup(100))},
            },
            {
                "next_batch": "s2",
                "rooms": timeline("!alice:test", hangup(101)),
                # An answer that is on its way is older than that.
                "device_lists": {"changed": [eve], "left": []},
            },
        ]
    )
    homeserver.devices = {eve: own_device(eve, account)}
    async with homeserver as url:
        client = await open_account(url, "@bot:test", tmp_path, None, "token")
        keys = account.identity_keys
        client.olm.inbound_group_store.add(
            InboundGroupSession(key, keys["ed25519"], keys["curve25519"], "!eve:test")
        )
        rig = Rig(client, tmp_path)
        assert [(await rig.event()).content["number"] for _ in range(2)] == [100, 101]
        await homeserver.asked_since("s2")
        await asyncio.wait_for(homeserver.slow_asked.wait(), PATIENCE_S)
        # Others are answered meanwhile, in an encrypted room.
        delivered = asyncio.Event()
        rig.bot.send("!alice:test", "m.call.answer", CALL, delivered.set)
        await asyncio.wait_for(delivered.wait(), PATIENCE_S)
        assert rig.events.empty()
        assert SyncPosition(tmp_path).load() == "s0"  # should it die now, the next one is told again
        homeserver.slow_answers.set()
        assert [(await rig.event()).content["number"] for _ in range(2)] == [1, 2]  # in order
        async with asyncio.timeout(PATIENCE_S):
            position = SyncPosition(tmp_path)
            while position.load() != "s2" or eve in client.users_for_key_query:  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.01)
        await rig.stop()
    assert {each.user_id for each in client.device_store} == {eve}
    assert homeserver.slow_questions == 2
    assert rig.counts["matrix_device_mismatched"] == 0


async def test_false_device_keys_cost_only_their_owner(tmp_path: Path) -> None:
    """Keys that are none, fields that are missing: the bot goes on, and knows the others' devices."""
    users = ["@keys:test", "@user:test", "@algorithms:test", "@zoe:test"]
    state = [poison("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}, state_key="")]
    state += [poison("m.room.member", {"membership": "join"}, state_key=user) for user in users]
    rooms = {"join": {"!dm:test": {"state": {"events": state}}}}
    deep = '{"next_batch": ' + 5000 * "[" + 5000 * "]" + "}"
    homeserver = HostileHomeserver([{"next_batch": "s1", "rooms": rooms}, deep, {"next_batch": "s2"}])
    homeserver.devices = {
        "@keys:test": device("@keys:test"),
        "@user:test": device("@user:test", user_id=None),
        "@algorithms:test": device("@algorithms:test", algorithms=None),
        "@zoe:test": own_device(),
    }
    async with homeserver as url:
        client = await open_account(url, "@bot:test", tmp_path, None, "token")
        rig = Rig(client, tmp_path)
        await homeserver.asked_since("s2")
        async with asyncio.timeout(PATIENCE_S):
            while client.users_for_key_query:  # noqa: ASYNC110 - asked in the background
                await asyncio.sleep(0.01)
        known = {each.user_id for each in client.device_store}
        await rig.stop()
    assert known == {"@zoe:test"}
    assert not client.users_for_key_query
    assert rig.counts["matrix_poison"] == 3
    assert rig.counts["matrix_sync_failed"] == 1
