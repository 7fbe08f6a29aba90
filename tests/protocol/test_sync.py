"""A sync answer in pieces: whatever one event is, every other one comes through."""

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nio import SyncResponse

from control.protocol import sync


def event(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "type": "m.call.hangup",
        "sender": "@alice:example.org",
        "event_id": f"$event{number}",
        "origin_server_ts": 1,
        "content": {"call_id": "c", "version": "1"},
        **changes,
    }


def answer(*events: Any) -> dict[str, Any]:
    return {
        "next_batch": "s2",
        "rooms": {
            "join": {
                "!good:example.org": {"timeline": {"events": [event(1), event(2)]}},
                "!bad:example.org": {"timeline": {"events": list(events)}},
            }
        },
    }


def delivered(pieces: list[sync.Piece]) -> list[str]:
    return [piece.event["event_id"] for piece in pieces if isinstance(piece, sync.RoomPiece) and piece.event]


POISON = [
    ("not an object", "text"),
    ("null", None),
    ("no content", {k: v for k, v in event(9).items() if k != "content"}),
    ("content is a list", event(9, content=[])),
    ("time is text", event(9, origin_server_ts="1")),
    ("time is a bool", event(9, origin_server_ts=True)),
    ("no sender", event(9, sender="")),
    ("type is a number", event(9, type=5)),
    ("unsigned is text", event(9, unsigned="x")),
    ("state key is a number", event(9, state_key=7)),
]


@pytest.mark.parametrize(("name", "poison"), POISON, ids=[name for name, _ in POISON])
def test_poison_costs_itself_alone(name: str, poison: Any) -> None:
    pieces = list(sync.split_untrusted(answer(event(3), poison, event(4))))
    assert sorted(delivered(pieces)) == ["$event1", "$event2", "$event3", "$event4"]
    assert sum(isinstance(piece, sync.PoisonPiece) for piece in pieces) == 1


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += leaves(inner, (*path, key))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found += leaves(inner, (*path, index))
    return found


TEMPLATE = answer(event(3, unsigned={"age": 5}), event(4))
PATHS = [
    path for path in leaves(TEMPLATE) if path and path[0] != "next_batch" and "!good:example.org" not in path
]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(PATHS), JSON_VALUES)
def test_any_change_outside_the_good_room_leaves_it_whole(path: tuple[Any, ...], value: Any) -> None:
    changed = copy.deepcopy(TEMPLATE)
    holder: Any = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    good = delivered(list(sync.split_untrusted(changed)))
    if path not in {("rooms",), ("rooms", "join")}:
        assert {"$event1", "$event2"} <= set(good)


@given(JSON_VALUES)
def test_anything_else_is_refused_in_one_way(value: Any) -> None:
    with contextlib.suppress(sync.SyncError):
        list(sync.split_untrusted(value))


def test_every_piece_is_an_answer_matrix_nio_reads() -> None:
    """The bodies go to matrix-nio: they have to satisfy its schema."""
    whole = answer(event(3), event(4))
    whole["device_lists"] = {"changed": ["@a:b"], "left": [], "other": 1}
    whole["device_one_time_keys_count"] = {"signed_curve25519": 50, "junk": "x"}
    whole["to_device"] = {"events": [{"type": "m.dummy", "sender": "@a:b", "content": {}}, 5]}
    whole["rooms"]["join"]["!good:example.org"]["summary"] = {"m.joined_member_count": 2, "m.heroes": "?"}
    for piece in sync.split_untrusted(json.loads(json.dumps(whole))):
        if isinstance(piece, sync.CorePiece | sync.ToDevicePiece | sync.RoomPiece):
            assert isinstance(SyncResponse.from_dict(copy.deepcopy(piece.body)), SyncResponse)


@pytest.mark.parametrize(
    ("unsigned", "age"),
    [({}, None), ({"age": 5}, 5), ({"age": -1}, None), ({"age": "5"}, None), ({"age": True}, None)],
)
def test_age(unsigned: dict[str, Any], age: int | None) -> None:
    assert sync.age_ms(event(1, unsigned=unsigned)) == age
