"""A second connection takes the place of the first: nobody else notices."""

import json
from typing import Any

import pytest

from control.protocol import limits, names
from control.protocol.checked import ContentError
from control.protocol.events import (
    ChannelClosed,
    ChannelOpened,
    CloseTransport,
    ConsentExpired,
    DtlsFailed,
    HandshakeDone,
    OpenTransport,
    PeerClosed,
    TransportConnected,
    TransportId,
)
from control.protocol.rows import NONE
from control.protocol.sdp import SdpError
from tests.protocol.people import KEYS, Person, World, metadata, offer, people, world


def token_of(person: Person) -> str:
    welcome = person.last(names.WELCOME)
    assert welcome is not None
    token: str = welcome["resume"]["token"]
    return token


def ask(
    where: World, token: str, sdp: str | None = None, **muted: bool
) -> tuple[dict[str, Any], TransportId]:
    body = {
        "token": token,
        "offer": {"type": "offer", "sdp": offer() if sdp is None else sdp},
        "sdp_stream_metadata": metadata(**muted),
    }
    said, effects = where.focus.resume_untrusted(json.dumps(body), where.now)
    where._perform(effects)
    (opened,) = [each.transport for each in effects if isinstance(each, OpenTransport)]
    return said, opened


def arrive(where: World, person: Person, transport: TransportId) -> None:
    """The new connection is made, up to its data channel."""
    where.handle(TransportConnected(transport))
    where.handle(HandshakeDone(transport, KEYS))
    person.transport = transport
    where.handle(ChannelOpened(transport))


def refused(where: World, token: str, sdp: str | None = None) -> str:
    with pytest.raises((ContentError, SdpError)) as caught:
        ask(where, token, sdp)
    return caught.value.code


def test_the_member_stays_the_same_and_the_others_are_told_nothing() -> None:
    where = world()
    alice, bob, _ = people(where, 3)
    heard, first = len(alice.said), bob.transport
    said, transport = ask(where, token_of(bob))
    assert said["member"] == bob.number
    assert said["answer"]["sdp"].startswith("v=0")
    arrive(where, bob, transport)
    assert bob.number == 2
    assert set(bob.roster) == {1, 2, 3}
    assert bob.slots["v0"] == (1, "camera")
    assert alice.said[heard:] == []
    bob.say(names.RESUMED, {})
    assert first is not None
    assert first not in where.focus._by_transport
    assert alice.said[heard:] == []


def test_slots_of_the_others_take_the_new_source_and_the_old_one_goes_on_until_it_moved() -> None:
    where = world()
    alice, bob = people(where, 2)
    old = bob.source("camera")
    row = where.tables[0].sinks[alice.sink("v0")]
    assert row.source == old
    _, transport = ask(where, token_of(bob))
    where.handle(HandshakeDone(transport, KEYS))
    assert where.tables[0].sinks[alice.sink("v0")].source == old
    new_sinks = [each for each in where.tables[0].sinks.values() if each.transport == transport.handle]
    assert {each.source for each in new_sinks} == {NONE}
    before = where.tables[0].transports[bob.transport.handle]
    bob.transport = transport
    where.handle(ChannelOpened(transport))
    now = where.tables[0].sinks[alice.sink("v0")]
    assert now.source == bob.source("camera") != old
    assert (now.ssrc, now.incarnation) == (row.ssrc, row.incarnation)
    assert old in where.tables[0].sources
    assert before in where.tables[0].transports.values()
    camera = alice.source("camera")
    receives = {each.transport for each in where.tables[0].sinks.values() if each.source == camera}
    assert len(receives) == 2  # on both connections
    where.pass_time(limits.RESUME_OVERLAP)
    assert before not in where.tables[0].transports.values()
    assert where.tables[0].sinks[alice.sink("v0")] == now


def test_a_token_is_spent_once_the_member_has_the_next() -> None:
    where = world()
    (alice,) = people(where, 1)
    token = token_of(alice)
    _, transport = ask(where, token)
    _, again = ask(where, token)  # the answer was lost
    assert transport not in where.focus._by_transport
    arrive(where, alice, again)
    assert token_of(alice) != token
    alice.say(names.PONG, {})
    assert refused(where, token) == names.RESUME_UNKNOWN
    ask(where, token_of(alice))


