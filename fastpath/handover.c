#include "handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "adaptation.h"
#include "compounds.h"
#include "handover_messages.h"
#include "receive.h"
#include "worker.h"

/* How far a ring may be filled, in eighths, by what of it would be missed less: full resolution gives way first, then other pictures, and the last
   eighth is for voices and for what workers tell each other. */
#define EIGHTHS_FULL 4u
#define EIGHTHS_PICTURES 6u
#define EIGHTHS_PADDING 7u
#define EIGHTHS_ALL 8u

static bool take_memory(struct worker *worker, struct handover *handover)
{
    struct table_capacities room = worker->capacities;
    for (uint32_t other = 0; other < handover->rings.workers; other++) {
        if (other == handover->self) continue;
        handover->local[other] = malloc(room.sources * sizeof **handover->local);
        if (!handover->local[other]) return false;
        memset(handover->local[other], 0xff, room.sources * sizeof **handover->local);
        handover->to[other] = handover_writer(&handover->rings, handover->self, other);
        handover->from[other] = handover_reader(&handover->rings, other, handover->self);
    }
    handover->home = calloc(room.sources, sizeof *handover->home);
    handover->foreign = calloc(room.sources, sizeof *handover->foreign);
    handover->list = calloc(room.sources, sizeof *handover->list);
    handover->pressed = calloc(room.sources, sizeof *handover->pressed);
    handover->viewers = calloc(room.sinks, sizeof *handover->viewers);
    handover->records = calloc(RELAY_BATCH, HANDOVER_RECORD_MAX);
    return handover->records && handover->home && handover->foreign && handover->list &&
           handover->pressed && handover->viewers;
}

int handover_join(struct worker *worker, void *memory, size_t size, uint32_t self)
{
    struct handover_rings rings;
    int result = handover_attach(memory, size, &rings);
    if (result != 0) return result;
    if (self >= rings.workers || worker->handover) return -EINVAL;
    struct handover *handover = aligned_alloc(64, (sizeof *handover + 63) & ~(size_t)63);
    if (!handover) return -ENOMEM;
    memset(handover, 0, sizeof *handover);
    handover->rings = rings;
    handover->self = self;
    handover->due_ns = UINT64_MAX;
    worker->handover = handover;
    if (take_memory(worker, handover)) {
        handover->wakes = UINT32_MAX; /* a predecessor may have been killed before it woke somebody */
        return 0;
    }
    handover_leave(worker);
    return -ENOMEM;
}

void handover_leave(struct worker *worker)
{
    struct handover *handover = worker->handover;
    if (!handover) return;
    for (uint32_t i = 0; handover->home && i < worker->capacities.sources; i++)
        free(handover->home[i].viewers);
    for (uint32_t other = 0; other < LIMIT_WORKERS; other++) free(handover->local[other]);
    free(handover->home);
    free(handover->foreign);
    free(handover->list);
    free(handover->pressed);
    free(handover->viewers);
    free(handover->records);
    free(handover);
    worker->handover = NULL;
}

/* ---- rows ---- */

static void forget_foreign(struct handover *handover, const struct source_cache *cache, uint32_t source)
{
    uint32_t *local =
        cache->home && cache->home <= handover->rings.workers ? handover->local[cache->home - 1] : NULL;
    if (local && local[cache->home_source] == source) local[cache->home_source] = TABLE_NONE;
}

static void export_to(struct worker *worker, uint32_t source, uint32_t exports)
{
    struct handover *handover = worker->handover;
    struct home_source *home = &handover->home[source];
    uint32_t everybody = handover->rings.workers == 32 ? UINT32_MAX : (1u << handover->rings.workers) - 1;
    exports &= everybody & ~(1u << handover->self);
    if (exports && !home->viewers) {
        home->viewers = calloc(handover->rings.workers, sizeof *home->viewers);
        home->clamp_told_ns = 0;
    } else if (!exports && home->viewers) {
        free(home->viewers);
        home->viewers = NULL;
    }
    /* Without memory for its viewers a source is handed over all the same: only its clamp does not know them. */
    worker->sources[source].exports = exports;
}

