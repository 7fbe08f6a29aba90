"""Tickets: the secret of an epoch, its verifier, and proofs (docs/protocol.md section 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from client.protocol import names
from client.protocol.checked import binary, integer, mapping, unpadded, user_id
from client.protocol.events import conference_id_untrusted

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Ticket:
    """What admits to one epoch of one conference."""

    conference_id: str
    creator: str
    epoch: int
    secret: bytes = field(repr=False)

    def _key(self) -> Ed25519PrivateKey:
        info = f"{self.conference_id}|epoch {self.epoch}".encode()
        seed = HKDF(hashes.SHA256(), 32, names.TICKET_SALT, info).derive(self.secret)
        return Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def verifier(self) -> bytes:
        """The epoch's public key: all that the focus learns."""
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        return self._key().public_key().public_bytes(*raw)

    def prove(self, user_id: str, device_id: str, call_id: str, ts: int) -> bytes:
        """Signature over who calls, from which device, in which call, and when (ms since 1970)."""
        lines = (
            names.PROOF_HEADING,
            self.conference_id,
            self.creator,
            str(self.epoch),
            user_id,
            device_id,
            call_id,
            str(ts),
        )
        return self._key().sign("\n".join(lines).encode())

    def prove_epoch(self, user_id: str, device_id: str, call_id: str) -> bytes:
        """Signature for P.prove, worth something over the channel of this call alone."""
        epoch = str(self.epoch)
        lines = names.EPOCH_HEADING, self.conference_id, self.creator, epoch, user_id, device_id, call_id
        return self._key().sign("\n".join(lines).encode())

    def join(
        self, user_id: str, device_id: str, call_id: str, ts: int, opens: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        """The `join` object of an invite; `opens` in the creator's: intent and limits."""
        content: dict[str, object] = {
            "conference_id": self.conference_id,
            "creator": self.creator,
            "epoch": self.epoch,
            "device_id": device_id,
            "ts": ts,
            "proof": unpadded(self.prove(user_id, device_id, call_id, ts)),
        }
        if opens is not None:
            content["open"] = {"verifier": unpadded(self.verifier), **opens}
        return content

    def content(self) -> dict[str, object]:
        """The ticket event's."""
        return {
            "conference_id": self.conference_id,
            "creator": self.creator,
            "epoch": self.epoch,
            "secret": unpadded(self.secret),
        }


def read_ticket_untrusted(content: object) -> Ticket:
    event = mapping(content, "the ticket")
    return Ticket(
        conference_id=conference_id_untrusted(event),
        creator=user_id(event.get("creator"), "creator"),
        epoch=integer(event.get("epoch"), "epoch"),
        secret=binary(event.get("secret"), "secret", SECRET_BYTES),
    )
