"""What one member gets to see: which source each of its slots carries, in which encoding."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from control.protocol import names
from control.protocol.member import FULL, Member, position
from control.protocol.rows import NONE, SinkRow, SourceKind
from control.protocol.sdp_negotiate import SenderSection, SlotSection
from control.protocol.sending import Encoding
from control.protocol.slots import Occupant

# What a pair carries, by the kind of slot.
_CARRIED: Final = {
    ("audio", False): "audio",
    ("video", False): "camera",
    ("audio", True): "screen_audio",
    ("video", True): "screen",
}
KINDS: Final = {source: SourceKind(number) for number, source in enumerate(names.SOURCES)}
# Who keeps its rate when there is too little: voices, then what is looked at, then the others. Room between
# for later.
_PRIORITY_AUDIO: Final = 200
_PRIORITY_FULL: Final = 100
_PRIORITY_THUMBNAIL: Final = 50


@dataclass(frozen=True, slots=True)
class View:
    """Of one receiver. A value, worked out anew only when `key` changes."""

    key: object
    sinks: Mapping[int, SinkRow]  # rows of its slots by handle
    slots: list[dict[str, Any]]  # P.slots
    wanted: frozenset[tuple[int, Encoding]]  # what it should get: (member number, (source, rid))


def view_key(receiver: Member, members: Mapping[int, Member]) -> object:
    """Everything `see` depends on."""
    versions = tuple((pair, who, members[who.member].version) for pair, who in receiver.pairs.items())
    return receiver.version, receiver.wishes, versions


def see(receiver: Member, members: Mapping[int, Member]) -> View:
    """The view of a receiver whose slot pairs are assigned."""
    sinks: dict[int, SinkRow] = {}
    slots: list[dict[str, Any]] = []
    wanted: set[tuple[int, Encoding]] = set()
    for slot in receiver.transport.agreement.slots:
        carrying = _carrying(receiver, slot, members)
        sinks[receiver.transport.sinks[slot.mid].row.handle] = _sink_row(receiver, slot, carrying)
        said: dict[str, Any] = {"mid": slot.mid, "member": None, "source": None}
        if carrying is not None:
            member, section = carrying
            # A slot never names somebody the roster does not have yet.
            if member.present:
                said = {"mid": slot.mid, "member": member.number, "source": section.source}
            if section.rids:
                level = receiver.level((member.number, section.source)) or 0
                wanted.add((member.number, (section.source, section.rids[position(section.rids, level)])))
        slots.append(said)
    return View(view_key(receiver, members), sinks, slots, frozenset(wanted))


def occupants(members: Mapping[int, Member]) -> list[Occupant]:
    """Who needs a slot pair of the others, in the order in which they get one: people first, then screens."""
    secured = [member for _, member in sorted(members.items()) if member.call.secured]
    sharing = [each for each in secured if not {"screen", "screen_audio"}.isdisjoint(each.transport.senders)]
    return [Occupant(each.number) for each in secured] + [
        Occupant(each.number, screen=True) for each in sharing
    ]


def wanted_encodings(members: Mapping[int, Member], views: Iterable[View]) -> dict[int, set[Encoding]]:
    """By member number: what somebody should get of it.

    Higher encodings only while somebody has the source on a slot and asks for them; the lowest as soon as
    somebody might see it, so that a newcomer finds it running.
    """
    wanted: dict[int, set[Encoding]] = {number: set() for number in members}
    for number, sender in members.items():
        for source, section in sender.transport.senders.items():
            if section.rids and any(
                viewer is not sender and viewer.level((number, source)) is not None
                for viewer in members.values()
            ):
                wanted[number].add((source, section.rids[0]))
    for view in views:
        for number, encoding in view.wanted:
            wanted[number].add(encoding)
    return wanted


def _carrying(
    receiver: Member, slot: SlotSection, members: Mapping[int, Member]
) -> tuple[Member, SenderSection] | None:
    """Whom and what a slot should carry now."""
    occupant = receiver.pairs.get(slot.pair)
    if occupant is None or not slot.active or not receiver.call.secured:
        return None
    member = members[occupant.member]
    source = _CARRIED[slot.kind, occupant.screen]
    section = member.transport.senders.get(source)
    if section is None or not member.call.secured or receiver.level((member.number, source)) is None:
        return None
    return member, section


def _sink_row(receiver: Member, slot: SlotSection, carrying: tuple[Member, SenderSection] | None) -> SinkRow:
    transport = receiver.transport
    sink = transport.sinks[slot.mid]
    source, incarnation, encoding, priority = NONE, 0, 0, 0
    kind = SourceKind.AUDIO if slot.kind == "audio" else SourceKind.CAMERA
    if carrying is not None:
        member, section = carrying
        source, incarnation = member.transport.sources[section.mid]
        kind = KINDS[section.source]
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
