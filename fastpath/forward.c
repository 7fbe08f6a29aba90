#include "forward.h"

#include "demux.h"
#include "feedback.h"
#include "ice.h"
#include "receive.h"
#include "relay.h"

static void take_dtls(struct worker *worker, uint32_t transport, const struct datagram *in, uint64_t now_ns)
{
    struct transport_cache *cache = &worker->transports[transport];
    if (now_ns - cache->dtls_window_ns >= LIMIT_SCAN_NS) {
        cache->dtls_window_ns = now_ns;
        cache->dtls_count = 0;
    }
    if (cache->dtls_count++ >= LIMIT_DTLS_PER_SCAN) {
        worker_count(worker, COUNTER_dtls_limited_dropped, 1);
        return;
    }
    if (worker_tell(worker, UPLINK_DTLS, transport, 0, 0, in->bytes, in->length, now_ns))
        worker_count(worker, COUNTER_dtls_up, 1);
}

void forward_take(struct worker *worker, const struct datagram *in, uint64_t now_ns)
{
    /* The kernel's time comes from a clock that somebody may set: one that cannot be is no time. */
    worker->arrived_ns = now_ns - in->arrived_ns < LIMIT_ARRIVED_NS ? in->arrived_ns : now_ns;
    worker_count(worker, COUNTER_rx_datagrams, 1);
    worker_count(worker, COUNTER_rx_bytes, in->length);
    if (in->length > LIMIT_DATAGRAM) {
        worker_count(worker, COUNTER_rx_truncated_dropped, 1);
        return;
    }
    int kind = demux_untrusted(in->bytes, in->length);
    if (kind < 0) {
        worker_count(worker, COUNTER_demux_unknown_dropped, 1);
        return;
    }
    if (kind == DEMUX_STUN) {
        ice_receive_untrusted(worker, in, now_ns);
        return;
    }
    const struct address_entry *entry = addresses_find(&worker->addresses, &in->remote);
    if (!entry || !worker->transports[entry->transport].incarnation) {
        worker_count(worker, COUNTER_unknown_address_dropped, 1);
        return;
    }
    if (kind == DEMUX_DTLS)
        take_dtls(worker, entry->transport, in, now_ns);
    else if (kind == DEMUX_RTP)
        receive_rtp_untrusted(worker, entry->transport, in->bytes, in->length, now_ns);
    else
        feedback_receive_untrusted(worker, entry->transport, in->bytes, in->length, now_ns);
}

bool forward_release(struct worker *worker, uint64_t now_ns)
{ return relay_release(worker, false, now_ns); }

bool forward_has_room(const struct worker *worker)
{ return relay_has_room(&worker->relaying); }

void forward(struct worker *worker, const struct datagram *in, uint64_t now_ns)
{
    forward_take(worker, in, now_ns);
    relay_release(worker, true, now_ns);
}
