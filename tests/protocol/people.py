"""A focus and people who call it, all values: offers of any shape, tickets, and what was said to whom."""

import base64
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from control.protocol import limits, names
from control.protocol.allocation import Randomness, WorkerPlace
from control.protocol.events import (
    ChannelMessage,
    ChannelOpened,
    CountMetric,
    Dominant,
    Effect,
    Event,
    HandshakeDone,
    MatrixCallEvent,
    OpenTransport,
    PublishRoutes,
    SendChannel,
    SendMatrix,
    Speaking,
    TransportConnected,
    TransportId,
)
from control.protocol.focus import Focus, FocusConfig
from control.protocol.forwarding import Routes
from control.protocol.rows import HopKeys, SrtpProfile
from control.protocol.sdp import Fingerprint

BOT = "@sotto:example.org"
WALL_MS = 1_764_000_000_000
CONFERENCE_ID = "a-conference-of-the-tests"
BOB = "@bob:example.org"
CREATOR = "@alice:example.org"
KEYS = HopKeys(SrtpProfile.AEAD_AES_128_GCM, b"r" * 16, b"s" * 12, b"t" * 16, b"u" * 12)
FINGERPRINT = Fingerprint("sha-256", bytes(range(32)))
_URI = "urn:ietf:params:rtp-hdrext:"


def make_ufrag(handle: int, tail: str) -> str:
    """As fastpath_ext's: names the handle, then goes on at random."""
    return "".join(chr(97 + (handle >> shift & 15)) for shift in (12, 8, 4, 0)) + tail


def randomness(seed: int = 0) -> Randomness:
    return Randomness(random.Random(seed).randbytes, make_ufrag)


