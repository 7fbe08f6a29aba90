"""Calls move over to a server with other tables: nobody is put out, and nobody is missed on the way."""

import json
from typing import Any

from control.protocol import limits, names
from control.protocol.allocation import WorkerPlace
from control.protocol.events import (
    ChannelOpened,
    CloseChannel,
    ConsentExpired,
    HandshakeDone,
    Shutdown,
    TransportConnected,
)
from control.protocol.focus import Focus, FocusConfig
from control.protocol.sdp import Fingerprint
from tests.protocol.people import BOT, KEYS, Person, World, people, randomness, world
from tests.protocol.test_remembering import Notebook, succeed
from tests.protocol.test_resumption import arrive, ask, token_of


def move(where: World, *notes: dict[str, Any]) -> None:
    """Another server begins, with a worker and tables in which nothing stands."""
    where.tables.clear()
    where.focus = Focus(
        FocusConfig(
            BOT,
            "FOCUSDEVICE",
            Fingerprint("sha-256", b"f" * 32),
            (WorkerPlace((("192.0.2.2", 40002),), 64, 256, 2048),),
        ),
        randomness(7),
    )
    where._perform(where.focus.read_former(notes, where.now))


def moved(count: int = 3) -> tuple[World, list[Person], Notebook]:
    where = world()
    book = Notebook(where)
    persons = people(where, count)
    before = json.loads(json.dumps(book.notes))
    book.notes.clear()
    move(where, before)
    book.write()
    return where, persons, book


def come(where: World, person: Person) -> None:
    """Up to the open channel of the second connection."""
    said, transport = ask(where, token_of(person))
    assert said["member"] == person.last(names.WELCOME)["member"]  # type: ignore[index]
    assert " 192.0.2.2 40002 " in said["answer"]["sdp"]
    arrive(where, person, transport)


def test_nobody_is_told_anything_until_all_have_come() -> None:
    where, persons, _ = moved()
    assert (where.focus.members, where.focus.awaited) == (3, 3)
    told = [len(each.said) for each in persons]
    for person in persons[:2]:
        come(where, person)
    assert [len(each.said) for each in persons] == told
    assert where.focus.awaited == 3
    come(where, persons[2])
    assert where.focus.awaited == 0
    for person in persons:
        assert set(person.roster) == {1, 2, 3}
        others = {1, 2, 3} - {person.number}
        assert {who for who, _ in person.slots.values() if who} == others
        assert person.last(names.WELCOME)["resume"]["token"]  # type: ignore[index]
    # Stand-ins are gone: one connection each.
    assert len(where.tables[0].transports) == len(where.focus._by_transport) == 3


def test_who_is_late_is_waited_for_and_then_not() -> None:
    where, (alice, bob, carol), _ = moved()
    come(where, alice)
    come(where, bob)
    where.pass_time(limits.GATHER_TIMEOUT - 0.1)
    assert where.focus.awaited == 3
    where.pass_time(0.2)
    assert where.focus.awaited == 1
    assert set(alice.roster) == {1, 2, 3}  # carol goes on where she is
    assert {who for who, _ in alice.slots.values() if who} == {2}
    come(where, carol)
    assert where.focus.awaited == 0
    assert {who for who, _ in alice.slots.values() if who} == {2, 3}


def test_who_never_comes_is_told_so_in_the_room() -> None:
    where, (alice, bob, carol), _ = moved()
    come(where, alice)
    come(where, bob)
    where.pass_time(limits.AWAITED_TIMEOUT + 0.1)
    assert where.focus.members == 2
    assert set(alice.roster) == {1, 2}
    assert carol.hung_up is not None


def test_an_attempt_that_fails_costs_nothing() -> None:
    where, (alice, bob, carol), _ = moved()
    _, failed = ask(where, token_of(alice))
    where.handle(TransportConnected(failed))
    where.handle(ConsentExpired(failed))
    assert where.focus.awaited == 3
    for person in (alice, bob, carol):
        come(where, person)
    assert where.focus.awaited == 0


def test_an_attempt_that_fails_while_it_waits_for_the_others() -> None:
    where, (alice, bob, carol), _ = moved()
    _, failed = ask(where, token_of(alice))
    where.handle(TransportConnected(failed))
    where.handle(HandshakeDone(failed, KEYS))
    where.handle(ChannelOpened(failed))
    where.handle(ConsentExpired(failed))
    come(where, bob)
    come(where, carol)
    assert where.focus.awaited == 3
    come(where, alice)
    assert where.focus.awaited == 0


def test_the_last_one_awaited_leaves() -> None:
    where, (alice, bob, carol), _ = moved()
    come(where, alice)
    come(where, bob)
    where.matrix(
        names.HANGUP, {"call_id": carol.call_id, "party_id": carol.device_id, "version": "1"}, carol.user_id
    )
    assert (where.focus.members, where.focus.awaited) == (2, 0)
    assert set(alice.roster) == {1, 2}


def test_a_newcomer_meets_those_who_are_still_elsewhere() -> None:
    where, persons, _ = moved()
    dave = Person(where, "@dave:example.org", "DAVE", "dave").call().connect()
    assert dave.number == 4
    assert set(dave.roster) == {1, 2, 3, 4}
    for person in persons:
        come(where, person)
    assert {who for who, _ in dave.slots.values() if who} == {1, 2, 3}


def test_control_is_killed_on_the_way() -> None:
    where, persons, book = moved()
    come(where, persons[0])
    succeed(where, book.notes)
    assert (where.focus.members, where.focus.awaited) == (3, 3)
    for person in persons:
        _, transport = ask(where, token_of(person))
        arrive(where, person, transport)
    assert where.focus.awaited == 0
    assert {who for who, _ in persons[0].slots.values() if who} == {2, 3}


def test_notes_of_another_form_cost_their_member_alone() -> None:
    where = world()
    book = Notebook(where)
    alice, bob, _carol = people(where, 3)
    notes = json.loads(json.dumps(book.notes))
    key = next(each for each in notes if each.startswith("m") and each.endswith(".3"))
    notes[key] = {"of": "a later build"}
    for each in [each for each in notes if each.startswith("t")]:
        notes[each] = None
    move(where, notes)
    assert where.focus.members == 2
    come(where, alice)
    come(where, bob)
    assert set(alice.roster) == {1, 2}


def test_whoever_is_followed_asks_everybody_to_come() -> None:
    where = world()
    persons = people(where, 2)
    Person(where, "@dave:example.org", "DAVE", "dave").call()  # no channel yet
    effects = where.focus.handle(Shutdown(silent=True, resume=True), where.now)
    assert effects == [CloseChannel(each.transport) for each in persons if each.transport]
