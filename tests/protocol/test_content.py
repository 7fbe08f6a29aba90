"""What others write: every mutation of every message is read or refused, and nothing else happens."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.protocol import limits, names
from control.protocol.checked import ContentError
from control.protocol.content import (
    Candidates,
    Hangup,
    Invite,
    MetadataChanged,
    MissingKey,
    Negotiate,
    Pong,
    StreamInfo,
    TrackSubscription,
    TrackWish,
    Unknown,
    serialise,
)
from control.protocol.events import CountMetric, SendChannel, SendMatrix
from control.protocol.reading import ChannelContentError, parse_channel_untrusted, parse_matrix_untrusted
from control.protocol.terms import Terms
from tests.protocol.people import CREATOR, counted, invite, metadata, offer, people, world

COMMON = {"call_id": "c", "party_id": "p", "version": "1"}
MATRIX: dict[str, dict[str, Any]] = {
    names.INVITE: invite(),
    names.CANDIDATES: COMMON | {"candidates": [{"candidate": "", "sdpMid": "0", "sdpMLineIndex": 0}]},
    names.SELECT_ANSWER: COMMON | {"selected_party_id": "FOCUSDEVICE"},
    names.HANGUP: COMMON | {"reason": "user_hangup"},
    names.REJECT: COMMON,
    names.NEGOTIATE: COMMON
    | {
        "description": {"type": "offer", "sdp": offer()},
        "sdp_stream_metadata": metadata(),
        names.OFFER_ID: "o",
    },
    names.METADATA_CHANGED: COMMON | {"sdp_stream_metadata": metadata()},
}
CHANNEL: dict[str, dict[str, Any]] = {
    names.TRACK_SUBSCRIPTION: {
        "subscribe": [{"stream_id": "2", "track_id": "camera", "width": 1280, "height": 720}],
        "unsubscribe": [{"stream_id": "2", "track_id": "audio"}],
    },
    names.METADATA_CHANGED: {"sdp_stream_metadata": metadata(video_muted=True)},
    names.NEGOTIATE: {
        "description": {"type": "offer", "sdp": offer(pairs=5)},
        "sdp_stream_metadata": metadata(),
    },
    names.PONG: {},
    names.MISSING_KEY: {"member": 2, "source": "camera"},
    names.HANGUP: {"reason": "user_hangup"},
}
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    "\x00",
    "é" * 300,
    "x" * 100_000,
    [],
    [None],
    [[]] * 300,
    {},
    {"": {}},
    {"x": 1},
]


def mutations(value: Any) -> Iterator[Any]:
    """Every place of a value replaced by every odd thing, and every entry left out."""
    yield from ODD
    if isinstance(value, dict):
        for name in value:
            yield {key: each for key, each in value.items() if key != name}
            for changed in mutations(value[name]):
                yield value | {name: changed}
    elif isinstance(value, list):
        for index, each in enumerate(value):
            for changed in mutations(each):
                yield [*value[:index], changed, *value[index + 1 :]]


@pytest.mark.parametrize("event_type", MATRIX)
def test_mutated_matrix_contents(event_type: str) -> None:
    """Through the whole focus: an answer, a refusal or a count, and the others' call goes on."""
    where = world(rows=(2000, 8000, 20000))
    alice, _ = people(where, 2)
    before = len(alice.said)
    for number, content in enumerate(mutations(MATRIX[event_type])):
        effects = where.matrix(event_type, content, f"@fuzz{number}:example.org")
        assert effects
        for effect in effects:
            assert isinstance(effect, SendMatrix | CountMetric)
            if isinstance(effect, SendMatrix):
                assert effect.type in (names.REJECT, names.HANGUP)
                assert effect.content[names.ERROR]["message"].endswith(".")
                json.dumps(effect.content).encode()
    assert len(alice.said) == before
    assert where.focus.members == 2


