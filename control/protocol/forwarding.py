"""What a conference compiles to: rows of the fast path's table by handle, and what changed of them.

Subscriptions, mute states and slot pairs exist only on this side; the fast path sees sinks that want
sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from control.protocol import limits, names
from control.protocol.events import PublishRoutes
from control.protocol.member import FULL, Member, position
from control.protocol.rows import NONE, Codec, SinkRow, SourceKind, SourceRow, TransportRow
from control.protocol.sdp_negotiate import SenderSection, SlotSection
from control.protocol.slots import Occupant

# What a pair carries, by the kind of slot.
_CARRIED: Final = {
    ("audio", False): "audio",
    ("video", False): "camera",
    ("audio", True): "screen_audio",
    ("video", True): "screen",
}
_KINDS: Final = {source: SourceKind(number) for number, source in enumerate(names.SOURCES)}
_CODECS: Final = {"opus": Codec.OPUS, "vp8": Codec.VP8}
# Who keeps its rate when there is too little: voices, then what is looked at, then the others. Room
# between for later.
_PRIORITY_AUDIO: Final = 200
_PRIORITY_FULL: Final = 100
_PRIORITY_THUMBNAIL: Final = 50


@dataclass(frozen=True, slots=True)
class Routes:
    """Rows of one conference by handle."""

    transports: Mapping[int, TransportRow] = field(default_factory=dict)
    sources: Mapping[int, SourceRow] = field(default_factory=dict)
    sinks: Mapping[int, SinkRow] = field(default_factory=dict)


def carried(receiver: Member, members: Mapping[int, Member]) -> dict[str, tuple[Member, SenderSection]]:
    """By mid of the receiver's slots: the member and the section of it that the slot should carry now."""
    found: dict[str, tuple[Member, SenderSection]] = {}
    if not receiver.call.secured:
        return found
    for slot in receiver.transport.agreement.slots:
        occupant = receiver.pairs.get(slot.pair) if slot.active else None
        member = members.get(occupant.member) if occupant else None
        if occupant is None or member is None or not member.call.secured:
            continue
        source = _CARRIED[slot.kind, occupant.screen]
        section = member.transport.sender(source)
        if section is not None and receiver.level((member.number, source)) is not None:
            found[slot.mid] = (member, section)
    return found


def occupants(receiver: Member, members: Mapping[int, Member]) -> list[Occupant]:
    """Who needs a slot pair of a receiver, in the order in which they get one: people first, then screens."""
    others = [
        member
        for number, member in sorted(members.items())
        if number != receiver.number and member.call.secured
    ]
    sharing = [
        each for each in others if each.transport.sender("screen") or each.transport.sender("screen_audio")
    ]
    return [Occupant(each.number) for each in others] + [
        Occupant(each.number, screen=True) for each in sharing
    ]


def wanted_encodings(members: Mapping[int, Member]) -> dict[int, set[tuple[str, str]]]:
    """By member number: the (source, rid) that somebody should get.

    Higher ones only while somebody has the source on a slot and asks for them; the lowest as soon as
    somebody might see it, so that a newcomer finds it running.
    """
    wanted: dict[int, set[tuple[str, str]]] = {number: set() for number in members}
    for sender in members.values():
        for section in sender.transport.agreement.senders:
            if (
                section.active
                and section.rids
                and any(
                    viewer is not sender and viewer.level((sender.number, section.source)) is not None
                    for viewer in members.values()
                )
            ):
                wanted[sender.number].add((section.source, section.rids[0]))
    for viewer in members.values():
        for member, section in carried(viewer, members).values():
            level = viewer.level((member.number, section.source))
            if section.rids and level is not None:
                wanted[member.number].add((section.source, section.rids[position(section.rids, level)]))
    return wanted


