#include "adaptation.h"

#include <errno.h>
#include <stdlib.h>

#include "downlink.h"
#include "feedback.h"
#include "layering.h"
#include "projection.h"

/* How much more than what everything wished for costs the estimate is probed for, in percent. Lower: the last layer may stay a hair out of reach. */
#define WANTED_PERCENT 110u
/* A share that shrank below this part of itself, in percent, is told to the clamp at once. Higher: more passes over viewers. Lower: the
   sender follows up to ADAPTATION_INTERVAL_NS later. */
#define FALLEN_PERCENT 95u
#define WISH_SEEN 0x8000u /* so that a wish is never 0 */

int adaptation_open(struct worker *worker)
{
    struct adaptation *adaptation = worker->adaptation = calloc(1, sizeof *adaptation);
    if (!adaptation) return -ENOMEM;
    adaptation->sinks = calloc(worker->capacities.sinks, sizeof *adaptation->sinks);
    adaptation->layers = calloc(worker->capacities.sources, sizeof *adaptation->layers);
    adaptation->due_ns = calloc(worker->capacities.transports, sizeof *adaptation->due_ns);
    adaptation->next_ns = UINT64_MAX;
    if (!adaptation->sinks || !adaptation->layers || !adaptation->due_ns || clamping_open(worker) != 0)
        return -ENOMEM;
    return loudness_open(worker);
}

void adaptation_close(struct worker *worker)
{
    struct adaptation *adaptation = worker->adaptation;
    if (!adaptation) return;
    for (uint32_t i = 0; adaptation->layers && i < worker->capacities.sources; i++)
        free(adaptation->layers[i].encodings);
    clamping_close(worker);
    loudness_close(worker);
    free(adaptation->sinks);
    free(adaptation->layers);
    free(adaptation->due_ns);
    free(adaptation);
    worker->adaptation = NULL;
}

/* ---- one receiver ---- */

static bool can_be_sent(const struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    return worker->transports[transport].incarnation && worker->transports[transport].tx_keyed &&
           worker->timers[transport].send_until_ns > now_ns;
}

static struct allocation_wish wish_of(struct worker *worker, uint32_t handle, uint64_t now_ns)
{
    const struct sink_cache *sink = &worker->sinks[handle];
    const struct sink_row *row = &worker->generation.sinks[handle];
    struct allocation_wish wish = {.sink = handle, .kind = row->kind, .priority = row->priority, .hidden = 1};
    if (sink->source == TABLE_NONE) return wish;
    const struct source_cache *source = &worker->sources[sink->source];
    const struct source_costs *costs = clamping_costs(worker, sink->source, now_ns);
    uint8_t highest = (uint8_t)(source->encoding_count - 1);
    wish.kind = source->kind;
    wish.focus = row->focus != 0;
    wish.hidden = row->hidden != 0;
    wish.max_encoding = row->max_encoding < highest ? row->max_encoding : highest;
    wish.most_bps = worker->generation.sources[sink->source].limits.max_bps[wish.max_encoding];
    wish.costs = costs->costs;
    for (unsigned e = 0; e < LIMIT_ENCODINGS; e++) wish.entry_bps[e] = costs->entry_bps[e];
    return wish;
}

static uint32_t beyond_wish(const struct worker *worker, const struct allocation_wish *wish)
{
    uint32_t source = worker->sinks[wish->sink].source;
    if (source == TABLE_NONE || worker->sources[source].audio) return 0;
    uint32_t best =
        worker->generation.sources[source].limits.max_bps[worker->sources[source].encoding_count - 1];
    uint32_t wished = wish->hidden ? 0 : wish->most_bps;
    return best > wished ? best - wished : 0;
}

/* The allocation's memory is about one source. */
static void follow_source(struct worker *worker, uint32_t handle)
{
    struct sink_state *state = &worker->state.sinks[handle];
    const struct sink_cache *sink = &worker->sinks[handle];
    struct sink_adaptation *own = &worker->adaptation->sinks[handle];
    bool other = state->wished_source != sink->source ||
                 (own->source == sink->source && own->source_incarnation != sink->source_incarnation);
    own->source = sink->source;
    own->source_incarnation = sink->source_incarnation;
    if (!other) return;
    state->allocation = (struct allocation_state){0};
    table_barrier();
    state->wished_source = sink->source;
}

