"""A member without a browser: true ICE, DTLS, SCTP and SRTP at a UDP socket, none of it ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pylibsrtp
from aioice import stun
from aiortc import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpTransport
from pylibsrtp import Policy, Session

from benchmarks.quality.offers import offer
from benchmarks.quality.receiving import FEEDBACK_S, Receiver
from benchmarks.quality.rtp import Block, Packet, read_compound, read_packet, receiver_report
from benchmarks.quality.server import Server
from control.protocol import names
from tests.protocol.dtls_client import DtlsClient

TICK_S = 0.01
CONSENT_S = 2.0
OWN_SSRC = 0xABCD
_SO_TIMESTAMPNS = 35
PATIENCE_S = 10.0


class Device:
    """`sends`: it has a microphone and a camera; see sending.py for what goes into them."""

    def __init__(self, server: Server, name: str, udp: socket.socket) -> None:
        self.server = server
        self.name = name
        self.number = 0
        self.socket = udp
        with contextlib.suppress(OSError):
            udp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.dtls = DtlsClient()
        self.sctp = RTCSctpTransport(self, 5000)  # type: ignore[arg-type]
        self.said: list[tuple[float, str, dict[str, Any]]] = []
        self.slots: list[dict[str, Any]] = []
        self.ssrcs: dict[str, int] = {}
        """SSRC of a slot by its mid."""
        self.rtcp: list[tuple[float, Block]] = []
        """What the server asked or told, sender reports left out."""
        self.on_rtp: Callable[[Packet, float], None] | None = None
        self.on_message: Callable[[str, dict[str, Any]], None] | None = None
        self.on_rtcp: Callable[[Block], None] | None = None
        self.refused = 0
        self.received: dict[int, list[tuple[float, int]]] = defaultdict(list)
        """(time, bytes) of every packet by SSRC, where `record` is on."""
        self.record = False
        self.answers_feedback = True
        self._changed = asyncio.Event()
        self._checked = False
        self._keyed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()

    # What RTCSctpTransport uses of a DTLS transport.
    _role = "client"
    state = "connected"

    def _register_data_receiver(self, receiver: object) -> None: ...

    def _unregister_data_receiver(self, receiver: object) -> None: ...

    async def _send_data(self, data: bytes) -> None:
        if self.state == "closed":
            raise ConnectionError
        for datagram in self.dtls.send(data):
            self._send(datagram)

    async def join(
        self,
        *,
        sends: bool,
        pairs: int = 4,
        transport_cc: bool = True,
        rids: tuple[str, ...] = ("t", "m", "f"),
    ) -> Device:
        sdp = offer(self.dtls.fingerprint(), sends=sends, pairs=pairs, transport_cc=transport_cc, rids=rids)
        metadata = {"userstream": {"purpose": names.USERMEDIA, "audio_muted": False, "video_muted": False}}
        answer = self.server.call(self.name, sdp, metadata)
        pairs_found = self._read_answer(answer)
        self.receiver = Receiver(OWN_SSRC, pairs_found)
        self._loop.add_reader(self.socket, self._readable)
        async with asyncio.timeout(PATIENCE_S):
            while not self._checked:
                self._send(self._check())
                await asyncio.sleep(0.05)
            for datagram in self.dtls.step():
                self._send(datagram)
            while not await self._changes(0.3, lambda: self.dtls.connected):
                for datagram in self.dtls.again():
                    self._send(datagram)
        material = self.dtls.ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 56)
        ours, theirs = material[:16] + material[32:44], material[16:32] + material[44:]
        profile = Policy.SRTP_PROFILE_AEAD_AES_128_GCM
        self.outbound = Session(Policy(ours, Policy.SSRC_ANY_OUTBOUND, 0, profile))
        self.inbound = Session(Policy(theirs, Policy.SSRC_ANY_INBOUND, 0, profile))
        await self.sctp.start(None, 5000)  # type: ignore[arg-type]
        self._keyed = True
        self._take_sctp()
        self.channel = RTCDataChannel(self.sctp, RTCDataChannelParameters(label=names.CHANNEL_LABEL))
        self.channel.on("message", self._heard)
        self._go(self._keep_alive())
        self._go(self._report())
        assert await self._changes(PATIENCE_S, lambda: bool(self.slots)), "no slots were told"
        self.number = self.server.number(self.name)
        return self

    def say(self, message_type: str, content: dict[str, Any]) -> None:
        self.channel.send(json.dumps({"type": message_type, "content": content}))

    def subscribe(self, member: int, height: int, **more: Any) -> None:
        wish = {"stream_id": str(member), "track_id": "camera", "width": height * 16 // 9, "height": height}
        self.say(names.TRACK_SUBSCRIPTION, {"subscribe": [wish | more]})

    def slot(self, member: int, source: str = "camera") -> int | None:
        """The SSRC that carries a member's source, if one does."""
        for slot in self.slots:
            if (slot["member"], slot["source"]) == (member, source):
                return self.ssrcs[slot["mid"]]
        return None

    def last(self, message_type: str) -> dict[str, Any] | None:
        return next((content for _at, kind, content in reversed(self.said) if kind == message_type), None)

    async def until(self, condition: Callable[[], object], seconds: float = PATIENCE_S) -> bool:
        return await self._changes(seconds, condition)

    def send_rtp(self, packet: bytes) -> None:
        self._send(self.outbound.protect(packet))

    def send_rtcp(self, *blocks: bytes) -> None:
        self._send(self.outbound.protect_rtcp(receiver_report(OWN_SSRC) + b"".join(blocks)))

    def send_report(self, *blocks: bytes) -> None:
        """A compound that begins with its own sender report."""
        self._send(self.outbound.protect_rtcp(b"".join(blocks)))

    def close(self) -> None:
        """Without a word."""
        self.state = "closed"
        for task in self._tasks:
            task.cancel()
        self._loop.remove_reader(self.socket)
        self.socket.close()

    def go(self, work: Awaitable[Any]) -> None:
        """Runs it until this device is closed."""
        self._go(work)

    def _go(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _read_answer(self, sdp: str) -> list[tuple[int, int | None]]:
        found: list[tuple[int, int | None]] = []
        mid, groups = "", {}
        values: dict[str, str] = {}
        for line in sdp.splitlines():
            name, _, value = line.removeprefix("a=").partition(":")
            mid = value if name == "mid" else mid
            if name == "ssrc-group":
                media, repair = (int(word) for word in value.split()[1:])
                groups[media] = repair
            if name == "ssrc":
                ssrc = int(value.split()[0])
                if mid not in self.ssrcs:
                    self.ssrcs[mid] = ssrc
            values.setdefault(name, value)
        for ssrc in self.ssrcs.values():
            found.append((ssrc, groups.get(ssrc)))
        words = values["candidate"].split()
        self._focus = words[4], int(words[5])
        self._ice = values["ice-ufrag"], values["ice-pwd"]
        return found

    def _check(self) -> bytes:
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self._ice[0]}:uFrg"
        request.attributes["PRIORITY"] = 1845501695
        request.attributes["ICE-CONTROLLING"] = 7
        request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(self._ice[1].encode())
        return bytes(request)

    def _send(self, datagram: bytes) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self.socket.sendto(datagram, self._focus)

    def _readable(self) -> None:
        for _ in range(256):
            try:
                datagram, ancillary, _flags, _source = self.socket.recvmsg(2048, 64)
            except (BlockingIOError, OSError):
                return
            now = arrived = time.time()
            for _level, kind, data in ancillary:
                if kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("qq", data[:16])
                    arrived = seconds + nanoseconds / 1e9
            self._take(datagram, now, arrived)

    def _take(self, datagram: bytes, now: float, arrived: float) -> None:
        if datagram[0] < 4:
            self._checked = True
        elif datagram[0] < 64:
            for answer in self.dtls.step(datagram):
                self._send(answer)
            self._take_sctp()
            self._changed.set()
        elif not self._keyed:
            pass  # it came before we knew the keys
        elif 192 <= datagram[1] <= 223:
            self._take_rtcp(datagram, now)
        else:
            try:
                packet = read_packet(self.inbound.unprotect(datagram))
            except (pylibsrtp.Error, struct.error, IndexError):
                self.refused += 1
                return
            self.receiver.take(packet, len(datagram), now, arrived)
            if self.record:
                self.received[packet.ssrc].append((arrived, len(datagram)))
            if self.on_rtp:
                self.on_rtp(packet, arrived)

    def _take_sctp(self) -> None:
        while self._keyed and self.dtls.received:
            self._go(self.sctp._handle_data(self.dtls.received.pop(0)))

    def _take_rtcp(self, datagram: bytes, now: float) -> None:
        try:
            blocks = list(read_compound(self.inbound.unprotect_rtcp(datagram)))
        except (pylibsrtp.Error, struct.error):
            self.refused += 1
            return
        self.receiver.take_rtcp(blocks)
        for block in blocks:
            if block.type not in (200, 201, 202):
                self.rtcp.append((now, block))
                if self.on_rtcp:
                    self.on_rtcp(block)

    def _heard(self, text: str) -> None:
        message = json.loads(text)
        kind, content = message["type"], message["content"]
        self.said.append((time.monotonic(), kind, content))
        if kind == names.SLOTS:
            self.slots = content["slots"]
        elif kind == names.PING:
            self.say(names.PONG, {})
        if self.on_message:
            self.on_message(kind, content)
        self._changed.set()

    async def _changes(self, seconds: float, condition: Callable[[], object]) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(left, 0.02))
        return True

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(CONSENT_S)
            self._send(self._check())

    async def _report(self) -> None:
        """NACKs and transport-wide feedback."""
        due = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            now = time.time()
            blocks = self.receiver.nacks(now)
            if now >= due:
                due = now + FEEDBACK_S
                blocks += self.receiver.feedback() if self.answers_feedback else []
            for block in blocks:
                self.send_rtcp(block)
