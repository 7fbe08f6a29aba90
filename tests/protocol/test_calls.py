"""The signalling leg: invites that are taken and refused, tickets and proofs, and how a call ends."""

from typing import Any

import pytest

from control.protocol import names
from control.protocol.call import TRANSITIONS, Call, State, Step
from control.protocol.events import (
    ChannelOpened,
    CloseTransport,
    DtlsFailed,
    HandshakeDone,
    MatrixCallEvent,
    OpenTransport,
    PublishRoutes,
    SendMatrix,
    Shutdown,
    TransportConnected,
)
from tests.protocol.people import (
    BOB,
    CREATOR,
    FINGERPRINT,
    KEYS,
    WALL_MS,
    Person,
    Ticket,
    counted,
    invite,
    metadata,
    offer,
    people,
    refused,
    send,
    world,
)

# state, step, state after (None: nothing happens)
STEPS = [
    (State.ANSWERED, Step.ICE, State.CONNECTED),
    (State.ANSWERED, Step.DTLS, State.SECURED),
    (State.ANSWERED, Step.CHANNEL_OPENED, None),
    (State.CONNECTED, Step.ICE, None),
    (State.CONNECTED, Step.DTLS, State.SECURED),
    (State.SECURED, Step.DTLS, None),
    (State.SECURED, Step.CHANNEL_OPENED, State.OPEN),
    (State.SECURED, Step.CHANNEL_CLOSED, None),
    (State.OPEN, Step.CHANNEL_CLOSED, State.SECURED),
    (State.OPEN, Step.CHANNEL_OPENED, State.OPEN),
    (State.OPEN, Step.END, State.ENDED),
    (State.ENDED, Step.ICE, None),
    (State.ENDED, Step.DTLS, None),
    (State.ENDED, Step.CHANNEL_OPENED, None),
    (State.ENDED, Step.END, None),
]


@pytest.mark.parametrize(("before", "step", "after"), STEPS)
def test_steps_of_a_call(before: State, step: Step, after: State | None) -> None:
    call = Call("!room", BOB, "call", "party", "FOCUS", 0.0)
    call.state = before
    assert call.advance(step, 1.0) is (after is not None)
    assert call.state is (after or before)


def test_every_state_but_the_last_can_end() -> None:
    assert {state for state, steps in TRANSITIONS.items() if steps.get(Step.END) is State.ENDED} == set(
        State
    ) - {State.ENDED}


def test_an_accepted_invite() -> None:
    where = world()
    effects = where.matrix(names.INVITE, invite())
    assert counted(effects, "invites_accepted") == [""]
    opened, published, answered = effects[1:]
    assert isinstance(opened, OpenTransport)
    assert opened.fingerprints == (FINGERPRINT,)
    assert isinstance(published, PublishRoutes)  # before the answer can bring the first check
    assert isinstance(answered, SendMatrix)
    assert answered.type == "m.call.answer"
    content = dict(answered.content)
    answer = content.pop("answer")
    assert content == {
        "call_id": "call1",
        "party_id": "FOCUSDEVICE",
        "version": "1",
        "sdp_stream_metadata": {},
    }
    assert answer["type"] == "answer"
    assert "a=ice-lite" in answer["sdp"]
    assert "192.0.2.2 40000" in answer["sdp"]


# what is changed in an invite, code of the refusal
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({names.JOIN: None}, "ticket_missing"),
    ({names.JOIN: 7}, "invite_malformed"),
    ({names.JOIN: {}}, "invite_malformed"),
    ({"offer": None}, "invite_malformed"),
    ({"offer": {"type": "answer", "sdp": "v=0"}}, "invite_malformed"),
    ({"offer": {"type": "offer", "sdp": "x" * 70000}}, "too_large"),
    ({"offer": {"type": "offer", "sdp": "rubbish"}}, "sdp_malformed"),
    ({"offer": {"type": "offer", "sdp": offer().replace("VP8", "H264")}}, "sdp_unsupported"),
    ({"party_id": None}, "invite_malformed"),
    ({"party_id": ""}, "invite_malformed"),
    ({"lifetime": "long"}, "invite_malformed"),
    ({"lifetime": True}, "invite_malformed"),
    ({"sdp_stream_metadata": []}, "invite_malformed"),
    ({"sdp_stream_metadata": {str(n): {} for n in range(17)}}, "too_large"),
    ({"invitee": 5}, "invite_malformed"),
]


@pytest.mark.parametrize(("changes", "code"), REFUSED)
def test_an_invite_that_is_refused(changes: dict[str, Any], code: str) -> None:
    where = world()
    assert send(where, invite(**changes)) == ("m.call.reject", code)
    assert where.focus.members == 0
    assert where.focus.conferences == {}
    assert where.tables == {}


