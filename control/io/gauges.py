"""What is so at the moment of a scrape: of conferences, of the homeserver, of each worker."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from control.io.receivers import members_of
from control.io.workers import WorkerLink
from control.metrics import Gauge
from control.protocol.focus import Focus

STATES = ("answered", "connected", "secured", "open")


def heartbeat_age(link: WorkerLink) -> float:
    """Seconds since the worker's last turn."""
    return time.monotonic() - link.table.heartbeat_ns / 1e9


def conference_gauges(focus: Focus | None, ready: bool, last_sync: float | None) -> Iterator[Gauge]:
    """`last_sync`: on time.monotonic's clock."""
    yield Gauge("conferences", "Conferences", len(focus.conferences) if focus else 0, {})
    yield Gauge("members", "Members of all conferences", focus.members if focus else 0, {})
    conferences = focus.conferences.values() if focus else ()
    states = Counter(member.call.state.value for each in conferences for member in each.members.values())
    for state in STATES:
        text = "Members by how far their connection is"
        yield Gauge("members_in_state", text, states[state], {"state": state})
    yield Gauge("ready", "1 when conferences can be joined", ready, {})
    if last_sync is not None:
        age = time.monotonic() - last_sync
        yield Gauge("matrix_sync_age_seconds", "Since the homeserver last answered a sync", age, {})


def worker_gauges(links: Iterable[WorkerLink], saturation: Mapping[int, float]) -> Iterator[Gauge]:
    """`saturation` by worker."""
    for link in links:
        worker = {"worker": str(link.index)}
        yield Gauge(
            "worker_heartbeat_age_seconds", "Since the worker's last turn", heartbeat_age(link), worker
        )
        text = "The worker's part of the last second at work, 0 to 1"
        yield Gauge("worker_saturation_ratio", text, saturation.get(link.index, 0.0), worker)
        yield Gauge("worker_starts", "Times the worker was started", link.table.workers_started, worker)
        yield Gauge("worker_transports", "Members the worker serves", members_of(link.table), worker)
