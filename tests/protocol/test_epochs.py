"""Ticket epochs: which one is current, who may come in, and who is out."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from control.protocol import limits, names
from control.protocol.epochs import Epoch, Epochs
from control.protocol.events import ChannelOpened, HandshakeDone, OpenTransport
from tests.protocol.people import (
    CREATOR,
    KEYS,
    WALL_MS,
    Person,
    Ticket,
    World,
    counted,
    invite,
    metadata,
    offer,
    people,
    unpadded,
    world,
)

NEW = Ticket(epoch=1, secret=b"n" * 32)
EVIL = Ticket(epoch=1, secret=b"e" * 32)
A, B, C = Epoch(1, b"a"), Epoch(1, b"b"), Epoch(2, b"c")


def prove(person: Person, ticket: Ticket, **changes: Any) -> None:
    parts = ["org.matrix.msc2359.epoch-proof", ticket.conference_id, ticket.creator, ticket.epoch]
    text = "\n".join(map(str, (*parts, person.user_id, person.device_id, person.call_id)))
    said = {
        "epoch": ticket.epoch,
        "verifier": unpadded(ticket.verifier),
        "proof": unpadded(ticket.key.sign(text.encode())),
    }
    person.say(names.PROVE, said | changes)


def told(person: Person) -> tuple[int, bool, list[tuple[int, int, int, bool]]]:
    content = person.last(names.EPOCH)
    assert content is not None
    (conference,) = person.world.focus.conferences.values()
    assert content["verifier"] == unpadded(conference.admission.epochs.current.verifier)
    proposed = [(each["epoch"], each["proved"], each["of"], each["yours"]) for each in content["proposed"]]
    return content["epoch"], content["proved"], proposed


def current(where: World) -> Epoch:
    (conference,) = where.focus.conferences.values()
    return conference.admission.epochs.current


def join(where: World, name: str, ticket: Ticket) -> Person:
    person = Person(where, f"@{name}:example.org", name.upper(), f"call-{name}")
    content = invite(person.user_id, person.device_id, person.call_id, ticket=ticket)
    person.send_invite(content)
    return person


# -- the rule alone --


def epochs(*votes: tuple[str, Epoch]) -> tuple[Epochs, dict[int, str]]:
    """One device of each person of "pqrst" inside, who all proved the first epoch; then these."""
    found = Epochs(Epoch(0, b"0"))
    persons = dict(enumerate("pqrst", 1))
    for number in persons:
        found.prove(number, found.current)
    for name, epoch in votes:
        found.prove("pqrst".index(name) + 1, epoch)
    return found, persons


def test_more_than_half() -> None:
    for votes, becomes in (
        ("p", None),
        ("pq", None),
        ("pqr", A),
        ("pqrst", A),
        ("ppp", None),
    ):
        found, persons = epochs(*((name, A) for name in votes))
        assert found.settle(persons) == (becomes is not None), votes
        assert found.current == (becomes or Epoch(0, b"0"))


def test_half_of_an_even_number_is_not_enough() -> None:
    found, persons = epochs(("p", A), ("q", A))
    del persons[5]
    assert not found.settle(persons)
    del persons[4]  # somebody who had not proved it leaves
    assert found.settle(persons)


def test_who_is_alone_does_not_use_up_the_numbers() -> None:
    """Nobody could be put out any more."""
    where = world()
    (alice,) = people(where, 1)
    prove(alice, Ticket(epoch=2**53 - 1, secret=b"n" * 32))
    assert current(where).number == 0
    error = alice.last(names.ERROR)
    assert error is not None
    assert error["code"] == names.TICKET_INVALID
    prove(alice, Ticket(epoch=limits.EPOCHS_AHEAD, secret=b"n" * 32))
    assert current(where).number == limits.EPOCHS_AHEAD


def test_devices_of_one_person_count_once() -> None:
    found, persons = epochs(("p", A))
    for number in range(10, 18):
        persons[number] = "p"
        found.prove(number, found.current)
        found.prove(number, A)
    assert not found.settle(persons)
    assert [(each.proved, each.of) for each in found.proposals(persons)] == [(1, 5)]


def test_of_two_at_once_a_member_may_prove_both() -> None:
    found, persons = epochs(("p", A), ("q", B), ("r", A), ("r", B), ("s", B))
    assert found.settle(persons)
    assert found.current == B
    assert found.unproved(persons) == {1, 5}
    assert not found.settle(persons)
    assert found.proposals(persons) == []  # the other one of the same number is gone


def test_only_who_proved_the_current_one_counts_for_the_next() -> None:
    found, persons = epochs(("p", A), ("q", A), ("r", A))
    assert found.settle(persons)
    found.prove(4, C)
    found.prove(5, C)
    assert found.proposals(persons) == []
    found.prove(1, C)
    assert [(each.proved, each.of) for each in found.proposals(persons)] == [(1, 3)]
    found.prove(2, C)
    assert found.settle(persons)
    assert found.current == C


@settings(max_examples=300, deadline=None)
@given(
    honest=st.integers(2, 6),
    evil=st.integers(1, 5),
    devices=st.integers(1, 4),
    steps=st.lists(
        st.tuples(st.sampled_from(["prove", "propose", "leave", "rejoin", "honest"]), st.integers(0, 30)),
        max_size=40,
    ),
)
def test_a_minority_installs_nothing_of_its_own(
    honest: int, evil: int, devices: int, steps: list[tuple[str, int]]
) -> None:
    """Whatever those who still know the old secret do, with as many devices as they like."""
    evil = min(evil, honest - 1)
    found = Epochs(Epoch(0, b"0"))
    good = {number: f"good{number}" for number in range(1, honest + 1)}
    bad = {100 + i * 10 + d: f"evil{i}" for i in range(evil) for d in range(devices)}
    inside = {**good, **bad}
    for member in inside:
        found.prove(member, found.current)
    known = [Epoch(0, b"0")]
    for step, value in steps:
        members = sorted(bad)
        member = members[value % len(members)]
        match step:
            case "propose" | "prove":
                number = found.current.number + 1 + value % 3
                found.prove(member, Epoch(number, b"evil" if value % 2 else b"evil%d" % value))
            case "leave":
                inside.pop(member, None)
                found.forget(member)
            case "rejoin":
                ticket = known[value % len(known)]
                acceptable = found.acceptable(ticket.number, inside)
                if ticket in acceptable:
                    inside[member] = bad[member]
                    found.prove(member, ticket)
            case "honest":
                epoch = Epoch(found.current.number + 1, b"good%d" % (found.current.number + 1))
                who = sorted(good)[value % honest]
                found.prove(who, found.current)  # they get every secret in the end
                found.prove(who, epoch)
        while found.settle(inside):
            assert found.current.verifier.startswith(b"good")
            for who in good:
                found.prove(who, found.current)
        assert not found.current.verifier.startswith(b"evil")


def test_what_is_kept_over_a_restart() -> None:
    found, persons = epochs(("p", A), ("q", A))
    again = Epochs.from_values(json.loads(json.dumps(found.to_values())))
    assert again.current == found.current
    assert again.proposals(persons) == found.proposals(persons)


# -- in a conference --


def test_an_epoch_becomes_current_and_who_cannot_prove_it_is_out() -> None:
    where = world()
    alice, bob, carol, mallory = people(where, 4)
    assert alice.last(names.EPOCH) is None
    prove(alice, NEW)
    assert told(alice) == (0, True, [(1, 1, 4, True)])
    assert told(mallory) == (0, True, [(1, 1, 4, False)])
    prove(bob, NEW)
    assert current(where).number == 0
    prove(carol, NEW)
    assert current(where) == (1, NEW.verifier)
    assert told(alice) == (1, True, [])
    assert told(mallory) == (1, False, [])
    last = mallory.last(names.EPOCH)
    assert last is not None
    assert last["grace_ms"] == 30_000
    where.pass_time(limits.EPOCH_GRACE - 1)
    assert mallory.hung_up is None
    where.pass_time(1)
    assert mallory.hung_up is not None
    assert mallory.hung_up[names.ERROR]["code"] == names.TICKET_EXPIRED
    assert set(alice.roster) == {1, 2, 3}
    where.pass_time(300)
    assert set(alice.roster) == {1, 2, 3}


def test_who_proves_it_in_time_stays() -> None:
    where = world()
    alice, bob, carol = people(where, 3)
    prove(alice, NEW)
    prove(bob, NEW)
    where.pass_time(limits.EPOCH_GRACE - 1)
    prove(carol, NEW)
    where.pass_time(60)
    assert set(alice.roster) == {1, 2, 3}
    assert told(carol) == (1, True, [])


def test_nobody_is_put_out_for_one_that_is_not_current() -> None:
    where = world()
    alice, _bob, _carol, mallory = people(where, 4)
    prove(mallory, EVIL)
    where.pass_time(300)
    assert set(alice.roster) == {1, 2, 3, 4}
    assert current(where).number == 0


def test_a_leave_can_decide() -> None:
    where = world()
    alice, bob, carol, dave = people(where, 4)
    prove(alice, NEW)
    prove(bob, NEW)
    assert current(where).number == 0
    dave.say(names.HANGUP, {"reason": "user_hangup"})
    assert current(where).number == 1
    assert told(carol)[:2] == (1, False)


def test_somebody_who_joins_with_the_ticket_of_a_proposed_epoch() -> None:
    where = world()
    alice, bob, _carol = people(where, 3)
    prove(alice, NEW)
    dave = join(where, "dave", NEW)
    assert dave.answer is not None
    dave.connect()
    assert told(dave) == (0, False, [(1, 1, 3, True)])  # and counts for nothing yet
    prove(bob, NEW)
    assert current(where).number == 1
    assert told(dave) == (1, True, [])
    old = join(where, "erin", Ticket())
    assert old.refused is not None
    assert old.refused[names.ERROR]["code"] == names.TICKET_EXPIRED
    other = join(where, "frank", EVIL)
    assert other.refused is not None
    assert other.refused[names.ERROR]["code"] == names.TICKET_INVALID


def test_a_guest_of_one_that_comes_to_nothing_is_out() -> None:
    where = world()
    alice, _bob, mallory = people(where, 3)
    prove(mallory, EVIL)
    guests = [join(where, f"guest{n}", EVIL).connect() for n in range(5)]
    for guest in guests:
        prove(guest, EVIL)
    assert current(where).number == 0
    where.pass_time(limits.EPOCH_GRACE)
    assert set(alice.roster) == {1, 2, 3}


def test_proofs_that_are_none() -> None:
    where = world()
    alice, bob = people(where, 2)
    before = current(where)
    for changes in (
        {"proof": unpadded(bytes(64))},
        {"epoch": 2},
        {"verifier": unpadded(EVIL.verifier)},
        {"verifier": unpadded(b"\xff" * 32)},
        {"epoch": 0},
    ):
        prove(alice, NEW, **changes)
        error = alice.last(names.ERROR)
        assert error is not None, changes
        assert error["code"] == names.TICKET_INVALID, changes
        assert error["in_reply_to"] == names.PROVE
    for malformed in ({}, {"epoch": -1}, {"epoch": 1, "verifier": "x", "proof": ""}):
        alice.say(names.PROVE, malformed)
        error = alice.last(names.ERROR)
        assert error is not None
        assert error["code"] == names.MESSAGE_MALFORMED
    # One's proof is of no use to another.
    taken: list[str] = []
    say: Callable[[str], Any] = bob.say_text
    bob.say_text = lambda text: taken.append(text)  # type: ignore[assignment,method-assign,func-returns-value]
    prove(bob, NEW)
    bob.say_text = say  # type: ignore[method-assign]
    alice.say_text(taken[0])
    assert current(where) == before
    assert alice.last(names.EPOCH) is None
    prove(alice, NEW)
    prove(bob, NEW)
    assert current(where).number == 1
    prove(alice, Ticket(secret=b"o" * 32))
    error = alice.last(names.ERROR)
    assert error is not None
    assert error["code"] == names.TICKET_EXPIRED


def test_proofs_outlive_a_resumption() -> None:
    where = world()
    alice, bob, _carol = people(where, 3)
    prove(alice, NEW)
    welcome = alice.last(names.WELCOME)
    assert welcome is not None
    body = {
        "token": welcome["resume"]["token"],
        "offer": {"type": "offer", "sdp": offer()},
        "sdp_stream_metadata": metadata(),
    }
    _, effects = where.focus.resume_untrusted(json.dumps(body), where.now)
    where._perform(effects)
    (alice.transport,) = [each.transport for each in effects if isinstance(each, OpenTransport)]
    where.handle(HandshakeDone(alice.transport, KEYS))
    where.handle(ChannelOpened(alice.transport))
    assert told(alice) == (0, True, [(1, 1, 3, True)])
    prove(bob, NEW)
    assert told(alice) == (1, True, [])


def test_what_is_counted() -> None:
    where = world()
    (alice,) = people(where, 1)
    effects = alice.say(
        names.PROVE, {"epoch": 1, "verifier": unpadded(NEW.verifier), "proof": unpadded(bytes(64))}
    )
    assert counted(effects, "epoch_proofs_refused") == ["ticket_proof"]
    assert alice.user_id == CREATOR
    assert WALL_MS
