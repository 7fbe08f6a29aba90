# The loop: sleep until a datagram, a message or a timer; take, forward, send.

cdef enum:
    LOOP_STOPPED = 0
    LOOP_GOES_ON = 1
    # Batches of one socket before the others, control and the timers have their turn.
    BATCHES_IN_A_ROW = 4
    MESSAGES_IN_A_ROW = 256
    CHECK_NS = 250000000  # how late a signal may reach Python, and a step of the clock the sender reports


cdef void tell_ready(f.worker_t *core) noexcept nogil:
    cdef c.uplink_head head
    memset(&head, 0, sizeof(head))
    head.kind = c.UPLINK_READY
    head.a = <uint32_t>getpid()
    head.time_ns = clock_ns(p.CLOCK_MONOTONIC)
    f.outbox_put(&core.outbox, &head, NULL)


# What waits goes up as far as the queue takes it.
cdef void send_uplink(shell *io, f.worker_t *core) noexcept nogil:
    cdef size_t length
    cdef const void *message
    while io.uplink >= 0:
        message = f.outbox_peek(&core.outbox, &length)
        if message == NULL:
            return
        if p.send(io.uplink, message, length, p.MSG_DONTWAIT | p.MSG_NOSIGNAL) < 0:
            if errno == EINTR:
                continue
            if errno == EAGAIN:
                return
        f.outbox_pop(&core.outbox)


# False when control wants the worker to stop.
cdef bint receive_downlink(shell *io, f.worker_t *core, uint64_t now_ns) noexcept nogil:
    cdef ssize_t length
    cdef int i
    for i in range(MESSAGES_IN_A_ROW):
        length = p.recv(io.uplink, io.message, c.LIMIT_UPLINK_PAYLOAD + 64, p.MSG_DONTWAIT)
        if length < 0:
            return True
        if length == 0:  # nobody holds the other end any more: media goes on
            io.uplink = -1
            return True
        if f.worker_downlink_untrusted(core, io.message, <size_t>length, now_ns) == f.DOWNLINK_MUST_STOP:
            return False
    return True


# Before the first sleep: what a predecessor served goes on, and control hears of it.
cdef void begin(shell *io, f.worker_t *core) noexcept nogil:
    cdef uint64_t now_ns = clock_ns(p.CLOCK_MONOTONIC)
    store_heartbeat(core.state.header, now_ns)
    f.worker_adopt(core, now_ns)
    f.worker_tick(core, now_ns)
    flush(io, core)
    send_uplink(io, core)


cdef enum:
    # A poll that took longer slept: what woke it came just now.
    SLEPT_NS = 20000


# Looks at everything until something is there or `for_ns` have passed; what ppoll() would return.
cdef int spin(shell *io, p.pollfd *fds, uint64_t began_ns, uint64_t for_ns) noexcept nogil:
    cdef p.timespec none
    cdef uint32_t i
    cdef int ready
    none.tv_sec = none.tv_nsec = 0
    while True:
        for i in range(io.socket_count):  # lets the kernel look at the network card
            p.recv(io.sockets[i].fd, NULL, 0, p.MSG_DONTWAIT | p.MSG_PEEK)
        ready = p.ppoll(fds, io.socket_count + 2, &none, NULL)
        if ready != 0 or clock_ns(p.CLOCK_MONOTONIC) - began_ns >= for_ns:
            return ready


