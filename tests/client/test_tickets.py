"""Tickets of the client: the published vectors, and the server's own judgement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client.keys.ticket import Ticket, read_ticket_untrusted
from client.protocol.checked import Malformed, from_unpadded, unpadded
from tests.client import schemas
from tests.protocol.people import BOT, CONFERENCE_ID, CREATOR, WALL_MS, Person, invite, world

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "docs" / "vectors" / "tickets.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["tickets"], ids=lambda each: each["conference_id"])
def test_published_vectors(vector: dict[str, object]) -> None:
    ticket = Ticket(
        str(vector["conference_id"]),
        str(vector["creator"]),
        int(str(vector["epoch"])),
        from_unpadded(str(vector["secret"]), 32),
    )
    assert unpadded(ticket.verifier) == vector["verifier"]
    proof = vector["proof"]
    assert isinstance(proof, dict)
    signature = ticket.prove(proof["user_id"], proof["device_id"], proof["call_id"], proof["ts"])
    assert unpadded(signature) == proof["signature"]
    key = Ed25519PublicKey.from_public_bytes(ticket.verifier)
    key.verify(signature, proof["text"].encode())
    with pytest.raises(InvalidSignature):
        key.verify(signature, proof["text"].replace("BOB", "EVE").encode())


def test_the_server_takes_what_the_client_proves() -> None:
    where = world()
    ticket = Ticket(CONFERENCE_ID, CREATOR, 0, bytes(range(32)))
    for user_id, opens in ((CREATOR, {"intent": "voice"}), ("@bob:example.org", None)):
        person = Person(where, user_id, "DEV", f"call-of-{user_id[1:4]}")
        content = invite(user_id, "DEV", person.call_id)
        content["org.matrix.msc2359.join"] = ticket.join(user_id, "DEV", person.call_id, WALL_MS, opens)
        assert content["invitee"] == BOT
        assert schemas.problems("call/invite", content) == []
        person.send_invite(content)
        assert person.answer is not None
    stranger = Person(where, "@eve:example.org", "DEV", "call-of-eve")
    content = invite(stranger.user_id, "DEV", stranger.call_id)
    other = Ticket(CONFERENCE_ID, CREATOR, 0, bytes(32))
    content["org.matrix.msc2359.join"] = other.join(stranger.user_id, "DEV", stranger.call_id, WALL_MS)
    stranger.send_invite(content)
    assert stranger.answer is None


def test_a_ticket_says_nothing_of_its_secret_when_shown() -> None:
    ticket = Ticket(CONFERENCE_ID, CREATOR, 0, b"s" * 32)
    assert "secret" not in repr(ticket)
    assert read_ticket_untrusted(ticket.content()) == ticket


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("secret", "A" * 42),
        ("secret", "A" * 43 + "="),
        ("secret", "A" * 42 + "B"),  # bits beyond the 32 bytes
        ("secret", 5),
        ("conference_id", "short"),
        ("conference_id", "ä" * 30),
        ("creator", "alice"),
        ("epoch", -1),
        ("epoch", True),
        ("epoch", 2**60),
    ],
)
def test_malformed_tickets(field: str, value: object) -> None:
    content = Ticket("a" * 22, CREATOR, 0, b"s" * 32).content() | {field: value}
    with pytest.raises(Malformed):
        read_ticket_untrusted(content)
    assert schemas.problems("room/ticket", content)
