"""Rates, with real Chromium: somebody behind a bottleneck, and what it costs them and others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise

from benchmarks.quality.pages import FULL, Viewer, inbound
from benchmarks.quality.passages import (
    Passage,
    carried_bps,
    falls_below,
    jain,
    longest_gap,
    offered_bps,
    queue_ms,
    series,
)
from benchmarks.quality.plots import Curve, plot
from benchmarks.quality.rows import Row, row, told
from benchmarks.quality.stage import Stage, mean

MBIT = 1_000_000
DELAY_MS = 20
SETTLE_S, LOW_S, OPEN_S = 14.0, 14.0, 14.0
STEADY_SETTLE_S, STEADY_S = 10.0, 18.0
PAGES = "real Chromium at both ends, plain WebRTC over the true protocol"


async def drop_and_recover(stage: Stage) -> list[Row]:
    """3 Mbit/s, then 500 kbit/s behind 150 ms of queue, then 3 Mbit/s: who suffers, and for how long?"""
    link = stage.network.link("viewer", seed=11)
    link.both.set(delay_ms=DELAY_MS)
    link.down.set(rate=3 * MBIT, queue_ms=150)
    near = await stage.browser()
    sender = await stage.viewer(near, "creator", sends=True)
    other = await stage.viewer(near, "other")
    viewer = await stage.viewer(await stage.browser(link), "viewer")
    for each in (other, viewer):
        await each.subscribe(sender.number, FULL)
    mid, other_mid = await viewer.sees(sender.number, FULL, 30), await other.sees(sender.number, FULL)
    begun = time.monotonic()
    frozen_stats = [inbound(await other.stats(), "video", other_mid)]
    await asyncio.sleep(SETTLE_S)
    frozen_stats.append(inbound(await other.stats(), "video", other_mid))
    dropped = link.down.set(rate=MBIT // 2)
    await asyncio.sleep(LOW_S)
    opened = link.down.set(rate=3 * MBIT)
    await asyncio.sleep(OPEN_S)
    ended = time.monotonic()
    frozen_stats.append(inbound(await other.stats(), "video", other_mid))
    stopped = await _fullres_stops(stage, [viewer, other], sender)
    passages = link.passages()
    pictures, others = await viewer.pictures(mid), await other.pictures(other_mid)
    _draw(stage, "drop_recover", [(begun, 3), (dropped, 0.5), (opened, 3), (ended, 3)], passages, "viewer")

    freeze = 1000 * longest_gap([at for at, _ in pictures], dropped, opened + OPEN_S)
    usual = 1000 * longest_gap([at for at, _ in pictures], begun + 5, dropped)
    calm = 1000 * longest_gap([at for at, _ in others], begun + 5, dropped)
    disturbed = 1000 * longest_gap([at for at, _ in others], dropped, ended)
    frozen = [1000 * one["totalFreezesDuration"] for one in frozen_stats]
    added = frozen[2] - frozen[1] - (frozen[1] - frozen[0]) * (ended - dropped) / (dropped - begun)
    back = next((at for at, height in pictures if at > opened and height >= FULL), None)
    low = carried_bps(passages, dropped + 4, opened)
    before = _heights(pictures, dropped - 5, dropped)
    recover_why = (
        f"pictures by height before the drop {before}, after opening {_heights(pictures, opened, ended)}"
    )
    return [
        row(
            "downswitch_s",
            falls_below(passages, MBIT / 2, dropped, opened),
            f"{PAGES}; from the drop until 0.5 s of what is sent to it are below 500 kbit/s; before it were "
            f"{offered_bps(passages, dropped - 2, dropped) / 1000:.0f} kbit/s",
            f"estimates in the first 2 s: {_estimates(stage, 'viewer', dropped, dropped + 2)}",
        ),
        row(
            "longest_freeze_ms",
            freeze,
            f"{PAGES}; longest time between two pictures from the drop to the end; {usual:.0f} before",
            "a switch of encodings waits for a key frame, and that for the queue",
        ),
        row(
            "recover_s",
            None if back is None else back - opened,
            f"{PAGES}; from the opening to the first picture in full",
            recover_why,
        ),
        row(
            "other_viewers_freeze_ms",
            max(0.0, added),
            f"{PAGES}; totalFreezesDuration of a viewer without a bottleneck from the drop to the end, less "
            f"its rate before; its longest time between pictures was {disturbed:.0f} ms, before {calm:.0f}",
            "each switch of the slow viewer asks the sender for key frames of all encodings",
        ),
        row(
            "unviewed_fullres_stop_s",
            stopped,
            f"{PAGES}; from the message of the last who viewed it in full to the sender's last packet of it",
            "it did not stop within 8 s",
        ),
        told("low_rate_used", low / (MBIT / 2), "share", "of the 500 kbit/s, from 4 s after the drop"),
    ]


async def steady(stage: Stage, rate: float, name: str, senders: int) -> list[Row]:
    """A bottleneck of constant rate with 300 ms of queue. More is asked for than it carries."""
    link = stage.network.link("viewer", seed=12)
    link.both.set(delay_ms=DELAY_MS)
    link.down.set(rate=rate, queue_ms=300)
    near = await stage.browser()
    # Chromium makes three encodings of no fewer lines; bits are what is measured here.
    people = [
        await stage.viewer(near, "creator" if n == 0 else f"sender{n}", sends=True, width=960)
        for n in range(senders)
    ]
    viewer = await stage.viewer(await stage.browser(link), "viewer")
    for each in people:
        await viewer.subscribe(each.number, FULL)
        await viewer.mid(each.number)
    begun = time.monotonic()
    await asyncio.sleep(STEADY_SETTLE_S)
    since = time.monotonic()
    await asyncio.sleep(STEADY_S)
    ended = time.monotonic()
    passages = link.passages()
    _draw(stage, f"steady_{name}", [(begun, rate / MBIT), (ended, rate / MBIT)], passages, "viewer")
    used = carried_bps(passages, since, ended) / rate
    estimate = mean(stage.estimates("viewer"), since, ended) or 0
    allocated = mean(stage.allocated("viewer"), since, ended) or 0
    said = f"mean estimate {estimate / 1000:.0f}, allocated {allocated / 1000:.0f} kbit/s"
    how = f"{PAGES}; {senders} cameras wanted in full, {STEADY_S:.0f} s after {STEADY_SETTLE_S:.0f}; {said}"
    why = f"{said}; {_falls(stage, passages, since, ended)}"
    found = [
        row(f"utilisation_{name}", used, how, why),
        row(f"queue_delay_p95_ms_{name}", queue_ms(passages, since, ended), how, why),
    ]
    if senders == 1:
        found.append(_clamp_accuracy(stage, since, ended, why))
    return found


def _falls(stage: Stage, passages: Sequence[Passage], begin: float, end: float) -> str:
    """How often the estimate fell, and how long the bottleneck's queue was then."""
    curve = [(at, bps) for at, bps in stage.estimates("viewer") if begin <= at <= end]
    fell = [(at, before, bps) for (_, before), (at, bps) in pairwise(curve) if bps < 0.9 * before]
    queues = [queue_ms(passages, at - 0.4, at, 1.0) or 0.0 for at, _, _ in fell]
    drops = sum(not one.passed for one in passages if begin <= one.at <= end)
    told = ", ".join(
        f"{before / 1000:.0f} to {bps / 1000:.0f} behind {queue:.0f} ms of queue"
        for (_, before, bps), queue in zip(fell, queues, strict=True)
    )
    return f"the estimate fell {len(fell)} times ({told}); {drops} packets did not fit the queue"


