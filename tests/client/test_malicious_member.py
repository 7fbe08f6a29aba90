"""Somebody inside who means ill, against the true server, homeserver and clients: they get nothing, and the
others go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from client.errors import Trouble
from client.keys.frames import BaseKey, Verdict
from client.keys.ticket import Ticket
from client.matrix.call import FocusCall
from client.matrix.direct import direct_room
from client.protocol import messages, names
from client.protocol.events import KeyEntry, KeyRequest, MediaKeys
from tests.client.house import Guest, House, all_see_all, colour_of, coloured, house, sees, until

pytestmark = [pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), ("alice", "bob", "mallory")) as found:
        yield found


def conference_id(guest: Guest) -> str:
    epochs = guest.conference._membership.epochs
    assert epochs is not None
    return epochs.ticket.conference_id


def forged(guest: Guest, member: int, device_id: str) -> dict[str, Any]:
    """Keys that whoever has them could open frames with, in somebody's name."""
    entries = tuple(KeyEntry(source, 0, 0, b"m" * 16) for source in (0, 1))
    return MediaKeys(conference_id(guest), member, device_id, entries).content()


def test_keys_and_frames_in_the_name_of_others(where: House) -> None:
    async def scenario() -> None:
        people = ("alice", coloured("red")), ("bob", None), ("mallory", coloured("green"))
        async with where.guests(*people) as (alice, bob, mallory):
            await sees(bob, alice)
            await sees(bob, mallory)
            theirs, room = mallory.conference._homeserver, where.people["room_id"]
            ours = alice.conference._homeserver.device

            # Keys under alice's number: from mallory's device, in the name of alice's, in clear, by Olm.
            await theirs.send(room, names.MEDIA_KEYS, forged(mallory, alice.number, theirs.device_id))
            await theirs.send(room, names.MEDIA_KEYS, forged(mallory, alice.number, ours.device_id))
            await theirs.send(room, names.MEDIA_KEYS, forged(mallory, 60_000, theirs.device_id))
            clear = f"/_matrix/client/v3/rooms/{quote(room)}/send/{names.MEDIA_KEYS}/in-clear"
            status, _ = await theirs.request("PUT", clear, forged(mallory, alice.number, theirs.device_id))
            assert status == 200
            content = forged(mallory, alice.number, theirs.device_id)
            await theirs.send_direct(bob.conference._homeserver.device, names.MEDIA_KEYS, content)
            await until(
                lambda: (
                    bob.count("keys refused: the member number is another device's") == 2
                    and bob.count("keys refused: another device sent them") == 1
                    and bob.count("keys refused: nobody proved to have sent them") == 1
                ),
                "bob refuses all of them",
            )
            # A key under a number that is nobody's waits in vain; asking in the name of alice brings nothing.
            request = KeyRequest(conference_id(mallory), bob.number, 0, 0)
            await theirs.send_direct(ours, names.KEY_REQUEST, request.content())

            # Frames under alice's KID, sealed with a key of mallory's own.
            keys = mallory.conference._membership._keys
            assert keys is not None
            sealer = keys.sealer(1)
            assert sealer._key is not None
            before, sealer._member = sealer._key, alice.number
            sealer.use(BaseKey(0, 0, b"m" * 16))
            wrong = bob.conference.statistics.tiles[alice.number, 1]
            await until(lambda: wrong.refused.get(Verdict.WRONG_KEY, 0) > 3, "bob refuses frames and says so")
            await until(lambda: "wrong key" in bob.states(alice, "camera"), "and says so")
            sealer._member, sealer._key = mallory.number, before
            sealer._counter += 10_000
            await until(lambda: bob.states(alice, "camera")[-1] == "decrypting", "alice's own still open")
            await sees(bob, mallory)
            await until(lambda: colour_of(bob.pictures[alice.number]) == "red", "and are alice's")

            # Her packets under the SSRC of alice's: it stays mallory's stream, and alice's goes on.
            mine = mallory.conference._membership.senders.camera
            other = alice.conference._membership.senders.camera
            assert mine is not None
            assert other is not None
            for rid, stream in mine.streams.items():
                stream.ssrc = other.streams[rid].ssrc
            mine.key_frame()
            shown = bob.tile(mallory).opened, bob.tile(alice).opened
            await until(
                lambda: bob.tile(mallory).opened > shown[0] + 10 and bob.tile(alice).opened > shown[1] + 10,
                "both go on",
            )
            assert colour_of(bob.pictures[alice.number]) == "red"
            assert colour_of(bob.pictures[mallory.number]) == "green"

            # A ticket of her own making, and proofs that are others': nothing changes for anybody.
            told = alice.conference.epoch
            ticket = Ticket(conference_id(mallory), where.user("alice"), told + 1, b"e" * 32)
            call = alice.conference._attendance._entry.call
            assert call is not None
            stolen = ticket.prove_epoch(where.user("alice"), ours.device_id, call.call_id)
            complaints = len(mallory.happened)
            mallory.conference._membership.say(messages.prove(ticket.epoch, ticket.verifier, stolen))
            await until(
                lambda: any(
                    getattr(each, "code", "") == "ticket_invalid" for each in mallory.happened[complaints:]
                ),
                "the focus refuses a proof of another member's",
            )
            assert alice.conference.epoch == bob.conference.epoch == told
            await all_see_all([alice, mallory])

    where.play(scenario())


def test_calls_with_the_proofs_of_others(where: House) -> None:
    async def scenario() -> None:
        people = ("alice", None), ("bob", None)
        async with where.guests(*people) as (alice, bob):
            invites: list[dict[str, Any]] = []
            mallory = await where.join("mallory", None)
            try:
                theirs = mallory.conference._homeserver
                ticket = mallory.conference._membership.epochs
                assert ticket is not None
                focus = where.people["bot"]
                room_id = await direct_room(theirs, focus)
                offer = mallory.conference._attendance._entry.offerer
                assert offer is not None

                async def call(join: dict[str, Any], call_id: str | None = None) -> str:
                    """The code it is refused with."""
                    attempt = FocusCall(theirs, room_id, focus, lambda hangup: None)
                    attempt.call_id = call_id or attempt.call_id
                    invites.append(join)
                    try:
                        await attempt.invite(offer.offer(), messages.stream_metadata("stream"), join)
                    except Trouble as refused:
                        return refused.code
                    finally:
                        attempt.close()
                    return "admitted"

                now = int(time.time() * 1000)
                bobs = ticket.ticket.join(where.user("bob"), "BOB", "call-of-bob", now)
                assert await call(bobs, "call-of-bob") == "ticket_invalid"
                ours = ticket.ticket.join(theirs.user_id, "OTHER", "call-once", now)
                assert await call({**ours, "epoch": ticket.current + 1}, "call-once") == "ticket_invalid"
                assert await call(ours, "call-twice") == "ticket_invalid"  # the proof names the call
                old = ticket.ticket.join(theirs.user_id, "OTHER", "call-old", now - 400_000)
                assert await call(old, "call-old") == "ticket_expired"
                # Used once, by a device of its own that then goes.
                assert await call(ours, "call-once") == "admitted"
                hangup = {"call_id": "call-once", "party_id": theirs.device_id, "version": "1"}
                await theirs.send(room_id, names.HANGUP, {**hangup, "reason": "user_hangup"})
                assert await call(ours, "call-once") == "ticket_invalid"
            finally:
                await mallory.conference.leave()
            assert alice.conference.members.keys() >= {alice.number, bob.number}

    where.play(scenario())
