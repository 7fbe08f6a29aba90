#include "fanout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "adaptation.h"
#include "feedback.h"
#include "layering.h"
#include "projection.h"
#include "sealed.h"
#include "worker.h"

int fanout_open(struct fanout *fanout, struct table_capacities capacities)
{
    fanout->of_source = calloc((size_t)capacities.sinks * 2 + 1, sizeof(uint32_t));
    fanout->source_first = calloc((size_t)capacities.sources + 2, sizeof(uint32_t));
    fanout->of_transport = calloc((size_t)capacities.sinks + 1, sizeof(uint32_t));
    fanout->transport_first = calloc((size_t)capacities.transports + 2, sizeof(uint32_t));
    if (fanout->of_source && fanout->source_first && fanout->of_transport && fanout->transport_first)
        return 0;
    fanout_close(fanout);
    return -ENOMEM;
}

void fanout_close(struct fanout *fanout)
{
    free(fanout->of_source);
    free(fanout->source_first);
    free(fanout->of_transport);
    free(fanout->transport_first);
    *fanout = (struct fanout){0};
}

static bool source_valid(const struct worker *worker, const struct source_row *row)
{
    return row->transport < worker->capacities.transports && row->transport_incarnation &&
           worker->transports[row->transport].incarnation == row->transport_incarnation &&
           row->encoding_count >= 1 && row->encoding_count <= LIMIT_ENCODINGS &&
           row->clock_rate >= 1000 && row->codec <= CODEC_SEALED && row->kind <= SOURCE_SCREEN_AUDIO;
}

static void adopt_source(struct worker *worker, uint32_t handle)
{
    struct source_cache *cache = &worker->sources[handle];
    struct source_state *state = &worker->state.sources[handle];
    const struct source_row *row = NULL;
    if (handle < worker->generation.head->source_limit && worker->generation.sources[handle].incarnation)
        row = &worker->generation.sources[handle];
    if (row && row->check != row_check(row, sizeof *row)) {
        worker_count(worker, COUNTER_rows_invalid_dropped, 1);
        cache->incarnation = 0;
        return;
    }
    if (!row || !source_valid(worker, row)) {
        if (cache->incarnation && !row) state_row_reset(state, sizeof *state, 0);
        cache->incarnation = 0;
        recovery_adopt(worker, handle, 0);
        layering_adopt(worker, handle, 0);
        handover_adopt_source(worker, handle, NULL);
        return;
    }
    if (state->incarnation != row->incarnation)
        state_row_reset(state, sizeof *state, row->incarnation);
    if (cache->incarnation != row->incarnation) {
        bool waiting = cache->waiting;
        handover_adopt_source(worker, handle, NULL);
        *cache = (struct source_cache){.incarnation = row->incarnation, .waiting = waiting};
        for (unsigned i = 0; i < LIMIT_ENCODINGS; i++) cache->windows[i] = ++worker->windows;
        worker->adaptation->loudness.told[handle] = 0;
    }
    cache->transport = row->transport;
    cache->member = row->member;
    cache->clock_rate = row->clock_rate;
    cache->kind = row->kind;
    cache->codec = row->codec;
    cache->muted = row->muted;
    cache->encoding_count = row->encoding_count;
    cache->audio = row->kind == SOURCE_AUDIO || row->kind == SOURCE_SCREEN_AUDIO;
    cache->sealed = row->codec == CODEC_SEALED;
    /* Whoever was assigned it by this generation is told where it stands. */
    memset(cache->inner_told, 0, sizeof cache->inner_told);
    handover_adopt_source(worker, handle, row);
    recovery_adopt(worker, handle, row->incarnation);
    layering_adopt(worker, handle, row->incarnation);
    if (row->muted) speaker_mute(&state->speaker);
    if (state->key_request_pending_ns && !cache->waiting) { /* a predecessor was killed while somebody waited */
        cache->waiting = true;
        worker->waiting[worker->waiting_count++] = handle;
    }
}

static bool source_live(const struct worker *worker, uint32_t handle, uint32_t incarnation)
{
    return handle < worker->capacities.sources && incarnation &&
           worker->sources[handle].incarnation == incarnation && !worker->sources[handle].muted;
}

