# From the kernel to forward(): batches of datagrams, each with where it came from and where it arrived.

cdef enum:
    MAX_SOCKETS = 8
    # A datagram, or with UDP_GRO as many of one sender as the kernel joined.
    BUFFER_ROOM = 65536
    # From one to the next: not a power of two, or all of them share the same few lines of the caches.
    BUFFER_STRIDE = BUFFER_ROOM + 4096 + 1216
    CONTROL_ROOM = 128
    # Messages to one sendmmsg; the kernel takes no more at once (UIO_MAXIOV).
    SEND_BATCH = 1024

cdef extern from *:
    """
    #ifndef SO_PREFER_BUSY_POLL  /* Linux 5.11 */
    #define SO_PREFER_BUSY_POLL 69
    #endif
    """
    int SO_PREFER_BUSY_POLL

cdef struct udp_socket:
    int fd
    bint ipv6
    bint any_address  # bound to no address in particular: answers must say where they come from
    uint16_t port
    bint has_ipv4  # bound to this one
    uint8_t ipv4[4]

cdef struct send_control:  # room for a packet info and a segment size, aligned as the kernel wants it
    uint64_t words[12]

cdef struct packet_out  # worker_packet.pxi

cdef struct shell:
    udp_socket sockets[MAX_SOCKETS]
    uint32_t socket_count
    int uplink
    uint64_t checked_ns  # when Python's signals and the clocks were last looked at
    f.holding_t holding
    uint64_t done_ns  # when the last turn ended, 0 = there was none
    uint64_t hold_limit_ns
    uint64_t spin_ns  # so long it looks again before it sleeps, 0 = it sleeps at once
    uint64_t busy_ns  # at work since the counter last took whole microseconds
    int wake_fds[f.LIMIT_WORKERS]  # eventfds by worker, -1 = none
    int own_wake_fd  # ours among them, -1 = we are alone
    uint64_t oldest_ns  # when the first datagram since the last flush came to the kernel, 0 = none did
    # receiving, LIMIT_RX_BATCH of each
    p.mmsghdr *in_messages
    p.iovec *in_vectors
    p.sockaddr_in6 *in_names
    uint8_t *in_control
    uint8_t *in_buffers
    # sending, LIMIT_EGRESS of each
    p.mmsghdr *out_messages
    p.iovec *out_vectors
    p.sockaddr_in6 *out_names
    send_control *out_control
    uint32_t *out_runs
    uint8_t *message  # one from control
    packet_out *packet  # NULL = everything leaves by UDP


cdef int shell_open(shell *io) noexcept nogil:
    cdef int i
    io.in_messages = <p.mmsghdr *>calloc(c.LIMIT_RX_BATCH, sizeof(p.mmsghdr))
    io.in_vectors = <p.iovec *>calloc(c.LIMIT_RX_BATCH, sizeof(p.iovec))
    io.in_names = <p.sockaddr_in6 *>calloc(c.LIMIT_RX_BATCH, sizeof(p.sockaddr_in6))
    io.in_control = <uint8_t *>calloc(c.LIMIT_RX_BATCH, CONTROL_ROOM)
    io.in_buffers = <uint8_t *>calloc(c.LIMIT_RX_BATCH, BUFFER_STRIDE)
    io.out_messages = <p.mmsghdr *>calloc(f.LIMIT_EGRESS, sizeof(p.mmsghdr))
    io.out_vectors = <p.iovec *>calloc(f.LIMIT_EGRESS, sizeof(p.iovec))
    io.out_names = <p.sockaddr_in6 *>calloc(f.LIMIT_EGRESS, sizeof(p.sockaddr_in6))
    io.out_control = <send_control *>calloc(f.LIMIT_EGRESS, sizeof(send_control))
    io.out_runs = <uint32_t *>calloc(f.LIMIT_EGRESS, sizeof(uint32_t))
    io.message = <uint8_t *>calloc(1, c.LIMIT_UPLINK_PAYLOAD + 64)
    if (
        io.in_messages == NULL or io.in_vectors == NULL or io.in_names == NULL or io.in_control == NULL
        or io.in_buffers == NULL or io.out_messages == NULL or io.out_vectors == NULL
        or io.out_names == NULL or io.out_control == NULL or io.out_runs == NULL or io.message == NULL
    ):
        return -ENOMEM
    for i in range(c.LIMIT_RX_BATCH):
        io.in_vectors[i].iov_base = io.in_buffers + <size_t>i * BUFFER_STRIDE
        io.in_vectors[i].iov_len = BUFFER_ROOM
        io.in_messages[i].msg_hdr.msg_iov = &io.in_vectors[i]
        io.in_messages[i].msg_hdr.msg_iovlen = 1
        io.in_messages[i].msg_hdr.msg_name = &io.in_names[i]
        io.in_messages[i].msg_hdr.msg_control = io.in_control + i * CONTROL_ROOM
        arm(&io.in_messages[i].msg_hdr)
    return 0


