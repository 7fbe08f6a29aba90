"""One encoding that we send: sequence numbers, history for retransmission, sender reports. Pure but for
randomness."""

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from client.protocol import limits
from client.rtp.packet import RtpPacket
from client.rtp.rtcp import Block, SenderReport, ntp_time


@dataclass(slots=True)
class Retransmission:
    """RFC 4588: its own SSRC and numbers."""

    payload_type: int
    extensions: Mapping[int, bytes]
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    sequence: int = field(default_factory=lambda: secrets.randbits(15))


class SendStream:
    """`extensions` go with every packet: mid, and rid where there is one."""

    def __init__(
        self,
        payload_type: int,
        clock_rate: int,
        extensions: Mapping[int, bytes],
        repair: Retransmission | None = None,
        resends: bool = False,
    ) -> None:
        """`resends`: what is asked for is sent again as it was; `repair`: on a stream of its own."""
        self.ssrc = secrets.randbits(32)
        self.clock_rate = clock_rate
        self.repair = repair
        kept = limits.AUDIO_HISTORY_PACKETS if resends else 0
        self._kept = limits.HISTORY_PACKETS if repair is not None else kept
        self.packets = self.octets = self.repeated = 0
        self.reported: Block | None = None
        self._payload_type = payload_type
        self._extensions = dict(extensions)
        self._sequence = secrets.randbits(15)  # not near the wrap: the first packets may be lost (RFC 3711)
        self._offset = secrets.randbits(32)
        self._history: OrderedDict[int, RtpPacket] = OrderedDict()
        self._last: tuple[int, float] | None = None

    def packets_of(
        self,
        payloads: Sequence[bytes],
        media_time: float,
        now: float,
        extra: Mapping[int, bytes] | None = None,
        marker: bool = True,
    ) -> list[bytes]:
        """One frame, `media_time` seconds after the source began; `extra`: extensions of these packets."""
        timestamp = (self._offset + round(media_time * self.clock_rate)) & 0xFFFFFFFF
        self._last = timestamp, now
        made = []
        for index, payload in enumerate(payloads):
            packet = RtpPacket(
                self._payload_type,
                self._sequence,
                timestamp,
                self.ssrc,
                payload,
                marker and index == len(payloads) - 1,
                extensions={**self._extensions, **(extra or {})},
            )
            protected = self.protect(packet)
            self._sequence = self._sequence + 1 & 0xFFFF
            if protected is None:
                continue
            packet.payload = protected
            if self._kept:
                self._history[packet.sequence] = packet
                while len(self._history) > self._kept:
                    self._history.popitem(last=False)
            self.packets += 1
            self.octets += len(protected)
            made.append(packet.to_bytes())
        return made

    def protect(self, packet: RtpPacket) -> bytes | None:
        """The payload as it is sent; None: it cannot be. Frames are protected before they are cut."""
        return packet.payload

    def repeated_extensions(self, packet: RtpPacket) -> Mapping[int, bytes]:
        """Of its retransmission, beside those of the repair stream."""
        return {}

    def again(self, sequence: int) -> bytes | None:
        """A packet sent before, as its retransmission or as it was; None when it is not kept."""
        packet = self._history.get(sequence)
        if packet is None:
            return None
        self.repeated += 1
        repair = self.repair
        if repair is None:
            return packet.to_bytes()  # as it was: another packet under its number would give the key away
        repeated = RtpPacket(
            repair.payload_type,
            repair.sequence,
            packet.timestamp,
            repair.ssrc,
            sequence.to_bytes(2, "big") + packet.payload,
            packet.marker,
            extensions={**repair.extensions, **self.repeated_extensions(packet)},
        )
        repair.sequence = repair.sequence + 1 & 0xFFFF
        return repeated.to_bytes()

    def report(self, now: float, unix: float) -> SenderReport | None:
        """None before anything was sent."""
        if self._last is None:
            return None
        timestamp, at = self._last
        moved = timestamp + round((now - at) * self.clock_rate) & 0xFFFFFFFF
        return SenderReport(self.ssrc, ntp_time(unix), moved, self.packets, self.octets)
