/* The way of all members to the server and back, over one veth.
 *
 * Out: one UDP socket; the namespace takes every address of a prefix as its own, so that one socket sends as thousands of members.
 * In: a packet ring at the device. What arrives is copied there as it arrives (a run in one piece, as the server handed it over) and
 * dropped before it goes up: receivers' sockets would cost the server, because on a veth the sender's process runs the
 * receiver's half of the kernel too, or an interrupt to another core for every message. */
#ifndef SOTTO_LOAD_WIRE_H
#define SOTTO_LOAD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan_file.h"

#define WIRE_BATCH 256 /* datagrams to one sendmmsg */
#define WIRE_PACKET 1600

struct arrived {
    uint8_t *bytes;
    size_t length;
    uint32_t member;
    uint64_t time_ns; /* CLOCK_REALTIME, when it arrived at the device */
};

struct wire {
    int fd, ring_fd;
    const struct plan *plan;
    uint8_t *outgoing, *ring;
    uint32_t block; /* of the ring, next to be read */
    struct wire_message *queue;
    unsigned queued;
    uint64_t send_errors, received_messages;
};

int wire_open(struct wire *wire, const struct plan *plan); /* 0 or a negative errno */
/* Room for one datagram; NULL never: a full queue is sent first. */
uint8_t *wire_reserve(struct wire *wire);
void wire_commit(struct wire *wire, uint32_t member, size_t length);
/* What is queued leaves; with `segments`, neighbours of one sender and size as one message. */
void wire_flush(struct wire *wire, bool segments);
/* Takes what arrived, at most so many blocks of 1 MiB; returns whether more may wait. It comes a millisecond late: see time_ns. */
bool wire_receive(struct wire *wire, unsigned blocks, void (*take)(void *, const struct arrived *), void *to);
/* Messages the ring had no room for since the last call: the generator was too slow, and a loss is its own. */
uint64_t wire_ring_drops(struct wire *wire);
void wire_wait(uint64_t ns);

#endif
