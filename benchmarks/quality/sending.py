"""A synthetic microphone and camera: three encodings with three temporal layers, sent as the server asks."""

from __future__ import annotations

import asyncio
import struct
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.quality.device import Device
from benchmarks.quality.offers import AUDIO_TYPE, RTX_TYPE, VIDEO_TYPE
from benchmarks.quality.rtp import LEVEL, MID, REPAIRED_RID, RID, Block, extensions, nacked, write_report
from control.protocol import names

RIDS = ("t", "m", "f")
SIZES = {"t": (320, 180), "m": (640, 360), "f": (1280, 720)}
RATES = {"t": 15.0, "m": 30.0, "f": 30.0}
NOMINAL = {"t": 150_000, "m": 500_000, "f": 1_700_000}
LAYERS = (0, 2, 1, 2)
"""Temporal layer of each frame in turn (L1T3); the higher ones refer to the lowest alone."""
SYNC = 0x20
"""The Y bit of RFC 7741: from here on somebody may be given this layer."""
KEY_FRAME_SIZE = 3.0
"""In frames of mean size."""
PACKET_BYTES = 1100
KEPT = 2000
"""Packets that may be asked for again."""
SILENCE, SPEECH = 127, 25
"""Audio levels, -dBov."""


def stamped(payload: bytes, taken: float) -> bytes:
    """With when it was taken at its end, for whoever measures."""
    return payload + struct.pack("!d", taken)


def stamp(payload: bytes) -> float:
    taken: float = struct.unpack("!d", payload[-8:])[0]
    return taken


@dataclass
class Encoding:
    rid: str
    ssrc: int
    active: bool = False
    bps: int = 0
    sequence: int = 100
    rtx_sequence: int = 100
    picture: int = 0
    base: int = 0
    turn: int = 0
    key: bool = True
    due: float = 0.0
    packets: int = 0
    octets: int = 0
    kept: dict[int, bytes] = field(default_factory=dict)


