"""The bot against a homeserver that answers rubbish, makes it wait or lies about devices."""

import asyncio
import json
from pathlib import Path
from typing import Any

from nio.api import Api
from nio.crypto.sessions import InboundGroupSession, OlmAccount, OutboundGroupSession

from control.io.matrix_account import SyncPosition, open_account
from tests.io.bot import CALL, Rig
from tests.io.hostile_homeserver import HostileHomeserver, hangup, poison, timeline
from tests.patience import PATIENCE_S

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
