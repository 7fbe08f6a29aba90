"""An offer as values: the grammar of SDP (RFC 8866) as browsers write it (RFC 8829).

Only attributes the conference uses are read; everything else is ignored. What is decided about an offer is in
sdp_negotiate.py, what is written back in sdp_answer.py.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from control.protocol import limits
from control.protocol.sdp_values import (
    Codec,
    Fingerprint,
    HeaderExtension,
    Offer,
    SdpError,
    Section,
    malformed,
    unsupported,
)

__all__ = ["Codec", "Fingerprint", "HeaderExtension", "Offer", "SdpError", "Section", "parse_offer_untrusted"]

DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
# RFC 8122 section 5: digest sizes in bytes. sha-1 and md5 may be read, so that a refusal can name them.
DIGEST_SIZES: Final = {"md5": 16, "sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`{|}~A-Za-z0-9]+", re.ASCII)
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/]+", re.ASCII)
_RID = re.compile(r"[A-Za-z0-9]+", re.ASCII)
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,10}", re.ASCII)
_HEX_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Numbers in messages stay short whatever was sent.
_QUOTED: Final = 12


@dataclass(slots=True)
class _Draft:
    """One section (or the session level) while its lines are read."""

    attributes: dict[str, list[str]] = field(default_factory=dict)

    def first(self, name: str) -> str | None:
        values = self.attributes.get(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return self.attributes.get(name, [])


def parse_offer_untrusted(text: str) -> Offer:
    """Read an offer from the network.

    Raises SdpError and nothing else: "too_large" beyond the limits, "sdp_malformed" for what is no SDP,
    "sdp_unsupported" for an offer that no single DTLS transport can carry.
    """
    session, drafts = _split_lines(text)
    sections = tuple(_section(index, line, draft, session) for index, (line, draft) in enumerate(drafts))
    mids = [section.mid for section in sections if section.mid]
    if len(mids) != len(set(mids)):
        raise malformed("Two sections have the same a=mid.")
    bundle = _bundle(session, sections)
    tagged = next(section for section in sections if section.mid == bundle[0])
    if tagged.ice_ufrag is None or tagged.ice_pwd is None:
        raise malformed("The offer has no ICE credentials.")
    if not tagged.fingerprints:
        raise unsupported("The offer has no a=fingerprint; media needs DTLS.")
    if tagged.setup is None:
        raise unsupported("The offer has no a=setup; its DTLS role is unknown.")
    return Offer(
        sections=sections,
        bundle=bundle,
        ice_ufrag=tagged.ice_ufrag,
        ice_pwd=tagged.ice_pwd,
        fingerprints=tagged.fingerprints,
        setup=tagged.setup,
        extmap_allow_mixed="extmap-allow-mixed" in session.attributes
        or any("extmap-allow-mixed" in draft.attributes for _, draft in drafts),
    )


def _split_lines(text: str) -> tuple[_Draft, list[tuple[str, _Draft]]]:
    if len(text) > limits.SDP_MAX_BYTES or len(text.encode("utf-8", "replace")) > limits.SDP_MAX_BYTES:
        raise SdpError("too_large", f"The SDP is larger than {limits.SDP_MAX_BYTES} bytes.")
    if _CONTROL.search(text):
        raise malformed("The SDP contains control characters.")
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) > limits.SDP_MAX_LINES:
        raise SdpError("too_large", f"The SDP has more than {limits.SDP_MAX_LINES} lines.")
    if lines[0] != "v=0":
        raise malformed("The SDP does not begin with v=0.")
    session = current = _Draft()
    drafts: list[tuple[str, _Draft]] = []
    for number, line in enumerate(lines, 1):
        if len(line) > limits.SDP_MAX_LINE:
            raise SdpError(
                "too_large", f"Line {number} of the SDP is longer than {limits.SDP_MAX_LINE} characters."
            )
        if len(line) < 2 or line[1] != "=" or not "a" <= line[0] <= "z" or "\r" in line:
            raise malformed(f"Line {number} of the SDP is not of the form <letter>=<value>.")
        if line[0] == "m":
            if len(drafts) == limits.SDP_MAX_SECTIONS:
                raise SdpError("too_large", f"The SDP has more than {limits.SDP_MAX_SECTIONS} sections.")
            current = _Draft()
            drafts.append((line[2:], current))
        elif line[0] == "a":
            name, _, value = line[2:].partition(":")
            current.attributes.setdefault(name, []).append(value.strip())
    if not drafts:
        raise malformed("The SDP has no media sections.")
    return session, drafts


def _bundle(session: _Draft, sections: tuple[Section, ...]) -> tuple[str, ...]:
    """The one BUNDLE group (RFC 9143), which holds every open section, its first one open."""
    groups = [
        words[1:] for words in (value.split() for value in session.all("group")) if words[:1] == ["BUNDLE"]
    ]
    if not groups:
        raise unsupported("The offer has no BUNDLE group; all media must share one transport.")
    if len(groups) > 1:
        raise unsupported("The offer has several BUNDLE groups; all media must share one transport.")
    still_open = {section.mid for section in sections if not section.closed}
    bundle = tuple(mid for mid in groups[0] if mid in still_open)
    if len(set(groups[0])) != len(groups[0]):
        raise malformed("The BUNDLE group names one a=mid twice.")
    if not bundle:
        raise unsupported("The offer has no open section.")
    if still_open - set(bundle):
        raise unsupported("A section is outside the BUNDLE group; all media must share one transport.")
    return bundle


def _section(index: int, line: str, draft: _Draft, session: _Draft) -> Section:
    words = line.split()
    if len(words) < 4 or len(words) - 3 > limits.SDP_MAX_PAYLOAD_TYPES:
        raise malformed(f"The m= line of section {index} is incomplete or names too many formats.")
    media, port_text, protocol, *formats = words
    if not all(_TOKEN.fullmatch(word) for word in (media, *formats, *protocol.split("/"))):
        raise malformed(f"The m= line of section {index} contains characters it may not.")
    port = _number(port_text.partition("/")[0], 0, 65535, f"The port of section {index}")
    closed = port == 0 and "bundle-only" not in draft.attributes
    mid = draft.first("mid") or ""
    if not (closed and not mid) and not (_TOKEN.fullmatch(mid) and len(mid) <= limits.SDP_MAX_MID):
        raise malformed(f"Section {index} has no usable a=mid of up to {limits.SDP_MAX_MID} characters.")
    if closed:
        # Nothing of a closed section counts, so nothing of it can be wrong.
        return Section(index, media, protocol, tuple(formats), closed=True, mid=mid)
    stream_id, track_id, msids = _msid(index, draft)
    rids, simulcast = _rids(index, draft)
    candidates = len(draft.all("candidate"))
    if candidates > limits.SDP_MAX_CANDIDATES:
        raise SdpError("too_large", f"Section {index} has more than {limits.SDP_MAX_CANDIDATES} candidates.")
    return Section(
        index=index,
        media=media,
        protocol=protocol,
        formats=tuple(formats),
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
    )


def _number(text: str, low: int, high: int, what: str) -> int:
    if not _DIGITS.fullmatch(text) or not low <= int(text) <= high:
        raise malformed(f"{what} is not a number from {low} to {high}: {text[:_QUOTED]!r}.")
    return int(text)


def _optional_number(draft: _Draft, name: str, high: int) -> int | None:
    value = draft.first(name)
    return None if value is None else _number(value, 0, high, f"The value of a={name}")


def _direction(draft: _Draft) -> str | None:
    return next((name for name in draft.attributes if name in DIRECTIONS), None)


def _ice(draft: _Draft, session: _Draft, name: str, low: int, high: int) -> str | None:
    value = draft.first(name) or session.first(name)
    if value is not None and not (low <= len(value) <= high and _ICE_CHARS.fullmatch(value)):
        raise malformed(f"The value of a={name} is not {low} to {high} characters of A-Z a-z 0-9 + /.")
    return value


def _fingerprints(values: list[str]) -> tuple[Fingerprint, ...]:
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


def _codecs(index: int, formats: list[str], draft: _Draft) -> tuple[Codec, ...]:
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


def _rids(index: int, draft: _Draft) -> tuple[tuple[str, ...], bool]:
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


def _msid(index: int, draft: _Draft) -> tuple[str | None, str | None, int]:
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


def _ssrcs(index: int, draft: _Draft) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for value in draft.all("ssrc"):
        found[_number(value.partition(" ")[0], 0, 2**32 - 1, "The SSRC of a=ssrc")] = None
    if len(found) > limits.SDP_MAX_SSRCS:
        raise SdpError("too_large", f"Section {index} names more than {limits.SDP_MAX_SSRCS} SSRCs.")
    return tuple(found)
