"""Conferences as the generator's plan and as the server's rows: the same members, keys and SSRCs."""

import hashlib
import random
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.network import DEVICE, FIRST_MEMBER
from control.protocol.rows import (
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

MAGIC = 0x316E616C706F73
SSRC_BASE, SOURCE_BASE, RTX_BASE, RTCP_BASE = 0x10000000, 0x20000000, 0x30000000, 0x40000000
LEVEL, ABS_SEND_TIME, MID, TRANSPORT_CC, RID, REPAIRED_RID = 1, 2, 4, 5, 10, 11
CLIENT_PORT = 40000
AUDIO_NS = 20_000_000
SERVERS = 8
HEADER = 24
"""Fixed header and the elements a sender adds; with the 16 byte tag a payload of 1072 makes 1112 bytes."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Frames of a camera. `spread` = its packets evenly over the interval instead of at once."""

    rid: str = "t"
    frame_bytes: int = 8 * 1072
    fps: float = 30.0
    payload_max: int = 1072
    vary_percent: int = 0
    spread: bool = False

    @property
    def bps(self) -> int:
        packets = -(-self.frame_bytes // self.payload_max)
        return int((self.frame_bytes + packets * 50) * 8 * self.fps)


@dataclass(frozen=True, slots=True)
class Member:
    number: int
    worker: int
    handle: int
    """Of its transport in its worker's table."""
    conference: int
    keys: HopKeys
    ice: IceCredentials
    sources: list["Source"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Source:
    member: Member
    handle: int
    encodings: tuple[Encoding, ...]
    """Empty for audio."""
    numbers: tuple[int, ...]
    """Of the generator's sources."""


@dataclass(frozen=True, slots=True)
class Sink:
    receiver: Member
    source: Source
    handle: int
    encoding: int
    focus: bool


class Plan:
    """Add members, what they send and watch; `tables` makes the server's side, `write` the generator's."""

    plain = False
    """No STUN and no SRTP from our side: for servers that take RTP."""

    def __init__(
        self,
        *,
        workers: int = 1,
        profile: SrtpProfile = SrtpProfile.AEAD_AES_128_GCM,
        adaptation: bool = True,
        segments: bool = False,
        downlink_max_bps: int = 0,
        nack_permille: int = 0,
    ) -> None:
        self.workers = workers
        self.profile = profile
        self.adaptation = adaptation
        self.segments = segments
        self.downlink_max_bps = downlink_max_bps
        self.nack_permille = nack_permille
        """Of the pictures' packets, asked for again as if they were lost."""
        self.members: list[Member] = []
        self.sinks: list[Sink] = []
        self._senders: list[tuple[Member, bool, str, str, Encoding]] = []
        self._counts = [[0, 0, 0] for _ in range(workers)]
        # What stands on a worker (first) for others: a transport for the members of another worker in a
        # conference, and a source for each of theirs that is watched there.
        self._strangers: dict[tuple[int, int, int], int] = {}
        self._foreign: dict[tuple[int, int, int], tuple[Source, int]] = {}
        self._random = random.Random(1)

    def member(self, conference: int, worker: int = 0) -> Member:
        number = len(self.members)
        handle = self._count(worker, 0)
        seed = hashlib.sha512(b"benchmark member %d" % number).digest() + bytes(32)
        key = 32 if self.profile == SrtpProfile.AEAD_AES_256_GCM else 16
        salt = 14 if self.profile == SrtpProfile.AES128_CM_SHA1_80 else 12
        keys = HopKeys(
            self.profile, seed[:key], seed[32 : 32 + salt], seed[16 : 16 + key], seed[48 : 48 + salt]
        )
        ice = IceCredentials(make_ufrag(handle, "bench"), f"password-of-member-{number:05d}", f"m{number}")
        self.members.append(Member(number, worker, handle, conference, keys, ice))
        return self.members[-1]

    def audio(self, member: Member, size: int = 80) -> Source:
        return self._source(member, (), Encoding("", size, 50.0, 1072))

    def video(self, member: Member, *encodings: Encoding) -> Source:
        return self._source(member, encodings or (Encoding(),), None)

    def watch(self, receiver: Member, source: Source, encoding: int = 0, *, focus: bool = False) -> None:
        self.sinks.append(Sink(receiver, source, self._count(receiver.worker, 2), encoding, focus))
        on, home = receiver.worker, source.member.worker
        if on == home:
            return
        if (on, home, receiver.conference) not in self._strangers:
            self._strangers[on, home, receiver.conference] = self._count(on, 0)
        if (on, home, source.handle) not in self._foreign:
            self._foreign[on, home, source.handle] = source, self._count(on, 1)

    @property
    def hands_over(self) -> bool:
        """Is a conference on several workers?"""
        return bool(self._foreign)

    def _count(self, worker: int, which: int) -> int:
        self._counts[worker][which] += 1
        return self._counts[worker][which] - 1

    def _source(self, member: Member, encodings: tuple[Encoding, ...], audio: Encoding | None) -> Source:
        mid = str(len(member.sources))
        numbers = []
        for one in encodings or (audio,):
            assert one is not None
            numbers.append(len(self._senders))
            self._senders.append((member, audio is None, mid, one.rid, one))
        made = Source(member, self._count(member.worker, 1), encodings, tuple(numbers))
        member.sources.append(made)
        return made

    # ---- the server's side ----

    def tables(self) -> list[Table]:
        """One for each worker, with all rows published."""
        tables = [Table.create(*(max(1, n) for n in counts)) for counts in self._counts]
        for one in self.members:
            tables[one.worker].put_transport(one.handle, self._transport_row(one))
            for source in one.sources:
                told = {
                    on for on, home, handle in self._foreign if (home, handle) == (one.worker, source.handle)
                }
                row = replace(source_row(source), exports=sum(1 << on for on in told))
                tables[one.worker].put_source(source.handle, row)
        self._put_strangers(tables)
        for number, sink in enumerate(self.sinks):
            row_of_sink = sink_row(number, sink)
            key = sink.receiver.worker, sink.source.member.worker, sink.source.handle
            if key in self._foreign:
                row_of_sink = replace(row_of_sink, source=self._foreign[key][1])
            tables[sink.receiver.worker].put_sink(sink.handle, row_of_sink)
        assert all(table.publish() for table in tables)
        return tables

    def _put_strangers(self, tables: list[Table]) -> None:
        for (on, home, conference), handle in self._strangers.items():
            row = TransportRow(1, conference, (), None, 0, 0, (), ExtensionIds(), foreign=home + 1)
            tables[on].put_transport(handle, row)
        for (on, home, theirs), (source, handle) in self._foreign.items():
            strangers = self._strangers[on, home, source.member.conference]
            tables[on].put_source(
                handle,
                replace(
                    source_row(source),
                    transport=strangers,
                    home=home + 1,
                    home_source=theirs,
                    home_incarnation=1,
                ),
            )

    def _transport_row(self, one: Member) -> TransportRow:
        return TransportRow(
            incarnation=1,
            conference=one.conference,
            ice=(one.ice,),
            keys=one.keys,
            rtcp_ssrc=RTCP_BASE + one.number,
            remb_bps=0,
            sources=tuple(source.handle for source in one.sources),
            ext=ExtensionIds(
                mid=MID,
                rid=RID,
                repaired_rid=REPAIRED_RID,
                audio_level=LEVEL,
                transport_cc=TRANSPORT_CC if self.adaptation else 0,
            ),
            transport_cc_down=self.adaptation,
            downlink_max_bps=self.downlink_max_bps,
        )

    # ---- the generator's side ----

    def write(self, path: Path, servers: list[tuple[str, int]], *, warm_s: float, measure_s: float) -> None:
        sinks_of = [number for sink in self.sinks for number in (sink.source.numbers[sink.encoding],)]
        padded = servers + [("0.0.0.0", 0)] * (SERVERS - len(servers))
        head = struct.pack(
            "<Q4I32s8HIHHQQIII4B16sII",
            MAGIC,
            len(self.members),
            len(self._senders),
            len(self.sinks),
            len(servers),
            b"".join(bytes(map(int, host.split("."))) for host, _ in padded),
            *(port for _, port in padded),
            FIRST_MEMBER,
            CLIENT_PORT,
            self.profile,
            int(warm_s * 1e9),
            int(measure_s * 1e9),
            64,
            self.plain,
            self.segments,
            MID,
            RID,
            LEVEL,
            TRANSPORT_CC if self.adaptation else 0,
            DEVICE.encode(),
            self.adaptation,
            self.nack_permille,
        )
        parts = [head]
        parts += [pack_member(one) for one in self.members]
        parts += [self._pack_sender(n, *one) for n, one in enumerate(self._senders)]
        parts += [
            struct.pack("<II", sink.receiver.number, source)
            for sink, source in zip(self.sinks, sinks_of, strict=True)
        ]
        path.write_bytes(b"".join(parts))

    def _pack_sender(
        self, number: int, member: Member, video: bool, mid: str, rid: str, encoding: Encoding
    ) -> bytes:
        interval = int(1e9 / encoding.fps)
        return struct.pack(
            "<II4BHHIIQQ",
            member.number,
            SOURCE_BASE + number,
            video,
            96 if video else 111,
            ord(mid),
            ord(rid) if rid else 0,
            encoding.payload_max,
            encoding.spread,
            encoding.frame_bytes,
            encoding.vary_percent,
            interval,
            self._random.randrange(interval),  # cameras of different people do not tick together
        )


def pack_member(one: Member) -> bytes:
    keys = one.keys
    return struct.pack(
        "<16s32s16s32s14s2x32s14s2xII",
        one.ice.local_ufrag.encode(),
        one.ice.local_pwd.encode(),
        one.ice.remote_ufrag.encode(),
        keys.rx_key,
        keys.rx_salt,
        keys.tx_key,
        keys.tx_salt,
        one.worker,
        RTCP_BASE + 0x100000 + one.number,
    )


def source_row(source: Source) -> SourceRow:
    video = bool(source.encodings)
    return SourceRow(
        incarnation=1,
        transport=source.member.handle,
        transport_incarnation=1,
        member=1000 + source.member.number,
        kind=SourceKind.CAMERA if video else SourceKind.AUDIO,
        codec=Codec.VP8 if video else Codec.OPUS,
        clock_rate=90000 if video else 48000,
        payload_type=96 if video else 111,
        rtx_payload_type=97 if video else 0,
        muted=False,
        mid=str(source.member.sources.index(source)),
        rids=tuple(one.rid for one in source.encodings),
        max_bps=tuple(one.bps for one in source.encodings) or (64000,),
    )


def sink_row(number: int, sink: Sink) -> SinkRow:
    video = bool(sink.source.encodings)
    return SinkRow(
        incarnation=1,
        transport=sink.receiver.handle,
        transport_incarnation=1,
        source=sink.source.handle,
        source_incarnation=1,
        ssrc=SSRC_BASE + number,
        rtx_ssrc=RTX_BASE + number if video else 0,
        kind=SourceKind.CAMERA if video else SourceKind.AUDIO,
        clock_rate=90000 if video else 48000,
        payload_type=120 if video else 109,
        rtx_payload_type=121 if video else 0,
        max_encoding=sink.encoding,
        priority=1,
        focus=sink.focus,
    )
