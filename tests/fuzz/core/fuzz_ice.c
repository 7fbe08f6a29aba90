/* Checks of members and strangers from many addresses: an address is learned only from a check that authenticated. Steps of a byte:
 * bit 7 set = a check of member (bits 0 and 1) from port (bits 2 to 4), nominating with bit 5, with a bit turned if bit 6;
 * else a word of length and a datagram as it is from port (bits 0 to 5). */
#include <stdlib.h>

#include "stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096) return 0;
    struct input input = {data, size};
    struct scene *scene = stage_begin(SRTP_AEAD_AES_128_GCM);
    bool proved[64] = {false}; /* ports, from 10000 on */
    for (unsigned i = 0; i < STAGE_MEMBERS; i++) proved[i] = true;
    while (input.left) {
        uint8_t step = input_byte(&input);
        if (step & 128) {
            uint8_t request[300];
            uint32_t member = (step & 3) % STAGE_MEMBERS;
            unsigned port = 8 + (step >> 2 & 7);
            size_t length = stun_request_make(&scene->transports[member].ice[0], step & 32, request);
            if (step & 64)
                request[input_byte(&input) % length] ^= 4;
            else
                proved[port] = true;
            scene_datagram(scene, (uint16_t)(10000 + port), request, length);
        } else {
            size_t length;
            uint8_t *bytes = input_take(&input, input_word(&input) & 0x7ff, &length);
            scene_datagram(scene, (uint16_t)(10000 + (step & 63)), bytes,
                           length > LIMIT_DATAGRAM ? LIMIT_DATAGRAM : length);
            free(bytes);
        }
        scene_flush(scene);
        for (uint32_t i = 0; i < scene->received_count; i++)
            CHECK(proved[scene->received[i].port - 10000]); /* nothing ever goes to anybody else */
        scene_forget(scene);
        if (step % 16 == 15) scene_advance(scene, 100 * MS);
        scene_forget(scene);
    }
    CHECK_EQUAL(scene_counter(scene, COUNTER_internal_errors), 0);
    return 0;
}