def test_tokens_of_others_and_made_up_ones() -> None:
    where = world()
    alice, bob = people(where, 2)
    mine, other = token_of(alice), token_of(bob)
    crossed = ".".join((*mine.split(".")[:2], other.split(".")[2]))
    strange = ("", "1", "1.1.", "\0", "9.1." + "a" * 32, "1.9." + "a" * 32)
    for token in (*strange, mine[:-1], mine + "a", crossed):
        assert refused(where, token) == names.RESUME_UNKNOWN
    bob.say(names.HANGUP, {"reason": "user_hangup"})
    assert refused(where, other) == names.RESUME_UNKNOWN
    member = next(iter(where.focus.conferences.values())).members[1]
    assert mine.encode() not in b"".join(member.tokens.hashes)


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", "null", '{"token": 5}', '{"token": "1.1.a", "offer": {}}', "[" * 10_000]
)
def test_bodies_that_are_none(body: str) -> None:
    with pytest.raises(ContentError) as caught:
        world().focus.resume_untrusted(body, 0.0)
    assert caught.value.code == names.MESSAGE_MALFORMED


def test_an_offer_that_cannot_be_answered_changes_nothing() -> None:
    where = world()
    (alice,) = people(where, 1)
    tables = where.tables[0]
    assert refused(where, token_of(alice), "v=0") == "sdp_malformed"
    assert where.tables[0] == tables
    ask(where, token_of(alice))


def test_attempts_are_bounded() -> None:
    where = world()
    (alice,) = people(where, 1)
    for _ in range(limits.RESUME_BURST):
        ask(where, token_of(alice))
    assert refused(where, token_of(alice)) == names.BUSY
    assert len(where.tables[0].transports) == 2
    where.pass_time(10)
    ask(where, token_of(alice))


@pytest.mark.parametrize("end", [ConsentExpired, PeerClosed, lambda transport: DtlsFailed(transport, "x")])
def test_an_attempt_that_fails_costs_nothing(end: Any) -> None:
    where = world()
    alice, bob = people(where, 2)
    table = where.tables[0]
    _, transport = ask(where, token_of(bob))
    where.handle(end(transport))
    assert where.tables[0] == table
    assert set(alice.roster) == {1, 2}
    _, transport = ask(where, token_of(bob))
    done = where.pass_time(limits.RESUME_TIMEOUT)
    assert CloseTransport(transport, False) in done
    assert where.tables[0] == table


def test_the_first_connection_may_die_while_the_second_is_made() -> None:
    where = world()
    alice, bob = people(where, 2)
    first = bob.transport
    assert first is not None
    where.handle(ChannelClosed(first))
    _, transport = ask(where, token_of(bob))
    where.handle(ConsentExpired(first))
    assert set(alice.roster) == {1, 2}
    arrive(where, bob, transport)
    assert set(alice.roster) == {1, 2}
    assert {row.incarnation for row in where.tables[0].transports.values()} >= {transport.incarnation}
    assert len(where.tables[0].transports) == 2
    # And if the second one comes to nothing, too, the member is gone.
    _, third = ask(where, token_of(bob))
    where.handle(PeerClosed(transport))
    where.handle(DtlsFailed(third, "x"))
    assert set(alice.roster) == {1}
    assert len(where.tables[0].transports) == 1


def test_closing_the_first_connection_after_the_move_is_no_leave() -> None:
    where = world()
    alice, bob = people(where, 2)
    first = bob.transport
    _, transport = ask(where, token_of(bob), audio_muted=True)
    arrive(where, bob, transport)
    assert first is not None
    where.handle(PeerClosed(first))
    assert set(alice.roster) == {1, 2}
    assert alice.roster[2]["audio_muted"]
    assert len(where.tables[0].transports) == 2
    where.handle(PeerClosed(transport))
    where.pass_time(limits.MESSAGE_GAP)
    assert set(alice.roster) == {1}


def test_all_rows_come_back() -> None:
    where = world(rows=(3, 8, 24))
    alice, _bob = people(where, 2)
    for _ in range(20):
        _, transport = ask(where, token_of(alice))
        arrive(where, alice, transport)
        alice.say(names.RESUMED, {})
        where.pass_time(5)
    assert len(where.tables[0].transports) == 2
    assert len(where.tables[0].sources) == 4
    assert len(where.tables[0].sinks) == 16


def test_a_leave_ends_every_connection() -> None:
    where = world()
    alice, _bob = people(where, 2)
    _, transport = ask(where, token_of(alice))
    arrive(where, alice, transport)
    ask(where, token_of(alice))
    alice.say(names.HANGUP, {"reason": "user_hangup"})
    assert len(where.tables[0].transports) == 1
    assert len(where.focus._by_transport) == 1
    assert where.focus.members == 1


def test_the_address_is_whole_where_the_operator_said_it() -> None:
    (alice,) = people(world(resume_url="https://calls.example.org/resume"), 1)
    welcome = alice.last(names.WELCOME)
    assert welcome is not None
    assert welcome["resume"]["url"] == "https://calls.example.org/resume"
