#include "loudness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "adaptation.h"

/* In a key, below the conference: screens' audio after the microphones. */
#define KEY_SCREEN 0x80000000u

/* Sources and transports are marked and sorted, never both at once. */
static size_t marks_of(const struct worker *worker)
{
    return worker->capacities.sources > worker->capacities.transports ? worker->capacities.sources
                                                                      : worker->capacities.transports;
}

int loudness_open(struct worker *worker)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    struct table_capacities room = worker->capacities;
    loudness->due_ns = UINT64_MAX;
    loudness->groups = calloc(room.transports, sizeof *loudness->groups);
    loudness->voices = calloc(room.sources, sizeof *loudness->voices);
    loudness->keys = calloc(marks_of(worker), sizeof *loudness->keys);
    loudness->receivers = calloc(room.transports, sizeof *loudness->receivers);
    loudness->marks = calloc(marks_of(worker), sizeof *loudness->marks);
    loudness->told = calloc(room.sources, sizeof *loudness->told);
    loudness->switched = malloc(room.sinks * sizeof *loudness->switched);
    if (loudness->switched)
        memset(loudness->switched, 0xff, room.sinks * sizeof *loudness->switched);
    return loudness->groups && loudness->voices && loudness->keys && loudness->receivers &&
                   loudness->marks && loudness->told && loudness->switched
               ? 0
               : -ENOMEM;
}

void loudness_close(struct worker *worker)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    free(loudness->groups);
    free(loudness->voices);
    free(loudness->keys);
    free(loudness->receivers);
    free(loudness->marks);
    free(loudness->told);
    free(loudness->switched);
}

/* ---- who is there ---- */

static uint32_t conference_of(const struct worker *worker, uint32_t transport)
{ return worker->generation.transports[transport].conference; }

static bool may_be_heard(const struct worker *worker, uint32_t source)
{
    const struct source_cache *cache = &worker->sources[source];
    return cache->incarnation && cache->audio && !cache->sealed && !cache->muted; /* slots carry frames */
}

uint32_t loudness_source(const struct worker *worker, uint32_t sink)
{
    const struct loudest_slot *slot = &worker->state.sinks[sink].loudest;
    uint32_t receiver = worker->sinks[sink].transport;
    if (!slot->since_ns || slot->source >= worker->capacities.sources || !may_be_heard(worker, slot->source))
        return TABLE_NONE;
    uint32_t sender = worker->sources[slot->source].transport;
    return sender != receiver && conference_of(worker, sender) == conference_of(worker, receiver)
               ? slot->source
               : TABLE_NONE;
}

static int by_key(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static struct voice_group *group_of(struct loudness *loudness, uint32_t conference)
{
    size_t low = 0, high = loudness->group_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (loudness->groups[middle].conference < conference)
            low = middle + 1;
        else
            high = middle;
    }
    return low < loudness->group_count && loudness->groups[low].conference == conference
               ? &loudness->groups[low]
               : NULL;
}

/* Audio sources by conference, microphones first. */
static uint32_t gather_voices(struct worker *worker)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    uint32_t count = 0;
    for (uint32_t source = 0; source < worker->generation.head->source_limit; source++) {
        const struct source_cache *cache = &worker->sources[source];
        if (!cache->incarnation || !cache->audio) continue;
        uint32_t screen = cache->kind == SOURCE_SCREEN_AUDIO ? KEY_SCREEN : 0;
        loudness->keys[count++] = (uint64_t)conference_of(worker, cache->transport) << 32 | screen | source;
    }
    qsort(loudness->keys, count, sizeof *loudness->keys, by_key);
    return count;
}

/* The floor of a conference goes on; `before` are the groups there were. */
static struct dominance dominance_before(const struct worker *worker, const struct voice_group *before,
                                         uint32_t before_count, uint32_t conference, bool *told)
{
    for (uint32_t i = 0; i < before_count; i++) {
        if (before[i].conference != conference) continue;
        uint32_t source = before[i].dominance.source;
        if (source >= worker->capacities.sources || !worker->sources[source].incarnation) break;
        *told = before[i].told;
        return before[i].dominance;
    }
    *told = true; /* nobody is nothing to tell */
    return (struct dominance){.source = SPEAKER_NOBODY};
}

