"""Who is let in, and how much of it: places, shares of one person and of one homeserver, rations of calls."""

import pytest

from control.protocol import limits, names
from control.protocol.allocation import WorkerPlace
from control.protocol.events import BotLimited, ChannelClosed, ChannelOpened, SendMatrix
from control.protocol.focus import Focus, FocusConfig
from control.protocol.guest_list import GuestList
from control.protocol.rationing import Quotas, Scant
from tests.protocol.people import (
    BOB,
    BOT,
    FINGERPRINT,
    WALL_MS,
    Person,
    Ticket,
    World,
    counted,
    invite,
    metadata,
    offer,
    people,
    randomness,
    send,
    world,
)


def world_place() -> WorkerPlace:
    return WorkerPlace((("192.0.2.2", 1),), 4, 16, 64)


def test_a_full_worker() -> None:
    where = world(rows=(2, 16, 64))
    people(where, 2)
    late = Person(where, "@late:example.org", "L", "l").call()
    assert late.refused is not None
    assert late.refused[names.ERROR]["code"] == "full"
    assert len(where.tables[0].transports) == 2


def test_a_worker_without_sinks_gives_everything_back() -> None:
    where = world(rows=(8, 64, 20))  # 8 slots a member
    people(where, 2)
    late = Person(where, "@late:example.org", "L", "l").call()
    assert late.refused is not None
    assert Person(where, "@small:example.org", "S", "s").call(sdp=offer(pairs=2)).answer is not None


def test_one_person_does_not_fill_a_conference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMBERS_PER_USER", 2)
    where = world()
    people(where, 1)
    for device in ("B1", "B2"):
        assert send(where, invite(BOB, device, device.lower()), BOB) is None
    assert send(where, invite(BOB, "B3", "b3"), BOB) == ("m.call.reject", "full")
    assert send(where, invite(BOB, "B2", "again"), BOB) == ("m.call.hangup", "replaced"), (
        "a device may come again"
    )
    assert where.focus.members == 3


def test_a_full_conference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMBERS_MAX", 2)
    where = world()
    _, bob = people(where, 2)
    late = Person(where, "@late:example.org", "L", "l").call()
    assert late.refused is not None
    assert late.refused[names.ERROR]["code"] == "full"
    assert Person(where, bob.user_id, bob.device_id, "again").call().answer is not None


def test_too_many_conferences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONFERENCES_MAX", 1)
    where = world()
    people(where, 1)
    other = Ticket(conference_id="another-conference-of-the-tests")
    assert send(where, invite(call_id="other", ticket=other)) == ("m.call.reject", "full")


def test_one_person_cannot_begin_all_conferences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONFERENCES_PER_CREATOR", 1)
    where = world()
    people(where, 1)
    another = Ticket(conference_id="another-conference-of-the-tests")
    assert send(where, invite(call_id="other", ticket=another)) == ("m.call.reject", "full")
    other = Ticket(conference_id="a-conference-of-somebody-else", creator="@zoe:example.org")
    assert Person(where, "@zoe:example.org", "D", "zoe").call(ticket=other).answer is not None


def test_conferences_go_to_the_worker_with_the_fewest_transports() -> None:
    where = world(workers=2)
    people(where, 2)
    workers = []
    for number in range(3):
        user_id = f"@creator{number}:example.org"
        ticket = Ticket(conference_id=f"conference-number-{number:04}", creator=user_id)
        person = Person(where, user_id, "D", f"c{number}").call(ticket=ticket)
        assert person.transport is not None
        workers.append(person.transport.worker)
    assert workers == [1, 1, 0]


def test_users_of_other_homeservers_where_that_is_configured() -> None:
    config = FocusConfig(
        BOT,
        "F",
        FINGERPRINT,
        (randomness().rows(0, world_place()).place,),
        guests=GuestList(frozenset({"other.org"})),
    )
    where = World(Focus(config, randomness()))
    assert send(where, invite()) == ("m.call.reject", "not_allowed")


