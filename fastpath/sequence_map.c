#include "sequence_map.h"

#include <errno.h>

/* The order of projection.h: the copy that does not count is written whole, then counts by one store. */
static void store(struct projection copies[2], struct projection next)
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

/* A piece ended, of which `ended` is the last row. What holds no index is not worth a place, and what carries nothing has one already, if
   it may have one. */
static void remember(struct sequence_map *map, const struct projection *ended)
{
    if (!ended->started || ended->source == TABLE_NONE ||
        ended->first_input + ended->index_offset > ended->highest_index)
        return;
    map->newest = (map->newest + 1) % SEQUENCE_PIECES;
    if (map->count < SEQUENCE_PIECES) map->count++;
    map->pieces[map->newest] = (struct sequence_piece){
        .first_input = ended->first_input,
        .last_output = ended->highest_index,
        .index_offset = ended->index_offset,
        .source = ended->source,
        .source_incarnation = ended->source_incarnation,
        .input_ssrc = ended->input_ssrc,
        .timestamp_offset = ended->timestamp_offset,
        .picture_id_offset = ended->picture_id_offset,
        .tl0_offset = ended->tl0_offset,
        .encoding = ended->encoding,
        .window = map->window,
    };
}

/* Piece number `age`, 0 the newest. */
static const struct sequence_piece *piece_at(const struct sequence_map *map, uint32_t age)
{ return &map->pieces[(map->newest + SEQUENCE_PIECES - age) % SEQUENCE_PIECES]; }

static uint16_t picture_mask(uint8_t bits)
{ return bits == 7 ? 0x7f : 0x7fff; }

static void numbers(const struct projection_input *input, uint64_t index_offset, uint32_t timestamp_offset,
                    uint16_t picture_id_offset, uint8_t tl0_offset, struct projection_output *output)
{
    *output = (struct projection_output){
        .index = input->index + index_offset,
        .timestamp = input->timestamp + timestamp_offset,
    };
    if (input->picture_id_bits)
        output->picture_id =
            (uint16_t)(input->picture_id + picture_id_offset) & picture_mask(input->picture_id_bits);
    if (input->has_tl0) output->tl0 = (uint8_t)(input->tl0 + tl0_offset);
}

/* A packet of before the current piece, of the same source and encoding. */
static int late(const struct sequence_map *map, const struct projection_input *input,
                struct projection_output *output)
{
    for (uint32_t age = 0; age < map->count; age++) {
        const struct sequence_piece *piece = piece_at(map, age);
        if (piece->source != input->source || piece->source_incarnation != input->source_incarnation ||
            piece->input_ssrc != input->ssrc || piece->encoding != input->encoding ||
            piece->window != input->window || piece->first_input > input->index)
            continue;
        if (input->index + piece->index_offset > piece->last_output) return -ESTALE;
        numbers(input, piece->index_offset, piece->timestamp_offset, piece->picture_id_offset,
                piece->tl0_offset, output);
        return 0;
    }
    return -ESTALE;
}

int sequence_map_begin(struct sequence_map *map, struct projection copies[2],
                       const struct projection_input *input, bool audio, uint32_t clock_rate,
                       uint64_t random, uint64_t now_ns, struct projection_output *output)
{
    const struct projection *before = projection_current(copies); /* stays as it is: the other copy is written */
    int result = projection_begin(copies, input, audio, clock_rate, random, now_ns, output);
    if (result != 0) return result;
    remember(map, before);
    map->window = input->window;
    return 0;
}

int sequence_map_begin_sealed(struct sequence_map *map, struct projection copies[2],
                              uint64_t *const parked[LIMIT_ENCODINGS], const struct projection_input *input,
                              uint64_t random, uint64_t now_ns, struct projection_output *output)
{
    const struct projection *before = projection_current(copies);
    bool same = before->started && before->encoding == input->encoding;
    int result = projection_begin_sealed(copies, parked, input, random, now_ns, output);
    if (result != 0) return result;
    if (same)
        remember(map, before);
    else
        map->count = 0; /* another SSRC: its numbers say nothing of these */
    map->window = input->window;
    return 0;
}

