/* What fills a probe where media does not suffice: packets that were sent before, repeated over a slot's retransmission stream, as browsers do it. They
 * are as long as media, take the way of media, and are of use where the first one was lost. Where there are none, padding. Only a receiver with
 * a retransmission stream can be probed so. */
#ifndef SOTTO_FILLING_H
#define SOTTO_FILLING_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* Newest numbers of each slot among which a packet is looked for that fills a probe. Higher: more looking, 50 ns each. Lower: smaller packets. */
#define FILLING_LOOK 4u

/* Has it a retransmission stream? */
bool filling_possible(const struct worker *worker, uint32_t transport);
/* Fills a run of `allowed` bytes, of which some are taken; one packet at least. False: it cannot be filled. */
bool filling_send(struct worker *worker, uint32_t transport, uint32_t allowed, uint32_t taken, uint64_t now_ns);

#endif
