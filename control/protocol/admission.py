"""Who may join a conference: tickets (docs/protocol.md section 2).

The focus holds one verifier per epoch, the public half of a key that only those in the room can derive.
It learns that somebody belongs to the room, not how.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from control.protocol import limits
from control.protocol.checked import ContentError
from control.protocol.content import Join
from control.protocol.epochs import Epoch, Epochs
from control.protocol.names import (
    BUSY,
    EPOCH_PROOF_HEADING,
    PROOF_HEADING,
    TICKET_EXPIRED,
    TICKET_INVALID,
)

_FEW = 256
"""Proofs that are remembered without a look at their age. Higher: memory. Lower: more looks."""


class TicketError(ContentError):
    """A ticket does not admit its bearer."""

    def __init__(self, code: str, message: str, label: str) -> None:
        super().__init__(code, message)
        self.label = f"ticket_{label}"  # for a counter; finer than the code


def proof_text(join: Join, user_id: str, call_id: str) -> bytes:
    """What a proof signs. No part can contain a line break: content.py saw to it."""
    parts = (
        PROOF_HEADING,
        join.conference_id,
        join.creator,
        str(join.epoch),
        user_id,
        join.device_id,
        call_id,
        str(join.ts),
    )
    return "\n".join(parts).encode()


def epoch_proof_text(
    conference_id: str, creator: str, epoch: int, user_id: str, device_id: str, call_id: str
) -> bytes:
    """What a proof over the data channel signs: said by another member it is worth nothing."""
    parts = (EPOCH_PROOF_HEADING, conference_id, creator, str(epoch), user_id, device_id, call_id)
    return "\n".join(parts).encode()


def is_verifier(verifier: bytes) -> bool:
    """Are these 32 bytes a public key?"""
    try:
        Ed25519PublicKey.from_public_bytes(verifier)
    except ValueError:
        return False
    return True


def verify(verifier: bytes, proof: bytes, text: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(verifier).verify(proof, text)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a caller has proved."""

    device_id: str
    epoch: Epoch


class Admission:
    """The epochs of one conference and the proofs it has seen."""

    def __init__(self, first: Epoch) -> None:
        """TicketError when the verifier is no public key."""
        if not is_verifier(first.verifier):
            raise TicketError(TICKET_INVALID, "The verifier is not an Ed25519 public key.", "verifier")
        self.epochs = Epochs(first)
        self.version = 0  # counts proofs
        self.seen: dict[tuple[str, str], int] = {}  # (user, call) -> Unix ms until when its ts is acceptable
        self._look_at = _FEW  # so many are looked through for those that are too old

    def check(
        self, join: Join, user_id: str, call_id: str, wall_ms: int, persons: Mapping[int, str]
    ) -> Ticket:
        """TicketError unless the proof is right and new; a right one is remembered against replay.

        `user_id` is the sender of the invite as the homeserver says, `wall_ms` Unix time, `persons` those who
        are inside.
        """
        if abs(join.ts - wall_ms) > limits.TICKET_SKEW_MS:
            raise TicketError(
                TICKET_EXPIRED,
                "The ticket's proof is too old: check this device's clock, then join again.",
                "clock",
            )
        acceptable = self.epochs.acceptable(join.epoch, persons)
        if not acceptable:
            if join.epoch < self.epochs.current.number:
                raise TicketError(
                    TICKET_EXPIRED,
                    "The ticket is of an earlier epoch: ask a member for the current one.",
                    "epoch",
                )
            raise TicketError(
                TICKET_INVALID, "The focus does not know this epoch's ticket: join again later.", "epoch"
            )
        text = proof_text(join, user_id, call_id)
        epoch = next((each for each in acceptable if verify(each.verifier, join.proof, text)), None)
        if epoch is None:
            raise TicketError(
                TICKET_INVALID,
                "The proof does not match this conference's ticket: ask a member for it again.",
                "proof",
            )
        self._remember((user_id, call_id), join.ts, wall_ms)
        return Ticket(join.device_id, epoch)

    def _remember(self, key: tuple[str, str], ts: int, wall_ms: int) -> None:
        if self.seen.get(key, 0) >= wall_ms:
            raise TicketError(
                TICKET_INVALID, "This ticket's proof was used before: join again with a new call.", "replayed"
            )
        if len(self.seen) >= min(self._look_at, limits.TICKET_REPLAYS_MAX):
            self.seen = {each: until for each, until in self.seen.items() if until >= wall_ms}
            self._look_at = max(2 * len(self.seen), _FEW)
        if len(self.seen) >= limits.TICKET_REPLAYS_MAX:
            raise TicketError(BUSY, "Too many people join at the moment: try again in a few minutes.", "busy")
        self.version += 1
        self.seen[key] = ts + limits.TICKET_SKEW_MS
