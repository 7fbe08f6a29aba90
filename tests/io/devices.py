"""Devices at UDP sockets, and a worker process.

Signalling, ICE, DTLS, SCTP, the table and SRTP are the true ones; only Matrix is a list.
"""

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aioice import stun
from pylibsrtp import Policy, Session

from control.handover import MediaSocket, WorkerHandover
from control.io.conferences import ConferenceRuntime
from control.io.memory import make_memory
from control.io.sockets import uplink_pair
from control.io.workers import WorkerLink
from control.protocol import names
from control.protocol.dtls import DtlsIdentity
from control.protocol.events import ConsentExpired, MatrixCallEvent
from fastpath_ext.table import Table
from tests.io.members import Member, World, wall_ms
from tests.patience import PATIENCE_S
from tests.protocol.people import CREATOR, Ticket, invite, metadata, offer
from tests.synthetic import Block, Got, read_rtcp, read_rtp

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from fastpath_ext.worker import Worker
config, state, uplink, udp = map(int, sys.argv[1:])
Worker(config, state, uplink, [udp]).run()
"""
# As tests.protocol.people offers them.
LEVEL, MID, RID = 1, 4, 10
AUDIO_SSRC, VIDEO_SSRC = 0xABCD, 0xBEE0


class Place(World):
    """A runtime with a worker process of its own."""

    def __init__(self, capacities: tuple[int, int, int] = (16, 64, 256)) -> None:
        super().__init__()
        self.table = Table.create(*capacities)
        self.memory_fd = make_memory()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(("127.0.0.1", 0))
        control, worker = uplink_pair()
        self.control_end = control
        self.worker_end = worker
        self.start_control()
        self.start_worker()

    def start_control(self) -> None:
        """The first one, or after `kill_control` the next one."""
        port = self.socket.getsockname()[1]
        given = WorkerHandover(
            0,
            0,
            *(os.dup(fd) for fd in self.table.fds),
            self.control_end.dup().detach(),
            (MediaSocket(-1, "127.0.0.1", port),),
            memory_fd=os.dup(self.memory_fd),
        )
        self.link = WorkerLink(
            given,
            lambda index, message: self.runtime.uplink(index, message),
            lambda gone: self.runtime.freed(gone),
            lambda transport: self.runtime.handle(ConsentExpired(transport)),
        )
        self.link.start()
        self.runtime = ConferenceRuntime(
            user_id="@sotto:example.org",
            party_id="FOCUSDEVICE",
            places=[self.link.place([])],
            workers=[self.link],
            identity=DtlsIdentity(),
            send_matrix=self.sent,
            count=self.count,
            memories=[self.link.memory],
        )

    async def kill_control(self) -> None:
        """As far as one process can: nothing is said to anybody, and nothing more is noted or published."""
        self.runtime._memories = ()
        self.link.close()
        await self.runtime.stop(silent=True)

    def start_worker(self) -> None:
        """The first one, or after `kill_worker` the next one on the same table."""
        fds = (*self.table.fds, self.worker_end.fileno(), self.socket.fileno())
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, fds)], pass_fds=fds, cwd=ROOT
        )

    def kill_worker(self) -> None:
        self.process.kill()
        self.process.wait()

    async def close(self) -> None:
        await self.runtime.stop(silent=True)
        self.link.close()
        self.kill_worker()
        self.worker_end.close()
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
        self.reports: list[Block] = []
        self.sequences: dict[int, int] = {}
        self.pictures = 0

    async def call(self, shape: dict[str, Any] | None = None, **changes: Any) -> "Device":
        """`shape`: arguments of the offer."""
        sdp = offer(**(shape or {}), fingerprint=self.dtls.fingerprint())
        content = invite(self.user_id, self.name, self.name, sdp)
        content[names.JOIN] = Ticket().join(self.user_id, self.name, self.name, ts=wall_ms())
        self.world.runtime.matrix_event(
            MatrixCallEvent(f"!{self.name}", self.user_id, names.INVITE, content | changes, 50, True)
        )
        kind, answered = self.world.last_matrix(self.name)
        assert kind == names.ANSWER
        return self.take(answered["answer"]["sdp"])

    async def resume(self, former: "Device", shape: dict[str, Any] | None = None) -> "Device":
        """As a second connection of a device, up to its data channel."""
        sdp = offer(**(shape or {}), fingerprint=self.dtls.fingerprint())
        body = {
            "token": former.last(names.WELCOME)["resume"]["token"],
            "offer": {"type": "offer", "sdp": sdp},
            "sdp_stream_metadata": metadata(),
        }
        status, said = self.world.runtime.resume_untrusted(json.dumps(body))
        assert (status, said["member"]) == (200, former.last(names.WELCOME)["member"]), said
        await (await self.take(said["answer"]["sdp"]).connect()).open()
        await self.until(names.SEND)
        return self

    def take(self, answer: str) -> "Device":
        mid = ""
        for line in answer.splitlines():
            name, _, value = line.removeprefix("a=").partition(":")
            mid = value if name == "mid" else mid
            if name == "ssrc":
                self.slot_ssrcs[mid] = int(value.split()[0])
            self.answer.setdefault(name, value)
        words = self.answer["candidate"].split()
        self.focus = words[4], int(words[5])
        return self

    async def connect(self) -> "Device":
        async with asyncio.timeout(PATIENCE_S):
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

    def speak(self, payload: bytes = bytes(60), level: int = 30) -> None:
        """One packet of Opus on the section whose mid is "audio"; `level` is -dBov, 127 is silence."""
        elements = bytes((LEVEL << 4, 0x80 | level)) + _element(MID, b"audio")
        timestamp = (self.sequences.get(AUDIO_SSRC, 0) + 1) * 960
        self._send(AUDIO_SSRC, 111, timestamp, elements, payload)

    def film(self, encoding: int, key: bool, size: int = 300) -> None:
        """One frame of VP8, in one packet, of the section whose mid is "camera"."""
        elements = _element(MID, b"camera") + _element(RID, b"tmf"[encoding : encoding + 1])
        self.pictures += 1
        descriptor = struct.pack(
            "!BBHBB", 0x90, 0xE0, 0x8000 | self.pictures & 0x7FFF, self.pictures & 0xFF, 0
        )
        payload = descriptor + (b"\x10" if key else b"\x11") + bytes(size)
        timestamp = int(time.monotonic() * 90000) & 0xFFFFFFFF
        self._send(VIDEO_SSRC + encoding, 0x80 | 96, timestamp, elements, payload)

    def remb(self, bps: int) -> None:
        """What it can take, by its own measure."""
        shift = max(0, bps.bit_length() - 18)
        rate = 1 << 24 | shift << 18 | bps >> shift
        report = struct.pack("!BBHI", 0x80, 201, 1, AUDIO_SSRC)
        message = struct.pack("!BBHII4sII", 0x8F, 206, 5, AUDIO_SSRC, 0, b"REMB", rate, AUDIO_SSRC)
        self.socket.sendto(self.outbound.protect_rtcp(report + message), self.focus)

    def _send(self, ssrc: int, payload_type: int, timestamp: int, elements: bytes, payload: bytes) -> None:
        self.sequences[ssrc] = sequence = self.sequences.get(ssrc, 0) + 1
        elements += bytes(-len(elements) % 4)
        head = struct.pack("!BBHII", 0x90, payload_type, sequence, timestamp, ssrc)
        head += struct.pack("!HH", 0xBEDE, len(elements) // 4) + elements
        self.socket.sendto(self.outbound.protect(head + payload), self.focus)

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
        elif 192 <= datagram[1] <= 223:
            self.reports += read_rtcp(self.inbound.unprotect_rtcp(datagram))
        else:
            self.heard.append(read_rtp(self.inbound.unprotect(datagram)))
        self.world.changed.set()


def _element(number: int, data: bytes) -> bytes:
    """A header extension in the one-byte form (RFC 8285 4.2)."""
    return bytes(((number << 4) | (len(data) - 1),)) + data


async def devices(where: Place, count: int, shape: dict[str, Any] | None = None) -> list[Device]:
    """So many members with open channels; the first one begins the conference."""
    found = []
    for index in range(count):
        device = Device(where, CREATOR if index == 0 else f"@person{index}:example.org", f"device{index}")
        await (await (await device.call(shape)).connect()).open()
        await device.until(names.SEND)
        number = device.last(names.WELCOME)["member"]
        for other in found:
            await _told_of(other, number)
        found.append(device)
    return found


async def _told_of(other: Device, number: int) -> None:
    """What is gathered for 100 ms comes, roster first; who has no slot left is told no more than that."""
    await other.until(names.MEMBERS, lambda told: number in _named(told["present"]))
    await other.until(names.SLOTS, lambda told: {number, None} & _named(told["slots"]) != {None})


def _named(entries: list[dict[str, Any]]) -> set[int | None]:
    return {entry["member"] for entry in entries}
