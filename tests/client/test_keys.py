"""When our keys change, who gets them, and whose we believe: tables in simulated time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from client.keys.exchange import Device, KeyExchange
from client.keys.frames import BaseKey, Sealer, Verdict
from client.keys.keyring import Keyring
from client.keys.own import NEVER, OwnKeys, Send, Use
from client.protocol.events import KeyEntry, KeyRequest, MediaKeys
from tests.client import schemas

CONFERENCE = "a-conference-of-the-tests"
ALICE, BOB, EVE = (Device(f"@{name}:x", name.upper()) for name in ("alice", "bob", "eve"))


def counting() -> OwnKeys:
    made = [0]

    def random(length: int) -> bytes:
        made[0] += 1
        return made[0].to_bytes(length, "big")

    return OwnKeys((0, 1), random)


class Timeline:
    """Own keys over a homeserver that takes everything `delay` seconds later."""

    def __init__(self, delay: float = 0.05) -> None:
        self.own = counting()
        self.now = 100.0
        self.delay = delay
        self.log: list[tuple[float, str, tuple[int, int]]] = []

    def until(self, end: float) -> None:
        while True:
            action = self.own.poll(self.now)
            if action is None:
                if self.own.due > end:
                    self.now = end
                    return
                self.now = max(self.now, self.own.due)
                continue
            key = action.keys[1]
            kind = "send" if isinstance(action, Send) else "use"
            self.log.append((round(self.now - 100, 3), kind, (key.epoch, key.step)))
            if isinstance(action, Send):
                self.now += self.delay
                self.own.accepted(self.now)


def test_the_first_key_is_sent_then_used() -> None:
    time = Timeline()
    time.own.start()
    time.until(110)
    assert time.log == [(0, "send", (0, 0)), (0.05, "use", (0, 0))]


def test_joins_step_and_leaves_renew_at_most_once_in_five_seconds() -> None:
    time = Timeline()
    time.own.start()
    time.until(110)
    time.log.clear()
    time.own.member_joined(time.now)
    time.until(111)
    for _ in range(10):
        time.own.member_joined(time.now)
    time.own.member_left()
    time.until(130)
    assert time.log == [
        (10, "send", (0, 1)),
        (10.05, "use", (0, 1)),
        (15, "send", (1, 0)),
        (16.05, "use", (1, 0)),  # a second after it was accepted
    ]


def test_a_refused_sending_is_repeated_and_nothing_used_before() -> None:
    own = counting()
    own.start()
    assert isinstance(own.poll(0), Send)
    own.failed(0)
    assert own.poll(2) is None
    again = own.poll(5)
    assert isinstance(again, Send)
    assert own.poll(6) is None  # under way
    own.accepted(6)
    used = own.poll(6)
    assert isinstance(used, Use)
    assert used.keys == again.keys


def test_no_number_is_of_two_keys_though_sending_fails() -> None:
    """Whoever got them all the same keeps the first key of a number."""
    own = counting()
    own.start()
    now, sent = 0.0, []

    def send(taken: bool, leaves: bool = False) -> None:
        nonlocal now
        now = max(now, own.due)
        while not isinstance(action := own.poll(now), Send):
            now = max(now + 0.001, own.due)
        sent.append(action.keys[1])
        if leaves:
            own.member_left()
        (own.accepted if taken else own.failed)(now)

    send(False)
    send(False)  # the same once more
    own.member_left()  # who may have them
    send(False)
    send(False, leaves=True)
    send(True)
    own.member_left()
    send(False)
    own.member_joined(now)
    send(True)
    assert [(key.epoch, key.step) for key in sent] == [(0, 0), (0, 0), (1, 0), (1, 0), (2, 0), (3, 0), (3, 0)]
    assert len({(key.epoch, key.step): key.key for key in sent}) == len({key.key for key in sent})


def test_who_sends_nothing_has_no_keys() -> None:
    own = OwnKeys((), bytes)
    own.start()
    own.member_joined(1)
    own.member_left()
    assert own.due == NEVER
    assert own.poll(100) is None


def test_step_255_is_followed_by_a_new_key() -> None:
    time = Timeline()
    time.own.start()
    time.until(110)
    for _ in range(256):
        time.own.member_joined(time.now)
        time.until(time.now + 6)
    assert time.log[-1][2] == (1, 0)
    assert max(step for _, _, (epoch, step) in time.log if epoch == 0) == 255


def test_what_a_newcomer_may_ask_for() -> None:
    time = Timeline()
    time.own.start()
    time.until(103)
    early = time.own.member_joined(time.now)  # within five seconds of the first keys
    assert time.own.since(early)[1][0].step == 0
    time.until(120)
    late = time.own.member_joined(time.now)
    assert time.own.since(late) == {}  # the step made for it is not made yet
    time.until(121)
    assert [key.step for key in time.own.since(late)[1]] == [2]


def exchange(present: set[str] | None = None) -> KeyExchange:
    """Alice's; everybody is in the room unless told."""
    room = {"@alice:x", "@bob:x", "@eve:x"} if present is None else present
    made = KeyExchange(CONFERENCE, counting(), Keyring(), lambda user: user in room)
    made.number = 1
    made.own.start()
    return made


