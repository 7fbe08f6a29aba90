"""Control's links with the workers: messages in, DTLS and wake-ups out. Decides nothing, never blocks."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence

from aioice.ice import get_host_addresses

from control.handover import WorkerHandover
from control.io.faults import log_fault
from control.io.inherited import Inherited
from control.io.memory import Memory
from control.io.table import TableWriter
from control.protocol.allocation import WorkerPlace
from control.protocol.events import PublishRoutes, TransportId
from fastpath_ext import uplink
from fastpath_ext.counters import Counters
from fastpath_ext.table import Table
from fastpath_ext.values import UplinkMessage

log = logging.getLogger(__name__)

SWEEP_S = 5.0
"""Between two looks at what a former control process left. Higher: rows of gone members stay longer."""
MEND_S = 1.0
"""Between two looks whether the table still says what was published (0.3 ms where it is full). Higher: whom
damage concerns waits longer. Lower: more of control's core."""
MESSAGES_PER_TURN = 64
"""Messages of one worker taken before others get their turn. Higher: a flood of DTLS delays all else in
control. Lower: more turns of the event loop."""


class WorkerLink:
    """One worker, from control's side. It outlives the worker's process: the next one answers here too."""

    def __init__(
        self,
        given: WorkerHandover,
        on_message: Callable[[int, UplinkMessage], None],
        on_freed: Callable[[PublishRoutes], None] = lambda _: None,
        on_lost: Callable[[TransportId], None] = lambda _: None,
    ) -> None:
        """`on_message(index, message)` for each message of the worker; kinds are uplink.Kind. LayoutError.

        `on_freed` is told which rows of a former control process were removed, `on_lost` of transports that
        were claimed and whose member is gone.
        """
        self.index = given.index
        self.table = Table.attach(given.config_fd, given.state_fd)
        self.counters = Counters(given.state_fd)
        self.writer = TableWriter(self.table, self.wake)
        self.memory = Memory(given.memory_fd) if given.memory_fd >= 0 else None
        self.unread = 0
        """Messages that were malformed, or that made `on_message` fail; each is a bug."""
        self.unsent = 0
        """Messages lost because the worker does not take them. DTLS repeats its own."""
        self._inherited = Inherited(self.table)
        self._sweep: asyncio.TimerHandle | None = None
        self._mend: asyncio.TimerHandle | None = None
        self._given = given
        self._on_message = on_message
        self._on_freed = on_freed
        self._on_lost = on_lost
        self._socket = socket.socket(fileno=given.uplink_fd)
        self._socket.setblocking(False)

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._readable)
        self._sweep = loop.call_later(SWEEP_S, self._sweep_inherited)
        self._mend = loop.call_later(MEND_S, self._mend_table)

    def close(self) -> None:
        """Leaves the table and the worker as they are."""
        for timer in (self._sweep, self._mend):
            if timer is not None:
                timer.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)
        self.writer.close()
        self._socket.close()
        if self.memory is not None:
            self.memory.close()

    def place(self, advertise: Sequence[str]) -> WorkerPlace:
        """What it has room for, and the addresses clients are told, `advertise` instead of its own."""
        return WorkerPlace(
            _candidates(self._given, advertise),
            *self.table.capacities,
            self._inherited.occupied,
            self._given.joined,
        )

    @property
    def ports(self) -> list[int]:
        """UDP ports of its sockets."""
        return sorted({bound.port for bound in self._given.sockets})

    def claim(self, routes: PublishRoutes) -> None:
        """These rows, of a former control process, are of members that go on: their consent is watched."""
        transports = {handle: row.incarnation for handle, row in routes.transports.items()}
        self._inherited.claim(transports, routes.sources, routes.sinks)

    def publish(self, routes: PublishRoutes) -> None:
        self.writer.apply(routes)

    def send_dtls(self, transport: int, incarnation: int, datagram: bytes) -> bool:
        """One DTLS datagram to a transport's selected address; False if it is lost here."""
        return self._send(
            uplink.encode(
                uplink.Kind.DOWN_DTLS, transport, incarnation, datagram, time_ns=time.monotonic_ns()
            )
        )

    def wake(self) -> bool:
        """Makes the worker look at its table now."""
        return self._send(uplink.encode(uplink.Kind.DOWN_WAKE, time_ns=time.monotonic_ns()))

    def _sweep_inherited(self) -> None:
        gone = self._inherited.expired(self.index, time.monotonic_ns())
        if gone is not None:
            self.publish(gone)
            self._on_freed(gone)
        for handle, incarnation in self._inherited.lost(time.monotonic_ns()):
            self._on_lost(TransportId(self.index, handle, incarnation))
        self._sweep = None
        if self._inherited.watches:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep_inherited)

    def _mend_table(self) -> None:
        self.writer.mend()
        self._mend = asyncio.get_running_loop().call_later(MEND_S, self._mend_table)

    def _send(self, message: bytes) -> bool:
        try:
            self._socket.send(message)
        except OSError:  # full: nobody takes them
            self.unsent += 1
            return False
        return True

    def _readable(self) -> None:
        for _ in range(MESSAGES_PER_TURN):
            try:
                received = self._socket.recv(uplink.MAX_MESSAGE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                received = b""
            if not received:
                # Only when the supervisor is gone, too: it holds the other end open.
                asyncio.get_running_loop().remove_reader(self._socket)
                return
            try:
                message = uplink.decode(received)
                if message.kind == uplink.Kind.READY:
                    self.writer.worker_moved()
                    self.writer.mend()  # it may have found nothing that it could read
                self._on_message(self.index, message)
            except Exception as error:
                self.unread += 1
                log_fault(log, "uplink", error)


def _candidates(given: WorkerHandover, advertise: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """(address, port) that clients may send to, IPv6 first (RFC 8421); the operator's alone, if named."""
    found: list[tuple[str, int]] = []
    for bound in given.sockets:
        if bound.host == "::":
            own = list(advertise) or _own_addresses(ipv6=True) + _own_addresses(ipv6=False)
        elif bound.host == "0.0.0.0":
            own = [a for a in advertise if ":" not in a] or _own_addresses(ipv6=False)
        else:
            same_family = [a for a in advertise if (":" in a) == (":" in bound.host)]
            own = same_family if advertise else [bound.host]
        found += [(address, bound.port) for address in own if (address, bound.port) not in found]
    return tuple(sorted(found, key=lambda candidate: ":" not in candidate[0]))


def _own_addresses(ipv6: bool) -> list[str]:
    """The machine's addresses, or loopback where there is no other."""
    found = get_host_addresses(use_ipv4=not ipv6, use_ipv6=ipv6)
    if found or ipv6:
        return found
    return ["127.0.0.1"]
