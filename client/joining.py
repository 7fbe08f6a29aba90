"""The way into a conference: which one runs, a ticket for it, the call to its focus."""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from client.errors import Trouble
from client.keys.ticket import Ticket
from client.matrix.announcements import Wish
from client.matrix.call import FocusCall
from client.matrix.direct import direct_room
from client.matrix.homeserver import Homeserver
from client.matrix.room import ConferenceRoom
from client.protocol import limits
from client.protocol.events import Announcement
from client.protocol.messages import Hangup, stream_metadata
from client.transport.link import Link
from client.transport.sdp import Answer, AnswerUnusable, Offerer, Transport, read_answer_untrusted

log = logging.getLogger(__name__)

Say = Callable[[str], None]

# Refusals after which another ticket or another conference is looked for, so often at most.
ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Pass:
    """A conference with a ticket for it."""

    conference: Announcement
    ticket: Ticket


async def find_pass(room: ConferenceRoom, wish: Wish, say: Say) -> Pass:
    """The conference that is wanted, else (if `start`) one of ours; Trouble "no_conference", "no_ticket"."""
    announced = room.announcements
    conference = None if wish.another else await announced.awaited(wish)
    if conference is not None:
        ticket = await room.find_ticket(conference, say)
        if ticket is not None:
            return Pass(conference, ticket)
        moved = conference not in announced.running or announced.wanted(wish) != conference
        if moved and await announced.awaited(wish) is not None:
            return await find_pass(room, wish, say)
        if not wish.start:
            raise Trouble("no_ticket", "A conference is announced, but nobody inside gave a ticket.")
    if not (wish.start or wish.another):
        raise Trouble("no_conference", "No such conference runs in this room.")
    focus = wish.focus or (conference.focus if conference is not None else announced.last_focus())
    if focus is None:
        raise Trouble(
            "no_conference", "No conference runs in this room, and no server was named to start one."
        )
    say("starting a conference")
    ours = announced.new(focus, wish)
    return Pass(ours, await room.announce(ours))


class Entry:
    """What one call needs, kept while attempts are repeated."""

    def __init__(
        self,
        homeserver: Homeserver,
        sources: Sequence[str],
        on_hangup: Callable[[Hangup], None],
    ) -> None:
        self._homeserver = homeserver
        self._all_sources, self._on_hangup = sources, on_hangup
        self.voice = False  # the conference is for voice alone
        self.stream_id = secrets.token_hex(8)
        self.offerer: Offerer | None = None
        self.feedback = False  # transport-wide, about what comes
        self.sealed = False  # sealed RTP besides frames
        self.call: FocusCall | None = None

    @property
    def sources(self) -> list[str]:
        """What we offer to send."""
        return [each for each in self._all_sources if not self.voice or each in ("audio", "screen_audio")]

    def new_offerer(self, transport: Transport) -> Offerer:
        """For a connection of its own, with as many slots as the one before has."""
        pairs = limits.FIRST_SLOT_PAIRS if self.offerer is None else self.offerer.pairs
        return Offerer(
            transport, self.stream_id, self.sources, pairs, transport_cc=self.feedback, sealed=self.sealed
        )

    async def call_focus(self, entitled: Pass, link: Link, say: Say) -> Answer:
        """One attempt; Trouble with the focus's code when it refuses."""
        self.offerer = self.new_offerer(await link.gather())
        focus = entitled.conference.focus
        say(f"calling {focus}")
        room_id = await direct_room(self._homeserver, focus)
        self.call = FocusCall(self._homeserver, room_id, focus, self._on_hangup)
        homeserver = self._homeserver
        join = entitled.ticket.join(
            homeserver.user_id,
            homeserver.device_id,
            self.call.call_id,
            int(time.time() * 1000),
            # Whoever created the conference opens it; on one that is open already this is passed over.
            entitled.conference.terms if entitled.conference.creator == homeserver.user_id else None,
        )
        offer = self.offerer.offer()
        try:
            sdp = await self.call.invite(offer, stream_metadata(self.stream_id), join)
            return read_answer_untrusted(sdp, self.offerer.lines)
        except AnswerUnusable as error:
            await self.call.hangup("unknown_error")
            raise Trouble("answer_unusable", f"The server's answer cannot be used: {error}.") from None
        except BaseException:
            self.call.close()
            raise


async def enter(
    room: ConferenceRoom,
    entry: Entry,
    new_link: Callable[[], Link],
    wish: Wish,
    *,
    say: Say,
    prepare: Callable[[Pass], None],
) -> Pass:
    """Until the data channel is open. `prepare` gets each pass before it is used: keys may come at once."""
    trouble = Trouble("no_conference", "No conference could be joined.")
    for _ in range(ATTEMPTS):
        entitled = await find_pass(room, wish, say)
        # A second attempt of one that is begun is no other conference.
        if wish.another:
            wish = replace(wish, another=False, conference=entitled.conference.conference_id)
        entry.voice = entitled.conference.intent == "voice"
        prepare(entitled)
        link = new_link()
        try:
            answer = await entry.call_focus(entitled, link, say)
            say("connecting")
            await link.connect(answer)
        except Trouble as refused:
            await link.close()
            trouble = refused
            log.info("the call failed: %s", refused.code)
            if refused.code in ("ticket_invalid", "ticket_expired", "ticket_missing"):
                room.refuse(entitled.ticket)
            elif refused.code == "conference_unknown":
                room.announcements.is_over(entitled.conference.conference_id)
            else:
                raise
            continue
        except BaseException:
            await link.close()
            raise
        return entitled
    raise trouble
