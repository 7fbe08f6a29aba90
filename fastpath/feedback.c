#include "feedback.h"

#include "compounds.h"
#include "downlink.h"
#include "projection.h"
#include "retransmit.h"
#include "rtcp.h"
#include "sender_clock.h"
#include "tmmbr.h"

/* ---- key-frame requests ---- */

/* At least the interval after the last, longer for a distant sender (its key frame may be on the way), and longer each time. */
static uint64_t request_due(const struct worker *worker, uint32_t source)
{
    const struct source_state *state = &worker->state.sources[source];
    uint64_t pause = LIMIT_KEY_REQUEST_INTERVAL_NS;
    uint64_t round_trip = 1500ull * worker->state.transports[worker->sources[source].transport].round_trip_us;
    if (round_trip > pause && round_trip < LIMIT_KEY_WAIT_NS) pause = round_trip;
    uint64_t sent = state->key_request_sent_ns, since = state->key_request_pending_ns;
    if (since && sent > since && sent - since > pause) pause = sent - since;
    return sent ? sent + pause : 0;
}

static void wait_for_key(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    worker->state.sources[source].key_request_pending_ns = now_ns;
    if (worker->sources[source].waiting) return;
    worker->sources[source].waiting = true;
    worker->waiting[worker->waiting_count++] = source;
}

static void send_if_due(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    struct source_state *state = &worker->state.sources[source];
    if (request_due(worker, source) > now_ns || !compound_send_key_request(worker, source, now_ns))
        return;
    state->key_request_sent_ns = now_ns;
    worker_count(worker, COUNTER_key_requests_sent, !worker->sources[source].home);
}

void key_request(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    if (worker->state.sources[source].key_request_pending_ns) return;
    wait_for_key(worker, source, now_ns);
    send_if_due(worker, source, now_ns);
}

/* The source the slot carries, else the one it should carry; TABLE_NONE = neither, or audio. */
static uint32_t source_of_sink(const struct worker *worker, uint32_t sink)
{
    const struct projection *current = projection_current(worker->state.sinks[sink].copies);
    uint32_t source = current->started ? current->source : TABLE_NONE;
    if (source == TABLE_NONE || source >= worker->capacities.sources ||
        worker->sources[source].incarnation != current->source_incarnation)
        source = worker->sinks[sink].source;
    return source == TABLE_NONE || worker->sources[source].audio || worker->sources[source].muted ? TABLE_NONE : source;
}

void key_request_of_sink(struct worker *worker, uint32_t sink, uint64_t now_ns)
{
    struct sink_state *state = &worker->state.sinks[sink];
    uint32_t source = source_of_sink(worker, sink);
    worker_count(worker, COUNTER_key_requests_received, 1);
    if (source == TABLE_NONE || worker->state.sources[source].key_request_pending_ns ||
        shedding_wants(&worker->shedding, sink, 0)) { /* it would not get it */
        worker_count(worker, COUNTER_key_requests_merged, 1);
        return;
    }
    if (now_ns - state->key_request_window_ns >= LIMIT_KEY_REQUESTS_WINDOW_NS || !state->key_request_window_ns) {
        state->key_request_window_ns = now_ns;
        state->key_request_count = 0;
    }
    if (state->key_request_count >= LIMIT_KEY_REQUESTS_PER_SINK) {
        worker_count(worker, COUNTER_key_requests_merged, 1);
        return;
    }
    state->key_request_count++;
    key_request(worker, source, now_ns);
}

void key_request_answered(struct worker *worker, uint32_t source)
{
    /* Its place in worker.waiting is given up by the next tick. */
    worker->state.sources[source].key_request_pending_ns = 0;
}

uint64_t key_requests_tick(struct worker *worker, uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < worker->waiting_count; i++) {
        uint32_t source = worker->waiting[i];
        struct source_cache *cache = &worker->sources[source];
        struct source_state *state = &worker->state.sources[source];
        uint64_t since = state->key_request_pending_ns;
        if (!since || !cache->incarnation || cache->muted || now_ns - since > LIMIT_KEY_WAIT_NS) {
            state->key_request_pending_ns = 0;
            cache->waiting = false;
            continue;
        }
        send_if_due(worker, source, now_ns);
        uint64_t due = request_due(worker, source);
        if (due <= now_ns) /* it has no path or SSRC yet: look again later */
            due = now_ns + LIMIT_SCAN_NS;
        if (due < next) next = due;
        worker->waiting[kept++] = source;
    }
    worker->waiting_count = kept;
    return next;
}

/* ---- RTCP as it arrives ---- */

static void receive_sender_report(struct worker *worker, uint32_t transport,
                                  const struct rtcp_block *block, uint64_t now_ns)
{
    struct rtcp_sender_info info;
    if (rtcp_sender_info_untrusted(block, &info) != 0) return;
    const struct ssrc_binding *binding = transport_binding(&worker->transports[transport], info.ssrc);
    if (!binding || binding->repair) return;
    struct transport_state *state = &worker->state.transports[transport];
    encoding_sender_report(&worker->state.sources[binding->source].encodings[binding->encoding], &info, now_ns);
    sender_clock_observe(&state->clock_offset_ns, &state->clock_offset_seen_ns, info.ntp, now_ns);
    handover_clock(worker, binding->source, binding->encoding);
}

