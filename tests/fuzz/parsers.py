"""What control and the Python client read from the network, each as a function on bytes.

Nothing may escape but the module's own error. `python -m tests.fuzz.parsers --seconds N [--only NAME]`
changes the seeds for so long each, guided by coverage where atheris is installed; test_parsers.py does the
same for a fixed number of changes.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from client.keys.kid import split_kid_untrusted
from client.keys.sframe import SframeError, read_header_untrusted
from client.protocol import events as client_events
from client.protocol.checked import Malformed
from client.protocol.reading import read_message_untrusted
from client.rtp.packet import PacketError, read_rtp_untrusted
from control.protocol import limits, names
from control.protocol.checked import ContentError
from control.protocol.direct_message import Accept, Refuse, judge_invitation_untrusted
from control.protocol.dtls import DtlsServer
from control.protocol.dtls_identity import DtlsIdentity
from control.protocol.dtls_records import records_untrusted, useful_records_untrusted
from control.protocol.reading import parse_channel_untrusted, parse_matrix_untrusted
from control.protocol.sctp_guard import is_sound_untrusted
from control.protocol.sdp import Fingerprint, SdpError
from control.protocol.sdp_negotiate import Features
from control.protocol.sync import SyncError, age_ms, split_untrusted
from control.protocol.transport import agree_untrusted
from fastpath_ext import uplink

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT.parent / "shared" / "vectors"
Target = Callable[[bytes], None]


def value_of(data: bytes) -> Any:
    """Any JSON value; an object of the raw text for what is no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return {"content": data.decode("utf-8", "replace")}


def sdp(data: bytes) -> None:
    with contextlib.suppress(SdpError):
        agree_untrusted(data.decode("utf-8", "surrogateescape"), {}, Features())


def matrix(data: bytes) -> None:
    value = value_of(data)
    for event_type in (
        names.INVITE,
        names.CANDIDATES,
        names.SELECT_ANSWER,
        names.HANGUP,
        names.NEGOTIATE,
        names.METADATA_CHANGED,
    ):
        with contextlib.suppress(ContentError):
            parse_matrix_untrusted(event_type, value)


def channel(data: bytes) -> None:
    with contextlib.suppress(ContentError):
        parse_channel_untrusted(data.decode("utf-8", "surrogateescape"))


def sync(data: bytes) -> None:
    value = value_of(data)
    with contextlib.suppress(SyncError):
        for piece in split_untrusted(value):
            event = getattr(piece, "event", None)
            if event is not None:
                age_ms(event)


def invitation(data: bytes) -> None:
    value = value_of(data)
    events = value if isinstance(value, list) else [value]
    judged = judge_invitation_untrusted(
        [one for one in events if isinstance(one, dict)], "@sotto:example.org"
    )
    assert isinstance(judged, Accept | Refuse)


def sctp(data: bytes) -> None:
    assert is_sound_untrusted(data) in (True, False)


_identity: list[DtlsIdentity] = []


def dtls(data: bytes) -> None:
    """Two datagrams to a server that shakes hands with nobody: it answers or not, and never fails."""
    if not _identity:
        _identity.append(DtlsIdentity())
    list(records_untrusted(data))
    list(useful_records_untrusted(data))
    server = DtlsServer(_identity[0], (Fingerprint("sha-256", bytes(32)),))
    half = len(data) // 2
    for now, part in ((1.0, data[:half]), (2.0, data[half:]), (2.5, data)):
        server.receive_untrusted(part, now)
        server.handle_timeout(now + 1)
        assert sum(map(len, server.datagrams_to_send())) < 20 * limits.DTLS_MAX_DATAGRAM
        while server.next_event():
            pass
    server.close(silent=True)


def decode_uplink(data: bytes) -> None:
    with contextlib.suppress(uplink.UplinkError):
        uplink.decode_order(uplink.decode(data).payload)
    with contextlib.suppress(uplink.UplinkError):
        uplink.decode_order(data)


