"""A worker's counters, named and described once in fastpath/counters.h, and its signs of life."""

import os

from libc.stdint cimport uint32_t, uint64_t
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, mmap, munmap

from fastpath_ext cimport c

from fastpath_ext.table import LayoutError

DESCRIPTIONS = {
    c.counter_descriptions[i].name.decode("ascii"): c.counter_descriptions[i].help.decode("ascii")
    for i in range(c.COUNTER_COUNT)
}


cdef class Counters:
    cdef c.state_view view  # mapping, owned, read-only

    def __init__(self, state_fd):
        cdef size_t size = os.fstat(state_fd).st_size
        cdef void *memory
        if self.view.header != NULL:
            raise ValueError("already attached")
        memory = mmap(NULL, size, PROT_READ, MAP_SHARED, state_fd, 0)
        if memory == MAP_FAILED:
            raise OSError("a state segment cannot be mapped")
        if c.table_state_attach(memory, size, &self.view) != 0:
            munmap(memory, size)
            raise LayoutError("not a state segment of this build's layout")

    def __dealloc__(self):
        if self.view.header != NULL:
            munmap(self.view.header, self.view.size)

    def values(self):
        cdef uint32_t i
        # A worker of an older build knows fewer: the rest are 0.
        return {name: self.view.header.counters[i] for i, name in enumerate(DESCRIPTIONS)}

    @property
    def heartbeat_ns(self):
        return self.view.header.heartbeat_ns

    @property
    def workers_started(self):
        return self.view.header.worker_started

    @property
    def last_consent_ns(self):
        cdef uint32_t i
        cdef uint64_t newest = 0
        for i in range(self.view.header.transport_capacity):
            if self.view.transports[i].incarnation and self.view.transports[i].consent_ns > newest:
                newest = self.view.transports[i].consent_ns
        return newest
