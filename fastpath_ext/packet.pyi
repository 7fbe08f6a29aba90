from collections.abc import Sequence
from typing import Any, Final, Literal, Self, final

from typing_extensions import Buffer

from fastpath_ext.packet_values import Projected, Report, RtpHeader, Vp8Descriptor

RTP_HEADER_MAX: Final[int]
PROJECTION_MAX_GAP: Final[int]

class PacketError(ValueError):
    """The bytes are malformed, or do not fit."""

class ProjectionRefused(Exception):
    """The packet has no place in the outgoing stream."""

    reason: Literal["other", "late", "exhausted"]
    def __init__(self, reason: str) -> None: ...

def demux(datagram: bytes) -> Literal["stun", "dtls", "rtp", "rtcp"]:
    """What kind of packet a datagram is (RFC 7983, RFC 5761)."""

def sequence_newer(a: int, b: int) -> bool: ...
def timestamp_newer(a: int, b: int) -> bool: ...
def rtp_parse(packet: bytes) -> RtpHeader:
    """The header of an RTP packet, encrypted or not."""

def rtp_padding(packet: bytes) -> int:
    """Bytes of padding at the end of a decrypted packet, its count included."""

def rtp_extension(packet: bytes, id: int) -> bytes | None:
    """The data of the header extension `id`."""

def rtp_extensions(
    packet: bytes,
    *,
    mid: int = 0,
    rid: int = 0,
    repaired_rid: int = 0,
    audio_level: int = 0,
    abs_send_time: int = 0,
    transport_cc: int = 0,
    dependency_descriptor: int = 0,
) -> dict[str, bytes]:
    """What was found of the extensions whose ids are given."""

def rtp_text(packet: bytes, id: int, room: int = 16) -> str:
    """The text of a mid or rid extension."""

def rtp_header(
    *,
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    marker: bool = False,
    csrc: int = 0,
    audio_level_id: int = 0,
    audio_level: int = 0,
    abs_send_time_id: int = 0,
    abs_send_time: int = 0,
    transport_cc_id: int = 0,
    transport_cc: int = 0,
    mid_id: int = 0,
    mid: bytes = b"",
) -> bytes:
    """The header a receiver gets; ids of 0 leave their extension out, as does csrc 0."""

def vp8_parse(payload: bytes) -> Vp8Descriptor: ...
def vp8_rewrite(payload: bytes, picture_id: int, tl0: int) -> bytes:
    """The payload with other numbers, where it has them."""

def payload_key_start(name: Literal["opus", "vp8", "vp9", "h264", "av1"], payload: bytes) -> bool:
    """Does this packet begin a key frame?"""

def rtcp_parse(compound: bytes) -> list[dict[str, Any]]:
    """Every block as a dict: type, count, body, and by type what it says. All of it must be well-formed."""

def rtcp_rr(sender: int, reports: Sequence[Report], room: int = 1500) -> bytes: ...
def rtcp_sr(ssrc: int, *, ntp: int, timestamp: int, packets: int, octets: int, room: int = 1500) -> bytes: ...
def rtcp_sdes(ssrc: int, cname: bytes, room: int = 1500) -> bytes: ...
def rtcp_bye(ssrc: int, room: int = 1500) -> bytes: ...
def rtcp_pli(sender: int, media: int, room: int = 1500) -> bytes: ...
def rtcp_fir(sender: int, ssrc: int, sequence: int, room: int = 1500) -> bytes: ...
def rtcp_nack(sender: int, media: int, lost: Sequence[int], room: int = 1500) -> bytes: ...
def rtcp_remb(sender: int, bits_per_second: int, ssrcs: Sequence[int], room: int = 1500) -> bytes: ...
def rtcp_tmmbr(
    sender: int, limits: Sequence[tuple[int, int, int]], *, notification: bool = False, room: int = 1500
) -> bytes:
    """Each limit is an SSRC, bits per second and bytes of overhead per packet."""

def rtcp_ntp(ns: int) -> int:
    """Nanoseconds as an NTP timestamp of 32.32 bits."""

def rtcp_round_trip_us(report: Report, now_ns: int) -> int:
    """Round trip told by a report block about a stream of ours; 0 = it cannot be told."""

@final
class Encoding:
    """What arrives of one encoding, and the reports about it."""

    def __new__(cls, ssrc: int) -> Self: ...
    def received(self, index: int, timestamp: int, clock_rate: int, now_ns: int, length: int = 0) -> None: ...
    def sender_report(self, ntp: int, timestamp: int, now_ns: int) -> None: ...
    def restart(self, ssrc: int) -> None: ...
    def report(self, now_ns: int) -> Report | None: ...

@final
class Projection:
    """One outgoing stream, in memory of its own or given (128 bytes, zero at first).

    `origin` is (source, incarnation, encoding, SSRC). What has no place raises ProjectionRefused.
    """

    def __new__(cls, memory: Buffer | None = None) -> Self: ...
    @property
    def row(self) -> dict[str, int]:
        """The copy that counts, field by field."""

    def begin(
        self,
        index: int,
        timestamp: int,
        *,
        now_ns: int,
        audio: bool = False,
        clock_rate: int = 90000,
        random: int = 0,
        origin: tuple[int, int, int, int] = (1, 1, 0, 1),
        picture_id: int | None = None,
        picture_id_bits: int = 15,
        tl0: int | None = None,
    ) -> Projected:
        """Cut over to this packet."""

    def map(
        self,
        index: int,
        timestamp: int,
        *,
        now_ns: int,
        origin: tuple[int, int, int, int] = (1, 1, 0, 1),
        picture_id: int | None = None,
        picture_id_bits: int = 15,
        tl0: int | None = None,
    ) -> Projected:
        """The place of a packet of the current run."""

    def skip(self, index: int, *, origin: tuple[int, int, int, int] = (1, 1, 0, 1)) -> None:
        """Leave out a packet so that the ones after it close up."""

    def end(self) -> None:
        """Carry nothing until the next begin."""

    def timestamp_at(self, now_ns: int, clock_rate: int = 90000) -> int: ...
    def rehearse(self, reported: Buffer, seed: int) -> None:
        """For the kill test: maps packets until killed, storing each index in `reported` first."""
