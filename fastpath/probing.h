/* When to try whether more fits, and what the try showed. A probe is a cluster of at least five packets (padding over RTX where media does
 * not suffice) sent at a rate above the estimate for some 15 ms; how fast they arrive tells what the path carries. A server that forwards
 * needs this more than a sender: it cannot raise its rate little by little, the next layer costs twice as much.
 * Rates in bit/s, times in microseconds; arrival on the receiver's clock. Plain data, valid when zeroed. */
#ifndef SOTTO_PROBING_H
#define SOTTO_PROBING_H

#include <stdbool.h>
#include <stdint.h>

/* The first probe, and each after one that went through, in multiples of the estimate: 3 and 6 times the start rate at once. Higher: fast
   links are known in fewer round trips, slow ones get a longer queue (five packets at three times the rate: 27 ms at 1 Mbit/s). */
#define PROBE_FIRST 3.0
#define PROBE_NEXT 2.0
/* A probe that arrived at this share of the speed it was sent at went through; at less it filled the link. Higher: jitter looks like a full
   link. Lower: full links are taken for free ones. */
#define PROBE_WENT_THROUGH 0.9
/* Shortest cluster. More: surer, and a longer queue where it does not fit. */
#define PROBE_US 15000
#define PROBE_PACKETS 5
#define PROBE_PACKET_BYTES 1200
/* Share of the cluster that must have arrived. Higher: useless under loss. Lower: less sure. */
#define PROBE_ARRIVED 0.8
/* Pause after a probe that told nothing new. Longer: later to notice that a link became free. Shorter: a short queue more often. */
#define PROBE_INTERVAL_US 5000000
/* After one of the first so many: a receiver that joins is busy, and what arrives while it is looks slow. More, shorter: padding to slow links that were
   right the first time. Fewer, longer: the first pictures are small for seconds. */
#define PROBE_EARLY 2
#define PROBE_EARLY_US 1000000
/* It doubles up to so many times while probes go through and the rate they found does not last (policed links, full queues). */
#define PROBE_IN_VAIN_MAX 3
#define PROBE_LASTED_US 3000000
/* Pause after a deep drop. Longer: later to come back after a short dip. Shorter: into a queue that has not emptied yet. */
#define PROBE_AFTER_DROP_US 1500000
/* Pause after an ordinary overuse: the link was full a moment ago. Longer: later to notice that it became free. Shorter: a useless probe
   within every rise to the capacity. */
#define PROBE_AFTER_OVERUSE_US 4000000
/* No result after this: too much of it was lost, and it is made again. Longer: late on lossy paths. Shorter: twice on distant ones. */
#define PROBE_PATIENCE_US 1000000
/* Share of what the probe found that is used. Higher: an overuse right after. Lower: capacity left unused for some seconds. */
#define PROBE_HEADROOM 0.95
/* A probe goes this far above what is wanted. Higher: more padding for nothing. Lower: the wanted rate is reached with nothing to spare. */
#define PROBE_ABOVE_WANTED 1.2

struct probe_request {
    uint32_t bits_per_second;
    uint32_t bytes;  /* at least; then the cluster is complete */
    uint8_t cluster; /* 1 to 255: goes into sent_log_add for each of its packets */
};

struct probing {
    int64_t due_us;     /* not before; 0 = at once */
    int64_t started_us; /* of the cluster that is out, 0 = none is */
    int64_t interval_us;
    int64_t gained_us; /* when a probe last raised the estimate, 0 = none did since the last drop */
    double gained_from; /* the estimate before the first of those that followed each other */
    double before_drop;
    int64_t first_sent_us, last_sent_us, first_arrival_us, last_arrival_us;
    uint32_t bits_per_second, bytes_asked;
    uint32_t bytes, bytes_lost, count; /* that arrived, were told lost, arrived */
    uint32_t first_size, last_size; /* of the first packet in arrival, of the last run in sending */
    uint32_t clusters;              /* made so far */
    uint8_t cluster;
    uint8_t in_vain; /* times in a row that what was gained did not last, PROBE_IN_VAIN_MAX at most */
    uint8_t fell;    /* 1 = the pause is for a drop */
    uint8_t jumped; /* 1 = what is wanted rose since the last probe */
};

/* True: send this now. `target` = estimate, `wanted` = the most that could be of use; both positive. */
bool probing_start(struct probing *probing, double target, double wanted, int64_t now_us,
                   struct probe_request *request);
/* Suddenly more is wanted: the next probe does not wait for PROBE_INTERVAL_US, though for what a drop made it wait. */
void probing_jumped(struct probing *probing);
/* A packet of a cluster arrived. */
void probing_packet(struct probing *probing, uint8_t cluster, uint32_t size, int64_t sent_us, int64_t arrival_us);
/* One was told lost. */
void probing_lost(struct probing *probing, uint8_t cluster, uint32_t size);
/* After each feedback: what the path carries, when the cluster that is out is complete; 0 = nothing to tell. *full: it filled the link. */
double probing_result(struct probing *probing, int64_t now_us, bool *full);
/* The estimate rose from `before` because of a result: the next probe follows at once. */
void probing_gained(struct probing *probing, double before, int64_t now_us);
/* The estimate fell from `before` to `now`. */
void probing_dropped(struct probing *probing, double before, double now, int64_t now_us);

#endif
