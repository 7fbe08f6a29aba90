"""What a synthetic receiver knows of what it gets: gaps, repairs, what to tell the server. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.quality.rtp import (
    Block,
    Packet,
    SenderReport,
    nack,
    read_report,
    transport_feedback,
    unwrapped,
)

DEADLINE_S = 1.0
"""A packet that has not come by then, itself or repaired, is lost: a jitter buffer waits no longer."""
ASK_AGAIN_S = 0.075
"""After asking for a packet; a round trip of 50 ms with some room."""
FEEDBACK_S = 0.05


@dataclass
class Gap:
    since: float
    asked: float = -1.0
    times: int = 0


@dataclass
class Slot:
    """One receive slot's stream of packets."""

    ssrc: int
    rtx_ssrc: int | None
    packets: int = 0
    octets: int = 0
    repaired: int = 0
    repeated: int = 0
    """Came more than once, itself or as a repair."""
    padding: int = 0
    """Packets on its RTX stream that repair nothing."""
    late: int = 0
    """Gaps that nothing filled within DEADLINE_S."""
    gaps_seen: int = 0
    """Numbers that were missing when a later one came, reordering included."""
    highest: int | None = None
    first: int = 0
    gap_times: list[tuple[float, int]] = field(default_factory=list)
    """When each of them was seen, and how many there were."""
    missing: dict[int, Gap] = field(default_factory=dict)
    report: SenderReport | None = None
    last_timestamp: int | None = None
    newest: Packet | None = None

    def take(self, packet: Packet, now: float) -> None:
        if self.highest is None:
            self.highest = packet.sequence - 1
            self.first = packet.sequence
        number = unwrapped(packet.sequence, self.highest)
        self.octets += len(packet.payload)
        if number > self.highest:
            for absent in range(self.highest + 1, number):
                self.missing[absent] = Gap(now)
                self.gaps_seen += 1
            if number > self.highest + 1:
                self.gap_times.append((now, number - self.highest - 1))
            self.highest = number
            self.newest = packet
            self.packets += 1
        elif self.missing.pop(number, None):
            self.packets += 1
        else:
            self.repeated += 1

    def repair(self, packet: Packet, now: float) -> None:
        """A packet of the RTX stream (RFC 4588)."""
        if len(packet.payload) < 2 or self.highest is None:
            self.padding += 1
            return
        number = unwrapped(int.from_bytes(packet.payload[:2]), self.highest)
        if len(packet.payload) == 2:
            self.padding += 1
        elif self.missing.pop(number, None):
            self.repaired += 1
        else:
            self.repeated += 1

    def to_ask(self, now: float) -> list[int]:
        """Numbers to ask for now; gives up those that are too late."""
        found = []
        for number, gap in list(self.missing.items()):
            if now - gap.since > DEADLINE_S:
                del self.missing[number]
                self.late += 1
            elif now - gap.asked >= ASK_AGAIN_S:
                gap.asked = now
                gap.times += 1
                found.append(number)
        return found

    @property
    def expected(self) -> int:
        """Numbers whose fate is known."""
        return 0 if self.highest is None else self.highest - self.first + 1 - len(self.missing)


class Receiver:
    """All slots of one transport."""

    def __init__(self, ssrc: int, slots: Iterable[tuple[int, int | None]]) -> None:
        """`ssrc`: its own; `slots`: (ssrc, rtx ssrc or None) of each."""
        self.ssrc = ssrc
        self.slots = {one: Slot(one, rtx) for one, rtx in slots}
        self._repairs = {slot.rtx_ssrc: slot for slot in self.slots.values() if slot.rtx_ssrc is not None}
        self.unknown = 0
        self.bytes = 0
        self.asks = True
        """Whether it sends NACKs."""
        self.numbers_lost = 0
        self._arrivals: dict[int, float] = {}
        self._told = -1
        self._highest: int | None = None
        self._feedbacks = 0
        self._media = 0

    def take(self, packet: Packet, size: int, now: float, arrived: float) -> None:
        """`arrived`: on a clock that is exact (the kernel's); `now`: for deadlines."""
        self.bytes += size
        if packet.number is not None:
            if self._highest is None:
                self._highest = packet.number
                self._told = packet.number - 1
            number = unwrapped(packet.number, self._highest)
            self._highest = max(number, self._highest)
            if number > self._told:
                self._arrivals[number] = arrived
            self._media = packet.ssrc
        if slot := self.slots.get(packet.ssrc):
            slot.take(packet, now)
        elif slot := self._repairs.get(packet.ssrc):
            slot.repair(packet, now)
        else:
            self.unknown += 1

    def take_rtcp(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            report = read_report(block)
            if report is not None and report.ssrc in self.slots:
                self.slots[report.ssrc].report = report

    def nacks(self, now: float) -> list[bytes]:
        made = []
        for slot in self.slots.values():
            wanted = slot.to_ask(now)
            if wanted and self.asks and slot.rtx_ssrc is not None:
                made.append(nack(self.ssrc, slot.ssrc, wanted))
        return made

    def feedback(self) -> list[bytes]:
        """Transport-wide feedback on everything that came since the last one."""
        if self._highest is None or self._highest <= self._told:
            return []
        made = []
        while self._told < self._highest:
            first, last = self._told + 1, min(self._highest, self._told + 400)
            self.numbers_lost += sum(number not in self._arrivals for number in range(first, last + 1))
            made.append(
                transport_feedback(self.ssrc, self._media, self._feedbacks, self._arrivals, first, last)
            )
            self._feedbacks += 1
            self._told = last
        self._arrivals = {number: at for number, at in self._arrivals.items() if number > self._told}
        return made
