# C declarations of packets and projection; sizes and layouts come from the headers.
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "bytes.h" nogil:
    bint c_sequence_newer "sequence_newer"(uint16_t a, uint16_t b)
    bint c_timestamp_newer "timestamp_newer"(uint32_t a, uint32_t b)

cdef extern from "demux.h" nogil:
    enum: DEMUX_STUN
    enum: DEMUX_DTLS
    enum: DEMUX_RTP
    enum: DEMUX_RTCP
    int demux_untrusted(const uint8_t *datagram, size_t length)

cdef extern from "table.h" nogil:
    enum: TABLE_NONE
    enum: LIMIT_MID
    enum codec:
        CODEC_OPUS
        CODEC_VP8
        CODEC_VP9
        CODEC_H264
        CODEC_AV1
    struct extension_ids:
        uint8_t mid, rid, repaired_rid, audio_level, abs_send_time, transport_cc, dependency_descriptor
    struct encoding_state:
        uint32_t ssrc, jitter, received
        uint64_t highest_index, bytes
    struct projection:
        uint32_t version, input_ssrc
        uint64_t highest_index, first_input, index_offset, last_sent_ns
        uint32_t source, source_incarnation, timestamp_offset, last_timestamp
        uint16_t picture_id_offset, last_picture_id
        uint8_t tl0_offset, last_tl0, encoding, started

cdef extern from "rtp.h" nogil:
    enum: C_RTP_HEADER_MAX "RTP_HEADER_MAX"
    struct c_rtp_header "rtp_header":
        uint32_t timestamp, ssrc
        uint16_t sequence, payload_offset, extension_profile, extension_offset, extension_length
        uint8_t payload_type, marker, csrc_count, padding
    struct rtp_field:
        uint16_t offset
        uint8_t length
    struct c_rtp_extensions "rtp_extensions":
        rtp_field mid, rid, repaired_rid, audio_level, abs_send_time, transport_cc, dependency_descriptor
    struct rtp_outgoing:
        uint32_t timestamp, ssrc, csrc
        uint16_t sequence
        uint8_t payload_type, marker, audio_level_id, audio_level, abs_send_time_id, transport_cc_id
        uint8_t mid_id, mid_length
        uint16_t transport_cc
        uint32_t abs_send_time
        const char *mid
    int rtp_parse_untrusted(const uint8_t *packet, size_t length, c_rtp_header *header)
    int rtp_padding_untrusted(const uint8_t *packet, size_t length, const c_rtp_header *header)
    int rtp_extension_find(const uint8_t *packet, const c_rtp_header *header, uint8_t id, rtp_field *found)
    int rtp_extensions_read_untrusted(
        const uint8_t *packet, const c_rtp_header *header, const extension_ids *ids, c_rtp_extensions *found)
    int rtp_text_untrusted(const uint8_t *packet, rtp_field field, char *text, size_t room)
    size_t rtp_header_write(uint8_t *to, const rtp_outgoing *outgoing)

cdef extern from "payload.h" nogil:
    struct vp8_descriptor:
        uint16_t picture_id
        uint8_t length, picture_id_bits, picture_id_offset, tl0_offset, tl0
        uint8_t temporal_id, layer_sync, has_temporal_id, non_reference, frame_start, key_frame
    int vp8_parse_untrusted(const uint8_t *payload, size_t length, vp8_descriptor *descriptor)
    void c_vp8_rewrite "vp8_rewrite"(
        uint8_t *payload, const vp8_descriptor *descriptor, uint16_t picture_id, uint8_t tl0)
    int payload_key_start_untrusted(codec codec, const uint8_t *payload, size_t length)