/* Before its layers are filtered: where it is in the stream, which nobody noted while all of it passed. */
void adaptation_resume(struct worker *worker, uint32_t handle)
{
    struct sink_cache *sink = &worker->sinks[handle];
    struct layer_filter *filter = &worker->adaptation->sinks[handle].filter;
    if (sink->layers != SINK_LAYERS_ALL) return;
    const struct projection *current = projection_current(worker->state.sinks[handle].copies);
    layer_begin(filter, LAYER_ALL, current->last_timestamp - current->timestamp_offset);
    sink->layers = 0;
}

/* What the slot should carry of its source now and does not. */
static void ask_for_deal(struct worker *worker, uint32_t handle, uint64_t now_ns)
{
    const struct sink_cache *sink = &worker->sinks[handle];
    const struct projection *current = projection_current(worker->state.sinks[handle].copies);
    if (sink->source == TABLE_NONE || worker->sources[sink->source].audio) return;
    uint8_t live = clamping_live(worker, sink->source, now_ns) & (uint8_t)((2u << sink->encoding) - 1);
    uint8_t wanted = live ? (uint8_t)(31 - __builtin_clz(live)) : 0;
    if (!current->started || current->source != sink->source ||
        current->source_incarnation != sink->source_incarnation || current->encoding != wanted)
        key_request(worker, sink->source, now_ns);
}

/* A paused slot says nothing more, but for what was lost of its last; the next key frame goes on where it stopped. */
static void pause(struct worker *worker, uint32_t handle)
{
    struct projection *copies = worker->state.sinks[handle].copies;
    const struct projection *current = projection_current(copies);
    if (current->started && current->source != TABLE_NONE)
        sequence_map_end(&worker->maps[handle], copies);
}

static void deal(struct worker *worker, uint32_t handle, uint64_t now_ns)
{
    struct sink_cache *sink = &worker->sinks[handle];
    const struct allocation_state *state = &worker->state.sinks[handle].allocation;
    bool other = sink->encoding != state->encoding, layers = sink->temporal != state->temporal;
    if (!other && !layers) return;
    adaptation_resume(worker, handle);
    sink->encoding = state->encoding;
    sink->temporal = state->temporal;
    if (sink->encoding == ALLOCATION_NOTHING)
        pause(worker, handle);
    else if (other)
        ask_for_deal(worker, handle, now_ns);
}

static void tell_deal(struct worker *worker, uint32_t handle, uint64_t now_ns)
{
    const struct sink_cache *sink = &worker->sinks[handle];
    struct sink_adaptation *own = &worker->adaptation->sinks[handle];
    if (own->told_encoding == sink->encoding && own->told_temporal == sink->temporal) return;
    uint32_t value = sink->encoding == ALLOCATION_NOTHING ? ALLOCATION_NOTHING
                                                          : sink->encoding | (uint32_t)sink->temporal << 8;
    if (!worker_tell(worker, UPLINK_SINK_DEAL, sink->transport, handle, value, NULL, 0, now_ns))
        return;
    own->told_encoding = sink->encoding;
    own->told_temporal = sink->temporal;
}

/* Must the sender hear of this viewer before its own turn? When it asks for something else, or takes less than is sent. */
static bool presses(const struct worker *worker, uint32_t source,
                    const struct allocation_state *before, const struct allocation_state *after)
{
    if (before->bid != after->bid || before->encoding != after->encoding || !before->wish)
        return true;
    if (after->bid >= LIMIT_ENCODINGS || (uint64_t)after->share_bps * 100 >= (uint64_t)before->share_bps * FALLEN_PERCENT)
        return false;
    return after->share_bps < worker->state.sources[source].clamp.encodings[after->bid].target_bps;
}

struct dealing { /* of one receiver */
    struct allocation_wish wishes[ALLOCATION_SINKS];
    struct allocation_state *states[ALLOCATION_SINKS];
    struct allocation_state before[ALLOCATION_SINKS];
    size_t count;
    uint32_t beyond_bps; /* what one click could add: the greatest of what sources are sent at best above what is wished for */
};

