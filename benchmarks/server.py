"""The worker under test in its namespace, and one measured run of the generator against it."""

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.network import DEVICE, SERVER_ADDRESS, Network, client_core, server_core
from benchmarks.plan import Plan, sink_row
from control.io.sockets import bind_media, packet_socket, uplink_pair
from fastpath_ext import uplink
from fastpath_ext.counters import Counters
from fastpath_ext.rings import make_rings
from fastpath_ext.table import Table

ROOT = Path(__file__).resolve().parents[1]
LOAD = ROOT / "build/bench/load"
PROGRAM = """
import sys
from fastpath_ext.worker import Worker
hold, spin, packet, rings, index, others, *fds = map(int, sys.argv[1:])
wakes, fds = fds[:others], fds[others:]
Worker(
    fds[0], fds[1], fds[2], fds[3:], hold_us=None if hold < 0 else hold, packet_fd=packet,
    rings_fd=rings, index=index, wake_fds=wakes, busy_poll_us=spin,
).run()
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run. Times of the worker are CPU time by the operating system's account."""

    packets: int
    """RTP packets that receivers got."""
    datagrams: int
    """Everything the workers sent."""
    cpu_s: float
    system_share: float
    seconds: float
    runs: int
    """Messages the kernel took: datagrams / runs is the mean run."""
    counters: dict[str, int]
    load: dict[str, Any]
    told: Counter[str]
    """Messages to control, from the beginning, by kind."""
    estimates: list[int]
    """What the worker thinks each receiver's link carries at the end, bit/s."""
    memory_kb: int
    """Private and shared memory of all workers, resident."""

    @property
    def us(self) -> float:
        """CPU time per datagram sent."""
        return self.cpu_s / self.datagrams * 1e6 if self.datagrams else float("nan")

    @property
    def busy(self) -> float:
        return self.cpu_s / self.seconds

    @property
    def mean_run(self) -> float:
        return self.datagrams / self.runs if self.runs else 0.0

    @property
    def lost(self) -> int:
        return int(self.load["audio_lost"] + self.load["video_lost"])

    @property
    def delivered(self) -> float:
        due = self.load["audio_due"] + self.load["video_due"]
        return self.packets / due if due else 1.0

    def delay_ms(self, percentile: str, kind: str = "video") -> float:
        return float(self.load[f"{kind}_delay"][f"{percentile}_us"]) / 1000


class Rings:
    """What workers hand over by, as the supervisor makes it."""

    def __init__(self, workers: int) -> None:
        self.fd = make_rings(workers)
        self.wakes = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(workers)]

    def close(self) -> None:
        for fd in (self.fd, *self.wakes):
            os.close(fd)


class Process:
    """One worker."""

    def __init__(
        self,
        network: Network,
        table: Table,
        number: int,
        hold_us: int | None = None,
        packets: bool = False,
        busy_poll_us: int | None = None,
        rings: Rings | None = None,
    ) -> None:
        """`packets`: with a packet socket, as `packet_interface` gives it. `busy_poll_us`: not None =
        with the ordinary scheduler, as real-time threads that never sleep are stopped for 50 ms a second."""
        self.table = table
        rings_fd, wakes = (rings.fd, rings.wakes) if rings is not None else (-1, [])
        with network.inside(network.server):
            self.sockets = bind_media(["::"], 0)
            self._packet = packet_socket(DEVICE) if packets else None
        self.uplink, worker_end = uplink_pair()
        hold = -1 if hold_us is None else hold_us
        fds = [*table.fds, worker_end.fileno(), *(one.fileno() for one in self.sockets)]
        packet = self._packet.fileno() if self._packet else -1
        given = hold, busy_poll_us or 0, packet, rings_fd, number, len(wakes), *wakes, *fds
        self.process = subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                network.server,
                *(niced if busy_poll_us is None else pinned)(server_core(number)),
                sys.executable,
                "-c",
                PROGRAM,
                *map(str, given),
            ],
            pass_fds=[fd for fd in (*fds, *wakes, packet, rings_fd) if fd >= 0],
            cwd=ROOT,
        )
        worker_end.close()
        self.told: Counter[str] = Counter()
        """Messages to control, which nobody decides about here, by kind."""
        threading.Thread(target=self._read_uplink, daemon=True).start()
        deadline = time.monotonic() + 20
        while table.adopted != table.current:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the worker does not start")
            time.sleep(0.01)

    def _read_uplink(self) -> None:
        poll = select.poll()
        poll.register(self.uplink, select.POLLIN)
        with contextlib.suppress(OSError, ValueError):
            while poll.poll():
                message = self.uplink.recv(uplink.MAX_MESSAGE)
                if not message:
                    return
                self.told[uplink.Kind(uplink.decode(message).kind).name] += 1

    @property
    def port(self) -> int:
        return int(self.sockets[0].getsockname()[1])

    def cpu_s(self) -> float:
        return process_cpu_s(self.process.pid)

    def counters(self) -> dict[str, int]:
        return Counters(self.table.fds[1]).values()

    def memory_kb(self) -> int:
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Rss:")))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for one in (*self.sockets, self.uplink, *([self._packet] if self._packet else [])):
            one.close()


