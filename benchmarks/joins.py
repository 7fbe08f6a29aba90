"""Joins a second of one core: people call, check, shake hands, open the data channel and get their slots.

Control runs in a thread of its own, so that its CPU time is told apart from that of those who join; the
worker is a process as ever. The homeserver is left out: invites are handed to the core as the bot would hand
them, and what it says in Matrix is kept in a list. All join one conference: each is told to those before it.
"""

import asyncio
import socket
import subprocess
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from benchmarks.network import Network, run
from benchmarks.server import process_cpu_s

if TYPE_CHECKING:
    from benchmarks.quality.server import Server
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
    """The server in its thread; devices call it from theirs."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._ready: Future[Server] = Future()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.server = self._ready.result(20)

    def _run(self) -> None:
        from benchmarks.quality.server import Server

        async def open_server() -> Server:
            return Server(self._inside, (128, 512, 16384))  # type: ignore[arg-type]

        try:
            self._ready.set_result(self._loop.run_until_complete(open_server()))
            self._loop.run_forever()
        except BaseException as error:
            self._ready.set_exception(error)

    def ask(self, function: Any, *args: Any) -> Any:
        answered: Future[Any] = Future()

        def work() -> None:
            try:
                answered.set_result(function(*args))
            except BaseException as error:
                answered.set_exception(error)

        self._loop.call_soon_threadsafe(work)
        return answered.result(20)

    def call(self, name: str, sdp: str, metadata: dict[str, Any]) -> Any:
        return self.ask(self.server.call, name, sdp, metadata)

    def number(self, name: str) -> Any:
        return self.ask(self.server.number, name)

    def cpu_s(self) -> float:
        assert self._thread.ident is not None
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.__aexit__(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


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
    control = Control(inside)
    try:
        count = 12 if bench.quick else 40
        worker = process_cpu_s(control.server.process.pid)
        spent = asyncio.run(join_all(control, inside, count))
        worker = process_cpu_s(control.server.process.pid) - worker
    finally:
        control.close()
    control_ms, worker_ms = spent / count * 1000, worker / count * 1000
    bench.say(f"{count} joins: {control_ms:.1f} ms of control, {worker_ms:.1f} ms of the worker each")
    bench.figures.add(
        "joins_per_s", count / spent, "joins/s", "higher", f"of one core, a conference of {count + 1}"
    )
    bench.figures.add("join_worker_ms", worker / count * 1000, "ms")
