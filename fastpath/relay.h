/* One packet to all sinks of its source: header rewritten, encrypted from the one shared plaintext into the slab. */
#ifndef SOTTO_RELAY_H
#define SOTTO_RELAY_H

#include "receive.h"

void relay(struct worker *worker, const struct arrival *arrival, uint64_t now_ns);
/* A packet of padding only: the slots that carry its encoding close up, so that nobody asks for it. */
void relay_skip(struct worker *worker, const struct arrival *arrival, uint64_t now_ns);

/* A moment as abs-send-time: 24 bits of 6.18 seconds; without a division, 2^18 / 10^9 as a fraction of 2^64. */
static inline uint32_t relay_send_time(uint64_t now_ns)
{ return (uint32_t)((unsigned __int128)now_ns * 4835703278458516ull >> 64) & 0xffffff; }

#endif