/* Whoever the worker put there, as long as he may stay. */
static void seat(struct worker *worker, uint32_t handle)
{
    struct sink_cache *cache = &worker->sinks[handle];
    cache->source = loudness_source(worker, handle);
    cache->source_incarnation = cache->source == TABLE_NONE ? 0 : worker->sources[cache->source].incarnation;
}

/* Its deal goes on, over generations and over a kill. One that was never dealt with may have all it wants until it is. */
static void take_deal(struct worker *worker, uint32_t handle, const struct sink_cache *before)
{
    struct sink_cache *cache = &worker->sinks[handle];
    const struct sink_row *row = &worker->generation.sinks[handle];
    const struct allocation_state *deal = &worker->state.sinks[handle].allocation;
    cache->encoding = row->max_encoding < LIMIT_ENCODINGS ? row->max_encoding : LIMIT_ENCODINGS - 1;
    cache->temporal = RATES_TEMPORAL - 1;
    if (row->hidden) cache->encoding = ALLOCATION_NOTHING;
    if (!deal->wish) return;
    bool known = before->incarnation == cache->incarnation;
    cache->encoding = known ? before->encoding : deal->encoding;
    cache->temporal = known ? before->temporal : deal->temporal;
    cache->layers = known ? before->layers : 0;
}

static void adopt_sink(struct worker *worker, uint32_t handle)
{
    struct sink_cache *cache = &worker->sinks[handle];
    struct sink_state *state = &worker->state.sinks[handle];
    const struct sink_row *row = NULL;
    if (handle < worker->generation.head->sink_limit && worker->generation.sinks[handle].incarnation)
        row = &worker->generation.sinks[handle];
    if (row && row->check != row_check(row, sizeof *row)) {
        worker_count(worker, COUNTER_rows_invalid_dropped, 1);
        cache->incarnation = 0;
        return;
    }
    if (!row || row->transport >= worker->capacities.transports || !row->transport_incarnation ||
        worker->transports[row->transport].incarnation != row->transport_incarnation || row->clock_rate < 1000) {
        cache->incarnation = 0;
        return;
    }
    if (state->incarnation != row->incarnation) {
        state_row_reset(state, sizeof *state, row->incarnation);
        state->ssrc = row->ssrc;
    }
    if (cache->incarnation != row->incarnation && worker->maps[handle].count)
        worker->maps[handle].count = 0;
    const struct extension_ids *ids = &worker->generation.transports[row->transport].ext;
    struct sink_cache before = *cache;
    bool live = source_live(worker, row->source, row->source_incarnation);
    *cache = (struct sink_cache){
        .incarnation = row->incarnation,
        .transport = row->transport,
        .source = live ? row->source : TABLE_NONE,
        .source_incarnation = live ? row->source_incarnation : 0,
        .ssrc = row->ssrc,
        .clock_rate = row->clock_rate,
        .payload_type = row->payload_type & 0x7f,
        .audio_level_id = ids->audio_level,
        .abs_send_time_id = ids->abs_send_time,
        .resend = row->resend && (row->kind == SOURCE_AUDIO || row->kind == SOURCE_SCREEN_AUDIO),
        .report_now = before.incarnation == row->incarnation && before.report_now,
    };
    if (row->loudest) seat(worker, handle);
    sealed_adopt(worker, handle);
    take_deal(worker, handle, &before);
}

/* What the sink still carries besides its target, TABLE_NONE when that is nothing. Ends what may not go on: a sink without a
   target stops at once, and so does one whose target or old source is muted or gone. */
static uint32_t settle_carried(struct worker *worker, uint32_t handle)
{
    const struct sink_cache *cache = &worker->sinks[handle];
    struct sink_state *state = &worker->state.sinks[handle];
    const struct projection *current = projection_current(state->copies);
    if (!current->started || current->source == TABLE_NONE) return TABLE_NONE;
    if (cache->source == TABLE_NONE || !source_live(worker, current->source, current->source_incarnation)) {
        projection_end(state->copies);
        return TABLE_NONE;
    }
    return current->source == cache->source ? TABLE_NONE : current->source;
}

