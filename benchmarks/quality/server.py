"""The server under measurement: a worker process in its namespace, control in this one; Matrix is a list.

Signalling, ICE, DTLS, data channels, table, SRTP and all that adapts are the true ones.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.quality.network import SERVER, Network
from control.handover import MediaSocket, WorkerHandover
from control.io.conferences import ConferenceRuntime
from control.io.sockets import uplink_pair
from control.io.workers import WorkerLink
from control.protocol import names
from control.protocol.dtls import DtlsIdentity
from control.protocol.events import MatrixCallEvent
from control.protocol.member import Member
from fastpath_ext.table import Table
from fastpath_ext.values import DownlinkStatus, SourceStatus, UplinkMessage
from tests.protocol.people import CREATOR, Ticket, invite

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, sys
from fastpath_ext.worker import Worker
config, state, uplink, udp = map(int, sys.argv[1:])
try:
    os.nice(-5)
except OSError:
    pass
Worker(config, state, uplink, [udp]).run()
"""
"""A server has its cores for itself; here it goes before the browsers."""


class Refused(Exception):
    """The focus did not let somebody in; the text says why."""


class Server:
    """One conference. Made inside a running event loop."""

    def __init__(self, network: Network, capacities: tuple[int, int, int] = (32, 128, 1024)) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.told: list[tuple[str, str, dict[str, Any]]] = []
        """What the focus said in Matrix: room, type, content."""
        self.uplinks: list[tuple[float, UplinkMessage]] = []
        """What the worker told control, with the time of it (CLOCK_MONOTONIC), DTLS left out."""
        self.table = Table.create(*capacities)
        self._socket = network.server.socket(SERVER)
        control, worker = uplink_pair()
        given = WorkerHandover(
            0,
            0,
            *(os.dup(fd) for fd in self.table.fds),
            control.detach(),
            (MediaSocket(-1, SERVER, self._socket.getsockname()[1]),),
        )
        self.link = WorkerLink(given, self._uplink)
        self.link.start()
        self.runtime = ConferenceRuntime(
            user_id="@sotto:example.org",
            party_id="FOCUSDEVICE",
            places=[self.link.place([])],
            workers=[self.link],
            identity=DtlsIdentity(),
            send_matrix=lambda *said: self.told.append(said[:3]),
            count=self._count,
        )
        fds = (*self.table.fds, worker.fileno(), self._socket.fileno())
        self.process = network.server.spawn(
            [sys.executable, "-c", PROGRAM, *map(str, fds)], pass_fds=fds, cwd=ROOT
        )
        worker.close()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runtime.stop(silent=True)
        self.link.close()
        self.process.kill()
        self.process.wait()
        self._socket.close()

    def call(self, name: str, sdp: str, metadata: dict[str, Any]) -> str:
        """Somebody calls; the answer's SDP. The first to call has to be "creator"."""
        return self.take(call_of(name, sdp, metadata))

    def take(self, call: MatrixCallEvent) -> str:
        """As the bot hands it over; the answer's SDP."""
        self.runtime.matrix_event(call)
        room, kind, answered = next(
            (one for one in reversed(self.told) if one[0] == call.room_id), ("", "", {})
        )
        if not room or kind != names.ANSWER:
            raise Refused(f"{call.sender}: {answered}")
        sdp_answered: str = answered["answer"]["sdp"]
        return sdp_answered

    def everybody(self) -> list[Member]:
        conferences = self.runtime.focus.conferences.values()
        return [each for conference in conferences for each in conference.members.values()]

    def member(self, name: str) -> Member:
        return next(each for each in self.everybody() if each.device_id == name)

    def number(self, name: str) -> int:
        return self.member(name).number

    def downlink(self, name: str) -> DownlinkStatus | None:
        return self.link.table.downlink_status(self.member(name).transport.row.handle)

    def source(self, name: str, source: str = "camera") -> SourceStatus | None:
        transport = self.member(name).transport
        handle, _ = transport.sources[transport.senders[source].mid]
        return self.link.table.source_status(handle, time.monotonic_ns())

    def counter(self, name: str) -> int:
        """One of fastpath/counters.h."""
        return int(self.link.counters.values()[name])

    def alive(self) -> bool:
        return self.process.poll() is None

    def internal_errors(self) -> int:
        return sum(count for (name, _), count in self.counts.items() if name == "internal_errors")

    def _count(self, name: str, label: str) -> None:
        self.counts[name, label] += 1

    def _uplink(self, index: int, message: UplinkMessage) -> None:
        if message.kind != 1:
            self.uplinks.append((time.monotonic(), message))
        self.runtime.uplink(index, message)


def call_of(name: str, sdp: str, metadata: dict[str, Any]) -> MatrixCallEvent:
    """A device's call, with its ticket."""
    user_id = CREATOR if name == "creator" else f"@{name}:example.org"
    content = invite(user_id, name, name, sdp, sdp_stream_metadata=metadata)
    content[names.JOIN] = Ticket().join(user_id, name, name, ts=time.time_ns() // 1_000_000)
    return MatrixCallEvent(f"!{name}", user_id, names.INVITE, content, 50, True)


def stop(process: subprocess.Popen[Any]) -> None:
    """Ends a process that we started."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
