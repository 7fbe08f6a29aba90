#include "relay.h"

#include <errno.h>

#include "adaptation.h"
#include "feedback.h"
#include "outgoing.h"
#include "sealed.h"
#include "switching.h"

/* Sinks ahead of the one at work whose rows are fetched. Higher: lines are thrown out before they are used. Lower: waiting for
   memory, five lines a sink. */
#define PREFETCH_AHEAD 4

struct tally { /* counters of one packet's loop, added once */
    uint64_t packets, bytes, late, full, exhausted, switches;
    bool key_wanted, waited;
};

static void prefetch_sink(const struct worker *worker, uint32_t handle)
{
    const struct sink_state *state = &worker->state.sinks[handle];
    __builtin_prefetch(state, 1);
    __builtin_prefetch(&state->copies[0], 1);
    __builtin_prefetch(&state->copies[1], 1);
    const struct transport_cache *cache = &worker->transports[worker->sinks[handle].transport];
    __builtin_prefetch(cache);
    __builtin_prefetch(&cache->tx);
}

/* Later, when it is known who is paced; the log's own line follows from its head and is waited for. */
static void prefetch_downlink(const struct worker *worker, uint32_t handle)
{
    uint32_t transport = worker->sinks[handle].transport;
    const struct transport_cache *cache = &worker->transports[transport];
    if (!cache->paced) return;
    const struct downlink_state *state = &worker->state.downlinks[transport];
    __builtin_prefetch(&worker->downlinks.links[transport], 1);
    __builtin_prefetch(&state->pacing, 1);
    __builtin_prefetch(&state->bandwidth.sent_us, 1);
    __builtin_prefetch(&state->sent, 1);
}

static void note_switch(struct worker *worker, uint32_t handle, const struct arrival *arrival, uint64_t now_ns)
{
    struct sink_cache *sink = &worker->sinks[handle];
    struct transport_cache *transport = &worker->transports[sink->transport];
    sink->report_now = true;
    if (!transport->report_now && worker->hasty_count < worker->capacities.transports) {
        transport->report_now = true;
        worker->hasty[worker->hasty_count++] = sink->transport;
    }
    if (!worker->generation.sinks[handle].loudest) /* loudness.c has told of those */
        worker_tell(worker, UPLINK_SINK_SWITCHED, sink->transport, handle, arrival->input.source,
                    NULL, 0, now_ns);
}

static int project(struct worker *worker, uint32_t handle, const struct arrival *arrival,
                   enum sink_action action, uint64_t now_ns, struct projection_output *output)
{
    struct projection *copies = worker->state.sinks[handle].copies;
    struct sequence_map *map = &worker->maps[handle];
    if (action == SINK_CONTINUE)
        return sequence_map_forward(map, copies, &arrival->input, now_ns, output);
    if (worker->sinks[handle].sealed) {
        struct sink_state *state = &worker->state.sinks[handle];
        uint64_t *const parked[LIMIT_ENCODINGS] = {&state->parked_lowest, &state->parked[0], &state->parked[1]};
        int result = sequence_map_begin_sealed(map, copies, parked, &arrival->input,
                                               worker_random(worker), now_ns, output);
        if (result == 0) worker->sinks[handle].ssrc = arrival->input.ssrc;
        return result;
    }
    return sequence_map_begin(map, copies, &arrival->input, arrival->audio,
                              worker->sinks[handle].clock_rate, worker_random(worker), now_ns, output);
}

static void note_key_frame(struct worker *worker, uint32_t handle, const struct arrival *arrival,
                           enum sink_action action, const struct projection_output *output)
{
    if (!arrival->key_start || arrival->audio) return;
    release_key_frame(worker, handle, output->index, action == SINK_SWITCH);
}

