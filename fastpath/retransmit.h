/* A receiver's NACK answered: packets out of the history, each a fresh packet of the slot's retransmission stream. */
#ifndef SOTTO_RETRANSMIT_H
#define SOTTO_RETRANSMIT_H

#include <stdint.h>

#include "rtcp.h"
#include "worker.h"

/* `nack` is about one SSRC; about another than a slot of this transport it is nothing. Within the receiver's budgets (repair.h), and when its link
   is free (release.h). */
void retransmit_untrusted(struct worker *worker, uint32_t transport,
                          const struct rtcp_feedback *nack, uint64_t now_ns);

/* Sends one packet over the slot's retransmission stream: a repair, or what fills a probe. The bytes sent, 0 = the slab or the path of the
   receiver takes no more now, negative = it cannot be sent at all (counted). */
int retransmit_packet(struct worker *worker, uint32_t sink, const struct sequence_origin *origin,
                      const struct history_packet *packet, uint64_t now_ns);
/* What was sent was a repair. */
void retransmit_count(struct worker *worker, uint32_t receiver, int bytes, uint64_t now_ns);
/* Sends padding only over it, 1 to 255 bytes; returns the same. */
int retransmit_padding(struct worker *worker, uint32_t sink, unsigned padding, uint64_t now_ns);

#endif
