/* A queue that neither grows nor empties. The trend sees only change: when others come into a full link the rates settle and the queue they
 * built stays, for as long as it lasts tens or hundreds of milliseconds of delay for everybody. Here the delay is held against the least
 * of the last half minute, and a queue that stands is drained by treating it as an overuse. Not more than a few times in a row: beside
 * flows that fill every queue this would only give them our share. Microseconds; arrival and sending are of different clocks, so delays
 * mean something only against each other. Plain data, valid when zeroed. */
#ifndef SOTTO_STANDING_QUEUE_H
#define SOTTO_STANDING_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

/* A queue longer than this is drained. Longer: more delay is put up with. Shorter: jitter of radio links is taken for a queue. */
#define QUEUE_LONG_US 60000
/* It must stand for so long: what an overuse left empties by itself. */
#define QUEUE_STANDS_US 600000
/* Drains in a row that did not help, and the pause then. More: starved beside flows that fill queues. Fewer: longer delay beside others. */
#define QUEUE_DRAINS 3
#define QUEUE_PAUSE_US 20000000
/* The least delay is of the last one to two of these. Longer: drift of clocks counts as a queue. Shorter: a standing queue becomes the
   norm. */
#define QUEUE_SPAN_US 15000000

struct standing_queue {
    int64_t least_us[2];   /* of the present span and of the one before */
    int64_t span_began_us; /* our clock; 0 = nothing known */
    int64_t long_since_us; /* since when it is long, 0 = it is not */
    int64_t pause_until_us;
    int32_t queue_us; /* the shortest wait of the last feedback's packets */
    uint32_t drains;
};

/* The least delay (arrival minus sending) of one feedback's packets. */
static inline void standing_queue_note(struct standing_queue *queue, int64_t delay_us, int64_t now_us)
{
    if (queue->span_began_us == 0) {
        queue->least_us[0] = queue->least_us[1] = delay_us;
        queue->span_began_us = now_us;
    } else if (now_us - queue->span_began_us > QUEUE_SPAN_US) {
        queue->least_us[1] = queue->least_us[0];
        queue->least_us[0] = delay_us;
        queue->span_began_us = now_us;
    }
    if (delay_us < queue->least_us[0]) queue->least_us[0] = delay_us;
    int64_t least = queue->least_us[0] < queue->least_us[1] ? queue->least_us[0] : queue->least_us[1];
    int64_t wait_us = delay_us - least;
    queue->queue_us = wait_us < 10000000 ? (int32_t)wait_us : 10000000;
    if (wait_us < QUEUE_LONG_US) {
        queue->long_since_us = 0;
        queue->drains = 0;
    } else if (queue->long_since_us == 0) {
        queue->long_since_us = now_us;
    }
}

/* True: drain it now. */
static inline bool standing_queue_drain(struct standing_queue *queue, int64_t now_us)
{
    if (queue->long_since_us == 0 || now_us - queue->long_since_us < QUEUE_STANDS_US ||
        now_us < queue->pause_until_us)
        return false;
    queue->long_since_us = now_us;
    if (++queue->drains <= QUEUE_DRAINS) return true;
    queue->drains = 0;
    queue->pause_until_us = now_us + QUEUE_PAUSE_US;
    return false;
}

#endif
