"""Events of the conference room and between devices, read and written (docs/protocol.md sections 1, 2, 5)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from client.protocol import limits
from client.protocol.checked import (
    Malformed,
    binary,
    boolean,
    integer,
    mapping,
    member,
    sequence,
    text,
    unpadded,
    user_id,
)

_CONFERENCE_ID = re.compile(r"[A-Za-z0-9_-]{22,255}", re.ASCII)
_KEYS_MAX = 16
_REACTION_UNITS = 16


@dataclass(frozen=True, slots=True)
class Announcement:
    """One conference of a room."""

    conference_id: str
    creator: str
    focus: str
    intent: str
    created_ts: int
    url: str | None = None  # where the focus's config.json is
    members: int | None = None  # devices that may be inside

    @property
    def name(self) -> tuple[str, str]:
        """What it is known by, whoever announces it."""
        return self.creator, self.conference_id

    @property
    def terms(self) -> dict[str, object]:
        """What the focus holds members to."""
        bounds = {} if self.members is None else {"limits": {"members": self.members}}
        return {"intent": self.intent, **bounds}

    def content(self, announcer: str) -> dict[str, object]:
        url = {} if self.url is None else {"url": self.url}
        return {
            "conference_id": self.conference_id,
            "focus": {"user_id": self.focus, **url},
            **self.terms,
            **({} if announcer == self.creator else {"creator": self.creator}),
            "created_ts": self.created_ts,
            "ended": False,
        }


@dataclass(frozen=True, slots=True)
class KeyEntry:
    source: int
    epoch: int
    ratchet: int
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MediaKeys:
    conference_id: str
    member: int
    device_id: str
    keys: tuple[KeyEntry, ...]

    def content(self) -> dict[str, object]:
        return {
            "conference_id": self.conference_id,
            "member": self.member,
            "device_id": self.device_id,
            "keys": [
                {
                    "source": each.source,
                    "epoch": each.epoch,
                    "ratchet": each.ratchet,
                    "key": unpadded(each.key),
                }
                for each in self.keys
            ],
        }


@dataclass(frozen=True, slots=True)
class KeyRequest:
    conference_id: str
    member: int
    source: int
    epoch: int

    def content(self) -> dict[str, object]:
        return {
            "conference_id": self.conference_id,
            "member": self.member,
            "source": self.source,
            "epoch": self.epoch,
        }


@dataclass(frozen=True, slots=True)
class Hand:
    conference_id: str
    member: int
    raised: bool

    def content(self) -> dict[str, object]:
        return {"conference_id": self.conference_id, "member": self.member, "raised": self.raised}


@dataclass(frozen=True, slots=True)
class MuteRequest:
    """`source`: audio, camera or screen."""

    conference_id: str
    member: int
    source: str

    def content(self) -> dict[str, object]:
        return {"conference_id": self.conference_id, "member": self.member, "source": self.source}


@dataclass(frozen=True, slots=True)
class Reaction:
    """`key` is one emoji."""

    conference_id: str
    member: int
    key: str

    def content(self) -> dict[str, object]:
        return {"conference_id": self.conference_id, "member": self.member, "key": self.key}


def conference_id_untrusted(content: Mapping[str, Any]) -> str:
    found = text(content.get("conference_id"), "conference_id")
    if not _CONFERENCE_ID.fullmatch(found):
        raise Malformed("conference_id is not 22 or more characters of A-Z a-z 0-9 _ -")
    return found


def read_announcement_untrusted(content: object, sender: str) -> Announcement | None:
    """None when it says that the sender's conference has ended."""
    event = mapping(content, "the announcement")
    if not event or event.get("ended") is True:
        return None
    intent = text(event.get("intent", "video"), "intent")
    focus, bounds = mapping(event.get("focus"), "focus"), mapping(event.get("limits", {}), "limits")
    members, url = bounds.get("members"), focus.get("url")
    return Announcement(
        conference_id=conference_id_untrusted(event),
        creator=user_id(event.get("creator", sender), "creator"),
        focus=user_id(focus.get("user_id"), "focus.user_id"),
        intent=intent if intent in ("video", "voice") else "video",
        created_ts=integer(event.get("created_ts"), "created_ts"),
        url=None if url is None else text(url, "focus.url", limits.ADDRESS_MAX),
        members=None if members is None else integer(members, "limits.members", 1),
    )


def read_ticket_request_untrusted(content: object) -> str:
    """The conference it is for."""
    return conference_id_untrusted(mapping(content, "the ticket request"))


def read_media_keys_untrusted(content: object) -> MediaKeys:
    event = mapping(content, "the keys")
    return MediaKeys(
        conference_id=conference_id_untrusted(event),
        member=member(event.get("member")),
        device_id=text(event.get("device_id"), "device_id"),
        keys=tuple(_key(each) for each in sequence(event.get("keys"), "keys", _KEYS_MAX)),
    )


def _key(value: object) -> KeyEntry:
    entry = mapping(value, "a key")
    return KeyEntry(
        source=integer(entry.get("source"), "source", 0, 15),
        epoch=integer(entry.get("epoch"), "epoch"),
        ratchet=integer(entry.get("ratchet"), "ratchet", 0, 255),
        key=binary(entry.get("key"), "key", 16),
    )


def read_key_request_untrusted(content: object) -> KeyRequest:
    event = mapping(content, "the key request")
    return KeyRequest(
        conference_id=conference_id_untrusted(event),
        member=member(event.get("member")),
        source=integer(event.get("source"), "source", 0, 15),
        epoch=integer(event.get("epoch"), "epoch"),
    )


def read_hand_untrusted(content: object) -> Hand:
    event = mapping(content, "the hand")
    return Hand(
        conference_id_untrusted(event),
        member(event.get("member")),
        boolean(event.get("raised"), "raised"),
    )


def read_mute_request_untrusted(content: object) -> MuteRequest:
    event = mapping(content, "the mute request")
    source = event.get("source")
    if source not in ("audio", "camera", "screen"):
        raise Malformed("source is none that can be turned off")
    return MuteRequest(conference_id_untrusted(event), member(event.get("member")), str(source))


def read_reaction_untrusted(content: object) -> Reaction:
    event = mapping(content, "the reaction")
    key = text(event.get("key"), "key", _REACTION_UNITS)
    # UTF-16 units count; and what is no emoji is no reaction: letters and digits would be words.
    if len(key.encode("utf-16-le", "surrogatepass")) > 2 * _REACTION_UNITS or key.isascii() or key.isalnum():
        raise Malformed("key is no emoji")
    return Reaction(conference_id_untrusted(event), member(event.get("member")), key)