cdef void shell_close(shell *io) noexcept nogil:
    free(io.in_messages)
    free(io.in_vectors)
    free(io.in_names)
    free(io.in_control)
    free(io.in_buffers)
    free(io.out_messages)
    free(io.out_vectors)
    free(io.out_names)
    free(io.out_control)
    free(io.out_runs)
    free(io.message)


cdef void arm(p.msghdr *message) noexcept nogil:
    message.msg_namelen = sizeof(p.sockaddr_in6)
    message.msg_controllen = CONTROL_ROOM
    message.msg_flags = 0


cdef int shell_add_socket(shell *io, int fd, bint gro) except -1:
    cdef p.sockaddr_in6 name
    cdef unsigned int length = sizeof(name)
    cdef int on = 1, joined = gro
    cdef udp_socket *added = &io.sockets[io.socket_count]
    memset(&name, 0, sizeof(name))
    if p.getsockname(fd, <p.sockaddr *>&name, &length) != 0:
        raise OSError(errno, os.strerror(errno))
    added.fd = fd
    added.port = p.htons(name.sin6_port)  # it stands where IPv4 has it
    added.ipv6 = name.sin6_family == p.AF_INET6
    if added.ipv6:
        added.any_address = all_zero(name.sin6_addr.s6_addr, 16)
        p.setsockopt(fd, p.IPPROTO_IPV6, p.IPV6_RECVPKTINFO, &on, sizeof(on))
    else:
        added.any_address = (<p.sockaddr_in *>&name).sin_addr.s_addr == 0
        added.has_ipv4 = True
        memcpy(added.ipv4, &(<p.sockaddr_in *>&name).sin_addr, 4)
        p.setsockopt(fd, p.IPPROTO_IP, p.IP_PKTINFO, &on, sizeof(on))
    # When each came to the kernel: what waited there while we were elsewhere was delayed by us.
    p.setsockopt(fd, p.SOL_SOCKET, p.SO_TIMESTAMPNS, &on, sizeof(on))
    # Without it each datagram comes singly; nothing else changes.
    p.setsockopt(fd, p.IPPROTO_UDP, p.UDP_GRO, &joined, sizeof(joined))
    io.socket_count += 1
    return 0


# With it a look at an empty socket also empties the queue of the network card, where that can be polled (CAP_NET_ADMIN to go beyond the
# system's net.core.busy_read). Where it cannot, looking alone saves the wake.
cdef void shell_poll_busily(shell *io, uint64_t spin_ns) noexcept nogil:
    cdef uint32_t i
    cdef int us = <int>(spin_ns // 1000), on = 1
    io.spin_ns = spin_ns
    for i in range(io.socket_count):
        p.setsockopt(io.sockets[i].fd, p.SOL_SOCKET, p.SO_BUSY_POLL, &us, sizeof(us))
        p.setsockopt(io.sockets[i].fd, p.SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on))


cdef bint all_zero(const uint8_t *bytes, size_t length) noexcept nogil:
    cdef size_t i
    for i in range(length):
        if bytes[i] != 0:
            return False
    return True


# IPv4 in the form ::ffff:a.b.c.d, which both families' answers are written from.
cdef void map_ipv4(const void *ipv4, uint8_t *to) noexcept nogil:
    memset(to, 0, 10)
    to[10] = to[11] = 0xff
    memcpy(to + 12, ipv4, 4)


cdef bint is_mapped(const uint8_t *ipv6) noexcept nogil:
    return all_zero(ipv6, 10) and ipv6[10] == 0xff and ipv6[11] == 0xff


cdef void fill_remote(const p.sockaddr_in6 *name, f.endpoint *remote) noexcept nogil:
    memset(remote, 0, sizeof(f.endpoint))
    if name.sin6_family == p.AF_INET:
        remote.family = 4
        remote.port = p.ntohs((<p.sockaddr_in *>name).sin_port)
        memcpy(remote.address, &(<p.sockaddr_in *>name).sin_addr, 4)
    elif is_mapped(name.sin6_addr.s6_addr):
        remote.family = 4
        remote.port = p.ntohs(name.sin6_port)
        memcpy(remote.address, name.sin6_addr.s6_addr + 12, 4)
    else:
        remote.family = 6
        remote.port = p.ntohs(name.sin6_port)
        remote.scope = name.sin6_scope_id
        memcpy(remote.address, name.sin6_addr.s6_addr, 16)


