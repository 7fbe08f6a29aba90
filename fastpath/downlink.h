/* What each receiver may be sent: its estimate (bandwidth.h) fed by what leaves and by what it reports, told to the allocation, and probed
 * above when more could be of use.
 *
 * Estimate, sent log and pacing stand in the receiver's state row: they go on over a kill. What is here is private memory of the worker and can
 * be lost at any time.
 *
 * Three kinds of receivers:
 *   - with transport-wide feedback (transport_row.transport_cc_down): everything we send it is numbered, paced and estimated; only it is probed;
 *   - with REMB alone: REMB is the estimate, and it is paced by that;
 *   - with neither: DOWNLINK_UNTOLD_BPS, less when its receiver reports tell loss. It is not paced, because pacing by a guess only adds delay. */
#ifndef SOTTO_DOWNLINK_H
#define SOTTO_DOWNLINK_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* Taken for the estimate of a receiver that sends neither transport-wide feedback nor REMB, until its reports tell loss. Higher: such a receiver on
   a slow link is overrun until it loses packets. Lower: one on a fast link gets a lower encoding for no reason. 8 Mbit/s is a full-resolution
   camera, a screen and a dozen thumbnails. */
#define DOWNLINK_UNTOLD_BPS 8000000u

struct downlink {         /* of one receiver */
    uint32_t incarnation; /* whose it is */
    uint32_t repair_bps;  /* what repairs took lately, smoothed */
};

struct downlinks {
    struct downlink *links; /* by transport */
};

int downlinks_open(struct downlinks *downlinks, uint32_t transports); /* 0 or -ENOMEM */
void downlinks_close(struct downlinks *downlinks);

/* A transport has a row of this incarnation (0 = none any more): begins anew if it is another than before, or if what a predecessor left
   makes no sense. After the transport's own state and cache. */
void downlink_adopt(struct worker *worker, uint32_t transport, uint64_t now_ns);

/* What may be spent on media now, in bits per second of UDP payload: the estimate, at most downlink_max_bps, less what repairs take at present. */
uint32_t downlink_bps(const struct worker *worker, uint32_t transport);
/* The most that media could make use of: the estimate is probed up to a little above it. */
void downlink_want(struct worker *worker, uint32_t transport, uint32_t bits_per_second);
/* Is there an estimate, by the receiver's own word? */
bool downlink_known(const struct worker *worker, uint32_t transport);

#endif
