#include <errno.h>
#include <string.h>

#include "adaptation.h"
#include "feedback.h"
#include "handover.h"
#include "handover_messages.h"
#include "receive.h"
#include "replay.h"
#include "rtcp.h"
#include "sealed.h"
#include "worker.h"

/* The record stands in private memory: nobody changes it any more. */
struct taken {
    uint32_t from; /* worker */
    uint8_t *bytes;
    size_t length;
    struct handover_head head;
};

static bool read_as(const struct taken *taken, void *message, size_t size)
{
    if (taken->length < size) return false;
    memcpy(message, taken->bytes, size);
    return true;
}

static void invalid(struct worker *worker)
{ worker_count(worker, COUNTER_handover_invalid_dropped, 1); }

/* ---- from the home of a source that is foreign here ---- */

/* Ours for it, or TABLE_NONE: control has taken one of the two rows away, or not made it yet. */
static uint32_t foreign_of(struct worker *worker, const struct taken *taken)
{
    uint32_t source = taken->head.source < worker->capacities.sources
                          ? worker->handover->local[taken->from][taken->head.source]
                          : TABLE_NONE;
    if (source == TABLE_NONE || !worker->sources[source].incarnation ||
        worker->sources[source].home != taken->from + 1 ||
        worker->sources[source].home_incarnation != taken->head.incarnation ||
        taken->head.encoding >= worker->sources[source].encoding_count) {
        worker_count(worker, COUNTER_handover_unknown_dropped, 1);
        return TABLE_NONE;
    }
    return source;
}

/* Slots begin anew: what they carried under the former SSRC may not be mapped once more, should that come back with a window that forgot it. */
static void end_slots(struct worker *worker, uint32_t source, uint8_t encoding)
{
    const struct fanout *fanout = &worker->fanout;
    for (uint32_t i = fanout->source_first[source]; i < fanout->source_first[source + 1]; i++) {
        struct projection *copies = worker->state.sinks[fanout->of_source[i]].copies;
        const struct projection *current = projection_current(copies);
        if (current->started && current->source == source && current->encoding == encoding)
            projection_end(copies);
        worker->maps[fanout->of_source[i]].count = 0; /* also what it carried before something else */
    }
}

/* Another SSRC has indices of its own. A kill in between leaves slots that begin anew, and a window of nobody. */
static void follow_ssrc(struct worker *worker, uint32_t source, uint8_t encoding, uint32_t ssrc, uint64_t now_ns)
{
    struct source_state *state = &worker->state.sources[source];
    struct srtp_rx_state *window = &state->taken[encoding];
    if (state->encodings[encoding].ssrc != ssrc)
        encoding_restart(&state->encodings[encoding], ssrc);
    if (window->ssrc == ssrc) return;
    relay_release(worker, true, now_ns); /* what was taken under the former one */
    end_slots(worker, source, encoding);
    worker->sources[source].windows[encoding] = ++worker->windows; /* also for slots that carry something else by now */
    table_barrier();
    window->ssrc = 0;
    table_barrier();
    window->used = 0;
    window->highest = 0;
    memset(window->window, 0, sizeof window->window);
    table_barrier();
    window->ssrc = ssrc;
}

/* Once, whatever the ring holds; noted before anything is forwarded. After the first packet of an SSRC only the sequence number counts, as for what is
   received: however long nothing came, and whatever a broken home says, receivers never see an index leap that they cannot follow. */
static bool accept(struct worker *worker, uint32_t source, uint8_t encoding, uint64_t *index)
{
    struct srtp_rx_state *window = &worker->state.sources[source].taken[encoding];
    if (window->used) {
        int16_t ahead = (int16_t)(uint16_t)((uint16_t)*index - (uint16_t)window->highest);
        if (ahead < 0 && window->highest < (uint64_t)-ahead) return false;
        *index = window->highest + (uint64_t)(int64_t)ahead;
        if (*index >= SRTP_INDEX_LIMIT ||
            replay_refuses(window->window, LIMIT_REPLAY_WINDOW, window->highest, *index))
            return false;
    }
    replay_accept(window->window, LIMIT_REPLAY_WINDOW, &window->highest, *index);
    window->used = 1;
    return true;
}

