"""Candidates are a stranger's word: whatever they name, nothing is sent there."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from control.protocol import names
from control.protocol.events import MatrixCallEvent
from tests.io.devices import Device, Place
from tests.patience import PATIENCE_S
from tests.protocol.people import CREATOR, offer

ELSEWHERE = "169.254.169.254", "10.0.0.1", "192.168.0.1", "224.0.0.1", "fe80::1", "::1", "::ffff:127.0.0.1"


@pytest.fixture
async def where() -> AsyncIterator[Place]:
    place = Place()
    yield place
    await place.close()


@pytest.fixture
def bait() -> Iterator[list[socket.socket]]:
    """On loopback, where a datagram would be seen."""
    made = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        one.bind((host, 0))
        made.append(one)
    yield made
    for one in made:
        one.close()


async def test_nothing_is_sent_to_candidates(where: Place, bait: list[socket.socket]) -> None:
    named = [(one.getsockname()[0], one.getsockname()[1]) for one in bait]
    ports = [port for _, port in named]
    named += [(host, port) for host in ELSEWHERE for port in ports]
    lines = [
        f"candidate:{index} 1 udp {2130706431 - index} {host} {port} typ host"
        for index, (host, port) in enumerate(named)
    ]
    alice = Device(where, CREATOR, "alice")
    text = offer(fingerprint=alice.dtls.fingerprint()) + "".join(f"a={line}\r\n" for line in lines)
    await (await (await alice.call(offer={"type": "offer", "sdp": text})).connect()).open()
    candidates = [{"candidate": line, "sdpMid": "audio", "sdpMLineIndex": 0} for line in lines]
    content = {"call_id": "alice", "party_id": "alice", "version": "1", "candidates": candidates}
    where.runtime.matrix_event(MatrixCallEvent("!alice", CREATOR, names.CANDIDATES, content, 50, True))
    assert not [key for key in where.counts if key[0].startswith("matrix_events_")]
    bob = Device(where, "@bob:example.org", "bob")
    await (await (await bob.call()).connect()).open()
    async with asyncio.timeout(PATIENCE_S):
        while not any(got.payload == b"heard" for got in alice.heard):
            bob.speak(b"heard")
            await asyncio.sleep(0.02)
    for one in bait:
        with pytest.raises(BlockingIOError):
            one.recv(2048)
    for device in (alice, bob):
        device.close()
