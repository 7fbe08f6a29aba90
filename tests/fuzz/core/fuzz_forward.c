/* The whole way of a datagram: authenticated members send anything in any order, and whatever leaves the worker must be what its receiver
 * can authenticate, under an index never used before, for its own address. */
#include "stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096) return 0;
    struct input input = {data, size};
    struct scene *scene = stage_begin(SRTP_AEAD_AES_128_GCM);
    for (unsigned steps = 0; input.left && steps < 400; steps++) {
        stage_step(scene, &input);
        if (worker_must_flush(&scene->worker)) scene_flush(scene);
        if (scene->now % (3 * MS) == 0 || steps % 8 == 0) scene_advance(scene, 5 * MS);
        scene_flush(scene);
        for (uint32_t i = 0; i < scene->received_count; i++)
            CHECK_EQUAL(scene->received[i].port, scene->members[scene->received[i].member].port);
        CHECK_EQUAL(scene->refused, 0);
        scene_forget(scene);
    }
    scene_advance(scene, 1000 * MS);
    CHECK_EQUAL(scene_counter(scene, COUNTER_internal_errors), 0);
    return 0;
}
