"""One member's connection as control knows it: what was agreed, and what was given to it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final, NamedTuple, Self

from control.protocol import limits
from control.protocol.allocation import FullError, Randomness, Row, RowAllocator, Rows
from control.protocol.content import Metadata
from control.protocol.events import TransportId
from control.protocol.rates import encoding_names
from control.protocol.rows import ExtensionIds, HopKeys, IceCredentials, SourceRow, TransportRow
from control.protocol.sdp import Fingerprint, Offer, parse_offer_untrusted
from control.protocol.sdp_answer import AnswerTransport, SlotSsrc, write_answer
from control.protocol.sdp_negotiate import Agreement, Features, negotiate


@dataclass(frozen=True, slots=True)
class Sink:
    """The outgoing stream of one slot: one row and one SSRC for as long as the slot exists."""

    row: Row
    ssrc: int
    rtx_ssrc: int  # 0 = none


SealedSource = tuple[int, Row]
"""A sealed source of a member: the worker that its packets come to, and its row there."""


class Elsewhere(NamedTuple):
    """Where a source stands on a worker that its member is not connected to (spreading.py)."""

    row: Row
    strangers: Row
    """The transport row there that stands for all members of its own worker."""


@dataclass(frozen=True, slots=True)
class HeldTransport:
    """Everything that makes a transport's rows what they are, but the hop's keys: those the table has."""

    row: Row
    sources: dict[str, Row]
    sinks: dict[str, Sink]
    ssrcs: tuple[int, ...]
    rtcp_ssrc: int
    ice: tuple[IceCredentials, ...] = field(repr=False)
    cname: str
    agreement: Agreement = field(repr=False)
    sealed_ssrcs: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    sealed_sinks: tuple[tuple[SealedSource, Sink], ...] = ()
    worker: int = -1  # -1: its conference's own
    elsewhere: tuple[tuple[int, str, Row, Row], ...] = ()  # worker, mid, and as Elsewhere
    follows: int | None = None


_EXTENSIONS: Final = tuple(each.name for each in fields(ExtensionIds))


def agree_untrusted(
    sdp: str, metadata: Metadata, features: Features, previous: Agreement | None = None
) -> tuple[Offer, Agreement]:
    """Reads an offer and what we agree to of it; SdpError and nothing else."""
    offer = parse_offer_untrusted(sdp)
    purposes: Mapping[str, object] = {stream: {"purpose": info.purpose} for stream, info in metadata.items()}
    return offer, negotiate(offer, purposes, features, previous)


@dataclass(frozen=True, slots=True)
class CompiledTransport:
    """Rows of a transport (forwarding.py)."""

    made_of: object
    transport: TransportRow
    sources: Mapping[int, SourceRow]
    foreign: Mapping[int, Mapping[int, SourceRow]]
    """Rows of its sources on other workers, by worker and handle."""


class Transport:
    """Holds rows of a worker until `release`."""

    def __init__(self, rows: Rows, randomness: Randomness, agreement: Agreement) -> None:
        """FullError, with nothing taken, when the worker's table has no room."""
        self._rows = rows
        self._randomness = randomness
        self.compiled: CompiledTransport | None = None
        self.follows: int | None = None  # handle of the same member's connection before it
        self.row = rows.transports.take()
        self.id = TransportId(rows.worker, self.row.handle, self.row.incarnation)
        self.keys: HopKeys | None = None
        self.keeps_keys = False  # those that a former control process put into the table
        self.sources: dict[str, Row] = {}  # by mid
        self.sinks: dict[str, Sink] = {}  # by mid
        self.sealed_ssrcs: dict[str, tuple[tuple[int, int], ...]] = {}  # by mid: (SSRC, RTX SSRC) by encoding
        self.sealed_sinks: dict[SealedSource, Sink] = {}
        self._drawn: set[int] = set()
        self.elsewhere: dict[tuple[int, str], Elsewhere] = {}  # by worker and mid; spreading.py
        # Every SSRC ever given to this transport, and those the member itself has: the same key never
        # meets one twice.
        self._ssrcs: set[int] = set()
        self.rtcp_ssrc = self._new_ssrc()
        self.ice: tuple[IceCredentials, ...] = (self._credentials(agreement),)
        self.agreement = agreement
        self._cname = randomness.text(16)
        try:
            self.apply(agreement)
        except FullError:
            self.release()
            raise

    @classmethod
    def of_before(cls, rows: Rows, randomness: Randomness, held: HeldTransport) -> Self:
        """As a former control process left it; ValueError, with nothing taken, when rows of it are taken."""
        transport = cls.__new__(cls)
        transport._rows = rows
        transport._randomness = randomness
        transport.compiled = None
        transport.follows = held.follows
        transport.row = held.row
        transport.id = TransportId(rows.worker, held.row.handle, held.row.incarnation)
        transport.keys, transport.keeps_keys = None, True
        transport.sources, transport.sinks = dict(held.sources), dict(held.sinks)
        transport.elsewhere = {}
        transport.sealed_ssrcs = dict(held.sealed_ssrcs)
        transport.sealed_sinks = dict(held.sealed_sinks)
        transport._ssrcs, transport._drawn = set(held.ssrcs), set(held.ssrcs)
        transport.rtcp_ssrc = held.rtcp_ssrc
        transport.ice = held.ice
        transport.agreement = held.agreement
        transport._cname = held.cname
        transport._take_over(held.agreement)
        wanted = [(rows.transports, held.row)]
        wanted += [(rows.sources, row) for row in held.sources.values()]
        wanted += [(rows.sinks, sink.row) for sink in held.sinks.values()]
        wanted += [(rows.sinks, sink.row) for _, sink in held.sealed_sinks]
        adopted: list[tuple[RowAllocator, Row]] = []
        try:
            for allocator, row in wanted:
                allocator.adopt(row)
                adopted.append((allocator, row))
        except ValueError:
            for allocator, row in adopted:
                allocator.give_back(row)
            raise
        rows.ssrcs.update(held.ssrcs)
        return transport

    def held(self) -> HeldTransport:
        """For the next control process."""
        return HeldTransport(
            self.row,
            self.sources,
            self.sinks,
            tuple(self._ssrcs),
            self.rtcp_ssrc,
            self.ice,
            self._cname,
            self.agreement,
            self.sealed_ssrcs,
            tuple(self.sealed_sinks.items()),
            self.id.worker,
            tuple((on, mid, *each) for (on, mid), each in self.elsewhere.items()),
            self.follows,
        )

    def sealed_source(self, mid: str) -> SealedSource:
        """What a sealed sending section is known by."""
        return self.id.worker, self.sources[mid]

    def source_on(self, worker: int, mid: str) -> Row | None:
        """The row of a source on that worker; None when it has none there."""
        if worker == self.id.worker:
            return self.sources[mid]
        found = self.elsewhere.get((worker, mid))
        return None if found is None else found.row

    def apply(self, agreement: Agreement) -> None:
        """Take a new agreement over; FullError, with nothing changed, when the worker's table has no room."""
        for sender in agreement.senders:
            self._ssrcs.update(sender.ssrcs)
        new_sources = {each.mid for each in agreement.senders} - self.sources.keys()
        new_sinks = [each for each in agreement.slots if each.mid not in self.sinks]
        sources: dict[str, Row] = {}
        sinks: dict[str, Row] = {}
        try:
            for mid in sorted(new_sources):
                sources[mid] = self._rows.sources.take()
            for slot in new_sinks:
                sinks[slot.mid] = self._rows.sinks.take()
        except FullError:
            self._give_back(sources.values(), sinks.values())
            raise
        self.sources.update(sources)
        for slot in new_sinks:
            rtx = self._new_ssrc() if slot.rtx_payload_type is not None else 0
            self.sinks[slot.mid] = Sink(sinks[slot.mid], self._new_ssrc(), rtx)
        for sender in agreement.senders:
            if sender.sealed and sender.mid not in self.sealed_ssrcs:
                repaired = sender.rtx_payload_type is not None
                self.sealed_ssrcs[sender.mid] = tuple(
                    (self._new_ssrc(), self._new_ssrc() if repaired else 0) for _ in encoding_names(sender)
                )
        if agreement.ice_restart:
            # Both sides' credentials change (RFC 8445 9); the old ones serve until the new path works.
            self.ice = (self._credentials(agreement), self.ice[0])
        self._take_over(agreement)

    def _take_over(self, agreement: Agreement) -> None:
        self.agreement = agreement
        # What it sends now, by source; sections that are inactive do not count.
        self.senders = {each.source: each for each in agreement.senders if each.active and not each.sealed}
        self.sealed = {
            each.source: each
            for each in agreement.senders
            if each.active and each.sealed and each.source in self.senders
        }
        self.extensions = _extensions(agreement)
        pairs = {slot.pair for slot in agreement.slots if slot.active and slot.pair is not None}
        self.pair_indices = sorted(pairs)
        # All slots or none: the worker numbers a transport's packets, and one that a slot would not know the
        # number of would be reported lost.
        slots = [slot for slot in (*agreement.slots, *agreement.opened) if slot.active]
        self.numbered = bool(slots) and all(slot.extension_ids.transport_cc is not None for slot in slots)

    def take_sealed(self, source: SealedSource, ssrcs: Collection[tuple[int, int]]) -> None:
        """A row for a sealed source of another member, the same for as long as that is there.

        None where it cannot be: the table is full, or one of the SSRCs was met under these hop keys before. A
        transport of a former control process gets no new ones: what that one assigned last may not be known.
        """
        theirs = {ssrc for ssrc, _ in ssrcs}
        if (
            source in self.sealed_sinks
            or self.keeps_keys
            or len(self.sealed_sinks) >= limits.SEALED_MAX
            or not self._ssrcs.isdisjoint(theirs)
        ):
            return
        try:
            row = self._rows.sinks.take()
        except FullError:
            return
        self._ssrcs |= theirs
        video = any(rtx for _, rtx in ssrcs)
        self.sealed_sinks[source] = Sink(row, next(iter(ssrcs))[0], self._new_ssrc() if video else 0)

    def forget_sealed(self, live: Collection[SealedSource]) -> list[Row]:
        """Rows for sources other than these: to be given back once the table no longer has them."""
        return [self.sealed_sinks.pop(source).row for source in list(self.sealed_sinks) if source not in live]

    def give_back_sinks(self, sinks: Iterable[Row]) -> None:
        """Of this transport or of others on its worker."""
        self._give_back((), sinks)

    def drop_unused(self) -> None:
        """Give back rows of sections that an agreement closed. Only after the table no longer has them."""
        senders = {each.mid for each in self.agreement.senders}
        slots = {each.mid for each in self.agreement.slots}
        sources = [self.sources.pop(mid) for mid in list(self.sources) if mid not in senders]
        self.sealed_ssrcs = {mid: each for mid, each in self.sealed_ssrcs.items() if mid in senders}
        sinks = [self.sinks.pop(mid).row for mid in list(self.sinks) if mid not in slots]
        self._give_back(sources, sinks)

    def release(self) -> None:
        """Give everything back. Only after the table no longer has it."""
        sinks = [*self.sinks.values(), *self.sealed_sinks.values()]
        self._give_back(self.sources.values(), [sink.row for sink in sinks])
        self.sources, self.sinks, self.sealed_sinks = {}, {}, {}
        self._rows.ssrcs -= self._drawn
        self._rows.transports.give_back(self.row)

    def answer(self, offer: Offer, fingerprint: Fingerprint) -> str:
        """The SDP answer to the offer of the current agreement."""
        ours = self.ice[0]
        return write_answer(
            offer,
            self.agreement,
            AnswerTransport(ours.local_ufrag, ours.local_pwd, fingerprint, self._rows.place.candidates),
            {mid: SlotSsrc(sink.ssrc, sink.rtx_ssrc or None) for mid, sink in self.sinks.items()},
            self._cname,
            self.sealed_ssrcs,
        )

    def _credentials(self, agreement: Agreement) -> IceCredentials:
        return IceCredentials(
            local_ufrag=self._randomness.ufrag(self.row.handle),
            local_pwd=self._randomness.pwd(),
            remote_ufrag=agreement.ice_ufrag,
        )

    def _new_ssrc(self) -> int:
        ssrc = self._randomness.ssrc(self._ssrcs, self._rows.ssrcs)
        self._ssrcs.add(ssrc)
        self._drawn.add(ssrc)
        self._rows.ssrcs.add(ssrc)
        return ssrc

    def _give_back(self, sources: Iterable[Row], sinks: Iterable[Row]) -> None:
        for row in sources:
            self._rows.sources.give_back(row)
        for row in sinks:
            self._rows.sinks.give_back(row)


def _extensions(agreement: Agreement) -> ExtensionIds:
    """All agreed header extension ids; within a BUNDLE group one id means one thing."""
    ids: dict[str, int] = {}
    agreed = [slot.extension_ids for slot in (*agreement.slots, *agreement.opened)]
    agreed += [sender.extension_ids for sender in agreement.senders]
    for section in agreed:
        for name in _EXTENSIONS:
            found = getattr(section, name)
            if found is not None:
                ids[name] = found
    return ExtensionIds(**ids)
