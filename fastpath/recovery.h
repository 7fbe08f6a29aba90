/* Loss between senders and us: for each encoding the gaps we ask its sender for, and the packets of video kept for those who lose them
 * behind us. Audio is asked for where its sender said that it answers, and kept elsewhere (resend.h).
 *
 * Private memory, taken when a source gets its row. A successor asks again from the encoding's highest index on; what was kept is gone
 * with the worker, and NACKs of the last second then stay unanswered. */
#ifndef SOTTO_RECOVERY_H
#define SOTTO_RECOVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "history.h"
#include "nack.h"
#include "projection.h"

struct worker;
struct arrival;

/* An encoding that nobody got for so long is not asked for. Higher: repairs on the uplink of somebody whom nobody watches. Lower: a short
   failure of the whole uplink counts as nobody watching. */
#define RECOVERY_VIEWED_NS (2000ull * 1000000ull)

struct encoding_recovery {
    struct history history; /* its ssrc is the one that `nack` is about, too */
    struct nack nack;
    uint64_t viewed_ns; /* when it was forwarded to somebody, or somebody waited for its key frame */
};

struct source_recovery {
    struct encoding_recovery *encodings; /* owned, LIMIT_ENCODINGS; NULL = nothing is repaired */
    uint32_t incarnation;
    bool listed; /* stands in `gapped` */
};

struct recovery {
    struct source_recovery *sources; /* by handle */
    struct history_slab slab;
    uint32_t *gapped; /* sources something of which is missing */
    uint32_t gapped_count;
    uint64_t due_ns; /* when recovery_tick has something to do, UINT64_MAX = never */
};

int recovery_open(struct recovery *recovery, uint32_t sources); /* 0 or -ENOMEM */
void recovery_close(struct recovery *recovery, uint32_t sources);

/* A source has a row of this incarnation (0 = none any more): begins with nothing known if it is another than before. */
void recovery_adopt(struct worker *worker, uint32_t source, uint32_t incarnation);

/* An authenticated packet, of the stream or out of RTX; before encoding_received counts it. True: it was missing. */
bool recovery_arrived(struct worker *worker, const struct projection_input *input, uint64_t now_ns);
/* Of a packet for which recovery_arrived was just called: it came late, but was sent after the source was last asked for a key frame. Its gap
   was found after that, so nothing newer had come before. */
bool recovery_newer_than_request(const struct worker *worker, const struct projection_input *input);
/* Keeps the packet for repairs; before relay writes slots' numbers into its payload. */
void recovery_keep(struct worker *worker, const struct arrival *arrival, uint64_t now_ns);
/* A key frame begins with this packet. */
void recovery_key_frame(struct worker *worker, const struct projection_input *input);
/* Somebody got it or waits for its key frame. */
void recovery_viewed(struct worker *worker, const struct projection_input *input, uint64_t now_ns);
/* Asks for what is due. */
void recovery_tick(struct worker *worker, uint64_t now_ns);

/* The kept packet behind a slot's number, if it may still be sent: its source is here, not muted, and has the same SSRC. */
bool recovery_find(const struct worker *worker, uint32_t source, uint32_t incarnation, uint8_t encoding,
                   uint32_t ssrc, uint64_t index, uint64_t now_ns, struct history_packet *packet);

#endif
