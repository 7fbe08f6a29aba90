"""What others write, read: as the page says, or Malformed, and nothing else."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.matrix.inbox import from_source
from client.protocol import events, messages, names
from client.protocol.checked import Malformed
from client.protocol.reading import read_hangup_untrusted, read_message_untrusted

CONFERENCE = "a-conference-of-the-tests"
MEMBER = {
    "member": 3,
    "user_id": "@a:b",
    "device_id": "D",
    "audio_muted": False,
    "video_muted": True,
    "sources": ["audio", "telepathy"],
}
GOOD: list[tuple[str, Any, messages.Message]] = [
    (
        names.WELCOME,
        {
            "version": 1,
            "member": 3,
            "conference_id": CONFERENCE,
            "ping_interval_ms": 10000,
            "epoch": 0,
            "verifier": "A" * 43,
            "x": 1,
        },
        messages.Welcome(1, 3, CONFERENCE, 10.0, 0, bytes(32)),
    ),
    (
        names.MEMBERS,
        {"reset": True, "present": [MEMBER], "gone": [1]},
        messages.Members(True, (messages.Member(3, "@a:b", "D", False, True, ("audio",)),), (1,)),
    ),
    (
        names.SLOTS,
        {"revision": 4, "slots": [{"mid": "3", "member": None, "source": None}]},
        messages.Slots(4, (messages.Slot("3", None, None),)),
    ),
    (
        names.SEND,
        {
            "sources": {
                "camera": {"encodings": {"f": {"active": True, "max_bitrate": 9, "max_framerate": 15}}}
            }
        },
        messages.Send({"camera": {"f": messages.Encoding(True, 9, 1.0, 15)}}),
    ),
    (names.SPEAKERS, {"speaking": [5], "dominant": None}, messages.Speakers((5,), None)),
    (
        names.LAYERS,
        {"slots": {"3": {"encoding": None, "temporal": 0}}},
        messages.Layers({"3": messages.Layer(None, 0)}),
    ),
    (
        names.LAYERS,
        {"slots": {}, "sealed": [{"member": 5, "source": "camera", "encoding": "f", "temporal": 0}]},
        messages.Layers({}, (((5, "camera"), messages.Layer("f", 0)),)),
    ),
    (
        names.VIEWERS,
        {"sources": {"audio": {"viewers": 2, "lost_mean": 0, "lost_worst": 0.5}}},
        messages.Viewers({"audio": messages.Viewing(2, 0, 0.5)}),
    ),
    (names.NEGOTIATE, {"error": {"code": "busy", "message": "x"}}, messages.Negotiated(None, "busy", "x")),
    (names.NEGOTIATE, {"description": {"type": "answer", "sdp": "v=0"}}, messages.Negotiated("v=0")),
    (names.PING, {}, messages.Ping()),
    (
        names.ERROR,
        {"code": "busy", "message": "x", "in_reply_to": ""},
        messages.FocusError("busy", "x", ""),
    ),
    (names.HANGUP, {"reason": "ice_failed"}, messages.Hangup("ice_failed", "ice_failed", "")),
    ("org.example.later", {"anything": []}, messages.Unknown("org.example.later")),
]


def whole(kind: str, content: object) -> str:
    return json.dumps({"type": kind, "content": content})


@pytest.mark.parametrize(("kind", "content", "value"), GOOD)
def test_messages_as_the_page_says(kind: str, content: object, value: messages.Message) -> None:
    assert read_message_untrusted(whole(kind, content)) == value


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (names.WELCOME, {"version": 1, "member": 0, "conference_id": "x", "ping_interval_ms": 1, "epoch": 0}),
        (names.MEMBERS, {"reset": 1, "present": [], "gone": []}),
        (names.MEMBERS, {"reset": False, "present": [{**MEMBER, "member": 70000}], "gone": []}),
        (names.SLOTS, {"revision": 1, "slots": [{"mid": "x" * 17, "member": None, "source": None}]}),
        (names.SLOTS, {"revision": 1, "slots": [{"mid": "1", "member": 1, "source": "telepathy"}]}),
        (names.SPEAKERS, {"speaking": "5", "dominant": None}),
        (names.LAYERS, {"slots": {"3": {"encoding": "x", "temporal": 0}}}),
        (names.VIEWERS, {"sources": {"audio": {"viewers": 2, "lost_mean": 2, "lost_worst": 0}}}),
        (names.NEGOTIATE, {"description": {"type": "offer", "sdp": "v=0"}}),
        (names.PING, None),
    ],
)
def test_messages_that_are_not(kind: str, content: object) -> None:
    with pytest.raises(Malformed):
        read_message_untrusted(whole(kind, content))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "NaN", '{"type": 5}', "[" * 100_000, "x" * 70_000])
def test_texts_that_are_no_messages(text: str) -> None:
    with pytest.raises(Malformed):
        read_message_untrusted(text)


@pytest.mark.parametrize(
    ("encoding", "value"),
    [
        ({"active": True, "max_bitrate": "much"}, messages.Encoding(True)),
        ({"active": True, "scale_resolution_down_by": 0.5}, messages.Encoding(True)),
        ({"active": True, "scale_resolution_down_by": 1.5}, messages.Encoding(True, None, 1.5)),
        ({"active": True, "max_framerate": 61, "max_bitrate": True}, messages.Encoding(True)),
        ({"active": "yes"}, messages.Encoding(False)),
        ({}, messages.Encoding(False)),
    ],
)
def test_what_is_wrong_in_a_wish_is_as_if_left_out(encoding: object, value: messages.Encoding) -> None:
    read = read_message_untrusted(whole(names.SEND, {"sources": {"camera": {"encodings": {"t": encoding}}}}))
    assert read == messages.Send({"camera": {"t": value}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_FIELDS = [
    "member",
    "members",
    "present",
    "gone",
    "slots",
    "sources",
    "keys",
    "key",
    "epoch",
    "reason",
    "conference_id",
]


@given(st.sampled_from([kind for kind, _, _ in GOOD]), st.dictionaries(st.sampled_from(_FIELDS), JSON) | JSON)
def test_any_content_is_read_or_malformed(kind: str, content: object) -> None:
    with contextlib.suppress(Malformed):
        read_message_untrusted(whole(kind, content))


@given(st.dictionaries(st.sampled_from([*_FIELDS, "focus", "created_ts", "ended", "raised"]), JSON) | JSON)
def test_any_event_is_read_or_malformed(content: Any) -> None:
    for read in (
        lambda value: events.read_announcement_untrusted(value, "@a:b"),
        events.read_ticket_request_untrusted,
        events.read_media_keys_untrusted,
        events.read_key_request_untrusted,
        events.read_hand_untrusted,
        events.read_reaction_untrusted,
        lambda value: read_hangup_untrusted(value) if isinstance(value, dict) else None,
    ):
        with contextlib.suppress(Malformed):
            read(content)
    if isinstance(content, dict):
        from_source("!room:x", content)


@pytest.mark.parametrize(
    ("key", "good"),
    [("👏", True), ("👩‍👩‍👧", True), ("hello", False), ("ä", False), ("👏" * 9, False), ("", False)],
)
def test_reactions_are_one_emoji(key: str, good: bool) -> None:
    content = {"conference_id": CONFERENCE, "member": 3, "key": key}
    if good:
        assert events.read_reaction_untrusted(content).key == key
    else:
        with pytest.raises(Malformed):
            events.read_reaction_untrusted(content)


def test_announcements() -> None:
    made = events.Announcement(CONFERENCE, "@a:b", "@sotto:b", "voice", 5, "https://sotto.b/", 12)
    content = made.content("@a:b")
    assert events.read_announcement_untrusted(content, "@a:b") == made
    assert "creator" not in content
    # Carried on by somebody else it is the same one.
    assert events.read_announcement_untrusted(made.content("@c:b"), "@c:b") == made
    plain = events.Announcement(CONFERENCE, "@a:b", "@sotto:b", "video", 5)
    assert events.read_announcement_untrusted(plain.content("@a:b"), "@a:b") == plain
    assert events.read_announcement_untrusted({}, "@a:b") is None
    assert events.read_announcement_untrusted({**content, "ended": True}, "@a:b") is None
    for wrong in ({"limits": {"members": 0}}, {"focus": {"user_id": "@a:b", "url": 3}}, {"creator": "a"}):
        with pytest.raises(Malformed):
            events.read_announcement_untrusted({**content, **wrong}, "@a:b")


def test_an_empty_list_of_keys_says_nothing() -> None:
    content = {"conference_id": CONFERENCE, "member": 3, "device_id": "D", "keys": []}
    assert events.read_media_keys_untrusted(content).keys == ()


@pytest.mark.parametrize(
    ("url", "service", "address"),
    [
        ("resume", "https://calls.example.org/sotto/", "https://calls.example.org/sotto/resume"),
        ("https://calls.example.org/resume", None, "https://calls.example.org/resume"),
        ("https://calls.example.org/resume", "https://page.example.org/", "https://calls.example.org/resume"),
        ("resume", "http://127.0.0.1:8448/", "http://127.0.0.1:8448/resume"),
        ("resume", None, None),
        # A token is for nobody on the way, nor for another scheme.
        ("http://calls.example.org/resume", None, None),
        ("resume", "http://192.0.2.1/", None),
        ("file:///etc/passwd", "https://calls.example.org/", None),
    ],
)
def test_where_a_second_connection_is_asked_for(url: str, service: str | None, address: str | None) -> None:
    assert messages.resume_address(url, service) == address