def client_message(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        read_message_untrusted(data.decode("utf-8", "surrogateescape"))


def client_event(data: bytes) -> None:
    value = value_of(data)
    with contextlib.suppress(Malformed):
        client_events.read_announcement_untrusted(value, "@a:example.org")
    for read in (
        client_events.read_ticket_request_untrusted,
        client_events.read_media_keys_untrusted,
        client_events.read_key_request_untrusted,
        client_events.read_hand_untrusted,
        client_events.read_reaction_untrusted,
    ):
        with contextlib.suppress(Malformed):
            read(value)


def client_packet(data: bytes) -> None:
    with contextlib.suppress(PacketError):
        read_rtp_untrusted(data)
    with contextlib.suppress(SframeError):
        split_kid_untrusted(read_header_untrusted(data)[0])


TARGETS: dict[str, Target] = {
    "sdp": sdp,
    "matrix": matrix,
    "channel": channel,
    "sync": sync,
    "invitation": invitation,
    "sctp": sctp,
    "dtls": dtls,
    "uplink": decode_uplink,
    "client_message": client_message,
    "client_event": client_event,
    "client_packet": client_packet,
}

_EVENT = {
    "type": "m.room.message",
    "sender": "@a:b",
    "event_id": "$1",
    "origin_server_ts": 1,
    "content": {"body": ""},
    "unsigned": {"age": 5},
}
_SYNC = {
    "next_batch": "s1",
    "to_device": {"events": [{"type": "m.x", "sender": "@a:b", "content": {}}]},
    "device_lists": {"changed": ["@a:b"], "left": []},
    "device_one_time_keys_count": {"signed_curve25519": 50},
    "rooms": {
        "join": {
            "!r:b": {
                "state": {"events": [_EVENT]},
                "timeline": {"events": [_EVENT]},
                "summary": {"m.joined_member_count": 2},
            }
        },
        "invite": {"!i:b": {"invite_state": {"events": [_EVENT]}}},
        "leave": {"!l:b": {}},
    },
}
_INVITE = {
    "version": "1", "call_id": "c", "party_id": "p", "lifetime": 60000, "invitee": "@sotto:example.org",
    "offer": {"type": "offer", "sdp": "v=0\r\n"},
    names.METADATA: {"s": {"purpose": names.USERMEDIA, "audio_muted": False, "video_muted": True}},
    names.JOIN: {
        "conference_id": "A" * 22, "creator": "@a:b", "epoch": 1, "device_id": "D",
        "ts": 5, "proof": "A" * 86,
    },
}  # fmt: skip
_CALL = {
    "version": "1",
    "call_id": "c",
    "party_id": "p",
    "selected_party_id": "q",
    "reason": "user_hangup",
    "candidates": [{"candidate": ""}],
}
_MEMBER = {
    "type": "m.room.member",
    "state_key": "@sotto:example.org",
    "sender": "@a:b",
    "content": {"membership": "invite", "is_direct": True},
}


def _json(*values: Any) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


def seeds(target: str) -> list[bytes]:
    """Where to begin."""
    match target:
        case "sdp":
            found = [path.read_bytes() for path in sorted((ROOT / "tests/sdp_offers").glob("*.sdp"))]
            return found + _vectors("libwebrtc-fuzz/sdp-corpus.json")
        case "matrix":
            return _json(_INVITE, _CALL)
        case "channel" | "client_message":
            wish = {
                "stream_id": "3",
                "track_id": "camera",
                "width": 100,
                "height": 100.5,
                "focus": True,
                "priority": 1,
            }
            return _json(
                {"type": names.TRACK_SUBSCRIPTION, "content": {"subscribe": [wish], "unsubscribe": [wish]}},
                {"type": names.MISSING_KEY, "content": {"member": 3, "source": "camera"}},
                {
                    "type": names.NEGOTIATE,
                    "content": {"description": _INVITE["offer"], names.METADATA: _INVITE[names.METADATA]},
                },
                {"type": names.HANGUP, "content": {"reason": "x"}},
                *(
                    {"type": f"org.matrix.msc2359.{name}", "content": content}
                    for name, content in _FROM_FOCUS.items()
                ),
            )
        case "sync":
            return _json(_SYNC)
        case "invitation":
            return _json([_MEMBER], _MEMBER)
        case "sctp":
            return [
                bytes.fromhex("13881388000000000000000001000014aabbccdd00020000ffffffff00000001"),
                *_vectors("libwebrtc-fuzz/sctp-packet-corpus.json"),
            ]
        case "dtls":
            return [
                b"\x16\xfe\xfd" + bytes(8) + b"\x00\x20\x01" + bytes(31),
                b"\x15\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x02\x01\x00",
            ]
        case "uplink":
            return [uplink.encode(8, 1, 2, bytes(8)), uplink.encode(1, 3, 4, b"\x16\xfe\xfd")]
        case "client_event":
            return _json(
                _CALL,
                {"conference_id": "A" * 22, "epoch": 1, "keys": [{"kid": 1, "key": "AAAA"}], "focus": "@f:b"},
            )
    return [
        bytes.fromhex("90e0698fd9c293da1c64278200010001ffffffff9836be889e"),
        b"\x0b\xff\xff\xff\xff\x01\x02",
        *_vectors("libwebrtc-fuzz/rtp-corpus.json"),
    ]


_FROM_FOCUS: dict[str, Any] = {
    "slots": {"slots": {"2": {"member": 3, "source": "camera"}}},
    "speakers": {"speaking": [3], "dominant": 3},
    "layers": {"slots": {"2": {"encoding": "t", "temporal": 2}}},
    "send": {"sources": {"camera": {"t": {"active": True, "max_bitrate": 150000}}}},
    "members": {
        "members": {"3": {"user_id": "@a:b", "device_id": "D", "sources": {"camera": {"muted": False}}}}
    },
}


def _vectors(name: str) -> list[bytes]:
    path = VECTORS / name
    cases = json.loads(path.read_text())["cases"] if path.exists() else []
    return [case["text"].encode() if "text" in case else bytes.fromhex(case["hex"]) for case in cases]


_WORDS = [
    b"", b"0", b"-1", b"99999999999999999999", b"1e999", b"NaN", b"null", b"true",
    b"[]", b"{}", b'""', b'"\\ud800"', b"\x00", b"\xff\xfe",
    b"\r\n", b"=", b":", b" ", b"a=", b"m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", b"\xed\xa0\x80",
    "\u0661".encode(), b"[" * 3000, b"1" * 5000, b"\x00\x00\x00\x00", b"\xff" * 4,
]  # fmt: skip


def changed(data: bytes, random: random.Random) -> bytes:
    """A copy with one to four things wrong; JSON is also changed as a tree, so that it stays JSON."""
    if random.random() < 0.5 and data[:1] in (b"{", b"["):
        with contextlib.suppress(ValueError):
            return json.dumps(_other_tree(json.loads(data), random)).encode()
    made = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(made) + 1)
        match random.randrange(6):
            case 0:
                del made[at : at + random.randint(1, 16)]
            case 1:
                made[at:at] = random.choice(_WORDS)
            case 2 if at < len(made):
                made[at] ^= 1 << random.randrange(8)
            case 3 if at < len(made):
                made[at] = random.randrange(256)
            case 4:
                end = at + random.randint(1, 40)
                made[at:at] = made[at:end] * random.randint(1, 3)
            case 5:
                del made[at:]
    return bytes(made)


