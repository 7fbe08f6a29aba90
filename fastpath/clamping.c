#include "clamping.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "adaptation.h"
#include "compounds.h"

/* IP, UDP and RTP headers on top of what an encoder is told, in percent: TMMBR counts them. Higher: the sender may send more than its viewers
   take. Lower: less than they could. */
#define TMMBR_OVERHEAD_PERCENT 107u

int clamping_open(struct worker *worker)
{
    struct clamping *clamping = &worker->adaptation->clamping;
    clamping->sources = calloc(worker->capacities.sources, sizeof *clamping->sources);
    clamping->viewers = calloc(worker->capacities.sinks, sizeof *clamping->viewers);
    clamping->pressed = calloc(worker->capacities.transports, sizeof *clamping->pressed);
    clamping->is_pressed = calloc(worker->capacities.transports, sizeof *clamping->is_pressed);
    return clamping->sources && clamping->viewers && clamping->pressed && clamping->is_pressed ? 0 : -ENOMEM;
}

void clamping_close(struct worker *worker)
{
    struct clamping *clamping = &worker->adaptation->clamping;
    free(clamping->sources);
    free(clamping->viewers);
    free(clamping->pressed);
    free(clamping->is_pressed);
}

/* The row's, with what the cache knows to be valid. */
static struct clamp_limits limits_of(const struct worker *worker, uint32_t source)
{
    struct clamp_limits limits = worker->generation.sources[source].limits;
    limits.encoding_count = worker->sources[source].encoding_count;
    limits.kind = worker->sources[source].kind;
    return limits;
}

bool clamping_clamps(const struct worker *worker, uint32_t source)
{
    const struct source_cache *cache = &worker->sources[source];
    return !cache->audio && worker->generation.sources[source].limits.max_bps[cache->encoding_count - 1];
}

uint8_t clamping_live(const struct worker *worker, uint32_t source, uint64_t now_ns)
{
    const struct source_cache *cache = &worker->sources[source];
    const struct source_state *state = &worker->state.sources[source];
    uint8_t live = 0;
    for (unsigned e = 0; e < cache->encoding_count; e++) {
        uint64_t last = state->encodings[e].last_packet_ns;
        if (last && now_ns - last <= LIMIT_ENCODING_SILENT_NS) live |= (uint8_t)(1u << e);
    }
    if (!live && cache->kind == SOURCE_SCREEN) live = cache->recent;
    if (now_ns - cache->resumed_ns <= LIMIT_ENCODING_SILENT_NS) live |= cache->resumed;
    return live;
}

static void fill_costs(struct worker *worker, uint32_t source, struct source_costs *costs, uint64_t now_ns)
{
    const struct source_cache *cache = &worker->sources[source];
    struct source_state *state = &worker->state.sources[source];
    struct clamp_limits limits = limits_of(worker, source);
    struct rate_hold holds[LIMIT_ENCODINGS] = {0};
    bool clamps = clamping_clamps(worker, source);
    memset(costs->entry_bps, 0, sizeof costs->entry_bps);
    for (uint8_t e = 0; e < cache->encoding_count; e++) {
        rate_roll(&state->rates[e], now_ns);
        if (!clamps) continue;
        holds[e] = clamp_hold(&state->clamp, e);
        costs->entry_bps[e] = state->clamp.encodings[e].entry_bps;
    }
    if (cache->audio && !limits.max_bps[0]) limits.max_bps[0] = CLAMPING_AUDIO_BPS;
    rate_costs_fill(&costs->costs, state->rates, holds, limits.max_bps, cache->encoding_count,
                    clamping_live(worker, source, now_ns), cache->kind == SOURCE_SCREEN, now_ns);
    costs->made_ns = now_ns ? now_ns : 1;
}

const struct source_costs *clamping_costs(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    struct source_costs *costs = &worker->adaptation->clamping.sources[source];
    if (!costs->made_ns || now_ns - costs->made_ns >= CLAMPING_COSTS_NS)
        fill_costs(worker, source, costs, now_ns);
    return costs;
}

void clamping_press(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    if (worker->sources[source].home) {
        handover_press(worker, source, now_ns);
        return;
    }
    clamping_press_sender(worker, worker->sources[source].transport);
    if (worker->adaptation->next_ns > now_ns + ADAPTATION_SCAN_NS)
        worker->adaptation->next_ns = now_ns + ADAPTATION_SCAN_NS;
}

