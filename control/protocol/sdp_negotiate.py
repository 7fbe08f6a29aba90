"""What we agree to of an offer: which section is which source or slot, with which codec and extensions.

docs/protocol.md sections 3.1 and 3.2. Conference, table and answer are made of the agreement; a re-offer is
read against the one before, so that nothing that plays changes its place.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

from control.protocol import limits
from control.protocol.sdp_agreement import (
    EXTENSION_URIS,
    Agreement,
    DataSection,
    ExtensionIds,
    Features,
    SenderSection,
    SlotSection,
)
from control.protocol.sdp_values import Codec, Fingerprint, Offer, Section, malformed, unsupported

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
SLOT_EXTENSIONS: Final = frozenset({"mid", "audio_level", "abs_send_time"})
# The one codec of each kind, and the rids of a simulcast sender from low to high.
CODECS: Final = {"audio": ("opus", 48000), "video": ("vp8", 90000)}
RIDS: Final = ("t", "m", "f")
# RFC 8829 5.1.2 and what older browsers write. All of them mean DTLS-SRTP once a fingerprint is there.
MEDIA_PROTOCOLS: Final = frozenset({"UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "RTP/SAVPF"})
DATA_PROTOCOLS: Final = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"})
STRONG_DIGESTS: Final = frozenset({"sha-256", "sha-384", "sha-512"})
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
    _check_transport(offer)
    _check_mids(offer, previous)
    _check_identifiers(offer)
    senders: list[SenderSection] = []
    slots: list[SlotSection] = []
    data: DataSection | None = None
    idle: list[str] = []
    rejected: list[int] = []
    sender_before = {sender.mid: sender for sender in previous.senders} if previous else {}
    slot_before = {slot.mid: slot for slot in previous.slots} if previous else {}
    open_mids = {section.mid for section in offer.sections if not section.closed}
    pairs = {(slot.kind, slot.pair) for slot in slot_before.values() if slot.mid in open_mids}
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
        elif section.mid in sender_before:
            senders.append(_sender(section, metadata, features, sender_before[section.mid]))
        elif section.mid in slot_before:
            slots.append(_kept_slot(section, features, slot_before[section.mid]))
        elif section.direction in ("sendonly", "sendrecv"):
            senders.append(_sender(section, metadata, features, None))
        elif section.direction == "inactive":
            idle.append(section.mid)
        else:
            pair = next(
                pair for pair in range(limits.SDP_MAX_SECTIONS + 1) if (section.kind, pair) not in pairs
            )
            slot = _slot(section, features, pair)
            if slot is None:
                rejected.append(section.index)
            else:
                pairs.add((section.kind, pair))
                slots.append(slot)
    if data is None:
        raise unsupported("The offer has no data channel section.")
    _check_roles(senders, slots)
    return Agreement(
        ice_ufrag=offer.ice_ufrag,
        ice_pwd=offer.ice_pwd,
        fingerprints=_strong(offer),
        ice_restart=previous is not None
        and (offer.ice_ufrag, offer.ice_pwd) != (previous.ice_ufrag, previous.ice_pwd),
        senders=tuple(senders),
        slots=tuple(slots),
        data=data,
        idle=tuple(idle),
        rejected=tuple(rejected),
        mids=tuple(section.mid for section in offer.sections),
        revision=1 if previous is None else previous.revision + 1,
    )


def _check_transport(offer: Offer) -> None:
    """One DTLS transport for everything, of which we are the server."""
    if not _strong(offer):
        raise unsupported(
            "The offer's fingerprints are too weak; one of sha-256, sha-384 or sha-512 is needed."
        )
    if offer.setup not in ("actpass", "active"):
        raise unsupported(
            "The offer's a=setup is neither actpass nor active; the focus must be the DTLS server."
        )
    for section in offer.sections:
        if section.closed:
            continue
        if section.crypto:
            raise unsupported(
                f"Section {section.index} has a=crypto; SDES keys are not used, only DTLS-SRTP."
            )
        if section.kind in ("audio", "video"):
            if section.protocol not in MEDIA_PROTOCOLS:
                raise unsupported(
                    f"Section {section.index} is not DTLS-SRTP with feedback (UDP/TLS/RTP/SAVPF)."
                )
            if not section.rtcp_mux:
                raise unsupported(
                    f"Section {section.index} has no a=rtcp-mux; RTP and RTCP must share one port."
                )
            if section.msids > 1:
                raise unsupported(
                    f"Section {section.index} carries several tracks (plan B); one per section is needed."
                )
        if section.setup is not None and section.setup != offer.setup:
            raise unsupported(f"Section {section.index} asks for another DTLS role than its BUNDLE group.")
        if section.fingerprints and set(section.fingerprints) != set(offer.fingerprints):
            raise unsupported(f"Section {section.index} has another fingerprint than its BUNDLE group.")
        if (section.ice_ufrag or offer.ice_ufrag, section.ice_pwd or offer.ice_pwd) != (
            offer.ice_ufrag,
            offer.ice_pwd,
        ):
            raise unsupported(f"Section {section.index} has other ICE credentials than its BUNDLE group.")


def _check_mids(offer: Offer, previous: Agreement | None) -> None:
    """Sections stay where they are for the whole call (RFC 8829 5.2.2); only a closed one may be reused."""
    if previous is None:
        return
    if len(offer.sections) < len(previous.mids):
        raise malformed("The new offer has fewer sections than the one before.")
    if set(_strong(offer)) != set(previous.fingerprints):
        raise unsupported("The new offer has another fingerprint; that needs a new call.")
    for section, mid in zip(offer.sections, previous.mids, strict=False):
        if section.mid != mid and not (section.closed or section.index in previous.rejected):
            raise unsupported(f"Section {section.index} has another a=mid than in the offer before.")


def _strong(offer: Offer) -> tuple[Fingerprint, ...]:
    return tuple(each for each in offer.fingerprints if each.algorithm in STRONG_DIGESTS)


def _check_identifiers(offer: Offer) -> None:
    """Within a BUNDLE group one header extension id is one URI and the other way round (RFC 8843 9.3, 10)."""
    ids: dict[str, int] = {}
    extensions = [extension for section in offer.sections for extension in section.extensions]
    for extension in extensions:
        known = extension.uri in EXTENSION_URIS.values()
        if known and ids.setdefault(extension.uri, extension.id) != extension.id:
            raise unsupported(f"Header extension {extension.uri} has two ids in one BUNDLE group.")
    uris = {number: uri for uri, number in ids.items()}
    for extension in extensions:
        if uris.get(extension.id, extension.uri) != extension.uri:
            raise unsupported(f"Header extension id {extension.id} has two meanings in one BUNDLE group.")


def _check_roles(senders: list[SenderSection], slots: list[SlotSection]) -> None:
    sources = [sender.source for sender in senders]
    for source in sources:
        if sources.count(source) > 1:
            raise unsupported(f"Two sections send the source {source}; one of each is possible.")
    if any(slot.pair >= limits.SLOT_MAX_PAIRS for slot in slots):
        raise unsupported(f"More than {limits.SLOT_MAX_PAIRS} receive slots of one kind.")
    meanings: dict[int, str] = {}
    agreed: list[SenderSection | SlotSection] = [*senders, *slots]
    for section in agreed:
        for payload_type, meaning in (
            (section.payload_type, section.codec),
            (section.rtx_payload_type, "rtx"),
        ):
            if payload_type is not None and meanings.setdefault(payload_type, meaning) != meaning:
                raise unsupported(f"Payload type {payload_type} has two meanings in one BUNDLE group.")


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
    section: Section, codec: Codec, rtx: int | None, transport_cc: int | None = None
) -> tuple[str, ...]:
    """`rtx` and `transport_cc`: the payload type and the extension id they were agreed with."""
    wanted = [] if transport_cc is None else ["transport-cc"]
    if section.kind == "video":
        wanted += ["goog-remb", "ccm fir", "nack pli"] + (["nack"] if rtx is not None else [])
    return tuple(each for each in wanted if each in codec.feedback)


def _extension_ids(section: Section, codec: Codec, features: Features, slot: bool) -> ExtensionIds:
    """Those the member offers in the direction in which they are needed."""
    ids: dict[str, int] = {}
    by_uri = {extension.uri: extension for extension in section.extensions}
    for name in (each.name for each in fields(ExtensionIds)):
        extension = by_uri.get(EXTENSION_URIS[name])
        if extension is None or extension.direction not in ("sendrecv", "recvonly" if slot else "sendonly"):
            continue
        # Our own packets keep to the one-byte form of RFC 8285, which ends at id 14.
        if slot and (name not in SLOT_EXTENSIONS or extension.id > 14):
            continue
        if name in ("rid", "repaired_rid") and not section.rids:
            continue
        if name == "transport_cc" and not (features.transport_cc_up and "transport-cc" in codec.feedback):
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
    chosen = _codec(section, features)
    if chosen is None:
        raise unsupported(f"Section {section.mid} sends {section.kind} without {CODECS[section.kind][0]}.")
    codec, rtx_payload_type = chosen
    ids = _extension_ids(section, codec, features, slot=False)
    if ids.mid is None:
        raise unsupported(
            f"Section {section.mid} has no mid header extension; its packets could not be recognised."
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
        feedback=_feedback(section, codec, rtx_payload_type, ids.transport_cc),
        active=section.direction != "inactive",
        stream_id=section.stream_id,
        ssrcs=section.ssrcs,
    )


def _slot(section: Section, features: Features, pair: int) -> SlotSection | None:
    chosen = _codec(section, features)
    if chosen is None:
        return None
    codec, rtx_payload_type = chosen
    return SlotSection(
        mid=section.mid,
        kind=section.kind,
        pair=pair,
        payload_type=codec.payload_type,
        rtx_payload_type=rtx_payload_type,
        clock_rate=codec.clock_rate,
        codec=codec.name,
        extension_ids=_extension_ids(section, codec, features, slot=True),
        feedback=_feedback(section, codec, rtx_payload_type),
        active=section.direction != "inactive",
    )


def _kept_slot(section: Section, features: Features, before: SlotSection) -> SlotSection:
    slot = _slot(section, features, before.pair)
    if section.kind != before.kind or section.direction in ("sendonly", "sendrecv") or slot is None:
        raise unsupported(
            f"Section {section.mid} was a receive slot for {before.kind} and cannot become another thing."
        )
    return slot
