"""Media keys between this conference and its people: by the room's timeline or by Olm, theirs and ours."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable

from client.keys.exchange import Device, KeyExchange
from client.keys.frames import BaseKey, Sealer
from client.keys.keyring import Keyring
from client.keys.own import NEVER, OwnKeys, Send
from client.matrix.homeserver import Homeserver
from client.matrix.inbox import DirectMessage, RoomEvent
from client.protocol import names
from client.protocol.checked import Malformed
from client.protocol.events import (
    KeyRequest,
    MediaKeys,
    read_key_request_untrusted,
    read_media_keys_untrusted,
)
from client.sealed.sending import PacketSealer
from client.statistics import Statistics

log = logging.getLogger(__name__)


class KeyLink:
    """Listens from the moment it is made, so that no key is missed; sends from `start` on."""

    def __init__(
        self,
        homeserver: Homeserver,
        room_id: str,
        conference_id: str,
        sources: Iterable[int],
        statistics: Statistics,
        arrived: Callable[[int], None],
        to_device: bool = False,
    ) -> None:
        self._homeserver, self._room_id = homeserver, room_id
        self._statistics, self._arrived, self._to_device = statistics, arrived, to_device
        self.keyring = Keyring()
        self.own = OwnKeys(sources, secrets.token_bytes)
        self.exchange = KeyExchange(
            conference_id, self.own, self.keyring, lambda user: homeserver.joined(room_id, user)
        )
        self.sealers: dict[int, Sealer] = {}
        self._packet_sealers: dict[int, PacketSealer] = {}
        self._begun = False
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        homeserver.inbox.on_event.append(self._event)
        homeserver.inbox.on_direct.append(self._direct)
        homeserver.inbox.on_member.append(self._member)

    def start(self, number: int) -> None:
        """The focus told our number; our first keys go out with the first roster, which follows at once."""
        self.exchange.number = number
        self._spawn(self._drive())

    def roster_told(self) -> None:
        """Those who were there before us are known."""
        if not self._begun:
            self._begun = True
            self.own.start()
            self._news.set()

    def sealer(self, source: int) -> Sealer:
        return self.sealers.setdefault(source, Sealer(self.exchange.number, source))

    def packet_sealer(self, source: int) -> PacketSealer:
        return self._packet_sealers.setdefault(source, PacketSealer(self.exchange.number, source))

    def close(self) -> None:
        self._homeserver.inbox.on_event.remove(self._event)
        self._homeserver.inbox.on_direct.remove(self._direct)
        self._homeserver.inbox.on_member.remove(self._member)
        for task in self._tasks:
            task.cancel()

    # --- who is there ---

    def joined(self, number: int, device: Device, news: bool) -> None:
        if not self.exchange.joined(number, device, news, time.monotonic()):
            self._statistics.count("member number of another device")
        self._arrived(number)  # keys may have come before the roster
        self._news.set()

    def left(self, number: int) -> None:
        self.exchange.left(number)
        self._news.set()

    def ask_for(self, number: int, source: int, epoch: int, since: float) -> bool:
        """A frame came without a key; True when its owner is asked now."""
        device = self.exchange.missing(number, source, epoch, since, time.monotonic())
        if device is None:
            return False
        request = KeyRequest(self.exchange.conference_id, number, source, epoch)
        self._statistics.count("keys asked for")
        self._spawn(self._say(device, names.KEY_REQUEST, request.content()))
        return True

    # --- theirs ---

    def _event(self, event: RoomEvent) -> None:
        if event.room_id == self._room_id and event.type == names.MEDIA_KEYS and not event.own:
            if event.device is None:
                return self._statistics.count("keys refused: nobody proved to have sent them")
            self._take(event.content, event.device)
        return None

    def _direct(self, message: DirectMessage) -> None:
        if message.type == names.MEDIA_KEYS:
            self._take(message.content, message.device)
        elif message.type == names.KEY_REQUEST:
            self._request(message.content, message.device)

    def _take(self, content: object, device: Device) -> None:
        try:
            keys: MediaKeys = read_media_keys_untrusted(content)
        except Malformed:
            return self._statistics.count("keys malformed")
        refused = self.exchange.keys_arrived(keys, device)
        if refused is not None:
            return self._statistics.count(f"keys refused: {refused}")
        self._arrived(keys.member)
        return None

    def _request(self, content: object, device: Device) -> None:
        try:
            request = read_key_request_untrusted(content)
        except Malformed:
            return self._statistics.count("key requests malformed")
        keys = self.exchange.request_arrived(request, device, time.monotonic())
        if keys:
            self._statistics.count("key requests answered")
            self._spawn(self._say(device, names.MEDIA_KEYS, self._content(keys)))
        return None

    def _member(self, room_id: str, user_id: str) -> None:
        if room_id == self._room_id:
            self.exchange.room_changed(user_id, time.monotonic())
            self._news.set()

    # --- ours ---

    async def _drive(self) -> None:
        while True:
            action = self.own.poll(time.monotonic())
            if isinstance(action, Send):
                await self._send(action.keys)
            elif action is not None:
                for source, base in action.keys.items():
                    self.sealer(source).use(base)
                    self.packet_sealer(source).use(base)
            else:
                await self._wait(self.own.due)

    async def _wait(self, due: float) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(None if due == NEVER else max(0.005, due - time.monotonic())):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _send(self, keys: dict[int, BaseKey]) -> None:
        content = self._content(keys)
        try:
            if self._to_device:
                recipients = self.exchange.recipients()
                await asyncio.gather(*(self._say(each, names.MEDIA_KEYS, content) for each in recipients))
            else:
                await self._homeserver.send(self._room_id, names.MEDIA_KEYS, content)
        except Exception as error:  # whatever it is, without keys there is no picture: it is tried again
            log.warning("our keys were not sent: %s", type(error).__name__)
            self.own.failed(time.monotonic())
            return
        self._statistics.count("keys sent")
        self.own.accepted(time.monotonic())
        for device, waiting in self.exchange.answers():
            await self._say(device, names.MEDIA_KEYS, self._content(waiting))

    def _content(self, keys: dict[int, BaseKey] | dict[int, list[BaseKey]]) -> dict[str, object]:
        return self.exchange.content(keys, self._homeserver.device_id)

    async def _say(self, device: Device, message_type: str, content: dict[str, object]) -> None:
        if not await self._homeserver.send_direct(device, message_type, content):
            self._statistics.count("to-device messages not sent")

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name="keys")  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
