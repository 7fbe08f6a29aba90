"""A member's second connection: it comes while the first goes on, takes over, and the first ends.

The same for whatever interrupted it: a dead channel, another network, control's restart (docs/protocol.md
3.3). The others see one member all the time; what changes are the rows its sources and slots stand in.
"""

from collections.abc import Sequence

from control.protocol import gathering, limits, names
from control.protocol.allocation import FullError
from control.protocol.budget import Verdict
from control.protocol.checked import ContentError
from control.protocol.conference import Conference
from control.protocol.content import Metadata
from control.protocol.events import (
    ChannelOpened,
    CloseTransport,
    ConsentExpired,
    CountMetric,
    DtlsFailed,
    Effect,
    Event,
    HandshakeDone,
    OpenTransport,
    PeerClosed,
    TransportId,
)
from control.protocol.member import Coming, Former, Member
from control.protocol.transport import Transport, agree_untrusted

_LOST = (ConsentExpired, DtlsFailed, PeerClosed)


def resume(
    conference: Conference, member: Member, sdp: str, metadata: Metadata, now: float
) -> tuple[str, list[Effect]]:
    """The answer to the offer of a second connection, and what else follows.

    SdpError or ContentError, and nothing has changed.
    """
    if member.resumes.spend(now) is not Verdict.PASS:
        raise ContentError(names.BUSY, "Too many attempts to resume: wait a few seconds.")
    settings = conference.settings
    offer, agreement = agree_untrusted(sdp, metadata, conference.features)
    try:
        if member.awaited_until is None:
            rows = conference.spread.of(member)
        else:
            rows = conference.spread.place(conference.members)
        transport = Transport(rows, settings.randomness, agreement)
    except FullError:
        message = "The focus has no room for a second connection: try again later."
        raise ContentError(names.FULL, message) from None
    if member.awaited_until is None and transport.id.worker == member.transport.id.worker:
        transport.follows = member.transport.row.handle
    # An attempt that is presented again takes the place of the one before.
    effects: list[Effect] = []
    if (before := member.coming) is not None:
        member.coming = None
        effects += conference.drop_connection(member, before.transport, now)
    member.coming = Coming(transport, metadata, now + limits.RESUME_TIMEOUT)
    member.version += 1
    data = agreement.data
    effects.append(OpenTransport(transport.id, agreement.fingerprints, data.sctp_port, data.max_message_size))
    # The worker must know the credentials before the answer can bring the first check.
    effects += conference.refresh(now)
    return transport.answer(offer, settings.fingerprint), [CountMetric("resumes_begun"), *effects]


def handle_other(
    conference: Conference, member: Member, event: Event, transport: TransportId, now: float
) -> list[Effect]:
    """What happens on a connection of a member that is not, or no longer, the one it talks over."""
    coming, former = member.coming, member.former
    if coming is not None and transport == coming.transport.id:
        if isinstance(event, HandshakeDone):
            coming.transport.keys = event.keys
            member.version += 1
            return conference.refresh(now)
        if isinstance(event, ChannelOpened) and coming.transport.keys is not None:
            return [] if gathering.opened(conference, member, now) else _move(conference, [member], now)
        if isinstance(event, _LOST):
            return give_up(conference, member, now)
    elif former is not None and transport == former.transport.id and isinstance(event, _LOST):
        return settle(conference, member, now)
    return []


def give_up(conference: Conference, member: Member, now: float) -> list[Effect]:
    """The second connection comes to nothing; where the first is lost already, so is the member."""
    coming, member.coming = member.coming, None
    assert coming is not None
    effects: list[Effect] = [
        CountMetric("resumes_ended", "failed"),
        *conference.drop_connection(member, coming.transport, now),
    ]
    if member.lost:
        effects += conference.lost(member, now)
    return effects


def settle(conference: Conference, member: Member, now: float) -> list[Effect]:
    """The first connection is needed no more."""
    former, member.former = member.former, None
    return [] if former is None else conference.drop_connection(member, former.transport, now)


def handle_timeout(conference: Conference, member: Member, now: float) -> list[Effect]:
    effects: list[Effect] = []
    if member.former is not None and member.former.until <= now:
        effects += settle(conference, member, now)
    if member.coming is not None and member.coming.deadline <= now:
        effects += give_up(conference, member, now)
    return effects


def _move(conference: Conference, members: Sequence[Member], now: float) -> list[Effect]:
    """The new connections' channels are open: sources and slots are there now; the first go on a while."""
    effects: list[Effect] = []
    gone: list[Transport] = []
    for member in members:
        coming = member.coming
        assert coming is not None
        if member.former is not None:
            effects += settle(conference, member, now)
        before, left = member.transport, member.lost or member.awaited_until is not None
        member.lost, member.awaited_until = False, None
        if left:
            gone.append(before)
        member.former = None if left else Former(before, now + limits.RESUME_OVERLAP)
        member.transport, member.coming = coming.transport, None
        member.mute(coming.metadata)
        # The worker says anew of the new source who speaks.
        if conference.speakers.silent_since(member.number) is None:
            conference.speakers.speaks(member.number, False, now)
        member.forget_closed()
        member.heard = {}
        member.losses = {}
        effects.append(CountMetric("resumes_ended", "moved"))
    effects += conference.channels_opened(members, now)
    for transport in gone:
        effects.append(CloseTransport(transport.id, silent=True))
        transport.release()
    return effects


def gathered(conference: Conference, now: float) -> list[Effect]:
    """After anything that may have been what members of a former server waited for."""
    ready = gathering.ready(conference, now)
    return _move(conference, ready, now) if ready else []
