"""One member's data channels: SCTP and DCEP (RFC 8831, 8832) by aiortc over the packets of our DTLS.

Within it nothing waits: the coroutines of aiortc's SCTP only ever await the sending of a packet, which here
is a plain call, so each is run to its end on the spot. Order is kept and no task is needed for receiving.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from control.io.sctp_library import RTCSctpCapabilities, RTCSctpTransport
from control.protocol import limits
from control.protocol.sctp_guard import is_sound_untrusted

SCTP_PORT: Final = 5000
# Why a channel ended, as on_close is told.
CLOSED: Final = "closed"  # by the member
ABORTED: Final = "aborted"  # the member's SCTP gave up, or ours did
SLOW_READER: Final = "slow_reader"
TOO_LARGE: Final = "too_large"


class _Dtls:
    """What RTCSctpTransport uses of an RTCDtlsTransport."""

    _role = "server"  # decides who takes odd channel numbers (RFC 8832 section 6)

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.state = "connected"
        self._send = send

    def _register_data_receiver(self, receiver: object) -> None:
        pass

    def _unregister_data_receiver(self, receiver: object) -> None:
        pass

    async def _send_data(self, data: bytes) -> None:
        if self.state != "connected":
            raise ConnectionError
        self._send(data)


class _BoundedSctp(RTCSctpTransport):
    """aiortc's SCTP with an end to what a member can make us keep."""

    def __init__(self, transport: _Dtls, too_large: Callable[[], None], closed: Callable[[], object]) -> None:
        super().__init__(transport, port=SCTP_PORT)  # type: ignore[arg-type]
        self._advertised_rwnd = limits.SCTP_MAX_HELD_BYTES
        self._too_large = too_large
        self._closed = closed

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        super()._set_state(state)
        if state is self.State.CLOSED:
            self._closed()  # from a packet or a timer

    async def _receive_data_chunk(self, chunk: Any) -> None:
        if self._last_received_tsn is None:
            return
        ahead = (chunk.tsn - self._last_received_tsn) % 2**32
        if ahead < 2**31:  # otherwise a repetition, which costs nothing
            chunks = 1 + sum(len(stream.reassembly) for stream in self._inbound_streams.values())
            held = limits.SCTP_MAX_HELD_BYTES - self._advertised_rwnd + len(chunk.user_data)
            fullness = max(held / limits.SCTP_MAX_HELD_BYTES, chunks / limits.SCTP_MAX_HELD_CHUNKS)
            if ahead == 1 and fullness > (2 if self._sack_misordered else 1):
                # Room was left for what fills a hole, and still no message is complete.
                self._too_large()
                return
            if ahead > 1 and (fullness > 1 or ahead > limits.SCTP_MAX_AHEAD):
                return  # as if lost; it will be sent again
        await super()._receive_data_chunk(chunk)

    async def _receive_sack_chunk(self, chunk: Any) -> None:
        outstanding = (self._local_tsn - 1 - self._last_sacked_tsn) % 2**32
        acknowledged = (chunk.cumulative_tsn - self._last_sacked_tsn) % 2**32
        if (
            acknowledged < 2**31
            and acknowledged + max((last for _, last in chunk.gaps), default=0) > outstanding
        ):
            return  # acknowledges what was never sent
        await super()._receive_sack_chunk(chunk)

    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if len(data) > limits.CHANNEL_MAX_MESSAGE:
            self._too_large()
        elif pp_id != 50 or len(data) <= limits.DCEP_MAX_MESSAGE:  # 50: DCEP
            await super()._data_channel_receive(stream_id, pp_id, data)


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
        self._dtls = _Dtls(send)
        self._channels: dict[str, Any] = {}
        self._ended = False
        self._ever_open = False
        self._news: deque[Callable[[], None]] = deque()
        self._packets = limits.SCTP_PACKETS_BURST
        self._refilled_at = self._loop.time()
        self._sctp = _BoundedSctp(
            self._dtls, lambda: self._fail(TOO_LARGE), lambda: self._loop.call_soon(self._lost)
        )
        self._sctp.on("datachannel", self._opened)
        _run(self._sctp.start(RTCSctpCapabilities(maxMessageSize=max_message_size), SCTP_PORT))

    def receive(self, data: bytes) -> None:
        """One SCTP packet from the member. Never raises: what SCTP cannot take is dropped and counted."""
        if self._ended:
            return
        if not self._may_take() or not is_sound_untrusted(data):
            self.dropped += 1
            return
        try:
            _run(self._sctp._handle_data(data))
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
        size = len(message.encode() if isinstance(message, str) else message)
        if self._ended or channel is None or channel.readyState != "open":
            return False
        if self.buffered_amount + size > limits.CHANNEL_MAX_BUFFERED:
            self._fail(SLOW_READER)
            return False
        try:
            channel.send(message)
        except ValueError:  # longer than the member takes
            return False
        return True

    @property
    def buffered_amount(self) -> int:
        """Bytes accepted by send() that the member has not acknowledged."""
        queued: int = sum(channel.bufferedAmount for channel in self._channels.values())
        under_way = (*self._sctp._outbound_queue, *self._sctp._sent_queue)
        return queued + sum(len(chunk.user_data) for chunk in under_way)

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
            _run(self._sctp.stop())
        self._dtls.state = "closed"
        self._sctp._data_channel_queue.clear()
        self._sctp._outbound_queue.clear()
        self._sctp._sent_queue.clear()


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("SCTP wanted to wait")
