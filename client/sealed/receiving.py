"""Sealed sources as they are assigned: which SSRC is whose, opened packets into frames."""

from collections.abc import Callable, Iterator

from client.keys.frames import Opened, Verdict
from client.keys.keyring import Keyring
from client.protocol import names
from client.protocol.messages import Sealed, SealedSource
from client.rtp.packet import PacketError, RtpPacket, read_rtp_untrusted
from client.rtp.receive import AudioSlot, Frame, Reception, VideoSlot, from_retransmission_untrusted
from client.sealed.opening import InnerStream
from client.transport.sdp import Answer, Answered


class SealedSlot:
    """One encoding of one sealed source: what a slot is to frames."""

    def __init__(self, section: Answered, ssrc: int, mapped: tuple[int, str], inner: InnerStream) -> None:
        self.section, self.ssrc, self.mapped, self.inner = section, ssrc, mapped, inner
        self.audio = section.kind == "audio"
        self.clock_rate = 48_000 if self.audio else 90_000
        self.frames: AudioSlot | VideoSlot = (
            AudioSlot("nack" in section.feedback) if self.audio else VideoSlot()
        )
        self.reception = Reception(ssrc, self.clock_rate)
        self.without_key = False
        self.asked_at = -1e9
        self.epoch = 0

    def wants_key_frame(self) -> bool:
        return isinstance(self.frames, VideoSlot) and self.frames.wants_key_frame and not self.without_key


class _Source:
    def __init__(self, told: SealedSource) -> None:
        self.told = told
        self.slots: dict[str, SealedSlot] = {}
        self.current: SealedSlot | None = None  # whose packet opened last: what the focus carries now


class SealedReceiver:
    """`note` is told of every frame and of every packet that could not be opened, `deliver` of frames."""

    def __init__(
        self,
        keyring: Keyring,
        note: Callable[[SealedSlot, Frame, Opened], None],
        deliver: Callable[[SealedSlot, Frame, Opened], None],
        count: Callable[[str], None],
    ) -> None:
        self._keyring, self._note, self._deliver, self._count = keyring, note, deliver, count
        self._sections: dict[str, Answered] = {}
        self._sources: list[_Source] = []
        self._by_ssrc: dict[int, tuple[_Source, SealedSlot]] = {}
        self._repairs: dict[int, _Source] = {}

    def answered(self, answer: Answer) -> None:
        self._sections = {mid: each for mid, each in answer.sections.items() if each.sealed == "send"}

    def assigned(self, told: Sealed) -> None:
        """Whole: what is not named any more is gone. Encodings that stay keep what they know."""
        before = {ssrc: slot for ssrc, (_, slot) in self._by_ssrc.items()}
        current = {each.current for each in self._sources}
        self._sources, self._by_ssrc, self._repairs = [], {}, {}
        for each in told.sources:
            section = self._sections.get(each.mid)
            if section is None:
                self._count("sealed sources of no section")
                continue
            source = _Source(each)
            self._sources.append(source)
            if each.rtx_ssrc is not None:
                self._repairs[each.rtx_ssrc] = source
            for name, encoding in each.encodings.items():
                slot = before.get(encoding.ssrc)
                if slot is None or slot.mapped != (each.member, each.source) or slot.section is not section:
                    number = names.SOURCES.index(each.source)
                    inner = InnerStream(self._keyring, each.member, number, encoding.index)
                    slot = SealedSlot(section, encoding.ssrc, (each.member, each.source), inner)
                slot.inner.told(encoding.index)
                source.slots[name] = slot
                self._by_ssrc[encoding.ssrc] = source, slot
                if slot in current:
                    source.current = slot

    def keys_arrived(self, member: int) -> None:
        for slot in self.slots():
            if slot.without_key and slot.mapped[0] == member:
                slot.without_key = False
                if isinstance(slot.frames, VideoSlot):
                    slot.frames.wants_key_frame = True
                    slot.asked_at = -1e9

    def slots(self) -> Iterator[SealedSlot]:
        for _, slot in self._by_ssrc.values():
            yield slot

    def carried(self) -> Iterator[SealedSlot]:
        """Those whose holes are to be asked for."""
        for source in self._sources:
            if source.current is not None:
                yield source.current

    def of_ssrc(self, ssrc: int) -> SealedSlot | None:
        found = self._by_ssrc.get(ssrc)
        return None if found is None else found[1]

    def is_sealed(self, ssrc: int) -> bool:
        return ssrc in self._by_ssrc or ssrc in self._repairs

    def push_untrusted(self, data: bytes, now: float) -> None:
        """A packet of one of them, as it came over the hop."""
        padding = bool(data[0] & 0x20)
        # The P bit belongs to what is sealed: its last byte counts nothing before that is opened.
        try:
            packet = read_rtp_untrusted(bytes((data[0] & 0xDF,)) + data[1:])
        except PacketError:
            return self._count("rtp malformed")
        found = self._by_ssrc.get(packet.ssrc)
        if found is not None:
            source, slot = found
            if packet.payload_type != slot.section.payload_type:
                return self._count("rtp of no slot")
            slot.reception.packet(packet, now)
            return self._take(source, slot, packet, padding, now)
        return self._repaired(self._repairs[packet.ssrc], packet, padding, now)

    def _repaired(self, source: _Source, packet: RtpPacket, padding: bool, now: float) -> None:
        if padding and packet.payload and packet.payload[-1] == len(packet.payload):
            return self._count("padding")
        # Which encoding it is of, only the tag tells: the one that came last is the likeliest.
        slots = sorted(source.slots.values(), key=lambda each: each is not source.current)
        for slot in slots[:1] if source.current is not None else slots:
            repeated = from_retransmission_untrusted(packet, slot.ssrc, slot.section.payload_type)
            if repeated is None:
                return self._count("padding")
            opened = slot.inner.open_untrusted(repeated, padding)
            if opened.verdict == Verdict.OPENED and opened.packet is not None:
                self._count("repaired")
                slot.epoch = opened.epoch
                return self._push(slot, opened.packet, now)
            if opened.verdict == Verdict.REPLAYED:
                return self._count("padding")  # a probe: it had come
        return self._count("repairs of no use")

    def _take(self, source: _Source, slot: SealedSlot, packet: RtpPacket, padding: bool, now: float) -> None:
        opened = slot.inner.open_untrusted(packet, padding)
        if opened.verdict == Verdict.OPENED and opened.packet is not None:
            source.current = slot
            slot.epoch, slot.without_key = opened.epoch, False
            return self._push(slot, opened.packet, now)
        if opened.verdict == Verdict.REPLAYED:
            return self._count("sealed packets replayed")
        slot.without_key = opened.verdict == Verdict.KEY_MISSING
        if isinstance(slot.frames, VideoSlot):
            slot.frames.frames_were_lost()
        number = names.SOURCES.index(slot.mapped[1])
        refused = Opened(opened.verdict, slot.mapped[0], number, opened.epoch)
        return self._note(slot, Frame(b"", packet.timestamp, now, False), refused)

    def _push(self, slot: SealedSlot, packet: RtpPacket, now: float) -> None:
        for frame in slot.frames.push_untrusted(packet, now):
            self.frame(slot, frame)

    def frame(self, slot: SealedSlot, frame: Frame) -> None:
        number = names.SOURCES.index(slot.mapped[1])
        opened = Opened(Verdict.OPENED, slot.mapped[0], number, slot.epoch, frame.data)
        self._note(slot, frame, opened)
        self._deliver(slot, frame, opened)
