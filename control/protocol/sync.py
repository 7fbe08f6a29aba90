"""A homeserver's /sync answer, cut into pieces that are safe to hand on one by one.

matrix-nio parses a whole answer at once and loses all of it for one malformed event, for ever, because the
position does not advance either. Cutting it first bounds what a poisonous event can cost: itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

JsonObject = dict[str, Any]


class SyncError(Exception):
    """The answer as a whole is unusable; its position must not be taken."""


@dataclass(frozen=True, slots=True)
class CorePiece:
    """Device lists and key counts.

    Comes first, because later pieces are encrypted for and by those devices.
    """

    body: JsonObject


@dataclass(frozen=True, slots=True)
class ToDevicePiece:
    """One to-device event."""

    body: JsonObject


@dataclass(frozen=True, slots=True)
class RoomPiece:
    """One state or timeline event of a joined room; `event` is None for the room's summary alone."""

    room_id: str
    event: JsonObject | None
    body: JsonObject


@dataclass(frozen=True, slots=True)
class InvitePiece:
    """An invitation of the bot."""

    room_id: str
    state: tuple[JsonObject, ...]


@dataclass(frozen=True, slots=True)
class LeftPiece:
    """A room the bot is no longer in."""

    room_id: str


@dataclass(frozen=True, slots=True)
class PoisonPiece:
    """Something that cannot be an event; counted and skipped."""

    room_id: str | None


Piece = CorePiece | ToDevicePiece | RoomPiece | InvitePiece | LeftPiece | PoisonPiece


def next_batch_untrusted(answer: object) -> str:
    """The position after this answer; SyncError when there is none."""
    if isinstance(answer, dict) and isinstance(token := answer.get("next_batch"), str) and token:
        return token
    raise SyncError("the homeserver's sync answer has no next_batch")


def split_untrusted(answer: object) -> Iterator[Piece]:
    """Pieces in the order they have to be handled.

    Devices, to-device, invitations, joined rooms, left rooms.
    """
    token = next_batch_untrusted(answer)
    assert isinstance(answer, dict)
    yield CorePiece(_body(token, device_lists=_device_lists(answer), counts=_counts(answer)))
    for event in _list(_object(answer.get("to_device")).get("events")):
        if (
            isinstance(event, dict)
            and isinstance(event.get("content"), dict)
            and _texts(event, "type", "sender")
        ):
            yield ToDevicePiece(_body(token, to_device=[event]))
        else:
            yield PoisonPiece(None)
    rooms = _object(answer.get("rooms"))
    for room_id, room in _rooms(rooms, "invite"):
        state = _list(_object(_object(room).get("invite_state")).get("events"))
        yield InvitePiece(room_id, tuple(event for event in state if isinstance(event, dict)))
    for room_id, room in _rooms(rooms, "join"):
        yield from _joined(token, room_id, _object(room))
    for room_id, _ in _rooms(rooms, "leave"):
        yield LeftPiece(room_id)


def _joined(token: str, room_id: str, room: JsonObject) -> Iterator[Piece]:
    """One piece per event, so that no event shares its fate with another."""
    yield RoomPiece(room_id, None, _room_body(token, room_id, summary=_summary(room)))
    for section in ("state", "timeline"):
        for event in _list(_object(room.get(section)).get("events")):
            if is_room_event(event):
                yield RoomPiece(room_id, event, _room_body(token, room_id, **{section: event}))
            else:
                yield PoisonPiece(room_id)


def is_room_event(event: object) -> bool:
    """Whether this has the fields every room event has, in their types (client-server API, event format)."""
    return (
        isinstance(event, dict)
        and isinstance(event.get("content"), dict)
        and _texts(event, "type", "sender", "event_id")
        and isinstance(event.get("origin_server_ts"), int)
        and not isinstance(event.get("origin_server_ts"), bool)
        and isinstance(event.get("unsigned", {}), dict)
        and isinstance(event.get("state_key", ""), str)
    )


def age_ms(event: JsonObject) -> int | None:
    """How long ago the homeserver received the event when it answered (MSC2746.

    Not by clocks); None when it does not say.
    """
    age = _object(event.get("unsigned")).get("age")
    return age if isinstance(age, int) and not isinstance(age, bool) and age >= 0 else None


def _body(token: str, **parts: Any) -> JsonObject:
    """A whole answer as matrix-nio's schema wants it, empty but for `parts`."""
    return {
        "next_batch": token,
        "device_one_time_keys_count": parts.get("counts", {}),
        "device_lists": parts.get("device_lists", {"changed": [], "left": []}),
        "to_device": {"events": parts.get("to_device", [])},
        "presence": {"events": []},
        "account_data": {"events": []},
        "rooms": {"invite": {}, "join": parts.get("join", {}), "leave": {}},
    }


def _room_body(
    token: str,
    room_id: str,
    state: JsonObject | None = None,
    timeline: JsonObject | None = None,
    summary: JsonObject | None = None,
) -> JsonObject:
    room = {
        "state": {"events": [state] if state else []},
        "timeline": {"events": [timeline] if timeline else [], "limited": False, "prev_batch": token},
        "ephemeral": {"events": []},
        "account_data": {"events": []},
        "summary": summary or {},
    }
    return _body(token, join={room_id: room})


def _summary(room: JsonObject) -> JsonObject:
    """Only counts that are counts: anything else would stop the room."""
    summary = _object(room.get("summary"))
    names = ("m.joined_member_count", "m.invited_member_count")
    return {name: summary[name] for name in names if isinstance(summary.get(name), int)}


def _device_lists(answer: JsonObject) -> JsonObject:
    lists = _object(answer.get("device_lists"))
    return {name: [u for u in _list(lists.get(name)) if isinstance(u, str)] for name in ("changed", "left")}


def _counts(answer: JsonObject) -> JsonObject:
    counts = _object(answer.get("device_one_time_keys_count"))
    return {name: n for name, n in counts.items() if isinstance(n, int) and not isinstance(n, bool)}


def _rooms(rooms: JsonObject, section: str) -> list[tuple[str, object]]:
    return [
        (room_id, room) for room_id, room in _object(rooms.get(section)).items() if room_id.startswith("!")
    ]


def _texts(event: JsonObject, *names: str) -> bool:
    return all(isinstance(event.get(name), str) and event[name] for name in names)


def _object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
