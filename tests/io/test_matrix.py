"""The bot against a real homeserver: calls arrive, answers leave, and which rooms it is in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nio import AsyncClient, RoomCreateResponse, RoomSendResponse, ShareGroupSessionResponse

from control.io.matrix_account import open_account
from control.io.matrix_signing import DeviceSigning
from tests.conftest import Synapse
from tests.io.bot import CALL, Rig, device_of, direct_room, somebody, until
from tests.patience import PATIENCE_S


@pytest.fixture
async def rig(synapse: Synapse, tmp_path: Path) -> AsyncIterator[Rig]:
    account = await synapse.account("bot")
    client = await open_account(synapse.url, account.user_id, tmp_path, account.password, None)
    rig = Rig(client, tmp_path)
    await asyncio.wait_for(rig.bot.synced.wait(), PATIENCE_S)
    yield rig
    await rig.stop()


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
