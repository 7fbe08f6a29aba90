"""One outgoing stream over switches, reordering, wraps and kills: tables, and the core against the model."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from dataclasses import replace
from mmap import mmap
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath_ext.packet import PROJECTION_MAX_GAP, Projected, Projection, ProjectionRefused
from tests import reference
from tests.patience import PATIENCE_S
from tests.reference import Input, Stream

MS = 10**6
A, B = (1, 1, 0, 0xAAAA), (2, 1, 0, 0xBBBB)
A_FULL = (1, 1, 2, 0xAFAF)


def started(index: int = 100, timestamp: int = 5000, **options: Any) -> Projection:
    """A stream that carries A and has sent one packet: index 7, timestamp 0, at time 0."""
    stream = Projection()
    options = {"now_ns": 0, "origin": A, "random": 7} | options
    stream.begin(index, timestamp, **options)
    return stream


# --- rules of numbers ---------------------------------------------------------------------------------------


def test_inside_a_run_the_gaps_of_the_input_stay() -> None:
    stream = started(index=100)
    at = [stream.map(100 + step, 5000, now_ns=0, origin=A).srtp_index for step in (1, 2, 5, 4, 3, 9)]
    assert at == [8, 9, 12, 11, 10, 16]


def test_a_switch_goes_on_with_the_very_next_index() -> None:
    stream = started(index=100)
    stream.map(103, 5000, now_ns=0, origin=A)
    assert stream.begin(65000, 9, now_ns=MS, origin=B).srtp_index == 11
    assert stream.map(65001, 9, now_ns=MS, origin=B).srtp_index == 12


@pytest.mark.parametrize(
    ("what", "index", "origin", "reason"),
    [
        ("another source", 11, B, "other"),
        ("another encoding", 11, A_FULL, "other"),
        ("the same source again, reconnected", 11, (1, 2, 0, 0xAAAA), "other"),
        ("the same encoding with a new SSRC", 11, (1, 1, 0, 0xA0A0), "other"),
        ("overtaken by the beginning of its run", 9, A, "late"),
    ],
)
def test_what_has_no_place_is_refused(what: str, index: int, origin: Any, reason: str) -> None:
    stream = started(index=10)
    before = stream.row
    with pytest.raises(ProjectionRefused) as refused:
        stream.map(index, 5000, now_ns=MS, origin=origin)
    assert refused.value.reason == reason
    assert stream.row == before


def test_after_going_away_and_coming_back_old_packets_stay_out() -> None:
    stream = started(index=100)
    stream.begin(5, 0, now_ns=0, origin=B)
    stream.begin(120, 5000, now_ns=0, origin=A)
    with pytest.raises(ProjectionRefused):
        stream.map(119, 5000, now_ns=0, origin=A)


@pytest.mark.parametrize("wanted", [0, 1, 0x7FFF, 0x8000, 0xFFFF, 2**64 - 1])
def test_the_first_sequence_number_is_below_half(wanted: int) -> None:
    assert Projection().begin(2**33, 0, now_ns=0, random=wanted) == Projected(
        wanted & 0x7FFF, wanted >> 32, 0, 0
    )


def test_the_rollover_counter_goes_up_when_the_sequence_number_wraps() -> None:
    stream = started(index=0xFFFF_FFF0, random=0x7FFF)
    for step in range(1, 40000):
        output = stream.map(0xFFFF_FFF0 + step, 0, now_ns=0, origin=A)
        assert output.srtp_index == 0x7FFF + step
    assert output.srtp_index >> 16 == 1


@pytest.mark.parametrize(
    ("what", "jump", "elapsed_ms", "seen"),
    [
        ("a few lost", 5, 20, 5),
        ("overtaken by 32", 33, 0, 33),
        ("skipped at once: 32 are shown", 34, 0, 33),
        ("a second of 3000 packets lost", 1000, 1000, 1000),
        ("20 ms cannot lose more than this", 200, 20, 32 + 80 + 1),
        ("never more than this", 5000, 60_000, PROJECTION_MAX_GAP + 1),
        ("after a mute of an hour", 2**31, 3_600_000, PROJECTION_MAX_GAP + 1),
        ("all it could be", 2**40, 3_600_000, PROJECTION_MAX_GAP + 1),
    ],
)
def test_a_jump_is_shown_as_a_gap_of_bounded_size(what: str, jump: int, elapsed_ms: int, seen: int) -> None:
    stream = started(index=100)
    now = elapsed_ms * MS
    assert stream.map(100 + jump, 5001, now_ns=now, origin=A).srtp_index == 7 + seen
    assert stream.map(101 + jump, 5001, now_ns=now, origin=A).srtp_index == 8 + seen


def test_one_frame_claims_no_time_for_its_gaps() -> None:
    stream = started(index=100, timestamp=5000)
    assert stream.map(1000, 5000, now_ns=10_000 * MS, origin=A).srtp_index == 7 + 33


def test_indices_end_after_2_to_the_48() -> None:
    memory = bytearray(128)
    stream = Projection(memory)
    stream.begin(0, 0, now_ns=0, origin=A)
    assert stream.row["version"] == 1  # so it is the second copy that counts
    struct.pack_into("=QQQ", memory, 64 + 8, 2**48 - 2, 0, 2**48 - 2)
    assert stream.map(1, 0, now_ns=0, origin=A).srtp_index == 2**48 - 1
    for refused in (stream.map, stream.begin):
        with pytest.raises(ProjectionRefused, match="exhausted"):
            refused(2, 0, now_ns=0, origin=A)


def test_padding_that_is_left_out_closes_up() -> None:
    stream = started(index=100)
    stream.skip(101, origin=A)
    assert stream.map(102, 5000, now_ns=0, origin=A).srtp_index == 8
    stream.skip(103, origin=A)
    stream.skip(104, origin=A)
    assert stream.map(105, 5000, now_ns=0, origin=A).srtp_index == 9
    for behind_a_gap, too_old in ((107, 104),):
        with pytest.raises(ProjectionRefused):
            stream.skip(behind_a_gap, origin=A)
        with pytest.raises(ProjectionRefused):
            stream.skip(too_old, origin=A)


def test_after_the_end_only_a_new_run_goes_on() -> None:
    stream = started(index=100)
    stream.end()
    with pytest.raises(ProjectionRefused):
        stream.map(101, 5000, now_ns=0, origin=A)
    assert stream.begin(70000, 5000, now_ns=0, origin=A).srtp_index == 8


# --- rules of time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "elapsed_ns", "ticks"),
    [
        ("a frame later", 33 * MS, 2970),
        ("at the same moment: 1 ms", 0, 90),
        ("half a millisecond later: 1 ms", MS // 2, 90),
        ("after a pause of 10 s", 10_000 * MS, 900_000),
        ("the clock ran backwards", -5 * MS, 90),
        ("after a day: never so far that it looks backwards", 86_400_000 * MS, 2**30),
    ],
)
def test_video_goes_on_by_the_time_elapsed(what: str, elapsed_ns: int, ticks: int) -> None:
    sent = 10**12
    stream = started(now_ns=sent, random=1000 << 32)
    output = stream.begin(5, 123456, now_ns=sent + elapsed_ns, origin=B)
    assert output.timestamp == 1000 + ticks
    later = stream.map(6, 123456 + 3000, now_ns=sent + elapsed_ns, origin=B)
    assert later.timestamp == 1000 + ticks + 3000


@pytest.mark.parametrize(
    ("elapsed_ms", "clock_rate", "ticks"),
    [
        (0, 48000, 960),
        (20, 48000, 960),
        (29, 48000, 960),
        (30, 48000, 1920),
        (49, 48000, 1920),
        (1000, 48000, 48000),
        (1007, 48000, 48000),
        (20, 8000, 160),
        (45, 16000, 640),
    ],
)
def test_audio_goes_on_in_whole_frames_of_20_ms(elapsed_ms: int, clock_rate: int, ticks: int) -> None:
    stream = started(audio=True, clock_rate=clock_rate)
    output = stream.begin(5, 77, now_ns=elapsed_ms * MS, origin=B, audio=True, clock_rate=clock_rate)
    assert output.timestamp == ticks


def test_time_counts_from_the_first_packet_of_the_last_frame() -> None:
    stream = started(timestamp=5000)
    stream.map(101, 5000, now_ns=8 * MS, origin=A)  # the same frame, paced
    assert stream.begin(5, 0, now_ns=40 * MS, origin=B).timestamp == 40 * 90


def test_timestamps_wrap() -> None:
    stream = started(timestamp=5, random=(2**32 - 10) << 32)
    assert stream.map(101, 25, now_ns=0, origin=A).timestamp == 10
    assert stream.begin(1, 2**31, now_ns=MS, origin=B).timestamp == 100


def test_a_sender_report_stands_for_now() -> None:
    stream = started(random=500 << 32)
    assert stream.timestamp_at(0) == 500
    assert stream.timestamp_at(1000 * MS) == 90500


# --- VP8 ----------------------------------------------------------------------------------------------------


def test_picture_ids_and_tl0_go_on_by_one_at_a_switch() -> None:
    stream = started(picture_id=40, tl0=250)
    assert stream.map(101, 0, now_ns=0, origin=A, picture_id=43, tl0=255)[2:] == (43, 255)
    assert stream.begin(5, 0, now_ns=0, origin=B, picture_id=0x7FFF, tl0=9)[2:] == (44, 0)
    assert stream.map(6, 0, now_ns=0, origin=B, picture_id=0, tl0=10)[2:] == (45, 1)
    assert stream.map(7, 0, now_ns=0, origin=B, picture_id=1, tl0=11)[2:] == (46, 2)


def test_a_short_picture_id_goes_on_where_a_long_one_was() -> None:
    stream = started(picture_id=0x1234)
    assert stream.begin(5, 0, now_ns=0, origin=B, picture_id=3, picture_id_bits=7).picture_id == 0x35
    assert stream.map(6, 0, now_ns=0, origin=B, picture_id=100, picture_id_bits=7).picture_id == 0x16


# --- against the model --------------------------------------------------------------------------------------


class Sender:
    """One encoding's packets, as ingress lets them through: each index at most once, in any order."""

    def __init__(self, source: int, index: int, timestamp: int, bits: int) -> None:
        self.next = Input(
            index, timestamp, (source, 1, source % 3, source * 1111), source * 77, bits or 15, source * 9
        )
        if not bits:
            self.next = replace(self.next, picture_id=None, tl0=None)
        self.held: list[Input] = []

    def packet(self, gap: int, ticks: int, late: int) -> Input | None:
        """The newest after `gap` others, which stay held; or, if `late`, one of those held."""
        if late:
            return self.held.pop(late % len(self.held)) if self.held else None
        for _ in range(gap):
            self.held = [*self.held[-40:], self.next]
            self._advance(1, 0)
        taken = self.next
        self._advance(1, ticks)
        return taken

    def jump(self, by: int) -> None:
        self._advance(by, by)

    def _advance(self, by: int, ticks: int) -> None:
        at = self.next
        self.next = replace(at, index=at.index + by, timestamp=(at.timestamp + ticks) % 2**32)
        if at.picture_id is not None and at.tl0 is not None:
            pictures, levels = 1 << at.picture_id_bits, 256
            self.next.picture_id = (at.picture_id + by) % pictures
            self.next.tl0 = (at.tl0 + by) % levels


