"""The bot's account over its lives: login, keys, its own signature, and what was not finished."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nio import AsyncClient

from control.demo.people import Account
from control.io.matrix_account import AccountError, open_account
from control.io.matrix_signing import DeviceSigning, canonical
from control.protocol.events import MatrixCallEvent
from tests.conftest import Synapse
from tests.io.bot import CALL, Rig, direct_room, until
from tests.patience import PATIENCE_S


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
