"""Who is let in, and what the others are told: the way of an invite from the room to a membership."""

from collections.abc import MutableMapping, Sequence
from typing import Final

from control.protocol import limits, names
from control.protocol.admission import Admission, TicketError
from control.protocol.allocation import Rows
from control.protocol.call import Call
from control.protocol.checked import ContentError
from control.protocol.conference import Conference, Settings
from control.protocol.content import Invite, Join
from control.protocol.epochs import Epoch
from control.protocol.events import CountMetric, Effect, MatrixCallEvent
from control.protocol.guest_list import GuestList
from control.protocol.member import Member
from control.protocol.overload import OVERLOADED, Load, Scarcity, Shed
from control.protocol.rationing import Quotas, Scant
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
        scant: Scant,
    ) -> None:
        self._settings = settings
        self._rows = rows
        self._guests = guests
        self._quotas = Quotas(scant)
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