/* A sealed packet comes as its home made it (sealed.h): whole, and under the SSRC that the row gives its encoding. Other packets have no P bit and
   no CSRCs. */
static bool sealed_fits(const struct worker *worker, uint32_t source,
                        const struct handover_packet *packet, uint8_t sealed)
{
    if (!worker->sources[source].sealed) return !sealed;
    return packet->head.ssrc == worker->generation.sources[source].ssrc[packet->head.encoding] &&
           packet->payload_length >= sealed_csrcs(sealed) + SEALED_TAG + SEALED_KEY_ID + SEALED_OHB;
}

static void take_packet_untrusted(struct worker *worker, const struct taken *taken, uint64_t now_ns)
{
    struct handover_packet packet;
    if (!read_as(taken, &packet, sizeof packet) || packet.payload_length > LIMIT_DATAGRAM ||
        packet.descriptor_length > UINT8_MAX || !packet.head.ssrc || packet.index >= SRTP_INDEX_LIMIT ||
        taken->length != sizeof packet + packet.descriptor_length + packet.payload_length) {
        invalid(worker);
        return;
    }
    uint32_t source = foreign_of(worker, taken);
    if (source == TABLE_NONE) return;
    if (now_ns > packet.written_ns && now_ns - packet.written_ns > HANDOVER_STALE_NS) {
        worker_count(worker, COUNTER_handover_stale_dropped, 1);
        return;
    }
    const struct source_cache *cache = &worker->sources[source];
    uint8_t encoding = packet.head.encoding, sealed = packet.head.flags / HANDOVER_SEALED;
    if (!sealed_fits(worker, source, &packet, sealed)) {
        invalid(worker);
        return;
    }
    follow_ssrc(worker, source, encoding, packet.head.ssrc, now_ns);
    if (!accept(worker, source, encoding, &packet.index)) {
        worker_count(worker, COUNTER_handover_repeated_dropped, 1);
        return;
    }
    worker_count(worker, COUNTER_handover_taken, 1);
    struct handover *handover = worker->handover;
    worker->arrived_ns = now_ns - packet.arrived_ns < LIMIT_ARRIVED_NS ? packet.arrived_ns : now_ns;
    if (!handover->oldest_ns || worker->arrived_ns < handover->oldest_ns)
        handover->oldest_ns = worker->arrived_ns;
    uint8_t *descriptor = taken->bytes + sizeof packet;
    struct arrival arrival = {
        .input = {.index = packet.index,
                  .source = source,
                  .source_incarnation = cache->incarnation,
                  .ssrc = packet.head.ssrc,
                  .window = cache->windows[encoding],
                  .timestamp = packet.timestamp,
                  .encoding = encoding},
        .payload = descriptor + packet.descriptor_length,
        .payload_length = packet.payload_length,
        .marker = (packet.head.flags & HANDOVER_MARKER) != 0,
        .audio = cache->audio,
        .has_level = (packet.head.flags & HANDOVER_HAS_LEVEL) != 0,
        .level = packet.head.level,
        .sequence = (uint16_t)packet.index,
        .head = taken->bytes,
        .repaired = (packet.head.flags & HANDOVER_REPAIRED) != 0,
        .sealed = sealed,
        .descriptor = packet.descriptor_length ? descriptor : NULL,
        .descriptor_length = (uint8_t)packet.descriptor_length,
    };
    recovery_arrived(worker, &arrival.input, now_ns);
    if (!arrival.repaired)
        encoding_received(&worker->state.sources[source].encodings[encoding], packet.index,
                          packet.timestamp, cache->clock_rate, now_ns, packet.payload_length);
    uint32_t before = worker->relaying.count;
    receive_media(worker, &arrival, now_ns);
    if (worker->relaying.count > before)
        handover->record = (handover->record + 1) % RELAY_BATCH; /* these bytes stay */
}

