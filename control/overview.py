"""What goes on now, as plain values: for `sotto status`, `sotto explain` and the status page.

Numbers of ours name conferences and members; whoever asks by a person's id is told about that person.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from control.io.receivers import members_of
from control.io.workers import WorkerLink
from control.layout import layout
from control.metrics import Counts
from control.protocol.conference import Conference
from control.protocol.explain import MemberFacts, SourceFacts, explain, explain_past
from control.protocol.focus import Focus
from control.protocol.member import Member
from control.protocol.reference import read_reference, reference
from control.protocol.transport import Sink
from fastpath_ext.table import LAYOUT_VERSION

PAST_MAX = 3
"""Calls of the past that are explained. More: what matters is not seen at once."""


def overview(
    focus: Focus | None, links: Sequence[WorkerLink], counts: Counts, not_ready: str | None
) -> dict[str, Any]:
    """Totals are since the beginning of each process: whoever wants rates asks twice."""
    conferences = list(focus.conferences.values()) if focus else []
    return {
        "time": time.monotonic(),
        "version": version("sotto"),
        "table_layout": LAYOUT_VERSION,
        "layout": layout(),
        "control": os.getpid(),
        "ready": not_ready is None,
        "not_ready": not_ready,
        "draining": focus.draining if focus else False,
        "awaited": focus.awaited if focus else 0,
        "conferences": [_conference(conference, links) for conference in conferences if conference.members],
        "workers": [_worker(link) for link in links],
        "counts": counts.totals(),
    }


def explanations(focus: Focus | None, links: Sequence[WorkerLink], name: str) -> list[dict[str, Any]]:
    """For each device of a person, or for the call of a reference: those in a conference, then what became of
    the latest others."""
    told: list[dict[str, Any]] = []
    if focus is None:
        return told
    name = read_reference(name) or name
    for conference in focus.conferences.values():
        for member in conference.members.values():
            call = reference(member.call.call_id)
            if name in (member.user_id, call):
                facts = _facts(member, conference, links)
                told.append(
                    {
                        "call": call,
                        "conference": conference.number,
                        "member": member.number,
                        "device_id": member.device_id,
                        "findings": [asdict(finding) for finding in explain(facts)],
                    }
                )
    past = [each for each in focus.book.find(name) if each.ended_at is not None]
    for record in past[:PAST_MAX]:
        findings = [asdict(finding) for finding in explain_past(record, time.monotonic())]
        told.append({"call": record.reference, "conference": None, "findings": findings})
    return told


def _conference(conference: Conference, links: Sequence[WorkerLink]) -> dict[str, Any]:
    now = time.monotonic_ns()
    members = [_member(member, _link(member, links), now) for member in conference.members.values()]
    return {"number": conference.number, "worker": conference.rows.worker, "members": members}


def _link(member: Member, links: Sequence[WorkerLink]) -> WorkerLink:
    """The worker that serves the member: a conference may be spread over several."""
    return links[member.transport.id.worker]


def _member(member: Member, link: WorkerLink, now_ns: int) -> dict[str, Any]:
    handle = member.transport.row.handle
    status = link.table.transport_status(handle, now_ns)
    downlink = link.table.downlink_status(handle)
    deals = Counter[str]()
    for sink in _sinks(member):
        got = link.table.sink_status(sink.row.handle)
        if got is not None and got.source is not None:
            deals["tmf"[got.encoding] if got.encoding < 3 else "?"] += 1
    return {
        "number": member.number,
        "worker": link.index,
        "state": member.call.state.value,
        "sources": member.sources,
        "muted": sorted(member.muted),
        "heard_s": _seconds(status.consent_age_ns) if status else None,
        "rx_bytes": status.rx_bytes if status else 0,
        "tx_bytes": status.tx_bytes if status else 0,
        "rx_packets": status.rx_packets if status else 0,
        "tx_packets": status.tx_packets if status else 0,
        "round_trip_ms": status.round_trip_us / 1000 if status else 0,
        "estimate_bps": downlink.estimate_bps if downlink else 0,
        "allocated_bps": downlink.allocated_bps if downlink else 0,
        "wanted_bps": downlink.wanted_bps if downlink else 0,
        "paused": downlink.paused if downlink else 0,
        "layers": dict(deals),
    }


def _worker(link: WorkerLink) -> dict[str, Any]:
    return {
        "index": link.index,
        "ports": link.ports,
        "heartbeat_age_s": time.monotonic() - link.table.heartbeat_ns / 1e9,
        "starts": link.table.workers_started,
        "transports": members_of(link.table),
        "counters": link.counters.values(),
    }


def _facts(member: Member, conference: Conference, links: Sequence[WorkerLink]) -> MemberFacts:
    link, now = _link(member, links), time.monotonic_ns()
    handle = member.transport.row.handle
    status = link.table.transport_status(handle, now)
    downlink = link.table.downlink_status(handle)
    carried = [link.table.sink_status(sink.row.handle) for sink in _sinks(member)]
    sealed = carried[len(member.transport.sinks) :]
    return MemberFacts(
        state=member.call.state.value,
        heard_s=_seconds(status.consent_age_ns) if status else None,
        sources=tuple(_source(member, name, link, now) for name in member.sources),
        round_trip_ms=status.round_trip_us / 1000 if status else 0.0,
        estimate_bps=downlink.estimate_bps if downlink else 0,
        wanted_bps=downlink.wanted_bps if downlink else 0,
        paused=downlink.paused if downlink else 0,
        lost=max((each.fraction_lost / 256 for each in carried if each is not None), default=0.0),
        slots_used=sum(each is not None and each.source is not None for each in carried),
        sealed=sum(each is not None and each.source is not None for each in sealed),
        others=len(conference.members) - 1,
    )


def _sinks(member: Member) -> list[Sink]:
    """Of its slots, then of the sealed sources that it is given."""
    return [*member.transport.sinks.values(), *member.transport.sealed_sinks.values()]


def _source(member: Member, name: str, link: WorkerLink, now_ns: int) -> SourceFacts:
    transport = member.transport
    silent = [
        _silent_ns(link, transport.sources[forms[name].mid].handle, now_ns) if name in forms else None
        for forms in (transport.senders, transport.sealed)
    ]
    either = min((each for each in silent if each is not None), default=None)
    return SourceFacts(name, name in member.muted, _seconds(either), _seconds(silent[1]))


def _silent_ns(link: WorkerLink, source: int, now_ns: int) -> int | None:
    """Since the last packet of any encoding; None: none ever came."""
    status = link.table.source_status(source, now_ns)
    ages = [each.age_ns for each in status.encodings if each.age_ns is not None] if status else []
    return min(ages, default=None)


def _seconds(age_ns: int | None) -> float | None:
    return None if age_ns is None else age_ns / 1e9


def total(workers: Sequence[Mapping[str, Any]], name: str) -> int:
    """Of one counter over all workers of an overview."""
    return sum(int(worker["counters"][name]) for worker in workers)
