"""What a malicious homeserver gets of the bot's keys, and puts among them: nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from nio import AsyncClient, KeysQueryResponse, ToDeviceMessage

from control.io.matrix_account import open_account
from control.protocol import sync
from tests.conftest import Synapse
from tests.io.bot import CALL, Rig, direct_room
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.synapse


def inbound(rig: Rig) -> set[str]:
    """Sessions with whose keys the bot reads."""
    store = rig.bot._client.olm.inbound_group_store
    return {session.id for session in store}


async def test_room_keys_are_neither_given_nor_taken(
    synapse: Synapse, person: AsyncClient, tmp_path: Path
) -> None:
    account = await synapse.account("bot")
    client = await open_account(synapse.url, account.user_id, tmp_path, account.password, None)
    rig = Rig(client, tmp_path)
    await asyncio.wait_for(rig.bot.synced.wait(), PATIENCE_S)
    room_id = await direct_room(person, rig.user_id, True)
    await person.room_send(room_id, "m.call.invite", CALL, ignore_unverified_devices=True)
    await rig.event()
    rig.bot.send(room_id, "m.call.answer", CALL)
    async with asyncio.timeout(PATIENCE_S):
        while not rig.counts["matrix_sent"]:  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.02)
    known = inbound(rig)
    assert known
    (session_id,) = sorted(known)[:1]
    sent: list[Any] = []
    send = client.to_device

    async def watched(message: ToDeviceMessage, tx_id: str | None = None) -> Any:
        sent.append(message)
        return await send(message, tx_id)

    client.to_device = watched  # type: ignore[method-assign]

    def to_bot(kind: str, content: dict[str, Any]) -> ToDeviceMessage:
        return ToDeviceMessage(kind, rig.user_id, "*", content)

    forwarded = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "forwarding_curve25519_key_chain": [],
        "room_id": room_id,
        "sender_claimed_ed25519_key": person.olm.account.identity_keys["ed25519"],
        "sender_key": person.olm.account.identity_keys["curve25519"],
        "session_id": "forged",
        "session_key": "AQAAAAA" + "A" * 300,
    }
    request = {
        "action": "request",
        "body": {k: forwarded[k] for k in ("algorithm", "room_id", "sender_key")}
        | {"session_id": session_id},
        "request_id": "r1",
        "requesting_device_id": person.device_id,
    }
    # In clear, and as an encrypted message from a true device.
    for kind, content in (
        ("m.forwarded_room_key", forwarded),
        ("m.room_key", {k: forwarded[k] for k in ("algorithm", "room_id", "session_id", "session_key")}),
        ("m.room_key_request", request),
    ):
        await person.to_device(to_bot(kind, content))
        device = next(iter(person.device_store[rig.user_id].values()))
        session = person.olm.session_store.get(device.curve25519)
        if session is not None:
            sealed = person.olm._olm_encrypt(session, device, kind, content)
            await person.to_device(ToDeviceMessage("m.room.encrypted", rig.user_id, device.id, sealed))
    # And a request in the name of another device of the bot's own account, which the homeserver made up.
    ghost = AsyncClient(synapse.url, account.user_id)
    await ghost.login(account.password, device_name="ghost")
    await ghost.to_device(to_bot("m.room_key_request", {**request, "requesting_device_id": ghost.device_id}))
    await ghost.close()
    # What comes after all of these has been read by then.
    await person.room_send(room_id, "m.call.hangup", CALL, ignore_unverified_devices=True)
    assert (await rig.event()).type == "m.call.hangup"
    await asyncio.sleep(0.5)
    assert inbound(rig) == known
    assert not [each for each in sent if each.type in ("m.forwarded_room_key", "m.room_key_request")]
    for message in sent:  # dummies and keys of the direct room alone, to its other member
        assert message.recipient == person.user_id, message
    await rig.stop()


async def test_an_event_is_of_its_sender_or_of_nobody(
    synapse: Synapse, person: AsyncClient, tmp_path: Path
) -> None:
    """A homeserver passes on what one person's device sealed, and says that another had sent it."""
    account = await synapse.account("bot")
    client = await open_account(synapse.url, account.user_id, tmp_path, account.password, None)
    rig = Rig(client, tmp_path)
    await asyncio.wait_for(rig.bot.synced.wait(), PATIENCE_S)
    room_id = await direct_room(person, rig.user_id, True)
    await person.room_send(room_id, "m.call.invite", CALL, ignore_unverified_devices=True)
    assert (await rig.event()).sender == person.user_id
    another = await synapse.account("mallory")

    def relayed(sender: str, event_id: str) -> sync.RoomPiece:
        kind, content = person.encrypt(room_id, "m.call.hangup", CALL)
        event = {
            "type": kind, "sender": sender, "content": content, "event_id": event_id,
            "origin_server_ts": 1, "unsigned": {"age": 1},
        }  # fmt: skip
        answer = {"next_batch": "t", "rooms": {"join": {room_id: {"timeline": {"events": [event]}}}}}
        (piece,) = [each for each in sync.split_untrusted(answer) if getattr(each, "event", None)]
        assert isinstance(piece, sync.RoomPiece)
        return piece

    async def settled() -> None:
        async with asyncio.timeout(PATIENCE_S):
            while rig.bot._turns.waiting(room_id):  # noqa: ASYNC110 - seldom
                await asyncio.sleep(0.01)

    await rig.bot._room(relayed(another.user_id, "$forged"))
    await settled()
    assert rig.events.empty()
    assert rig.counts["matrix_device_mismatched"] == 1
    # And it is not asked about that person for each: an answer may take ten seconds, in which nobody joins.
    questions: list[Any] = []
    ask = client._send

    async def watched(kind: type, *arguments: Any, **more: Any) -> Any:
        questions.extend([None] * (kind is KeysQueryResponse))
        return await ask(kind, *arguments, **more)

    client._send = watched  # type: ignore[method-assign]
    for number in range(10):
        await rig.bot._room(relayed(another.user_id, f"$forged{number}"))
        await settled()
    assert rig.counts["matrix_device_mismatched"] == 11
    assert len(questions) <= 1
    await rig.bot._room(relayed(person.user_id, "$true"))
    assert (await rig.event()).sender == person.user_id
    # A device that nobody has told of yet is asked for.
    rig.bot._client.device_store._entries.pop(person.user_id)
    await rig.bot._room(relayed(person.user_id, "$anew"))
    assert (await rig.event()).sender == person.user_id
    await rig.stop()