def ticket_with(ticket: Ticket | None = None, **changes: Any) -> dict[str, Any]:
    content = invite(BOB, "B", "b", ticket=ticket)
    content[names.JOIN] |= changes
    return content


OTHER = Ticket(secret=b"another secret of thirty-two byt")
# what is changed in the ticket of a second member, code, label of the counter
TICKETS: list[tuple[dict[str, Any], str, str]] = [
    (ticket_with(proof="AAAA"), "ticket_invalid", "ticket_invalid"),
    (ticket_with(proof=5), "ticket_invalid", "ticket_invalid"),
    (ticket_with(proof="A" * 86), "ticket_invalid", "ticket_proof"),
    (ticket_with(OTHER), "ticket_invalid", "ticket_proof"),
    (ticket_with(device_id="OTHER"), "ticket_invalid", "ticket_proof"),
    (ticket_with(ts=WALL_MS + 1), "ticket_invalid", "ticket_proof"),
    (ticket_with(ts=WALL_MS - 300_001), "ticket_expired", "ticket_clock"),
    (ticket_with(ts=WALL_MS + 301_000), "ticket_expired", "ticket_clock"),
    (ticket_with(epoch=1), "ticket_invalid", "ticket_epoch"),
    (
        ticket_with(conference_id="another-conference-of-the-tests"),
        "conference_unknown",
        "conference_unknown",
    ),
    (ticket_with(creator="@carol:example.org"), "conference_unknown", "conference_unknown"),
    (ticket_with(conference_id="short"), "invite_malformed", "invite_malformed"),
    (ticket_with(device_id="two\nlines"), "invite_malformed", "invite_malformed"),
    (ticket_with(creator="alice"), "invite_malformed", "invite_malformed"),
    (ticket_with(epoch=-1), "invite_malformed", "invite_malformed"),
    (ticket_with(ts=1.5), "invite_malformed", "invite_malformed"),
]


@pytest.mark.parametrize(("content", "code", "label"), TICKETS)
def test_a_ticket_that_does_not_admit(content: dict[str, Any], code: str, label: str) -> None:
    where = world()
    people(where, 1)
    effects = where.matrix(names.INVITE, content, BOB)
    assert refused(effects) == ("m.call.reject", code)
    assert counted(effects, "invites_refused") == [label]
    assert where.focus.members == 1


def test_a_ticket_of_somebody_else() -> None:
    where = world()
    people(where, 1)
    content = ticket_with()
    assert send(where, content, "@carol:example.org") == ("m.call.reject", "ticket_invalid")
    assert send(where, content, BOB) is None


def test_a_ticket_that_does_not_admit_to_an_empty_conference_lets_its_bearer_begin_another() -> None:
    where = world()
    (alice,) = people(where, 1)
    alice.say(names.HANGUP, {})
    assert send(where, ticket_with(proof="A" * 86), BOB) == ("m.call.reject", "conference_unknown")
    assert send(where, ticket_with(), BOB) is None


def test_only_the_creator_opens() -> None:
    where = world()
    join = Ticket().join(BOB, "B", "b", opens=True)
    assert send(where, invite(BOB, "B", "b", **{names.JOIN: join}), BOB) == (
        "m.call.reject",
        "conference_unknown",
    )
    assert send(where, invite()) is None
    assert send(where, invite(BOB, "B", "b2"), BOB) is None


def test_opening_does_not_replace_the_verifier() -> None:
    where = world()
    people(where, 1)
    assert send(where, invite(CREATOR, "SECOND", "c2", ticket=OTHER)) == ("m.call.reject", "ticket_invalid")


def test_a_verifier_that_is_no_key() -> None:
    where = world()
    content = invite()
    content[names.JOIN]["open"]["verifier"] = "A" * 42
    assert send(where, content) == ("m.call.reject", "invite_malformed")


def test_a_proof_is_used_once() -> None:
    where = world()
    alice, bob = people(where, 1)[0], Person(where, BOB, "B", "b")
    content = invite(BOB, "B", "b")
    bob.send_invite(content)
    bob.connect().say(names.HANGUP, {})
    effects = where.matrix(names.INVITE, content, BOB)
    assert refused(effects) == ("m.call.reject", "ticket_invalid")
    assert counted(effects, "invites_refused") == ["ticket_replayed"]
    assert set(alice.roster) == {1}


# age of the invite in ms, its lifetime, answer
AGES = [
    (0, 60000, "m.call.answer"),
    (59_999, 60000, "m.call.answer"),
    (60_000, 60000, "m.call.reject"),
    (100_000, 10**12, "m.call.answer"),
    (120_000, 10**12, "m.call.reject"),  # nobody waits so long, whatever it says
    (180_001, 60000, None),  # who sent that has long given up
    (10**12, 60000, None),
]


