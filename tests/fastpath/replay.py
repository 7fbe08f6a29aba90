"""Cameras that replay what real encoders made, and the rules that a slot's stream keeps whatever happens.

Each packet ends in a tag that says where it comes from; nothing looks at it on the way. So the rules need no
idea of how the core decides: they compare what came out with what went in.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from control.protocol.rows import Codec
from fastpath_ext import packet
from fastpath_ext.packet_values import Vp8Descriptor
from tests.fastpath.test_forward import MS, Room
from tests.synthetic import Got, Participant

TAG = struct.Struct("!4sHHI")
NAMES = {Codec.VP8: "vp8", Codec.VP9: "vp9", Codec.H264: "h264", Codec.AV1: "av1"}
FRAME_MS = 33
LONGEST = 1200  # of a payload: pylibsrtp takes no packet above 1356 bytes


def same_time(packets: Iterable[bytes]) -> list[list[bytes]]:
    """The payloads of a capture's frames, in the order of sending, what is too long cut at its end."""
    headers = [(packet.rtp_parse(one), one) for one in packets]
    (ssrc, kind) = max(
        {(head.ssrc, head.payload_type) for head, _ in headers},
        key=lambda pair: sum((head.ssrc, head.payload_type) == pair for head, _ in headers),
    )
    headers = [(head, one) for head, one in headers if (head.ssrc, head.payload_type) == (ssrc, kind)]
    start = headers[0][0].sequence
    by_number = {(head.sequence - start + 0x8000) & 0xFFFF: (head, one) for head, one in headers}
    in_order = [by_number[number] for number in sorted(by_number)]
    return [
        [one[head.payload_offset : len(one) - packet.rtp_padding(one)][:LONGEST] for head, one in frame]
        for _, frame in itertools.groupby(in_order, lambda pair: pair[0].timestamp)
    ]


@dataclass(frozen=True, slots=True)
class Sent:
    """One packet as its sender made it. `body` has no tag."""

    member: int
    encoding: int
    at_ns: int
    number: int  # of the packet in its encoding, from 0 without wrapping
    frame: int
    timestamp: int
    body: bytes
    marker: bool
    vp8: Vp8Descriptor | None
    key_start: bool


