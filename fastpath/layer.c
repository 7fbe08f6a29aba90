#include "layer.h"

struct packet_layer layer_of_dependency(const struct dependency_state *state, const struct dependency_frame *frame)
{
    const struct dependency_structure *structure = &state->structure;
    const uint8_t *targets = structure->target_of_temporal;
    struct packet_layer layer = {
        .known = 1,
        .needed = 1u << LAYER_ALL, /* who wants all gets what is in no target as well */
        .temporal_id = frame->temporal_id,
        .spatial_id = frame->spatial_id,
    };
    for (unsigned t = 0; t < DEPENDENCY_TEMPORAL; t++) {
        enum dependency_indication indication = dependency_of(frame->dtis, targets[t]);
        if (frame->dtis & structure->targets_up_to[t]) layer.needed |= (uint8_t)(1u << t);
        if (indication == DEPENDENCY_SWITCH) layer.switch_up |= (uint8_t)(1u << t);
    }
    if (frame->key_frame) layer.switch_up = 0xff;
    layer.base = layer.needed & 1;
    layer.discardable = dependency_of(frame->dtis, targets[frame->temporal_id]) == DEPENDENCY_DISCARDABLE;
    return layer;
}
