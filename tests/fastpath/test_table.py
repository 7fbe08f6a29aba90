"""Tables as control uses them: what is put is read, what is removed is gone, other layouts are refused."""

import dataclasses
import os
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.protocol.rows import Codec, ExtensionIds, HopKeys, IceCredentials, SourceKind, SrtpProfile
from fastpath_ext.counters import DESCRIPTIONS, Counters
from fastpath_ext.table import LAYOUT_VERSION, MAX_SINKS, NONE, LayoutError, Table
from tests.fastpath.tables import (
    KEYS,
    RX_KEY,
    RX_SALT,
    TX_KEY,
    TX_SALT,
    Reader,
    sink_row,
    source_row,
    transport_row,
)


@pytest.fixture
def table() -> Table:
    return Table.create(4, 8, 16)


@pytest.fixture
def reader(table: Table):
    reader = Reader(*table.fds)
    yield reader
    reader.close()


def publish(table: Table, reader: Reader) -> None:
    assert table.publish()
    assert reader.adopt() >= 0


def test_nothing_is_published_before_the_first_change(table: Table, reader: Reader):
    assert (table.current, table.adopted, table.pending, table.settled) == (0, 0, False, True)
    assert table.publish()
    assert table.current == 0
    assert reader.adopt() == 0


def test_a_worker_reads_what_was_put(table: Table, reader: Reader):
    table.put_transport(1, transport_row(incarnation=5))
    table.put_source(2, source_row(transport=1, transport_incarnation=5))
    table.put_sink(3, sink_row(transport=1, transport_incarnation=5, source=2))
    assert table.pending
    publish(table, reader)
    assert reader.verify() == 7
    assert (table.current, table.adopted, table.pending) == (1, 1, False)


def test_a_generation_waits_for_the_worker(table: Table, reader: Reader):
    table.put_sink(0, sink_row())
    assert table.publish()
    table.put_sink(1, sink_row())
    assert not table.publish()
    table.put_sink(2, sink_row())
    assert not table.publish()
    assert reader.adopt() == 1
    assert table.publish()  # both changes at once
    assert table.current == 2
    assert not table.settle()
    assert reader.adopt() == 1
    assert table.settle()


def test_the_same_again_is_no_change(table: Table, reader: Reader):
    table.put_sink(0, sink_row())
    publish(table, reader)
    table.put_sink(0, sink_row())
    assert not table.pending


def test_read_back(table: Table):
    table.put_transport(0, transport_row(sources=(3, 4)))
    table.put_source(1, source_row(muted=True))
    table.put_sink(2, sink_row(source=1))
    assert table.transport(0)._asdict() == {
        "incarnation": 1,
        "conference": 7,
        "srtp_profile": SrtpProfile.AEAD_AES_128_GCM,
        "keyed": True,
        "local_ufrags": ("aaaaourfragment",),
        "rtcp_ssrc": 99,
        "remb_bps": 1_000_000,
        "sources": (3, 4),
        "transport_cc_down": False,
        "downlink_max_bps": 0,
        "foreign": 0,
        "follows": None,
    }
    assert table.source(1)._asdict() == dataclasses.asdict(source_row(muted=True))
    assert table.sink(2)._asdict() == dataclasses.asdict(sink_row(source=1))
    assert table.transport(1) is table.source(0) is table.sink(0) is None
    assert (table.transport_handles, table.source_handles, table.sink_handles) == ([0], [1], [2])


def test_keys_are_in_no_text(table: Table):
    table.put_transport(0, transport_row())
    shown = repr(table) + repr(table.transport(0)) + repr(table.transport_status(0, 1))
    for secret in (RX_KEY, TX_KEY, b"password"):
        assert secret.decode() not in shown


