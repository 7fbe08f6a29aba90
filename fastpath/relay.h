/* One packet to all sinks of its source: header rewritten, encrypted from the one shared plaintext into the slab. */
#ifndef SOTTO_RELAY_H
#define SOTTO_RELAY_H

#include "receive.h"

void relay(struct worker *worker, const struct arrival *arrival, uint64_t now_ns);
/* A packet of padding only: the slots that carry its encoding close up, so that nobody asks for it. */
void relay_skip(struct worker *worker, const struct arrival *arrival, uint64_t now_ns);

#endif
