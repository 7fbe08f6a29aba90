/* When packets to one receiver leave: at once while its link is free, else in runs of at most 5 ms of its estimate (pacing.h), from its queue
 * (waiting.h), filled up while it is probed (filling.h).
 *
 * A packet that finds no queue and a budget goes at once, at the cost of a few comparisons. A run is what pacing allows at one time; what it has
 * left may be taken by the packets of the next moments, so that a frame whose packets come one by one is not sent one by one.
 *
 * Receivers that wait stand in one list with the time they are due. It is gone through at most every RELEASE_SCAN_NS and only while
 * something in it is due, so neither a packet nor a wake-up looks at those who do not wait. */
#ifndef SOTTO_RELEASE_H
#define SOTTO_RELEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "pacing.h"
#include "waiting.h"

struct worker;

/* Shortest time between two looks at who waits. Higher: packets leave so much later than they might. Lower: 2,000 receivers that wait are looked
   at more often, 1 to 2 us each time. */
#define RELEASE_SCAN_NS (500ull * 1000ull)
/* While a packet waits for longer, no more are taken behind it. Twice what pacing aims at, because a link that fell is drained slowly. Higher: stale
   pictures. Lower: what is dropped here is asked for again, over the same link. */
#define RELEASE_LONGEST_NS (2 * PACING_WAIT_NS)
/* What waits for less than this, by the estimate, is not thrown away for a key frame: it leaves sooner than anybody notices. */
#define RELEASE_STALE_MS 100u

struct release_due {
    uint64_t ns;
    uint32_t transport;
};

struct release_key { /* of one sink: from where on it needs what it gets */
    uint32_t incarnation;
    uint64_t index; /* of the first packet of a key frame, as it went out */
};

struct release {
    struct waiting waiting;
    struct release_key *keys; /* by sink */
    struct release_due *due;  /* who waits or is probed */
    uint32_t count;
    uint64_t scanned_ns;
    uint64_t due_ns; /* when release_tick has something to do, UINT64_MAX = never */
};

int release_open(struct release *release, uint32_t transports, uint32_t sinks); /* 0 or -ENOMEM */
void release_close(struct release *release);

/* Padding (RFC 3550 5.1), no part of any frame, under a number of the slot. Bytes sent, 0 = not now, -1 = never. */
int release_filler(struct worker *worker, uint32_t sink, uint32_t member, uint64_t index,
                   uint32_t timestamp, uint64_t now_ns);
/* The packet waits for its turn, because outgoing_must_wait said so. `packet`: all but times and links. */
void release_later(struct worker *worker, uint32_t transport, const struct waiting_packet *packet, uint64_t now_ns);
/* A key frame begins with this output index of a video sink. What waits of before would only delay it: it goes, unless that is little. Nobody will be
   given it as a repair either, nor anything of before a cut (`cut`). */
void release_key_frame(struct worker *worker, uint32_t sink, uint64_t index, bool cut);
/* Is a packet of this sink of before what it still needs? */
bool release_superseded(const struct worker *worker, uint32_t sink, uint64_t index);
/* The receiver is to be probed. */
void release_probe(struct worker *worker, uint32_t transport, const struct probe_request *request, uint64_t now_ns);
/* Nothing waits any more and no probe is under way: it left, or begins anew. */
void release_forget(struct worker *worker, uint32_t transport);
/* A predecessor was killed while it probed: that goes on. */
void release_resume(struct worker *worker, uint32_t transport, uint64_t now_ns);
/* Lets go what is due, as far as the slab takes it. */
void release_tick(struct worker *worker, uint64_t now_ns);

#endif
