"""One worker: the forwarding core of fastpath/ between its UDP sockets, its tables and control.

A thin shell: it moves datagrams between the kernel and forward(), and decides nothing.
"""

import os
import socket

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, ENOMEM, EOPNOTSUPP, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.unistd cimport getpid, read, write

from fastpath_ext cimport c, forward as f, posix as p

from fastpath_ext.table import LayoutError

BACKENDS = {None: f.CRYPTO_AUTO, "openssl": f.CRYPTO_OPENSSL, "ipsec-mb": f.CRYPTO_IPSEC_MB}

cdef extern from *:
    """
    #include <signal.h>
    #include <stdatomic.h>
    static volatile sig_atomic_t stop_asked;
    static void ask_to_stop(int signal) { (void)signal; stop_asked = 1; }
    static void store_heartbeat(struct state_header *header, uint64_t now_ns)
    { atomic_store_explicit(&header->heartbeat_ns, now_ns, memory_order_release); }
    static void count_start(struct state_header *header) { atomic_fetch_add(&header->worker_started, 1); }
    """
    int stop_asked
    void ask_to_stop(int signal) nogil
    void store_heartbeat(c.state_header *header, uint64_t now_ns) nogil
    void count_start(c.state_header *header) nogil


cdef uint64_t clock_ns(int clock) noexcept nogil:
    cdef p.timespec now
    p.clock_gettime(clock, &now)
    return <uint64_t>now.tv_sec * 1000000000 + <uint64_t>now.tv_nsec


cdef class Forwarder:
    """The core without its sockets, for tests and simulations: time is an argument, datagrams are bytes."""

    cdef f.worker_t core
    cdef void *config
    cdef void *state
    cdef size_t config_size, state_size
    cdef bint opened

    def __init__(self, int config_fd, int state_fd, *, backend=None, seed=None):
        if self.opened:
            raise RuntimeError("it was opened already")
        if f.crypto_init(BACKENDS[backend]) != 0:
            raise OSError(f"the crypto backend {backend or 'auto'} does not work here")
        self.config_size = os.fstat(config_fd).st_size
        self.state_size = os.fstat(state_fd).st_size
        self.config = map_shared(config_fd, self.config_size)
        self.state = map_shared(state_fd, self.state_size)
        cdef uint64_t number = int.from_bytes(os.urandom(8), "little") if seed is None else seed
        cdef int result = f.worker_open(
            &self.core, self.config, self.config_size, self.state, self.state_size, number)
        if result == -ENOMEM:
            raise MemoryError
        if result < 0:
            raise LayoutError("the segments are of another layout, or no tables of one worker")
        self.opened = True
        self.core.realtime_offset_ns = clock_ns(p.CLOCK_REALTIME) - clock_ns(p.CLOCK_MONOTONIC)

    def __dealloc__(self):
        if self.opened:
            f.worker_close(&self.core)
        if self.config != NULL:
            munmap(self.config, self.config_size)
        if self.state != NULL:
            munmap(self.state, self.state_size)

    @property
    def crypto(self):
        return f.crypto_backend_name().decode()

    def adopt(self, uint64_t now_ns):
        return f.worker_adopt(&self.core, now_ns) == 1

    def forward(self, bytes data, address, uint64_t now_ns):
        cdef f.datagram taken
        cdef bytearray copy = bytearray(data)
        cdef unsigned char[::1] view = copy or bytearray(1)
        memset(&taken, 0, sizeof(taken))
        taken.bytes = &view[0]
        taken.length = len(data)
        host, taken.remote.port = address
        cdef bytes packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        taken.remote.family = 6 if ":" in host else 4
        memcpy(taken.remote.address, <const char *>packed, len(packed))
        f.forward(&self.core, &taken, now_ns)

    def tick(self, uint64_t now_ns):
        f.worker_tick(&self.core, now_ns)

    def sleep_ns(self, uint64_t now_ns):
        return f.worker_sleep_ns(&self.core, now_ns)

    def downlink(self, bytes message, uint64_t now_ns):
        return f.worker_downlink_untrusted(&self.core, <const char *>message, len(message), now_ns)

    def take(self):
        cdef f.egress_t *egress = &self.core.egress
        cdef f.egress_destination *to
        cdef f.egress_packet *packet
        cdef uint32_t i, k
        runs = []
        f.egress_plan(egress)
        for i in range(egress.run_count):
            to = &egress.destinations[egress.runs[i].destination]
            family, length = (socket.AF_INET, 4) if to.remote.family == 4 else (socket.AF_INET6, 16)
            address = (socket.inet_ntop(family, to.remote.address[:length]), to.remote.port)
            datagrams = []
            for k in range(egress.runs[i].count):
                packet = &egress.packets[egress.order[egress.runs[i].first + k]]
                datagrams.append((<char *>egress.slab)[packet.offset:packet.offset + packet.length])
            runs.append((address, datagrams))
        f.egress_clear(egress)
        return runs

    def messages(self):
        cdef size_t length
        cdef const void *message
        taken = []
        while True:
            message = f.outbox_peek(&self.core.outbox, &length)
            if message == NULL:
                return taken
            taken.append((<const char *>message)[:length])
            f.outbox_pop(&self.core.outbox)