@dataclass
class Camera:
    """One member's encodings, all from one capture, each at its own place in it; goes round it for ever."""

    person: Participant
    codec: Codec
    frames: Sequence[Sequence[bytes]]
    sent: list[dict[int, Sent]] = field(default_factory=lambda: [{}, {}, {}])
    came: list[dict[int, int]] = field(default_factory=lambda: [{}, {}, {}])
    """When each packet reached the core, directly or retransmitted, by its number."""

    def __post_init__(self) -> None:
        keys = [n for n, frame in enumerate(self.frames) if self._is_key(frame[0])]
        self.frames = [*self.frames[keys[0] :], *self.frames[: keys[0]]]
        self.keys = [n - keys[0] for n in keys]
        self.place = [0] * 3
        self.count = [0] * 3
        # Everything wraps soon: sequence numbers, timestamps, picture ids, TL0PICIDX.
        self.bases = [0xFFFF_FFFF - 90_000 * (2 + n) for n in range(3)]
        self.pictures = [0x7FF0 + n for n in range(3)]
        self.tl0 = [250 + n for n in range(3)]
        self.start = [0xFFF0 - 7 * n for n in range(3)]
        for ssrc, start in zip(self.person.video_ssrcs, self.start, strict=True):
            self.person.next[ssrc] = start

    def _is_key(self, body: bytes) -> bool:
        return packet.payload_key_start(NAMES[self.codec], body)  # type: ignore[arg-type]

    def key_frame(self) -> None:
        """Somebody asked: each encoding goes on at the next key frame of the capture."""
        self.place = [
            next((key for key in self.keys if key > place % len(self.frames)), len(self.frames))
            for place in self.place
        ]

    def frame(self, encoding: int, now_ns: int) -> list[tuple[int, bytes]]:
        """The next frame: the number of each packet, and its datagram."""
        place = self.place[encoding] % len(self.frames)
        self.place[encoding] = place + 1
        bodies = [self._renumbered(encoding, n, body) for n, body in enumerate(self.frames[place])]
        timestamp = (self.bases[encoding] + now_ns * 90 // MS) & 0xFFFFFFFF
        tagged = []
        for n, body in enumerate(bodies):
            number = len(self.sent[encoding])
            self.sent[encoding][number] = Sent(
                self.person.handle,
                encoding,
                now_ns,
                number,
                self.count[encoding],
                timestamp,
                body,
                n == len(bodies) - 1,
                packet.vp8_parse(body) if self.codec is Codec.VP8 else None,
                self._is_key(body),
            )
            tagged.append(body + TAG.pack(b"tag!", self.person.handle, encoding, number))
        self.count[encoding] += 1
        datagrams = self.person.video(encoding, timestamp, tagged)
        return list(zip(range(number + 1 - len(bodies), number + 1), datagrams, strict=True))

    def asked(self) -> list[tuple[int, int]]:
        """Encoding and number of each packet its NACKs ask for, in the order of `retransmissions`."""
        found = []
        for block in self.person.blocks(205, 1):
            encoding = self.person.video_ssrcs.index(int.from_bytes(block.body[4:8]))
            for first, mask in struct.iter_unpack("!HH", block.body[8:]):
                for bit in (0, *(1 + n for n in range(16) if mask >> n & 1)):
                    found.append((encoding, (first + bit - self.start[encoding]) & 0xFFFF))
        return found

    def _renumbered(self, encoding: int, n: int, body: bytes) -> bytes:
        """An encoder's numbers go on where a capture that goes round begins again."""
        if self.codec is not Codec.VP8:
            return body
        seen = packet.vp8_parse(body)
        if n == 0:
            self.pictures[encoding] += 1
            self.tl0[encoding] += not seen.temporal_id
        mask = (1 << seen.picture_id_bits) - 1 if seen.picture_id_bits else 0
        return packet.vp8_rewrite(body, self.pictures[encoding] & mask, self.tl0[encoding] & 0xFF)


@dataclass(slots=True)
class Out:
    """One packet of a slot: what came, and what it is."""

    index: int  # its sequence number, unwrapped
    got: Got
    sent: Sent


class Slot:
    """A receiver's slot: takes what came, asks for what is missing, and knows what every packet was."""

    def __init__(self, room: Room, receiver: int, pair: int, cameras: dict[int, Camera]) -> None:
        self.room, self.cameras = room, cameras
        self.person = room.people[receiver]
        self.ssrc = room.meeting.ssrc(receiver, pair, True)
        self.rtx_ssrc = room.meeting.rtx_ssrc(receiver, pair)
        self.packets: dict[int, Out] = {}
        """All that was sent, whether it arrived or not."""
        self.arrived: set[int] = set()
        self.changes: list[int] = []
        """When it was told to carry something else, or its network changed."""
        self.taken = 0
        self.newest: int | None = None
        self.filled: set[int] = set()
        """Numbers that came as padding."""
        self.repaired = 0
        self.last_asked = 0
        self.accepts: Callable[[Got], bool] = lambda got: True

    def take(self) -> None:
        """What came since."""
        new = self.person.rtp[self.taken :]
        self.taken += len(new)
        for got in new:
            if got.ssrc == self.rtx_ssrc and len(got.payload) > 2:
                self.repaired += 1
                self.arrived.add(self._take(got.original(self.ssrc, 120)))
            elif got.ssrc == self.ssrc:
                index = self._take(got)
                if self.accepts(got):
                    self.arrived.add(index)

    def _take(self, got: Got) -> int:
        newest = got.sequence if self.newest is None else self.newest
        index = newest + ((got.sequence - newest + 0x8000) & 0xFFFF) - 0x8000
        self.newest = max(newest, index)
        if not got.payload:  # of a packet left out whose number was taken already
            self.filled.add(index)
            return index
        _, member, encoding, number = TAG.unpack(got.payload[-TAG.size :])
        out = Out(index, got, self.cameras[member].sent[encoding][number])
        known = self.packets.setdefault(index, out)
        assert (known.got.timestamp, known.got.payload, known.got.marker) == (
            got.timestamp, got.payload, got.marker,
        ), f"two packets under one number {got.sequence}"  # fmt: skip
        return index

    def missing(self) -> list[int]:
        if not self.arrived:
            return []
        return [n for n in range(min(self.arrived), max(self.arrived)) if n not in self.arrived]

    def ask(self) -> int:
        """A NACK for the newest of what is missing."""
        lost = self.missing()[-200:]
        if lost:
            self.room.send(self.person, self.person.nack(self.ssrc, *lost))
        return len(lost)

    def runs(self) -> list[list[Out]]:
        """Split wherever the stream carries something else, or begins anew with the same."""

        def run_of(out: Out) -> tuple[int, int, int, int]:
            """Whose it is, and how far its timestamp and TL0PICIDX were moved: both hold for a whole run."""
            moved = (out.got.timestamp - out.sent.timestamp) & 0xFFFFFFFF
            tl0 = 0
            if out.sent.vp8:
                tl0 = (packet.vp8_parse(out.got.payload).tl0 or 0) - (out.sent.vp8.tl0 or 0)
            return out.sent.member, out.sent.encoding, moved, tl0 & 0xFF

        ordered = [self.packets[index] for index in sorted(self.packets)]
        return [list(run) for _, run in itertools.groupby(ordered, run_of)]

    # ---- the rules ----

    def check(self, *, dropped: int = 0) -> None:
        """The whole stream keeps every rule. So many numbers may be missing that no uplink lost."""
        assert self.person.refused == [], "an index came twice, or was encrypted wrongly"
        runs = self.runs()
        holes = 0
        for n, run in enumerate(runs):
            began = self._came_ns(run[0].sent)
            ended = self._came_ns(runs[n + 1][0].sent) if n + 1 < len(runs) else self.room.now
            for out in run:
                self._is_what_was_sent(out)
            for a, b in itertools.pairwise(run):
                holes += self._goes_on(began, ended, a, b)
            self._pictures_go_on(run)
            if n + 1 < len(runs):
                holes += self._switches(began, ended, run[-1], runs[n + 1][0])
        assert not runs or runs[0][0].sent.key_start
        assert holes <= dropped, "what is left out on purpose leaves no number behind"

    @staticmethod
    def _is_what_was_sent(out: Out) -> None:
        body, sent = out.got.payload[: -TAG.size], out.sent
        assert (out.got.csrc, out.got.marker) == (1000 + sent.member, sent.marker)
        if sent.vp8 is None:
            assert body == sent.body
        else:
            numbers = packet.vp8_parse(body)
            assert body == packet.vp8_rewrite(sent.body, numbers.picture_id or 0, numbers.tl0 or 0)

    def _came_ns(self, sent: Sent) -> int:
        return self.cameras[sent.member].came[sent.encoding][sent.number]

    def _goes_on(self, began: int, ended: int, a: Out, b: Out) -> int:
        """Two neighbours of one run, in the sender's order. How many numbers between them nobody lost."""
        assert b.sent.number > a.sent.number
        hole = sum(number not in self.filled for number in range(a.index + 1, b.index))
        if not hole:
            return 0
        return max(0, hole - self._lost(began, ended, a.sent, range(a.sent.number + 1, b.sent.number)))

    def _lost(self, began: int, ended: int, near: Sent, numbers: Iterable[int]) -> int:
        """How many of these packets did not reach the core while the run that carries `near` went on.

        What came before it began is sent to who asks. What was lost and comes when the next run has begun is
        of no use to anybody: that one begins with a key frame.
        """
        camera, encoding = self.cameras[near.member], near.encoding

        def excused(number: int) -> bool:
            came = camera.came[encoding].get(number)
            if came is None or not began < came < ended:
                return True
            late = came > camera.sent[encoding][number].at_ns
            return late and any(near.at_ns - 3000 * MS <= change <= came for change in self.changes)

        return sum(map(excused, numbers))

    def _pictures_go_on(self, run: list[Out]) -> None:
        """VP8 picture ids close up over frames that are left out.

        Of a frame that is left out single packets may be there: those whose numbers were taken already.
        """
        camera = self.cameras[run[0].sent.member]
        whole: list[tuple[Out, Out]] = []
        for _, group in itertools.groupby(run, lambda out: out.sent.frame):
            frame = list(group)
            first, last = frame[0].sent, frame[-1].sent
            before = camera.sent[first.encoding].get(first.number - 1)
            begins = before is None or before.frame != first.frame
            if begins and last.marker and len(frame) == last.number - first.number + 1:
                assert (
                    len({packet.vp8_parse(out.got.payload).picture_id for out in frame if out.sent.vp8}) <= 1
                )
                whole.append((frame[0], frame[-1]))
        for (_, a), (b, _) in itertools.pairwise(whole):
            if a.sent.vp8:
                alone = b.index - a.index == 1
                assert 1 <= self._steps(a, b) <= (1 if alone else b.sent.frame - a.sent.frame)

    @staticmethod
    def _steps(a: Out, b: Out) -> int:
        """How far the picture id went on."""
        one, two = packet.vp8_parse(a.got.payload), packet.vp8_parse(b.got.payload)
        if one.picture_id is None or two.picture_id is None:
            return b.sent.frame - a.sent.frame
        return (two.picture_id - one.picture_id) & ((1 << one.picture_id_bits) - 1)

    def _switches(self, began: int, ended: int, a: Out, b: Out) -> int:
        """The last packet of one run, the first of the next. How many numbers between them nobody lost."""
        between = range(a.index + 1, b.index)
        hole = sum(number not in self.filled for number in between)
        came = self.cameras[a.sent.member].came[a.sent.encoding]
        # Only what has something behind it was seen to be missing.
        rest = range(a.sent.number + 1, max(number for number, at_ns in came.items() if at_ns <= ended))
        assert b.sent.key_start or between, "a run begins with the first packet of a key frame"
        passed = (b.got.timestamp - a.got.timestamp) & 0xFFFFFFFF
        assert passed >= 90, "time goes on"
        assert passed <= 90 * ((ended - a.sent.at_ns) / MS + 500), "and no faster than the clock"
        if a.sent.vp8 and b.sent.vp8 and not between:
            # Of its last frame some packets may have been left out: its layer was not sent any more.
            assert self._steps(a, b) <= 1
            assert self._steps(a, b) == 1 or not a.sent.marker
            tl0 = [packet.vp8_parse(out.got.payload).tl0 for out in (a, b)]
            if None not in tl0:
                assert tl0[1] == (tl0[0] + 1) & 0xFF  # type: ignore[operator]
        return max(0, hole - self._lost(began, ended, a.sent, rest)) if hole else 0


def frames_of(vectors: Path, name: str) -> list[list[bytes]]:
    from tests.fastpath.test_packet_vectors import captures

    return same_time(captures(vectors)[name])
