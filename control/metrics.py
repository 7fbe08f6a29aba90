"""What Prometheus sees: the workers' counters of fastpath/counters.h, control's own defined here, and gauges.

Labels are of small fixed sets. No user, room, address or call ever becomes one.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

# Different labels of one counter. They come from fixed sets; should one not, it ends in "other" instead of in
# memory.
LABELS_MAX = 64


@dataclass(frozen=True, slots=True)
class Definition:
    """One counter of control: its help, and the name of its label if it has one."""

    help: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class HistogramDefinition:
    """One histogram of control; `bounds` are the upper ends of its bands."""

    help: str
    bounds: tuple[float, ...]
    label: str = ""
    labels: tuple[str, ...] = ("",)
    """All values of the label: every series is there from the start."""


# Seconds. A join feels immediate below 0.5, takes the three seconds that are promised, or fails at 30.
_JOIN: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
CONTROL_HISTOGRAMS: Mapping[str, HistogramDefinition] = {
    "join_phase_seconds": HistogramDefinition(
        "Parts of a join: invite to answer, to the first ICE check, to DTLS, to data channel, to a picture",
        _JOIN,
        "phase",
        ("answer", "ice", "dtls", "channel", "picture"),
    ),
    "join_seconds": HistogramDefinition("From the sending of an invite to the open data channel", _JOIN),
    "matrix_event_age_seconds": HistogramDefinition(
        "Age of call events when they arrive, as the homeserver reckons: how far sync lags behind", _JOIN
    ),
    "matrix_rate_limit_wait_seconds": HistogramDefinition(
        "What the homeserver asked events to wait", (0.5, 1.0, 2.0, 5.0, 10.0, 15.0)
    ),
}
CONTROL_COUNTERS: Mapping[str, Definition] = {
    "channel_messages_refused": Definition("Data channel messages that could not be used", "code"),
    "channel_messages_unknown": Definition("Data channel messages of an unknown type"),
    "channels_closed": Definition("Data channels that closed while their member stayed"),
    "dtls_failures": Definition("DTLS handshakes that failed", "code"),
    "epoch_proofs_refused": Definition("Proofs of a ticket epoch that were refused", "why"),
    "epochs_begun": Definition("Ticket epochs that became current after the first"),
    "events_ignored": Definition("Events of transports that are gone or in another state", "what"),
    "http_malformed": Definition("HTTP requests that are none"),
    "internal_errors": Definition("Things that cannot happen; each is a bug", "where"),
    "ice_failures": Definition("Calls that had no connection, or lost it, by cause", "cause"),
    "invites_accepted": Definition("Calls answered"),
    "invites_refused": Definition("Calls refused", "code"),
    "invites_repeated": Definition("Repetitions of an answered call"),
    "matrix_events_ignored": Definition("Matrix events that are not for any call", "what"),
    "matrix_events_refused": Definition("Matrix events of a call that are malformed", "code"),
    "matrix_invite_accepted": Definition("Invitations to direct-message rooms accepted"),
    "matrix_invite_dropped": Definition("Invitations and departures left undone, too many at one time"),
    "matrix_invite_refused": Definition("Invitations to other rooms refused"),
    "matrix_poison": Definition("Malformed events, each skipped alone"),
    "matrix_position_unsaved": Definition("Sync positions that could not be stored"),
    "matrix_rate_limited": Definition("Requests the homeserver asked to repeat later"),
    "matrix_request_failed": Definition("Requests to the homeserver that failed"),
    "matrix_room_left": Definition("Direct-message rooms left because they grew or emptied"),
    "matrix_send_dropped": Definition("Events not sent: too old, or too many in their room"),
    "matrix_send_refused": Definition("Events the homeserver refused"),
    "matrix_send_retried": Definition("Attempts to send an event that are repeated"),
    "matrix_sent": Definition("Events sent"),
    "matrix_sync_failed": Definition("Attempts to follow the homeserver that failed"),
    "matrix_undecrypted": Definition("Encrypted events whose key has not come yet"),
    "matrix_device_mismatched": Definition(
        "Encrypted call events that no device of whoever is said to have sent them had sealed, each refused"
    ),
    "members_left": Definition("Members that left", "reason"),
    "missing_keys": Definition("Media keys that members reported missing", "source"),
    "negotiations_refused": Definition("Renegotiations refused", "code"),
    "notes_useless": Definition("Notes of a former control process that could not be read"),
    "overload_steps": Definition("Steps of giving up, or giving back, what an overloaded worker does", "to"),
    "resumes_begun": Definition("Second connections of members that were begun"),
    "resumes_ended": Definition("Second connections, by how they ended", "how"),
    "resumes_refused": Definition("Requests to resume that were refused", "code"),
    "scarcity": Definition("Times that something ran out, or was there again", "what"),
    "sinks_switched": Definition("Slots that took over another source or encoding"),
    "sources_live": Definition("Encodings that began to arrive"),
    "subscriptions_refused": Definition("Subscriptions to what does not exist"),
    "table_publishes": Definition("Changes of the table that were handed to workers"),
}


class Counts:
    """Totals of this process."""

    def __init__(self) -> None:
        self._totals: Counter[tuple[str, str]] = Counter()
        self._labels: Counter[str] = Counter()
        self._bands: dict[tuple[str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}
        for name, definition in CONTROL_HISTOGRAMS.items():
            for label in definition.labels:
                self._bands[name, label] = [0] * (len(definition.bounds) + 1)
                self._sums[name, label] = 0.0

    def count(self, name: str, label: str = "") -> None:
        """One more. A name that is not defined above is a bug, and counted as one."""
        if name not in CONTROL_COUNTERS:
            name, label = "internal_errors", "counter"
        if (name, label) not in self._totals:
            if self._labels[name] >= LABELS_MAX:
                label = "other"
            self._labels[name] += 1
        self._totals[name, label] += 1

    def observe(self, name: str, label: str, value: float) -> None:
        """A value of a histogram. One that is not defined above is a bug, and counted as one."""
        bands = self._bands.get((name, label))
        if bands is None:
            self.count("internal_errors", "counter")
            return
        bands[bisect_left(CONTROL_HISTOGRAMS[name].bounds, value)] += 1
        self._sums[name, label] += value

    def total(self, name: str, label: str | None = None) -> int:
        """For tests and the status page: of one label, or of all."""
        return sum(n for (of, its), n in self._totals.items() if of == name and label in (None, its))

    def totals(self) -> dict[str, dict[str, int]]:
        """By name and label, those that are not 0."""
        found: dict[str, dict[str, int]] = {}
        for (name, label), number in self._totals.items():
            found.setdefault(name, {})[label] = number
        return found

    def collect(self) -> Iterator[Metric]:
        """Every defined counter, those at 0 too.

        A series that appears with its first error cannot be alerted on.
        """
        for name, definition in CONTROL_COUNTERS.items():
            labels = [definition.label] if definition.label else []
            family = CounterMetricFamily(f"sotto_{name}", definition.help, labels=labels)
            rows = {its: n for (of, its), n in self._totals.items() if of == name}
            for label, total in rows.items() if labels else [("", rows.get("", 0))]:
                family.add_metric([label] if labels else [], total)
            yield family
        for name, histogram in CONTROL_HISTOGRAMS.items():
            labels = [histogram.label] if histogram.label else []
            bands = HistogramMetricFamily(f"sotto_{name}", histogram.help, labels=labels)
            for label in histogram.labels:
                counted = accumulate(self._bands[name, label])
                ends = (*map(str, histogram.bounds), "+Inf")
                buckets = list(zip(ends, counted, strict=True))
                bands.add_metric([label] if labels else [], buckets, self._sums[name, label])
            yield bands


@dataclass(frozen=True, slots=True)
class Gauge:
    """One value of now; labels by name."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str]