void handover_adopt_source(struct worker *worker, uint32_t source, const struct source_row *row)
{
    struct handover *handover = worker->handover;
    struct source_cache *cache = &worker->sources[source];
    if (!handover) {
        cache->exports = 0;
        cache->home = row ? row->home : 0;
        return;
    }
    if (cache->home && (!row || cache->home != row->home || cache->home_source != row->home_source))
        forget_foreign(handover, cache, source);
    cache->home = row ? row->home : 0;
    export_to(worker, source, row && !row->home ? row->exports : 0);
    if (!cache->home) return;
    cache->home_source = row->home_source;
    cache->home_incarnation = row->home_incarnation;
    if (cache->home > handover->rings.workers || cache->home == handover->self + 1 ||
        row->home_source >= worker->capacities.sources) {
        cache->incarnation = cache->home = 0; /* nobody's: it stays silent */
        worker_count(worker, COUNTER_rows_invalid_dropped, 1);
        return;
    }
    handover->local[cache->home - 1][cache->home_source] = source;
    if (!handover->foreign[source].listed) {
        handover->foreign[source] =
            (struct foreign_source){.listed = true, .pressed = handover->foreign[source].pressed};
        handover->list[handover->list_count++] = source;
    }
}

void handover_adopt(struct worker *worker, uint64_t now_ns)
{
    struct handover *handover = worker->handover;
    if (!handover) return;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < handover->list_count; i++) {
        uint32_t source = handover->list[i];
        handover->foreign[source].listed =
            worker->sources[source].incarnation && worker->sources[source].home;
        if (handover->foreign[source].listed) handover->list[kept++] = source;
    }
    handover->list_count = kept;
    if (!kept)
        handover->due_ns = UINT64_MAX;
    else if (handover->due_ns > now_ns + HANDOVER_VIEWERS_NS)
        handover->due_ns = now_ns;
}

/* ---- telling ---- */

static bool tell(struct worker *worker, uint32_t other, const void *message, size_t length)
{
    struct handover *handover = worker->handover;
    uint8_t *out = ring_reserve(&handover->to[other], (uint32_t)length, handover->rings.ring_bytes);
    if (!out) {
        worker_count(worker, COUNTER_handover_full_dropped, 1);
        return false;
    }
    memcpy(out, message, length);
    ring_commit(&handover->to[other]);
    handover->wakes |= 1u << other;
    return true;
}

static void tell_all(struct worker *worker, uint32_t others, const void *message, size_t length)
{
    for (; others; others &= others - 1)
        tell(worker, (uint32_t)__builtin_ctz(others), message, length);
}

/* About a source that arrives here. */
static struct handover_head head_of_own(const struct worker *worker, uint32_t source,
                                        enum handover_kind kind, uint8_t encoding)
{
    return (struct handover_head){.kind = (uint8_t)kind,
                                  .encoding = encoding,
                                  .source = source,
                                  .incarnation = worker->sources[source].incarnation};
}

/* About one that arrives at another worker. */
static struct handover_head head_of_foreign(const struct worker *worker, uint32_t source,
                                            enum handover_kind kind, uint8_t encoding)
{
    return (struct handover_head){.kind = (uint8_t)kind,
                                  .encoding = encoding,
                                  .source = worker->sources[source].home_source,
                                  .incarnation = worker->sources[source].home_incarnation};
}

static uint32_t limit_of(const struct worker *worker, const struct arrival *arrival)
{
    uint32_t eighths = arrival->audio                ? EIGHTHS_ALL
                       : !arrival->payload_length    ? EIGHTHS_PADDING
                       : arrival->input.encoding > 1 ? EIGHTHS_FULL
                                                     : EIGHTHS_PICTURES;
    if (worker->sources[arrival->input.source].encoding_count == 1 && !arrival->audio)
        eighths = EIGHTHS_PICTURES;
    return worker->handover->rings.ring_bytes / 8 * eighths;
}

static void write_packet(struct worker *worker, uint32_t other,
                         const struct handover_packet *packet, const struct arrival *arrival)
{
    struct handover *handover = worker->handover;
    size_t length = sizeof *packet + packet->descriptor_length + packet->payload_length;
    uint8_t *out = ring_reserve(&handover->to[other], (uint32_t)length, limit_of(worker, arrival));
    if (!out) {
        worker_count(worker, COUNTER_handover_full_dropped, 1);
        return;
    }
    memcpy(out, packet, sizeof *packet);
    if (packet->descriptor_length)
        memcpy(out + sizeof *packet, arrival->descriptor, packet->descriptor_length);
    memcpy(out + sizeof *packet + packet->descriptor_length, arrival->payload, packet->payload_length);
    ring_commit(&handover->to[other]);
    handover->wakes |= 1u << other;
    worker_count(worker, COUNTER_handed_over, 1);
}

