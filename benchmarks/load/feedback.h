/* What a receiver tells the server of its network: transport-wide feedback, and receiver reports. */
#ifndef SOTTO_LOAD_FEEDBACK_H
#define SOTTO_LOAD_FEEDBACK_H

#include <stddef.h>
#include <stdint.h>

#include "srtp.h"
#include "transport_cc.h"

struct reporter { /* of one member; valid when zeroed */
    struct arrival_log arrivals;
    uint32_t srtcp_index;
    uint32_t media_ssrc; /* newest SSRC it got: feedback names it */
};

/* A packet arrived at now_ns (CLOCK_MONOTONIC). `extension` = id of the transport-wide number, 0 = there is none. */
void reporter_arrival(struct reporter *reporter, unsigned extension, const uint8_t *packet,
                      size_t length, uint64_t now_ns);
/* A receiver report, and after it the feedback that is due; its length, 0 = no arrival to tell of. 1400 bytes of room. */
int reporter_feedback(struct reporter *reporter, uint32_t rtcp_ssrc, uint64_t now_ns, uint8_t *out);
/* A receiver report alone; its length. 64 bytes of room. */
int reporter_report(uint32_t rtcp_ssrc, uint8_t *out);
/* Seals a compound in place; its length, or negative. */
int reporter_seal(struct reporter *reporter, const struct srtp_keys *tx, uint8_t *compound,
                  int length, size_t room);

#endif
