"""Keys of no use any more: of devices that were logged out or never were known, and those that newer ones of
a device replaced.

matrix-nio keeps every device, Olm session and room key that it ever met, in memory and in its database, and
reads all of them at each start. Somebody who joins with a new device each time would cost 10 KiB for ever,
and every start a little longer.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from nio import AsyncClient
from nio.crypto import Olm, OlmDevice
from nio.store.file_trustdb import Key
from nio.store.models import DeviceKeys, Keys, MegolmInboundSessions, OlmSessions
from peewee import SQL

LOOK_S: Final = 60.0
"""Between two looks. Higher: more is kept meanwhile. Lower: each walks over all that is kept."""
GONE_S: Final = 180.0
"""So long is a device remembered that its owner logged out: what it had sent before may still come. Lower:
the last words of a call are unreadable. Higher: memory."""
KEPT: Final = 4
"""Olm sessions with one device, and keys of one device for one room: it uses the newest. Lower: messages that
overtook each other are unreadable. Higher: memory of every device."""
ELSEWHERE_S: Final = 3600.0
"""So long are keys kept for a room that the bot is not in. Lower: who called while the bot could not join yet
is not understood in that room. Higher: memory."""
ELSEWHERE_MAX: Final = 1000
"""Of so many such rooms. Anybody may send keys of any room, one key of 1 KiB as fast as a homeserver passes
it on. Higher: memory that strangers fill. Lower: while a flood lasts, whoever calls in a new room is not
understood."""
UNKNOWN_S: Final = 3600.0
"""So long are keys kept under an identity key of no device that we know. Lower: who calls while the
homeserver cannot be asked about devices is not understood later. Higher: memory."""
UNKNOWN_MAX: Final = 1000
"""Under so many such identity keys, 3 KiB each: anybody can make them up, each for one of our one-time keys.
Higher: memory that strangers fill. Lower: while a flood lasts, whoever calls with a new device has to begin
anew."""
MESSAGES_KNOWN: Final = 1000
"""Encrypted events that are known if they come a second time, 0.5 KiB each; a call has about five. Lower: of
a call that a homeserver repeats only the ticket's proof says so, which is taken once and soon too old."""


class Forgetting:
    """Of one logged-in client; `look` after each answer of the homeserver."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._gone: dict[tuple[str, str], float] = {}  # since when, by user and device
        self._elsewhere: dict[str, float] = {}  # since when, by room; the oldest first
        self._unknown: dict[str, float] = {}  # since when, by identity key; the oldest first
        self._next = 0.0
        if client.olm is not None:
            cache = client.olm.message_index_store
            client.olm.message_index_store = type(cache)(MESSAGES_KNOWN)

    def look(self, now: float) -> int:
        """At most every LOOK_S: how many keys were forgotten. Raises what the database raises."""
        olm = self._client.olm
        if olm is None or now < self._next:
            return 0
        self._next = now + LOOK_S
        gone = {(each.user_id, each.id): each for each in olm.device_store if each.deleted}
        self._gone = {which: self._gone.get(which, now) for which in gone}
        over = [gone[which] for which, since in self._gone.items() if now - since >= GONE_S]
        return forget(olm, over, self._rooms_of_others(olm, now), self._of_no_device(olm, now))

    def _rooms_of_others(self, olm: Olm, now: float) -> list[str]:
        """Those that the bot has not been in for long, or of which there are too many: the oldest."""
        rooms = [room for room in olm.inbound_group_store._entries if room not in self._client.rooms]
        self._elsewhere, over = _outdated(self._elsewhere, rooms, now, ELSEWHERE_S, ELSEWHERE_MAX)
        return over

    def _of_no_device(self, olm: Olm, now: float) -> list[str]:
        """Identity keys: those that have been no device's for long, or of which there are too many."""
        devices = {each.curve25519 for each in olm.device_store}
        with_keys = {*olm.session_store._entries, *_senders(olm)}
        self._unknown, over = _outdated(self._unknown, with_keys - devices, now, UNKNOWN_S, UNKNOWN_MAX)
        return over


def _outdated(
    before: dict[str, float], there: Iterable[str], now: float, kept_s: float, most: int
) -> tuple[dict[str, float], list[str]]:
    """Since when each of those is there, the oldest first; and which of them are there for too long, or are
    the oldest of too many."""
    known = sorted((before.get(each, now), each) for each in there)
    too_many = len(known) - most
    over = [each for at, (since, each) in enumerate(known) if at < too_many or now - since >= kept_s]
    return {each: since for since, each in known}, over


def _senders(olm: Olm) -> Iterator[str]:
    """Of room keys."""
    for senders in olm.inbound_group_store._entries.values():
        yield from senders


def forget(
    olm: Olm, gone: Iterable[OlmDevice], rooms: Iterable[str] = (), unknown: Iterable[str] = ()
) -> int:
    """These devices with all their keys, all keys of these rooms and under these identity keys of no device,
    and of every other device all keys but the newest."""
    devices, of_others = list(gone), set(rooms)
    for device in devices:
        del olm.device_store[device.user_id][device.id]
    # Two devices with one key: nobody's but a liar's, and the other one is still there.
    theirs = {each.curve25519 for each in devices} - {each.curve25519 for each in olm.device_store}
    theirs.update(unknown)
    olm_sessions = [each.id for each in _old_sessions(olm, theirs)]
    room_keys = [each.id for each in _old_room_keys(olm, theirs, of_others)]
    if devices or olm_sessions or room_keys:
        _erase(olm.store, devices, olm_sessions, room_keys)
    return len(olm_sessions) + len(room_keys)


def _old_sessions(olm: Olm, gone: set[str]) -> Iterator[Any]:
    entries = olm.session_store._entries  # the newest first
    for key in list(entries):
        yield from entries[key] if key in gone else entries[key][KEPT:]
        del entries[key][0 if key in gone else KEPT :]
        if not entries[key]:
            del entries[key]


def _old_room_keys(olm: Olm, gone: set[str], of_others: set[str]) -> Iterator[Any]:
    rooms = olm.inbound_group_store._entries
    for room_id in list(rooms):
        senders = rooms[room_id]
        for key in list(senders):
            of_one = senders[key]  # the newest last
            for session_id in list(of_one)[: len(of_one) if key in gone or room_id in of_others else -KEPT]:
                yield of_one.pop(session_id)
            if not of_one:  # also of messages under keys that nobody ever sent
                del senders[key]
        if not senders:
            del rooms[room_id]


def _erase(store: Any, devices: list[OlmDevice], olm_sessions: list[str], room_keys: list[str]) -> None:
    """From the database, in one step. No statement's text depends on how many there are: each text would stay
    in memory, prepared."""
    with store.database.bind_ctx(store.models), store.database.atomic():
        for device in devices:
            this = (DeviceKeys.user_id == device.user_id) & (DeviceKeys.device_id == device.id)
            Keys.delete().where(Keys.device.in_(DeviceKeys.select().where(this))).execute()
            DeviceKeys.delete().where(this).execute()
        for model, ids in ((OlmSessions, olm_sessions), (MegolmInboundSessions, room_keys)):
            of_these = SQL("(SELECT value FROM json_each(?))", [json.dumps(ids)])
            model.delete().where(model.session_id.in_(of_these)).execute()
    if devices:
        # matrix-nio asks about each new device and writes the answer into a file of all of them.
        store.ignore_db.remove_many([Key.from_olmdevice(each) for each in devices])
