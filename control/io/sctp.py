"""SCTP (RFC 9260) by aiortc, with an end to what a member can make us keep, and chunks gathered into packets.

Within it nothing waits: its coroutines only ever await the sending of a packet, which here is a plain call,
so each is run to its end on the spot. aiortc sends each chunk in a packet of its own, which costs a DTLS
record, a datagram, and an acknowledgement that comes back. Here what one turn of the loop says to a member is
one packet where it fits (section 6.10).

Where many are told something, nearly all packets are a short message to each and an acknowledgement of it.
These two have a short way of their own; whatever is not as usual takes aiortc's.
"""

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from google_crc32c import value as crc32c

from control.io.sctp_library import DataChunk, RTCSctpTransport
from control.protocol import limits

SCTP_PORT: Final = 5000
# Payload protocol identifiers (RFC 8831 section 8).
_DCEP, _STRING, _BINARY, _STRING_EMPTY, _BINARY_EMPTY = 50, 51, 53, 56, 57
# Kinds of chunks (RFC 9260 section 3.2), and those that travel alone (6.10).
_DATA, _SACK = 0, 3
_NO_CHECKSUM: Final = bytes(4)  # stands in its place while it is worked out
_ALONE: Final = frozenset({1, 2, 14})  # INIT, INIT ACK, SHUTDOWN COMPLETE
_PACKET_MAX: Final = 1189 - 12
"""Bytes of chunks in a packet: as aiortc's own, which fit the smallest IPv6 path through DTLS and UDP."""
_SHORT_MAX: Final = _PACKET_MAX // 4 * 4 - 16
"""Bytes of a message that is one DATA chunk, as aiortc counts them."""
_SACK_ONLY: Final = struct.Struct("!HHL4sBBHLLHH")
"""The common header and a SACK without gaps and repetitions (section 3.3.4), and nothing else."""
_WHOLE: Final = 3  # flags: the first and the last fragment of a message that keeps its order


class Dtls:
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
        self.send(data)

    def send(self, data: bytes) -> None:
        if self.state != "connected":
            raise ConnectionError
        self._send(data)


class _Short(DataChunk):
    """A whole message, as aiortc keeps it until it is acknowledged."""

    _abandoned = _acked = _retransmit = False
    _expiry = _max_retransmits = None
    _misses = 0
    flags = _WHOLE

    def __init__(self, tsn: int, stream: int, number: int, protocol: int, data: bytes) -> None:
        self.tsn, self.stream_id, self.stream_seq, self.protocol = tsn, stream, number, protocol
        self.user_data = data
        self._book_size = len(data)
        self._in_flight = True
        self._sent_count = 1
        self._sent_time = time.time()


