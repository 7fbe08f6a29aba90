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
from control.demo.participants import FULL_HEIGHT, Participant
from tests.e2e.stage import Stage
from tests.patience import PATIENCE_S

IN_FULL_S = 150.0
"""0.3 to 1 s where the machine has time. A raise that failed is tried again after a wait that doubles up to
48 s (ALLOCATION_FAILURES_MAX in fastpath/allocation.h), and probing comes before it."""
# Counters that grow when somebody connects anew: a handshake has two sides.
NEW_CONNECTIONS = ("invites_accepted", "resumes_begun", "worker_path_nominated")


@asynccontextmanager
async def nobody_connects_anew(where: Stage) -> AsyncIterator[None]:
    """While the block runs: media came and went over the connections there were.

    Not how long pictures stood still: browsers that share two cores stand still by themselves.
    `make chaos` measures what is the server's part in it.
    """
    before = [await where.total(name) for name in NEW_CONNECTIONS]
    yield
    assert [await where.total(name) for name in NEW_CONNECTIONS] == before


async def hardly_noticed(
    where: Stage, viewers: Collection[Participant], what: Callable[[], Awaitable[object]]
) -> None:
    """It happens, and media go on, over the connections there were."""
    async with nobody_connects_anew(where):
        await what()
        await all_goes_well(viewers)


# How many pictures of each tile's camera were decoded.
DECODED = """async () => {
    const { receivers } = await sotto.stats();
    const of = new Map(receivers.map(({ receiver, framesDecoded }) => [receiver, framesDecoded]));
    return sotto.state().tiles.map(({ camera }) => of.get(camera.receiver) ?? 0);
}"""

NEW_PICTURES = f"""(async () => {{
    const decoded = {DECODED}, before = await decoded();
    for (let looked = 0; looked < 50; looked++) {{
        const now = await decoded();
        if (now.length > 0 && now.every((frames, i) => frames > before[i])) return true;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }}
    return false;
}})()"""


async def pictures_go_on(viewers: Collection[Participant]) -> None:
    """Returns when all of them have got new pictures of all others."""
    await asyncio.gather(*(viewer.page.wait(NEW_PICTURES, PATIENCE_S) for viewer in viewers))


async def receptions(viewers: Collection[Participant], seconds: float) -> dict[str, list[Reception]]:
    """What each of them gets of every other in so much time."""
    before = await asyncio.gather(*(viewer.sample() for viewer in viewers))
    await asyncio.sleep(seconds)
    after = await asyncio.gather(*(viewer.sample() for viewer in viewers))
    return {
        viewer.name: figures.receptions(first, last)
        for viewer, first, last in zip(viewers, before, after, strict=True)
    }


# One in full, all others of these small, and new pictures of everybody while it stays so.
IN_FULL = """(async () => {
    const chosen = %d, others = %s, full = %d, small = %d, decoded = %s;
    const so = () => {
        const { tiles } = sotto.state();
        return tiles.length === others.length + 1 && tiles.every(({ member, frameHeight, shown }) =>
            (member === chosen && frameHeight === full && shown) ||
            (others.includes(member) && frameHeight <= small));
    };
    if (!so()) return false;
    const before = await decoded();
    while (so()) {
        if ((await decoded()).every((frames, i) => frames >= before[i] + 2)) return so();
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
})()"""


async def sees_in_full(viewer: Participant, chosen: int, others: Collection[int]) -> None:
    """Returns when the viewer sees the chosen member in full and these others small, and goes on to.

    Not a moment: a browser that this machine lets wait looks like a slow network, for which the focus takes
    smaller pictures until larger ones have been affordable for a while.
    """
    # What a small tile needs, and no more: a sender that is short of time makes it smaller yet.
    looked = chosen, sorted(others), FULL_HEIGHT, FULL_HEIGHT // 4, DECODED
    await viewer.page.wait(IN_FULL % looked, IN_FULL_S)


async def everyone_sees_everyone(people: Collection[Participant], timeout_s: float = PATIENCE_S) -> None:
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
        # What is opened beyond the pictures is sound. Between two pictures of a busy machine is no verdict.
        if all(
            one.frames_decoded >= 5
            and one.frames_opened >= one.frames_decoded + 25
            and set(one.verdicts) <= {"decrypting", "none"}
            for one in every
        ):
            break
        assert time.monotonic() - begun < PATIENCE_S, got
    assert [len(of) for of in got.values()] == [len(people) - 1] * len(people), got
    assert [one for one in every if one.frames_not_opened] == [], got


async def falls_silent(muted: Participant, others: Collection[Participant]) -> None:
    """Returns when for a second nothing of theirs leaves or arrives, not even padding, and all else does."""
    begun = time.monotonic()
    while True:
        sent = await packets_sent(muted)
        got = await receptions(others, 1.0)
        sent = await packets_sent(muted) - sent
        theirs = [one.packets for of in got.values() for one in of if one.member == muted.member]
        rest = [one.packets for of in got.values() for one in of if one.member != muted.member]
        assert len(theirs) == len(others)
        if sent == 0 and not any(theirs) and all(rest):
            return
        assert time.monotonic() - begun < PATIENCE_S, (sent, got)


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