DELAYS: Mapping[str, str] = {
    "delay_500us": "0.0005",
    "delay_1ms": "0.001",
    "delay_2ms": "0.002",
    "delay_5ms": "0.005",
    "delay_10ms": "0.01",
    "delay_50ms": "0.05",
    "delay_more": "+Inf",
}
"""Counters that are bands of one histogram, with their upper ends in seconds."""


@dataclass(frozen=True, slots=True)
class WorkerHistogram:
    """A histogram that the worker counts band by band."""

    help: str
    bands: Mapping[str, str]
    """Counters, with their upper ends."""
    total: str
    """The counter of the sum."""
    unit: float = 1.0
    """So many of the sum's are one of the histogram's."""


def _sizes(counter: str, *ends: int) -> dict[str, str]:
    """The bands of a size that is at least 1."""
    return {**{f"{counter}_{end}": str(end) for end in ends}, f"{counter}_more": "+Inf"}


WORKER_HISTOGRAMS: Mapping[str, WorkerHistogram] = {
    "forward_delay_seconds": WorkerHistogram(
        "From the arrival of a packet at the kernel to the sending of what came of it",
        DELAYS,
        "delay_sum_us",
        1e6,
    ),
    "batch_messages": WorkerHistogram(
        "Messages taken from the kernel at once, each of one or more datagrams",
        _sizes("batch", 1, 2, 4, 8, 16, 32),
        "rx_messages",
    ),
    "run_datagrams": WorkerHistogram(
        "Datagrams given to the kernel as one message", _sizes("run", 1, 2, 4, 8, 16), "tx_datagrams"
    ),
}
_BANDS: Final = {"delay_sum_us", *(band for each in WORKER_HISTOGRAMS.values() for band in each.bands)}

