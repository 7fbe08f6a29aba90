"""What one member gets to see: which source each of its slots carries, in which encoding."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from control.protocol import names
from control.protocol.call import SECURED
from control.protocol.deals import Place, Shown
from control.protocol.member import Member
from control.protocol.rates import encoding_names
from control.protocol.rows import NONE, SinkRow, SourceKind
from control.protocol.sdp_agreement import SenderSection, SlotSection
from control.protocol.sealing import KINDS, Opened, sealed_of
from control.protocol.sending import Encoding
from control.protocol.slots import Occupant
from control.protocol.transport import Transport
from control.protocol.wishes import NO_WISH, Wish, position

# What a pair carries, by the kind of slot.
_CARRIED: Final = {
    ("audio", False): "audio",
    ("video", False): "camera",
    ("audio", True): "screen_audio",
    ("video", True): "screen",
}
_SCREENS: Final = frozenset({"screen", "screen_audio"})
# Who is served first when there is too little: voices; then, among what is in focus and again among the rest,
# by the receiver's own priority (0 to 9), screens before cameras, larger tiles before smaller ones.
_PRIORITY_AUDIO: Final = 200
_PRIORITY_STEP: Final = 20
_PRIORITY_SCREEN: Final = 10


@dataclass(frozen=True, slots=True)
class View:
    """Of one receiver. A value, worked out anew only when `key` changes."""

    key: object
    own: tuple[int, int, int, Mapping[int, Occupant]]  # of the receiver, in `key`
    watched: frozenset[int] | None  # the members that `key` is about; None = whoever there is
    sinks: Mapping[int, SinkRow]  # rows of its slots by handle
    slots: list[dict[str, Any]]  # P.slots
    sealed: tuple[Opened, ...]  # P.sealed
    shown: Mapping[Place, Shown]  # pictures it looks at
    named: frozenset[int]  # members that `slots` and `sealed` name
    wanted: frozenset[tuple[int, Encoding]]  # what it should get: (member number, (source, encoding))


def view_key(receiver: Member, members: Mapping[int, Member]) -> object:
    """Everything `see` depends on."""
    versions = tuple((pair, who, members[who.member].version) for pair, who in receiver.pairs.items())
    heard = tuple(members[who].version if who in members else -1 for who, _ in receiver.heard.values())
    sealed: tuple[object, ...] = ()
    if receiver.transport.agreement.opened:
        sealed = tuple((number, each.version) for number, each in members.items() if each.transport.sealed)
        sealed += tuple(receiver.transport.sealed_sinks.items())
    return receiver.version, receiver.wishes.version, receiver.heard_version, versions, heard, sealed


def is_current(view: View, receiver: Member, members: Mapping[int, Member], changed: Collection[int]) -> bool:
    """Would `see` make the same view again? `changed`: members whose version did since it was looked at."""
    if view.watched is not None and receiver.number not in changed:
        own = receiver.version, receiver.wishes.version, receiver.heard_version, receiver.pairs
        if own == view.own and view.watched.isdisjoint(changed):
            return True
    return view.key == view_key(receiver, members)


def see(receiver: Member, members: Mapping[int, Member]) -> View:
    """The view of a receiver whose slot pairs are assigned."""
    sinks: dict[int, SinkRow] = {}
    slots: list[dict[str, Any]] = []
    shown: dict[Place, Shown] = {}
    wanted: set[tuple[int, Encoding]] = set()
    for slot in receiver.transport.agreement.slots:
        carrying = _carrying(receiver, slot, members)
        sink = receiver.transport.sinks[slot.mid].row
        sinks[sink.handle] = _sink_row(receiver, receiver.transport, slot, carrying)
        if carrying is None:
            slots.append(_said(slot, _heard(receiver, sink.handle, members) if slot.pair is None else None))
            continue
        # A slot never names somebody the roster does not have yet.
        slots.append(_said(slot, (carrying.number, carrying.source) if carrying.member.present else None))
        if slot.kind == "video" and not carrying.wish.hidden:
            encodings = encoding_names(carrying.section)
            shown[slot.mid] = Shown(sink, carrying.number, carrying.source, encodings)
            name = encodings[position(carrying.section.rids, carrying.wish.level)]
            wanted.add((carrying.number, (carrying.source, name)))
    opened = tuple(_sealed(receiver, members, sinks, wanted, shown))
    if receiver.former is not None:
        # What it had before it moves over is shown there until it has moved.
        _other_sinks(receiver, receiver.former.transport, members, sinks, shows=True)
        list(_sealed(receiver, members, sinks, set(), {}, receiver.former.transport))
    if receiver.coming is not None:
        _other_sinks(receiver, receiver.coming.transport, members, sinks, shows=False)
    named = {slot["member"] for slot in slots if slot["member"] is not None}
    named |= {each.member for each in opened}
    watched = {who.member for who in receiver.pairs.values()} | {who for who, _ in receiver.heard.values()}
    watching_all = bool(receiver.transport.agreement.opened)
    return View(
        view_key(receiver, members),
        (receiver.version, receiver.wishes.version, receiver.heard_version, receiver.pairs),
        None if watching_all else frozenset(watched),
        sinks,
        slots,
        opened,
        shown,
        frozenset(named),
        frozenset(wanted),
    )


def _sealed(
    receiver: Member,
    members: Mapping[int, Member],
    sinks: dict[int, SinkRow],
    wanted: set[tuple[int, Encoding]],
    shown: dict[Place, Shown],
    over: Transport | None = None,
) -> Iterable[Opened]:
    """What it is given sealed; each has its row even while the receiver does not want it."""
    sealing = [(number, sender) for number, sender in members.items() if sender.transport.sealed]
    for _, sender in sorted(sealing):
        for source, section in sender.transport.sealed.items():
            opened = sealed_of(receiver, sender, source, over)
            if opened is None:
                continue
            wish = receiver.wishes.of((sender.number, source))
            sinks[opened.sink.row.handle] = _sealed_row(over or receiver.transport, opened, section, wish)
            if wish is None or not sender.present:
                continue
            if section.kind == "video" and not wish.hidden:
                name = opened.names[position(section.rids, wish.level)]
                wanted.add((sender.number, (sealed_name(source), name)))
                shown[sender.number, source] = Shown(opened.sink.row, sender.number, source, opened.names)
            yield opened


def sealed_name(source: str) -> str:
    """Of an encoding's sealed form among those that are viewed."""
    return f"{source} {names.SEALED_FORM}"