/* Those who look at something first: of too many sinks the hidden ones are left out. */
static void gather(struct worker *worker, uint32_t transport, struct dealing *dealing, uint8_t hidden, uint64_t now_ns)
{
    const struct fanout *fanout = &worker->fanout;
    for (uint32_t i = fanout->transport_first[transport]; i < fanout->transport_first[transport + 1]; i++) {
        uint32_t handle = fanout->of_transport[i];
        if (!worker->sinks[handle].incarnation) continue;
        bool is_hidden =
            worker->sinks[handle].source == TABLE_NONE || worker->generation.sinks[handle].hidden;
        if (is_hidden != hidden) continue;
        struct allocation_state *state = &worker->state.sinks[handle].allocation;
        follow_source(worker, handle);
        if (dealing->count == ALLOCATION_SINKS) {
            *state = (struct allocation_state){.encoding = ALLOCATION_NOTHING, .bid = ALLOCATION_NOTHING};
            deal(worker, handle, now_ns);
            continue;
        }
        dealing->wishes[dealing->count] = wish_of(worker, handle, now_ns);
        uint32_t beyond = beyond_wish(worker, &dealing->wishes[dealing->count]);
        if (beyond > dealing->beyond_bps) dealing->beyond_bps = beyond;
        dealing->before[dealing->count] = *state;
        dealing->states[dealing->count++] = state;
    }
}

static void allocate_for(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct dealing dealing;
    struct allocation_total *total = &worker->state.downlinks[transport].total;
    dealing.count = dealing.beyond_bps = 0;
    gather(worker, transport, &dealing, 0, now_ns);
    gather(worker, transport, &dealing, 1, now_ns);
    if (!dealing.count) return;
    allocate(downlink_bps(worker, transport), dealing.wishes, dealing.states, dealing.count, now_ns, total);
    for (size_t i = 0; i < dealing.count; i++) {
        uint32_t handle = dealing.wishes[i].sink, source = worker->sinks[handle].source;
        deal(worker, handle, now_ns);
        if (source == TABLE_NONE || worker->sources[source].audio) continue;
        tell_deal(worker, handle, now_ns);
        if (dealing.states[i]->temporal < RATES_TEMPORAL - 1)
            worker->adaptation->layers[source].wanted = true;
        if (presses(worker, source, &dealing.before[i], dealing.states[i]))
            clamping_press(worker, source, now_ns);
    }
    uint64_t wanted = (uint64_t)total->wanted_bps * WANTED_PERCENT / 100;
    if (wanted < total->next_bps) wanted = total->next_bps;
    uint64_t could = wanted + (uint64_t)dealing.beyond_bps * WANTED_PERCENT / 100;
    downlink_want(worker, transport, wanted > UINT32_MAX ? UINT32_MAX : (uint32_t)wanted,
                  could > UINT32_MAX ? UINT32_MAX : (uint32_t)could);
}

bool adaptation_filters(struct worker *worker, uint32_t handle, const struct arrival *arrival)
{
    struct sink_cache *sink = &worker->sinks[handle];
    struct layer_filter *filter = &worker->adaptation->sinks[handle].filter;
    int highest = allocation_temporal(sink->encoding, sink->temporal, arrival->input.encoding);
    uint8_t wanted = highest < 0                          ? 0
                     : highest >= (int)RATES_TEMPORAL - 1 ? LAYER_ALL
                                                          : (uint8_t)highest;
    if (!projection_carries(projection_current(worker->state.sinks[handle].copies), &arrival->input))
        layer_begin(filter, wanted, arrival->input.timestamp);
    bool passes = layer_passes(filter, &arrival->layer, wanted, arrival->input.timestamp);
    if (wanted == LAYER_ALL && layer_settled(filter)) sink->layers = SINK_LAYERS_ALL;
    return passes;
}

/* ---- all of them ---- */

static void due_at(struct worker *worker, uint32_t transport, uint64_t due_ns)
{
    worker->adaptation->due_ns[transport] = due_ns;
    if (due_ns < worker->adaptation->next_ns) worker->adaptation->next_ns = due_ns;
}

/* Looks at one receiver that is also a sender; when to look again. */
static uint64_t look_at(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    if (!can_be_sent(worker, transport, now_ns)) return now_ns + ADAPTATION_SCAN_NS;
    allocate_for(worker, transport, now_ns);
    clamping_press_sender(worker, transport);
    return now_ns + ADAPTATION_INTERVAL_NS * 9 / 10 + worker_random(worker) % (ADAPTATION_INTERVAL_NS / 5);
}

