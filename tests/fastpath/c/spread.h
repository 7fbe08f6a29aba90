/* One conference on two workers, scenes 0 and 1, that share rings. Members and rows of each are those of its scene. */
#ifndef SOTTO_SPREAD_H
#define SOTTO_SPREAD_H

#include "handover.h"
#include "scene.h"

#define SPREAD_STRANGERS \
    100u /* handle of the transport row that stands for the other worker's members */

struct spread {
    struct scene *at[2];
    void *rings;
    size_t size;
};

struct spread *spread_open(enum srtp_profile profile);
void spread_close(struct spread *spread);
/* Source `source` of scene `home` is `local` in the other one, too; effective with the next spread_publish. */
void spread_source(struct spread *spread, unsigned home, uint32_t source, uint32_t local);
void spread_publish(struct spread *spread);
/* Another worker in the place of one, as after a kill. */
void spread_restart(struct spread *spread, unsigned which);
/* Each takes what the other told, until nothing is left; what is to be sent is flushed. Returns how many records there were. */
unsigned spread_pump(struct spread *spread);
/* Time passes for both, in steps of 10 ms; with pumps. */
void spread_advance(struct spread *spread, uint64_t ns);
void spread_forget(struct spread *spread);
/* The oldest record on the way to `to` is lost; its kind, 0 = there is none. */
int spread_lose(struct spread *spread, unsigned to);

#endif
