/* How long a worker gathers before it looks at its sockets again: nothing while it has time, a few milliseconds when it is nearly full. What came
 * together leaves together: longer runs, fewer passes through the kernel for each packet, fewer times of falling asleep and waking.
 *
 * The holding is at the sockets, not in the slab: the kernel's buffer holds what came, nothing waits half done, and nothing is lost if the worker
 * is killed meanwhile. It adds to the delay what it says, and as it makes the worker less busy it settles where both agree.
 *
 * For each turn of the loop:
 *     holding_note(&holding, worked, slept)    what the last turn took, and the wait before it, in ns
 *     sleep until holding_ns(&holding, limit) after the wake before; then poll as ever
 * Plain data, valid when zeroed. */
#ifndef SOTTO_HOLDING_H
#define SOTTO_HOLDING_H

#include <stdint.h>

/* Longest, when the worker is busy for HOLDING_FULL of its time or more. Higher: longer runs, more delay when it matters least, and sockets that
   must hold so much (5 ms of 1 Gbit/s: 600 kB). Lower: saturated earlier. */
#define HOLDING_LIMIT_NS (3ull * 1000000ull)
/* Share of its time, in percent, up to which nothing is held, and from which on the limit is. Higher: less delay, later gain. */
#define HOLDING_FROM 50u
#define HOLDING_FULL 90u
/* The share is smoothed over this time. Longer: a burst is over before it is answered. Shorter: the turns of one frame make it tremble. */
#define HOLDING_SMOOTH_NS (50ull * 1000000ull)

/* A worker that slept until a datagram came waits so much more before it reads: a frame's other packets are right behind, and leave in one run with it.
   Longer: delay for nothing, frames are at most some 10 packets. Shorter: the frame's first packets leave alone. Measured, 1 -> 100 video: runs of 4.5
   become 7.6, 2.6 us a packet 1.9, and the delay of the whole frame falls too. */
#define HOLDING_GATHER_NS (150ull * 1000ull)
/* Share of its time, in percent, below which it does not: an idle worker's packets leave at once. */
#define HOLDING_GATHER_FROM 5u

struct holding {
    uint32_t share; /* of its time that the worker worked, in 1/65536 */
};

/* `worked` ns, after `slept` ns without work. */
void holding_note(struct holding *holding, uint64_t worked_ns, uint64_t slept_ns);
/* The shortest time from one wake to the next, 0 to `limit_ns`; limit 0 = never hold. */
uint64_t holding_ns(const struct holding *holding, uint64_t limit_ns);
/* How long to wait after a datagram woke the worker, 0 or HOLDING_GATHER_NS; limit 0 = never. */
uint64_t holding_gather_ns(const struct holding *holding, uint64_t limit_ns);
/* Percent of its time that it works. */
static inline uint32_t holding_percent(const struct holding *holding)
{ return holding->share * 100 >> 16; }

#endif
