"""What packets tell better than browsers: lips, dropped layers, who speaks. Synthetic members."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from statistics import median

from benchmarks.quality.device import OWN_SSRC, Device
from benchmarks.quality.rows import Row, row
from benchmarks.quality.rtp import Packet, remb
from benchmarks.quality.sending import SILENCE, SPEECH, Sender, stamp
from benchmarks.quality.stage import Stage

P_SPEAKERS = "org.matrix.msc2359.speakers"
SPEAKERS_TRIED = 6
REMBS = (2_500_000, 1_300_000, 900_000, 500_000, 300_000, 180_000, 120_000, 400_000, 900_000, 2_500_000)
REMB_S = 2.5


async def lip_sync(stage: Stage) -> list[Row]:
    """Two senders whose clocks differ by seconds and whose pictures leave late by different times.

    Each packet says when it was taken. What a slot's sender reports make of its timestamps differs from that
    by the same for sound and picture, if lips match.
    """
    receiver = await stage.device("creator", sends=False)
    senders = []
    for index, (offset, skew) in enumerate(((3.0, 0.15), (-2.0, 0.0))):
        sender = Sender(await stage.device(f"sender{index}", sends=True), 7 + index, skew_s=skew)
        sender.clock_offset_s = offset
        senders.append(sender)
    errors: dict[int, list[float]] = defaultdict(list)
    begun = time.monotonic()

    def take(packet: Packet, _arrived: float) -> None:
        slot = receiver.receiver.slots.get(packet.ssrc)
        if slot is None or slot.report is None or len(packet.payload) < 20 or time.monotonic() < begun + 6:
            return
        rate = 48000 if packet.payload_type == 111 else 90000
        errors[packet.ssrc].append(slot.report.time_of(packet.timestamp, rate) - stamp(packet.payload))

    receiver.on_rtp = take
    await asyncio.sleep(12)
    worst, said = 0.0, []
    for sender in senders:
        number = sender.device.number
        audio, camera = receiver.slot(number, "audio"), receiver.slot(number)
        if not errors.get(audio or 0) or not errors.get(camera or 0):
            why = "no sender reports came for a slot, so nothing could be put on one clock"
            return [row("lip_sync_ms", None, "", why)]
        between = 1000 * (median(errors[camera or 0]) - median(errors[audio or 0]))
        said.append(f"{between:+.1f}")
        worst = max(worst, abs(between))
    note = (
        "synthetic; clocks 3 s ahead and 2 s behind, pictures leave 150 and 0 ms late; picture against sound"
    )
    return [row("lip_sync_ms", worst, f"{note}: {', '.join(said)} ms", "sender reports of slots are off")]


async def temporal_drop(stage: Stage) -> list[Row]:
    """A receiver whose REMB goes down and up: layers come and go, numbers may not."""
    source = await stage.device("creator", sends=True)
    Sender(source, 7)
    receiver = await stage.device("viewer", sends=False, transport_cc=False)
    receiver.subscribe(source.number, 720)
    await receiver.until(lambda: receiver.slot(source.number) is not None)
    ssrc = receiver.slot(source.number)
    assert ssrc is not None
    layers: dict[float, set[int]] = defaultdict(set)
    turn = 0.0

    def take(packet: Packet, _arrived: float) -> None:
        if packet.ssrc == ssrc and len(packet.payload) > 8 and packet.payload[0] & 0x90 == 0x90:
            layers[turn].add(packet.payload[5] >> 6)

    receiver.on_rtp = take
    begun = time.time()
    for turn in range(len(REMBS)):
        until = time.monotonic() + REMB_S
        while time.monotonic() < until:
            receiver.send_rtcp(remb(OWN_SSRC, REMBS[int(turn)], [ssrc]))
            await asyncio.sleep(0.25)
    slot = receiver.receiver.slots[ssrc]
    dropped = sum(bool(found) and max(found) < 2 for found in layers.values())
    deals = {
        (one.deal_encoding, one.deal_temporal)
        for sample in stage.samples
        for one in sample.deals.get("viewer", ())
        if one.octets and one.deal_encoding is not None
    }
    note = (
        f"synthetic, REMB stepped through {len(REMBS)} values from 2.5 Mbit/s to 120 kbit/s and back; "
        f"{slot.packets} packets, no layer 2 in {dropped} of the steps, deals seen {sorted(deals)}"
    )
    gaps = [(round(at - begun, 2), count) for at, count in slot.gap_times]
    thinned = any(temporal < 2 for _encoding, temporal in deals)
    if not thinned:
        return [row("temporal_drop_gap", None, note, "no temporal layer was ever dropped; " + note)]
    return [
        row(
            "temporal_drop_gap",
            slot.gaps_seen,
            note,
            f"numbers missing on a path that loses nothing, (s, how many): {gaps}",
        )
    ]


async def speaker(stage: Stage) -> list[Row]:
    listener = await stage.device("creator", sends=False)
    senders = [Sender(await stage.device(f"sender{n}", sends=True), 7 + n) for n in range(2)]
    await asyncio.sleep(3)
    taken = []
    for turn in range(SPEAKERS_TRIED):
        sender = senders[turn % 2]
        begun = time.monotonic()
        sender.level = SPEECH
        number = sender.device.number
        heard = await listener.until(lambda n=number, at=begun: _told(listener, n, at) is not None, 3)
        sender.level = SILENCE
        if not heard:
            why = f"nobody was told within 3 s that a member speaks ({len(taken)} of {turn} before were)"
            return [row("speaker_event_ms", None, "synthetic", why)]
        taken.append(1000 * ((_told(listener, number, begun) or begun) - begun))
        await asyncio.sleep(2)
    note = f"synthetic, worst of {SPEAKERS_TRIED}: from the first loud packet to P.speakers at a listener"
    return [row("speaker_event_ms", max(taken), note, f"all of them: {[round(one) for one in taken]} ms")]


def _told(listener: Device, number: int, after: float) -> float | None:
    """When it was told that a member speaks."""
    return next(
        (
            at
            for at, kind, content in listener.said
            if kind == P_SPEAKERS and at >= after and number in content["speaking"]
        ),
        None,
    )
