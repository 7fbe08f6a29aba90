"""The runtime with true DTLS, SCTP and tables in one process: only sockets and Matrix are lists."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpTransport

from control.io.conferences import ConferenceRuntime
from control.io.table import TableWriter
from control.protocol import limits, names
from control.protocol.allocation import WorkerPlace
from control.protocol.conference import Conference
from control.protocol.dtls import DtlsIdentity
from control.protocol.events import MatrixCallEvent, PublishRoutes
from control.protocol.rows import TransportRow
from fastpath_ext.packet_crypto import ufrag_handle
from fastpath_ext.table import Table
from fastpath_ext.uplink import Kind
from fastpath_ext.values import UplinkMessage
from tests.protocol.dtls_client import DtlsClient
from tests.protocol.people import CREATOR, Ticket, invite, metadata, offer

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

    def sent(self, room: str, event_type: str, content: dict[str, Any]) -> None:
        self.matrix.append((room, event_type, content))
        self.changed.set()

    def count(self, name: str, label: str) -> None:
        self.counts[name, label] += 1
        self.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def tell(self, kind: int, member: "Member", payload: bytes = b"") -> None:
        self.runtime.uplink(0, UplinkMessage(kind, *member.transport, 0, 0, 0, payload))

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
            asyncio.get_running_loop().call_soon(self.world.tell, Kind.DTLS, self, datagram)

    def receive(self, datagram: bytes) -> None:
        for answer in self.dtls.step(datagram):
            self.world.tell(Kind.DTLS, self, answer)
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
            self.world.tell(Kind.DTLS, self, datagram)
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
    import time

    return time.time_ns() // 1_000_000


@pytest.fixture
async def where() -> AsyncIterator[World]:
    world = World()
    yield world
    for member in list(world.worker.members.values()):
        member.state = "closed"
        await member.sctp.stop()
    await world.runtime.stop(silent=True)
    assert world.worker.writer.refused == 0
    world.worker.writer.close()


async def members(where: World, count: int) -> list[Member]:
    found = []
    for index in range(count):
        member = Member(where, CREATOR if index == 0 else f"@person{index}:example.org", f"device{index}")
        await (await (await member.call()).connect()).open()
        await member.until(names.SEND)
        found.append(member)
    return found


async def test_three_members_over_true_dtls_and_sctp(where: World) -> None:
    alice, bob, carol = await members(where, 3)
    await alice.until(
        names.SLOTS, lambda told: [slot["member"] for slot in told["slots"][:4]] == [2, 2, 3, 3]
    )
    assert carol.last(names.WELCOME)["member"] == 3
    alice.say(
        names.TRACK_SUBSCRIPTION,
        {"subscribe": [{"stream_id": "2", "track_id": "camera", "width": 1280, "height": 720}]},
    )
    await bob.until(names.SEND, lambda told: told["sources"]["camera"]["encodings"]["f"]["active"])
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": metadata(audio_muted=True)})
    await carol.until(names.MEMBERS, lambda told: told["present"] and told["present"][0]["audio_muted"])
    assert where.counts["invites_accepted", ""] == 3
    assert where.counts["internal_errors", ""] == 0
    assert where.worker.writer.table.transport_handles == [0, 1, 2]
    row = where.worker.writer.table.transport(0)
    assert row is not None
    assert row.keyed
    assert ufrag_handle(row.local_ufrags[0]) == 0


async def test_keys_of_the_hop_are_the_same_at_both_ends(where: World) -> None:
    (alice,) = await members(where, 1)
    keys = where.worker.rows[alice.transport[0]].keys
    assert keys is not None
    size = len(keys.rx_key) + len(keys.rx_salt)
    theirs = alice.dtls.ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * size)
    assert theirs == keys.rx_key + keys.tx_key + keys.rx_salt + keys.tx_salt


async def test_somebody_elses_certificate(where: World) -> None:
    mallory = Member(where, CREATOR, "device0")
    await mallory.call(offer={"type": "offer", "sdp": offer(fingerprint=DtlsClient().fingerprint())})
    await mallory.connect()
    await where.until(lambda: where.counts["dtls_failures", "dtls_fingerprint"])
    kind, content = where.last_matrix("device0")
    assert (kind, content[names.ERROR]["code"]) == (names.HANGUP, "dtls_failed")
    assert where.worker.rows == {}


async def test_leaving_by_message_and_by_closing_the_connection(where: World) -> None:
    alice, bob, carol = await members(where, 3)
    bob.say(names.HANGUP, {"reason": "user_hangup"})
    await alice.until(names.MEMBERS, lambda told: told["gone"] == [2])
    carol.dtls.ssl.shutdown()
    carol.state = "closed"
    for datagram in carol.dtls.take():
        where.tell(Kind.DTLS, carol, datagram)
    await alice.until(names.MEMBERS, lambda told: told["gone"] == [3])
    assert len(where.worker.rows) == 1


async def test_consent_that_expires(where: World) -> None:
    alice, bob = await members(where, 2)
    where.tell(Kind.CONSENT_EXPIRED, bob)
    await alice.until(names.MEMBERS, lambda told: told["gone"] == [2])
    assert where.last_matrix("device1")[0] == names.HANGUP


async def test_negotiating_more_slots(where: World) -> None:
    (alice,) = await members(where, 1)
    sdp = offer(pairs=16, fingerprint=alice.dtls.fingerprint())
    alice.say(
        names.NEGOTIATE, {"description": {"type": "offer", "sdp": sdp}, "sdp_stream_metadata": metadata()}
    )
    answer = await alice.until(names.NEGOTIATE)
    assert answer["description"]["sdp"].count("a=sendonly") == 32
    await alice.until(names.SLOTS, lambda told: len(told["slots"]) == 32)


async def test_rubbish_on_every_way_in(where: World) -> None:
    alice, bob = await members(where, 2)
    nobody = Member(where, CREATOR, "nobody")
    nobody.transport = (9, 9)
    for payload in (b"", b"\x16\xfe\xfd" + b"\0" * 20, b"\xff" * 1000):
        where.tell(Kind.DTLS, nobody, payload)
        where.tell(Kind.DTLS, bob, payload)
    for kind in (*Kind, 0, 99, 2**32 - 1):
        if kind != Kind.DTLS:
            where.tell(kind, nobody)
    bob.channel.send("rubbish")
    bob.channel.send(b"bytes")
    await bob.open("another label")
    await bob.until(names.ERROR)
    await where.until(lambda: where.counts["events_ignored", "label"])
    assert where.counts["channel_messages_refused", "binary"] == 1
    assert where.counts["events_ignored", "datagram"] == 3
    where.runtime.matrix_event(MatrixCallEvent("!r", "@x:y", names.INVITE, {"call_id": []}, 0, False))
    assert len(where.worker.rows) == 2
    assert not [name for name, _ in where.counts if name == "internal_errors"]
    alice.say(names.HANGUP, {})
    await bob.until(names.MEMBERS, lambda told: told["gone"] == [1])


async def test_a_fault_costs_nobody_else_anything(where: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = await members(where, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Conference, "mute", lambda *_: 1 // 0)
        bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": metadata()})
        await where.until(lambda: where.counts["internal_errors", "ChannelMessage"])
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": metadata(video_muted=True)})
    await alice.until(names.MEMBERS, lambda told: told["present"] and told["present"][0]["video_muted"])


async def test_deadlines_are_met(where: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PING_INTERVAL", 0.05)
    monkeypatch.setattr(limits, "ICE_TIMEOUT", 0.1)
    (alice,) = await members(where, 1)
    await Member(where, "@late:example.org", "late").call()
    await where.until(lambda: where.last_matrix("late")[0] == names.HANGUP)
    await where.until(lambda: len([kind for kind, _ in alice.said if kind == names.PING]) >= 3)


async def test_stopping_silently_says_nothing(where: World) -> None:
    await members(where, 2)
    sent, rows = where.worker.sent, dict(where.worker.rows)
    await where.runtime.stop(silent=True)
    await asyncio.sleep(0)
    assert (where.worker.sent, where.worker.rows) == (sent, rows)


async def test_stopping_for_good_tells_everybody(where: World) -> None:
    alice, bob = await members(where, 2)
    await where.runtime.stop(silent=False)
    for member in (alice, bob):
        told = await member.until(names.HANGUP)
        assert told[names.ERROR]["code"] == "shutting_down"
        await where.until(lambda member=member: member.dtls.closed)
    assert where.worker.rows == {}
    assert [kind for _, kind, _ in where.matrix[-2:]] == [names.HANGUP, names.HANGUP]
