#include "compounds.h"

#include <stdio.h>

#include "projection.h"
#include "rtcp.h"
#include "sender_clock.h"
#include "tmmbr.h"

/* Bytes of one compound before encryption. Higher: fewer, but nearer to the path's limit. Lower: more packets for many slots. */
#define COMPOUND_MAX 1100
#define SR_SIZE 28

struct compound {
    uint8_t *bytes; /* in the slab, NULL = could not be begun */
    size_t length;
    uint32_t transport, destination;
};

/* Appends what a writer of rtcp.h made; its negative result (no room) is ignored: the block is left out. */
static void append(struct compound *compound, int written)
{
    if (written > 0) compound->length += (size_t)written;
}

static uint8_t *end_of(const struct compound *compound)
{ return compound->bytes + compound->length; }

static size_t room_of(const struct compound *compound)
{ return COMPOUND_MAX - compound->length; }

static uint32_t own_ssrc(const struct worker *worker, uint32_t transport)
{ return worker->generation.transports[transport].rtcp_ssrc; }

static bool begin(struct worker *worker, struct compound *compound, uint32_t transport,
                  const struct rtcp_report *reports, unsigned count, uint64_t now_ns)
{
    *compound = (struct compound){.transport = transport};
    if (!worker->transports[transport].tx_keyed) return false;
    compound->destination = transport_destination(worker, transport, now_ns);
    compound->bytes = egress_reserve(&worker->egress);
    if (compound->destination == TABLE_NONE || !compound->bytes) return false;
    append(compound, rtcp_write_rr(compound->bytes, COMPOUND_MAX, own_ssrc(worker, transport), reports, count));
    return true;
}

static bool finish(struct worker *worker, struct compound *compound)
{
    struct transport_cache *cache = &worker->transports[compound->transport];
    struct transport_state *state = &worker->state.transports[compound->transport];
    int length = srtcp_protect(&cache->tx, &state->srtcp_tx_index, compound->bytes,
                               compound->length, EGRESS_PACKET_MAX);
    if (length < 0) {
        worker_count(worker, COUNTER_index_exhausted_dropped, 1);
        return false;
    }
    egress_commit(&worker->egress, compound->destination, 0, (size_t)length);
    worker_count(worker, COUNTER_rtcp_sent, 1);
    return true;
}

static void append_name(struct worker *worker, struct compound *compound)
{
    char name[16];
    uint32_t ssrc = own_ssrc(worker, compound->transport);
    int length = snprintf(name, sizeof name, "sotto-%08x", ssrc);
    append(compound, rtcp_write_sdes(end_of(compound), room_of(compound), ssrc, name, (size_t)length));
}

static void append_remb(struct worker *worker, struct compound *compound, uint64_t bits_per_second,
                        const uint32_t *ssrcs, unsigned count)
{
    append(compound, rtcp_write_remb(end_of(compound), room_of(compound),
                                     own_ssrc(worker, compound->transport), bits_per_second, ssrcs, count));
}

static void append_tmmbr(struct worker *worker, struct compound *compound,
                         const struct rtcp_tmmb_entry *entries, unsigned count)
{
    append(compound, rtcp_write_tmmbr(end_of(compound), room_of(compound), RTCP_FMT_TMMBR,
                                      own_ssrc(worker, compound->transport), entries, count));
}

static bool carries(const struct worker *worker, uint32_t sink)
{
    const struct projection *current = projection_current(worker->state.sinks[sink].copies);
    return current->started && current->source != TABLE_NONE;
}

/* What the slot's timestamp is now: as its sender's reports say, or, while there are none, as its packets arrived. */
static uint32_t slot_timestamp(const struct worker *worker, uint32_t sink, uint64_t now_ns)
{
    const struct projection *current = projection_current(worker->state.sinks[sink].copies);
    uint32_t clock_rate = worker->sinks[sink].clock_rate;
    uint32_t arrival = projection_timestamp_at(current, clock_rate, now_ns);
    if (current->source >= worker->capacities.sources || current->encoding >= LIMIT_ENCODINGS)
        return arrival;
    const struct source_cache *source = &worker->sources[current->source];
    const struct encoding_state *encoding =
        &worker->state.sources[current->source].encodings[current->encoding];
    if (source->incarnation != current->source_incarnation ||
        encoding->ssrc != current->input_ssrc || source->clock_rate != clock_rate)
        return arrival;
    const struct transport_state *sender = &worker->state.transports[source->transport];
    const struct source_state *state = &worker->state.sources[current->source];
    return sender_clock_slot_timestamp(encoding, source->home ? state->clock_offset_ns : sender->clock_offset_ns,
                                       source->home ? state->clock_offset_seen_ns : sender->clock_offset_seen_ns,
                                       clock_rate, current->timestamp_offset, arrival, now_ns);
}

