"""From a click to the picture: the browser client as people use it, with a homeserver and all encrypted."""

from __future__ import annotations

import asyncio
from statistics import median

from benchmarks.quality.network import SERVER
from benchmarks.quality.pages import FULL, THUMBNAIL
from benchmarks.quality.rows import Row, row, told
from benchmarks.quality.stage import Stage
from control.demo.participants import FULL_HEIGHT, Participant
from control.demo.run import Demo

DELAY_MS = 20
CLICKS = 5
OFF_S = 7.0
"""From looking away until the full resolution is off at the sender, so that each click begins anew."""

# The page asks its server who the people of the demo are.
SIGN_IN = """(() => {
    const ask = globalThis.fetch;
    globalThis.fetch = async (...request) => {
        const answer = await ask(...request);
        if (!String(request[0]?.url ?? request[0]).endsWith("config.json")) return answer;
        const config = { ...(await answer.json()), demo: %s };
        return new Response(JSON.stringify(config), { headers: { "Content-Type": "application/json" } });
    };
})()"""


async def focus_switch(stage: Stage) -> list[Row]:
    link = stage.network.link("viewer", seed=15)
    link.both.set(delay_ms=DELAY_MS)
    demo = Demo(
        stage.network.folder / "demo",
        people=("alice", "bob", "carol"),
        address=SERVER,
        media_address=SERVER,
        workers=1,
    )
    stage.network.server.call(demo.start)
    stage.stack.callback(stage.network.server.call, demo.stop)
    urls = demo.urls
    # Pages may use cameras only where they come from an origin that is trusted, as 127.0.0.1 is.
    trusted = f"--unsafely-treat-insecure-origin-as-secure={urls['alice'].partition('/?')[0]}"
    near = await stage.browser(None, trusted, busy=False)
    far = await stage.browser(link, trusted, busy=False)
    # The server tells passwords of the demo's people to its own machine only.
    script = SIGN_IN % (demo.folder / "people.json").read_text()
    others = []
    for name in ("bob", "carol"):
        # A small window: what they see costs processors and is not measured.
        others.append(await Participant.arrive(near, name, urls[name] + "&join", (400, 300), script))
        await others[-1].joined(60)
    alice = await Participant.arrive(far, "alice", urls["alice"] + "&join", script=script)
    await alice.joined(60)
    await alice.sees([other.member for other in others], 60)
    bob = others[0]
    # In a conference of two the other would be large without a click.
    assert (await alice.state())["in_full"] is None
    await asyncio.sleep(OFF_S)
    taken: list[float | None] = []
    for _ in range(CLICKS):
        shown = next(tile for tile in (await alice.state())["tiles"] if tile["member"] == bob.member)
        assert shown["frameHeight"] < FULL_HEIGHT, "it is in full without a click"
        taken.append(await alice.focus(bob.member))
        await alice.unfocus()
        await asyncio.sleep(OFF_S)
    found = [1000 * one for one in taken if one is not None]
    said = ", ".join(f"{1000 * (one or float('inf')):.0f}" for one in taken)
    note = (
        f"the browser client with Synapse, all encrypted, viewer behind 40 ms round trip; median of {CLICKS} "
        f"clicks, the full resolution being off at the sender, until {FULL_HEIGHT} lines show: {said} ms"
    )
    value = median(found) if len(found) == CLICKS else None
    return [row("focus_switch_ms", value, note, f"clicks took {said} ms")]


async def focus_switch_plain(stage: Stage) -> list[Row]:
    """The same without a homeserver, encryption and other people: what is left is the server's part."""
    link = stage.network.link("viewer", seed=16)
    link.both.set(delay_ms=DELAY_MS)
    sender = await stage.viewer(await stage.browser(busy=False), "creator", sends=True)
    viewer = await stage.viewer(await stage.browser(link), "viewer")
    mid = await viewer.sees(sender.number, THUMBNAIL)
    await asyncio.sleep(OFF_S)
    taken = []
    for _ in range(CLICKS):
        clicked = await viewer.subscribe(sender.number, FULL)
        await viewer.sees(sender.number, FULL)
        pictures = await viewer.pictures(mid)
        taken.append(1000 * next(at - clicked for at, height in pictures if at > clicked and height >= FULL))
        await viewer.subscribe(sender.number, THUMBNAIL)
        await asyncio.sleep(OFF_S)
    said = ", ".join(f"{one:.0f}" for one in taken)
    note = (
        f"plain WebRTC over the true protocol, one sender, viewer behind 40 ms; median of {CLICKS}, "
        f"the full resolution being off at the sender, until the first picture in full is decoded: {said} ms"
    )
    return [told("focus_switch_plain_ms", median(taken), "ms", note)]