static void make_groups(struct worker *worker, uint32_t count)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    uint32_t before_count = loudness->group_count, at = 0;
    struct voice_group *before = NULL;
    if (before_count) { /* a generation is no packet: memory may be taken; without it the floor is given anew */
        before = malloc(before_count * sizeof *before);
        if (before) memcpy(before, loudness->groups, before_count * sizeof *before);
    }
    loudness->group_count = 0;
    while (at < count) {
        struct voice_group *group = &loudness->groups[loudness->group_count++];
        *group = (struct voice_group){.conference = (uint32_t)(loudness->keys[at] >> 32), .first = at, .look = true};
        group->dominance =
            dominance_before(worker, before, before ? before_count : 0, group->conference, &group->told);
        for (; at < count && loudness->keys[at] >> 32 == group->conference; at++, group->count++) {
            uint32_t source = (uint32_t)loudness->keys[at] & ~KEY_SCREEN;
            group->microphones += !(loudness->keys[at] & KEY_SCREEN);
            loudness->voices[at] =
                (struct speaker){.source = source, .state = &worker->state.sources[source].speaker};
        }
    }
    free(before);
}

/* Of the workers that have members of a conference the one with the lowest number says who has the floor. */
static void settle_deciders(struct worker *worker)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    for (uint32_t i = 0; i < loudness->group_count; i++) loudness->groups[i].decides = true;
    if (!worker->handover) return;
    for (uint32_t i = 0; i < worker->generation.head->transport_limit; i++) {
        uint8_t foreign = worker->generation.transports[i].foreign;
        if (!worker->transports[i].incarnation || !foreign || foreign > worker->handover->self)
            continue;
        struct voice_group *group = group_of(loudness, conference_of(worker, i));
        if (group) group->decides = false;
    }
}

static uint32_t next_mark(struct worker *worker)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    if (++loudness->mark) return loudness->mark;
    memset(loudness->marks, 0, marks_of(worker) * sizeof *loudness->marks);
    return loudness->mark = 1;
}

/* Transports with a slot for the loudest, by conference. */
static void gather_receivers(struct worker *worker)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    uint32_t count = 0, kept = 0, mark = next_mark(worker);
    for (uint32_t handle = 0; handle < worker->generation.head->sink_limit; handle++) {
        const struct sink_cache *sink = &worker->sinks[handle];
        if (!sink->incarnation || !worker->generation.sinks[handle].loudest) continue;
        if (loudness->marks[sink->transport] == mark) continue;
        loudness->marks[sink->transport] = mark;
        loudness->keys[count++] = (uint64_t)conference_of(worker, sink->transport) << 32 | sink->transport;
    }
    qsort(loudness->keys, count, sizeof *loudness->keys, by_key);
    for (uint32_t i = 0; i < count; i++) {
        struct voice_group *group = group_of(loudness, (uint32_t)(loudness->keys[i] >> 32));
        if (!group) continue;
        if (group->receiver_end == group->receiver_first) group->receiver_first = kept;
        loudness->receivers[kept++] = (uint32_t)loudness->keys[i];
        group->receiver_end = kept;
    }
}

void loudness_adopt(struct worker *worker, uint64_t now_ns)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    make_groups(worker, gather_voices(worker));
    settle_deciders(worker);
    gather_receivers(worker);
    if (!loudness->group_count)
        loudness->due_ns = UINT64_MAX;
    else if (loudness->due_ns > now_ns + LOUDNESS_INTERVAL_NS)
        loudness->due_ns = now_ns + LOUDNESS_INTERVAL_NS;
}

/* ---- the loudest onto one receiver's slots ---- */

struct seats { /* of one receiver */
    struct loudest_slot slots[LOUDEST_SLOTS];
    uint32_t sinks[LOUDEST_SLOTS];
    size_t count, free;
    struct speaker candidates[LOUDEST_SLOTS + LOUDNESS_CANDIDATES];
    size_t candidate_count;
};

