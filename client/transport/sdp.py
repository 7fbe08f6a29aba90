"""The offer this client makes and the answers it reads (docs/protocol.md sections 3.1 and 3.2). Pure.

One BUNDLE group; sections keep their place for the whole call: what is added later comes at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from client.protocol import limits, names

OPUS, VP8, VP8_RTX = 111, 96, 97
EXTENSIONS: Final = {
    "audio_level": (1, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    "transport_cc": (3, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"),
    "mid": (4, "urn:ietf:params:rtp-hdrext:sdes:mid"),
    "rid": (10, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
    "dependency_descriptor": (
        12,
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    ),
    "repaired_rid": (11, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
}
_BY_URI: Final = {uri: name for name, (_, uri) in EXTENSIONS.items()}
SCTP_PORT: Final = 5000
_LINES_MAX, _LINE_MAX = 4000, 4096


class AnswerUnusable(Exception):
    """The focus's answer does not fit our offer; the text says how."""


@dataclass(frozen=True, slots=True)
class Transport:
    """Of either side."""

    ufrag: str
    password: str = field(repr=False)
    fingerprints: tuple[tuple[str, str], ...]  # algorithm, "AB:CD:..."
    candidates: tuple[str, ...]  # values of a=candidate


@dataclass(frozen=True, slots=True)
class Line:
    """One section of ours: `role` is "data", a source we send, "audio" or "video" for a slot (`slot`)."""

    mid: str
    kind: str
    role: str
    slot: bool = False
    sealed: str = ""  # "send" or "recv": sealed RTP


@dataclass
class Offerer:
    """Makes the offers of one call."""

    transport: Transport
    stream_id: str
    sources: Sequence[str]  # of "audio", "camera"
    pairs: int = limits.FIRST_SLOT_PAIRS
    loudest: int = limits.LOUDEST_SLOTS  # audio slots beyond the pairs, for whoever speaks and has none
    # Offered in slots: the focus then estimates our downlink by when each packet came. We see that late and
    # in clumps where the machine is busy, and it takes that for congestion; without it, loss decides.
    transport_cc: bool = False
    sealed: bool = False  # each source in its sealed form, too, and those of others
    lines: list[Line] = field(default_factory=list)
    version: int = 0

    def offer(self) -> str:
        """The next offer, with the slot pairs that `pairs` names."""
        if not self.lines:
            for source in self.sources:
                self._add("audio" if source == "audio" else "video", source)
            self._add("application", "data")
        first = self.version == 0
        have = sum(line.slot and line.kind == "video" for line in self.lines)
        for _ in range(have, self.pairs):
            self._add("audio", "audio", slot=True)
            self._add("video", "video", slot=True)
        # After the pairs of the first offer: what has no partner there is a loudest slot for the whole call.
        for _ in range(self.loudest if first else 0):
            self._add("audio", "audio", slot=True)
        if first and self.sealed:
            for source in self.sources:
                self._add("audio" if source == "audio" else "video", source, sealed="send")
            for kind in ("audio", "video"):
                self._add(kind, kind, sealed="recv")
        self.version += 1
        head = [
            "v=0",
            f"o=- 1 {self.version} IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE " + " ".join(line.mid for line in self.lines),
            "a=extmap-allow-mixed",
        ]
        sections = [self._section(line, first=index == 0) for index, line in enumerate(self.lines)]
        return "\r\n".join([*head, *(text for section in sections for text in section)]) + "\r\n"

    def _add(self, kind: str, role: str, slot: bool = False, sealed: str = "") -> None:
        self.lines.append(Line(str(len(self.lines)), kind, role, slot, sealed))

    def _section(self, line: Line, first: bool) -> list[str]:
        formats = {
            "audio": f"UDP/TLS/RTP/SAVPF {OPUS}",
            "video": f"UDP/TLS/RTP/SAVPF {VP8} {VP8_RTX}",
            "application": "UDP/DTLS/SCTP webrtc-datachannel",
        }
        lines = [f"m={line.kind} 9 {formats[line.kind]}", "c=IN IP4 0.0.0.0"]
        if first:
            lines += [f"a=candidate:{each}" for each in self.transport.candidates] + ["a=end-of-candidates"]
        lines += [f"a=ice-ufrag:{self.transport.ufrag}", f"a=ice-pwd:{self.transport.password}"]
        lines += [f"a=fingerprint:{name} {value}" for name, value in self.transport.fingerprints]
        lines += ["a=setup:actpass", f"a=mid:{line.mid}"]
        if line.kind == "application":
            return [
                *lines,
                f"a=sctp-port:{SCTP_PORT}",
                f"a=max-message-size:{limits.MESSAGE_MAX_CHARS}",
            ]
        receives = line.slot or line.sealed == "recv"
        simulcast = line.kind == "video" and not receives
        wanted = ["mid"]
        wanted += ["audio_level"] if line.kind == "audio" else []
        wanted += ["rid", "repaired_rid"] if simulcast else []
        wanted += ["dependency_descriptor"] if simulcast and line.sealed else []
        feedback = receives and self.transport_cc
        wanted += ["transport_cc"] if feedback else []
        lines += [f"a=extmap:{EXTENSIONS[name][0]} {EXTENSIONS[name][1]}" for name in wanted]
        lines.append("a=recvonly" if receives else "a=sendonly")
        lines += [f"a={names.SDP_SEALED}:{line.sealed}"] if line.sealed else []
        if not receives:
            lines.append(f"a=msid:{self.stream_id} {line.role}")
        lines += ["a=rtcp-mux", "a=rtcp-rsize"]
        if line.kind == "audio":
            lines += [f"a=rtpmap:{OPUS} opus/48000/2", f"a=rtcp-fb:{OPUS} nack"]
            lines += [f"a=rtcp-fb:{OPUS} transport-cc"] if feedback else []
            return [*lines, f"a=fmtp:{OPUS} minptime=10;useinbandfec=1"]
        lines.append(f"a=rtpmap:{VP8} VP8/90000")
        kinds = ["goog-remb", "ccm fir", "nack", "nack pli", *(["transport-cc"] if feedback else [])]
        lines += [f"a=rtcp-fb:{VP8} {each}" for each in kinds]
        lines += [f"a=rtpmap:{VP8_RTX} rtx/90000", f"a=fmtp:{VP8_RTX} apt={VP8}"]
        if simulcast:
            lines += [f"a=rid:{rid} send" for rid in names.RIDS]
            # "m" and "f" begin inactive: RFC 8853 marks a paused stream with "~".
            lines.append("a=simulcast:send t;~m;~f")
        return lines


