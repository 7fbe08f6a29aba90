"""Conferences of one room: begun for voice and for two, chosen among, carried on, ended by the last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from control.demo.browsers import Browser, Page
from control.demo.participants import Participant
from tests.e2e.hands import violations
from tests.e2e.stage import WINDOW, Stage, stage

pytestmark = [pytest.mark.browser, pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]

NAMES = ("alice", "bob", "carol")
SWITCH_MS = 3000
"""Instead of a minute. Where a page is slower than that its conference ends, and it announces it again."""

ANNOUNCED = "sotto.state().conference.announcers.join() === sotto.state().user_id"
"""By this person, and nobody else any more."""

BEGUN_APART_MS = 5000
"""web/src/protocol/limits.ts, BEGUN_AT_ONCE_MS. Two that are nearer are taken for one that was meant:
whoever is left alone in the older one goes over to the newer one at once."""

CARRIED_ON_S = 180.0
"""A second. Where nobody is quick enough to carry it on in five, the homeserver has a minute to end what
whoever left had announced."""


@dataclass
class Room:
    stage: Stage
    chromium: Browser
    people: dict[str, Participant]
    carols: Browser | None = None


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with stage(tmp_path_factory.mktemp("stage"), NAMES) as where:

        async def arrive() -> Room:
            chromium = await where.browsers.launch(fps=5)
            return Room(where, chromium, {})

        yield asyncio.run(arrive())


async def test_one_is_begun_for_voice_and_for_two(room: Room) -> None:
    alice = room.people["alice"] = await in_lobby(room, room.chromium, "alice")
    await alice.page.wait("sotto.state().media.video")
    await alice.page.click("[name=intent][value=voice]")
    await alice.page.wait(
        "!sotto.state().media.video && !document.querySelector('[data-key=v], .over button + button')"
    )
    await alice.page.wait(
        "(() => { const limit = document.querySelector('[type=number]'); limit.value = '2';"
        " return limit.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    await press(alice.page)
    await alice.joined()
    assert await alice.page.evaluate("document.querySelectorAll('[data-key=v], [data-key=s]').length") == 0
    conference = (await alice.state())["conference"]
    assert (conference["intent"], conference["members"]) == ("voice", 2)


async def test_who_has_not_joined_sees_it_and_joins_it_with_voice_alone(room: Room) -> None:
    alice, bob = room.people["alice"], await in_lobby(room, room.chromium, "bob")
    room.people["bob"] = bob
    await bob.page.wait("document.querySelector('.lobby').innerText.includes('Voice only')")
    await bob.page.wait("!sotto.state().media.video && sotto.state().media.audio")
    await press(bob.page)
    await bob.joined()
    for one, other in ((alice, bob), (bob, alice)):
        await one.page.wait(
            f"sotto.state().tiles.some(({{ member, audio }}) =>"
            f" member === {other.member} && audio.verdict === 'decrypting')"
        )
    told = (await alice.state())["roster"]
    assert [person["sources"] for person in told] == [["audio"], ["audio"]]
    assert await violations(bob.page) == []


async def test_who_finds_it_full_begins_another(room: Room) -> None:
    room.carols = await room.stage.browsers.launch(fps=5)
    carol = room.people["carol"] = await in_lobby(room, room.carols, "carol", f"&switch={SWITCH_MS}")
    await carol.page.wait("sotto.state().conferences.length === 1")
    await press(carol.page)
    await carol.page.wait("sotto.state().error?.code === 'full'")
    await carol.page.click("button", "Leave")
    await carol.page.wait(f"Date.now() - sotto.state().conferences[0].created_ts > {BEGUN_APART_MS}")
    await carol.page.click(".lobby .another")
    await carol.page.wait("document.querySelector('[name=intent][value=video]:checked')")
    await press(carol.page)
    await carol.joined()
    await carol.page.wait("document.querySelector('[data-key=v]') && sotto.state().media.video")
    for name in ("alice", "bob"):
        # Nobody of the two is alone, so nobody is called away.
        await room.people[name].page.wait("sotto.state().conferences.length === 2", CARRIED_ON_S)
        assert (await room.people[name].state())["phase"] == "joined"


async def test_what_its_announcer_leaves_is_carried_on_and_can_be_chosen(room: Room) -> None:
    alice, bob = room.people["alice"], room.people["bob"]
    conference = (await bob.state())["conference"]
    await alice.page.click("button", "Leave")
    await bob.page.wait(ANNOUNCED, CARRIED_ON_S)
    # The newest is the active one, and the other one can be had.
    await alice.page.wait("sotto.state().screen === 'lobby' && sotto.state().conferences.length === 2")
    chosen = "sotto.state().conferences.find(({ chosen }) => chosen)"
    carol = (await room.people["carol"].state())["user_id"]
    await alice.page.wait(f"{chosen}?.creator === '{carol}'")
    await alice.page.wait("document.querySelectorAll('[name=conference]').length === 3")
    assert await violations(alice.page) == []
    await alice.page.click("[name=conference]:not(:checked)")
    await alice.page.wait(f"{chosen}?.id === '{conference['id']}'")
    await press(alice.page)
    await alice.joined()
    found = (await alice.state())["conference"]
    assert {key: found[key] for key in ("id", "creator", "intent", "members")} == {
        key: conference[key] for key in ("id", "creator", "intent", "members")
    }
    await bob.page.wait(f"sotto.state().tiles.some(({{ member }}) => member === {alice.member})")


async def test_who_vanishes_without_a_word_leaves_no_conference_behind(room: Room) -> None:
    """Nobody else is in it: the homeserver ends it."""
    alice, carol = room.people["alice"], room.people["carol"]
    carols = (
        f"sotto.state().conferences.some(({{ creator }}) => creator === '{(await carol.state())['user_id']}')"
    )
    # She has announced it for longer than that would last without her. In the second after she had to
    # announce it again nothing would end it.
    await carol.page.wait(
        f"""(() => {{
        const announces = {ANNOUNCED} && sotto.state().conference.secured;
        globalThis.announcesSince = announces ? globalThis.announcesSince ?? performance.now() : undefined;
        return announces && performance.now() - announcesSince > {SWITCH_MS};
    }})()"""
    )
    await alice.page.wait(carols)
    assert room.carols is not None
    await room.carols.kill()
    await alice.page.wait(f"!{carols}")


async def test_the_last_one_ends_it_by_leaving_and_by_closing_the_page(room: Room) -> None:
    alice, bob = room.people["alice"], room.people["bob"]
    await bob.page.click("button", "Leave")
    await bob.page.wait("sotto.state().screen === 'lobby'")
    await alice.page.wait(f"{ANNOUNCED} && sotto.state().conference.secured", CARRIED_ON_S)
    await bob.page.wait("sotto.state().conferences.length === 1")
    await alice.page.close()
    await bob.page.wait("sotto.state().conferences.length === 0")

    await press(bob.page)
    await bob.joined()
    assert (await bob.state())["conference"]["intent"] == "video"
    await bob.page.click("button", "Leave")
    await bob.page.wait("sotto.state().screen === 'lobby' && sotto.state().conferences.length === 0")


async def in_lobby(room: Room, browser: Browser, name: str, flags: str = "") -> Participant:
    person = await Participant.arrive(browser, name, room.stage.demo.urls[name] + flags, size=WINDOW)
    await person.page.wait("window.sotto && sotto.state().screen === 'lobby' && sotto.state().media.audio")
    return person


async def press(page: Page) -> None:
    """Join, or Start conference."""
    await page.click(".lobby .primary")