def compile_routes(members: Mapping[int, Member], conference: int) -> Routes:
    """The rows of a conference; `conference` is the number its transports are grouped by."""
    transports: dict[int, TransportRow] = {}
    sources: dict[int, SourceRow] = {}
    sinks: dict[int, SinkRow] = {}
    for member in members.values():
        transports[member.transport.row.handle] = _transport_row(member, conference)
        for section in member.transport.agreement.senders:
            sources[member.transport.sources[section.mid].handle] = _source_row(member, section)
        carrying = carried(member, members)
        for slot in member.transport.agreement.slots:
            row = _sink_row(member, slot, carrying.get(slot.mid))
            sinks[member.transport.sinks[slot.mid].row.handle] = row
    return Routes(transports, sources, sinks)


def diff(worker: int, old: Routes, new: Routes) -> PublishRoutes | None:
    """What turns `old` into `new`; None when they are the same."""
    change = PublishRoutes(
        worker=worker,
        transports={
            handle: row for handle, row in new.transports.items() if old.transports.get(handle) != row
        },
        sources={handle: row for handle, row in new.sources.items() if old.sources.get(handle) != row},
        sinks={handle: row for handle, row in new.sinks.items() if old.sinks.get(handle) != row},
        gone_transports=frozenset(old.transports.keys() - new.transports.keys()),
        gone_sources=frozenset(old.sources.keys() - new.sources.keys()),
        gone_sinks=frozenset(old.sinks.keys() - new.sinks.keys()),
    )
    nothing = PublishRoutes(worker, {}, {}, {})
    return None if change == nothing else change


def _transport_row(member: Member, conference: int) -> TransportRow:
    transport = member.transport
    return TransportRow(
        incarnation=transport.row.incarnation,
        conference=conference,
        ice=transport.ice,
        keys=transport.keys,
        rtcp_ssrc=transport.rtcp_ssrc,
        remb_bps=limits.REMB_BPS,
        sources=tuple(transport.sources[section.mid].handle for section in transport.agreement.senders),
        ext=transport.extensions,
    )


def _source_row(member: Member, section: SenderSection) -> SourceRow:
    transport = member.transport
    return SourceRow(
        incarnation=transport.sources[section.mid].incarnation,
        transport=transport.row.handle,
        transport_incarnation=transport.row.incarnation,
        member=member.number,
        kind=_KINDS[section.source],
        codec=_CODECS[section.codec],
        clock_rate=section.clock_rate,
        payload_type=section.payload_type,
        rtx_payload_type=section.rtx_payload_type or 0,
        muted=section.source in member.muted,
        mid=section.mid,
        # SSRCs are learnt from mid and rid: those of an offer may be of encodings in any order, and may
        # change.
        rids=section.rids,
    )


def _sink_row(receiver: Member, slot: SlotSection, carrying: tuple[Member, SenderSection] | None) -> SinkRow:
    transport = receiver.transport
    sink = transport.sinks[slot.mid]
    source, incarnation, encoding, priority = NONE, 0, 0, 0
    kind = SourceKind.AUDIO if slot.kind == "audio" else SourceKind.CAMERA
    if carrying is not None:
        member, section = carrying
        source, incarnation = member.transport.sources[section.mid]
        kind = _KINDS[section.source]
        level = receiver.level((member.number, section.source)) or 0
        encoding = position(section.rids, level)
        if slot.kind == "audio":
            priority = _PRIORITY_AUDIO
        else:
            priority = _PRIORITY_FULL if level == FULL else _PRIORITY_THUMBNAIL + level
    return SinkRow(
        incarnation=sink.row.incarnation,
        transport=transport.row.handle,
        transport_incarnation=transport.row.incarnation,
        source=source,
        source_incarnation=incarnation,
        ssrc=sink.ssrc,
        rtx_ssrc=sink.rtx_ssrc,
        kind=kind,
        clock_rate=slot.clock_rate,
        payload_type=slot.payload_type,
        rtx_payload_type=slot.rtx_payload_type or 0,
        max_encoding=encoding,
        priority=priority,
    )
