"""Key ids: 40 bits that name member, source, epoch and ratchet step (docs/protocol.md section 5)."""

from typing import NamedTuple

EPOCHS = 4096
STEPS = 256


class Prefix(NamedTuple):
    """What names a base key; `epoch` modulo 4096."""

    member: int
    source: int
    epoch: int


def make_kid(member: int, source: int, epoch: int, ratchet: int) -> int:
    """Epoch and step may be the full numbers."""
    return member << 24 | source << 20 | epoch % EPOCHS << 8 | ratchet % STEPS


def split_kid_untrusted(kid: int) -> tuple[Prefix, int] | None:
    """Prefix and ratchet step; None when no member can have it."""
    if not 1 << 24 <= kid < 1 << 40:
        return None
    return Prefix(kid >> 24, kid >> 20 & 15, kid >> 8 & 0xFFF), kid & 0xFF
