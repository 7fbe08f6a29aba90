"""The conference room: what is said in it of conferences, and their tickets (docs/protocol.md section 2)."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from client.errors import Trouble
from client.keys.ticket import SECRET_BYTES, Ticket, read_ticket_untrusted
from client.matrix.announcements import Announcements
from client.matrix.homeserver import Homeserver
from client.matrix.inbox import RoomEvent
from client.protocol import limits, names
from client.protocol.checked import Malformed
from client.protocol.events import Announcement, read_ticket_request_untrusted

log = logging.getLogger(__name__)

HISTORY_PAGES = 4


class ConferenceRoom:
    """Listens from the moment it is made."""

    def __init__(self, homeserver: Homeserver, room_id: str) -> None:
        self._homeserver = homeserver
        self.room_id = room_id
        self.announcements = Announcements(homeserver, room_id)
        self._tickets: list[tuple[Ticket, str, int]] = []
        self._refused: set[bytes] = set()
        self._news = asyncio.Event()
        self._rank: Callable[[], int] | None = None
        self._answering: asyncio.Task[None] | None = None
        self._answered_at = -limits.TICKET_PAUSE_S
        self._ours: Callable[[], Ticket] | None = None
        self._arrived: Callable[[Ticket], None] | None = None
        homeserver.inbox.on_event.append(self._heard)

    async def load(self) -> None:
        """The state of the room, and what of its history we can read."""
        for event in await self._homeserver.state(self.room_id):
            self._heard(event)
        for event in reversed(await self._homeserver.history(self.room_id, HISTORY_PAGES)):
            if event.state_key is None:
                self._heard(event)

    def close(self) -> None:
        self._homeserver.inbox.on_event.remove(self._heard)
        if self._answering is not None:
            self._answering.cancel()

    async def announce(self, conference: Announcement) -> Ticket:
        """A conference of ours, with its first ticket."""
        await self.announcements.announce(conference)
        ticket = Ticket(conference.conference_id, conference.creator, 0, secrets.token_bytes(SECRET_BYTES))
        await self.send_ticket(ticket)
        return ticket

    # --- tickets ---

    def best_ticket(self, conference: Announcement) -> Ticket | None:
        """Of the highest epoch; the creator's own before others', then the newest; none that was refused."""
        usable = [
            (ticket.epoch, sender == conference.creator, ts, ticket)
            for ticket, sender, ts in self._tickets
            if (ticket.conference_id, ticket.creator) == (conference.conference_id, conference.creator)
            and ticket.secret not in self._refused
        ]
        return max(usable, key=lambda each: each[:3])[3] if usable else None

    def refuse(self, ticket: Ticket) -> None:
        self._refused.add(ticket.secret)

    async def find_ticket(self, conference: Announcement, say: Callable[[str], None]) -> Ticket | None:
        """What is known, else what somebody inside answers; None when nobody does, or the conference ends."""
        for attempt in range(limits.TICKET_ROUNDS):
            if (ticket := self.best_ticket(conference)) is not None:
                return ticket
            say("asking those inside for the ticket" + (" again" if attempt else ""))
            await self.request_ticket(conference.conference_id)
            deadline = time.monotonic() + limits.TICKET_ANSWER_S
            while (left := deadline - time.monotonic()) > 0 and self.best_ticket(conference) is None:
                if conference not in self.announcements.running:
                    return None
                self._news.clear()
                try:
                    async with asyncio.timeout(left):
                        await self._news.wait()
                except TimeoutError:
                    break
        return self.best_ticket(conference)

    async def send_ticket(self, ticket: Ticket) -> None:
        if not self._homeserver.encrypted(self.room_id):
            raise Trouble("room_not_encrypted", "The room is not encrypted: a ticket cannot be sent to it.")
        await self._homeserver.send(self.room_id, names.TICKET, ticket.content())

    def serve_tickets(
        self, ticket: Callable[[], Ticket], rank: Callable[[], int], arrived: Callable[[Ticket], None]
    ) -> None:
        """From now on answer those who ask. `rank`: our place among those inside, by number; -1: not our
        turn."""
        self._ours, self._rank, self._arrived = ticket, rank, arrived
        for known, _, _ in self._tickets:
            arrived(known)

    def serve_no_tickets(self) -> None:
        """We are not inside any more."""
        self._ours = self._rank = self._arrived = None
        self._cancel_answer()

    async def request_ticket(self, conference_id: str) -> None:
        content = {"conference_id": conference_id, "device_id": self._homeserver.device_id}
        await self._homeserver.send(self.room_id, names.TICKET_REQUEST, content)

    # --- what is said in the room ---

    def _heard(self, event: RoomEvent) -> None:
        if event.room_id != self.room_id:
            return
        try:
            match event.type:
                case names.CONFERENCE:
                    self.announcements.heard(event)
                case names.TICKET if event.encrypted:
                    self._ticket(event)
                case names.TICKET_REQUEST if event.encrypted and not event.own:
                    self._request(read_ticket_request_untrusted(event.content))
        except Malformed as error:
            log.info("an event of type %s was passed over: %s", event.type, error)
        self._news.set()

    def _ticket(self, event: RoomEvent) -> None:
        if not self._homeserver.joined(self.room_id, event.sender):
            return
        ticket = read_ticket_untrusted(event.content)
        self._tickets.append((ticket, event.sender, event.ts))
        del self._tickets[:-64]
        if self._ours is not None and ticket.conference_id == self._ours().conference_id and not event.own:
            self._cancel_answer()
        if self._arrived is not None:
            self._arrived(ticket)

    def _request(self, conference_id: str) -> None:
        if self._ours is None or self._rank is None or conference_id != self._ours().conference_id:
            return
        if self._answering is None or self._answering.done():
            self._answering = asyncio.create_task(self._answer(), name="ticket")

    async def _answer(self) -> None:
        """In our turn, unless somebody was faster."""
        assert self._ours is not None
        assert self._rank is not None
        pause = self._answered_at + limits.TICKET_PAUSE_S - time.monotonic()
        await asyncio.sleep(max(0.0, pause, limits.TICKET_RANK_S * max(0, self._rank())))
        if self._rank() < 0:
            return
        self._answered_at = time.monotonic()
        try:
            # From here on it is sent, whoever else answers.
            await asyncio.shield(asyncio.ensure_future(self.send_ticket(self._ours())))
        except Trouble as trouble:
            log.warning("the ticket was not sent: %s", trouble.code)

    def _cancel_answer(self) -> None:
        if self._answering is not None:
            self._answering.cancel()
            self._answering = None
