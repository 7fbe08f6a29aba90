"""One conference of three Chromium and one Firefox, through everything that happens in a call."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from control.demo import figures
from control.demo.browsers import WAIT_S, Browser
from control.demo.participants import FULL_HEIGHT, Participant
from tests.e2e.stage import ADDRESS, Stage, stage
from tests.e2e.strangers import Caller
from tests.e2e.watching import (
    all_goes_well,
    everyone_sees_everyone,
    falls_silent,
    hardly_noticed,
    nobody_connects_anew,
    private_matters,
    sees_in_full,
)

pytestmark = [pytest.mark.browser, pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]

CHROMIUM, FIREFOX = ("alice", "bob", "carol"), "dave"
LATER = ("erin", "frank")
CONSENT_S = 30.0


@dataclass
class Call:
    """The four who stay for the whole file, and where others may come from."""

    stage: Stage
    chromium: Browser
    people: dict[str, Participant]

    @property
    def all(self) -> list[Participant]:
        return list(self.people.values())


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    with stage(tmp_path_factory.mktemp("stage"), (*CHROMIUM, FIREFOX, *LATER)) as where:

        async def arrive() -> Call:
            chromium, firefox = await asyncio.gather(
                where.browsers.launch(fps=10), where.browsers.launch("firefox", fps=10)
            )
            people = {name: await where.join(chromium, name) for name in CHROMIUM}
            people[FIREFOX] = await where.join(firefox, FIREFOX)
            return Call(where, chromium, people)

        yield asyncio.run(arrive())


async def test_all_see_and_hear_each_other(call: Call) -> None:
    await everyone_sees_everyone(call.all)
    await all_goes_well(call.all)
    assert len({person.member for person in call.all}) == len(call.all)


@pytest.mark.parametrize(("viewer", "whom"), [("alice", "bob"), ("bob", "dave"), ("dave", "carol")])
async def test_the_chosen_one_comes_in_full_and_goes_back(call: Call, viewer: str, whom: str) -> None:
    person, member = call.people[viewer], call.people[whom].member
    before = await person.sample()
    await person.ask_for(member)
    others = [number for number in numbers(call, person) if number != member]
    await sees_in_full(person, member, others)
    await person.unfocus()
    await person.page.wait(
        f"sotto.state().tiles.find(({{ member }}) => member === {member}).frameHeight < {FULL_HEIGHT}"
    )
    got = figures.receptions(before, await person.sample())
    assert [one.frames_not_opened for one in got] == [0] * (len(call.people) - 1), got


@pytest.mark.parametrize("name", ["alice", "dave"])
async def test_who_is_muted_sends_nothing_and_all_see_it(call: Call, name: str) -> None:
    muted, others = call.people[name], [one for one in call.all if one.name != name]

    def others_see(kind: str, on: bool) -> list[object]:
        tile = f"sotto.state().tiles.find(({{ member }}) => member === {muted.member})"
        return [one.page.wait(f"{tile}.{kind}.muted === {str(on).lower()}") for one in others]

    await asyncio.gather(muted.mute("audio"), muted.mute("video"))
    await asyncio.gather(*others_see("audio", True), *others_see("camera", True))
    await falls_silent(muted, others)

    await asyncio.gather(muted.mute("audio", False), muted.mute("video", False))
    await asyncio.gather(*others_see("audio", False), *others_see("camera", False))
    await everyone_sees_everyone(call.all)
    await all_goes_well(call.all)


async def test_bad_input_is_noticed_by_nobody_in_the_call(call: Call) -> None:
    """Refused with a reason where Matrix carries one, counted everywhere, and no picture stops for it."""
    where = call.stage
    before = await where.metrics()
    errors = await where.total("internal_errors") + await where.total("worker_internal_errors")
    refused: dict[str, str] = {}

    async def offend() -> None:
        mallory = await asyncio.to_thread(where.namespace.call, Caller.arrive, where.demo)
        refused.update(await asyncio.to_thread(where.namespace.call, mallory.try_everything))
        await asyncio.to_thread(where.namespace.call, rubbish, where)

    await hardly_noticed(where, call.all, offend)
    assert refused == {
        "no ticket": "ticket_missing",
        "unknown conference": "conference_unknown",
        "forged proof": "ticket_invalid",
        "malformed description": "sdp_malformed",
        "no description": "invite_malformed",
        "oversized description": "too_large",
    }

    names = [
        f'sotto_worker_{counter}_total{{worker="{worker}"}}'
        for counter in ("demux_unknown_dropped", "unknown_address_dropped", "stun_malformed_dropped")
        for worker in range(2)
    ]
    await where.until(lambda after: all(after[name] > before[name] for name in names), *names)
    turned_away = "sotto_invites_refused_total"
    grown = [
        n - before.get(key, 0) for key, n in (await where.metrics()).items() if key.startswith(turned_away)
    ]
    assert sum(grown) >= len(refused)
    assert await where.total("internal_errors") + await where.total("worker_internal_errors") == errors


def rubbish(where: Stage) -> None:
    """On every port: bytes of all lengths and of all kinds by their first byte, and unfinished HTTP."""
    source = secrets.SystemRandom()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for port in where.media_ports():
            for first in (0, 1, 3, 16, 20, 22, 63, 64, 79, 80, 127, 128, 144, 191, 192, 200, 255):
                for length in (0, 1, 8, 11, 12, 13, 19, 20, 27, 28, 200, 1400, 9000):
                    body = bytes([first]) + source.randbytes(max(0, length - 1))
                    sender.sendto(body[:length], (ADDRESS, port))
            # A STUN request that is well formed up to its attributes.
            sender.sendto(bytes.fromhex("000100082112a442") + bytes(12) + b"\0\6\0\4ab:c", (ADDRESS, port))
    host, _colon, port_text = where.url("").rstrip("/").partition("//")[2].partition(":")
    for request in (
        b"\0" * 100,
        b"GET " + b"/" * 20000,
        b"GET /../../etc/passwd HTTP/1.1\r\n\r\n",
        b"POST /",
    ):
        with socket.create_connection((host, int(port_text)), timeout=5) as client:
            client.sendall(request)


async def test_a_late_joiner_sees_pictures_and_leaving_is_seen_at_once(call: Call) -> None:
    frank = await call.stage.join(call.chromium, "frank")
    await everyone_sees_everyone([*call.all, frank])
    before, left = await epochs(call), await departures(call)
    await press_leave(frank)
    await all_miss(call, frank)
    # Because they said so, not because they were not heard any more.
    assert await departures(call) == {**left, "hangup": left.get("hangup", 0) + 1}
    await frank.page.wait("sotto.state().screen === 'lobby'")
    await frank.page.close()

    await new_keys(call, before)
    await all_goes_well(call.all)


async def test_a_machine_that_loses_power_is_gone_after_the_consent_time(call: Call) -> None:
    doomed = await call.stage.browsers.launch(fps=10)
    erin = await call.stage.join(doomed, "erin")
    await everyone_sees_everyone([*call.all, erin])
    before = await epochs(call)
    expired, left = await call.stage.total("worker_consent_expired"), await departures(call)
    async with nobody_connects_anew(call.stage):
        await doomed.kill()
        await all_miss(call, erin, CONSENT_S + WAIT_S)
        assert await call.stage.total("worker_consent_expired") == expired + 1
        assert sum((await departures(call)).values()) == sum(left.values()) + 1
        await new_keys(call, before)
        await all_goes_well(call.all)


async def test_a_wrong_clock_is_refused_with_a_reason_on_the_page(call: Call) -> None:
    late = "(() => { const now = Date.now; Date.now = () => now() - 20 * 60000; })()"
    page = await call.chromium.open(call.stage.demo.urls["frank"] + "&join", script=late)
    await page.wait("window.sotto && sotto.state().error?.code === 'ticket_expired'")
    await page.wait("document.body.innerText.includes('clock')")
    await page.close()
    await all_goes_well(call.all)


async def test_a_stranger_is_refused_with_a_reason_on_the_page(call: Call) -> None:
    """Somebody with an account of this homeserver who was never asked into the room."""
    mallory = await asyncio.to_thread(call.stage.namespace.call, Caller.arrive, call.stage.demo)
    page = await call.chromium.open(
        call.stage.demo.urls["alice"] + "&join", script=mallory.instead_of("alice")
    )
    await page.wait("window.sotto && sotto.state().error")
    state = await page.evaluate("sotto.state()")
    assert state["user_id"] == mallory.account.user_id
    assert state["member"] is None
    await page.wait("/invite|room/i.test(document.querySelector('[role=alert]').innerText)")
    await page.close()
    await all_goes_well(call.all)


async def test_nothing_private_is_in_the_logs(call: Call) -> None:
    """Last in this file: after all of the above."""
    log = call.stage.log()
    assert "control started" in log
    assert private_matters(log) == []
    assert "Traceback" not in log


async def epochs(call: Call) -> dict[str, int]:
    """Of the keys each of them encrypts with."""
    states = await asyncio.gather(*(person.state() for person in call.all))
    return {
        person.name: max(source["epoch"] for source in state["encoder"])
        for person, state in zip(call.all, states, strict=True)
    }


async def new_keys(call: Call, before: dict[str, int]) -> None:
    """Everybody encrypts with a key that whoever left has never seen."""
    renewed = "sotto.state().encoder.every(({ epoch }) => epoch > %d)"
    await asyncio.gather(*(person.page.wait(renewed % before[person.name]) for person in call.all))
    # Frames of the former moment may still wait for their key.
    await asyncio.gather(*(person.sees(numbers(call, person)) for person in call.all))


def numbers(call: Call, but: Participant) -> list[int]:
    return [person.member for person in call.all if person is not but]


async def departures(call: Call) -> dict[str, float]:
    """How many have left since the server began, by why."""
    found = re.compile(r'sotto_members_left_total\{reason="(\w+)"\}')
    values = await call.stage.metrics()
    return {match[1]: value for name, value in values.items() if (match := found.fullmatch(name))}


async def all_miss(call: Call, who: Participant, timeout_s: float = WAIT_S) -> None:
    """Nobody is shown this person any more."""
    gone = f"!sotto.state().tiles.some(({{ member }}) => member === {who.member})"
    await asyncio.gather(*(person.page.wait(gone, timeout_s) for person in call.all))


async def press_leave(person: Participant) -> None:
    await person.page.click("[aria-label='Leave']")
