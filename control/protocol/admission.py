"""Who may join a conference: tickets (docs/protocol.md section 2).

The focus holds one verifier per epoch, the public half of a key that only those in the room can derive.
It learns that somebody belongs to the room, not how.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from control.protocol import limits
from control.protocol.checked import ContentError
from control.protocol.content import Join
from control.protocol.names import BUSY, PROOF_HEADING, TICKET_EXPIRED, TICKET_INVALID


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


class Admission:
    """The verifiers of one conference and the proofs it has seen."""

    def __init__(self) -> None:
        self._verifiers: dict[int, Ed25519PublicKey] = {}
        self._seen: dict[tuple[str, str], int] = {}  # (user, call) -> Unix ms until when its ts is acceptable

    @property
    def epoch(self) -> int:
        """The current epoch; -1 before the first."""
        return max(self._verifiers, default=-1)

    def install(self, epoch: int, verifier: bytes) -> None:
        """Makes an epoch known; TicketError when the 32 bytes are no public key."""
        try:
            self._verifiers[epoch] = Ed25519PublicKey.from_public_bytes(verifier)
        except ValueError:
            raise TicketError(
                TICKET_INVALID, "The verifier is not an Ed25519 public key.", "verifier"
            ) from None

    def check(self, join: Join, user_id: str, call_id: str, wall_ms: int) -> None:
        """TicketError unless the proof is right and new; a right one is remembered against replay.

        `user_id` is the sender of the invite as the homeserver says, `wall_ms` Unix time.
        """
        if abs(join.ts - wall_ms) > limits.TICKET_SKEW_MS:
            raise TicketError(
                TICKET_EXPIRED,
                "The ticket's proof is too old: check this device's clock, then join again.",
                "clock",
            )
        verifier = self._verifiers.get(join.epoch)
        if verifier is None:
            if join.epoch < self.epoch:
                raise TicketError(
                    TICKET_EXPIRED,
                    "The ticket is of an earlier epoch: ask a member for the current one.",
                    "epoch",
                )
            raise TicketError(
                TICKET_INVALID, "The focus does not know this epoch's ticket: join again later.", "epoch"
            )
        try:
            verifier.verify(join.proof, proof_text(join, user_id, call_id))
        except InvalidSignature:
            raise TicketError(
                TICKET_INVALID,
                "The proof does not match this conference's ticket: ask a member for it again.",
                "proof",
            ) from None
        self._remember((user_id, call_id), join.ts, wall_ms)

    def _remember(self, key: tuple[str, str], ts: int, wall_ms: int) -> None:
        if self._seen.get(key, 0) >= wall_ms:
            raise TicketError(
                TICKET_INVALID, "This ticket's proof was used before: join again with a new call.", "replayed"
            )
        if len(self._seen) >= limits.TICKET_REPLAYS_MAX:
            self._seen = {each: until for each, until in self._seen.items() if until >= wall_ms}
        if len(self._seen) >= limits.TICKET_REPLAYS_MAX:
            raise TicketError(BUSY, "Too many people join at the moment: try again in a few minutes.", "busy")
        self._seen[key] = ts + limits.TICKET_SKEW_MS
