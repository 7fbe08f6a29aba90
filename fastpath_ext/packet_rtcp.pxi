# Part of packet.pyx: RTCP and the arithmetic of its reports.


cdef object _report(const rtcp_report *report):
    return Report(
        report.ssrc, report.fraction_lost, report.lost, report.highest, report.jitter, report.last_sr,
        report.delay_since_last_sr)


cdef void _report_from(object values, rtcp_report *report) except *:
    report.ssrc = values.ssrc
    report.fraction_lost = values.fraction_lost
    report.lost = values.lost
    report.highest = values.highest
    report.jitter = values.jitter
    report.last_sr = values.last_sr
    report.delay_since_last_sr = values.delay_since_last_sr


cdef void _read_reports(const rtcp_block *block, dict into) except *:
    cdef uint32_t ssrc
    cdef rtcp_report report
    cdef int count = _check(rtcp_reports_untrusted(block, &ssrc))
    into["ssrc"] = ssrc
    into["reports"] = []
    for i in range(count):
        _check(rtcp_report_untrusted(block, i, &report))
        into["reports"].append(_report(&report))


cdef void _read_feedback(const rtcp_block *block, dict into) except *:
    cdef rtcp_feedback feedback
    cdef rtcp_transport_cc head
    cdef rtcp_tmmb_entry limit
    cdef uint16_t first
    cdef uint32_t mask, ssrc, rate
    cdef uint8_t sequence, count
    _check(rtcp_feedback_untrusted(block, &feedback))
    into["sender"] = feedback.sender
    into["media"] = feedback.media
    if block.type == RTCP_RTPFB and block.count == RTCP_FMT_NACK:
        into["lost"] = []
        for i in range(_check(rtcp_nack_untrusted(&feedback))):
            rtcp_nack_entry(&feedback, i, &first, &mask)
            into["lost"] += [(first + bit) & 0xffff for bit in range(17) if mask >> bit & 1]
    elif block.type == RTCP_RTPFB and (block.count == RTCP_FMT_TMMBR or block.count == RTCP_FMT_TMMBN):
        into["tmmb"] = []
        for i in range(_check(rtcp_tmmbn_untrusted(&feedback))):
            rtcp_tmmb_entry_read(&feedback, i, &limit)
            into["tmmb"].append((limit.ssrc, limit.bits_per_second, limit.overhead))
    elif block.type == RTCP_RTPFB and block.count == RTCP_FMT_TRANSPORT_CC:
        _check(rtcp_transport_cc_untrusted(&feedback, &head))
        into["transport_cc"] = (
            head.base_sequence, head.packet_count, head.reference_time, head.feedback_count)
    elif block.type == RTCP_PSFB and block.count == RTCP_FMT_FIR:
        into["fir"] = []
        for i in range(_check(rtcp_fir_untrusted(&feedback))):
            rtcp_fir_entry(&feedback, i, &ssrc, &sequence)
            into["fir"].append((ssrc, sequence))
    elif block.type == RTCP_PSFB and block.count == RTCP_FMT_REMB and into["body"][8:12] == b"REMB":
        _check(rtcp_remb_untrusted(&feedback, &rate, &count))
        into["remb"] = rate
        into["ssrcs"] = [
            int.from_bytes(into["body"][16 + 4 * i:20 + 4 * i], "big") for i in range(count)]


def rtcp_parse(const uint8_t[::1] compound not None):
    """Every block of a compound as a dict: type, count, body, and what it says. All must be well-formed."""
    cdef rtcp_block block
    cdef rtcp_sender_info info
    cdef size_t offset = 0
    cdef const uint8_t *start = &compound[0] if len(compound) else NULL
    blocks = []
    while _check(rtcp_next_untrusted(start, len(compound), &offset, &block)):
        entry = {"type": block.type, "count": block.count, "body": block.body[:block.length]}
        if block.type == RTCP_SR or block.type == RTCP_RR:
            _read_reports(&block, entry)
        if block.type == RTCP_SR:
            _check(rtcp_sender_info_untrusted(&block, &info))
            entry.update(
                ntp=info.ntp, timestamp=info.timestamp, packets=info.packets, octets=info.octets)
        if block.type == RTCP_BYE:
            entry["ssrcs"] = [rtcp_bye_ssrc(&block, i) for i in range(_check(rtcp_bye_untrusted(&block)))]
        if block.type == RTCP_RTPFB or block.type == RTCP_PSFB:
            _read_feedback(&block, entry)
        blocks.append(entry)
    return blocks


def rtcp_rr(uint32_t sender, reports, size_t room=1500):
    """A receiver report with up to 31 report blocks."""
    cdef uint8_t to[1500]
    cdef rtcp_report blocks[32]
    if len(reports) > 31:
        raise PacketError("no room")
    for i, report in enumerate(reports):
        _report_from(report, &blocks[<int> i])
    return to[:_check(rtcp_write_rr(to, min(room, sizeof(to)), sender, blocks, len(reports)))]


