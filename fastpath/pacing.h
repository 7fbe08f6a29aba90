/* When packets of one receiver may leave: a budget that fills at the rate of its estimate and is spent by runs, so that the speed of the
 * server never builds a queue at somebody's modem. Audio never waits. Plain data, valid when zeroed; losing it costs one run.
 *
 * For each receiver that has something to send:
 *     allowed = pacing_allowed(pacing, waiting_bytes, now);  0 = look again at pacing_due_ns
 *     take packets while they fit into `allowed`, one at least, audio first; a probe's `padding` bytes when they are used up
 *     pacing_spent(pacing, bytes, now) for what left, audio too
 * Bytes are of UDP payload, times CLOCK_MONOTONIC in ns. */
#ifndef SOTTO_PACING_H
#define SOTTO_PACING_H

#include <stdbool.h>
#include <stdint.h>

#include "probing.h"

/* The longest run, as time of the estimate. Longer: fewer passes through the kernel, a longer queue at the receiver's modem. Shorter: the reverse. */
#define PACING_RUN_NS (5ull * 1000000ull)
/* The same, and what may be saved up, where the estimate is well above all that is wanted: the link is not what holds the pictures up, and a frame leaves in
   one piece. Longer: a key frame's queue at a modem that carries just so much. Shorter: several passes through the kernel for each frame, which cost more
   than everything else the worker does: 1 -> 100 video 5.2 us a packet at 5 ms, 1.7 us at 20. */
#define PACING_ROOMY_NS (20ull * 1000000ull)
/* The rate packets leave at, in hundredths of the estimate. Higher: key frames arrive sooner and queue more, and each large frame is a queue in the network
   that looks like an overuse: at 150 a tenth less of the link was used. 100 would make what waits after one key frame wait for ever. */
#define PACING_PERCENT 120
/* The same while a queue stands in the network after the estimate fell: less than the estimate, or what waits here would only move there. Higher:
   the queue stays for seconds. Lower: what waits gets older. */
#define PACING_DRAIN_PERCENT 85
/* What waits leaves within this time, however low the estimate. Higher: stale pictures. Lower: a key frame overruns a slow link. */
#define PACING_WAIT_NS (400ull * 1000000ull)
/* So much may be saved up, because turns of a worker come late. Longer: a pause ends in two runs at once. Shorter: the rate is not reached. */
#define PACING_SAVED_NS (2ull * 1000000ull)
/* As long as something waits, the whole time since the last turn counts, up to this. Longer: a worker that stood still sends so much at once. Shorter: a
   busy worker, whose turns take milliseconds, does not reach the rate. */
#define PACING_LATE_NS (20ull * 1000000ull)
/* A run of one packet may always be made: the largest. */
#define PACING_PACKET 1250
/* The most that audio and single packets may overdraw. Higher: video is silenced for longer by audio on the slowest links. */
#define PACING_DEBT_NS (40ull * 1000000ull)

struct pacing {
    uint64_t filled_ns;              /* when the budget was last filled; 0 = never */
    int64_t budget;                  /* bytes times 1000 that may leave; negative = overdrawn */
    uint32_t rate;                   /* bits per second of the estimate */
    uint32_t draining;               /* bits per second needed for what waits */
    uint32_t probe_rate, probe_left; /* bits per second and bytes of the probe under way */
    uint8_t cluster;                 /* 0 = none is */
    uint8_t draining_network;        /* 1 = at PACING_DRAIN_PERCENT */
    uint8_t kept;                    /* 1 = something waits */
    uint8_t roomy;                   /* 1 = PACING_ROOMY_NS */
    uint8_t reserved[4];
};

/* The estimate changed; `congested`: a queue stands in the network. */
void pacing_rate(struct pacing *pacing, uint32_t bits_per_second, bool congested);
/* Whether the estimate is well above all that is wanted. */
static inline void pacing_room(struct pacing *pacing, bool roomy)
{ pacing->roomy = roomy; }
/* Starts a probe: until its bytes are spent everything leaves at its rate, and padding fills what media does not. */
void pacing_probe(struct pacing *pacing, const struct probe_request *request, uint64_t now_ns);
/* Bytes that may leave now in one run; 0 = none. `waiting` = bytes of packets that wait, 0 with a probe asks for padding. */
uint32_t pacing_allowed(struct pacing *pacing, uint32_t waiting, uint64_t now_ns);
/* Was so much saved up that it may leave although the run is full? Only by turns that came late. */
bool pacing_saved(struct pacing *pacing, uint32_t bytes, uint64_t now_ns);
/* This left. `cluster` is what pacing_cluster said for it. */
void pacing_spent(struct pacing *pacing, uint32_t bytes, uint64_t now_ns);
/* When pacing_allowed will not be 0, at the present rate. */
uint64_t pacing_due_ns(const struct pacing *pacing, uint64_t now_ns);
/* Of the allowed bytes, those to fill with padding: 0 when no probe is under way. */
uint32_t pacing_padding(const struct pacing *pacing, uint32_t allowed, uint32_t taken);
/* For bandwidth_sent of whatever leaves now. */
static inline uint8_t pacing_cluster(const struct pacing *pacing)
{ return pacing->cluster; }

#endif
