"""Two in Chromium, one in Firefox lose control, then the network; nobody leaves for it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from control.demo.participants import Participant
from tests.e2e.stage import Stage, stage
from tests.e2e.watching import (
    IN_FULL_S,
    all_goes_well,
    everyone_sees_everyone,
    pictures_go_on,
    private_matters,
)

pytestmark = [pytest.mark.browser, pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]

CHROMIUM, FIREFOX = ("alice", "bob"), "carol"
BACK_S = 150.0
"""5 s until a silent channel counts as dead, 0 to 2 s so that not all come at once, and a connection: 5 to
7 s on a machine that has time. On one that has not, attempts fail and are made again, 8 s later at last."""
AWAY_S = 150.0
"""Firefox takes 5 s to notice that a path is interrupted, and 3 s pass before it is taken for lost; then the
above."""

FIRST, OTHER = "198.51.100.5", "203.0.113.9"
"""Of the browsers' machine, before and after it changes its network (RFC 5737)."""

# However long the homeserver takes for the answer, which the page gives up after 5 s (NEGOTIATED_MS).
RESTART = """(async () => {
    const soon = setTimeout;
    globalThis.setTimeout = (what, ms, ...more) => soon(what, ms === 5000 ? 120000 : ms, ...more);
    try {
        await sotto.restart();
    } finally {
        globalThis.setTimeout = soon;
    }
})()"""

# A camera that is on and of which nothing is sent. The page asks its connection for statistics by itself.
HOLD_BACK = """new Promise((held) => {
    const ask = RTCPeerConnection.prototype.getStats;
    RTCPeerConnection.prototype.getStats = function (...rest) {
        RTCPeerConnection.prototype.getStats = ask;
        const sender = this.getSenders().find(({ track }) => track?.kind === "video");
        globalThis.heldBack = { sender, track: sender.track };
        sender.replaceTrack(null).then(() => held(true));
        return ask.call(this, ...rest);
    };
})"""


@dataclass
class Call:
    stage: Stage
    people: list[Participant]


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    with stage(tmp_path_factory.mktemp("stage"), (*CHROMIUM, FIREFOX)) as where:
        where.namespace.lead_through(FIRST)

        async def arrive() -> Call:
            chromium, firefox = await asyncio.gather(
                where.browsers.launch(fps=10), where.browsers.launch("firefox", fps=10)
            )
            people = [await where.join(chromium, name) for name in CHROMIUM]
            return Call(where, [*people, await where.join(firefox, FIREFOX)])

        yield asyncio.run(arrive())


async def test_ice_is_restarted_through_the_room_and_nobody_notices(call: Call) -> None:
    alice, _bob, carol = people = call.people
    await everyone_sees_everyone(people)
    before = [await ports(person) for person in (alice, carol)]

    restarts = [(await person.state())["restarts"] for person in (alice, carol)]
    await asyncio.gather(*(person.page.evaluate(RESTART) for person in (alice, carol)))
    await pictures_go_on(people)
    for person, old, times in zip((alice, carol), before, restarts, strict=True):
        state = await person.state()
        assert (state["restarts"], state["resumed"], state["member"]) == (times + 1, 0, person.member)
        assert set(await ports(person)) - set(old), "other candidates"


async def test_what_should_come_and_does_not_is_said_of_its_tile(call: Call) -> None:
    alice, bob, carol = call.people
    tile = f"sotto.state().tiles.find(({{ member }}) => member === {bob.member})"
    said = f"""document.querySelector('[data-member="{bob.member}"] .lock').innerText.trim()"""
    await bob.page.evaluate(HOLD_BACK)
    for viewer in (alice, carol):
        await viewer.page.wait(f"{tile}.camera.overdue > 0 && {said} === 'No picture comes'")
        await viewer.page.wait(f"{tile}.audio.verdict === 'decrypting' && {tile}.audio.overdue === null")
    await bob.page.evaluate("heldBack.sender.replaceTrack(heldBack.track)")
    for viewer in (alice, carol):
        await viewer.page.wait(
            f"{tile}.camera.verdict === 'decrypting' && {tile}.camera.overdue === null && {said} === ''"
        )


async def test_control_dies_and_all_come_back_while_media_go_on(call: Call) -> None:
    where, people = call.stage, call.people
    await everyone_sees_everyone(people)
    await all_goes_well(people)
    before = await asyncio.gather(*(person.state() for person in people))

    (supervisor,) = where.processes("serve")
    os.kill(supervisor, signal.SIGSTOP)  # there is no other control until all of this was seen
    try:
        for control in reversed(where.processes("control")):  # first the one that stands by
            os.kill(control, signal.SIGKILL)
        await pictures_go_on(people)
        complaint = "document.querySelector('.notice').innerText.includes('does not answer')"
        await asyncio.gather(*(person.page.wait(complaint, BACK_S) for person in people))
        await pictures_go_on(people)
        assert [(await person.state())["resumed"] for person in people] == [0] * len(people)
    finally:
        os.kill(supervisor, signal.SIGCONT)
    await asyncio.gather(*(back(person, 1, BACK_S) for person in people))
    await all_goes_well(people)
    after = await asyncio.gather(*(person.state() for person in people))
    for one, other in zip(before, after, strict=True):
        assert one["member"] == other["member"]
        for first, second in zip(one["encoder"], other["encoder"], strict=True):
            assert (first["epoch"], first["ratchet"]) <= (second["epoch"], second["ratchet"])
            assert first["sealed"] <= second["sealed"], "one counter goes on"