def rtcp_sr(
    uint32_t ssrc, *, uint64_t ntp, uint32_t timestamp, uint32_t packets, uint32_t octets, size_t room=1500,
):
    """A sender report without report blocks."""
    cdef uint8_t to[1500]
    cdef rtcp_sender_info info
    info.ssrc = ssrc
    info.ntp = ntp
    info.timestamp = timestamp
    info.packets = packets
    info.octets = octets
    return to[:_check(rtcp_write_sr(to, min(room, sizeof(to)), &info))]


def rtcp_sdes(uint32_t ssrc, bytes cname not None, size_t room=1500):
    """A source description with a CNAME."""
    cdef uint8_t to[1500]
    return to[:_check(rtcp_write_sdes(to, min(room, sizeof(to)), ssrc, cname, len(cname)))]


def rtcp_bye(uint32_t ssrc, size_t room=1500):
    """A goodbye of one stream."""
    cdef uint8_t to[1500]
    return to[:_check(rtcp_write_bye(to, min(room, sizeof(to)), ssrc))]


def rtcp_pli(uint32_t sender, uint32_t media, size_t room=1500):
    """A picture loss indication."""
    cdef uint8_t to[1500]
    return to[:_check(rtcp_write_pli(to, min(room, sizeof(to)), sender, media))]


def rtcp_fir(uint32_t sender, uint32_t ssrc, uint8_t sequence, size_t room=1500):
    """A full intra request."""
    cdef uint8_t to[1500]
    return to[:_check(rtcp_write_fir(to, min(room, sizeof(to)), sender, ssrc, sequence))]


def rtcp_nack(uint32_t sender, uint32_t media, lost, size_t room=1500):
    """A request for sequence numbers, given in ascending order."""
    cdef uint8_t to[1500]
    cdef uint16_t numbers[4096]
    if len(lost) > 4096:
        raise PacketError("no room")
    for i, number in enumerate(lost):
        numbers[<int> i] = number
    return to[:_check(rtcp_write_nack(to, min(room, sizeof(to)), sender, media, numbers, len(lost)))]


def rtcp_remb(uint32_t sender, uint64_t bits_per_second, ssrcs, size_t room=1500):
    """A receiver-estimated maximum bitrate."""
    cdef uint8_t to[1500]
    cdef uint32_t numbers[255]
    if len(ssrcs) > 255:
        raise PacketError("no room")
    for i, number in enumerate(ssrcs):
        numbers[<int> i] = number
    return to[:_check(rtcp_write_remb(
        to, min(room, sizeof(to)), sender, bits_per_second, numbers, len(ssrcs)))]


def rtcp_tmmbr(uint32_t sender, limits, *, bint notification=False, size_t room=1500):
    """A temporary maximum media stream bitrate request, or the notification that answers one."""
    cdef uint8_t to[1500]
    cdef rtcp_tmmb_entry entries[16]
    if len(limits) > 16:
        raise PacketError("no room")
    for i, (ssrc, bits_per_second, overhead) in enumerate(limits):
        entries[<int> i] = rtcp_tmmb_entry(ssrc, bits_per_second, overhead)
    return to[:_check(rtcp_write_tmmbr(
        to, min(room, sizeof(to)), RTCP_FMT_TMMBN if notification else RTCP_FMT_TMMBR, sender, entries,
        len(limits)))]


def rtcp_ntp(uint64_t ns):
    """Nanoseconds as an NTP timestamp of 32.32 bits."""
    return c_rtcp_ntp(ns)


def rtcp_round_trip_us(report, uint64_t now_ns):
    """Round trip told by a report block about a stream of ours; 0 = it cannot be told."""
    cdef rtcp_report values
    _report_from(report, &values)
    return c_rtcp_round_trip_us(&values, now_ns)


@cython.final
cdef class Encoding:
    """What arrives of one encoding, and the reports about it."""
    cdef encoding_state state

    def __cinit__(self, uint32_t ssrc):
        memset(&self.state, 0, sizeof(self.state))
        encoding_restart(&self.state, ssrc)

    def received(
        self, uint64_t index, uint32_t timestamp, uint32_t clock_rate, uint64_t now_ns, size_t length=0,
    ):
        """A new packet of this SRTP index arrived."""
        encoding_received(&self.state, index, timestamp, clock_rate, now_ns, length)

    def sender_report(self, uint64_t ntp, uint32_t timestamp, uint64_t now_ns):
        """A sender report arrived."""
        cdef rtcp_sender_info info
        memset(&info, 0, sizeof(info))
        info.ntp = ntp
        info.timestamp = timestamp
        encoding_sender_report(&self.state, &info, now_ns)

    def restart(self, uint32_t ssrc):
        """Another SSRC sends it from now on."""
        encoding_restart(&self.state, ssrc)

    def report(self, uint64_t now_ns):
        """The report block of the interval that ends now, or None."""
        cdef rtcp_report report
        return _report(&report) if encoding_report_block(&self.state, now_ns, &report) else None