@pytest.mark.parametrize(
    ("guests", "served"),
    [
        (GuestList(), "alice@one mallory@one bob@two"),
        (GuestList(allowed_servers=frozenset({"one"})), "alice@one mallory@one"),
        (GuestList(allowed_users=frozenset({"@bob:two"})), "bob@two"),
        (GuestList(frozenset({"one"}), frozenset({"@bob:two"})), "alice@one mallory@one bob@two"),
        (GuestList(denied_servers=frozenset({"two"})), "alice@one mallory@one"),
        (GuestList(denied_users=frozenset({"@mallory:one"})), "alice@one bob@two"),
        (GuestList(frozenset({"one"}), denied_users=frozenset({"@mallory:one"})), "alice@one"),
        (GuestList(allowed_users=frozenset({"@bob:two"}), denied_servers=frozenset({"two"})), ""),
    ],
)
def test_who_is_served(guests: GuestList, served: str) -> None:
    everybody = ("alice@one", "mallory@one", "bob@two")
    found = [one for one in everybody if guests.serves("@" + one.replace("@", ":"))]
    assert " ".join(found) == served


def test_calls_of_a_person_a_room_and_a_homeserver_are_rationed() -> None:
    quotas = Quotas(Scant())
    assert [quotas.spend("!r", "@a:one", 0) for _ in range(limits.INVITE_BURST + 1)][-2:] == [True, False]
    assert not quotas.spend("!r", "@b:two", 0)  # the same room
    assert not quotas.spend("!s", "@a:one", 0)  # the same person
    assert quotas.spend("!s", "@b:one", 0)
    assert quotas.spend("!r", "@a:one", 2 / limits.INVITES_PER_SECOND)
    crowd = [quotas.spend(f"!{n}", f"@p{n}:three", 0) for n in range(limits.SERVER_INVITE_BURST + 5)]
    assert crowd.count(False) == 5
    assert quotas.spend("!x", "@x:four", 0)
    for n in range(limits.INVITE_SENDERS_MAX):
        quotas.spend(f"!m{n}", f"@m{n}:five", 0)
    assert len(quotas._budgets) == limits.INVITE_SENDERS_MAX


def test_whoever_calls_without_end_is_told_to_wait() -> None:
    where = world()
    said = [send(where, invite(call_id=f"c{n}")) for n in range(limits.INVITE_BURST)]
    assert not [each for each in said if each is not None and each[0] == "m.call.reject"]
    assert send(where, invite(call_id="more")) == ("m.call.reject", "busy")


def test_whoever_calls_on_and_on_leaves_others_some_of_the_bots_few_messages() -> None:
    """A stock homeserver gives it 0.2 a second."""

    def said_in_a_second(limited: bool) -> float:
        where = world()
        if limited:
            where.handle(BotLimited())
        effects = []
        for second in range(200):
            if second == 50:  # what was allowed at once is used up
                effects.clear()
            effects += where.matrix(names.INVITE, invite(call_id=f"c{second}"))
            effects += where.pass_time(1)
        return sum(isinstance(each, SendMatrix) for each in effects) / 150

    assert said_in_a_second(limited=False) > 0.5
    assert said_in_a_second(limited=True) < 0.15


def test_one_homeserver_cannot_begin_all_conferences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.protocol.invites._SERVERS_SHARE", 2)
    where = world()
    for number, user in enumerate(("@a:one", "@b:one")):
        ticket = Ticket(f"a-conference-of-number-{number}", user)
        assert send(where, invite(user, "DEVICE", f"call{number}", ticket=ticket), user) is None
    ticket = Ticket("a-conference-of-others", "@c:one")
    assert send(where, invite("@c:one", "DEVICE", "call3", ticket=ticket), "@c:one") == (
        "m.call.reject",
        "full",
    )
    ticket = Ticket("a-conference-of-others", "@c:two")
    assert send(where, invite("@c:two", "DEVICE", "call4", ticket=ticket), "@c:two") is None