/* On the server's clock: what it says about round trips needs nobody else's. */
static void append_sender_report(struct worker *worker, struct compound *compound, uint32_t sink, uint64_t now_ns)
{
    const struct sink_cache *cache = &worker->sinks[sink];
    struct sink_state *state = &worker->state.sinks[sink];
    struct rtcp_sender_info info = {
        .ssrc = cache->ssrc,
        .ntp = rtcp_ntp(now_ns + worker->realtime_offset_ns),
        .timestamp = slot_timestamp(worker, sink, now_ns),
        .packets = state->packets,
        .octets = state->octets,
    };
    append(compound, rtcp_write_sr(end_of(compound), room_of(compound), &info));
    worker->sinks[sink].report_now = false;
}

/* Sender reports of a transport's slots, in as many compounds as they need; `compound` is begun and gets finished. */
static void send_sender_reports(struct worker *worker, struct compound *compound, bool only_switched, uint64_t now_ns)
{
    const struct fanout *fanout = &worker->fanout;
    uint32_t transport = compound->transport;
    for (uint32_t i = fanout->transport_first[transport]; i < fanout->transport_first[transport + 1]; i++) {
        uint32_t sink = fanout->of_transport[i];
        if (!carries(worker, sink) || (only_switched && !worker->sinks[sink].report_now)) continue;
        if (room_of(compound) < SR_SIZE &&
            (!finish(worker, compound) || !begin(worker, compound, transport, NULL, 0, now_ns)))
            return;
        append_sender_report(worker, compound, sink, now_ns);
    }
    finish(worker, compound);
}

/* Report blocks about what the transport sends, and the SSRCs of its encodings for REMB. */
static unsigned gather_reports(struct worker *worker, uint32_t transport, struct rtcp_report *reports,
                               uint32_t *ssrcs, unsigned *ssrc_count, uint64_t now_ns)
{
    const struct transport_cache *cache = &worker->transports[transport];
    unsigned count = 0;
    *ssrc_count = 0;
    for (unsigned i = 0; i < cache->bound_count; i++) {
        const struct ssrc_binding *binding = &cache->bound[i];
        if (binding->repair) continue;
        struct encoding_state *encoding = &worker->state.sources[binding->source].encodings[binding->encoding];
        ssrcs[(*ssrc_count)++] = cache->bound_ssrc[i];
        if (encoding->ssrc == cache->bound_ssrc[i])
            count += (unsigned)(encoding_report_block(encoding, now_ns, &reports[count]) == 1);
    }
    return count;
}

void compound_send_reports(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    if (!worker->transports[transport].tx_keyed || transport_destination(worker, transport, now_ns) == TABLE_NONE)
        return;
    struct rtcp_report reports[LIMIT_RX_SSRCS];
    uint32_t ssrcs[LIMIT_RX_SSRCS];
    unsigned ssrc_count;
    unsigned count = gather_reports(worker, transport, reports, ssrcs, &ssrc_count, now_ns);
    struct compound compound;
    if (!begin(worker, &compound, transport, reports, count, now_ns)) return;
    append_name(worker, &compound);
    uint32_t limit = worker->state.transports[transport].remb.told_bps;
    if (!limit) limit = worker->generation.transports[transport].remb_bps;
    if (limit && ssrc_count) append_remb(worker, &compound, limit, ssrcs, ssrc_count);
    struct rtcp_tmmb_entry again[LIMIT_SOURCES_PER_TRANSPORT * LIMIT_ENCODINGS];
    unsigned again_count = tmmbr_again(worker, transport, again, sizeof again / sizeof *again);
    if (again_count) append_tmmbr(worker, &compound, again, again_count);
    send_sender_reports(worker, &compound, false, now_ns);
}

