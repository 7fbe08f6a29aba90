"""What we agree to of an offer: which section is which source or slot, with which codec and extensions.

docs/protocol.md sections 3.1 and 3.2. Conference, table and answer are made of the agreement; a re-offer is
read against the one before, so that nothing that plays changes its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Final

from control.protocol.sdp_agreement import (
    EXTENSION_URIS,
    Agreement,
    DataSection,
    ExtensionIds,
    Features,
    SenderSection,
    SlotSection,
)
from control.protocol.sdp_checks import (
    check_identifiers,
    check_mids,
    check_roles,
    check_sealed,
    check_transport,
    strong_fingerprints,
)
from control.protocol.sdp_values import Codec, Offer, Section, unsupported

__all__ = [
    "Agreement",
    "DataSection",
    "ExtensionIds",
    "Features",
    "SenderSection",
    "SlotSection",
    "negotiate",
]


# What a slot may carry. The dependency descriptor gives receivers nothing (measured).
SLOT_EXTENSIONS: Final = frozenset({"mid", "audio_level", "abs_send_time", "transport_cc"})
# The one codec of each kind, and the rids of a simulcast sender from low to high.
CODECS: Final = {"audio": ("opus", 48000), "video": ("vp8", 90000)}
RIDS: Final = ("t", "m", "f")
_EXTENSIONS: Final = tuple(each.name for each in fields(ExtensionIds))
DATA_PROTOCOLS: Final = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"})
DEFAULT_SCTP_PORT: Final = 5000
DEFAULT_MAX_MESSAGE_SIZE: Final = 65536  # RFC 8841 section 6.1


def negotiate(
    offer: Offer,
    metadata: Mapping[str, object],
    features: Features,
    previous: Agreement | None = None,
) -> Agreement:
    """Agree to an offer or raise SdpError with code "sdp_unsupported" (or "sdp_malformed").

    `metadata` is `sdp_stream_metadata` as it came: MediaStream id -> {"purpose": ...}; the rest is ignored.
    `previous` is the agreement of the same call that this offer changes.
    """
    check_transport(offer)
    check_mids(offer, previous)
    check_identifiers(offer)
    senders: list[SenderSection] = []
    slots: list[SlotSection] = []
    alike: dict[object, SlotSection] = {}
    data: DataSection | None = None
    opened: list[SlotSection] = []
    idle: list[str] = []
    rejected: list[int] = []
    declined = False
    sender_before = {sender.mid: sender for sender in previous.senders} if previous else {}
    slot_before = {slot.mid: slot for slot in previous.slots} if previous else {}
    opened_before = {each.mid for each in previous.opened} if previous else set()
    for section in offer.sections:
        if section.closed or section.kind == "other":
            rejected.append(section.index)
        elif section.kind == "application":
            if (
                data is not None
                or section.protocol not in DATA_PROTOCOLS
                or "webrtc-datachannel" not in section.formats
            ):
                rejected.append(section.index)
            else:
                data = _data(section)
        elif section.sealed == "recv" or section.mid in opened_before:
            opened.append(_opened(section, features, section.mid in slot_before))
        elif section.mid in sender_before:
            senders.append(_sender(section, metadata, features, sender_before[section.mid]))
        elif section.mid in slot_before:
            slots.append(_kept_slot(section, features, slot_before[section.mid]))
        elif section.direction in ("sendonly", "sendrecv"):
            if section.kind == "video" and not features.pictures:
                rejected.append(section.index)
                declined = True
            else:
                senders.append(_sender(section, metadata, features, None))
        elif section.direction == "inactive":
            idle.append(section.mid)
        elif (slot := _new_slot(section, features, alike)) is None:
            rejected.append(section.index)
        else:
            slots.append(slot)
    if data is None:
        raise unsupported("The offer has no data channel section.")
    slots = _paired(slots, slot_before)
    check_roles(senders, slots)
    check_sealed(senders, opened)
    return Agreement(
        ice_ufrag=offer.ice_ufrag,
        ice_pwd=offer.ice_pwd,
        fingerprints=strong_fingerprints(offer),
        ice_restart=previous is not None
        and (offer.ice_ufrag, offer.ice_pwd) != (previous.ice_ufrag, previous.ice_pwd),
        senders=tuple(senders),
        slots=tuple(slots),
        data=data,
        idle=tuple(idle),
        rejected=tuple(rejected),
        mids=tuple(section.mid for section in offer.sections),
        revision=1 if previous is None else previous.revision + 1,
        declined=declined,
        opened=tuple(opened),
    )


def _paired(slots: Sequence[SlotSection], before: Mapping[str, SlotSection]) -> list[SlotSection]:
    """Gives the new ones of `slots` their pairs, each the lowest that is free of its kind.

    Audio for which no video is left stays without: a loudest slot. What a slot became it stays.
    """
    taken = {(slot.kind, slot.pair) for slot in slots if slot.mid in before}
    video = iter([pair for pair in range(len(slots) + 1) if ("video", pair) not in taken])
    new_video = {slot.mid: next(video) for slot in slots if slot.kind == "video" and slot.mid not in before}
    taken |= {("video", pair) for pair in new_video.values()}
    audio = iter(
        [pair for pair in range(len(slots) + 1) if ("video", pair) in taken and ("audio", pair) not in taken]
    )
    paired = []
    for slot in slots:
        if slot.mid not in before:
            slot = replace(slot, pair=new_video[slot.mid] if slot.kind == "video" else next(audio, None))
        paired.append(slot)
    return paired


def _data(section: Section) -> DataSection:
    size = section.max_message_size
    return DataSection(
        mid=section.mid,
        sctp_port=section.sctp_port or DEFAULT_SCTP_PORT,
        max_message_size=DEFAULT_MAX_MESSAGE_SIZE if size is None else size,
    )


def _codec(section: Section, features: Features) -> tuple[Codec, int | None] | None:
    """The payload type we use, and that of its RTX; None when the section has nothing we can carry."""
    name, clock_rate = CODECS[section.kind]
    for codec in section.codecs:
        # 64..95 look like RTCP on a shared port (RFC 5761 section 4).
        if (codec.name, codec.clock_rate) == (name, clock_rate) and not 64 <= codec.payload_type <= 95:
            rtx = (
                other
                for other in section.codecs
                if other.name == "rtx" and other.repairs == codec.payload_type
            )
            repair = next((other.payload_type for other in rtx if not 64 <= other.payload_type <= 95), None)
            return codec, repair if features.nack_rtx and "nack" in codec.feedback else None
    return None


def _feedback(
    section: Section,
    codec: Codec,
    rtx: int | None,
    transport_cc: int | None,
    features: Features,
    tmmbr: bool = False,
) -> tuple[str, ...]:
    """`rtx` and `transport_cc`: the payload type and the extension id they were agreed with."""
    wanted = [] if transport_cc is None else ["transport-cc"]
    if section.kind == "audio" and features.nack_audio:
        wanted.append("nack")
    if section.kind == "video":
        wanted += ["goog-remb", "ccm fir", "nack pli"] + (["nack"] if rtx is not None else [])
        wanted += ["ccm tmmbr"] if tmmbr else []
    return tuple(each for each in wanted if each in codec.feedback)


def _extension_ids(section: Section, codec: Codec, features: Features, slot: bool) -> ExtensionIds:
    """Those the member offers in the direction in which they are needed."""
    ids: dict[str, int] = {}
    by_uri = {extension.uri: extension for extension in section.extensions}
    for name in _EXTENSIONS:
        extension = by_uri.get(EXTENSION_URIS[name])
        if extension is None or extension.direction not in ("sendrecv", "recvonly" if slot else "sendonly"):
            continue
        # Our own packets keep to the one-byte form of RFC 8285, which ends at id 14.
        if slot and (name not in SLOT_EXTENSIONS or extension.id > 14):
            continue
        if name in ("rid", "repaired_rid") and not section.rids:
            continue
        numbered = features.transport_cc_down if slot else features.transport_cc_up
        if name == "transport_cc" and not (numbered and "transport-cc" in codec.feedback):
            continue
        ids[name] = extension.id
    return ExtensionIds(**ids)


def _purpose(metadata: Mapping[str, object], stream_id: str | None) -> str | None:
    entry = metadata.get(stream_id) if stream_id is not None else None
    purpose = entry.get("purpose") if isinstance(entry, Mapping) else None
    return purpose if isinstance(purpose, str) else None


def _source(kind: str, purpose: str | None) -> str:
    if purpose == "m.screenshare":
        return "screen" if kind == "video" else "screen_audio"
    return "camera" if kind == "video" else "audio"


def _sender(
    section: Section, metadata: Mapping[str, object], features: Features, before: SenderSection | None
) -> SenderSection:
    purpose = _purpose(metadata, section.stream_id)
    source = _source(section.kind, purpose)
    if before is not None:
        if (
            section.kind != before.kind
            or section.direction == "recvonly"
            or (purpose and source != before.source)
        ):
            raise unsupported(
                f"Section {section.mid} sent the source {before.source} and cannot become another."
            )
        source = before.source
        if section.direction == "inactive" and not section.rids:
            # Firefox leaves the layers out while it sends none, and names them again when it does.
            section = replace(section, rids=before.rids)
    chosen = _codec(section, features)
    if chosen is None:
        raise unsupported(f"Section {section.mid} sends {section.kind} without {CODECS[section.kind][0]}.")
    codec, rtx_payload_type = chosen
    ids = _extension_ids(section, codec, features, slot=False)
    declared = _declared(section)
    if ids.mid is None and declared is None:
        raise unsupported(
            f"Section {section.mid} has no mid header extension and names no SSRC; its packets could not be "
            "recognised."
        )
    rids = section.rids
    if rids != tuple(rid for rid in RIDS if rid in rids):
        raise unsupported(f"The simulcast layers of section {section.mid} are not t, m, f from low to high.")
    if rids and (section.kind == "audio" or ids.rid is None):
        raise unsupported(
            f"Section {section.mid} has simulcast layers, but is audio or lacks the rid header extension."
        )
    if before is not None and rids != before.rids:
        raise unsupported(f"Section {section.mid} changes its simulcast layers.")
    sealed = section.sealed == "send"
    if before is not None and sealed != before.sealed:
        raise unsupported(f"Section {section.mid} changes its form.")
    if sealed and section.kind == "video" and ids.dependency_descriptor is None:
        raise unsupported(
            f"Section {section.mid} is sealed and has no dependency descriptor; nobody could begin to watch."
        )
    return SenderSection(
        mid=section.mid,
        source=source,
        kind=section.kind,
        payload_type=codec.payload_type,
        rtx_payload_type=rtx_payload_type,
        clock_rate=codec.clock_rate,
        codec=codec.name,
        rids=rids,
        extension_ids=ids,
        feedback=_feedback(section, codec, rtx_payload_type, ids.transport_cc, features, tmmbr=True),
        active=section.direction != "inactive",
        stream_id=section.stream_id,
        ssrcs=() if sealed else section.ssrcs,
        declared=declared,
        sealed=sealed,
    )


def _declared(section: Section) -> tuple[int, int] | None:
    """SSRC and that of its RTX (0: none) of a sender of one encoding that names them and no others."""
    if section.rids or section.sealed:
        return None
    if section.repairs:
        alone = len(section.repairs) == 1 and set(section.ssrcs) <= set(section.repairs[0])
        return section.repairs[0] if alone else None
    return (section.ssrcs[0], 0) if len(section.ssrcs) == 1 and section.ssrcs[0] else None


def _opened(section: Section, features: Features, was_slot: bool) -> SlotSection:
    """A section in which sealed sources arrive: as a slot, but of no pair and without an SSRC of ours."""
    slot = _slot(section, features, None)
    if slot is None or was_slot or section.direction in ("sendonly", "sendrecv") or section.sealed != "recv":
        raise unsupported(f"Section {section.mid} cannot take sealed sources.")
    return slot


def _slot(section: Section, features: Features, pair: int | None) -> SlotSection | None:
    chosen = _codec(section, features)
    if chosen is None:
        return None
    codec, rtx_payload_type = chosen
    ids = _extension_ids(section, codec, features, slot=True)
    return SlotSection(
        mid=section.mid,
        kind=section.kind,
        pair=pair,
        payload_type=codec.payload_type,
        rtx_payload_type=rtx_payload_type,
        clock_rate=codec.clock_rate,
        codec=codec.name,
        extension_ids=ids,
        feedback=_feedback(section, codec, rtx_payload_type, ids.transport_cc, features),
        active=section.direction != "inactive",
    )


def _new_slot(section: Section, features: Features, alike: dict[object, SlotSection]) -> SlotSection | None:
    """As `_slot`, which browsers offer many alike of: it is worked out once for those in `alike`."""
    # All it depends on but the features; codecs and extensions that were read once are the very same.
    key = section.kind, section.direction, bool(section.rids), id(section.codecs), id(section.extensions)
    known = alike.get(key)
    if known is not None:
        return replace(known, mid=section.mid)
    slot = _slot(section, features, None)
    if slot is not None:
        alike[key] = slot
    return slot


def _kept_slot(section: Section, features: Features, before: SlotSection) -> SlotSection:
    slot = _slot(section, features, before.pair)
    if section.kind != before.kind or section.direction in ("sendonly", "sendrecv") or slot is None:
        raise unsupported(
            f"Section {section.mid} was a receive slot for {before.kind} and cannot become another thing."
        )
    return slot
