"""A worker process at real UDP sockets on loopback, with synthetic participants around it."""

import itertools
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastpath_ext.counters import Counters
from fastpath_ext.uplink import MAX_MESSAGE, Kind, decode, encode
from fastpath_ext.worker import Forwarder
from tests.patience import PATIENCE_S
from tests.synthetic import Endpoint, Meeting, pump

ROOT = Path(__file__).resolve().parents[2]
UDP_SEGMENT = 103
KEY_REQUEST_INTERVAL_S = 0.2
"""LIMIT_KEY_REQUEST_INTERVAL_NS of fastpath/limits.h."""
PROGRAM = """
import sys
from fastpath_ext.worker import Worker
packets, spin, config, state, uplink, *sockets = map(int, sys.argv[1:])
Worker(config, state, uplink, sockets, packet_fd=packets, busy_poll_us=spin).run()
"""


def media_socket(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    bound.bind((host, 0))
    return bound


class Rig:
    """What the supervisor holds: tables, sockets, the uplink. Workers come and go."""

    busy_poll_us = 0

    def __init__(self, count: int, hosts: tuple[str, ...] = ("::",), reach: str = "127.0.0.1") -> None:
        self.meeting = self.build(count)
        self.sockets = [media_socket(host) for host in hosts]
        self.uplink, self.worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.uplink.settimeout(PATIENCE_S)
        self.packets: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.endpoints = [
            Endpoint(one, (reach, self.sockets[one.handle % len(hosts)].getsockname()[1]))
            for one in self.meeting.participants
        ]
        self.people = self.meeting.participants

    def build(self, count: int) -> Meeting:
        return Meeting.of(count)

    def start(self) -> None:
        fds = [*self.meeting.table.fds, self.worker_end.fileno(), *(s.fileno() for s in self.sockets)]
        packets = self.packets.fileno() if self.packets else -1
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(packets), str(self.busy_poll_us), *map(str, fds)],
            pass_fds=[*fds, *([packets] if self.packets else [])],
            cwd=ROOT,
        )
        assert self.wait_for(Kind.READY)["a"] == self.process.pid

    def wait_for(self, kind: Kind) -> dict[str, int]:
        """The next message of this kind; others are passed over."""
        while True:
            message = decode(self.uplink.recv(MAX_MESSAGE))
            if message.kind == kind:
                return message._asdict()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """What is sent meanwhile is there at once when the worker goes on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def join(self) -> None:
        """Everyone checks until answered, and nobody goes on before."""
        for one in self.endpoints:
            one.send(one.participant.check())
        assert self.pump(lambda: all(one.answers for one in self.people))

    def publish(self) -> None:
        self.meeting.put()
        self.uplink.send(encode(Kind.DOWN_WAKE))
        table, deadline = self.meeting.table, time.monotonic() + PATIENCE_S
        while table.adopted != table.current:  # no event says so
            assert time.monotonic() < deadline
            time.sleep(0.0005)

    def pump(self, until, timeout: float = PATIENCE_S) -> bool:
        return pump(self.endpoints, until, timeout)

    @property
    def counters(self) -> dict[str, int]:
        return Counters(self.meeting.table.fds[1]).values()

    def got(self, receiver: int, sender: int, camera: bool) -> list:
        return self.people[receiver].of(self.meeting.ssrc(receiver, sender, camera))

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for one in (*self.sockets, *self.endpoints, self.uplink, self.worker_end):
            one.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig(3)
    made.start()
    yield made
    made.close()


def test_three_join_and_hear_and_see_each_other(rig: Rig) -> None:
    rig.join()
    assert {rig.wait_for(Kind.CONNECTED)["transport"] for _ in range(3)} == {0, 1, 2}
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    for i in range(10):
        for one in rig.endpoints:
            one.send(one.participant.opus())
            for encoding in range(3):
                one.send(*one.participant.frame(encoding, key=i == 0, packets=1 + encoding * 4, size=1000))
        # No more at once than a socket holds while the worker gets no time.
        assert rig.pump(
            lambda n=i + 1: all(len(rig.got(a, b, c)) >= n for a, b in pairs for c in (False, True))
        )
    for a, b in pairs:
        assert {got.payload[7] for got in rig.got(a, b, True)} == {0}, "everyone sees thumbnails"
    assert all(one.refused == [] for one in rig.people)
    rig.meeting.subscribe(0, 1, 2)  # member 0 puts member 1 into focus
    rig.publish()
    sender = rig.endpoints[1]
    assert rig.pump(
        lambda: (
            rig.people[1].key_requests() > 0
            or bool(sender.send(*sender.participant.frame(2, key=False, packets=4, size=1000)))
        )
    )
    with rig.standing_still():
        sender.send(*sender.participant.frame(2, key=True, packets=8, size=1000))
    assert rig.pump(lambda: sum(got.payload[7] == 2 for got in rig.got(0, 1, True)) == 8)
    sequences = [got.sequence for got in rig.got(0, 1, True)]
    assert {b - a for a, b in itertools.pairwise(sequences)} == {1}
    assert {got.payload[7] for got in rig.got(2, 1, True)} == {0}, "nobody else pays for it"
    counters = rig.counters
    assert counters["tx_messages"] < counters["tx_datagrams"], "frames leave as runs"
    assert counters["internal_errors"] == counters["tx_kernel_refused_dropped"] == 0


def test_key_requests_of_all_are_one_and_mute_is_silence(rig: Rig) -> None:
    rig.join()
    sender = rig.endpoints[0]
    sender.send(*sender.participant.frame(0, key=True))
    assert rig.pump(lambda: bool(rig.got(1, 0, True)) and bool(rig.got(2, 0, True)))
    sender.participant.forget()
    began = time.monotonic()
    for receiver in (1, 2):
        for _ in range(5):
            rig.endpoints[receiver].send(rig.people[receiver].pli(rig.meeting.ssrc(receiver, 0, True)))
    assert rig.pump(lambda: rig.people[0].key_requests() > 0)
    sender.send(*sender.participant.frame(0, key=True))
    assert rig.pump(lambda: len(rig.got(1, 0, True)) == 2)
    assert rig.pump(lambda: rig.counters["key_requests_received"] == 10)
    # Until the picture came it may have been asked for again; since then it is not.
    asked = rig.people[0].key_requests()
    assert asked <= 2 + (time.monotonic() - began) / KEY_REQUEST_INTERVAL_S
    assert not rig.pump(lambda: rig.people[0].key_requests() > max(2, asked), 0.7)
    rig.meeting.muted.add(rig.meeting.camera(0))
    rig.publish()
    sender.send(*sender.participant.frame(0, key=True))
    sender.send(sender.participant.opus())
    assert rig.pump(lambda: bool(rig.got(1, 0, False)))
    assert len(rig.got(1, 0, True)) == 2
    assert rig.counters["rtp_muted_dropped"] == 1


@pytest.mark.parametrize(
    ("hosts", "reach"),
    [
        (("::",), "127.0.0.1"),
        (("::",), "::1"),
        (("0.0.0.0",), "127.0.0.2"),
        (("127.0.0.1",), "127.0.0.1"),
        (("127.0.0.1", "127.0.0.1"), "127.0.0.1"),
    ],
)
def test_answers_leave_from_where_they_were_sent_to(hosts: tuple[str, ...], reach: str) -> None:
    rig = Rig(2, hosts, reach)
    try:
        rig.start()
        rig.join()
        rig.endpoints[0].send(*rig.people[0].frame(0, key=True, packets=5))
        assert rig.pump(lambda: len(rig.got(1, 0, True)) == 5)
    finally:
        rig.close()


def test_garbage_and_strangers_stop_nobody(rig: Rig) -> None:
    rig.join()
    dice = random.Random(4)
    server = rig.endpoints[0].server
    forged = rig.people[0].opus()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        for length in range(1600):
            stranger.sendto(dice.randbytes(length), server)
            if length % 16 == 0:
                stranger.sendto(forged, server)
                rig.endpoints[0].send(dice.randbytes(length))
                rig.endpoints[0].send(rig.people[0].opus())
                # No more at once than its socket holds while the worker gets no time.
                assert rig.pump(lambda n=length // 16 + 1: len(rig.got(1, 0, False)) == n)
        with pytest.raises(BlockingIOError):
            stranger.recv(2000)
    assert rig.people[1].refused == []
    counters = rig.counters
    assert counters["unknown_address_dropped"] > 100
    assert counters["internal_errors"] == 0
    assert rig.process is not None
    assert rig.process.poll() is None


def bring_near_rollover(rig: Rig) -> None:
    """Uses up most of the first 2^16 indices of what member 1 hears, in a minute before the worker starts."""
    now = time.monotonic_ns() - 60 * 10**9
    core = Forwarder(*rig.meeting.table.fds)
    assert core.adopt(now)
    people = {one.socket.getsockname()[1]: one.participant for one in rig.endpoints}
    speaker = rig.people[0]
    while not any(got.sequence > 64000 for got in rig.got(1, 0, False)[-1:]):
        for port, one in people.items():
            core.forward(one.check(), ("127.0.0.1", port), now)
        port = rig.endpoints[0].socket.getsockname()[1]
        core.forward(speaker.opus(), ("127.0.0.1", port), now)
        speaker.skip_audio(500)
        now += 200_000_000
        for (_, to), datagrams in core.take():
            for datagram in datagrams:
                people[to].take(datagram)
    assert now < time.monotonic_ns()
    for one in rig.people:
        one.forget()
        one.answers = 0


def test_kill_under_traffic() -> None:
    """Workers die again and again; receivers that live on accept everything, and nobody checks anew."""
    rig = Rig(3)
    try:
        bring_near_rollover(rig)
        rig.start()
        rig.join()
        audio, camera = rig.endpoints[0], rig.endpoints[1]
        camera.send(*camera.participant.frame(0, key=True))
        for life in range(8):
            for i in range(60):
                audio.send(audio.participant.opus(struct.pack("2I", life, i) * 10))
                audio.participant.skip_audio(400)  # shown as much smaller holes
                camera.send(*camera.participant.frame(0, key=i % 20 == 0, packets=3))
                if i % 5 == 0:
                    for one in rig.endpoints:
                        one.drain()
                if i == 40:
                    rig.kill()
                    rig.start()
            last = struct.pack("2I", life, 59)
            assert rig.pump(
                lambda last=last: all(
                    [got.payload[:8] for got in rig.got(n, 0, False)[-1:]] == [last] for n in (1, 2)
                )
            )
            assert [one.refused for one in rig.people] == [[], [], []], f"life {life}"
        for receiver in (1, 2):
            heard = rig.got(receiver, 0, False)
            assert len(heard) > 8 * 40
        heard = rig.got(1, 0, False)
        assert sum(b.sequence < a.sequence for a, b in itertools.pairwise(heard)) == 1
        assert rig.meeting.table.workers_started == 9
        assert rig.counters["internal_errors"] == 0
        assert rig.people[0].answers == 1
    finally:
        rig.close()


def test_joined_datagrams_are_taken_apart(rig: Rig) -> None:
    """A sender's kernel may join datagrams (UDP_SEGMENT), and ours hand them over so (UDP_GRO)."""
    rig.join()
    frame = rig.people[0].frame(0, key=True, packets=20, size=900)
    sizes = {len(packet) for packet in frame}
    assert len(sizes) == 1
    before = rig.counters["rx_datagrams"]
    rig.endpoints[0].socket.sendmsg(
        frame, [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", *sizes))], 0, rig.endpoints[0].server
    )
    assert rig.pump(lambda: len(rig.got(1, 0, True)) == 20)
    assert rig.counters["rx_datagrams"] - before == 20
    assert rig.pump(lambda: sizes_and_kinds_add_up(rig.counters)), rig.counters


def sizes_and_kinds_add_up(counters: dict[str, int]) -> bool:
    """Of a call that had pictures only. Read while the worker counts: true at once, or a moment later."""
    runs = [number for name, number in counters.items() if name.startswith("run_")]
    batches = [number for name, number in counters.items() if name.startswith("batch_")]
    return (
        (len(runs), sum(runs)) == (6, counters["tx_messages"])
        and len(batches) == 7
        and 0 < sum(batches) <= counters["rx_messages"] < counters["rx_datagrams"]
        and counters["rtp_received_video"] == counters["rtp_received"]
        and counters["rtp_forwarded_bytes_video"] == counters["rtp_forwarded_bytes"] > 20 * 900
        and counters["rtp_received_audio"] == counters["rtp_forwarded_audio"] == 0
    )


SMALL_MTU = """
from tests.fastpath.test_worker import Rig
rig = Rig(2, reach="192.0.2.7")
try:
    rig.start()
    rig.join()
    for turn in range(3):
        rig.endpoints[0].send(*rig.people[0].frame(0, key=True, packets=6, size=1100))
        assert rig.pump(lambda: len(rig.got(1, 0, True)) == 6 * (turn + 1))
    assert rig.people[1].refused == []
    counters = rig.counters
    assert counters["tx_kernel_refused_dropped"] == 0, counters
    assert counters["tx_messages"] == counters["tx_datagrams"], "no runs where none can pass"
finally:
    rig.close()
"""


@pytest.mark.netns
def test_a_route_that_takes_no_runs_gets_single_datagrams(namespace: str) -> None:
    """Packets above the MTU: the kernel cuts single ones into fragments and refuses runs of them."""
    subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "mtu", "1000"], check=True)
    subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", SMALL_MTU],
        cwd=ROOT,
        check=True,
        timeout=5 * PATIENCE_S,
    )


