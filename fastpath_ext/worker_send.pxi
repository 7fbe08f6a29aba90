# From the egress slab to the kernel: each run one message, with its segment size and where it leaves from.

cdef void put_control(p.msghdr *message, int level, int kind, const void *data, size_t size) noexcept nogil:
    cdef p.cmsghdr *control = <p.cmsghdr *>(<uint8_t *>message.msg_control + message.msg_controllen)
    control.cmsg_level = level
    control.cmsg_type = kind
    control.cmsg_len = p.CMSG_LEN(size)
    memcpy(p.CMSG_DATA(control), data, size)
    message.msg_controllen += p.CMSG_SPACE(size)


cdef void address_message(
    const udp_socket *via, const f.egress_destination *to, p.sockaddr_in6 *name, p.msghdr *message
) noexcept nogil:
    cdef p.sockaddr_in *name4 = <p.sockaddr_in *>name
    cdef p.in6_pktinfo info6
    cdef p.in_pktinfo info4
    memset(name, 0, sizeof(p.sockaddr_in6))
    message.msg_name = name
    if via.ipv6:
        name.sin6_family = p.AF_INET6
        name.sin6_port = p.htons(to.remote.port)
        name.sin6_scope_id = to.remote.scope
        if to.remote.family == 4:
            map_ipv4(to.remote.address, name.sin6_addr.s6_addr)
        else:
            memcpy(name.sin6_addr.s6_addr, to.remote.address, 16)
        message.msg_namelen = sizeof(p.sockaddr_in6)
    else:
        name4.sin_family = p.AF_INET
        name4.sin_port = p.htons(to.remote.port)
        memcpy(&name4.sin_addr, to.remote.address, 4)
        message.msg_namelen = sizeof(p.sockaddr_in)
    if not via.any_address or all_zero(to.local_address, 16):
        return
    if via.ipv6:
        memset(&info6, 0, sizeof(info6))
        memcpy(info6.ipi6_addr.s6_addr, to.local_address, 16)
        # Routing chooses the interface, except where an address means nothing without one.
        if to.local_address[0] == 0xfe and to.local_address[1] & 0xc0 == 0x80:
            info6.ipi6_ifindex = to.local_interface
        put_control(message, p.IPPROTO_IPV6, p.IPV6_PKTINFO, &info6, sizeof(info6))
    else:
        memset(&info4, 0, sizeof(info4))
        memcpy(&info4.ipi_spec_dst, to.local_address + 12, 4)
        put_control(message, p.IPPROTO_IP, p.IP_PKTINFO, &info4, sizeof(info4))


cdef void count_sent(f.worker_t *core, const f.egress_run *run, size_t bytes) noexcept nogil:
    f.worker_count(core, f.COUNTER_tx_messages, 1)
    f.worker_count_size(core, f.COUNTER_run_1, f.COUNTER_run_more, run.count)
    f.worker_count(core, f.COUNTER_tx_datagrams, run.count)
    f.worker_count(core, f.COUNTER_tx_bytes, bytes)


# A run the kernel would not take as one: its packets singly, and no more runs to that destination.
cdef void send_singly(shell *io, f.worker_t *core, int fd, uint32_t index) noexcept nogil:
    cdef p.msghdr *message = &io.out_messages[index].msg_hdr
    cdef f.egress_run *run = &core.egress.runs[io.out_runs[index]]
    cdef f.egress_destination *to = &core.egress.destinations[run.destination]
    cdef f.egress_packet *packet
    cdef p.iovec one
    cdef uint32_t k
    cdef ssize_t sent
    core.transports[to.transport].refuses_segments = True
    message.msg_controllen -= p.CMSG_SPACE(sizeof(uint16_t))  # the segment size stands last
    if message.msg_controllen == 0:
        message.msg_control = NULL
    message.msg_iov = &one
    message.msg_iovlen = 1
    for k in range(run.count):
        packet = &core.egress.packets[core.egress.order[run.first + k]]
        one.iov_base = core.egress.slab + packet.offset
        one.iov_len = packet.length
        sent = p.sendmsg(fd, message, p.MSG_DONTWAIT | p.MSG_NOSIGNAL)
        if sent < 0:
            f.worker_count(core, f.COUNTER_tx_kernel_refused_dropped, 1)
        else:
            f.worker_count(core, f.COUNTER_tx_messages, 1)
            f.worker_count(core, f.COUNTER_run_1, 1)
            f.worker_count(core, f.COUNTER_tx_datagrams, 1)
            f.worker_count(core, f.COUNTER_tx_bytes, <uint64_t>sent)


