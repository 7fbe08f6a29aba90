/* Retransmissions as they come: unwrapped, through the window of the stream they repair, written for a slot. */
#include "input.h"
#include "repair.h"
#include "rtx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct srtp_rx_state media = {.ssrc = 5, .used = 1, .highest = input_word(&input) + 40000};
    bool seen[1 << 17] = {false};
    while (input.left) {
        const uint8_t *original;
        uint8_t out[RTP_HEADER_MAX + 300];
        uint16_t osn;
        uint64_t index;
        size_t length, left, written;
        uint8_t *payload = input_take(&input, input_byte(&input), &length);
        if (rtx_unwrap_untrusted(payload, length, &osn, &original, &left) == 0) {
            CHECK(original + left <= payload + length);
            if (rtx_accept(&media, osn, &index) == 0) {
                CHECK((uint16_t)index == osn);
                if (index < sizeof seen) {
                    CHECK(!seen[index]); /* never twice */
                    seen[index] = true;
                }
                struct sequence_origin origin = {.input_index = index, .picture_id_offset = 9, .tl0_offset = 3};
                struct history_packet packet = {.index = index, .payload = original, .length = (uint16_t)left};
                struct rtp_outgoing header = {.ssrc = 7, .payload_type = 97, .csrc = 1};
                repair_write(&origin, &packet, length & 1, &header, out, sizeof out, &written);
            }
        }
        free(payload);
    }
    return 0;
}
