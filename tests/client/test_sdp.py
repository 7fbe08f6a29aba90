"""The client's offers as the server reads them, and the server's answers as the client does."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.protocol.messages import stream_metadata
from client.transport.sdp import AnswerUnusable, Offerer, Transport, read_answer_untrusted
from control.protocol import names
from tests.protocol.people import CREATOR, FINGERPRINT, Person, world

OURS = Transport(
    "uFrg",
    "abcdefghijklmnopqrstuv",
    (("sha-256", FINGERPRINT.digest.hex(":").upper()),),
    ("1 1 udp 2130706431 192.0.2.2 49967 typ host",),
)


def offerer(pairs: int = 4, sources: tuple[str, ...] = ("audio", "camera"), loudest: int = 0) -> Offerer:
    return Offerer(OURS, "stream", sources, pairs, loudest, transport_cc=True)


def call(made: Offerer) -> Person:
    person = Person(world(), CREATOR)
    person.call(
        offer={"type": "offer", "sdp": made.offer()}, sdp_stream_metadata=stream_metadata(made.stream_id)
    )
    assert person.refused is None, person.refused
    assert person.answer is not None
    return person


@pytest.mark.parametrize("sources", [(), ("audio",), ("camera",), ("audio", "camera")])
@pytest.mark.parametrize(("pairs", "loudest"), [(0, 0), (1, 0), (4, 3), (16, 4)])
def test_offers_are_understood_and_answers_too(sources: tuple[str, ...], pairs: int, loudest: int) -> None:
    made = offerer(pairs, sources, loudest)
    person = call(made)
    assert person.answer is not None
    answer = read_answer_untrusted(person.answer["answer"]["sdp"], made.lines)
    sending = [each for each in answer.sections.values() if each.direction == "recvonly"]
    slots = [each for each in answer.sections.values() if each.direction == "sendonly"]
    assert [each.kind for each in sending] == [
        {"audio": "audio", "camera": "video"}[each] for each in sources
    ]
    assert len(slots) == 2 * pairs + loudest
    assert len({each.ssrc for each in slots}) == len(slots)
    for each in slots:
        assert each.ssrc is not None
        assert (each.rtx_ssrc is not None) == (each.kind == "video")
        assert "transport-cc" in each.feedback
        assert "transport_cc" in each.extensions
    for each in sending:
        assert "mid" in each.extensions
        if each.kind == "video":
            assert each.rids == ("t", "m", "f")
            assert {"rid", "repaired_rid"} <= set(each.extensions)
        else:
            assert "audio_level" in each.extensions
    assert answer.transport.ufrag
    assert answer.transport.candidates


def test_a_second_offer_keeps_every_section_in_its_place() -> None:
    made = offerer(4, loudest=2)
    person = call(made)
    assert person.answer is not None
    first = read_answer_untrusted(person.answer["answer"]["sdp"], made.lines)
    person.connect()
    made.pairs = 8
    person.say(
        names.NEGOTIATE,
        {
            "description": {"type": "offer", "sdp": made.offer()},
            "sdp_stream_metadata": stream_metadata("stream"),
        },
    )
    told = person.last(names.NEGOTIATE)
    assert told is not None
    second = read_answer_untrusted(told["description"]["sdp"], made.lines)
    assert len(second.sections) == len(first.sections) + 8
    for mid, section in first.sections.items():
        assert second.sections[mid] == section


def test_answers_that_do_not_fit() -> None:
    made = offerer()
    person = call(made)
    assert person.answer is not None
    good = person.answer["answer"]["sdp"]
    table = [
        (good.replace("a=setup:passive", "a=setup:active"), "server's part"),
        (good.replace("a=fingerprint", "a=x-fingerprint"), "fingerprint"),
        (good.replace("a=candidate", "a=x-candidate"), "address"),
        (good.replace("a=mid:0\r\n", "a=mid:9\r\n"), "another mid"),
        (good.replace("m=audio", "m=video"), "something else"),
        (good.replace("opus/48000", "pcmu/8000"), "without opus"),
        (good[: good.rindex("m=")], "sections"),
        ("", "sections"),
    ]
    for sdp, why in table:
        with pytest.raises(AnswerUnusable, match=why):
            read_answer_untrusted(sdp, made.lines)


@given(st.data())
def test_damaged_answers_fail_in_one_way(data: st.DataObject) -> None:
    made = offerer(1)
    person = call(made)
    assert person.answer is not None
    lines = person.answer["answer"]["sdp"].split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(
            st.sampled_from(["", "m=", "a=", "a=ssrc:x", "m=audio 9", lines[at][:-1], "a=mid:"])
        )
    with contextlib.suppress(AnswerUnusable):
        read_answer_untrusted("\r\n".join(lines), made.lines)
