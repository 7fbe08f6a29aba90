"""What is given up when a worker is overloaded, in which order, and when it comes back; and what runs out."""

import pytest

from control.protocol import limits, names
from control.protocol.events import SendMatrix, SuppliesLeft, WorkerBusy
from control.protocol.overload import Load, Scarcity, Shed, Supplies, late_part
from control.protocol.rows import SourceKind
from tests.protocol.people import Person, World, invite, people, world

GIB = 1 << 30


def course(load: Load, *parts: tuple[float, float], start: float = 0.0) -> list[tuple[float, str]]:
    """(busy, for so many seconds)...: when which step was taken."""
    now, steps = start, []
    for busy, seconds in parts:
        for _ in range(int(seconds)):
            now += 1
            if load.measured(busy, now):
                steps.append((now, load.shed.name))
    return steps


@pytest.mark.parametrize(
    ("parts", "steps"),
    [
        # A burst of two seconds, and what is much but not too much, cost nothing.
        ([(0.99, 2), (0.3, 20)], []),
        ([(0.8, 100)], []),
        ([(0.99, 2), (0.8, 1), (0.99, 2), (0.8, 1)], []),
        # Overload that stays: joins, full resolution, the middle one, thumbnails, and then no more.
        (
            [(0.95, 60)],
            [
                (4, "JOINS"),
                (7, "FULL_RESOLUTION"),
                (10, "MIDDLE_RESOLUTION"),
                (13, "THUMBNAILS_RATE"),
            ],
        ),
        # It helped: that is where it stays, between the two bounds.
        ([(0.95, 7), (0.7, 100)], [(4, "JOINS"), (7, "FULL_RESOLUTION")]),
        # It is over: one step back after the other.
        (
            [(0.95, 7), (0.3, 60)],
            [(4, "JOINS"), (7, "FULL_RESOLUTION"), (18, "JOINS"), (28, "NOTHING")],
        ),
        # Given back too early, taken again: the next time it takes twice as long.
        (
            [(0.95, 7), (0.3, 11), (0.95, 4), (0.3, 40)],
            [
                (4, "JOINS"),
                (7, "FULL_RESOLUTION"),
                (18, "JOINS"),
                (22, "FULL_RESOLUTION"),
                (43, "JOINS"),
            ],
        ),
    ],
)
def test_steps(parts: list[tuple[float, float]], steps: list[tuple[float, str]]) -> None:
    assert course(Load(), *parts) == steps


def test_packets_that_wait_are_overload_however_little_the_worker_does() -> None:
    load = Load()
    assert [load.measured(0.1, now, late=0.5) for now in range(1, 5)] == [False, False, False, True]
    assert load.shed is Shed.JOINS
    assert not any(load.measured(0.1, now, late=0.3) for now in range(5, 100))  # neither much nor over
    assert any(load.measured(0.1, now) for now in range(100, 112))
    assert load.shed is Shed.NOTHING


@pytest.mark.parametrize(
    ("late", "sent", "part"),
    [(0, 0, 0.0), (6, 6, 0.06), (50, 60, 0.5), (99, 100, 0.99), (300, 1000, 0.3)],
)
def test_a_few_late_packets_say_nothing(late: int, sent: int, part: float) -> None:
    assert late_part(late, sent) == part


def test_patience_grows_to_a_bound_and_is_forgotten() -> None:
    load, now, waits = Load(), 0.0, []
    for _ in range(8):
        while not load.measured(0.95, now := now + 1):
            pass
        began = now
        while not load.measured(0.1, now := now + 1):
            pass
        waits.append(now - began)
    assert waits == sorted(waits)
    assert waits[0] == 11
    assert waits[-1] == limits.OVERLOAD_RELIEF_LONGEST + 1
    course(load, (0.1, 200), start=now)
    while not load.measured(0.95, now := now + 1):
        pass
    assert load._patience <= limits.OVERLOAD_RELIEF_LONGEST


def overload(where: World, seconds: int, busy: float = 0.99) -> None:
    for _ in range(seconds):
        where.pass_time(1.0)
        where.handle(WorkerBusy(0, busy))


