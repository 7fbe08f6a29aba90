#include "dependency.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"

struct bits {
    const uint8_t *bytes;
    size_t at, end; /* in bits */
    bool failed;    /* read past the end: every value from then on is 0 */
};

static uint32_t read_bits(struct bits *bits, unsigned count)
{
    if (bits->end - bits->at < count) {
        bits->failed = true;
        bits->at = bits->end;
        return 0;
    }
    uint32_t value = 0;
    while (count > 0) {
        unsigned left = 8 - bits->at % 8, taken = count < left ? count : left;
        uint32_t part = (uint32_t)bits->bytes[bits->at / 8] >> (left - taken) & ((1u << taken) - 1);
        value = value << taken | part;
        bits->at += taken;
        count -= taken;
    }
    return value;
}

/* ns(n): one of n values in as few bits as can be. n is 1 or more. */
static uint32_t read_nonsymmetric(struct bits *bits, uint32_t n)
{
    unsigned width = 32 - (unsigned)__builtin_clz(n);
    uint32_t shorter = (1u << width) - n;
    uint32_t value = read_bits(bits, width - 1);
    if (value < shorter) return value;
    return (value << 1) - shorter + read_bits(bits, 1);
}

static uint64_t read_dtis(struct bits *bits, unsigned targets)
{
    uint64_t dtis = 0;
    for (unsigned target = 0; target < targets; target++)
        dtis |= (uint64_t)read_bits(bits, 2) << (2 * target);
    return dtis;
}

static bool read_layers(struct bits *bits, struct dependency_structure *structure)
{
    uint8_t spatial = 0, temporal = 0;
    uint32_t next;
    do {
        if (structure->template_count == DEPENDENCY_TEMPLATES) return false;
        structure->spatial[structure->template_count] = spatial;
        structure->temporal[structure->template_count++] = temporal;
        if (temporal > structure->max_temporal) structure->max_temporal = temporal;
        next = read_bits(bits, 2);
        if (next == 1) {
            temporal++;
        } else if (next == 2) {
            temporal = 0;
            spatial++;
        }
        if (temporal == DEPENDENCY_TEMPORAL || spatial == DEPENDENCY_SPATIAL) return false;
    } while (next != 3 && !bits->failed);
    structure->max_spatial = spatial;
    return true;
}

static void read_template_fdiffs(struct bits *bits, struct dependency_structure *structure)
{
    for (unsigned i = 0; i < structure->template_count; i++) {
        while (read_bits(bits, 1)) {
            uint32_t difference = read_bits(bits, 4);
            if (structure->fdiff_count[i] < DEPENDENCY_FDIFFS)
                structure->fdiffs[i] |= difference << (4 * structure->fdiff_count[i]);
            structure->fdiff_count[i]++; /* 2040 bits hold 408 of them: it may wrap, for a liar */
        }
    }
}

/* Chains tell receivers what they lost; here only their length matters. */
static void skip_chains(struct bits *bits, struct dependency_structure *structure)
{
    structure->chain_count = (uint8_t)read_nonsymmetric(bits, structure->target_count + 1u);
    if (!structure->chain_count) return;
    for (unsigned i = 0; i < structure->target_count; i++)
        read_nonsymmetric(bits, structure->chain_count);
    for (unsigned i = 0; i < structure->template_count && !bits->failed; i++)
        for (unsigned chain = 0; chain < structure->chain_count; chain++) read_bits(bits, 4);
}

/* A target has the layers of all templates that are anything to it. */
static void derive_targets(struct dependency_structure *structure)
{
    for (unsigned i = 0; i < structure->template_count; i++) {
        for (unsigned target = 0; target < structure->target_count; target++) {
            if (dependency_of(structure->dtis[i], target) == DEPENDENCY_NOT_PRESENT) continue;
            if (structure->spatial[i] > structure->target_spatial[target])
                structure->target_spatial[target] = structure->spatial[i];
            if (structure->temporal[i] > structure->target_temporal[target])
                structure->target_temporal[target] = structure->temporal[i];
        }
    }
    uint8_t fewest = DEPENDENCY_TEMPORAL;
    for (unsigned target = 0; target < structure->target_count; target++)
        if (structure->target_temporal[target] < fewest)
            fewest = structure->target_temporal[target];
    for (uint8_t wanted = 0; wanted < DEPENDENCY_TEMPORAL; wanted++) {
        /* Who wants less than any target has gets the fewest frames there are. */
        uint8_t most = wanted < fewest ? fewest : wanted;
        int best_rank = -1;
        for (unsigned target = 0; target < structure->target_count; target++) {
            if (structure->target_temporal[target] > most) continue;
            structure->targets_up_to[wanted] |= UINT64_C(3) << (2 * target);
            int rank = (int)(DEPENDENCY_SPATIAL - structure->target_spatial[target]) * 8 +
                       structure->target_temporal[target];
            if (rank <= best_rank) continue;
            best_rank = rank;
            structure->target_of_temporal[wanted] = (uint8_t)target;
        }
    }
}

