"""What a member says over its data channel: read, weighed against its budget, given to the conference."""

from control.protocol import names
from control.protocol.budget import Budget, Verdict
from control.protocol.checked import ContentError
from control.protocol.conference import Conference
from control.protocol.content import (
    Hangup,
    MetadataChanged,
    MissingKey,
    Negotiate,
    Pong,
    Prove,
    Resumed,
    TrackSubscription,
    error_object,
)
from control.protocol.events import CountMetric, Effect, SendChannel
from control.protocol.member import Member
from control.protocol.proving import prove
from control.protocol.reading import ChannelContentError, parse_channel_untrusted
from control.protocol.resumption import settle
from control.protocol.sdp import SdpError
from control.protocol.telling import error_message


def handle_message_untrusted(conference: Conference, member: Member, text: str, now: float) -> list[Effect]:
    """One message. Rubbish costs its sender an error text and nobody else anything."""
    refused = _over_budget(member, member.messages, "", now)
    if refused is not None:
        return refused
    try:
        _, content = parse_channel_untrusted(text)
    except ContentError as error:
        in_reply_to = error.in_reply_to if isinstance(error, ChannelContentError) else ""
        effects: list[Effect] = [
            CountMetric("channel_messages_refused", error.code),
            error_message(member, error.code, error.message, in_reply_to),
        ]
        return effects
    member.tokens.received()
    match content:
        case Prove():
            return prove(conference, member, content, now)
        case Resumed():
            return settle(conference, member, now)
        case TrackSubscription():
            return conference.subscribe(member, content, now)
        case MetadataChanged():
            return conference.mute(member, content.metadata, now)
        case Negotiate():
            return _negotiate(conference, member, content, now)
        case Hangup():
            return conference.leave(member, "hangup", now)
        case MissingKey():
            return [CountMetric("missing_keys", content.source)]
        case Pong():
            return []
    return [CountMetric("channel_messages_unknown")]


def _negotiate(conference: Conference, member: Member, content: Negotiate, now: float) -> list[Effect]:
    refused = _over_budget(member, member.negotiations, names.NEGOTIATE, now)
    if refused is not None:
        return refused
    try:
        answer, effects = conference.renegotiate(member, content, now)
    except (SdpError, ContentError) as error:
        return [
            CountMetric("negotiations_refused", error.code),
            SendChannel(
                member.transport.id, names.NEGOTIATE, {"error": error_object(error.code, error.message)}
            ),
        ]
    reply = SendChannel(
        member.transport.id, names.NEGOTIATE, {"description": {"type": "answer", "sdp": answer}}
    )
    # The answer before the slots: it is what makes their mids mean something.
    return [reply, *effects]


def _over_budget(member: Member, budget: Budget, in_reply_to: str, now: float) -> list[Effect] | None:
    """None when the message may pass."""
    match budget.spend(now):
        case Verdict.PASS:
            return None
        case Verdict.REFUSE:
            message = "Too many messages: slow down; what comes meanwhile is dropped."
            return [
                CountMetric("channel_messages_refused", names.BUSY),
                error_message(member, names.BUSY, message, in_reply_to),
            ]
        case Verdict.DROP:
            return [CountMetric("channel_messages_refused", names.BUSY)]
