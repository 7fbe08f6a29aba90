"""An offer as values: the grammar of SDP (RFC 8866) as browsers write it (RFC 8829).

Only attributes the conference uses are read; everything else is ignored. What is decided about an offer is in
sdp_negotiate.py, what is written back in sdp_answer.py.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from control.protocol import limits
from control.protocol.sdp_section import Draft, check_mid, read_section
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

_TYPES = frozenset(f"{letter}=" for letter in "abcdefghijklmnopqrstuvwxyz")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ALLOWS_MIXED = re.compile(r"^a=extmap-allow-mixed(?:[:\r\n]|\Z)", re.MULTILINE)
_MID = re.compile(r"\na=mid:([^\n]*)")


def parse_offer_untrusted(text: str) -> Offer:
    """Read an offer from the network.

    Raises SdpError and nothing else: "too_large" beyond the limits, "sdp_malformed" for what is no SDP,
    "sdp_unsupported" for an offer that no single DTLS transport can carry.
    """
    first, *rest = _split(text)
    session = _draft(first)
    sections = tuple(_sections(rest, session))
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
        or ("extmap-allow-mixed" in text and _ALLOWS_MIXED.search(text) is not None),
    )


def _split(text: str) -> list[str]:
    """The session's lines, and those of each section without the "m=" that it begins with."""
    if len(text) > limits.SDP_MAX_BYTES or len(text.encode("utf-8", "replace")) > limits.SDP_MAX_BYTES:
        raise SdpError("too_large", f"The SDP is larger than {limits.SDP_MAX_BYTES} bytes.")
    whole = text.replace("\r\n", "\n").rstrip("\n")
    lines = whole.split("\n")
    plain = all(map(str.isprintable, lines))  # as nearly always; what is not may still be allowed
    if not plain and _CONTROL.search(text):
        raise malformed("The SDP contains control characters.")
    if len(lines) > limits.SDP_MAX_LINES:
        raise SdpError("too_large", f"The SDP has more than {limits.SDP_MAX_LINES} lines.")
    if lines[0] != "v=0":
        raise malformed("The SDP does not begin with v=0.")
    if (
        not plain
        or max(map(len, lines)) > limits.SDP_MAX_LINE
        or not _TYPES.issuperset([line[:2] for line in lines])
    ):
        _refuse_lines(lines)
    parts = whole.split("\nm=")
    if len(parts) - 1 > limits.SDP_MAX_SECTIONS:
        raise SdpError("too_large", f"The SDP has more than {limits.SDP_MAX_SECTIONS} sections.")
    if len(parts) == 1:
        raise malformed("The SDP has no media sections.")
    return parts


def _sections(texts: list[str], session: Draft) -> Iterator[Section]:
    """Browsers write one for each slot, and all of a kind alike but for their mid: those are read once."""
    alike: dict[str, Section] = {}
    for index, text in enumerate(texts):
        mid, others = _without_mid(text)
        known = None if mid is None else alike.get(others)
        if known is None or mid is None:
            known = read_section(index, text.partition("\n")[0], _draft(text), session)
            if mid is not None:
                alike[others] = known
            yield known
        else:
            check_mid(index, mid, known.closed)
            yield replace(known, index=index, mid=mid)


def _without_mid(text: str) -> tuple[str | None, str]:
    """The only a=mid of a section, if it has one and no more, and what else there is of it.

    None also for what names SSRCs, as Firefox does in each: no other section is like it.
    """
    found = None if "\na=ssrc:" in text else _MID.search(text)
    if found is None or _MID.search(text, found.end()) is not None:
        return None, text
    return found[1].strip(), text[: found.start()] + text[found.end() :]


def _draft(text: str) -> Draft:
    draft = Draft()
    attributes = draft.attributes
    for line in text.split("\n")[1:]:
        if line[0] == "a":
            name, _, value = line[2:].partition(":")
            found = attributes.get(name)
            if found is None:
                attributes[name] = [value.strip()]
            else:
                found.append(value.strip())
    return draft


def _refuse_lines(lines: list[str]) -> None:
    """SdpError, which names the line that is wrong."""
    for number, line in enumerate(lines, 1):
        if len(line) > limits.SDP_MAX_LINE:
            raise SdpError(
                "too_large", f"Line {number} of the SDP is longer than {limits.SDP_MAX_LINE} characters."
            )
        if len(line) < 2 or line[1] != "=" or not "a" <= line[0] <= "z" or "\r" in line:
            raise malformed(f"Line {number} of the SDP is not of the form <letter>=<value>.")


def _bundle(session: Draft, sections: tuple[Section, ...]) -> tuple[str, ...]:
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
