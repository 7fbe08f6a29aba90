from fastpath_ext cimport c


cdef extern from "fastpath/rows.h" nogil:
    struct rows:
        unsigned char *bytes
        unsigned int queued[2]
        unsigned int capacity
        unsigned int limit
        size_t row_size

    int rows_create(rows *rows, unsigned int capacity, size_t row_size)
    void rows_destroy(rows *rows)
    void rows_put(rows *rows, unsigned int handle, void *row)
    void rows_remove(rows *rows, unsigned int handle)
    unsigned int rows_load(rows *rows, const void *half, unsigned int limit, unsigned int which)
    bint rows_differ(const rows *rows, const void *half, unsigned int which)
    void rows_distrust(rows *rows, unsigned int half)
    void rows_flush(rows *rows, void *target, unsigned int half)
    void *rows_at(const rows *rows, unsigned int handle)


cdef class Table:
    cdef int config_fd, state_fd            # owned
    cdef c.config_view config               # mapping, owned; written by us except `adopted`
    cdef c.state_view state                 # mapping, owned, read-only
    cdef rows transports, sources, sinks    # control's copy, owned
    cdef unsigned int *removed              # per transport: the incarnation that was removed last, owned
    cdef readonly int damaged_rows          # rows not taken over by attach: their check value was wrong

    cdef int take(self, int config_fd, int state_fd) except -1
    cdef unsigned long long number          # of the current generation, as we published or found it

    cdef int load(self, bint fresh) except -1
    cdef bint write_next(self, c.generation_view *next) noexcept nogil
    cdef void flush(self, c.generation_view *target, unsigned int half) noexcept nogil
    cdef void distrust(self, unsigned int half) noexcept nogil
    cdef void clear_halves(self) noexcept
    cdef unsigned int lacking(self, unsigned int half) noexcept nogil