def bobs(
    member: int = 2, device: str = "BOB", key: bytes = b"b" * 16, conference: str = CONFERENCE
) -> MediaKeys:
    return MediaKeys(conference, member, device, (KeyEntry(1, 0, 0, key),))


def opens(keys: KeyExchange, member: int = 2, key: bytes = b"b" * 16) -> bool:
    sealer = Sealer(member, 1)
    sealer.use(BaseKey(0, 0, key))
    return keys.keyring.open_untrusted(False, sealer.seal(b"\x11picture") or b"").verdict == Verdict.OPENED


def test_keys_of_a_member_are_taken() -> None:
    keys = exchange()
    keys.joined(2, BOB, True, 0)
    assert keys.keys_arrived(bobs(), BOB) is None
    assert opens(keys)


def test_keys_may_come_before_the_roster() -> None:
    keys = exchange()
    assert keys.keys_arrived(bobs(), BOB) is None
    assert not opens(keys)
    keys.joined(2, BOB, True, 0)
    assert opens(keys)


def test_keys_that_came_early_from_another_device_are_not_taken() -> None:
    keys = exchange()
    keys.keys_arrived(bobs(device="EVE", key=b"e" * 16), EVE)
    keys.joined(2, BOB, True, 0)
    assert not opens(keys, key=b"e" * 16)
    assert keys.keys_arrived(bobs(), BOB) is None
    assert opens(keys)


def test_refused_keys() -> None:
    keys = exchange({"@alice:x", "@bob:x"})
    keys.joined(2, BOB, True, 0)
    keys.joined(3, EVE, True, 0)
    table = [
        (bobs(), EVE, "another device sent them"),
        (bobs(device="EVE"), EVE, "the sender is not in the room"),
        (bobs(member=3, device="BOB"), BOB, "the member number is another device's"),
    ]
    for message, sender, why in table:
        assert keys.keys_arrived(message, sender) == why
    assert keys.keys_arrived(bobs(conference="another-conference-elsewhere"), BOB) is None
    assert not opens(keys)
    keys.left(2)
    assert keys.keys_arrived(bobs(), BOB) == "the member has left"


def test_a_member_number_stays_its_first_owners() -> None:
    keys = exchange()
    assert keys.joined(2, BOB, True, 0)
    assert not keys.joined(2, EVE, True, 0)
    keys.left(2)
    assert not keys.joined(2, BOB, True, 0)


def test_missing_keys_are_asked_for_after_a_moment_and_seldom() -> None:
    keys = exchange()
    keys.joined(2, BOB, True, 0)
    asked = [keys.missing(2, 1, 0, 10.0, now) for now in (10.1, 10.4, 11.0, 13.3, 13.5)]
    assert asked == [None, BOB, None, None, BOB]
    assert keys.missing(7, 1, 0, 10.0, 20.0) is None


