/* Rows that control never wrote, with right check values, and state rows in which anything stands: the worker and its successor
 * go on. Steps: 0xf0 overwrites bytes of a row, 0xf1 of the state segment; else as in stage.h. */
#include "stage.h"

static void other_config(struct scene *scene, struct input *input)
{
    uint8_t which = input_byte(input);
    size_t room = which % 3 == 0   ? sizeof *scene->transports
                  : which % 3 == 1 ? sizeof *scene->sources
                                   : sizeof *scene->sinks;
    uint8_t *row = which % 3 == 0   ? (uint8_t *)&scene->transports[which / 3 % 4]
                   : which % 3 == 1 ? (uint8_t *)&scene->sources[which / 3 % 8]
                                    : (uint8_t *)&scene->sinks[which / 3 % 32];
    size_t at = input_word(input) % room;
    for (unsigned count = 1 + (input_byte(input) & 7); count && at < room; count--)
        row[at++] = input_byte(input);
    if (scene_offer(scene)) worker_adopt(&scene->worker, scene->now);
}

static void other_state(struct scene *scene, struct input *input)
{
    const struct state_view *view = &scene->worker.state;
    uint8_t which = input_byte(input);
    uint8_t *row;
    size_t room;
    switch (which & 3) {
    case 0:
        row = (uint8_t *)&view->transports[which >> 2 & 3], room = sizeof *view->transports;
        break;
    case 1:
        row = (uint8_t *)&view->downlinks[which >> 2 & 3], room = sizeof *view->downlinks;
        break;
    case 2: row = (uint8_t *)&view->sources[which >> 2 & 7], room = sizeof *view->sources; break;
    default: row = (uint8_t *)&view->sinks[which >> 2 & 31], room = sizeof *view->sinks;
    }
    size_t at = input_word(input) % room;
    for (unsigned count = 1 + (input_byte(input) & 7); count && at < room; count--)
        row[at++] = input_byte(input);
    if (which & 128) stage_restart(scene);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 2048) return 0;
    struct input input = {data, size};
    struct scene *scene = stage_begin(SRTP_AES128_CM_SHA1_80);
    for (unsigned steps = 0; input.left && steps < 200; steps++) {
        if (*input.at == 0xf0 || *input.at == 0xf1) {
            if (input_byte(&input) == 0xf0)
                other_config(scene, &input);
            else
                other_state(scene, &input);
        } else
            stage_step(scene, &input);
        worker_tick(&scene->worker, scene->now += 5 * MS);
        stage_flush_unread(scene);
    }
    for (unsigned i = 0; i < STAGE_MEMBERS; i++) {
        scene_opus(scene, i, "0", 30000);
        scene_vp8(scene, i, "1", 0, 30000, true, true, true, 300);
    }
    for (unsigned i = 0; i < 5; i++) {
        worker_tick(&scene->worker, scene->now += 250 * MS);
        stage_flush_unread(scene);
    }
    return 0;
}