static bool read_structure(struct bits *bits, struct dependency_structure *structure)
{
    memset(structure, 0, sizeof *structure);
    structure->template_id_offset = (uint8_t)read_bits(bits, 6);
    structure->target_count = (uint8_t)(read_bits(bits, 5) + 1);
    if (!read_layers(bits, structure)) return false;
    for (unsigned i = 0; i < structure->template_count && !bits->failed; i++)
        structure->dtis[i] = read_dtis(bits, structure->target_count);
    read_template_fdiffs(bits, structure);
    skip_chains(bits, structure);
    if (read_bits(bits, 1)) {
        for (unsigned i = 0; i <= structure->max_spatial; i++) {
            /* 65536 does not fit and is nobody's camera: it reads as not told. */
            structure->width[i] = (uint16_t)(read_bits(bits, 16) + 1);
            structure->height[i] = (uint16_t)(read_bits(bits, 16) + 1);
        }
    }
    if (bits->failed) return false;
    derive_targets(structure);
    return true;
}

static bool read_frame(struct bits *bits, const struct dependency_structure *structure, bool custom_dtis,
                       bool custom_fdiffs, bool custom_chains, struct dependency_frame *frame)
{
    unsigned which = (frame->template_id + 64u - structure->template_id_offset) % 64;
    if (which >= structure->template_count) return false;
    frame->spatial_id = structure->spatial[which];
    frame->temporal_id = structure->temporal[which];
    frame->width = structure->width[frame->spatial_id];
    frame->height = structure->height[frame->spatial_id];
    frame->dtis = custom_dtis ? read_dtis(bits, structure->target_count) : structure->dtis[which];
    if (custom_fdiffs) {
        uint32_t size;
        while ((size = read_bits(bits, 2)) != 0) {
            uint32_t difference = read_bits(bits, 4 * size) + 1;
            if (frame->fdiff_count < DEPENDENCY_FDIFFS)
                frame->fdiffs[frame->fdiff_count] = (uint16_t)difference;
            frame->fdiff_count++;
        }
    } else {
        frame->fdiff_count = structure->fdiff_count[which];
        for (unsigned i = 0; i < DEPENDENCY_FDIFFS && i < frame->fdiff_count; i++)
            frame->fdiffs[i] = (uint16_t)((structure->fdiffs[which] >> (4 * i) & 15) + 1);
    }
    if (custom_chains)
        for (unsigned i = 0; i < structure->chain_count; i++) read_bits(bits, 8);
    return !bits->failed;
}

/* How far the frame is behind the newest: 0 when it is the newest itself, or ahead, or of a sender that began anew. */
static uint16_t frames_behind(const struct dependency_state *state, uint16_t number)
{
    uint16_t behind = (uint16_t)(state->newest_frame - number);
    return behind <= DEPENDENCY_LATE ? behind : 0;
}

static void advance(struct dependency_state *state, uint16_t number)
{
    uint32_t age = (uint32_t)state->structure_age + (uint16_t)(number - state->newest_frame);
    state->structure_age = age < UINT16_MAX ? (uint16_t)age : UINT16_MAX;
    state->newest_frame = number;
}

int dependency_read_untrusted(struct dependency_state *state, const uint8_t *bytes, size_t length,
                              struct dependency_frame *frame)
{
    *frame = (struct dependency_frame){0};
    if (length < 3 || length > UINT8_MAX) return -EBADMSG;
    struct bits bits = {.bytes = bytes, .end = length * 8};
    frame->start = (uint8_t)read_bits(&bits, 1);
    frame->end = (uint8_t)read_bits(&bits, 1);
    frame->template_id = (uint8_t)read_bits(&bits, 6);
    frame->frame_number = (uint16_t)read_bits(&bits, 16);
    bool has_structure = false, has_active = false, dtis = false, fdiffs = false, chains = false;
    if (length > 3) {
        has_structure = read_bits(&bits, 1);
        has_active = read_bits(&bits, 1);
        dtis = read_bits(&bits, 1);
        fdiffs = read_bits(&bits, 1);
        chains = read_bits(&bits, 1);
    }
    const struct dependency_structure *structure = &state->structure;
    bool known = structure->template_count != 0;
    uint16_t behind = known ? frames_behind(state, frame->frame_number) : 0;
    struct dependency_structure attached;
    if (has_structure) {
        if (!read_structure(&bits, &attached)) return -EBADMSG;
        structure = &attached;
    } else if (!known || behind > state->structure_age) { /* none, or the one it meant has been replaced */
        return -ENODATA;
    }
    if (has_active) frame->active_targets = read_bits(&bits, structure->target_count);
    if (!read_frame(&bits, structure, dtis, fdiffs, chains, frame)) return -EBADMSG;
    if (behind > state->structure_age) { /* sound, and its structure has been replaced since */
        *frame = (struct dependency_frame){.start = frame->start,
                                           .end = frame->end,
                                           .template_id = frame->template_id,
                                           .frame_number = frame->frame_number};
        return -ENODATA;
    }
    frame->structure_attached = has_structure;
    frame->key_frame = has_structure && frame->start;
    if (has_structure) {
        state->structure = attached;
        state->active_targets =
            structure->target_count == 32 ? UINT32_MAX : (1u << structure->target_count) - 1;
        state->structure_age = behind;
        if (!known) state->newest_frame = frame->frame_number;
    }
    if (behind) return 0;
    if (has_structure)
        state->newest_frame = frame->frame_number;
    else
        advance(state, frame->frame_number);
    if (has_active) state->active_targets = frame->active_targets;
    return 0;
}
