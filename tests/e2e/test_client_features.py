"""What the browser client offers besides seeing and hearing: three people in Chromium try all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from control.demo.browsers import Browser
from control.demo.participants import Participant
from tests.e2e.hands import hide, press, violations, watched
from tests.e2e.stage import Stage, stage
from tests.e2e.watching import IN_FULL_S

pytestmark = [pytest.mark.browser, pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]

NAMES = ("alice", "bob", "carol")
LOBBY = "dave"
DARK = ("--blink-settings=preferredColorScheme=0",)


@dataclass
class Call:
    stage: Stage
    chromium: Browser
    people: dict[str, Participant]

    @property
    def all(self) -> list[Participant]:
        return list(self.people.values())


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    with stage(tmp_path_factory.mktemp("stage"), (*NAMES, LOBBY)) as where:

        async def arrive() -> Call:
            chromium = await where.browsers.launch(fps=10)
            people = {NAMES[0]: await where.join(chromium, NAMES[0])}
            # She has a place for one other only: the second she can but hear.
            for name, flags in ((NAMES[1], "&join"), (NAMES[2], "&join&pairs=1")):
                people[name] = await where.join(chromium, name, flags)
            return Call(where, chromium, people)

        yield asyncio.run(arrive())


async def test_who_has_no_place_for_a_picture_is_heard_while_speaking(call: Call) -> None:
    """Fake microphones beep about once a second."""
    alice, bob, carol = call.all
    await asyncio.gather(alice.sees([bob.member, carol.member]), bob.sees([alice.member, carol.member]))
    await carol.page.wait(
        """(({ voices, tiles }) =>
            voices.some(({ loudest, member }) => loudest && member !== null) &&
            tiles.every(({ audio }) => audio.verdict === "decrypting" && audio.counts.decrypted > 100) &&
            tiles.filter(({ camera }) => camera.verdict === "decrypting").length === 1
        )(sotto.state())"""
    )


async def test_who_speaks_is_shown_and_told(call: Call) -> None:
    alice, bob, _carol = call.all
    await alice.page.wait(
        f"sotto.state().speakers.speaking.includes({bob.member}) && "
        f"""document.querySelector('[data-member="{bob.member}"]').matches(".speaking[aria-label*=speaking]")"""
    )
    await alice.page.evaluate(f"sotto.view('speaker'), sotto.mute('audio', true), sotto.pin({bob.member})")
    await alice.page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))")
    await alice.page.wait(
        "(({ large, speakers, member, tiles }) => large && tiles.length === 2 && "
        "(speakers.dominant === large.member || speakers.dominant === member))(sotto.state())"
    )
    await alice.page.evaluate("sotto.view('grid'), sotto.mute('audio', false)")
    await alice.page.wait("sotto.state().large === null && sotto.state().media.audio")


async def test_a_page_in_the_background_gets_sound_but_no_pictures(call: Call) -> None:
    alice = call.people["alice"]
    await hide(alice.page, hidden=True)
    await alice.page.wait("sotto.state().away && sotto.state().wishes.every(({ height }) => height === 0)")
    await alice.page.wait(
        """(async () => {
        const video = async () => {
            const rows = (await sotto.stats()).receivers.filter(({ kind }) => kind === "video");
            return rows.reduce((sum, { packetsReceived }) => sum + (packetsReceived ?? 0), 0);
        };
        const before = await video();
        await new Promise((resolve) => setTimeout(resolve, 500));
        return (await video()) === before;
    })()"""
    )
    # They are heard, and nobody's network is to blame.
    await alice.page.wait(
        "sotto.state().tiles.every(({ audio, note }) => audio.verdict === 'decrypting' && note === '')"
    )
    await hide(alice.page, hidden=False)
    await alice.sees([person.member for person in call.all if person is not alice])


async def test_a_picture_in_a_window_of_its_own_stays_in_sight(call: Call) -> None:
    alice, bob, _carol = call.all
    await alice.page.evaluate(f"sotto.pin({bob.member})")
    await alice.page.wait("document.querySelector('.tile.large video:not([hidden])')?.videoWidth > 0")
    await press(alice.page, "d")
    await alice.page.wait("document.querySelector('[data-key=p]')")
    await press(alice.page, "p")
    await alice.page.wait("document.pictureInPictureElement")
    await hide(alice.page, hidden=True)
    await alice.page.wait(
        f"""sotto.state().away && JSON.stringify(sotto.state().wishes.filter(({{ height }}) => height > 0)
            .map(({{ member }}) => member)) === "[{bob.member}]\""""
    )
    await press(alice.page, "p")
    await alice.page.wait("sotto.state().wishes.every(({ height }) => height === 0)")
    await hide(alice.page, hidden=False)
    await press(alice.page, "d")
    await alice.page.evaluate("sotto.focus(null)")


