/* Transport-wide feedback to senders: when each numbered packet of a transport came, told it every 50 to 100 ms.
 *
 * Private memory, zeroed when a transport gets another incarnation. A successor begins with the first packet it sees: what came since the last
 * feedback stays untold, which a sender takes as feedback lost. */
#ifndef SOTTO_ARRIVAL_REPORTS_H
#define SOTTO_ARRIVAL_REPORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "transport_cc.h"

struct worker;

/* Shortest time between two looks at what is due. Higher: feedback comes up to so much later. Lower: a worker of many senders spends its
   time looking. */
#define ARRIVAL_REPORTS_SCAN_NS (5ull * 1000000ull)
/* Feedback packets to one sender in one look, each of some 1000 packets. Higher: more of the slab for one sender. Lower: what is left after a stall
   of the worker comes later. */
#define ARRIVAL_REPORTS_AT_ONCE 2

struct arrival_report { /* of one transport; apart from its log, so that a look stays in few cache lines */
    uint64_t due_ns;
    uint32_t incarnation; /* whose log it is */
    uint32_t media_ssrc; /* the feedback names it; the newest media SSRC, because a sender ignores what names none it sends now */
    bool listed;
    bool has_media; /* media_ssrc is no retransmission stream's */
};

struct arrival_reports {
    struct arrival_log *logs; /* both by transport */
    struct arrival_report *reports;
    uint32_t *listed; /* transports with something to tell */
    uint32_t listed_count;
    uint64_t scanned_ns;
    uint64_t due_ns; /* when arrival_reports_tick has something to do, UINT64_MAX = never */
};

int arrival_reports_open(struct arrival_reports *reports, uint32_t transports); /* 0 or -ENOMEM */
void arrival_reports_close(struct arrival_reports *reports);

/* An authenticated packet of the transport bears this number; `repair` = its SSRC is a retransmission stream's. */
void arrival_reports_note(struct worker *worker, uint32_t transport, uint16_t sequence,
                          uint32_t ssrc, bool repair, uint64_t now_ns);
/* Tells what is due. */
void arrival_reports_tick(struct worker *worker, uint64_t now_ns);

#endif
