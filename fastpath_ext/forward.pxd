# The forwarding core as the shell sees it; see fastpath/worker.h.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath_ext.c cimport config_view, state_view, table_capacities


cdef extern from "fastpath/crypto.h" nogil:
    enum:
        CRYPTO_AUTO
        CRYPTO_OPENSSL
        CRYPTO_IPSEC_MB
    int crypto_init(int choice)
    const char *crypto_backend_name()

cdef extern from "fastpath/counters.h" nogil:
    enum:
        COUNTER_rx_truncated_dropped
        COUNTER_tx_datagrams
        COUNTER_tx_bytes
        COUNTER_tx_messages
        COUNTER_tx_kernel_refused_dropped
        COUNTER_tx_full_dropped
        COUNTER_loop_turns
        COUNTER_loop_busy_us
        COUNTER_delay_500us
        COUNTER_delay_1ms
        COUNTER_delay_2ms
        COUNTER_delay_5ms
        COUNTER_delay_10ms
        COUNTER_delay_50ms
        COUNTER_delay_more
        COUNTER_delay_sum_us
        COUNTER_rx_messages
        COUNTER_batch_1
        COUNTER_batch_more
        COUNTER_run_1
        COUNTER_run_more

cdef extern from "fastpath/holding.h" nogil:
    enum:
        HOLDING_LIMIT_NS
    struct holding_t "holding":
        pass
    void holding_note(holding_t *holding, uint64_t worked_ns, uint64_t slept_ns)
    uint64_t holding_gather_ns(const holding_t *holding, uint64_t limit_ns)
    uint64_t holding_ns(const holding_t *holding, uint64_t limit_ns)
    uint32_t holding_percent(const holding_t *holding)
    uint32_t holding_batch(const holding_t *holding)

cdef extern from "fastpath/shedding.h" nogil:
    struct shedding_t "shedding":
        pass
    bint shedding_late(uint64_t age_ns, uint64_t held_ns)
    void shedding_note(
        shedding_t *shedding, uint64_t age_ns, uint64_t held_ns, uint64_t ran_ns, uint32_t percent,
        uint64_t now_ns)

cdef extern from "fastpath/addresses.h" nogil:
    struct endpoint:
        uint8_t family
        uint16_t port
        uint32_t scope
        uint8_t address[16]

cdef extern from "fastpath/egress.h" nogil:
    enum:
        LIMIT_EGRESS

    struct egress_destination:
        endpoint remote
        uint8_t local_address[16]
        uint32_t local_interface
        uint32_t socket
        uint32_t transport
        uint32_t count
        bint single

    struct egress_packet:
        uint32_t offset
        uint16_t length

    struct egress_run:
        uint32_t destination
        uint32_t first
        uint16_t count
        uint16_t segment_size

    struct egress_t "egress":
        uint8_t *slab
        egress_packet *packets
        egress_destination *destinations
        uint32_t *order
        egress_run *runs
        uint32_t packet_count, destination_count, run_count

    void egress_plan(egress_t *egress)
    void egress_clear(egress_t *egress)

cdef extern from "fastpath/outbox.h" nogil:
    struct outbox_t "outbox":
        uint32_t count

    const void *outbox_peek(const outbox_t *outbox, size_t *length)
    void outbox_pop(outbox_t *outbox)
    bint outbox_put(outbox_t *outbox, const void *head, const void *payload)

cdef extern from "fastpath/transports.h" nogil:
    struct transport_cache:
        bint refuses_segments

cdef extern from "fastpath/worker.h" nogil:
    enum:
        LIMIT_SLEEP_NS
        DOWNLINK_MUST_STOP
        DOWNLINK_MUST_ADOPT

    struct datagram:
        uint8_t *bytes
        size_t length
        endpoint remote
        uint8_t local_address[16]
        uint32_t local_interface
        uint32_t socket
        uint64_t arrived_ns

    struct worker_t "worker":
        config_view config
        state_view state
        table_capacities capacities
        uint64_t generation_number
        transport_cache *transports
        egress_t egress
        shedding_t shedding
        outbox_t outbox
        uint64_t realtime_offset_ns

    int worker_open(
        worker_t *worker, void *config, size_t config_size, void *state, size_t state_size, uint64_t seed)
    void worker_close(worker_t *worker)
    bint worker_has_news(const worker_t *worker)
    int worker_adopt(worker_t *worker, uint64_t now_ns)
    void worker_tick(worker_t *worker, uint64_t now_ns)
    uint64_t worker_sleep_ns(const worker_t *worker, uint64_t now_ns)
    bint worker_must_flush(const worker_t *worker)
    int worker_downlink_untrusted(worker_t *worker, const void *message, size_t length, uint64_t now_ns)
    void worker_count(worker_t *worker, int which, uint64_t amount)
    void worker_count_size(worker_t *worker, int first, int more, uint32_t size)

cdef extern from "fastpath/handover.h" nogil:
    enum:
        HANDOVER_AT_ONCE
        LIMIT_WORKERS

    int handover_join(worker_t *worker, void *memory, size_t size, uint32_t self)
    bint handover_take(worker_t *worker, uint64_t now_ns)
    bint handover_may_sleep(worker_t *worker)
    void handover_awake(worker_t *worker)
    uint64_t handover_oldest_ns(worker_t *worker)
    uint32_t handover_wakes(worker_t *worker)

cdef extern from "fastpath/forward.h" nogil:
    void forward(worker_t *worker, const datagram *datagram, uint64_t now_ns)
    void forward_take(worker_t *worker, const datagram *datagram, uint64_t now_ns)
    bint forward_has_room(const worker_t *worker)
    bint forward_release(worker_t *worker, uint64_t now_ns)