async def steady_1(stage: Stage) -> list[Row]:
    return await steady(stage, 1.0 * MBIT, "1", 1)


async def steady_2_5(stage: Stage) -> list[Row]:
    return await steady(stage, 2.5 * MBIT, "2.5", 2)


async def fairness(stage: Stage) -> list[Row]:
    """Two receivers behind one bottleneck, each with another camera in full."""
    link = stage.network.link("viewers", seed=13)
    link.both.set(delay_ms=DELAY_MS)
    link.down.set(rate=2 * MBIT, queue_ms=300)
    near, far = await stage.browser(), await stage.browser(link)
    people = [await stage.viewer(near, name, sends=True, width=960) for name in ("creator", "second")]
    viewers = [await stage.viewer(far, f"viewer{n}") for n in range(2)]
    for viewer, camera, unwanted in zip(viewers, people, reversed(people), strict=True):
        await viewer.subscribe(camera.number, FULL)
        await viewer.unsubscribe(unwanted.number)
    begun = time.monotonic()
    await asyncio.sleep(STEADY_SETTLE_S + 4)
    before = [await viewer.stats() for viewer in viewers]
    since = time.monotonic()
    await asyncio.sleep(STEADY_S + 4)
    after = [await viewer.stats() for viewer in viewers]
    ended = time.monotonic()
    rates = [_received_bps(*both) for both in zip(before, after, strict=True)]
    passages = link.passages()
    _draw(stage, "fairness", [(begun, 2), (ended, 2)], passages, "viewer0")
    used = carried_bps(passages, since, ended) / (2 * MBIT)
    said = (
        " and ".join(f"{rate / 1000:.0f}" for rate in rates) + f" kbit/s of 2 Mbit/s, {used:.0%} of it used"
    )
    return [
        row(
            "fairness",
            jain(rates),
            f"{PAGES}; each of two receivers views another camera in full: {said}",
            said,
        )
    ]


