# The C core as Cython sees it: only what is touched; the C compiler knows the rest from the headers.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "fastpath/limits.h" nogil:
    enum:
        LIMIT_TRANSPORTS
        LIMIT_SOURCES
        LIMIT_SINKS
        LIMIT_SOURCES_PER_TRANSPORT
        LIMIT_ENCODINGS
        LIMIT_LOCAL_UFRAG
        LIMIT_LOCAL_PWD
        LIMIT_REMOTE_UFRAG
        LIMIT_MID
        LIMIT_RID
        LIMIT_DATAGRAM
        LIMIT_RX_BATCH
        LIMIT_UPLINK_PAYLOAD

cdef extern from "fastpath/counters.h" nogil:
    enum:
        COUNTER_COUNT

    struct counter_description:
        const char *name
        const char *help

    const counter_description counter_descriptions[COUNTER_COUNT]

cdef extern from "fastpath/table.h" nogil:
    enum:
        TABLE_LAYOUT_VERSION
        SRTP_NONE
        SRTP_AES128_CM_SHA1_80
        SRTP_AEAD_AES_128_GCM
        SRTP_AEAD_AES_256_GCM
    uint32_t TABLE_NONE

    struct ice_credentials:
        uint8_t local_ufrag_length, local_pwd_length, remote_ufrag_length
        char local_ufrag[LIMIT_LOCAL_UFRAG]
        char local_pwd[LIMIT_LOCAL_PWD]
        char remote_ufrag[LIMIT_REMOTE_UFRAG]

    struct srtp_key:
        uint8_t key[32]
        uint8_t salt[14]

    struct extension_ids:
        uint8_t mid, rid, repaired_rid, audio_level, abs_send_time, transport_cc, dependency_descriptor

    struct transport_row:
        uint32_t check
        uint32_t incarnation
        uint32_t conference
        uint16_t srtp_profile
        uint8_t transport_cc_down
        uint8_t foreign
        ice_credentials ice[2]
        srtp_key rx_key, tx_key
        uint32_t rtcp_ssrc
        uint32_t remb_bps
        uint32_t sources[LIMIT_SOURCES_PER_TRANSPORT]
        extension_ids ext
        uint32_t downlink_max_bps
        uint32_t follows

    struct clamp_limits:
        uint32_t max_bps[LIMIT_ENCODINGS]
        uint32_t floor_bps[LIMIT_ENCODINGS]
        uint8_t encoding_count
        uint8_t kind
        uint8_t share_percent

    struct source_row:
        uint32_t check
        uint32_t incarnation
        uint32_t transport, transport_incarnation
        uint32_t member
        uint32_t clock_rate
        uint8_t kind, codec, payload_type, rtx_payload_type
        uint8_t muted
        uint8_t encoding_count
        uint8_t mid_length
        uint8_t rid_length[LIMIT_ENCODINGS]
        uint8_t tmmbr
        uint8_t resends
        uint32_t ssrc[LIMIT_ENCODINGS]
        uint32_t rtx_ssrc[LIMIT_ENCODINGS]
        char mid[LIMIT_MID]
        char rid[LIMIT_ENCODINGS][LIMIT_RID]
        clamp_limits limits
        uint32_t exports
        uint32_t home_source, home_incarnation
        uint8_t home

    struct sink_row:
        uint32_t check
        uint32_t incarnation
        uint32_t transport, transport_incarnation
        uint32_t source, source_incarnation
        uint32_t ssrc, rtx_ssrc
        uint32_t clock_rate
        uint8_t payload_type, rtx_payload_type, kind
        uint8_t max_encoding
        uint8_t priority
        uint8_t focus
        uint8_t hidden
        uint8_t loudest
        uint8_t sealed
        uint8_t resend

    struct config_generation:
        uint64_t number
        uint32_t transport_limit, source_limit, sink_limit

    struct config_header:
        uint64_t magic
        uint32_t layout_version, header_size
        uint32_t transport_row_size, source_row_size, sink_row_size
        uint32_t transport_capacity, source_capacity, sink_capacity, generation_size
        uint64_t current
        uint64_t adopted

    struct transport_state:
        uint32_t incarnation
        uint64_t consent_ns
        uint32_t connected
        uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes
        uint32_t reported_lost
        uint32_t round_trip_us

    struct bandwidth:
        uint32_t target
        uint32_t remb
        uint32_t has_feedback
        uint32_t wanted

    enum:
        ALLOCATION_NOTHING

    struct allocation_total:
        uint32_t bps, audio_bps, next_bps, wanted_bps, changed, paused

    struct allocation_state:
        uint32_t share_bps, bps
        uint8_t encoding, temporal

    struct downlink_state:
        uint32_t incarnation
        uint32_t waiting_bytes
        bandwidth bandwidth
        allocation_total total

    struct encoding_state:
        uint32_t ssrc, rtx_ssrc
        uint32_t received
        uint32_t jitter
        uint32_t live
        uint64_t last_packet_ns
        uint64_t bytes

    struct source_state:
        uint32_t incarnation
        encoding_state encodings[LIMIT_ENCODINGS]

    struct projection:
        uint32_t version
        uint32_t source, source_incarnation
        uint8_t encoding
        uint8_t started

    struct sink_state:
        uint32_t incarnation
        uint32_t packets
        uint32_t octets
        uint32_t fraction_lost
        projection copies[2]
        allocation_state allocation

    struct state_header:
        uint64_t magic
        uint32_t layout_version, header_size
        uint32_t transport_state_size, downlink_state_size, source_state_size, sink_state_size
        uint32_t transport_capacity, source_capacity, sink_capacity, counter_count
        uint64_t heartbeat_ns
        uint64_t worker_started
        uint64_t counters[COUNTER_COUNT]

    struct table_capacities:
        uint32_t transports, sources, sinks

    struct config_view:
        config_header *header
        size_t size

    struct generation_view:
        config_generation *head
        transport_row *transports
        source_row *sources
        sink_row *sinks

    struct state_view:
        state_header *header
        transport_state *transports
        downlink_state *downlinks
        source_state *sources
        sink_state *sinks
        size_t size

    size_t table_config_size(table_capacities capacities)
    size_t table_state_size(table_capacities capacities)
    void table_config_format(void *memory, table_capacities capacities)
    void table_state_format(void *memory, table_capacities capacities)
    int table_config_attach(void *memory, size_t size, config_view *view)
    int table_state_attach(void *memory, size_t size, state_view *view)
    generation_view table_generation(const config_view *config, uint64_t number)
    int table_next_generation(const config_view *config, generation_view *next)
    void table_publish(const config_view *config, const generation_view *next)
    int table_adopt(const config_view *config, uint64_t adopted_number, generation_view *view)
    bint table_head_valid(const config_view *config, uint64_t number)
    bint table_mend_header(const config_view *config, uint64_t number)
    void table_publish_again(const config_view *config, const generation_view *again, uint64_t number)
    uint32_t row_check(const void *row, size_t size)
    void state_row_reset(void *row, size_t size, uint32_t incarnation)

cdef extern from "fastpath/uplink.h" nogil:
    enum:
        UPLINK_DTLS
        UPLINK_CONNECTED
        UPLINK_PATH_CHANGED
        UPLINK_CONSENT_EXPIRED
        UPLINK_SOURCE_LIVE
        UPLINK_SINK_SWITCHED
        UPLINK_READY
        UPLINK_SEND_TARGET
        UPLINK_SPEAKING
        UPLINK_DOMINANT
        UPLINK_SINK_DEAL
        UPLINK_VIEWERS
        UPLINK_INNER_INDEX
        DOWNLINK_DTLS
        DOWNLINK_WAKE
        DOWNLINK_STOP

    struct uplink_head:
        uint32_t kind
        uint32_t transport
        uint32_t incarnation
        uint32_t length
        uint32_t a, b
        uint64_t time_ns
