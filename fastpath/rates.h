/* What each encoding of a source costs: bits per second of every temporal layer, measured where it arrives. No clock, no memory
 * but the row; the row is plain data and may stand in shared memory.
 *
 * Bytes are gathered in buckets of RATES_BUCKET_NS, and a bucket moves the rate by a quarter. A key frame is several times
 * as large as its neighbours: one or two buckets above the rate are cut to RATES_BURST, the third is believed. Without that
 * every key frame would look like a sender that nearly doubled its rate, and viewers would lose layers for it. */
#ifndef SOTTO_RATES_H
#define SOTTO_RATES_H

#include <stddef.h>
#include <stdint.h>

#include "limits.h"

/* Temporal layers told apart; higher ids count as the highest. More are not used by anything that calls (L1T3 is the most common). */
#define RATES_TEMPORAL 3
/* Higher: a change is seen later. Lower: two frames of a 15 Hz thumbnail no longer fit, and the rate trembles. */
#define RATES_BUCKET_NS (250ull * 1000000ull)
/* A burst counts at most this part of the rate, in percent. Higher: key frames cost layers. Lower: a rise is seen later. */
#define RATES_BURST_PERCENT 130u
/* So many buckets in a row above that are no burst. Higher: a true rise is seen later (0.25 s each). Lower: a key frame that
   the sender's pacer spreads over half a second is taken for one. */
#define RATES_BURST_BUCKETS 2u

struct rate_row {                   /* one encoding; zeroed = nothing arrived yet */
    uint64_t bucket_ns;             /* when the bucket began, 0 = no bucket yet */
    uint32_t bytes[RATES_TEMPORAL]; /* in this bucket, by temporal layer */
    uint32_t bps[RATES_TEMPORAL];   /* smoothed; of each layer alone */
    uint32_t peak_bps;              /* of all layers, falls by a 32nd a bucket (half in 5 s) */
    uint8_t buckets;                /* closed so far, stays at 4 */
    uint8_t bursts;                 /* in a row */
    uint8_t reserved[2];
};
_Static_assert(sizeof(struct rate_row) == 40, "layout");

/* A packet of `bytes` (RTP header and payload, as it will go out) of temporal layer `temporal` arrived. */
void rate_add(struct rate_row *row, uint8_t temporal, size_t bytes, uint64_t now_ns);
/* Closes buckets that are over; to be called before reading, any time. */
void rate_roll(struct rate_row *row, uint64_t now_ns);
/* Bits per second of layers 0..temporal together, as of the last closed bucket; 0 = nothing measured. */
uint32_t rate_of(const struct rate_row *row, uint8_t temporal);

/* What a source's encodings would cost a viewer, [encoding][temporal layer and all below it], in bit/s; 0 = not to be had. */
struct rate_costs {
    uint32_t bps[LIMIT_ENCODINGS][RATES_TEMPORAL];
};

/* How an encoding is held by its clamp, for its cost; all 0 = not held. */
struct rate_hold {
    uint32_t target_bps; /* what its sender was told; 0 = it was told to send nothing */
    uint64_t since_ns;   /* of the last lowering or switching on */
};
/* A sender that was just told a lower rate is believed: its old rate counts only as far as it exceeds that by these percents, the first
   within RATES_GRACE_NS of the telling, then the second. Higher: a queue grows at the viewer's modem until the sender follows.
   Lower: viewers lose a layer at each step of the clamp, or for each encoder that overshoots a little. */
#define RATES_GRACE_NS (700ull * 1000000ull)
#define RATES_GRACE_PERCENT 125u
#define RATES_OVERSHOOT_PERCENT 110u
/* An encoding that was asked for and has not come costs its target for this long, then only what really flows below it.
   Higher: a sender that cannot send more starves the viewers' other tiles. Lower: an encoding that starts late finds its place taken. */
#define RATES_START_NS (2000ull * 1000000ull)

/* Fills `costs`. `live`: bit e = packets of encoding e come. An encoding that is not live costs `declared_bps` unless it was asked for (hold);
   `screen`: a still picture costs nothing until it changes, so half of the recent peak counts. Times in one clock. */
void rate_costs_fill(struct rate_costs *costs, const struct rate_row rows[LIMIT_ENCODINGS],
                     const struct rate_hold holds[LIMIT_ENCODINGS], const uint32_t declared_bps[LIMIT_ENCODINGS],
                     uint8_t encoding_count, uint8_t live, int screen, uint64_t now_ns);

#endif