@dataclass(frozen=True, slots=True)
class Answered:
    """What the focus agreed to for one of our sections."""

    mid: str
    kind: str
    direction: str
    payload_type: int
    rtx_payload_type: int | None
    extensions: dict[str, int]
    feedback: frozenset[str]
    ssrc: int | None
    rtx_ssrc: int | None
    rids: tuple[str, ...]
    sealed: str = ""  # "recv" or "send", as the focus sees it
    sealed_ssrcs: dict[str, tuple[int, int | None]] = field(default_factory=dict)  # SSRC and RTX by encoding


@dataclass(frozen=True, slots=True)
class Answer:
    transport: Transport
    sections: dict[str, Answered]  # by mid; those with port 0 are not in it
    sctp_port: int
    max_message_size: int


def read_answer_untrusted(sdp: str, lines: Sequence[Line]) -> Answer:
    """AnswerUnusable when it is no answer to an offer with these sections, or lacks what a call needs."""
    session, sections = _split(sdp)
    if len(sections) != len(lines):
        raise AnswerUnusable(f"the answer has {len(sections)} sections, the offer {len(lines)}")
    answered: dict[str, Answered] = {}
    data: dict[str, list[str]] | None = None
    for line, (media, values) in zip(lines, sections, strict=True):
        words = media.split()
        if len(words) < 4 or words[0] != line.kind or not words[1].isascii() or not words[1].isdigit():
            raise AnswerUnusable(f"section {line.mid} is answered with something else")
        if words[1] == "0":
            continue
        if _one(values, "mid") != line.mid:
            raise AnswerUnusable(f"section {line.mid} is answered under another mid")
        if line.kind == "application":
            data = values
        else:
            answered[line.mid] = _media(line, words[3:], values)
    if data is None:
        raise AnswerUnusable("the focus refused the data channel")
    # Of the sections that were taken: the others say nothing of the transport.
    first = next(values for media, values in sections if media.split()[1] != "0")
    return Answer(
        _transport(session, first),
        answered,
        _number(_one(data, "sctp-port") or str(SCTP_PORT)),
        _number(_one(data, "max-message-size") or "65536"),
    )