class TestWiping:
    """Keys of a gone transport: in neither half, not only out of sight."""

    def test_of_a_removed_transport(self, table: Table, reader: Reader):
        table.put_transport(0, transport_row())
        publish(table, reader)
        assert table.settle()
        assert all(reader.finds(key) for key in (RX_KEY, RX_SALT, TX_KEY, TX_SALT))
        table.remove_transport(0)
        publish(table, reader)
        assert reader.finds(RX_KEY)  # the older half was the worker's until now
        assert not table.settled
        assert table.settle()
        assert not any(reader.finds(key) for key in (RX_KEY, RX_SALT, TX_KEY, TX_SALT, b"a-password"))
        assert table.settled

    def test_of_one_that_was_replaced(self, table: Table, reader: Reader):
        table.put_transport(0, transport_row())
        publish(table, reader)
        table.put_transport(0, transport_row(incarnation=2, keys=None))
        publish(table, reader)
        table.settle()
        assert not reader.finds(RX_KEY)

    def test_what_a_killed_control_left_is_wiped_by_the_next(self, table: Table, reader: Reader):
        table.put_transport(0, transport_row())
        publish(table, reader)
        table.remove_transport(0)
        publish(table, reader)
        successor = Table.attach(*table.fds)  # control died before it settled
        assert not successor.settled
        assert reader.finds(RX_KEY)
        assert successor.settle()
        assert not reader.finds(RX_KEY)

    def test_a_worker_that_is_away_delays_it(self, table: Table, reader: Reader):
        table.put_transport(0, transport_row())
        publish(table, reader)
        table.remove_transport(0)
        assert table.publish()
        assert not table.settle()
        reader.adopt()
        assert table.settle()
        assert not reader.finds(RX_KEY)

    def test_a_reader_of_the_current_generation_notices_nothing(self, table: Table, reader: Reader):
        table.put_transport(0, transport_row())
        publish(table, reader)
        table.put_transport(1, transport_row())
        publish(table, reader)
        assert table.settle()
        assert reader.verify() == 7


def test_a_removed_transport_comes_back_only_as_another(table: Table, reader: Reader):
    """The worker forgot its SRTCP index and replay windows: under the same keys they would begin again."""
    table.put_transport(0, transport_row(incarnation=5))
    publish(table, reader)
    table.remove_transport(0)
    with pytest.raises(ValueError, match="never comes back"):
        table.put_transport(0, transport_row(incarnation=5))
    table.put_transport(0, transport_row(incarnation=6))
    table.put_transport(1, transport_row(incarnation=5))
    assert table.transport_handles == [0, 1]


class TestTakingOver:
    def test_a_successor_has_every_row(self, table: Table, reader: Reader):
        table.put_transport(3, transport_row(incarnation=5, sources=(2,)))
        table.put_source(2, source_row(transport=3, transport_incarnation=5))
        table.put_sink(1, sink_row(transport=3, transport_incarnation=5, source=2))
        publish(table, reader)
        table.put_sink(9, sink_row(incarnation=77))  # decided, never published
        successor = Table.attach(*table.fds)
        assert successor.transport(3) == table.transport(3)
        assert successor.source(2) == table.source(2)
        assert successor.sink(1) == table.sink(1)
        assert successor.sink(9) is None
        assert (successor.current, successor.pending, successor.damaged_rows) == (1, False, 0)
        successor.put_sink(4, sink_row(transport=3, transport_incarnation=5, source=2))
        publish(successor, reader)
        assert reader.verify() == 7

    def test_keys_stay_where_the_successor_knows_none(self, table: Table, reader: Reader):
        table.put_transport(0, transport_row())
        publish(table, reader)
        successor = Table.attach(*table.fds)
        successor.put_transport(0, transport_row(keys=None, remb_bps=5), keep_keys=True)
        publish(successor, reader)
        successor.settle()
        assert reader.finds(RX_KEY)
        assert successor.transport(0).keyed
        assert successor.transport(0).remb_bps == 5
        successor.put_transport(0, transport_row(incarnation=2, keys=None), keep_keys=True)
        assert not successor.transport(0).keyed  # another occupant never gets them

    def test_a_damaged_row_is_left_out(self, table: Table, reader: Reader):
        table.put_transport(0, transport_row())
        table.put_source(0, source_row())
        table.put_sink(0, sink_row(source=0))
        table.put_sink(1, sink_row(source=0))
        publish(table, reader)
        fd = table.fds[0]
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        at = data.index(struct.pack("<II", 7, 8))  # ssrc and rtx_ssrc of one of them
        os.pwrite(fd, b"\x06", at)
        assert reader.verify() < 0
        successor = Table.attach(*table.fds)
        assert successor.damaged_rows == 1
        assert len(successor.sink_handles) == 1
        assert successor.pending  # its absence is to be published
        publish(successor, reader)
        assert reader.verify() == 7


