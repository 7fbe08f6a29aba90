"""Who is let in, and what the others are told: the way of an invite from the room to a membership."""

from collections import OrderedDict
from collections.abc import MutableMapping, Sequence
from typing import Final

from control.protocol import limits, names
from control.protocol.admission import Admission, TicketError
from control.protocol.allocation import Rows
from control.protocol.budget import Budget, Verdict
from control.protocol.call import Call, refusal
from control.protocol.checked import ContentError, identifier
from control.protocol.conference import Conference, Settings
from control.protocol.content import Invite, Join
from control.protocol.epochs import Epoch
from control.protocol.events import CountMetric, Effect, MatrixCallEvent
from control.protocol.guest_list import GuestList
from control.protocol.member import Member
from control.protocol.overload import OVERLOADED, Load, Scarcity, Shed
from control.protocol.transport import agree_untrusted


class Invites:
    """Admits to `conferences` (by creator and id), which it adds to when a creator opens one."""

    def __init__(
        self,
        settings: Settings,
        rows: Sequence[Rows],
        guests: GuestList,
        conferences: MutableMapping[tuple[str, str], Conference],
        loads: Sequence[Load],
        scarcity: Scarcity,
    ) -> None:
        self._settings = settings
        self._rows = rows
        self._guests = guests
        self._quotas = Quotas()
        self._conferences = conferences
        self._loads = loads
        self._scarcity = scarcity
        self.last_number = 0

    def admit_untrusted(
        self, event: MatrixCallEvent, invite: Invite, now: float
    ) -> tuple[Conference, Member, list[Effect]]:
        """Makes a member of the caller, or raises ContentError or SdpError with what to tell it.

        The cheap checks come first: a stranger's offer is never looked into.
        """
        if event.age_ms >= invite.lifetime_ms:
            raise ContentError(names.STALE, "The call arrived after its lifetime: join again.")
        join = invite.join
        if join is None:
            raise ContentError(
                names.TICKET_MISSING, "This is a conference server: call it from a room's conference."
            )
        if not self._guests.serves(event.sender):
            raise ContentError(
                names.NOT_ALLOWED, "This focus does not serve you or your homeserver: ask its operator."
            )
        if not self._quotas.spend(event.room_id, event.sender, now):
            raise ContentError(names.BUSY, "Too many calls come from you or your homeserver: wait a minute.")
        conference = self._conference(join, event.sender, now)
        if conference.find(event.sender, join.device_id) is None:
            self._check_room(conference)
        try:
            ticket = conference.admission.check(
                join, event.sender, invite.call_id, event.wall_ms, conference.persons
            )
        except TicketError:
            if conference.members:
                raise
            # Without a ticket and with nobody to ask for one, waiting is for nothing: let them begin another.
            raise ContentError(
                names.CONFERENCE_UNKNOWN, "Nobody is in this conference any more: start another."
            ) from None
        conference.check_room(event.sender, join.device_id)
        agreed = agree_untrusted(invite.sdp, invite.metadata, conference.features)
        call = Call(
            event.room_id, event.sender, invite.call_id, invite.party_id, self._settings.party_id, now
        )
        member, effects = conference.join(invite, ticket, call, agreed, now)
        # Only now is a conference there that was opened by this invite.
        self._conferences[join.creator, join.conference_id] = conference
        return conference, member, [CountMetric("invites_accepted"), *effects]

    def _check_room(self, conference: Conference) -> None:
        """ContentError when one more would cost those who are inside."""
        if self._loads[conference.spread.place(conference.members).worker].shed >= Shed.JOINS:
            raise ContentError(names.BUSY, OVERLOADED)
        if (message := self._scarcity.message) is not None:
            raise ContentError(names.BUSY, message)

    def _conference(self, join: Join, sender: str, now: float) -> Conference:
        """The one a ticket names; a new one when its creator opens it."""
        known = self._conferences.get((join.creator, join.conference_id))
        if known is not None:
            return known
        if join.opening is None or join.creator != sender:
            raise ContentError(
                names.CONFERENCE_UNKNOWN,
                "The focus does not know this conference: its creator has to join first.",
            )
        if len(self._conferences) >= limits.CONFERENCES_MAX:
            raise ContentError(
                names.FULL, "The focus has as many conferences as it can serve: try again later."
            )
        begun = sum(creator == sender for creator, _ in self._conferences)
        if begun >= limits.CONFERENCES_PER_CREATOR:
            raise ContentError(
                names.FULL, "You have begun many conferences: end some of them, or wait a minute."
            )
        server = sender.partition(":")[2]
        if sum(creator.partition(":")[2] == server for creator, _ in self._conferences) >= _SERVERS_SHARE:
            raise ContentError(
                names.FULL, "Your homeserver's people have begun as many conferences as they may: wait."
            )
        admission = Admission(Epoch(join.epoch, join.opening.verifier))
        rows = min(self._rows, key=lambda each: (self._loads[each.worker].shed, each.transports.in_use))
        self.last_number += 1
        terms = join.opening.terms
        return Conference(
            join.creator,
            join.conference_id,
            self.last_number,
            self._rows,
            rows,
            admission,
            self._settings,
            now,
            terms,
        )


