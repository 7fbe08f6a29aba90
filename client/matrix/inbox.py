"""What a homeserver sends, as events with the device that encrypted them, told to listeners in order."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nio import AsyncClient, Event, MegolmEvent, RoomKeyEvent, SyncResponse

from client.keys.exchange import Device
from client.matrix.olm import OlmMessage, learn_devices, proved_device

log = logging.getLogger(__name__)

# Encrypted events whose key may still come. Higher: memory a room member can fill; lower: keys that come
# slowly come in vain.
UNDECRYPTED_MAX, UNDECRYPTED_S = 256, 120.0


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """`device`: who encrypted it, as its keys prove; None when it came in clear or the device is unknown."""

    room_id: str
    type: str
    sender: str
    content: dict[str, Any]
    ts: int
    event_id: str
    state_key: str | None = None
    encrypted: bool = False
    device: Device | None = None
    own: bool = False  # this very device sent it


@dataclass(frozen=True, slots=True)
class DirectMessage:
    """From device to device, Olm-encrypted and proved."""

    type: str
    content: dict[str, Any]
    device: Device


class Inbox:
    """Listeners are called from the task that follows the homeserver; they must not wait."""

    def __init__(self, client: AsyncClient, ours: Device) -> None:
        self._client, self._ours = client, ours
        self._undecrypted: OrderedDict[str, tuple[str, MegolmEvent, float]] = OrderedDict()
        self.changed = asyncio.Event()
        self.on_event: list[Callable[[RoomEvent], None]] = []
        self.on_direct: list[Callable[[DirectMessage], None]] = []
        self.on_member: list[Callable[[str, str], None]] = []

    async def deliver(self, answer: SyncResponse) -> None:
        """Keys first: what they open may be in the same answer."""
        for event in answer.to_device_events:
            if isinstance(event, RoomKeyEvent):
                await self._retry(event.session_id)
            elif isinstance(event, OlmMessage):
                await self._direct(event)
        for room_id, info in answer.rooms.join.items():
            for event in info.state:
                self._tell(self.read(room_id, event))
            for event in info.timeline.events:
                if isinstance(event, MegolmEvent):
                    self.keep(room_id, event)
                else:
                    await self._take(room_id, event)
        self.changed.set()

    def read(self, room_id: str, event: Event) -> RoomEvent | None:
        """None when it is no event."""
        read = from_source(room_id, event.source)
        if read is None or not getattr(event, "decrypted", False):
            return read
        olm = self._client.olm
        own = event.sender_key == olm.account.identity_keys["curve25519"]
        device = self._ours if own else None
        known = olm.inbound_group_store.get(room_id, event.sender_key, event.session_id)
        # Keys that were forwarded prove nothing about who encrypted.
        if not own and known is not None and not known.forwarding_chain:
            device = proved_device(self._client, read.sender, event.sender_key, known.ed25519)
        return RoomEvent(
            room_id,
            read.type,
            read.sender,
            read.content,
            read.ts,
            read.event_id,
            encrypted=True,
            device=device,
            own=own,
        )

    def keep(self, room_id: str, event: MegolmEvent) -> None:
        """Its key may come later."""
        self._undecrypted[event.event_id] = (room_id, event, time.monotonic())
        while len(self._undecrypted) > UNDECRYPTED_MAX:
            self._undecrypted.popitem(last=False)

    async def _retry(self, session_id: str) -> None:
        for event_id, (room_id, event, kept) in list(self._undecrypted.items()):
            if time.monotonic() - kept > UNDECRYPTED_S:
                del self._undecrypted[event_id]
            elif event.session_id == session_id:
                event.room_id = room_id
                plain = self._client.olm._decrypt_megolm_no_error(event)
                if plain is not None:
                    del self._undecrypted[event_id]
                    await self._take(room_id, plain)

    async def _take(self, room_id: str, event: Event) -> None:
        """An event whose sender's device is new is told after that device's keys were looked up."""
        read = self.read(room_id, event)
        if read is not None and read.encrypted and read.device is None and not read.own:
            await learn_devices(self._client, read.sender)
            read = self.read(room_id, event)
        self._tell(read)

    async def _direct(self, event: OlmMessage) -> None:
        proof = event.sender, event.sender_key, event.signing_key
        device = proved_device(self._client, *proof)
        if device is None:
            await learn_devices(self._client, event.sender)
            device = proved_device(self._client, *proof)
        if device is not None:
            for listener in list(self.on_direct):
                listener(DirectMessage(event.type, event.content, device))

    def _tell(self, event: RoomEvent | None) -> None:
        if event is None:
            return
        if event.type == "m.room.member" and event.state_key is not None:
            for told in list(self.on_member):
                told(event.room_id, event.state_key)
        for listener in list(self.on_event):
            listener(event)


def from_source(room_id: str, source: dict[str, Any]) -> RoomEvent | None:
    """An event as the homeserver writes it, in clear; None when it is none."""
    kind, sender, content = source.get("type"), source.get("sender"), source.get("content")
    if not isinstance(kind, str) or not isinstance(sender, str) or not isinstance(content, dict):
        return None
    ts, key = source.get("origin_server_ts"), source.get("state_key")
    return RoomEvent(
        room_id,
        kind,
        sender,
        content,
        ts if isinstance(ts, int) else 0,
        str(source.get("event_id", "")),
        state_key=key if isinstance(key, str) else None,
    )
