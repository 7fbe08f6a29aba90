"""From an invite to a voice: the runtime, a worker process, and devices at UDP sockets on loopback.

Signalling, ICE, DTLS, SCTP, the table and SRTP are the true ones; only Matrix is a list.
"""

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aioice import stun
from pylibsrtp import Policy, Session

from control.handover import MediaSocket, WorkerHandover
from control.io.conferences import ConferenceRuntime
from control.io.sockets import uplink_pair
from control.io.workers import WorkerLink
from control.protocol import names
from control.protocol.dtls import DtlsIdentity
from control.protocol.events import MatrixCallEvent
from fastpath_ext.table import Table
from tests.io.members import Member, World, wall_ms
from tests.protocol.people import CREATOR, Ticket, invite, offer
from tests.synthetic import Got, read_rtp

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from fastpath_ext.worker import Worker
config, state, uplink, udp = map(int, sys.argv[1:])
Worker(config, state, uplink, [udp]).run()
"""
MID_EXTENSION = 4  # as tests.protocol.people offers it


class Place(World):
    """A runtime with a worker process of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table.create(16, 64, 256)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(("127.0.0.1", 0))
        control, worker = uplink_pair()
        port = self.socket.getsockname()[1]
        given = WorkerHandover(
            0,
            0,
            *(os.dup(fd) for fd in self.table.fds),
            control.detach(),
            (MediaSocket(-1, "127.0.0.1", port),),
        )
        self.link = WorkerLink(given, lambda index, message: self.runtime.uplink(index, message))
        self.link.start()
        self.runtime = ConferenceRuntime(
            user_id="@sotto:example.org",
            party_id="FOCUSDEVICE",
            places=[self.link.place([])],
            workers=[self.link],
            identity=DtlsIdentity(),
            send_matrix=self.sent,
            count=self.count,
        )
        fds = (*self.table.fds, worker.fileno(), self.socket.fileno())
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, fds)], pass_fds=fds, cwd=ROOT
        )
        worker.close()

    async def close(self) -> None:
        await self.runtime.stop(silent=True)
        self.link.close()
        self.process.kill()
        self.process.wait()
        self.socket.close()
        assert not [key for key in self.counts if key[0] == "internal_errors"]
        assert (self.link.unread, self.link.writer.refused) == (0, 0)


class Device(Member):
    """A member at a UDP socket: an ICE agent of one check a moment, a microphone, and ears."""

    def __init__(self, world: World, user_id: str, name: str) -> None:
        super().__init__(world, user_id, name)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(("127.0.0.1", 0))
        self.loop = asyncio.get_running_loop()
        self.loop.add_reader(self.socket, self._readable)
        self.answer: dict[str, str] = {}
        self.slot_ssrcs: dict[str, int] = {}
        self.checked = False
        self.heard: list[Got] = []
        self.sequence = 1000

    async def call(self, **changes: Any) -> "Device":
        content = invite(self.user_id, self.name, self.name, offer(fingerprint=self.dtls.fingerprint()))
        content[names.JOIN] = Ticket().join(self.user_id, self.name, self.name, ts=wall_ms())
        self.world.runtime.matrix_event(
            MatrixCallEvent(f"!{self.name}", self.user_id, names.INVITE, content | changes, 50, True)
        )
        kind, answered = self.world.last_matrix(self.name)
        assert kind == names.ANSWER
        mid = ""
        for line in answered["answer"]["sdp"].splitlines():
            name, _, value = line.removeprefix("a=").partition(":")
            mid = value if name == "mid" else mid
            if name == "ssrc":
                self.slot_ssrcs[mid] = int(value.split()[0])
            self.answer.setdefault(name, value)
        words = self.answer["candidate"].split()
        self.focus = words[4], int(words[5])
        return self

    async def connect(self) -> "Device":
        while not self.checked:
            self.socket.sendto(self._check(), self.focus)
            await asyncio.sleep(0.02)
        for datagram in self.dtls.step():
            self.send_datagram(datagram)
        await self.world.until(lambda: self.dtls.connected)
        material = self.dtls.ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 56)
        ours, theirs = material[:16] + material[32:44], material[16:32] + material[44:]
        profile = Policy.SRTP_PROFILE_AEAD_AES_128_GCM
        self.outbound = Session(Policy(ours, Policy.SSRC_ANY_OUTBOUND, 0, profile))
        self.inbound = Session(Policy(theirs, Policy.SSRC_ANY_INBOUND, 0, profile))
        return self

    def send_datagram(self, datagram: bytes) -> None:
        self.socket.sendto(datagram, self.focus)

    def speak(self, payload: bytes) -> None:
        """One packet of Opus on the section whose mid is "audio"."""
        self.sequence += 1
        element = bytes(((MID_EXTENSION << 4) | 4,)) + b"audio"
        head = struct.pack("!BBHII", 0x90, 111, self.sequence, self.sequence * 960, 0xABCD)
        packet = head + struct.pack("!HH", 0xBEDE, 2) + element.ljust(8, b"\0") + payload
        self.socket.sendto(self.outbound.protect(packet), self.focus)

    def close(self) -> None:
        self.state = "closed"
        self.loop.remove_reader(self.socket)
        self.socket.close()

    def _check(self) -> bytes:
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self.answer['ice-ufrag']}:uFrg"
        request.attributes["PRIORITY"] = 1845501695
        request.attributes["ICE-CONTROLLING"] = 7
        request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(self.answer["ice-pwd"].encode())
        return bytes(request)

    def _readable(self) -> None:
        try:
            datagram = self.socket.recv(2048)
        except BlockingIOError:
            return
        if datagram[0] < 4:
            self.checked = True
        elif datagram[0] < 64:
            self.receive(datagram)
        elif not 192 <= datagram[1] <= 223:
            self.heard.append(read_rtp(self.inbound.unprotect(datagram)))
        self.world.changed.set()


