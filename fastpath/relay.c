#include "relay.h"

#include <errno.h>
#include <stdlib.h>

#include "adaptation.h"
#include "feedback.h"
#include "outgoing.h"
#include "resend.h"
#include "sealed.h"
#include "switching.h"

/* Sinks ahead of the one at work whose rows are fetched. Higher: lines are thrown out before they are used. Lower: waiting for
   memory, five lines a sink. */
#define PREFETCH_AHEAD 4

struct tally { /* counters of one packet over all its sinks, added once */
    uint64_t bytes;
    uint32_t packets, late, full, exhausted, switches, shed;
    bool awaited, waited;
};

struct relayed {
    struct arrival arrival;
    struct tally tally;
    uint32_t next; /* of the same source, RELAY_NONE = last */
};

struct relay_group { /* one source's packets of the batch, in the order they came */
    uint32_t source, first, last, count;
    uint32_t conference;
};

#define RELAY_NONE UINT32_MAX

int relay_open(struct relay_batch *batch, uint32_t sources)
{
    *batch = (struct relay_batch){0};
    batch->packets = calloc(RELAY_BATCH, sizeof *batch->packets);
    batch->groups = calloc(RELAY_BATCH, sizeof *batch->groups);
    batch->group_of = calloc(sources, sizeof *batch->group_of);
    return batch->packets && batch->groups && batch->group_of ? 0 : -ENOMEM;
}

void relay_close(struct relay_batch *batch)
{
    free(batch->packets);
    free(batch->groups);
    free(batch->group_of);
    *batch = (struct relay_batch){0};
}

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
        uint64_t *const parked[LIMIT_ENCODINGS] = {&state->parked_lowest, &state->parked[0],
                                                   &state->parked[1]};
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
    header.padding = arrival->padding != 0;
    if (sink->sealed) sealed_header(&header, arrival->sealed, arrival->payload);
    return rtp_header_write(out, &header);
}

/* A number that is taken already, of a packet that is left out, or the receiver keeps asking for it. After what waits: those are its neighbours. */
static void fill(struct worker *worker, uint32_t handle, const struct arrival *arrival,
                 const struct projection_output *output, uint64_t now_ns, struct tally *tally)
{
    const struct projection_input *input = &arrival->input;
    uint32_t transport = worker->sinks[handle].transport;
    if (worker->transports[transport].paced && worker->downlinks.links[transport].queue.count) {
        struct waiting_packet packet = {
            .origin = {.input_index = input->index,
                       .output_index = output->index,
                       .source = input->source,
                       .source_incarnation = input->source_incarnation,
                       .input_ssrc = input->ssrc,
                       .timestamp_offset = output->timestamp - input->timestamp,
                       .encoding = input->encoding},
            .sink = handle,
            .sink_incarnation = worker->sinks[handle].incarnation,
            .bytes = OUTGOING_OVERHEAD,
            .filler = 1,
        };
        release_later(worker, transport, &packet, now_ns);
        return;
    }
    uint32_t member = worker->sources[input->source].member;
    if (!release_filler(worker, handle, member, output->index, output->timestamp, now_ns))
        tally->full++;
}

