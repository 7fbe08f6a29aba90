/* What was sent to one receiver under which transport-wide number, until feedback says what became of it. Plain data of fixed size, valid when
 * zeroed, in the receiver's state row: whatever a kill leaves behind costs at most one feedback, because every index into it is taken modulo
 * its size. Times are CLOCK_MONOTONIC in nanoseconds. */
#ifndef SOTTO_SENT_LOG_H
#define SOTTO_SENT_LOG_H

#include <stdint.h>

/* Packets of one receiver that may wait for feedback; a power of two. Higher: 8 B each. Lower: on a fast or distant path feedback comes
   after its packets are forgotten (1024 = 1 s of 10 Mbit/s). */
#define LIMIT_SENT 1024

enum sent_state {
    SENT_NOTHING = 0,
    SENT_WAITING,
    SENT_LOST, /* told as not received */
    SENT_RECEIVED,
    SENT_PRESUMED, /* its feedback was lost; counted as received for rates only */
};

struct sent_packet {
    uint32_t sent_us; /* of the clock, modulo 2^32 */
    uint16_t size;    /* bytes of UDP payload */
    uint8_t cluster;  /* of the probe it belongs to, 0 = none */
    uint8_t state;    /* enum sent_state */
};

struct sent_log {      /* to one receiver */
    uint64_t next;     /* number of the next packet, unwrapped; 0 = nothing was sent yet */
    uint64_t told_end; /* one above the greatest number a feedback spoke of */
    struct sent_packet packets[LIMIT_SENT];
};

_Static_assert(sizeof(struct sent_packet) == 8, "layout");
_Static_assert(sizeof(struct sent_log) == 16 + 8 * LIMIT_SENT, "layout");

/* The number that sent_log_add will give next. */
static inline uint16_t sent_log_next(const struct sent_log *log)
{ return (uint16_t)log->next; /* the first is 65536 */ }
/* Gives the number for the header extension of a packet about to be sent, and notes it. */
uint16_t sent_log_add(struct sent_log *log, uint16_t size, uint8_t cluster, uint64_t now_ns);
/* The record of a number in a feedback, and that number unwrapped; NULL = never sent or forgotten. */
struct sent_packet *sent_log_find(struct sent_log *log, uint16_t sequence, uint64_t *unwrapped);
/* Its sending time in microseconds of the clock. */
static inline int64_t sent_time_us(const struct sent_packet *packet, uint64_t now_ns)
{
    uint64_t now_us = now_ns / 1000;
    return (int64_t)(now_us - (uint32_t)((uint32_t)now_us - packet->sent_us));
}

#endif
