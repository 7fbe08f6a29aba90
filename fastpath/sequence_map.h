/* Numbers of an outgoing stream from which packets are left out on purpose, and the way back from an outgoing number to what it was.
 *
 * A projection is the newest piece of the stream: output = input + offset. Whenever a piece ends - a packet left out, a switch, a hole
 * shown smaller - the projection forgets it, and this map remembers the last SEQUENCE_PIECES of them. So packets of before still find
 * their numbers when they come late, and NACKs find the packet they mean.
 *
 * The projection alone decides what is safe (see projection.h): it is stored before a new index is used, and the map only answers for
 * indices below it that the ended pieces reserved. Pieces never overlap, each maps inputs one to one, and an input comes at most once in
 * one replay window: so no index is used twice, as long as late packets find pieces of their own window alone. Where a source's SSRC changes to
 * another and back its window begins anew. A killed worker loses the map: its successor refuses packets of before the current piece.
 *
 * Nothing is left of what is dropped while it is the newest. A packet that turns out to be droppable only after later ones were sent
 * has its number taken already: the answer is SEQUENCE_FILL, send padding in its place, or the receiver keeps asking for it. */
#ifndef SOTTO_SEQUENCE_MAP_H
#define SOTTO_SEQUENCE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "projection.h"

/* Ended pieces remembered for one sink, 48 B each. A dropped frame ends one: 32 are two seconds of every other frame at 30 frames/s.
   Higher: memory of each sink that drops. Lower: retransmissions and late packets of a dropping slot are lost earlier. */
#define SEQUENCE_PIECES 32u

struct sequence_piece {
    uint64_t first_input;  /* from this input index on */
    uint64_t last_output;  /* up to this output index */
    uint64_t index_offset; /* output = input + this (wraps) */
    uint32_t source, source_incarnation, input_ssrc;
    uint32_t timestamp_offset;
    uint16_t picture_id_offset;
    uint8_t tl0_offset, encoding;
    uint32_t window; /* projection_input.window of what was sent in it */
};
_Static_assert(sizeof(struct sequence_piece) == 48, "32 of them are 1.5 KiB");

struct sequence_map { /* private memory of the worker, one a sink; all zero at first and for another incarnation */
    uint32_t count, newest;
    uint32_t window; /* of what is carried now; 0 = a predecessor began it, and no piece of it has ended yet */
    uint32_t reserved;
    struct sequence_piece pieces[SEQUENCE_PIECES]; /* a ring */
};

enum sequence_result {
    SEQUENCE_SEND = 0, /* with the numbers of `output` */
    SEQUENCE_GONE = 1, /* left out; no trace of it remains */
    SEQUENCE_FILL = 2, /* left out, but its number is taken: send padding with the numbers of `output` */
};

/* These four stand in for the functions of projection.h of the same name, with the same errors. */
int sequence_map_begin(struct sequence_map *map, struct projection copies[2],
                       const struct projection_input *input, bool audio, uint32_t clock_rate,
                       uint64_t random, uint64_t now_ns, struct projection_output *output);
int sequence_map_begin_sealed(struct sequence_map *map, struct projection copies[2],
                              uint64_t *const parked[LIMIT_ENCODINGS], const struct projection_input *input,
                              uint64_t random, uint64_t now_ns, struct projection_output *output);
/* SEQUENCE_SEND or an error; late packets find the piece they belong to, -ESTALE when it is forgotten or their number is not theirs. */
int sequence_map_forward(struct sequence_map *map, struct projection copies[2],
                         const struct projection_input *input, uint64_t now_ns,
                         struct projection_output *output);
/* A packet that this sink does not get. SEQUENCE_GONE, SEQUENCE_FILL, or an error (nothing to do then). The whole frame must be dropped:
   VP8 picture ids close up as well, or receivers wait for the missing frame. Before it missing packets stay visible as a gap. */
int sequence_map_drop(struct sequence_map *map, struct projection copies[2],
                      const struct projection_input *input, uint64_t now_ns, struct projection_output *output);

/* As projection_end, for a stream that says nothing for a while, though what it carried goes on: its last numbers are still known, and what
   was lost of them can be asked for. */
void sequence_map_end(struct sequence_map *map, struct projection copies[2]);

struct sequence_origin { /* what stands behind an outgoing index */
    uint64_t input_index;
    uint64_t output_index; /* 48 bits of the sequence number asked for */
    uint32_t source, source_incarnation, input_ssrc;
    uint32_t timestamp_offset;
    uint16_t picture_id_offset; /* output = input + offset, in the width of the input's picture id */
    uint8_t tl0_offset, encoding;
};
/* Which packet went out, or would have, with this sequence number. 0; -ENOENT: never sent, forgotten, or the stream was ended since by
   projection_end. */
int sequence_map_origin(const struct sequence_map *map, const struct projection *current,
                        uint16_t sequence, struct sequence_origin *origin);

#endif
