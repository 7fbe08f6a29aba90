# Past the kernel's UDP and IP: what may leaves by a packet socket, which costs a third less for each message (benchmarks/README.md). Only where
# the operator allows it. Whatever has no known next hop, is no IPv4, or is refused, takes the UDP socket as if there was no other.

cdef extern from "fastpath_ext/next_hop.h" nogil:
    struct next_hops:
        int asking, changes
        uint8_t link[6]
        unsigned int mtu

    int next_hops_open(next_hops *hops, int packet_fd)
    void next_hops_close(next_hops *hops)
    bint next_hops_changed(next_hops *hops)
    int next_hop_find(next_hops *hops, const uint8_t *to, uint8_t *link, uint8_t *source)

cdef extern from "fastpath/link_header.h" nogil:
    enum:
        LINK_HEADER_SIZE

    struct link_way:
        uint8_t link_from[6]
        uint8_t link_to[6]
        uint8_t source "from"[4]
        uint8_t to[4]
        uint16_t port_from
        uint16_t port_to

    void link_header_write(uint8_t *out, const link_way *way, size_t length, size_t segment, uint16_t identification)

cdef enum:
    # Room for the headers of one message.
    HEAD_ROOM = 64
    # Next hops asked for in one flush. More: the flush after a change of routes takes longer, 10 us each.
    ASKED_AT_ONCE = 32
    IP_AND_UDP = 28
    # So long a destination without one is not asked for again. Longer: UDP for longer after an address was learned.
    ASK_AGAIN_NS = 1000000000

cdef struct known_way:  # of one transport
    link_way way
    uint32_t epoch  # of packet_out it was asked in, 0 = never
    bint known
    uint64_t asked_ns

cdef struct packet_out:
    int fd
    next_hops hops
    uint32_t epoch  # of the answers: another one after any change in the kernel
    uint16_t identification
    known_way *ways  # by transport
    # LIMIT_EGRESS of each, twice as many vectors
    p.mmsghdr *messages
    p.iovec *vectors
    uint8_t *heads
    uint32_t *runs
    uint8_t *left  # by run: it left


# NULL when there is none, or it is of no use.
cdef packet_out *packet_open(int fd, uint32_t transports) noexcept nogil:
    cdef packet_out *out
    if fd < 0:
        return NULL
    out = <packet_out *>calloc(1, sizeof(packet_out))
    if out == NULL:
        return NULL
    out.ways = <known_way *>calloc(transports, sizeof(known_way))
    out.messages = <p.mmsghdr *>calloc(f.LIMIT_EGRESS, sizeof(p.mmsghdr))
    out.vectors = <p.iovec *>calloc(2 * f.LIMIT_EGRESS, sizeof(p.iovec))
    out.heads = <uint8_t *>calloc(f.LIMIT_EGRESS, HEAD_ROOM)
    out.runs = <uint32_t *>calloc(f.LIMIT_EGRESS, sizeof(uint32_t))
    out.left = <uint8_t *>calloc(f.LIMIT_EGRESS, 1)
    out.epoch = 1
    out.fd = fd
    out.hops.asking = out.hops.changes = -1
    if (
        out.ways == NULL or out.messages == NULL or out.vectors == NULL or out.heads == NULL
        or out.runs == NULL or out.left == NULL or next_hops_open(&out.hops, fd) != 0
    ):
        packet_close(out)
        return NULL
    return out


cdef void packet_close(packet_out *out) noexcept nogil:
    if out == NULL:
        return
    next_hops_close(&out.hops)
    free(out.ways)
    free(out.messages)
    free(out.vectors)
    free(out.heads)
    free(out.runs)
    free(out.left)
    free(out)


# From time to time: does the kernel know other routes or neighbours now?
cdef void packet_look(packet_out *out) noexcept nogil:
    if out != NULL and next_hops_changed(&out.hops):
        out.epoch += 1
        if out.epoch == 0:
            out.epoch = 1