void compound_send_switched(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct compound compound;
    if (begin(worker, &compound, transport, NULL, 0, now_ns))
        send_sender_reports(worker, &compound, true, now_ns);
}

static bool comes(const struct encoding_state *encoding, uint64_t now_ns)
{
    return encoding->last_packet_ns && now_ns - encoding->last_packet_ns <= LIMIT_ENCODING_SILENT_NS;
}

bool compound_send_key_request(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    const struct encoding_state *encodings = worker->state.sources[source].encodings;
    uint32_t transport = worker->sources[source].transport, known = 0, named = 0;
    unsigned count = worker->sources[source].encoding_count;
    if (worker->sources[source].home) return handover_key_request(worker, source);
    for (unsigned i = 0; i < count && !known; i++) known = encodings[i].ssrc;
    struct compound compound;
    if (!known || !worker->sources[source].incarnation || !begin(worker, &compound, transport, NULL, 0, now_ns))
        return false;
    for (unsigned i = 0; i < count || !named; i++) {
        uint32_t ssrc = i < count ? encodings[i].ssrc : known;
        if (i < count && (!ssrc || !comes(&encodings[i], now_ns))) continue;
        append(&compound,
               rtcp_write_pli(end_of(&compound), room_of(&compound), own_ssrc(worker, transport), ssrc));
        named++;
    }
    return finish(worker, &compound);
}

bool compound_send_nack(struct worker *worker, uint32_t source, uint8_t encoding,
                        const uint16_t *lost, unsigned count, uint64_t now_ns)
{
    uint32_t transport = worker->sources[source].transport;
    uint32_t ssrc = worker->state.sources[source].encodings[encoding].ssrc;
    if (worker->sources[source].home) return handover_ask(worker, source, encoding, lost, count);
    struct compound compound;
    if (!ssrc || !worker->sources[source].incarnation || !begin(worker, &compound, transport, NULL, 0, now_ns))
        return false;
    append(&compound, rtcp_write_nack(end_of(&compound), room_of(&compound),
                                      own_ssrc(worker, transport), ssrc, lost, count));
    return finish(worker, &compound);
}

bool compound_send_arrivals(struct worker *worker, uint32_t transport, struct arrival_log *log,
                            uint32_t media_ssrc, uint64_t now_ns)
{
    struct compound compound;
    if (!begin(worker, &compound, transport, NULL, 0, now_ns)) return false;
    int written = transport_cc_write(log, end_of(&compound), room_of(&compound),
                                     own_ssrc(worker, transport), media_ssrc, now_ns);
    append(&compound, written);
    return written > 0 && finish(worker, &compound);
}

bool compound_send_remb(struct worker *worker, uint32_t transport, uint64_t bits_per_second, uint64_t now_ns)
{
    const struct transport_cache *cache = &worker->transports[transport];
    uint32_t ssrcs[LIMIT_RX_SSRCS];
    unsigned count = 0;
    for (unsigned i = 0; i < cache->bound_count; i++)
        if (!cache->bound[i].repair) ssrcs[count++] = cache->bound_ssrc[i];
    struct compound compound;
    if (!count || !begin(worker, &compound, transport, NULL, 0, now_ns)) return false;
    append_remb(worker, &compound, bits_per_second, ssrcs, count);
    return finish(worker, &compound);
}

bool compound_send_tmmbr(struct worker *worker, uint32_t source, uint8_t encoding,
                         uint64_t bits_per_second, uint64_t now_ns)
{
    struct rtcp_tmmb_entry entry;
    struct compound compound;
    if (!worker->sources[source].incarnation || encoding >= LIMIT_ENCODINGS ||
        !worker->generation.sources[source].tmmbr ||
        !tmmbr_entry(worker, source, encoding, bits_per_second, &entry) ||
        !begin(worker, &compound, worker->sources[source].transport, NULL, 0, now_ns))
        return false;
    append_tmmbr(worker, &compound, &entry, 1);
    if (!finish(worker, &compound)) return false;
    tmmbr_asked(worker, source, encoding, bits_per_second);
    return true;
}