/* Left out, so that those after it close up. True: a sealed one whose number is taken goes after all, nobody but its sender can make another. */
static bool leave_out(struct worker *worker, uint32_t handle, const struct arrival *arrival,
                      uint64_t now_ns, struct tally *tally)
{
    struct projection_output output;
    if (sequence_map_drop(&worker->maps[handle], worker->state.sinks[handle].copies,
                          &arrival->input, now_ns, &output) != SEQUENCE_FILL)
        return false;
    if (worker->sinks[handle].sealed) return true;
    fill(worker, handle, arrival, &output, now_ns, tally);
    return false;
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

/* Under overload: this sink's slot stops until it may have a picture again, and then begins with a key frame; or it has the lowest encoding instead of
   higher ones, from that one's next key frame on. */
static enum sink_action decide_less(struct worker *worker, uint32_t handle,
                                    const struct arrival *arrival, struct tally *tally)
{
    const struct sink_cache *sink = &worker->sinks[handle];
    struct projection *copies = worker->state.sinks[handle].copies;
    const struct projection *current = projection_current(copies);
    bool nothing = shedding_wants(&worker->shedding, handle, 0);
    if (!nothing && !shedding_wants(&worker->shedding, handle, 1))
        return switching_decide(sink, current, arrival);
    if (nothing || arrival->input.encoding) {
        bool carries = projection_carries(current, &arrival->input);
        if (carries) sequence_map_end(&worker->maps[handle], copies);
        tally->shed += carries || sink->encoding == arrival->input.encoding;
        return SINK_IGNORE;
    }
    struct sink_cache limited = *sink;
    if (limited.encoding != ALLOCATION_NOTHING) limited.encoding = 0;
    return switching_decide(&limited, current, arrival);
}

/* Returns what was decided; SINK_IGNORE too when nothing may be sent to it. */
static enum sink_action relay_to(struct worker *worker, uint32_t handle,
                                 const struct arrival *arrival, uint64_t now_ns, struct tally *tally)
{
    const struct sink_cache *sink = &worker->sinks[handle];
    struct sink_state *state = &worker->state.sinks[handle];
    struct transport_cache *transport = &worker->transports[sink->transport];
    enum sink_action action = worker->shedding.level && !arrival->audio
                                  ? decide_less(worker, handle, arrival, tally)
                                  : switching_decide(sink, projection_current(state->copies), arrival);
    if (action == SINK_AWAIT) tally->awaited = true;
    if (action == SINK_IGNORE || action == SINK_AWAIT) return action;
    if (!adaptation_passes(worker, handle, arrival) && !leave_out(worker, handle, arrival, now_ns, tally))
        return action;
    if (transport->paced && !arrival->audio && must_wait(worker, sink, arrival, now_ns)) {
        wait_for_turn(worker, handle, arrival, action, now_ns, tally);
        return action;
    }
    uint8_t *out = egress_reserve(&worker->egress);
    uint32_t destination = out ? transport_destination(worker, sink->transport, now_ns) : TABLE_NONE;
    if (destination == TABLE_NONE) {
        tally->full++;
        return action;
    }
    struct projection_output output;
    int result = project(worker, handle, arrival, action, now_ns, &output);
    if (result != 0) {
        tally->late += result == -ESTALE;
        tally->exhausted += result == -EOVERFLOW;
        return action;
    }
    note_key_frame(worker, handle, arrival, action, &output);
    size_t header = write_header(worker, sink, arrival, &output, now_ns, out);
    /* The shared payload takes this sink's picture numbers just before it is encrypted: no copy of it is ever made. */
    if (arrival->has_vp8)
        vp8_rewrite(arrival->payload, &arrival->vp8, output.picture_id, output.tl0);
    size_t listed = sealed_csrcs(arrival->sealed);
    crypto_tags_later(!sink->resend); /* what is kept to be sent again is kept whole */
    int length = srtp_protect(&transport->tx, output.index, out, EGRESS_PACKET_MAX, header,
                              arrival->payload + listed, arrival->payload_length - listed + arrival->padding);
    crypto_tags_later(false);
    if (length < 0) {
        tally->exhausted += length == -EOVERFLOW;
        if (length != -EOVERFLOW) worker_count(worker, COUNTER_internal_errors, 1);
        return action;
    }
    egress_commit(&worker->egress, destination, sink->ssrc, (size_t)length);
    if (sink->resend)
        resend_keep(worker, handle, (uint16_t)output.index, out, (size_t)length, now_ns);
    state->packets++;
    state->octets += (uint32_t)arrival->payload_length;
    outgoing_sent(worker, sink->transport, (size_t)length, now_ns);
    tally->packets++;
    tally->bytes += (uint64_t)length;
    if (action == SINK_SWITCH) {
        tally->switches++;
        note_switch(worker, handle, arrival, now_ns);
    }
    return action;
}

/* A packet of padding only: the slots that carry its encoding close up, so that nobody asks for it. Where its number is taken already it stays
   a gap: who asks for it gets it as it was kept, empty. */
static void close_up(struct worker *worker, uint32_t handle, const struct arrival *arrival, uint64_t now_ns)
{
    struct projection_output unused;
    sequence_map_drop(&worker->maps[handle], worker->state.sinks[handle].copies, &arrival->input,
                      now_ns, &unused);
}

/* All that came of one source to one of its sinks. True: it waits for a key frame, and none of them was one. */
static bool relay_all_to(struct worker *worker, uint32_t handle, struct relayed *packets,
                         uint32_t first, uint64_t now_ns)
{
    uint32_t transport = worker->sinks[handle].transport;
    bool reachable = worker->transports[transport].tx_keyed && worker->timers[transport].send_until_ns > now_ns;
    bool awaits = false;
    for (uint32_t at = first; at != RELAY_NONE; at = packets[at].next) {
        const struct arrival *arrival = &packets[at].arrival;
        if (!arrival->payload_length) {
            close_up(worker, handle, arrival, now_ns);
        } else if (reachable) {
            enum sink_action action = relay_to(worker, handle, arrival, now_ns, &packets[at].tally);
            if (action != SINK_IGNORE) awaits = action == SINK_AWAIT;
        }
    }
    return awaits;
}

/* The sinks of one source from number `*at` on. False: the slab wants to be sent first, unless `all`; call again. */
static bool relay_sinks(struct worker *worker, struct relayed *packets, const struct relay_group *group,
                        uint32_t *at, bool *key_wanted, bool all, uint64_t now_ns)
{
    const struct fanout *fanout = &worker->fanout;
    const uint32_t *sinks = fanout->of_source + fanout->source_first[group->source];
    uint32_t count = fanout->source_first[group->source + 1] - fanout->source_first[group->source];
    for (uint32_t i = *at; i < count && i < *at + PREFETCH_AHEAD; i++)
        prefetch_sink(worker, sinks[i]);
    for (uint32_t i = *at; i < count; i++) {
        const struct egress *egress = &worker->egress;
        if (!all && (egress->used > RELAY_CHUNK || egress_room(egress) < group->count)) {
            *at = i;
            return false;
        }
        if (i + 2 * PREFETCH_AHEAD < count)
            __builtin_prefetch(&worker->sinks[sinks[i + 2 * PREFETCH_AHEAD]]);
        if (i + PREFETCH_AHEAD < count) prefetch_sink(worker, sinks[i + PREFETCH_AHEAD]);
        if (i + PREFETCH_AHEAD / 2 < count)
            prefetch_downlink(worker, sinks[i + PREFETCH_AHEAD / 2]);
        *key_wanted |= relay_all_to(worker, sinks[i], packets, group->first, now_ns);
    }
    return true;
}

/* No packet of the slab is without its tag after it. */
static bool relay_group(struct worker *worker, struct relayed *packets, const struct relay_group *group,
                        uint32_t *at, bool *key_wanted, bool all, uint64_t now_ns)
{
    bool done = relay_sinks(worker, packets, group, at, key_wanted, all, now_ns);
    crypto_tags_write();
    return done;
}

static void count_relayed(struct worker *worker, const struct relayed *packet, uint64_t now_ns)
{
    const struct tally *tally = &packet->tally;
    if (!packet->arrival.payload_length) return;
    if (tally->packets || tally->waited || tally->awaited)
        recovery_viewed(worker, &packet->arrival.input, now_ns);
    worker_count_forwarded(worker, worker->sources[packet->arrival.input.source].audio,
                           tally->packets, tally->bytes);
    if (!tally->packets && !tally->waited && !worker->sources[packet->arrival.input.source].exports)
        worker_count(worker, COUNTER_rtp_unsubscribed, 1);
    if (tally->late) worker_count(worker, COUNTER_rtp_late_dropped, tally->late);
    if (tally->shed)
        worker_count(worker, packet->arrival.input.encoding ? COUNTER_shed_higher_dropped : COUNTER_shed_lowest_dropped,
                     tally->shed);
    if (tally->full) worker_count(worker, COUNTER_egress_full_dropped, tally->full);
    if (tally->exhausted) worker_count(worker, COUNTER_index_exhausted_dropped, tally->exhausted);
    if (tally->switches) worker_count(worker, COUNTER_sink_switches, tally->switches);
}

static void end_group(struct worker *worker, const struct relayed *packets,
                      const struct relay_group *group, bool key_wanted, uint64_t now_ns)
{
    if (key_wanted) key_request(worker, group->source, now_ns);
    for (uint32_t at = group->first; at != RELAY_NONE; at = packets[at].next)
        count_relayed(worker, &packets[at], now_ns);
}

static uint32_t conference_of(const struct worker *worker, uint32_t source)
{ return worker->generation.transports[worker->sources[source].transport].conference; }

/* Sources of one conference after each other: what one receiver gets of all of them stands in one slab, and leaves in longer runs. */
static void sort_groups(struct relay_batch *batch)
{
    for (uint32_t i = 1; i < batch->group_count; i++) {
        struct relay_group moving = batch->groups[i];
        uint32_t at = i;
        for (; at && batch->groups[at - 1].conference > moving.conference; at--)
            batch->groups[at] = batch->groups[at - 1];
        batch->groups[at] = moving;
    }
}

/* Between two conferences is the best place to send the slab at: no receiver's run is cut. */
static bool ends_well(const struct worker *worker, const struct relay_batch *batch)
{
    return batch->group_at && !batch->sink_at && worker->egress.used > RELAY_CHUNK / 2 &&
           batch->groups[batch->group_at].conference != batch->groups[batch->group_at - 1].conference;
}

void relay_take(struct worker *worker, const struct arrival *arrival)
{
    struct relay_batch *batch = &worker->relaying;
    uint32_t number = batch->count++, source = arrival->input.source;
    batch->packets[number] = (struct relayed){.arrival = *arrival, .next = RELAY_NONE};
    if (!batch->group_of[source]) {
        batch->groups[batch->group_count++] = (struct relay_group){
            .source = source, .first = number, .last = number, .count = 1, .conference = conference_of(worker, source)};
        batch->group_of[source] = (uint16_t)batch->group_count;
        return;
    }
    struct relay_group *group = &batch->groups[batch->group_of[source] - 1];
    batch->packets[group->last].next = number;
    group->last = number;
    group->count++;
}

bool relay_release(struct worker *worker, bool all, uint64_t now_ns)
{
    struct relay_batch *batch = &worker->relaying;
    if (!batch->group_at && !batch->sink_at) sort_groups(batch);
    for (; batch->group_at < batch->group_count; batch->group_at++) {
        const struct relay_group *group = &batch->groups[batch->group_at];
        if (!all && ends_well(worker, batch)) return false;
        if (!relay_group(worker, batch->packets, group, &batch->sink_at, &batch->key_wanted, all, now_ns))
            return false;
        end_group(worker, batch->packets, group, batch->key_wanted, now_ns);
        batch->group_of[group->source] = 0;
        batch->sink_at = 0;
        batch->key_wanted = false;
    }
    batch->count = batch->group_count = batch->group_at = 0;
    return true;
}
