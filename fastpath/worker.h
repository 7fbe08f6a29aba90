/* One worker without its sockets: what forward() works on. All memory is taken once by worker_open; everything that must
 * survive stands in the state rows, so a successor opened on the same segments goes on where this one was killed. */
#ifndef SOTTO_WORKER_H
#define SOTTO_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addresses.h"
#include "arrival_reports.h"
#include "downlink.h"
#include "egress.h"
#include "fanout.h"
#include "handover.h"
#include "outbox.h"
#include "recovery.h"
#include "relay.h"
#include "release.h"
#include "repair.h"
#include "resend.h"
#include "sequence_map.h"
#include "shedding.h"
#include "table.h"
#include "tmmbr.h"
#include "transports.h"

struct datagram {
    uint8_t *bytes; /* decrypted in place; up to LIMIT_DATAGRAM */
    size_t length;
    struct endpoint remote;
    uint8_t local_address[16]; /* where it arrived, all 0 = unknown */
    uint32_t local_interface;
    uint32_t socket;     /* number of the worker's UDP socket */
    uint64_t arrived_ns; /* when it came to the kernel, 0 = not known */
};

struct worker {
    struct config_view config;
    struct state_view state;
    struct generation_view generation;        /* rows may be read up to the next worker_adopt */
    struct config_generation generation_head; /* generation.head: a copy that nobody else can write */
    uint64_t generation_number;               /* 0 = none yet */
    struct table_capacities capacities;
    struct table_capacities reach; /* one above the greatest handles of the generation before this one */

    struct transport_cache *transports; /* all by handle */
    struct transport_timer *timers;
    struct source_cache *sources;
    struct sink_cache *sinks;
    struct sequence_map *maps; /* by sink: what its numbers stood for */
    uint32_t windows; /* of replay, begun so far: what passed another one may have come before */
    struct repair_receiver *receivers; /* by transport: what it may have repaired */
    struct resend *resends;            /* by transport: audio as it was sent */
    struct tmmbr *tmmbr;               /* by source: rates asked of it */
    struct recovery recovery;
    struct arrival_reports arrival_reports;
    struct downlinks downlinks;
    struct relay_batch relaying;
    struct release release;
    struct addresses addresses;
    struct adaptation *adaptation; /* adaptation.h */
    struct handover *handover;     /* NULL = this worker is alone */
    struct fanout fanout;
    struct egress egress;
    struct shedding shedding;
    struct outbox outbox;

    uint32_t *hasty; /* transports that get a compound with sender reports at the next tick */
    uint32_t hasty_count;
    uint32_t *waiting; /* sources of which somebody waits for a key frame */
    uint32_t waiting_count;

    uint64_t arrived_ns; /* when the datagram at work came to the kernel: what its sender is told */
    uint64_t scan_due_ns;
    uint64_t realtime_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC, for NTP; the shell sets it */
    uint64_t random;             /* state of a small generator; seeded by the shell */
};

/* Attaches and takes memory. `seed` is random. 0, -EPROTO or -EINVAL (segments), -ENOMEM. */
int worker_open(struct worker *worker, void *config, size_t config_size, void *state,
                size_t state_size, uint64_t seed);
void worker_close(struct worker *worker);

/* Is there something for worker_adopt to do? */
static inline bool worker_has_news(const struct worker *worker)
{
    const struct config_header *header = worker->config.header;
    return atomic_load_explicit(&header->current, memory_order_acquire) != worker->generation_number ||
           atomic_load_explicit(&header->adopted, memory_order_relaxed) != worker->generation_number;
}
/* At a batch boundary: takes over a new generation if there is one. Returns 1 if so. */
int worker_adopt(struct worker *worker, uint64_t now_ns);
/* At the end of each batch, before egress is flushed, and whenever worker_sleep_ns is over: reports, feedback, consent, key requests. */
void worker_tick(struct worker *worker, uint64_t now_ns);
/* How long nothing needs to be done if no datagram comes; at most LIMIT_SLEEP_NS. */
uint64_t worker_sleep_ns(const struct worker *worker, uint64_t now_ns);
/* True when the next datagram might find the slab full: flush first. */
bool worker_must_flush(const struct worker *worker);

/* The transport's next report goes out within LIMIT_SCAN_NS, because a sender waits for it to raise its rate. */
void worker_hasten_report(struct worker *worker, uint32_t transport, uint64_t now_ns);

/* A message from control: `length` bytes with its head. 1 = stop, 2 = look at the table, 0 = done or refused (counted). */
enum { DOWNLINK_DONE = 0, DOWNLINK_MUST_STOP = 1, DOWNLINK_MUST_ADOPT = 2 };
int worker_downlink_untrusted(struct worker *worker, const void *message, size_t length, uint64_t now_ns);
/* Says something about a transport to control. False when the queue is full (counted). */
bool worker_tell(struct worker *worker, uint32_t kind, uint32_t transport, uint32_t a, uint32_t b,
                 const void *payload, size_t length, uint64_t now_ns);

uint64_t worker_random(struct worker *worker);

static inline void worker_count(struct worker *worker, enum counter which, uint64_t amount)
{ counter_add(&worker->state, which, amount); }

/* The same of a packet or several, in all and by kind. */
static inline void worker_count_received(struct worker *worker, bool audio, uint64_t bytes)
{
    worker_count(worker, COUNTER_rtp_received, 1);
    worker_count(worker, COUNTER_rtp_received_bytes, bytes);
    worker_count(worker, audio ? COUNTER_rtp_received_audio : COUNTER_rtp_received_video, 1);
    worker_count(worker, audio ? COUNTER_rtp_received_bytes_audio : COUNTER_rtp_received_bytes_video, bytes);
}

static inline void worker_count_forwarded(struct worker *worker, bool audio, uint64_t packets, uint64_t bytes)
{
    worker_count(worker, COUNTER_rtp_forwarded, packets);
    worker_count(worker, COUNTER_rtp_forwarded_bytes, bytes);
    worker_count(worker, audio ? COUNTER_rtp_forwarded_audio : COUNTER_rtp_forwarded_video, packets);
    worker_count(worker, audio ? COUNTER_rtp_forwarded_bytes_audio : COUNTER_rtp_forwarded_bytes_video, bytes);
}

/* One thing of `size`, at least 1, in the bands from `first` (1, then up to 2, 4, 8 and so on) to `more`. */
static inline void worker_count_size(struct worker *worker, enum counter first, enum counter more, uint32_t size)
{
    uint32_t band = size <= 1 ? 0 : 32u - (uint32_t)__builtin_clz(size - 1);
    uint32_t last = (uint32_t)more - (uint32_t)first;
    worker_count(worker, (enum counter)((uint32_t)first + (band < last ? band : last)), 1);
}

#endif