struct heard { /* in the report blocks of one compound, about what we send */
    uint32_t blocks, lost, fractions;
};

static void receive_report_blocks(struct worker *worker, uint32_t transport,
                                  const struct rtcp_block *block, uint64_t now_ns, struct heard *heard)
{
    uint32_t sender;
    int count = rtcp_reports_untrusted(block, &sender);
    for (int i = 0; i < count; i++) {
        struct rtcp_report report;
        if (rtcp_report_untrusted(block, (unsigned)i, &report) != 0) continue;
        uint32_t sink = fanout_sink_of_ssrc(worker, transport, report.ssrc);
        if (sink == TABLE_NONE) continue; /* reports about what is not ours say nothing */
        heard->blocks++;
        heard->fractions += report.fraction_lost;
        if (report.lost > 0) heard->lost += (uint32_t)report.lost;
        worker->state.sinks[sink].fraction_lost = report.fraction_lost;
        uint32_t round_trip = rtcp_round_trip_us(&report, now_ns + worker->realtime_offset_ns);
        if (round_trip) worker->state.transports[transport].round_trip_us = round_trip;
    }
}

static void receive_key_request(struct worker *worker, uint32_t transport, uint32_t ssrc, uint64_t now_ns)
{
    uint32_t sink = fanout_sink_asked_for(worker, transport, ssrc);
    if (sink != TABLE_NONE) key_request_of_sink(worker, sink, now_ns);
}

static void receive_feedback(struct worker *worker, uint32_t transport, const struct rtcp_block *block, uint64_t now_ns)
{
    struct rtcp_feedback feedback;
    if (rtcp_feedback_untrusted(block, &feedback) != 0) return;
    if (block->type == RTCP_RTPFB) {
        if (block->count == RTCP_FMT_TRANSPORT_CC) {
            downlink_feedback_untrusted(worker, transport, &feedback, now_ns);
        } else if (block->count == RTCP_FMT_NACK && rtcp_nack_untrusted(&feedback) > 0) {
            worker_count(worker, COUNTER_nacks_received, 1);
            retransmit_untrusted(worker, transport, &feedback, now_ns);
        } else if (block->count == RTCP_FMT_TMMBN) {
            tmmbn_receive_untrusted(worker, transport, &feedback);
        }
        return;
    }
    if (block->count == RTCP_FMT_PLI) {
        receive_key_request(worker, transport, feedback.media, now_ns);
    } else if (block->count == RTCP_FMT_FIR) {
        int entries = rtcp_fir_untrusted(&feedback);
        for (int i = 0; i < entries; i++) {
            uint32_t ssrc;
            uint8_t sequence;
            rtcp_fir_entry(&feedback, (unsigned)i, &ssrc, &sequence);
            receive_key_request(worker, transport, ssrc, now_ns);
        }
    } else if (block->count == RTCP_FMT_REMB) {
        uint32_t rate;
        uint8_t ssrcs;
        if (rtcp_remb_untrusted(&feedback, &rate, &ssrcs) == 0) {
            worker_count(worker, COUNTER_remb_received, 1);
            downlink_remb(worker, transport, rate, now_ns);
        }
    }
}

void feedback_receive_untrusted(struct worker *worker, uint32_t transport, uint8_t *bytes,
                                size_t length, uint64_t now_ns)
{
    struct transport_cache *cache = &worker->transports[transport];
    struct transport_state *state = &worker->state.transports[transport];
    if (!cache->rx_keyed) {
        worker_count(worker, COUNTER_rtp_unkeyed_dropped, 1);
        return;
    }
    if (srtcp_unprotect_untrusted(&cache->rx, state->rtcp_rx, bytes, &length) != 0) {
        worker_count(worker, COUNTER_rtcp_unauthenticated_dropped, 1);
        return;
    }
    worker_count(worker, COUNTER_rtcp_received, 1);
    struct rtcp_block block;
    size_t offset = 0;
    struct heard heard = {0};
    bool reported = false;
    int more;
    while ((more = rtcp_next_untrusted(bytes, length, &offset, &block)) == 1) {
        if (block.type == RTCP_SR) receive_sender_report(worker, transport, &block, now_ns);
        if (block.type == RTCP_SR || block.type == RTCP_RR) {
            receive_report_blocks(worker, transport, &block, now_ns, &heard);
            reported = true;
        } else if (block.type == RTCP_RTPFB || block.type == RTCP_PSFB) {
            receive_feedback(worker, transport, &block, now_ns);
        }
    }
    if (reported) state->reported_lost = heard.lost;
    if (heard.blocks) downlink_reported(worker, transport, heard.fractions / heard.blocks, now_ns);
    if (more < 0) worker_count(worker, COUNTER_rtcp_malformed_dropped, 1);
}