REFUSED = """
import socket, subprocess
from tests.fastpath.test_worker import Rig
rig = Rig(3, reach="192.0.2.7")
try:
    subprocess.run(["ip", "address", "add", "192.0.2.9/32", "dev", "lo"], check=True)
    gone = rig.endpoints[1]
    gone.socket.close()
    gone.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    gone.socket.bind(("192.0.2.9", 0))
    rig.start()
    rig.join()
    subprocess.run(["ip", "address", "del", "192.0.2.9/32", "dev", "lo"], check=True)
    subprocess.run(["ip", "route", "add", "prohibit", "192.0.2.9/32"], check=True)
    for turn in range(3):
        rig.endpoints[0].send(*rig.people[0].frame(0, key=True, packets=6, size=1100))
        assert rig.pump(lambda: len(rig.got(2, 0, True)) == 6 * (turn + 1))
    counters = rig.counters
    assert counters["tx_kernel_refused_dropped"] >= 18, counters
    assert rig.people[2].refused == []
finally:
    rig.close()
"""


@pytest.mark.netns
def test_who_cannot_be_sent_to_holds_up_nobody(namespace: str) -> None:
    """The kernel refuses every message to one of two viewers; those behind it leave."""
    subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", REFUSED],
        cwd=ROOT,
        check=True,
        timeout=5 * PATIENCE_S,
    )