_SERVERS_SHARE: Final = limits.CONFERENCES_MAX * limits.CONFERENCES_SERVER_PERCENT // 100


class Quotas:
    """Calls of one user, in one room, from one homeserver: each is up to 15 ms of work."""

    def __init__(self) -> None:
        self._budgets: OrderedDict[str, Budget] = OrderedDict()

    def spend(self, room_id: str, user_id: str, now: float) -> bool:
        """Takes one of each; False when one of them has none left, and of those after it nothing is taken:
        whoever calls on and on costs the others of a homeserver nothing."""
        server = user_id.partition(":")[2]
        own = limits.INVITES_PER_SECOND, limits.INVITE_BURST
        return all(
            self._spend(*each, now)
            for each in (
                (room_id, *own),
                (user_id, *own),
                (server, limits.SERVER_INVITES_PER_SECOND, limits.SERVER_INVITE_BURST),
            )
        )

    def _spend(self, key: str, rate: float, burst: int, now: float) -> bool:
        budget = self._budgets.pop(key, None) or Budget(rate, burst, now)
        self._budgets[key] = budget
        if len(self._budgets) > limits.INVITE_SENDERS_MAX:
            self._budgets.popitem(last=False)
        return budget.spend(now) is Verdict.PASS


class Refusals:
    """Says no, but not more often than the bot's own rate limit can bear.

    Answers to others wait behind it.
    """

    def __init__(self, own_party_id: str) -> None:
        self._own_party_id = own_party_id
        self._budgets: OrderedDict[str, Budget] = OrderedDict()

    def refuse(self, event: MatrixCallEvent, code: str, message: str, label: str, now: float) -> list[Effect]:
        """Counts, and answers unless the sender has been answered too often or has long given up."""
        effects: list[Effect] = [CountMetric("invites_refused", label)]
        call_id = call_id_untrusted(event)
        too_old = event.age_ms > limits.INVITE_LIFETIME_MAX_MS + limits.STALE_REPLY_MS
        if call_id is None or too_old or not self.may_answer(event.sender, now):
            return effects
        version = event.content.get("version")
        version_0 = type(version) is int and version == 0
        return [*effects, refusal(event.room_id, call_id, self._own_party_id, version_0, code, message)]

    def may_answer(self, sender: str, now: float) -> bool:
        """Also what is said again, or once more, in somebody's room: the bot's messages are few."""
        budget = self._budgets.pop(sender, None)
        if budget is None:
            budget = Budget(limits.REFUSALS_PER_SECOND, limits.REFUSAL_BURST, now)
        self._budgets[sender] = budget
        if len(self._budgets) > limits.REFUSAL_SENDERS_MAX:
            self._budgets.popitem(last=False)
        return budget.spend(now) is Verdict.PASS


def call_id_untrusted(event: MatrixCallEvent) -> str | None:
    """What a refusal has to name; None when the event has none that could be repeated."""
    try:
        return identifier(event.content.get("call_id"), "call_id")
    except (ContentError, AttributeError):
        return None
