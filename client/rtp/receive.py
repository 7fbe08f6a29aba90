"""One receive slot: packets into encoded frames, holes asked for, reports. Pure: time is an argument in
seconds."""

from collections import deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from client.protocol import limits
from client.rtp.packet import PacketError, RtpPacket, Unwrapper
from client.rtp.rtcp import Block, SenderReport
from client.rtp.vp8 import is_key_frame, read_descriptor_untrusted


@dataclass(frozen=True, slots=True)
class Frame:
    """An encoded frame, still sealed. `timestamp` never wraps."""

    data: bytes
    timestamp: int
    arrived: float
    key: bool = True


class Reception:
    """What RTCP reports about one SSRC (RFC 3550 section 6.4 and appendix A)."""

    def __init__(self, ssrc: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.packets = 0
        self._clock_rate = clock_rate
        self._unwrap = Unwrapper(16)
        self._first = self._highest = -1
        self._transit = 0.0
        self._jitter = 0.0
        self._before = (0, 0)  # expected, received at the last report
        self._last_sr: tuple[int, float] | None = None

    def packet(self, packet: RtpPacket, now: float) -> None:
        number = self._unwrap(packet.sequence)
        if self.packets == 0:
            self._first = number
        self.packets += 1
        self._highest = max(self._highest, number)
        transit = now * self._clock_rate - packet.timestamp
        if self.packets > 1:
            step = abs(transit - self._transit)
            # A timestamp that wraps, or a slot that was idle, is no jitter.
            if step < self._clock_rate:
                self._jitter += (step - self._jitter) / 16
        self._transit = transit

    def sender_report(self, report: SenderReport, now: float) -> None:
        self._last_sr = report.ntp >> 16 & 0xFFFFFFFF, now

    @property
    def lost(self) -> int:
        return max(0, self._highest - self._first + 1 - self.packets) if self.packets else 0

    def block(self, now: float) -> Block | None:
        """None while nothing came."""
        if not self.packets:
            return None
        expected = self._highest - self._first + 1
        since, came = expected - self._before[0], self.packets - self._before[1]
        self._before = expected, self.packets
        fraction = max(0, since - came) / since if since > 0 else 0.0
        last, delay = (0, 0)
        if self._last_sr is not None:
            last, delay = self._last_sr[0], int((now - self._last_sr[1]) * 65536)
        return Block(self.ssrc, fraction, self.lost, self._highest, int(self._jitter), last, delay)


@dataclass(slots=True)
class _Hole:
    since: float
    asked: float = -1e9


class AudioSlot:
    """Every packet is a frame; those that come twice or very late are dropped.

    `repaired`: a missing number is asked for, and what came after it waits for it a little.
    """

    def __init__(self, repaired: bool = False) -> None:
        self._unwrap_sequence, self._unwrap_timestamp = Unwrapper(16), Unwrapper(32)
        self._repaired = repaired
        self._waiting: dict[int, RtpPacket] = {}
        self._holes = _Holes()
        self._next: int | None = None
        self._seen: deque[int] = deque(maxlen=64)
        self.repaired = 0  # packets that came after they were asked for

    def push_untrusted(self, packet: RtpPacket, now: float) -> list[Frame]:
        number = self._unwrap_sequence(packet.sequence)
        if number in self._seen:
            return []
        self._seen.append(number)
        if not self._repaired:
            return self._frames([packet], now)
        if self._next is None:
            self._next = number
        if number < self._next:
            return []  # its place was given up
        frames: list[Frame] = []
        if number - self._next > limits.AUDIO_HOLE_MAX:
            frames += self._skip_to(number, now)
        self._waiting[number] = packet
        self.repaired += self._holes.filled(number)
        self._holes.seen(range(self._next, number), self._waiting, now)
        return frames + self._drain(now)

    def give_up(self, now: float) -> list[Frame]:
        """Holes that are too old are waited for no longer; what waited behind them."""
        frames: list[Frame] = []
        while self._waiting and self._holes.oldest(now) > limits.AUDIO_WAIT_S:
            frames += self._skip_to(min(self._waiting), now)
        return frames

    def to_ask(self, now: float) -> list[int]:
        """Sequence numbers (16 bits) to ask for now."""
        return self._holes.to_ask(now)

    def _drain(self, now: float) -> list[Frame]:
        assert self._next is not None
        ready: list[RtpPacket] = []
        while (packet := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            ready.append(packet)
        return self._frames(ready, now)

    def _skip_to(self, number: int, now: float) -> list[Frame]:
        """All that waits before it, without what is missing between."""
        before = sorted(each for each in self._waiting if each < number)
        frames = self._frames([self._waiting.pop(each) for each in before], now)
        self._next = number
        self._holes.forget_before(number)
        return frames + self._drain(now)

    def _frames(self, packets: Sequence[RtpPacket], now: float) -> list[Frame]:
        return [
            Frame(each.payload, self._unwrap_timestamp(each.timestamp), now)
            for each in packets
            if each.payload
        ]


class _Holes:
    """Numbers that are missing: since when, and when they were asked for."""

    def __init__(self) -> None:
        self._holes: dict[int, _Hole] = {}

    def seen(self, numbers: Iterable[int], there: Container[int], now: float) -> None:
        for missing in numbers:
            if missing not in there:
                self._holes.setdefault(missing, _Hole(now))

    def filled(self, number: int) -> bool:
        """True for one that was asked for."""
        hole = self._holes.pop(number, None)
        return hole is not None and hole.asked > 0

    def forget_before(self, number: int) -> None:
        self._holes = {each: hole for each, hole in self._holes.items() if each > number}

    def clear(self) -> None:
        self._holes.clear()

    def oldest(self, now: float) -> float:
        """Seconds; 0 without any."""
        return max((now - hole.since for hole in self._holes.values()), default=0.0)

    def to_ask(self, now: float) -> list[int]:
        due = [
            (number, hole)
            for number, hole in self._holes.items()
            if now - hole.since >= limits.NACK_AFTER_S and now - hole.asked >= limits.NACK_AGAIN_S
        ]
        for _, hole in due:
            hole.asked = now
        return [number & 0xFFFF for number, _ in sorted(due, key=lambda each: each[0])]


@dataclass(slots=True)
class _Building:
    timestamp: int
    parts: list[bytes] = field(default_factory=list)
    size: int = 0


class VideoSlot:
    """VP8. A slot is one continuous stream, so a missing number is a lost packet: it is asked for, and given
    up after a while; then frames are withheld until a key frame comes.
    """

    def __init__(self) -> None:
        self._unwrap_sequence, self._unwrap_timestamp = Unwrapper(16), Unwrapper(32)
        self._waiting: dict[int, RtpPacket] = {}
        self._holes = _Holes()
        self._next: int | None = None
        self._building: _Building | None = None
        self._damaged = True  # nothing was decoded yet
        self.wants_key_frame = False
        self.malformed = 0
        self.given_up = 0

    def push_untrusted(self, packet: RtpPacket, now: float) -> list[Frame]:
        number = self._unwrap_sequence(packet.sequence)
        if self._next is None:
            self._next = number
        if number < self._next:
            return []
        if number - self._next > limits.SEQUENCE_JUMP_MAX:
            self._restart(number)
        self._waiting[number] = packet
        self._holes.filled(number)
        self._holes.seen(range(self._next, number), self._waiting, now)
        if len(self._waiting) > limits.REORDER_MAX:
            self._skip()
        return self._drain(now)

    def give_up(self, now: float) -> list[Frame]:
        """Holes that are too old are waited for no longer; frames that waited behind them."""
        frames: list[Frame] = []
        while self._holes.oldest(now) > limits.NACK_GIVE_UP_S:
            self._skip()
            frames += self._drain(now)
        return frames

    def to_ask(self, now: float) -> list[int]:
        """Sequence numbers (16 bits) to ask for now."""
        return self._holes.to_ask(now)

    def frames_were_lost(self) -> None:
        """Frames of this slot could not be opened: what follows needs them."""
        self._damaged = True

    def _drain(self, now: float) -> list[Frame]:
        frames: list[Frame] = []
        assert self._next is not None
        while (packet := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            if packet.payload:  # otherwise it is padding that probes the path
                frame = self._take(packet, now)
                if frame is not None:
                    frames.append(frame)
        return frames

    def _take(self, packet: RtpPacket, now: float) -> Frame | None:
        try:
            descriptor = read_descriptor_untrusted(packet.payload)
        except PacketError:
            self.malformed += 1
            return None
        timestamp = self._unwrap_timestamp(packet.timestamp)
        building = self._building
        if descriptor.start and (building is None or building.timestamp != timestamp):
            if building is not None:
                self._lose()  # its last packet never came
            building = self._building = _Building(timestamp)
        if building is None or building.timestamp != timestamp:
            self._lose()
            return None
        building.parts.append(packet.payload[descriptor.length :])
        building.size += len(packet.payload)
        if building.size > limits.FRAME_MAX_BYTES:
            self._lose()
            return None
        if not packet.marker:
            return None
        self._building = None
        data = b"".join(building.parts)
        key = is_key_frame(data)
        if key:
            self._damaged = self.wants_key_frame = False
        elif self._damaged:
            self.wants_key_frame = True
            return None
        return Frame(data, timestamp, now, key)

    def _lose(self) -> None:
        self._building = None
        self._damaged = self.wants_key_frame = True

    def _skip(self) -> None:
        """Give up the holes before the next packet that is there."""
        self.given_up += 1
        self._lose()
        if self._waiting:
            self._next = min(self._waiting)
            self._holes.forget_before(self._next)
        else:
            self._holes.clear()

    def _restart(self, number: int) -> None:
        self._waiting.clear()
        self._holes.clear()
        self._next = number
        self._lose()


def from_retransmission_untrusted(packet: RtpPacket, ssrc: int, payload_type: int) -> RtpPacket | None:
    """The packet that is sent again (RFC 4588 section 4); None for padding that probes the path."""
    if len(packet.payload) < 2:
        return None
    return RtpPacket(
        payload_type,
        int.from_bytes(packet.payload[:2], "big"),
        packet.timestamp,
        ssrc,
        packet.payload[2:],
        packet.marker,
        packet.csrcs,
        packet.extensions,
    )
