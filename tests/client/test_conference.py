"""Python clients in a real conference: real homeserver, real focus, real media, encrypted from end to end."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import pytest
from aioice import ice

from client import Conference
from client.errors import Trouble
from client.happenings import Complaint, Ended, MemberLeft, Wanted
from client.keys.frames import Verdict
from client.keys.ticket import Ticket
from client.media.sources import Pattern
from client.protocol import limits, messages, names
from client.protocol.messages import Subscription
from client.transport import link
from tests.client.house import (
    LIMIT_S,
    Guest,
    House,
    all_see_all,
    colour_of,
    coloured,
    house,
    sees,
    stands_still,
    tone_of,
    until,
)
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    people = "alice", "bob", "carol", "dave"
    # Who is removed is out that much sooner; others have their ticket within a second or two.
    with house(tmp_path_factory.mktemp("house"), people, {"SOTTO_SERVER_TICKET_GRACE_S": "12"}) as found:
        yield found


def ticket_of(guest: Guest) -> Ticket:
    epochs = guest.conference._membership.epochs
    assert epochs is not None
    return epochs.ticket


def recordings(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def test_two_see_and_hear_each_other(where: House, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with where.guests(("alice", coloured("red")), ("bob", coloured("blue"))) as (alice, bob):
            bob.conference.record(str(tmp_path / "meeting.mkv"))
            await all_see_all((alice, bob))
            await until(
                lambda: (
                    len(bob.sounds.get(alice.number, b"")) == len(alice.sounds.get(bob.number, b"")) == 96_000
                    and alice.number in bob.pictures
                    and bob.number in alice.pictures
                ),
                "pictures and a second of sound",
            )
            assert colour_of(bob.pictures[alice.number]) == "red"
            assert colour_of(alice.pictures[bob.number]) == "blue"
            # Whole, once a second of it came without a gap.
            for one, other, tone in ((bob, alice, 440), (alice, bob, 880)):
                await until(
                    lambda one=one, other=other, tone=tone: (
                        tone_of(one.sounds[other.number]) == pytest.approx(tone, rel=0.05)
                    ),
                    f"{one.name} hears {tone} Hz",
                )
            for one, other in ((alice, bob), (bob, alice)):
                # A thumbnail: a quarter of the picture, or less where the focus asks for less.
                size = one.tile(other).size
                assert size is not None
                assert size[0] <= 160
                # 50 a second where the machine has time for it; what waited comes at once.
                await until(
                    lambda one=one, other=other: 15 < one.tile(other, "audio").rate < 150, "some 50 a second"
                )
            heard, seen = bob.tile(alice, "audio").opened, bob.tile(alice).opened
            await until(lambda: bob.tile(alice, "audio").opened > heard + 50, "more sound to record")
            await until(lambda: bob.tile(alice).opened > seen + 15, "more pictures to record")
        # Where the picture came late there is a second part, which has it.
        *_, path = sorted(recordings(tmp_path), key=lambda each: len(each.name))
        name = where.user("alice")[1:].partition(":")[0]
        assert path.name.startswith(f"meeting-{alice.number}-{name}")
        with av.open(str(path)) as recording:
            assert [stream.type for stream in recording.streams] == ["video", "audio"]
            frames = list(recording.decode())
        pictures = [frame for frame in frames if isinstance(frame, av.VideoFrame)]
        assert colour_of(pictures[-1]) == "red"
        assert len(pictures) > 3
        assert len(frames) - len(pictures) > 10
        times = [frame.time for frame in pictures if frame.time is not None]
        assert times == sorted(times)

    where.play(scenario())


def test_who_is_wanted_large_sends_more_and_less_again(where: House) -> None:
    async def scenario() -> None:
        pattern = Pattern(1280, 720, 10)
        async with where.guests(("alice", pattern), ("bob", coloured("blue"))) as (alice, bob):
            await all_see_all((alice, bob))
            wish = Subscription(alice.number, "camera", 1280, 720)
            bob.conference.subscribe(wish)
            await until(lambda: bob.tile(alice).size == (1280, 720), "the full picture")
            await until(
                lambda: alice.number in bob.pictures and bob.pictures[alice.number].width == 1280,
                "the full picture, decoded",
            )
            assert any("f" in each.encodings for each in alice.happened if isinstance(each, Wanted))
            bob.conference.subscribe(Subscription(alice.number, "camera", 320, 180))
            await until(lambda: bob.tile(alice).size == (320, 180), "the thumbnail")
            bob.conference.subscribe(Subscription(alice.number, "camera", 320, 0))
            hidden = await stands_still(
                lambda: bob.tile(alice).opened, lambda: bob.tile(alice, "audio").opened, "no pictures"
            )
            bob.conference.subscribe(Subscription(alice.number, "camera", 320, 180))
            await until(lambda: bob.tile(alice).opened > hidden, "the picture comes back")
            for verdict in (Verdict.WRONG_KEY, Verdict.NOT_ENCRYPTED, Verdict.REPLAYED):
                assert verdict not in bob.tile(alice).refused

    where.play(scenario())


def test_keys_step_when_somebody_joins_and_change_when_somebody_leaves(where: House) -> None:
    async def scenario() -> None:
        async with where.guests(("alice", coloured("red")), ("bob", coloured("blue"))) as inside:
            alice, bob = inside
            await all_see_all((alice, bob))
            carol = await where.enter(inside, "carol", coloured("green"))
            await all_see_all((alice, bob, carol))
            await until(lambda: carol.number in alice.pictures, "carol's picture")
            assert colour_of(alice.pictures[carol.number]) == "green"
            inside.remove(carol)
            await carol.conference.leave()
            await until(lambda: carol.number not in alice.conference.members, "the roster without carol")
            await until(
                lambda: max(bob.tile(alice).epochs) == max(alice.tile(bob).epochs) == 1,
                "keys that carol never had are in use",
            )
            await until(lambda: alice.conference.epoch == bob.conference.epoch == 1, "a new ticket")
            before = bob.tile(alice).opened
            await until(lambda: bob.tile(alice).opened > before + 10, "the picture goes on")
            dave = await where.enter(inside, "dave", None)  # admitted by the new ticket
            await sees(dave, alice)
            assert dave.conference.epoch == 1
            # Not a frame was lost over the change of keys, as they came before they were used.
            await until(lambda: bob.states(alice, "audio")[-1:] == ["decrypting"], "it is said, too")
            assert carol.happened[-1] == Ended("left", "We left.")

    where.play(scenario())


def test_who_is_put_out_of_the_room_is_given_no_key_any_more(where: House) -> None:
    async def scenario() -> None:
        async with where.guests(
            ("alice", coloured("red")), ("bob", coloured("blue")), ("dave", None)
        ) as inside:
            alice, bob, dave = inside
            await all_see_all((alice, bob))
            await sees(dave, alice)
            await where.room(alice, "kick", "dave")
            # The focus is not in the room and goes on naming him; what comes he cannot open any more.
            await until(lambda: dave.tile(alice).state == Verdict.KEY_MISSING, "dave lacks alice's key")
            await until(lambda: dave.tile(bob, "audio").state == Verdict.KEY_MISSING, "and bob's")
            await until(lambda: dave.count("keys asked for") > 0, "he asks in vain")
            assert not dave.sees_and_hears(alice)
            await until(lambda: bob.sees_and_hears(alice) and alice.sees_and_hears(bob), "the others go on")
            # An epoch of his own: he knows all that it takes, but is no majority.
            own = replace(ticket_of(dave), epoch=1, secret=b"d" * 32)
            call = dave.conference._attendance._entry.call
            assert call is not None
            device = dave.conference._homeserver.device
            proof = own.prove_epoch(*device, call.call_id)
            dave.conference._membership.say(messages.prove(1, own.verifier, proof))
            # They make a ticket of which he is told nothing; after the grace time the focus puts him out.
            await until(lambda: alice.conference.epoch == bob.conference.epoch == 1, "a new ticket")
            ended = await asyncio.wait_for(dave.conference.wait_ended(), 30 + PATIENCE_S)
            assert ended.code == "ticket_expired"
            assert alice.conference._membership.epoch == bob.conference._membership.epoch
            assert alice.conference._membership.epoch[1] != own.verifier
            await until(lambda: dave.number not in alice.conference.members, "he is out for the others too")
            assert max(bob.tile(alice).epochs) >= 1
            await where.room(alice, "invite", "dave")
            await where.room(dave, "join")

    where.play(scenario())


def test_a_lost_key_event_is_asked_for(where: House) -> None:
    async def scenario() -> None:
        async with where.guests(("alice", coloured("red")), ("bob", None)) as inside:
            alice, bob = inside
            await sees(bob, alice)
            asked = bob.count("keys asked for")
            # Everything of the room's timeline passes bob by; carol's join and leave change alice's key.
            timeline = list(bob.conference._homeserver.inbox.on_event)
            bob.conference._homeserver.inbox.on_event.clear()
            carol = await where.enter(inside, "carol", None)
            await sees(carol, alice)
            inside.remove(carol)
            await carol.conference.leave()
            # Once bob asks, alice's next key has been made: its event passed him by.
            await until(lambda: bob.tile(alice, "audio").state == Verdict.KEY_MISSING, "frames without a key")
            bob.conference._homeserver.inbox.on_event += timeline
            await until(lambda: 1 in bob.tile(alice).epochs, "the key came on request")
            assert bob.count("keys asked for") > asked
            assert alice.count("key requests answered") > 0

    where.play(scenario())


def test_keys_from_device_to_device(where: House) -> None:
    async def scenario() -> None:
        async with where.guests(
            ("alice", coloured("red")), ("bob", coloured("blue")), to_device=True
        ) as inside:
            await all_see_all(inside)
            carol = await where.enter(inside, "carol", coloured("green"))
            await all_see_all(inside)
            await until(lambda: inside[0].number in carol.pictures, "alice's picture")
            assert colour_of(carol.pictures[inside[0].number]) == "red"

    where.play(scenario())


def test_a_lossy_way_is_repaired(where: House) -> None:
    async def scenario() -> None:
        async with where.guests(("alice", Pattern(640, 360, 15)), ("bob", None)) as (alice, bob):
            await sees(bob, alice)
            receiver = bob.conference._membership._receiver
            assert receiver is not None
            whole, came = receiver.rtp_untrusted, 0

            def one_in_twenty_is_lost(data: bytes, current: bool = True) -> None:
                nonlocal came
                came += 1
                if came % 20:
                    whole(data)

            receiver.rtp_untrusted = one_in_twenty_is_lost  # type: ignore[method-assign]
            before = bob.tile(alice).opened
            await until(lambda: bob.count("repaired") > 3, "what was lost is sent again")
            await until(lambda: bob.tile(alice).opened - before > 40, "the picture goes on")

    where.play(scenario())


def test_muted_means_that_nothing_is_sent(where: House) -> None:
    async def scenario() -> None:
        async with where.guests(("alice", coloured("red")), ("bob", coloured("blue"))) as (alice, bob):
            await all_see_all((alice, bob))
            alice.conference.mute(audio=True, video=False)
            await until(lambda: bob.conference.members[alice.number].audio_muted, "the roster says so")
            heard = await stands_still(
                lambda: bob.tile(alice, "audio").opened, lambda: bob.tile(alice).opened, "no sound"
            )
            alice.conference.mute(audio=False, video=False)
            await until(lambda: bob.tile(alice, "audio").opened > heard, "and the sound comes back")

    where.play(scenario())


def test_a_dead_channel_is_no_leave(where: House) -> None:
    async def scenario() -> None:
        async with where.guests(
            ("alice", coloured("red")), ("bob", coloured("blue")), service=where.service
        ) as (alice, bob):
            await all_see_all((alice, bob))
            number, first = bob.number, bob.conference._membership.connections.link
            assert first is not None
            first._channel.close()
            await until(lambda: bob.count("resumed"), "bob's second connection")
            await until(lambda: not first.connected, "the first is closed")
            await asyncio.sleep(1)
            seen, shown = bob.tile(alice).opened, alice.tile(bob).opened
            await until(lambda: bob.tile(alice).opened > seen + 10, "bob sees alice over it")
            await until(lambda: alice.tile(bob).opened > shown + 10, "alice sees bob over it")
            assert bob.number == number
            assert not [each for each in alice.happened if isinstance(each, MemberLeft)]
            heard = bob.tile(alice, "audio").opened
            await until(lambda: bob.tile(alice, "audio").opened > heard + 10, "and hears her")

    where.play(scenario())


def test_a_focus_whose_mind_was_killed(where: House) -> None:
    """Its control process ends without a word; media go on, and everybody makes a second connection."""

    async def scenario() -> None:
        async with where.guests(
            ("alice", coloured("red")), ("bob", coloured("blue")), service=where.service
        ) as (alice, bob):
            await all_see_all((alice, bob))
            numbers = alice.number, bob.number
            where.kill_control()
            for guest in (alice, bob):  # who would wait for 25 s
                guest.conference._membership.connections.silence_s = 6
            await asyncio.sleep(3)
            seen = bob.tile(alice).opened
            await until(lambda: bob.tile(alice).opened > seen + 10, "pictures without a mind")
            await until(lambda: alice.count("resumed") and bob.count("resumed"), "both resume")
            await asyncio.sleep(4)
            seen, shown = bob.tile(alice).opened, alice.tile(bob).opened
            await until(lambda: bob.tile(alice).opened > seen + 10, "bob sees alice again")
            await until(lambda: alice.tile(bob).opened > shown + 10, "alice sees bob again")
            assert (alice.number, bob.number) == numbers
            for guest in (alice, bob):
                assert not [each for each in guest.happened if isinstance(each, MemberLeft)]

    where.play(scenario())


def test_another_network_costs_neither_membership_nor_keys(
    where: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that bob sends from goes away, and another comes: ICE restarts, the rest stays."""
    addresses = ["192.0.2.8"]
    for module in (ice, link):
        monkeypatch.setattr(module, "get_host_addresses", lambda use_ipv4, use_ipv6: list(addresses))

    def address(action: str, name: str) -> None:
        subprocess.run(["ip", "address", action, f"{name}/24", "dev", "media0"], check=True)

    async def scenario() -> None:
        async with where.guests(("alice", coloured("red")), ("bob", coloured("blue"))) as (alice, bob):
            await all_see_all((alice, bob))
            number, connections = bob.number, bob.conference._membership.connections
            first = connections.link
            address("del", "192.0.2.8")
            addresses[:] = ["192.0.2.7"]
            await until(lambda: connections.restarts == 1, "another path")
            seen, shown = bob.tile(alice).opened, alice.tile(bob).opened
            await until(lambda: bob.tile(alice).opened > seen + 10, "bob sees alice over it")
            await until(lambda: alice.tile(bob).opened > shown + 10, "alice sees bob over it")
            bob.conference.mute(audio=True, video=False)
            await until(lambda: alice.conference.members[number].audio_muted, "the same channel goes on")
            assert connections.link is first
            assert bob.number == number
            assert not [each for each in alice.happened if isinstance(each, MemberLeft)]

    where.namespace.call(address, "add", "192.0.2.8")
    where.play(scenario())