@pytest.fixture
async def where() -> AsyncIterator[Place]:
    place = Place()
    yield place
    await place.close()


async def test_three_devices_hear_each_other(where: Place) -> None:
    devices = []
    for index in range(3):
        device = Device(where, CREATOR if index == 0 else f"@person{index}:example.org", f"device{index}")
        await (await (await device.call()).connect()).open()
        await device.until(names.SEND)
        devices.append(device)
    alice, bob, carol = devices
    await alice.until(
        names.SLOTS, lambda told: [slot["member"] for slot in told["slots"][:4]] == [2, 2, 3, 3]
    )

    async def say(who: Device, payload: bytes, *listeners: Device) -> None:
        async with asyncio.timeout(10):
            while not all(any(got.payload == payload for got in each.heard) for each in listeners):
                who.speak(payload)
                await asyncio.sleep(0.02)

    await say(bob, b"bob speaks", alice, carol)
    await say(carol, b"carol speaks", alice, bob)
    slot = {
        each["member"]: each["mid"] for each in alice.last(names.SLOTS)["slots"] if each["source"] == "audio"
    }
    for number, payload in ((2, b"bob speaks"), (3, b"carol speaks")):
        got = next(got for got in alice.heard if got.payload == payload)
        assert got.csrc == number
        assert got.ssrc == alice.slot_ssrcs[slot[number]]

    # A muted member is not heard, whatever it sends.
    muted = {"userstream": {"purpose": names.USERMEDIA, "audio_muted": True}}
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": muted})
    await alice.until(names.MEMBERS, lambda told: told["present"] and told["present"][0]["audio_muted"])
    async with asyncio.timeout(10):
        while where.link.table.adopted != where.link.table.current:  # noqa: ASYNC110 - a table has no event
            await asyncio.sleep(0.001)
    alice.heard.clear()
    bob.speak(b"nobody hears this")
    await say(carol, b"carol again", alice)
    assert {got.csrc for got in alice.heard} == {3}

    # And one that left is gone, from the roster and from the table.
    carol.say(names.HANGUP, {})
    await alice.until(names.MEMBERS, lambda told: told["gone"] == [3])
    assert where.link.table.transport_handles == [0, 1]
    for device in devices:
        device.close()


async def test_stopping_for_good_leaves_an_empty_table(where: Place) -> None:
    alice = Device(where, CREATOR, "device0")
    await (await (await alice.call()).connect()).open()
    await alice.until(names.SEND)
    await where.runtime.stop(silent=False)
    await alice.until(names.HANGUP)
    assert where.link.table.transport_handles == []
    alice.close()
