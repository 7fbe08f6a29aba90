"""Epochs of the ticket: proved, proposed in turn, served. And the server's judgement of our proofs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from client.keys.epochs import Epochs
from client.keys.ticket import Ticket
from client.protocol import messages
from client.protocol.messages import Epoch, Proposed
from client.ticketing import Ticketing
from control.protocol import names
from tests.protocol.people import CONFERENCE_ID, CREATOR, Person, invite, world

FIRST = Ticket(CONFERENCE_ID, CREATOR, 0, bytes(range(32)))


def later(epoch: int, secret: bytes = b"l" * 32) -> Ticket:
    return Ticket(CONFERENCE_ID, CREATOR, epoch, secret)


def made(ticket: Ticket = FIRST, current: Ticket = FIRST) -> Epochs:
    return Epochs(
        ticket,
        (current.epoch, current.verifier),
        lambda each: b"proof of %d" % each.epoch,
        lambda size: b"n" * size,
    )


def test_tickets_of_later_epochs_are_proved_once() -> None:
    epochs = made()
    assert epochs.proofs() == []
    epochs.ticket_arrived(later(1), 5)
    epochs.ticket_arrived(later(1), 6)
    epochs.ticket_arrived(FIRST, 7)
    epochs.ticket_arrived(Ticket("another-conference-elsewhere", CREATOR, 9, b"x" * 32), 8)
    (proof,) = epochs.proofs()
    assert (proof.epoch, proof.verifier, proof.signature) == (1, later(1).verifier, b"proof of 1")
    assert epochs.ticket == FIRST  # until the focus says that another is current
    epochs.told(told(later(1)))
    assert not epochs.lacking(9)
    assert epochs.ticket == later(1)


def told(current: Ticket, proved: bool = True, *proposed: Proposed) -> Epoch:
    return Epoch(current.epoch, current.verifier, proved, None if proved else 30.0, proposed)


def test_of_two_with_one_number_the_current_is_served() -> None:
    one, other = later(1, b"a" * 32), later(1, b"b" * 32)
    epochs = made()
    epochs.ticket_arrived(one, 5)
    epochs.ticket_arrived(other, 5)
    assert len(epochs.proofs()) == 2
    ahead, behind = Proposed(1, one.verifier, 2, 3, True), Proposed(1, other.verifier, 1, 3, True)
    epochs.told(told(FIRST, True, ahead, behind))
    assert epochs.ticket == FIRST
    # Whoever was ahead: what counts is which one became current.
    epochs.told(told(other))
    assert epochs.ticket == other
    assert not epochs.lacking(9)


def test_what_was_said_over_a_lost_connection_is_said_again_once() -> None:
    epochs = made()
    epochs.ticket_arrived(later(1), 5)
    epochs.proofs()
    proposed = Proposed(1, later(1).verifier, 1, 3, False)
    epochs.told(told(FIRST, True, proposed))  # ours is on its way
    assert epochs.proofs() == []
    epochs.moved()
    epochs.told(told(FIRST, True, proposed))
    assert [each.epoch for each in epochs.proofs()] == [1]
    epochs.told(told(FIRST, True, proposed))
    assert epochs.proofs() == []


def test_a_ticket_that_is_over_by_the_welcome_is_not_proved() -> None:
    assert made(later(1), current=later(2)).proofs() == []


def test_another_ticket_of_the_current_number_is_of_no_use() -> None:
    epochs = made()
    epochs.ticket_arrived(later(1, b"a" * 32), 5)
    epochs.proofs()
    epochs.told(told(later(1, b"b" * 32), False))
    assert epochs.proofs() == []
    assert epochs.lacking(6)


def test_who_joined_with_a_proposed_ticket_proves_it() -> None:
    epochs = made(later(3), current=later(2))
    assert [each.epoch for each in epochs.proofs()] == [3]


def test_who_lacks_the_current_ticket_asks_for_it() -> None:
    epochs = made()
    assert not epochs.lacking(3)
    epochs.told(told(later(4), False))
    assert [epochs.lacking(now) for now in (4, 5, 10)] == [True, False, True]
    epochs.ticket_arrived(later(4), 5)
    assert [each.epoch for each in epochs.proofs()] == [4]
    epochs.told(told(later(4), False))
    assert not epochs.lacking(20)
    assert [each.epoch for each in epochs.proofs()] == [4]


def test_the_first_proposes_at_once_the_next_in_turn_and_nobody_if_somebody_did() -> None:
    first, second, third = made(), made(), made()
    for rank, epochs in enumerate((first, second, third)):
        epochs.somebody_left(100, rank)
    proposed = first.poll(100)
    assert proposed == Ticket(CONFERENCE_ID, CREATOR, 1, b"n" * 32)
    assert second.poll(102.9) is None
    assert second.poll(103) is not None
    third.ticket_arrived(proposed, 104)
    assert third.poll(200) is None
    # Whoever is not in the roster has no turn.
    fourth = made()
    fourth.somebody_left(100, -1)
    assert fourth.poll(1e9) is None


def test_a_ticket_of_a_number_far_ahead_uses_up_no_numbers() -> None:
    """Else who is removed later could never be put out: there would be no number left for the next."""
    epochs = made()
    epochs.somebody_left(100, 0)
    epochs.ticket_arrived(later(2**53 - 1), 100)
    assert epochs.proofs() == []
    proposed = epochs.poll(100)
    assert proposed is not None
    assert proposed.epoch == 1


def test_under_churn_one_epoch_in_ten_seconds() -> None:
    epochs = made()
    epochs.somebody_left(100, 0)
    ticket = epochs.poll(100)
    assert ticket is not None
    epochs.ticket_arrived(ticket, 100)
    epochs.somebody_left(101, 0)
    assert epochs.poll(109) is None
    again = epochs.poll(110)
    assert again is not None
    assert again.epoch == 2


def test_whoever_leaves_the_room_knows_the_ticket_inside_or_not() -> None:
    here = {"@us:x", "@inside:x", "@outside:x"}
    invited = {"@invited:x"}
    changed: list[Any] = []
    homeserver = SimpleNamespace(
        user_id="@us:x",
        device=SimpleNamespace(user_id="@us:x", device_id="US"),
        inbox=SimpleNamespace(on_member=changed),
        people=lambda _: here | invited,
        joined=lambda _, user: user in here,
    )
    left: list[None] = []
    membership = SimpleNamespace(
        epoch=(0, FIRST.verifier),
        members={},
        rank=lambda: 0,
        prove=lambda: None,
        somebody_left=lambda: left.append(None),
    )
    room = SimpleNamespace(room_id="!r", serve_tickets=lambda *_: None)
    entitled = SimpleNamespace(ticket=FIRST, conference=SimpleNamespace(conference_id=CONFERENCE_ID))
    Ticketing(homeserver, room, entitled, membership, "call")  # type: ignore[arg-type]
    (member_changed,) = changed
    invited.clear()
    member_changed("!r", "@invited:x")
    member_changed("!elsewhere", "@outside:x")
    assert left == []
    here.remove("@outside:x")
    member_changed("!r", "@outside:x")
    member_changed("!r", "@outside:x")  # and banned
    assert len(left) == 1
    here.add("@new:x")
    member_changed("!r", "@new:x")
    here -= {"@new:x", "@inside:x"}
    member_changed("!r", "@new:x")
    member_changed("!r", "@inside:x")
    assert len(left) == 3


def test_the_server_takes_our_proofs() -> None:
    where = world()
    people = []
    for number, user_id in enumerate((CREATOR, "@bob:example.org", "@carol:example.org")):
        person = Person(where, user_id, f"DEV{number}", f"call{number}")
        content = invite(user_id, person.device_id, person.call_id)
        content[names.JOIN] = FIRST.join(
            user_id, person.device_id, person.call_id, content[names.JOIN]["ts"], {} if number == 0 else None
        )
        person.send_invite(content)
        people.append(person.connect())
    ticket = later(1)
    for person in people[:2]:
        proof = ticket.prove_epoch(person.user_id, person.device_id, person.call_id)
        person.say_text(messages.prove(1, ticket.verifier, proof))
        assert person.last(names.ERROR) is None
    where.pass_time(1)
    told = people[2].last(f"{names.PREFIX}.epoch")
    assert told is not None
    assert (told["epoch"], told["proved"]) == (1, False)
    where.pass_time(40)
    assert people[2].last(names.HANGUP) is not None
    assert people[0].last(names.HANGUP) is None
