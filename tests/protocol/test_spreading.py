"""One conference on several workers: who is placed where, and what stands in which table."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control.protocol import limits, names
from control.protocol.allocation import WorkerPlace
from control.protocol.events import Dominant, PublishRoutes, SinkSwitched, WorkerBusy
from control.protocol.focus import Focus, FocusConfig
from control.protocol.forwarding import Routes
from control.protocol.rows import NONE, SourceKind
from control.protocol.sdp import Fingerprint
from tests.protocol.people import BOT, Person, World, metadata, people, randomness, world
from tests.protocol.test_resumption import arrive, ask, token_of


@pytest.fixture(autouse=True)
def small_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is outgrown by two members."""
    monkeypatch.setattr(limits, "SPREAD_TRANSPORTS", 2)
    monkeypatch.setattr(limits, "SPREAD_COST", 1)


def check_tables(where: World) -> None:
    """What workers rely on: every row points to rows that are there; both sides agree who tells whom."""
    for worker, table in where.tables.items():
        for handle, source in table.sources.items():
            transport = table.transports[source.transport]
            assert transport.incarnation == source.transport_incarnation
            if source.home:
                assert transport.foreign == source.home
                assert not source.exports
                home = where.tables[source.home - 1].sources[source.home_source]
                assert home.incarnation == source.home_incarnation
                assert home.exports >> worker & 1
                assert (home.member, home.kind, home.rids) == (source.member, source.kind, source.rids)
            else:
                assert handle in transport.sources
                told = {
                    other
                    for other, there in where.tables.items()
                    for row in there.sources.values()
                    if (row.home, row.home_source) == (worker + 1, handle)
                }
                assert {bit for bit in range(32) if source.exports >> bit & 1} == told
        for sink in table.sinks.values():
            assert not table.transports[sink.transport].foreign
            if sink.source != NONE:
                assert table.sources[sink.source].incarnation == sink.source_incarnation
        for transport in table.transports.values():
            assert bool(transport.foreign) == (not transport.ice)
            assert not (transport.foreign and (transport.keys or transport.sources))


def hang_up(where: World, person: Person) -> None:
    said = {"call_id": person.call_id, "version": "1", "party_id": person.device_id}
    where.matrix(names.HANGUP, said, person.user_id)


def workers_of(persons: list[Person]) -> list[int]:
    return [person.transport.worker for person in persons if person.transport is not None]


def seen(where: World, person: Person) -> set[tuple[int, SourceKind]]:
    """(member, kind) of all that a receiver's slots carry."""
    assert person.transport is not None
    table = where.tables[person.transport.worker]
    return {
        (table.sources[sink.source].member, SourceKind(table.sources[sink.source].kind))
        for sink in table.sinks.values()
        if sink.transport == person.transport.handle and sink.source != NONE
    }


def test_a_conference_is_on_one_worker_until_that_has_enough() -> None:
    where = world(workers=2)
    persons = people(where, 6)
    assert workers_of(persons) == [0, 0, 1, 0, 1, 0] or Counter(workers_of(persons)) == {0: 3, 1: 3}
    assert workers_of(persons)[:3] == [0, 0, 1]
    check_tables(where)


def test_a_busy_worker_is_outgrown_by_fewer() -> None:
    where = world(workers=2)
    (alice,) = people(where, 1)
    where.handle(WorkerBusy(0, 0.6))
    bob = Person(where, "@bob:example.org", "BOB", "bob").call().connect()
    assert workers_of([alice, bob]) == [0, 1]
    where.handle(WorkerBusy(0, 0.1))
    where.handle(WorkerBusy(1, 0.6))
    carol = Person(where, "@carol:example.org", "CAROL", "carol").call().connect()
    assert workers_of([carol]) == [0]
    check_tables(where)


def test_everybody_sees_everybody() -> None:
    where = world(workers=3)
    persons = people(where, 5)
    assert set(workers_of(persons)) == {0, 1, 2}
    check_tables(where)
    for person in persons:
        others = {each.number for each in persons if each is not person}
        assert seen(where, person) == {(o, k) for o in others for k in (SourceKind.AUDIO, SourceKind.CAMERA)}


def test_workers_without_rings_share_nothing() -> None:
    where = world(workers=2)
    places = [WorkerPlace((("192.0.2.2", 40000),), 64, 256, 2048)] * 2
    where.focus = Focus(
        FocusConfig(BOT, "FOCUSDEVICE", Fingerprint("sha-256", b"f" * 32), tuple(places)), randomness(1)
    )
    assert set(workers_of(people(where, 5))) == {0}
    assert not any(row.exports for row in where.tables[0].sources.values())


