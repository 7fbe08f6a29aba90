"""What receivers are told they get, and senders that their viewers lose; what a slow channel keeps."""

from typing import Any

import pytest

from control.protocol import limits, names
from control.protocol.backlog import Backlog
from control.protocol.events import ChannelClosed, ChannelOpened, SinkDeal, ViewersLose
from control.protocol.pace import Pace
from tests.protocol.people import Person, counted, metadata, people, world
from tests.protocol.test_sending import look

GAP = limits.MESSAGE_GAP


def deal(receiver: Person, mid: str, encoding: int | None, temporal: int = 2) -> None:
    assert receiver.transport is not None
    receiver.world.handle(SinkDeal(receiver.transport, receiver.sink(mid), encoding, temporal))


def settled(count: int) -> tuple[Any, list[Person]]:
    where = world()
    found = people(where, count)
    where.pass_time(1)
    return where, found


def test_a_deal_is_told_when_it_changes() -> None:
    where, (alice, _, _) = settled(3)
    assert alice.layers == {}
    deal(alice, "v0", 2)
    assert alice.last(names.LAYERS) == {"slots": {"v0": {"encoding": "f", "temporal": 2}}}
    told = len(alice.said)
    deal(alice, "v0", 2)
    where.pass_time(1)
    assert len(alice.said) == told
    deal(alice, "v0", 1, 0)
    deal(alice, "v1", None)
    assert alice.layers == {"v0": ("m", 0)}  # the first at once
    where.pass_time(GAP)
    assert alice.last(names.LAYERS) == {"slots": {"v1": {"encoding": None, "temporal": 0}}}


def test_deals_of_sounds_and_of_gone_slots_are_nobodys() -> None:
    where, (alice, _) = settled(2)
    told = len(alice.said)
    deal(alice, "a0", 0)
    deal(alice, "v3", 2)  # carries nobody
    assert counted(where.handle(SinkDeal(alice.transport, 999, 0, 0)), "events_ignored") == ["media"]
    where.pass_time(1)
    assert len(alice.said) == told


def test_a_hidden_tile_is_not_paused() -> None:
    where, (alice, bob) = settled(2)
    deal(alice, "v0", 0)
    look(alice, bob, 0)
    sink = where.tables[0].sinks[alice.sink("v0")]
    assert (sink.hidden, sink.focus) == (True, False)
    assert alice.slots["v0"] == (2, "camera")
    deal(alice, "v0", None)
    where.pass_time(1)
    assert alice.layers == {"v0": ("t", 2)}
    # Looked at again the worker has a moment to find what it may have.
    look(alice, bob, 720)
    deal(alice, "v0", 2)
    where.pass_time(1)
    assert alice.layers == {"v0": ("f", 2)}
    assert names.LAYERS not in [kind for kind, content in alice.said if content.get("encoding", 1) is None]


def test_a_picture_that_does_not_fit_is_paused_after_a_moment() -> None:
    where, (alice, bob) = settled(2)
    deal(alice, "v0", 0)
    look(alice, bob, 0)
    deal(alice, "v0", None)
    where.pass_time(1)
    look(alice, bob, 720)
    where.pass_time(limits.DEAL_SETTLE / 2)
    assert alice.layers == {"v0": ("t", 2)}
    where.pass_time(limits.DEAL_SETTLE / 2)
    assert alice.layers == {"v0": (None, 0)}


def test_a_muted_camera_is_not_paused() -> None:
    where, (alice, bob) = settled(2)
    deal(alice, "v0", 0)
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": metadata(video_muted=True)})
    deal(alice, "v0", None)
    where.pass_time(1)
    assert alice.layers == {"v0": ("t", 2)}


def test_a_new_channel_is_told_all_deals() -> None:
    where, (alice, _, _) = settled(3)
    deal(alice, "v0", 2)
    deal(alice, "v1", 0)
    where.pass_time(1)
    where.handle(ChannelClosed(alice.transport))
    where.handle(ChannelOpened(alice.transport))
    assert alice.layers == {"v0": ("f", 2), "v1": ("t", 2)}


def lose(sender: Person, source: str, viewers: int, worst: int, mean: int) -> None:
    assert sender.transport is not None
    sender.world.handle(ViewersLose(sender.transport, sender.source(source), viewers, worst, mean))