@pytest.mark.parametrize("message_type", CHANNEL)
def test_mutated_channel_messages(message_type: str) -> None:
    where = world()
    alice, bob = people(where, 2)
    for content in mutations(CHANNEL[message_type]):
        if (
            message_type == names.HANGUP
            and isinstance(content, dict)
            and type(content.get("reason", "")) is str
        ):
            continue  # still a good-bye
        where.pass_time(1)
        heard = len(bob.said)
        effects = bob.say(message_type, content)
        refused = counted(effects, "channel_messages_refused") + counted(effects, "negotiations_refused")
        told = [kind for kind, said in bob.said[heard:] if kind == names.ERROR or "error" in said]
        assert len(told) == len(refused)
        for effect in effects:
            if isinstance(effect, SendChannel):
                serialise(effect.type, effect.content).encode()
    assert where.focus.members == 2
    assert set(alice.roster) == {1, 2}


TEXTS = [
    "",
    "{",
    "null",
    "[]",
    "7",
    '"m.call.ping"',
    "NaN",
    '{"type":"m.call.pong"}',
    '{"type":7,"content":{}}',
    '{"content":{}}',
    '{"type":"m.call.pong","content":[]}',
    '{"type":"m.call.pong","content":{"a":NaN}}',
    '{"type":"m.call.pong","content":{"a":-Infinity}}',
    "[" * 10_000,
    '{"a":' * 10_000,
    "1" * 10_000,
    "\ud800",
    '{"type":"\\ud800","content":{}}',
    '{"type":"","content":{}}',
    '{"type":"m.call.pong","content":{"a":"' + "x" * 17_000 + '"}}',
    '{"type":"m.call.negotiate","content":{"a":"' + "x" * 66_000 + '"}}',
    '{"type":"m.call.negotiate","content":{"a":"' + "é" * 33_000 + '"}}',
    "x" * 1_000_000,
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_texts_that_are_no_message(text: str) -> None:
    where = world()
    alice, _ = people(where, 2)
    effects = alice.say_text(text)
    assert len(counted(effects, "channel_messages_refused")) == 1
    assert alice.said[-1][0] == names.ERROR
    assert alice.said[-1][1]["code"] in ("message_malformed", "too_large")
    assert where.focus.members == 2


def code_of(parse: Callable[..., object], *arguments: object) -> str | None:
    """How it failed, if it did; anything but ContentError escapes."""
    try:
        parse(*arguments)
    except ContentError as error:
        return error.code
    return None


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_any_text(text: str) -> None:
    assert code_of(parse_channel_untrusted, text) in (None, "message_malformed", "too_large")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({key for content in (*MATRIX.values(), *CHANNEL.values()) for key in content} | {"stream_id"})


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(MATRIX)),
    st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=9), JSON, max_size=9),
)
def test_any_matrix_content(event_type: str, content: dict[str, Any]) -> None:
    code = code_of(parse_matrix_untrusted, event_type, COMMON | content)
    assert code in (None, "invite_malformed", "too_large", "ticket_invalid")


def test_what_is_read_of_an_invite() -> None:
    content = parse_matrix_untrusted(names.INVITE, invite())
    assert isinstance(content, Invite)
    assert (content.call_id, content.party_id, content.lifetime_ms) == ("call1", "DEVICE", 60000)
    assert content.metadata["userstream"] == StreamInfo("m.usermedia", False, False)
    assert content.join is not None
    assert (content.join.creator, content.join.epoch, len(content.join.proof)) == (CREATOR, 0, 64)
    assert content.join.opening is not None
    assert content.join.opening.terms == Terms()
    assert "proof" not in repr(content)
    assert "sdp" not in repr(content).replace("sdp_", "")


# text, what is read
READ: list[tuple[str, Any, Any]] = [
    (names.PONG, {}, Pong()),
    (names.PONG, {"more": 1}, Pong()),
    (names.MISSING_KEY, {"member": 5, "source": "screen"}, MissingKey(5, "screen")),
    (names.HANGUP, {}, Hangup("", "", "user_hangup")),
    (names.METADATA_CHANGED, {}, MetadataChanged("", "", {})),
    ("m.call.something_new", {}, Unknown()),
    (names.WELCOME, {}, Unknown()),
    (
        names.TRACK_SUBSCRIPTION,
        {"subscribe": [{"stream_id": "7", "track_id": "camera", "width": 10.5, "height": 719.7}]},
        TrackSubscription((TrackWish(7, "camera", 719),), ()),
    ),
    (
        names.TRACK_SUBSCRIPTION,
        {
            "subscribe": [
                {"stream_id": "7", "track_id": "screen", "height": 0, "focus": False, "priority": 9, "new": 1}
            ]
        },
        TrackSubscription((TrackWish(7, "screen", 0, False, 9),), ()),
    ),
    (
        names.TRACK_SUBSCRIPTION,
        {"subscribe": [{"stream_id": "7", "track_id": "audio"}], "unsubscribe": []},
        TrackSubscription((TrackWish(7, "audio"),), ()),
    ),
]