def offer(
    pairs: int = 4,
    sources: Iterable[str] = ("audio", "camera"),
    rids: tuple[str, ...] = ("t", "m", "f"),
    ufrag: str = "uFrg",
    fingerprint: Fingerprint = FINGERPRINT,
    inactive: Iterable[str] = (),
    loudest: int = 0,
) -> str:
    """An offer like a browser's: sources first, then slots, the data channel last but at a fixed place.

    Mids are names, so that an offer can grow: sources by their name, slots a0, v0, a1 ...,
    loudest slots l0, l1 ...
    """
    digest = fingerprint.digest.hex(":").upper()
    sections: list[tuple[str, list[str]]] = []
    for source in ("audio", "camera"):
        if source in sources:
            sections.append((source, _sender(source, rids, source in inactive)))
    sections.append(
        ("data", ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:data", "a=sctp-port:5000"])
    )
    for pair in range(pairs):
        sections.append((f"a{pair}", [*_audio(f"a{pair}"), "a=recvonly"]))
        sections.append((f"v{pair}", [*_video(f"v{pair}"), "a=recvonly"]))
    for slot in range(loudest):
        sections.append((f"l{slot}", [*_audio(f"l{slot}"), "a=recvonly"]))
    for source in ("screen", "screen_audio"):
        if source in sources:
            sections.append((source, _sender(source, (), source in inactive)))
    lines = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    lines.append("a=group:BUNDLE " + " ".join(mid for mid, _ in sections))
    for _, section in sections:
        lines += [section[0], "c=IN IP4 0.0.0.0", *section[1:], f"a=ice-ufrag:{ufrag}"]
        lines += ["a=ice-pwd:abcdefghijklmnopqrstuv", f"a=fingerprint:sha-256 {digest}", "a=setup:actpass"]
    return "\r\n".join(lines) + "\r\n"


def _sender(source: str, rids: tuple[str, ...], inactive: bool) -> list[str]:
    stream = "screenstream" if source.startswith("screen") else "userstream"
    lines = _audio(source) if "audio" in source else _video(source)
    lines += ["a=inactive" if inactive else "a=sendonly", f"a=msid:{stream} {source}"]
    if "audio" not in source and rids:
        lines += [f"a=rid:{rid} send" for rid in rids] + [f"a=simulcast:send {';'.join(rids)}"]
    return lines


def _audio(mid: str) -> list[str]:
    return [
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        f"a=mid:{mid}",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        f"a=extmap:1 {_URI}ssrc-audio-level",
        f"a=extmap:4 {_URI}sdes:mid",
    ]


def _video(mid: str) -> list[str]:
    return [
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        f"a=mid:{mid}",
        "a=rtcp-mux",
        "a=rtpmap:96 VP8/90000",
        f"a=extmap:4 {_URI}sdes:mid",
        f"a=extmap:10 {_URI}sdes:rtp-stream-id",
    ]


def metadata(audio_muted: bool = False, video_muted: bool = False) -> dict[str, Any]:
    return {
        "userstream": {
            "purpose": names.USERMEDIA,
            "audio_muted": audio_muted,
            "video_muted": video_muted,
        },
        "screenstream": {"purpose": names.SCREENSHARE},
    }


@dataclass
class Ticket:
    """What the people of the room know."""

    conference_id: str = CONFERENCE_ID
    creator: str = CREATOR
    epoch: int = 0
    secret: bytes = b"s" * 32

    @property
    def key(self) -> Ed25519PrivateKey:
        info = f"{self.conference_id}|epoch {self.epoch}".encode()
        seed = HKDF(hashes.SHA256(), 32, b"sotto ticket", info).derive(self.secret)
        return Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def verifier(self) -> bytes:
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        return self.key.public_key().public_bytes(*raw)

    def join(
        self, user_id: str, device_id: str, call_id: str, ts: int = WALL_MS, opens: bool | None = None
    ) -> dict[str, Any]:
        parts = ["org.matrix.msc2359.ticket-proof", self.conference_id, self.creator, self.epoch]
        text = "\n".join(str(part) for part in (*parts, user_id, device_id, call_id, ts))
        join: dict[str, Any] = {
            "conference_id": self.conference_id,
            "creator": self.creator,
            "epoch": self.epoch,
            "device_id": device_id,
            "ts": ts,
            "proof": unpadded(self.key.sign(text.encode())),
        }
        if user_id == self.creator if opens is None else opens:
            join["open"] = {"verifier": unpadded(self.verifier), "intent": "video"}
        return join


def unpadded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def invite(
    user_id: str = CREATOR,
    device_id: str = "DEVICE",
    call_id: str = "call1",
    sdp: str | None = None,
    ticket: Ticket | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """The content of an m.call.invite."""
    content: dict[str, Any] = {
        "call_id": call_id,
        "party_id": device_id,
        "version": "1",
        "lifetime": 60000,
        "invitee": BOT,
        "offer": {"type": "offer", "sdp": offer() if sdp is None else sdp},
        "sdp_stream_metadata": metadata(),
        names.JOIN: (ticket or Ticket()).join(user_id, device_id, call_id),
    }
    content.update(changes)
    return {name: value for name, value in content.items() if value is not None}


@dataclass
class World:
    """A focus and everything it ever did, applied."""

    focus: Focus
    now: float = 1000.0
    effects: list[Effect] = field(default_factory=list)
    tables: dict[int, Routes] = field(default_factory=dict)
    listeners: list[Callable[[list[Effect]], None]] = field(default_factory=list)

    def handle(self, event: Event) -> list[Effect]:
        return self._perform(self.focus.handle(event, self.now))

    def pass_time(self, seconds: float) -> list[Effect]:
        """Deadlines are met one after the other, each when it is due."""
        done: list[Effect] = []
        until = self.now + seconds
        while (at := self.focus.next_timeout()) is not None and at <= until:
            self.now = max(self.now, at)
            done += self._perform(self.focus.handle_timeout(self.now))
        self.now = until
        return done

    def matrix(
        self, event_type: str, content: dict[str, Any], sender: str = CREATOR, age_ms: int = 100
    ) -> list[Effect]:
        wall_ms = WALL_MS + int((self.now - 1000) * 1000)
        return self.handle(
            MatrixCallEvent(f"!dm-of-{sender}", sender, event_type, content, age_ms, True, wall_ms)
        )

    def _perform(self, effects: list[Effect]) -> list[Effect]:
        self.effects += effects
        for effect in effects:
            if isinstance(effect, PublishRoutes):
                self.tables[effect.worker] = apply(self.tables.get(effect.worker, Routes()), effect)
        for listener in self.listeners:
            listener(effects)
        return effects


def apply(table: Routes, change: PublishRoutes) -> Routes:
    """What io.table does with a change."""

    def merged(old: Any, new: Any, gone: Any) -> Any:
        return {handle: row for handle, row in {**old, **new}.items() if handle not in gone}

    transports = {
        handle: replace(row, keys=table.transports[handle].keys, keep_keys=False)
        if row.keep_keys and handle in table.transports
        else row
        for handle, row in change.transports.items()
    }
    return Routes(
        merged(table.transports, transports, change.gone_transports),
        merged(table.sources, change.sources, change.gone_sources),
        merged(table.sinks, change.sinks, change.gone_sinks),
    )


@dataclass
class Person:
    """One device that calls the focus; knows what it was told."""

    world: World
    user_id: str = CREATOR
    device_id: str = "DEVICE"
    call_id: str = "call1"
    transport: TransportId | None = None
    answer: dict[str, Any] | None = None
    refused: dict[str, Any] | None = None
    hung_up: dict[str, Any] | None = None
    said: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world.listeners.append(self._hear)

    def call(self, **changes: Any) -> "Person":
        content = invite(self.user_id, self.device_id, self.call_id, **changes)
        content[names.JOIN]["ts"] = WALL_MS
        self.send_invite(content)
        return self

    def send_invite(self, content: dict[str, Any]) -> list[Effect]:
        effects = self.world.matrix(names.INVITE, content, self.user_id)
        for effect in effects:
            if isinstance(effect, OpenTransport):
                self.transport = effect.transport
        return effects

    def connect(self, channel: bool = True) -> "Person":
        assert self.transport is not None
        self.world.handle(TransportConnected(self.transport))
        self.world.handle(HandshakeDone(self.transport, KEYS))
        if channel:
            self.world.handle(ChannelOpened(self.transport))
            self.world.pass_time(limits.MESSAGE_GAP)  # by then all others have been told
        return self

    def say(self, message_type: str, content: Any) -> list[Effect]:
        return self.say_text(json.dumps({"type": message_type, "content": content}))

    def say_text(self, text: str) -> list[Effect]:
        assert self.transport is not None
        return self.world.handle(ChannelMessage(self.transport, text))

    def _hear(self, effects: list[Effect]) -> None:
        for effect in effects:
            # Pings come with the time and say nothing.
            is_mine = isinstance(effect, SendChannel) and effect.transport == self.transport
            if is_mine and effect.type != names.PING:
                self.said.append((effect.type, effect.content))
            if isinstance(effect, SendMatrix) and effect.content.get("call_id") == self.call_id:
                if effect.room_id != f"!dm-of-{self.user_id}":
                    continue
                if effect.type == names.ANSWER:
                    self.answer = effect.content
                elif effect.type == names.REJECT:
                    self.refused = effect.content
                elif effect.type == names.HANGUP:
                    self.hung_up = effect.content

    def last(self, message_type: str) -> dict[str, Any] | None:
        return next((content for kind, content in reversed(self.said) if kind == message_type), None)

    @property
    def number(self) -> int:
        welcome = self.last(names.WELCOME)
        assert welcome is not None
        number: int = welcome["member"]
        return number

    @property
    def roster(self) -> dict[int, dict[str, Any]]:
        """Built from P.members as a client does."""
        roster: dict[int, dict[str, Any]] = {}
        for kind, content in self.said:
            if kind == names.MEMBERS:
                if content["reset"]:
                    roster = {}
                roster |= {entry["member"]: entry for entry in content["present"]}
                for number in content["gone"]:
                    roster.pop(number, None)
        return roster

    @property
    def slots(self) -> dict[str, tuple[int | None, str | None]]:
        told = self.last(names.SLOTS)
        return {each["mid"]: (each["member"], each["source"]) for each in told["slots"]} if told else {}

    @property
    def layers(self) -> dict[str, tuple[str | None, int]]:
        """Built from P.layers as a client does."""
        told: dict[str, tuple[str | None, int]] = {}
        for kind, content in self.said:
            if kind == names.WELCOME:
                told = {}
            if kind == names.LAYERS:
                told |= {mid: (each["encoding"], each["temporal"]) for mid, each in content["slots"].items()}
        return told

    def source(self, name: str) -> int:
        """Handle of the row of what it sends, as the worker names it."""
        assert self.transport is not None
        rows = self.world.tables[self.transport.worker].sources
        kind = names.SOURCES.index(name)
        return next(
            h for h, row in rows.items() if (row.transport, row.kind) == (self.transport.handle, kind)
        )

    def sink(self, mid: str) -> int:
        """Handle of the row of one of its slots."""
        assert self.transport is not None
        return self.world.focus._by_transport[self.transport][1].transport.sinks[mid].row.handle

    def speaks(self, begins: bool = True) -> list[Effect]:
        assert self.transport is not None
        return self.world.handle(Speaking(self.transport, self.source("audio"), begins))

    def takes_floor(self) -> list[Effect]:
        assert self.transport is not None
        return self.world.handle(Dominant(self.transport, self.source("audio")))

    @property
    def wanted(self) -> dict[str, set[str]]:
        """Encodings to send by source."""
        told = self.last(names.SEND)
        assert told is not None
        return {
            source: {rid for rid, encoding in value["encodings"].items() if encoding["active"]}
            for source, value in told["sources"].items()
        }


def world(
    seed: int = 0,
    workers: int = 1,
    rows: tuple[int, int, int] = (64, 256, 2048),
    occupied: tuple[frozenset[int], frozenset[int], frozenset[int]] = (frozenset(),) * 3,
    **config: Any,
) -> World:
    place = WorkerPlace((("192.0.2.2", 40000),), *rows, occupied, joined=workers > 1)
    config = FocusConfig(BOT, "FOCUSDEVICE", Fingerprint("sha-256", b"f" * 32), (place,) * workers, **config)
    return World(Focus(config, randomness(seed)))


def counted(effects: list[Effect], name: str) -> list[str]:
    return [effect.label for effect in effects if isinstance(effect, CountMetric) and effect.name == name]


def people(where: World, count: int, **changes: Any) -> list[Person]:
    """So many members, all connected."""
    found = []
    for index in range(count):
        user_id = CREATOR if index == 0 else f"@person{index}:example.org"
        found.append(Person(where, user_id, f"DEV{index}", f"call{index}").call(**changes).connect())
    return found


def refused(effects: list[Any]) -> tuple[str, str] | None:
    """Type of the refusal and its code."""
    for effect in effects:
        if isinstance(effect, SendMatrix):
            error = effect.content.get(names.ERROR)
            assert error is None or len(error["message"]) > 20
            return (effect.type, error["code"]) if error else None
    return None


def send(where: World, content: dict[str, Any], sender: str = CREATOR, age_ms: int = 100) -> Any:
    return refused(where.matrix(names.INVITE, content, sender, age_ms))
