# What the shell asks of the system and Cython's own posix declarations lack.
from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef extern from "<string.h>" nogil:
    void explicit_bzero(void *memory, size_t size)

cdef extern from "<poll.h>" nogil:
    enum:
        POLLIN
        POLLERR
        POLLHUP

    struct pollfd:
        int fd
        short events
        short revents

    struct timespec:
        long tv_sec
        long tv_nsec

    int ppoll(pollfd *fds, unsigned long count, const timespec *timeout, const void *signals)

cdef extern from "<time.h>" nogil:
    enum:
        CLOCK_MONOTONIC
        CLOCK_THREAD_CPUTIME_ID
        CLOCK_REALTIME

    int nanosleep(const timespec *duration, timespec *left)
    int clock_gettime(int clock, timespec *now)

cdef extern from "<signal.h>" nogil:
    enum:
        SIGTERM

    ctypedef struct sigset_t:
        pass

    struct sigaction_t "sigaction":
        void (*sa_handler)(int)
        sigset_t sa_mask
        int sa_flags

    int sigaction(int signal, const sigaction_t *action, sigaction_t *old)
    int sigemptyset(sigset_t *signals)

cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void *to, size_t size, unsigned int flags)

cdef extern from "<sys/socket.h>" nogil:
    enum:
        AF_INET
        AF_INET6
        SOL_SOCKET
        SO_TIMESTAMPNS
        SO_BUSY_POLL
        SO_SNDBUF
        MSG_DONTWAIT
        MSG_PEEK
        MSG_NOSIGNAL
        MSG_TRUNC

    struct sockaddr:
        unsigned short sa_family

    struct iovec:
        void *iov_base
        size_t iov_len

    struct msghdr:
        void *msg_name
        unsigned int msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags

    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len

    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type

    cmsghdr *CMSG_FIRSTHDR(msghdr *message)
    cmsghdr *CMSG_NXTHDR(msghdr *message, cmsghdr *control)
    unsigned char *CMSG_DATA(cmsghdr *control)
    size_t CMSG_SPACE(size_t length)
    size_t CMSG_LEN(size_t length)

    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, timespec *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)
    ssize_t recv(int fd, void *to, size_t size, int flags)
    ssize_t send(int fd, const void *what, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int getsockname(int fd, sockaddr *address, unsigned int *length)
    int getsockopt(int fd, int level, int option, void *value, unsigned int *length)
    int setsockopt(int fd, int level, int option, const void *value, unsigned int length)

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int fd, unsigned long request, void *value)

cdef extern from "<linux/sockios.h>" nogil:
    enum:
        SIOCOUTQ

cdef extern from "<netinet/in.h>" nogil:
    enum:
        IPPROTO_IP
        IPPROTO_IPV6
        IPPROTO_UDP
        IP_PKTINFO
        IPV6_PKTINFO
        IPV6_RECVPKTINFO

    struct in_addr:
        uint32_t s_addr

    struct in6_addr:
        uint8_t s6_addr[16]

    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr

    struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
        uint32_t sin6_scope_id

    struct in_pktinfo:
        int ipi_ifindex
        in_addr ipi_spec_dst
        in_addr ipi_addr

    struct in6_pktinfo:
        in6_addr ipi6_addr
        unsigned int ipi6_ifindex

    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)

cdef extern from "<netinet/udp.h>" nogil:
    enum:
        UDP_SEGMENT
        UDP_GRO
