/* Messages of control, whole: another build may be at the other end. */
#include <stdlib.h>

#include "stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scene *scene;
    if (!scene) scene = stage_begin(SRTP_AEAD_AES_128_GCM);
    struct input input = {data, size};
    while (input.left) {
        size_t length;
        uint8_t *message = input_take(&input, input_word(&input) & 0xfff, &length);
        int result = worker_downlink_untrusted(&scene->worker, message, length, scene->now);
        CHECK(result >= DOWNLINK_DONE && result <= DOWNLINK_MUST_ADOPT);
        free(message);
        stage_flush_unread(scene);
    }
    return 0;
}