class Sender:
    """What one device sends. `level`: of its voice; `skew_s`: how much later than taken pictures leave."""

    def __init__(self, device: Device, seed: int, *, skew_s: float = 0.0) -> None:
        self.device = device
        self.encodings = {rid: Encoding(rid, seed * 1000 + index) for index, rid in enumerate(RIDS)}
        self._by_ssrc = {one.ssrc: one for one in self.encodings.values()}
        self.audio_ssrc = seed * 1000 + 10
        self.level = SILENCE
        self.skew_s = skew_s
        self.clock_offset_s = 0.0
        """Its NTP clock runs so much ahead of ours."""
        self.obeys = True
        """Does what P.send asks."""
        self.key_requests: list[float] = []
        """When PLIs and FIRs came."""
        self.stopped: dict[str, float] = {}
        """When it stopped an encoding."""
        self._audio_sequence = 1
        self._audio_start = time.time()
        self._audio_octets = 0
        device.on_message = self._told
        device.on_rtcp = self._asked
        if wanted := device.last(names.SEND):
            self._told(names.SEND, wanted)
        device.go(self._microphone())
        device.go(self._camera())
        device.go(self._reports())

    def _told(self, kind: str, content: dict[str, Any]) -> None:
        if kind != names.SEND or not self.obeys:
            return
        wanted = content["sources"].get("camera", {}).get("encodings", {})
        for rid, encoding in self.encodings.items():
            want = wanted.get(rid, {"active": False})
            if want["active"] and not encoding.active:
                encoding.key, encoding.due = True, 0.0
            if encoding.active and not want["active"]:
                self.stopped[rid] = time.monotonic()
            encoding.active = want["active"]
            encoding.bps = want.get("max_bitrate", NOMINAL[rid])

    def _asked(self, block: Block) -> None:
        if block.type == 206 and block.count in (1, 4):
            self.key_requests.append(time.monotonic())
            for encoding in self.encodings.values():
                encoding.key = True
        elif block.type == 205 and block.count == 1 and len(block.body) >= 8:
            encoding = self._by_ssrc.get(int.from_bytes(block.body[4:8]))
            for sequence in nacked(block) if encoding else ():
                self._again(encoding, sequence)

    def _again(self, encoding: Encoding, sequence: int) -> None:
        kept = encoding.kept.get(sequence)
        if kept is None:
            return
        encoding.rtx_sequence += 1
        head = bytes((kept[0], kept[1] & 0x80 | RTX_TYPE))
        head += struct.pack("!H", encoding.rtx_sequence & 0xFFFF) + kept[4:8]
        head += struct.pack("!I", encoding.ssrc + 500)
        elements = extensions((MID, b"camera"), (REPAIRED_RID, encoding.rid.encode()))
        at = 16 + 4 * int.from_bytes(kept[14:16])
        self.device.send_rtp(head + elements + kept[2:4] + kept[at:])

    async def _microphone(self) -> None:
        count = 0
        while True:
            elements = extensions((LEVEL, bytes((0x80 * (self.level < 100) | self.level,))), (MID, b"audio"))
            timestamp = int((time.time() - self._audio_start) * 50 + 0.5) * 960
            head = struct.pack(
                "!BBHII",
                0x90,
                AUDIO_TYPE,
                self._audio_sequence & 0xFFFF,
                timestamp & 0xFFFFFFFF,
                self.audio_ssrc,
            )
            self._audio_sequence += 1
            self._audio_octets += 80
            self.device.send_rtp(head + elements + stamped(bytes(72), time.time()))
            count += 1
            # The schedule is that of the beginning: a late packet is followed by a punctual one.
            await asyncio.sleep(max(0.001, self._audio_start + count * 0.02 - time.time()))

    async def _camera(self) -> None:
        while True:
            now = time.time()
            for encoding in self.encodings.values():
                if encoding.active and (encoding.due <= now or (encoding.key and encoding.due - now < 0.06)):
                    period = 1 / RATES[encoding.rid]
                    encoding.due = max(encoding.due + period, now)
                    self._frame(encoding, now)
            await asyncio.sleep(0.004)

    def _frame(self, encoding: Encoding, now: float) -> None:
        layer = LAYERS[encoding.turn % 4]
        key = encoding.key
        if key:
            layer, encoding.key, encoding.turn = 0, False, 0
        encoding.turn += 1
        encoding.picture = encoding.picture + 1 & 0x7FFF
        encoding.base = encoding.base + (layer == 0) & 0xFF
        size = max(60, int(encoding.bps / 8 / RATES[encoding.rid] * (KEY_FRAME_SIZE if key else 1)))
        count = -(-size // PACKET_BYTES)
        # Taken `skew_s` ago: what stands in the packet is when it was taken.
        timestamp = int((now - self.skew_s) * 90000) & 0xFFFFFFFF
        elements = extensions((MID, b"camera"), (RID, encoding.rid.encode()))
        for index in range(count):
            descriptor = struct.pack(
                "!BBHBB",
                0x90 if index == 0 else 0x80,
                0xE0,
                0x8000 | encoding.picture,
                encoding.base,
                layer << 6 | SYNC * (layer > 0),
            )
            body = b""
            if index == 0:
                width, height = SIZES[encoding.rid]
                body = struct.pack("<BBB", 0x10 | (not key), 0, 0)
                body += b"\x9d\x01\x2a" + struct.pack("<HH", width, height) if key else b""
            body = stamped(body.ljust(size // count, b"\xa5"), now - self.skew_s)
            marker = 0x80 * (index == count - 1)
            sequence = encoding.sequence = encoding.sequence + 1 & 0xFFFF
            head = struct.pack("!BBHII", 0x90, VIDEO_TYPE | marker, sequence, timestamp, encoding.ssrc)
            packet = head + elements + descriptor + body
            encoding.kept[sequence] = packet
            encoding.kept.pop(sequence - KEPT & 0xFFFF, None)
            encoding.packets += 1
            encoding.octets += len(packet)
            self.device.send_rtp(packet)

    async def _reports(self) -> None:
        while True:
            now = time.time()
            ntp = now + self.clock_offset_s
            steps = (now - self._audio_start) * 48000
            self.device.send_report(
                write_report(self.audio_ssrc, ntp, int(steps), self._audio_sequence, self._audio_octets)
            )
            for one in self.encodings.values():
                if one.active:
                    # The time at which what is marked with this timestamp was taken.
                    timestamp = int(now * 90000)
                    self.device.send_report(write_report(one.ssrc, ntp, timestamp, one.packets, one.octets))
            await asyncio.sleep(0.5)
