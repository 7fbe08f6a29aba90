"""Control's links with workers and the writing of their tables: real pairs, real tables."""

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control import keeper
from control.handover import Estate, Handover, HandoverError, MediaSocket, WorkerHandover
from control.io import workers
from control.io.inherited import CONSENT_NS, Inherited
from control.io.sockets import uplink_pair
from control.io.table import TableWriter
from control.io.workers import MESSAGES_PER_TURN, WorkerLink
from control.protocol.allocation import FullError, Row, RowAllocator
from control.protocol.events import PublishRoutes
from fastpath_ext import uplink
from fastpath_ext.table import NONE, Table
from fastpath_ext.values import UplinkMessage
from tests.fastpath.tables import RX_KEY, Reader, sink_row, source_row, transport_row
from tests.patience import PATIENCE_S


class Worker:
    """The other end of a link, as a worker would hold it."""

    def __init__(self) -> None:
        self.table = Table.create(4, 8, 16)
        control, self.uplink = uplink_pair()
        self.reader = Reader(*self.table.fds)
        self.heard: asyncio.Queue[UplinkMessage] = asyncio.Queue()
        self.fail = False
        sockets = (MediaSocket(-1, "127.0.0.1", 4000), MediaSocket(-1, "::1", 4001))
        given = WorkerHandover(7, 0, *self.table.fds, control.detach(), sockets)
        self.link = WorkerLink(given, self._on_message)
        self.link.start()

    def _on_message(self, index: int, message: UplinkMessage) -> None:
        assert index == 7
        self.heard.put_nowait(message)
        if self.fail:
            raise RuntimeError("a bug of whoever listens")

    def said(self) -> list[UplinkMessage]:
        """What control sent so far."""
        found = []
        while True:
            try:
                found.append(uplink.decode(self.uplink.recv(uplink.MAX_MESSAGE)))
            except BlockingIOError:
                return found

    async def next(self) -> UplinkMessage:
        return await asyncio.wait_for(self.heard.get(), PATIENCE_S)

    def close(self) -> None:
        self.link.close()
        self.uplink.close()
        self.reader.close()


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


