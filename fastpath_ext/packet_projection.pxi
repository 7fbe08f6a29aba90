# Part of packet.pyx: one outgoing stream.


@cython.final
cdef class Projection:
    """One outgoing stream over the two copies of its row: own memory, or 128 bytes given, zero at first."""
    cdef projection *copies
    cdef projection *owned
    cdef uint8_t[::1] memory

    def __cinit__(self, memory=None):
        if memory is None:
            self.owned = <projection *> malloc(2 * sizeof(projection))
            if self.owned == NULL:
                raise MemoryError
            memset(self.owned, 0, 2 * sizeof(projection))
            self.copies = self.owned
        else:
            self.memory = memory
            if len(self.memory) < 2 * <int64_t> sizeof(projection):
                raise PacketError("no room")
            self.copies = <projection *> &self.memory[0]

    def __dealloc__(self):
        free(self.owned)

    @property
    def row(self):
        """The copy that counts, field by field."""
        return projection_current(self.copies)[0]

    @staticmethod
    cdef projection_input _input(
        uint64_t index, uint32_t timestamp, tuple origin, object picture_id,
        int picture_id_bits, object tl0,
    ) except *:
        cdef projection_input packet
        memset(&packet, 0, sizeof(packet))
        packet.index = index
        packet.timestamp = timestamp
        packet.source, packet.source_incarnation, packet.encoding, packet.ssrc = origin
        if picture_id is not None:
            packet.picture_id = picture_id
            packet.picture_id_bits = <uint8_t> picture_id_bits
        if tl0 is not None:
            packet.has_tl0 = 1
            packet.tl0 = tl0
        return packet

    cdef object _result(self, int result, projection_output *output):
        if result < 0:
            raise ProjectionRefused(
                "other" if result == -EXDEV else "late" if result == -ESTALE else "exhausted")
        return Projected(output.index, output.timestamp, output.picture_id, output.tl0)

    def begin(
        self, uint64_t index, uint32_t timestamp, *, uint64_t now_ns, bint audio=False,
        uint32_t clock_rate=90000, uint64_t random=0, tuple origin=(1, 1, 0, 1), picture_id=None,
        int picture_id_bits=15, tl0=None,
    ):
        """Cut over to this packet; `origin` is (source, incarnation, encoding, SSRC)."""
        cdef projection_output output
        cdef projection_input packet = Projection._input(
            index, timestamp, origin, picture_id, picture_id_bits, tl0)
        return self._result(projection_begin(
            self.copies, &packet, audio, clock_rate, random, now_ns, &output), &output)

    def map(
        self, uint64_t index, uint32_t timestamp, *, uint64_t now_ns, tuple origin=(1, 1, 0, 1),
        picture_id=None, int picture_id_bits=15, tl0=None,
    ):
        """The place of a packet of the current run."""
        cdef projection_output output
        cdef projection_input packet = Projection._input(
            index, timestamp, origin, picture_id, picture_id_bits, tl0)
        return self._result(projection_map(self.copies, &packet, now_ns, &output), &output)

    def skip(self, uint64_t index, *, tuple origin=(1, 1, 0, 1)):
        """Leave out a packet so that the ones after it close up."""
        cdef projection_output output
        cdef projection_input packet = Projection._input(index, 0, origin, None, 0, None)
        memset(&output, 0, sizeof(output))
        self._result(projection_skip(self.copies, &packet), &output)

    def end(self):
        """Carry nothing until the next begin."""
        projection_end(self.copies)

    def timestamp_at(self, uint64_t now_ns, uint32_t clock_rate=90000):
        """The output timestamp that stands for this moment."""
        return projection_timestamp_at(projection_current(self.copies), clock_rate, now_ns)

    def rehearse(self, uint8_t[::1] reported not None, uint64_t seed):
        """For the kill test: maps packets in a loop no interpreter slows, until killed.

        Each index is stored in `reported` (8 bytes) where a worker would encrypt. Fields of a row depend on
        each other, so that a torn one shows: source = incarnation = SSRC = first input, and time = index.
        """
        cdef uint64_t *about_to_encrypt = <uint64_t *> &reported[0]
        cdef projection_input packet
        cdef projection_output output
        cdef uint64_t n = projection_current(self.copies).highest_index + 1
        cdef int result
        if len(reported) < 8:
            raise PacketError("no room")
        memset(&packet, 0, sizeof(packet))
        with nogil:
            while True:
                # One packet in four begins a run. Input and output indices stay equal.
                seed = seed * 6364136223846793005u + 1442695040888963407u
                packet.index = n
                packet.timestamp = <uint32_t> n
                result = -1
                if seed >> 62:
                    result = projection_map(self.copies, &packet, n, &output)
                if result < 0:
                    packet.source = <uint32_t> n
                    packet.source_incarnation = <uint32_t> n
                    packet.ssrc = <uint32_t> n
                    result = projection_begin(self.copies, &packet, False, 90000, n, n, &output)
                (<volatile uint64_t *> about_to_encrypt)[0] = output.index
                n += 1
