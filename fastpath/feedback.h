/* Key-frame requests: what N receivers and switches want, merged into what one sender is asked. And RTCP as it arrives. */
#ifndef SOTTO_FEEDBACK_H
#define SOTTO_FEEDBACK_H

#include <stdint.h>

#include "worker.h"

/* Somebody needs a key frame of this source: asked at once, or when the interval is over, and again with growing pauses until one comes. */
void key_request(struct worker *worker, uint32_t source, uint64_t now_ns);
/* The same because a receiver asked for its slot; within that receiver's allowance. */
void key_request_of_sink(struct worker *worker, uint32_t sink, uint64_t now_ns);
/* A key frame of the source began: nobody waits any more. */
void key_request_answered(struct worker *worker, uint32_t source);
/* Sends what is due. Returns when to call again, UINT64_MAX = nobody waits. */
uint64_t key_requests_tick(struct worker *worker, uint64_t now_ns);

/* An SRTCP datagram of a keyed transport. */
void feedback_receive_untrusted(struct worker *worker, uint32_t transport, uint8_t *bytes,
                                size_t length, uint64_t now_ns);

#endif
