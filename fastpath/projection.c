#include "projection.h"

#include <errno.h>

#define INDEX_MAX ((UINT64_C(1) << 48) - 1)
#define SECOND_NS UINT64_C(1000000000)
/* A pause longer than this many ticks (3.3 h of video) is shown as this: a receiver would take a step of 2^31 for one backwards. */
#define TICKS_MAX (UINT32_C(1) << 30)

static uint32_t elapsed_ticks(uint64_t from_ns, uint64_t to_ns, uint32_t clock_rate)
{
    if (to_ns <= from_ns) return 0;
    uint64_t seconds = (to_ns - from_ns) / SECOND_NS, rest = (to_ns - from_ns) % SECOND_NS;
    if (seconds > TICKS_MAX) return TICKS_MAX;
    uint64_t ticks = seconds * clock_rate + rest * clock_rate / SECOND_NS;
    return ticks > TICKS_MAX ? TICKS_MAX : (uint32_t)ticks;
}

/* Whole frames of 20 ms for audio, because a fraction makes the receiver drop a packet; real time for video, at least 1 ms. */
static uint32_t switch_ticks(const struct projection *current, bool audio, uint32_t clock_rate, uint64_t now_ns)
{
    uint32_t elapsed = elapsed_ticks(current->last_sent_ns, now_ns, clock_rate);
    if (audio) {
        uint32_t frame = clock_rate / 50;
        uint32_t frames = (elapsed + frame / 2) / frame;
        return (frames ? frames : 1) * frame;
    }
    uint32_t least = clock_rate / 1000;
    return elapsed > least ? elapsed : least;
}

/* Writes the copy that does not count and lets it count by one store. Whatever the instruction a kill comes at, one copy is whole:
   while its bytes change, the other copy has the later version. */
static void projection_store(struct projection copies[2], struct projection next)
{
    const struct projection *current = projection_current(copies);
    struct projection *other = current == &copies[0] ? &copies[1] : &copies[0];
    uint32_t version = current->version + 1;
    next.version = 0;
    *other = next;
    table_barrier();
    *(volatile uint32_t *)&other->version = version ? version : 1;
    table_barrier();
}

static uint16_t picture_id_mask(uint8_t bits)
{ return bits == 7 ? 0x7f : 0x7fff; }

/* The numbers of a frame in the terms of the run `next`, remembered if the packet is the newest. */
static void project_picture(struct projection *next, const struct projection_input *input,
                            bool newest, struct projection_output *output)
{
    if (input->picture_id_bits) {
        output->picture_id = (uint16_t)(input->picture_id + next->picture_id_offset) &
                             picture_id_mask(input->picture_id_bits);
        if (newest) next->last_picture_id = output->picture_id;
    }
    if (input->has_tl0) {
        output->tl0 = (uint8_t)(input->tl0 + next->tl0_offset);
        if (newest) next->last_tl0 = output->tl0;
    }
}

int projection_begin(struct projection copies[2], const struct projection_input *input, bool audio,
                     uint32_t clock_rate, uint64_t random, uint64_t now_ns, struct projection_output *output)
{
    if (clock_rate < 1000) return -EINVAL;
    const struct projection *current = projection_current(copies);
    struct projection next = *current;
    *output = (struct projection_output){0};
    if (current->started) {
        if (current->highest_index >= INDEX_MAX) return -EOVERFLOW;
        output->index = current->highest_index + 1;
        output->timestamp = current->last_timestamp + switch_ticks(current, audio, clock_rate, now_ns);
        if (input->picture_id_bits)
            next.picture_id_offset = (uint16_t)(current->last_picture_id + 1 - input->picture_id);
        if (input->has_tl0) next.tl0_offset = (uint8_t)(current->last_tl0 + 1 - input->tl0);
    } else {
        output->index = random & 0x7fff;
        output->timestamp = (uint32_t)(random >> 32);
        next.picture_id_offset = 0;
        next.tl0_offset = 0;
    }
    next.started = 1;
    next.source = input->source;
    next.source_incarnation = input->source_incarnation;
    next.input_ssrc = input->ssrc;
    next.encoding = input->encoding;
    next.highest_index = output->index;
    next.first_input = input->index;
    next.index_offset = output->index - input->index;
    next.timestamp_offset = output->timestamp - input->timestamp;
    next.last_timestamp = output->timestamp;
    next.last_sent_ns = now_ns;
    project_picture(&next, input, true, output);
    projection_store(copies, next);
    return 0;
}

