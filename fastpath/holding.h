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

#include "limits.h"

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

/* Datagrams read at once while the worker is busy for less than HOLDING_WIDE_FROM percent of its time; above that LIMIT_RX_BATCH. A killed worker loses
   what it had read and not sent, and after a stall (of the machine, of a standby that takes over) that is a whole batch. Higher: more is lost so.
   Lower: frames of several sources are cut apart, and so are runs. */
#define HOLDING_BATCH 64u
/* Higher: runs are cut where they are what keeps a pressed worker upright (measured, 64 always: 16 meetings of 20 got 57 % of their due through
   instead of 84, and 3 of 50 at 80 % cost 9 % more). Lower: more is lost with a worker that had time. */
#define HOLDING_WIDE_FROM 60u
_Static_assert(HOLDING_BATCH <= LIMIT_RX_BATCH, "buffers are made for the wide one");

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
/* How many datagrams to read at once, HOLDING_BATCH or LIMIT_RX_BATCH. */
static inline uint32_t holding_batch(const struct holding *holding)
{ return holding_percent(holding) < HOLDING_WIDE_FROM ? HOLDING_BATCH : LIMIT_RX_BATCH; }

#endif
