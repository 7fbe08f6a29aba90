"""Random loss, and slots that change hands: real Chromium, and a receiver that counts every packet."""

from __future__ import annotations

import asyncio
from statistics import median

from benchmarks.quality.pages import FULL, THUMBNAIL, Viewer, grown, inbound
from benchmarks.quality.passages import longest_gap
from benchmarks.quality.rows import Row, row, told
from benchmarks.quality.stage import Stage

DELAY_MS = 25
SETTLE_S, MEASURE_S = 5.0, 15.0
CHANGES = 5


async def _loss(stage: Stage, percent: int) -> list[Row]:
    """Both ways lose; a browser and a synthetic receiver view the same camera in full."""
    link = stage.network.link("viewer", seed=100 + percent)
    link.both.set(delay_ms=DELAY_MS)
    near = await stage.browser()
    sender = await stage.viewer(near, "creator", sends=True, width=960)
    viewer = await stage.viewer(await stage.browser(link), "viewer")
    device = await stage.device("device", link, sends=False)
    await viewer.subscribe(sender.number, FULL)
    device.subscribe(sender.number, FULL)
    mid = await viewer.sees(sender.number, 540, 30)
    ssrc = device.slot(sender.number)
    assert ssrc is not None
    slot = device.receiver.slots[ssrc]
    link.both.set(loss=percent / 100)
    await asyncio.sleep(SETTLE_S)

    async def now() -> tuple[dict[str, float], dict[str, float], int, int, int]:
        stats = await viewer.stats()
        return inbound(stats, "audio"), inbound(stats, "video", mid), slot.expected, slot.late, slot.repaired

    before = await now()
    await asyncio.sleep(MEASURE_S)
    after = await now()
    audio, video = grown(before[0], after[0]), grown(before[1], after[1])
    expected, late, repaired = (after[n] - before[n] for n in (2, 3, 4))
    residual = 100 * late / expected if expected else None
    concealed = audio["concealedSamples"] - audio["silentConcealedSamples"]
    sound = 100 * concealed / audio["totalSamplesReceived"] if audio["totalSamplesReceived"] else None
    frozen = 1000 * video["totalFreezesDuration"]
    note = (
        f"synthetic receiver that asks again every 75 ms, of Chromium's camera, {expected} packets, "
        f"{repaired} repaired in time, {late} not within 1 s"
    )
    beside = (
        f"real Chromium; {video['framesDecoded'] / MEASURE_S:.0f} pictures/s, "
        f"{video['freezeCount']:.0f} freezes of {frozen:.0f} ms together, {video['packetsLost']:.0f} packets "
        f"lost, {video['retransmittedPacketsReceived']:.0f} repaired"
    )
    return [
        row(
            f"residual_loss_{percent}",
            residual,
            note,
            f"{late} of {expected} packets not within 1 s, {repaired} were",
        ),
        row(
            f"audio_concealed_{percent}",
            sound,
            f"{beside}; sound is repaired like pictures, and played later for it",
        ),
        told(f"video_freeze_ms_{percent}", frozen, "ms", f"in {MEASURE_S:.0f} s; {beside}"),
    ]


async def loss_5(stage: Stage) -> list[Row]:
    return await _loss(stage, 5)


async def loss_10(stage: Stage) -> list[Row]:
    return await _loss(stage, 10)


async def slot_change(stage: Stage) -> list[Row]:
    """A viewer with one slot pair: whoever is on it leaves, and the other takes it."""
    link = stage.network.link("viewer", seed=14)
    link.both.set(delay_ms=20)
    near = await stage.browser()
    viewer = await stage.viewer(await stage.browser(link), "creator", pairs=1)
    people = [await stage.viewer(near, f"person{n}", sends=True, width=960) for n in range(2)]
    gaps = []
    for turn in range(CHANGES):
        leaver, stayer = people[0], people[1]
        mid = await viewer.sees(leaver.number, THUMBNAIL // 2)
        # The next is sending already: others view it too.
        await asyncio.sleep(1.5)
        await leaver.close()
        mid = await viewer.mid(stayer.number)
        await asyncio.sleep(1.5)
        gaps.append(await _gap_at_change(viewer, mid, stayer.number))
        people = [stayer, await stage.viewer(near, f"late{turn}", sends=True, width=960)]
    said = [round(gap) for gap in gaps]
    note = (
        f"real Chromium, one slot pair, 40 ms round trip; longest time between pictures on the slot when its "
        f"member leaves and another takes it, median of {CHANGES}: {said} ms"
    )
    worst = f"real Chromium; the longest of the same {CHANGES} changes"
    return [
        row("slot_change_freeze_ms", median(gaps), note, note),
        told("slot_change_worst_ms", max(gaps), "ms", worst),
    ]


async def _gap_at_change(viewer: Viewer, mid: str, member: int) -> float:
    changed = next(
        at
        for at, content in reversed(await viewer.heard("org.matrix.msc2359.slots"))
        if any(slot["mid"] == mid and slot["member"] == member for slot in content["slots"])
    )
    times = [at for at, _height in await viewer.pictures(mid)]
    return 1000 * longest_gap([at for at in times if at > changed - 1], changed - 0.5, changed + 1.2)