class TestMending:
    """Bits turn over in what was published; control, which knows what stood there, writes it again."""

    @pytest.fixture
    def full(self, table: Table, reader: Reader) -> Table:
        table.put_transport(0, transport_row())
        table.put_source(0, source_row())
        table.put_sink(0, sink_row(source=0))
        publish(table, reader)
        table.put_sink(1, sink_row(source=0))
        publish(table, reader)
        assert table.settle()
        return table

    def test_nothing_is_done_where_nothing_happened(self, full: Table):
        assert not full.mend()
        assert not full.pending
        full.put_sink(2, sink_row(source=0))  # changes under way are no damage
        assert not full.mend()

    @pytest.mark.parametrize("worker", ["the same", "a new one", "a new one that had none"])
    @pytest.mark.parametrize("where", ["sizes", "current", "adopted", "head", "rows", "both halves"])
    def test_every_bit_comes_back(self, full: Table, reader: Reader, where: str, worker: str):
        fd, half = full.fds[0], full.current & 1
        size = os.fstat(fd).st_size
        begin = (size - 192) // 2 * half + 192
        areas = {"sizes": (0, 52), "current": (64, 72), "adopted": (128, 136), "head": (begin, begin + 24)}
        areas |= {"rows": (begin + 64, begin + 448), "both halves": (192, size)}
        chance = random.Random(where + worker)
        for _ in range(20):
            for _ in range(3):
                at = chance.randrange(*areas[where])
                (byte,) = os.pread(fd, 1, at)
                os.pwrite(fd, bytes((byte ^ 1 << chance.randrange(8),)), at)
            reader.adopt()
            full.mend()
            if worker != "the same":
                reader.close()
                reader.__init__(*full.fds)
            for _ in range(3):
                reader.adopt()
                full.mend()
                full.publish()
            assert reader.adopt() in (0, 1)
            assert full.settle()
            assert not full.mend()
            assert not full.pending
            assert reader.verify() == 7

    def test_a_generation_that_no_worker_could_read_is_written_in_place(self, full: Table, reader: Reader):
        full.put_sink(3, sink_row(source=0))
        full.publish()
        begin = 192 + (os.fstat(full.fds[0]).st_size - 192) // 2 * (full.current & 1)
        os.pwrite(full.fds[0], b"\xff", begin + 9)
        assert reader.adopt() < 0
        current = full.current
        assert full.mend()
        assert full.current == current
        assert reader.adopt() == 1
        assert reader.verify() == 7


class TestRefusals:
    @pytest.mark.parametrize(
        "change",
        [
            {"incarnation": 0},
            {"incarnation": -1},
            {"incarnation": 1 << 32},
            {"incarnation": None},
            {"ice": ()},
            {"ice": (IceCredentials("a", "b", "c"),) * 3},
            {"ice": (IceCredentials("x" * 17, "b", "c"),)},
            {"ice": (IceCredentials("a", "b" * 33, "c"),)},
            {"ice": (IceCredentials("a", "b", "c" * 65),)},
            {"ice": (IceCredentials("ä", "b", "c"),)},
            {"sources": tuple(range(1, 10))},
            {"ext": ExtensionIds(mid=256)},
            {"keys": HopKeys(SrtpProfile.NONE, RX_KEY, RX_SALT, TX_KEY, TX_SALT)},
            {"keys": HopKeys(SrtpProfile.AEAD_AES_256_GCM, RX_KEY, RX_SALT, TX_KEY, TX_SALT)},
            {"keys": HopKeys(SrtpProfile.AEAD_AES_128_GCM, RX_KEY[1:], RX_SALT, TX_KEY, TX_SALT)},
            {"keys": HopKeys(SrtpProfile.AES128_CM_SHA1_80, RX_KEY, RX_SALT, TX_KEY, TX_SALT)},
        ],
    )
    def test_of_transports(self, table: Table, change: dict):
        table.put_transport(0, transport_row())
        before = table.transport(0)
        with pytest.raises((ValueError, OverflowError, TypeError)):
            table.put_transport(0, transport_row(**change))
        assert table.transport(0) == before

    @pytest.mark.parametrize(
        "change",
        [
            {"rids": ("a", "b", "c", "d")},
            {"ssrcs": (1, 2, 3, 4)},
            {"mid": "x" * 17},
            {"rids": ("x" * 17,)},
            {"payload_type": 256},
            {"clock_rate": -1},
        ],
    )
    def test_of_sources(self, table: Table, change: dict):
        with pytest.raises((ValueError, OverflowError)):
            table.put_source(0, source_row(**change))
        assert table.source(0) is None

    @pytest.mark.parametrize("handle", [16, 1 << 31, -1, 1 << 32])
    def test_of_handles(self, table: Table, handle: int):
        for method in (table.put_sink, lambda h, _row: table.remove_sink(h), lambda h, _row: table.sink(h)):
            with pytest.raises((ValueError, OverflowError)):
                method(handle, sink_row())

    def test_of_capacities(self):
        with pytest.raises(ValueError, match="at most"):
            Table.create(1, 1, MAX_SINKS + 1)


