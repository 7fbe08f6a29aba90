"""What one receiver's feedback costs others: key-frame requests and NACKs without end. Synthetic members."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable

from benchmarks.quality.device import OWN_SSRC, Device
from benchmarks.quality.rows import Row, row
from benchmarks.quality.rtp import pli
from benchmarks.quality.sending import Sender
from benchmarks.quality.stage import Stage

OTHERS = 3
STORM_S = 5.0
NACK_STORM_S = 20.0
"""Some 640 packets: one more or less at either end is 0.2 % of them, the goal is 1."""


async def _conference(stage: Stage) -> tuple[Sender, Device, list[Device]]:
    """One camera in full, one who will misbehave, others."""
    source = await stage.device("creator", sends=True)
    sender = Sender(source, 7)
    flood = await stage.device("flood", sends=False)
    others = [await stage.device(f"other{n}", sends=False) for n in range(OTHERS)]
    for device in (flood, *others):
        device.subscribe(source.number, 720)
    await sender.device.until(lambda: sender.encodings["f"].active)
    ssrcs = [(device, device.slot(source.number)) for device in (flood, *others)]
    await source.until(lambda: all(d.receiver.slots[s].packets > 50 for d, s in ssrcs if s is not None))
    return sender, flood, others


async def _regularly(per_s: int, seconds: float, send: Callable[[int], None]) -> float:
    """Calls it so often; the rate that was kept."""
    begun, count = time.monotonic(), 0
    while (passed := time.monotonic() - begun) < seconds:
        while count < passed * per_s:
            send(count)
            count += 1
        await asyncio.sleep(0.004)
    return count / (time.monotonic() - begun)


async def pli_storm(stage: Stage) -> list[Row]:
    sender, flood, _others = await _conference(stage)
    ssrc = flood.slot(sender.device.number)
    assert ssrc is not None
    await asyncio.sleep(11)  # what was asked for at the beginning counts for ten seconds
    begun = time.monotonic()
    rate = await _regularly(1000, STORM_S, lambda _n: flood.send_rtcp(pli(OWN_SSRC, ssrc)))
    await asyncio.sleep(0.3)
    asked = sum(at >= begun for at in sender.key_requests)
    note = f"synthetic, {rate:.0f} PLI/s for {STORM_S:.0f} s: {asked} key frames asked of the sender"
    return [row("pli_per_s_to_source", asked / STORM_S, note, f"{asked} requests in {STORM_S:.0f} s")]


async def nack_storm(stage: Stage) -> list[Row]:
    sender, flood, others = await _conference(stage)
    number = sender.device.number
    ssrc = flood.slot(number)
    assert ssrc is not None
    slots = [device.receiver.slots[found] for device in others if (found := device.slot(number)) is not None]
    assert len(slots) == OTHERS

    def counts() -> tuple[int, list[int]]:
        return sender.encodings["f"].packets, [slot.packets for slot in slots]

    async def share(seconds: float, storm: bool) -> tuple[list[float], float]:
        """Part of what was sent that each of the others got, and the rate of NACKs."""
        before, rate = counts(), 0.0
        if storm:
            rate = await _regularly(10_000, seconds, ask)
        else:
            await asyncio.sleep(seconds)
        await asyncio.sleep(0.3)
        after = counts()
        sent = after[0] - before[0]
        return [(now - then) / sent for now, then in zip(after[1], before[1], strict=True)], rate

    def ask(count: int) -> None:
        newest = flood.receiver.slots[ssrc].highest or 0
        first = newest - 20 - count * 17 % 150
        head = struct.pack("!BBHII", 0x81, 205, 3, OWN_SSRC, ssrc)
        flood.send_rtcp(head + struct.pack("!HH", first & 0xFFFF, 0xFFFF))

    await asyncio.sleep(3)  # what waited for its turn at the beginning has left
    calm, _ = await share(NACK_STORM_S, False)
    stormy, rate = await share(NACK_STORM_S, True)
    change = max(abs(1 - then / now) for then, now in zip(stormy, calm, strict=True))
    note = (
        f"synthetic, {rate:.0f} NACKs/s of 17 packets each for {NACK_STORM_S:.0f} s; what others got of what "
        f"was sent, with and without, worst of {OTHERS}"
    )
    return [row("nack_storm_other_loss", 100 * change, note, f"shares got {stormy}, without {calm}")]
