"""matrix-nio's stores, in memory and on disk, after devices came and went."""

import logging
from pathlib import Path

import pytest
from nio import AsyncClient, AsyncClientConfig, MatrixRoom
from nio.crypto import OlmDevice
from nio.crypto.sessions import InboundGroupSession, OlmAccount, OutboundGroupSession, OutboundSession

from control.io import matrix_forgetting
from control.io.matrix_forgetting import ELSEWHERE_S, GONE_S, KEPT, LOOK_S, UNKNOWN_S, Forgetting

BOT, ROOM = "@sotto:example.org", "!dm:example.org"


def client(folder: Path) -> AsyncClient:
    made = AsyncClient(
        "http://127.0.0.1:1",
        BOT,
        store_path=str(folder),
        config=AsyncClientConfig(encryption_enabled=True, store_sync_tokens=False, pickle_key="key"),
    )
    made.restore_login(BOT, "BOTDEVICE", "token")
    made.rooms[ROOM] = MatrixRoom(ROOM, BOT, encrypted=True)
    return made


def joins(bot: AsyncClient, number: int, room_keys: int = 2) -> OlmDevice:
    """A new device of somebody, the Olm session with it, and its keys for the room."""
    olm, account = bot.olm, OlmAccount()
    device = OlmDevice("@alice:example.org", f"DEVICE{number}", account.identity_keys)
    olm.device_store.add(device)
    olm.store.save_device_keys({device.user_id: {device.id: device}})
    olm.store.ignore_devices([device])
    olm.account.generate_one_time_keys(1)
    (one_time,) = olm.account.one_time_keys["curve25519"].values()
    theirs = OutboundSession(account, olm.account.identity_keys["curve25519"], one_time)
    message = theirs.encrypt("hello")
    ours = olm._create_inbound_session(device.user_id, device.curve25519, message)
    ours.decrypt(message)
    olm.account.mark_keys_as_published()
    olm.session_store.add(device.curve25519, ours)
    olm.store.save_session(device.curve25519, ours)
    for _ in range(room_keys):
        sent = OutboundGroupSession()
        got = InboundGroupSession(sent.session_key, device.ed25519, device.curve25519, ROOM)
        olm.inbound_group_store.add(got)
        olm.store.save_inbound_group_session(got)
    return device


def held(bot: AsyncClient) -> tuple[int, int, int, int]:
    """Devices, Olm sessions, room keys, devices in the file beside the database."""
    olm = bot.olm
    stores = olm.device_store, olm.session_store, olm.inbound_group_store, olm.store.ignore_db
    return tuple(len(list(each)) for each in stores)  # type: ignore[return-value]


async def test_devices_that_were_logged_out_are_forgotten_with_their_keys(tmp_path: Path) -> None:
    bot = client(tmp_path)
    forgetting = Forgetting(bot)
    stays = joins(bot, 0)
    start = held(bot)
    for number in range(1, 21):
        joins(bot, number).deleted = True
    assert held(bot) == (21, 21, 42, 21)
    assert forgetting.look(1000.0) == 0
    assert forgetting.look(1000.0 + GONE_S - 1) == 0  # what they had sent may still come
    assert held(bot) == (21, 21, 42, 21)
    assert forgetting.look(1000.0 + GONE_S + LOOK_S) == 20 * 3
    assert held(bot) == start
    assert bot.olm.device_store[stays.user_id] == {stays.id: stays}
    await bot.close()
    again = client(tmp_path)
    assert held(again) == start  # on disk too
    assert again.olm.session_store.get(stays.curve25519) is not None
    await again.close()


async def test_what_is_asked_of_the_database_does_not_depend_on_how_many_are_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite's statements stay in memory, prepared, by their text."""
    bot = client(tmp_path)
    forgetting = Forgetting(bot)
    texts: list[set[str]] = []
    now, number = 1000.0, 0
    for many in (1, 2, 7):
        for _ in range(many):
            number += 1
            joins(bot, number).deleted = True
        forgetting.look(now)
        with caplog.at_level(logging.DEBUG, "peewee"):
            assert forgetting.look(now + GONE_S) == 3 * many
        texts.append({record.msg[0] for record in caplog.records if record.name == "peewee"})
        caplog.clear()
        now += GONE_S + LOOK_S
    assert len(texts[0]) > 3
    assert texts[0] == texts[1] == texts[2]
    assert held(bot) == (0, 0, 0, 0)
    await bot.close()
    again = client(tmp_path)
    assert held(again) == (0, 0, 0, 0)
    await again.close()