KINDS: Final = ("audio", "video")
"""What a counter is split into where the worker has one more of each of these names after its own."""


def _histograms(workers: Sequence[Mapping[str, int]]) -> Iterator[HistogramMetricFamily]:
    for name, histogram in WORKER_HISTOGRAMS.items():
        family = HistogramMetricFamily(f"sotto_worker_{name}", histogram.help, labels=["worker"])
        for number, values in enumerate(workers):
            counted = accumulate(values.get(band, 0) for band in histogram.bands)
            buckets = list(zip(histogram.bands.values(), counted, strict=True))
            family.add_metric([str(number)], buckets, values.get(histogram.total, 0) / histogram.unit)
        yield family


def _worker_counters(
    helps: Mapping[str, str], workers: Sequence[Mapping[str, int]]
) -> Iterator[CounterMetricFamily]:
    split = {name for name in helps if all(f"{name}_{kind}" in helps for kind in KINDS)}
    parts = {f"{name}_{kind}" for name in split for kind in KINDS}
    for name, text in helps.items():
        if name in _BANDS or name in parts:
            continue
        # Prometheus has seconds.
        shown, unit = (name.removesuffix("us") + "seconds", 1e6) if name.endswith("_us") else (name, 1)
        kinds = KINDS if name in split else ()
        family = CounterMetricFamily(
            f"sotto_worker_{shown}", text, labels=["worker", "kind"] if kinds else ["worker"]
        )
        for number, values in enumerate(workers):
            for kind in kinds:
                family.add_metric([str(number), kind], values[f"{name}_{kind}"])
            if not kinds:
                family.add_metric([str(number)], values[name] / unit)
        yield family


class SottoCollector(Collector):
    """Reads everything at the moment of the scrape; nothing is kept twice."""

    def __init__(
        self,
        counts: Counts,
        worker_help: Mapping[str, str],
        worker_values: Callable[[], Iterable[Mapping[str, int]]],
        gauges: Callable[[], Iterable[Gauge]],
    ) -> None:
        self._counts = counts
        self._worker_help = worker_help
        self._worker_values = worker_values
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        workers = list(self._worker_values())
        yield from _histograms(workers)
        yield from _worker_counters(self._worker_help, workers)
        yield from self._counts.collect()
        families: dict[str, GaugeMetricFamily] = {}
        for gauge in self._gauges():
            labels = list(gauge.labels)
            family_of = families.setdefault(
                gauge.name, GaugeMetricFamily(f"sotto_{gauge.name}", gauge.help, labels=labels)
            )
            family_of.add_metric([gauge.labels[label] for label in labels], gauge.value)
        yield from families.values()


def registry(collector: SottoCollector) -> CollectorRegistry:
    """With this process' own CPU, memory and descriptors beside our figures."""
    own = CollectorRegistry()
    ProcessCollector(registry=own)
    PlatformCollector(registry=own)
    own.register(collector)
    return own