def place(stream: Projection, one: Input, now_ns: int, **begin: Any) -> Projected:
    """Map the packet, or begin a run with it if there are options for that."""
    return (stream.begin if begin else stream.map)(
        one.index,
        one.timestamp,
        now_ns=now_ns,
        origin=one.origin,
        picture_id=one.picture_id,
        picture_id_bits=one.picture_id_bits,
        tl0=one.tl0,
        **begin,
    )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send"] * 8 + ["switch", "switch", "skip", "end", "jump", "successor"]),
        st.integers(0, 3),  # of which sender
        st.sampled_from([0, 0, 0, 1, 2, 30]),  # gap
        st.sampled_from([0, 3000, 2**31, 2**32 - 50]),  # ticks
        st.sampled_from([0, 0, 1, 2, 3]),  # late
        st.sampled_from([0, MS, 33 * MS, 10**11]),  # time
    ),
    max_size=80,
)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**34), st.integers(0, 2**32 - 1), st.sampled_from([0, 7, 15])),
        min_size=4,
        max_size=4,
    ),
    STEPS,
    st.integers(0, 2**64 - 1),
    st.booleans(),
)
def test_no_interleaving_uses_an_index_twice_or_differs_from_the_model(
    senders: list[tuple[int, int, int]], steps: list[tuple[Any, ...]], seed: int, audio: bool
) -> None:
    sources = [Sender(i + 1, *values) for i, values in enumerate(senders)]
    memory = bytearray(128)
    mine, model = Projection(memory), Stream()
    clock_rate = 48000 if audio else 90000
    used: set[int] = set()
    highest, now = -1, 10**9
    for kind, which, gap, ticks, late, elapsed in steps:
        now += elapsed
        if kind == "jump":
            sources[which].jump(gap * 700)
            continue
        if kind == "end":
            mine.end()
            model.end()
            continue
        if kind == "successor":  # of a killed worker: the row is all there is
            mine = Projection(memory)
            continue
        taken = sources[which].packet(gap, ticks, late)
        if taken is None:
            continue

        try:
            if kind == "skip":
                model.skip(taken)
            elif kind == "switch":
                wanted = model.begin(taken, now_ns=now, audio=audio, clock_rate=clock_rate, random=seed)
            else:
                wanted = model.map(taken, now_ns=now)
        except reference.Refused as refused:
            with pytest.raises(ProjectionRefused, match=str(refused)):
                mine.skip(taken.index, origin=taken.origin) if kind == "skip" else place(mine, taken, now)
            continue
        if kind == "skip":
            mine.skip(taken.index, origin=taken.origin)
            continue
        if kind == "switch":
            output = place(mine, taken, now, audio=audio, clock_rate=clock_rate, random=seed)
            assert highest < 0 or output.srtp_index == highest + 1
        else:
            output = place(mine, taken, now)
        assert output == wanted
        assert output.srtp_index not in used
        assert output.srtp_index - highest <= PROJECTION_MAX_GAP + 1 or highest < 0
        used.add(output.srtp_index)
        highest = max(highest, output.srtp_index)
        assert mine.row["highest_index"] == highest


