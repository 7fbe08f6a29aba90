# What the shell asks of the system and Cython's own posix declarations lack.

cdef extern from "<string.h>" nogil:
    void explicit_bzero(void *memory, size_t size)
