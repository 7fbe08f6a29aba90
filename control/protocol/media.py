"""What the worker tells of a member's media: taken over, and passed on to whom it concerns."""

from control.protocol.allocation import Row
from control.protocol.conference import Conference
from control.protocol.deals import Losses
from control.protocol.events import (
    CountMetric,
    Dominant,
    Effect,
    InnerIndex,
    MediaEvent,
    SendTarget,
    SinkDeal,
    SinkSwitched,
    SourceLive,
    Speaking,
    ViewersLose,
)
from control.protocol.member import Member
from control.protocol.sending import Order

# Of a row that was replaced since the worker spoke.
_LATE = CountMetric("events_ignored", "media")


def handle_media(conference: Conference, member: Member, event: MediaEvent, now: float) -> list[Effect]:
    """`member` is whose transport the event names: the sender's, of slots the receiver's."""
    match event:
        case SourceLive():
            return [CountMetric("sources_live")]
        case SinkSwitched():
            return [CountMetric("sinks_switched"), *_switched(conference, member, event, now)]
        case SinkDeal():
            return _deal(conference, member, event, now)
        case InnerIndex():
            sealed = _source(member, event.source)
            if sealed is None:
                return [_LATE]
            origin = event.transport.worker, sealed[0]
            return conference.staging.inner_index(origin, event.encoding, event.index, now)
    found = _source(member, event.source)
    if found is None:
        return [_LATE]
    row, source = found
    match event:
        case SendTarget():
            order = Order(event.active, event.bps, event.scale_percent, event.framerate)
            member.sending.order(row, event.encoding, order)
            return conference.staging.retell(member, now)
        case ViewersLose():
            losses = Losses(event.viewers, event.worst, event.mean)
            member.losses = {**member.losses, source: losses} if event.viewers else _without(member, source)
            return conference.staging.retell(member, now)
    # Who shares a film does not speak.
    if source != "audio":
        return []
    if isinstance(event, Speaking):
        member.speaking = member.speaking - {event.source} | ({event.source} if event.begins else set())
        conference.speakers.speaks(member.number, bool(member.speaking), now)
    elif isinstance(event, Dominant):
        conference.speakers.takes_floor(member.number)
    return conference.heard(now)


def _source(member: Member, handle: int) -> tuple[Row, str] | None:
    transport = member.transport
    for section in (*transport.senders.values(), *transport.sealed.values()):
        row = transport.sources[section.mid]
        if row.handle == handle:
            return row, section.source
    return None


def _sink(member: Member, handle: int) -> Row | None:
    transport = member.transport
    rows = (sink.row for sink in (*transport.sinks.values(), *transport.sealed_sinks.values()))
    return next((row for row in rows if row.handle == handle), None)


def _switched(conference: Conference, member: Member, event: SinkSwitched, now: float) -> list[Effect]:
    """Only of loudest slots does the worker know better who is there."""
    if _sink(member, event.sink) is None:
        return [_LATE]
    loudest = {
        member.transport.sinks[slot.mid].row.handle
        for slot in member.transport.agreement.slots
        if slot.pair is None
    }
    if event.sink not in loudest:
        return []
    who = None if event.source is None else conference.staging.source(event.transport.worker, event.source)
    if who == member.heard.get(event.sink):
        return []
    heard = {sink: other for sink, other in member.heard.items() if sink in loudest and sink != event.sink}
    member.heard = heard if who is None else {**heard, event.sink: who}
    member.heard_version += 1
    return conference.staging.retell(member, now)


def _deal(conference: Conference, member: Member, event: SinkDeal, now: float) -> list[Effect]:
    row = _sink(member, event.sink)
    if row is None:
        return [_LATE]
    member.deals.deal(row, event.encoding, event.temporal)
    return conference.staging.retell(member, now)


def _without(member: Member, source: str) -> dict[str, Losses]:
    return {other: losses for other, losses in member.losses.items() if other != source}