static void take_clock_untrusted(struct worker *worker, const struct taken *taken)
{
    struct handover_clock_told told;
    if (!read_as(taken, &told, sizeof told)) {
        invalid(worker);
        return;
    }
    uint32_t source = foreign_of(worker, taken);
    if (source == TABLE_NONE) return;
    struct source_state *state = &worker->state.sources[source];
    struct encoding_state *encoding = &state->encodings[told.head.encoding];
    if (encoding->ssrc != told.head.ssrc) return;
    encoding->sr_arrival_ns = told.arrival_ns;
    encoding->sr_ntp = told.ntp;
    encoding->sr_timestamp = told.timestamp;
    state->clock_offset_ns = told.offset_ns;
    state->clock_offset_seen_ns = told.offset_seen_ns;
}

static void take_clamp_untrusted(struct worker *worker, const struct taken *taken)
{
    struct handover_clamp_told told;
    if (!read_as(taken, &told, sizeof told)) {
        invalid(worker);
        return;
    }
    uint32_t source = foreign_of(worker, taken);
    if (source == TABLE_NONE) return;
    worker->state.sources[source].clamp = told.clamp;
    worker->adaptation->clamping.sources[source].made_ns = 0; /* its costs are made anew */
}

/* ---- to the home of a source that arrives here ---- */

static uint32_t own_of(struct worker *worker, const struct taken *taken)
{
    uint32_t source = taken->head.source;
    if (source >= worker->capacities.sources || !worker->sources[source].incarnation ||
        worker->sources[source].home || worker->sources[source].incarnation != taken->head.incarnation ||
        taken->head.encoding >= worker->sources[source].encoding_count) {
        worker_count(worker, COUNTER_handover_unknown_dropped, 1);
        return TABLE_NONE;
    }
    return source;
}

/* Again to the one that asks, as far as it was kept. What has not come to us either we ask the sender for by ourselves. */
static void take_asked_untrusted(struct worker *worker, const struct taken *taken, uint64_t now_ns)
{
    struct handover_asked asked = {0};
    size_t fixed = offsetof(struct handover_asked, lost);
    if (!read_as(taken, &asked, fixed) || asked.count > NACK_ENTRIES ||
        taken->length != fixed + asked.count * sizeof *asked.lost) {
        invalid(worker);
        return;
    }
    memcpy(asked.lost, taken->bytes + fixed, asked.count * sizeof *asked.lost);
    uint32_t source = own_of(worker, taken);
    if (source == TABLE_NONE) return;
    const struct source_cache *cache = &worker->sources[source];
    uint8_t encoding = asked.head.encoding;
    uint64_t highest = worker->state.sources[source].encodings[encoding].highest_index;
    for (uint32_t i = 0; i < asked.count; i++) {
        struct history_packet packet;
        int16_t ahead = (int16_t)(uint16_t)(asked.lost[i] - (uint16_t)highest);
        uint64_t index = highest + (uint64_t)(int64_t)ahead;
        if (!recovery_find(worker, source, cache->incarnation, encoding, asked.head.ssrc, index, now_ns, &packet))
            continue;
        struct arrival arrival = {
            .input = {.index = index,
                      .source = source,
                      .source_incarnation = cache->incarnation,
                      .ssrc = asked.head.ssrc,
                      .timestamp = packet.timestamp,
                      .encoding = encoding},
            .payload = (uint8_t *)(uintptr_t)packet.payload, /* it is only read */
            .payload_length = packet.length,
            .marker = packet.marker,
            .audio = cache->audio,
            .has_level = packet.has_level,
            .level = packet.level,
            .repaired = true,
            .sealed = packet.sealed,
            .descriptor = packet.descriptor_length ? packet.descriptor : NULL,
            .descriptor_length = packet.descriptor_length,
        };
        handover_again(worker, taken->from, &arrival, now_ns);
    }
}