# The way to a destination, NULL = by UDP.
cdef const link_way *packet_way(
    packet_out *out, const f.egress_destination *to, const udp_socket *via, uint64_t now_ns, int *asked
) noexcept nogil:
    cdef known_way *found
    if to.transport == c.TABLE_NONE or to.remote.family != 4:
        return NULL  # ICE's answers too: they keep the kernel's neighbours fresh
    found = &out.ways[to.transport]
    if (
        found.epoch == out.epoch and found.way.port_to == to.remote.port
        and memcmp(found.way.to, to.remote.address, 4) == 0
        and (found.known or now_ns - found.asked_ns < ASK_AGAIN_NS)
    ):
        return &found.way if found.known else NULL
    if asked[0] >= ASKED_AT_ONCE:
        return NULL
    asked[0] += 1
    memset(found, 0, sizeof(known_way))
    found.epoch = out.epoch
    found.asked_ns = now_ns
    found.way.port_to = to.remote.port
    found.way.port_from = via.port
    memcpy(found.way.to, to.remote.address, 4)
    memcpy(found.way.link_from, out.hops.link, 6)
    found.known = next_hop_find(&out.hops, found.way.to, found.way.link_to, found.way.source) == 0
    if not via.any_address:
        found.known = found.known and via.has_ipv4
        memcpy(found.way.source, via.ipv4, 4)
    elif not all_zero(to.local_address, 16):
        found.known = found.known and all_zero(to.local_address, 10) and to.local_address[10] == 0xff
        memcpy(found.way.source, to.local_address + 12, 4)
    return &found.way if found.known else NULL


# Sends what it can of the runs and marks it in left[].
cdef void packet_flush(shell *io, f.worker_t *core, uint64_t now_ns) noexcept nogil:
    cdef packet_out *out = io.packet
    cdef f.egress_t *egress = &core.egress
    cdef f.egress_run *run
    cdef f.egress_destination *to
    cdef const link_way *way
    cdef p.iovec *vector = out.vectors
    cdef p.msghdr *message
    cdef uint32_t i, count = 0, at = 0
    cdef size_t length
    cdef int asked = 0, sent
    cdef uint32_t last = c.TABLE_NONE
    way = NULL
    for i in range(egress.run_count):
        out.left[i] = False
        run = &egress.runs[i]
        to = &egress.destinations[run.destination]
        if run.destination != last:
            last = run.destination
            way = packet_way(out, to, &io.sockets[to.socket], now_ns, &asked)
        if way == NULL or run.segment_size + IP_AND_UDP > out.hops.mtu:
            continue  # no device says so of a run
        message = &out.messages[count].msg_hdr
        message.msg_iov = vector
        message.msg_iovlen = 1 + gather_run(egress, run, vector + 1, &length)
        vector.iov_base = out.heads + <size_t>count * HEAD_ROOM
        vector.iov_len = LINK_HEADER_SIZE
        link_header_write(<uint8_t *>vector.iov_base, way, length, run.segment_size, out.identification)
        out.identification += run.count
        vector += message.msg_iovlen
        out.runs[count] = i
        count += 1
    while at < count:
        sent = p.sendmmsg(out.fd, out.messages + at, min(count - at, <uint32_t>SEND_BATCH), p.MSG_DONTWAIT | p.MSG_NOSIGNAL)
        if sent > 0:
            for i in range(at, at + <uint32_t>sent):
                out.left[out.runs[i]] = True
                count_sent(core, &egress.runs[out.runs[i]], out.messages[i].msg_len - LINK_HEADER_SIZE)
            at += <uint32_t>sent
            continue
        if errno == EINTR:
            continue
        run = &egress.runs[out.runs[at]]
        if errno == EAGAIN or errno == ENOBUFS:
            # As send_messages does it: pictures go, what is small still finds room in the other socket's buffer.
            if run.segment_size > SMALL_PACKET and not ends_small(egress, run):
                f.worker_count(core, f.COUNTER_tx_full_dropped, run.count)
                out.left[out.runs[at]] = True
        else:
            # Larger than the device takes, or the device is gone: by UDP, and for a second without asking again.
            out.ways[egress.destinations[run.destination].transport].known = False
            out.ways[egress.destinations[run.destination].transport].asked_ns = now_ns
        at += 1
