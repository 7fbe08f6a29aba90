"""One conference on two workers at real sockets: members 0 and 1 on the first, 2 and 3 on the second."""

import itertools
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import pytest

from control.protocol.rows import ExtensionIds, TransportRow
from fastpath_ext.counters import Counters
from fastpath_ext.rings import MAX_WORKERS, make_rings
from fastpath_ext.table import LayoutError, Table
from fastpath_ext.uplink import MAX_MESSAGE, Kind, decode, encode
from fastpath_ext.worker import Worker
from tests.fastpath.test_worker import KEY_REQUEST_INTERVAL_S, ROOT, media_socket
from tests.patience import PATIENCE_S
from tests.synthetic import Endpoint, Meeting, Participant, pump

PROGRAM = """
import sys
from fastpath_ext.worker import Worker
index, config, state, uplink, media, rings, *wakes = map(int, sys.argv[1:])
Worker(config, state, uplink, [media], rings_fd=rings, index=index, wake_fds=wakes).run()
"""
ROOM = 16
STRANGERS = ROOM - 1
"""Transport row that stands for the members of the other worker."""
HOME = (0, 0, 1, 1)
"""Worker by member."""


class Unpublished:
    """A table to which more will be put before it is published."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def publish(self) -> bool:
        return True


@dataclass
class Half(Meeting):
    """The table of one worker: its own members whole, the sources of the others as foreign ones."""

    index: int = 0

    def put(self) -> None:
        whole = self.table, self.participants, self.sinks
        self.table = Unpublished(self.table)  # type: ignore[assignment]
        self.participants = [one for one in self.participants if HOME[one.handle] == self.index]
        super().put()
        self.table, self.participants, self.sinks = whole
        other = 1 - self.index
        self.table.put_transport(
            STRANGERS, TransportRow(1, self.conference, (), None, 0, 0, (), ExtensionIds(), foreign=other + 1)
        )
        everywhere = Meeting(Table.create(ROOM, 2 * ROOM, 2), self.participants, 1, self.muted)
        everywhere.put()
        for handle in everywhere.table.source_handles:
            row = everywhere.table.source(handle)
            assert row is not None
            here = HOME[row.transport] == self.index
            changes: dict[str, int] = (
                {"exports": 1 << other}
                if here
                else {"transport": STRANGERS, "home": other + 1, "home_source": handle, "home_incarnation": 1}
            )
            self.table.put_source(handle, row._replace(**changes))
        assert self.table.publish()


class Pair:
    """What the supervisor holds of two workers, and four members."""

    def __init__(self) -> None:
        self.people = [Participant(n) for n in range(4)]
        self.rings = make_rings(2)
        self.wakes = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
        self.halves = [
            Half(Table.create(ROOM, 2 * ROOM, 2 * ROOM * ROOM), self.people, index=index)
            for index in range(2)
        ]
        self.sockets = [media_socket("127.0.0.1") for _ in range(2)]
        self.links = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        self.processes: list[subprocess.Popen[bytes] | None] = [None, None]
        self.endpoints = [Endpoint(one, self.sockets[HOME[one.handle]].getsockname()) for one in self.people]
        for receiver, sender in itertools.permutations(range(4), 2):
            self.subscribe(receiver, sender, 0)
        for half in self.halves:
            half.put()

    def subscribe(self, receiver: int, sender: int, max_encoding: int) -> None:
        self.halves[HOME[receiver]].subscribe(receiver, sender, max_encoding)

    def publish(self) -> None:
        for half, (uplink, _) in zip(self.halves, self.links, strict=True):
            half.put()
            uplink.send(encode(Kind.DOWN_WAKE))
            deadline = time.monotonic() + PATIENCE_S
            while half.table.adopted != half.table.current:  # no event says so
                assert time.monotonic() < deadline
                time.sleep(0.0005)

    def start(self, index: int) -> None:
        uplink, worker_end = self.links[index]
        uplink.settimeout(PATIENCE_S)
        own = [*self.halves[index].table.fds, worker_end.fileno(), self.sockets[index].fileno()]
        fds = [*own, self.rings, *self.wakes]
        self.processes[index] = process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(index), *map(str, fds)], pass_fds=fds, cwd=ROOT
        )
        while (message := decode(uplink.recv(MAX_MESSAGE))).kind != Kind.READY or message.a != process.pid:
            pass

    def kill(self, index: int) -> None:
        process = self.processes[index]
        assert process is not None
        process.kill()
        process.wait()

    def join(self) -> None:
        for one in self.endpoints:
            one.send(one.participant.check())
        assert self.pump(lambda: all(one.answers for one in self.people))

    def pump(self, until, timeout: float = PATIENCE_S) -> bool:
        return pump(self.endpoints, until, timeout)

    def got(self, receiver: int, sender: int, camera: bool) -> list:
        return self.people[receiver].of(self.halves[0].ssrc(receiver, sender, camera))

    def counters(self, index: int) -> dict[str, int]:
        return Counters(self.halves[index].table.fds[1]).values()

    def close(self) -> None:
        for index, process in enumerate(self.processes):
            if process is not None and process.poll() is None:
                self.kill(index)
        for one in (*self.sockets, *self.endpoints, *(end for link in self.links for end in link)):
            one.close()
        for fd in (self.rings, *self.wakes):
            os.close(fd)


@pytest.fixture
def two() -> Iterator[Pair]:
    made = Pair()
    for index in range(2):
        made.start(index)
    made.join()
    yield made
    made.close()


PAIRS = list(itertools.permutations(range(4), 2))


def test_all_hear_and_see_all_and_focus_is_one_receivers(two: Pair) -> None:
    for i in range(10):
        for one in two.endpoints:
            one.send(one.participant.opus())
            for encoding in range(3):
                one.send(*one.participant.frame(encoding, key=i == 0, packets=1 + encoding * 4, size=1000))
        # No more at once than a socket holds while a worker gets no time.
        assert two.pump(
            lambda n=i + 1: all(len(two.got(a, b, c)) >= n for a, b in PAIRS for c in (False, True))
        )
    for a, b in PAIRS:
        assert {got.payload[7] for got in two.got(a, b, True)} == {0}, "everyone sees thumbnails"
        for camera in (False, True):
            steps = [y.sequence - x.sequence & 0xFFFF for x, y in itertools.pairwise(two.got(a, b, camera))]
            assert set(steps) == {1}, "nothing is reordered, nothing twice"
    assert all(one.refused == [] for one in two.people)
    two.subscribe(2, 0, 2)  # a member of the second worker puts one of the first into focus
    two.publish()
    sender = two.endpoints[0]
    assert two.pump(
        lambda: (
            two.people[0].key_requests() > 0
            or bool(sender.send(*sender.participant.frame(2, key=False, packets=4, size=1000)))
        )
    )
    sender.send(*sender.participant.frame(2, key=True, packets=8, size=1000))
    assert two.pump(lambda: sum(got.payload[7] == 2 for got in two.got(2, 0, True)) == 8)
    assert {b.sequence - a.sequence for a, b in itertools.pairwise(two.got(2, 0, True))} == {1}
    assert {got.payload[7] for got in two.got(3, 0, True)} == {0}, "nobody else pays for it"
    for index in range(2):
        counters = two.counters(index)
        assert counters["internal_errors"] == counters["handover_invalid_dropped"] == 0
        assert counters["handover_repeated_dropped"] == counters["handover_full_dropped"] == 0


def test_key_requests_and_repairs_cross_the_ring(two: Pair) -> None:
    sender = two.endpoints[0]
    sender.send(*sender.participant.frame(0, key=True))
    assert two.pump(lambda: all(two.got(n, 0, True) for n in (1, 2, 3)))
    sender.participant.forget()
    began = time.monotonic()
    for receiver in (1, 2, 3):
        two.endpoints[receiver].send(two.people[receiver].pli(two.halves[0].ssrc(receiver, 0, True)))
    assert two.pump(lambda: two.people[0].key_requests() > 0)
    sender.send(*sender.participant.frame(0, key=True))
    assert two.pump(lambda: all(len(two.got(n, 0, True)) == 2 for n in (2, 3)))
    # Until the picture came it may have been asked for again; since then it is not.
    asked = two.people[0].key_requests()
    assert asked <= 2 + (time.monotonic() - began) / KEY_REQUEST_INTERVAL_S
    assert not two.pump(lambda: two.people[0].key_requests() > max(2, asked), 0.5)
    # A receiver of the second worker misses a packet: its own worker has it.
    got = two.got(3, 0, True)[-1]
    two.endpoints[3].send(two.people[3].nack(got.ssrc, got.sequence))
    assert two.pump(lambda: bool(two.people[3].of(two.halves[1].rtx_ssrc(3, 0))))
    again = two.people[3].of(two.halves[1].rtx_ssrc(3, 0))[0].original(got.ssrc, got.payload_type)
    assert (again.sequence, again.payload) == (got.sequence, got.payload)
    # The sender's uplink loses one: its worker asks for it, for those of the other worker.
    first, lost, last = (sender.participant.frame(0, key=False)[0] for _ in range(3))
    sender.send(first, last)
    assert two.pump(lambda: bool(two.people[0].blocks(205, 1)))
    sender.send(lost)
    assert two.pump(lambda: all(len(two.got(n, 0, True)) == 5 for n in (2, 3)))
    assert two.counters(1)["nacks_sent"] == 0


@pytest.mark.parametrize("dies", [0, 1])
def test_kill_of_either_under_traffic(two: Pair, dies: int) -> None:
    """Receivers of both accept everything that comes: no index twice. Nobody checks anew."""
    audio, camera = two.endpoints[0], two.endpoints[2]
    camera.send(*camera.participant.frame(0, key=True))
    for life in range(4):
        for i in range(60):
            audio.send(audio.participant.opus(struct.pack("2I", life, i) * 10))
            camera.send(*camera.participant.frame(0, key=i % 20 == 0, packets=3))
            if i % 5 == 0:
                for one in two.endpoints:
                    one.drain()
            if i == 40:
                two.kill(dies)
                two.start(dies)
        last = struct.pack("2I", life, 59)
        assert two.pump(
            lambda last=last: all(
                [got.payload[:8] for got in two.got(n, 0, False)[-1:]] == [last] for n in (1, 2, 3)
            )
        )
        assert [one.refused for one in two.people] == [[]] * 4, f"life {life}"
    for receiver in (1, 2, 3):
        heard = two.got(receiver, 0, False)
        assert len(heard) > 4 * 40
        # In the order in which they were said.
        said = [struct.unpack("2I", got.payload[:8]) for got in heard]
        assert said == sorted(set(said))
    for receiver in (0, 1, 3):
        assert len(two.got(receiver, 2, True)) > 4 * 3 * 30
    assert [half.table.workers_started for half in two.halves] == [5 if dies == n else 1 for n in range(2)]
    assert all(two.counters(index)["internal_errors"] == 0 for index in range(2))
    assert all(two.counters(index)["handover_invalid_dropped"] == 0 for index in range(2))
    assert two.people[0].answers == 1


def test_a_worker_sleeps_until_something_is_there(two: Pair) -> None:
    """One packet alone crosses at once, by an eventfd; and many cost none each."""
    audio = two.endpoints[0]
    took: list[float] = []
    deadline = time.monotonic() + PATIENCE_S
    # The longest sleep is 250 ms: whoever is not woken is late by 125 ms in the median, on any machine.
    while len(took) < 20 or median(took[-20:]) > 0.05:
        assert time.monotonic() < deadline, took
        time.sleep(0.02)  # so that both sleep
        began = time.monotonic()
        audio.send(audio.participant.opus(struct.pack("2I", 7, len(took)) * 10))
        assert two.pump(lambda: len(two.got(2, 0, False)) > len(took))
        took.append(time.monotonic() - began)


def test_rings_of_another_layout_are_refused() -> None:
    table = Table.create(ROOM, 2 * ROOM, 2 * ROOM * ROOM)
    with media_socket("127.0.0.1") as media:
        fds = (*table.fds, -1, [media.fileno()])
        other = os.memfd_create("other")
        os.ftruncate(other, 1 << 20)
        for rings in (other, table.fds[0]):
            with pytest.raises(LayoutError):
                Worker(*fds, rings_fd=rings, index=0, wake_fds=[0, 0])
        os.close(other)
        rings = make_rings(3)
        with pytest.raises(ValueError, match="no such worker"):
            Worker(*fds, rings_fd=rings, index=3, wake_fds=[0, 0, 0])
        os.close(rings)
    for count in (0, 1, MAX_WORKERS + 1):
        with pytest.raises(ValueError, match="workers"):
            make_rings(count)