async def test_a_screen_is_shared_and_comes_large_to_the_others(call: Call) -> None:
    alice, bob, carol = call.all
    sharing = f"sotto.state().tiles.find(({{ member }}) => member === {bob.member}).screen"
    for _time in range(2):
        await bob.page.evaluate("sotto.share(true)")
        await bob.page.wait("sotto.state().media.screen")
        await alice.page.wait(
            f"""sotto.state().large?.source === "screen" && {sharing}?.verdict === "decrypting" &&
            {sharing}.shown && {sharing}.frameHeight >= 720""",
            IN_FULL_S,
        )
        await bob.page.wait(
            """(async () => {
            const rows = (await sotto.stats()).senders.filter(({ source }) => source === "screen");
            return JSON.stringify(rows.map(({ rid }) => rid).sort()) === '["f","t"]';
        })()"""
        )
        await bob.page.evaluate("sotto.share(false)")
        await alice.page.wait(f"{sharing} === null && sotto.state().large === null")
    # She has no place for it, and nothing of hers is the worse for that.
    assert (await carol.state())["phase"] == "joined"


async def test_hands_and_reactions_reach_the_others(call: Call) -> None:
    alice, bob, carol = call.all
    await press(alice.page, "h")
    for other in (bob, carol):
        await other.page.wait(
            f"""document.querySelector('[data-member="{alice.member}"] .hand')?.textContent.includes("1")"""
        )
    shown = f"""document.querySelector('[data-member="{bob.member}"] .reaction')?.textContent"""
    async with watched(carol.page, f"""["👏", "Bravo"].includes({shown})"""):
        await bob.page.evaluate("sotto.react('👏')")
    await press(alice.page, "h")
    await asyncio.gather(*(one.page.wait("sotto.state().hands.length === 0") for one in (bob, carol)))


async def test_a_moderator_asks_for_silence_and_puts_a_picture_before_everybody(call: Call) -> None:
    alice, bob, carol = call.all
    for person, moderates in ((alice, "true"), (bob, "false"), (carol, "false")):
        await person.page.wait(f"sotto.state().moderator === {moderates}")
    said = "!sotto.state().media.audio && sotto.state().notice.includes('asked you to be silent')"
    async with watched(bob.page, said):
        await alice.page.evaluate(f"sotto.askToMute({bob.member}, 'audio')")
    await alice.page.wait(f"sotto.state().tiles.find(({{ member }}) => member === {bob.member}).audio.muted")
    await bob.mute("audio", False)
    await bob.page.wait("sotto.state().media.audio")

    await alice.page.evaluate(f"sotto.focusForAll({{ member: {carol.member}, source: 'camera' }})")
    await bob.page.wait(f"sotto.state().large?.member === {carol.member}")
    await bob.page.evaluate(f"sotto.pin({alice.member})")
    await bob.page.wait(f"sotto.state().large?.member === {alice.member}")
    await bob.page.evaluate("sotto.focus(null)")
    await bob.page.wait(f"sotto.state().large?.member === {carol.member}")
    await alice.page.evaluate("sotto.focusForAll(null)")
    await bob.page.wait("sotto.state().large === null")


async def test_keys_press_buttons_but_not_while_somebody_writes(call: Call) -> None:
    page = call.people["alice"].page
    await press(page, "m")
    await page.wait("!sotto.state().media.audio")
    await press(page, "m")
    await page.wait("sotto.state().media.audio")
    await press(page, "d")
    await page.wait("document.activeElement.textContent === 'Details'")
    await page.wait("""document.querySelector(".panel").innerText.includes("kbit/s")""")
    select = """document.querySelector(".panel select")"""
    await page.evaluate(
        f"{select}.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'm', bubbles: true }}))"
    )
    assert (await call.people["alice"].state())["media"]["audio"]
    await press(page, "Escape")
    await page.wait("!document.querySelector('.panel')")


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
async def test_everything_can_be_used_without_seeing_it(
    call: Call, tmp_path: Path, size: tuple[int, int]
) -> None:
    """As far as axe can tell. The pictures are not judged: they are green."""
    alice = call.people["alice"]
    await alice.page.screenshot(tmp_path / "call.png", size)
    assert await violations(alice.page) == []
    await press(alice.page, "d")
    await press(alice.page, "r")
    await alice.page.wait("document.querySelector('.panel') && document.querySelector('.palette')")
    assert await violations(alice.page) == []
    assert await alice.page.evaluate(
        "[...document.querySelectorAll('.buttons button')].every((button) => {"
        " const { left, right } = button.getBoundingClientRect(); return left >= 0 && right <= innerWidth; })"
    )
    await press(alice.page, "Escape")
    await press(alice.page, "d")


@pytest.mark.parametrize("dark", [False, True])
async def test_the_way_in_can_be_used_without_seeing_it(call: Call, dark: bool) -> None:
    browser = await call.stage.browsers.launch(fps=5, args=DARK if dark else ())
    try:
        page = await browser.open(call.stage.url(""))
        await page.wait("window.sotto && sotto.state().screen === 'signin'")
        assert await violations(page) == []
        await page.close()
        page = await browser.open(call.stage.demo.urls[LOBBY])
        await page.wait("window.sotto && sotto.state().screen === 'lobby' && sotto.state().media.video")
        await page.wait("document.querySelectorAll('select').length >= 2")
        await page.wait("Number(document.querySelector('[role=meter]').getAttribute('aria-valuenow')) > 0")
        assert await violations(page) == []
    finally:
        await browser.close()


async def test_all_still_goes_well(call: Call) -> None:
    """Last in this file: after all of the above."""
    state = await call.people["alice"].state()
    assert state["phase"] == "joined"
    assert not any("refused" in name or "malformed" in name for name in state["counters"]), state["counters"]