def niced(core: int) -> list[str]:
    """Prefix of a command: one core, and before whatever else runs on the machine, for all systems alike."""
    return ["chrt", "--fifo", "10", "taskset", "-c", str(core)]


def pinned(core: int) -> list[str]:
    return ["taskset", "-c", str(core)]


def estimates(processes: list[Process]) -> list[int]:
    found = []
    for one in processes:
        for handle in range(one.table.capacities[0]):
            status = one.table.downlink_status(handle)
            if status is not None and status.has_feedback:
                found.append(status.estimate_bps)
    return sorted(found)


def process_cpu_s(pid: int) -> float:
    """User and system time in nanoseconds' resolution: the clock of clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def system_share(pid: int) -> tuple[int, int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]), int(fields[12])


def measure(
    network: Network,
    plan: Plan,
    *,
    warm_s: float = 1.0,
    measure_s: float = 3.0,
    hold_us: int | None = None,
    packets: bool = False,
    churn_hz: float = 0.0,
    busy_poll_us: int | None = None,
) -> Run:
    """Starts workers and generator, waits for the run, stops both."""
    tables = plan.tables()
    rings = Rings(len(tables)) if plan.hands_over else None
    processes = [
        Process(network, table, n, hold_us, packets, busy_poll_us, rings) for n, table in enumerate(tables)
    ]
    try:
        with tempfile.NamedTemporaryFile(suffix=".plan") as file:
            servers = [(SERVER_ADDRESS, one.port) for one in processes]
            plan.write(Path(file.name), servers, warm_s=warm_s, measure_s=measure_s)
            with churning(plan, processes[0].table, churn_hz):
                return watch(network, processes, [str(LOAD), file.name])
    finally:
        for one in processes:
            one.close()
        if rings is not None:
            rings.close()


@contextlib.contextmanager
def churning(plan: Plan, table: Table, times_a_second: float) -> Iterator[None]:
    """Publishes a generation so often, in each of which one sink's priority is another one."""
    done = threading.Event()

    def work() -> None:
        for turn in itertools.count():
            if done.wait(1 / times_a_second):
                return
            number = turn % len(plan.sinks)
            row = replace(sink_row(number, plan.sinks[number]), priority=turn % 7 + 1)
            table.put_sink(plan.sinks[number].handle, row)
            table.publish()

    thread = threading.Thread(target=work, daemon=True)
    if times_a_second:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if times_a_second:
            thread.join()


def snapshot(processes: list[Process]) -> tuple[float, float, list[dict[str, int]], list[tuple[int, int]]]:
    return (
        time.monotonic(),
        sum(one.cpu_s() for one in processes),
        [one.counters() for one in processes],
        [system_share(one.process.pid) for one in processes],
    )


def watch(network: Network, processes: list[Process], command: list[str]) -> Run:
    generator = start_generator(network, command)
    assert generator.stdout is not None
    before = after = None
    memory = 0
    reached: list[int] = []
    result: dict[str, Any] = {}
    for line in generator.stdout:
        if line == "begin\n":
            before = snapshot(processes)
        elif line == "end\n":
            after = snapshot(processes)
            memory = sum(one.memory_kb() for one in processes)
            reached = estimates(processes)
        elif line.startswith("{"):
            result = json.loads(line)
    if generator.wait() != 0 or before is None or after is None or not result:
        raise RuntimeError("the generator could not connect or failed")
    counted: dict[str, int] = {}
    for first, last in zip(before[2], after[2], strict=True):
        for name, value in last.items():
            if value != first[name]:
                counted[name] = counted.get(name, 0) + value - first[name]
    user = sum(b[0] - a[0] for a, b in zip(before[3], after[3], strict=True))
    system = sum(b[1] - a[1] for a, b in zip(before[3], after[3], strict=True))
    return Run(
        packets=result["audio_packets"] + result["video_packets"],
        datagrams=counted.get("tx_datagrams", 0),
        cpu_s=after[1] - before[1],
        system_share=system / max(1, user + system),
        seconds=after[0] - before[0],
        runs=counted.get("tx_messages", 0),
        counters=counted,
        load=result,
        told=sum((one.told for one in processes), Counter()),
        estimates=reached,
        memory_kb=memory,
    )


def start_generator(network: Network, command: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["ip", "netns", "exec", network.client, *niced(client_core()), *command],
        stdout=subprocess.PIPE,
        text=True,
    )
