"""The one place that reads what others wrote (docs/protocol.md): Matrix contents and data channel messages.

Both functions raise ContentError and nothing else.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from control.protocol import limits, names
from control.protocol.checked import (
    SAFE_INTEGER,
    ContentError,
    binary,
    boolean,
    identifier,
    integer,
    malformed,
    mapping,
    sequence,
    text,
    user_id,
)
from control.protocol.content import (
    Candidates,
    ChannelContent,
    Hangup,
    Invite,
    Join,
    MatrixContent,
    MetadataChanged,
    MissingKey,
    Negotiate,
    Opening,
    Pong,
    Prove,
    Reject,
    Resume,
    Resumed,
    SelectAnswer,
    StreamInfo,
    TrackSubscription,
    TrackWish,
    Unknown,
)
from control.protocol.terms import Terms

_CONFERENCE_ID: Final = re.compile(r"[A-Za-z0-9_-]{22,255}", re.ASCII)
_DEFAULT_LIFETIME_MS: Final = 60_000
# A picture no screen has; beyond it the number is a mistake.
_MAX_PIXELS: Final = 100_000


def parse_matrix_untrusted(event_type: str, content: object) -> MatrixContent:
    """Reads the content of an m.call.* event; ContentError when it is not as the contract says."""
    if not event_type.startswith("m.call."):
        return Unknown()
    event = mapping(content, "The content")
    version = event.get("version")
    # MSC2746: anything but the number 0 and "1" is to be read as "1".
    if type(version) is int and version == 0:
        raise malformed("Calls of version 0 are not understood; use a client that makes calls of version 1.")
    call_id = identifier(event.get("call_id"), "call_id")
    party_id = identifier(event.get("party_id"), "party_id")
    match event_type:
        case names.INVITE:
            return _invite(event, call_id, party_id)
        case names.CANDIDATES:
            return Candidates(call_id, party_id, _has_end(event))
        case names.SELECT_ANSWER:
            return SelectAnswer(
                call_id, party_id, identifier(event.get("selected_party_id"), "selected_party_id")
            )
        case names.HANGUP:
            return Hangup(call_id, party_id, _reason(event))
        case names.REJECT:
            return Reject(call_id, party_id)
        case names.NEGOTIATE:
            return _negotiate(event, call_id, party_id)
        case names.METADATA_CHANGED:
            return MetadataChanged(call_id, party_id, _metadata(event))
    return Unknown()


def parse_channel_untrusted(message: str) -> tuple[str, ChannelContent]:
    """Reads one data channel message into its type and content.

    ContentError when it is not as the contract says; ChannelContentError where its type could be read.
    """
    size = (
        len(message.encode("utf-8", "surrogatepass"))
        if len(message) <= limits.NEGOTIATE_MAX_BYTES
        else len(message)
    )
    if size > limits.NEGOTIATE_MAX_BYTES:
        raise ContentError(names.TOO_LARGE, f"A message is larger than {limits.NEGOTIATE_MAX_BYTES} bytes.")
    try:
        value = json.loads(message, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ContentError(names.MESSAGE_MALFORMED, "A message is not JSON.") from None
    try:
        envelope = mapping(value, "The message")
        message_type = identifier(envelope.get("type"), "The message's type")
    except ContentError as error:
        raise ContentError(names.MESSAGE_MALFORMED, error.message) from None
    if message_type != names.NEGOTIATE and size > limits.MESSAGE_MAX_BYTES:
        raise ChannelContentError(
            names.TOO_LARGE, f"A message is larger than {limits.MESSAGE_MAX_BYTES} bytes.", message_type
        )
    try:
        return message_type, _channel_content(
            message_type, mapping(envelope.get("content"), "The message's content")
        )
    except ContentError as error:
        code = names.MESSAGE_MALFORMED if error.code == names.INVITE_MALFORMED else error.code
        raise ChannelContentError(code, error.message, message_type) from None


class ChannelContentError(ContentError):
    """As ContentError, for a message whose type is known."""

    def __init__(self, code: str, message: str, in_reply_to: str) -> None:
        super().__init__(code, message)
        # Only names of the contract are repeated to the sender.
        self.in_reply_to = in_reply_to


def parse_resume_untrusted(body: str) -> Resume:
    """Reads the body of POST /resume; ContentError when it is not as the contract says."""
    if len(body) > limits.RESUME_MAX_BYTES:
        raise ContentError(names.TOO_LARGE, f"The body is larger than {limits.RESUME_MAX_BYTES} bytes.")
    try:
        value = mapping(json.loads(body, parse_constant=_refuse_constant), "The body")
        return Resume(
            text(value.get("token"), "token", limits.ID_MAX), _description(value, "offer"), _metadata(value)
        )
    except (ValueError, RecursionError):
        raise ContentError(names.MESSAGE_MALFORMED, "The body is not JSON.") from None
    except ContentError as error:
        code = names.MESSAGE_MALFORMED if error.code == names.INVITE_MALFORMED else error.code
        raise ContentError(code, error.message) from None


def _channel_content(message_type: str, content: Mapping[str, Any]) -> ChannelContent:
    match message_type:
        case names.TRACK_SUBSCRIPTION:
            return _subscription(content)
        case names.METADATA_CHANGED:
            return MetadataChanged("", "", _metadata(content))
        case names.NEGOTIATE:
            return Negotiate("", "", _description(content, "description"), _metadata(content))
        case names.PONG:
            return Pong()
        case names.MISSING_KEY:
            return MissingKey(
                _member(content.get("member"), "member"), _source(content.get("source"), "source")
            )
        case names.PROVE:
            return Prove(
                integer(content.get("epoch"), "epoch", 0, SAFE_INTEGER),
                binary(content.get("verifier"), "verifier", 32),
                binary(content.get("proof"), "proof", 64),
            )
        case names.RESUMED:
            return Resumed()
        case names.HANGUP:
            return Hangup("", "", _reason(content))
    return Unknown()


def _invite(event: Mapping[str, Any], call_id: str, party_id: str) -> Invite:
    invitee = event.get("invitee")
    join = event.get(names.JOIN)
    lifetime = event.get("lifetime", _DEFAULT_LIFETIME_MS)
    return Invite(
        call_id=call_id,
        party_id=party_id,
        lifetime_ms=min(integer(lifetime, "lifetime", 0, SAFE_INTEGER), limits.INVITE_LIFETIME_MAX_MS),
        invitee=None if invitee is None else user_id(invitee, "invitee"),
        sdp=_description(event, "offer"),
        metadata=_metadata(event),
        join=None if join is None else _join(mapping(join, names.JOIN)),
    )


def _join(join: Mapping[str, Any]) -> Join:
    conference_id = text(join.get("conference_id"), "conference_id", limits.ID_MAX)
    if not _CONFERENCE_ID.fullmatch(conference_id):
        raise malformed("conference_id is not 22 or more characters of A-Z a-z 0-9 _ -.")
    opening = join.get("open")
    return Join(
        conference_id=conference_id,
        creator=user_id(join.get("creator"), "creator"),
        epoch=integer(join.get("epoch"), "epoch", 0, SAFE_INTEGER),
        device_id=identifier(join.get("device_id"), "device_id"),
        ts=integer(join.get("ts"), "ts", 0, SAFE_INTEGER),
        proof=_proof(join),
        opening=None if opening is None else _opening(mapping(opening, "open")),
    )


def _proof(join: Mapping[str, Any]) -> bytes:
    try:
        return binary(join.get("proof"), "proof", 64)
    except ContentError as error:
        raise ContentError(names.TICKET_INVALID, error.message) from None


def _opening(opening: Mapping[str, Any]) -> Opening:
    intent = opening.get("intent", "video")
    if intent not in ("video", "voice"):
        raise malformed("intent is neither video nor voice.")
    bounds = mapping(opening.get("limits", {}), "limits")
    members = bounds.get("members")
    most = limits.MEMBERS_MAX if members is None else integer(members, "limits.members", 1, SAFE_INTEGER)
    terms = Terms(intent == "voice", min(most, limits.MEMBERS_MAX))
    return Opening(binary(opening.get("verifier"), "verifier", 32), terms)


def _negotiate(event: Mapping[str, Any], call_id: str, party_id: str) -> Negotiate:
    offer_id = event.get(names.OFFER_ID)
    return Negotiate(
        call_id,
        party_id,
        _description(event, "description"),
        _metadata(event),
        None if offer_id is None else identifier(offer_id, names.OFFER_ID),
    )


def _description(event: Mapping[str, Any], name: str) -> str:
    description = mapping(event.get(name), name)
    if description.get("type") != "offer":
        raise malformed(f"{name} is not of type offer; the focus only answers.")
    # What is in it sdp.py judges, its size included.
    return text(description.get("sdp"), f"{name}.sdp", limits.SDP_MAX_BYTES)


def _metadata(event: Mapping[str, Any]) -> dict[str, StreamInfo]:
    streams = mapping(event.get(names.METADATA, {}), names.METADATA)
    if len(streams) > limits.STREAMS_MAX:
        raise ContentError(names.TOO_LARGE, f"{names.METADATA} has more than {limits.STREAMS_MAX} streams.")
    return {_stream_id(stream_id): _stream(info) for stream_id, info in streams.items()}


def _stream_id(value: object) -> str:
    return text(value, "A stream's id", limits.SDP_MAX_MSID)


def _stream(value: object) -> StreamInfo:
    info = mapping(value, "A stream's metadata")
    return StreamInfo(
        purpose=text(info.get("purpose", names.USERMEDIA), "purpose", limits.ID_MAX),
        audio_muted=boolean(info.get("audio_muted", False), "audio_muted"),
        video_muted=boolean(info.get("video_muted", False), "video_muted"),
    )


def _has_end(event: Mapping[str, Any]) -> bool:
    """The mark is a candidate whose value is the empty text (MSC2746)."""
    candidates = sequence(event.get("candidates"), "candidates", limits.CANDIDATES_MAX)
    return any(mapping(each, "A candidate").get("candidate") == "" for each in candidates)


def _reason(event: Mapping[str, Any]) -> str:
    return text(event.get("reason", "user_hangup"), "reason", limits.ID_MAX)


def _subscription(content: Mapping[str, Any]) -> TrackSubscription:
    most = limits.SUBSCRIPTION_ENTRIES_MAX
    return TrackSubscription(
        subscribe=tuple(
            _track_wish(each) for each in sequence(content.get("subscribe", []), "subscribe", most)
        ),
        unsubscribe=tuple(
            _track(each) for each in sequence(content.get("unsubscribe", []), "unsubscribe", most)
        ),
    )


def _track_wish(value: object) -> TrackWish:
    member, source = _track(value)
    entry = mapping(value, "An entry")
    height, focus, priority = entry.get("height"), entry.get("focus"), entry.get("priority", 0)
    if (width := entry.get("width")) is not None:
        _pixels(width, "width")
    return TrackWish(
        member=member,
        source=source,
        height=None if height is None else _pixels(height, "height"),
        focus=None if focus is None else boolean(focus, "focus"),
        priority=integer(priority, "priority", 0, limits.PRIORITY_MAX),
    )


def _track(value: object) -> tuple[int, str]:
    entry = mapping(value, "An entry")
    stream_id = text(entry.get("stream_id"), "stream_id", 5)
    if not (stream_id.isascii() and stream_id.isdigit()):
        raise malformed("stream_id is not a member number in decimal.")
    return _member(int(stream_id), "stream_id"), _source(entry.get("track_id"), "track_id")


def _pixels(value: object, what: str) -> int:
    """Elements of a page may be sized in fractions of a pixel."""
    if isinstance(value, float) and 0 <= value <= _MAX_PIXELS:
        return int(value)
    return integer(value, what, 0, _MAX_PIXELS)


def _member(value: object, what: str) -> int:
    return integer(value, what, 1, 0xFFFF)


def _source(value: object, what: str) -> str:
    if not isinstance(value, str) or value not in names.SOURCES:
        raise malformed(f"{what} is none of {', '.join(names.SOURCES)}.")
    return value


def _refuse_constant(_: str) -> None:
    """JSON knows no NaN and no Infinity; Python's reader does."""
    raise ValueError
