"""What we send sealed: each packet encrypted under the SSRC that the focus gave its encoding."""

import secrets
from collections.abc import Mapping, Sequence

from client.keys.frames import BaseKey
from client.rtp.packet import RtpPacket
from client.rtp.send import Retransmission, SendStream
from client.sealed.descriptor import write_descriptor
from client.sealed.keys import InnerKey, key_id
from client.sealed.packet import EMPTY_OHB, Header, inner_key
from client.transport.sdp import Answered


class PacketSealer:
    """Of one source: its encodings share the base key, and differ by their SSRC.

    The focus gives SSRCs; we see to it that none is used twice with an index under one key.
    """

    def __init__(self, member: int, source: int) -> None:
        self._member, self._source = member, source
        self._base = b""
        self._key: InnerKey | None = None
        self._key_id = b""
        self._used: dict[int, int] = {}  # greatest index by SSRC, under this key

    def use(self, base: BaseKey) -> None:
        if base.key == self._base:
            return
        self._base = base.key
        self._key = inner_key(base.key, self._member, self._source, base.epoch, base.step)
        self._key_id = key_id(self._source, base.epoch, base.step)
        self._used = {}

    @property
    def ready(self) -> bool:
        return self._key is not None

    def seal(self, header: Header, rollover: int, payload: bytes) -> bytes | None:
        """None without a key, or when this SSRC and index was sealed under it before."""
        index = rollover << 16 | header.sequence
        if self._key is None or index <= self._used.get(header.ssrc, -1) or rollover >> 32:
            return None
        self._used[header.ssrc] = index
        sealed = self._key.seal(header.to_bytes(), header.ssrc, index, payload)
        return sealed + self._key_id + EMPTY_OHB


class SealedStream(SendStream):
    """One encoding, under the SSRC that the focus gave."""

    def __init__(
        self,
        sealer: PacketSealer,
        payload_type: int,
        clock_rate: int,
        ssrc: int,
        offset: int,
        descriptor_id: int | None = None,
        repair: Retransmission | None = None,
        resends: bool = False,
    ) -> None:
        """`offset`: of timestamps, the same for all encodings of a source."""
        super().__init__(payload_type, clock_rate, {}, repair, resends)
        self.ssrc = ssrc
        self._offset = offset
        self._sealer, self._descriptor_id = sealer, descriptor_id
        self._rollover, self._frame = 0, 0

    def begin_at(self, sequence: int) -> None:
        """For tests: before anything was sent."""
        self._sequence = sequence

    @property
    def rollover(self) -> int:
        return self._rollover

    def frame_packets(
        self, payloads: Sequence[bytes], media_time: float, now: float, key: bool
    ) -> list[bytes]:
        """One picture, its packets with their descriptors."""
        made = []
        for at, payload in enumerate(payloads):
            last = at == len(payloads) - 1
            extra = {}
            if self._descriptor_id is not None:
                extra[self._descriptor_id] = write_descriptor(key, at == 0, last, self._frame)
            made += self.packets_of([payload], media_time, now, extra, marker=last)
        self._frame += 1
        return made

    def protect(self, packet: RtpPacket) -> bytes | None:
        header = Header(packet.payload_type, packet.sequence, packet.timestamp, self.ssrc, packet.marker)
        sealed = self._sealer.seal(header, self._rollover, packet.payload)
        if packet.sequence == 0xFFFF:
            self._rollover += 1
        return sealed

    def repeated_extensions(self, packet: RtpPacket) -> Mapping[int, bytes]:
        return packet.extensions  # the focus reads of the descriptor where one can begin


def sealed_streams(section: Answered, sealer: PacketSealer) -> dict[str, SealedStream]:
    """Of what the focus agreed to, by encoding."""
    clock_rate = 48_000 if section.kind == "audio" else 90_000
    offset = secrets.randbits(32)
    descriptor = section.extensions.get("dependency_descriptor")
    streams = {}
    for name, (ssrc, rtx_ssrc) in section.sealed_ssrcs.items():
        repair = None
        if section.rtx_payload_type is not None and rtx_ssrc is not None:
            repair = Retransmission(section.rtx_payload_type, {}, rtx_ssrc)
        resends = repair is None and section.kind == "audio" and "nack" in section.feedback
        streams[name] = SealedStream(
            sealer, section.payload_type, clock_rate, ssrc, offset, descriptor, repair, resends
        )
    return streams
