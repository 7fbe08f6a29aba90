"""Control's side of one worker's tables: rows, generations, status. docs/table.md has the rules."""

import fcntl
import os

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from fastpath_ext cimport c
from fastpath_ext.posix cimport explicit_bzero

from fastpath_ext.values import (
    DownlinkStatus,
    EncodingStatus,
    SinkStatus,
    SinkValue,
    SourceStatus,
    SourceValue,
    TransportStatus,
    TransportValue,
)

cdef extern from "fastpath/projection.h" nogil:
    const c.projection *projection_current(const c.projection *copies)

NONE = c.TABLE_NONE
LAYOUT_VERSION = c.TABLE_LAYOUT_VERSION
MAX_TRANSPORTS = c.LIMIT_TRANSPORTS
MAX_SOURCES = c.LIMIT_SOURCES
MAX_SINKS = c.LIMIT_SINKS


class LayoutError(Exception):
    """The segment was made by a build with another layout, or is no table."""


# ---- segments ----

include "segments.pxi"


cdef size_t segment_size(int fd, size_t least) except? 0:
    cdef size_t size = os.fstat(fd).st_size
    if size < least:
        raise LayoutError(f"{size} bytes are less than the header of layout {LAYOUT_VERSION}: {least}")
    return size


cdef object config_mismatch(const c.config_header *found, size_t size):
    cdef c.table_capacities room
    room.transports, room.sources = found.transport_capacity, found.source_capacity
    room.sinks = found.sink_capacity
    return mismatch(
        "config", found.layout_version, size, room, c.table_config_size(room),
        (found.header_size, found.transport_row_size, found.source_row_size, found.sink_row_size),
        (sizeof(c.config_header), sizeof(c.transport_row), sizeof(c.source_row), sizeof(c.sink_row)))


cdef object state_mismatch(const c.state_header *found, size_t size):
    cdef c.table_capacities room
    room.transports, room.sources = found.transport_capacity, found.source_capacity
    room.sinks = found.sink_capacity
    return mismatch(
        "state", found.layout_version, size, room, c.table_state_size(room),
        (found.header_size, found.transport_state_size, found.downlink_state_size, found.source_state_size,
         found.sink_state_size),
        (sizeof(c.state_header), sizeof(c.transport_state), sizeof(c.downlink_state), sizeof(c.source_state),
         sizeof(c.sink_state)))


cdef object mismatch(name, version, size, c.table_capacities room, needed, found, ours):
    return LayoutError(
        f"{name} segment of layout {version}, this build has {LAYOUT_VERSION}; header and rows of {found}"
        f" bytes, this build's have {ours}; {size} bytes for {room.transports} transports, {room.sources}"
        f" sources and {room.sinks} sinks, this build needs {needed} and takes at most {MAX_TRANSPORTS},"
        f" {MAX_SOURCES} and {MAX_SINKS}")


# ---- values into rows ----

include "table_rows.pxi"


cdef inline int check_handle(rows *array, uint32_t handle) except -1:
    if handle >= array.capacity:
        raise ValueError(f"handle {handle} is beyond the capacity of {array.capacity}")
    return 0


cdef inline object age(uint64_t now_ns, uint64_t then_ns):
    if then_ns == 0:
        return None
    return now_ns - then_ns if now_ns > then_ns else 0


cdef list handles_in_use(rows *array):
    cdef uint32_t handle
    # Every row begins with its check value and its incarnation.
    return [handle for handle in range(array.limit) if (<uint32_t *>rows_at(array, handle))[1] != 0]


