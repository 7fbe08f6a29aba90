"""Sealed sources (docs/protocol.md section 11): who opens whose, which forms are needed, what is told.

A sealed source is on no slot: each receiver that can open it has one row for it, for as long as both are
there, because its indices are those of the source's own SSRCs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from control.protocol import limits, names
from control.protocol.allocation import Row
from control.protocol.member import Member
from control.protocol.rates import encoding_names
from control.protocol.rows import SourceKind
from control.protocol.sdp_agreement import SenderSection, SlotSection
from control.protocol.transport import SealedSource, Sink, Transport

KINDS: Final = {source: SourceKind(number) for number, source in enumerate(names.SOURCES)}
# Greatest inner index by source and encoding, as workers told it.
Inner = Mapping[tuple[SealedSource, int], int]


@dataclass(frozen=True, slots=True)
class Opened:
    """One sealed source that a receiver is given."""

    member: int
    source: str
    origin: SealedSource
    row: Row  # of the source, on the receiver's worker
    section: SlotSection  # in which it arrives
    sink: Sink
    ssrcs: tuple[int, ...]
    names: tuple[str, ...]


def arrives_in(receiver: Transport, kind: str) -> SlotSection | None:
    """The receiver's section for sealed sources of a kind."""
    return next((each for each in receiver.agreement.opened if each.kind == kind and each.active), None)


def sealed_sections(sender: Member) -> list[SenderSection]:
    """What it sends sealed, once it can."""
    return list(sender.transport.sealed.values()) if sender.call.secured else []


def assign(members: Mapping[int, Member]) -> list[tuple[Transport, Row]]:
    """Gives each receiver a row for every sealed source that it can open; the rows of those that are gone.

    The rows returned, each with whose it was, are free once the table no longer has them.
    """
    live = {
        sender.transport.sealed_source(section.mid)
        for sender in members.values()
        for section in sealed_sections(sender)
    }
    gone: list[tuple[Transport, Row]] = []
    for receiver in members.values():
        for transport in receiver.connections:
            gone += [(transport, row) for row in transport.forget_sealed(live)]
        if not receiver.call.secured or not receiver.transport.agreement.opened:
            continue
        for sender in members.values():
            if sender is receiver:
                continue
            for section in sealed_sections(sender):
                there = sender.transport.source_on(receiver.transport.id.worker, section.mid)
                if there is not None and arrives_in(receiver.transport, section.kind) is not None:
                    source = sender.transport.sealed_source(section.mid)
                    receiver.transport.take_sealed(source, sender.transport.sealed_ssrcs[section.mid])
    return gone


def sealed_of(receiver: Member, sender: Member, source: str, over: Transport | None = None) -> Opened | None:
    """How the receiver is given a source sealed; None: on a slot, as frames.

    `over`: another connection of the receiver than the one it talks over.
    """
    transport = receiver.transport if over is None else over
    section = sender.transport.sealed.get(source)
    if section is None or sender is receiver or not sender.call.secured:
        return None
    origin = sender.transport.sealed_source(section.mid)
    sink = transport.sealed_sinks.get(origin)
    arrives = arrives_in(transport, section.kind)
    row = sender.transport.source_on(transport.id.worker, section.mid)  # None: no room there
    if sink is None or arrives is None or row is None or not receiver.call.secured:
        return None
    ssrcs = tuple(ssrc for ssrc, _ in sender.transport.sealed_ssrcs[section.mid])
    return Opened(sender.number, source, origin, row, arrives, sink, ssrcs, encoding_names(section))


def needed_forms(sender: Member, members: Mapping[int, Member]) -> dict[str, list[str]]:
    """By source that has a sealed form: the forms that somebody is given."""
    others = [each for each in members.values() if each is not sender and each.call.secured]
    forms = {}
    for source in sender.transport.sealed:
        given = [sealed_of(other, sender, source) is not None for other in others]
        frames = [names.FRAMES] if not all(given) else []
        forms[source] = frames + ([names.SEALED_FORM] if any(given) else [])
    return forms


def content(opened: tuple[Opened, ...], inner: Inner) -> list[dict[str, Any]]:
    """`sources` of P.sealed."""
    return [
        {
            "member": each.member,
            "source": each.source,
            "mid": each.section.mid,
            "rtx_ssrc": each.sink.rtx_ssrc or None,
            "encodings": {
                name: {"ssrc": ssrc, "index": inner.get((each.origin, number))}
                for number, (name, ssrc) in enumerate(zip(each.names, each.ssrcs, strict=True))
            },
        }
        for each in opened
    ]


def worth_saying(told: list[dict[str, Any]] | None, now: list[dict[str, Any]]) -> bool:
    """Another assignment, or an index so far on that a receiver would soon guess wrong."""
    if told is None:
        return bool(now)
    if _without_indices(told) != _without_indices(now):
        return True
    for before, after in zip(told, now, strict=True):
        for name, encoding in after["encodings"].items():
            known, index = before["encodings"][name]["index"], encoding["index"]
            if index is not None and (known is None or index - known >= limits.INNER_INDEX_STEP):
                return True
    return False


def _without_indices(sources: list[dict[str, Any]]) -> list[Any]:
    return [
        (
            *(each[name] for name in ("member", "source", "mid", "rtx_ssrc")),
            *((name, encoding["ssrc"]) for name, encoding in each["encodings"].items()),
        )
        for each in sources
    ]
