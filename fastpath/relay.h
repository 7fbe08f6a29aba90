/* Packets to all sinks of their source: header rewritten, encrypted from the one shared plaintext into the slab.
 *
 * What came together is relayed together, receiver by receiver: a receiver's keys and rows are fetched once for all packets of a frame, these stand in the
 * slab one after the other, and the slab is sent before it leaves the cache. Packets of one source keep their order; sources take turns by
 * conference, and in one in the order of their first packets. */
#ifndef SOTTO_RELAY_H
#define SOTTO_RELAY_H

#include <stdbool.h>
#include <stdint.h>

struct worker;
struct arrival;
struct relayed;
struct relay_group;

/* Packets taken before they must be released. Higher: rows fetched less often where many came; 250 B each. Lower: frames are cut in two, and so are runs. */
#define RELAY_BATCH 256u
/* Bytes of the slab after which it is sent. Higher: packets leave the cache before the kernel copies them, and the first wait for the last. Lower: more
   system calls, and runs out of several sources to one receiver end sooner. */
#define RELAY_CHUNK ((size_t)384 << 10)

struct relay_batch {
    struct relayed *packets;    /* RELAY_BATCH, as their groups */
    struct relay_group *groups; /* by source */
    uint16_t *group_of;         /* by source: its group + 1, 0 = none */
    uint32_t count, group_count;
    uint32_t group_at, sink_at; /* where relay_release goes on */
    bool key_wanted;            /* by a sink of that group before this one */
};

int relay_open(struct relay_batch *batch, uint32_t sources); /* 0 or -ENOMEM */
void relay_close(struct relay_batch *batch);

/* Takes a packet whose bytes stay where they are up to its release. Without payload it was padding only: the slots that carry its encoding close up.
   Only while there is room. */
void relay_take(struct worker *worker, const struct arrival *arrival);
static inline bool relay_has_room(const struct relay_batch *batch)
{ return batch->count < RELAY_BATCH; }
/* Relays what was taken. False: the slab has to be sent first; call again. With `all` never, and what finds no room there is dropped (counted). */
bool relay_release(struct worker *worker, bool all, uint64_t now_ns);

#endif