void clamping_press_sender(struct worker *worker, uint32_t transport)
{
    struct clamping *clamping = &worker->adaptation->clamping;
    if (clamping->is_pressed[transport]) return;
    clamping->is_pressed[transport] = true;
    clamping->pressed[clamping->pressed_count++] = transport;
}

size_t clamping_gather(struct worker *worker, uint32_t source, struct clamp_viewer *viewers,
                       uint32_t *lost_sum, uint32_t *lost_most, uint64_t now_ns)
{
    const struct fanout *fanout = &worker->fanout;
    size_t count = 0;
    *lost_sum = *lost_most = 0;
    for (uint32_t i = fanout->source_first[source]; i < fanout->source_first[source + 1]; i++) {
        uint32_t handle = fanout->of_source[i];
        const struct sink_cache *sink = &worker->sinks[handle];
        if (i + 4 < fanout->source_first[source + 1])
            __builtin_prefetch(&worker->state.sinks[fanout->of_source[i + 4]].allocation);
        if (!sink->incarnation || sink->source != source || worker->timers[sink->transport].send_until_ns <= now_ns)
            continue;
        const struct sink_state *state = &worker->state.sinks[handle];
        const struct allocation_state *allocation = &state->allocation;
        if (!allocation->wish || allocation->wish & ALLOCATION_WISH_HIDDEN || state->wished_source != source)
            continue;
        *lost_sum += state->fraction_lost;
        if (state->fraction_lost > *lost_most) *lost_most = state->fraction_lost;
        viewers[count++] = (struct clamp_viewer){.share_bps = allocation->share_bps,
                                                 .max_encoding = allocation->wish >> ALLOCATION_WISH_MAX_SHIFT,
                                                 .bid = allocation->bid,
                                                 .encoding = allocation->encoding};
    }
    return count;
}

/* What it sends unasked counts as asked for: it is told off when nobody views it. */
static void take_up(struct worker *worker, uint32_t source, const struct clamp_limits *limits, uint64_t now_ns)
{
    struct source_state *state = &worker->state.sources[source];
    uint8_t live = clamping_live(worker, source, now_ns);
    for (uint8_t e = 0; e < limits->encoding_count; e++) {
        struct clamp_encoding *clamp = &state->clamp.encodings[e];
        if (clamp->told || clamp->target_bps || !(live & 1u << e)) continue;
        clamp->target_bps = limits->max_bps[e];
        clamp->viewed_ns = clamp->moved_ns = clamp->lowered_ns = now_ns;
        clamp_told(&state->clamp, e, now_ns);
    }
}

/* By TMMBR, whether or not control is there to hear of it; as soon as it can be asked. */
static void request_rate(struct worker *worker, uint32_t source, uint8_t encoding, uint32_t bps, uint64_t now_ns)
{
    const struct tmmbr *asked = &worker->tmmbr[source];
    uint64_t whole = (uint64_t)bps * TMMBR_OVERHEAD_PERCENT / 100;
    if (!worker->generation.sources[source].tmmbr) return;
    uint64_t before = asked->incarnation == worker->sources[source].incarnation ? asked->bps[encoding] : 0;
    if (before != whole) compound_send_tmmbr(worker, source, encoding, whole, now_ns);
}

static void clamp_and_tell(struct worker *worker, uint32_t source, size_t viewers, uint64_t now_ns)
{
    struct source_state *state = &worker->state.sources[source];
    struct clamp_limits limits = limits_of(worker, source);
    uint32_t transport = worker->sources[source].transport;
    take_up(worker, source, &limits, now_ns);
    uint8_t telling =
        clamp_update(&state->clamp, &limits, worker->adaptation->clamping.viewers, viewers, now_ns);
    worker->adaptation->clamping.sources[source].made_ns = 0;
    handover_clamp(worker, source, now_ns);
    for (uint8_t e = 0; e < limits.encoding_count; e++) {
        bool tells = telling >> e & 1;
        struct clamp_order order = clamp_order(&state->clamp, &limits, e);
        request_rate(worker, source, e, tells ? order.bps : state->clamp.encodings[e].told_bps, now_ns);
        if (tells && worker_tell(worker, UPLINK_SEND_TARGET, transport, source, e, &order, sizeof order, now_ns))
            clamp_told(&state->clamp, e, now_ns);
    }
}

static bool moved(uint32_t before, uint32_t after)
{ return before > after + CLAMPING_LOSS || after > before + CLAMPING_LOSS; }

