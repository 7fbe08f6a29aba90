"""DTLS and data channels of every transport that exists: datagrams of the workers in, events out, and back.

Performs only. A datagram of a transport that was not opened is dropped: nothing is set up for strangers.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from control.io.channels import DataChannels
from control.io.faults import log_fault
from control.protocol import limits, names
from control.protocol.backlog import Backlog
from control.protocol.content import serialise
from control.protocol.dtls import AppData, Closed, DtlsIdentity, DtlsServer, Failed
from control.protocol.dtls import HandshakeDone as DtlsDone
from control.protocol.events import (
    ChannelClosed,
    ChannelMessage,
    ChannelOpened,
    CloseTransport,
    DtlsFailed,
    Event,
    HandshakeDone,
    OpenTransport,
    PeerClosed,
    TransportId,
)

log = logging.getLogger(__name__)

_TOLD_TO_MANY: Final = frozenset({names.MEMBERS, names.SPEAKERS, names.PING})
_TEXTS: Final = 64
"""Texts that are kept: a roster is up to 50 messages. Higher: memory, 16 KiB each. Lower: texts of a large
roster are made anew for each member."""

OnEvent = Callable[[Event], None]
SendDatagram = Callable[[TransportId, bytes], None]
Count = Callable[[str, str], None]


class Datagrams:
    """`send` takes a datagram for a transport, `on_event` is told what happens, `count` what is lost."""

    def __init__(self, identity: DtlsIdentity, send: SendDatagram, on_event: OnEvent, count: Count) -> None:
        self._identity = identity
        self._send = send
        self._on_event = on_event
        self._count = count
        self._peers: dict[TransportId, _Peer] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._texts = Texts()

    def open(self, effect: OpenTransport) -> None:
        """From here on its datagrams are taken."""
        self._peers[effect.transport] = _Peer(
            effect, self._identity, self._send, self._on_event, self._count, self._texts
        )

    def close(self, effect: CloseTransport) -> None:
        """Tells the peer, unless silent, and takes nothing of it any more."""
        peer = self._peers.pop(effect.transport, None)
        if peer is not None:
            task = asyncio.get_running_loop().create_task(peer.close(effect.silent), name="close-transport")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def close_channel(self, transport: TransportId) -> None:
        """Of a member that is to bring a second connection."""
        peer = self._peers.get(transport)
        if peer is not None:
            peer.close_channel()

    async def channels_closed(self, patience_s: float) -> None:
        """Until all members have answered that, or long enough; a lost datagram is repeated meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await asyncio.gather(*(peer.channel_closed.wait() for peer in self._peers.values()))

    def receive_untrusted(self, transport: TransportId, datagram: bytes) -> None:
        """A DTLS datagram from an address of the transport that passed an authenticated check."""
        peer = self._peers.get(transport)
        if peer is None:
            self._count("events_ignored", "datagram")
        else:
            peer.receive_untrusted(datagram)

    def send_message(self, transport: TransportId, message_type: str, content: Mapping[str, Any]) -> bool:
        """One message over our data channel; False when there is none."""
        peer = self._peers.get(transport)
        return peer is not None and peer.send_message(message_type, content)

    async def stop(self) -> None:
        """Forgets everything without a word, and waits for what was closed before."""
        for transport in list(self._peers):
            self.close(CloseTransport(transport, silent=True))
        await asyncio.gather(*self._closing, return_exceptions=True)


class Texts:
    """Messages as text. What many are told is one value, which is made into text once."""

    def __init__(self) -> None:
        # By identity; the value is kept beside its text, so that no other can take its place in memory.
        self._made: dict[int, tuple[Mapping[str, Any], str]] = {}

    def of(self, message_type: str, content: Mapping[str, Any]) -> str:
        """`content` is never changed once it was given here."""
        if message_type not in _TOLD_TO_MANY:
            return serialise(message_type, content)
        known = self._made.get(id(content))
        if known is None:
            while len(self._made) >= _TEXTS:
                del self._made[next(iter(self._made))]
            known = self._made[id(content)] = content, serialise(message_type, content)
        return known[1]


