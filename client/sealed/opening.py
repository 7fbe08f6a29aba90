"""Sealed sources of others: packets opened, whatever their header says by now. Pure: time is an argument."""

from dataclasses import dataclass, replace

from client.keys.frames import ReplayWindow, Verdict
from client.keys.keyring import Keyring
from client.keys.kid import Prefix
from client.rtp.packet import RtpPacket
from client.sealed.keys import InnerKey, SealedError, split_key_id
from client.sealed.packet import (
    Header,
    inner_key,
    key_id_of_untrusted,
    nearest_index,
    strip_padding_untrusted,
    take_ohb_untrusted,
)

# Inner keys kept of one source: those in use around a change. More: memory; fewer: derived again and again.
KEYS_KEPT = 4
# How near to the last index a packet's rollover counter is beyond doubt.
SURE = 1 << 14


@dataclass(frozen=True, slots=True)
class OpenedPacket:
    """`packet` has the number of the hop, and payload and marker as they were sealed."""

    verdict: Verdict
    epoch: int = 0
    packet: RtpPacket | None = None


class InnerStream:
    """One encoding of a sealed source."""

    def __init__(self, keyring: Keyring, member: int, source: int, index: int | None) -> None:
        self._keyring, self._member, self._source = keyring, member, source
        self._told = index or 0
        self._highest: int | None = None
        self._window = ReplayWindow()
        self._keys: dict[tuple[bytes, int, int], InnerKey] = {}

    def told(self, index: int | None) -> None:
        """The focus says where the stream stands; it is believed only as far as the tag proves it."""
        self._told = index or 0

    def open_untrusted(self, packet: RtpPacket, padding: bool) -> OpenedPacket:
        """`padding`: the P bit, of which the packet was read without. Never raises."""
        header = Header(
            packet.payload_type,
            packet.sequence,
            packet.timestamp,
            packet.ssrc,
            packet.marker,
            packet.csrcs,
            padding,
        )
        try:
            original, body = take_ohb_untrusted(header, packet.payload)
            sealed, key = key_id_of_untrusted(body)
        except SealedError:
            return OpenedPacket(Verdict.NOT_ENCRYPTED)
        source, epoch, step = split_key_id(key)
        if source != self._source:
            return OpenedPacket(Verdict.WRONG_KEY, epoch)
        cipher = self._key(epoch, step)
        if cipher is None:
            return OpenedPacket(Verdict.KEY_MISSING, epoch)
        for index in self._indices(original.sequence):
            if not self._window.is_new(index):
                return OpenedPacket(Verdict.REPLAYED, epoch)
            try:
                plain = cipher.open_untrusted(original.to_bytes(), original.ssrc, index, sealed)
                payload = strip_padding_untrusted(original, plain)
            except SealedError:
                continue
            self._window.add(index)
            self._highest = max(index, self._highest or 0)
            opened = replace(packet, payload=payload, marker=original.marker)
            return OpenedPacket(Verdict.OPENED, epoch, opened)
        return OpenedPacket(Verdict.WRONG_KEY, epoch)

    def _indices(self, sequence: int) -> list[int]:
        """Likely ones first. A rollover that was told late, or guessed wrong, costs two more attempts."""
        base = max(self._told, self._highest or 0)
        guess = nearest_index(sequence, base)
        if self._highest is not None and abs(guess - self._highest) < SURE:
            return [guess]
        return [each for each in (guess, guess + 0x10000, guess - 0x10000) if each >= 0]

    def _key(self, epoch: int, step: int) -> InnerKey | None:
        base = self._keyring.base(Prefix(self._member, self._source, epoch), step)
        if base is None:
            return None
        known = base.key, epoch, step
        if known not in self._keys:
            while len(self._keys) >= KEYS_KEPT:
                del self._keys[next(iter(self._keys))]
            self._keys[known] = inner_key(base.key, self._member, self._source, epoch, step)
        return self._keys[known]
