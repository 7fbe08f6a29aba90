/* Which sinks a source's packets go to, and which sinks a transport has: two lists by counting sort, made anew for each generation.
 * A sink stands in the list of the source it should carry and, until it has cut over, in that of the one it still carries. */
#ifndef SOTTO_FANOUT_H
#define SOTTO_FANOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "table.h"

struct worker;

struct source_cache {
    uint32_t incarnation; /* 0 = not in use */
    uint32_t transport;
    uint32_t member, clock_rate;
    uint8_t kind, codec, muted, encoding_count;
    bool audio, sealed;
    bool waiting;            /* stands in worker.waiting: somebody waits for a key frame */
    uint8_t recent, resumed; /* encodings live lately, and those live before a pause of all of them */
    uint64_t resumed_ns;
    uint64_t last_packet_ns;
    uint8_t live_told; /* encodings UPLINK_SOURCE_LIVE was sent of, by this worker */
    uint32_t inner_told[LIMIT_ENCODINGS]; /* what UPLINK_INNER_INDEX said last, in steps of SEALED_TELL, + 1 */
    uint8_t home; /* worker that it arrives at + 1; 0 = here. The rest of handover.h: */
    uint32_t exports, home_source, home_incarnation;
    uint32_t windows[LIMIT_ENCODINGS]; /* which beginning each encoding's replay window is at, by worker.windows */
};

#define SINK_LAYERS_ALL 1u

struct sink_cache {       /* what the inner loop needs of a sink's rows; half a cache line */
    uint32_t incarnation; /* 0 = not in use */
    uint32_t transport;   /* the receiver */
    uint32_t source, source_incarnation; /* wanted, TABLE_NONE = nothing */
    uint32_t ssrc, clock_rate;
    uint8_t payload_type, audio_level_id, abs_send_time_id;
    bool report_now;  /* a sender report is due at once */
    uint8_t encoding; /* its deal: never a higher one; ALLOCATION_NOTHING = paused or hidden */
    uint8_t temporal; /* likewise */
    uint8_t layers;   /* SINK_LAYERS_ALL = every layer passes, without looking further */
    bool sealed : 1;  /* `ssrc` is that of the encoding it carries */
    bool resend : 1;  /* what is sent is kept, to be sent once more (resend.h) */
};
_Static_assert(sizeof(struct sink_cache) == 32, "two in a cache line");

struct fanout {
    uint32_t *of_source;    /* sink handles, grouped by source; at most two for each sink */
    uint32_t *source_first; /* source h: of_source[source_first[h]] up to source_first[h + 1] */
    uint32_t *of_transport; /* sink handles, grouped by receiver */
    uint32_t *transport_first;
    uint32_t longest; /* the longest list of a source */
};

int fanout_open(struct fanout *fanout, struct table_capacities capacities); /* 0 or -ENOMEM */
void fanout_close(struct fanout *fanout);
/* Follows a new generation, after transports_adopt. Ends projections that may not go on, asks for key frames of new targets. */
void fanout_adopt(struct worker *worker, uint64_t now_ns);
/* Makes the lists anew after sinks were given other sources. O(sinks). */
void fanout_place(struct worker *worker);
/* The sink of this transport with this slot SSRC, or TABLE_NONE. */
uint32_t fanout_sink_of_ssrc(const struct worker *worker, uint32_t transport, uint32_t ssrc);
/* Likewise, and of sealed sinks by any SSRC of their source, whether it is carried now or not. */
uint32_t fanout_sink_asked_for(const struct worker *worker, uint32_t transport, uint32_t ssrc);
/* A transport may not be sent to any more: its slots begin with a key frame when it may again. */
void fanout_end_sinks_of(struct worker *worker, uint32_t transport);

#endif
