"""From an invite to a voice: the runtime, a worker process, and devices at UDP sockets on loopback."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from control.protocol import names
from tests.io.devices import Device, Place, devices
from tests.patience import PATIENCE_S
from tests.protocol.people import CREATOR


@pytest.fixture
async def where() -> AsyncIterator[Place]:
    place = Place()
    yield place
    await place.close()


async def test_three_devices_hear_each_other(where: Place) -> None:
    everybody = await devices(where, 3)
    alice, bob, carol = everybody
    await alice.until(
        names.SLOTS, lambda told: [slot["member"] for slot in told["slots"][:4]] == [2, 2, 3, 3]
    )

    async def say(who: Device, payload: bytes, *listeners: Device) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not all(any(got.payload == payload for got in each.heard) for each in listeners):
                who.speak(payload)
                await asyncio.sleep(0.02)

    await say(bob, b"bob speaks", alice, carol)
    await say(carol, b"carol speaks", alice, bob)
    slot = {
        each["member"]: each["mid"] for each in alice.last(names.SLOTS)["slots"] if each["source"] == "audio"
    }
    for number, payload in ((2, b"bob speaks"), (3, b"carol speaks")):
        got = next(got for got in alice.heard if got.payload == payload)
        assert got.csrc == number
        assert got.ssrc == alice.slot_ssrcs[slot[number]]

    # A muted member is not heard, whatever it sends.
    muted = {"userstream": {"purpose": names.USERMEDIA, "audio_muted": True}}
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": muted})
    await alice.until(names.MEMBERS, lambda told: told["present"] and told["present"][0]["audio_muted"])
    async with asyncio.timeout(PATIENCE_S):
        while where.link.table.adopted != where.link.table.current:  # noqa: ASYNC110 - a table has no event
            await asyncio.sleep(0.001)
    alice.heard.clear()
    bob.speak(b"nobody hears this")
    await say(carol, b"carol again", alice)
    assert {got.csrc for got in alice.heard} == {3}

    # And one that left is gone, from the roster and from the table.
    carol.say(names.HANGUP, {})
    await alice.until(names.MEMBERS, lambda told: told["gone"] == [3])
    assert where.link.table.transport_handles == [0, 1]
    for device in everybody:
        device.close()


async def test_stopping_for_good_leaves_an_empty_table(where: Place) -> None:
    alice = Device(where, CREATOR, "device0")
    await (await (await alice.call()).connect()).open()
    await alice.until(names.SEND)
    await where.runtime.stop(silent=False)
    await alice.until(names.HANGUP)
    assert where.link.table.transport_handles == []
    alice.close()