class TestLayout:
    def test_another_version_is_named(self, table: Table):
        os.pwrite(table.fds[0], struct.pack("<I", 42), 8)
        with pytest.raises(
            LayoutError, match=f"config segment of layout 42, this build has {LAYOUT_VERSION}"
        ):
            Table.attach(*table.fds)

    def test_another_row_size_is_named(self, table: Table):
        os.pwrite(table.fds[1], struct.pack("<I", 4242), 16)
        with pytest.raises(LayoutError, match=f"state segment of layout {LAYOUT_VERSION}, .*4242"):
            Table.attach(*table.fds)
        with pytest.raises(LayoutError):
            Counters(table.fds[1])

    def test_swapped_and_foreign_segments(self, table: Table):
        other = Table.create(4, 8, 17)
        with pytest.raises(LayoutError):
            Table.attach(*reversed(table.fds))
        with pytest.raises(LayoutError, match="not of one worker"):
            Table.attach(table.fds[0], other.fds[1])
        empty = os.memfd_create("empty")
        with pytest.raises(LayoutError, match="0 bytes"):
            Table.attach(empty, table.fds[1])
        os.close(empty)

    def test_cannot_shrink_or_grow(self, table: Table):
        for fd in table.fds:
            size = os.fstat(fd).st_size
            for other in (0, size - 1, size + 1):
                with pytest.raises(PermissionError):
                    os.ftruncate(fd, other)

    def test_all_memory_is_allocated(self, table: Table):
        for fd in table.fds:
            status = os.fstat(fd)
            assert status.st_blocks * 512 >= status.st_size

    def test_no_descriptor_is_left(self):
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            table = Table.create(1, 1, 1)
            Table.attach(*table.fds)
            with pytest.raises(LayoutError):
                Table.attach(*reversed(table.fds))
            del table
        assert len(os.listdir("/proc/self/fd")) == before


def test_status_is_of_the_present_occupant(table: Table, reader: Reader):
    table.put_transport(0, transport_row(incarnation=5))
    table.put_source(1, source_row(transport_incarnation=5))
    table.put_sink(2, sink_row(transport_incarnation=5, source=1))
    publish(table, reader)
    assert table.transport_status(0, 1) is table.source_status(1, 1) is table.sink_status(2) is None
    reader.serve(0, 1, 2, now_ns=1_000_000)
    status = table.transport_status(0, 3_000_000)
    assert (status.incarnation, status.connected, status.consent_age_ns) == (5, True, 2_000_000)
    assert (status.rx_packets, status.rx_bytes, status.tx_packets, status.tx_bytes) == (10, 11, 12, 13)
    low, middle, full = table.source_status(1, 1_500_000).encodings
    assert (low.ssrc, low.live, low.packets, low.bytes, low.jitter, low.age_ns) == (
        77,
        True,
        5,
        600,
        9,
        500_000,
    )
    assert middle == full
    assert middle.age_ns is None
    carried = table.sink_status(2)
    assert (carried.source, carried.source_incarnation, carried.encoding) == (1, 1, 2)
    assert (carried.packets, carried.octets) == (20, 2000)
    table.put_transport(0, transport_row(incarnation=6))
    assert table.transport_status(0, 3_000_000) is None
    reader.beat()
    assert table.heartbeat_ns > 0


