/* The packet's way: a datagram in, datagrams into the egress slab and messages into the outbox. No syscall, no allocation, no
 * lock; nothing a datagram contains can do more than be counted unless it authenticates. */
#ifndef SOTTO_FORWARD_H
#define SOTTO_FORWARD_H

#include "worker.h"

/* `in->bytes` is decrypted in place and may be reused afterwards. `now_ns` is CLOCK_MONOTONIC and never goes back. */
void forward(struct worker *worker, const struct datagram *in, uint64_t now_ns);

#endif
