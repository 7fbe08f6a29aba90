"""Participants without browsers: STUN by aioice, SRTP by pylibsrtp, keys given by hand.

All of it is independent of the code under test. `Participant` makes and reads datagrams and knows no socket;
`Meeting` puts participants into a table; `Endpoint` adds a UDP socket.
"""

import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import pylibsrtp
from aioice import stun
from pylibsrtp import Policy, Session

from control.protocol.rows import (
    NONE,
    Codec,
    ExtensionIds,
    HopKeys,
    IceCredentials,
    SinkRow,
    SourceKind,
    SourceRow,
    SrtpProfile,
    TransportRow,
)
from fastpath_ext.packet_crypto import make_ufrag
from fastpath_ext.table import Table
from tests.patience import PATIENCE_S

LEVEL, MID, TRANSPORT_CC, RID, REPAIRED_RID = 1, 4, 5, 10, 11
RIDS = ("t", "m", "f")
LIBSRTP = {
    SrtpProfile.AES128_CM_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    SrtpProfile.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    SrtpProfile.AEAD_AES_256_GCM: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}


@dataclass(frozen=True, slots=True)
class Got:
    """An RTP packet as a receiver sees it, decrypted on the hop."""

    ssrc: int
    sequence: int
    timestamp: int
    payload_type: int
    marker: bool
    csrc: int | None
    level: int | None
    payload: bytes

    def original(self, ssrc: int, payload_type: int) -> "Got":
        """What a retransmission stands for (RFC 4588)."""
        (sequence,) = struct.unpack("!H", self.payload[:2])
        return replace(
            self, ssrc=ssrc, sequence=sequence, payload_type=payload_type, payload=self.payload[2:]
        )


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a compound: type, count or format, and what follows its head."""

    type: int
    count: int
    body: bytes


def read_rtp(packet: bytes) -> Got:
    first, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", packet[:12])
    at = 12 + 4 * (first & 15)
    csrc = struct.unpack("!I", packet[12:16])[0] if first & 15 else None
    level = None
    if first & 16:
        profile, words = struct.unpack("!HH", packet[at : at + 4])
        elements, at = packet[at + 4 : at + 4 + 4 * words], at + 4 + 4 * words
        while profile == 0xBEDE and elements:
            if elements[0] == 0:
                elements = elements[1:]
                continue
            length = (elements[0] & 15) + 1
            if elements[0] >> 4 == LEVEL:
                level = elements[1]
            elements = elements[1 + length :]
    end = len(packet) - (packet[-1] if first & 32 else 0)
    assert end >= at
    return Got(ssrc, sequence, timestamp, second & 127, bool(second & 128), csrc, level, packet[at:end])


def read_rtcp(compound: bytes) -> list[Block]:
    blocks = []
    while compound:
        first, kind, words = struct.unpack("!BBH", compound[:4])
        assert first >> 6 == 2
        blocks.append(Block(kind, first & 31, compound[4 : 4 + 4 * words]))
        compound = compound[4 + 4 * words :]
    return blocks


class Participant:
    """One member: a microphone (mid 0) and a camera (mid 1) with three encodings."""

    def __init__(self, handle: int, profile: SrtpProfile = SrtpProfile.AEAD_AES_128_GCM) -> None:
        self.handle = handle
        key, salt = (
            (32 if profile == SrtpProfile.AEAD_AES_256_GCM else 16),
            (14 if profile == SrtpProfile.AES128_CM_SHA1_80 else 12),
        )
        secret = [bytes((handle * 7 + n + i) % 256 for i in range(46)) for n in (3, 91)]
        self.keys = HopKeys(
            profile,
            secret[0][:key],
            secret[0][key : key + salt],
            secret[1][:key],
            secret[1][key : key + salt],
        )
        self.ice = IceCredentials(
            make_ufrag(handle, "test"), f"password-of-member-{handle:05d}", f"peer{handle}"
        )
        self._out = Session(
            Policy(self.keys.rx_key + self.keys.rx_salt, Policy.SSRC_ANY_OUTBOUND, 0, LIBSRTP[profile])
        )
        self._in = Session(
            Policy(self.keys.tx_key + self.keys.tx_salt, Policy.SSRC_ANY_INBOUND, 0, LIBSRTP[profile])
        )
        self.audio_ssrc = 0xA0000 + handle
        self.video_ssrcs = tuple(0xB0000 + handle * 16 + n for n in range(3))
        self.rtx_ssrcs = {ssrc: ssrc + 8 for ssrc in self.video_ssrcs}
        self.next = dict.fromkeys(
            (self.audio_ssrc, *self.video_ssrcs, *self.rtx_ssrcs.values()), 100 + handle
        )
        self.sent: dict[tuple[int, int], tuple[int, int, bytes, bool]] = {}
        """Video that may be asked for again: encoding, timestamp, payload and marker by SSRC and sequence."""
        self.loses: Callable[[bytes], bool] | None = None
        """Which of the RTP that arrives is lost on the way."""
        self.pictures = dict.fromkeys(self.video_ssrcs, 0)
        self.mentions_mid = True
        self.transport_number: int | None = None
        """The transport-wide number of its next packet; Meeting.put negotiates the extension if it is set."""
        self.answers = 0
        self.dtls: list[bytes] = []
        self.rtp: list[Got] = []
        self.rtcp: list[list[Block]] = []
        self.refused: list[str] = []
        """Datagrams that pylibsrtp would not take, each with why."""

    # ---- what it sends ----

    def check(self, nominate: bool = True) -> bytes:
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self.ice.local_ufrag}:{self.ice.remote_ufrag}"
        request.attributes["PRIORITY"] = 1845501695
        request.attributes["ICE-CONTROLLING"] = 7
        if nominate:
            request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(self.ice.local_pwd.encode())
        return bytes(request)

    def _rtp(
        self, ssrc: int, payload_type: int, timestamp: int, payload: bytes, elements: bytes, marker: bool
    ) -> bytes:
        sequence = self.next[ssrc]
        self.next[ssrc] = sequence + 1
        if self.transport_number is not None:
            elements += struct.pack("!BH", TRANSPORT_CC << 4 | 1, self.transport_number & 0xFFFF)
            self.transport_number += 1
        head = struct.pack(
            "!BBHII",
            0x90 if elements else 0x80,
            payload_type | marker << 7,
            sequence & 0xFFFF,
            timestamp,
            ssrc,
        )
        if elements:
            elements += bytes(-len(elements) % 4)
            head += struct.pack("!HH", 0xBEDE, len(elements) // 4) + elements
        return self._out.protect(head + payload)

    def opus(self, payload: bytes = bytes(80), level: int = 0x9E) -> bytes:
        elements = bytes((LEVEL << 4, level)) + (bytes((MID << 4, ord("0"))) if self.mentions_mid else b"")
        return self._rtp(
            self.audio_ssrc, 111, self.next[self.audio_ssrc] * 960 & 0xFFFFFFFF, payload, elements, False
        )

    def skip_audio(self, packets: int) -> None:
        """As if so many packets were lost on their way."""
        self.next[self.audio_ssrc] += packets

    def frame(
        self, encoding: int, *, key: bool, packets: int = 1, size: int = 500, now: float | None = None
    ) -> list[bytes]:
        """One VP8 frame: 15-bit picture id and TL0PICIDX, then what stands for sealed bytes."""
        ssrc = self.video_ssrcs[encoding]
        self.pictures[ssrc] = picture = self.pictures[ssrc] + 1
        timestamp = int((time.monotonic() if now is None else now) * 90000) & 0xFFFFFFFF
        bodies = []
        for n in range(packets):
            descriptor = struct.pack(
                "!BBHBB", 0x90 if n == 0 else 0x80, 0xE0, 0x8000 | picture & 0x7FFF, picture & 0xFF, 0
            )
            bodies.append(descriptor + bytes((0x10 if key else 0x11,)) + bytes((encoding,)) * (size - 7))
        return self.video(encoding, timestamp, bodies)

    def video(self, encoding: int, timestamp: int, bodies: Sequence[bytes]) -> list[bytes]:
        """One frame of any codec, by the payloads of its packets."""
        ssrc = self.video_ssrcs[encoding]
        elements = bytes((MID << 4, ord("1"), RID << 4, ord(RIDS[encoding]))) if self.mentions_mid else b""
        made = []
        for n, body in enumerate(bodies):
            self.sent[ssrc, self.next[ssrc] & 0xFFFF] = (encoding, timestamp, body, n == len(bodies) - 1)
            made.append(self._rtp(ssrc, 96, timestamp, body, elements, n == len(bodies) - 1))
        return made

    def retransmissions(self) -> list[bytes]:
        """Answers to the NACKs in what it got, which is then forgotten."""
        made = []
        for block in self.blocks(205, 1):
            ssrc = int.from_bytes(block.body[4:8])
            for at in range(8, len(block.body), 4):
                first, mask = struct.unpack("!HH", block.body[at : at + 4])
                for sequence in (first, *(first + 1 + bit for bit in range(16) if mask >> bit & 1)):
                    encoding, timestamp, body, marker = self.sent[ssrc, sequence & 0xFFFF]
                    osn = struct.pack("!H", sequence & 0xFFFF)
                    elements = bytes((MID << 4, ord("1"), REPAIRED_RID << 4, ord(RIDS[encoding])))
                    made.append(self._rtp(self.rtx_ssrcs[ssrc], 97, timestamp, osn + body, elements, marker))
        self.rtcp.clear()
        return made

    def _compound(self, *blocks: bytes) -> bytes:
        return self._out.protect_rtcp(struct.pack("!BBHI", 0x80, 201, 1, self.audio_ssrc) + b"".join(blocks))

    def pli(self, ssrc: int) -> bytes:
        return self._compound(struct.pack("!BBHII", 0x81, 206, 2, self.audio_ssrc, ssrc))

    def remb(self, bits_per_second: int) -> bytes:
        """What it can take, by its own measure; at most 18 bits of it are told."""
        shift = max(0, bits_per_second.bit_length() - 18)
        rate = 1 << 24 | shift << 18 | bits_per_second >> shift
        return self._compound(
            struct.pack("!BBHII4sII", 0x8F, 206, 5, self.audio_ssrc, 0, b"REMB", rate, self.audio_ssrc)
        )

    def nack(self, ssrc: int, *lost: int) -> bytes:
        """One entry for each sequence number: a valid NACK, if not the shortest."""
        head = struct.pack("!BBHII", 0x81, 205, 2 + len(lost), self.audio_ssrc, ssrc)
        return self._compound(head + b"".join(struct.pack("!HH", one & 0xFFFF, 0) for one in lost))

    # ---- what it gets ----

    def take(self, datagram: bytes) -> None:
        if datagram[0] < 4:
            answer = stun.parse_message(datagram)
            assert answer.message_class == stun.Class.RESPONSE
            assert answer.check_message_integrity(self.ice.local_pwd.encode())
            self.answers += 1
        elif 20 <= datagram[0] <= 63:
            self.dtls.append(datagram)
        else:
            rtcp = 192 <= datagram[1] <= 223
            if not rtcp and self.loses and self.loses(datagram):
                return
            try:
                plain = self._in.unprotect_rtcp(datagram) if rtcp else self._in.unprotect(datagram)
            except pylibsrtp.Error as error:
                self.refused.append(str(error))
                return
            if rtcp:
                self.rtcp.append(read_rtcp(plain))
            else:
                self.rtp.append(read_rtp(plain))

    def of(self, ssrc: int) -> list[Got]:
        return [got for got in self.rtp if got.ssrc == ssrc]

    def blocks(self, kind: int, count: int | None = None) -> list[Block]:
        return [b for compound in self.rtcp for b in compound if b.type == kind and count in (None, b.count)]

    def key_requests(self) -> int:
        return len(self.blocks(206, 1))

    def forget(self) -> None:
        self.rtp.clear()
        self.rtcp.clear()
        self.refused.clear()


@dataclass
class Meeting:
    """Participants in one table: every slot of member n carries another member, thumbnails first."""

    table: Table
    participants: list[Participant]
    conference: int = 1
    muted: set[int] = field(default_factory=set)
    codec: Codec = Codec.VP8
    sinks: dict[int, SinkRow] = field(default_factory=dict)

    @classmethod
    def of(
        cls, count: int, profile: SrtpProfile = SrtpProfile.AEAD_AES_128_GCM, *, room: int = 16
    ) -> "Meeting":
        meeting = cls(
            Table.create(room, 2 * room, 2 * room * room), [Participant(n, profile) for n in range(count)]
        )
        for receiver in range(count):
            for sender in range(count):
                if sender != receiver:
                    meeting.subscribe(receiver, sender, 0)
        meeting.put()
        return meeting

    @staticmethod
    def audio(member: int) -> int:
        """Source handle."""
        return 2 * member

    @staticmethod
    def camera(member: int) -> int:
        return 2 * member + 1

    def slot(self, receiver: int, pair: int, camera: bool) -> int:
        """Handle of the slot that carries member `pair` at the beginning."""
        return (receiver * self.table.capacities[0] + pair) * 2 + camera

    def ssrc(self, receiver: int, pair: int, camera: bool) -> int:
        return 0xC0000 + self.slot(receiver, pair, camera)

    def rtx_ssrc(self, receiver: int, pair: int) -> int:
        return 0xD0000 + self.slot(receiver, pair, True)

    def subscribe(
        self, receiver: int, sender: int | None, max_encoding: int, *, pair: int | None = None
    ) -> None:
        """A slot pair of the receiver (that of the sender if not said) carries the sender, None = nothing."""
        pair = sender if pair is None else pair
        assert pair is not None
        for camera in (False, True):
            handle = self.slot(receiver, pair, camera)
            source = NONE if sender is None else (self.camera if camera else self.audio)(sender)
            self.sinks[handle] = SinkRow(
                incarnation=1,
                transport=receiver,
                transport_incarnation=1,
                source=source,
                source_incarnation=1,
                ssrc=self.ssrc(receiver, pair, camera),
                rtx_ssrc=0xD0000 + handle,
                kind=SourceKind.CAMERA if camera else SourceKind.AUDIO,
                clock_rate=90000 if camera else 48000,
                payload_type=120 if camera else 109,
                rtx_payload_type=121 if camera else 0,
                max_encoding=max_encoding,
                priority=1,
            )

    def put(self) -> None:
        for one in self.participants:
            n = one.handle
            self.table.put_transport(
                n,
                TransportRow(
                    incarnation=1,
                    conference=self.conference,
                    ice=(one.ice,),
                    keys=one.keys,
                    rtcp_ssrc=0xE0000 + n,
                    remb_bps=3_000_000,
                    sources=(self.audio(n), self.camera(n)),
                    ext=ExtensionIds(
                        mid=MID,
                        rid=RID,
                        repaired_rid=REPAIRED_RID,
                        audio_level=LEVEL,
                        transport_cc=0 if one.transport_number is None else TRANSPORT_CC,
                    ),
                ),
            )
            for camera in (False, True):
                handle = self.camera(n) if camera else self.audio(n)
                self.table.put_source(
                    handle,
                    SourceRow(
                        incarnation=1,
                        transport=n,
                        transport_incarnation=1,
                        member=1000 + n,
                        kind=SourceKind.CAMERA if camera else SourceKind.AUDIO,
                        codec=self.codec if camera else Codec.OPUS,
                        clock_rate=90000 if camera else 48000,
                        payload_type=96 if camera else 111,
                        rtx_payload_type=97 if camera else 0,
                        muted=handle in self.muted,
                        mid="1" if camera else "0",
                        rids=RIDS if camera else (),
                    ),
                )
        for handle, row in self.sinks.items():
            self.table.put_sink(handle, row)
        assert self.table.publish()


class Endpoint:
    """A participant at a UDP socket of its own."""

    def __init__(self, participant: Participant, server: tuple[str, int]) -> None:
        self.participant = participant
        self.server = server
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))

    def send(self, *datagrams: bytes) -> None:
        for one in datagrams:
            self.socket.sendto(one, self.server)

    def drain(self) -> None:
        while True:
            try:
                datagram, source = self.socket.recvfrom(4096)
            except BlockingIOError:
                return
            assert source[:2] == self.server[:2], "answers leave from where they were sent to"
            self.participant.take(datagram)

    def close(self) -> None:
        self.socket.close()


def pump(endpoints: Iterable[Endpoint], until: Callable[[], bool], timeout: float = PATIENCE_S) -> bool:
    """Takes what arrives until `until()` holds; False after the time."""
    everyone: Sequence[Endpoint] = list(endpoints)
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for one in everyone:
            selector.register(one.socket, selectors.EVENT_READ, one)
        for one in everyone:
            one.drain()
        while not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in selector.select(left):
                key.data.drain()
    return True
