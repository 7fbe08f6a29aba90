/* Transport-wide congestion feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01), both directions.
 *
 * Receiving: `arrival_log` notes when each transport-wide sequence number of one sender came, and is written out as feedback every 50 to
 * 100 ms. Sending: `sent_log` gives out the numbers, remembers what was sent under each, and the reader takes a receiver's feedback apart.
 * Both logs are plain data of fixed size, valid when zeroed, made to lie in a state row: whatever a kill leaves behind costs at most
 * one feedback, because every index into them is taken modulo their size. Times are CLOCK_MONOTONIC in nanoseconds. */
#ifndef SOTTO_TRANSPORT_CC_H
#define SOTTO_TRANSPORT_CC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rtcp.h"
#include "sent_log.h"

/* Packets of one sender whose arrival is remembered; a power of two. Higher: 4 B each. Lower: a burst between two feedbacks, or one that comes
   late, goes unreported (1024 = 100 ms of 100 Mbit/s). */
#define LIMIT_ARRIVALS 1024
/* A feedback is due after the longer time, after the shorter when TRANSPORT_CC_SOME packets wait, and at once when TRANSPORT_CC_MANY
   do. Longer: the sender's estimate reacts later. Shorter: more feedback (an empty one costs 60 B on the wire). */
#define TRANSPORT_CC_LONGEST_NS (100ull * 1000000ull)
#define TRANSPORT_CC_SHORTEST_NS (50ull * 1000000ull)
#define TRANSPORT_CC_SOME 10
#define TRANSPORT_CC_MANY 120
/* A tick of the format, and how many of them one step of the reference time is. */
#define TRANSPORT_CC_TICK_NS 250000ull
#define TRANSPORT_CC_TICK_US 250
#define TRANSPORT_CC_REFERENCE_TICKS 256

/* ---- receiving ---- */

struct arrival_log { /* of one transport */
    uint64_t end;    /* one above the greatest number that came, unwrapped; 0 = nothing came yet */
    uint64_t next;   /* the first number the next feedback speaks of */
    uint64_t written_ns; /* when the last feedback was written */
    uint32_t pending;    /* arrivals no feedback told yet */
    uint32_t feedback_count;
    uint32_t ticks[LIMIT_ARRIVALS]; /* number n at n % LIMIT_ARRIVALS: its arrival in ticks, wrapping as the reference time does; 0 = not come */
};

/* An authenticated packet with this number came, for the first time. One that was told lost and comes late is told again. */
void arrivals_add(struct arrival_log *log, uint16_t sequence, uint64_t now_ns);
/* When a feedback is due; UINT64_MAX = not before something arrives. */
uint64_t arrivals_due_ns(const struct arrival_log *log);
/* Appends one RTCP block about what was not told yet, as much as fits into `room`. `sender` = our SSRC, `media` = an SSRC of the peer that
   sends on this transport (Chromium ignores feedback that names none of its own). Its length (a multiple of 4, no padding bit), 0 = there
   is nothing to tell, -ENOSPC = less than 36 bytes of room. When it did not tell all, arrivals_due_ns is in the past again. */
int transport_cc_write(struct arrival_log *log, uint8_t *to, size_t room, uint32_t sender,
                       uint32_t media, uint64_t now_ns);

/* ---- sending: see sent_log.h ---- */

_Static_assert(sizeof(struct arrival_log) == 32 + 4 * LIMIT_ARRIVALS, "layout");

struct transport_cc_status {
    uint16_t sequence;
    bool received;
    int32_t ticks; /* since the reference time; only when received */
};

struct transport_cc_reader { /* valid as long as the feedback it was opened on */
    uint32_t reference_time; /* 24 bits, in 64 ms of the peer's clock */
    uint16_t sequence, left; /* the next number, and how many are to come */
    uint8_t feedback_count;
    uint16_t chunk, chunk_left; /* symbols of the chunk that are to come */
    int32_t ticks;
    const uint8_t *chunks, *deltas;
};

/* Checks the whole feedback: chunks cover the count, no reserved symbol, deltas are all there. 0 or -EBADMSG; after 0 the reader
   cannot fail, so nothing of a malformed feedback takes effect. */
int transport_cc_parse_untrusted(const struct rtcp_feedback *feedback, struct transport_cc_reader *reader);
/* The next status, in order of sequence numbers; false = that was all. */
bool transport_cc_next(struct transport_cc_reader *reader, struct transport_cc_status *status);

#endif
