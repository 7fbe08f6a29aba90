"""An offer as values: the grammar of SDP (RFC 8866) as browsers write it (RFC 8829).

Only attributes the conference uses are read; everything else is ignored. What is decided about an offer is in
sdp_negotiate.py, what is written back in sdp_answer.py.
"""

import re

from control.protocol import limits
from control.protocol.sdp_section import Draft, read_section
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

# Every line, whose end may be missing at the last one.
_LINES = re.compile(r"(?:[a-z]=[^\r\n]*(?:\r?\n|\Z))+\n*")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def parse_offer_untrusted(text: str) -> Offer:
    """Read an offer from the network.

    Raises SdpError and nothing else: "too_large" beyond the limits, "sdp_malformed" for what is no SDP,
    "sdp_unsupported" for an offer that no single DTLS transport can carry.
    """
    session, drafts = _split_lines(text)
    sections = tuple(read_section(index, line, draft, session) for index, (line, draft) in enumerate(drafts))
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


def _split_lines(text: str) -> tuple[Draft, list[tuple[str, Draft]]]:
    if len(text) > limits.SDP_MAX_BYTES or len(text.encode("utf-8", "replace")) > limits.SDP_MAX_BYTES:
        raise SdpError("too_large", f"The SDP is larger than {limits.SDP_MAX_BYTES} bytes.")
    if _CONTROL.search(text):
        raise malformed("The SDP contains control characters.")
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) > limits.SDP_MAX_LINES:
        raise SdpError("too_large", f"The SDP has more than {limits.SDP_MAX_LINES} lines.")
    if lines[0] != "v=0":
        raise malformed("The SDP does not begin with v=0.")
    if _LINES.fullmatch(text) is None or max(map(len, lines)) > limits.SDP_MAX_LINE:
        _refuse_lines(lines)
    session = current = Draft()
    drafts: list[tuple[str, Draft]] = []
    attributes = current.attributes
    for line in lines:
        kind = line[0]
        if kind == "a":
            name, _, value = line[2:].partition(":")
            found = attributes.get(name)
            if found is None:
                attributes[name] = [value.strip()]
            else:
                found.append(value.strip())
        elif kind == "m":
            if len(drafts) == limits.SDP_MAX_SECTIONS:
                raise SdpError("too_large", f"The SDP has more than {limits.SDP_MAX_SECTIONS} sections.")
            current = Draft()
            attributes = current.attributes
            drafts.append((line[2:], current))
    if not drafts:
        raise malformed("The SDP has no media sections.")
    return session, drafts


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