cdef void *map_shared(int fd, size_t size) except NULL:
    cdef void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    if memory == MAP_FAILED:
        raise OSError(errno, os.strerror(errno))
    return memory


include "worker_receive.pxi"
include "worker_packet.pxi"
include "worker_send.pxi"
include "worker_loop.pxi"


cdef class Worker(Forwarder):
    """The core at its sockets. The descriptors stay the caller's and must stay open."""

    cdef shell io
    cdef void *rings
    cdef size_t rings_size

    def __init__(
        self, int config_fd, int state_fd, int uplink_fd, udp_fds, backend=None, *, gro=True, hold_us=None,
        int packet_fd=-1, int rings_fd=-1, index=0, wake_fds=(),
        busy_poll_us=0,
    ):
        Forwarder.__init__(self, config_fd, state_fd, backend=backend)
        if not 0 < len(udp_fds) <= MAX_SOCKETS:
            raise ValueError(f"1 to {MAX_SOCKETS} UDP sockets")
        if shell_open(&self.io) != 0:
            raise MemoryError
        self.io.uplink = uplink_fd
        self.io.own_wake_fd = -1
        if rings_fd >= 0:
            self.join(rings_fd, index, wake_fds)
        self.io.hold_limit_ns = f.HOLDING_LIMIT_NS if hold_us is None else int(hold_us) * 1000
        for fd in udp_fds:
            shell_add_socket(&self.io, fd, gro)
        if busy_poll_us:
            shell_poll_busily(&self.io, int(busy_poll_us) * 1000)
        self.io.packet = packet_open(packet_fd, self.core.capacities.transports)

    cdef join(self, int rings_fd, int index, wake_fds):
        cdef int number, result
        if not 0 <= index < len(wake_fds) <= f.LIMIT_WORKERS:
            raise ValueError("no such worker")
        self.rings_size = os.fstat(rings_fd).st_size
        self.rings = map_shared(rings_fd, self.rings_size)
        result = f.handover_join(&self.core, self.rings, self.rings_size, <uint32_t>index)
        if result == -ENOMEM:
            raise MemoryError
        if result < 0:
            raise LayoutError("the rings are of another layout, or of fewer workers")
        for number in range(f.LIMIT_WORKERS):
            self.io.wake_fds[number] = wake_fds[number] if number < len(wake_fds) else -1
        self.io.own_wake_fd = wake_fds[index]

    def __dealloc__(self):
        packet_close(self.io.packet)
        shell_close(&self.io)
        if self.rings != NULL:
            munmap(self.rings, self.rings_size)

    def run(self):
        """Forwards until SIGTERM or DOWNLINK_STOP. Python's other handlers run within 250 ms."""
        cdef p.sigaction_t stop, before
        cdef int result
        global stop_asked
        memset(&stop, 0, sizeof(stop))
        stop.sa_handler = ask_to_stop
        p.sigemptyset(&stop.sa_mask)
        stop_asked = 0
        p.sigaction(p.SIGTERM, &stop, &before)
        count_start(self.core.state.header)
        try:
            tell_ready(&self.core)
            with nogil:
                begin(&self.io, &self.core)
            while True:
                with nogil:
                    result = turn(&self.io, &self.core)
                if result == LOOP_STOPPED:
                    return
                if result < 0:
                    raise OSError(-result, os.strerror(-result))
                PyErr_CheckSignals()
        finally:
            p.sigaction(p.SIGTERM, &before, NULL)
