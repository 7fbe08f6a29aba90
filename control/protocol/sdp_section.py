"""One section of an offer as a value: what is read of its attributes, and what of it may be refused."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from control.protocol import limits, names
from control.protocol.sdp_values import Codec, Fingerprint, HeaderExtension, SdpError, Section, malformed

DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
# RFC 8122 section 5: digest sizes in bytes. sha-1 and md5 may be read, so that a refusal can name them.
DIGEST_SIZES: Final = {"md5": 16, "sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`{|}~A-Za-z0-9]+", re.ASCII)
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/]+", re.ASCII)
_RID = re.compile(r"[A-Za-z0-9]+", re.ASCII)
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,10}", re.ASCII)
_HEX_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*", re.ASCII)
# Lists of each kind that are remembered, and how long one may be. Higher: memory, 2 MiB of each kind at most.
# Lower: each section of an offer is read anew, a fifth of the work for a join.
_KNOWN: Final = 256
_KNOWN_LENGTH: Final = 8192
# Numbers in messages stay short whatever was sent.
_QUOTED: Final = 12
_T = TypeVar("_T")


@dataclass(slots=True)
class Draft:
    """One section (or the session level) while its lines are read."""

    attributes: dict[str, list[str]] = field(default_factory=dict)

    def first(self, name: str) -> str | None:
        values = self.attributes.get(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return self.attributes.get(name, [])


def read_section(index: int, line: str, draft: Draft, session: Draft) -> Section:
    """`line` is the value of its m=; SdpError and nothing else."""
    media, port, protocol, formats = _KNOWN_LINES.read((line,), lambda: _read_line(index, line))
    closed = port == 0 and "bundle-only" not in draft.attributes
    mid = draft.first("mid") or ""
    check_mid(index, mid, closed)
    if closed:
        # Nothing of a closed section counts, so nothing of it can be wrong.
        return Section(index, media, protocol, formats, closed=True, mid=mid)
    stream_id, track_id, msids = _msid(index, draft)
    rids, simulcast = _rids(index, draft)
    candidates = len(draft.all("candidate"))
    if candidates > limits.SDP_MAX_CANDIDATES:
        raise SdpError("too_large", f"Section {index} has more than {limits.SDP_MAX_CANDIDATES} candidates.")
    return Section(
        index=index,
        media=media,
        protocol=protocol,
        formats=formats,
        closed=False,
        mid=mid,
        direction=_direction(draft) or _direction(session) or "sendrecv",
        stream_id=stream_id,
        track_id=track_id,
        msids=msids,
        rids=rids,
        simulcast=simulcast,
        codecs=_codecs(index, formats, draft) if media in ("audio", "video") else (),
        extensions=_extensions(index, draft.all("extmap") + session.all("extmap")),
        ssrcs=_ssrcs(index, draft),
        repairs=_repairs(draft),
        ice_ufrag=_ice(draft, session, "ice-ufrag", 4, limits.SDP_MAX_UFRAG),
        ice_pwd=_ice(draft, session, "ice-pwd", 22, limits.SDP_MAX_PWD),
        fingerprints=_fingerprints(draft.all("fingerprint") or session.all("fingerprint")),
        setup=draft.first("setup") or session.first("setup"),
        rtcp_mux="rtcp-mux" in draft.attributes,
        rtcp_rsize="rtcp-rsize" in draft.attributes,
        crypto="crypto" in draft.attributes or "crypto" in session.attributes,
        candidates=candidates,
        sctp_port=_optional_number(draft, "sctp-port", 65535),
        max_message_size=_optional_number(draft, "max-message-size", 2**53),
        sealed=_sealed(index, draft),
    )


def check_mid(index: int, mid: str, closed: bool) -> None:
    """SdpError unless a section may be called so."""
    if not (closed and not mid) and not (_TOKEN.fullmatch(mid) and len(mid) <= limits.SDP_MAX_MID):
        raise malformed(f"Section {index} has no usable a=mid of up to {limits.SDP_MAX_MID} characters.")


def _read_line(index: int, line: str) -> tuple[str, int, str, tuple[str, ...]]:
    """Kind of media, port, protocol and formats of an m= line."""
    words = line.split()
    if len(words) < 4 or len(words) - 3 > limits.SDP_MAX_PAYLOAD_TYPES:
        raise malformed(f"The m= line of section {index} is incomplete or names too many formats.")
    media, port, protocol, *formats = words
    if not all(_TOKEN.fullmatch(word) for word in (media, *formats, *protocol.split("/"))):
        raise malformed(f"The m= line of section {index} contains characters it may not.")
    number = _number(port.partition("/")[0], 0, 65535, f"The port of section {index}")
    return media, number, protocol, tuple(formats)


def _sealed(index: int, draft: Draft) -> str | None:
    value = draft.first(names.SDP_SEALED)
    if value not in (None, "send", "recv"):
        raise malformed(f"The a={names.SDP_SEALED} of section {index} is neither send nor recv.")
    return value


def _number(text: str, low: int, high: int, what: str) -> int:
    if not _DIGITS.fullmatch(text) or not low <= int(text) <= high:
        raise malformed(f"{what} is not a number from {low} to {high}: {text[:_QUOTED]!r}.")
    return int(text)


def _optional_number(draft: Draft, name: str, high: int) -> int | None:
    value = draft.first(name)
    return None if value is None else _number(value, 0, high, f"The value of a={name}")


def _direction(draft: Draft) -> str | None:
    return next((name for name in draft.attributes if name in DIRECTIONS), None)


def _ice(draft: Draft, session: Draft, name: str, low: int, high: int) -> str | None:
    value = draft.first(name) or session.first(name)
    if value is not None and not (low <= len(value) <= high and _ICE_CHARS.fullmatch(value)):
        raise malformed(f"The value of a={name} is not {low} to {high} characters of A-Z a-z 0-9 + /.")
    return value


def _fingerprints(values: list[str]) -> tuple[Fingerprint, ...]:
    return _KNOWN_FINGERPRINTS.read(tuple(values), lambda: _read_fingerprints(values))


def _read_fingerprints(values: list[str]) -> tuple[Fingerprint, ...]:
    if len(values) > limits.SDP_MAX_FINGERPRINTS:
        raise SdpError("too_large", f"More than {limits.SDP_MAX_FINGERPRINTS} fingerprints.")
    found = []
    for value in values:
        algorithm, _, digits = value.partition(" ")
        size = DIGEST_SIZES.get(algorithm.lower())
        if size is None:
            continue
        if not _HEX_PAIRS.fullmatch(digits) or len(digits) != 3 * size - 1:
            raise malformed(f"The {algorithm.lower()} fingerprint is not {size} hexadecimal bytes.")
        found.append(Fingerprint(algorithm.lower(), bytes.fromhex(digits.replace(":", ""))))
    return tuple(found)


class _Known(Generic[_T]):
    """Lists that were read once: a browser writes the same of every section of a kind, and to everybody."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: dict[tuple[str, ...], _T] = {}

    def read(self, lines: tuple[str, ...], make: Callable[[], _T]) -> _T:
        """What `make` makes of just these lines. What it refuses is not kept."""
        found = self._made.get(lines)
        if found is None:
            found = make()
            if sum(map(len, lines)) <= _KNOWN_LENGTH:
                while len(self._made) >= self._most:
                    del self._made[next(iter(self._made))]
                self._made[lines] = found
        return found