def test_refusals_of_one_sender_are_few() -> None:
    where = world()
    answers = [send(where, invite(BOB, "B", f"c{number}", **{names.JOIN: None}), BOB) for number in range(20)]
    assert len([answer for answer in answers if answer]) == limits.REFUSAL_BURST
    assert send(where, invite("@carol:example.org", **{names.JOIN: None}), "@carol:example.org") is not None
    where.pass_time(60)
    assert send(where, invite(BOB, "B", "later", **{names.JOIN: None}), BOB) is not None


def test_what_is_said_again_in_a_room_is_rationed() -> None:
    """The homeserver gives the bot few messages, and those of others wait behind them."""
    where = world()
    (alice, bob) = people(where, 2)
    content = {"call_id": bob.call_id, "party_id": bob.device_id, "version": "1", "lifetime": 60000}
    content |= {"description": {"type": "offer", "sdp": offer()}, "sdp_stream_metadata": metadata()}
    sent = [
        effect
        for _ in range(50)
        for effect in where.matrix(names.NEGOTIATE, content, bob.user_id)
        if isinstance(effect, SendMatrix)
    ]
    assert len(sent) == limits.REFUSAL_BURST
    carol = Person(where, "@carol:example.org", "C", "c")
    again = invite(carol.user_id, carol.device_id, carol.call_id)
    carol.send_invite(again)
    sent = [e for _ in range(50) for e in carol.send_invite(again) if isinstance(e, SendMatrix)]
    assert [each.type for each in sent] == [names.ANSWER] * limits.REFUSAL_BURST
    muted = content | {"sdp_stream_metadata": metadata(audio_muted=True)}
    heard = content | {"sdp_stream_metadata": metadata()}
    for _ in range(limits.MESSAGE_BURST):
        where.matrix(names.METADATA_CHANGED, muted, bob.user_id)
        where.matrix(names.METADATA_CHANGED, heard, bob.user_id)
    effects = where.matrix(names.METADATA_CHANGED, muted, bob.user_id)
    assert counted(effects, "matrix_events_refused") == ["busy"]
    where.pass_time(60)
    assert [type(each) for each in where.matrix(names.NEGOTIATE, content, bob.user_id)] == [SendMatrix]
    assert alice.hung_up is None


def test_who_calls_on_and_on_costs_others_of_the_homeserver_nothing() -> None:
    quotas = Quotas(Scant())
    for _ in range(2 * limits.SERVER_INVITE_BURST):
        quotas.spend("!room", "@mallory:example.org", 1000.0)
    assert quotas.spend("!other", "@carol:example.org", 1000.0)


def test_a_channel_that_is_opened_again_and_again() -> None:
    """Each is told the whole roster, and all look at each other anew."""
    where = world()
    (_, bob) = people(where, 2)
    assert bob.transport is not None
    told = len(bob.said)
    for _ in range(100):
        where.handle(ChannelClosed(bob.transport))
        where.handle(ChannelOpened(bob.transport))
    assert sum(kind == names.WELCOME for kind, _ in bob.said[told:]) == limits.NEGOTIATE_BURST
    where.pass_time(20)
    where.handle(ChannelClosed(bob.transport))
    where.handle(ChannelOpened(bob.transport))
    assert bob.said[told:][-1][0] != names.ERROR
    assert bob.hung_up is None


def test_the_memory_of_refused_senders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REFUSAL_SENDERS_MAX", 10)
    where = world()
    for number in range(50):
        send(where, invite(**{names.JOIN: None}), f"@person{number}:example.org")
    assert len(where.focus._refusals._budgets) == 10


def test_the_memory_of_proofs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TICKET_REPLAYS_MAX", 3)
    where = world()
    people(where, 3)
    assert send(where, invite(BOB, "B", "b"), BOB) == ("m.call.reject", "busy")
    where.pass_time(301)
    content = invite(BOB, "B", "b2")
    content[names.JOIN] = Ticket().join(BOB, "B", "b2", ts=WALL_MS + 301_000)
    assert send(where, content, BOB) is None
