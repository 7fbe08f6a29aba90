"""Joins a second of one core: people call, check, shake hands, open the data channel and get their slots.

Control runs in a process of its own, on uvloop as in service, so that neither the CPU time nor the lock of
those who join is taken for its own, and on a core of its own where there are several, so that neither are
their caches; the worker is a process as ever, beside those who join. The homeserver is left out: invites are
handed to the core as the bot would hand them, and what it says in Matrix is kept in a list. All join one
conference: each is told to those before it.
"""

import asyncio
import multiprocessing
import os
import socket
import subprocess
import time
from multiprocessing.connection import Connection
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.network import Network, run
from benchmarks.server import process_cpu_s

if TYPE_CHECKING:
    from benchmarks.sections import Bench

AT_ONCE = 4
"""How many join side by side. More: handshakes that repeat themselves because this process is busy."""


class Inside:
    """The server's namespace, as benchmarks.quality sees one; those who join are in it too."""

    def __init__(self, network: Network, address: str) -> None:
        self.server = self
        self._network = network
        run("ip", "-n", network.server, "address", "add", f"{address}/32", "dev", "lo")

    def socket(self, host: str = "0.0.0.0", port: int = 0) -> socket.socket:
        with self._network.inside(self._network.server):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.bind((host, port))
        return made

    def spawn(self, *args: Any, **kwargs: Any) -> "subprocess.Popen[Any]":
        return subprocess.Popen(*args, **kwargs)


class Control:
    """The server in a process of its own; devices call it from theirs."""

    def __init__(self, inside: Inside, profile: str = "") -> None:
        """`profile`: a file for what cProfile saw between the first question for CPU time and the end."""
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(inside, theirs, profile), daemon=True)
        self._process.start()
        theirs.close()
        self.worker_pid = self._ask("worker")
        self._before = os.sched_getaffinity(0)
        own, *others = sorted(self._before)
        if others:
            os.sched_setaffinity(self._process.pid or 0, {own})
            os.sched_setaffinity(self.worker_pid, others)
            os.sched_setaffinity(0, others)

    def _ask(self, question: str, *arguments: Any) -> Any:
        self._pipe.send((question, arguments))
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def call(self, name: str, sdp: str, metadata: dict[str, Any]) -> Any:
        from benchmarks.quality.server import call_of

        return self._ask("call", call_of(name, sdp, metadata))

    def number(self, name: str) -> Any:
        return self._ask("number", name)

    def cpu_s(self) -> float:
        spent: float = self._ask("cpu")
        return spent

    def close(self) -> None:
        os.sched_setaffinity(0, self._before)
        self._ask("stop")
        self._process.join(10)


def _serve(inside: Inside, pipe: Connection, profile: str) -> None:
    """The child: true control on the loop that it has in service."""
    import cProfile

    import uvloop

    from benchmarks.quality.server import Server
    from control import collector

    collector.settle()
    seen = cProfile.Profile(time.process_time)

    async def serve() -> None:
        server = Server(inside, (128, 512, 16384))  # type: ignore[arg-type]
        stopped = asyncio.Event()

        def answer() -> None:
            question, arguments = pipe.recv()
            try:
                match question:
                    case "call":
                        said = server.take(*arguments)
                    case "number":
                        said = server.number(*arguments)
                    case "worker":
                        said = server.process.pid
                    case "cpu":
                        said = time.process_time()
                        if profile:
                            seen.enable()
                    case _:
                        said = stopped.set()
            except Exception as error:
                said = error
            pipe.send(said)

        asyncio.get_running_loop().add_reader(pipe.fileno(), answer)
        await stopped.wait()
        await server.__aexit__()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    if profile:
        seen.disable()
        seen.dump_stats(profile)


async def join_all(control: Control, inside: Inside, count: int) -> float:
    """CPU seconds of control for `count` joins."""
    from benchmarks.quality.device import Device

    async def one(name: str) -> Device:
        return await Device(control, name, inside.socket("0.0.0.0")).join(sends=True)  # type: ignore[arg-type]

    devices = [await one("creator")]
    before = control.cpu_s()
    for first in range(0, count, AT_ONCE):
        names = [f"person{n}" for n in range(first, min(count, first + AT_ONCE))]
        devices += await asyncio.gather(*map(one, names))
    spent = control.cpu_s() - before
    for device in devices:
        device.close()
    return spent


def section(bench: "Bench") -> None:
    try:
        from benchmarks.quality.network import SERVER
    except ImportError as error:
        bench.figures.absent("joins_per_s", f"not measured: {error}", "joins/s")
        return
    inside = Inside(bench.network, SERVER)
    count = 12 if bench.quick else 40
    runs = [_once(inside, count) for _ in range(bench.repeat)]
    control_ms, worker_ms = (median(each) for each in zip(*runs, strict=True))
    each = ", ".join(f"{control:.1f}" for control, _ in runs)
    bench.say(
        f"{count} joins: {control_ms:.1f} ms of control's processor time each (runs: {each}), "
        f"{worker_ms:.1f} ms of the worker's"
    )
    note = f"of control's processor time, a conference of {count + 1}"
    bench.figures.add("joins_per_s", 1000 / control_ms, "joins/s", "higher", note)
    bench.figures.add("join_control_ms", control_ms, "ms")
    bench.figures.add("join_worker_ms", worker_ms, "ms")


def _once(inside: Inside, count: int) -> tuple[float, float]:
    """Milliseconds of processor time for a join: control's, the worker's."""
    control = Control(inside)
    try:
        worker = process_cpu_s(control.worker_pid)
        spent = asyncio.run(join_all(control, inside, count))
        worker = process_cpu_s(control.worker_pid) - worker
    finally:
        control.close()
    return spent / count * 1000, worker / count * 1000
