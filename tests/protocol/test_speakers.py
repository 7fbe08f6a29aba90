"""Who speaks: what members are told of it, who takes whose slot pair, who is on the loudest slots."""

import pytest

from control.protocol import limits, names
from control.protocol.events import (
    ChannelClosed,
    ChannelOpened,
    Dominant,
    PublishRoutes,
    SinkSwitched,
    Speaking,
    WorkerStarted,
)
from control.protocol.rows import NONE
from control.protocol.slots import Occupant
from control.protocol.speakers import Speakers, seat
from tests.protocol.people import Person, counted, offer, people, world

GAP = limits.MESSAGE_GAP
NEVER = float("-inf")
A, B, C = Occupant(1), Occupant(2), Occupant(3)


@pytest.mark.parametrize(
    ("pairs", "silent_since", "kept", "seated"),
    [
        # Whoever has been silent longest goes.
        ({0: A, 1: B, 2: C}, {1: 30.0, 2: 10.0, 3: 20.0}, set(), {0: A, 1: 9, 2: C}),
        # Who never spoke has been silent longest; of several of those the last one goes.
        ({0: A, 1: B, 2: C}, {1: NEVER, 2: 10.0, 3: NEVER}, set(), {0: A, 1: B, 2: 9}),
        # Not who speaks now, nor who is watched or pinned.
        ({0: A, 1: B, 2: C}, {1: None, 2: 10.0, 3: 20.0}, {2}, {0: A, 1: B, 2: 9}),
        # Nobody can go: nobody comes.
        ({0: A, 1: B}, {1: None, 2: 10.0}, {2}, {0: A, 1: B}),
        ({}, {}, set(), {}),
        # A screen is shared to be read, whoever speaks.
        ({0: A, 1: Occupant(1, screen=True)}, {1: 30.0}, set(), {0: 9, 1: Occupant(1, screen=True)}),
        ({0: Occupant(1, screen=True)}, {1: NEVER}, set(), {0: Occupant(1, screen=True)}),
    ],
)
def test_who_makes_room_for_a_speaker(pairs, silent_since, kept, seated) -> None:
    expected = {pair: Occupant(9) if who == 9 else who for pair, who in seated.items()}
    assert seat(pairs, 9, silent_since.get, kept) == expected


def test_how_long_somebody_has_been_silent() -> None:
    speakers = Speakers()
    assert speakers.silent_since(1) == NEVER
    speakers.speaks(1, True, 10.0)
    assert speakers.silent_since(1) is None
    speakers.speaks(1, False, 12.0)
    assert speakers.silent_since(1) == 12.0
    speakers.leaves(1)
    assert speakers.silent_since(1) == NEVER


def speaking(person: Person) -> tuple[list[int], int | None] | None:
    told = person.last(names.SPEAKERS)
    return None if told is None else (told["speaking"], told["dominant"])


def test_everybody_is_told_who_speaks() -> None:
    where = world()
    alice, bob, carol = people(where, 3)
    assert speaking(alice) is None
    bob.speaks()
    assert speaking(alice) == speaking(bob) == ([2], None)
    where.pass_time(GAP)
    bob.takes_floor()
    assert speaking(carol) == ([2], 2)
    where.pass_time(1)
    carol.speaks()
    alice.speaks()
    bob.speaks(False)
    assert speaking(alice) == ([2, 3], 2)  # the first at once
    where.pass_time(GAP)
    assert speaking(alice) == ([1, 3], 2)  # the rest together, in order
    where.pass_time(1)
    bob.say(names.HANGUP, {})
    assert speaking(alice) == ([1, 3], None)


def test_only_who_is_in_the_roster_is_named() -> None:
    where = world()
    alice, _ = people(where, 2)
    late = Person(where, "@late:example.org", "L", "late").call().connect(channel=False)
    late.speaks()
    late.takes_floor()
    assert speaking(alice) is None
    where.handle(ChannelOpened(late.transport))
    assert speaking(alice) == speaking(late) == ([3], 3)


def test_a_new_channel_is_told_and_silence_is_not() -> None:
    where = world()
    alice, bob = people(where, 2)
    bob.speaks()
    for names_told in ([2], []):
        where.handle(ChannelClosed(alice.transport))
        where.handle(ChannelOpened(alice.transport))
        since = [kind for kind, _ in alice.said][::-1].index(names.WELCOME)
        assert (names.SPEAKERS in [kind for kind, _ in alice.said[-since - 1 :]]) == bool(names_told)
        bob.speaks(False)


def test_a_worker_that_starts_anew_says_who_speaks_and_not_who_fell_silent() -> None:
    where = world()
    alice, bob, carol = people(where, 3)
    bob.speaks()
    carol.takes_floor()
    where.pass_time(1)
    where.handle(WorkerStarted(0))
    assert speaking(alice) == ([], 3)
    assert where.handle(WorkerStarted(0)) == []


def test_of_a_film_that_is_shared_nothing_is_said() -> None:
    where = world()
    alice, bob = people(where, 2, sdp=offer(sources=("audio", "camera", "screen", "screen_audio")))
    told = len(alice.said)
    for event in (
        Speaking(bob.transport, bob.source("screen_audio"), True),
        Dominant(bob.transport, bob.source("screen_audio")),
    ):
        assert where.handle(event) == []
    assert len(alice.said) == told


