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

/* What one sink lets through. Private memory: a successor begins with the base and goes up at the next chance. */
struct layer_filter {
    uint32_t timestamp; /* of the newest frame, in the input's time */
    uint8_t current;    /* layers up to this one pass */
    uint8_t begun;
    uint16_t reserved;
};

/* The sink cuts over to another source or encoding with a key frame. */
static inline void layer_begin(struct layer_filter *filter, uint8_t wanted, uint32_t timestamp)
{ *filter = (struct layer_filter){.timestamp = timestamp, .current = wanted, .begun = 1}; }

/* Does the packet pass? Fewer layers at the next frame, more where its dependencies allow. False: sequence_map_drop. */
static inline bool layer_passes(struct layer_filter *filter, const struct packet_layer *layer,
                                uint8_t wanted, uint32_t timestamp)
{
    if (!layer->known) return true;
    if (!filter->begun || timestamp_newer(timestamp, filter->timestamp)) {
        filter->begun = 1;
        filter->timestamp = timestamp;
        if (wanted < filter->current) filter->current = wanted;
        unsigned highest = layer->single_step && wanted > filter->current ? filter->current + 1u : wanted;
        for (unsigned t = highest; t > filter->current; t--)
            if (layer->switch_up >> t & 1) filter->current = (uint8_t)t;
    }
    return layer->needed >> filter->current & 1;
}

#endif
