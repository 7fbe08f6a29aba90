"""What real encoders made, through every switch of encoding and source, with loss, disorder and wraps."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from control.protocol.rows import Codec, SrtpProfile
from fastpath_ext.worker import Forwarder
from tests.fastpath.replay import FRAME_MS, Camera, Slot, frames_of
from tests.fastpath.test_forward import MS, Room

CAPTURES = {
    "str0m-vp8": Codec.VP8,
    "libwebrtc-vp8": Codec.VP8,
    "str0m-vp9": Codec.VP9,
    "libwebrtc-vp9": Codec.VP9,
    "str0m-av1": Codec.AV1,
    "str0m-h264": Codec.H264,
}


class SeededRoom(Room):
    """The same sequence numbers in every run: hypothesis repeats what failed."""

    def restart(self) -> None:
        self.core = Forwarder(*self.meeting.table.fds, seed=7)
        self.core.adopt(self.now)


class Replay:
    """Members 0 and 1 replay, member 2 watches in one slot; what the network does is up to the test."""

    def __init__(
        self, frames: list[list[bytes]], codec: Codec, profile: SrtpProfile = SrtpProfile.AEAD_AES_128_GCM
    ) -> None:
        self.room = SeededRoom(3, profile)
        self.room.meeting.codec = codec
        for receiver, pair in ((0, 1), (0, 2), (1, 0), (1, 2), (2, 1)):
            self.room.meeting.subscribe(receiver, None, 0, pair=pair)
        self.room.publish()
        self.cameras = {n: Camera(self.room.people[n], codec, frames) for n in (0, 1)}
        self.slot = Slot(self.room, 2, 0, self.cameras)
        self.answers: list[tuple[int, Camera, int, int, bytes]] = []
        self.frame_count = 0

    def frame(self, lost: float, rng: random.Random, *, shuffled: bool = False) -> None:
        """A frame of every encoding, of which a share is lost on the uplink, and the time until the next."""
        if self.frame_count % 60 == 0:
            for one in self.room.people:
                self.room.send(one, one.check())
        self.frame_count += 1
        for camera in self.cameras.values():
            made = [
                (encoding, number, datagram)
                for encoding in range(3)
                for number, datagram in camera.frame(encoding, self.room.now)
            ]
            if shuffled:
                rng.shuffle(made)
            for encoding, number, datagram in made:
                # The first packets say what they are; until then nothing is known of their encoding.
                if number <= 20 or rng.random() >= lost:
                    camera.came[encoding][number] = self.room.now
                    self.room.send(camera.person, datagram)
        self.pass_time(FRAME_MS)

    def pass_time(self, ms: int) -> None:
        """Senders answer requests after 30 ms."""
        for _ in range(ms // 3):
            self.room.advance(3)
            for camera in self.cameras.values():
                if camera.person.key_requests():
                    camera.key_frame()
                asked = camera.asked()
                for (encoding, number), datagram in zip(asked, camera.person.retransmissions(), strict=True):
                    self.answers.append((self.room.now + 30 * MS, camera, encoding, number, datagram))
            while self.answers and self.answers[0][0] <= self.room.now:
                _, camera, encoding, number, datagram = self.answers.pop(0)
                camera.came[encoding].setdefault(number, self.room.now)
                self.room.send(camera.person, datagram)
            self.slot.take()

    def switch(self, source: int | None, level: int) -> None:
        self.slot.changes.append(self.room.now)
        self.room.meeting.subscribe(2, source, level, pair=0)
        self.room.meeting.put()
        self.room.core.adopt(self.room.now)

    def settle(self) -> None:
        """No more loss: what is still missing is asked for until nothing more can be had."""
        rng = random.Random(1)
        self.slot.accepts = lambda got: True
        for _ in range(3):
            self.frame(0, rng)
        for _ in range(12):
            self.pass_time(120)
            self.slot.ask()
        self.pass_time(120)


@pytest.mark.parametrize(("up", "down"), [(0.0, 0.0), (0.03, 0.08)])
@pytest.mark.parametrize("name", CAPTURES)
def test_every_switch_of_a_capture(vectors: Path, name: str, up: float, down: float) -> None:
    rng = random.Random(name)
    replay = Replay(frames_of(vectors, name), CAPTURES[name])
    slot = replay.slot
    if down:
        slot.accepts = lambda got: rng.random() >= down
    places = [(source, level) for source in (0, 1) for level in (0, 1, 2)]
    ways = [(a, b) for a in places for b in places if a != b]
    rng.shuffle(ways)
    for n, (a, b) in enumerate(ways):
        for place in (a, b):
            replay.switch(*place)
            for i in range(10):
                replay.frame(up, rng, shuffled=bool(up) and n % 5 == 0)
                if i % 3 == 2:
                    slot.ask()
    replay.settle()
    slot.check()
    carried = [(run[0].sent.member, run[0].sent.encoding) for run in slot.runs()]
    assert len(carried) >= len(ways), "it cut over again and again"
    assert set(carried) == set(places)
    assert len(slot.packets) > 500
    assert bool(slot.repaired) == bool(down)
    counters = replay.room.counters
    assert counters["internal_errors"] == counters["rtp_replayed_dropped"] == 0
    if up:
        assert counters["gaps_filled"] > 20


# --- any interleaving ---------------------------------------------------------------------------------------


def made_frames() -> list[list[bytes]]:
    """VP8 of three temporal layers, a key frame every 24 frames."""
    frames = []
    for n in range(48):
        layer = (0, 2, 1, 2)[n % 4]
        bodies = []
        for part in range(1 + n % 3):
            head = bytes((0x90 if part == 0 else 0x80, 0xE0, 0x80, 0, 0, layer << 6 | 0x20 * (layer == 1)))
            bodies.append(head + bytes((0x10 if n % 24 == 0 else 0x11,)) + bytes([n, part]) * 40)
        frames.append(bodies)
    return frames


@given(data=st.data())
# Not made smaller when one fails: that takes minutes, and looks like a loop without end.
@settings(max_examples=40, deadline=None, phases=set(Phase) - {Phase.shrink})
def test_any_interleaving_is_one_continuous_stream(data: st.DataObject) -> None:
    """Switches, drops, loss on both sides, disorder, retransmissions and wraps, in any order."""
    replay = Replay(made_frames(), Codec.VP8, data.draw(st.sampled_from([p for p in SrtpProfile if p])))
    rng = random.Random(data.draw(st.integers(0, 1000)))
    for _ in range(data.draw(st.integers(3, 25))):
        match data.draw(
            st.sampled_from(["frames", "frames", "frames", "switch", "stop", "ask", "pause", "kbit"])
        ):
            case "frames":
                lost = data.draw(st.sampled_from([0, 0, 0.05, 0.3]))
                shuffled = data.draw(st.booleans())
                for _ in range(data.draw(st.integers(1, 12))):
                    replay.frame(lost, rng, shuffled=shuffled)
            case "switch":
                replay.switch(data.draw(st.integers(0, 1)), data.draw(st.integers(0, 2)))
            case "stop":
                replay.switch(None, 0)
            case "ask":
                replay.slot.ask()
            case "pause":
                replay.pass_time(data.draw(st.sampled_from([60, 600, 3000])))
            case "kbit":
                # Its network takes less or more: temporal layers and encodings come and go.
                rate = data.draw(st.sampled_from([30_000, 60_000, 150_000, 5_000_000]))
                person = replay.room.people[2]
                replay.slot.changes.append(replay.room.now)
                replay.room.send(person, person.remb(rate))
        loses = data.draw(st.sampled_from([0, 0, 0.1, 0.5]))
        replay.slot.accepts = lambda got, loses=loses: rng.random() >= loses
    replay.settle()
    counters = replay.room.counters
    # What waited and was dropped has its number: for want of room, not kept, or before a key frame.
    waited = ("waiting_dropped", "waiting_gone", "waiting_superseded")
    replay.slot.check(dropped=sum(counters[name] for name in waited))
    assert replay.room.counters["internal_errors"] == 0