def test_a_membership_that_is_forgotten_is_called_for_again(
    where: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CALL_AGAIN_S", 0)

    async def scenario() -> None:
        async with where.guests(
            ("alice", coloured("red")), ("bob", coloured("blue")), service=where.service
        ) as (alice, bob):
            await all_see_all((alice, bob))
            number, connections = bob.number, bob.conference._membership.connections
            assert connections.ticket is not None
            assert connections.link is not None
            connections.ticket = replace(connections.ticket, token="0.0." + "x" * 40)
            connections.link._channel.close()
            await until(lambda: bob.number not in (0, number), "another number")
            await all_see_all((alice, bob))
            await until(lambda: number not in alice.conference.members, "the former number is gone")
            await until(
                lambda: (
                    "resume_unknown" in [each.code for each in bob.happened if isinstance(each, Complaint)]
                ),
                "why is said",
            )
            assert not [each for each in bob.happened if isinstance(each, Ended)]

    where.play(scenario())


def test_what_goes_wrong_is_said(where: House) -> None:
    async def scenario() -> None:
        with pytest.raises(Trouble) as refused:
            await where.join("alice", None)
        assert refused.value.code == "no_conference"
        who = where.people["people"]["alice"]
        url = where.demo.homeserver.url
        with pytest.raises(Trouble) as login:
            await Conference.join(url, who["user_id"], password="wrong", room=where.people["room_id"])
        assert login.value.code == "login_refused"
        with pytest.raises(Trouble) as service:
            await where.join("alice", None, service="http://127.0.0.1:9/")
        assert service.value.code == "service_unreachable"
        with pytest.raises(Trouble) as room:
            await Conference.join(url, who["user_id"], password=who["password"], room="!no:localhost")
        assert room.value.code == "room_unknown"
        with pytest.raises(Trouble) as server:
            await Conference.join("http://127.0.0.1:9", who["user_id"], password="x", room="!no:localhost")
        assert server.value.code == "homeserver_unreachable"

    where.play(scenario())


def test_the_command(where: House, tmp_path: Path) -> None:
    """`python -m client join` in a process of its own, as a person starts it."""
    who = where.people["people"]["bob"]
    password = tmp_path / "password"
    password.write_text(who["password"] + "\n")

    async def start(*more: str) -> Process:
        url, room = where.demo.homeserver.url, where.people["room_id"]
        words = ["-m", "client", "join", room, "--homeserver", url, "--user", who["user_id"], *more]
        return await asyncio.create_subprocess_exec(sys.executable, *words, stderr=asyncio.subprocess.PIPE)

    async def command(*more: str) -> tuple[int, str]:
        process = await start(*more)
        _, said = await process.communicate()
        return process.returncode or 0, said.decode()

    async def scenario() -> None:
        code, text = await command("--password-file", str(password))
        assert (code, "no_conference" in text) == (4, True), text
        code, text = await command("--password-file", "/nowhere")
        assert (code, "/nowhere" in text) == (2, True), text
        # Not by whoever began all those before: nobody may have begun more than ten.
        async with where.guests(("carol", coloured("red"))) as (carol,):
            tape = str(tmp_path / "tape.mkv")
            options = ("--password-file", str(password), "--send", "pattern", "--record", tape)
            process = await start(*options, "--stats", "--for", str(LIMIT_S))
            assert process.stderr is not None
            text = ""
            while f"camera of {where.user('carol')}: decrypting" not in text:
                line = (await process.stderr.readline()).decode()
                assert line, text
                text += line

            def heard() -> int:
                tiles = carol.conference.statistics.tiles.items()
                return sum(tile.opened for (_, source), tile in tiles if names.SOURCES[source] == "audio")

            before = heard()
            await until(lambda: heard() > before + 100, "two seconds of sound")
            process.send_signal(signal.SIGINT)
            _, rest = await process.communicate()
            assert process.returncode == 0, text + rest.decode()
            name = where.user("carol")[1:].partition(":")[0]
            assert recorded(tmp_path / f"tape-{carol.number}-{name}.mkv")

    where.play(scenario())


def test_all_of_this_was_as_the_schemas_say(where: House) -> None:
    """The house compares whatever is said, in every test before this one; here is what that was."""
    said = {"ticket", "ticket_request", "media_keys", "key_request", "welcome", "members", "slots", "send"}
    said |= {"conference", "epoch", "prove", "negotiate", "resumed", "resume", "config"}
    heard = {kind.split(".")[-1] for kind in where.heard}
    assert {*said, "invite", "answer", "hangup", "speakers", "layers", "ping", "pong"} - heard == set()


def recorded(path: Path) -> bool:
    with av.open(str(path)) as container:
        return len(list(container.decode())) > 20


def test_the_names_of_both_sides_are_the_same() -> None:
    from control.protocol import names as theirs

    ours = {name: value for name, value in vars(names).items() if name.isupper()}
    for name, value in vars(theirs).items():
        if name in ours:
            assert ours[name] == value, name