static void tell_viewers(struct worker *worker, uint32_t source, size_t viewers, uint32_t lost_sum,
                         uint32_t lost_most, uint64_t now_ns)
{
    struct source_costs *costs = &worker->adaptation->clamping.sources[source];
    struct source_state *state = &worker->state.sources[source];
    if (now_ns < costs->viewers_due_ns) return;
    uint32_t mean = viewers ? lost_sum / (uint32_t)viewers : 0, told = state->lost_told;
    if (mean > 255) mean = 255;
    if (lost_most > 255) lost_most = 255;
    if (viewers > UINT16_MAX) viewers = UINT16_MAX;
    if (told >> 16 == viewers && !moved(told & 255, mean) && !moved(told >> 8 & 255, lost_most))
        return;
    uint32_t value = (uint32_t)viewers << 16 | lost_most << 8 | mean;
    if (!worker_tell(worker, UPLINK_VIEWERS, worker->sources[source].transport, source, value, NULL, 0, now_ns))
        return;
    state->lost_told = value;
    costs->viewers_due_ns = now_ns + CLAMPING_VIEWERS_NS;
}

struct upstream { /* of one sender's transport */
    uint64_t video, most, audio;
    bool clamps, held;
};

static void look_at_source(struct worker *worker, uint32_t source, struct upstream *upstream, uint64_t now_ns)
{
    const struct source_cache *cache = &worker->sources[source];
    const struct source_state *state = &worker->state.sources[source];
    uint32_t lost_sum, lost_most;
    size_t viewers = 0;
    if (!cache->muted) {
        struct clamp_viewer *all = worker->adaptation->clamping.viewers;
        viewers = clamping_gather(worker, source, all, &lost_sum, &lost_most, now_ns);
        viewers = handover_far_viewers(worker, source, all, viewers, worker->capacities.sinks,
                                       &lost_sum, &lost_most, now_ns);
        tell_viewers(worker, source, viewers, lost_sum, lost_most, now_ns);
    }
    if (cache->audio) {
        uint32_t declared = worker->generation.sources[source].limits.max_bps[0];
        uint32_t measured = rate_of(&state->rates[0], RATES_TEMPORAL - 1);
        if (!declared) declared = CLAMPING_AUDIO_BPS;
        upstream->audio += measured > declared ? measured : declared;
        return;
    }
    if (!clamping_clamps(worker, source)) return;
    if (!cache->muted)
        clamp_and_tell(worker, source, viewers, now_ns); /* else as it was, for when it is back */
    upstream->clamps = true;
    upstream->video += clamp_sum(&state->clamp, cache->encoding_count);
    for (unsigned e = 0; e < cache->encoding_count; e++) {
        uint32_t target = state->clamp.encodings[e].target_bps;
        uint32_t most = worker->generation.sources[source].limits.max_bps[e];
        upstream->most += most;
        upstream->held |= target && target < most;
    }
}

/* REMB bounds the sum only while somebody holds an encoding down: a sender that is held for nobody keeps the room that it has found, so that what
   is asked of it next comes at once. */
static void remb(struct worker *worker, uint32_t transport, const struct upstream *upstream, uint64_t now_ns)
{
    struct clamp_remb *state = &worker->state.transports[transport].remb;
    uint32_t most = worker->generation.transports[transport].remb_bps;
    if (!upstream->clamps || (!upstream->held && !state->told_bps)) return;
    uint64_t video = upstream->held ? upstream->video : most ? most : 2 * upstream->most;
    uint32_t bps =
        clamp_remb_bps(video > UINT32_MAX ? UINT32_MAX : (uint32_t)video, (uint32_t)upstream->audio, most);
    struct clamp_remb before = *state;
    if (clamp_remb_due(state, bps, now_ns) && !compound_send_remb(worker, transport, bps, now_ns))
        *state = before;
}

static void look_at(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    const struct transport_row *row = &worker->generation.transports[transport];
    struct upstream upstream = {0};
    if (!worker->transports[transport].incarnation) return;
    for (unsigned i = 0; i < LIMIT_SOURCES_PER_TRANSPORT; i++) {
        uint32_t source = row->sources[i];
        if (source < worker->capacities.sources && worker->sources[source].incarnation &&
            worker->sources[source].transport == transport)
            look_at_source(worker, source, &upstream, now_ns);
    }
    remb(worker, transport, &upstream, now_ns);
}

void clamping_tick(struct worker *worker, uint64_t now_ns)
{
    struct clamping *clamping = &worker->adaptation->clamping;
    for (uint32_t i = 0; i < clamping->pressed_count; i++) {
        clamping->is_pressed[clamping->pressed[i]] = false;
        look_at(worker, clamping->pressed[i], now_ns);
    }
    clamping->pressed_count = 0;
}
