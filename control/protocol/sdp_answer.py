"""The answer to an offer: docs/protocol.md section 3.2, RFC 8829 section 5.3."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final

from aioice.candidate import Candidate, candidate_foundation, candidate_priority

from control.protocol import limits, names
from control.protocol.rates import encoding_names
from control.protocol.sdp_agreement import (
    EXTENSION_URIS,
    Agreement,
    DataSection,
    ExtensionIds,
    SenderSection,
    SlotSection,
)
from control.protocol.sdp_values import Fingerprint, Offer, Section

# Echoing an extension's direction silently turns it off (measured with Firefox's /sendonly).
MIRRORED: Final = {"sendrecv": "", "sendonly": "/recvonly", "recvonly": "/sendonly"}
# What we take in one data channel message (control/io/channels.py closes a channel that sends more).
ANSWERED_MAX_MESSAGE_SIZE: Final = 65536


@dataclass(frozen=True, slots=True)
class AnswerTransport:
    """Our end: fresh ICE credentials per call, one certificate per process, the workers' addresses."""

    ice_ufrag: str
    ice_pwd: str
    fingerprint: Fingerprint
    candidates: Sequence[tuple[str, int]]  # (address, port), most wanted first


@dataclass(frozen=True, slots=True)
class SlotSsrc:
    """The constant SSRC of a slot, and that of its RTX where RTX was agreed."""

    ssrc: int
    rtx_ssrc: int | None = None


def write_answer(
    offer: Offer,
    agreement: Agreement,
    transport: AnswerTransport,
    slot_ssrcs: Mapping[str, SlotSsrc],
    cname: str,
    sealed_ssrcs: Mapping[str, Sequence[tuple[int, int]]] = MappingProxyType({}),
) -> str:
    """The answer as text with CRLF. `slot_ssrcs` has one entry per agreed slot's mid; KeyError otherwise.

    `sealed_ssrcs`, by the mid of a sealed sending section: SSRC and RTX SSRC (0: none) of each encoding.
    """
    senders = {sender.mid: sender for sender in agreement.senders}
    slots = {slot.mid: slot for slot in agreement.slots}
    opened = {slot.mid: slot for slot in agreement.opened}
    accepted = [section.mid for section in offer.sections if section.index not in agreement.rejected]
    # The member's order decides which section carries the transport (RFC 9143 section 7.3).
    bundle = [mid for mid in offer.bundle if mid in accepted]
    lines = [
        "v=0",
        # The session id may not change over a call, the version must grow (RFC 8829 section 5.3.2).
        f"o=- {zlib.crc32(cname.encode())} {agreement.revision} IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(bundle)}",
        *(["a=extmap-allow-mixed"] if offer.extmap_allow_mixed else []),
        # Without it all tracks would fall into one stream and be synchronised with each other.
        "a=msid-semantic:WMS *",
        "a=ice-lite",
    ]
    candidates, credentials = _candidates(transport), _credentials(transport)
    alike: dict[object, list[str]] = {}
    for section in offer.sections:
        if section.index in agreement.rejected:
            lines += _rejected(section)
            continue
        lines += _head(section, senders.get(section.mid) or slots.get(section.mid) or opened.get(section.mid))
        # Only the section that carries the BUNDLE group needs our addresses; credentials stand in all.
        lines += candidates + credentials if section.mid == bundle[0] else credentials
        lines.append(f"a=mid:{section.mid}")
        if section.mid in senders:
            lines += _sender(section, senders[section.mid])
            if senders[section.mid].sealed:
                lines += _sealed(senders[section.mid], sealed_ssrcs[section.mid])
        elif section.mid in opened:
            lines += _media(section, opened[section.mid], "sendonly")
            lines += ["a=msid:- sealed-" + section.mid, f"a={names.SDP_SEALED}:send"]
        elif section.mid in slots:
            slot = slots[section.mid]
            lines += _slot_media(section, slot, alike)
            lines += _slot(slot, slot_ssrcs[section.mid], cname)
        elif section.mid == agreement.data.mid:
            lines += _data(agreement.data)
        else:
            lines += ["a=inactive", "a=rtcp-mux"]
    return "\r\n".join(lines) + "\r\n"


def _rejected(section: Section) -> list[str]:
    mid = [f"a=mid:{section.mid}"] if section.mid else []
    head = f"m={section.media} 0 {section.protocol} {' '.join(section.formats)}"
    return [head, "c=IN IP4 0.0.0.0", *mid, "a=inactive"]


def _head(section: Section, codec: SenderSection | SlotSection | None) -> list[str]:
    formats = section.formats
    if codec is not None:
        numbers = (codec.payload_type, codec.rtx_payload_type)
        formats = tuple(str(number) for number in numbers if number is not None)
    return [f"m={section.media} 9 {section.protocol} {' '.join(formats)}", "c=IN IP4 0.0.0.0"]


def _candidates(transport: AnswerTransport) -> list[str]:
    lines = []
    for rank, (address, port) in enumerate(transport.candidates):
        candidate = Candidate(
            foundation=candidate_foundation("host", "udp", address),
            component=1,
            transport="udp",
            priority=candidate_priority(1, "host", 65535 - rank),
            host=address,
            port=port,
            type="host",
        )
        lines.append(f"a=candidate:{candidate.to_sdp()}")
    return [*lines, "a=end-of-candidates"]