# -- slot pairs --


def test_whoever_takes_the_floor_gets_a_pair() -> None:
    where = world()
    alice, bob, carol, dave = people(where, 4, sdp=offer(pairs=2))
    assert (alice.slots["v0"][0], alice.slots["v1"][0]) == (2, 3)
    bob.speaks()
    bob.speaks(False)
    dave.speaks()
    assert (alice.slots["v0"][0], alice.slots["v1"][0]) == (2, 3)  # speaking is not enough
    revision = alice.last(names.SLOTS)["revision"]
    dave.takes_floor()
    assert (alice.slots["v0"], alice.slots["v1"]) == ((2, "camera"), (4, "camera"))
    assert alice.slots["a1"] == (4, "audio")
    assert alice.last(names.SLOTS)["revision"] == revision + 1
    # Those who see him already, and himself, see no change.
    assert dave.slots["v0"][0] == 1
    # He keeps it: who comes next takes another's.
    where.pass_time(1)
    dave.speaks(False)
    carol.speaks()
    carol.takes_floor()
    assert (alice.slots["v0"], alice.slots["v1"]) == ((3, "camera"), (4, "camera"))
    assert bob.roster.keys() == {1, 2, 3, 4}


def test_watched_and_pinned_people_keep_their_pair() -> None:
    for wish in ({"height": 720}, {"height": 90, "priority": 1}, {"height": 90, "focus": True}):
        where = world()
        alice, _, _, dave = people(where, 4, sdp=offer(pairs=2))
        entry = {"stream_id": "3", "track_id": "camera", **wish}
        alice.say(names.TRACK_SUBSCRIPTION, {"subscribe": [entry]})
        dave.speaks()
        dave.takes_floor()
        assert (alice.slots["v0"][0], alice.slots["v1"][0]) == (4, 3)


def test_with_everybody_speaking_who_falls_silent_makes_room() -> None:
    where = world()
    alice, bob, carol, dave = people(where, 4, sdp=offer(pairs=2))
    for each in (bob, carol, dave):
        each.speaks()
    dave.takes_floor()
    assert (alice.slots["v0"][0], alice.slots["v1"][0]) == (2, 3)
    bob.speaks(False)
    assert (alice.slots["v0"][0], alice.slots["v1"][0]) == (4, 3)


# -- loudest slots --


def test_loudest_slots_name_who_is_heard_there() -> None:
    where = world()
    alice, bob, carol, dave = people(where, 4, sdp=offer(pairs=1, loudest=2))
    row = where.tables[0].sinks[alice.sink("l0")]
    assert (row.loudest, row.source, row.hidden) == (True, NONE, False)
    assert not where.tables[0].sinks[alice.sink("a0")].loudest
    assert alice.slots["l0"] == (None, None)

    def put(mid: str, who: Person | None) -> list[object]:
        source = None if who is None else who.source("audio")
        return list(where.handle(SinkSwitched(alice.transport, alice.sink(mid), source)))

    routes = [each for each in put("l0", carol) if isinstance(each, PublishRoutes)]
    assert routes == []  # the worker knows better
    assert alice.slots["l0"] == (3, "audio")
    put("l1", dave)
    assert (alice.slots["l0"], alice.slots["l1"]) == ((3, "audio"), (4, "audio"))
    told = len(alice.said)
    assert counted(put("l1", dave), "sinks_switched") == [""]
    assert len(alice.said) == told
    put("l0", None)
    assert alice.slots["l0"] == (None, None)
    # Whoever leaves, or gets a pair, is not there any more, whatever the worker has said so far.
    put("l0", carol)
    dave.say(names.HANGUP, {})
    assert (alice.slots["l0"], alice.slots["l1"]) == ((3, "audio"), (None, None))
    bob.say(names.HANGUP, {})
    assert alice.slots["a0"] == (3, "audio")
    assert alice.slots["l0"] == (None, None)


def test_of_other_slots_control_knows_better() -> None:
    where = world()
    alice, bob, carol = people(where, 3, sdp=offer(pairs=2, loudest=1))
    told = len(alice.said)
    where.handle(SinkSwitched(alice.transport, alice.sink("a1"), bob.source("audio")))
    assert counted(where.handle(SinkSwitched(alice.transport, 999, 0)), "events_ignored") == ["media"]
    where.handle(SinkSwitched(alice.transport, alice.sink("l0"), 999))
    assert len(alice.said) == told
    assert alice.slots["a1"] == (carol.number, "audio")


def test_somebody_who_only_listens_hears_the_loudest() -> None:
    where = world()
    people(where, 2)
    carol = Person(where, "@carol:example.org", "C", "c").call(sdp=offer(pairs=0, loudest=3)).connect()
    assert carol.slots == {"l0": (None, None), "l1": (None, None), "l2": (None, None)}
    rows = [where.tables[0].sinks[carol.sink(mid)] for mid in carol.slots]
    assert all(row.loudest for row in rows)