# --- kills --------------------------------------------------------------------------------------------------


def test_a_killed_worker_leaves_a_whole_row_at_least_as_high_as_anything_encrypted() -> None:
    """Three hundred workers: each goes on from its predecessor's row and is killed by chance."""
    memory, reported = mmap(-1, 4096), mmap(-1, 4096)
    chance = random.Random(2359)
    highest = 0
    for _ in range(300):
        before = struct.unpack_from("=Q", reported)[0]
        child = os.fork()
        if child == 0:
            try:
                Projection(memory).rehearse(reported, chance.getrandbits(64))
            finally:
                os._exit(1)
        deadline = time.monotonic() + PATIENCE_S
        while struct.unpack_from("=Q", reported)[0] == before and time.monotonic() < deadline:
            time.sleep(0)
        pause = time.perf_counter() + chance.random() * 2e-3
        while time.perf_counter() < pause:
            pass
        os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL

        row, encrypted = Projection(memory).row, struct.unpack_from("=Q", reported)[0]
        assert row["highest_index"] >= encrypted > before
        assert row["highest_index"] <= encrypted + 1
        assert row["index_offset"] == 0
        assert row["last_sent_ns"] == row["highest_index"]
        assert row["last_timestamp"] == (row["highest_index"] + row["timestamp_offset"]) % 2**32
        run = row["first_input"]
        assert (row["source"], row["source_incarnation"], row["input_ssrc"]) == (run, run, run)
        highest = row["highest_index"]
    assert highest > 100_000  # else the workers hardly ran
