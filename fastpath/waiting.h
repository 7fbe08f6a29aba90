/* Packets that may not leave yet, because the receiver's link is busy with those before them: one queue for each receiver, all in one pool.
 *
 * A packet waits AFTER it was decided and numbered, and before header and encryption. Numbering at arrival is what keeps switches right: a slot
 * cuts over at the first packet of a key frame, and its second packet must find that it did, whether the first left or waits. It also is what
 * makes every loss here visible: whatever is dropped has its sequence number, so the receiver sees a gap, asks, and gets it as a repair. And
 * it is safe against a kill: the projection is stored before the packet gets in here, so a successor, which has no queues, goes on above
 * every number that waited; each entry leaves at most once, so no number is used twice.
 *
 * Nothing is copied: an entry says where the packet stands in the history (it was kept before it was relayed). When it is not found there any more
 * it is a gap too.
 *
 * Repairs wait in a line of their own, before media: what they complete is older than anything that waits. Audio never waits. Private
 * memory of the worker; nothing allocates after waiting_open. */
#ifndef SOTTO_WAITING_H
#define SOTTO_WAITING_H

#include <stdbool.h>
#include <stdint.h>

#include "sequence_map.h"

/* Packets of all receivers together, 64 B each. Higher: memory. Lower: 2,000 receivers whose links all became slow lose packets that could have waited
   (16,384 are 8 for each, and 500 for those 30 who are slow on an ordinary day). */
#define WAITING_POOL 16384u
/* Packets of one receiver. Higher: one receiver holds more of the pool. Lower: a key frame in small packets does not fit. */
#define WAITING_PACKETS 512u
/* Bytes of one receiver, or what its estimate carries in twice PACING_WAIT_NS where that is more. Higher: a longer queue at a slow link before packets
   are dropped. Lower: a full-resolution key frame (some 60 kB) does not fit. */
#define WAITING_BYTES 100000u

struct waiting_packet {
    struct sequence_origin origin; /* where it stands in the history, and its numbers as they go out */
    uint64_t since_ns;
    uint32_t sink, sink_incarnation;
    uint32_t next;  /* the pool's */
    uint16_t bytes; /* about what it takes on the wire, without IP and UDP */
    uint8_t repair; /* 1 = leaves over the slot's retransmission stream */
    uint8_t filler; /* 1 = padding in its place: it was left out when its number was taken */
};
_Static_assert(sizeof(struct waiting_packet) == 64, "one cache line");

struct waiting {
    struct waiting_packet *packets; /* WAITING_POOL + 1; number 0 is nobody's */
    uint32_t free;                  /* first of the unused, 0 = none */
};

enum { WAITING_REPAIRS = 0, WAITING_MEDIA = 1, WAITING_LINES = 2 };

struct waiting_queue {                                  /* of one receiver; valid when zeroed */
    uint32_t first[WAITING_LINES], last[WAITING_LINES]; /* 0 = none */
    uint32_t bytes;
    uint16_t count;
    uint16_t of_encoding[LIMIT_ENCODINGS]; /* media only */
};

int waiting_open(struct waiting *waiting); /* 0 or -ENOMEM */
void waiting_close(struct waiting *waiting);

/* Takes a packet in. When the queue is full - entries, `most_bytes`, the oldest waits longer than `longest_ns`, or the pool is empty - the newest
   packet of the highest encoding goes, which may be this one; a repair that finds no place goes itself. Returns how many packets were
   dropped: 0 or 1. */
unsigned waiting_put(struct waiting *waiting, struct waiting_queue *queue, const struct waiting_packet *packet,
                     uint32_t most_bytes, uint64_t longest_ns, uint64_t now_ns);
/* The packet whose turn it is, NULL = none. */
static inline const struct waiting_packet *waiting_first(const struct waiting *waiting,
                                                         const struct waiting_queue *queue)
{
    uint32_t number =
        queue->first[WAITING_REPAIRS] ? queue->first[WAITING_REPAIRS] : queue->first[WAITING_MEDIA];
    return number ? &waiting->packets[number] : NULL;
}
/* Takes that one out. */
void waiting_take(struct waiting *waiting, struct waiting_queue *queue);
/* Takes out what this sink has of output indices below `below`; returns how many. */
unsigned waiting_purge(struct waiting *waiting, struct waiting_queue *queue, uint32_t sink, uint64_t below);
/* Takes all out; returns how many. */
unsigned waiting_clear(struct waiting *waiting, struct waiting_queue *queue);

#endif
