/* Bit rates asked of senders that negotiated "ccm tmmbr" (RFC 5104 3.5.4, 4.2): a request is repeated with the regular reports until the sender's
 * notification (TMMBN) names us as the one who limits it, because nothing else says that it arrived.
 *
 * Private memory, one a source; a successor repeats nothing, and the next change of the clamp is asked for as ever. */
#ifndef SOTTO_TMMBR_H
#define SOTTO_TMMBR_H

#include <stdbool.h>
#include <stdint.h>

#include "rtcp.h"

struct worker;

/* So often a request is sent in all, once a second after the first. Higher: a client that offered it and never answers is asked for longer.
   Lower: on a bad uplink or downlink a request is lost for good. */
#define TMMBR_TRIES 5

struct tmmbr {                      /* all zero = nothing was asked */
    uint32_t incarnation;           /* of the source */
    uint8_t tries[LIMIT_ENCODINGS]; /* left, 0 = answered, given up, or nothing asked */
    uint64_t bps[LIMIT_ENCODINGS];
};

/* The request for one encoding, for what compound is being written; false when its SSRC is not known. */
bool tmmbr_entry(const struct worker *worker, uint32_t source, uint8_t encoding,
                 uint64_t bits_per_second, struct rtcp_tmmb_entry *entry);
/* It was sent. */
void tmmbr_asked(struct worker *worker, uint32_t source, uint8_t encoding, uint64_t bits_per_second);
/* What of a transport's sources has to be asked again, at most `room` entries; they count as sent. */
unsigned tmmbr_again(struct worker *worker, uint32_t transport, struct rtcp_tmmb_entry *entries, unsigned room);
/* RTPFB of RTCP_FMT_TMMBN as it came: ends the repetition of what it answers. Anything else in it changes nothing. */
void tmmbn_receive_untrusted(struct worker *worker, uint32_t transport, const struct rtcp_feedback *feedback);

#endif
