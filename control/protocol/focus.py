"""The whole core: which conferences there are, and which of them an event is for.

handle(event, now) -> effects; next_timeout() and handle_timeout(now) for what happens by itself. Pure: no
clock, no network, no randomness but what was handed in. Times are seconds of any monotonic clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control.protocol import gathering, limits, names, proving
from control.protocol.admission import TicketError
from control.protocol.allocation import Randomness, WorkerPlace
from control.protocol.budget import Verdict
from control.protocol.call import State
from control.protocol.callbook import CHANNEL, DTLS, ICE, PICTURE, CallBook
from control.protocol.channel import handle_message_untrusted
from control.protocol.checked import ContentError, user_id
from control.protocol.conference import Conference, Settings
from control.protocol.content import (
    Invite,
    MatrixContent,
    MetadataChanged,
    Negotiate,
    Unknown,
)
from control.protocol.events import (
    AnswerDelivered,
    BotLimited,
    ChannelClosed,
    ChannelMessage,
    ChannelOpened,
    CloseChannel,
    CloseTransport,
    ConsentExpired,
    CountMetric,
    Dominant,
    DtlsFailed,
    Effect,
    Event,
    HandshakeDone,
    MatrixCallEvent,
    MediaEvent,
    PeerClosed,
    RowsFreed,
    SendMatrix,
    Shutdown,
    SinkSwitched,
    Speaking,
    SuppliesLeft,
    TransportConnected,
    TransportId,
    WorkerBusy,
    WorkerStarted,
)
from control.protocol.guest_list import EVERYBODY, GuestList
from control.protocol.invites import Invites
from control.protocol.media import handle_media
from control.protocol.member import Member
from control.protocol.overload import Load, Scarcity, Shed, Supplies
from control.protocol.rates import Rates
from control.protocol.rationing import Refusals, Scant, call_id_untrusted
from control.protocol.reading import parse_matrix_untrusted, parse_resume_untrusted
from control.protocol.remembering import Note, Notes, read_back, read_former
from control.protocol.resumption import gathered, handle_other, resume
from control.protocol.resumption import handle_timeout as resume_timeout
from control.protocol.sdp import Fingerprint, SdpError
from control.protocol.sdp_agreement import Features
from control.protocol.tokens import bearer_untrusted

_PHASE_OF = {TransportConnected: ICE, HandshakeDone: DTLS, ChannelOpened: CHANNEL, SinkSwitched: PICTURE}
_USER_ID_MAX = 255  # Matrix's own limit; a refused sender may be anything
_SHUTTING_DOWN = "The focus is shutting down: join again in a minute."
_DRAINING = "This focus takes no new conferences now: start it later, or with another focus."


@dataclass(frozen=True, slots=True)
class FocusConfig:
    """What the core has to know about where it runs."""

    user_id: str  # of the bot
    party_id: str  # its device
    fingerprint: Fingerprint  # of our DTLS certificate
    places: tuple[WorkerPlace, ...]  # by worker number
    features: Features = field(default_factory=Features)
    guests: GuestList = EVERYBODY
    rates: Rates = field(default_factory=Rates)
    resume_url: str = names.RESUME_PATH
    ticket_grace_s: float = limits.EPOCH_GRACE


class Focus:
    """Dispatch and nothing else: what a conference does is in conference.py, who may join in invites.py."""

    def __init__(self, config: FocusConfig, randomness: Randomness) -> None:
        settings = Settings(
            config.user_id,
            config.party_id,
            config.fingerprint,
            config.features,
            randomness,
            config.rates,
            config.resume_url,
            config.ticket_grace_s,
        )
        self._rows = rows = [randomness.rows(worker, place) for worker, place in enumerate(config.places)]
        self.conferences: dict[tuple[str, str], Conference] = {}  # by creator and id
        loads, scarcity = [Load() for _ in rows], Scarcity()
        self._scant = Scant()
        self._invites = Invites(settings, rows, config.guests, self.conferences, loads, scarcity, self._scant)
        self._refusals = Refusals(config.party_id, self._scant)
        self._settings = settings
        self.loads = loads  # by worker
        self.scarcity = scarcity
        self._by_transport: dict[TransportId, tuple[Conference, Member]] = {}
        self._by_call: dict[tuple[str, str, str], tuple[Conference, Member]] = {}  # room, user, call_id
        self._by_answer: dict[tuple[str, str], tuple[Conference, Member]] = {}  # room, call_id
        # Asked of a conference only when something happened in it: there may be hundreds.
        self._due: dict[Conference, float | None] = {}
        self._unasked: set[Conference] = set()  # those of whom it is not known what they would say now
        # What the next control process has to know: by worker, and which conferences something happened in.
        self._notes = [Notes() for _ in config.places]
        self._touched: dict[Conference, bool] = {}  # is it still there?
        self.book = CallBook()
        self._stopping = False
        self.draining = False  # no new conferences; those that go on go on

    @property
    def members(self) -> int:
        """How many there are in all conferences."""
        return sum(len(conference.members) for conference in self.conferences.values())

    @property
    def short_of(self) -> str | None:
        """Why nobody new is let in; None when somebody is."""
        if all(load.shed >= Shed.JOINS for load in self.loads):
            return "every worker is overloaded"
        return None if self.scarcity.what is None else f"too little {self.scarcity.what} is left"

    def handle(self, event: Event, now: float) -> list[Effect]:
        """What follows from an event. Whatever came from outside, no exception."""
        if isinstance(event, MatrixCallEvent):
            effects = self._matrix(event, now)
        elif isinstance(event, BotLimited):
            self._scant.noticed(now)
            effects = []
        elif isinstance(event, Shutdown):
            effects = self._shutdown(event, now)
        elif isinstance(event, WorkerStarted):
            effects = self._worker_started(event.worker, now)
        elif isinstance(event, WorkerBusy):
            effects = self._worker_busy(event, now)
        elif isinstance(event, SuppliesLeft):
            effects = self._supplies_left(event)
        elif isinstance(event, AnswerDelivered):
            effects = self._answer_delivered(event)
        elif isinstance(event, RowsFreed):
            self._rows[event.worker].free(event.transports, event.sources, event.sinks)
            effects = []
        elif (found := self._by_transport.get(event.transport)) is not None:
            effects = _transport_event(*found, event, event.transport, now)
            self._book_phase(found[1], event, now)
            if not isinstance(event, MediaEvent):
                self._take_note(*found)
                effects += _settle(found[0], now)
            if isinstance(event, MediaEvent) and not isinstance(event, Speaking | Dominant):
                self._unasked.add(found[0])
            else:
                self._touch(found[0])
        else:
            effects = [CountMetric("events_ignored", "transport")]
        return self._forget_closed(effects, now)

    def read_back(self, worker: int, notes: Mapping[str, Any], now: float) -> list[Effect]:
        """Goes on with the conferences of a worker as a former control process noted them.

        Before anything else is handled. Members' media goes on; they bring new connections for the rest.
        """
        found, useless, effects = read_back(notes, self._rows, self._rows[worker], self._settings, now)
        self._notes[worker].take_over(notes)
        return self._go_on(found, useless, effects, now)

    def read_former(self, every: Sequence[Mapping[str, Any]], now: float) -> list[Effect]:
        """The same for those of a server with other tables, by its workers: their members' media is still
        there, and they bring new connections for all of it (gathering.py)."""
        effects: list[Effect] = []
        for index, notes in enumerate(every):
            rows = self._rows[index % len(self._rows)]
            found, useless, others = read_former(notes, self._rows, rows, self._settings, now)
            effects += self._go_on(found, useless, others, now)
        return effects

    @property
    def awaited(self) -> int:
        """How many members of a former server have not come over yet."""
        return sum(len(gathering.awaited(conference.members)) for conference in self.conferences.values())

    def _go_on(
        self, found: list[Conference], useless: int, effects: list[Effect], now: float
    ) -> list[Effect]:
        effects += [CountMetric("notes_useless")] * useless
        for conference in found:
            self.conferences[conference.creator, conference.conference_id] = conference
            self._invites.last_number = max(self._invites.last_number, conference.number)
            for member in conference.members.values():
                call = member.call
                self._by_call[call.room_id, call.user_id, call.call_id] = conference, member
                self._take_note(conference, member)
            effects += conference.refresh(now)
            effects += _settle(conference, now)
            self._touch(conference)
        return effects

    def notes(self) -> list[list[Note]]:
        """By worker, what is to be noted since this was asked last."""
        touched, self._touched = self._touched, {}
        found: list[list[Note]] = [[] for _ in self._notes]
        for conference, exists in touched.items():
            worker = conference.rows.worker
            found[worker] += self._notes[worker].changes(conference, exists)
        return found

    @property
    def has_news(self) -> bool:
        """Would notes() say something?"""
        return bool(self._touched)

    def next_timeout(self) -> float | None:
        """When handle_timeout wants to be called; None when never."""
        for conference in self._unasked:
            self._due[conference] = conference.next_timeout()
        self._unasked.clear()
        return min((time for time in self._due.values() if time is not None), default=None)

    def handle_timeout(self, now: float) -> list[Effect]:
        """What follows from the time; too early it does nothing."""
        effects: list[Effect] = []
        self.next_timeout()
        for key, conference in list(self.conferences.items()):
            at = self._due[conference]
            if at is None or at > now:
                continue
            effects += conference.handle_timeout(now)
            for member in list(conference.members.values()):
                effects += resume_timeout(conference, member, now)
            effects += gathering.give_up(conference, now)
            effects += proving.handle_timeout(conference, now)
            effects += _settle(conference, now)
            self._touch(conference)
            if conference.forgotten(now):
                del self.conferences[key], self._due[conference]
                self._unasked.discard(conference)
                self._touched[conference] = False
        return self._forget_closed(effects, now)

    def _matrix(self, event: MatrixCallEvent, now: float) -> list[Effect]:
        try:
            user_id(event.sender, "The sender")
            content = parse_matrix_untrusted(event.type, event.content)
        except ContentError as error:
            if event.type == names.INVITE:
                return self._refuse(event, error.code, error.message, error.code, now)
            return [CountMetric("matrix_events_refused", error.code)]
        if isinstance(content, Unknown):
            return [CountMetric("matrix_events_ignored", "type")]
        found = self._by_call.get((event.room_id, event.sender, content.call_id))
        if found is not None:
            effects = self._call_event(*found, content, now)
            effects += _settle(found[0], now)
            self._touch(found[0])
            return effects
        if not isinstance(content, Invite):
            return [CountMetric("matrix_events_ignored", "call")]
        return self._invite(event, content, now)

    def _invite(self, event: MatrixCallEvent, invite: Invite, now: float) -> list[Effect]:
        if invite.invitee not in (None, self._settings.user_id):
            return [CountMetric("matrix_events_ignored", "invitee")]
        if self._stopping:
            return self._refuse(event, names.SHUTTING_DOWN, _SHUTTING_DOWN, names.SHUTTING_DOWN, now)
        known = (
            invite.join is not None and (invite.join.creator, invite.join.conference_id) in self.conferences
        )
        if self.draining and not known:
            return self._refuse(event, names.SHUTTING_DOWN, _DRAINING, "draining", now)
        try:
            conference, member, effects = self._invites.admit_untrusted(event, invite, now)
        except (ContentError, SdpError) as error:
            label = error.label if isinstance(error, TicketError) else error.code
            return self._refuse(event, error.code, error.message, label, now)
        self._by_transport[member.transport.id] = conference, member
        self._by_call[event.room_id, event.sender, invite.call_id] = conference, member
        self._by_answer[event.room_id, invite.call_id] = conference, member
        where = f"conference {conference.number}, member {member.number}"
        self.book.answered(invite.call_id, event.sender, event.age_ms, where, now)
        effects += _settle(conference, now)
        self._touch(conference)
        return effects

    def _call_event(
        self, conference: Conference, member: Member, content: MatrixContent, now: float
    ) -> list[Effect]:
        match content:
            case Invite():
                repeated = member.call.repeat_answer()
                may = not repeated or self._refusals.may_answer(member.user_id, now)
                return [CountMetric("invites_repeated"), *(repeated if may else [])]
            case MetadataChanged():
                if member.messages.spend(now) is not Verdict.PASS:
                    return [CountMetric("matrix_events_refused", names.BUSY)]
                return conference.mute(member, content.metadata, now)
            case Negotiate():
                # An answer is up to 10 ms of work, and one of the bot's few messages.
                if member.negotiations.spend(now) is not Verdict.PASS or not self._refusals.may_answer(
                    member.user_id, now
                ):
                    return [CountMetric("negotiations_refused", names.BUSY)]
                return _negotiate(conference, member, content, now)
        effects = member.call.handle(content, now)
        if member.call.state is State.ENDED:
            effects += conference.leave(member, "hangup", now)
        return effects

    def _worker_busy(self, event: WorkerBusy, now: float) -> list[Effect]:
        self._rows[event.worker].busy = event.busy
        load = self.loads[event.worker]
        if not load.measured(event.busy, now, event.late):
            return []
        effects: list[Effect] = [CountMetric("overload_steps", load.shed.name.lower())]
        for conference in self.conferences.values():
            workers = conference.spread.workers(conference.members)
            if event.worker in workers:
                conference.staging.shed(max(self.loads[worker].shed for worker in workers))
                effects += conference.refresh(now)
                self._touch(conference)
        return effects

    def _supplies_left(self, event: SuppliesLeft) -> list[Effect]:
        left = Supplies(event.descriptors, event.memory_bytes, event.disk_bytes)
        if not self.scarcity.measured(left):
            return []
        return [CountMetric("scarcity", (self.scarcity.what or "over").replace(" ", "_"))]

    def _answer_delivered(self, event: AnswerDelivered) -> list[Effect]:
        if (found := self._by_answer.pop((event.room_id, event.call_id), None)) is not None:
            conference, member = found
            member.call.delivered = True
            self._touch(conference)
        return []

    def _worker_started(self, worker: int, now: float) -> list[Effect]:
        """It says of nobody that they fell silent while there was none."""
        effects: list[Effect] = []
        for conference in self.conferences.values():
            if worker in conference.spread.workers(conference.members) and conference.speakers.silence(now):
                effects += conference.heard(now)
                self._touch(conference)
        return effects

    def _shutdown(self, event: Shutdown, now: float) -> list[Effect]:
        self._stopping = True
        effects: list[Effect] = []
        if event.resume:
            for member in (each for c in self.conferences.values() for each in c.members.values()):
                if member.channel_open:
                    effects.append(CloseChannel(member.transport.id))
        if not event.silent:
            everybody = [(c, member) for c in self.conferences.values() for member in c.members.values()]
            for conference, member in everybody:
                effects += conference.end(member, names.SHUTTING_DOWN, _SHUTTING_DOWN, now)
                self._touch(conference)
        return effects

    def resume_untrusted(self, body: str, now: float) -> tuple[dict[str, Any], list[Effect]]:
        """The answer to POST /resume, and what else follows. ContentError or SdpError: what it refuses."""
        request = parse_resume_untrusted(body)
        if self._stopping:
            raise ContentError(names.SHUTTING_DOWN, _SHUTTING_DOWN)
        bearer = bearer_untrusted(request.token)
        # One loop over all conferences costs less than to keep another index right.
        for conference in self.conferences.values():
            if bearer is None or conference.number != bearer.conference:
                continue
            member = conference.members.get(bearer.member)
            if member is None or not member.tokens.admit(request.token):
                break
            answer, effects = resume(conference, member, request.sdp, request.metadata, now)
            self._take_note(conference, member)
            self._touch(conference)
            said = {"member": member.number, "answer": {"type": "answer", "sdp": answer}, names.METADATA: {}}
            return said, self._forget_closed(effects, now)
        raise ContentError(
            names.RESUME_UNKNOWN, "The focus does not know this membership any more: join again."
        )

    def _refuse(
        self, event: MatrixCallEvent, code: str, message: str, label: str, now: float
    ) -> list[Effect]:
        effects = self._refusals.refuse(event, code, message, label, now)
        call_id = call_id_untrusted(event)
        if call_id is not None:
            booked = label if label == "draining" else code
            answered = any(isinstance(effect, SendMatrix) for effect in effects)
            who = event.sender[:_USER_ID_MAX]
            self.book.refused(call_id, who, event.age_ms, booked, message, now, answered)
        return effects

    def _book_phase(self, member: Member, event: Event, now: float) -> None:
        phase = _PHASE_OF.get(type(event))
        if isinstance(event, SinkSwitched) and (event.source is None or not member.shows(event.sink)):
            return
        if phase is not None:
            self.book.reached(member.call.call_id, phase, now)

    def _touch(self, conference: Conference) -> None:
        self._unasked.add(conference)
        self._touched[conference] = True

    def _take_note(self, conference: Conference, member: Member) -> None:
        """Its connections may have changed."""
        for connection in member.connections:
            self._by_transport[connection.id] = conference, member

    def _forget_closed(self, effects: Sequence[Effect], now: float) -> list[Effect]:
        """Whoever left, whatever the way, is told by the transport that is to be closed."""
        for effect in effects:
            if isinstance(effect, CloseTransport) and (
                found := self._by_transport.pop(effect.transport, None)
            ):
                conference, member = found
                call = member.call
                if member.number not in conference.members:
                    self.book.ended(effects, effect, call.call_id, now)
                    self._by_call.pop((call.room_id, call.user_id, call.call_id), None)
                    if self._by_answer.get((call.room_id, call.call_id)) == found:
                        del self._by_answer[call.room_id, call.call_id]
        return list(effects)


def _settle(conference: Conference, now: float) -> list[Effect]:
    """What may have come to its end by what just happened."""
    return proving.settle(conference, now) + gathered(conference, now)


def _transport_event(
    conference: Conference, member: Member, event: Event, transport: TransportId, now: float
) -> list[Effect]:
    if transport != member.transport.id:
        return handle_other(conference, member, event, transport, now)
    if isinstance(event, ConsentExpired | PeerClosed) and member.coming is not None:
        member.lost = True
        return []
    match event:
        case TransportConnected():
            return conference.connected(member, now)
        case HandshakeDone():
            return conference.secured(member, event.keys, now)
        case DtlsFailed():
            message = "The encrypted connection could not be set up: join again, or try another network."
            ended = conference.end(member, names.DTLS_FAILED, message, now)
            return [CountMetric("dtls_failures", event.code), *ended]
        case PeerClosed():
            return conference.leave(member, "closed", now)
        case ChannelOpened():
            # The first, or one more: each is told the whole roster.
            if member.present and member.negotiations.spend(now) is not Verdict.PASS:
                return [CountMetric("events_ignored", "channel")]
            return conference.channel_opened(member, now)
        case ChannelMessage():
            return handle_message_untrusted(conference, member, event.text, now)
        case ChannelClosed():
            return conference.channel_closed(member, now)
        case ConsentExpired():
            return conference.lost(member, now)
    if isinstance(event, MediaEvent):
        return handle_media(conference, member, event, now)
    return [CountMetric("events_ignored", "type")]


def _negotiate(conference: Conference, member: Member, content: Negotiate, now: float) -> list[Effect]:
    """A new offer through the room, where the data channel is not there for it."""
    if content.party_id != member.call.party_id:
        return [CountMetric("matrix_events_ignored", "party")]
    try:
        answer, effects = conference.renegotiate(member, content, now)
    except (SdpError, ContentError) as error:
        # MSC2746 has no refusal for it; the caller's time for an answer runs out.
        return [CountMetric("negotiations_refused", error.code)]
    return [*effects, member.call.negotiated(answer, content.offer_id)]