class _Peer:
    """One transport."""

    def __init__(
        self,
        opened: OpenTransport,
        identity: DtlsIdentity,
        send: SendDatagram,
        on_event: OnEvent,
        count: Count,
        texts: "Texts",
    ) -> None:
        self._texts = texts
        self._transport = opened.transport
        self._max_message_size = opened.max_message_size
        self._dtls = DtlsServer(identity, opened.fingerprints)
        self._channels: DataChannels | None = None
        self._backlog = Backlog()
        self._send = send
        self._on_event = on_event
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.channel_closed = asyncio.Event()
        self.channel_closed.set()  # none is open yet

    def receive_untrusted(self, datagram: bytes) -> None:
        self._dtls.receive_untrusted(datagram, self._loop.time())
        self._take()

    def send_message(self, message_type: str, content: Mapping[str, Any]) -> bool:
        if self._channels is None:
            return False
        if (self._backlog or self._congested) and self._backlog.put(message_type, content):
            self._drain()
            return True
        return self._channels.send(names.CHANNEL_LABEL, self._texts.of(message_type, content))

    def close_channel(self) -> None:
        if self._channels is not None and self._channels.close(names.CHANNEL_LABEL):
            self.channel_closed.clear()

    async def close(self, silent: bool) -> None:
        self._closed = True
        self.channel_closed.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._channels is not None:
            await self._channels.stop(silent)
        self._dtls.close(silent)
        self._flush()

    def _take(self) -> None:
        """Everything the machine made of what it was given, then its deadline."""
        self._flush()
        while not self._closed and (event := self._dtls.next_event()) is not None:
            match event:
                case AppData():  # nearly always
                    if self._channels is not None:
                        self._channels.receive(event.data)
                        if self._backlog:
                            self._drain()
                case DtlsDone():
                    self._channels = self._start_channels()
                    self._on_event(HandshakeDone(self._transport, event.hop_keys))
                case Closed():
                    self._on_event(PeerClosed(self._transport))
                case Failed():
                    self._on_event(DtlsFailed(self._transport, event.code))
        self._flush()
        self._schedule()

    @property
    def _congested(self) -> bool:
        return self._channels is not None and self._channels.buffered_amount > limits.CHANNEL_CONGESTED

    def _drain(self) -> None:
        """What waited for a slow member, as soon as there is room."""
        while self._backlog and self._channels is not None and not self._congested:
            if (message := self._backlog.take()) is not None:
                self._channels.send(names.CHANNEL_LABEL, serialise(*message))

    def _flush(self) -> None:
        for datagram in self._dtls.datagrams_to_send():
            self._send(self._transport, datagram)

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = None if self._closed else self._dtls.next_timeout(self._loop.time())
        if at is not None:
            self._timer = self._loop.call_at(at, self._timeout)

    def _timeout(self) -> None:
        self._timer = None
        try:
            self._dtls.handle_timeout(self._loop.time())
            self._take()
        except Exception as error:
            self._count("internal_errors", "dtls")
            log_fault(log, "dtls", error)

    def _start_channels(self) -> DataChannels:
        # 0 stands for any size in SDP (RFC 8841 section 6).
        size = self._max_message_size or limits.CHANNEL_MAX_MESSAGE
        return DataChannels(self._send_packet, self._opened, self._message, self._gone, size)

    def _send_packet(self, packet: bytes) -> None:
        self._dtls.send(packet)
        self._flush()

    def _opened(self, label: str) -> None:
        if label == names.CHANNEL_LABEL:
            self._backlog.clear()
            self._on_event(ChannelOpened(self._transport))
        else:
            self._count("events_ignored", "label")

    def _message(self, label: str, message: str | bytes) -> None:
        if label == names.CHANNEL_LABEL and isinstance(message, str):
            self._on_event(ChannelMessage(self._transport, message))
        else:
            self._count("channel_messages_refused", "binary")

    def _gone(self, label: str, reason: str) -> None:
        self.channel_closed.set()
        if label == names.CHANNEL_LABEL:
            self._on_event(ChannelClosed(self._transport))