@pytest.mark.parametrize(("message_type", "content", "value"), READ)
def test_what_is_read_of_a_message(message_type: str, content: Any, value: Any) -> None:
    assert parse_channel_untrusted(serialise(message_type, content)) == (message_type, value)


def test_end_of_candidates() -> None:
    parsed = parse_matrix_untrusted(names.CANDIDATES, MATRIX[names.CANDIDATES])
    assert parsed == Candidates("c", "p", end=True)


def test_negotiate_may_be_larger_than_other_messages() -> None:
    sdp = "v=0\r\n" + "a=x\r\n" * 5_000
    content = {"description": {"type": "offer", "sdp": sdp}}
    _, parsed = parse_channel_untrusted(serialise(names.NEGOTIATE, content))
    assert isinstance(parsed, Negotiate)
    with pytest.raises(ChannelContentError) as raised:
        parse_channel_untrusted(serialise(names.PONG, content))
    assert (raised.value.code, raised.value.in_reply_to) == ("too_large", names.PONG)


def test_parsing_changes_nothing() -> None:
    for event_type, content in MATRIX.items():
        before = copy.deepcopy(content)
        parse_matrix_untrusted(event_type, content)
        assert content == before


def test_messages_beyond_the_budget_are_refused_once_and_dropped() -> None:
    where = world()
    alice, bob = people(where, 2)
    for _ in range(200):
        bob.say(names.PONG, {})
    errors = [said for kind, said in bob.said if kind == names.ERROR]
    assert [error["code"] for error in errors] == ["busy"]
    assert len(counted(where.effects, "channel_messages_refused")) == 200 - limits.MESSAGE_BURST
    where.pass_time(2)
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": metadata(audio_muted=True)})
    assert alice.roster[2]["audio_muted"] is True


def test_offers_have_a_budget_of_their_own() -> None:
    where = world()
    (alice,) = people(where, 1)
    for _ in range(30):
        alice.say(names.NEGOTIATE, {"description": {"type": "offer", "sdp": "rubbish"}})
    answered = [said for kind, said in alice.said if kind == names.NEGOTIATE]
    assert len(answered) == limits.NEGOTIATE_BURST
    assert [said["code"] for kind, said in alice.said if kind == names.ERROR] == ["busy"]


def test_too_many_subscriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SUBSCRIPTIONS_MAX", 3)
    where = world()
    alice, *_ = people(where, 4)
    wishes = [
        {"stream_id": str(n), "track_id": t, "height": 720} for n in (2, 3, 4) for t in ("camera", "audio")
    ]
    alice.say(names.TRACK_SUBSCRIPTION, {"subscribe": wishes})
    alice.say(names.TRACK_SUBSCRIPTION, {"subscribe": wishes})
    assert [said["code"] for kind, said in alice.said if kind == names.ERROR] == ["too_large"]
    # Those it has may still change.
    effects = alice.say(names.TRACK_SUBSCRIPTION, {"subscribe": wishes[:1]})
    assert counted(effects, "subscriptions_refused") == []


def test_subscriptions_to_nobody_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SUBSCRIPTIONS_MAX", 3)
    where = world()
    alice, *_ = people(where, 3)
    gone = [{"stream_id": str(number), "track_id": "camera", "height": 720} for number in range(10, 20)]
    assert counted(alice.say(names.TRACK_SUBSCRIPTION, {"subscribe": gone}), "subscriptions_refused") == []


def test_a_missing_key_is_counted() -> None:
    where = world()
    alice, _ = people(where, 2)
    assert alice.say(names.MISSING_KEY, {"member": 2, "source": "camera"}) == [
        CountMetric("missing_keys", "camera")
    ]
