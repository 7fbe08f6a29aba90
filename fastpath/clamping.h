/* Each sender is held to what its viewers can take: the clamp of each of its sources from the shares of those who view it (clamp.h), told to control
 * (which tells the client), by REMB at once, and by TMMBR to who negotiated it. And each sender hears what its viewers lose.
 *
 * A source without limits in its row (max_bps 0) is not clamped. */
#ifndef SOTTO_CLAMPING_H
#define SOTTO_CLAMPING_H

#include <stdbool.h>
#include <stdint.h>

#include "clamp.h"
#include "rates.h"

struct worker;

/* A source's costs are worked out again when they are older. Higher: allocations see rates of before. Lower: each receiver pays for it. */
#define CLAMPING_COSTS_NS (50ull * 1000000ull)
/* UPLINK_VIEWERS of one source at most so often, and only when its losses moved by more than CLAMPING_LOSS (of 256) or viewers came or went. Higher:
   senders learn later. Lower: messages. */
#define CLAMPING_VIEWERS_NS (2000ull * 1000000ull)
#define CLAMPING_LOSS 2u
/* What a source of audio costs before it is measured, when its row does not say. */
#define CLAMPING_AUDIO_BPS 40000u

struct source_costs { /* of one source, for all who view it */
    uint64_t made_ns, viewers_due_ns;
    struct rate_costs costs;
    uint32_t entry_bps[LIMIT_ENCODINGS];
};

struct clamping {
    struct source_costs *sources;
    struct clamp_viewer *viewers; /* of the source at work */
    uint32_t *pressed;            /* senders to be looked at in this tick */
    uint32_t pressed_count;
    bool *is_pressed; /* by transport */
};

int clamping_open(struct worker *worker); /* 0 or -ENOMEM */
void clamping_close(struct worker *worker);

/* Is the source held to its viewers at all? */
bool clamping_clamps(const struct worker *worker, uint32_t source);
/* Which encodings come, by bit. A screen that does not change counts as it was. */
uint8_t clamping_live(const struct worker *worker, uint32_t source, uint64_t now_ns);
const struct source_costs *clamping_costs(struct worker *worker, uint32_t source, uint64_t now_ns);

/* Those who look at it here, and what they lose (of 256); `viewers` has room for all sinks. Who cannot be sent to now holds nobody down. */
size_t clamping_gather(struct worker *worker, uint32_t source, struct clamp_viewer *viewers,
                       uint32_t *lost_sum, uint32_t *lost_most, uint64_t now_ns);

/* The clamps of this source's sender are made anew: with the next clamping_tick, or by another worker that it arrives at. */
void clamping_press(struct worker *worker, uint32_t source, uint64_t now_ns);
/* The same for a sender that is looked at in its turn. */
void clamping_press_sender(struct worker *worker, uint32_t transport);
/* Makes and tells the clamps of those who were pressed. */
void clamping_tick(struct worker *worker, uint64_t now_ns);

#endif
