/* Segments that another build, or nobody, made: refused, or attached with every row inside. */
#include <stdlib.h>

#include "input.h"
#include "worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct table_capacities capacities = {2, 3, 4};
    struct input input = {data, size};
    uint8_t kind = input_byte(&input);
    size_t room = kind & 1 ? table_state_size(capacities) : table_config_size(capacities);
    size_t length = kind & 2 ? room : input.left / 64 * 64 + 64;
    uint8_t *memory = aligned_alloc(64, (length + 63) / 64 * 64);
    CHECK(memory);
    memset(memory, 0, length);
    if (kind & 2) { /* a real one, changed here and there: offset, value */
        if (kind & 1)
            table_state_format(memory, capacities);
        else
            table_config_format(memory, capacities);
        while (input.left) {
            size_t at = input_word(&input) % (kind & 4 ? 256 : length);
            memory[at] = input_byte(&input);
        }
    } else
        memcpy(memory, input.at, input.left);
    struct config_view config;
    struct state_view state;
    struct generation_view view;
    if (kind & 1) {
        if (table_state_attach(memory, length, &state) == 0 && state.header->sink_capacity > 0) {
            volatile uint32_t last = state.sinks[state.header->sink_capacity - 1].ssrc; /* inside */
            (void)last;
        }
    } else if (table_config_attach(memory, length, &config) == 0) {
        for (uint64_t known = 0; known < 3; known++)
            if (table_adopt(&config, known, &view) == 1) {
                CHECK(view.head->sink_limit <= config.header->sink_capacity);
                CHECK(view.head->source_limit <= config.header->source_capacity);
                CHECK(view.head->transport_limit <= config.header->transport_capacity);
                if (view.head->sink_limit)
                    row_check(&view.sinks[view.head->sink_limit - 1], sizeof *view.sinks);
            }
        if (table_next_generation(&config, &view) == 0) table_publish(&config, &view);
    }
    free(memory);
    return 0;
}
