"""What a worker decides by itself, as members are told it: who speaks, who gets what, what to send."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from control.protocol import names
from tests.io.devices import Device, Place, devices
from tests.patience import PATIENCE_S

SILENCE, VOICE = 90, 20


@pytest.fixture
async def where() -> AsyncIterator[Place]:
    place = Place()
    yield place
    await place.close()


class Room:
    """Devices that send, 50 times a second, until a condition holds."""

    def __init__(self, *everybody: Device) -> None:
        self.everybody = everybody
        self.speaking: set[Device] = set()
        self.filming: dict[Device, set[int]] = {}
        self._frame = 0

    async def until(self, condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
        began = time.monotonic()
        due = began
        while not condition():
            assert time.monotonic() < began + seconds, "it never came"
            self._send()
            due += 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def goes_on(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        await self.until(lambda: time.monotonic() >= end)

    async def nothing_comes(self, device: Device, ssrc: int) -> None:
        """Returns when for a while others are heard and this is not; what was on its way may still come."""
        end = time.monotonic() + PATIENCE_S
        while True:
            device.heard.clear()
            await self.goes_on(0.3)
            came = {got.ssrc for got in device.heard}
            if came and ssrc not in came:
                return
            assert time.monotonic() < end, came

    async def comes_by(self, device: Device, member: int, ssrcs: set[int]) -> None:
        """Returns when for a while this member comes by these slots and no others; what was on its way comes
        first."""
        end = time.monotonic() + PATIENCE_S
        while True:
            device.heard.clear()
            await self.goes_on(0.3)
            came = {got.ssrc for got in device.heard if got.csrc == member}
            if came == ssrcs:
                return
            assert time.monotonic() < end, came

    def _send(self) -> None:
        self._frame += 1
        for device in self.everybody:
            device.speak(level=VOICE if device in self.speaking else SILENCE)
            for encoding in self.filming.get(device, ()):
                if self._frame % 2:
                    device.film(encoding, key=self._frame % 10 == 1, size=(300, 800, 1100)[encoding])

    def close(self) -> None:
        for device in self.everybody:
            device.close()


def speakers(device: Device) -> tuple[list[int], int | None]:
    told = device.last(names.SPEAKERS) or {"speaking": [], "dominant": None}
    return told["speaking"], told["dominant"]


def slots(device: Device) -> dict[str, tuple[int | None, str | None]]:
    told = device.last(names.SLOTS)
    return {slot["mid"]: (slot["member"], slot["source"]) for slot in told["slots"]}


def encodings(device: Device) -> dict[str, Any]:
    found: dict[str, Any] = device.last(names.SEND)["sources"]["camera"]["encodings"]
    return found


def active(device: Device) -> set[str]:
    return {name for name, each in encodings(device).items() if each["active"]}


def layers(device: Device) -> dict[str, str | None]:
    told: dict[str, str | None] = {}
    for kind, content in device.said:
        if kind == names.LAYERS:
            told |= {mid: each["encoding"] for mid, each in content["slots"].items()}
    return told


def look(device: Device, member: int, **wish: Any) -> None:
    entry = {"stream_id": str(member), "track_id": "camera", **wish}
    device.say(names.TRACK_SUBSCRIPTION, {"subscribe": [entry]})


async def test_who_speaks_is_told_and_seated(where: Place) -> None:
    alice, bob, carol = everybody = await devices(where, 3, {"pairs": 1, "loudest": 1})
    room = Room(*everybody)
    await room.goes_on(1.0)
    await room.until(lambda: slots(alice)["a0"] == (2, "audio"))
    room.speaking = {carol}
    await room.until(lambda: speakers(alice)[0] == [3])
    await room.until(lambda: slots(alice)["l0"] == (3, "audio") or slots(alice)["a0"] == (3, "audio"))
    await room.until(lambda: speakers(alice)[1] == 3)
    # She has no pair of hers at Alice's: Bob, who never spoke, makes room.
    await room.until(lambda: (slots(alice)["a0"], slots(alice)["v0"]) == ((3, "audio"), (3, "camera")))
    await room.until(lambda: slots(alice)["l0"] != (3, "audio"))
    await room.comes_by(alice, 3, {alice.slot_ssrcs["a0"]})
    # Now Bob is heard on the loudest slot.
    room.speaking = {bob}
    await room.until(lambda: any((got.csrc, got.ssrc) == (2, alice.slot_ssrcs["l0"]) for got in alice.heard))
    await room.until(lambda: 2 in speakers(alice)[0] and 3 not in speakers(alice)[0])
    room.speaking = set()
    await room.until(lambda: speakers(alice)[0] == [])
    assert speakers(alice)[1] is not None
    room.close()


async def test_a_sender_is_asked_for_what_is_viewed(where: Place) -> None:
    alice, bob = everybody = await devices(where, 2)
    room = Room(*everybody)
    room.filming = {bob: {0}}
    await room.until(lambda: active(bob) == {"t"})
    look(alice, 2, height=720)
    await room.until(lambda: active(bob) == {"t", "f"})
    room.filming = {bob: {0, 2}}
    await room.until(lambda: layers(alice).get("v0") == "f")
    await room.until(
        lambda: any(got.ssrc == alice.slot_ssrcs["v0"] and len(got.payload) > 1000 for got in alice.heard)
    )
    # Nobody looks any more: all of it stops, and comes back.
    look(alice, 2, height=0)
    await room.until(lambda: active(bob) == set())
    await room.nothing_comes(alice, alice.slot_ssrcs["v0"])
    assert slots(alice)["v0"] == (2, "camera")
    look(alice, 2, height=90)
    await room.until(lambda: "t" in active(bob))
    room.close()


async def test_a_worker_that_is_killed_is_gone_on_for_by_the_next(where: Place) -> None:
    alice, bob = everybody = await devices(where, 2)
    room = Room(*everybody)
    room.filming = {bob: {0, 2}}
    look(alice, 2, height=720)
    await room.goes_on(1.0)
    room.speaking = {bob}
    await room.until(lambda: speakers(alice) == ([2], 2) and layers(alice).get("v0") == "f")
    told = len([kind for kind, _ in alice.said if kind == names.LAYERS])
    where.kill_worker()
    room.speaking = set()
    where.start_worker()
    await room.until(lambda: speakers(alice) == ([], 2))
    room.speaking = {bob}
    await room.until(lambda: speakers(alice) == ([2], 2))
    alice.heard.clear()
    await room.until(
        lambda: {got.ssrc for got in alice.heard} >= {alice.slot_ssrcs["a0"], alice.slot_ssrcs["v0"]}
    )
    # Its deals, and what the sender was asked for, are those of before.
    await room.until(lambda: layers(alice)["v0"] == "f" and active(bob) == {"t", "f"})
    assert len([kind for kind, _ in alice.said if kind == names.LAYERS]) <= told + 1
    room.close()


async def test_a_slow_receiver_gets_less_and_the_sender_is_told(where: Place) -> None:
    alice, bob = everybody = await devices(where, 2)
    room = Room(*everybody)
    room.filming = {bob: {0, 2}}
    look(alice, 2, height=720)
    await room.until(lambda: layers(alice).get("v0") == "f" and "f" in active(bob))

    def slow() -> bool:
        alice.remb(400_000)
        # Alone she is worth the clamp; too slow for it she gets a lower encoding, and nobody views `f`.
        return encodings(bob)["f"].get("max_bitrate", 0) <= 400_000

    await room.until(slow)
    await room.until(lambda: layers(alice)["v0"] in active(bob))

    def allocated() -> int:
        alice.remb(400_000)
        table = where.link.table
        downlinks = [table.downlink_status(handle) for handle in table.transport_handles]
        return next(status.allocated_bps for status in downlinks if status is not None and status.remb_bps)

    await room.until(lambda: allocated() <= 400_000)
    room.close()
