#include "layer.h"

struct packet_layer layer_of_dependency(const struct dependency_state *state, const struct dependency_frame *frame)
{
    const uint8_t *targets = state->structure.target_of_temporal;
    struct packet_layer layer = {
        .known = 1,
        .temporal_id = frame->temporal_id,
        .spatial_id = frame->spatial_id,
    };
    for (unsigned t = 0; t < DEPENDENCY_TEMPORAL; t++) {
        enum dependency_indication indication = dependency_of(frame->dtis, targets[t]);
        if (indication != DEPENDENCY_NOT_PRESENT) layer.needed |= (uint8_t)(1u << t);
        if (indication == DEPENDENCY_SWITCH) layer.switch_up |= (uint8_t)(1u << t);
    }
    if (frame->key_frame) layer.switch_up = 0xff;
    layer.base = layer.needed & 1;
    layer.discardable = dependency_of(frame->dtis, targets[frame->temporal_id]) == DEPENDENCY_DISCARDABLE;
    return layer;
}
