/* What every RTP packet to a receiver has in common, whoever made it - relayed, repaired, released or padding: the number and the time in its header
 * before it is encrypted, and the accounts it goes into afterwards. */
#ifndef SOTTO_OUTGOING_H
#define SOTTO_OUTGOING_H

#include "downlink.h"
#include "rtp.h"
#include "worker.h"

/* Bytes of header and tag that a packet takes beyond its payload, for what is decided before it is written. */
#define OUTGOING_OVERHEAD 44u

/* A moment as abs-send-time: 24 bits of 6.18 seconds; without a division, 2^18 / 10^9 as a fraction of 2^64. */
static inline uint32_t outgoing_send_time(uint64_t now_ns)
{ return (uint32_t)((unsigned __int128)now_ns * 4835703278458516ull >> 64) & 0xffffff; }

/* Puts the transport-wide number into the header. Given out only by outgoing_sent: a packet that comes to nothing leaves none unused. */
static inline void outgoing_number(const struct worker *worker, uint32_t transport, struct rtp_outgoing *header)
{
    header->transport_cc_id = worker->transports[transport].transport_cc_id;
    if (header->transport_cc_id)
        header->transport_cc = sent_log_next(&worker->state.downlinks[transport].sent);
}

/* It stands encrypted in the slab, `length` bytes of it. */
static inline void outgoing_sent(struct worker *worker, uint32_t transport, size_t length, uint64_t now_ns)
{
    struct transport_cache *cache = &worker->transports[transport];
    cache->tx_packets++;
    cache->tx_bytes += length;
    if (!cache->paced) return;
    struct downlink_state *state = &worker->state.downlinks[transport];
    struct downlink *link = &worker->downlinks.links[transport];
    if (!link->listed) downlink_list(worker, transport, now_ns);
    if (cache->transport_cc_id)
        bandwidth_sent(&state->bandwidth, &state->sent, (uint16_t)length, pacing_cluster(&state->pacing), now_ns);
    pacing_spent(&state->pacing, (uint32_t)length, now_ns);
    link->run_left -= link->run_left < length ? link->run_left : (uint32_t)length;
}

/* The same for a packet that goes out once more as it was: it has its old transport-wide number, whose fate is told or not as it was. */
static inline void outgoing_sent_again(struct worker *worker, uint32_t transport, size_t length, uint64_t now_ns)
{
    struct transport_cache *cache = &worker->transports[transport];
    cache->tx_packets++;
    cache->tx_bytes += length;
    if (cache->paced)
        pacing_spent(&worker->state.downlinks[transport].pacing, (uint32_t)length, now_ns);
}

/* Must a packet of about `bytes` wait for its turn (release.h)? Only for receivers that are paced. */
static inline bool outgoing_must_wait(struct worker *worker, uint32_t transport, uint32_t bytes, uint64_t now_ns)
{
    struct downlink *link = &worker->downlinks.links[transport];
    if (link->queue.count) return true;
    if (link->run_ns != now_ns) { /* no more than one run begins in one moment */
        uint32_t allowed = pacing_allowed(&worker->state.downlinks[transport].pacing, bytes, now_ns);
        link->run_ns = now_ns;
        if (allowed) link->run_left = allowed;
    }
    /* Beyond the run what was saved up may go too, as release.c would let it in the same turn. */
    return link->run_left < bytes && !pacing_saved(&worker->state.downlinks[transport].pacing, bytes, now_ns);
}

#endif