int sequence_map_forward(struct sequence_map *map, struct projection copies[2],
                         const struct projection_input *input, uint64_t now_ns, struct projection_output *output)
{
    const struct projection *before = projection_current(copies);
    int result = projection_map(copies, input, now_ns, output);
    if (result == -ESTALE) return late(map, input, output);
    if (result == 0) {
        const struct projection *after = projection_current(copies);
        if (after->first_input != before->first_input) {
            map->window = input->window; /* a successor does not know it; not for each packet, the map is out of the caches then */
            remember(map, before);
        }
    }
    return result;
}

/* The picture is left out: the next one takes its number. Its further packets are no longer ahead and change nothing. */
static void close_picture(struct projection *next, const struct projection_input *input)
{
    if (!input->picture_id_bits) return;
    uint16_t mask = picture_mask(input->picture_id_bits);
    uint16_t mapped = (uint16_t)(input->picture_id + next->picture_id_offset) & mask;
    uint16_t ahead = (uint16_t)(mapped - next->last_picture_id) & mask;
    if (ahead == 0 || ahead > mask / 2) return;
    next->picture_id_offset--;
    next->last_picture_id = (uint16_t)(mapped - 1) & mask;
}

int sequence_map_drop(struct sequence_map *map, struct projection copies[2],
                      const struct projection_input *input, uint64_t now_ns, struct projection_output *output)
{
    const struct projection *current = projection_current(copies);
    *output = (struct projection_output){0};
    if (!projection_carries(current, input)) return -EXDEV;
    if (input->index < current->first_input) {
        int result = late(map, input, output);
        return result < 0 ? result : SEQUENCE_FILL;
    }
    uint64_t natural = input->index + current->index_offset;
    if (natural <= current->highest_index) {
        numbers(input, current->index_offset, current->timestamp_offset, current->picture_id_offset,
                current->tl0_offset, output);
        return SEQUENCE_FILL;
    }
    if (natural > current->highest_index + 1) {
        /* What is missing before it keeps its numbers: as if the packet before it had come, whatever its picture. Its base frame may be among
           that, and be repaired yet: the next source's TL0PICIDX must not be the same. */
        struct projection_input before = *input;
        struct projection_output unused;
        before.index--;
        before.picture_id_bits = 0;
        int result = sequence_map_forward(map, copies, &before, now_ns, &unused);
        if (result < 0) return result;
        current = projection_current(copies);
    }
    struct projection next = *current;
    next.first_input = input->index + 1;
    next.index_offset--;
    close_picture(&next, input);
    map->window = input->window;
    remember(map, current);
    store(copies, next);
    return SEQUENCE_GONE;
}

void sequence_map_end(struct sequence_map *map, struct projection copies[2])
{
    remember(map, projection_current(copies));
    projection_end(copies);
}

int sequence_map_origin(const struct sequence_map *map, const struct projection *current,
                        uint16_t sequence, struct sequence_origin *origin)
{
    uint16_t behind = (uint16_t)((uint16_t)current->highest_index - sequence);
    if (!current->started || behind >= 0x8000 || behind > current->highest_index) return -ENOENT;
    uint64_t output = current->highest_index - behind;
    struct sequence_piece found = {
        .first_input = current->first_input,
        .last_output = current->highest_index,
        .index_offset = current->index_offset,
        .source = current->source,
        .source_incarnation = current->source_incarnation,
        .input_ssrc = current->input_ssrc,
        .timestamp_offset = current->timestamp_offset,
        .picture_id_offset = current->picture_id_offset,
        .tl0_offset = current->tl0_offset,
        .encoding = current->encoding,
    };
    bool silent = found.source == TABLE_NONE; /* what it said last is in the map, if it may be asked for */
    for (uint32_t age = 0; silent || output < found.first_input + found.index_offset; age++) {
        if (age == map->count) return -ENOENT;
        found = *piece_at(map, age);
        silent = false;
    }
    if (output > found.last_output || found.source == TABLE_NONE) return -ENOENT;
    *origin = (struct sequence_origin){
        .input_index = output - found.index_offset,
        .output_index = output,
        .source = found.source,
        .source_incarnation = found.source_incarnation,
        .input_ssrc = found.input_ssrc,
        .timestamp_offset = found.timestamp_offset,
        .picture_id_offset = found.picture_id_offset,
        .tl0_offset = found.tl0_offset,
        .encoding = found.encoding,
    };
    return 0;
}