def _clamp_accuracy(stage: Stage, since: float, ended: float, said: str) -> Row:
    """What the sender sends in full against what its only viewer's share of the estimate is."""
    sent = stage.encoding_bps("creator", 2, since, ended)
    shares = [
        (sample.at, float(sink.deal_bps))
        for sample in stage.samples
        for sink in sample.deals.get("viewer", ())
        if sink.deal_encoding == 2
    ]
    share = mean(shares, since, ended)
    spent = mean([(at, float(bps)) for at, bps in stage.estimates("viewer")], since, ended)
    if share is None or not spent:
        return row("clamp_accuracy", None, "", f"its viewer had no deal in full; {said}")
    # What the viewer can have of it: its estimate less the voice beside it.
    lowest = spent - VOICE_BPS
    note = (
        f"{PAGES}; full resolution as the sender sends it, {sent / 1000:.0f} kbit/s, over its viewer's "
        f"estimate less sound, {lowest / 1000:.0f} kbit/s (its deal: {share / 1000:.0f})"
    )
    return row("clamp_accuracy", sent / lowest, note, f"the clamp rises by 30 %/s after falls: {said}")


VOICE_BPS = 50_000
"""Opus of 32 kbit/s with its headers."""


async def _fullres_stops(stage: Stage, viewers: Sequence[Viewer], sender: Viewer) -> float | None:
    """Everybody turns to thumbnails: seconds until no packet of the full resolution comes any more."""
    asked = [await viewer.subscribe(sender.number, 180) for viewer in viewers]
    await asyncio.sleep(8)
    counts = [(one.at, one.bytes["creator"][2]) for one in stage.samples if "creator" in one.bytes]
    last = counts[-1][1]
    stopped = next(at for at, count in counts if count == last)
    if counts[-1][0] - stopped < 1:
        return None
    return max(0.0, stopped - max(asked))


def _received_bps(before: dict[str, object], after: dict[str, object]) -> float:
    """Sound and pictures with their headers."""

    def total(stats: dict[str, object]) -> float:
        rows = [inbound(stats, kind) for kind in ("audio", "video")]
        return sum(one.get("bytesReceived", 0) + one.get("headerBytesReceived", 0) for one in rows)

    return 8 * (total(after) - total(before)) / (float(str(after["at"])) - float(str(before["at"])))


def _heights(pictures: Sequence[tuple[float, int]], begin: float, end: float) -> dict[int, int]:
    found: dict[int, int] = {}
    for at, height in pictures:
        if begin <= at < end:
            found[height] = found.get(height, 0) + 1
    return found


def _estimates(stage: Stage, name: str, begin: float, end: float) -> str:
    found = [f"{at - begin:.1f}: {bps // 1000}" for at, bps in stage.estimates(name) if begin <= at < end]
    return ", ".join(found[::4]) + " kbit/s"


def _draw(
    stage: Stage, name: str, steps: Sequence[tuple[float, float]], passages: Sequence[Passage], viewer: str
) -> None:
    begun, ended = steps[0][0], steps[-1][0]
    step = 0.25
    received = [(index * step, bps) for index, bps in enumerate(series(passages, begun, ended, step))]

    def since(curve: Sequence[tuple[float, int]]) -> Curve:
        return [(at - begun, float(value)) for at, value in curve if begun <= at <= ended]

    curves = {
        "received": received,
        "estimate": since(stage.estimates(viewer)),
        "target (allocated)": since(stage.allocated(viewer)),
    }
    inside = [one for one in passages[::5] if one.passed and begun <= one.at <= ended]
    plot(
        stage.out / f"{name}.png",
        f"{name}: {viewer}",
        [(at - begun, rate * MBIT) for at, rate in steps],
        curves,
        [(one.at - begun, 1000 * one.wait) for one in inside],
    )