def answer(where: World, user: str, call_id: str = "x") -> SendMatrix:
    (said,) = [
        each
        for each in where.matrix(names.INVITE, invite(user, "D", call_id), user)
        if isinstance(each, SendMatrix) and each.content["call_id"] == call_id
    ]
    return said


def cameras(where: World) -> set[int]:
    """Highest encodings that anybody gets of a camera."""
    return {
        row.max_encoding
        for row in where.tables[0].sinks.values()
        if row.kind is SourceKind.CAMERA and row.source_incarnation
    }


def thumbnails(where: World) -> set[int]:
    cameras = [row for row in where.tables[0].sources.values() if row.kind is SourceKind.CAMERA]
    return {row.max_bps[0] for row in cameras}


def test_in_a_conference() -> None:
    """Joins first, then resolution from above, thumbnails' rate at last; audio never. All comes back."""
    where = world()
    _alice, bob, _carol = people(where, 3)
    bob.say(
        names.TRACK_SUBSCRIPTION,
        {"subscribe": [{"stream_id": "1", "track_id": "camera", "height": 720}], "unsubscribe": []},
    )
    full, usual = cameras(where), thumbnails(where)
    before = where.tables[0]
    assert max(full) == 2
    overload(where, 4)
    refused = answer(where, "@dave:example.org")
    assert refused.type == names.REJECT
    assert refused.content[names.ERROR]["code"] == names.BUSY
    assert "overloaded" in refused.content[names.ERROR]["message"]
    assert cameras(where) == full
    overload(where, 3)
    assert max(cameras(where)) == 1
    overload(where, 3)
    assert cameras(where) == {0}
    assert thumbnails(where) == usual
    overload(where, 3)
    assert max(thumbnails(where)) == min(usual) * limits.OVERLOAD_THUMBNAILS // 100
    audio = [row for row in where.tables[0].sinks.values() if row.kind is SourceKind.AUDIO]
    assert len([row for row in audio if row.source_incarnation]) == 6
    overload(where, 100, busy=0.2)
    assert where.tables[0] == before
    assert Person(where, "@dave:example.org", "D", "y").call().connect().number == 4


def test_whoever_is_inside_may_call_again() -> None:
    where = world()
    (alice,) = people(where, 1)
    overload(where, 4)
    content = invite(alice.user_id, alice.device_id, "again")
    (said, *_) = [
        each
        for each in where.matrix(names.INVITE, content, alice.user_id)
        if isinstance(each, SendMatrix) and each.content["call_id"] == "again"
    ]
    assert said.type == names.ANSWER


@pytest.mark.parametrize(
    ("left", "what"),
    [
        (Supplies(1000, GIB, GIB), None),
        (Supplies(), None),
        (Supplies(descriptors=3), "file descriptors"),
        (Supplies(1000, 1 << 20, GIB), "memory"),
        (Supplies(1000, GIB, 0), "disk space"),
    ],
)
def test_what_runs_out_is_named(left: Supplies, what: str | None) -> None:
    scarcity = Scarcity()
    assert scarcity.measured(left) is (what is not None)
    assert scarcity.what == what
    assert (scarcity.message is None) == (what is None)
    assert not scarcity.measured(left)
    # Just enough is not enough to come back, twice as much is.
    if what is not None:
        scarcity.measured(Supplies(limits.DESCRIPTORS_LEAST, limits.MEMORY_LEAST, limits.DISK_LEAST))
        assert scarcity.what is not None
    scarcity.measured(Supplies(1000, GIB, GIB))
    assert scarcity.what is None


def test_who_comes_while_something_is_short_is_told_what() -> None:
    where = world()
    people(where, 1)
    where.handle(SuppliesLeft(1000, GIB, 0))
    assert where.focus.short_of == "too little disk space is left"
    refused = answer(where, "@dave:example.org")
    assert "disk space" in refused.content[names.ERROR]["message"]
    where.handle(SuppliesLeft(1000, GIB, GIB))
    assert where.focus.short_of is None
    assert answer(where, "@dave:example.org", "again").type == names.ANSWER
