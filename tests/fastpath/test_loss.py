"""Loss on either side of the core, seen by others: RTX is unwrapped and counted here, SRTP is pylibsrtp's."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.protocol.rows import SrtpProfile
from tests.fastpath.test_forward import Room
from tests.synthetic import Got, Participant


def missing(got: list[Got]) -> list[int]:
    """Sequence numbers that are absent between the first and the newest packet."""
    seen = {one.sequence for one in got}
    first = got[0].sequence
    newest = max((one.sequence - first) & 0xFFFF for one in got)
    return [(first + n) & 0xFFFF for n in range(newest) if (first + n) & 0xFFFF not in seen]


class Viewer:
    """What a browser does with a slot and its RTX: unwraps, asks for gaps once in a round trip."""

    def __init__(self, room: Room, person: Participant, pair: int) -> None:
        self.room, self.person = room, person
        self.ssrc = room.meeting.ssrc(person.handle, pair, True)
        self.rtx_ssrc = room.meeting.rtx_ssrc(person.handle, pair)

    def packets(self) -> list[Got]:
        """Original and repaired ones, by arrival."""
        repaired = [one.original(self.ssrc, 120) for one in self.person.of(self.rtx_ssrc)]
        return self.person.of(self.ssrc) + repaired

    def ask(self) -> int:
        lost = missing(self.packets())
        if lost:
            self.room.send(self.person, self.person.nack(self.ssrc, *lost))
        return len(lost)


def lossy(share: float, seed: int):
    chance = random.Random(seed)
    return lambda datagram: chance.random() < share


@pytest.mark.parametrize("profile", [p for p in SrtpProfile if p])
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_what_is_lost_downstream_is_repaired(profile: SrtpProfile, share: float) -> None:
    room = Room(3, profile)
    sender, receiver, other = room.people
    viewer, witness = Viewer(room, receiver, 0), Viewer(room, other, 0)
    sent = 0
    for i in range(100):
        receiver.loses = lossy(share, i) if i else None
        room.send(sender, *sender.frame(0, key=i == 0, packets=4, now=room.now / 1e9))
        sent += 4
        room.advance(20)
        if i % 6 == 5:
            viewer.ask()
    receiver.loses = None
    room.send(sender, *sender.frame(0, key=False, now=room.now / 1e9))
    for _ in range(3):
        room.advance(120)
        viewer.ask()
    packets = sorted(viewer.packets(), key=lambda one: (one.sequence - viewer.packets()[0].sequence) & 0xFFFF)
    assert missing(packets) == []
    assert len(packets) == sent + 1
    assert [one.payload for one in packets] == [one.payload for one in witness.packets()]
    assert [one.timestamp - packets[0].timestamp for one in packets] == [
        one.timestamp - witness.packets()[0].timestamp for one in witness.packets()
    ]
    assert {(one.csrc, one.payload_type) for one in packets} == {(1000, 120)}
    assert receiver.refused == other.refused == []
    assert not other.of(witness.rtx_ssrc), "nobody gets what only another one missed"


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_what_is_lost_upstream_is_repaired(share: float) -> None:
    """The sender answers NACKs after 40 ms; a tenth of its retransmissions is lost as well."""
    room = Room(2)
    sender, receiver = room.people
    viewer = Viewer(room, receiver, 0)
    loses, loses_again = lossy(share, 1), lossy(0.1, 2)
    answers: list[tuple[int, bytes]] = []
    sent = 0
    for i in range(200):
        frame = sender.frame(0, key=i == 0, packets=4, now=room.now / 1e9)
        last = i >= 150
        sent += len(frame)
        room.send(sender, *(one for one in frame if not i or last or not loses(one)))
        for _ in range(4):
            room.advance(5)
            answers += [(room.now + 40_000_000, one) for one in sender.retransmissions()]
            due = [one for at, one in answers if at <= room.now and not loses_again(one)]
            answers = [(at, one) for at, one in answers if at > room.now]
            room.send(sender, *due)
    assert missing(viewer.packets()) == []
    assert len(viewer.packets()) == sent
    assert receiver.refused == []
    lost = room.counters["gaps_filled"]
    assert lost > 400 * share
    assert lost <= room.counters["nacks_sent_packets"] < 4 * lost
    assert room.counters["rtx_unwrapped"] == lost


def test_a_key_frame_whose_first_packet_comes_last_is_had_for_the_asking() -> None:
    """The slot begins with it; what had come before it stands in the history."""
    room = Room(2)
    sender, receiver = room.people
    viewer = Viewer(room, receiver, 0)
    first, *rest = sender.frame(0, key=True, packets=4, now=room.now / 1e9)
    room.send(sender, *rest, first)
    room.advance(20)
    room.send(sender, *sender.frame(0, key=False, now=room.now / 1e9))
    assert [one.marker for one in viewer.packets()] == [False, True]
    assert viewer.ask() == 3
    room.advance(20)
    assert missing(viewer.packets()) == []
    assert [one.payload[-1] for one in viewer.packets()] == [0] * 5
    assert sorted(one.payload[0] for one in viewer.packets()) == [0x80] * 3 + [0x90] * 2


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_kills_switches_and_loss_repeat_no_index(data: st.DataObject) -> None:
    """pylibsrtp would refuse an index that comes twice, of the slot or of its retransmissions."""
    room = Room(3)
    receiver = room.people[2]
    viewer = Viewer(room, receiver, 0)
    for i in range(data.draw(st.integers(5, 40))):
        if i % 10 == 0:
            for one in room.people:
                room.send(one, one.check())
        match data.draw(
            st.sampled_from(["frame", "frame", "frame", "ask", "ask", "restart", "switch", "late"])
        ):
            case "frame" | "late" as how:
                packets = [
                    (sender, packet)
                    for sender in room.people[:2]
                    for encoding in (0, 2)
                    for packet in sender.frame(
                        encoding, key=data.draw(st.booleans()), packets=3, now=room.now / 1e9
                    )
                ]
                if how == "late":
                    random.Random(i).shuffle(packets)
                for sender, packet in packets:
                    room.send(sender, packet)
            case "ask":
                got = receiver.of(viewer.ssrc)
                if got:
                    newest = got[-1].sequence
                    room.send(
                        receiver,
                        receiver.nack(viewer.ssrc, *((newest - n) & 0xFFFF for n in range(8, -1, -1))),
                    )
            case "restart":
                room.restart()
            case "switch":
                source, level = data.draw(st.sampled_from([(0, 0), (0, 2), (1, 0), (1, 2)]))
                room.meeting.subscribe(2, source, level, pair=0)
                room.meeting.put()
                room.core.adopt(room.now)
        room.advance(data.draw(st.sampled_from([0, 20, 120])))
    assert receiver.refused == []
    originals: dict[int, bytes] = {}
    for one in receiver.of(viewer.ssrc):
        assert originals.setdefault(one.sequence, one.payload) == one.payload
    for one in receiver.of(viewer.rtx_ssrc):
        unwrapped = one.original(viewer.ssrc, 120)
        assert originals.get(unwrapped.sequence, unwrapped.payload) == unwrapped.payload
    assert room.counters["internal_errors"] == 0