@pytest.mark.parametrize(("age_ms", "lifetime", "answer"), AGES)
def test_stale_invites(age_ms: int, lifetime: int, answer: str | None) -> None:
    where = world()
    effects = where.matrix(names.INVITE, invite(lifetime=lifetime), age_ms=age_ms)
    sent = [effect.type for effect in effects if isinstance(effect, SendMatrix)]
    assert sent == ([answer] if answer else [])
    if answer != "m.call.answer":
        assert counted(effects, "invites_refused") == ["stale"]


def test_an_invite_for_somebody_else_is_none_of_ours() -> None:
    effects = world().matrix(names.INVITE, invite(invitee="@bob:example.org"))
    assert [type(effect).__name__ for effect in effects] == ["CountMetric"]


def test_without_invitee_it_is_for_us() -> None:
    assert send(world(), invite(invitee=None)) is None


@pytest.mark.parametrize("version", [1, "2", None, "org.example", {}])
def test_versions_taken_as_1(version: Any) -> None:
    assert send(world(), invite(version=version)) is None


def test_version_0_is_hung_up_because_it_knows_no_reject() -> None:
    where = world()
    content = {"call_id": "old", "version": 0, "lifetime": 60000, "offer": {"type": "offer", "sdp": "v=0"}}
    (_, sent) = where.matrix(names.INVITE, content)
    assert isinstance(sent, SendMatrix)
    assert (sent.type, sent.content["version"]) == ("m.call.hangup", 0)


def test_an_invite_that_comes_twice_is_one() -> None:
    where = world()
    content = invite()
    first = where.matrix(names.INVITE, content)
    again = where.matrix(names.INVITE, content)
    assert counted(again, "invites_repeated") == [""]
    assert again[1] == first[-1]
    assert len(again) == 2
    (opened,) = (effect for effect in first if isinstance(effect, OpenTransport))
    where.handle(TransportConnected(opened.transport))
    assert len(where.matrix(names.INVITE, content)) == 1  # the answer has arrived
    assert where.focus.members == 1


def test_a_device_that_calls_again_replaces_itself() -> None:
    where = world()
    alice, bob = people(where, 2)
    again = Person(where, bob.user_id, bob.device_id, "another").call()
    assert bob.said[-1][0] == names.HANGUP
    assert bob.said[-1][1][names.ERROR]["code"] == "replaced"
    assert bob.hung_up is not None
    assert bob.hung_up["reason"] == "replaced"
    again.connect()
    assert again.number == 3
    assert set(alice.roster) == {1, 3}
    assert alice.slots["v0"] == (3, "camera")


def test_two_devices_of_one_person_are_two_members() -> None:
    where = world()
    alice, bob = people(where, 2)
    Person(where, bob.user_id, "PHONE", "another").call().connect()
    assert set(alice.roster) == {1, 2, 3}


def test_no_check_arrives_within_30_s() -> None:
    where = world()
    alice = Person(where).call()
    where.pass_time(29)
    assert alice.hung_up is None
    where.pass_time(2)
    assert alice.hung_up is not None
    assert (alice.hung_up["reason"], alice.hung_up[names.ERROR]["code"]) == ("ice_failed", "ice_failed")
    assert where.tables[0].transports == {}


def test_a_channel_that_is_never_opened() -> None:
    where = world()
    alice = Person(where).call().connect(channel=False)
    where.pass_time(31)
    assert alice.hung_up is not None
    assert alice.hung_up[names.ERROR]["code"] == "dtls_failed"


def test_dtls_that_fails() -> None:
    where = world()
    alice = Person(where).call()
    assert alice.transport is not None
    where.handle(TransportConnected(alice.transport))
    effects = where.handle(DtlsFailed(alice.transport, "dtls_fingerprint"))
    assert counted(effects, "dtls_failures") == ["dtls_fingerprint"]
    assert alice.hung_up is not None
    assert alice.hung_up[names.ERROR]["code"] == "dtls_failed"
    assert CloseTransport(alice.transport, silent=False) in effects


# event, content, does it end the call
LATER: list[tuple[str, dict[str, Any], bool]] = [
    (names.CANDIDATES, {"candidates": [{"candidate": "candidate:1 1 udp 1 192.0.2.9 9 typ host"}]}, False),
    (names.CANDIDATES, {"candidates": [{"candidate": ""}]}, False),
    (names.CANDIDATES, {"candidates": []}, False),
    (names.SELECT_ANSWER, {"selected_party_id": "FOCUSDEVICE"}, False),
    (names.SELECT_ANSWER, {"selected_party_id": "SOMEBODY"}, True),
    (names.HANGUP, {"reason": "user_hangup"}, True),
    (names.HANGUP, {}, True),
    (names.REJECT, {}, True),
    (names.ANSWER, {"answer": {"type": "answer", "sdp": ""}}, False),
    (names.METADATA_CHANGED, {"sdp_stream_metadata": metadata(audio_muted=True)}, False),
    ("m.call.something_new", {}, False),
]


