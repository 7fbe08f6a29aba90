"""One conference: its members, what they see of each other, and what they are told.

What follows from a change is worked out by staging.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from control.protocol import limits, names
from control.protocol.admission import Admission, Ticket
from control.protocol.allocation import FullError, Randomness, Rows
from control.protocol.budget import Budget
from control.protocol.call import Call, Step
from control.protocol.checked import ContentError
from control.protocol.content import Invite, Metadata, Negotiate, TrackSubscription, error_object, unpadded
from control.protocol.events import CloseTransport, CountMetric, Effect, OpenTransport, SendChannel
from control.protocol.member import Member
from control.protocol.rates import Rates
from control.protocol.rows import HopKeys
from control.protocol.sdp_agreement import Agreement, Features
from control.protocol.sdp_values import Fingerprint, Offer
from control.protocol.speakers import Speakers
from control.protocol.spreading import Spread
from control.protocol.staging import Staging
from control.protocol.telling import error_message
from control.protocol.terms import Terms
from control.protocol.tokens import Bearer
from control.protocol.transport import Transport, agree_untrusted

_MEMBER_NUMBERS = 0xFFFF
_NOTHING: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Settings:
    """What all conferences of a focus have in common."""

    user_id: str
    party_id: str  # the bot's device
    fingerprint: Fingerprint
    features: Features
    randomness: Randomness
    rates: Rates = field(default_factory=Rates)
    resume_url: str = names.RESUME_PATH  # as it is told: whole, or relative to where config.json is
    ticket_grace_s: float = limits.EPOCH_GRACE


class Conference:
    """Lives on one worker until it outgrows that one. `number` groups its transports in the tables."""

    def __init__(
        self,
        creator: str,
        conference_id: str,
        number: int,
        every: Sequence[Rows],
        rows: Rows,
        admission: Admission,
        settings: Settings,
        now: float,
        terms: Terms = Terms(),  # noqa: B008 - a value
    ) -> None:
        """`rows`: of the worker it begins on and is noted with; `every`: of all workers."""
        self.terms = terms
        self.creator = creator
        self.conference_id = conference_id
        self.number = number
        self.rows = rows
        self.admission = admission
        self.members: dict[int, Member] = {}
        self.speakers = Speakers()
        self.empty_since: float | None = now
        self.arrivals = 0  # data channels that were opened
        self.proved_for: tuple[int, int] | None = None  # what proving.settle looked at last
        self.proving = False  # is an epoch on its way, or has somebody to prove the current one yet?
        self.grace: dict[int, float] = {}  # until when members have to prove the current epoch
        self.settings = settings
        self.next_member = 1
        self.gathering = False  # its members come from a former server (gathering.py)
        self.together_at: float | None = None
        self.spread = Spread(every, rows)
        self.staging = Staging(self.members, self.speakers, self.spread, number, settings.rates)

    @property
    def features(self) -> Features:
        """What may be agreed to in this conference."""
        return replace(self.settings.features, pictures=not self.terms.voice)

    @property
    def persons(self) -> dict[int, str]:
        """User ids of those who are inside, by member number."""
        return {number: each.user_id for number, each in self.members.items() if each.present}

    # -- coming and going --

    def find(self, user_id: str, device_id: str) -> Member | None:
        """The membership a device already has."""
        return next(
            (
                each
                for each in self.members.values()
                if (each.user_id, each.device_id) == (user_id, device_id)
            ),
            None,
        )

    def check_room(self, user_id: str, device_id: str) -> None:
        """ContentError when a device cannot come in."""
        others = len(self.members) - (self.find(user_id, device_id) is not None)
        if others >= self.terms.members_max or self.next_member > _MEMBER_NUMBERS:
            raise ContentError(names.FULL, "The conference is full: join again when somebody has left.")
        own = sum(each.user_id == user_id and each.device_id != device_id for each in self.members.values())
        if own >= limits.MEMBERS_PER_USER:
            raise ContentError(
                names.FULL, "You are in this conference with too many devices: leave with one."
            )

    def join(
        self, invite: Invite, ticket: Ticket, call: Call, agreed: tuple[Offer, Agreement], now: float
    ) -> tuple[Member, list[Effect]]:
        """Makes a member of somebody who was admitted; an older membership of the device ends.

        ContentError when the worker's table has no room.
        """
        offer, agreement = agreed
        device_id = ticket.device_id
        try:
            transport = Transport(self.spread.place(self.members), self.settings.randomness, agreement)
        except FullError:
            message = "The focus has no room for another member: try again later."
            raise ContentError(names.FULL, message) from None
        effects: list[Effect] = []
        if older := self.find(call.user_id, device_id):
            effects += self.end(older, names.REPLACED, "This device joined again with a new call.", now)
        member = Member(
            number=self.next_member,
            device_id=device_id,
            call=call,
            transport=transport,
            messages=Budget(limits.MESSAGES_PER_SECOND, limits.MESSAGE_BURST, now),
            negotiations=Budget(limits.NEGOTIATES_PER_SECOND, limits.NEGOTIATE_BURST, now),
            resumes=Budget(limits.RESUMES_PER_SECOND, limits.RESUME_BURST, now),
        )
        member.mute(invite.metadata)
        self.next_member += 1
        self.members[member.number] = member
        self.admission.epochs.prove(member.number, ticket.epoch)
        self.empty_since = None
        data = agreement.data
        effects.append(
            OpenTransport(transport.id, agreement.fingerprints, data.sctp_port, data.max_message_size)
        )
        # The worker must know the credentials before the answer can bring the first check.
        effects += self.refresh(now)
        effects.append(call.answer(transport.answer(offer, self.settings.fingerprint)))
        return member, effects

    def leave(self, member: Member, reason: str, now: float, silent: bool = False) -> list[Effect]:
        """Somebody is gone. `reason` is for a counter; silent: without a word on the transport."""
        member.call.advance(Step.END, now)
        del self.members[member.number]
        if not self.members:
            self.empty_since = now
        self.speakers.leaves(member.number)
        self.admission.epochs.forget(member.number)
        self.grace.pop(member.number, None)
        for other in self.members.values():
            other.wishes.forget(member.number)
        effects: list[Effect] = [CountMetric("members_left", reason)]
        effects += [CloseTransport(each.id, silent) for each in member.connections]
        effects += self.refresh(now)
        # Only now: a handle may not be given out again while its old row is still published.
        for connection in member.connections:
            connection.release()
        return effects

    def drop_connection(self, member: Member, transport: Transport, now: float) -> list[Effect]:
        """One of several connections of a member ends, and it no longer names it."""
        member.version += 1
        effects: list[Effect] = [CloseTransport(transport.id, silent=False), *self.refresh(now)]
        transport.release()
        return effects

    def lost(self, member: Member, now: float) -> list[Effect]:
        """Nothing comes from a member any more, and nothing else is being made."""
        message = "Nothing came from this device for 30 s: check the network, then join again."
        return self.end(member, names.ICE_FAILED, message, now)

    def end(self, member: Member, code: str, message: str, now: float) -> list[Effect]:
        """We put somebody out and say why, on both ways."""
        reason = names.REASONS.get(code, names.UNKNOWN_ERROR)
        effects: list[Effect] = []
        if member.channel_open:
            content = {"reason": reason, names.ERROR: error_object(code, message)}
            effects.append(SendChannel(member.transport.id, names.HANGUP, content))
        effects.append(member.call.hangup(reason, code, message))
        return effects + self.leave(member, code, now)

    # -- what members do --

    def connected(self, member: Member, now: float) -> list[Effect]:
        member.call.advance(Step.ICE, now)
        return []

    def secured(self, member: Member, keys: HopKeys, now: float) -> list[Effect]:
        """DTLS is done: media may flow."""
        if not member.call.advance(Step.DTLS, now):
            return [CountMetric("events_ignored", "dtls")]
        member.transport.keys = keys
        member.version += 1
        return self.refresh(now)

    def channel_opened(self, member: Member, now: float) -> list[Effect]:
        """From here on everybody sees the member."""
        return self.channels_opened([member], now)

    def channels_opened(self, members: Sequence[Member], now: float) -> list[Effect]:
        """The same of several at once: each is told of all."""
        effects: list[Effect] = []
        opened: list[Member] = []
        for member in members:
            if not member.call.advance(Step.CHANNEL_OPENED, now):
                effects.append(CountMetric("events_ignored", "channel"))
                continue
            opened.append(member)
            member.present = True
            self.arrivals += 1
            member.version += 1
            member.ping_at = now + limits.PING_INTERVAL
            member.told.reset()
            member.deals.reset()
        if opened:
            effects += self.refresh(now)
        for member in opened:
            effects += self._declined(member, names.INVITE)
        return effects

    def channel_closed(self, member: Member, now: float) -> list[Effect]:
        """No leave: media may go on, and consent decides."""
        member.call.advance(Step.CHANNEL_CLOSED, now)
        member.ping_at = None
        return [CountMetric("channels_closed")]

    def mute(self, member: Member, metadata: Metadata, now: float) -> list[Effect]:
        member.mute(metadata)
        return self.refresh(now)

    def subscribe(self, member: Member, wishes: TrackSubscription, now: float) -> list[Effect]:
        """ContentError, the first time some of the wishes are beyond the limit; the others hold."""
        complete = member.wishes.take(wishes, self.members.keys() - {member.number})
        effects = self.refresh(now)
        if not complete:
            effects.append(CountMetric("subscriptions_refused"))
            if not member.told.subscriptions_full:
                member.told.subscriptions_full = True
                message = f"More than {limits.SUBSCRIPTIONS_MAX} subscriptions; the rest of them is ignored."
                effects.append(error_message(member, names.TOO_LARGE, message, names.TRACK_SUBSCRIPTION))
        return effects

    def renegotiate(self, member: Member, new: Negotiate, now: float) -> tuple[str, list[Effect]]:
        """The answer to a new offer, and what else follows.

        SdpError or ContentError, and nothing has changed.
        """
        transport = member.transport
        offer, agreement = agree_untrusted(new.sdp, new.metadata, self.features, transport.agreement)
        try:
            transport.apply(agreement)
        except FullError:
            raise ContentError(
                names.FULL, "The focus has no room for more slots: go on with those you have."
            ) from None
        member.mute(new.metadata)
        member.version += 1
        effects = self.refresh(now)
        transport.drop_unused()
        member.forget_closed()
        effects += self._declined(member, names.NEGOTIATE)
        return transport.answer(offer, self.settings.fingerprint), effects

    def _declined(self, member: Member, in_reply_to: str) -> list[Effect]:
        """What of an offer the conference does not take is said, too: the answer only leaves it out."""
        if not member.transport.agreement.declined or not member.channel_open:
            return []
        message = "This is a voice conference: it takes no pictures. Begin a video conference for them."
        return [error_message(member, names.NOT_ALLOWED, message, in_reply_to)]

    # -- time --

    def next_timeout(self) -> float | None:
        """When handle_timeout wants to be called."""
        times = [self.empty_since + limits.CONFERENCE_LINGER] if self.empty_since is not None else []
        if (due := self.staging.due) is not None:
            times.append(due)
        times += self.grace.values()
        if self.together_at is not None:
            times.append(self.together_at)
        # Plain ifs: this is asked for with nearly every packet of a join, of each who is inside.
        for member in self.members.values():
            if (at := member.call.deadline) is not None:
                times.append(at)
            if (at := member.ping_at) is not None:
                times.append(at)
            if (at := member.awaited_until) is not None:
                times.append(at)
            if (coming := member.coming) is not None:
                times.append(coming.deadline)
            if (former := member.former) is not None:
                times.append(former.until)
            if (at := member.told.due) is not None and member.channel_open:
                times.append(at)
        return min(times, default=None)

    def handle_timeout(self, now: float) -> list[Effect]:
        """Ends members that never arrived, pings the others, tells what was held back."""
        effects: list[Effect] = []
        for member in list(self.members.values()):
            if member.call.deadline is not None and member.call.deadline <= now:
                effects += self._never_arrived(member, now)
                continue
            if member.ping_at is not None and member.ping_at <= now + limits.PING_SLACK:
                member.ping_at = now + limits.PING_INTERVAL
                effects.append(SendChannel(member.transport.id, names.PING, _NOTHING))
            if (at := member.told.due) is not None and at <= now:
                effects += self.staging.retell(member, now)
        if (due := self.staging.due) is not None and due <= now:
            effects += self.refresh(now)
        return effects

    def forgotten(self, now: float) -> bool:
        """Nobody has been here for so long that nobody will come back."""
        return self.empty_since is not None and now >= self.empty_since + limits.CONFERENCE_LINGER

    def _never_arrived(self, member: Member, now: float) -> list[Effect]:
        if member.call.secured:
            message = "The data channel was not opened: reload the page and join again."
            return self.end(member, names.DTLS_FAILED, message, now)
        message = (
            "No connection to the focus could be made; UDP may be blocked on the way: try another network."
        )
        return self.end(member, names.ICE_FAILED, message, now)

    def heard(self, now: float) -> list[Effect]:
        """After a change of who speaks, which mostly changes nothing else."""
        return self.refresh(now) if self.staging.seats_change() else self.staging.retell_all(now)

    def refresh(self, now: float) -> list[Effect]:
        """After any change: what follows from it."""
        return self.staging.refresh(self._welcome, now)

    def _welcome(self, member: Member) -> dict[str, Any]:
        epoch = self.admission.epochs.current
        current = {"epoch": epoch.number, "verifier": unpadded(epoch.verifier)}
        member.told.epoch = {**current, "proved": True, "proposed": []}
        token = member.tokens.renew(Bearer(self.number, member.number), self.settings.randomness.random_bytes)
        return {
            "version": 1,
            "member": member.number,
            "conference_id": self.conference_id,
            "ping_interval_ms": int(limits.PING_INTERVAL * 1000),
            **current,
            "resume": {"token": token, "url": self.settings.resume_url},
        }