static bool take_mark(struct loudness *loudness, uint32_t source, uint32_t mark)
{
    if (loudness->marks[source] == mark) return false;
    loudness->marks[source] = mark;
    return true;
}

static void add_candidate(struct worker *worker, struct seats *seats, uint32_t source)
{
    if (seats->candidate_count == sizeof seats->candidates / sizeof *seats->candidates) return;
    seats->candidates[seats->candidate_count++] =
        (struct speaker){.source = source, .state = &worker->state.sources[source].speaker};
}

/* Its slots as they stand, and marks on what it does not want there: what it sends itself and what it has in pairs. */
static void gather_seats(struct worker *worker, uint32_t receiver, struct seats *seats, uint32_t mark)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    const struct fanout *fanout = &worker->fanout;
    const uint32_t *own = worker->generation.transports[receiver].sources;
    seats->count = seats->free = seats->candidate_count = 0;
    for (unsigned i = 0; i < LIMIT_SOURCES_PER_TRANSPORT; i++)
        if (own[i] < worker->capacities.sources) loudness->marks[own[i]] = mark;
    for (uint32_t i = fanout->transport_first[receiver]; i < fanout->transport_first[receiver + 1]; i++) {
        uint32_t handle = fanout->of_transport[i];
        const struct sink_cache *sink = &worker->sinks[handle];
        if (!worker->generation.sinks[handle].loudest) {
            if (sink->source != TABLE_NONE) loudness->marks[sink->source] = mark;
        } else if (seats->count < LOUDEST_SLOTS) {
            seats->slots[seats->count] = worker->state.sinks[handle].loudest;
            seats->sinks[seats->count++] = handle;
        }
    }
    for (size_t i = 0; i < seats->count; i++) {
        uint32_t source = loudness_source(worker, seats->sinks[i]);
        if (source != TABLE_NONE && take_mark(loudness, source, mark)) {
            add_candidate(worker, seats, source);
        } else { /* left, muted, or seen in a pair now */
            if (!seats->slots[i].since_ns) seats->slots[i].source = SPEAKER_NOBODY;
            seats->free++;
        }
    }
}

static bool settle_seats(struct worker *worker, const struct seats *seats)
{
    bool changed = false;
    for (size_t i = 0; i < seats->count; i++) {
        uint32_t handle = seats->sinks[i];
        struct sink_cache *sink = &worker->sinks[handle];
        worker->state.sinks[handle].loudest = seats->slots[i];
        uint32_t source = loudness_source(worker, handle);
        if (sink->source == source) continue;
        sink->source = source;
        sink->source_incarnation = source == TABLE_NONE ? 0 : worker->sources[source].incarnation;
        sink->encoding = worker->generation.sinks[handle].hidden ? ALLOCATION_NOTHING : 0;
        changed = true;
    }
    return changed;
}

/* Does somebody speak who has no slot? */
static bool somebody_waits(const struct seats *seats)
{
    for (size_t i = 0; i < seats->candidate_count; i++) {
        bool seated = !seats->candidates[i].state->speaking;
        for (size_t k = 0; k < seats->count && !seated; k++)
            seated = seats->slots[k].source == seats->candidates[i].source;
        if (!seated) return true;
    }
    return false;
}

/* True when a slot changed. `speaking`: handles of those who do. */
static bool seat(struct worker *worker, struct voice_group *group, uint32_t receiver,
                 const uint32_t *speaking, uint32_t speaking_count, uint64_t now_ns)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    struct seats seats;
    uint32_t mark = next_mark(worker), wanting = 0;
    gather_seats(worker, receiver, &seats, mark);
    for (uint32_t i = 0; i < speaking_count; i++) {
        if (!take_mark(loudness, speaking[i], mark)) continue;
        add_candidate(worker, &seats, speaking[i]);
        wanting++;
    }
    for (uint32_t i = 0; i < group->count && wanting < seats.free; i++) { /* nobody speaks: then anybody */
        uint32_t source = loudness->voices[group->first + i].source;
        if (!may_be_heard(worker, source) || !take_mark(loudness, source, mark)) continue;
        add_candidate(worker, &seats, source);
        wanting++;
    }
    loudest_update(seats.slots, seats.count, seats.candidates, seats.candidate_count, now_ns);
    group->unsettled |= somebody_waits(&seats);
    return settle_seats(worker, &seats);
}