static void hand_over(struct worker *worker, uint32_t others, const struct arrival *arrival, uint64_t now_ns)
{
    const struct projection_input *input = &arrival->input;
    if (arrival->payload_length > LIMIT_DATAGRAM) return;
    struct handover_packet packet = {
        .head = head_of_own(worker, input->source, HANDOVER_PACKET, input->encoding),
        .index = input->index,
        .arrived_ns = worker->arrived_ns,
        .written_ns = now_ns,
        .timestamp = input->timestamp,
        .payload_length = (uint16_t)arrival->payload_length,
        .descriptor_length = arrival->descriptor ? arrival->descriptor_length : (uint16_t)0,
    };
    packet.head.ssrc = input->ssrc;
    packet.head.level = arrival->level;
    packet.head.flags =
        (uint8_t)((arrival->marker ? HANDOVER_MARKER : 0) | (arrival->has_level ? HANDOVER_HAS_LEVEL : 0) |
                  (arrival->repaired ? HANDOVER_REPAIRED : 0) | arrival->sealed * HANDOVER_SEALED);
    for (; others; others &= others - 1)
        write_packet(worker, (uint32_t)__builtin_ctz(others), &packet, arrival);
}

void handover_packet(struct worker *worker, const struct arrival *arrival, uint64_t now_ns)
{ hand_over(worker, worker->sources[arrival->input.source].exports, arrival, now_ns); }

void handover_again(struct worker *worker, uint32_t other, const struct arrival *arrival, uint64_t now_ns)
{ hand_over(worker, 1u << other, arrival, now_ns); }

void handover_clock(struct worker *worker, uint32_t source, uint8_t encoding)
{
    if (!worker->sources[source].exports) return;
    const struct encoding_state *state = &worker->state.sources[source].encodings[encoding];
    const struct transport_state *sender = &worker->state.transports[worker->sources[source].transport];
    struct handover_clock_told told = {
        .head = head_of_own(worker, source, HANDOVER_CLOCK, encoding),
        .arrival_ns = state->sr_arrival_ns,
        .ntp = state->sr_ntp,
        .timestamp = state->sr_timestamp,
        .offset_ns = sender->clock_offset_ns,
        .offset_seen_ns = sender->clock_offset_seen_ns,
    };
    told.head.ssrc = state->ssrc;
    tell_all(worker, worker->sources[source].exports, &told, sizeof told);
}

/* What other workers go by. */
static bool clamp_moved(const struct clamp_source *before, const struct clamp_source *after)
{
    for (unsigned e = 0; e < LIMIT_ENCODINGS; e++)
        if (before->encodings[e].target_bps != after->encodings[e].target_bps ||
            before->encodings[e].entry_bps != after->encodings[e].entry_bps ||
            before->encodings[e].lowered_ns != after->encodings[e].lowered_ns)
            return true;
    return false;
}

void handover_clamp(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    uint32_t exports = worker->sources[source].exports;
    if (!exports) return;
    struct home_source *home = &worker->handover->home[source];
    const struct clamp_source *clamp = &worker->state.sources[source].clamp;
    if (home->clamp_told_ns && now_ns - home->clamp_told_ns < HANDOVER_CLAMP_NS &&
        !clamp_moved(&home->clamp_told, clamp))
        return;
    struct handover_clamp_told told = {.head = head_of_own(worker, source, HANDOVER_CLAMP, 0), .clamp = *clamp};
    tell_all(worker, exports, &told, sizeof told);
    home->clamp_told = *clamp;
    home->clamp_told_ns = now_ns;
}

size_t handover_far_viewers(struct worker *worker, uint32_t source, struct clamp_viewer *viewers, size_t count,
                            size_t room, uint32_t *lost_sum, uint32_t *lost_most, uint64_t now_ns)
{
    uint32_t others = worker->sources[source].exports;
    const struct far_viewers *far = others ? worker->handover->home[source].viewers : NULL;
    for (; far && others; others &= others - 1) {
        const struct far_viewers *there = &far[__builtin_ctz(others)];
        if (!there->told_ns || now_ns - there->told_ns > HANDOVER_VIEWERS_AGE_NS) continue;
        count += viewer_digest_read_untrusted(there->entries, there->count, viewers + count, room - count);
        *lost_sum += there->lost_sum;
        if (there->lost_most > *lost_most) *lost_most = there->lost_most;
    }
    return count;
}

bool handover_key_request(struct worker *worker, uint32_t source)
{
    struct handover_head head = head_of_foreign(worker, source, HANDOVER_KEY, 0);
    return worker->handover && tell(worker, worker->sources[source].home - 1u, &head, sizeof head);
}

bool handover_ask(struct worker *worker, uint32_t source, uint8_t encoding, const uint16_t *lost, unsigned count)
{
    struct handover_asked asked = {.head = head_of_foreign(worker, source, HANDOVER_ASK, encoding),
                                   .count = count};
    if (!worker->handover || count > NACK_ENTRIES) return false;
    asked.head.ssrc = worker->state.sources[source].encodings[encoding].ssrc;
    memcpy(asked.lost, lost, count * sizeof *lost);
    worker_count(worker, COUNTER_handover_asked, count);
    return tell(worker, worker->sources[source].home - 1u, &asked,
                offsetof(struct handover_asked, lost) + count * sizeof *lost);
}

