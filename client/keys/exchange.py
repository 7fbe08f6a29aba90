"""Who may have our keys, and whose keys we believe (docs/protocol.md section 5). Pure: performs nothing.

The focus says who is in the conference, the room who may have keys.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from client.keys.frames import BaseKey
from client.keys.keyring import Keyring
from client.keys.own import OwnKeys
from client.protocol import limits
from client.protocol.events import KeyEntry, KeyRequest, MediaKeys


class Device(NamedTuple):
    """As the encryption of a message proves it."""

    user_id: str
    device_id: str


NOBODYS = float("inf")


@dataclass(slots=True)
class _Member:
    device: Device
    since: float  # first change of ours that is made for them; NOBODYS: none


class KeyExchange:
    """`own` decides when keys change; here is decided who is told, and whom we believe."""

    def __init__(
        self, conference_id: str, own: OwnKeys, keyring: Keyring, in_room: Callable[[str], bool]
    ) -> None:
        self.conference_id = conference_id
        self.own = own
        self.keyring = keyring
        self.number = 0  # ours
        self._in_room = in_room
        self._members: dict[int, _Member] = {}
        self._owners: dict[int, Device] = {}
        self._gone: set[int] = set()
        self._early: list[tuple[MediaKeys, Device]] = []
        self._answered: dict[Device, float] = {}
        self._waiting: set[Device] = set()
        self._asked: dict[int, float] = {}

    # --- who is there ---

    def joined(self, number: int, device: Device, news: bool, now: float) -> bool:
        """The roster names a member; `news` unless they were there before us. False: the number is
        another's."""
        if number in self._gone or self._owners.setdefault(number, device) != device:
            return False
        if number in self._members or number == self.number:
            return True
        since: float = NOBODYS
        if self._in_room(device.user_id):
            since = self.own.member_joined(now) if news else 0
        self._members[number] = _Member(device, since)
        early, self._early = self._early, []
        for keys, sender in early:
            self.keys_arrived(keys, sender)
        return True

    def left(self, number: int) -> None:
        member = self._members.pop(number, None)
        if member is None:
            return
        self._gone.add(number)
        self.keyring.drop(number)
        if member.since != NOBODYS:
            self.own.member_left()

    def room_changed(self, user_id: str, now: float) -> None:
        """Somebody came into the room or left it; the focus may go on naming them as if nothing had
        happened."""
        present = self._in_room(user_id)
        theirs = [
            each
            for each in self._members.values()
            if each.device.user_id == user_id and present == (each.since == NOBODYS)
        ]
        for member in theirs:
            member.since = self.own.member_joined(now) if present else NOBODYS
        if theirs and not present:
            self.own.member_left()

    def recipients(self) -> list[Device]:
        """Devices that our keys go to."""
        return [each.device for each in self._members.values() if self._in_room(each.device.user_id)]

    # --- their keys ---

    def keys_arrived(self, keys: MediaKeys, sender: Device) -> str | None:
        """Why they were refused; None when taken, or kept until the roster names the member.

        `sender` is what the encryption proved. Keys of other conferences and our own are passed over.
        """
        if keys.conference_id != self.conference_id or keys.member == self.number:
            return None
        if keys.device_id != sender.device_id:
            return "another device sent them"
        if keys.member in self._gone:
            return "the member has left"
        if not self._in_room(sender.user_id):
            return "the sender is not in the room"
        owner = self._owners.get(keys.member)
        if owner is None:
            self._early.append((keys, sender))
            del self._early[: -limits.EARLY_KEYS_MAX]
            return None
        if owner != sender:
            return "the member number is another device's"
        added = [
            self.keyring.add(keys.member, each.source, BaseKey(each.epoch, each.ratchet, each.key))
            for each in keys.keys
        ]
        return None if all(added) else "another key of the same step is known"

    def missing(self, number: int, source: int, epoch: int, since: float, now: float) -> Device | None:
        """Whom to ask for the key of a frame that came at `since`; None: not now."""
        member = self._members.get(number)
        if member is None or now - since < limits.KEY_PATIENCE_S:
            return None
        if now - self._asked.get(number, -NOBODYS) < limits.KEY_REQUEST_S:
            return None
        self._asked[number] = now
        return member.device

    # --- our keys ---

    def content(
        self, keys: dict[int, BaseKey] | dict[int, list[BaseKey]], device_id: str
    ) -> dict[str, object]:
        """Of P.media_keys."""
        entries = [
            KeyEntry(source, key.epoch, key.step, key.key)
            for source, value in keys.items()
            for key in (value if isinstance(value, list) else [value])
        ]
        return MediaKeys(self.conference_id, self.number, device_id, tuple(entries)).content()

    def request_arrived(self, request: KeyRequest, sender: Device, now: float) -> dict[int, list[BaseKey]]:
        """What to answer it with; empty: nothing, or later (`answers`)."""
        if request.conference_id != self.conference_id or request.member != self.number:
            return {}
        since = self._since(sender)
        if since == NOBODYS:
            return {}
        keys = self.own.since(int(since))
        if not keys:
            self._waiting.add(sender)
            return {}
        if now - self._answered.get(sender, -NOBODYS) < limits.KEY_REQUEST_S:
            return {}
        self._answered[sender] = now
        return keys

    def answers(self) -> Iterable[tuple[Device, dict[int, list[BaseKey]]]]:
        """After our keys were sent: those who asked before the keys that they may have were made."""
        for device in list(self._waiting):
            since = self._since(device)
            keys = {} if since == NOBODYS else self.own.since(int(since))
            if keys or since == NOBODYS:
                self._waiting.discard(device)
            if keys:
                yield device, keys

    def _since(self, device: Device) -> float:
        """A device may be a member twice for a moment; the later membership counts."""
        theirs = [each.since for each in self._members.values() if each.device == device]
        return max(theirs, default=NOBODYS) if self._in_room(device.user_id) else NOBODYS