class BoundedSctp(RTCSctpTransport):
    """One association. `send` and `receive` run whatever of aiortc there is to run."""

    def __init__(self, transport: Dtls, too_large: Callable[[], None], closed: Callable[[], object]) -> None:
        super().__init__(transport, port=SCTP_PORT)  # type: ignore[arg-type]
        self._advertised_rwnd = limits.SCTP_MAX_HELD_BYTES
        self._too_large = too_large
        self._closed = closed
        self._under = transport
        self._gathered: list[bytes] = []
        self._gathers = False
        self._flushing: asyncio.Handle | None = None

    def send(self, channel: Any, data: str | bytes) -> None:
        """A message, to leave with all else of this turn of the loop. ValueError: larger than they take."""
        self._data_channel_send(channel, data)

    def receive(self, packet: bytes) -> None:
        """Raises whatever aiortc does where the peer breaks the protocol."""
        self._gather(self._handle_data(packet))

    def acknowledged_untrusted(self, packet: bytes) -> bool:
        """Whether the packet is the acknowledgement of all that was sent, while nothing waits to be: then it
        is done with, as aiortc would have done. Otherwise nothing has happened. Never raises."""
        sent: deque[Any] = self._sent_queue
        if len(packet) != _SACK_ONLY.size or not sent:
            return False
        _, _, tag, checksum, kind, _, length, last, _, gaps, repeated = _SACK_ONLY.unpack(packet)
        if (
            (kind, length, gaps, repeated) != (_SACK, 16, 0, 0)
            or last != sent[-1].tsn
            or tag != self._local_verification_tag
            or self._association_state is not self.State.ESTABLISHED
            or self._outbound_queue
            or self._data_channel_queue
            or self._reconfig_queue
            or self._sack_needed
            or self._forward_tsn_chunk
            or self._forward_tsn_streams
            or self._fast_recovery_exit is not None  # type: ignore[redundant-expr]  # untyped there
            or self._flight_size >= self._cwnd  # it would grow
            or checksum != crc32c(packet[:8] + _NO_CHECKSUM + packet[12:]).to_bytes(4, "little")
        ):
            return False
        if sent[0]._sent_count == 1:
            self._update_rto(time.time() - sent[0]._sent_time)
        sent.clear()
        self._flight_size = 0
        self._last_sacked_tsn = self._advanced_peer_ack_tsn = last
        self._t3_cancel()
        return True

    @property
    def unacknowledged(self) -> int:
        """Bytes of messages that were accepted and are not acknowledged."""
        if not (self._sent_queue or self._data_channel_queue or self._outbound_queue):
            return 0
        queued = sum(len(data) for _, _, data in self._data_channel_queue)
        under_way = (*self._outbound_queue, *self._sent_queue)
        return queued + sum(len(chunk.user_data) for chunk in under_way)

    def end(self) -> None:
        """ABORT, unless it has ended. ConnectionError when there is no connection to say it on."""
        if self._flushing is not None:
            self._flushing.cancel()
        run(self.stop())
        self._send_gathered()  # it may be called from within, and afterwards is too late

    def forget(self) -> None:
        """What was not acknowledged."""
        self._data_channel_queue.clear()
        self._outbound_queue.clear()
        self._sent_queue.clear()

    def _data_channel_send(self, channel: Any, data: str | bytes) -> None:
        kind, empty = (_STRING, _STRING_EMPTY) if isinstance(data, str) else (_BINARY, _BINARY_EMPTY)
        payload = data.encode() if isinstance(data, str) else data
        most = self._remote_max_message_size
        if most and len(payload) > most:
            raise ValueError(f"{len(payload)} bytes are more than the {most} that the member takes")
        if not payload:
            kind, payload = empty, b"\0"
        channel._addBufferedAmount(len(payload))
        self._data_channel_queue.append((channel, kind, payload))
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = None
        if self._may_be_brief():
            self._send_short()
            if not self._data_channel_queue:
                self._send_gathered()
                return
        self._gather(self._data_channel_flush())

    def _may_be_brief(self) -> bool:
        """Is there nothing to do but to send new messages?"""
        return (
            self._association_state is self.State.ESTABLISHED
            and not self._outbound_queue
            and not self._reconfig_queue
            and self._forward_tsn_chunk is None
            and not any(chunk._retransmit for chunk in self._sent_queue)
        )

    def _send_short(self) -> None:
        """Takes the first messages of the queue, as far as each is one chunk of a reliable channel and the
        window has room, and gathers them."""
        queue = self._data_channel_queue
        while queue and self._flight_size < self._cwnd:
            channel, protocol, data = queue[0]
            stream = channel.id
            if (
                stream is None
                or len(data) > _SHORT_MAX
                or not channel.ordered
                or channel.maxRetransmits is not None
                or channel.maxPacketLifeTime is not None
            ):
                return
            queue.popleft()
            number = self._outbound_stream_seq.get(stream, 0)
            chunk = _Short(self._local_tsn, stream, number, protocol, data)
            self._local_tsn = (self._local_tsn + 1) % 2**32
            self._outbound_stream_seq[stream] = (number + 1) % 2**16
            self._sent_queue.append(chunk)
            self._flight_size += len(data)
            self._gathered.append(bytes(chunk))
            if protocol != _DCEP:
                channel._addBufferedAmount(-len(data))
            if self._t3_handle is None:
                self._t3_start()

    def _gather(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs it, then sends what it wanted to send."""
        self._gathers = True
        try:
            run(work)
        finally:
            self._gathers = False
            self._send_gathered()

    async def _transmit(self) -> None:
        """Also what a timer has sent again is gathered."""
        outermost, self._gathers = not self._gathers, True
        try:
            await super()._transmit()
        finally:
            if outermost:
                self._gathers = False
                self._send_gathered()

    async def _send_chunk(self, chunk: Any) -> None:
        if chunk.type == _SACK:
            # Made last, though it is of control, which goes before data.
            self._gathered.insert(0, bytes(chunk))
        else:
            self._gathered.append(bytes(chunk))
        if not self._gathers:
            self._send_gathered()

    def _send_gathered(self) -> None:
        """In order, as few packets as they fit in: no control after data, some chunks alone."""
        chunks, self._gathered = self._gathered, []
        if len(chunks) < 2:
            packets = chunks
        else:
            packets = _packed(chunks)
        head = struct.pack("!HHL", self._local_port, self._remote_port, self._remote_verification_tag)
        for packet in packets:
            checksum = crc32c(head + _NO_CHECKSUM + packet)
            self._under.send(head + struct.pack("<L", checksum) + packet)

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
        elif pp_id != _DCEP or len(data) <= limits.DCEP_MAX_MESSAGE:
            await super()._data_channel_receive(stream_id, pp_id, data)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("SCTP wanted to wait")


def _packed(chunks: list[bytes]) -> list[bytes]:
    packets: list[bytes] = []
    last = _DATA  # kind of the chunk before; nothing follows those that travel alone
    for chunk in chunks:
        kind = chunk[0]
        joins = kind == _DATA or last != _DATA
        if packets and joins and not {kind, last} & _ALONE and len(packets[-1]) + len(chunk) <= _PACKET_MAX:
            packets[-1] += chunk
        else:
            packets.append(chunk)
        last = kind
    return packets