cdef int wait(shell *io, f.worker_t *core, p.pollfd *fds) noexcept nogil:
    cdef uint32_t i
    cdef int ready = 0
    cdef uint64_t began_ns = clock_ns(p.CLOCK_MONOTONIC)
    cdef uint64_t sleep = f.worker_sleep_ns(core, began_ns)
    cdef uint64_t gather = f.holding_gather_ns(&io.holding, io.hold_limit_ns), woken
    cdef p.timespec limit
    for i in range(io.socket_count):
        fds[i].fd = io.sockets[i].fd
        fds[i].events = p.POLLIN
        fds[i].revents = 0
    fds[io.socket_count].fd = io.uplink
    fds[io.socket_count].events = p.POLLIN
    fds[io.socket_count].revents = 0
    fds[io.socket_count + 1].fd = io.own_wake_fd
    fds[io.socket_count + 1].events = p.POLLIN
    fds[io.socket_count + 1].revents = 0
    if not f.handover_may_sleep(core):
        sleep = 0
    if io.spin_ns > 0 and sleep > 0:
        ready = spin(io, fds, began_ns, min(io.spin_ns, sleep))
        sleep -= min(io.spin_ns, sleep)
    if ready == 0:
        limit.tv_sec = <long>(sleep // 1000000000)
        limit.tv_nsec = <long>(sleep % 1000000000)
        ready = p.ppoll(fds, io.socket_count + 2, &limit, NULL)
    f.handover_awake(core)
    if ready > 0 and fds[io.socket_count + 1].revents != 0:
        read(io.own_wake_fd, &woken, sizeof(woken))
    if ready > 0 and gather > 0 and clock_ns(p.CLOCK_MONOTONIC) - began_ns > SLEPT_NS:
        limit.tv_sec = 0
        limit.tv_nsec = <long>gather
        p.nanosleep(&limit, NULL)
    return ready


# Those who sleep and have something to take by now.
cdef void wake_others(shell *io, f.worker_t *core) noexcept nogil:
    cdef uint32_t asleep = f.handover_wakes(core), number
    cdef uint64_t one = 1
    for number in range(<uint32_t>f.LIMIT_WORKERS):
        if asleep >> number == 0:
            return
        if asleep >> number & 1 and io.wake_fds[number] >= 0:
            write(io.wake_fds[number], &one, sizeof(one))


# What other workers hand over: in turns with our own sockets. Returns the time as `release` does: what was kept and noted at a later
# one would be of the future to the tick, and count as gone.
cdef uint64_t take_over(shell *io, f.worker_t *core, uint64_t now_ns) noexcept nogil:
    cdef uint64_t oldest_ns
    cdef int i
    for i in range(f.HANDOVER_AT_ONCE):
        if not f.forward_has_room(core):
            now_ns = release(io, core, now_ns)
        if not f.handover_take(core, now_ns):
            break
        if f.worker_must_flush(core):
            flush(io, core)
    now_ns = release(io, core, now_ns)
    oldest_ns = f.handover_oldest_ns(core)
    if oldest_ns != 0 and (io.oldest_ns == 0 or oldest_ns < io.oldest_ns):
        io.oldest_ns = oldest_ns
    return now_ns


cdef void count_turn(shell *io, f.worker_t *core, uint64_t began_ns) noexcept nogil:
    cdef uint64_t done_ns = clock_ns(p.CLOCK_MONOTONIC)
    if io.done_ns != 0:
        f.holding_note(&io.holding, done_ns - began_ns, began_ns - io.done_ns)
    io.done_ns = done_ns
    io.busy_ns += done_ns - began_ns
    f.worker_count(core, f.COUNTER_loop_turns, 1)
    f.worker_count(core, f.COUNTER_loop_busy_us, io.busy_ns // 1000)
    io.busy_ns %= 1000


# Under load the next turn begins no sooner than holding says, so that more comes, and leaves, together.
cdef void hold(shell *io, uint64_t began_ns) noexcept nogil:
    cdef uint64_t least_ns = f.holding_ns(&io.holding, io.hold_limit_ns)
    cdef p.timespec left
    if io.done_ns >= began_ns + least_ns:
        return
    left.tv_sec = 0
    left.tv_nsec = <long>(began_ns + least_ns - io.done_ns)
    p.nanosleep(&left, NULL)


# Returns LOOP_STOPPED, LOOP_GOES_ON when Python should look for its signals, or a negative errno.
cdef int turn(shell *io, f.worker_t *core) noexcept nogil:
    cdef p.pollfd fds[MAX_SOCKETS + 2]
    cdef uint64_t now_ns, began_ns
    cdef uint32_t number
    cdef int batch, ready
    cdef bint stop = False
    while not stop:
        ready = wait(io, core, fds)
        if ready < 0 and errno != EINTR:
            return -errno
        now_ns = began_ns = clock_ns(p.CLOCK_MONOTONIC)
        store_heartbeat(core.state.header, now_ns)
        # What control said before it published comes first: a farewell to members whose rows it then removed.
        if f.worker_has_news(core) or (ready > 0 and fds[io.socket_count].revents != 0):
            stop = not receive_downlink(io, core, now_ns)
            f.worker_adopt(core, now_ns)
        if ready > 0:
            for number in range(io.socket_count):
                if fds[number].revents == 0:
                    continue
                for batch in range(BATCHES_IN_A_ROW):
                    if not receive_batch(io, core, number, &now_ns):
                        break
                    wake_others(io, core)
                    flush(io, core)
                    io.oldest_ns = 0
        else:
            note_backlog(io, core, now_ns)
        if io.own_wake_fd >= 0:
            wake_others(io, core)  # they need not wait until all of ours is sent
            now_ns = take_over(io, core, now_ns)
        f.worker_tick(core, now_ns)
        wake_others(io, core)
        flush(io, core)
        io.oldest_ns = 0  # what is sent later waited for its receiver's link and not for us
        send_uplink(io, core)
        count_turn(io, core, began_ns)
        if stop_asked:
            stop = True
        else:
            hold(io, began_ns)
        if now_ns - io.checked_ns > CHECK_NS or ready < 0:
            io.checked_ns = now_ns
            packet_look(io.packet)
            core.realtime_offset_ns = clock_ns(p.CLOCK_REALTIME) - clock_ns(p.CLOCK_MONOTONIC)
            if not stop:
                return LOOP_GOES_ON
    return LOOP_STOPPED
