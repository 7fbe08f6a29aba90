"""The rings between workers (fastpath/handover_ring.h), as the supervisor makes them."""

import fcntl
import os

from libc.stdint cimport uint32_t
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

cdef extern from "fastpath/handover_ring.h" nogil:
    enum:
        LIMIT_WORKERS
    size_t handover_size(uint32_t workers)
    void handover_format(void *memory, uint32_t workers)

MAX_WORKERS = LIMIT_WORKERS

include "segments.pxi"


def make_rings(int workers):
    if not 2 <= workers <= LIMIT_WORKERS:
        raise ValueError(f"2 to {LIMIT_WORKERS} workers")
    cdef uint32_t count = <uint32_t>workers
    cdef size_t size = handover_size(count)
    fd = make_segment("sotto-rings", size)
    cdef void *memory = map_segment(fd, size, PROT_READ | PROT_WRITE)
    handover_format(memory, count)
    munmap(memory, size)
    return fd
