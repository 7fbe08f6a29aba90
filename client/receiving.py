"""Packets of the focus into opened frames: slots, keys, requests for what is missing, reports."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from client.keys.frames import Opened, Verdict
from client.keys.keyring import Keyring
from client.protocol import limits, names
from client.protocol.messages import Slots
from client.rtp import rtcp
from client.rtp.packet import PacketError, Unwrapper, read_rtp_untrusted
from client.rtp.receive import (
    AudioSlot,
    Frame,
    Reception,
    VideoSlot,
    from_retransmission_untrusted,
)
from client.rtp.vp8 import picture_size
from client.sealed.receiving import SealedReceiver, SealedSlot
from client.statistics import Statistics, Tile
from client.transport.sdp import Answer, Answered


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """A frame that the key of `member` opened. `time` is the slot's media time in seconds, `arrived` the
    clock's."""

    member: int
    source: str
    data: bytes
    time: float
    arrived: float
    key: bool
    mid: str


# Sources that figures are kept of. A KID that nobody proved names anybody: without a bound a sender fills
# memory.
TILES_MAX = 4 * limits.MEMBERS_MAX

Sink = Callable[[ReceivedFrame], None]


class Slot:
    """One receive section."""

    def __init__(self, section: Answered, ssrc: int) -> None:
        self.section = section
        self.audio = section.kind == "audio"
        self.clock_rate = 48_000 if self.audio else 90_000
        self.frames: AudioSlot | VideoSlot = (
            AudioSlot("nack" in section.feedback) if self.audio else VideoSlot()
        )
        self.reception = Reception(ssrc, self.clock_rate)
        self.ssrc = ssrc
        self.mapped: tuple[int, str] | None = None
        self.without_key = False
        self.asked_at = -1e9

    def wants_key_frame(self) -> bool:
        return isinstance(self.frames, VideoSlot) and self.frames.wants_key_frame and not self.without_key


AnySlot = Slot | SealedSlot


