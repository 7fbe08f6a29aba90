"""What a creator sets for a conference, and what becomes of those who do not keep to it."""

from typing import Any

import pytest

from control.protocol import limits, names
from control.protocol.checked import ContentError
from control.protocol.reading import parse_matrix_untrusted
from control.protocol.terms import Terms
from tests.protocol.people import Person, World, invite, offer, world


def opened(where: World, **terms: Any) -> Person:
    content = invite(sdp=offer(sources=("audio",)))
    content[names.JOIN]["open"] |= terms
    alice = Person(where)
    alice.send_invite(content)
    return alice.connect()


def person(where: World, name: str, **changes: Any) -> Person:
    return Person(where, f"@{name}:example.org", name.upper(), name).call(**changes)


def sections(answer: Any) -> dict[str, str]:
    """Port of each section by its mid."""
    found = {}
    for section in answer["sdp"].split("m=")[1:]:
        mid = section.partition("a=mid:")[2].split("\r\n")[0]
        found[mid] = section.split()[1]
    return found


def test_a_voice_conference_takes_sound_and_says_why_it_takes_no_pictures() -> None:
    where = world()
    alice = opened(where, intent="voice")
    assert alice.last(names.ERROR) is None  # she offered none
    bob = person(where, "bob").connect()
    assert bob.answer is not None
    ports = sections(bob.answer["answer"])
    assert (ports["camera"], ports["audio"], ports["a0"]) == ("0", "9", "9")
    error = bob.last(names.ERROR)
    assert error is not None
    assert (error["code"], error["in_reply_to"]) == ("not_allowed", names.INVITE)
    assert alice.roster[bob.number]["sources"] == ["audio"]
    number = bob.number
    bob.said.clear()
    bob.say(
        names.NEGOTIATE,
        {"description": {"type": "offer", "sdp": offer(sources=("audio", "camera", "screen"))}},
    )
    answer, error = bob.last(names.NEGOTIATE), bob.last(names.ERROR)
    assert answer is not None
    assert sections(answer["description"])["screen"] == "0"
    assert error is not None
    assert (error["code"], error["in_reply_to"]) == ("not_allowed", names.NEGOTIATE)
    assert alice.roster[number]["sources"] == ["audio"]


def test_a_conference_of_two() -> None:
    where = world()
    opened(where, limits={"members": 2})
    bob = person(where, "bob").connect()
    carol = person(where, "carol")
    assert carol.refused is not None
    assert carol.refused[names.ERROR]["code"] == "full"
    bob.say(names.HANGUP, {})
    assert Person(where, "@carol:example.org", "CAROL", "again").call().refused is None


@pytest.mark.parametrize(
    ("opening", "terms"),
    [
        ({}, Terms()),
        ({"intent": "voice", "limits": {}}, Terms(voice=True)),
        ({"limits": {"members": 3, "of a later version": 1}}, Terms(members_max=3)),
        ({"limits": {"members": 10**9}}, Terms(members_max=limits.MEMBERS_MAX)),
        ({"limits": {"members": 0}}, None),
        ({"limits": {"members": "many"}}, None),
        ({"limits": []}, None),
        ({"intent": "smell"}, None),
    ],
)
def test_what_is_read(opening: dict[str, Any], terms: Terms | None) -> None:
    content = invite()
    content[names.JOIN]["open"] |= opening
    if terms is None:
        with pytest.raises(ContentError):
            parse_matrix_untrusted(names.INVITE, content)
    else:
        read: Any = parse_matrix_untrusted(names.INVITE, content)
        assert read.join.opening.terms == terms


def test_only_the_opening_invite_sets_them() -> None:
    where = world()
    opened(where, limits={"members": 2})
    again = invite(device_id="SECOND", call_id="second")
    again[names.JOIN]["open"] |= {"limits": {"members": 50}}
    Person(where, device_id="SECOND", call_id="second").send_invite(again)
    assert person(where, "carol").refused is not None
