/* A receiver's NACK answered: packets out of the history, each a fresh packet of the slot's retransmission stream. */
#ifndef SOTTO_RETRANSMIT_H
#define SOTTO_RETRANSMIT_H

#include <stdint.h>

#include "rtcp.h"
#include "worker.h"

/* `nack` is about one SSRC; about another than a slot of this transport it is nothing. Within the receiver's budgets (repair.h). */
void retransmit_untrusted(struct worker *worker, uint32_t transport,
                          const struct rtcp_feedback *nack, uint64_t now_ns);

#endif
