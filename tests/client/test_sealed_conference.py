"""Sealed RTP in a real conference: Python clients among themselves, beside one that opens frames only."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.keys.frames import Verdict
from client.protocol import names
from client.protocol.messages import Subscription
from client.sealed.sending import SealedStream
from tests.client.house import (
    Guest,
    House,
    all_see_all,
    colour_of,
    coloured,
    house,
    sees,
    stands_still,
    until,
)

pytestmark = [pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(scope="module")
def program(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's program, but the third of a conference is placed on the second worker."""
    copy = tmp_path_factory.mktemp("program")
    for package in ("control", "fastpath_ext"):
        shutil.copytree(root / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "*.c"))
    limits = copy / "control/protocol/limits.py"
    text = limits.read_text()
    for name, value in (("TRANSPORTS", 2), ("COST", 0)):
        text, changed = re.subn(rf"^(SPREAD_{name}: Final) = .*$", rf"\1 = {value}", text, flags=re.MULTILINE)
        assert changed == 1
    limits.write_text(text)
    return copy


@pytest.fixture(scope="module")
def where(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    people = "alice", "bob", "carol", "dave"
    with house(tmp_path_factory.mktemp("sealed"), people, workers=2, program=program) as found:
        yield found


def worker_of(guest: Guest) -> int:
    """Its UDP port: each worker has one."""
    link = guest.conference._attendance.membership.connections.link
    assert link is not None
    return int(link._path.connection._nominated[1].remote_addr[1])


def sealed_packets(guest: Guest) -> int:
    return sum(each.packets for each in guest.conference.statistics.sent if each.source.endswith("sealed"))


def frame_packets(guest: Guest) -> int:
    return sum(
        each.packets for each in guest.conference.statistics.sent if not each.source.endswith("sealed")
    )


def ssrcs_of(guest: Guest) -> list[SealedStream]:
    senders = guest.conference._attendance.membership.senders
    pair = senders.camera, senders.microphone
    return [each for sender in pair if sender is not None for each in sender.sealed_streams.values()]


def begin_at(guest: Guest, sequence: int) -> None:
    """The inner sequence numbers of everything it sends sealed, before anything was sent."""
    for stream in ssrcs_of(guest):
        assert stream.packets == 0
        stream.begin_at(sequence)


def test_sealed_both_ways_and_frames_for_who_needs_them(where: House) -> None:
    async def scenario() -> None:
        two = (("alice", coloured("red")), ("bob", coloured("blue")))
        async with where.guests(*two, sealed=True) as inside:
            alice, bob = inside
            await all_see_all((alice, bob))
            for one, other in ((alice, bob), (bob, alice)):
                assert one.tile(other).form == one.tile(other, "audio").form == "sealed"
                await until(lambda one=one, other=other: other.number in one.pictures, "a picture")
            assert colour_of(bob.pictures[alice.number]) == "red"
            assert colour_of(alice.pictures[bob.number]) == "blue"
            # Nobody needs frames: none are sent any more.
            await until(lambda: sealed_packets(alice) > 50, "alice sends sealed")
            await stands_still(lambda: frame_packets(alice), lambda: sealed_packets(alice), "no frames")
            # The server says what the network carries of it.
            track = alice.number, "camera"
            await until(lambda: track in bob.conference.sealed_layers, "it is told of the sealed picture")
            assert bob.conference.sealed_layers[track].encoding in ("t", "m", "f")
            assert not bob.conference.layers
            # A larger picture is another encoding under another SSRC.
            bob.conference.subscribe(Subscription(alice.number, "camera", 1280, 720))
            await until(lambda: bob.tile(alice).size == (640, 360), "the full picture")
            assert bob.tile(alice).form == "sealed"
            # Carol opens frames only; alice and bob go on sealed, and step their keys for her.
            carol = await where.enter(inside, "carol", coloured("green"))
            await all_see_all((alice, bob, carol))
            assert carol.tile(alice).form == carol.tile(alice, "audio").form == "frames"
            assert worker_of(alice) == worker_of(bob) != worker_of(carol)
            assert alice.tile(carol).form == "frames"
            before, opened = frame_packets(alice), bob.tile(alice).opened
            await until(lambda: frame_packets(alice) > before + 50, "frames, too")
            await until(lambda: bob.tile(alice).opened > opened + 20, "and sealed as before")
            assert bob.tile(alice).form == "sealed"
            # She leaves: new keys, and frames end.
            inside.remove(carol)
            await carol.conference.leave()
            await until(
                lambda: max(bob.tile(alice).epochs) == max(alice.tile(bob, "audio").epochs) == 1,
                "keys that carol never had",
            )
            await stands_still(lambda: frame_packets(alice), lambda: sealed_packets(alice), "frames end")
            for source in ("camera", "audio"):
                await until(
                    lambda source=source: bob.states(alice, source)[-1:] == ["decrypting"], "it is said, too"
                )

    where.play(scenario())


def test_who_comes_after_a_rollover_and_who_pauses(where: House) -> None:
    async def scenario() -> None:
        async with where.guests(("alice", coloured("red")), sealed=True) as inside:
            (alice,) = inside
            begin_at(alice, 65_500)
            bob = await where.enter(inside, "bob", None, sealed=True)
            await sees(bob, alice)
            streams = [stream for stream in ssrcs_of(alice) if stream.packets]
            await until(lambda: all(each.rollover == 1 for each in streams), "the rollover")
            assert bob.tile(alice).form == "sealed"
            carol = await where.enter(inside, "carol", None, sealed=True)
            await sees(carol, alice)
            assert carol.tile(alice).form == carol.tile(alice, "audio").form == "sealed"
            assert Verdict.WRONG_KEY not in carol.tile(alice).refused
            # She gets it from another worker, which gets it from theirs.
            assert worker_of(alice) == worker_of(bob) != worker_of(carol)
            # Hidden for a while, then looked at again.
            carol.conference.subscribe(Subscription(alice.number, "camera", 320, 0))
            hidden = await stands_still(
                lambda: carol.tile(alice).opened, lambda: carol.tile(alice, "audio").opened, "no pictures"
            )
            carol.conference.subscribe(Subscription(alice.number, "camera", 320, 180))
            await until(lambda: carol.tile(alice).opened > hidden + 10, "the picture comes back")

    where.play(scenario())


def test_lost_packets_are_asked_for_and_open(where: House) -> None:
    async def scenario() -> None:
        async with where.guests(("alice", coloured("red")), ("bob", None), sealed=True) as (alice, bob):
            await sees(bob, alice)
            receiver = bob.conference._attendance.membership._receiver
            assert receiver is not None
            link = bob.conference._attendance.membership.connections.link
            assert link is not None
            take, fate = link._path._recv, random.Random(7)
            lost: set[bytes] = set()  # of each packet the first

            async def lossy() -> bytes:
                """On the way, before the hop's encryption is taken off."""
                while True:
                    data = await take()
                    known = data[2:4] + data[8:12]
                    sent = (
                        128 <= data[0] < 192 and int.from_bytes(data[8:12], "big") in receiver.sealed._by_ssrc
                    )
                    if not sent or known in lost or fate.random() > 0.1:
                        return data
                    lost.add(known)

            link._path._recv = lossy  # type: ignore[method-assign]
            opened = bob.tile(alice).opened
            await until(lambda: bob.count("repaired") >= 5, "repairs that open")
            await until(lambda: bob.tile(alice).opened > opened + 30, "the picture goes on")
            # Sound is sent again as it was.
            await until(lambda: bob.count("sound repaired") >= 5, "sound that is sent again opens")
            assert Verdict.WRONG_KEY not in bob.tile(alice).refused

    where.play(scenario())


def test_another_connection_gets_other_ssrcs(where: House) -> None:
    async def scenario() -> None:
        two = (("alice", coloured("red")), ("bob", coloured("blue")))
        async with where.guests(*two, sealed=True, service=where.service) as (alice, bob):
            await all_see_all((alice, bob))
            before = {each.ssrc for each in ssrcs_of(alice)}
            where.kill_control()
            await until(lambda: alice.count("resumed") and bob.count("resumed"), "both came back")
            assert before.isdisjoint({each.ssrc for each in ssrcs_of(alice)})
            opened = bob.tile(alice).opened, alice.tile(bob, "audio").opened
            await until(
                lambda: (
                    bob.tile(alice).opened > opened[0] + 20
                    and alice.tile(bob, "audio").opened > opened[1] + 20
                ),
                "pictures and sound over the second connections",
            )
            assert bob.tile(alice).form == alice.tile(bob, "audio").form == "sealed"

    where.play(scenario())


def test_a_killed_worker_costs_a_moment(where: House) -> None:
    """Its successor has the indices of every sealed stream: nothing is repeated, nobody connects anew."""

    async def scenario() -> None:
        two = (("alice", coloured("red")), ("bob", coloured("blue")))
        async with where.guests(*two, sealed=True) as (alice, bob):
            await all_see_all((alice, bob))
            numbers = alice.number, bob.number
            for _ in range(3):
                before = where.worker()
                os.kill(before, signal.SIGKILL)
                await until(lambda before=before: where.worker() != before, "another is at work")
                opened = [one.tile(other).opened for one, other in ((alice, bob), (bob, alice))]
                heard = [one.tile(other, "audio").opened for one, other in ((alice, bob), (bob, alice))]
                await until(
                    lambda opened=opened, heard=heard: all(
                        one.tile(other).opened > opened[at] + 20
                        and one.tile(other, "audio").opened > heard[at] + 20
                        for at, (one, other) in enumerate(((alice, bob), (bob, alice)))
                    ),
                    "pictures and sound go on",
                )
            assert (alice.number, bob.number) == numbers
            for one, other in ((alice, bob), (bob, alice)):
                for source in ("camera", "audio"):
                    tile = one.tile(other, source)
                    assert tile.form == "sealed"
                    assert not {Verdict.WRONG_KEY, Verdict.REPLAYED} & tile.refused.keys()
                assert one.count("sealed packets replayed") == 0

    where.play(scenario())


def test_a_wrong_key_is_refused_and_shown(where: House) -> None:
    async def scenario() -> None:
        async with where.guests(("alice", coloured("red")), ("bob", None), sealed=True) as (alice, bob):
            await sees(bob, alice)
            membership = alice.conference._attendance.membership
            assert membership._keys is not None
            sealer = membership._keys.packet_sealer(names.SOURCES.index("audio"))
            assert sealer._key is not None
            sealer._key._salt = bytes(12)
            await until(lambda: bob.tile(alice, "audio").state == Verdict.WRONG_KEY, "the wrong key is said")
            # None of it opens any more, while pictures do.
            await stands_still(
                lambda: bob.tile(alice, "audio").opened, lambda: bob.tile(alice).opened, "no sound"
            )
            assert bob.tile(alice).state == Verdict.OPENED

    where.play(scenario())