void fanout_place(struct worker *worker)
{
    struct fanout *fanout = &worker->fanout;
    uint32_t sources = worker->capacities.sources, transports = worker->capacities.transports;
    uint32_t limit = worker->generation.head->sink_limit;
    memset(fanout->source_first, 0, ((size_t)sources + 2) * sizeof(uint32_t));
    memset(fanout->transport_first, 0, ((size_t)transports + 2) * sizeof(uint32_t));
    /* Counts stand two further on, so that placing moves each list's end to where the next one begins. */
    for (uint32_t handle = 0; handle < limit; handle++) {
        const struct sink_cache *sink = &worker->sinks[handle];
        if (!sink->incarnation) continue;
        fanout->transport_first[sink->transport + 2]++;
        uint32_t carried = settle_carried(worker, handle);
        if (sink->source != TABLE_NONE) fanout->source_first[sink->source + 2]++;
        if (carried != TABLE_NONE) fanout->source_first[carried + 2]++;
    }
    fanout->longest = 0;
    for (uint32_t i = 2; i < sources + 2; i++) {
        if (fanout->source_first[i] > fanout->longest) fanout->longest = fanout->source_first[i];
        fanout->source_first[i] += fanout->source_first[i - 1];
    }
    for (uint32_t i = 2; i < transports + 2; i++)
        fanout->transport_first[i] += fanout->transport_first[i - 1];
    for (uint32_t handle = 0; handle < limit; handle++) {
        const struct sink_cache *sink = &worker->sinks[handle];
        if (!sink->incarnation) continue;
        fanout->of_transport[fanout->transport_first[sink->transport + 1]++] = handle;
        const struct projection *current = projection_current(worker->state.sinks[handle].copies);
        if (sink->source != TABLE_NONE)
            fanout->of_source[fanout->source_first[sink->source + 1]++] = handle;
        if (current->started && current->source != TABLE_NONE && current->source != sink->source)
            fanout->of_source[fanout->source_first[current->source + 1]++] = handle;
    }
}

void fanout_adopt(struct worker *worker, uint64_t now_ns)
{
    const struct config_generation *head = worker->generation.head;
    uint32_t sources =
        head->source_limit > worker->reach.sources ? head->source_limit : worker->reach.sources;
    uint32_t sinks = head->sink_limit > worker->reach.sinks ? head->sink_limit : worker->reach.sinks;
    for (uint32_t handle = 0; handle < sources; handle++) adopt_source(worker, handle);
    transports_rebind(worker);
    for (uint32_t handle = 0; handle < sinks; handle++) adopt_sink(worker, handle);
    fanout_place(worker);
    handover_adopt(worker, now_ns);
    adaptation_adopt(worker, now_ns);
    for (uint32_t handle = 0; handle < worker->generation.head->sink_limit; handle++) {
        const struct sink_cache *sink = &worker->sinks[handle];
        if (!sink->incarnation || sink->source == TABLE_NONE ||
            worker->sources[sink->source].audio || sink->encoding == ALLOCATION_NOTHING)
            continue;
        const struct projection *current = projection_current(worker->state.sinks[handle].copies);
        if (!current->started || current->source != sink->source || current->source_incarnation != sink->source_incarnation)
            key_request(worker, sink->source, now_ns);
    }
}

uint32_t fanout_sink_of_ssrc(const struct worker *worker, uint32_t transport, uint32_t ssrc)
{
    const struct fanout *fanout = &worker->fanout;
    for (uint32_t i = fanout->transport_first[transport]; i < fanout->transport_first[transport + 1]; i++)
        if (worker->sinks[fanout->of_transport[i]].ssrc == ssrc) return fanout->of_transport[i];
    return TABLE_NONE;
}

uint32_t fanout_sink_asked_for(const struct worker *worker, uint32_t transport, uint32_t ssrc)
{
    const struct fanout *fanout = &worker->fanout;
    uint32_t sink = fanout_sink_of_ssrc(worker, transport, ssrc);
    if (sink != TABLE_NONE) return sink;
    for (uint32_t i = fanout->transport_first[transport]; i < fanout->transport_first[transport + 1]; i++)
        if (sealed_has(worker, fanout->of_transport[i], ssrc)) return fanout->of_transport[i];
    return TABLE_NONE;
}

void fanout_end_sinks_of(struct worker *worker, uint32_t transport)
{
    const struct fanout *fanout = &worker->fanout;
    for (uint32_t i = fanout->transport_first[transport]; i < fanout->transport_first[transport + 1]; i++)
        projection_end(worker->state.sinks[fanout->of_transport[i]].copies);
}
