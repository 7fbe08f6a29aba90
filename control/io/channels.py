"""One member's data channels: SCTP and DCEP (RFC 8831, 8832) by aiortc over the packets of our DTLS.

Order is kept and no task is needed for receiving; what is sent leaves at the end of the loop's turn.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from control.io.sctp import SCTP_PORT, BoundedSctp, Dtls, run
from control.io.sctp_library import RTCSctpCapabilities
from control.protocol import limits
from control.protocol.sctp_guard import is_sound_untrusted

# Why a channel ended, as on_close is told.
CLOSED: Final = "closed"  # by the member
ABORTED: Final = "aborted"  # the member's SCTP gave up, or ours did
SLOW_READER: Final = "slow_reader"
TOO_LARGE: Final = "too_large"


class DataChannels:
    """All channels of one member, from the DTLS handshake's end on. Needs a running loop.

    `send` takes one SCTP packet for DtlsServer.send. `on_open(label)` when the member opened a channel,
    `on_message(label, text or bytes)`, `on_close(label, reason)` once for each open channel, or once with an
    empty label if none was ever open. No callback comes after stop().
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        on_open: Callable[[str], None],
        on_message: Callable[[str, str | bytes], None],
        on_close: Callable[[str, str], None],
        max_message_size: int = limits.CHANNEL_MAX_MESSAGE,
    ) -> None:
        self.dropped = 0  # packets that were malformed, too many, or more than SCTP could take
        self._on_open, self._on_message, self._on_close = on_open, on_message, on_close
        self._loop = asyncio.get_running_loop()
        self._dtls = Dtls(send)
        self._channels: dict[str, Any] = {}
        self._ended = False
        self._ever_open = False
        self._news: deque[Callable[[], None]] = deque()
        self._packets = limits.SCTP_PACKETS_BURST
        self._refilled_at = self._loop.time()
        self._sctp = BoundedSctp(
            self._dtls, lambda: self._fail(TOO_LARGE), lambda: self._loop.call_soon(self._lost)
        )
        self._sctp.on("datachannel", self._opened)
        run(self._sctp.start(RTCSctpCapabilities(maxMessageSize=max_message_size), SCTP_PORT))

    def receive(self, data: bytes) -> None:
        """One SCTP packet from the member. Never raises: what SCTP cannot take is dropped and counted."""
        if self._ended:
            return
        may_take = self._may_take()
        if may_take and self._sctp.acknowledged_untrusted(data):
            return
        if not may_take or not is_sound_untrusted(data):
            self.dropped += 1
            return
        try:
            self._sctp.receive(data)
        except Exception:
            # Asserts and errors of a library that meets a peer who breaks the protocol. The peer passed DTLS,
            # so what it breaks is its own connection, and nobody else's.
            self.dropped += 1
        # Outside of the try, and of SCTP: a mistake in a callback is not the member's; callbacks may send.
        self._deliver()
        if len(self._sctp._data_channel_queue) > limits.SCTP_MAX_QUEUED:
            self._fail(SLOW_READER)

    def send(self, label: str, message: str | bytes) -> bool:
        """Queue a message. False when there is no such open channel (any more)."""
        channel = self._channels.get(label)
        if self._ended or channel is None or channel.readyState != "open":
            return False
        size = len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())
        if self.buffered_amount + size > limits.CHANNEL_MAX_BUFFERED:
            self._fail(SLOW_READER)
            return False
        try:
            self._sctp.send(channel, message)
        except ValueError:  # longer than the member takes
            return False
        return True

    @property
    def buffered_amount(self) -> int:
        """Bytes accepted by send() that the member has not acknowledged."""
        return self._sctp.unacknowledged

    def close(self, label: str) -> bool:
        """Asks the member to close a channel (RFC 6525 reset of its stream); what was sent before arrives
        before. False when there is none; otherwise on_close follows, with CLOSED if the member does so."""
        channel = self._channels.get(label)
        if self._ended or channel is None or channel.readyState != "open":
            return False
        channel.close()
        return True

    async def stop(self, silent: bool) -> None:
        """End everything, unless silent with an SCTP ABORT. A stopping control is silent: members resume."""
        self._ended = True
        self._end_association(silent)
        # Let the tasks that SCTP had started come to their end.
        await asyncio.sleep(0)

    # -- inside --

    def _may_take(self) -> bool:
        now = self._loop.time()
        gained = (now - self._refilled_at) * limits.SCTP_PACKETS_PER_SECOND
        self._packets = min(self._packets + gained, limits.SCTP_PACKETS_BURST)
        self._refilled_at = now
        if self._packets < 1:
            return False
        self._packets -= 1
        return True

    def _deliver(self) -> None:
        while self._news and not self._ended:
            self._news.popleft()()

    def _opened(self, channel: Any) -> None:
        label = channel.label
        if label in self._channels:
            channel.close()
            return
        self._channels[label] = channel
        self._ever_open = True
        channel.on("message", lambda message: self._message(label, message))
        channel.on("close", lambda: self._closed(label))
        self._news.append(lambda: self._on_open(label))

    def _message(self, label: str, message: str | bytes) -> None:
        self._news.append(lambda: self._on_message(label, message))

    def _closed(self, label: str) -> None:
        # When all of SCTP ends, _lost tells of every channel.
        if self._sctp.state != "closed" and self._channels.pop(label, None) is not None:
            self._news.append(lambda: self._on_close(label, CLOSED))

    def _lost(self) -> None:
        self._deliver()
        if not self._ended:
            self._finish(ABORTED)

    def _fail(self, reason: str) -> None:
        """Give this member's channels up, with an ABORT so that it knows."""
        if not self._ended:
            self._finish(reason)
            self._end_association(silent=False)

    def _finish(self, reason: str) -> None:
        self._ended = True
        self._news.clear()
        labels = list(self._channels) if self._ever_open else [""]
        self._channels.clear()
        for label in labels:
            self._on_close(label, reason)

    def _end_association(self, silent: bool) -> None:
        if silent:
            self._dtls.state = "closed"  # from here on not even a timer can send
        with contextlib.suppress(ConnectionError):
            self._sctp.end()
        self._dtls.state = "closed"
        self._sctp.forget()
