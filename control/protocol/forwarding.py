"""What a conference compiles to: rows of the fast path's table by handle, and what changed of them.

Subscriptions, mute states and slot pairs exist only on this side; the fast path sees sinks that want
sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from control.protocol.allocation import Row
from control.protocol.events import PublishRoutes
from control.protocol.member import Member
from control.protocol.rates import Rates
from control.protocol.rows import Codec, ExtensionIds, SinkRow, SourceRow, TransportRow
from control.protocol.sdp_agreement import SenderSection
from control.protocol.sealing import KINDS
from control.protocol.transport import CompiledTransport, Transport
from control.protocol.view import View, see

_CODECS = {"opus": Codec.OPUS, "vp8": Codec.VP8}
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Routes:
    """Rows of one conference on one worker by handle."""

    transports: Mapping[int, TransportRow] = field(default_factory=dict)
    sources: Mapping[int, SourceRow] = field(default_factory=dict)
    sinks: Mapping[int, SinkRow] = field(default_factory=dict)


@dataclass(slots=True)
class _Compiling:
    """Routes that are being made."""

    transports: dict[int, TransportRow] = field(default_factory=dict)
    sources: dict[int, SourceRow] = field(default_factory=dict)
    sinks: dict[int, SinkRow] = field(default_factory=dict)


def compile_routes(
    members: Mapping[int, Member],
    conference: int,
    rates: Rates,
    views: Mapping[int, View] | None = None,
    strangers: Mapping[tuple[int, int], Row] | None = None,
) -> dict[int, Routes]:
    """The rows of a conference by worker; `conference` is the number its transports are grouped by.

    `views` by member number, where they are known already. `strangers`: the rows that stand on one worker for
    the members of another.
    """
    made: dict[int, _Compiling] = {}
    parts = [compile_strangers(strangers or {}, conference)]
    for number, member in members.items():
        view = see(member, members) if views is None else views[number]
        parts.append(compile_member(member, conference, rates, view))
    for part in parts:
        for worker, routes in part.items():
            here = made.setdefault(worker, _Compiling())
            here.transports.update(routes.transports)
            here.sources.update(routes.sources)
            here.sinks.update(routes.sinks)
    return _routes(made)


def compile_member(member: Member, conference: int, rates: Rates, view: View) -> dict[int, Routes]:
    """The rows of one member by worker, the very same as before where nothing changed."""
    made: dict[int, _Compiling] = {}
    for transport in member.connections:
        compiled = _compile_transport(member, transport, conference, rates)
        here = made.setdefault(transport.id.worker, _Compiling())
        here.transports[transport.row.handle] = compiled.transport
        here.sources.update(compiled.sources)
        for worker, rows in compiled.foreign.items():
            made.setdefault(worker, _Compiling()).sources.update(rows)
    made[member.transport.id.worker].sinks.update(view.sinks)
    return _routes(made)


def compile_strangers(strangers: Mapping[tuple[int, int], Row], conference: int) -> dict[int, Routes]:
    """The rows that stand on one worker (first) for the members of another (second), by worker."""
    made: dict[int, _Compiling] = {}
    for (on, whose), row in strangers.items():
        there = made.setdefault(on, _Compiling())
        there.transports[row.handle] = _strangers_row(row, whose, conference)
    return _routes(made)


def diff(worker: int, old: Routes, new: Routes) -> PublishRoutes | None:
    """What turns `old` into `new`; None when they are the same."""
    change = PublishRoutes(
        worker=worker,
        transports=_changed(old.transports, new.transports),
        sources=_changed(old.sources, new.sources),
        sinks=_changed(old.sinks, new.sinks),
        gone_transports=frozenset(old.transports.keys() - new.transports.keys()),
        gone_sources=frozenset(old.sources.keys() - new.sources.keys()),
        gone_sinks=frozenset(old.sinks.keys() - new.sinks.keys()),
    )
    nothing = PublishRoutes(worker, {}, {}, {})
    return None if change == nothing else change


def _routes(made: Mapping[int, _Compiling]) -> dict[int, Routes]:
    return {worker: Routes(each.transports, each.sources, each.sinks) for worker, each in made.items()}


def _changed(old: Mapping[int, _Row], new: Mapping[int, _Row]) -> dict[int, _Row]:
    # Most rows are the very same value: comparing identities first makes this ten times faster.
    return {
        handle: row for handle, row in new.items() if (before := old.get(handle)) is not row and before != row
    }


def _compile_transport(
    member: Member, transport: Transport, conference: int, rates: Rates
) -> CompiledTransport:
    """Its rows, the very same as before unless something changed that they depend on."""
    elsewhere = tuple(transport.elsewhere.items())
    made_of = transport.agreement, transport.keys, transport.ice, member.muted, rates, elsewhere
    known = transport.compiled
    if known is not None and known.made_of == made_of:
        return known
    sources = {
        transport.sources[section.mid].handle: _source_row(member, transport, section, rates)
        for section in transport.agreement.senders
    }
    foreign: dict[int, dict[int, SourceRow]] = {}
    for (worker, mid), (row, strangers) in elsewhere:
        own = transport.sources[mid]
        foreign.setdefault(worker, {})[row.handle] = replace(
            sources[own.handle],
            incarnation=row.incarnation,
            transport=strangers.handle,
            transport_incarnation=strangers.incarnation,
            exports=0,
            home=transport.id.worker + 1,
            home_source=own.handle,
            home_incarnation=own.incarnation,
            resends=False,  # its home asks the sender
        )
    transport.compiled = compiled = CompiledTransport(
        made_of, _transport_row(transport, conference, rates), sources, foreign
    )
    return compiled


def _strangers_row(row: Row, whose: int, conference: int) -> TransportRow:
    return TransportRow(
        incarnation=row.incarnation,
        conference=conference,
        ice=(),
        keys=None,
        rtcp_ssrc=0,
        remb_bps=0,
        sources=(),
        # Their packets come parsed: only that there may be descriptors has to be known.
        ext=ExtensionIds(dependency_descriptor=1),
        foreign=whose + 1,
    )


def _transport_row(transport: Transport, conference: int, rates: Rates) -> TransportRow:
    return TransportRow(
        incarnation=transport.row.incarnation,
        conference=conference,
        ice=transport.ice,
        keys=transport.keys,
        keep_keys=transport.keeps_keys,
        rtcp_ssrc=transport.rtcp_ssrc,
        remb_bps=rates.remb_bps([*transport.senders.values(), *transport.sealed.values()]),
        sources=tuple(transport.sources[section.mid].handle for section in transport.agreement.senders),
        ext=transport.extensions,
        transport_cc_down=transport.numbered,
        downlink_max_bps=rates.downlink_max_bps,
        follows=transport.follows,
    )


def _ssrcs(transport: Transport, section: SenderSection) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of each encoding, and of its RTX.

    Those of sealed sources are ours. Others are learnt from mid and rid: those of an offer may be of
    encodings in any order, and may change. But who says no mid is known by the one it names, and who stops
    saying it on RTX packets by the RTX SSRC.
    """
    sealed = transport.sealed_ssrcs.get(section.mid, ())
    if sealed or section.declared is None:
        return tuple(ssrc for ssrc, _ in sealed), tuple(rtx for _, rtx in sealed)
    ssrc, rtx = section.declared
    known = (ssrc,) if section.extension_ids.mid is None else ()
    return known, (rtx,) if rtx and section.rtx_payload_type else ()


def _source_row(member: Member, transport: Transport, section: SenderSection, rates: Rates) -> SourceRow:
    ssrcs, rtx_ssrcs = _ssrcs(transport, section)
    return SourceRow(
        incarnation=transport.sources[section.mid].incarnation,
        transport=transport.row.handle,
        transport_incarnation=transport.row.incarnation,
        member=member.number,
        kind=KINDS[section.source],
        codec=Codec.SEALED if section.sealed else _CODECS[section.codec],
        clock_rate=section.clock_rate,
        payload_type=section.payload_type,
        rtx_payload_type=section.rtx_payload_type or 0,
        muted=section.source in member.muted,
        mid=section.mid,
        rids=section.rids,
        ssrcs=ssrcs,
        rtx_ssrcs=rtx_ssrcs,
        max_bps=rates.most(section),
        share_percent=rates.share_percent,
        resends=section.kind == "audio" and "nack" in section.feedback,
        tmmbr="ccm tmmbr" in section.feedback,
        exports=sum(1 << worker for worker, mid in transport.elsewhere if mid == section.mid),
    )
