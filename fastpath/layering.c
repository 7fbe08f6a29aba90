#include "layering.h"

#include <errno.h>
#include <stdlib.h>

#include "adaptation.h"
#include "feedback.h"
#include "receive.h"
#include "worker.h"

void layering_adopt(struct worker *worker, uint32_t source, uint32_t incarnation)
{
    struct source_layers *layers = &worker->adaptation->layers[source];
    if (layers->incarnation != incarnation) {
        free(layers->encodings);
        *layers = (struct source_layers){.incarnation = incarnation};
    }
    const struct source_cache *cache = &worker->sources[source];
    if (!incarnation || layers->encodings || cache->audio ||
        !worker->generation.transports[cache->transport].ext.dependency_descriptor)
        return;
    layers->encodings = calloc(LIMIT_ENCODINGS, sizeof *layers->encodings);
    if (!layers->encodings)
        worker_count(worker, COUNTER_dependency_unknown, 1); /* nothing is dropped by it */
}

void layering_read_untrusted(struct worker *worker, struct arrival *arrival,
                             const uint8_t *descriptor, uint8_t length, uint64_t now_ns)
{
    if (arrival->vp8.has_temporal_id) { /* it says the same and is nearer */
        arrival->layer = layer_of_vp8(&arrival->vp8);
        return;
    }
    const struct projection_input *input = &arrival->input;
    struct encoding_layers *encodings = worker->adaptation->layers[input->source].encodings;
    if (!descriptor || !encodings || arrival->audio) return;
    struct encoding_layers *encoding = &encodings[input->encoding];
    if (encoding->ssrc != input->ssrc) *encoding = (struct encoding_layers){.ssrc = input->ssrc};
    struct dependency_frame frame;
    int result = dependency_read_untrusted(&encoding->state, descriptor, length, &frame);
    if (result == 0) {
        if (worker->sources[input->source].sealed) arrival->key_start = frame.key_frame;
        arrival->layer = layer_of_dependency(&encoding->state, &frame);
        return;
    }
    worker_count(worker, result == -ENODATA ? COUNTER_dependency_unknown : COUNTER_dependency_malformed, 1);
    /* Its structure comes with a key frame only. */
    if (result == -ENODATA && !encoding->state.structure.template_count &&
        worker->adaptation->layers[input->source].wanted)
        key_request(worker, input->source, now_ns);
}