cdef bint refuses_segments(int error) noexcept nogil:
    return error == EINVAL or error == EMSGSIZE or error == EIO or error == EOPNOTSUPP


cdef enum:
    # Runs of packets up to this size are audio, reports, ICE, DTLS: they go on being tried while the socket's
    # buffer is full. Pictures are dropped then, because they are most of what fills it.
    SMALL_PACKET = 400
    # So many flushes after the buffer was full it is looked at before each, and pictures leave a quarter of
    # it to the small ones: all receivers share it, and what one slow way fills nobody else has. More: system calls
    # for longer.
    FULL_FLUSHES = 200
    # So many messages from one such look to the next. More: pictures take of that quarter. Fewer: system calls.
    FULL_BATCH = 2

cdef uint32_t full_flushes = 0


cdef bint nearly_full(int fd) noexcept nogil:
    cdef int used = 0, room = 0
    cdef unsigned int size = sizeof(room)
    if p.ioctl(fd, p.SIOCOUTQ, &used) != 0:
        return False
    if p.getsockopt(fd, p.SOL_SOCKET, p.SO_SNDBUF, &room, &size) != 0:
        return False
    return used > room - room // 4


# A small packet may end a run of pictures (egress.h): it is not dropped with them.
cdef bint ends_small(const f.egress_t *egress, const f.egress_run *run) noexcept nogil:
    return (
        run.count > 1 and run.segment_size > SMALL_PACKET
        and egress.packets[egress.order[run.first + run.count - 1]].length <= SMALL_PACKET
    )


# There is no room for this run: dropped, but for the small packet at its end.
cdef void drop_run(shell *io, f.worker_t *core, int fd, uint32_t index) noexcept nogil:
    cdef p.msghdr *message = &io.out_messages[index].msg_hdr
    cdef f.egress_run *run = &core.egress.runs[io.out_runs[index]]
    cdef f.egress_packet *packet
    cdef p.iovec one
    cdef ssize_t sent = -1
    if ends_small(&core.egress, run):
        packet = &core.egress.packets[core.egress.order[run.first + run.count - 1]]
        one.iov_base = core.egress.slab + packet.offset
        one.iov_len = packet.length
        message.msg_controllen -= p.CMSG_SPACE(sizeof(uint16_t))
        if message.msg_controllen == 0:
            message.msg_control = NULL
        message.msg_iov = &one
        message.msg_iovlen = 1
        sent = p.sendmsg(fd, message, p.MSG_DONTWAIT | p.MSG_NOSIGNAL)
    if sent >= 0:
        f.worker_count(core, f.COUNTER_tx_messages, 1)
        f.worker_count(core, f.COUNTER_tx_datagrams, 1)
        f.worker_count(core, f.COUNTER_tx_bytes, <uint64_t>sent)
    f.worker_count(core, f.COUNTER_tx_full_dropped, run.count - (1 if sent >= 0 else 0))


# Sends the messages of one socket and goes on past those that fail.
cdef void send_messages(shell *io, f.worker_t *core, int fd, uint32_t count) noexcept nogil:
    global full_flushes
    cdef uint32_t at = 0, i, most = SEND_BATCH
    cdef bint full = False
    cdef int sent
    cdef f.egress_run *run
    while at < count:
        run = &core.egress.runs[io.out_runs[at]]
        if full_flushes > 0 and not full:
            full = nearly_full(fd)
            most = 1 if full else FULL_BATCH
            if full:
                full_flushes = FULL_FLUSHES
        if full and run.segment_size > SMALL_PACKET:
            drop_run(io, core, fd, at)
            at += 1
            continue
        sent = p.sendmmsg(
            fd, io.out_messages + at, min(count - at, most),
            p.MSG_DONTWAIT | p.MSG_NOSIGNAL)
        if sent > 0:
            for i in range(at, at + <uint32_t>sent):
                count_sent(core, &core.egress.runs[io.out_runs[i]], io.out_messages[i].msg_len)
            at += <uint32_t>sent
            continue
        if errno == EINTR:
            continue
        if run.count > 1 and refuses_segments(errno):
            send_singly(io, core, fd, at)
        elif errno == EAGAIN:
            full = True
            most = 1
            full_flushes = FULL_FLUSHES
            drop_run(io, core, fd, at)
        else:
            f.worker_count(core, f.COUNTER_tx_kernel_refused_dropped, run.count)
        at += 1


