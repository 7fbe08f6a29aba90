"""docs/schemas against what is really said: by the server, by the Python client, by the protocol page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from client.keys.ticket import Ticket
from client.protocol import messages
from client.protocol import names as client_names
from client.protocol.events import (
    Announcement,
    Hand,
    KeyEntry,
    KeyRequest,
    MediaKeys,
    MuteRequest,
    Reaction,
)
from control.protocol import names
from control.protocol.events import (
    Dominant,
    SendChannel,
    SendMatrix,
    SendTarget,
    SinkDeal,
    Speaking,
    ViewersLose,
)
from tests.client import schemas
from tests.protocol.people import Person, World, invite, people, world

PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
PREFIX = schemas.PREFIX


@pytest.mark.parametrize("name", schemas.names())
def test_every_schema_is_one(name: str) -> None:
    schema = schemas.read(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == schemas.ID + name
    assert schema["title"]


def test_every_schema_is_of_a_message() -> None:
    known = {
        *schemas.ROOM.values(),
        *schemas.CALL.values(),
        *schemas.FOCUS.values(),
        *schemas.CLIENT.values(),
    }
    http = {"http/config", "http/resume", "http/resume_answer"}
    assert known | http | {"common"} == set(schemas.names())


# --- the server ---


def said(where: World) -> list[str]:
    """What is wrong with anything this focus ever said."""
    found: list[str] = []
    for effect in where.effects:
        if isinstance(effect, SendChannel):
            message = {"type": effect.type, "content": effect.content}
            found += schemas.problems_of_message(json.loads(json.dumps(message)), schemas.FOCUS)
        elif isinstance(effect, SendMatrix):
            found += schemas.problems_of_event(
                effect.type, json.loads(json.dumps(effect.content)), schemas.CALL
            )
    return found


def kinds(where: World) -> set[str]:
    return {effect.type for effect in where.effects if isinstance(effect, SendChannel | SendMatrix)}


def test_what_the_server_says_in_a_conference() -> None:
    where = world()
    alice, bob, carol = people(where, 3)
    where.pass_time(1)
    entry = {"stream_id": str(bob.number), "track_id": "camera", "width": 1280, "height": 720}
    alice.say(names.TRACK_SUBSCRIPTION, {"subscribe": [entry], "unsubscribe": []})
    muted = {"userstream": {"purpose": names.USERMEDIA, "audio_muted": True}}
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": muted})
    alice.say("org.example.unknown", {})
    alice.say(names.TRACK_SUBSCRIPTION, {"subscribe": 3})
    alice.say_text("{")
    carol.say(names.NEGOTIATE, {"description": {"type": "offer", "sdp": "v=0"}})
    carol.say(names.NEGOTIATE, {"description": {"type": "answer", "sdp": "v=0"}})
    assert bob.transport is not None
    where.handle(SendTarget(bob.transport, bob.source("camera"), 2, True, 900_000, 150, 15))
    where.handle(ViewersLose(bob.transport, bob.source("camera"), 2, 40, 20))
    mid = next(mid for mid, (who, source) in alice.slots.items() if (who, source) == (2, "camera"))
    assert alice.transport is not None
    where.handle(SinkDeal(alice.transport, alice.sink(mid), 2, 2))
    where.pass_time(1)
    where.handle(SinkDeal(alice.transport, alice.sink(mid), None, 0))
    where.handle(Speaking(bob.transport, bob.source("audio"), True))
    where.handle(Dominant(bob.transport, bob.source("audio")))
    where.pass_time(1)
    for _ in range(200):
        alice.say(names.PONG, {})
    where.pass_time(30)
    carol.say(names.HANGUP, {})
    again = Person(where, bob.user_id, bob.device_id, "call-again").call()  # replaces the older
    again.connect()
    where.pass_time(120)
    assert said(where) == []
    assert {
        names.WELCOME,
        names.MEMBERS,
        names.SLOTS,
        names.SEND,
        names.ERROR,
        names.PING,
        names.SPEAKERS,
        names.LAYERS,
        names.VIEWERS,
        names.NEGOTIATE,
        names.ANSWER,
        names.HANGUP,
    } <= kinds(where)


def test_what_the_server_says_to_those_it_refuses() -> None:
    where = world()
    Person(where, "@person1:example.org", "DEV1", "early").call()  # nobody opened it
    people(where, 1)
    without = invite("@person2:example.org", "DEV2", "noticket", **{names.JOIN: None})
    Person(where, "@person2:example.org", "DEV2", "noticket").send_invite(without)
    Person(where, "@person3:example.org", "DEV3", "nosdp").call(offer={"type": "offer", "sdp": "nonsense"})
    refusals = [effect for effect in where.effects if isinstance(effect, SendMatrix)]
    assert {effect.type for effect in refusals} >= {names.REJECT, names.ANSWER}
    assert said(where) == []


# --- the Python client ---

TICKET = Ticket("a-conference-of-the-tests", "@alice:example.org", 0, bytes(32))


def test_what_the_client_says_on_the_data_channel() -> None:
    metadata = messages.stream_metadata("stream", True, False)
    said = [
        messages.subscription(
            [
                messages.Subscription(5, "camera", 1280, 720, focus=True, priority=3),
                messages.Subscription(6, "camera", 320, 0),
            ],
            [(7, "screen")],
        ),
        messages.metadata_changed(metadata),
        messages.negotiate("v=0\r\n", metadata),
        messages.pong(),
        messages.missing_key(5, "camera"),
        messages.resumed(),
        messages.prove(1, bytes(32), bytes(64)),
        messages.hangup(),
    ]
    assert {json.loads(each)["type"] for each in said} == set(schemas.CLIENT)
    for each in said:
        assert schemas.problems_of_message(json.loads(each), schemas.CLIENT) == []
        assert len(each.encode()) < 16 * 1024


def test_what_the_client_says_in_the_room() -> None:
    announced = Announcement("a-conference-of-the-tests", "@a:b", "@sotto:b", "video", 1, "https://s.b/", 9)
    keys = MediaKeys(announced.conference_id, 3, "DEVICE", (KeyEntry(0, 4, 255, bytes(16)),))
    said = {
        client_names.CONFERENCE: announced.content("@c:b"),
        client_names.TICKET: TICKET.content(),
        client_names.MEDIA_KEYS: keys.content(),
        client_names.HAND: Hand(announced.conference_id, 3, True).content(),
        client_names.REACTION: Reaction(announced.conference_id, 3, "👏").content(),
        client_names.MUTE_REQUEST: MuteRequest(announced.conference_id, 3, "audio").content(),
        client_names.KEY_REQUEST: KeyRequest(announced.conference_id, 3, 1, 0).content(),
    }
    for kind, content in said.items():
        assert schemas.problems_of_event(kind, content, schemas.ROOM) == []
    assert schemas.problems("room/conference", {"ended": True}) == []


@pytest.mark.parametrize(
    ("message", "right"),
    [
        ({"encodings": {"t": {"active": False}}}, True),
        ({"encodings": {"t": {"active": True, "max_bitrate": 150_000}}}, True),
        ({"encodings": {"t": {"active": True}}}, False),
        ({"encodings": {"x": {"active": False}}}, False),
        ({"encodings": {}}, False),
    ],
)
def test_the_schema_of_send_tells_right_from_wrong(message: object, right: bool) -> None:
    whole = {"type": names.SEND, "content": {"sources": {"camera": message}}}
    assert (schemas.problems("channel/focus/send", whole) == []) is right


# --- the page ---

# What the page writes where a value can be one of several, or is too long to print.
_GROUND: list[tuple[str, str]] = [
    (
        r'\{"member", "user_id", "device_id", "audio_muted", "video_muted", "sources": (\[[^]]*\])\}',
        r"MEMBER",
    ),
    (r'"<22\+ chars[^"]*"', '"a-conference-of-the-tests"'),
    (r'"conference_id": "\.\.\."', '"conference_id": "a-conference-of-the-tests"'),
    (r'"conference_id", "member": <whose key>', '"conference_id": "a-conference-of-the-tests", "member": 3'),
    (r'"<unpadded (standard )?base64 of 32 random bytes>"', '"' + "A" * 43 + '"'),
    (r'"<base64 of the 32-byte public key>"', '"' + "A" * 43 + '"'),
    (r'"<unpadded base64 of 16 bytes>"', '"' + "A" * 22 + '"'),
    (r'"proof": "<base64>"', '"proof": "' + "A" * 86 + '"'),
    (r'"token": "\.\.\."', '"token": "' + "A" * 48 + '"'),
    (r'"verifier": "\.\.\."', '"verifier": "' + "A" * 43 + '"'),
    (r'"proof": "\.\.\."', '"proof": "' + "A" * 86 + '"'),
    (r'"@alice:\.\.\."', '"@alice:example.org"'),
    (r'"<stream id>"', '"stream"'),
    (r"\bor null\b", ""),
    (r": bool\b", ": true"),
    (r": n,", ": 1,"),
    (r"\[numbers\]", "[4]"),
]
_MEMBER = {
    "member": 3,
    "user_id": "@a:b",
    "device_id": "D",
    "audio_muted": False,
    "video_muted": False,
    "sources": ["audio"],
}


def grounded(text: str) -> Any:
    for pattern, value in _GROUND:
        text = re.sub(pattern, value, text)
    return json.loads(text.replace("MEMBER", json.dumps(_MEMBER)))


def table_rows(heading: str) -> list[tuple[str, str]]:
    """Type and content of the rows under a line of the page."""
    lines = PAGE.read_text().split(heading, 1)[1].strip("\n").split("\n")
    rows = []
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        kind, content = [cell.strip() for cell in line.strip("|").split("|")][:2]
        name = re.search(r"`([^`]+)`", kind)
        assert name is not None, line
        rows += [(name[1], each) for each in re.findall(r"`(\{.*?\})`", content)]
    return rows


@pytest.mark.parametrize(
    ("heading", "known"),
    [("Focus -> client\n", schemas.FOCUS), ("Client -> focus\n", schemas.CLIENT)],
    ids=["focus", "client"],
)
def test_the_messages_that_the_page_shows(heading: str, known: dict[str, str]) -> None:
    shown = set()
    for name, text in table_rows(heading):
        kind = name.replace("P.", f"{PREFIX}.", 1)
        text = text.replace('{"error": {"code", "message"}}', '{"error": {"code": "busy", "message": "..."}}')
        text = text.replace('error": {...}', 'error": {"code": "...", "message": "..."}')
        text = text.replace('"code": "..."', '"code": "busy"').replace("{...}", "{}")
        content = grounded(text)
        assert schemas.problems_of_message({"type": kind, "content": content}, known) == [], text
        shown.add(kind)
    assert shown == set(known)


def test_the_events_that_the_page_shows() -> None:
    page = PAGE.read_text()
    conference, ticket, *_ = (grounded(text) for text in re.findall(r"```json\n(\{.*?)```", page, re.S))
    assert schemas.problems("room/conference", conference) == []
    assert schemas.problems("room/ticket", ticket) == []
    join = re.search(r'"org\.matrix\.msc2359\.join": (\{.*?\}\})\n```', page, re.S)
    assert join is not None
    invite = {
        "call_id": "call",
        "party_id": "DEVICE",
        "version": "1",
        "lifetime": 60000,
        "invitee": "@sotto:example.org",
        "offer": {"type": "offer", "sdp": "v=0"},
        "sdp_stream_metadata": {},
        client_names.JOIN: grounded(join[1]),
    }
    assert schemas.problems("call/invite", invite) == []
    keys = re.search(r'```json\n(\{"conference_id": "\.\.\.", "member": 3, .*?)```', page, re.S)
    assert keys is not None
    assert schemas.problems("room/media_keys", grounded(keys[1])) == []
    assert schemas.problems("room/mute_request", MuteRequest("a" * 22, 3, "screen").content()) == []
    for focus in ({}, {"member": 5}, {"member": 5, "source": "screen"}):
        assert schemas.problems("room/focus", focus) == []
    for name in ("hand", "reaction"):
        shown = re.search(rf"- \*\*`P\.{name}`\*\* `(\{{.*?\}})`", page)
        assert shown is not None
        assert schemas.problems(f"room/{name}", grounded(shown[1])) == []