/* ---- the tick ---- */

static void tell_speaking(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    uint8_t speaking = worker->state.sources[source].speaker.speaking;
    if (worker->sources[source].home) { /* its own worker tells */
        loudness->told[source] = speaking;
        return;
    }
    if (loudness->told[source] != speaking &&
        worker_tell(worker, UPLINK_SPEAKING, worker->sources[source].transport, source, speaking, NULL, 0, now_ns))
        loudness->told[source] = speaking;
}

/* Whoever does not get packets any more is as silent as the others; returns how many speak. */
static uint32_t listen(struct worker *worker, struct voice_group *group, uint32_t *speaking, uint64_t now_ns)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    struct speaker floor[LOUDNESS_CANDIDATES + 1];
    uint32_t count = 0, floor_count = 0;
    for (uint32_t i = 0; i < group->count; i++) {
        const struct speaker *voice = &loudness->voices[group->first + i];
        uint32_t source = voice->source;
        struct speaker_state *state = &worker->state.sources[source].speaker;
        if (i + 8 < group->count) __builtin_prefetch(voice[8].state, 1);
        int change = speaker_update(state, now_ns);
        if (change) group->look = true;
        /* A predecessor may have told what its successor sees end. */
        if (change < 0 && i < group->microphones) loudness->told[source] = 1;
        if (loudness->told[source] != state->speaking && i < group->microphones)
            tell_speaking(worker, source, now_ns);
        if (i < group->microphones && floor_count <= LOUDNESS_CANDIDATES &&
            (source == group->dominance.source || (state->speaking && count < LOUDNESS_CANDIDATES)))
            floor[floor_count++] = *voice;
        if (state->speaking && count < LOUDNESS_CANDIDATES) speaking[count++] = source;
    }
    if (dominance_update(&group->dominance, floor, floor_count, now_ns)) group->told = false;
    uint32_t holder = group->dominance.source;
    if (!group->told && group->decides) group->told = handover_floor(worker, holder, now_ns);
    return count;
}

/* Who is on a slot, to control; again when its queue was full. */
static void tell_seats(struct worker *worker, uint32_t receiver, struct voice_group *group, uint64_t now_ns)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    const struct fanout *fanout = &worker->fanout;
    for (uint32_t i = fanout->transport_first[receiver]; i < fanout->transport_first[receiver + 1]; i++) {
        uint32_t handle = fanout->of_transport[i], source = worker->sinks[handle].source;
        if (!worker->generation.sinks[handle].loudest || loudness->switched[handle] == source)
            continue;
        if (worker_tell(worker, UPLINK_SINK_SWITCHED, receiver, handle, source, NULL, 0, now_ns))
            loudness->switched[handle] = source;
        else
            group->look = true;
    }
}

static bool seat_all(struct worker *worker, struct voice_group *group, const uint32_t *speaking,
                     uint32_t count, uint64_t now_ns)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    bool changed = false;
    group->look = group->unsettled = false;
    for (uint32_t i = group->receiver_first; i < group->receiver_end; i++) {
        changed |= seat(worker, group, loudness->receivers[i], speaking, count, now_ns);
        tell_seats(worker, loudness->receivers[i], group, now_ns);
    }
    return changed;
}

void loudness_tick(struct worker *worker, uint64_t now_ns)
{
    struct loudness *loudness = &worker->adaptation->loudness;
    bool changed = false;
    loudness->due_ns = loudness->group_count ? now_ns + LOUDNESS_INTERVAL_NS : UINT64_MAX;
    loudness->ticks++;
    for (uint32_t i = 0; i < loudness->group_count; i++) {
        struct voice_group *group = &loudness->groups[i];
        uint32_t speaking[LOUDNESS_CANDIDATES];
        uint32_t count = listen(worker, group, speaking, now_ns);
        if (group->look || (group->unsettled && loudness->ticks % LOUDNESS_TICKS == 0))
            changed |= seat_all(worker, group, speaking, count, now_ns);
    }
    if (changed) fanout_place(worker);
}
