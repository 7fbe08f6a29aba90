"""The forwarding core without sockets, against others: aioice checks, pylibsrtp encrypts and decrypts."""

import itertools
import os
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.protocol.rows import SrtpProfile
from fastpath_ext.counters import Counters
from fastpath_ext.uplink import Kind, decode, encode
from fastpath_ext.worker import Forwarder
from tests.synthetic import Meeting, Participant

MS = 1_000_000


class Room:
    """A meeting and the core that serves it; participant n sends from port 5000 + n."""

    def __init__(
        self,
        count: int,
        profile: SrtpProfile = SrtpProfile.AEAD_AES_128_GCM,
        host: str = "192.0.2.1",
        backend: str | None = None,
    ) -> None:
        self.meeting = Meeting.of(count, profile)
        self.people = self.meeting.participants
        self.backend = backend
        self.host = host
        self.now = 10**15
        self.told: list[tuple[Kind, int]] = []
        self.strangers: list[bytes] = []
        self.restart()
        for one in self.people:
            self.send(one, one.check())

    def restart(self) -> None:
        """A new core on the same segments, as after a kill: what the old one had in private is gone."""
        self.core = Forwarder(*self.meeting.table.fds, backend=self.backend)
        self.core.adopt(self.now)

    def send(self, one: Participant, *datagrams: bytes, port: int | None = None) -> None:
        for datagram in datagrams:
            self.core.forward(datagram, (self.host, port or 5000 + one.handle), self.now)
        self.deliver()

    def deliver(self) -> None:
        for (host, port), datagrams in self.core.take():
            assert host == self.host
            for datagram in datagrams:
                if port - 5000 < len(self.people):
                    self.people[port - 5000].take(datagram)
                else:
                    self.strangers.append(datagram)
        self.told += [(Kind(m.kind), m.transport) for m in map(decode, self.core.messages())]

    def publish(self) -> None:
        self.meeting.put()
        assert self.core.adopt(self.now)

    def advance(self, ms: int) -> None:
        self.now += ms * MS
        self.core.tick(self.now)
        self.deliver()

    @property
    def counters(self) -> dict[str, int]:
        return Counters(self.meeting.table.fds[1]).values()


@pytest.mark.parametrize("profile", [p for p in SrtpProfile if p])
@pytest.mark.parametrize(("host", "backend"), [("192.0.2.1", None), ("2001:db8::1", "openssl")])
def test_everyone_hears_and_sees_everyone(profile: SrtpProfile, host: str, backend: str | None) -> None:
    room = Room(3, profile, host, backend)
    assert [one.answers for one in room.people] == [1, 1, 1]
    for i in range(20):
        for one in room.people:
            room.send(
                one, one.opus(bytes([i]) * 40), *one.frame(0, key=i == 0, packets=3, now=room.now / 1e9)
            )
        room.advance(20)
    for receiver in range(3):
        person = room.people[receiver]
        assert person.refused == []
        for sender in {0, 1, 2} - {receiver}:
            heard = person.of(room.meeting.ssrc(receiver, sender, False))
            seen = person.of(room.meeting.ssrc(receiver, sender, True))
            assert [got.payload for got in heard] == [bytes([i]) * 40 for i in range(20)]
            assert {(got.csrc, got.payload_type, got.level) for got in heard} == {(1000 + sender, 109, 0x9E)}
            assert len(seen) == 60
            assert [got.marker for got in seen] == [False, False, True] * 20
            assert all(b.sequence == a.sequence + 1 for a, b in itertools.pairwise(seen))
            assert {got.payload[7:] for got in seen} == {bytes(493)}
    assert room.told.count((Kind.CONNECTED, 1)) == 1
    assert room.counters["internal_errors"] == 0


