/* A stream's dependency descriptors one after another, each with its length before it, and what sinks make of them. */
#include "input.h"
#include "layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct dependency_state state = {0}, before;
    struct layer_filter filter = {0};
    uint32_t timestamp = 0;
    while (input.left) {
        struct dependency_frame frame;
        size_t length;
        uint8_t *bytes = input_take(&input, input_byte(&input), &length);
        before = state;
        int result = dependency_read_untrusted(&state, bytes, length, &frame);
        if (result == 0) {
            CHECK(frame.template_id < DEPENDENCY_TEMPLATES && frame.spatial_id < DEPENDENCY_SPATIAL);
            CHECK(frame.temporal_id < DEPENDENCY_TEMPORAL);
            struct packet_layer layer = layer_of_dependency(&state, &frame);
            layer_passes(&filter, &layer, (uint8_t)(length & 7), timestamp += 3000);
        } else if (result == -74) /* EBADMSG: the state is unchanged */
            CHECK_BYTES(&before, &state, sizeof state);
        free(bytes);
    }
    return 0;
}
