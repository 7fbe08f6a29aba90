/* What a sink does with a packet. Pure; a table of it is tests/fastpath/c/test_forward.c. */
#ifndef SOTTO_SWITCHING_H
#define SOTTO_SWITCHING_H

#include "fanout.h"
#include "projection.h"
#include "receive.h"

enum sink_action {
    SINK_IGNORE,   /* not for this sink */
    SINK_AWAIT,    /* it wants this encoding and cannot begin here: a key frame is needed */
    SINK_CONTINUE, /* of what it carries */
    SINK_SWITCH,   /* cut over with this packet */
};

/* Make before break: video goes on with the old source or encoding until the first packet of a key frame of the wanted one; audio cuts
   over at once. The second packet of that key frame is already of what the sink carries, so it cuts exactly once. */
static inline enum sink_action switching_decide(const struct sink_cache *sink,
                                                const struct projection *current, const struct arrival *arrival)
{
    if (sink->encoding == ALLOCATION_NOTHING) return SINK_IGNORE;
    if (projection_carries(current, &arrival->input)) return SINK_CONTINUE;
    if (sink->source != arrival->input.source || sink->source_incarnation != arrival->input.source_incarnation)
        return SINK_IGNORE;
    if (arrival->audio) return SINK_SWITCH;
    if (arrival->wanted[sink->encoding] != arrival->input.encoding) return SINK_IGNORE;
    return arrival->key_start ? SINK_SWITCH : SINK_AWAIT;
}

/* Fills wanted[]: the highest encoding not above each maximum that is live. `live` has bit e set for encoding e. */
static inline void switching_wanted(uint8_t wanted[LIMIT_ENCODINGS], uint8_t live)
{
    uint8_t best = ENCODING_NONE;
    for (uint8_t encoding = 0; encoding < LIMIT_ENCODINGS; encoding++) {
        if (live & (1u << encoding)) best = encoding;
        wanted[encoding] = best;
    }
}

#endif