async def test_what_is_asked_for_afterwards_is_done(call: Call) -> None:
    alice, bob, carol = call.people
    for viewer, viewed in ((alice, carol), (carol, bob)):
        assert await viewer.focus(viewed.member, timeout_s=IN_FULL_S) is not None
        await viewer.unfocus()
    muted = f"sotto.state().tiles.find(({{ member }}) => member === {bob.member}).camera.muted"
    for on in (True, False):
        await bob.mute("video", on)
        await asyncio.gather(*(one.page.wait(f"{muted} === {str(on).lower()}") for one in (alice, carol)))


async def test_who_loses_the_path_comes_back_on_another(call: Call) -> None:
    """Their ports are as dead as after a change of the network. A shared screen goes with its owner."""
    where, (alice, bob, carol) = call.stage, call.people
    await bob.page.evaluate("sotto.share(true)")
    screen = f"sotto.state().tiles.find(({{ member }}) => member === {bob.member}).screen"
    await alice.page.wait(f"{screen}?.verdict === 'decrypting'")
    lost = [bob, carol]
    before = [await times_back(person) for person in lost]
    with ExitStack() as stack:
        for person in lost:
            for port in await ports(person):
                stack.enter_context(where.namespace.without_port(port))
        await asyncio.gather(
            *(back_again(person, times, AWAY_S) for person, times in zip(lost, before, strict=True))
        )
        await everyone_sees_everyone(call.people)
        await all_goes_well(call.people)
        await alice.page.wait(f"{screen}?.verdict === 'decrypting' && {screen}.shown")
    await bob.page.evaluate("sotto.share(false)")
    await alice.page.wait(f"{screen} === null")
    assert [(await person.state())["phase"] for person in call.people] == ["joined"] * len(call.people)


async def test_the_network_changes_and_all_come_back(call: Call) -> None:
    """The address that all their media go from is another one."""
    before = await asyncio.gather(*(person.state() for person in call.people))
    times = [await times_back(person) for person in call.people]
    call.stage.namespace.change_way(FIRST, OTHER)
    await asyncio.gather(
        *(back_again(person, count, AWAY_S) for person, count in zip(call.people, times, strict=True))
    )
    await everyone_sees_everyone(call.people)
    after = await asyncio.gather(*(person.state() for person in call.people))
    for person, first, last in zip(call.people, before, after, strict=True):
        assert (last["phase"], last["member"]) == ("joined", person.member)
        grown = {name: last[name] - first[name] for name in ("restarts", "resumed")}
        print(f"{person.name} is back: {grown}")
    await all_goes_well(call.people)


async def test_who_cannot_come_back_calls_again(call: Call) -> None:
    """The focus forgets somebody whose client is not heard for long enough: a new call, with a new number."""
    alice, bob, carol = call.people
    before = bob.member
    await bob.page.evaluate(
        "(() => { const ask = fetch; globalThis.fetch = (to, ...more) => String(to).endsWith('/resume')"
        " ? Promise.resolve(new Response(JSON.stringify({ error: { code: 'resume_unknown', message: '' } })))"
        " : ask(to, ...more); })(), RTCPeerConnection.prototype.restartIce = () => { throw new Error(); }"
    )
    with ExitStack() as stack:
        for port in await ports(bob):
            stack.enter_context(call.stage.namespace.without_port(port))
        await bob.page.wait(f"sotto.state().phase === 'joined' && sotto.state().member !== {before}", AWAY_S)
    await bob.joined()
    await everyone_sees_everyone([alice, bob, carol])


async def test_nothing_private_is_in_the_logs(call: Call) -> None:
    """Last in this file: after all of the above."""
    log = call.stage.log()
    assert log.count("control started") >= 2
    assert private_matters(log) == []
    assert "Traceback" not in log


async def ports(person: Participant) -> list[int]:
    found: list[int] = (await person.page.evaluate("sotto.stats()"))["transport"]["ports"]
    return found


async def times_back(person: Participant) -> int:
    """By another path of the same connection, or by a second connection: whichever was there first."""
    state = await person.state()
    return int(state["restarts"] + state["resumed"])


async def back_again(person: Participant, times: int, within_s: float) -> None:
    settled = "sotto.state().notice === '' && !sotto.state().moving"
    back = f"sotto.state().restarts + sotto.state().resumed > {times}"
    await person.page.wait(f"{back} && {settled}", within_s)


async def back(person: Participant, times: int, within_s: float) -> None:
    """Has come back so often, shows all over its new connection, and speaks of no interruption any more."""
    settled = "sotto.state().notice === '' && !sotto.state().moving"
    await person.page.wait(f"sotto.state().resumed >= {times} && {settled}", within_s)
