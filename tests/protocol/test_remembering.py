"""A control process that begins where another was killed: the same rows, the same members."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.protocol import limits, names
from control.protocol.allocation import WorkerPlace
from control.protocol.events import (
    AnswerDelivered,
    CloseTransport,
    ConsentExpired,
    PublishRoutes,
    SendMatrix,
)
from control.protocol.focus import Focus, FocusConfig
from control.protocol.forwarding import Routes
from control.protocol.sdp import Fingerprint
from control.protocol.terms import Terms
from tests.protocol.people import (
    BOT,
    KEYS,
    Person,
    World,
    apply,
    invite,
    metadata,
    offer,
    people,
    randomness,
    world,
)
from tests.protocol.test_epochs import NEW, prove, told
from tests.protocol.test_resumption import arrive, ask, token_of


class Notebook:
    """As control.io.memory keeps it."""

    def __init__(self, where: World) -> None:
        self.where = where
        self.notes: dict[str, Any] = {}
        where.listeners.append(lambda _: self.write())

    def write(self) -> None:
        for key, value in self.where.focus.notes()[0]:
            self.notes.pop(key, None)
            if value is not None:
                self.notes[key] = json.loads(json.dumps(value))


def succeed(where: World, notes: dict[str, Any], seed: int = 99) -> list[PublishRoutes]:
    """The process is killed and another one begins; what it publishes."""
    table = where.tables.get(0, Routes())
    occupied = frozenset(table.transports), frozenset(table.sources), frozenset(table.sinks)
    place = WorkerPlace((("192.0.2.2", 40000),), 64, 256, 2048, occupied)
    where.focus = Focus(
        FocusConfig(BOT, "FOCUSDEVICE", Fingerprint("sha-256", b"f" * 32), (place,)), randomness(seed)
    )
    effects = where.focus.read_back(0, notes, where.now)
    where._perform(effects)
    return [each for each in effects if isinstance(each, PublishRoutes)]


def test_every_row_is_as_it_was() -> None:
    where = world()
    book = Notebook(where)
    alice, bob, _carol = people(where, 3)
    bob.say(
        names.TRACK_SUBSCRIPTION,
        {
            "subscribe": [{"stream_id": "1", "track_id": "camera", "height": 720, "priority": 3}],
            "unsubscribe": [{"stream_id": "3", "track_id": "audio"}],
        },
    )
    alice.say(names.METADATA_CHANGED, {names.METADATA: metadata(audio_muted=True)})
    alice.takes_floor()
    before = where.tables[0]
    (published,) = succeed(where, book.notes)
    assert where.tables[0] == before
    assert apply(before, published) == before
    assert published.transports.keys() == before.transports.keys()
    assert (published.sources, published.sinks) == (before.sources, before.sinks)
    assert all(row.keys is None for row in published.transports.values())
    assert where.focus.members == 3


def test_nobody_gets_a_row_or_a_number_that_is_in_use() -> None:
    where = world()
    book = Notebook(where)
    people(where, 3)
    succeed(where, book.notes)
    before = where.tables[0]
    dave = Person(where, "@dave:example.org", "DAVE", "dave").call().connect()
    assert dave.number == 4
    assert set(dave.roster) == {1, 2, 3, 4}
    assert {h: where.tables[0].transports[h] for h in before.transports} == before.transports


def test_members_resume_and_the_rest_goes_on() -> None:
    where = world()
    book = Notebook(where)
    alice, bob, carol = people(where, 3)
    prove(alice, NEW)
    tokens = {person.call_id: token_of(person) for person in (alice, bob, carol)}
    succeed(where, book.notes)
    for person in (alice, bob, carol):
        before = person.number
        said, transport = ask(where, tokens[person.call_id])
        assert said["member"] == before
        arrive(where, person, transport)
        assert set(person.roster) == {1, 2, 3}
    assert told(bob) == (0, True, [(1, 1, 3, False)])
    prove(bob, NEW)
    assert told(carol)[:2] == (1, False)
    for person in (alice, bob, carol):
        person.say(names.RESUMED, {})
    assert len(where.tables[0].transports) == 3
    # A second death on the way.
    tokens = {person.call_id: token_of(person) for person in (alice, bob, carol)}
    succeed(where, book.notes, seed=5)
    assert ask(where, tokens[bob.call_id])[0]["member"] == bob.number


def test_who_is_gone_meanwhile_is_gone() -> None:
    where = world()
    book = Notebook(where)
    alice, bob = people(where, 2)
    token = token_of(alice)
    succeed(where, book.notes)
    assert bob.transport is not None
    done = where.handle(ConsentExpired(bob.transport))
    assert CloseTransport(bob.transport, False) in done
    assert [each.content["call_id"] for each in done if isinstance(each, SendMatrix)] == [bob.call_id]
    _, transport = ask(where, token)
    arrive(where, alice, transport)
    assert set(alice.roster) == {1}


def test_a_hangup_or_an_invite_in_the_room_finds_its_call() -> None:
    where = world()
    book = Notebook(where)
    _alice, bob = people(where, 2)
    succeed(where, book.notes)
    content = {"call_id": bob.call_id, "party_id": bob.device_id, "version": "1", "reason": "user_hangup"}
    where.matrix(names.HANGUP, content, bob.user_id)
    assert where.focus.members == 1
    again = Person(where, "@person1:example.org", "DEV1", "another").call().connect()
    assert again.number == 3


def test_who_was_only_on_the_way_in_is_not_there() -> None:
    where = world()
    book = Notebook(where)
    people(where, 1)
    Person(where, "@bob:example.org", "B", "b").call()
    succeed(where, book.notes)
    assert where.focus.members == 1


@pytest.mark.parametrize("others", [0, 2])
def test_an_invite_whose_answer_was_not_sent_is_answered_when_it_comes_again(others: int) -> None:
    where = world()
    book = Notebook(where)
    people(where, others)
    user = "@alice:example.org" if others == 0 else "@bob:example.org"
    content = invite(user, "B", "b")
    (first,) = [each for each in where.matrix(names.INVITE, content, user) if isinstance(each, SendMatrix)]
    assert first.type == names.ANSWER
    succeed(where, book.notes)
    (again,) = [each for each in where.matrix(names.INVITE, content, user) if isinstance(each, SendMatrix)]
    assert again.type == names.ANSWER
    assert where.focus.members == others + 1
    # And only this once: a proof admits for one call.
    where.matrix(names.HANGUP, {"call_id": "b", "party_id": "B", "version": "1", "reason": "x"}, user)
    (third,) = [each for each in where.matrix(names.INVITE, content, user) if isinstance(each, SendMatrix)]
    assert third.type == names.REJECT


def test_who_had_the_answer_and_no_connection_yet_is_told_to_call_again() -> None:
    where = world()
    book = Notebook(where)
    people(where, 1)
    content = invite("@bob:example.org", "B", "b")
    where.matrix(names.INVITE, content, "@bob:example.org")
    where.handle(AnswerDelivered("!dm-of-@bob:example.org", "b"))
    assert "j1.2" in book.notes
    before = len(where.effects)
    succeed(where, book.notes)
    (told,) = [each for each in where.effects[before:] if isinstance(each, SendMatrix)]
    assert (told.type, told.content["call_id"], told.room_id) == (
        names.HANGUP,
        "b",
        "!dm-of-@bob:example.org",
    )
    assert told.content[names.ERROR]["code"] == names.SHUTTING_DOWN
    book.write()
    assert "j1.2" not in book.notes  # once
    # Its proof was used.
    (said,) = [
        each
        for each in where.matrix(names.INVITE, content, "@bob:example.org")
        if isinstance(each, SendMatrix)
    ]
    assert said.type == names.REJECT


def test_what_is_noted_ends_with_the_conference() -> None:
    where = world()
    book = Notebook(where)
    alice, bob = people(where, 2)
    assert sorted(book.notes) == ["c1", "m1.1", "m1.2", "t1.1", "t1.2"]
    bob.say(names.HANGUP, {"reason": "user_hangup"})
    assert sorted(book.notes) == ["c1", "m1.1", "t1.1"]
    alice.say(names.HANGUP, {"reason": "user_hangup"})
    where.pass_time(limits.CONFERENCE_LINGER)
    book.write()
    assert book.notes == {}


def test_no_token_no_ticket_secret_and_no_key_is_noted() -> None:
    where = world()
    book = Notebook(where)
    (alice,) = people(where, 1)
    written = json.dumps(book.notes)
    assert token_of(alice) not in written
    assert token_of(alice).split(".")[2] not in written
    assert (b"s" * 32).hex() not in written
    for secret in (KEYS.rx_key, KEYS.tx_key, KEYS.rx_salt, KEYS.tx_salt):
        assert secret.hex() not in written


@pytest.mark.parametrize("damage", ["c1", "m1.1", "t1.2"])
@pytest.mark.parametrize("value", [None, {}, [], "x", {"epochs": [0, "", []]}])
def test_notes_that_cannot_be_read_cost_nobody_else(damage: str, value: Any) -> None:
    where = world()
    book = Notebook(where)
    people(where, 2)
    succeed(where, {**book.notes, damage: value})
    assert where.focus.members == (0 if damage == "c1" else 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), max_size=12), st.integers(0, 1000))
def test_killed_at_any_moment(steps: list[tuple[int, int]], seed: int) -> None:
    """Rows of who is in the roster are what they were, whatever happened before."""
    where = world(seed)
    book = Notebook(where)
    inside = people(where, 3)
    for step, value in steps:
        person = inside[value % len(inside)]
        match step:
            case 0:
                name = f"p{len(where.listeners)}"
                inside.append(Person(where, f"@{name}:example.org", name, name).call().connect())
            case 1:
                person.say(names.METADATA_CHANGED, {names.METADATA: metadata(audio_muted=bool(value % 2))})
            case 2:
                other = str(inside[value // 2 % len(inside)].number)
                entry = {"stream_id": other, "track_id": "camera", "height": value * 200}
                person.say(names.TRACK_SUBSCRIPTION, {"subscribe": [entry]})
            case 3 if len(inside) > 1:
                person.say(names.HANGUP, {"reason": "user_hangup"})
                inside.remove(person)
            case 4:
                _, transport = ask(where, token_of(person))
                arrive(where, person, transport)
                person.say(names.RESUMED, {})
                where.pass_time(6)
            case 5:
                person.takes_floor()
            case 6:
                person.say(
                    names.NEGOTIATE,
                    {
                        "description": {"type": "offer", "sdp": offer(pairs=4 + value % 2)},
                        names.METADATA: metadata(),
                    },
                )
    before = where.tables[0]
    tokens = {person.call_id: token_of(person) for person in inside}
    succeed(where, book.notes, seed + 1)
    assert where.tables[0] == before
    for person in inside:
        said, transport = ask(where, tokens[person.call_id])
        assert said["member"] == person.number
        arrive(where, person, transport)
        assert set(person.roster) == {each.number for each in inside}


def test_what_a_conference_is_for_and_its_limits_stay() -> None:
    where = world()
    book = Notebook(where)
    content = invite()
    content[names.JOIN]["open"] |= {"intent": "voice", "limits": {"members": 1}}
    alice = Person(where)
    alice.send_invite(content)
    alice.connect()
    succeed(where, book.notes)
    (conference,) = where.focus.conferences.values()
    assert conference.terms == Terms(True, 1)