static size_t write_header(const struct worker *worker, const struct sink_cache *sink,
                           const struct arrival *arrival, const struct projection_output *output,
                           uint64_t now_ns, uint8_t *out)
{
    struct rtp_outgoing header = {
        .timestamp = output->timestamp,
        .ssrc = sink->ssrc,
        .csrc = worker->sources[arrival->input.source].member,
        .sequence = (uint16_t)output->index,
        .payload_type = sink->payload_type,
        .marker = arrival->marker,
        .audio_level_id = arrival->has_level ? sink->audio_level_id : 0,
        .audio_level = arrival->level,
        .abs_send_time_id = sink->abs_send_time_id,
        .abs_send_time = outgoing_send_time(now_ns),
    };
    outgoing_number(worker, sink->transport, &header);
    if (sink->sealed) sealed_header(&header, arrival->sealed, arrival->payload);
    return rtp_header_write(out, &header);
}

/* Left out, so that those after it close up; unless its number is taken already: then it goes after all, or the receiver keeps asking for it. */
static bool must_fill(struct worker *worker, uint32_t handle, const struct arrival *arrival, uint64_t now_ns)
{
    struct projection_output unused;
    return sequence_map_drop(&worker->maps[handle], worker->state.sinks[handle].copies,
                             &arrival->input, now_ns, &unused) == SEQUENCE_FILL;
}

/* Not when it was not kept: what waits is found again in the history, and nowhere else. */
static bool must_wait(struct worker *worker, const struct sink_cache *sink,
                      const struct arrival *arrival, uint64_t now_ns)
{
    const struct projection_input *input = &arrival->input;
    struct history_packet kept;
    return outgoing_must_wait(worker, sink->transport,
                              (uint32_t)arrival->payload_length + OUTGOING_OVERHEAD, now_ns) &&
           recovery_find(worker, input->source, input->source_incarnation, input->encoding,
                         input->ssrc, input->index, now_ns, &kept);
}

/* Decided and numbered as if it left now; header and encryption follow when it does (waiting.h). */
static void wait_for_turn(struct worker *worker, uint32_t handle, const struct arrival *arrival,
                          enum sink_action action, uint64_t now_ns, struct tally *tally)
{
    const struct projection_input *input = &arrival->input;
    struct projection_output output;
    int result = project(worker, handle, arrival, action, now_ns, &output);
    if (result != 0) {
        tally->late += result == -ESTALE;
        tally->exhausted += result == -EOVERFLOW;
        return;
    }
    note_key_frame(worker, handle, arrival, action, &output);
    struct waiting_packet packet = {
        .origin = {.input_index = input->index,
                   .output_index = output.index,
                   .source = input->source,
                   .source_incarnation = input->source_incarnation,
                   .input_ssrc = input->ssrc,
                   .timestamp_offset = output.timestamp - input->timestamp,
                   .picture_id_offset = (uint16_t)(output.picture_id - input->picture_id),
                   .tl0_offset = (uint8_t)(output.tl0 - input->tl0),
                   .encoding = input->encoding},
        .sink = handle,
        .sink_incarnation = worker->sinks[handle].incarnation,
        .bytes = (uint16_t)(arrival->payload_length + OUTGOING_OVERHEAD),
    };
    release_later(worker, worker->sinks[handle].transport, &packet, now_ns);
    tally->waited = true;
    if (action == SINK_SWITCH) {
        tally->switches++;
        note_switch(worker, handle, arrival, now_ns);
    }
}

