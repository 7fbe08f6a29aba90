/* The packet's way: a datagram in, datagrams into the egress slab and messages into the outbox. No syscall, no allocation, no
 * lock; nothing a datagram contains can do more than be counted unless it authenticates. */
#ifndef SOTTO_FORWARD_H
#define SOTTO_FORWARD_H

#include "worker.h"

/* Takes a datagram: `in->bytes` is decrypted in place and must stay until forward_release, because media goes on its way only then. Only while
   forward_has_room. `now_ns` is CLOCK_MONOTONIC and never goes back. */
void forward_take(struct worker *worker, const struct datagram *in, uint64_t now_ns);
bool forward_has_room(const struct worker *worker);
/* Media that was taken goes into the slab. False: send the slab and call again. After each batch, before anything else is done with the worker. */
bool forward_release(struct worker *worker, uint64_t now_ns);
/* Both for one datagram. What finds no room in the slab is dropped. */
void forward(struct worker *worker, const struct datagram *in, uint64_t now_ns);

#endif