def _sealed_row(transport: Transport, opened: Opened, section: SenderSection, wish: Wish | None) -> SinkRow:
    arrives, kind = opened.section, KINDS[opened.source]
    priority, encoding = _PRIORITY_AUDIO, 0
    if wish is not None and section.kind == "video":
        encoding = position(section.rids, wish.level)
        screen = _PRIORITY_SCREEN if kind is SourceKind.SCREEN else 0
        priority = _PRIORITY_STEP * wish.priority + screen + wish.level
    return SinkRow(
        incarnation=opened.sink.row.incarnation,
        transport=transport.row.handle,
        transport_incarnation=transport.row.incarnation,
        source=NONE if wish is None else opened.row.handle,
        source_incarnation=0 if wish is None else opened.row.incarnation,
        ssrc=opened.sink.ssrc,
        rtx_ssrc=opened.sink.rtx_ssrc,
        kind=kind,
        clock_rate=arrives.clock_rate,
        payload_type=arrives.payload_type,
        rtx_payload_type=(arrives.rtx_payload_type or 0) if opened.sink.rtx_ssrc else 0,
        max_encoding=encoding,
        priority=priority,
        focus=section.kind == "video" and wish is not None and wish.focus,
        hidden=section.kind == "video" and wish is not None and wish.hidden,
        resend=section.kind == "audio" and "nack" in arrives.feedback,
        sealed=True,
    )


def _other_sinks(
    receiver: Member,
    transport: Transport,
    members: Mapping[int, Member],
    sinks: dict[int, SinkRow],
    shows: bool,
) -> None:
    for slot in transport.agreement.slots:
        carrying = _carrying(receiver, slot, members) if shows else None
        row = _sink_row(receiver, transport, slot, carrying)
        sinks[transport.sinks[slot.mid].row.handle] = row if shows else replace(row, loudest=False)


def occupants(members: Mapping[int, Member]) -> list[Occupant]:
    """Who needs a slot pair of the others, in the order in which they get one: people first, then screens."""
    secured = [number for number, member in members.items() if member.call.state in SECURED]
    secured.sort()
    sharing = [number for number in secured if not _SCREENS.isdisjoint(members[number].transport.senders)]
    return [Occupant(number) for number in secured] + [Occupant(number, screen=True) for number in sharing]


@dataclass(frozen=True, slots=True)
class _Carrying:
    """Whom and what a slot should carry, and how the receiver wants it."""

    member: Member
    section: SenderSection
    wish: Wish

    @property
    def number(self) -> int:
        return self.member.number

    @property
    def source(self) -> str:
        return self.section.source


def _said(slot: SlotSection, who: tuple[int, str] | None) -> dict[str, Any]:
    """One entry of P.slots."""
    member, source = who or (None, None)
    return {"mid": slot.mid, "member": member, "source": source}


def _heard(receiver: Member, sink: int, members: Mapping[int, Member]) -> tuple[int, str] | None:
    """Whom the worker put on a loudest slot; nobody who has left since, or has a pair by now."""
    who = receiver.heard.get(sink)
    if who is None:
        return None
    member = members.get(who[0])
    if member is None or not member.present or who[1] not in member.transport.senders:
        return None
    return None if Occupant(who[0], who[1] == "screen_audio") in receiver.pairs.values() else who


def _carrying(receiver: Member, slot: SlotSection, members: Mapping[int, Member]) -> _Carrying | None:
    occupant = receiver.pairs.get(slot.pair) if slot.pair is not None else None
    if occupant is None or not slot.active or not receiver.call.secured:
        return None
    member = members[occupant.member]
    source = _CARRIED[slot.kind, occupant.screen]
    section = member.transport.senders.get(source)
    wish = receiver.wishes.of((member.number, source))
    if section is None or not member.call.secured or wish is None:
        return None
    if sealed_of(receiver, member, source) is not None:
        return None  # comes on no slot
    return _Carrying(member, section, wish)


def _sink_row(
    receiver: Member, transport: Transport, slot: SlotSection, carrying: _Carrying | None
) -> SinkRow:
    sink = transport.sinks[slot.mid]
    source, incarnation, encoding, wish = NONE, 0, 0, NO_WISH
    kind = SourceKind.AUDIO if slot.kind == "audio" else SourceKind.CAMERA
    priority = _PRIORITY_AUDIO if slot.kind == "audio" else 0
    if carrying is not None:
        row = carrying.member.transport.source_on(transport.id.worker, carrying.section.mid)
        if row is not None:
            source, incarnation = row
        kind = KINDS[carrying.source]
        if slot.kind == "video":
            wish = carrying.wish
            encoding = position(carrying.section.rids, wish.level)
            screen = _PRIORITY_SCREEN if kind is SourceKind.SCREEN else 0
            priority = _PRIORITY_STEP * wish.priority + screen + wish.level
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
        focus=wish.focus,
        hidden=wish.hidden,
        resend=slot.kind == "audio" and "nack" in slot.feedback,
        loudest=slot.pair is None and slot.active and receiver.call.secured,
    )
