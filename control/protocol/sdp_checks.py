"""What an offer must keep to before it is looked into section by section: docs/protocol.md section 3.1.

One DTLS transport of which we are the server, one meaning for each number, and no section that changes its
place.
"""

from collections.abc import Sequence
from typing import Final

from control.protocol import limits
from control.protocol.sdp_agreement import EXTENSION_URIS, Agreement, SenderSection, SlotSection
from control.protocol.sdp_values import Fingerprint, Offer, malformed, unsupported

# RFC 8829 5.1.2 and what older browsers write. All of them mean DTLS-SRTP once a fingerprint is there.
MEDIA_PROTOCOLS: Final = frozenset({"UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "RTP/SAVPF"})
STRONG_DIGESTS: Final = frozenset({"sha-256", "sha-384", "sha-512"})


def check_transport(offer: Offer) -> None:
    """One DTLS transport for everything, of which we are the server."""
    if not strong_fingerprints(offer):
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


def check_mids(offer: Offer, previous: Agreement | None) -> None:
    """Sections stay where they are for the whole call (RFC 8829 5.2.2); only a closed one may be reused."""
    if previous is None:
        return
    if len(offer.sections) < len(previous.mids):
        raise malformed("The new offer has fewer sections than the one before.")
    if set(strong_fingerprints(offer)) != set(previous.fingerprints):
        raise unsupported("The new offer has another fingerprint; that needs a new call.")
    for section, mid in zip(offer.sections, previous.mids, strict=False):
        if section.mid != mid and not (section.closed or section.index in previous.rejected):
            raise unsupported(f"Section {section.index} has another a=mid than in the offer before.")


def strong_fingerprints(offer: Offer) -> tuple[Fingerprint, ...]:
    return tuple(each for each in offer.fingerprints if each.algorithm in STRONG_DIGESTS)


def check_identifiers(offer: Offer) -> None:
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


def check_sealed(senders: list[SenderSection], opened: list[SlotSection]) -> None:
    """Sections in which sealed sources arrive: one of a kind, and payload types of one meaning."""
    if len({each.kind for each in opened}) < len(opened):
        raise unsupported("Two sections take sealed sources of one kind.")
    check_payload_types([*senders, *opened])


def check_roles(senders: list[SenderSection], slots: list[SlotSection]) -> None:
    sources = [(sender.source, sender.sealed) for sender in senders]
    for source, sealed in sources:
        if sources.count((source, sealed)) > 1:
            raise unsupported(f"Two sections send the source {source}; one of each is possible.")
        if sealed and (source, False) not in sources:
            raise unsupported(f"The source {source} is sealed only; members that open frames need it, too.")
    named = [ssrc for sender in senders for ssrc in sender.declared or () if ssrc]
    if len(set(named)) < len(named):
        raise unsupported("Two sections name one SSRC.")
    if len(senders) > limits.SENDERS_MAX:
        raise unsupported(f"More than {limits.SENDERS_MAX} sections send.")
    loudest = sum(slot.pair is None for slot in slots)
    highest = max((slot.pair for slot in slots if slot.pair is not None), default=0)
    if highest >= limits.SLOT_MAX_PAIRS or loudest > limits.SLOT_MAX_LOUDEST:
        raise unsupported(f"More than {limits.SLOT_MAX_PAIRS} receive slots of one kind.")
    check_payload_types([*senders, *slots])


def check_payload_types(agreed: Sequence[SenderSection | SlotSection]) -> None:
    meanings: dict[int, str] = {}
    for section in agreed:
        for payload_type, meaning in (
            (section.payload_type, section.codec),
            (section.rtx_payload_type, "rtx"),
        ):
            if payload_type is not None and meanings.setdefault(payload_type, meaning) != meaning:
                raise unsupported(f"Payload type {payload_type} has two meanings in one BUNDLE group.")