@pytest.mark.parametrize(("event_type", "content", "ends"), LATER)
def test_later_events_of_a_call(event_type: str, content: dict[str, Any], ends: bool) -> None:
    where = world()
    people(where, 1)
    common = {"call_id": "call0", "party_id": "DEV0", "version": "1"}
    where.matrix(event_type, common | content)
    assert where.focus.members == (0 if ends else 1)


@pytest.mark.parametrize("event_type", [names.HANGUP, names.SELECT_ANSWER, names.REJECT, names.NEGOTIATE])
@pytest.mark.parametrize("wrong", ["party", "call", "sender", "room"])
def test_events_that_belong_to_no_call_of_theirs(event_type: str, wrong: str) -> None:
    where = world()
    people(where, 1)
    content = {
        "call_id": "other" if wrong == "call" else "call0",
        "party_id": "OTHER" if wrong == "party" else "DEV0",
        "version": "1",
        "selected_party_id": "SOMEBODY",
        "description": {"type": "offer", "sdp": offer(pairs=5)},
    }
    sender = BOB if wrong == "sender" else CREATOR
    room = "!elsewhere" if wrong == "room" else f"!dm-of-{CREATOR}"
    before = where.tables[0]
    effects = where.handle(MatrixCallEvent(room, sender, event_type, content, 0, True, WALL_MS))
    assert counted(effects, "matrix_events_ignored") == ["party" if wrong == "party" else "call"]
    assert (where.focus.members, where.tables[0]) == (1, before)


def test_negotiating_through_the_room() -> None:
    where = world()
    people(where, 1)
    content = {
        "call_id": "call0",
        "party_id": "DEV0",
        "version": "1",
        "description": {"type": "offer", "sdp": offer(pairs=6)},
    }
    sent = [effect for effect in where.matrix(names.NEGOTIATE, content) if isinstance(effect, SendMatrix)]
    assert [effect.type for effect in sent] == [names.NEGOTIATE]
    assert sent[0].content["description"]["sdp"].count("a=sendonly") == 12
    assert names.OFFER_ID not in sent[0].content
    content[names.OFFER_ID] = "offer-2"
    named = [effect for effect in where.matrix(names.NEGOTIATE, content) if isinstance(effect, SendMatrix)]
    assert [effect.content[names.OFFER_ID] for effect in named] == ["offer-2"]
    content["description"] = {"type": "offer", "sdp": "rubbish"}
    assert counted(where.matrix(names.NEGOTIATE, content), "negotiations_refused") == ["sdp_malformed"]


def test_dtls_may_overtake_the_news_of_ice() -> None:
    where = world()
    alice = Person(where).call()
    assert alice.transport is not None
    where.handle(HandshakeDone(alice.transport, KEYS))
    where.handle(TransportConnected(alice.transport))
    where.handle(ChannelOpened(alice.transport))
    assert alice.number == 1


def test_keys_are_not_exchanged_by_a_second_handshake() -> None:
    where = world()
    (alice,) = people(where, 1)
    before = where.tables[0]
    assert alice.transport is not None
    effects = where.handle(HandshakeDone(alice.transport, KEYS))
    assert counted(effects, "events_ignored") == ["dtls"]
    assert where.tables[0] == before


def test_shutting_down_for_good_tells_everybody() -> None:
    where = world()
    everybody = people(where, 3)
    where.handle(Shutdown(silent=False))
    for each in everybody:
        assert each.said[-1][1][names.ERROR]["code"] == "shutting_down"
        assert each.hung_up is not None
    assert where.tables[0].transports == {}
    assert send(where, invite(call_id="late")) == ("m.call.reject", "shutting_down")


def test_shutting_down_silently_leaves_media_alone() -> None:
    where = world()
    people(where, 3)
    before = where.tables[0]
    assert where.handle(Shutdown(silent=True)) == []
    assert where.tables[0] == before


@pytest.mark.parametrize("sender", ["", "bob", "@bob", "@b\nob:example.org", "@böb:example.org", "@\ud800:x"])
def test_senders_that_are_none(sender: str) -> None:
    effects = world().matrix(names.INVITE, invite(), sender)
    assert refused(effects) == ("m.call.reject", "invite_malformed")
