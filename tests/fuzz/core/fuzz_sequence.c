/* A slot's numbers and what receivers ask again, under any order of packets, drops, switches, restarts and NACKs: no outgoing index
 * stands for two packets, and a NACK finds what had gone out under that number or nothing. */
#include "input.h"
#include "repair.h"

enum { OUTPUTS = 1 << 17 };

struct sent {
    uint32_t source, ssrc;
    uint64_t input;
};
static struct sent sent[OUTPUTS];
static uint64_t touched[4096];
static unsigned touched_count;

static void note(const struct projection_output *output, const struct projection_input *from)
{
    struct sent *entry = &sent[output->index % OUTPUTS];
    CHECK(entry->ssrc == 0); /* never twice */
    *entry = (struct sent){from->source, from->ssrc, from->index};
    touched[touched_count++] = output->index % OUTPUTS;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct repair_receiver receiver;
    struct sequence_map map = {0};
    struct projection copies[2] = {{0}};
    struct input input = {data, size < 4096 ? size : 4096};
    uint64_t now = 1000000000, newest[4] = {70000, 70000, 70000, 70000};
    static uint8_t seen[4][1 << 17];
    memset(seen, 0, sizeof seen);
    memset(&receiver, 0, sizeof receiver);
    while (touched_count) sent[touched[--touched_count]].ssrc = 0;
    while (input.left && touched_count < 4000) {
        uint8_t what = input_byte(&input), step = input_byte(&input);
        unsigned source = what >> 4 & 3;
        uint64_t index = newest[source] + 1 + (step & 7) - (what & 128 ? step & 15 : 0);
        struct projection_input packet = {.source = source,
                                          .source_incarnation = 1,
                                          .ssrc = 100 + source,
                                          .timestamp = (uint32_t)index * 3000,
                                          .index = index,
                                          .picture_id = (uint16_t)index & 0x7fff,
                                          .picture_id_bits = 15,
                                          .has_tl0 = 1,
                                          .tl0 = (uint8_t)index};
        struct projection_output output;
        now += step * 200000ull;
        if ((what & 7) == 7) { /* NACK about anything: the input's words */
            struct sequence_origin asked[REPAIR_REQUESTS];
            struct repair_slot slot = {4, 77, &map, projection_current(copies)};
            size_t length;
            uint8_t *fci = input_take(&input, step & 60, &length);
            struct rtcp_feedback nack = {9, 66, fci, (uint32_t)length};
            int count = repair_requests_untrusted(&receiver, &slot, &nack, 1000000, step * 1000u, now, asked);
            CHECK(count <= (int)REPAIR_REQUESTS);
            for (int i = 0; i < count; i++) {
                const struct sent *entry = &sent[asked[i].output_index % OUTPUTS];
                if (entry->ssrc)
                    CHECK(entry->source == asked[i].source && entry->input == asked[i].input_index);
                repair_spend(&receiver, 4, &asked[i], 500, now);
            }
            free(fci);
        } else if ((what & 7) == 6) { /* a kill: the map is gone, the rows are not */
            memset(&map, 0, sizeof map);
            memset(&receiver, 0, sizeof receiver);
        } else if ((what & 7) == 5)
            projection_end(copies);
        else if (index < sizeof seen[0] && !seen[source][index]) {
            seen[source][index] = 1;
            if (index > newest[source]) newest[source] = index;
            bool carried = projection_carries(projection_current(copies), &packet);
            int result;
            if (!carried || (what & 7) == 4)
                result = (what & 7) >= 3 || !projection_current(copies)->started
                             ? sequence_map_begin(&map, copies, &packet, what & 8, 48000, step, now, &output)
                             : -1;
            else if ((what & 7) == 2)
                result = sequence_map_drop(&map, copies, &packet, now, &output);
            else
                result = sequence_map_forward(&map, copies, &packet, now, &output);
            if (result == SEQUENCE_SEND || result == SEQUENCE_FILL) note(&output, &packet);
        }
    }
    return 0;
}