cdef extern from "rtcp.h" nogil:
    enum: RTCP_SR
    enum: RTCP_RR
    enum: RTCP_BYE
    enum: RTCP_RTPFB
    enum: RTCP_PSFB
    enum: RTCP_FMT_NACK
    enum: RTCP_FMT_TMMBR
    enum: RTCP_FMT_TMMBN
    enum: RTCP_FMT_TRANSPORT_CC
    enum: RTCP_FMT_FIR
    enum: RTCP_FMT_REMB
    struct rtcp_block:
        const uint8_t *body
        uint32_t length
        uint8_t type, count
    struct rtcp_sender_info:
        uint32_t ssrc
        uint64_t ntp
        uint32_t timestamp, packets, octets
    struct rtcp_report:
        uint32_t ssrc
        uint8_t fraction_lost
        int32_t lost
        uint32_t highest, jitter, last_sr, delay_since_last_sr
    struct rtcp_feedback:
        uint32_t sender, media
        const uint8_t *fci
        uint32_t fci_length
    struct rtcp_tmmb_entry:
        uint32_t ssrc
        uint64_t bits_per_second
        uint16_t overhead
    struct rtcp_transport_cc:
        uint16_t base_sequence, packet_count
        uint32_t reference_time
        uint8_t feedback_count
    int rtcp_next_untrusted(const uint8_t *compound, size_t length, size_t *offset, rtcp_block *block)
    int rtcp_sender_info_untrusted(const rtcp_block *block, rtcp_sender_info *info)
    int rtcp_reports_untrusted(const rtcp_block *block, uint32_t *ssrc)
    int rtcp_report_untrusted(const rtcp_block *block, unsigned which, rtcp_report *report)
    int rtcp_feedback_untrusted(const rtcp_block *block, rtcp_feedback *feedback)
    int rtcp_nack_untrusted(const rtcp_feedback *feedback)
    void rtcp_nack_entry(const rtcp_feedback *feedback, unsigned which, uint16_t *first, uint32_t *mask)
    int rtcp_fir_untrusted(const rtcp_feedback *feedback)
    void rtcp_fir_entry(const rtcp_feedback *feedback, unsigned which, uint32_t *ssrc, uint8_t *sequence)
    int rtcp_remb_untrusted(const rtcp_feedback *feedback, uint32_t *bits_per_second, uint8_t *ssrc_count)
    int rtcp_tmmbn_untrusted(const rtcp_feedback *feedback)
    void rtcp_tmmb_entry_read "rtcp_tmmb_entry"(
        const rtcp_feedback *feedback, unsigned which, rtcp_tmmb_entry *entry)
    int rtcp_transport_cc_untrusted(const rtcp_feedback *feedback, rtcp_transport_cc *head)
    int rtcp_bye_untrusted(const rtcp_block *block)
    uint32_t rtcp_bye_ssrc(const rtcp_block *block, unsigned which)
    int rtcp_write_rr(
        uint8_t *to, size_t room, uint32_t sender, const rtcp_report *reports, unsigned count)
    int rtcp_write_sr(uint8_t *to, size_t room, const rtcp_sender_info *info)
    int rtcp_write_sdes(uint8_t *to, size_t room, uint32_t ssrc, const char *cname, size_t cname_length)
    int rtcp_write_bye(uint8_t *to, size_t room, uint32_t ssrc)
    int rtcp_write_pli(uint8_t *to, size_t room, uint32_t sender, uint32_t media)
    int rtcp_write_fir(uint8_t *to, size_t room, uint32_t sender, uint32_t ssrc, uint8_t sequence)
    int rtcp_write_nack(
        uint8_t *to, size_t room, uint32_t sender, uint32_t media, const uint16_t *lost, unsigned count)
    int rtcp_write_remb(
        uint8_t *to, size_t room, uint32_t sender, uint64_t bits_per_second, const uint32_t *ssrcs,
        unsigned count)
    int rtcp_write_tmmbr(
        uint8_t *to, size_t room, int format, uint32_t sender, const rtcp_tmmb_entry *entries, unsigned count)
    void encoding_received(
        encoding_state *encoding, uint64_t index, uint32_t timestamp, uint32_t clock_rate, uint64_t now_ns,
        size_t bytes)
    void encoding_restart(encoding_state *encoding, uint32_t ssrc)
    void encoding_sender_report(encoding_state *encoding, const rtcp_sender_info *info, uint64_t now_ns)
    int encoding_report_block(encoding_state *encoding, uint64_t now_ns, rtcp_report *report)
    uint64_t c_rtcp_ntp "rtcp_ntp"(uint64_t ns)
    uint32_t c_rtcp_round_trip_us "rtcp_round_trip_us"(const rtcp_report *report, uint64_t now_ns)

cdef extern from "projection.h" nogil:
    enum: C_PROJECTION_MAX_GAP "PROJECTION_MAX_GAP"
    struct projection_input:
        uint32_t source, source_incarnation, ssrc, timestamp
        uint64_t index
        uint16_t picture_id
        uint8_t picture_id_bits, has_tl0, tl0, encoding
    struct projection_output:
        uint64_t index
        uint32_t timestamp
        uint16_t picture_id
        uint8_t tl0
    const projection *projection_current(const projection *copies)
    int projection_begin(
        projection *copies, const projection_input *input, bint audio, uint32_t clock_rate, uint64_t random,
        uint64_t now_ns, projection_output *output)
    int projection_map(
        projection *copies, const projection_input *input, uint64_t now_ns, projection_output *output)
    int projection_skip(projection *copies, const projection_input *input)
    void projection_end(projection *copies)
    uint32_t projection_timestamp_at(const projection *current, uint32_t clock_rate, uint64_t now_ns)
