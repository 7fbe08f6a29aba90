#include "spread.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "check.h"

struct spread *spread_open(enum srtp_profile profile)
{
    struct spread *spread = calloc(1, sizeof *spread);
    spread->size = handover_size(2);
    spread->rings = mmap(NULL, spread->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(spread->rings != MAP_FAILED);
    handover_format(spread->rings, 2);
    for (uint32_t i = 0; i < 2; i++) {
        spread->at[i] = scene_open(profile);
        CHECK_EQUAL(handover_join(&spread->at[i]->worker, spread->rings, spread->size, i), 0);
    }
    return spread;
}

void spread_close(struct spread *spread)
{
    for (unsigned i = 0; i < 2; i++) scene_close(spread->at[i]);
    munmap(spread->rings, spread->size);
    free(spread);
}

void spread_source(struct spread *spread, unsigned home, uint32_t source, uint32_t local)
{
    struct scene *near = spread->at[home], *far = spread->at[!home];
    far->transports[SPREAD_STRANGERS] = (struct transport_row){
        .incarnation = 1,
        .foreign = (uint8_t)(home + 1),
        .rtcp_ssrc = 1,
        .sources = {[0 ... LIMIT_SOURCES_PER_TRANSPORT - 1] = TABLE_NONE},
        .ext = {.dependency_descriptor = 1},
    };
    far->sources[local] = near->sources[source];
    far->sources[local].transport = SPREAD_STRANGERS;
    far->sources[local].transport_incarnation = 1;
    far->sources[local].home = (uint8_t)(home + 1);
    far->sources[local].home_source = source;
    far->sources[local].home_incarnation = near->sources[source].incarnation;
    far->sources[local].incarnation = 7000 + local;
    far->sources[local].exports = 0;
    near->sources[source].exports = 1u << !home;
}

void spread_publish(struct spread *spread)
{
    for (unsigned i = 0; i < 2; i++) scene_publish(spread->at[i]);
}

void spread_restart(struct spread *spread, unsigned which)
{
    struct scene *scene = spread->at[which];
    worker_close(&scene->worker);
    CHECK_EQUAL(worker_open(&scene->worker, scene->config, scene->config_size, scene->state, scene->state_size, 8), 0);
    scene->worker.realtime_offset_ns = 1700000000ull * 1000 * MS;
    CHECK_EQUAL(handover_join(&scene->worker, spread->rings, spread->size, which), 0);
    CHECK_EQUAL(worker_adopt(&scene->worker, scene->now), 1);
}

unsigned spread_pump(struct spread *spread)
{
    unsigned taken = 0, before;
    do {
        before = taken;
        for (unsigned i = 0; i < 2; i++) {
            struct scene *scene = spread->at[i];
            while (handover_take(&scene->worker, scene->now)) {
                taken++;
                if (taken % 3 == 0 || !forward_has_room(&scene->worker))
                    while (!forward_release(&scene->worker, scene->now)) scene_flush(scene);
                if (worker_must_flush(&scene->worker)) scene_flush(scene);
            }
            while (!forward_release(&scene->worker, scene->now)) scene_flush(scene);
            scene_flush(scene);
        }
    } while (taken != before);
    return taken;
}

void spread_advance(struct spread *spread, uint64_t ns)
{
    for (uint64_t step; ns; ns -= step) {
        step = ns < 10 * MS ? ns : 10 * MS;
        for (unsigned i = 0; i < 2; i++) scene_advance(spread->at[i], step);
        spread_pump(spread);
    }
}

void spread_forget(struct spread *spread)
{
    for (unsigned i = 0; i < 2; i++) scene_forget(spread->at[i]);
}

int spread_lose(struct spread *spread, unsigned to)
{
    uint8_t record[HANDOVER_RECORD_MAX];
    struct handover *handover = spread->at[to]->worker.handover;
    return ring_take_untrusted(&handover->from[!to], record) > 0 ? record[0] : 0;
}
