"""A server that looks wherever it can: nothing of what people said, and none of their keys, is there."""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from client.keys.frames import Sealer
from client.media.codec import SoundEncoder
from client.media.sources import Pattern, Sound
from client.sealed.packet import Header
from client.sealed.sending import PacketSealer
from control.demo.curious import Findings, look
from control.demo.memory import Needle
from tests.client.house import Guest, House, all_see_all, house, until

pytestmark = [pytest.mark.synapse, pytest.mark.netns, pytest.mark.slow]

# What everybody says in every packet of sound, in place of sound.
SAID = os.urandom(64)


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), ("alice", "bob")) as found:
        yield found


def keys_of(guest: Guest) -> list[Needle]:
    """Base keys, as they were made and as they were stepped; and the secret of the ticket."""
    keys = guest.conference._membership._keys
    assert keys is not None
    found = keys.own.since(0)
    needles = [
        Needle(f"{guest.name}'s key of source {source}, {base!r}", base.key)
        for source, bases in found.items()
        for base in bases
    ]
    epochs = guest.conference._membership.epochs
    assert epochs is not None
    return [*needles, Needle("the ticket's secret", epochs.ticket.secret)]


@pytest.mark.parametrize("form", ["frames", "sealed"])
def test_a_curious_server_finds_neither_keys_nor_what_was_said(
    where: House, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    pictures: deque[bytes] = deque(maxlen=6)
    sealed: deque[bytes] = deque(maxlen=400)
    whole = Sealer.seal

    def seal(self: Sealer, frame: bytes) -> bytes | None:
        made = whole(self, frame)
        if made is not None:
            sealed.append(made)
            if len(frame) > 400:
                pictures.append(frame[100:164])
        return made

    whole_packet = PacketSealer.seal

    def seal_packet(self: PacketSealer, header: Header, rollover: int, payload: bytes) -> bytes | None:
        made = whole_packet(self, header, rollover, payload)
        if made is not None:
            sealed.append(made)
            if len(payload) > 400:
                pictures.append(payload[100:164])
        return made

    def encode(self: SoundEncoder, sound: Sound) -> Iterator[bytes]:
        yield b"\x78" + SAID

    monkeypatch.setattr(Sealer, "seal", seal)
    monkeypatch.setattr(PacketSealer, "seal", seal_packet)
    monkeypatch.setattr(SoundEncoder, "encode", encode)

    def search(guests: list[Guest]) -> tuple[Findings, list[Needle]]:
        hidden = [Needle("what was said", SAID), *(needle for guest in guests for needle in keys_of(guest))]
        hidden += [Needle(f"a picture's inside {each.hex()[:8]}", each) for each in pictures]
        link = guests[1].conference._membership.connections.link
        assert link is not None
        assert link.answer is not None
        password = link.answer.transport.password
        # What the server does have: the password of ICE that it made, and frames as they were sealed.
        must = [Needle("the ICE password", password.encode())]
        must += [Needle(f"sealed {index}", each[30:70]) for index, each in enumerate(list(sealed)[-60:-30])]
        return look(where.demo, hidden, must), hidden

    async def scenario() -> None:
        picture = Pattern(640, 360, 15)
        people = ("alice", picture), ("bob", picture)
        async with where.guests(*people, sealed=form == "sealed") as (alice, bob):
            await all_see_all((alice, bob))
            await until(lambda: bob.tile(alice).form == bob.tile(alice, "audio").form == form, "the form")
            heard = bob.tile(alice, "audio").opened + 100
            await until(lambda: bob.tile(alice, "audio").opened > heard, "two seconds are said and heard")
            assert bob.tile(alice).opened
            findings, hidden = search([alice, bob])
            async with aiohttp.ClientSession() as http, http.get(f"{where.service}metrics") as answer:
                figures = await answer.read()
            assert len(pictures) == 6
            assert len(hidden) >= 1 + 6 + 2 * 3
            assert findings.secrets.names() == set()
            assert findings.in_files == set()
            assert not [each.name for each in hidden if any(form in figures for form in each.forms.values())]
            assert b"sotto_" in figures
            # It did look: at all processes, all files, and it finds what is there.
            assert findings.secrets.processes >= 5
            assert findings.files > 5
            assert "the ICE password" in findings.known.names("raw")
            assert [name for name in findings.known.names("raw") if name.startswith("sealed")]

    where.play(scenario())


def test_the_looking_finds_what_stands_in_files(tmp_path: Path) -> None:
    from control.demo.curious import in_files

    key = Needle("a key", secrets.token_bytes(16))
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "server.log").write_text(f"oh, {key.forms['base64'].decode()}A")
    assert in_files(tmp_path, [key, Needle("another", secrets.token_bytes(16))]) == ({"a key"}, 1)