class Receiver:
    """`send` takes RTCP; `changed` is told of a tile whose state is new."""

    def __init__(
        self,
        keyring: Keyring,
        statistics: Statistics,
        ssrc: int,
        send: Callable[[bytes], None],
        changed: Callable[[Tile], None],
    ) -> None:
        self.sinks: list[Sink] = []
        self._keyring, self._statistics = keyring, statistics
        self._ssrc, self._send, self._changed = ssrc, send, changed
        self._by_ssrc: dict[int, Slot] = {}
        self._repairs: dict[int, Slot] = {}
        self._by_mid: dict[str, Slot] = {}
        self.sealed = SealedReceiver(keyring, self._note, self._deliver, statistics.count)
        self._feedback_id: int | None = None
        self._arrivals: dict[int, int] = {}
        self._unwrap_feedback = Unwrapper(16)
        self._feedback_number = 0
        self._feedback_at = self._report_at = 0.0

    # --- what the focus says ---

    def answered(self, answer: Answer, second: bool = False) -> None:
        """Sections that are there already keep what they know; those of a second connection are others, and
        what comes over the first is still taken.
        """
        if second:
            self._by_mid = {}
            self._arrivals.clear()
            self._unwrap_feedback = Unwrapper(16)
        self.sealed.answered(answer)
        for mid, section in answer.sections.items():
            if section.sealed and "transport-cc" in section.feedback:
                self._feedback_id = section.extensions.get("transport_cc", self._feedback_id)
            if section.direction != "sendonly" or section.ssrc is None or mid in self._by_mid:
                continue
            slot = Slot(section, section.ssrc)
            self._by_mid[mid] = self._by_ssrc[section.ssrc] = slot
            if section.rtx_ssrc is not None:
                self._repairs[section.rtx_ssrc] = slot
            if "transport-cc" in section.feedback:
                self._feedback_id = section.extensions.get("transport_cc", self._feedback_id)

    def mapped(self, told: Slots) -> None:
        for each in told.slots:
            if (slot := self._by_mid.get(each.mid)) is not None:
                known = each.member is not None and each.source is not None
                slot.mapped = (each.member, each.source) if known else None  # type: ignore[assignment]

    def keys_arrived(self, member: int) -> None:
        """A picture that waited for them is asked for at once."""
        self.sealed.keys_arrived(member)
        for slot in self._by_mid.values():
            if slot.without_key and (slot.mapped is None or slot.mapped[0] == member):
                slot.without_key = False
                if isinstance(slot.frames, VideoSlot):
                    slot.frames.wants_key_frame = True
                    slot.asked_at = -1e9

    # --- what it sends ---

    def rtp_untrusted(self, data: bytes, current: bool = True) -> None:
        """`current`: not over a connection that was left."""
        now = time.monotonic()
        sealed = self.sealed.is_sealed(int.from_bytes(data[8:12], "big"))
        try:
            # Of a sealed packet only the header: its padding is in what is sealed.
            packet = read_rtp_untrusted(bytes((data[0] & 0xDF,)) + data[1:] if sealed else data)
        except PacketError:
            return self._statistics.count("rtp malformed")
        if (
            current
            and self._feedback_id is not None
            and len(number := packet.extensions.get(self._feedback_id, b"")) == 2
        ):
            self._arrivals.setdefault(
                self._unwrap_feedback(int.from_bytes(number, "big")), time.monotonic_ns() // 1000
            )
        if sealed:
            return self.sealed.push_untrusted(data, now)
        slot = self._by_ssrc.get(packet.ssrc)
        if slot is None and (slot := self._repairs.get(packet.ssrc)) is not None:
            repeated = from_retransmission_untrusted(packet, slot.ssrc, slot.section.payload_type)
            if repeated is None:
                return self._statistics.count("padding")
            self._statistics.count("repaired")
            packet = repeated
        elif slot is not None:
            slot.reception.packet(packet, now)
        if slot is None or packet.payload_type != slot.section.payload_type:
            return self._statistics.count("rtp of no slot")
        for frame in slot.frames.push_untrusted(packet, now):
            self._frame(slot, frame)
        return None

    def sender_report(self, report: rtcp.SenderReport) -> None:
        slot = self._by_ssrc.get(report.ssrc) or self.sealed.of_ssrc(report.ssrc)
        if slot is not None:
            slot.reception.sender_report(report, time.monotonic())

    def _frame(self, slot: Slot, frame: Frame) -> None:
        opened = self._keyring.open_untrusted(slot.audio, frame.data)
        self._note(slot, frame, opened)
        if opened.verdict == Verdict.REPLAYED:
            return
        if opened.verdict != Verdict.OPENED:
            slot.without_key = opened.verdict == Verdict.KEY_MISSING
            if isinstance(slot.frames, VideoSlot):
                slot.frames.frames_were_lost()
            return
        slot.without_key = False
        self._deliver(slot, frame, opened)

    def _deliver(self, slot: AnySlot, frame: Frame, opened: Opened) -> None:
        received = ReceivedFrame(
            opened.member,
            names.SOURCES[opened.source],
            opened.data,
            frame.timestamp / slot.clock_rate,
            frame.arrived,
            frame.key,
            slot.section.mid,
        )
        for sink in self.sinks:
            sink(received)

    def _note(self, slot: AnySlot, frame: Frame, opened: Opened) -> None:
        member, source = opened.member, opened.source
        if not member:
            if slot.mapped is None:
                return self._statistics.count("frames of nobody")
            member, source = slot.mapped[0], names.SOURCES.index(slot.mapped[1])
        if (member, source) not in self._statistics.tiles and len(self._statistics.tiles) >= TILES_MAX:
            return self._statistics.count("frames of too many")
        tile = self._statistics.tiles.setdefault((member, source), Tile(member, source))
        if opened.verdict == Verdict.OPENED:
            tile.form = names.SEALED_FORM if isinstance(slot, SealedSlot) else names.FRAMES_FORM
            tile.first_at = tile.first_at or frame.arrived
            tile.last_at = frame.arrived
            tile.opened += 1
            tile.bytes += len(opened.data)
            tile.epochs.add(opened.epoch)
            if not slot.audio and frame.key:
                tile.key_frames += 1
                tile.size = picture_size(opened.data) or tile.size
        else:
            tile.refused[opened.verdict] = tile.refused.get(opened.verdict, 0) + 1
            tile.epoch = opened.epoch
        # A frame that comes twice is refused, but does not make a good tile a bad one.
        if opened.verdict not in (tile.state, Verdict.REPLAYED):
            tile.state, tile.state_since = opened.verdict, frame.arrived
            self._changed(tile)
        return None

    # --- what we answer ---

    def tick(self, now: float) -> None:
        """To be called every 10 to 50 ms."""
        every: list[AnySlot] = [*self._by_mid.values(), *self.sealed.carried()]
        for slot in every:
            self._repair(slot, now)
        if now - self._feedback_at >= limits.FEEDBACK_S and self._arrivals:
            self._feedback_at = now
            self._feedback()
        if now - self._report_at >= limits.REPORT_S:
            self._report_at = now
            self._report(now)

    def _repair(self, slot: AnySlot, now: float) -> None:
        if isinstance(slot.frames, AudioSlot) and slot.frames.repaired:
            self._statistics.count("sound repaired", slot.frames.repaired)
            slot.frames.repaired = 0
        for frame in slot.frames.give_up(now):
            if isinstance(slot, SealedSlot):
                self.sealed.frame(slot, frame)
            else:
                self._frame(slot, frame)
        if sequences := slot.frames.to_ask(now):
            self._statistics.count("sound asked again" if slot.audio else "asked again", len(sequences))
            self._send(
                rtcp.write_receiver_report(self._ssrc, ()) + rtcp.write_nack(self._ssrc, slot.ssrc, sequences)
            )
        if slot.wants_key_frame() and now - slot.asked_at >= limits.PLI_AGAIN_S:
            slot.asked_at = now
            self._statistics.count("key frames asked")
            self._send(rtcp.write_receiver_report(self._ssrc, ()) + rtcp.write_pli(self._ssrc, slot.ssrc))

    def _report(self, now: float) -> None:
        every: list[AnySlot] = [*self._by_mid.values(), *self.sealed.slots()]
        blocks = [slot.reception.block(now) for slot in every]
        known = [block for block in blocks if block is not None]
        for start in range(0, len(known), 31):
            report = rtcp.write_receiver_report(self._ssrc, known[start : start + 31])
            self._send(report + rtcp.write_cname(self._ssrc, "sotto"))

    def _feedback(self) -> None:
        """When each packet came, as far as one message can say it; the rest goes into the next."""
        while self._arrivals:
            arrivals = sorted(self._arrivals.items())
            # The message begins with times of 24 bits of 64 ms: 12 days, then it wraps, as it may.
            packet, told = rtcp.write_transport_cc(
                self._ssrc, self._any_ssrc(), self._feedback_number, arrivals
            )
            self._feedback_number = self._feedback_number + 1 & 0xFF
            self._send(packet)
            for sequence, _ in arrivals[: max(1, told)]:
                del self._arrivals[sequence]

    def _any_ssrc(self) -> int:
        return next(iter(self._by_ssrc), 0)
