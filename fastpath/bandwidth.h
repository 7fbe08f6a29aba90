/* How much one receiver's downlink carries: Google congestion control at the sender (draft-ietf-rmcat-gcc-02), from transport-wide feedback,
 * with a loss bound, probes, and REMB as cap. Made of delay_trend, rate_control, loss_bound and probing; here they meet.
 *
 * One `struct bandwidth` and one `struct sent_log` for each receiver, plain data of fixed size for its state row. After a kill a
 * successor goes on with them as they are: every store is of a whole number, so the worst is one odd sample, and bandwidth_usable tells
 * rows that make no sense. Nothing allocates, blocks or looks at a clock. Times: CLOCK_MONOTONIC in ns; rates: bits per second of UDP
 * payload. */
#ifndef SOTTO_BANDWIDTH_H
#define SOTTO_BANDWIDTH_H

#include <stdbool.h>
#include <stdint.h>

#include "delay_trend.h"
#include "loss_bound.h"
#include "probing.h"
#include "rate_control.h"
#include "rate_window.h"
#include "sent_log.h"
#include "standing_queue.h"

struct rtcp_feedback;

/* Before anything is known. Higher: overruns slow links in the first second. Lower: the first picture is worse for longer. */
#define BANDWIDTH_START 300000u
/* Never below: audio and the least thumbnail. Higher: drowns a path that carries less. Lower: nothing that could be measured is sent. */
#define BANDWIDTH_MIN 60000u
/* Never above. Higher: costs nothing but probes. */
#define BANDWIDTH_MAX 20000000u
/* No feedback for this long though packets were sent: the rate shrinks by BANDWIDTH_SILENT_SHARE, and again each time. Longer: sending into a
   dead path. Shorter: lost feedback (one each 50 to 100 ms) counts as a dead path. */
#define BANDWIDTH_SILENT_US 500000
#define BANDWIDTH_SILENT_SHARE 0.8
/* Drift of the receiver's clock that is no jump, in parts per million. */
#define BANDWIDTH_DRIFT_PPM 300
/* An overuse so shortly after a probe is the probe's own queue, unless it goes on. Longer: real congestion is seen later. Shorter: each probe
   that finds no room costs 15 % of the rate. */
#define BANDWIDTH_PROBE_GRACE_US 250000

/* Sending less than the rate, jitter alone looks like an overuse: without loss, and without a queue longer than BANDWIDTH_QUEUE_US, the rate does not
   fall below what a probe or traffic proved within BANDWIDTH_PROVEN_US, and otherwise by one step only. Longer queue: more delay before a link that fell
   under what little we send is believed. Shorter: a receiver whose processor is busy loses its layers. Longer time: we jump to a rate the link no longer
   has, and fall again. Shorter: what a click needs has to be probed for again. */
#define BANDWIDTH_QUEUE_US 50000
#define BANDWIDTH_PROVEN_US 10000000

/* Without loss an overuse is judged by the queue it left, the shortest wait in the last feedback: below this it emptied between two frames, and the rate only
   holds; up to BANDWIDTH_QUEUE_US it falls by a mild step (rate_control_ease), beyond in full. Frames of an encoder differ by as much as their mean, and each
   large one is an overuse to the trend: what a link carries is seen by what stays. Higher: a longer queue before we yield, and less beside others.
   Lower: the rate saws between 0.7 and 0.95 of the link. */
#define BANDWIDTH_QUEUE_GONE_US 10000

/* Growth for each receiver report without loss, where nothing else is known. Higher: overruns the link again sooner. Lower: half a minute of small
   pictures after one bad moment. */
#define BANDWIDTH_REPORT_GROWTH 1.25

/* A queue of ours is gone so long after the rate fell. Longer: beside flows that fill every queue our packets wait here for nothing. Shorter: it is not. */
#define BANDWIDTH_DRAIN_US 2000000

struct bandwidth_config { /* 0 = the value above */
    uint32_t start, minimum, maximum;
};

struct bandwidth {
    uint32_t minimum, maximum;
    uint32_t target;       /* what may be sent */
    uint32_t remb;         /* 0 = none */
    uint32_t wanted;       /* what could be of use; probes go no further */
    uint32_t has_feedback; /* 1 once the receiver sent transport-wide feedback */
    int64_t feedback_us; /* when the last came, or the last time the rate shrank for want of it; 0 = never */
    int64_t sent_us;         /* last packet */
    int64_t round_trip_us;   /* smoothed, with the receiver's wait before feedback; 0 = unknown */
    int64_t arrival_base_us; /* unwrapped reference time of the last feedback, receiver's clock */
    uint32_t reference_time; /* the same as it came */
    uint32_t clock_jumps;    /* times the receiver's clock was found to have jumped */
    int64_t offset_least_us, offset_most_us, offset_us; /* our clock minus theirs lies between; when last narrowed, 0 = unknown */
    int64_t probe_result_us; /* last result of a probe */
    int64_t proven_us;       /* when `proven` was seen, 0 = never */
    double proven;           /* the most that came through lately, bit/s */
    struct rate_window arrived;
    struct delay_trend trend;
    struct standing_queue queue;
    struct rate_control control;
    struct loss_bound loss;
    struct probing probing;
};

_Static_assert(sizeof(struct bandwidth) <= 1024, "fits beside a transport's other state");

void bandwidth_reset(struct bandwidth *bandwidth, const struct bandwidth_config *config);
/* False: a row that no reset made (a kill within one, or zeroed); reset it. */
bool bandwidth_usable(const struct bandwidth *bandwidth);
/* A packet is about to be sent (media, RTX, padding, all that carries the extension): its transport-wide number. */
uint16_t bandwidth_sent(struct bandwidth *bandwidth, struct sent_log *log, uint16_t size,
                        uint8_t cluster, uint64_t now_ns);
/* Transport-wide feedback. 0, or -EBADMSG: malformed, nothing changed. */
int bandwidth_feedback_untrusted(struct bandwidth *bandwidth, struct sent_log *log,
                                 const struct rtcp_feedback *feedback, uint64_t now_ns);
/* REMB: a cap; the rate itself as long as no transport-wide feedback came. */
void bandwidth_remb(struct bandwidth *bandwidth, uint32_t bits_per_second);
/* Of a receiver that sends neither: the share of packets its report says were lost in the last second. Above 10 % the rate falls by half of that
   share, below 2 % it grows by BANDWIDTH_REPORT_GROWTH up to `most` (the draft's section 6 in steps of a report). */
void bandwidth_report(struct bandwidth *bandwidth, double lost, uint32_t most);
/* The most the allocation could make use of now, at first the maximum. Probes are made while the estimate is below: pass what all that is
   watched needs at its best and a tenth more, or the last layer may stay a hair out of reach. A jump above the estimate is probed for at once. */
void bandwidth_want(struct bandwidth *bandwidth, uint32_t bits_per_second);
/* Does a queue stand in the network since the rate fell? No longer than BANDWIDTH_DRAIN_US: then it is somebody else's. */
bool bandwidth_congested(const struct bandwidth *bandwidth, uint64_t now_ns);
/* Every 5 to 50 ms while anything is sent. True: send a probe as `request` says (see pacing.h); with NULL none is made. */
bool bandwidth_tick(struct bandwidth *bandwidth, uint64_t now_ns, struct probe_request *request);

#endif