static void look_at_due(struct worker *worker, uint64_t now_ns)
{
    struct adaptation *adaptation = worker->adaptation;
    uint32_t limit = worker->generation.head->transport_limit, looked = 0;
    uint64_t next = UINT64_MAX;
    uint32_t transport = adaptation->cursor < limit ? adaptation->cursor : 0;
    for (uint32_t i = 0; i < limit; i++, transport = transport + 1 < limit ? transport + 1 : 0) {
        uint64_t *due = &adaptation->due_ns[transport];
        if (!*due) continue;
        if (*due <= now_ns && looked++ == ADAPTATION_AT_ONCE) { /* the others with the next look */
            adaptation->cursor = transport;
            next = now_ns;
            break;
        }
        if (*due <= now_ns) *due = look_at(worker, transport, now_ns);
        if (*due < next) next = *due;
    }
    adaptation->next_ns = next < now_ns + ADAPTATION_SCAN_NS ? now_ns + ADAPTATION_SCAN_NS : next;
    clamping_tick(worker, now_ns);
}

void adaptation_estimate(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    if (worker->adaptation->due_ns[transport]) due_at(worker, transport, now_ns);
}

void adaptation_tick(struct worker *worker, uint64_t now_ns)
{
    if (worker->adaptation->loudness.due_ns <= now_ns) loudness_tick(worker, now_ns);
    if (worker->adaptation->next_ns <= now_ns) look_at_due(worker, now_ns);
}

uint64_t adaptation_due_ns(const struct worker *worker)
{
    const struct adaptation *adaptation = worker->adaptation;
    return adaptation->next_ns < adaptation->loudness.due_ns ? adaptation->next_ns
                                                             : adaptation->loudness.due_ns;
}

/* ---- a new generation ---- */

/* What the row wishes, in one word. */
static uint16_t wish_word(const struct sink_row *row)
{
    return (uint16_t)(WISH_SEEN | (row->max_encoding & 7u) | (row->focus ? 8u : 0) |
                      (row->hidden ? 16u : 0) | (unsigned)row->priority << 5);
}

/* True when the sink's receiver has to be served at once. */
static bool adopt_sink(struct worker *worker, uint32_t handle)
{
    const struct sink_cache *sink = &worker->sinks[handle];
    const struct sink_row *row = &worker->generation.sinks[handle];
    struct sink_adaptation *own = &worker->adaptation->sinks[handle];
    uint16_t wish = wish_word(row);
    if (own->incarnation != sink->incarnation) {
        /* Unknown to this worker: a new one, or one of a predecessor whose deal goes on. */
        *own = (struct sink_adaptation){.incarnation = sink->incarnation,
                                        .source = sink->source,
                                        .source_incarnation = sink->source_incarnation,
                                        .wish = wish,
                                        .told_encoding = UINT8_MAX - 1};
        worker->adaptation->loudness.switched[handle] = TABLE_NONE;
        return !worker->state.sinks[handle].allocation.wish;
    }
    bool changed = own->wish != wish || own->source != sink->source ||
                   own->source_incarnation != sink->source_incarnation;
    own->wish = wish;
    return changed;
}

void adaptation_adopt(struct worker *worker, uint64_t now_ns)
{
    struct adaptation *adaptation = worker->adaptation;
    const struct config_generation *head = worker->generation.head;
    for (uint32_t transport = 0; transport < worker->capacities.transports; transport++) {
        if (transport >= head->transport_limit || !worker->transports[transport].incarnation ||
            worker->generation.transports[transport].foreign)
            adaptation->due_ns[transport] = 0;
        else if (!adaptation->due_ns[transport])
            due_at(worker, transport, now_ns + worker_random(worker) % ADAPTATION_INTERVAL_NS);
    }
    for (uint32_t handle = 0; handle < head->sink_limit; handle++)
        if (worker->sinks[handle].incarnation && adopt_sink(worker, handle))
            due_at(worker, worker->sinks[handle].transport, now_ns);
    loudness_adopt(worker, now_ns);
    if (adaptation->next_ns <= now_ns) look_at_due(worker, now_ns);
}
