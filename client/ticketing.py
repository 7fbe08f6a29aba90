"""Tickets of later epochs: proved, proposed, given to those who ask (docs/protocol.md section 2)."""

import asyncio
import logging
import secrets
import time

from client.errors import Trouble
from client.joining import Pass
from client.keys.epochs import Epochs
from client.keys.ticket import Ticket
from client.matrix.homeserver import Homeserver
from client.matrix.room import ConferenceRoom
from client.membership import Membership

log = logging.getLogger(__name__)

# How often it is looked whether it is our turn to propose an epoch.
TICK_S = 0.2


class Ticketing:
    """Of one membership, from its welcome to its end."""

    def __init__(
        self,
        homeserver: Homeserver,
        room: ConferenceRoom,
        entitled: Pass,
        membership: Membership,
        call_id: str,
    ) -> None:
        self._homeserver, self._room, self._membership = homeserver, room, membership
        self._conference_id = entitled.conference.conference_id
        who = homeserver.device

        def prove(ticket: Ticket) -> bytes:
            return ticket.prove_epoch(who.user_id, who.device_id, call_id)

        self._epochs = Epochs(entitled.ticket, membership.epoch, prove, secrets.token_bytes)
        membership.epochs = self._epochs
        # All of them know the ticket, whether they are inside or not.
        everybody = homeserver.people(room.room_id)
        self._people = {each for each in everybody if homeserver.joined(room.room_id, each)}
        homeserver.inbox.on_member.append(self._member_changed)
        room.serve_tickets(lambda: self._epochs.ticket, membership.rank, self._arrived)
        membership.prove()

    def close(self) -> None:
        self._homeserver.inbox.on_member.remove(self._member_changed)
        self._room.serve_no_tickets()

    async def run(self) -> None:
        epochs = self._epochs
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            try:
                if epochs.lacking(now):
                    await self._room.request_ticket(self._conference_id)
                if (ticket := epochs.poll(now)) is not None:
                    await self._room.send_ticket(ticket)
                    self._arrived(ticket)
            except Trouble as trouble:  # such as when we are no longer in the room
                log.warning("a ticket was not sent or asked for: %s", trouble.code)

    def _arrived(self, ticket: Ticket) -> None:
        self._epochs.ticket_arrived(ticket, time.monotonic())
        self._membership.prove()

    def _member_changed(self, room_id: str, user_id: str) -> None:
        if room_id != self._room.room_id or user_id == self._homeserver.user_id:
            return
        if self._homeserver.joined(room_id, user_id):
            self._people.add(user_id)
        elif user_id in self._people:
            self._people.remove(user_id)
            self._membership.somebody_left()
