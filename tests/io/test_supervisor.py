"""Real processes under the real supervisor: each is killed, hung or stopped; what must outlive it does."""

import contextlib
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from control.config import Config, MediaConfig, ServerConfig
from control.io.sockets import BindError, bind_media
from control.moving import first_port
from control.supervisor import Supervisor
from fastpath_ext.counters import Counters
from tests.io.processes import Server, alive
from tests.patience import PATIENCE_S

StartServer = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartServer]:
    servers: list[Server] = []

    def started(**options) -> Server:
        servers.append(Server(tmp_path, **options))
        return servers[-1]

    yield started
    for server in servers:
        server.close()


def until(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s
        time.sleep(0.001)


class Flood:
    """Datagrams of nobody for a worker, while the block runs; never more unread ones than its socket holds,
    however long the worker gets no time."""

    UNREAD = 1000

    def __init__(self, port: int, counters: Counters, lost: int = 0) -> None:
        """`lost`: how many may be lost on the way."""
        self.sent = 0
        self._port, self._counters, self._unread = port, counters, lost + self.UNREAD
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def read(self) -> int:
        return self._counters.values()["rx_datagrams"]

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not self._stop.is_set():
                if self.sent - self.read < self._unread:
                    for _ in range(10):
                        sender.sendto(b"\x80 nobody knows this address", ("127.0.0.1", self._port))
                        self.sent += 1
                time.sleep(0.003)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def counters_of(pid: int) -> Counters:
    """The counters of a running worker, read through its own descriptor of the state segment."""
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        if "sotto-state" in link_of(fd):
            opened = os.open(fd, os.O_RDONLY)
            try:
                return Counters(opened)
            finally:
                os.close(opened)
    raise AssertionError("no state segment")


def link_of(fd: Path) -> str:
    """Empty where it was closed while we looked."""
    try:
        return os.readlink(fd)
    except FileNotFoundError:
        return ""


def rings_of(pid: int) -> int:
    """Which segment a worker hands conferences over by: its inode."""
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if "sotto-rings" in os.readlink(fd):
                return fd.stat().st_ino
    raise AssertionError("no rings")


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_starts_and_stops_in_order(start: StartServer):
    server = start()
    server.ready()
    ports = [port for sockets in server.ports for _host, port in sockets]
    assert not any(is_free(port) for port in ports)
    assert server.stop() == 0
    assert server.lines[-1] == "control says goodbye"
    assert not any(alive(pid) for pid in server.pids.values())
    assert all(is_free(port) for port in ports)


def test_a_killed_worker_costs_no_datagram_but_those_in_its_hands(start: StartServer):
    server = start(workers=1)
    server.ready()
    first = server.pids["worker 0"]
    counters = counters_of(first)
    gaps, in_hands = [], 64  # of one batch
    with Flood(server.ports[0][0][1], counters, 5 * in_hands) as flood:
        for _ in range(5):
            before = flood.read
            until(lambda before=before: flood.read > before + 200)  # it is at work
            killed, began = server.pids["worker 0"], time.monotonic()
            os.kill(killed, signal.SIGKILL)
            # In any order: the standby begins by itself.
            server.wait_for_all("^worker 0 ended by SIGKILL", "^worker 0 started", "^said 0 READY")
            gaps.append(time.monotonic() - began)
            assert server.pids["worker 0"] != killed
    until(lambda: flood.read >= flood.sent - 5 * in_hands)
    time.sleep(0.3)  # what is still in the socket
    lost = flood.sent - flood.read
    print(
        f"5 kills, {flood.sent} datagrams, {lost} lost; back after {[round(gap * 1000) for gap in gaps]} ms"
    )
    assert 0 <= lost <= 5 * in_hands
    assert server.pids["control"]
    assert server.stop() == 0


def test_a_successor_that_could_not_read_the_generation_is_given_one(start: StartServer):
    """Bits turn over in its head; the worker at work goes on, and is killed."""
    server = start(workers=1)
    server.ready()
    counters = counters_of(server.pids["worker 0"])
    until(lambda: counters.values()["generations_adopted"] == 1)
    server.standing_by()
    os.kill(server.pids["control"], signal.SIGSTOP)  # or it would be mended before anybody needs it
    (fd,) = (
        fd for fd in Path(f"/proc/{server.pids['worker 0']}/fd").iterdir() if "sotto-config" in link_of(fd)
    )
    config = os.open(fd, os.O_RDWR)
    middle = 192 + (os.fstat(config).st_size - 192) // 2  # of generation 1
    (byte,) = os.pread(config, 1, middle + 8)
    os.pwrite(config, bytes((byte ^ 4,)), middle + 8)
    os.close(config)
    os.kill(server.pids["worker 0"], signal.SIGKILL)
    server.wait_for("^worker 0 ended by SIGKILL")
    os.kill(server.pids["control"], signal.SIGCONT)
    until(lambda: counters.values()["generations_adopted"] >= 2)
    assert server.stop() == 0


def test_killed_control_costs_the_workers_nothing(start: StartServer):
    server = start()
    server.ready()
    before = dict(server.pids)
    os.kill(before["control"], signal.SIGKILL)
    server.wait_for("^control ended by SIGKILL")
    server.wait_for(r"^control ready, worker 0 has \[3\], generation [1-9]")
    server.wait_for(r"^control ready, worker 1 has \[3\], generation [1-9]")
    assert server.pids["control"] != before["control"]
    assert alive(before["worker 0"])
    assert alive(before["worker 1"])
    assert server.stop() == 0
    assert not any(alive(pid) for pid in (*before.values(), *server.pids.values()))


def test_the_next_control_waits_for_the_end_of_the_first(start: StartServer):
    server = start(workers=1, standby_after_s=0.0)
    server.ready()
    first, second = server.pids["control"], server.started("standby control")
    os.kill(first, signal.SIGKILL)
    server.wait_for("^control ended by SIGKILL")
    server.wait_for(rf"^control started, process {second}$")
    server.wait_for(r"^control ready, worker 0 has \[3\], generation [1-9]")
    third = server.started("standby control", other_than=second)
    # Without a supervisor the one at work goes on, and the one that waits for it does not stay.
    server.process.kill()
    server.process.wait()
    until(lambda: not alive(third))
    assert alive(second)
    later = start(workers=1, standby_after_s=0.0)
    later.started("standby control")
    assert later.stop() == 0
    until(lambda: not any(alive(pid) for pid in (second, *later.pids.values())))


def test_an_upgrade_dismisses_the_control_that_stands_by(start: StartServer):
    server = start(workers=1, standby_after_s=0.0)
    server.ready()
    server.standing_by()
    first, second = server.pids["control"], server.started("standby control")
    server.process.send_signal(signal.SIGUSR2)
    server.wait_for("^becoming the program that is installed now")
    assert server.started("control", other_than=first) != second
    server.started("standby control", other_than=second)
    until(lambda: not alive(first) and not alive(second))
    assert server.stop() == 0


def test_what_keeps_dying_is_started_ever_later(start: StartServer):
    server = start(workers=1)
    began = time.monotonic()
    for _ in range(4):
        server.wait_for("^control started")
        os.kill(server.pids["control"], signal.SIGKILL)
        server.wait_for("^control ended")
    assert time.monotonic() - began >= 0.1 + 0.2 + 0.4
    assert server.stop() == 0


def test_a_hung_worker_is_killed_and_replaced(start: StartServer):
    server = start()
    server.ready()
    before = dict(server.pids)
    os.kill(before["worker 1"], signal.SIGSTOP)
    server.wait_for("^worker 1 hangs and is killed")
    server.wait_for("^said 1 READY")
    assert server.pids["worker 0"] == before["worker 0"]
    assert server.stop() == 0


def test_orphans_end_by_themselves_when_nobody_is_on_the_line(start: StartServer):
    server = start(orphan_s=3.0)
    server.ready()
    server.standing_by()
    ports = [port for sockets in server.ports for _host, port in sockets]
    server.process.kill()
    until(lambda: not any(alive(pid) for pid in server.pids.values()))
    until(lambda: all(is_free(port) for port in ports))  # once the last of their threads has ended


def test_a_killed_supervisor_is_succeeded_without_a_change(start: StartServer):
    first = start()
    first.ready()
    first.standing_by()
    first.process.kill()
    first.process.wait()
    second = start()
    assert second.ports == first.ports
    assert "2 workers taken over, 2 at work" in second.lines
    # It supervises: what dies now is succeeded, too.
    os.kill(first.pids["worker 0"], signal.SIGKILL)
    second.wait_for("^worker 0 ended")
    second.wait_for("^worker 0 started")
    assert second.pids["worker 0"] == first.pids["standby 0"]
    assert alive(first.pids["worker 1"])
    second.wait_for("^standby 0 started")
    until(lambda: "sotto-rings" in str(descriptors_of(second.pids["standby 0"])))
    everybody = second.pids["worker 0"], second.pids["standby 0"], first.pids["worker 1"]
    assert len({rings_of(pid) for pid in everybody}) == 1
    assert alive(first.pids["control"])
    assert second.stop() == 0
    assert not any(alive(pid) for pid in (*first.pids.values(), *second.pids.values()))


def test_without_standbys_the_workers_themselves_are_found(start: StartServer):
    first = start(workers=1)
    first.ready()
    first.standing_by()
    first.process.kill()
    first.process.wait()
    os.kill(first.pids["standby 0"], signal.SIGKILL)
    second = start(workers=1)
    assert second.ports == first.ports
    assert "1 workers taken over, 1 at work" in second.lines
    second.wait_for("^standby 0 started")
    assert alive(first.pids["worker 0"])
    assert second.stop() == 0


def test_two_servers_do_not_share_a_folder(start: StartServer):
    start(workers=1).ready()
    with pytest.raises(AssertionError, match="in use by a running server, process"):
        start(workers=1)


def test_an_upgrade_in_place_renews_every_process_and_loses_nothing(start: StartServer):
    server = start()
    server.ready()
    server.standing_by()
    before, ports = dict(server.pids), server.ports
    counters = counters_of(before["worker 0"])
    with Flood(ports[0][0][1], counters) as flood:
        server.process.send_signal(signal.SIGUSR2)
        server.wait_for("^becoming the program that is installed now")
        server.wait_for("^2 workers taken over, 2 at work")
        # The second may be relieved before the first one's successor is heard of.
        server.wait_for_all(
            *(f"^worker {index} {what}" for index in (0, 1) for what in ("is relieved", "started"))
        )
        until(lambda: not any(alive(pid) for pid in before.values()))
    assert server.ports == ports
    until(lambda: flood.read == flood.sent)
    while any(server.pids[name] == pid for name, pid in before.items()):
        server.wait_for("^(control|standby [01]) started")
    assert server.stop() == 0


def test_after_an_upgrade_a_killed_supervisor_is_succeeded_too(start: StartServer, tmp_path: Path):
    first = start(workers=1)
    first.ready()
    first.standing_by()
    first.process.send_signal(signal.SIGUSR2)
    first.wait_for("^worker 0 is relieved")
    first.wait_for("^worker 0 started")
    first.wait_for("^standby 0 started")
    lock = str(tmp_path / "run/supervisor.lock")
    for name in ("worker 0", "standby 0"):
        assert lock not in descriptors_of(first.pids[name]), name
    first.process.kill()
    first.process.wait()
    second = start(workers=1)
    assert second.ports == first.ports
    assert "1 workers taken over, 1 at work" in second.lines
    assert second.stop() == 0


def moved(start: StartServer) -> tuple[Server, dict[str, int], list[int]]:
    """A server that became one with another layout, once its new control has begun; processes and ports that
    it had before."""
    server = start(next_form=2)
    server.ready()
    server.standing_by()
    before = dict(server.pids)
    ports = [port for sockets in server.ports for _host, port in sockets]
    server.process.send_signal(signal.SIGUSR2)
    server.wait_for("^becoming the program that is installed now")
    said = server.wait_for("calls move over, from UDP ports ([0-9 ]+) to ([0-9 ]+)$")
    assert sorted(map(int, said[1].split())) == sorted(ports)
    assert not set(map(int, said[2].split())) & set(ports)
    server.wait_for("^control ended with status 0")
    server.wait_for("^control begins, notes of 2 former workers")
    return server, before, ports


def all_came(folder: Path) -> None:
    """As control says it."""
    (folder / "run/moved").touch()


def test_another_layout_begins_beside_the_former_and_ends_it_when_all_have_come(
    start: StartServer, tmp_path: Path
):
    server, before, ports = moved(start)
    former = [before[name] for name in ("worker 0", "worker 1", "standby 0", "standby 1")]
    # They go on by themselves, with their ports and nobody's help: one that dies has its standby.
    counters = counters_of(before["worker 0"])
    os.kill(before["worker 0"], signal.SIGKILL)
    received = counters.values()["rx_datagrams"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"\x80 nobody knows this address", ("127.0.0.1", ports[0]))
    until(lambda: counters.values()["rx_datagrams"] == received + 1)
    assert all(alive(pid) for pid in former[1:])
    all_came(tmp_path)
    server.wait_for("^the former build has ended")
    until(lambda: not any(alive(pid) for pid in former))
    until(lambda: all(is_free(port) for port in ports))  # once the last of their threads has ended
    assert not (tmp_path / "run/moving.json").exists()
    # What goes on is a server like any other.
    until(lambda: len(list((tmp_path / "run").glob("keeper-*.sock"))) == 4)
    os.kill(server.pids["worker 0"], signal.SIGKILL)
    server.wait_for("^worker 0 ended by SIGKILL")
    server.wait_for("^worker 0 started")
    os.kill(server.pids["control"], signal.SIGKILL)
    server.wait_for("^control begins, notes of 0 former workers")
    assert server.stop() == 0
    assert not any(alive(pid) for pid in server.pids.values())


def test_a_supervisor_killed_while_calls_move_over_is_succeeded(start: StartServer, tmp_path: Path):
    first, before, ports = moved(start)
    until(lambda: len(list((tmp_path / "run").glob("keeper-*.sock"))) == 4)
    first.process.kill()
    first.process.wait()
    second = start(form=2)
    assert "2 workers taken over, 2 at work" in second.lines
    assert not {port for sockets in second.ports for _host, port in sockets} & set(ports)
    assert all(alive(before[name]) for name in ("worker 0", "worker 1"))
    all_came(tmp_path)
    second.wait_for("^the former build has ended")
    until(lambda: all(is_free(port) for port in ports))
    assert second.stop() == 0
    assert not any(alive(pid) for pid in (*before.values(), *first.pids.values(), *second.pids.values()))


def test_a_server_that_is_stopped_while_calls_move_over_leaves_nothing(start: StartServer, tmp_path: Path):
    server, before, ports = moved(start)
    assert server.stop() == 0
    assert not any(alive(pid) for pid in (*before.values(), *server.pids.values()))
    assert all(is_free(port) for port in ports)
    assert not (tmp_path / "run/moving.json").exists()


def test_ports_of_a_build_beside_another():
    media = MediaConfig(port=40000)
    assert first_port(media, 2, {40000, 40001}) == 40002
    assert first_port(media, 2, {40002, 40003}) == 40000  # and back
    assert first_port(media, 4, {40000, 40001}) == 40004
    assert first_port(media, 2, {40000, 40001, 40002, 40003}) == 40004  # it had more workers
    apart = MediaConfig(port=40000, upgrade_port=50000)
    assert first_port(apart, 2, {40000, 40001}) == 50000
    assert first_port(apart, 2, {50000, 50001}) == 40000
    assert first_port(MediaConfig(port=0), 2, {1234}) == 0
    with pytest.raises(BindError):
        first_port(MediaConfig(port=65534), 2, {65534, 65535})


def test_a_keeper_that_is_slow_is_waited_for(start: StartServer):
    first = start(workers=1)
    first.ready()
    first.standing_by()
    first.process.kill()
    first.process.wait()
    slow = [first.pids["worker 0"], first.pids["standby 0"]]
    for pid in slow:
        os.kill(pid, signal.SIGSTOP)
    later = threading.Timer(3.0, lambda: [os.kill(pid, signal.SIGCONT) for pid in slow])
    later.start()
    second = start(workers=1)
    later.join()
    assert second.ports == first.ports


def descriptors_of(pid: int) -> list[str]:
    return [link_of(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]


def test_a_second_signal_hurries(start: StartServer):
    server = start(workers=1, control="stubborn")
    server.wait_for("^control ready")
    server.process.send_signal(signal.SIGINT)
    server.wait_for("^control was told to end")
    assert server.stop(signal.SIGINT) == 0  # not after control_stop_s
    assert "control does not end and is killed" in server.lines
    assert not any(alive(pid) for pid in server.pids.values())


def test_what_cannot_be_helped_ends_everything(start: StartServer):
    server = start(workers=1, control="hopeless")
    assert server.drain() == 78
    assert "control ended with status 78" in server.lines
    assert not any(alive(pid) for pid in server.pids.values())


def test_what_each_process_holds(start: StartServer):
    server = start()
    server.ready()
    server.standing_by()
    for name, pid in server.pids.items():
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "Max core file size        1                    1" in limits, name
        mapped = Path(f"/proc/{pid}/maps").read_text()
        held = descriptors_of(pid)
        segments = [link for link in held if link.startswith("/memfd:sotto-")]
        if name in ("control", "standby control"):
            assert len(segments) >= 6
        else:
            assert len(segments) == 4, held
            assert held.count("anon_inode:[eventfd]") >= 2  # one for each worker that may have to be woken
            assert len(os.sched_getaffinity(pid)) == 1
            # A worker is the core and its shell: nothing of Matrix, of DTLS or of an event loop.
            for library in ("uvloop", "_ssl", "cryptography", "libav", "_asyncio"):
                assert library not in mapped, library
    supervisor = Path(f"/proc/{server.process.pid}/maps").read_text()
    for library in ("uvloop", "_ssl", "cryptography", "libav", "_asyncio"):
        assert library not in supervisor, library
    cpus = {next(iter(os.sched_getaffinity(server.pids[f"worker {index}"]))) for index in (0, 1)}
    assert len(cpus) == min(2, len(os.sched_getaffinity(0)))
    assert server.stop() == 0


class TestSockets:
    def test_one_socket_for_both_families(self):
        (both,) = bind_media(("::",), 0)
        with both, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"four", ("127.0.0.1", both.getsockname()[1]))
            data, control, _flags, address = both.recvmsg(100, 200)
            assert data == b"four"
            assert address[0] == "::ffff:127.0.0.1"
            assert control  # where it arrived
            assert not both.getblocking()

    def test_one_per_address(self):
        bound = bind_media(("127.0.0.1", "::1"), 0)
        assert [one.family for one in bound] == [socket.AF_INET, socket.AF_INET6]
        for one in bound:
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 2 << 20
            one.close()

    def test_a_taken_port_is_named(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            port = other.getsockname()[1]
            with pytest.raises(BindError, match=rf"127\.0\.0\.1 port {port}: Address already in use"):
                bind_media(("127.0.0.1",), port)

    def test_nothing_stays_open_when_one_of_them_fails(self, tmp_path: Path):
        config = Config(
            server=ServerConfig(data_dir=tmp_path),
            media=MediaConfig(listen=("127.0.0.1", "192.0.2.1"), port=0),
        )
        gc.collect()  # what tests before this one left open is not to be closed in the middle of it
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(BindError):
            bind_media(("127.0.0.1", "192.0.2.1"), 0)
        with pytest.raises(BindError):
            Supervisor(config, ("false",), ("false",))
        assert len(os.listdir("/proc/self/fd")) == before
