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

#include "waiting.h"

struct worker;
struct rtcp_feedback;

/* Taken for the estimate of a receiver that sends neither transport-wide feedback nor REMB, until its reports tell loss. Higher: such a receiver on
   a slow link is overrun until it loses packets. Lower: one on a fast link gets a lower encoding for no reason. 8 Mbit/s is a full-resolution
   camera, a screen and a dozen thumbnails. */
#define DOWNLINK_UNTOLD_BPS 8000000u

/* Shortest time between two looks at all receivers that something is sent to. Higher: a probe that is due begins later (feedback looks, too). Lower:
   2,000 receivers are looked at more often, 15 ns each. */
#define DOWNLINK_SCAN_NS (20ull * 1000000ull)
/* After so many looks that found nothing sent, a receiver is looked at no more until something is. */
#define DOWNLINK_IDLE_LOOKS 100u
/* A fall of the estimate by more than this share, in percent, is told to the allocation at once. Higher: the queue at a receiver's modem grows until the
   allocation's next turn. Lower: an allocation for each tremble. */
#define DOWNLINK_FALL_PERCENT 5u
/* An estimate of so many percent of all that could be wanted has room: frames leave in one piece (pacing.h). Higher: less often, and estimates are hardly
   ever far above what is sent. Lower: on links that carry just what they should. */
#define DOWNLINK_ROOMY_PERCENT 115u
/* Who has joined is probed so far, by so many probes, until its estimate falls for the first time. Higher: padding (7 kB a probe) to those who never look at
   anything large. Lower: the first click comes before its estimate is known, half a second later. */
#define DOWNLINK_EXPLORE_BPS 2500000u
#define DOWNLINK_EXPLORE_PROBES 8u
/* Transport-wide feedback was agreed to, and none came within this time of sending: receiver reports are believed, as of one without. */
#define DOWNLINK_SILENT_NS (3000ull * 1000000ull)

/* Reports that follow each other sooner count once: a rate falls and grows in steps of a report. Browsers report each second or oftener. */
#define DOWNLINK_REPORT_NS (900ull * 1000000ull)
/* What repairs take is smoothed over this time. Longer: media and repairs together exceed the estimate for so long when a path begins to lose. Shorter: one
   lost key frame costs layers. */
#define DOWNLINK_REPAIR_NS (500ull * 1000000ull)

struct downlink { /* of one receiver: private memory */
    _Alignas(64) struct waiting_queue queue;
    uint32_t run_left;     /* bytes the run under way may still take; see release.h */
    uint64_t run_ns;       /* when it began */
    uint32_t place;        /* in release.due, + 1; 0 = nothing waits */
    uint32_t told_bps;     /* the estimate that the allocation knows */
    uint32_t repair_bytes; /* since the last look */
    uint32_t repair_bps;   /* smoothed */
    uint32_t incarnation;  /* whose it is */
    bool listed;           /* stands in downlinks.listed */
    uint8_t idle;          /* looks in a row that found nothing sent */
    /* from here on not looked at for each packet */
    uint32_t seen_packets; /* low bits of its transport's tx_packets at the last look */
    uint64_t first_ns;     /* of the first look after something was sent, 0 = none yet */
    uint64_t reported_ns;  /* when its reports last counted */
};

struct downlinks {
    struct downlink *links; /* by transport */
    uint32_t *listed;       /* receivers that something is sent to */
    uint32_t listed_count;
    uint64_t scanned_ns;
    uint64_t due_ns; /* when downlinks_tick has something to do, UINT64_MAX = never */
};

int downlinks_open(struct downlinks *downlinks, uint32_t transports); /* 0 or -ENOMEM */
void downlinks_close(struct downlinks *downlinks);

/* A transport has a row of this incarnation (0 = none any more): begins anew if it is another than before, or if what a predecessor left
   makes no sense. After the transport's own state and cache. */
void downlink_adopt(struct worker *worker, uint32_t transport, uint64_t now_ns);

/* What may be spent on media now, in bits per second of UDP payload: the estimate, at most downlink_max_bps, less what repairs take at present. */
uint32_t downlink_bps(const struct worker *worker, uint32_t transport);
/* The most that media could make use of: the estimate is probed up to a little above it. `could` is what it might want after a click: one who has joined is
   probed up to that, at most DOWNLINK_EXPLORE_BPS, whatever it wants. */
void downlink_want(struct worker *worker, uint32_t transport, uint32_t bits_per_second, uint32_t could);
/* Is there an estimate, by the receiver's own word? */
bool downlink_known(const struct worker *worker, uint32_t transport);

/* Something is sent to it from now on. Only where the caller saw that it is not listed. */
void downlink_list(struct worker *worker, uint32_t transport, uint64_t now_ns);

/* What its RTCP said: transport-wide feedback, REMB, and the mean loss of a compound's report blocks (of 256). */
void downlink_feedback_untrusted(struct worker *worker, uint32_t transport,
                                 const struct rtcp_feedback *feedback, uint64_t now_ns);
void downlink_remb(struct worker *worker, uint32_t transport, uint32_t bits_per_second, uint64_t now_ns);
void downlink_reported(struct worker *worker, uint32_t transport, uint32_t fraction_lost, uint64_t now_ns);

/* Silence, probes, what repairs take. */
void downlinks_tick(struct worker *worker, uint64_t now_ns);

#endif
