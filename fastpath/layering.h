/* Which temporal layer a packet is of, from what its sender says in the clear: the VP8 descriptor, or the dependency descriptor. The structures that
   the latter refers to are private memory, one for each encoding: a successor drops nothing up to the next key frame. */
#ifndef SOTTO_LAYERING_H
#define SOTTO_LAYERING_H

#include <stdbool.h>
#include <stdint.h>

#include "layer.h"

struct worker;
struct arrival;

struct encoding_layers {
    uint32_t ssrc; /* whose state this is */
    struct dependency_state state;
};

struct source_layers {
    uint32_t incarnation;
    bool wanted;                       /* some slot has fewer than all */
    struct encoding_layers *encodings; /* LIMIT_ENCODINGS of them, NULL = nothing to read */
};

/* The source has a row of this incarnation, 0 = none any more. */
void layering_adopt(struct worker *worker, uint32_t source, uint32_t incarnation);
/* Sets arrival->layer; all zero when nothing is known. `descriptor` of `length` bytes: the extension as it came, NULL = none. Asks for
   a key frame when slots want fewer layers and their structure is not known. */
void layering_read_untrusted(struct worker *worker, struct arrival *arrival,
                             const uint8_t *descriptor, uint8_t length, uint64_t now_ns);

#endif