def _codecs(index: int, formats: tuple[str, ...], draft: Draft) -> tuple[Codec, ...]:
    lines = (*formats, "", *draft.all("fmtp"), "", *draft.all("rtcp-fb"), "", *draft.all("rtpmap"))
    return _KNOWN_CODECS.read(lines, lambda: _read_codecs(index, formats, draft))


def _read_codecs(index: int, formats: tuple[str, ...], draft: Draft) -> tuple[Codec, ...]:
    order = [_number(text, 0, 127, f"A payload type of section {index}") for text in formats]
    if len(set(order)) != len(order):
        raise malformed(f"Section {index} lists a payload type twice.")
    parameters: dict[int, str] = {}
    for value in draft.all("fmtp"):
        payload_type, _, rest = value.partition(" ")
        parameters[_number(payload_type, 0, 127, "The payload type of a=fmtp")] = rest.strip()
    everyone: set[str] = set()
    feedback: dict[int, set[str]] = {}
    for value in draft.all("rtcp-fb"):
        payload_type, _, rest = value.partition(" ")
        words = " ".join(rest.split())
        if payload_type == "*":
            everyone.add(words)
        else:
            number = _number(payload_type, 0, 127, "The payload type of a=rtcp-fb")
            feedback.setdefault(number, set()).add(words)
    names: dict[int, tuple[str, int]] = {}
    for value in draft.all("rtpmap"):
        payload_type, _, rest = value.partition(" ")
        name, *numbers = rest.strip().split("/")
        number = _number(payload_type, 0, 127, "The payload type of a=rtpmap")
        if not _TOKEN.fullmatch(name) or not numbers:
            raise malformed(f"The a=rtpmap of payload type {number} is not <name>/<clock rate>.")
        names[number] = (name.lower(), _number(numbers[0], 1, 10_000_000, "The clock rate of a=rtpmap"))
    # A static payload type without a=rtpmap (PCMU 0, ...) is nothing we serve.
    return tuple(
        Codec(
            payload_type=number,
            name=names[number][0],
            clock_rate=names[number][1],
            parameters=parameters.get(number, ""),
            feedback=frozenset(everyone | feedback.get(number, set())),
        )
        for number in order
        if number in names
    )


def _extensions(index: int, values: list[str]) -> tuple[HeaderExtension, ...]:
    return _KNOWN_EXTENSIONS.read(tuple(values), lambda: _read_extensions(index, values))