_LEAVES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    2**63,
    10**400,
    "",
    "x",
    "\ud800",
    "\0",
    [],
    {},
    [[]],
    {"": None},
    "9" * 300,
    ["x"] * 300,
]


def _other_tree(value: Any, random: random.Random) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(list(value))
        if random.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _other_tree(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.7:
        at = random.randrange(len(value))
        return [*value[:at], _other_tree(value[at], random), *value[at + 1 :]]
    return random.choice(_LEAVES)


def run(target: str, rounds: int | None = None, seconds: float = 0.0, seed: int = 1) -> int:
    """Changes the seeds so often or so long; how often. What escapes names the input."""
    chosen, random_, count = TARGETS[target], random.Random(seed), 0
    known = seeds(target)
    for data in known:
        chosen(data)
        for cut in range(0, len(data), max(1, len(data) // 200)):
            chosen(data[:cut])
    end = time.monotonic() + seconds
    while count < rounds if rounds is not None else time.monotonic() < end:
        data = changed(random_.choice(known), random_)
        try:
            chosen(data)
        except BaseException as error:
            error.add_note(f"{target} of {data[:3000]!r}")
            raise
        count += 1
    return count


def guided(target: str, seconds: float) -> None:
    """Coverage-guided, in a process of its own: libFuzzer never returns."""
    import atheris

    folder = ROOT / "build/fuzz/corpus" / f"py_{target}"
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds(target)):
        (folder / f"seed{number}").write_bytes(data)
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={int(seconds)}", "-max_len=20000", str(folder)], TARGETS[target]
    )
    atheris.Fuzz()


_GUIDED = """
import atheris
with atheris.instrument_imports(include=["control.protocol", "client"]):
    from tests.fuzz import parsers
parsers.guided({!r}, {})
"""


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--only", choices=TARGETS)
    chosen = arguments.parse_args()
    for target in [chosen.only] if chosen.only else TARGETS:
        print(f"    {target:16} {run(target, seconds=chosen.seconds / 2)} changed inputs", flush=True)
        if importlib.util.find_spec("atheris"):
            command = [sys.executable, "-c", _GUIDED.format(target, chosen.seconds / 2)]
            done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
            print(f"    {target:16} {done.stderr.strip().rpartition(chr(10))[2]}", flush=True)
            if done.returncode != 0:
                sys.exit(done.stderr[-5000:])


if __name__ == "__main__":
    main()