cdef class Table:
    def __cinit__(self, *_args, **_kwargs):
        self.config_fd = self.state_fd = -1

    def __init__(self, config_fd, state_fd):
        self.take(os.dup(config_fd), os.dup(state_fd))
        self.load(False)

    def __dealloc__(self):
        rows_destroy(&self.transports)
        rows_destroy(&self.sources)
        rows_destroy(&self.sinks)
        free(self.removed)
        if self.config.header != NULL:
            munmap(self.config.header, self.config.size)
        if self.state.header != NULL:
            munmap(self.state.header, self.state.size)
        for fd in (self.config_fd, self.state_fd):
            if fd >= 0:
                os.close(fd)

    @staticmethod
    def create(transports, sources, sinks):
        cdef c.table_capacities room
        room.transports, room.sources, room.sinks = transports, sources, sinks
        if room.transports > MAX_TRANSPORTS or room.sources > MAX_SOURCES or room.sinks > MAX_SINKS:
            raise ValueError(f"at most {MAX_TRANSPORTS} transports, {MAX_SOURCES} sources, {MAX_SINKS} sinks")
        cdef size_t config_size = c.table_config_size(room)
        cdef size_t state_size = c.table_state_size(room)
        cdef int config_fd = make_segment("sotto-config", config_size)
        cdef int state_fd = -1
        cdef void *memory
        cdef Table table
        try:
            state_fd = make_segment("sotto-state", state_size)
            memory = map_segment(config_fd, config_size, PROT_READ | PROT_WRITE)
            c.table_config_format(memory, room)
            munmap(memory, config_size)
            memory = map_segment(state_fd, state_size, PROT_READ | PROT_WRITE)
            c.table_state_format(memory, room)
            munmap(memory, state_size)
            table = Table.__new__(Table)
            table.take(os.dup(config_fd), os.dup(state_fd))
            table.load(True)
            return table
        finally:
            os.close(config_fd)
            if state_fd >= 0:
                os.close(state_fd)

    @staticmethod
    def attach(config_fd, state_fd):
        return Table(config_fd, state_fd)

    cdef int take(self, int config_fd, int state_fd) except -1:
        """Maps both segments; the descriptors are ours from here."""
        cdef size_t size
        cdef void *memory
        cdef int refused
        self.config_fd, self.state_fd = config_fd, state_fd

        size = segment_size(config_fd, sizeof(c.config_header))
        memory = map_segment(config_fd, size, PROT_READ | PROT_WRITE)
        refused = c.table_config_attach(memory, size, &self.config)
        if refused:
            error = config_mismatch(<c.config_header *>memory, size)
            munmap(memory, size)
            raise error

        size = segment_size(state_fd, sizeof(c.state_header))
        memory = map_segment(state_fd, size, PROT_READ)
        refused = c.table_state_attach(memory, size, &self.state)
        if refused:
            error = state_mismatch(<c.state_header *>memory, size)
            munmap(memory, size)
            raise error
        if (self.config.header.transport_capacity != self.state.header.transport_capacity
                or self.config.header.source_capacity != self.state.header.source_capacity
                or self.config.header.sink_capacity != self.state.header.sink_capacity):
            raise LayoutError("config and state segment differ in capacity: they are not of one worker")
        return 0

    cdef int load(self, bint fresh) except -1:
        """Makes our copy that of the current generation."""
        cdef c.config_header *header = self.config.header
        cdef uint64_t number = header.current
        cdef unsigned int half = <unsigned int>(number & 1)
        cdef c.generation_view current
        self.number = number
        if (rows_create(&self.transports, header.transport_capacity, sizeof(c.transport_row))
                or rows_create(&self.sources, header.source_capacity, sizeof(c.source_row))
                or rows_create(&self.sinks, header.sink_capacity, sizeof(c.sink_row))):
            raise MemoryError
        self.removed = <unsigned int *>calloc(header.transport_capacity + 1, sizeof(unsigned int))
        if self.removed == NULL:
            raise MemoryError
        if fresh:
            return 0
        if number == 0:
            self.clear_halves()
            return 0
        # A predecessor may have been killed while it wrote there.
        self.distrust(half ^ 1)
        current = c.table_generation(&self.config, number)
        # All rows, not only those below the limits: those above are zero, and nothing here checks the limits.
        self.damaged_rows = <int>(
            rows_load(&self.transports, current.transports, self.transports.capacity, half)
            + rows_load(&self.sources, current.sources, self.sources.capacity, half)
            + rows_load(&self.sinks, current.sinks, self.sinks.capacity, half))
        return 0

    cdef void clear_halves(self) noexcept:
        """Nothing was ever published, so nobody reads either half; a predecessor may have written there."""
        cdef c.generation_view half
        cdef uint64_t number
        for number in range(2):
            half = c.table_generation(&self.config, number)
            explicit_bzero(half.transports, self.transports.capacity * sizeof(c.transport_row))
            explicit_bzero(half.sources, self.sources.capacity * sizeof(c.source_row))
            explicit_bzero(half.sinks, self.sinks.capacity * sizeof(c.sink_row))

    cdef unsigned int lacking(self, unsigned int half) noexcept nogil:
        return self.transports.queued[half] + self.sources.queued[half] + self.sinks.queued[half]

    cdef bint write_next(self, c.generation_view *next) noexcept nogil:
        """Brings the half that nobody reads up to date; False while the worker still reads it."""
        cdef unsigned int half = <unsigned int>((self.config.header.current + 1) & 1)
        if c.table_next_generation(&self.config, next) != 0:
            return False
        self.flush(next, half)
        return True

    cdef void flush(self, c.generation_view *target, unsigned int half) noexcept nogil:
        rows_flush(&self.transports, target.transports, half)
        rows_flush(&self.sources, target.sources, half)
        rows_flush(&self.sinks, target.sinks, half)
        target.head.transport_limit = self.transports.limit
        target.head.source_limit = self.sources.limit
        target.head.sink_limit = self.sinks.limit

    cdef void distrust(self, unsigned int half) noexcept nogil:
        rows_distrust(&self.transports, half)
        rows_distrust(&self.sources, half)
        rows_distrust(&self.sinks, half)

    # ---- what exists ----

    @property
    def fds(self):
        return self.config_fd, self.state_fd

    @property
    def capacities(self):
        return self.transports.capacity, self.sources.capacity, self.sinks.capacity

    @property
    def transport_handles(self):
        return handles_in_use(&self.transports)

    @property
    def source_handles(self):
        return handles_in_use(&self.sources)

    @property
    def sink_handles(self):
        return handles_in_use(&self.sinks)

    # ---- changing control's copy ----

    def put_transport(self, handle, row, *, keep_keys=False):
        cdef c.transport_row filled
        cdef const c.transport_row *held
        check_handle(&self.transports, handle)
        held = <const c.transport_row *>rows_at(&self.transports, handle)
        memset(&filled, 0, sizeof(filled))
        try:
            fill_transport(&filled, row)
            if held.incarnation == 0 and self.removed[<uint32_t>handle] == filled.incarnation:
                # The worker forgot its SRTCP index and replay windows: under the same keys they would repeat.
                raise ValueError("a removed incarnation never comes back")
            if keep_keys and held.incarnation == filled.incarnation:
                filled.srtp_profile = held.srtp_profile
                filled.rx_key = held.rx_key
                filled.tx_key = held.tx_key
            rows_put(&self.transports, handle, &filled)
        finally:
            explicit_bzero(&filled, sizeof(filled))

    def put_source(self, handle, row):
        cdef c.source_row filled
        check_handle(&self.sources, handle)
        memset(&filled, 0, sizeof(filled))
        fill_source(&filled, row)
        rows_put(&self.sources, handle, &filled)

    def put_sink(self, handle, row):
        cdef c.sink_row filled
        check_handle(&self.sinks, handle)
        memset(&filled, 0, sizeof(filled))
        fill_sink(&filled, row)
        rows_put(&self.sinks, handle, &filled)

    def remove_transport(self, handle):
        cdef const c.transport_row *held
        check_handle(&self.transports, handle)
        held = <const c.transport_row *>rows_at(&self.transports, handle)
        if held.incarnation != 0:
            self.removed[<uint32_t>handle] = held.incarnation
        rows_remove(&self.transports, handle)

    def remove_source(self, handle):
        check_handle(&self.sources, handle)
        rows_remove(&self.sources, handle)

    def remove_sink(self, handle):
        check_handle(&self.sinks, handle)
        rows_remove(&self.sinks, handle)

    # ---- publishing ----

    def publish(self):
        cdef c.generation_view next
        if not self.pending:
            return True
        if not self.write_next(&next):
            return False
        c.table_publish(&self.config, &next)
        self.number = self.config.header.current
        return True

    def mend(self):
        cdef unsigned int half = <unsigned int>(self.number & 1)
        cdef c.generation_view current
        cdef bint spoilt
        if self.number == 0:
            return False
        spoilt = c.table_mend_header(&self.config, self.number)
        current = c.table_generation(&self.config, self.number)
        if not c.table_head_valid(&self.config, self.number):
            self.distrust(half)
            self.distrust(half ^ 1)
            if self.config.header.adopted == self.number:
                # A worker may go on with its rows: the next generation has all of them.
                return True
            # No worker could read it.
            self.flush(&current, half)
            c.table_publish_again(&self.config, &current, self.number)
            return True
        if (
            rows_differ(&self.transports, current.transports, half)
            or rows_differ(&self.sources, current.sources, half)
            or rows_differ(&self.sinks, current.sinks, half)
        ):
            self.distrust(half)
            self.distrust(half ^ 1)
            return True
        return spoilt

    def settle(self):
        cdef c.generation_view next
        return self.settled or self.write_next(&next)

    @property
    def pending(self):
        return self.lacking(<unsigned int>(self.config.header.current & 1)) != 0

    @property
    def settled(self):
        return self.lacking(<unsigned int>((self.config.header.current + 1) & 1)) == 0

    @property
    def current(self):
        return self.config.header.current

    @property
    def adopted(self):
        return self.config.header.adopted

    # ---- reading back what control's copy holds ----

    def transport(self, handle):
        cdef int i
        cdef const c.transport_row *row
        check_handle(&self.transports, handle)
        row = <const c.transport_row *>rows_at(&self.transports, handle)
        if row.incarnation == 0:
            return None
        return TransportValue(
            incarnation=row.incarnation,
            conference=row.conference,
            srtp_profile=row.srtp_profile,
            keyed=row.srtp_profile != c.SRTP_NONE,
            local_ufrags=tuple([
                row.ice[i].local_ufrag[:row.ice[i].local_ufrag_length].decode("ascii")
                for i in range(2) if row.ice[i].local_ufrag_length
            ]),
            rtcp_ssrc=row.rtcp_ssrc,
            remb_bps=row.remb_bps,
            sources=tuple([
                row.sources[i] for i in range(c.LIMIT_SOURCES_PER_TRANSPORT) if row.sources[i] != c.TABLE_NONE
            ]),
            transport_cc_down=row.transport_cc_down != 0,
            downlink_max_bps=row.downlink_max_bps,
            foreign=row.foreign,
            follows=row.follows - 1 if row.follows else None,
        )

    def source(self, handle):
        cdef int i, rids = 0
        cdef const c.source_row *row
        check_handle(&self.sources, handle)
        row = <const c.source_row *>rows_at(&self.sources, handle)
        if row.incarnation == 0:
            return None
        while rids < c.LIMIT_ENCODINGS and row.rid_length[rids]:
            rids += 1
        return SourceValue(
            incarnation=row.incarnation,
            transport=row.transport,
            transport_incarnation=row.transport_incarnation,
            member=row.member,
            kind=row.kind,
            codec=row.codec,
            clock_rate=row.clock_rate,
            payload_type=row.payload_type,
            rtx_payload_type=row.rtx_payload_type,
            muted=row.muted != 0,
            mid=row.mid[:row.mid_length].decode("ascii"),
            rids=tuple([row.rid[i][:row.rid_length[i]].decode("ascii") for i in range(rids)]),
            ssrcs=without_zeros([row.ssrc[i] for i in range(c.LIMIT_ENCODINGS)]),
            rtx_ssrcs=without_zeros([row.rtx_ssrc[i] for i in range(c.LIMIT_ENCODINGS)]),
            max_bps=without_zeros([row.limits.max_bps[i] for i in range(c.LIMIT_ENCODINGS)]),
            floor_bps=without_zeros([row.limits.floor_bps[i] for i in range(c.LIMIT_ENCODINGS)]),
            share_percent=row.limits.share_percent,
            resends=row.resends != 0,
            tmmbr=row.tmmbr != 0,
            exports=row.exports,
            home=row.home,
            home_source=row.home_source,
            home_incarnation=row.home_incarnation,
        )

    def sink(self, handle):
        cdef const c.sink_row *row
        check_handle(&self.sinks, handle)
        row = <const c.sink_row *>rows_at(&self.sinks, handle)
        if row.incarnation == 0:
            return None
        return SinkValue(
            incarnation=row.incarnation,
            transport=row.transport,
            transport_incarnation=row.transport_incarnation,
            source=row.source,
            source_incarnation=row.source_incarnation,
            ssrc=row.ssrc,
            rtx_ssrc=row.rtx_ssrc,
            kind=row.kind,
            clock_rate=row.clock_rate,
            payload_type=row.payload_type,
            rtx_payload_type=row.rtx_payload_type,
            max_encoding=row.max_encoding,
            priority=row.priority,
            focus=row.focus != 0,
            hidden=row.hidden != 0,
            resend=row.resend != 0,
            loudest=row.loudest != 0,
            sealed=row.sealed != 0,
        )

    # ---- what the worker stored ----

    @property
    def heartbeat_ns(self):
        return self.state.header.heartbeat_ns

    @property
    def workers_started(self):
        return self.state.header.worker_started

    def transport_status(self, handle, now_ns):
        cdef const c.transport_row *row
        cdef const c.transport_state *state
        check_handle(&self.transports, handle)
        row = <const c.transport_row *>rows_at(&self.transports, handle)
        state = &self.state.transports[<uint32_t>handle]
        if row.incarnation == 0 or state.incarnation != row.incarnation:
            return None
        return TransportStatus(
            incarnation=row.incarnation,
            connected=state.connected != 0,
            consent_age_ns=age(now_ns, state.consent_ns),
            rx_packets=state.rx_packets,
            rx_bytes=state.rx_bytes,
            tx_packets=state.tx_packets,
            tx_bytes=state.tx_bytes,
            reported_lost=state.reported_lost,
            round_trip_us=state.round_trip_us,
        )

    def source_status(self, handle, now_ns):
        cdef uint32_t i
        cdef const c.source_row *row
        cdef const c.source_state *state
        check_handle(&self.sources, handle)
        row = <const c.source_row *>rows_at(&self.sources, handle)
        state = &self.state.sources[<uint32_t>handle]
        if row.incarnation == 0 or state.incarnation != row.incarnation:
            return None
        return SourceStatus(row.incarnation, tuple([
            encoding_status(&state.encodings[i], now_ns) for i in range(row.encoding_count)
        ]))

    def sink_status(self, handle):
        cdef const c.sink_row *row
        cdef const c.sink_state *state
        cdef c.projection carried
        check_handle(&self.sinks, handle)
        row = <const c.sink_row *>rows_at(&self.sinks, handle)
        state = &self.state.sinks[<uint32_t>handle]
        if row.incarnation == 0 or state.incarnation != row.incarnation:
            return None
        carried = projection_current(state.copies)[0]
        return SinkStatus(
            incarnation=row.incarnation,
            source=carried.source if carried.started and carried.source != c.TABLE_NONE else None,
            source_incarnation=carried.source_incarnation,
            encoding=carried.encoding,
            packets=state.packets,
            octets=state.octets,
            deal_encoding=(
                None if state.allocation.encoding == c.ALLOCATION_NOTHING else state.allocation.encoding
            ),
            deal_temporal=state.allocation.temporal,
            deal_bps=state.allocation.bps,
            fraction_lost=state.fraction_lost,
        )

    def downlink_status(self, handle):
        cdef const c.transport_row *row
        cdef const c.downlink_state *state
        check_handle(&self.transports, handle)
        row = <const c.transport_row *>rows_at(&self.transports, handle)
        state = &self.state.downlinks[<uint32_t>handle]
        if row.incarnation == 0 or state.incarnation != row.incarnation:
            return None
        return DownlinkStatus(
            incarnation=row.incarnation,
            estimate_bps=state.bandwidth.target,
            remb_bps=state.bandwidth.remb,
            has_feedback=state.bandwidth.has_feedback != 0,
            allocated_bps=state.total.bps,
            wanted_bps=state.total.wanted_bps,
            paused=state.total.paused,
            waiting_bytes=state.waiting_bytes,
        )


cdef object without_zeros(list numbers):
    """As a tuple, up to the last that is not 0."""
    while numbers and not numbers[len(numbers) - 1]:
        numbers.pop()
    return tuple(numbers)


cdef object encoding_status(const c.encoding_state *state, uint64_t now_ns):
    return EncodingStatus(
        ssrc=state.ssrc,
        rtx_ssrc=state.rtx_ssrc,
        live=state.live != 0,
        packets=state.received,
        bytes=state.bytes,
        jitter=state.jitter >> 4,
        age_ns=age(now_ns, state.last_packet_ns),
    )
