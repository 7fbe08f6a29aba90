"""Who is told of whom, and when: one message for many who come together, and nobody named before it."""

from control.protocol import limits, names
from control.protocol.events import ChannelOpened, HandshakeDone, SendChannel, TransportConnected
from control.protocol.wishes import Wishes
from tests.protocol.people import CREATOR, KEYS, Person, World, people, world


def join(where: World, index: int) -> Person:
    """In no time at all."""
    user_id = CREATOR if index == 0 else f"@person{index}:example.org"
    person = Person(where, user_id, f"DEV{index}", f"call{index}").call()
    assert person.transport is not None
    for event in (TransportConnected, ChannelOpened):
        where.handle(event(person.transport))
        if event is TransportConnected:
            where.handle(HandshakeDone(person.transport, KEYS))
    return person


def rosters(person: Person) -> list[set[int]]:
    """Who is present in each P.members."""
    return [
        {each["member"] for each in said["present"]} for kind, said in person.said if kind == names.MEMBERS
    ]


def test_one_who_joins_alone_is_told_of_at_once() -> None:
    where = world()
    (alice,) = people(where, 1)
    join(where, 1)
    assert rosters(alice) == [{1}, {2}]


def test_those_who_join_together_are_told_of_together() -> None:
    where = world()
    (alice,) = people(where, 1)
    newcomers = [join(where, index) for index in range(1, 6)]
    assert rosters(alice) == [{1}, {2}]
    assert [rosters(each)[0] for each in newcomers] == [set(range(1, n)) for n in range(3, 8)]
    where.pass_time(limits.MESSAGE_GAP)
    assert rosters(alice) == [{1}, {2}, {3, 4, 5, 6}]
    # Each of them is told of what came after it, and not again of what it was told first.
    assert [rosters(each)[1:] for each in newcomers] == [
        [{3, 4, 5, 6}],
        [{4, 5, 6}],
        [{5, 6}],
        [{6}],
        [],
    ]


def test_no_slot_names_anybody_before_the_roster_does() -> None:
    where = world()
    (alice,) = people(where, 1)
    for index in range(1, 5):
        join(where, index)
    where.pass_time(limits.MESSAGE_GAP)
    known: set[int] = set()
    for kind, said in alice.said:
        if kind == names.MEMBERS:
            known |= {each["member"] for each in said["present"]}
        if kind == names.SLOTS:
            assert {each["member"] for each in said["slots"]} - {None} <= known
    assert {member for member, _ in alice.slots.values()} == {2, 3, 4, 5}


def test_who_comes_and_goes_in_between_is_never_spoken_of() -> None:
    where = world()
    (alice,) = people(where, 1)
    join(where, 1)
    gone = join(where, 2)
    gone.say(names.HANGUP, {"reason": "user_hangup"})
    where.pass_time(limits.MESSAGE_GAP)
    assert rosters(alice) == [{1}, {2}]
    assert 3 not in alice.roster


def test_a_mute_beside_joins_is_not_lost() -> None:
    where = world()
    alice, bob = people(where, 2)
    join(where, 2)
    stream = {"purpose": names.USERMEDIA, "audio_muted": True, "video_muted": False}
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": {"userstream": stream}})
    assert not alice.roster[2]["audio_muted"]
    where.pass_time(limits.MESSAGE_GAP)
    assert alice.roster[2]["audio_muted"]


def test_of_many_newcomers_many_are_told_more_seldom() -> None:
    where = world(rows=(70, 256, 2048))
    inside = people(where, 60)
    where.pass_time(1)
    told = len(rosters(inside[0]))
    join(where, 60)
    for index in range(61, 64):
        join(where, index)
        where.pass_time(0.03)
        assert rosters(inside[0])[told:] == [{61}]
    where.pass_time(64 * limits.ROSTER_GAP_OF_EACH - 0.09)
    assert rosters(inside[0])[told:] == [{61}, {62, 63, 64}]


def test_all_are_told_the_very_same_value() -> None:
    """It is made into text once for all of them."""
    where = world()
    people(where, 3)
    joined = len(where.effects)
    join(where, 3)
    told = [
        each.content
        for each in where.effects[joined:]
        if isinstance(each, SendChannel) and each.type == names.MEMBERS and not each.content["reset"]
    ]
    assert len(told) == 3
    assert len({id(content) for content in told}) == 1


def test_the_work_for_a_change_does_not_grow_with_the_square(monkeypatch: object) -> None:
    """One who looks elsewhere costs a look at its own view, whatever the number of those inside."""
    asked: list[int] = []
    true = Wishes.of

    def counted(self: Wishes, track: tuple[int, str]) -> object:
        asked.append(1)
        return true(self, track)

    where = world(rows=(64, 256, 2048))
    inside = people(where, 40)
    monkeypatch.setattr(Wishes, "of", counted)  # type: ignore[attr-defined]
    wish = {"stream_id": "3", "track_id": "camera", "width": 1280, "height": 720}
    inside[-1].say(names.TRACK_SUBSCRIPTION, {"subscribe": [wish]})
    # Its own four pairs, twice, and who of the others looks at whom it was the first to look at.
    assert len(asked) <= 2 * len(inside)