# As if all had come with the oldest: never less than what they waited. A step of the clock is no delay.
cdef void count_delay(f.worker_t *core, uint64_t oldest_ns, uint32_t packets) noexcept nogil:
    cdef uint64_t now_ns = clock_ns(p.CLOCK_MONOTONIC)
    cdef uint64_t us = (now_ns - oldest_ns) // 1000 if now_ns > oldest_ns else 0
    if us > 10000000:
        return
    f.worker_count(core, f.COUNTER_delay_sum_us, us * packets)
    if us <= 500:
        f.worker_count(core, f.COUNTER_delay_500us, packets)
    elif us <= 1000:
        f.worker_count(core, f.COUNTER_delay_1ms, packets)
    elif us <= 2000:
        f.worker_count(core, f.COUNTER_delay_2ms, packets)
    elif us <= 5000:
        f.worker_count(core, f.COUNTER_delay_5ms, packets)
    elif us <= 10000:
        f.worker_count(core, f.COUNTER_delay_10ms, packets)
    elif us <= 50000:
        f.worker_count(core, f.COUNTER_delay_50ms, packets)
    else:
        f.worker_count(core, f.COUNTER_delay_more, packets)


# The pieces of a run, as few as they can be. Returns how many.
cdef size_t gather_run(
    const f.egress_t *egress, const f.egress_run *run, p.iovec *vectors, size_t *length
) noexcept nogil:
    cdef const f.egress_packet *packet
    cdef uint8_t *end = NULL
    cdef size_t count = 0
    cdef uint32_t k
    length[0] = 0
    for k in range(run.count):
        packet = &egress.packets[egress.order[run.first + k]]
        length[0] += packet.length
        if egress.slab + packet.offset == end:
            vectors[count - 1].iov_len += packet.length
        else:
            vectors[count].iov_base = egress.slab + packet.offset
            vectors[count].iov_len = packet.length
            count += 1
        end = egress.slab + packet.offset + packet.length
    return count


# Everything in the slab, socket by socket.
cdef void flush(shell *io, f.worker_t *core) noexcept nogil:
    cdef f.egress_t *egress = &core.egress
    cdef f.egress_run *run
    cdef p.msghdr *message
    cdef uint32_t number, i, count
    cdef size_t length
    global full_flushes
    if egress.packet_count == 0:
        return
    if full_flushes > 0:
        full_flushes -= 1
    f.egress_plan(egress)
    if io.packet != NULL:
        packet_flush(io, core, clock_ns(p.CLOCK_MONOTONIC))
    for number in range(io.socket_count):
        count = 0
        for i in range(egress.run_count):
            run = &egress.runs[i]
            if egress.destinations[run.destination].socket != number or (io.packet != NULL and io.packet.left[i]):
                continue
            message = &io.out_messages[count].msg_hdr
            message.msg_iov = &io.out_vectors[run.first]
            message.msg_iovlen = gather_run(egress, run, message.msg_iov, &length)
            message.msg_control = &io.out_control[count]
            message.msg_controllen = 0
            message.msg_flags = 0
            address_message(
                &io.sockets[number], &egress.destinations[run.destination], &io.out_names[count], message)
            if run.count > 1:
                put_control(message, p.IPPROTO_UDP, p.UDP_SEGMENT, &run.segment_size, sizeof(uint16_t))
            if message.msg_controllen == 0:
                message.msg_control = NULL
            io.out_runs[count] = i
            count += 1
        send_messages(io, core, io.sockets[number].fd, count)
    if io.oldest_ns != 0:
        count_delay(core, io.oldest_ns, egress.packet_count)
    f.egress_clear(egress)