def test_what_viewers_lose_is_told_now_and_then() -> None:
    where, (_, bob) = settled(2)
    lose(bob, "camera", 7, 20, 3)
    assert bob.last(names.VIEWERS) == {
        "sources": {"camera": {"viewers": 7, "lost_mean": 0.01, "lost_worst": 0.08}}
    }
    told = len(bob.said)
    lose(bob, "camera", 7, 21, 3)  # not another hundredth
    where.pass_time(5)
    assert len(bob.said) == told
    lose(bob, "camera", 7, 60, 30)
    lose(bob, "audio", 3, 0, 0)
    lose(bob, "camera", 8, 255, 128)
    told = len(bob.said)
    assert (bob.last(names.VIEWERS) or {})["sources"]["camera"]["lost_worst"] == 0.23
    where.pass_time(limits.VIEWERS_GAP - 0.01)
    assert len(bob.said) == told
    where.pass_time(0.01)
    assert bob.last(names.VIEWERS) == {
        "sources": {
            "camera": {"viewers": 8, "lost_mean": 0.5, "lost_worst": 1.0},
            "audio": {"viewers": 3, "lost_mean": 0.0, "lost_worst": 0.0},
        }
    }
    where.pass_time(limits.VIEWERS_GAP)
    lose(bob, "camera", 0, 0, 0)
    assert list((bob.last(names.VIEWERS) or {})["sources"]) == ["audio"]


# -- wishes become rows --


@pytest.mark.parametrize(
    ("wish", "row"),  # encoding, focus, hidden, priority
    [
        ({}, (0, False, False, 0)),
        ({"height": 90}, (0, False, False, 0)),
        ({"height": 300}, (1, False, False, 1)),
        ({"height": 720}, (2, True, False, 2)),
        ({"height": 720, "focus": False}, (2, False, False, 2)),
        ({"height": 300, "focus": True}, (1, True, False, 1)),
        ({"height": 90, "priority": 9}, (0, False, False, 180)),
        ({"height": 0}, (0, False, True, 0)),
        ({"height": 0.4}, (0, False, True, 0)),
        ({"height": 0, "focus": True, "priority": 1}, (0, True, True, 20)),
    ],
)
def test_a_wish_becomes_a_row(wish: dict[str, Any], row: tuple[int, bool, bool, int]) -> None:
    where = world()
    alice, _ = people(where, 2)
    entry = {"stream_id": "2", "track_id": "camera", **wish}
    alice.say(names.TRACK_SUBSCRIPTION, {"subscribe": [entry]})
    sink = where.tables[0].sinks[alice.sink("v0")]
    assert (sink.max_encoding, sink.focus, sink.hidden, sink.priority) == row
    sound = where.tables[0].sinks[alice.sink("a0")]
    assert (sound.focus, sound.hidden, sound.priority) == (False, False, 200)


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": -1}, {"height": "720"}, {"height": 1e9}, {"width": "wide"}, {"focus": 1}, {"focus": "yes"},
        {"priority": 10}, {"priority": -1}, {"priority": 1.5}, {"priority": True}, {"height": True},
    ],
)  # fmt: skip
def test_a_wish_that_makes_no_sense_changes_nothing(wrong: dict[str, Any]) -> None:
    where = world()
    alice, _ = people(where, 2)
    before = where.tables[0]
    good = {"stream_id": "2", "track_id": "camera", "height": 720}
    alice.say(names.TRACK_SUBSCRIPTION, {"subscribe": [good, {**good, **wrong}]})
    assert alice.last(names.ERROR)["code"] == names.MESSAGE_MALFORMED
    assert where.tables[0] == before


# -- how often, and what a slow channel keeps --


def test_a_pace_lets_the_first_pass_and_says_when_the_next_may() -> None:
    pace = Pace(0.5)
    assert pace.may_say(False, 9.0) is False
    assert pace.may_say(True, 10.0) is True
    assert pace.due is None
    assert pace.may_say(True, 10.25) is False
    assert pace.due == 10.5
    assert pace.may_say(False, 10.3) is False
    assert pace.due is None
    assert pace.may_say(True, 10.4) is False
    assert pace.may_say(True, 10.5) is True
    pace.reset()
    assert pace.may_say(True, 10.6) is True


def test_a_slow_channel_keeps_the_newest_of_each_kind() -> None:
    backlog = Backlog()
    assert not backlog
    for kind in (names.WELCOME, names.PING, names.ERROR, names.NEGOTIATE, names.HANGUP):
        assert backlog.put(kind, {}) is False
    for dominant in (1, 2, 3):
        assert backlog.put(names.SPEAKERS, {"speaking": [], "dominant": dominant})
        assert backlog.put(names.SEND, {"sources": {"camera": dominant}})
        assert backlog.put(names.SLOTS, {"revision": dominant})
    assert backlog.put(names.LAYERS, {"slots": {"3": "old", "5": "kept"}})
    assert backlog.put(names.LAYERS, {"slots": {"3": "new"}})
    roster = {"reset": False, "present": [], "gone": [3]}
    assert backlog.put(names.MEMBERS, roster)
    taken = []
    while (message := backlog.take()) is not None:
        taken.append(message)
    assert taken == [
        (names.MEMBERS, roster),
        (names.SLOTS, {"revision": 3}),
        (names.SEND, {"sources": {"camera": 3}}),
        (names.LAYERS, {"slots": {"3": "new", "5": "kept"}}),
        (names.SPEAKERS, {"speaking": [], "dominant": 3}),
    ]
    assert not backlog
