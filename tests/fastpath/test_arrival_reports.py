"""Transport-wide feedback to senders, read by the text of holmer-rmcat-transport-wide-cc-extensions-01."""

import itertools
import struct
from dataclasses import dataclass

import pytest

from control.protocol.rows import SrtpProfile
from tests.fastpath.test_forward import Room
from tests.synthetic import Participant


@dataclass(frozen=True, slots=True)
class Feedback:
    """One message: who says it, about which SSRC, and per number the arrival in ms, None = lost."""

    sender: int
    media: int
    count: int
    arrivals: dict[int, float | None]


def read_feedback(body: bytes) -> Feedback:
    sender, media, base, count, head = struct.unpack("!IIHHI", body[:16])
    at, symbols = 16, list[int]()
    while len(symbols) < count:
        (chunk,) = struct.unpack("!H", body[at : at + 2])
        at += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13] * (chunk & 0x1FFF)
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    time_ms = (head >> 8) * 64.0
    arrivals: dict[int, float | None] = {}
    for n, symbol in enumerate(symbols[:count]):
        number = (base + n) & 0xFFFF
        assert symbol < 3
        if symbol == 0:
            arrivals[number] = None
            continue
        time_ms += struct.unpack("!B" if symbol == 1 else "!h", body[at : at + symbol])[0] / 4
        arrivals[number] = time_ms
        at += symbol
    assert len(body) - at < 4
    assert not any(body[at:])
    return Feedback(sender, media, head & 0xFF, arrivals)


def told(person: Participant) -> list[Feedback]:
    return [read_feedback(block.body) for block in person.blocks(205, 15)]


def numbered_room(profile: SrtpProfile = SrtpProfile.AEAD_AES_128_GCM) -> Room:
    """Of two members the first negotiated transport-wide numbers, which begin just before they wrap."""
    room = Room(2, profile)
    room.people[0].transport_number = 65400
    room.publish()
    return room


@pytest.mark.parametrize("profile", [p for p in SrtpProfile if p])
def test_a_sender_is_told_when_its_packets_came(profile: SrtpProfile) -> None:
    room = numbered_room(profile)
    sender, other = room.people
    came: dict[int, float | None] = {}
    heard_at: list[int] = []
    for i in range(150):
        first = sender.transport_number
        assert first is not None
        packets = [sender.opus(), *sender.frame(0, key=i == 0, packets=2, now=room.now / 1e9)]
        for n, packet in enumerate(packets):
            lost = (i * 3 + n) % 13 == 5
            came[(first + n) & 0xFFFF] = None if lost else room.now / 1e6
            if not lost:
                room.send(sender, packet)
        room.send(other, *other.frame(0, key=i == 0, packets=2, now=room.now / 1e9))
        for _ in range(4):
            before = len(told(sender))
            room.advance(5)
            heard_at += [room.now] * (len(told(sender)) - before)
    room.advance(100)
    messages = told(sender)
    assert {message.sender for message in messages} == {0xE0000}
    assert {message.media for message in messages} <= {sender.audio_ssrc, sender.video_ssrcs[0]}
    assert [message.count for message in messages] == [n & 0xFF for n in range(len(messages))]
    assert all(compound[0].type == 201 for compound in sender.rtcp), "a report stands first"
    gaps = [(b - a) / 1e6 for a, b in itertools.pairwise(heard_at)]
    assert min(gaps) >= 50
    assert max(gaps) <= 105
    merged: dict[int, float | None] = {}
    for message in messages:
        assert not merged.keys() & message.arrivals.keys()
        merged |= message.arrivals
    newest = max(n for n, number in enumerate(came) if came[number] is not None)
    expected = dict(itertools.islice(came.items(), newest + 1))
    assert merged.keys() == expected.keys()
    assert [number for number in merged if merged[number] is None] == [
        number for number in expected if expected[number] is None
    ]
    pairs = [(expected[number], merged[number]) for number in expected if expected[number] is not None]
    apart = {round((ours - theirs) % (64 * 2**24), 3) for theirs, ours in pairs if theirs and ours}
    assert len(apart) == 1, "one clock over all messages"
    assert room.counters["transport_cc_sent"] == len(messages)
    assert sender.refused == other.refused == []
    assert told(other) == [], "who did not negotiate it gets none"


def test_a_kill_costs_one_feedback() -> None:
    room = numbered_room()
    (sender, _) = room.people
    for i in range(60):
        if i == 30:
            room.restart()
        room.send(sender, *sender.frame(0, key=i == 0, packets=2, now=room.now / 1e9))
        room.advance(20)
    room.advance(100)
    numbers = [
        number for message in told(sender) for number, at in message.arrivals.items() if at is not None
    ]
    assert not [at for message in told(sender) for at in message.arrivals.values() if at is None]
    assert len(numbers) == len(set(numbers))
    assert 120 - 10 <= len(numbers) <= 120
    assert sender.refused == []


def test_packets_without_numbers_are_told_nothing() -> None:
    """Negotiated and not used, as by a sender whose first packets come before it took the answer."""
    room = numbered_room()
    (sender, _) = room.people
    sender.transport_number = None
    for i in range(20):
        room.send(sender, *sender.frame(0, key=i == 0, now=room.now / 1e9))
        room.advance(20)
    assert told(sender) == []
    assert room.counters["transport_cc_sent"] == 0
