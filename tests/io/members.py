"""One runtime in this process and devices that join it with true DTLS and SCTP."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiortc import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpTransport

from control.io.conferences import ConferenceRuntime
from control.io.table import TableWriter
from control.protocol import names
from control.protocol.allocation import WorkerPlace
from control.protocol.dtls import DtlsIdentity
from control.protocol.events import MatrixCallEvent, PublishRoutes
from control.protocol.rows import TransportRow
from fastpath_ext.table import Table
from fastpath_ext.uplink import Kind
from fastpath_ext.values import UplinkMessage
from tests.patience import PATIENCE_S
from tests.protocol.dtls_client import DtlsClient
from tests.protocol.people import CREATOR, Ticket, invite, offer

IDENTITY = DtlsIdentity()
CAPACITIES = (16, 64, 256)


@dataclass
class MemoryWorker:
    """A true table; instead of a socket, members by transport."""

    writer: TableWriter
    members: dict[tuple[int, int], "Member"] = field(default_factory=dict)
    rows: dict[int, TransportRow] = field(default_factory=dict)
    sent: int = 0

    def publish(self, routes: PublishRoutes) -> None:
        self.writer.apply(routes)
        self.rows.update(routes.transports)
        for handle in routes.gone_transports:
            del self.rows[handle]

    def send_dtls(self, transport: int, incarnation: int, datagram: bytes) -> bool:
        self.sent += 1
        if member := self.members.get((transport, incarnation)):
            asyncio.get_running_loop().call_soon(member.receive, datagram)
        return True


class World:
    """One runtime and what it did."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.matrix: list[tuple[str, str, dict[str, Any]]] = []
        self.worker = MemoryWorker(TableWriter(Table.create(*CAPACITIES), lambda: None))
        self.changed = asyncio.Event()
        self.runtime = ConferenceRuntime(
            user_id="@sotto:example.org",
            party_id="FOCUSDEVICE",
            places=[WorkerPlace((("192.0.2.2", 40000),), *CAPACITIES)],
            workers=[self.worker],
            identity=IDENTITY,
            send_matrix=self.sent,
            count=self.count,
        )

    def sent(
        self, room: str, event_type: str, content: dict[str, Any], delivered: Callable[[], None]
    ) -> None:
        self.matrix.append((room, event_type, content))
        delivered()
        self.changed.set()

    def count(self, name: str, label: str) -> None:
        self.counts[name, label] += 1
        self.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def tell(self, kind: int, member: "Member", payload: bytes = b"", a: int = 0, b: int = 0) -> None:
        self.runtime.uplink(0, UplinkMessage(kind, *member.transport, a, b, 0, payload))

    def last_matrix(self, call_id: str) -> tuple[str, dict[str, Any]]:
        return next((kind, each) for _, kind, each in reversed(self.matrix) if each["call_id"] == call_id)


class Member:
    """A device with a true DTLS client and aiortc's SCTP."""

    def __init__(self, world: World, user_id: str, name: str) -> None:
        self.world = world
        self.user_id = user_id
        self.name = name
        self.dtls = DtlsClient()
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.sctp = RTCSctpTransport(self, 5000)  # type: ignore[arg-type]
        self.channel: Any = None
        self.transport = (0, 0)

    # What RTCSctpTransport uses of a DTLS transport.
    _role = "client"
    state = "connected"

    def _register_data_receiver(self, receiver: object) -> None: ...

    def _unregister_data_receiver(self, receiver: object) -> None: ...

    async def _send_data(self, data: bytes) -> None:
        if self.state == "closed":
            raise ConnectionError
        for datagram in self.dtls.send(data):
            asyncio.get_running_loop().call_soon(self.send_datagram, datagram)

    def send_datagram(self, datagram: bytes) -> None:
        """To the focus, as a worker would hand it up."""
        self.world.tell(Kind.DTLS, self, datagram)

    def receive(self, datagram: bytes) -> None:
        for answer in self.dtls.step(datagram):
            self.send_datagram(answer)
        if self.dtls.closed:
            self.state = "closed"
        while self.dtls.received:
            packet = self.dtls.received.pop(0)
            asyncio.get_running_loop().create_task(self.sctp._handle_data(packet))
        self.world.changed.set()

    async def call(self, **changes: Any) -> "Member":
        content = invite(self.user_id, self.name, self.name, offer(fingerprint=self.dtls.fingerprint()))
        content[names.JOIN] = Ticket().join(self.user_id, self.name, self.name, ts=wall_ms())
        before = set(self.world.worker.rows.items())
        self.world.runtime.matrix_event(
            MatrixCallEvent(f"!{self.name}", self.user_id, names.INVITE, content | changes, 50, True)
        )
        for handle, row in set(self.world.worker.rows.items()) - before:
            self.transport = handle, row.incarnation
            self.world.worker.members[self.transport] = self
        return self

    async def connect(self) -> "Member":
        self.world.tell(Kind.CONNECTED, self)
        for datagram in self.dtls.step():
            self.send_datagram(datagram)
        await self.world.until(lambda: self.dtls.connected or self.dtls.failed or self.dtls.closed)
        return self

    async def open(self, label: str = names.CHANNEL_LABEL) -> "Member":
        await self.sctp.start(None, 5000)
        channel = RTCDataChannel(self.sctp, RTCDataChannelParameters(label=label))
        channel.on("message", self._heard)
        if label == names.CHANNEL_LABEL:
            self.channel = channel
        return self

    def _heard(self, text: str) -> None:
        message = json.loads(text)
        self.said.append((message["type"], message["content"]))
        self.world.changed.set()

    def say(self, message_type: str, content: Any) -> None:
        self.channel.send(json.dumps({"type": message_type, "content": content}))

    def last(self, message_type: str) -> Any:
        return next((content for kind, content in reversed(self.said) if kind == message_type), None)

    async def until(self, message_type: str, condition: Callable[[Any], object] = lambda _: True) -> Any:
        await self.world.until(lambda: (last := self.last(message_type)) is not None and condition(last))
        return self.last(message_type)


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


async def members(where: World, count: int) -> list[Member]:
    found = []
    for index in range(count):
        member = Member(where, CREATOR if index == 0 else f"@person{index}:example.org", f"device{index}")
        await (await (await member.call()).connect()).open()
        await member.until(names.SEND)
        number = member.last(names.WELCOME)["member"]
        for other in found:
            await _told_of(other, number)
        found.append(member)
    return found


async def _told_of(other: Member, number: int) -> None:
    """What is gathered for 100 ms comes, roster first; who has no slot left is told no more than that."""
    await other.until(names.MEMBERS, lambda told: number in _named(told["present"]))
    await other.until(names.SLOTS, lambda told: {number, None} & _named(told["slots"]) != {None})


def _named(entries: list[dict[str, Any]]) -> set[int | None]:
    return {entry["member"] for entry in entries}
