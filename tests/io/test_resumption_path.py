"""Control is killed while people talk: nobody misses a packet, and all come back by a second connection."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from control.protocol import names
from tests.io.devices import Device, Place, devices
from tests.patience import PATIENCE_S


@pytest.fixture
async def where() -> AsyncIterator[Place]:
    place = Place((32, 128, 512))
    yield place
    await place.close()


async def talk(who: Device, listener: Device, payload: bytes) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not any(got.payload == payload for got in listener.heard):
            who.speak(payload)
            await asyncio.sleep(0.02)


async def test_a_second_connection_while_the_first_goes_on(where: Place) -> None:
    alice, bob = await devices(where, 2)
    await talk(bob, alice, b"over the first")
    told = len(alice.said)
    second = await Device(where, bob.user_id, bob.name).resume(bob)
    await talk(alice, second, b"to the second")
    await talk(alice, bob, b"and still to the first")
    await talk(second, alice, b"over the second")
    heard = [got for got in alice.heard if got.payload.startswith(b"over")]
    assert {got.csrc for got in heard} == {2}
    assert len({got.ssrc for got in heard}) == 1  # one stream, whatever it comes from
    sequences = [got.sequence for got in heard]
    assert sequences == sorted(sequences)
    second.say(names.RESUMED, {})
    await where.until(lambda: len(where.runtime.focus._by_transport) == 2)
    await talk(second, alice, b"over the second alone")
    assert not [each for each in alice.said[told:] if each[0] in (names.MEMBERS, names.SLOTS)]
    for device in (alice, bob, second):
        device.close()


async def test_control_is_killed_and_media_goes_on(where: Place) -> None:
    alice, bob, carol = everybody = await devices(where, 3)
    await talk(bob, alice, b"before")
    rows = where.link.table.transport_handles, where.link.table.sink_handles
    await where.kill_control()
    # Nobody is there: every packet arrives.
    alice.heard.clear()
    for number in range(50):
        bob.speak(b"while away %d" % number)
        await asyncio.sleep(0.005)
    await talk(bob, alice, b"the end")
    where.start_control()
    for number in range(50):
        bob.speak(b"after %d" % number)
        await asyncio.sleep(0.005)
    await talk(bob, alice, b"the very end")
    heard = {got.payload for got in alice.heard}
    assert {b"while away %d" % number for number in range(50)} <= heard
    assert {b"after %d" % number for number in range(50)} <= heard
    assert (where.link.table.transport_handles, where.link.table.sink_handles) == rows
    assert where.runtime.focus.members == 3
    # And all of them come back.
    again = [await Device(where, each.user_id, each.name).resume(each) for each in everybody]
    for device in again:
        assert [entry["member"] for entry in device.last(names.MEMBERS)["present"]] == [1, 2, 3]
        device.say(names.RESUMED, {})
    await where.until(lambda: len(where.runtime.focus._by_transport) == 3)
    await talk(again[1], again[0], b"the second connections")
    # Somebody new finds them.
    dave = await (await (await Device(where, "@dave:example.org", "dave").call()).connect()).open()
    await dave.until(names.MEMBERS, lambda told: len(told["present"]) == 4)
    await talk(again[2], dave, b"to the new one")
    for device in (*everybody, *again, dave):
        device.close()
    assert carol.last(names.WELCOME)["member"] == 3


async def test_whoever_left_while_control_was_away_is_put_out(
    where: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.io.inherited.CONSENT_NS", 3_000_000_000)
    monkeypatch.setattr("control.io.workers.SWEEP_S", 10 * PATIENCE_S)  # it is the test that sweeps
    alice, bob = await devices(where, 2)

    async def stays() -> None:
        while True:
            alice.socket.sendto(alice._check(), alice.focus)
            await asyncio.sleep(0.05)

    # From before the sweeps begin, however long the rest takes.
    staying = asyncio.create_task(stays())
    await where.kill_control()
    bob.close()
    where.start_control()
    assert where.runtime.focus.members == 2

    def sweeps() -> bool:
        """While alice was heard of just now, however long this machine stood still."""
        table, now = where.link.table, time.monotonic_ns()
        heard = [table.transport_status(handle, now) for handle in table.transport_handles]
        ages = [one.consent_age_ns for one in heard if one is not None and one.consent_age_ns is not None]
        if not ages or min(ages) > 1_000_000_000:
            return False
        where.link._sweep_inherited()
        return True

    async with asyncio.timeout(PATIENCE_S):
        while where.runtime.focus.members == 2:
            sweeps()
            await asyncio.sleep(0.02)
        while not sweeps():  # noqa: ASYNC110 - a table has no event
            await asyncio.sleep(0.02)
    staying.cancel()
    assert where.runtime.focus.members == 1
    assert where.last_matrix("device1")[0] == names.HANGUP
    alice.close()
