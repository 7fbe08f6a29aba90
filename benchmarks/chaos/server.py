"""The server under test: the real supervisor, worker and standby, and what stands in for control.

Control here fills the table with the conference of the run when it finds it empty, and otherwise does what
control does for running calls: nothing. `serve` and `control` are roles of this module as a program.
"""

import asyncio
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.plan import Encoding, Plan, sink_row, source_row
from control.config import Config, HomeserverConfig, MediaConfig, ServerConfig
from control.handover import Handover
from control.io.workers import WorkerLink
from control.keeper import Orphanhood
from control.roles import end_as_orphan, only_one
from control.run_dir import control_lock
from control.supervisor import Supervisor
from fastpath_ext.table import Table
from tests.io.processes import Server

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "benchmarks.chaos.server"]
MEMBERS, SENDERS = 6, 2


def conference() -> Plan:
    """Two send a picture each, all others get it, of the goal's rate; times are the generator's own."""
    plan = Plan()
    members = [plan.member(1) for _ in range(MEMBERS)]
    cameras = [plan.video(one, Encoding(frame_bytes=24, fps=10000.0)) for one in members[:SENDERS]]
    for camera in cameras:
        for one in members:
            if one is not camera.member:
                plan.watch(one, camera, focus=True)
    return plan


def fill(table: Table) -> None:
    """All rows of the conference, as they should be."""
    plan = conference()
    for one in plan.members:
        table.put_transport(one.handle, plan._transport_row(one))
        for source in one.sources:
            table.put_source(source.handle, source_row(source))
    for number, sink in enumerate(plan.sinks):
        table.put_sink(sink.handle, sink_row(number, sink))


def serve(options: dict[str, str]) -> int:
    config = Config(
        homeserver=HomeserverConfig("http://127.0.0.1:1", "@sotto:example.org", Path("/nowhere")),
        server=ServerConfig(workers=1, data_dir=Path(options["data_dir"])),
        media=MediaConfig(listen=("127.0.0.1",), port=0),
    )
    logging.basicConfig(level="INFO", format="%(message)s")
    left = os.environ.pop("SOTTO_LEFT", None)

    def become(what_is_left: str) -> None:
        os.execve(
            sys.executable,
            [*COMMAND, "serve", json.dumps(options)],
            {**os.environ, "SOTTO_LEFT": what_is_left},
        )

    supervisor = Supervisor(
        config,
        (sys.executable, "-m", "control", "worker"),
        (*COMMAND, "control", ""),
        left=json.loads(left) if left else None,
        become=become,
        orphan_s=5.0,
    )
    print("ports " + json.dumps(supervisor.media_ports), flush=True)
    return supervisor.run()


async def control() -> None:
    handover = Handover.receive()
    lock = await only_one(control_lock(Path(handover.run_dir)))
    (link,) = [WorkerLink(w, lambda i, m: None) for w in handover.workers]
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopped.set)
    orphan = asyncio.create_task(end_as_orphan(Orphanhood(handover), stopped.set))
    link.start()

    def publish() -> None:
        fill(link.table)
        link.writer.worker_moved()
        link.writer._soon()

    if not link.table.transport_handles:
        publish()
    print("control ready", flush=True)
    await stopped.wait()
    link.close()
    orphan.cancel()
    lock.close()


class ChaosServer(Server):
    """Server of the supervisor's tests with the processes of this module."""

    def __init__(self, data_dir: Path, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "serve", json.dumps({"data_dir": str(data_dir)})],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
        self._data_dir = data_dir
        self.lines: list[str] = []
        self.pids: dict[str, int] = {}
        self._rest = b""
        self._seen = 0
        self.ports = json.loads(self.wait_for(r"^ports (.*)$", 60.0)[1])

    @property
    def port(self) -> int:
        return int(self.ports[0][0][1])

    @property
    def worker(self) -> int:
        """Process id of the one at work."""
        self.catch_up()
        return self.pids["worker 0"]

    def catch_up(self) -> None:
        """Reads what was said meanwhile."""
        while select.select([self.process.stdout], [], [], 0)[0]:
            self._read(0)

    def until_guarded(self, timeout_s: float = 60.0) -> None:
        """Until a standby waits for the end of the worker at work."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.catch_up()
            standby = self.pids.get("standby 0")
            if (
                standby
                and standby != self.worker
                and (self._data_dir / f"run/keeper-0-{standby}.sock").exists()
            ):
                return
            if time.monotonic() > deadline:
                raise TimeoutError("no standby: " + "\n".join(self.lines[-5:]))
            self._read(0.02)


if __name__ == "__main__":
    role, argument = sys.argv[1:]
    if role == "serve":
        sys.exit(serve(json.loads(argument)))
    asyncio.run(control())