def test_requests_are_answered_to_members_in_the_room_alone() -> None:
    keys = exchange({"@alice:x", "@bob:x"})
    assert isinstance(keys.own.poll(0), Send)
    keys.own.accepted(0)
    keys.joined(2, BOB, False, 0)
    keys.joined(3, EVE, False, 0)
    request = KeyRequest(CONFERENCE, 1, 1, 0)
    assert keys.request_arrived(request, EVE, 1) == {}
    assert keys.request_arrived(request, Device("@mallory:x", "M"), 1) == {}
    assert keys.request_arrived(KeyRequest(CONFERENCE, 2, 1, 0), BOB, 1) == {}
    given_to_bob = keys.request_arrived(request, BOB, 1)
    assert sorted(given_to_bob) == [0, 1]
    assert schemas.problems("room/media_keys", keys.content(given_to_bob, "ALICE")) == []
    assert keys.request_arrived(request, BOB, 2) == {}  # once in three seconds
    assert keys.request_arrived(request, BOB, 4.1) != {}


def test_a_newcomers_early_request_is_answered_once_its_step_is_made() -> None:
    keys = exchange()
    assert isinstance(keys.own.poll(0), Send)
    keys.own.accepted(0)
    assert isinstance(keys.own.poll(0), Use)
    keys.joined(2, BOB, True, 60)
    assert keys.request_arrived(KeyRequest(CONFERENCE, 1, 1, 0), BOB, 60.1) == {}
    assert list(keys.answers()) == []  # nothing was made yet: nothing to say
    sent = keys.own.poll(61)
    assert isinstance(sent, Send)
    keys.own.accepted(61)
    ((device, content),) = keys.answers()
    assert device == BOB
    assert [key.step for key in content[1]] == [1]


def test_who_leaves_the_room_has_no_part_in_what_follows() -> None:
    room = {"@alice:x", "@bob:x"}
    keys = exchange(room)
    first = keys.own.poll(0)
    assert isinstance(first, Send)
    keys.own.accepted(0)
    keys.own.poll(0)
    keys.joined(2, BOB, True, 0)
    room.remove("@bob:x")
    keys.room_changed("@bob:x", 10)
    assert keys.recipients() == []
    renewed = keys.own.poll(10)
    assert isinstance(renewed, Send)
    assert renewed.keys[1].epoch == 1
    assert keys.request_arrived(KeyRequest(CONFERENCE, 1, 1, 0), BOB, 11) == {}
    keys.own.accepted(11)
    keys.own.poll(12)
    room.add("@bob:x")
    keys.room_changed("@bob:x", 30)
    assert keys.recipients() == [BOB]
    assert isinstance(keys.own.poll(30), Send)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(["join", "leave", "fail", "accept"]), st.floats(0.01, 4)), max_size=40)
)
def test_whatever_happens_keys_go_forward(steps: list[tuple[str, float]]) -> None:
    """Used only what was accepted; epochs and steps never go back; sendings are five seconds apart."""
    own = counting()
    own.start()
    now, sent_at, used, accepted = 0.0, -NEVER, (-1, -1), set[tuple[int, int]]()
    under_way: Send | None = None
    for what, wait in steps:
        now += wait
        if what == "join":
            own.member_joined(now)
        elif what == "leave":
            own.member_left()
        elif under_way is not None:
            if what == "accept":
                own.accepted(now)
                accepted.add((under_way.keys[1].epoch, under_way.keys[1].step))
            else:
                own.failed(now)
            under_way = None
        while (action := own.poll(now)) is not None:
            key = action.keys[1]
            if isinstance(action, Send):
                assert now - sent_at >= 5
                assert under_way is None
                sent_at, under_way = now, action
            else:
                assert (key.epoch, key.step) in accepted
                assert (key.epoch, key.step) > used
                used = key.epoch, key.step