static void relay_to(struct worker *worker, uint32_t handle, const struct arrival *arrival,
                     uint64_t now_ns, struct tally *tally)
{
    const struct sink_cache *sink = &worker->sinks[handle];
    struct sink_state *state = &worker->state.sinks[handle];
    struct transport_cache *transport = &worker->transports[sink->transport];
    if (!transport->tx_keyed || worker->timers[sink->transport].send_until_ns <= now_ns) return;
    enum sink_action action = switching_decide(sink, projection_current(state->copies), arrival);
    if (action == SINK_AWAIT) tally->key_wanted = true;
    if (action == SINK_IGNORE || action == SINK_AWAIT) return;
    if (!adaptation_passes(worker, handle, arrival) && !must_fill(worker, handle, arrival, now_ns))
        return;
    if (transport->paced && !arrival->audio && must_wait(worker, sink, arrival, now_ns)) {
        wait_for_turn(worker, handle, arrival, action, now_ns, tally);
        return;
    }
    uint8_t *out = egress_reserve(&worker->egress);
    uint32_t destination = out ? transport_destination(worker, sink->transport, now_ns) : TABLE_NONE;
    if (destination == TABLE_NONE) {
        tally->full++;
        return;
    }
    struct projection_output output;
    int result = project(worker, handle, arrival, action, now_ns, &output);
    if (result != 0) {
        tally->late += result == -ESTALE;
        tally->exhausted += result == -EOVERFLOW;
        return;
    }
    note_key_frame(worker, handle, arrival, action, &output);
    size_t header = write_header(worker, sink, arrival, &output, now_ns, out);
    /* The shared payload takes this sink's picture numbers just before it is encrypted: no copy of it is ever made. */
    if (arrival->has_vp8)
        vp8_rewrite(arrival->payload, &arrival->vp8, output.picture_id, output.tl0);
    size_t listed = sealed_csrcs(arrival->sealed);
    int length = srtp_protect(&transport->tx, output.index, out, EGRESS_PACKET_MAX, header,
                              arrival->payload + listed, arrival->payload_length - listed);
    if (length < 0) {
        tally->exhausted += length == -EOVERFLOW;
        if (length != -EOVERFLOW) worker_count(worker, COUNTER_internal_errors, 1);
        return;
    }
    egress_commit(&worker->egress, destination, sink->ssrc, (size_t)length);
    state->packets++;
    state->octets += (uint32_t)arrival->payload_length;
    outgoing_sent(worker, sink->transport, (size_t)length, now_ns);
    tally->packets++;
    tally->bytes += (uint64_t)length;
    if (action == SINK_SWITCH) {
        tally->switches++;
        note_switch(worker, handle, arrival, now_ns);
    }
}

void relay(struct worker *worker, const struct arrival *arrival, uint64_t now_ns)
{
    const struct fanout *fanout = &worker->fanout;
    const uint32_t *sinks = fanout->of_source;
    uint32_t first = fanout->source_first[arrival->input.source];
    uint32_t end = fanout->source_first[arrival->input.source + 1];
    struct tally tally = {0};
    for (uint32_t i = first; i < end && i < first + PREFETCH_AHEAD; i++)
        prefetch_sink(worker, sinks[i]);
    for (uint32_t i = first; i < end; i++) {
        if (i + 2 * PREFETCH_AHEAD < end)
            __builtin_prefetch(&worker->sinks[sinks[i + 2 * PREFETCH_AHEAD]]);
        if (i + PREFETCH_AHEAD < end) prefetch_sink(worker, sinks[i + PREFETCH_AHEAD]);
        if (i + PREFETCH_AHEAD / 2 < end) prefetch_downlink(worker, sinks[i + PREFETCH_AHEAD / 2]);
        relay_to(worker, sinks[i], arrival, now_ns, &tally);
    }
    if (tally.key_wanted) key_request(worker, arrival->input.source, now_ns);
    if (tally.packets || tally.waited || tally.key_wanted)
        recovery_viewed(worker, &arrival->input, now_ns);
    worker_count(worker, COUNTER_rtp_forwarded, tally.packets);
    worker_count(worker, COUNTER_rtp_forwarded_bytes, tally.bytes);
    if (!tally.packets && !tally.waited) worker_count(worker, COUNTER_rtp_unsubscribed, 1);
    if (tally.late) worker_count(worker, COUNTER_rtp_late_dropped, tally.late);
    if (tally.full) worker_count(worker, COUNTER_egress_full_dropped, tally.full);
    if (tally.exhausted) worker_count(worker, COUNTER_index_exhausted_dropped, tally.exhausted);
    if (tally.switches) worker_count(worker, COUNTER_sink_switches, tally.switches);
}

void relay_skip(struct worker *worker, const struct arrival *arrival, uint64_t now_ns)
{
    const struct fanout *fanout = &worker->fanout;
    uint32_t source = arrival->input.source;
    for (uint32_t i = fanout->source_first[source]; i < fanout->source_first[source + 1]; i++) {
        uint32_t sink = fanout->of_source[i];
        struct projection_output unused;
        /* Where its number is taken already it stays a gap: who asks for it gets it as it was kept, empty. */
        sequence_map_drop(&worker->maps[sink], worker->state.sinks[sink].copies, &arrival->input,
                          now_ns, &unused);
    }
}