async def until(condition, timeout_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - a table has no event to wait for
            await asyncio.sleep(0.001)


async def test_messages_arrive_in_order(worker: Worker):
    worker.uplink.send(uplink.encode(uplink.Kind.READY, a=77))
    worker.uplink.send(uplink.encode(uplink.Kind.DTLS, 3, 9, b"client hello", time_ns=5))
    worker.uplink.send(uplink.encode(uplink.Kind.SINK_SWITCHED, 3, 9, a=1, b=2))
    assert await worker.next() == UplinkMessage(uplink.Kind.READY, 0, 0, 77, 0, 0, b"")
    assert await worker.next() == UplinkMessage(uplink.Kind.DTLS, 3, 9, 0, 0, 5, b"client hello")
    assert (await worker.next()).b == 2


async def test_datagrams_go_out(worker: Worker):
    assert worker.link.send_dtls(3, 9, b"server hello")
    assert worker.link.wake()
    first, second = worker.said()
    assert (first.kind, first.transport, first.incarnation) == (uplink.Kind.DOWN_DTLS, 3, 9)
    assert first.payload == b"server hello"
    assert first.time_ns > 0
    assert second.kind == uplink.Kind.DOWN_WAKE


async def test_garbage_is_counted_and_survived(worker: Worker):
    for garbage in (b"x", b"\0" * 31, b"\0" * 33, os.urandom(100), b"\xff" * uplink.MAX_MESSAGE):
        worker.uplink.send(garbage)
    worker.uplink.send(uplink.encode(200, 1, 1))  # a kind of a newer build: the listener's to ignore
    assert (await worker.next()).kind == 200
    assert worker.link.unread == 5


async def test_a_listener_that_fails_loses_only_its_message(worker: Worker):
    worker.fail = True
    worker.uplink.send(uplink.encode(uplink.Kind.CONNECTED, 1, 1))
    await worker.next()
    worker.fail = False
    worker.uplink.send(uplink.encode(uplink.Kind.CONNECTED, 2, 1))
    assert (await worker.next()).transport == 2
    assert worker.link.unread == 1


async def test_a_worker_that_does_not_read_never_blocks_control(worker: Worker):
    datagram = bytes(1200)
    sent = 0
    while worker.link.send_dtls(1, 1, datagram):
        sent += 1
        assert sent < 100_000
    assert worker.link.unsent == 1
    assert sent > 100  # a handshake of many members waits for it meanwhile
    assert len(worker.said()) == sent
    assert worker.link.send_dtls(1, 1, datagram)


async def test_a_flood_lets_others_run(worker: Worker):
    for number in range(4 * MESSAGES_PER_TURN):
        worker.uplink.send(uplink.encode(uplink.Kind.DTLS, number, 1))
    at_most = heard = 0
    async with asyncio.timeout(PATIENCE_S):
        while heard < 4 * MESSAGES_PER_TURN:
            await asyncio.sleep(0)
            at_most = max(at_most, worker.heard.qsize() - heard)
            heard = worker.heard.qsize()
    assert at_most == MESSAGES_PER_TURN


async def test_candidates(worker: Worker):
    place = worker.link.place(())
    assert place.candidates == (("::1", 4001), ("127.0.0.1", 4000))
    assert (place.transports, place.sources, place.sinks) == (4, 8, 16)
    assert worker.link.place(("192.0.2.1",)).candidates == (("192.0.2.1", 4000),)
    assert worker.link.place(("192.0.2.1", "2001:db8::1")).candidates == (
        ("2001:db8::1", 4001),
        ("192.0.2.1", 4000),
    )


async def test_too_long_a_datagram_is_refused_by_name():
    with pytest.raises(uplink.UplinkError, match="2049 bytes"):
        uplink.encode(uplink.Kind.DTLS, 1, 1, bytes(2049))


class TestWriting:
    async def test_a_turn_is_one_generation(self, worker: Worker):
        worker.link.publish(PublishRoutes(7, {0: transport_row()}, {}, {}))
        worker.link.publish(PublishRoutes(7, {}, {1: source_row()}, {2: sink_row(source=1)}))
        await until(lambda: worker.table.current == 1)
        assert [m.kind for m in worker.said()] == [uplink.Kind.DOWN_WAKE]
        assert worker.reader.adopt() == 1
        assert worker.reader.verify() == 7

    async def test_changes_gather_while_the_worker_is_away(self, worker: Worker):
        for number in range(5):
            worker.link.publish(PublishRoutes(7, {number % 4: transport_row(number + 1)}, {}, {}))
            await asyncio.sleep(0.005)
        assert worker.table.current == 1
        worker.reader.adopt()
        await until(lambda: worker.table.current == 2)
        worker.reader.adopt()
        await until(lambda: worker.link.table.settled)
        assert worker.table.current == 2
        assert worker.link.table.transport(0).incarnation == 5

    async def test_a_new_worker_is_given_the_changes_at_once(self, worker: Worker):
        worker.link.publish(PublishRoutes(7, {0: transport_row()}, {}, {}))
        await until(lambda: worker.table.current == 1)
        worker.link.publish(PublishRoutes(7, {1: transport_row()}, {}, {}))
        await asyncio.sleep(0.3)  # the pauses have grown
        worker.reader.adopt()
        worker.uplink.send(uplink.encode(uplink.Kind.READY))
        await until(lambda: worker.table.current == 2)

    async def test_removed_keys_are_wiped_without_another_change(self, worker: Worker):
        worker.link.publish(PublishRoutes(7, {0: transport_row()}, {}, {0: sink_row(source=NONE)}))
        await until(lambda: worker.table.current == 1)
        worker.reader.adopt()
        await until(lambda: worker.link.table.settled)
        worker.link.publish(
            PublishRoutes(7, {}, {}, {}, gone_transports=frozenset({0}), gone_sinks=frozenset({0}))
        )
        await until(lambda: worker.table.current == 2)
        assert worker.reader.finds(RX_KEY)
        worker.reader.adopt()
        await until(lambda: worker.link.table.settled)
        assert not worker.reader.finds(RX_KEY)
        assert worker.link.table.sink_handles == []

    async def test_one_bad_row_does_not_stop_the_others(self, worker: Worker):
        worker.link.publish(PublishRoutes(7, {0: transport_row(), 1: transport_row()}, {}, {}))
        worker.link.publish(
            PublishRoutes(
                7,
                {
                    0: transport_row(incarnation=2, ice=()),
                    1: transport_row(ice=()),
                    2: transport_row(),
                    99: transport_row(),
                },
                {},
                {},
                gone_sinks=frozenset({500}),
            )
        )
        await until(lambda: worker.table.current == 1)
        # A former occupant goes; the same one stays as it was.
        assert worker.link.table.transport_handles == [1, 2]
        assert worker.link.writer.refused == 4

    async def test_what_a_dead_control_left_is_cleared_and_wiped(self, worker: Worker):
        worker.link.publish(PublishRoutes(7, {0: transport_row()}, {}, {}))
        await until(lambda: worker.table.current == 1)
        worker.reader.adopt()
        worker.link.writer.close()
        successor = Table.attach(*worker.table.fds)
        writer = TableWriter(successor, lambda: None)
        writer.clear()
        await until(lambda: successor.current == 2)
        worker.reader.adopt()
        await until(lambda: successor.settled)
        assert not worker.reader.finds(RX_KEY)
        writer.close()


def test_consent_ends_at_the_same_moment_for_everybody():
    text = (Path(__file__).parents[2] / "fastpath/limits.h").read_text()
    (ms,) = re.findall(r"LIMIT_CONSENT_NS \((\d+)ull \* 1000000ull\)", text)
    assert int(ms) * 1_000_000 == CONSENT_NS == keeper.CONSENT_NS


class TestInherited:
    """Members of a control process that died keep their media; their rows go when they are gone."""

    async def test_they_are_left_alone_until_their_consent_ends(self, worker: Worker):
        table = worker.table
        for handle in (0, 2):
            table.put_transport(handle, transport_row(incarnation=5))
        table.put_source(1, source_row(transport_incarnation=5))
        table.put_sink(3, sink_row(transport_incarnation=5, source=1))
        table.publish()
        worker.reader.adopt()
        now = 100_000_000_000
        worker.reader.serve(0, 1, 3, now_ns=now)  # and nobody ever came to transport 2
        successor = Table.attach(*table.fds)
        inherited = Inherited(successor)
        assert inherited.occupied == ({0, 2}, {1}, {3})
        assert inherited.expired(7, now + CONSENT_NS) == PublishRoutes(
            7, {}, {}, {}, gone_transports=frozenset({2})
        )
        assert inherited.left == {0}
        assert inherited.expired(7, now + CONSENT_NS) is None
        assert inherited.expired(7, now + CONSENT_NS + 1) == PublishRoutes(
            7, {}, {}, {}, frozenset({0}), frozenset({1}), frozenset({3})
        )
        assert not inherited.left
        assert inherited.occupied == (set(), set(), set())

    async def test_whoever_gives_handles_out_is_told(self, worker: Worker, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(workers, "SWEEP_S", 0.01)
        worker.table.put_transport(1, transport_row(incarnation=5))
        worker.table.publish()
        worker.reader.adopt()
        told: asyncio.Queue[PublishRoutes] = asyncio.Queue()
        control, other = uplink_pair()
        given = WorkerHandover(7, 0, *map(os.dup, worker.table.fds), control.detach(), ())
        successor = WorkerLink(given, worker._on_message, told.put_nowait)
        assert successor.place(()).occupied[0] == {1}
        successor.start()
        gone = await asyncio.wait_for(told.get(), PATIENCE_S)
        assert gone.gone_transports == {1}
        assert successor.place(()).occupied[0] == set()
        successor.close()
        other.close()

    async def test_their_handles_are_not_given_out(self):
        rows = RowAllocator(5, 77, occupied={0, 3})
        assert [rows.take() for _ in range(3)] == [(1, 78), (2, 79), (4, 80)]
        with pytest.raises(FullError):
            rows.take()
        rows.give_back(Row(2, 79))
        assert rows.take() == (2, 81)


class TestHandover:
    HANDOVER = Handover(5, (WorkerHandover(0, 1, 10, 11, 12, (MediaSocket(13, "::", 40000),)),), "{}")

    def test_comes_back(self):
        environment = {"SOTTO_HANDOVER": self.HANDOVER.to_json(), "OTHER": "x"}
        assert Handover.receive(environment) == self.HANDOVER
        assert environment == {"OTHER": "x"}
        assert self.HANDOVER.fds == (10, 11, 12, 13)

    @pytest.mark.parametrize("text", ["", "{}", "[]", '{"workers": [{}], "supervisor": 1}', "null"])
    def test_anything_else_is_refused(self, text: str):
        with pytest.raises(HandoverError):
            Handover.receive({"SOTTO_HANDOVER": text})

    def test_a_supervisors_estate_comes_with_other_descriptors(self):
        media = MediaSocket(13, "::", 40000), MediaSocket(14, "0.0.0.0", 40001)
        own = WorkerHandover(0, 1, 10, 11, 12, media, 15, 16, 17, (18, 19), joined=True)
        assert own.fds == (10, 11, 12, 15, 16, 17, 18, 19, 13, 14)
        told = json.loads(json.dumps(Estate(own, 5).to_values()))
        assert Estate.from_values(told).worker == own
        again = Estate.from_values(told, tuple(fd + 100 for fd in own.fds)).worker
        assert again.fds == tuple(fd + 100 for fd in own.fds)
        assert [(s.fd, s.host, s.port) for s in again.sockets] == [
            (113, "::", 40000),
            (114, "0.0.0.0", 40001),
        ]
        assert (again.rings_fd, again.wake_fds, again.joined) == (117, (118, 119), True)

    def test_a_pair_keeps_messages_apart(self):
        control, worker = uplink_pair()
        with control, worker:
            control.send(b"one")
            control.send(b"two")
            assert worker.recv(100) == b"one"
            assert worker.type == socket.SOCK_SEQPACKET
