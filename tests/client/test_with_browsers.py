"""Two implementations that share no code in one conference: this client and real browsers, both ways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from client.keys.frames import Verdict
from client.media.sources import Pattern
from client.protocol import names
from client.protocol.messages import Subscription
from control.demo.browsers import Browsers
from control.demo.participants import FULL_HEIGHT, WATCH, Participant
from tests.client import schemas
from tests.client.house import Guest, House, all_see_all, coloured, house, sees, until
from tests.client.witness import Witness, witness
from tests.patience import PATIENCE_S

pytestmark = [
    pytest.mark.browser,
    pytest.mark.synapse,
    pytest.mark.netns,
    pytest.mark.slow,
]


RECORD = """(() => {
    const said = [];
    Object.defineProperty(globalThis, "sottoSaid", { value: said });
    Object.defineProperty(globalThis, "sottoChannels", { value: [] });
    const create = RTCPeerConnection.prototype.createDataChannel;
    RTCPeerConnection.prototype.createDataChannel = function (...words) {
        const channel = create.apply(this, words), send = channel.send;
        sottoChannels.push(channel);
        channel.send = (text) => { said.push(["<", text]); return send.call(channel, text); };
        channel.addEventListener("message", ({ data }) => said.push([">", data]));
        return channel;
    };
})()"""
"""Keeps what goes over the data channel, both ways."""


async def check_what_was_said(person: Participant) -> None:
    """Every message of a browser and of the focus to it, held against the schemas."""
    said = await person.page.evaluate("sottoSaid")
    problems: set[str] = set()
    for direction, text in said:
        known = schemas.CLIENT if direction == "<" else schemas.FOCUS
        problems |= set(schemas.problems_of_message(json.loads(text), known))
    assert not problems
    assert {names.WELCOME, names.MEMBERS, names.SLOTS, names.SEND} <= {
        json.loads(text)["type"] for direction, text in said if direction == ">"
    }
    assert [text for direction, text in said if direction == "<"]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = {"SOTTO_SERVER_TICKET_GRACE_S": "5"}
    with house(tmp_path_factory.mktemp("house"), ("alice", "bob", "carol"), settings) as found:
        yield found


async def check_the_way_by_the_room(bob: Participant, beside: Witness, focus: str) -> None:
    """What goes by the data channel as long as there is one: a new offer, and that bob leaves."""
    # It gives up an answer that takes 5 s, as it may on a busy machine.
    await bob.page.evaluate("sotto.restart().catch(() => null)")
    for said_by in (beside.where.user("bob"), focus):
        await beside.hears(said_by, names.NEGOTIATE)
    # What is said over a closed channel is lost.
    await bob.page.evaluate("sottoChannels.forEach((one) => one.close()), sotto.leave()")
    await beside.hears(beside.where.user("bob"), names.HANGUP)


async def check_both_ways(bob: Participant, beside: Witness) -> None:
    """It takes its channel for dead, which it is not."""
    dead = "sottoChannels.forEach((one) => one.dispatchEvent(new Event('close')))"
    await bob.page.evaluate(f"{dead}, sotto.leave()")
    await bob.page.wait(f"sottoSaid.some(([, text]) => JSON.parse(text).type === {names.HANGUP!r})")
    await check_what_was_said(bob)
    await beside.hears(beside.where.user("bob"), names.HANGUP)


LACKS_KEYS_OF = """sotto.state().tiles.some(
    ({ member, audio }) => member === %d && audio?.verdict === "missing_key"
)"""


@contextmanager
def without_a_majority(one: Guest) -> Iterator[None]:
    """Of three inside, one of them removed, two have to prove a new ticket; until then nobody is put out."""
    membership = one.conference._membership
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(membership, "prove", lambda: None)
        yield
    membership.prove()


async def put_out(where: House, moderator: Guest, removed: Guest, browser: int) -> None:
    """Removes one of three from the room: it opens nothing more of the two others, one of them a browser."""
    tiles = removed.conference.statistics.tiles
    sounds = (moderator.number, 0), (browser, 0)
    await until(lambda: all(key in tiles and tiles[key].opened for key in sounds), "it hears them")
    with without_a_majority(moderator):
        await where.room(moderator, "kick", removed.name)
        await until(
            lambda: all(tiles[key].state == Verdict.KEY_MISSING for key in sounds), "keys are missing"
        )
    # Both have proved the new ticket, or it would not be current. Whoever cannot is put out.
    await until(lambda: moderator.conference.epoch >= 1, "a new ticket")
    ended = await asyncio.wait_for(removed.conference.wait_ended(), 5 + PATIENCE_S)
    assert ended.code == "ticket_expired"
    assert {epoch for tile in tiles.values() for epoch in tile.epochs} == {0}
    await until(lambda: removed.number not in moderator.conference.members, "the roster without it")
    await where.room(moderator, "invite", removed.name)
    await where.room(removed, "join")


async def leave_and_lose_the_keys(one: Guest, leaving: Guest) -> None:
    """The key events that follow are lost, its own and the browser's: each asks the other's device."""
    keys, homeserver = one.conference._membership._keys, one.conference._homeserver
    assert keys is not None
    asked, answered = one.count("keys asked for"), one.count("key requests answered")
    send = homeserver.send

    async def lost(room_id: str, kind: str, content: dict[str, Any]) -> str:
        return "$lost" if kind == names.MEDIA_KEYS else await send(room_id, kind, content)

    homeserver.inbox.on_event.remove(keys._event)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(homeserver, "send", lost)
        await leaving.conference.leave()
        await until(lambda: one.count("keys asked for") > asked, "the browser is asked")
        await until(lambda: one.count("key requests answered") > answered, "and asks")
    homeserver.inbox.on_event.append(keys._event)


@pytest.mark.parametrize("kind", ["chromium", "firefox"])
def test_a_browser_among_clients_of_sealed_rtp(where: House, kind: Literal["chromium", "firefox"]) -> None:
    async def scenario() -> None:
        async with witness(where, "bob") as beside_bob:
            await meet(beside_bob)

    async def meet(beside_bob: Witness) -> None:
        with Browsers() as browsers:
            browser = await browsers.launch(kind, fps=15)
            two = (("alice", coloured("red")), ("carol", coloured("green")))
            async with where.guests(*two, sealed=True) as (alice, carol):
                await all_see_all((alice, carol))
                assert alice.tile(carol).form == carol.tile(alice, "audio").form == "sealed"
                bob = await Participant.arrive(browser, "bob", where.demo.urls["bob"] + "&join")
                await bob.joined()
                await bob.sees([alice.number, carol.number], PATIENCE_S)
                for guest, other in ((alice, carol), (carol, alice)):
                    bobs = (bob.member, 1), (bob.member, 0)
                    tiles = guest.conference.statistics.tiles

                    def decrypting(tiles: Any = tiles, bobs: Any = bobs) -> bool:
                        return all(key in tiles and tiles[key].state == Verdict.OPENED for key in bobs)

                    await until(decrypting, "they see and hear bob")
                    assert {tiles[key].form for key in bobs} == {"frames"}
                    opened = guest.tile(other).opened
                    await until(lambda: guest.tile(other).opened > opened + 10, "sealed goes on")  # noqa: B023
                    assert guest.tile(other).form == "sealed"
                # Put out of the room the browser opens nothing more, and is put out of the conference.
                with without_a_majority(carol):
                    await where.room(alice, "kick", "bob")
                    for other in (alice, carol):
                        await bob.page.wait(LACKS_KEYS_OF % other.number, PATIENCE_S)
                await until(lambda: min(alice.conference.epoch, carol.conference.epoch) >= 1, "a new ticket")
                await bob.page.wait("sotto.state().phase === 'failed'", 5 + PATIENCE_S)
                assert (await bob.state())["error"]["code"] == "ticket_expired"
                await until(lambda: bob.member not in alice.conference.members, "they are alone")
                for guest, other in ((alice, carol), (carol, alice)):
                    tile = guest.tile(other)
                    await until(lambda: max(tile.epochs) >= 1, "a new key, sealed")  # noqa: B023
                    opened = tile.opened
                    await until(lambda: tile.opened > opened + 10, "and it goes on")  # noqa: B023
                    assert tile.form == "sealed"
                    assert not {Verdict.WRONG_KEY, Verdict.NOT_ENCRYPTED} & tile.refused.keys()
                await beside_bob.hears(where.people["bot"], names.HANGUP)
                await where.room(alice, "invite", "bob")
                await beside_bob.join()

    where.play(scenario())


@pytest.mark.parametrize("kind", ["chromium", "firefox"])
@pytest.mark.parametrize("first", ["python", "browser"])
def test_a_browser_and_a_python_client(
    where: House, kind: Literal["chromium", "firefox"], first: str
) -> None:
    async def scenario() -> None:
        async with witness(where, "bob") as beside_bob:
            await meet(beside_bob)

    async def meet(beside_bob: Witness) -> None:
        with Browsers() as browsers:  # the scenario runs in the namespace
            browser = await browsers.launch(kind, fps=15)

            async def arrive() -> Participant:
                url = where.demo.urls["bob"] + "&join"
                person = await Participant.arrive(browser, "bob", url, script=WATCH + ";" + RECORD)
                await person.joined()
                return person

            bob = await arrive() if first == "browser" else None
            async with where.guests(("alice", Pattern(1280, 720, 10))) as inside:
                (alice,) = inside
                bob = bob or await arrive()
                await bob.sees([alice.number], PATIENCE_S)
                bobs = (bob.member, 1), (bob.member, 0)

                def decrypting() -> bool:
                    tiles = alice.conference.statistics.tiles
                    return all(key in tiles and tiles[key].state == Verdict.OPENED for key in bobs)

                await until(decrypting, "alice sees and hears bob")
                # Full pictures, both ways.
                assert await bob.focus(alice.number, FULL_HEIGHT, PATIENCE_S) is not None
                alice.conference.subscribe(Subscription(bob.member, "camera", 1280, 720))
                tile = alice.conference.statistics.tiles[bob.member, 1]
                await until(lambda: tile.size is not None and tile.size[1] > 180, "more than a thumbnail")
                await bob.unfocus()
                # Keys change on both sides, and both follow.
                carol = await where.enter(inside, "carol", coloured("green"))
                await bob.sees([alice.number, carol.number], PATIENCE_S)
                await sees(carol, alice)
                if first == "browser":
                    await put_out(where, alice, carol, bob.member)
                else:
                    await leave_and_lose_the_keys(alice, carol)
                    inside.remove(carol)
                await bob.sees([alice.number], PATIENCE_S)
                await until(lambda: max(tile.epochs) >= 1, "bob's new key is in use")
                await until(decrypting, "and alice has it")
                newest = max(key.epoch for key in await bob.media_keys() if key.source == 1)
                await until(lambda: max(tile.epochs) >= newest, "the newest one is")
                assert tile.epochs <= {key.epoch for key in await bob.media_keys() if key.source == 1}
                for verdict in (Verdict.WRONG_KEY, Verdict.NOT_ENCRYPTED, Verdict.REPLAYED):
                    assert verdict not in tile.refused
                await bob.sees([alice.number], PATIENCE_S)
                await check_what_was_said(bob)
                call = (f"m.call.{kind}" for kind in ("invite", "select_answer", "candidates"))
                await beside_bob.hears(where.user("bob"), names.MEDIA_KEYS, *call)
                await beside_bob.hears(where.people["bot"], "m.call.answer")
                if first == "browser":
                    await beside_bob.hears(where.user("bob"), names.CONFERENCE, names.TICKET)
                if first == "browser":
                    await check_the_way_by_the_room(bob, beside_bob, where.people["bot"])
                else:
                    await check_both_ways(bob, beside_bob)
                # The one who leaves is gone for the other.
                await until(lambda: bob.member not in alice.conference.members, "alice is alone")

    where.play(scenario())
