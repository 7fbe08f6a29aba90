"""The core's place in the world: what happens comes here as an event, every effect is performed here.

Decides nothing: what an event means is in control.protocol.focus.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from control.io.datagrams import Datagrams
from control.io.faults import log_fault
from control.io.memory import Memory
from control.io.uplink_events import event_of
from control.protocol import limits, names
from control.protocol.allocation import Randomness, WorkerPlace
from control.protocol.callbook import Line, Observed
from control.protocol.checked import ContentError
from control.protocol.content import error_object
from control.protocol.dtls import DtlsIdentity
from control.protocol.events import (
    AnswerDelivered,
    CloseChannel,
    CloseTransport,
    CountMetric,
    Effect,
    Event,
    MatrixCallEvent,
    OpenTransport,
    PublishRoutes,
    RowsFreed,
    SendChannel,
    SendMatrix,
    Shutdown,
    TransportId,
)
from control.protocol.focus import Focus, FocusConfig
from control.protocol.guest_list import EVERYBODY, GuestList
from control.protocol.names import RESUME_PATH
from control.protocol.rates import Rates
from control.protocol.sdp import SdpError
from fastpath_ext.packet_crypto import make_ufrag
from fastpath_ext.uplink import Kind, UplinkError
from fastpath_ext.values import UplinkMessage

log = logging.getLogger(__name__)

# What POST /resume is answered, beside 400.
_STATUS: Final = {
    names.RESUME_UNKNOWN: 404,
    names.TOO_LARGE: 413,
    names.BUSY: 429,
    names.FULL: 503,
    names.SHUTTING_DOWN: 503,
}
# Seconds for members to answer that their channel is closed. Higher: whoever follows begins later. Lower: who
# lost the datagram notices by missing pings.
_CLOSE_S: Final = 0.5
# Key of the note that the former server's notes were taken over.
FORMER_TAKEN: Final = "former"
# Seconds. Higher: a deadline is met later. Lower: a fault at a deadline keeps the processor busy.
_TIMER_FLOOR = 0.001


class Worker(Protocol):
    """What is needed of a worker; control.io.workers.WorkerLink."""

    def claim(self, routes: PublishRoutes) -> None: ...
    def publish(self, routes: PublishRoutes) -> None: ...
    def send_dtls(self, transport: int, incarnation: int, datagram: bytes) -> bool: ...


class ConferenceRuntime:
    """One per process. All calls are of its event loop's thread, and none of them blocks or raises."""

    def __init__(
        self,
        *,
        user_id: str,
        party_id: str,
        places: Sequence[WorkerPlace],
        workers: Sequence[Worker],
        identity: DtlsIdentity,
        send_matrix: Callable[[str, str, dict[str, Any], Callable[[], None]], None],
        count: Callable[[str, str], None],
        guests: GuestList = EVERYBODY,
        rates: Rates = Rates(),  # noqa: B008 - a value
        resume_url: str = RESUME_PATH,
        ticket_grace_s: float = limits.EPOCH_GRACE,
        memories: Sequence[Memory | None] = (),
        observe: Callable[[str, str, float], None] = lambda name, label, value: None,
        former: Sequence[Memory] = (),
    ) -> None:
        """`user_id` and `party_id` are the bot's; `places` and `workers` are by worker number.

        `send_matrix(room, type, content, delivered)` queues an event; `count(name, label)` counts.
        `memories`, by worker: what a former control process noted is gone on with. `former`: memories of a
        server with other tables, whose members are awaited.
        """
        config = FocusConfig(
            user_id,
            party_id,
            identity.fingerprint,
            tuple(places),
            guests=guests,
            rates=rates,
            resume_url=resume_url,
            ticket_grace_s=ticket_grace_s,
        )
        self.focus = Focus(config, Randomness(os.urandom, make_ufrag))
        self._workers = tuple(workers)
        self._send_matrix = send_matrix
        self._count = count
        self._observe = observe
        self._datagrams = Datagrams(identity, self._send_datagram, self.handle, count)
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Event] = deque()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._scheduling: asyncio.Handle | None = None
        self._memories = tuple(memories)
        self._noting: asyncio.Handle | None = None
        taken = any(memory is not None and FORMER_TAKEN in memory.notes for memory in self._memories)
        for worker, memory in enumerate(self._memories):
            if memory is not None and memory.notes:
                self._read_back(worker, memory)
        if former and not taken:
            self._read_former(former)
        self._schedule_soon()

    def matrix_event(self, event: MatrixCallEvent) -> None:
        """An m.call.* event of a direct-message room."""
        self._observe("matrix_event_age_seconds", "", max(event.age_ms, 0) / 1000)
        self.handle(replace(event, wall_ms=time.time_ns() // 1_000_000))

    def uplink(self, worker: int, message: UplinkMessage) -> None:
        """A message of a worker. Those of later versions are ignored."""
        if message.kind == Kind.DTLS:
            transport = TransportId(worker, message.transport, message.incarnation)
            self._guarded("datagram", lambda: self._datagrams.receive_untrusted(transport, message.payload))
            return
        try:
            event = event_of(worker, message)
        except UplinkError:  # of another build
            self._count("events_ignored", "uplink")
            return
        if event is not None:
            self.handle(event)

    def resume_untrusted(self, body: str) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to POST /resume."""
        try:
            said, effects = self.focus.resume_untrusted(body, self._loop.time())
        except (ContentError, SdpError) as error:
            self._count("resumes_refused", error.code)
            return _STATUS.get(error.code, 400), {"error": error_object(error.code, error.message)}
        except Exception as error:
            self._count("internal_errors", "resume")
            log_fault(log, "resume", error)
            return 500, {"error": error_object(names.BUSY, "Something failed here: try again later.")}
        self._note_soon()
        self._perform_all(effects)
        self._schedule_soon()
        return 200, said

    def freed(self, gone: PublishRoutes) -> None:
        """Rows that a former control process had left were removed."""
        self.handle(RowsFreed(gone.worker, gone.gone_transports, gone.gone_sources, gone.gone_sinks))

    def handle(self, event: Event) -> None:
        """Lets the core decide and performs what it wants.

        An event that comes while effects are performed waits until they are: effects keep their order.
        """
        self._waiting.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._waiting:
                self._decide(self._waiting.popleft())
        finally:
            self._busy = False
        self._schedule_soon()

    async def stop(self, silent: bool, resume: bool = False) -> None:
        """Ends the process's part; silent: members keep their media, otherwise all are told to leave.

        Resume: they are asked to bring second connections, to whoever follows.
        """
        self.handle(Shutdown(silent, resume))
        if resume:
            await self._datagrams.channels_closed(_CLOSE_S)
        for handle in (self._timer, self._scheduling, self._noting):
            if handle is not None:
                handle.cancel()
        if self._memories:
            self._note()
        await self._datagrams.stop()

    def _decide(self, event: Event) -> None:
        def work() -> None:
            effects = self.focus.handle(event, self._loop.time())
            self._note_soon()
            self._perform_all(effects)
            self._report()

        self._guarded(type(event).__name__, work)

    def _timeout(self) -> None:
        self._timer = None
        self._busy = True
        try:
            self._guarded("timeout", lambda: self._perform_all(self.focus.handle_timeout(self._loop.time())))
            self._note_soon()
            self._report()
            while self._waiting:
                self._decide(self._waiting.popleft())
        finally:
            self._busy = False
        self._schedule_soon()

    def _read_back(self, worker: int, memory: Memory) -> None:
        def work() -> None:
            effects = self.focus.read_back(worker, memory.notes, self._loop.time())
            for effect in effects:
                if isinstance(effect, PublishRoutes):
                    self._workers[effect.worker].claim(effect)
            memory.notes = {}
            self._note_soon()
            self._perform_all(effects)

        self._guarded("read_back", work)

    def _read_former(self, former: Sequence[Memory]) -> None:
        def work() -> None:
            effects = self.focus.read_former([memory.notes for memory in former], self._loop.time())
            self._note()
            for memory in self._memories[:1]:
                if memory is not None:
                    # Behind what was read: whoever follows this process goes on from its own notes.
                    memory.note([(FORMER_TAKEN, True)])
            self._perform_all(effects)

        self._guarded("read_former", work)

    def _note_soon(self) -> None:
        """All that one turn of the loop changed is noted at its end, and before it is in the table."""
        if self._memories and self._noting is None and self.focus.has_news:
            self._noting = self._loop.call_soon(self._note)

    def _note(self) -> None:
        self._noting = None

        def work() -> None:
            for memory, notes in zip(self._memories, self.focus.notes(), strict=True):
                if memory is not None:
                    # The core takes all of them as noted: where one has no room, the others still are.
                    self._guarded("note", lambda memory=memory, notes=notes: memory.note(notes))  # type: ignore[misc]

        self._guarded("note", work)

    def _schedule_soon(self) -> None:
        """The next deadline is asked for once in a turn of the loop: it costs a look at every member."""
        if self._scheduling is None:
            self._scheduling = self._loop.call_soon(self._schedule)

    def _schedule(self) -> None:
        self._scheduling = None
        at = self.focus.next_timeout()
        if self._timer is not None:
            if self._due == at:
                return
            self._timer.cancel()
            self._timer = None
        self._due = at
        if at is not None:
            # A deadline that was missed, by a clock that rings early or by a fault, may not become a spin.
            self._timer = self._loop.call_at(max(at, self._loop.time() + _TIMER_FLOOR), self._timeout)

    def _guarded(self, where: str, work: Callable[[], None]) -> None:
        """The edge: what should never happen is counted, and costs nobody else anything."""
        try:
            work()
        except Exception as error:
            self._count("internal_errors", where)
            log_fault(log, where, error)

    def _perform_all(self, effects: Iterable[Effect]) -> None:
        # As _guarded, which wants a function for each: there are twenty effects to a join.
        for effect in effects:
            try:
                self._perform(effect)
            except Exception as error:
                self._count("internal_errors", type(effect).__name__)
                log_fault(log, type(effect).__name__, error)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SendChannel():  # nearly always
                self._datagrams.send_message(effect.transport, effect.type, effect.content)
            case SendMatrix():
                self._send_matrix(
                    effect.room_id, effect.type, effect.content, lambda: self._delivered(effect)
                )
            case PublishRoutes():
                self._count("table_publishes", "")
                self._workers[effect.worker].publish(effect)
            case OpenTransport():
                self._datagrams.open(effect)
            case CloseTransport():
                self._datagrams.close(effect)
            case CloseChannel():
                self._datagrams.close_channel(effect.transport)
            case CountMetric():
                self._count(effect.name, effect.label)

    def _delivered(self, sent: SendMatrix) -> None:
        if sent.type == names.ANSWER:
            self.handle(AnswerDelivered(sent.room_id, str(sent.content.get("call_id"))))

    def _report(self) -> None:
        """What the core has to say of calls, in figures and in the log."""
        news = self.focus.book.news
        while news:
            match news.popleft():
                case Observed(name, label, value):
                    self._observe(name, label, value)
                case CountMetric(name, label):
                    self._count(name, label)
                case Line(reference, text, detail):
                    level = logging.DEBUG if detail else logging.INFO
                    log.log(level, "call %s %s", reference, text, extra={"fields": {"call": reference}})

    def _send_datagram(self, transport: TransportId, datagram: bytes) -> None:
        self._workers[transport.worker].send_dtls(transport.handle, transport.incarnation, datagram)