void handover_press(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    struct handover *handover = worker->handover;
    if (!handover || handover->foreign[source].pressed) return;
    handover->foreign[source].pressed = true;
    handover->pressed[handover->pressed_count++] = source;
    if (handover->due_ns > now_ns) handover->due_ns = now_ns;
}

bool handover_floor(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    if (!worker->sources[source].home)
        return worker_tell(worker, UPLINK_DOMINANT, worker->sources[source].transport, source, 0,
                           NULL, 0, now_ns);
    struct handover_head head = head_of_foreign(worker, source, HANDOVER_FLOOR, 0);
    return worker->handover && tell(worker, worker->sources[source].home - 1u, &head, sizeof head);
}

static void tell_viewers(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    struct handover *handover = worker->handover;
    if (!worker->sources[source].incarnation || !worker->sources[source].home) return;
    struct handover_viewers_told told = {.head = head_of_foreign(worker, source, HANDOVER_VIEWERS, 0)};
    size_t count = clamping_gather(worker, source, handover->viewers, &told.lost_sum, &told.lost_most, now_ns);
    uint32_t *before = &handover->foreign[source].viewers_told;
    if (!count && !*before) return;
    told.viewers = (uint32_t)count;
    told.count = (uint32_t)viewer_digest_make(handover->viewers, count, told.entries);
    size_t length = offsetof(struct handover_viewers_told, entries) + told.count * sizeof *told.entries;
    if (tell(worker, worker->sources[source].home - 1u, &told, length)) *before = told.viewers;
}

/* ---- the loop's part ---- */

void handover_tick(struct worker *worker, uint64_t now_ns)
{
    struct handover *handover = worker->handover;
    if (!handover || handover->due_ns > now_ns) return;
    for (uint32_t i = 0; i < handover->pressed_count; i++) {
        handover->foreign[handover->pressed[i]].pressed = false;
        tell_viewers(worker, handover->pressed[i], now_ns);
    }
    handover->pressed_count = 0;
    if (handover->told_ns + HANDOVER_VIEWERS_NS <= now_ns) {
        handover->told_ns = now_ns;
        for (uint32_t i = 0; i < handover->list_count; i++)
            tell_viewers(worker, handover->list[i], now_ns);
    }
    handover->due_ns = handover->list_count ? handover->told_ns + HANDOVER_VIEWERS_NS : UINT64_MAX;
}

uint64_t handover_due_ns(const struct worker *worker)
{ return worker->handover ? worker->handover->due_ns : UINT64_MAX; }

static bool nothing_there(const struct handover *handover)
{
    for (uint32_t other = 0; other < handover->rings.workers; other++)
        if (!ring_empty(&handover->from[other])) return false;
    return true;
}

bool handover_may_sleep(struct worker *worker)
{
    struct handover *handover = worker->handover;
    if (!handover) return true;
    _Atomic uint32_t *sleeping = &handover->rings.header->seats[handover->self].sleeping;
    /* Either a writer sees this, or what it wrote before it looked is seen here: both sides have a full fence between the two. */
    atomic_store_explicit(sleeping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (nothing_there(handover)) return true;
    atomic_store_explicit(sleeping, 0, memory_order_relaxed);
    return false;
}

void handover_awake(struct worker *worker)
{
    if (worker->handover)
        atomic_store_explicit(&worker->handover->rings.header->seats[worker->handover->self].sleeping,
                              0, memory_order_relaxed);
}

uint64_t handover_oldest_ns(struct worker *worker)
{
    if (!worker->handover) return 0;
    uint64_t oldest_ns = worker->handover->oldest_ns;
    worker->handover->oldest_ns = 0;
    return oldest_ns;
}

uint32_t handover_wakes(struct worker *worker)
{
    struct handover *handover = worker->handover;
    uint32_t asleep = 0;
    if (!handover || !handover->wakes) return 0;
    atomic_thread_fence(memory_order_seq_cst);
    for (uint32_t other = 0; other < handover->rings.workers; other++) {
        _Atomic uint32_t *sleeping = &handover->rings.header->seats[other].sleeping;
        if (handover->wakes >> other & 1 && other != handover->self &&
            atomic_load_explicit(sleeping, memory_order_relaxed) &&
            atomic_exchange_explicit(sleeping, 0, memory_order_relaxed))
            asleep |= 1u << other;
    }
    handover->wakes = 0;
    return asleep;
}
