"""Where fuzzing begins: `python -m tests.fuzz.seeds FOLDER` writes a folder for each target of core.

From ../shared/vectors where it is there, and from this file in any case: packets that reach far, by hand.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"
LONGEST = 1400

RTP, RTCP, RAW, CHECK, WAIT, OPUS, VP8, CONTROL, RESTART, ROW, STRANGER, AGAIN = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    9,
    10,
    11,
    12,
    13,
)
"""Kinds of steps, as tests/fuzz/core/stage.h tells them."""


def step(kind: int, member: int = 0, *, pause: int = 0, body: bytes = b"") -> bytes:
    sized = kind in (RTP, RTCP, RAW, CONTROL, STRANGER)
    return bytes((kind | member << 4 | pause << 6,)) + (struct.pack("!H", len(body)) if sized else b"") + body


def block(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def rtp(
    payload_type: int, sequence: int, ssrc: int, payload: bytes, elements: bytes = b"", profile: int = 0xBEDE
) -> bytes:
    elements += bytes(-len(elements) % 4)
    head = struct.pack("!BBHII", 0x90 if elements else 0x80, payload_type, sequence, 3000 * sequence, ssrc)
    return head + (struct.pack("!HH", profile, len(elements) // 4) + elements if elements else b"") + payload


DESCRIPTOR = bytes.fromhex("80000180003a410180ef808680")
"""A structure of one layer, and a frame of it."""
VP8_KEY = bytes.fromhex("90e080010100") + b"\x10" + bytes(30)
VIDEO_0, SINK_OF_0_FOR_1 = 0x10000, 0x50000 + 8 + 1
"""SSRCs of tests/fastpath/c/scene.h: member 0's lowest encoding, and member 1's slot of it."""
FEEDBACK = {
    "nack": block(205, 1, struct.pack("!IIHHHH", 9, SINK_OF_0_FOR_1, 1, 0xFFFF, 65535, 3)),
    "pli": block(206, 1, struct.pack("!II", 9, SINK_OF_0_FOR_1)),
    "fir": block(206, 4, struct.pack("!IIIB3x", 9, 0, SINK_OF_0_FOR_1, 1)),
    "remb": block(206, 15, struct.pack("!II4sII", 9, 0, b"REMB", 0x0107A120, VIDEO_0)),
    "tmmbr": block(205, 3, struct.pack("!IIII", 9, 0, VIDEO_0, 0x10000)),
    "tmmbn": block(205, 4, struct.pack("!IIII", 9, 0, 0x90001, 0x1E00001F)),
    "transport_cc": block(205, 15, struct.pack("!IIHHIHBBBx", 9, VIDEO_0, 0, 2, 1 << 8 | 1, 0x2002, 4, 8, 0)),
    "rr": block(201, 1, struct.pack("!II4xIIII", 9, SINK_OF_0_FOR_1, 5, 10, 0x1234, 0x10)),
    "sr": block(200, 0, struct.pack("!IQIII", VIDEO_0, 0xE0000000_80000000, 90000, 10, 1000)),
    "sdes": block(202, 1, struct.pack("!IBB6s", 9, 1, 5, b"cname\0")),
    "bye": block(203, 1, struct.pack("!I", VIDEO_0)),
}


def by_hand() -> Iterator[tuple[str, bytes]]:
    """Target and input."""
    mid_rid = b"\x401\xa0t"
    yield "rtp", rtp(96, 7, 1, VP8_KEY, mid_rid + b"\x10\x9e\x31\x00\x07" + b"\xc0\x80")
    yield "rtp", rtp(96, 7, 1, VP8_KEY, b"\x04\x011\x0a\x01t\xff\x0d" + DESCRIPTOR, 0x1000)
    for body in FEEDBACK.values():
        yield "rtcp", block(201, 0, struct.pack("!I", 9)) + body
        yield "feedback", body
        yield (
            "forward",
            b"".join(
                (
                    b"\x06\x03\x20",
                    b"\x46\x04\x20",
                    step(RTCP, 1, pause=1, body=block(201, 0, bytes(4)) + body),
                )
            ),
        )
    yield "rtcp", b"".join(FEEDBACK.values())
    yield "transport_cc", struct.pack("!HB4BB", 2000, 4, 9, 99, 200, 30, 12) + FEEDBACK["transport_cc"][12:]
    yield "dependency", bytes((len(DESCRIPTOR),)) + DESCRIPTOR + bytes.fromhex("03400002")
    yield "payload", VP8_KEY
    yield "payload", bytes.fromhex("8f80") + bytes(8)  # VP9: I, picture id of 7 bits
    yield "payload", bytes.fromhex("78000467640c0d000265ff")  # H.264: STAP-A
    yield "payload", bytes.fromhex("1810") + bytes(8)  # AV1
    yield "rtx", b"\x01\x00" + b"\x28\x00\x05" + VP8_KEY + b"\x02\x00\x06\x02\x9c\x40"
    yield "srtp", b"\x01\x00\x60" + rtp(96, 7, 1, VP8_KEY + bytes(16), mid_rid)
    yield "srtp", b"\x00\x00\x60" + FEEDBACK["sr"] + b"\x80\0\0\1" + bytes(10)
    yield "sequence", bytes.fromhex("03010101" * 4 + "02060104811713010704" + "000100030605030105010402")
    yield "table", b"\x02\x00\x08\x03"
    yield "table", b"\x03\x00\x10\x01\x00\x30\xff"
    yield "table", b"\x06\x00\x40\x01"
    for kind in (64, 65, 66, 1, 99):
        body = struct.pack("=IIIIIIQ", kind, 1, 18, 20, 0, 0, 5) + b"\x16\xfe\xfd" + bytes(17)
        yield "downlink", struct.pack("!H", len(body)) + body
    yield "ice", bytes.fromhex("a0a4a8c00580e4ff") + struct.pack("!BH", 9, 20) + rtp(96, 7, VIDEO_0, bytes(8))
    calm = b"".join(b"\x46" + bytes((2 + (n == 0) + 4, 40)) + bytes((OPUS | 64,)) for n in range(12))
    yield "forward", calm
    yield "forward", calm + b"".join(step(AGAIN, 1, pause=1, body=bytes((n << 1,))) for n in range(6))
    yield "forward", calm + step(RESTART) + calm + step(CHECK, 1, pause=3)
    yield (
        "forward",
        calm + step(ROW, body=b"\x01\x01\x02") + b"\x47\x07\x30" * 3 + step(ROW, body=b"\x01\x00\x10") + calm,
    )
    yield "forward", calm + step(WAIT, body=b"\xff") + calm
    yield (
        "forward",
        step(RTP, body=rtp(96, 7, VIDEO_0, VP8_KEY, mid_rid))
        + step(RTP, body=rtp(97, 9, VIDEO_0 + 9, b"\0\x06" + VP8_KEY, b"\x401\xb0t")),
    )
    yield (
        "forward",
        step(RTP, body=rtp(96, 7, VIDEO_0, VP8_KEY, b"\x04\x011\x0a\x01t\x0c\x0d" + DESCRIPTOR, 0x1000)) * 2,
    )
    yield (
        "forward",
        step(STRANGER, body=rtp(96, 7, VIDEO_0, VP8_KEY))
        + step(RAW, body=b"\x16\xfe\xfd" + bytes(60))
        + step(CONTROL, body=b"\x16\xfe\xfd" + bytes(60)),
    )
    yield (
        "rows",
        calm
        + b"\xf0\x02\x00\x14\x03\xff\xff\xff\xff"
        + calm
        + b"\xf1\x83\x00\x40\x07\x01\x02\x03\x04\x05\x06\x07\x08"
        + calm,
    )
    yield (
        "rows",
        calm + b"\xf1\x80\x00\x04\x03\xff\xff\xff\x7f" + calm + b"\xf1\x82\x00\x10\x07" + b"\xff" * 8 + calm,
    )
    yield "rows", b"\xf0\x00\x00\x08\x07" + b"\xff" * 8 + b"\xf0\x01\x00\x08\x07" + b"\xff" * 8 + calm


def of_handover() -> Iterator[tuple[str, bytes]]:
    """Records as workers write them into rings (fastpath/handover_messages.h), and some that are spoilt."""

    def head(kind: int, source: int = 0, encoding: int = 0, flags: int = 0) -> bytes:
        return struct.pack("<4B3I", kind, encoding, flags, 0x1E, source, 3, encoding + 1)

    def packet(index: int, payload: bytes, source: int = 1, encoding: int = 0) -> bytes:
        described = head(1, source, encoding, 1)
        return described + struct.pack("<QQQIHH", index, 0, 0, index * 3000, len(payload), 0) + payload

    def record(body: bytes) -> bytes:
        return struct.pack("!H", len(body)) + body

    vp8 = bytes((0x90, 0xE0, 0x80, 1, 1, 0))
    frames = b"".join(
        record(packet(n, vp8 + bytes((0x10 if n == 1 else 0x11,)) + bytes(60))) for n in range(1, 20)
    )
    voices = b"".join(record(packet(n, bytes(40), source=0)) for n in range(1, 20))
    viewer = struct.pack("<I4BI", 900_000, 2, 2, 1, 0, 3)
    told = [
        head(2, 1) + struct.pack("<QQqQII", 5, 7 << 32, -3, 9, 90_000, 0),
        head(3, 1) + bytes(168),
        head(4),
        head(5) + struct.pack("<II3H", 3, 0, 1, 2, 9),
        head(6) + struct.pack("<IIII", 3, 10, 5, 1) + viewer,
        head(7),
    ]
    yield "handover", frames + voices + frames
    yield "handover", frames + b"".join(map(record, told)) + frames
    yield "handover", b"".join(record(body)[:-1] for body in told)
    for where in (0x8000, 0x8008, 0xC000, 0xA000):
        yield "handover", frames + struct.pack("!H", where) + b"\xff" * 8 + frames + voices


def of_vectors() -> Iterator[tuple[str, bytes]]:
    """What other implementations keep for the same parsers."""

    def cases(name: str) -> Iterator[bytes]:
        path = VECTORS / name
        for case in json.loads(path.read_text())["cases"] if path.exists() else ():
            yield bytes.fromhex(case["hex"])

    for name in ("aioice/stun.json", "pion-stun/testdata.json", "libwebrtc-fuzz/stun-corpus.json"):
        yield from (("stun", data) for data in cases(name))
    if (path := VECTORS / "stun/rfc5769.json").exists():
        yield from (
            ("stun", bytes.fromhex(text)) for text in json.loads(path.read_text())["messages"].values()
        )
    for name in ("pion/rtp-test-bytes.json", "libwebrtc-fuzz/rtp-corpus.json", "aiortc/packets.json"):
        for data in cases(name):
            yield "rtp", data
            yield "payload", data
            yield "srtp", b"\x01\x01\x01" + data
            yield "forward", step(RTP, body=data[:LONGEST]) + step(RTCP, 1, body=data[:LONGEST])
    for name in ("pion/rtcp-test-bytes.json", "libwebrtc-fuzz/rtcp-corpus.json"):
        for data in cases(name):
            yield "rtcp", data
            yield "feedback", data
            yield "transport_cc", b"\x10\x00\x1f" + bytes(31) + bytes((len(data[12:]) & 0xFF,)) + data[12:]
            yield "forward", b"\x06\x03\x20" + step(RTCP, 1, body=data[:LONGEST])
    for name in ("av1-dd/dependency-descriptors.json", "libwebrtc-fuzz/dependency_descriptor-corpus.json"):
        for data in cases(name):
            yield "dependency", bytes((len(data) & 0xFF,)) + data
    for path in sorted((VECTORS / "pcap").glob("*.pcap")):
        data = path.read_bytes()[24:]
        for _ in range(30):
            if len(data) < 16:
                break
            (length,) = struct.unpack_from("<I", data, 8)
            packet, data = data[16 + 42 : 16 + length], data[16 + length :]
            if len(packet) > 12:
                yield "rtp", packet
                yield "payload", packet[12:]


def write(folder: Path) -> dict[str, int]:
    """Files by their content; how many of each target."""
    counts: dict[str, int] = defaultdict(int)
    for target, data in (*by_hand(), *of_handover(), *of_vectors()):
        path = folder / target / hashlib.sha1(data).hexdigest()[:16]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[:4096])
        counts[target] += 1
    return counts


if __name__ == "__main__":
    print(dict(sorted(write(Path(sys.argv[1])).items())))