def test_the_muted_are_not_handed_over() -> None:
    where = world(workers=2)
    persons = people(where, 4)
    table = where.tables[1]
    foreign = len(table.sources)
    persons[0].say(names.METADATA_CHANGED, {names.METADATA: metadata(audio_muted=True)})
    check_tables(where)
    assert len(where.tables[1].sources) == foreign - 1
    persons[0].say(names.METADATA_CHANGED, {names.METADATA: metadata(audio_muted=False)})
    check_tables(where)
    assert len(where.tables[1].sources) == foreign
    assert (1, SourceKind.AUDIO) in seen(where, persons[2])


def test_who_leaves_leaves_nothing_anywhere() -> None:
    where = world(workers=2)
    persons = people(where, 4)
    for person in persons:
        hang_up(where, person)
        check_tables(where)
    assert all(not (t.transports or t.sources or t.sinks) for t in where.tables.values())
    assert all(
        not (rows.transports.in_use or rows.sources.in_use or rows.sinks.in_use) for rows in where.focus._rows
    )


def test_strangers_leave_room_for_members() -> None:
    where = world(workers=2, rows=(64, 16, 2048))
    persons = people(where, 8)  # four on each, with two sources each: room for some of those of the others
    check_tables(where)
    assert sorted(workers_of(persons)) == [0] * 4 + [1] * 4
    for table in where.tables.values():
        foreign = [row for row in table.sources.values() if row.home]
        assert 4 <= len(foreign) < 8


def test_whoever_speaks_is_known_by_the_worker_they_speak_at() -> None:
    where = world(workers=2)
    persons = people(where, 4)
    far = persons[2]
    assert far.transport is not None
    assert far.transport.worker == 1
    where.handle(Dominant(far.transport, far.source("audio")))
    assert persons[0].last(names.SPEAKERS) is not None
    # A slot for the loudest on one worker names a source of the other by that worker's own handle.
    table = where.tables[1]
    handle = next(h for h, row in table.sources.items() if row.home and row.member == 1)
    conference = next(iter(where.focus.conferences.values()))
    assert conference.staging.source(1, handle) == (1, names.SOURCES[table.sources[handle].kind])
    where.handle(SinkSwitched(far.transport, far.sink("a0"), handle))


def test_a_second_connection_is_on_the_same_worker() -> None:
    where = world(workers=2)
    persons = people(where, 4)
    for person in (persons[0], persons[2]):
        before = person.transport
        token = token_of(person)
        _, coming = ask(where, token)
        arrive(where, person, coming)
        assert person.transport is not None
        assert before is not None
        assert person.transport != before
        assert person.transport.worker == before.worker
        check_tables(where)


def test_the_next_control_process_finds_all_of_it() -> None:
    where = world(workers=2)
    notes: dict[str, Any] = {}

    def write(_: object) -> None:
        for worker, found in enumerate(where.focus.notes()):
            for key, value in found:
                assert worker == 0  # where the conference began
                notes.pop(key, None)
                if value is not None:
                    notes[key] = json.loads(json.dumps(value))

    where.listeners.append(write)
    persons = people(where, 5)
    before = dict(where.tables)
    places = tuple(
        WorkerPlace(
            (("192.0.2.2", 40000),),
            64,
            256,
            2048,
            (frozenset(table.transports), frozenset(table.sources), frozenset(table.sinks)),
            joined=True,
        )
        for table in (before[0], before[1])
    )
    config = FocusConfig(BOT, "FOCUSDEVICE", Fingerprint("sha-256", b"f" * 32), places)
    where.focus = Focus(config, randomness(99))
    effects = where.focus.read_back(0, notes, where.now)
    where._perform(effects)
    assert sorted(e.worker for e in effects if isinstance(e, PublishRoutes)) == [0, 1]
    assert {worker: _without_keys(table) for worker, table in where.tables.items()} == {
        worker: _without_keys(table) for worker, table in before.items()
    }
    check_tables(where)
    assert where.focus.members == len(persons)


def _without_keys(table: Routes) -> Routes:
    return Routes(dict(table.transports), dict(table.sources), dict(table.sinks))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(["join", "leave", "mute", "look"]), st.integers(0, 7)), max_size=30)
)
def test_any_course(actions: list[tuple[str, int]]) -> None:
    where = world(workers=3)
    here: dict[int, Person] = {}
    for step, (action, who) in enumerate(actions):
        if action == "join" and who not in here:
            if not here and who:
                continue  # its creator opens it
            user = "@alice:example.org" if not who else f"@person{who}:example.org"
            person = Person(where, user, f"DEV{who}", f"call{who}.{step}")
            person.call()
            if person.answer is not None:
                here[who] = person.connect()
        elif action == "leave" and who in here:
            person = here.pop(who)
            hang_up(where, person)
        elif action == "mute" and who in here:
            here[who].say(names.METADATA_CHANGED, {names.METADATA: metadata(audio_muted=bool(step & 1))})
        elif action == "look" and who in here:
            wish = {"stream_id": str(step % 8 + 1), "track_id": "camera", "height": 720, "focus": True}
            here[who].say(names.TRACK_SUBSCRIPTION, {"subscribe": [wish]})
        check_tables(where)