def sends_keys(bot: AsyncClient, device: OlmDevice, room_id: str) -> None:
    sent = OutboundGroupSession()
    bot.olm.create_group_session(device.curve25519, device.ed25519, room_id, sent.id, sent.session_key)


async def test_keys_that_anybody_sends_of_rooms_we_are_not_in_do_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix_forgetting, "ELSEWHERE_MAX", 10)
    bot = client(tmp_path)
    forgetting = Forgetting(bot)
    device = joins(bot, 1)
    start = held(bot)
    for number in range(30):
        sends_keys(bot, device, f"!{number}:stranger.example")
    assert forgetting.look(1000.0) == 20
    sends_keys(bot, device, "!new:example.org")  # an invitation is on its way
    forgetting.look(1000.0 + LOOK_S)
    assert "!new:example.org" in bot.olm.inbound_group_store._entries
    bot.rooms["!new:example.org"] = MatrixRoom("!new:example.org", BOT, encrypted=True)
    forgetting.look(1000.0 + ELSEWHERE_S)
    assert set(bot.olm.inbound_group_store._entries) == {ROOM, "!new:example.org"}
    await bot.close()
    again = client(tmp_path)
    assert held(again) == (start[0], start[1], start[2] + 1, start[3])
    await again.close()


async def test_keys_of_devices_that_nobody_has_do_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix_forgetting, "UNKNOWN_MAX", 10)
    bot = client(tmp_path)
    forgetting = Forgetting(bot)
    stays = joins(bot, 0)
    start = held(bot)
    unknown = [joins(bot, number) for number in range(1, 13)]
    for each in unknown:
        del bot.olm.device_store[each.user_id][each.id]
    assert held(bot)[1] == 13
    assert forgetting.look(1000.0) == 2 * 3
    assert forgetting.look(1000.0 + UNKNOWN_S - 1) == 0
    # Of one of them it is learnt that it is a device.
    learnt = next(each for each in unknown if each.curve25519 in bot.olm.session_store._entries)
    bot.olm.device_store.add(learnt)
    assert forgetting.look(1000.0 + UNKNOWN_S - 1 + LOOK_S) == 9 * 3
    assert set(bot.olm.session_store._entries) == {stays.curve25519, learnt.curve25519}
    assert held(bot)[:3] == tuple(2 * number for number in start[:3])
    await bot.close()
    again = client(tmp_path)
    assert held(again)[1:3] == (2, 4)
    await again.close()


async def test_a_device_that_comes_back_meanwhile_keeps_its_keys(tmp_path: Path) -> None:
    bot = client(tmp_path)
    forgetting = Forgetting(bot)
    device = joins(bot, 1)
    device.deleted = True
    forgetting.look(1000.0)
    device.deleted = False
    forgetting.look(1000.0 + LOOK_S)
    device.deleted = True
    assert forgetting.look(1000.0 + GONE_S + LOOK_S) == 0
    assert held(bot)[0] == 1
    await bot.close()


async def test_of_a_device_the_newest_keys_are_kept(tmp_path: Path) -> None:
    bot = client(tmp_path)
    device = joins(bot, 1, room_keys=10)
    newest = list(bot.olm.inbound_group_store[ROOM][device.curve25519])[-KEPT:]
    # Somebody's messages under keys that nobody sent leave their names behind in matrix-nio.
    assert bot.olm.inbound_group_store.get("!other:example.org", "nobody", "nothing") is None
    assert Forgetting(bot).look(1000.0) == 10 - KEPT
    assert list(bot.olm.inbound_group_store[ROOM][device.curve25519]) == newest
    assert set(bot.olm.inbound_group_store._entries) == {ROOM}
    await bot.close()
    again = client(tmp_path)
    assert held(again) == (1, 1, KEPT, 1)
    assert list(again.olm.inbound_group_store[ROOM][device.curve25519]) == newest
    await again.close()
