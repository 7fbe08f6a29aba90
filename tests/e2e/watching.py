"""What a test measures while a call goes on."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

from control.demo import figures
from control.demo.figures import Reception
from control.demo.participants import Participant

PATIENCE_S = 20.0
NOTICED_S = 2.5
"""0.05 to 0.4 s on a machine with time. Browsers that start something new on two cores stand still for a
second by themselves; media that stop until somebody connects again stop for 5 s and more."""

# Longest time without a newly decoded picture of each member, in ms, until the page is told to stop.
GAPS = """(() => {
    const watch = globalThis.gapWatch = { on: true, longest: {}, states: [] };
    const seen = {};
    watch.done = (async () => {
        while (watch.on) {
            const stats = await sotto.stats();
            const now = performance.now();
            for (const { member, camera } of sotto.state().tiles) {
                const row = stats?.receivers.find(({ receiver }) => receiver === camera.receiver);
                const frames = row?.framesDecoded ?? 0;
                const last = (seen[member] ??= { frames, at: now });
                if (frames !== last.frames) Object.assign(last, { frames, at: now });
                watch.longest[member] = Math.max(watch.longest[member] ?? 0, now - last.at);
            }
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
        return watch.longest;
    })();
})()"""


class Gaps:
    """Longest times in seconds that a viewer waited for another's next picture."""

    def __init__(self) -> None:
        self.longest: dict[str, dict[int, float]] = {}

    @property
    def worst(self) -> float:
        return max((gap for of in self.longest.values() for gap in of.values()), default=float("inf"))


async def usual_gap(viewers: Collection[Participant], seconds: float = 2.0) -> float:
    """What the longest wait is on this machine when nothing happens."""
    async with gaps(viewers) as watched:
        await asyncio.sleep(seconds)
    return watched.worst


@asynccontextmanager
async def gaps(viewers: Collection[Participant]) -> AsyncIterator[Gaps]:
    """Watches pictures while the block runs."""
    found = Gaps()
    await asyncio.gather(*(viewer.page.evaluate(GAPS) for viewer in viewers))
    yield found
    stop = "(gapWatch.on = false, gapWatch.done)"
    results = await asyncio.gather(*(viewer.page.evaluate(stop) for viewer in viewers))
    for viewer, result in zip(viewers, results, strict=True):
        found.longest[viewer.name] = {int(member): gap / 1000 for member, gap in result.items()}


async def hardly_noticed(
    viewers: Collection[Participant],
    what: Callable[[], Awaitable[object]],
    seconds: float = 3.0,
) -> None:
    """No picture waits longer than usual by NOTICED_S or more while it happens and `seconds` after."""
    usual = await usual_gap(viewers)
    async with gaps(viewers) as watched:
        await what()
        await all_goes_well(viewers, seconds)
    print(f"longest wait for a picture: usually {usual:.2f} s, then {watched.worst:.2f} s")
    assert watched.worst < usual + NOTICED_S, watched.longest


async def receptions(viewers: Collection[Participant], seconds: float) -> dict[str, list[Reception]]:
    """What each of them gets of every other in so much time."""
    before = await asyncio.gather(*(viewer.sample() for viewer in viewers))
    await asyncio.sleep(seconds)
    after = await asyncio.gather(*(viewer.sample() for viewer in viewers))
    return {
        viewer.name: figures.receptions(first, last)
        for viewer, first, last in zip(viewers, before, after, strict=True)
    }


async def everyone_sees_everyone(people: Collection[Participant], timeout_s: float = 30.0) -> None:
    numbers = {person.member for person in people}
    await asyncio.gather(*(person.sees(numbers - {person.member}, timeout_s) for person in people))


async def all_goes_well(people: Collection[Participant], seconds: float = 1.0) -> None:
    """Everybody sees and hears news of everybody else, and in so much time at least opens all that comes.

    How much a second says more about the machine these browsers share: `make demo-check` judges that.
    """
    before = await asyncio.gather(*(viewer.sample() for viewer in people))
    begun = time.monotonic()
    while True:
        await asyncio.sleep(seconds)
        after = await asyncio.gather(*(viewer.sample() for viewer in people))
        got = {
            viewer.name: figures.receptions(first, last)
            for viewer, first, last in zip(people, before, after, strict=True)
        }
        every = [one for of in got.values() for one in of]
        # What is opened beyond the pictures is sound.
        if all(
            one.frames_decoded >= 5
            and one.frames_opened >= one.frames_decoded + 25
            and one.verdicts == ("decrypting", "decrypting")
            for one in every
        ):
            break
        assert time.monotonic() - begun < PATIENCE_S, got
    assert [len(of) for of in got.values()] == [len(people) - 1] * len(people), got
    assert [one for one in every if one.frames_not_opened] == [], got


SILENT = """(async () => {
    const sent = async () => (await sotto.stats()).senders.reduce((sum, row) => sum + row.packetsSent, 0);
    const before = await sent();
    await new Promise((resolve) => setTimeout(resolve, 300));
    return (await sent()) === before;
})()"""


async def falls_silent(person: Participant) -> None:
    """Returns when no RTP leaves any more."""
    await person.page.wait(SILENT, timeout_s=2)


async def packets_sent(person: Participant) -> int:
    """All RTP of a person, of every source and encoding, padding too."""
    stats: dict[str, Any] = await person.page.evaluate("sotto.stats()")
    return sum(row["packetsSent"] for row in stats["senders"])


PRIVATE = {
    "a user id": re.compile(r"@[\w.=/+-]+:[\w.-]+"),
    "a room id": re.compile(r"![\w-]{10,}"),
    "an address": re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b|\b[0-9a-f]{0,4}(:[0-9a-f]{0,4}){4,7}\b"),
    "session descriptions": re.compile(r"\bv=0\b|\ba=(ice|fingerprint|candidate)|ice-(ufrag|pwd)"),
}


def private_matters(log: str, *secrets: str) -> list[str]:
    """What a log should not tell: kinds of `PRIVATE`, with the line."""
    found = []
    for line in log.splitlines():
        found += [f"{kind}: {line}" for kind, pattern in PRIVATE.items() if pattern.search(line)]
        found += [f"a secret: {line}" for secret in secrets if secret in line]
    return found