@pytest.mark.parametrize("way", ["signal", "message"])
def test_it_stops_when_told(rig: Rig, way: str) -> None:
    assert rig.process is not None
    if way == "signal":
        rig.process.send_signal(signal.SIGTERM)
    else:
        rig.uplink.send(encode(Kind.DOWN_STOP))
    assert rig.process.wait(PATIENCE_S) == 0


def test_a_worker_that_looks_instead_of_sleeping() -> None:
    rig = Rig(2)
    rig.busy_poll_us = 100_000
    rig.start()
    try:
        rig.join()
        first, second = rig.endpoints
        assert rig.pump(lambda: first.send(first.participant.opus()) or len(rig.got(1, 0, False)) >= 5)
        assert rig.pump(lambda: second.send(second.participant.opus()) or len(rig.got(0, 1, False)) >= 5)
        assert rig.process is not None
        rig.uplink.send(encode(Kind.DOWN_STOP))
        assert rig.process.wait(PATIENCE_S) == 0
    finally:
        rig.close()


def test_signals_reach_python() -> None:
    """A handler of Python's runs while the loop runs."""
    rig = Rig(1)
    fds = [*rig.meeting.table.fds, rig.worker_end.fileno(), rig.sockets[0].fileno()]
    program = "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *_: os._exit(7))\n" + PROGRAM
    command = [sys.executable, "-c", program, "-1", "0", *map(str, fds)]
    process = subprocess.Popen(command, pass_fds=fds, cwd=ROOT)
    try:
        rig.wait_for(Kind.READY)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(PATIENCE_S) == 7
    finally:
        process.kill()
        rig.close()


def test_media_goes_on_without_control(rig: Rig) -> None:
    rig.join()
    rig.uplink.close()
    rig.worker_end.close()  # nobody holds the other end
    rig.endpoints[0].send(rig.people[0].opus())
    assert rig.pump(lambda: bool(rig.got(1, 0, False)))
    rig.endpoints[0].send(bytes([22, 0xFE, 0xFD]) + os.urandom(30), rig.people[0].opus())
    assert rig.pump(lambda: len(rig.got(1, 0, False)) == 2)
