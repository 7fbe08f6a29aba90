/* Temporal layers, whatever tells them: a packet's place in them, made once for each packet, and what one sink does with it. */
#ifndef SOTTO_LAYER_H
#define SOTTO_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "dependency.h"
#include "payload.h"

/* A sink that wants every frame. */
#define LAYER_ALL 7u

struct packet_layer { /* all zero = nothing known: everybody gets it */
    uint8_t known;
    uint8_t temporal_id, spatial_id;
    uint8_t needed;      /* bit t: by who wants layers up to t */
    uint8_t switch_up;   /* bit t: who had less may have layers up to t from this frame on */
    uint8_t single_step; /* only from t - 1 to t */
    uint8_t base;        /* everybody needs it */
    uint8_t discardable; /* nothing refers to it, for whoever watches its own layer */
};

/* VP8: TID, Y (refers to the base only) and N of the payload descriptor, RFC 7741 4.2. */
static inline struct packet_layer layer_of_vp8(const struct vp8_descriptor *vp8)
{
    if (!vp8->has_temporal_id) return (struct packet_layer){0};
    uint8_t sync = vp8->layer_sync && vp8->temporal_id ? (uint8_t)(1u << vp8->temporal_id) : 0;
    return (struct packet_layer){
        .known = 1,
        .temporal_id = vp8->temporal_id,
        .needed = (uint8_t)(0xffu << vp8->temporal_id),
        .switch_up = vp8->key_frame ? 0xff : sync,
        .single_step = !vp8->key_frame,
        .base = vp8->temporal_id == 0,
        .discardable = vp8->non_reference,
    };
}

/* Dependency descriptor: the frame's indications for the target that each wish watches. `state` as read_untrusted left it. */
struct packet_layer layer_of_dependency(const struct dependency_state *state,
                                        const struct dependency_frame *frame);

/* Changes of what passes that are remembered for late packets. Higher: memory of each sink. Lower: a packet that comes after so many more is taken for one of
   the oldest's time: a fragment of a frame that was left out, or a hole in one that was not. */
#define LAYER_CHANGES 8u
/* So long after the last change, in ticks of 90 kHz, nothing comes late any more. Higher: slots that want all layers are looked at for longer. Lower: the
   same as above. */
#define LAYER_SETTLED 180000u

/* What one sink lets through. Private memory: a successor begins with the base and goes up at the next chance. */
struct layer_filter {
    uint32_t timestamp; /* of the newest frame, in the input's time */
    uint8_t current;    /* layers up to this one pass */
    uint8_t begun;
    uint8_t changes;               /* remembered, at most LAYER_CHANGES */
    uint8_t before[LAYER_CHANGES]; /* newest first: what passed until the frame of `changed` */
    uint32_t changed[LAYER_CHANGES];
};

/* The sink cuts over to another source or encoding with a key frame. */
static inline void layer_begin(struct layer_filter *filter, uint8_t wanted, uint32_t timestamp)
{ *filter = (struct layer_filter){.timestamp = timestamp, .current = wanted, .begun = 1}; }

static inline void layer_change(struct layer_filter *filter, uint8_t current)
{
    if (current == filter->current) return;
    if (filter->changes < LAYER_CHANGES) filter->changes++;
    for (unsigned i = filter->changes - 1u; i > 0; i--) {
        filter->before[i] = filter->before[i - 1];
        filter->changed[i] = filter->changed[i - 1];
    }
    filter->before[0] = filter->current;
    filter->changed[0] = filter->timestamp;
    filter->current = current;
}

/* What passed when the frame of this time was the newest. */
static inline uint8_t layer_then(const struct layer_filter *filter, uint32_t timestamp)
{
    uint8_t then = filter->current;
    for (unsigned i = 0; i < filter->changes && timestamp_newer(filter->changed[i], timestamp); i++)
        then = filter->before[i];
    return then;
}

/* Does the packet pass? Fewer layers at the next frame, more where its dependencies allow; a late packet with its frame. False: sequence_map_drop. */
static inline bool layer_passes(struct layer_filter *filter, const struct packet_layer *layer,
                                uint8_t wanted, uint32_t timestamp)
{
    if (!layer->known) /* also what comes from before the newest structure: whether its frame went, nobody can tell any more */
        return !filter->begun || !timestamp_newer(filter->timestamp, timestamp) ||
               layer_then(filter, timestamp) == LAYER_ALL;
    if (!filter->begun || timestamp_newer(timestamp, filter->timestamp)) {
        uint8_t current = filter->current;
        filter->begun = 1;
        filter->timestamp = timestamp;
        if (wanted < current) current = wanted;
        unsigned highest = layer->single_step && wanted > current ? current + 1u : wanted;
        for (unsigned t = highest; t > current; t--)
            if (layer->switch_up >> t & 1) current = (uint8_t)t;
        layer_change(filter, current);
    }
    return layer->needed >> layer_then(filter, timestamp) & 1;
}

/* May the sink's packets pass unseen from here on? */
static inline bool layer_settled(const struct layer_filter *filter)
{
    return filter->current == LAYER_ALL &&
           (!filter->changes || filter->timestamp - filter->changed[0] > LAYER_SETTLED);
}

#endif