def _split(sdp: str) -> tuple[dict[str, list[str]], list[tuple[str, dict[str, list[str]]]]]:
    lines = sdp.replace("\r\n", "\n").split("\n")
    if len(lines) > _LINES_MAX or any(len(line) > _LINE_MAX for line in lines):
        raise AnswerUnusable("the answer is too long")
    session: dict[str, list[str]] = {}
    sections: list[tuple[str, dict[str, list[str]]]] = []
    current = session
    for line in lines:
        if line.startswith("m="):
            current = {}
            sections.append((line[2:], current))
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            current.setdefault(name, []).append(value)
    return session, sections


def _one(values: dict[str, list[str]], name: str) -> str | None:
    return values[name][0] if name in values else None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise AnswerUnusable("a number in the answer is none")
    return int(text)


def _transport(session: dict[str, list[str]], first: dict[str, list[str]]) -> Transport:
    both = {**session, **first}
    ufrag, password, setup = _one(both, "ice-ufrag"), _one(both, "ice-pwd"), _one(both, "setup")
    fingerprints = [value.partition(" ")[::2] for value in both.get("fingerprint", [])]
    if not ufrag or not password or not fingerprints:
        raise AnswerUnusable("the answer lacks ICE credentials or a fingerprint")
    if setup != "passive":
        raise AnswerUnusable("the focus does not take the server's part in DTLS")
    candidates = tuple(both.get("candidate", ()))
    if not candidates:
        raise AnswerUnusable("the answer names no address")
    known = tuple((name.lower(), value) for name, value in fingerprints)
    return Transport(ufrag, password, known, candidates)


def _media(line: Line, formats: Sequence[str], values: dict[str, list[str]]) -> Answered:
    codecs = dict(value.partition(" ")[::2] for value in values.get("rtpmap", []))
    wanted = "opus/48000" if line.kind == "audio" else "vp8/90000"
    payload_type = next(
        (_number(each) for each in formats if codecs.get(each, "").lower().startswith(wanted)), None
    )
    if payload_type is None:
        raise AnswerUnusable(f"section {line.mid} is answered without {wanted}")
    repairs = {value.partition(" ")[0]: value for value in values.get("fmtp", [])}
    rtx = next(
        (
            _number(each)
            for each in formats
            if codecs.get(each, "").lower().startswith("rtx/")
            and f"apt={payload_type}" in repairs.get(each, "").split(" ")[-1].split(";")
        ),
        None,
    )
    group = next((value.split() for value in values.get("ssrc-group", []) if value.startswith("FID ")), [])
    ssrcs = [_number(value.partition(" ")[0]) for value in values.get("ssrc", [])]
    extensions = {}
    for value in values.get("extmap", []):
        number, _, uri = value.partition(" ")
        if uri in _BY_URI:
            extensions[_BY_URI[uri]] = _number(number.partition("/")[0])
    direction = next(
        (each for each in ("sendonly", "recvonly", "sendrecv", "inactive") if each in values), "sendrecv"
    )
    return Answered(
        line.mid,
        line.kind,
        direction,
        payload_type,
        rtx,
        extensions,
        frozenset(value.partition(" ")[2] for value in values.get("rtcp-fb", [])),
        _number(group[1]) if len(group) > 2 else (ssrcs[0] if ssrcs else None),
        _number(group[2]) if len(group) > 2 else None,
        tuple(value.partition(" ")[0] for value in values.get("rid", [])),
        _one(values, names.SDP_SEALED) or "",
        _given(values.get(names.SDP_SEALED_SSRC, [])),
    )


def _given(values: Sequence[str]) -> dict[str, tuple[int, int | None]]:
    """SSRCs that the focus gave us."""
    given: dict[str, tuple[int, int | None]] = {}
    for value in values:
        name, *numbers = value.split()
        if name not in names.RIDS or not 1 <= len(numbers) <= 2:
            raise AnswerUnusable("an SSRC in the answer is given to nothing")
        given[name] = _number(numbers[0]), _number(numbers[1]) if len(numbers) > 1 else None
    return given