def _read_extensions(index: int, values: list[str]) -> tuple[HeaderExtension, ...]:
    if len(values) > limits.SDP_MAX_EXTENSIONS:
        raise SdpError(
            "too_large", f"Section {index} has more than {limits.SDP_MAX_EXTENSIONS} header extensions."
        )
    found: dict[int, HeaderExtension] = {}
    for value in values:
        words = value.split()
        id_text, _, direction = (words[0] if words else "").partition("/")
        number = _number(id_text, 0, 65535, "The id of a=extmap")
        if len(words) < 2 or (direction and direction not in DIRECTIONS) or not _VISIBLE.fullmatch(words[1]):
            raise malformed(f"The line a=extmap:{number} is not <id>[/<direction>] <URI>.")
        # 15 is reserved; 4096 and up stand for "one of these" (RFC 8285 section 6).
        if number == 0 or number == 15 or number > 255:
            continue
        if number in found:
            raise malformed(f"Section {index} uses header extension id {number} twice.")
        found[number] = HeaderExtension(number, words[1], direction or "sendrecv")
    return tuple(found.values())


def _rids(index: int, draft: Draft) -> tuple[tuple[str, ...], bool]:
    """The rids it sends (RFC 8851) in the order of a=simulcast (RFC 8853), and whether there is one."""
    declared = [words[0] for words in (value.split() for value in draft.all("rid")) if words[1:2] == ["send"]]
    words = (draft.first("simulcast") or "").split()
    order = declared
    simulcast = "send" in words[:-1]
    if simulcast:
        alternatives = words[words.index("send") + 1].split(";")
        # "~" marks a layer that starts paused; of alternatives separated by commas the first is taken.
        order = [layer.split(",")[0].removeprefix("~") for layer in alternatives]
    if len(order) > limits.SDP_MAX_RIDS or len(declared) > limits.SDP_MAX_RIDS:
        raise SdpError("too_large", f"Section {index} has more than {limits.SDP_MAX_RIDS} simulcast layers.")
    if not all(_RID.fullmatch(rid) and len(rid) <= limits.SDP_MAX_RID for rid in order):
        raise malformed(f"A rid of section {index} is not 1 to {limits.SDP_MAX_RID} letters and digits.")
    if len(set(order)) != len(order) or set(order) - set(declared):
        raise malformed(f"The a=simulcast line of section {index} does not match its a=rid lines.")
    return tuple(order), simulcast


def _msid(index: int, draft: Draft) -> tuple[str | None, str | None, int]:
    """MediaStream and track (RFC 8830), from a=msid or else from the older a=ssrc form."""
    of_ssrcs = {
        tuple(words[2:4])
        for words in map(_ssrc_words, draft.all("ssrc"))
        if words[1] == "msid" and len(words) >= 3
    }
    values = [value.split() for value in draft.all("msid")] or [list(words) for words in sorted(of_ssrcs)]
    if not values or not values[0]:
        return None, None, len(of_ssrcs)
    if not all(_VISIBLE.fullmatch(word) and len(word) <= limits.SDP_MAX_MSID for word in values[0]):
        raise malformed(f"The a=msid of section {index} is too long or not printable.")
    stream_id = values[0][0]
    track_id = values[0][1] if len(values[0]) > 1 else None
    return None if stream_id == "-" else stream_id, track_id, len(of_ssrcs)


def _ssrc_words(value: str) -> list[str]:
    """`<ssrc> <attribute>:<value>` as [ssrc, attribute, value words ...]."""
    ssrc, _, rest = value.partition(" ")
    attribute, _, words = rest.strip().partition(":")
    return [ssrc, attribute, *words.split()]


def _ssrcs(index: int, draft: Draft) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for value in draft.all("ssrc"):
        found[_number(value.partition(" ")[0], 0, 2**32 - 1, "The SSRC of a=ssrc")] = None
    if len(found) > limits.SDP_MAX_SSRCS:
        raise SdpError("too_large", f"Section {index} names more than {limits.SDP_MAX_SSRCS} SSRCs.")
    return tuple(found)


def _repairs(draft: Draft) -> tuple[tuple[int, int], ...]:
    """Groups that are not of two numbers mean nothing to us."""
    found: dict[int, int] = {}
    for value in draft.all("ssrc-group")[: limits.SDP_MAX_SSRCS]:
        words = value.split()
        if words[:1] != ["FID"] or len(words) != 3 or not all(_DIGITS.fullmatch(word) for word in words[1:]):
            continue
        ssrc, rtx = (int(word) for word in words[1:])
        if 0 < ssrc < 2**32 and 0 < rtx < 2**32 and ssrc != rtx:
            found.setdefault(ssrc, rtx)
    return tuple(found.items())


_KNOWN_LINES: Final[_Known[tuple[str, int, str, tuple[str, ...]]]] = _Known(_KNOWN)
_KNOWN_CODECS: Final[_Known[tuple[Codec, ...]]] = _Known(_KNOWN)
_KNOWN_EXTENSIONS: Final[_Known[tuple[HeaderExtension, ...]]] = _Known(_KNOWN)
# Of one person: for the sections of one offer.
_KNOWN_FINGERPRINTS: Final[_Known[tuple[Fingerprint, ...]]] = _Known(1)
