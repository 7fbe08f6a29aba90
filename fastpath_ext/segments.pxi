# Memory that outlives processes: made once, allocated in full, sealed against shrinking and growing.

cdef int SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


cdef int make_segment(str name, size_t size) except -1:
    cdef int fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        # Allocated now: touching a page later that cannot be had would be SIGBUS instead of ENOSPC.
        os.posix_fallocate(fd, 0, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


cdef void *map_segment(int fd, size_t size, int protection) except NULL:
    cdef void *memory = mmap(NULL, size, protection, MAP_SHARED, fd, 0)
    if memory == MAP_FAILED:
        raise OSError("a table segment cannot be mapped")
    return memory