static void take_viewers_untrusted(struct worker *worker, const struct taken *taken, uint64_t now_ns)
{
    struct handover_viewers_told told = {0};
    size_t fixed = offsetof(struct handover_viewers_told, entries);
    if (!read_as(taken, &told, fixed) || told.count > VIEWER_DIGEST_MAX ||
        taken->length != fixed + told.count * sizeof *told.entries) {
        invalid(worker);
        return;
    }
    memcpy(told.entries, taken->bytes + fixed, told.count * sizeof *told.entries);
    uint32_t source = own_of(worker, taken);
    if (source == TABLE_NONE || !worker->handover->home[source].viewers) return;
    struct far_viewers *far = &worker->handover->home[source].viewers[taken->from];
    far->told_ns = now_ns ? now_ns : 1;
    far->lost_sum = told.lost_sum > UINT16_MAX * 255u ? UINT16_MAX * 255u : told.lost_sum;
    far->lost_most = told.lost_most > 255 ? 255 : told.lost_most;
    far->count = told.count;
    memcpy(far->entries, told.entries, told.count * sizeof *told.entries);
    /* What is looked at there is worth asking the sender for. */
    for (uint32_t i = 0; i < told.count; i++) {
        struct projection_input input = {.source = source};
        for (uint8_t e = 0; e < worker->sources[source].encoding_count; e++) {
            input.encoding = e;
            if (told.entries[i].viewer.encoding == e || told.entries[i].viewer.bid == e)
                recovery_viewed(worker, &input, now_ns);
        }
    }
    clamping_press(worker, source, now_ns);
}

/* ---- one record ---- */

static void take_record_untrusted(struct worker *worker, struct taken *taken, uint64_t now_ns)
{
    if (!read_as(taken, &taken->head, sizeof taken->head) || !worker->generation_number) {
        invalid(worker);
        return;
    }
    uint32_t source;
    switch (taken->head.kind) {
    case HANDOVER_PACKET: take_packet_untrusted(worker, taken, now_ns); return;
    case HANDOVER_CLOCK: take_clock_untrusted(worker, taken); return;
    case HANDOVER_CLAMP: take_clamp_untrusted(worker, taken); return;
    case HANDOVER_ASK: take_asked_untrusted(worker, taken, now_ns); return;
    case HANDOVER_VIEWERS: take_viewers_untrusted(worker, taken, now_ns); return;
    case HANDOVER_KEY:
        source = own_of(worker, taken);
        if (source != TABLE_NONE && !worker->sources[source].audio && !worker->sources[source].muted)
            key_request(worker, source, now_ns);
        return;
    case HANDOVER_FLOOR:
        source = own_of(worker, taken);
        if (source != TABLE_NONE && worker->sources[source].audio)
            handover_floor(worker, source, now_ns);
        return;
    default: invalid(worker);
    }
}

bool handover_take(struct worker *worker, uint64_t now_ns)
{
    struct handover *handover = worker->handover;
    if (!handover || !relay_has_room(&worker->relaying)) return false;
    uint8_t *record = handover->records + (size_t)handover->record * HANDOVER_RECORD_MAX;
    for (uint32_t i = 0; i < handover->rings.workers; i++) {
        uint32_t from = handover->next;
        int length = ring_take_untrusted(&handover->from[from], record);
        if (length > 0) {
            struct taken taken = {.from = from, .bytes = record, .length = (size_t)length};
            take_record_untrusted(worker, &taken, now_ns);
            return true;
        }
        if (length < 0) invalid(worker);
        handover->next = from + 1 < handover->rings.workers ? from + 1 : 0;
    }
    return false;
}
