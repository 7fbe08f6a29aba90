#include "resend.h"

#include <string.h>

#include "outgoing.h"
#include "repair.h"

void resend_keep(struct worker *worker, uint32_t sink, uint16_t sequence, const uint8_t *bytes,
                 size_t length, uint64_t now_ns)
{
    if (length > RESEND_BYTES) return;
    const struct sink_cache *cache = &worker->sinks[sink];
    struct resend *kept = &worker->resends[cache->transport];
    struct resend_packet *packet = &kept->packets[kept->next++ % RESEND_PACKETS];
    packet->sent_ns = now_ns;
    packet->sink = sink;
    packet->incarnation = cache->incarnation;
    packet->sequence = sequence;
    packet->length = (uint16_t)length;
    packet->times = 0;
    memcpy(packet->bytes, bytes, length);
}

static struct resend_packet *find(struct resend *kept, uint32_t sink, uint32_t incarnation, uint16_t sequence)
{
    for (uint32_t i = 0; i < RESEND_PACKETS; i++) { /* the newest first: most NACKs are about the last few */
        struct resend_packet *packet = &kept->packets[(kept->next - 1 - i) % RESEND_PACKETS];
        if (packet->sent_ns && packet->sequence == sequence && packet->sink == sink && packet->incarnation == incarnation)
            return packet;
    }
    return NULL;
}

/* False: the slab or the path takes no more. */
static bool send_again(struct worker *worker, uint32_t sink, struct resend_packet *packet, uint64_t now_ns)
{
    uint32_t transport = worker->sinks[sink].transport;
    uint8_t *out = egress_reserve(&worker->egress);
    uint32_t destination = out ? transport_destination(worker, transport, now_ns) : TABLE_NONE;
    if (destination == TABLE_NONE) {
        worker_count(worker, COUNTER_egress_full_dropped, 1);
        return false;
    }
    memcpy(out, packet->bytes, packet->length);
    /* Of no order: it comes behind its successors as it is. */
    egress_commit(&worker->egress, destination, worker->sinks[sink].ssrc, packet->length);
    outgoing_sent_again(worker, transport, packet->length, now_ns);
    packet->sent_ns = now_ns;
    packet->times++;
    worker_count(worker, COUNTER_audio_sent_again, 1);
    return true;
}

void resend_untrusted(struct worker *worker, uint32_t sink, const struct rtcp_feedback *nack, uint64_t now_ns)
{
    const struct sink_cache *cache = &worker->sinks[sink];
    struct resend *kept = &worker->resends[cache->transport];
    uint64_t wait_ns = 1000ull * repair_wait_us(worker->state.transports[cache->transport].round_trip_us);
    int entries = rtcp_nack_untrusted(nack);
    uint32_t looked_up = 0;
    for (int i = 0; i < entries; i++) {
        uint16_t first;
        uint32_t mask;
        rtcp_nack_entry(nack, (unsigned)i, &first, &mask);
        for (; mask; mask &= mask - 1) {
            /* A search reads 64 heads, 2 us when they are cold: more numbers than packets are kept are a lie. */
            if (looked_up++ == RESEND_PACKETS) return;
            struct resend_packet *packet =
                find(kept, sink, cache->incarnation, (uint16_t)(first + __builtin_ctz(mask)));
            if (!packet)
                worker_count(worker, COUNTER_rtx_not_kept, 1);
            else if (packet->times < RESEND_TIMES && now_ns - packet->sent_ns >= wait_ns &&
                     !send_again(worker, sink, packet, now_ns))
                return;
        }
    }
}