def test_counters(table: Table, reader: Reader):
    counters = Counters(table.fds[1])
    assert set(counters.values()) == set(DESCRIPTIONS)
    assert counters.values()["rtp_forwarded"] == 0
    table.put_transport(0, transport_row())
    table.put_source(0, source_row())
    table.put_sink(0, sink_row())
    publish(table, reader)
    reader.serve(0, 0, 0, 1)
    assert counters.values()["rtp_forwarded"] == 42
    assert sum(counters.values().values()) == 42
    assert all(text and text[0].isupper() for text in DESCRIPTIONS.values())


_texts = st.text("abcdefghijklmnopqrstuvwxyz0123456789+/", max_size=16)
_numbers = st.integers(0, 0xFFFFFFFF)
_small = st.integers(0, 255)
_sources = st.builds(
    source_row,
    incarnation=st.integers(1, 0xFFFFFFFF),
    transport=_numbers,
    member=_numbers,
    kind=st.sampled_from(SourceKind),
    codec=st.sampled_from(Codec),
    clock_rate=_numbers,
    payload_type=_small,
    rtx_payload_type=_small,
    muted=st.booleans(),
    mid=_texts,
    rids=st.lists(_texts.filter(bool), max_size=3).map(tuple),
    ssrcs=st.lists(st.integers(1, 0xFFFFFFFF), max_size=3).map(tuple),
    max_bps=st.lists(st.integers(1, 0xFFFFFFFF), max_size=3).map(tuple),
    floor_bps=st.lists(st.integers(1, 0xFFFFFFFF), max_size=3).map(tuple),
    share_percent=_small,
    resends=st.booleans(),
    tmmbr=st.booleans(),
)


@settings(deadline=None, max_examples=200)
@given(_sources, st.integers(0, 7))
def test_any_source_comes_back(row, handle: int):
    table = Table.create(1, 8, 1)
    table.put_source(handle, row)
    assert table.source(handle)._asdict() == dataclasses.asdict(row)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3), st.booleans()), max_size=40), st.randoms())
def test_after_any_history_both_halves_agree_with_control(history, random):
    """Puts, removals, publications and settlements in any order; the worker adopts or not."""
    table = Table.create(1, 1, 16)
    reader = Reader(*table.fds)
    model: dict[int, int] = {}
    for handle, incarnation, adopts in history:
        if incarnation:
            table.put_sink(handle, sink_row(incarnation, transport=NONE, ssrc=7))
            model[handle] = incarnation
        else:
            table.remove_sink(handle)
            model.pop(handle, None)
        if random.random() < 0.5:
            table.publish()
        if adopts:
            reader.adopt()
        if random.random() < 0.3:
            table.settle()
    reader.adopt()
    assert table.publish()
    reader.adopt()
    assert table.settle()
    assert {h: table.sink(h).incarnation for h in table.sink_handles} == model
    successor = Table.attach(*table.fds)
    assert {h: successor.sink(h).incarnation for h in successor.sink_handles} == model
    successor.put_sink(15, sink_row(99))
    successor.remove_sink(14)
    assert successor.publish()
    reader.adopt()
    assert {h: Table.attach(*table.fds).sink(h).incarnation for h in successor.sink_handles} == {
        **{h: i for h, i in model.items() if h != 14},
        15: 99,
    }
    reader.close()


def test_any_256_bit_key_fits(table: Table):
    keys = HopKeys(SrtpProfile.AEAD_AES_256_GCM, b"k" * 32, b"s" * 12, b"l" * 32, b"t" * 12)
    table.put_transport(0, transport_row(keys=keys))
    table.put_transport(1, transport_row(keys=dataclasses.replace(KEYS, rx_key=b"z" * 16)))
    assert table.transport(0).keyed
