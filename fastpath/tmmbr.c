#include "tmmbr.h"

#include "worker.h"

/* Bytes of each packet before its payload, besides the IP header: UDP, RTP, and extensions as browsers send them (transport-cc and MID in
   one word each and their head). Counted, not measured: the sender knows its own and RFC 5104 lets it judge. */
#define OVERHEAD_ABOVE_IP (8 + 12 + 12)

static struct tmmbr *tmmbr_of(struct worker *worker, uint32_t source)
{
    struct tmmbr *tmmbr = &worker->tmmbr[source];
    if (tmmbr->incarnation != worker->sources[source].incarnation)
        *tmmbr = (struct tmmbr){.incarnation = worker->sources[source].incarnation};
    return tmmbr;
}

bool tmmbr_entry(const struct worker *worker, uint32_t source, uint8_t encoding,
                 uint64_t bits_per_second, struct rtcp_tmmb_entry *entry)
{
    const struct transport_state *state = &worker->state.transports[worker->sources[source].transport];
    bool ipv6 = state->selected < LIMIT_PATHS && state->paths[state->selected].family == 6;
    *entry = (struct rtcp_tmmb_entry){
        .ssrc = worker->state.sources[source].encodings[encoding].ssrc,
        .bits_per_second = bits_per_second,
        .overhead = (uint16_t)((ipv6 ? 40 : 20) + OVERHEAD_ABOVE_IP),
    };
    return entry->ssrc != 0;
}

void tmmbr_asked(struct worker *worker, uint32_t source, uint8_t encoding, uint64_t bits_per_second)
{
    struct tmmbr *tmmbr = tmmbr_of(worker, source);
    tmmbr->bps[encoding] = bits_per_second;
    tmmbr->tries[encoding] = TMMBR_TRIES - 1;
}

unsigned tmmbr_again(struct worker *worker, uint32_t transport, struct rtcp_tmmb_entry *entries, unsigned room)
{
    const struct transport_row *row = &worker->generation.transports[transport];
    unsigned count = 0;
    for (unsigned i = 0; i < LIMIT_SOURCES_PER_TRANSPORT; i++) {
        uint32_t source = row->sources[i];
        if (source >= worker->capacities.sources || !worker->sources[source].incarnation ||
            worker->sources[source].transport != transport)
            continue;
        struct tmmbr *tmmbr = tmmbr_of(worker, source);
        for (uint8_t encoding = 0; encoding < worker->sources[source].encoding_count; encoding++) {
            if (!tmmbr->tries[encoding] || count == room ||
                !tmmbr_entry(worker, source, encoding, tmmbr->bps[encoding], &entries[count]))
                continue;
            tmmbr->tries[encoding]--;
            count++;
        }
    }
    return count;
}

void tmmbn_receive_untrusted(struct worker *worker, uint32_t transport, const struct rtcp_feedback *feedback)
{
    /* The notification is of the stream whose SSRC sends it; its entries name who asked. */
    const struct ssrc_binding *binding = transport_binding(&worker->transports[transport], feedback->sender);
    int entries = rtcp_tmmbn_untrusted(feedback);
    if (entries < 0 || !binding || binding->repair || !worker->sources[binding->source].incarnation)
        return;
    struct tmmbr *tmmbr = tmmbr_of(worker, binding->source);
    uint64_t asked = tmmbr->bps[binding->encoding];
    for (unsigned i = 0; i < (unsigned)entries; i++) {
        struct rtcp_tmmb_entry entry;
        rtcp_tmmb_entry(feedback, i, &entry);
        /* 17 bits of the rate travel: what comes back is lower by less than 2^-16 of it, or it answers an earlier request. */
        if (entry.ssrc == worker->generation.transports[transport].rtcp_ssrc &&
            entry.bits_per_second <= asked && asked - entry.bits_per_second <= asked >> 16)
            tmmbr->tries[binding->encoding] = 0;
    }
}
