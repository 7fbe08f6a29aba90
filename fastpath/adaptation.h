/* What every receiver gets of what is sent: each receiver's estimate is shared out over its slots (allocation.h), each sender is held to what
 * its viewers can take (clamping.h), and one slot lets through the temporal layers of its deal.
 *
 * A deal stands in the sink's state row and, for the inner loop, in its cache. Everything in `struct adaptation` is private memory of the worker and
 * can be lost at any time: a successor goes on with the deals as they stand and looks at every receiver within ADAPTATION_INTERVAL_NS. */
#ifndef SOTTO_ADAPTATION_H
#define SOTTO_ADAPTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "clamping.h"
#include "fanout.h"
#include "layer.h"
#include "loudness.h"
#include "receive.h"
#include "worker.h"

/* Each receiver is looked at so often, and each sender; a tenth more or less, so that they spread. Higher: layers follow the estimate later. Lower: more
   work (0.2 to 0.3 us a slot; 300 receivers of 17 slots 0.7 % of a core). */
#define ADAPTATION_INTERVAL_NS (100ull * 1000000ull)
/* Shortest time between two looks at who is due; also how soon a receiver that was not connected yet is looked at again. Higher: deals come later.
   Lower: more passes over the list of receivers (8 B each). */
#define ADAPTATION_SCAN_NS (10ull * 1000000ull)

/* Receivers looked at in one pass, at most. Higher: when thousands are due at once (a speaker all look at) packets wait for it, 2 us a receiver. Lower: the
   last of them is served later, and at 20 a pass 200 receivers are looked at less often than they should be. */
#define ADAPTATION_AT_ONCE 256u

struct sink_adaptation { /* of one sink */
    struct layer_filter filter;
    uint32_t incarnation, source, source_incarnation; /* as last seen in the rows */
    uint16_t wish;                        /* likewise: what allocation_wish is made of */
    uint8_t told_encoding, told_temporal; /* by UPLINK_SINK_DEAL */
};

struct adaptation {
    struct sink_adaptation *sinks;
    struct source_layers *layers; /* by source: layering.h */
    uint64_t *due_ns;             /* by transport, 0 = nobody */
    uint64_t next_ns;             /* the earliest of them */
    uint32_t cursor;              /* where the last look ended before its end */
    struct clamping clamping;
    struct loudness loudness;
};

int adaptation_open(struct worker *worker); /* 0 or -ENOMEM */
void adaptation_close(struct worker *worker);
/* Follows a new generation, after the fan-out was made: whose wishes changed is served at once. */
void adaptation_adopt(struct worker *worker, uint64_t now_ns);

/* The receiver's estimate fell: its deals are made anew with the next tick. */
void adaptation_estimate(struct worker *worker, uint32_t transport, uint64_t now_ns);
/* Deals, clamps and speakers that are due. At the end of each batch. */
void adaptation_tick(struct worker *worker, uint64_t now_ns);
/* When there is something to do; UINT64_MAX = nobody is there. */
uint64_t adaptation_due_ns(const struct worker *worker);

/* The sink's deal changes: from here on its layers are looked at packet by packet. */
void adaptation_resume(struct worker *worker, uint32_t sink);
/* The same for a sink whose deal leaves out layers, or has just changed. */
bool adaptation_filters(struct worker *worker, uint32_t sink, const struct arrival *arrival);

/* May a sink that carries the packet (or cuts over with it) send it? False: sequence_map_drop; when that answers SEQUENCE_FILL, padding takes its place. */
static inline bool adaptation_passes(struct worker *worker, uint32_t sink, const struct arrival *arrival)
{
    return arrival->audio || worker->sinks[sink].layers == SINK_LAYERS_ALL ||
           adaptation_filters(worker, sink, arrival);
}

#endif