# Fills in where it arrived; returns the size of the joined datagrams, 0 = it is one.
cdef size_t fill_local(shell *io, f.worker_t *core, p.msghdr *message, f.datagram *to) noexcept nogil:
    cdef p.timespec came
    cdef uint64_t came_ns
    cdef p.in6_pktinfo info6
    cdef p.in_pktinfo info4
    cdef int size = 0
    memset(to.local_address, 0, 16)
    to.local_interface = 0
    to.arrived_ns = 0
    cdef p.cmsghdr *control = p.CMSG_FIRSTHDR(message)
    while control != NULL:
        if control.cmsg_level == p.IPPROTO_IPV6 and control.cmsg_type == p.IPV6_PKTINFO:
            memcpy(&info6, p.CMSG_DATA(control), sizeof(info6))
            memcpy(to.local_address, info6.ipi6_addr.s6_addr, 16)
            to.local_interface = info6.ipi6_ifindex
        elif control.cmsg_level == p.IPPROTO_IP and control.cmsg_type == p.IP_PKTINFO:
            memcpy(&info4, p.CMSG_DATA(control), sizeof(info4))
            map_ipv4(&info4.ipi_addr, to.local_address)
            to.local_interface = <uint32_t>info4.ipi_ifindex
        elif control.cmsg_level == p.SOL_SOCKET and control.cmsg_type == p.SO_TIMESTAMPNS:
            memcpy(&came, p.CMSG_DATA(control), sizeof(came))
            came_ns = <uint64_t>came.tv_sec * 1000000000 + <uint64_t>came.tv_nsec - core.realtime_offset_ns
            to.arrived_ns = came_ns
            if io.oldest_ns == 0 or came_ns < io.oldest_ns:
                io.oldest_ns = came_ns
        elif control.cmsg_level == p.IPPROTO_UDP and control.cmsg_type == p.UDP_GRO:
            memcpy(&size, p.CMSG_DATA(control), sizeof(size))
        control = p.CMSG_NXTHDR(message, control)
    return <size_t>size if size > 0 else 0


# Returns the time as `release` does.
cdef uint64_t take_message(
    shell *io, f.worker_t *core, uint32_t number, int which, uint64_t now_ns
) noexcept nogil:
    cdef p.mmsghdr *message = &io.in_messages[which]
    cdef f.datagram taken
    cdef size_t length = message.msg_len, at = 0, segment
    cdef uint8_t *bytes = io.in_buffers + <size_t>which * BUFFER_STRIDE
    if message.msg_hdr.msg_flags & p.MSG_TRUNC:
        f.worker_count(core, f.COUNTER_rx_truncated_dropped, 1)
        return now_ns
    fill_remote(&io.in_names[which], &taken.remote)
    segment = fill_local(io, core, &message.msg_hdr, &taken)
    if segment == 0 or segment > length:
        segment = length
    taken.socket = number
    while True:
        taken.bytes = bytes + at
        taken.length = segment if segment < length - at else length - at
        if not f.forward_has_room(core):
            now_ns = release(io, core, now_ns)
        f.forward_take(core, &taken, now_ns)
        if f.worker_must_flush(core):
            flush(io, core)
        at += segment
        if at >= length:
            return now_ns


# What was taken goes on its way: buffers may be used again after it. Returns the time, which a flush of thousands of packets takes:
# estimators and pacing of those after it would take the worker's own delay for the network's.
cdef uint64_t release(shell *io, f.worker_t *core, uint64_t now_ns) noexcept nogil:
    while not f.forward_release(core, now_ns):
        flush(io, core)
        now_ns = clock_ns(p.CLOCK_MONOTONIC)
    return now_ns


# Is what is read old already? Then more comes than is sent.
cdef void note_backlog(shell *io, f.worker_t *core, uint64_t read_ns) noexcept nogil:
    cdef uint64_t age_ns = read_ns - io.oldest_ns if 0 < io.oldest_ns < read_ns else 0
    cdef uint64_t ran_ns = 0
    if f.shedding_late(age_ns, io.hold_limit_ns):
        ran_ns = clock_ns(p.CLOCK_THREAD_CPUTIME_ID)
    f.shedding_note(
        &core.shedding, age_ns, io.hold_limit_ns, ran_ns, f.holding_percent(&io.holding), read_ns)


# One batch of a socket. False: it has no more for now.
cdef bint receive_batch(shell *io, f.worker_t *core, uint32_t number, uint64_t *now_ns) noexcept nogil:
    cdef int i, most = <int>f.holding_batch(&io.holding)
    cdef uint64_t read_ns = now_ns[0]
    cdef int count = p.recvmmsg(io.sockets[number].fd, io.in_messages, most, p.MSG_DONTWAIT, NULL)
    if count > 0:
        f.worker_count(core, f.COUNTER_rx_messages, <uint64_t>count)
        f.worker_count_size(core, f.COUNTER_batch_1, f.COUNTER_batch_more, <uint32_t>count)
    for i in range(count):
        now_ns[0] = take_message(io, core, number, i, now_ns[0])
        arm(&io.in_messages[i].msg_hdr)
        if i == 0:  # the oldest of them: what is given up is settled before the others are sent
            note_backlog(io, core, read_ns)
    if count <= 0:
        note_backlog(io, core, read_ns)
    now_ns[0] = release(io, core, now_ns[0])
    return count == most
