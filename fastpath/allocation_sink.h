/* One sink while its receiver's estimate is shared out: the steps it can have, and when it may move between them. Part of
 * allocation.c, which knows the others. */
#ifndef SOTTO_ALLOCATION_SINK_H
#define SOTTO_ALLOCATION_SINK_H

#include "allocation.h"

/* A deal is a step of its kind's ladder, from worst to best, counted from 1; 0 = nothing. */
#define STEPS_MAX 9u
struct step {
    uint8_t encoding, temporal;
};

struct request {
    const struct allocation_wish *wish;
    struct allocation_state *state;
    const struct step *steps;
    uint64_t key;                 /* place in the order */
    uint32_t cost[STEPS_MAX + 1]; /* by step, 0 = not to be had */
    uint32_t own;                 /* set aside for its least picture */
    uint32_t charged;             /* what its deal costs, at most its share */
    uint8_t step_count;           /* 0 = audio, or hidden */
    uint8_t before;               /* the step it has, or the nearest below that still exists */
    uint8_t encoding_before, temporal_before; /* as they were told */
};

/* Takes up a wish; `picture` when it wants one (video that is not hidden). */
void request_open(struct request *request, const struct allocation_wish *wish,
                  struct allocation_state *state, bool picture, uint64_t now_ns);
/* First down to the best step that stays within `share_bps`, then up within `free_bps`: what nobody more important waits for. As much as it waits
   for itself is added to *kept_free. Both follow bids and waiting in the state; the second returns the step it gets. */
void request_lower(struct request *request, uint32_t share_bps, uint64_t now_ns);
uint8_t request_raise(struct request *request, uint32_t share_bps, uint32_t free_bps,
                      uint64_t now_ns, int64_t *kept_free);
/* Writes the deal into the state. True when it is another than before. */
bool request_settle(struct request *request, uint8_t step);

uint32_t request_least(const struct request *request); /* cost of its worst step, 0 = there is none */
uint32_t request_greatest(const struct request *request); /* of its dearest */
/* What more than the cost of `step` it would take to be better off; 0 = it has all it wants. */
uint32_t request_lacks(const struct request *request, uint8_t step);

static inline uint32_t bps_clip(int64_t value)
{ return value < 0 ? 0 : value > UINT32_MAX ? UINT32_MAX : (uint32_t)value; }

#endif