def _credentials(transport: AnswerTransport) -> list[str]:
    digest = transport.fingerprint.digest.hex(":").upper()
    return [
        f"a=ice-ufrag:{transport.ice_ufrag}",
        f"a=ice-pwd:{transport.ice_pwd}",
        f"a=fingerprint:{transport.fingerprint.algorithm} {digest}",
        "a=setup:passive",
    ]


def _extensions(section: Section, ids: ExtensionIds) -> list[str]:
    directions = {extension.id: MIRRORED.get(extension.direction, "") for extension in section.extensions}
    agreed = sorted(
        (getattr(ids, each.name), EXTENSION_URIS[each.name])
        for each in fields(ids)
        if getattr(ids, each.name)
    )
    return [f"a=extmap:{number}{directions[number]} {uri}" for number, uri in agreed]


def _media(section: Section, agreed: SenderSection | SlotSection, direction: str) -> list[str]:
    """What sending sections and slots have in common. red, ulpfec and other codecs fall away here."""
    number = agreed.payload_type
    channels = "/2" if agreed.codec == "opus" else ""
    name = {"opus": "opus", "vp8": "VP8"}[agreed.codec]
    lines = [
        *_extensions(section, agreed.extension_ids),
        f"a={direction if agreed.active else 'inactive'}",
        "a=rtcp-mux",
        *(["a=rtcp-rsize"] if section.rtcp_rsize else []),
        f"a=rtpmap:{number} {name}/{agreed.clock_rate}{channels}",
        *(f"a=rtcp-fb:{number} {feedback}" for feedback in agreed.feedback),
    ]
    if agreed.codec == "opus":
        # Opus encoders make in-band FEC only when the receiver asks for it (RFC 7587 section 6.1).
        lines.append(f"a=fmtp:{number} minptime=10;useinbandfec=1")
    if agreed.rtx_payload_type is not None:
        lines.append(f"a=rtpmap:{agreed.rtx_payload_type} rtx/{agreed.clock_rate}")
        lines.append(f"a=fmtp:{agreed.rtx_payload_type} apt={number}")
    return lines


def _sender(section: Section, sender: SenderSection) -> list[str]:
    lines = _media(section, sender, "recvonly")
    if sender.kind == "video" and sender.extension_ids.transport_cc is not None:
        lines.append(f"a=fmtp:{sender.payload_type} x-google-start-bitrate={limits.START_BITRATE // 1000}")
    # Named also where an inactive offer left them out: who reads none there has one encoding from then on.
    lines += [f"a=rid:{rid} recv" for rid in sender.rids]
    if section.simulcast or (sender.rids and not section.rids):
        lines.append(f"a=simulcast:recv {';'.join(sender.rids)}")
    return lines


def _sealed(sender: SenderSection, ssrcs: Sequence[tuple[int, int]]) -> list[str]:
    lines = [f"a={names.SDP_SEALED}:recv"]
    for name, (ssrc, rtx_ssrc) in zip(encoding_names(sender), ssrcs, strict=True):
        repair = f" {rtx_ssrc}" if rtx_ssrc else ""
        lines.append(f"a={names.SDP_SEALED_SSRC}:{name} {ssrc}{repair}")
    return lines


def _slot_media(section: Section, slot: SlotSection, alike: dict[object, list[str]]) -> list[str]:
    """As `_media`. Most slots of a kind have it in common: it is made once for those in `alike`."""
    # All it depends on; values that are the very same while offer and agreement are there, by identity.
    same = id(section.extensions), id(slot.extension_ids), id(slot.feedback)
    numbers = slot.codec, slot.payload_type, slot.rtx_payload_type, slot.clock_rate
    key = same, numbers, section.rtcp_rsize, slot.active
    lines = alike.get(key)
    if lines is None:
        lines = alike[key] = _media(section, slot, "sendonly")
    return lines


def _slot(slot: SlotSection, ssrcs: SlotSsrc, cname: str) -> list[str]:
    """What is of one slot alone."""
    lines: list[str] = []
    # Audio and video of a pair are one member's and are synchronised; nothing else is.
    if slot.pair is None:
        lines.append(f"a=msid:- loudest-{slot.mid}")
    else:
        lines.append(f"a=msid:pair{slot.pair} {slot.kind}{slot.pair}")
    numbers = [ssrcs.ssrc]
    if slot.rtx_payload_type is not None and ssrcs.rtx_ssrc is not None:
        numbers.append(ssrcs.rtx_ssrc)
        lines.append(f"a=ssrc-group:FID {ssrcs.ssrc} {ssrcs.rtx_ssrc}")
    return [*lines, *(f"a=ssrc:{number} cname:{cname}" for number in numbers)]


def _data(data: DataSection) -> list[str]:
    return [f"a=sctp-port:{data.sctp_port}", f"a=max-message-size:{ANSWERED_MAX_MESSAGE_SIZE}"]