int projection_begin_sealed(struct projection copies[2], uint64_t *const parked[LIMIT_ENCODINGS],
                            const struct projection_input *input, uint64_t random, uint64_t now_ns,
                            struct projection_output *output)
{
    const struct projection *current = projection_current(copies);
    struct projection next = *current;
    uint64_t index = random & 0x7fff;
    if (input->encoding >= LIMIT_ENCODINGS || (current->started && current->encoding >= LIMIT_ENCODINGS))
        return -EINVAL;
    if (current->started && current->encoding == input->encoding)
        index = current->highest_index + 1;
    else if (*parked[input->encoding])
        index = *parked[input->encoding];
    if (index > INDEX_MAX) return -EOVERFLOW;
    if (current->started && current->encoding != input->encoding) {
        *(volatile uint64_t *)parked[current->encoding] = current->highest_index + 1;
        table_barrier();
    }
    *output = (struct projection_output){.index = index, .timestamp = input->timestamp};
    next.started = 1;
    next.source = input->source;
    next.source_incarnation = input->source_incarnation;
    next.input_ssrc = input->ssrc;
    next.encoding = input->encoding;
    next.highest_index = index;
    next.first_input = input->index;
    next.index_offset = index - input->index;
    next.timestamp_offset = 0;
    next.last_timestamp = input->timestamp;
    next.last_sent_ns = now_ns;
    projection_store(copies, next);
    return 0;
}

/* How many indices may be left out before this packet. Within a frame no time passes, whatever the sender claims. */
static uint64_t gap_bound(const struct projection *current, uint32_t timestamp, uint64_t now_ns)
{
    if (timestamp == current->last_timestamp || now_ns <= current->last_sent_ns)
        return PROJECTION_GAP_AT_ONCE;
    uint64_t bound = PROJECTION_GAP_AT_ONCE + (now_ns - current->last_sent_ns) / 1000000 * PROJECTION_GAP_PER_MS;
    return bound < PROJECTION_MAX_GAP ? bound : PROJECTION_MAX_GAP;
}

int projection_map(struct projection copies[2], const struct projection_input *input,
                   uint64_t now_ns, struct projection_output *output)
{
    const struct projection *current = projection_current(copies);
    if (!projection_carries(current, input)) return -EXDEV;
    if (input->index < current->first_input) return -ESTALE;
    struct projection next = *current;
    *output = (struct projection_output){
        .index = input->index + current->index_offset,
        .timestamp = input->timestamp + current->timestamp_offset,
    };
    if (output->index <= current->highest_index) { /* late, and within what is stored already */
        project_picture(&next, input, false, output);
        return 0;
    }
    uint64_t bound = gap_bound(current, output->timestamp, now_ns);
    if (output->index - current->highest_index > bound + 1) {
        output->index = current->highest_index + bound + 1;
        next.first_input = input->index;
        next.index_offset = output->index - input->index;
    }
    if (output->index > INDEX_MAX) return -EOVERFLOW;
    next.highest_index = output->index;
    if (output->timestamp != current->last_timestamp) {
        next.last_timestamp = output->timestamp;
        next.last_sent_ns = now_ns;
    }
    project_picture(&next, input, true, output);
    projection_store(copies, next);
    return 0;
}

int projection_skip(struct projection copies[2], const struct projection_input *input)
{
    const struct projection *current = projection_current(copies);
    if (!projection_carries(current, input)) return -EXDEV;
    if (input->index < current->first_input) return -ESTALE;
    if (input->index + current->index_offset != current->highest_index + 1) return -ESTALE;
    struct projection next = *current;
    next.first_input = input->index + 1;
    next.index_offset -= 1;
    projection_store(copies, next);
    return 0;
}

void projection_end(struct projection copies[2])
{
    struct projection next = *projection_current(copies);
    if (!next.started || next.source == TABLE_NONE) return;
    next.source = TABLE_NONE;
    next.source_incarnation = 0;
    projection_store(copies, next);
}

uint32_t projection_timestamp_at(const struct projection *current, uint32_t clock_rate, uint64_t now_ns)
{ return current->last_timestamp + elapsed_ticks(current->last_sent_ns, now_ns, clock_rate); }
