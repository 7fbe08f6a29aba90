"""The focus's messages, read as docs/protocol.md section 4 says; Malformed otherwise, nothing else is
raised."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from client.protocol import limits, names
from client.protocol.checked import (
    Malformed,
    binary,
    boolean,
    integer,
    mapping,
    member,
    number,
    sequence,
    text,
)
from client.protocol.messages import (
    Encoding,
    Epoch,
    FocusError,
    Hangup,
    Layer,
    Layers,
    Member,
    Members,
    Message,
    Negotiated,
    Ping,
    Proposed,
    Resume,
    Sealed,
    SealedEncoding,
    SealedSource,
    Send,
    Slot,
    Slots,
    Speakers,
    Unknown,
    Viewers,
    Viewing,
    Welcome,
)

_SLOTS_MAX = 64
_SEALED_MAX = 256
_MID_MAX = 16
_MESSAGE_MAX = 1000


def read_message_untrusted(data: str) -> Message:
    """One message of the focus; Malformed when it is not as the contract says."""
    if len(data) > limits.MESSAGE_MAX_CHARS:
        raise Malformed("the message is too long")
    try:
        envelope = mapping(json.loads(data), "the message")
    except (ValueError, RecursionError):
        raise Malformed("the message is no JSON") from None
    kind = text(envelope.get("type"), "type")
    content = mapping(envelope.get("content"), "content")
    match kind:
        case names.WELCOME:
            return _welcome(content)
        case names.MEMBERS:
            return _members(content)
        case names.SLOTS:
            slots = sequence(content.get("slots"), "slots", _SLOTS_MAX)
            return Slots(integer(content.get("revision"), "revision"), tuple(_slot(each) for each in slots))
        case names.SEND:
            return _send(content)
        case names.SEALED:
            return _sealed(content)
        case names.SPEAKERS:
            return _speakers(content)
        case names.LAYERS:
            return _layers(content)
        case names.VIEWERS:
            return Viewers({_source(name): _viewing(each) for name, each in _entries(content, "sources")})
        case names.EPOCH:
            return _epoch(content)
        case names.NEGOTIATE:
            return _negotiated(content)
        case names.PING:
            return Ping()
        case names.ERROR:
            code, message = read_error_untrusted(content)
            return FocusError(code, message, text(content.get("in_reply_to", ""), "in_reply_to", least=0))
        case names.HANGUP:
            return read_hangup_untrusted(content)
    return Unknown(kind)


def read_error_untrusted(value: object) -> tuple[str, str]:
    """Code and sentence of a P.error object."""
    error = mapping(value, "error")
    return text(error.get("code"), "code"), text(error.get("message", ""), "message", _MESSAGE_MAX, 0)


def read_hangup_untrusted(content: Mapping[str, Any]) -> Hangup:
    """Of the data channel, or of the direct-message room."""
    reason = text(content.get("reason", "user_hangup"), "reason")
    if names.ERROR not in content:
        return Hangup(reason, reason, "")
    return Hangup(reason, *read_error_untrusted(content[names.ERROR]))


def _entries(content: Mapping[str, Any], what: str) -> Iterable[tuple[str, Any]]:
    entries = mapping(content.get(what), what)
    if len(entries) > _SLOTS_MAX:
        raise Malformed(f"{what} has more than {_SLOTS_MAX} entries")
    return entries.items()


def _welcome(content: Mapping[str, Any]) -> Welcome:
    return Welcome(
        version=integer(content.get("version"), "version"),
        member=member(content.get("member")),
        conference_id=text(content.get("conference_id"), "conference_id"),
        ping_interval_s=integer(content.get("ping_interval_ms"), "ping_interval_ms", 1) / 1000,
        epoch=integer(content.get("epoch"), "epoch"),
        verifier=binary(content.get("verifier"), "verifier", 32),
        resume=None if content.get("resume") is None else _resume(mapping(content["resume"], "resume")),
    )


def _resume(content: Mapping[str, Any]) -> Resume:
    return Resume(
        text(content.get("token"), "resume.token"),
        text(content.get("url"), "resume.url", limits.ADDRESS_MAX),
    )


def _members(content: Mapping[str, Any]) -> Members:
    most = limits.MEMBERS_MAX
    return Members(
        reset=boolean(content.get("reset"), "reset"),
        present=tuple(_member(each) for each in sequence(content.get("present"), "present", most)),
        gone=tuple(member(each, "gone") for each in sequence(content.get("gone"), "gone", most)),
        more=boolean(content.get("more", False), "more"),
    )


def _member(value: object) -> Member:
    entry = mapping(value, "a member")
    sources = sequence(entry.get("sources"), "sources", 16)
    return Member(
        member=member(entry.get("member")),
        user_id=text(entry.get("user_id"), "user_id"),
        device_id=text(entry.get("device_id"), "device_id"),
        audio_muted=boolean(entry.get("audio_muted"), "audio_muted"),
        video_muted=boolean(entry.get("video_muted"), "video_muted"),
        # Sources of a later version are passed over.
        sources=tuple(each for each in sources if each in names.SOURCES),
    )


def _mid(value: object) -> str:
    return text(value, "mid", _MID_MAX)


def _source(value: object) -> str:
    if value not in names.SOURCES:
        raise Malformed("a source is none of the four")
    return str(value)


def _slot(value: object) -> Slot:
    entry = mapping(value, "a slot")
    who, source = entry.get("member"), entry.get("source")
    return Slot(
        _mid(entry.get("mid")),
        None if who is None else member(who),
        None if source is None else _source(source),
    )


def _send(content: Mapping[str, Any]) -> Send:
    forms: dict[str, tuple[str, ...]] = {}
    for name, value in _entries(content, "forms") if "forms" in content else ():
        forms[_source(name)] = tuple(text(each, "a form") for each in sequence(value, "forms", 8))
    sealed = _wanted(content, "sealed") if "sealed" in content else {}
    return Send(_wanted(content, "sources"), sealed, forms)


def _wanted(content: Mapping[str, Any], name: str) -> dict[str, dict[str, Encoding]]:
    sources = {}
    for source, value in _entries(content, name):
        encodings = mapping(mapping(value, "a source").get("encodings"), "encodings")
        sources[_source(source)] = {rid: _encoding(encodings[rid]) for rid in names.RIDS if rid in encodings}
    return sources


def _sealed(content: Mapping[str, Any]) -> Sealed:
    sources = sequence(content.get("sources"), "sources", _SEALED_MAX)
    revision = integer(content.get("revision"), "revision", 0, limits.SAFE_INTEGER)
    return Sealed(revision, tuple(_sealed_source(mapping(each, "a source")) for each in sources))


def _sealed_source(entry: Mapping[str, Any]) -> SealedSource:
    def ssrc(value: object) -> int:
        return integer(value, "an SSRC", 1, 0xFFFFFFFF)

    encodings = {}
    for name, value in _entries(entry, "encodings"):
        encoding = mapping(value, "an encoding")
        index = encoding.get("index")
        known = None if index is None else integer(index, "index", 0, (1 << 48) - 1)
        if name in names.RIDS:
            encodings[name] = SealedEncoding(ssrc(encoding.get("ssrc")), known)
    rtx = entry.get("rtx_ssrc")
    return SealedSource(
        member(entry.get("member")),
        _source(entry.get("source")),
        text(entry.get("mid"), "mid", _MID_MAX),
        None if rtx is None else ssrc(rtx),
        encodings,
    )


def _encoding(value: object) -> Encoding:
    """A field that is not as it should be is as if left out (section 4.1)."""
    entry = mapping(value, "an encoding")

    def found(name: str, kinds: tuple[type, ...], least: float, most: float) -> Any:
        value: Any = entry.get(name)
        return value if type(value) in kinds and least <= value <= most else None

    return Encoding(
        active=entry.get("active") is True,
        max_bitrate=found("max_bitrate", (int,), 1, limits.SAFE_INTEGER),
        scale_down_by=found("scale_resolution_down_by", (int, float), 1, 16) or 1.0,
        max_framerate=found("max_framerate", (int,), 1, 60),
    )


def _speakers(content: Mapping[str, Any]) -> Speakers:
    dominant = content.get("dominant")
    speaking = sequence(content.get("speaking"), "speaking", limits.MEMBERS_MAX)
    return Speakers(tuple(member(each) for each in speaking), None if dominant is None else member(dominant))


def _layers(content: Mapping[str, Any]) -> Layers:
    sealed = []
    for each in sequence(content.get("sealed", []), "sealed", _SEALED_MAX):
        entry = mapping(each, "a layer")
        sealed.append(((member(entry.get("member")), _source(entry.get("source"))), _layer(entry)))
    slots = {_mid(mid): _layer(each) for mid, each in _entries(content, "slots")}
    return Layers(slots, tuple(sealed))


def _layer(value: object) -> Layer:
    entry = mapping(value, "a layer")
    encoding = entry.get("encoding")
    if encoding is not None and encoding not in names.RIDS:
        raise Malformed("an encoding is none of t, m, f")
    return Layer(encoding, integer(entry.get("temporal", 0), "temporal", 0, 7))


def _viewing(value: object) -> Viewing:
    entry = mapping(value, "viewers of a source")
    return Viewing(
        integer(entry.get("viewers"), "viewers"),
        number(entry.get("lost_mean"), "lost_mean", 0, 1),
        number(entry.get("lost_worst"), "lost_worst", 0, 1),
    )


def _epoch(content: Mapping[str, Any]) -> Epoch:
    grace = content.get("grace_ms")
    proposed = sequence(content.get("proposed"), "proposed", _SLOTS_MAX)
    return Epoch(
        integer(content.get("epoch"), "epoch"),
        binary(content.get("verifier"), "verifier", 32),
        boolean(content.get("proved"), "proved"),
        None if grace is None else integer(grace, "grace_ms") / 1000,
        tuple(
            Proposed(
                integer(each.get("epoch"), "epoch"),
                binary(each.get("verifier"), "verifier", 32),
                integer(each.get("proved"), "proved"),
                integer(each.get("of"), "of"),
                boolean(each.get("yours"), "yours"),
            )
            for each in (mapping(one, "a proposal") for one in proposed)
        ),
    )


def _negotiated(content: Mapping[str, Any]) -> Negotiated:
    if "error" in content:
        return Negotiated(None, *read_error_untrusted(content["error"]))
    description = mapping(content.get("description"), "description")
    if description.get("type") != "answer":
        raise Malformed("the description is no answer")
    return Negotiated(text(description.get("sdp"), "sdp", limits.MESSAGE_MAX_CHARS))