def test_reports_are_read_by_others() -> None:
    """Each compound begins with the worker's own SSRC; SDES, REMB and sender reports follow."""
    room = Room(2)
    first, second = room.people
    for _ in range(60):
        room.send(first, first.opus(), *first.frame(0, key=True, now=room.now / 1e9))
        room.advance(20)
    assert all(c[0].type == 201 and c[0].body[:4] == struct.pack("!I", 0xE0000) for c in first.rtcp)
    remb = first.blocks(206, 15)[0].body
    assert remb[8:12] == b"REMB"
    exponent, mantissa = remb[13] >> 2, (remb[13] & 3) << 16 | remb[14] << 8 | remb[15]
    assert 2_980_000 < mantissa << exponent <= 3_000_000
    assert struct.unpack("!2I", remb[16:24]) == (first.audio_ssrc, first.video_ssrcs[0])
    reports = second.blocks(200)
    by_ssrc = {struct.unpack("!I", block.body[:4])[0] for block in reports}
    assert by_ssrc == {room.meeting.ssrc(1, 0, False), room.meeting.ssrc(1, 0, True)}


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_restarts_lose_and_repeat_nothing(data: st.DataObject) -> None:
    """Whatever is interrupted when: receivers that live on accept every packet, in order, over rollovers."""
    room = Room(2)
    sender, receiver = room.people
    sent = 0
    for _ in range(data.draw(st.integers(5, 60))):
        match data.draw(st.sampled_from(["packet", "packet", "jump", "restart", "switch"])):
            case "packet":
                room.send(sender, sender.opus())
                sent += 1
            case "jump":
                sender.skip_audio(data.draw(st.integers(1, 1000)))
            case "restart":
                room.restart()
            case "switch":
                room.meeting.subscribe(1, None, 0, pair=0)
                room.publish()
                room.meeting.subscribe(1, 0, 0)
                room.publish()
        room.advance(data.draw(st.sampled_from([0, 20, 1000])))
    assert receiver.refused == []
    got = receiver.of(room.meeting.ssrc(1, 0, False))
    assert len(got) == sent
    assert all(0 < (b.sequence - a.sequence) & 0xFFFF <= 1025 for a, b in itertools.pairwise(got))
    assert room.counters["rtp_replayed_dropped"] == 0


def test_rollover_of_the_counter_across_restarts() -> None:
    room = Room(2)
    sender, receiver = room.people
    for i in range(300):
        if i % 7 == 0:
            room.restart()
            for one in room.people:
                room.send(one, one.check())
        room.send(sender, sender.opus())
        sender.skip_audio(999)
        room.now += 300 * MS  # a hole so large is believed only when time has passed
    got = receiver.of(room.meeting.ssrc(1, 0, False))
    assert len(got) == 300
    assert receiver.refused == []
    assert sum(b.sequence < a.sequence for a, b in itertools.pairwise(got)) >= 4


def test_a_restart_needs_no_new_check_and_tells_control_again() -> None:
    room = Room(2)
    sender, receiver = room.people
    room.send(sender, *sender.frame(0, key=True, packets=2))
    room.told.clear()
    room.restart()
    room.send(sender, *sender.frame(0, key=False, packets=2))
    assert len(receiver.of(room.meeting.ssrc(1, 0, True))) == 4
    room.advance(1001)
    assert {(Kind.CONNECTED, 0), (Kind.CONNECTED, 1)} <= set(room.told)
    replayed = sender.opus()
    room.send(sender, replayed)
    room.restart()
    room.send(sender, replayed)
    assert room.counters["rtp_replayed_dropped"] == 1


def test_spoofed_and_broken_datagrams_change_nothing() -> None:
    room = Room(2)
    sender = room.people[0]
    good = sender.opus()
    state = os.pread(room.meeting.table.fds[1], 1 << 20, 8192)
    for length in range(0, 1500, 7):
        room.send(sender, os.urandom(length), port=9000 + length % 50)
    for n in range(len(good)):
        room.send(sender, good[:n], port=9000)
        room.send(sender, good[:n] + bytes([good[n] ^ 1]) + good[n + 1 :])
    stranger = Participant(0)
    stranger.ice = type(stranger.ice)(
        stranger.ice.local_ufrag, "guessed-password-0000000", stranger.ice.remote_ufrag
    )
    room.send(sender, stranger.check(), port=9001)
    assert os.pread(room.meeting.table.fds[1], 1 << 20, 8192) == state
    assert room.strangers == []
    assert room.counters["stun_unauthenticated_dropped"] == 1
    room.send(sender, good)
    assert len(room.people[1].of(room.meeting.ssrc(1, 0, False))) == 1


def test_control_is_told_and_obeyed() -> None:
    room = Room(2)
    dtls = bytes([22, 0xFE, 0xFD]) + bytes(40)
    room.send(room.people[0], dtls)
    assert (Kind.DTLS, 0) in room.told
    assert room.core.downlink(encode(Kind.DOWN_DTLS, 1, 1, dtls), room.now) == 0
    room.deliver()
    assert room.people[1].dtls == [dtls]
    assert room.core.downlink(encode(Kind.DOWN_STOP), room.now) == 1
    assert room.core.downlink(encode(Kind.DOWN_WAKE), room.now) == 2
    assert room.core.downlink(b"", room.now) == 0
