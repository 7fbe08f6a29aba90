/* One conference on several workers: what they tell each other over the rings of handover_ring.h.
 *
 * A source arrives at one worker, its home, which does all that concerns its sender: decryption, repair on the way up, feedback, reports, clamp, key
 * requests. It hands each packet over once to every worker that the source's row names (`exports`), decrypted and parsed. There it is a foreign source:
 * a row of that worker's own table, `home` set, on a transport row that stands for the home worker's members of the conference (`foreign` set: no keys,
 * no addresses). From receive_media on it is a source like any other: layers, allocation, history, levels, loudest voices, all by that worker for its
 * own receivers, from its own state rows. What is meant for the sender goes back over the ring the other way: a key frame is needed, packets are missing,
 * this is what its viewers take. The home answers missing packets from its history and counts far viewers with its own.
 *
 * Within a source the order is that of arrival: one ring, first in first out. What finds no room in the ring is dropped by plan, full resolution
 * first, audio last, and counted; a gap that this leaves is asked for as any other. Taken twice is nothing: see handover_ring.h, and the
 * windows source_state.taken. */
#ifndef SOTTO_HANDOVER_H
#define SOTTO_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clamp.h"
#include "handover_ring.h"
#include "projection.h"
#include "viewer_digest.h"

struct worker;
struct arrival;

/* A packet that stood in the ring for longer is not forwarded: its reader was stopped or not there. Higher: old voices after a pause. Lower: what a
   successor finds is thrown away. */
#define HANDOVER_STALE_NS (500ull * 1000000ull)
/* A source's home hears of its far viewers so often, and counts them for so long after. Higher: clamps follow later. Lower: messages. */
#define HANDOVER_VIEWERS_NS (200ull * 1000000ull)
#define HANDOVER_VIEWERS_AGE_NS (1000ull * 1000000ull)
/* Other workers hear of a clamp so often at least, and at once when it moved. */
#define HANDOVER_CLAMP_NS (500ull * 1000000ull)
/* Records taken in one turn of the loop. Higher: the worker's own sockets wait. Lower: more turns under load. */
#define HANDOVER_AT_ONCE 512u

struct far_viewers {  /* of a source that arrives here, on one other worker */
    uint64_t told_ns; /* 0 = never */
    uint32_t lost_sum, lost_most;
    uint32_t count;
    struct viewer_entry entries[VIEWER_DIGEST_MAX];
};

struct home_source {             /* of one that arrives here and is handed over */
    struct far_viewers *viewers; /* by worker; owned, NULL = it is not */
    uint64_t clamp_told_ns;
    struct clamp_source clamp_told;
};

struct foreign_source { /* of one that comes by the ring, by our handle */
    bool pressed, listed;
    uint32_t viewers_told;
};

struct handover { /* private memory; can be lost at any time */
    struct handover_rings rings;
    uint32_t self;
    struct ring_writer to[LIMIT_WORKERS];
    struct ring_reader from[LIMIT_WORKERS];
    uint32_t *local[LIMIT_WORKERS]; /* by worker: its handle of a source -> ours, TABLE_NONE = none */
    struct home_source *home;       /* by handle */
    struct foreign_source *foreign; /* likewise */
    uint32_t *list;                 /* handles of foreign sources */
    uint32_t list_count;
    uint32_t *pressed;
    uint32_t pressed_count;
    struct clamp_viewer *viewers; /* of the source at work */
    uint64_t due_ns, told_ns;     /* of what is told of viewers */
    uint64_t oldest_ns; /* arrival of the oldest packet taken since the shell last looked, 0 = none */
    uint32_t next;      /* whose ring is looked at next */
    uint32_t wakes;     /* bits of workers something was written for */
    uint8_t *records; /* HANDOVER_RECORD_MAX each: as many as may wait for their release, in turns */
    uint32_t record;
};

/* After worker_open: this is worker `self` of those that share the segment. Without it the worker is alone. 0, as handover_attach, -EINVAL (no such
   worker) or -ENOMEM. */
int handover_join(struct worker *worker, void *memory, size_t size, uint32_t self);
void handover_leave(struct worker *worker);

/* A source has a row, or (NULL) has none any more; after its cache was filled. */
struct source_row;
void handover_adopt_source(struct worker *worker, uint32_t source, const struct source_row *row);
/* After all of them: who has a floor to tell, whose viewers are to be told. */
void handover_adopt(struct worker *worker, uint64_t now_ns);

/* ---- what the home tells ---- */

/* A packet, before relay writes into its payload. Of a source with `exports`. */
void handover_packet(struct worker *worker, const struct arrival *arrival, uint64_t now_ns);
/* The same once more to one worker, which has asked for it. */
void handover_again(struct worker *worker, uint32_t other, const struct arrival *arrival, uint64_t now_ns);
/* A sender report was read: encoding_state.sr_*, and its sender's clock. */
void handover_clock(struct worker *worker, uint32_t source, uint8_t encoding);
/* Its clamp was worked out. */
void handover_clamp(struct worker *worker, uint32_t source, uint64_t now_ns);
/* Appends those who view it elsewhere to viewers[count], up to `room`; the new count. */
size_t handover_far_viewers(struct worker *worker, uint32_t source, struct clamp_viewer *viewers, size_t count,
                            size_t room, uint32_t *lost_sum, uint32_t *lost_most, uint64_t now_ns);

/* ---- what is asked of the home; sources that are foreign here ---- */

bool handover_key_request(struct worker *worker, uint32_t source);
bool handover_ask(struct worker *worker, uint32_t source, uint8_t encoding, const uint16_t *lost, unsigned count);
/* Its viewers changed such that its home is told with the next tick. */
void handover_press(struct worker *worker, uint32_t source, uint64_t now_ns);
/* This source has the floor: its home tells control. True also of one that arrives here, which is then told at once. */
bool handover_floor(struct worker *worker, uint32_t source, uint64_t now_ns);

/* ---- the loop's part ---- */

/* Takes one record of another worker and does what follows; false = there is none, or no room. As forward_take: media goes on its way with
   forward_release. worker_must_flush between two of them. */
bool handover_take(struct worker *worker, uint64_t now_ns);
void handover_tick(struct worker *worker, uint64_t now_ns);
uint64_t handover_due_ns(const struct worker *worker);
/* Before sleeping: true = nothing is there, and whoever writes something wakes us. */
bool handover_may_sleep(struct worker *worker);
void handover_awake(struct worker *worker);
/* Arrival of the oldest packet taken since this was asked last, 0 = none was. */
uint64_t handover_oldest_ns(struct worker *worker);
/* Bits of the workers whose eventfds are to be written now. */
uint32_t handover_wakes(struct worker *worker);

#endif
