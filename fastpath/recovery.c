#include "recovery.h"

#include <errno.h>
#include <stdlib.h>

#include "compounds.h"
#include "feedback.h"
#include "receive.h"
#include "worker.h"

int recovery_open(struct recovery *recovery, uint32_t sources)
{
    *recovery = (struct recovery){.due_ns = UINT64_MAX};
    recovery->sources = calloc(sources, sizeof *recovery->sources);
    recovery->gapped = calloc(sources, sizeof *recovery->gapped);
    if (!recovery->sources || !recovery->gapped) return -ENOMEM;
    return history_slab_open(&recovery->slab, HISTORY_SLAB_BYTES);
}

static void forget(struct source_recovery *source)
{
    for (unsigned i = 0; source->encodings && i < LIMIT_ENCODINGS; i++)
        history_close(&source->encodings[i].history);
    free(source->encodings);
    source->encodings = NULL;
    source->incarnation = 0;
}

void recovery_close(struct recovery *recovery, uint32_t sources)
{
    for (uint32_t i = 0; recovery->sources && i < sources; i++) forget(&recovery->sources[i]);
    free(recovery->sources);
    free(recovery->gapped);
    history_slab_close(&recovery->slab);
    *recovery = (struct recovery){.due_ns = UINT64_MAX};
}

void recovery_adopt(struct worker *worker, uint32_t source, uint32_t incarnation)
{
    struct source_recovery *recovery = &worker->recovery.sources[source];
    if (recovery->incarnation == incarnation) return;
    forget(recovery);
    recovery->incarnation = incarnation;
    bool audio = worker->sources[source].audio;
    if (!incarnation || (audio && !worker->generation.sources[source].resends)) return;
    recovery->encodings = calloc(LIMIT_ENCODINGS, sizeof *recovery->encodings);
    bool taken = recovery->encodings != NULL;
    for (unsigned i = 0; !audio && taken && i < worker->sources[source].encoding_count; i++)
        taken = history_open(&recovery->encodings[i].history, false) == 0;
    if (!taken) worker_count(worker, COUNTER_recovery_refused, 1);
}

static struct encoding_recovery *recovery_of(const struct worker *worker, uint32_t source, uint8_t encoding)
{
    const struct source_recovery *recovery = &worker->recovery.sources[source];
    return recovery->encodings ? &recovery->encodings[encoding] : NULL;
}

/* Something of the source is missing and has to be looked at then. */
static void look_at(struct worker *worker, uint32_t source, uint64_t due_ns)
{
    struct recovery *recovery = &worker->recovery;
    if (!recovery->sources[source].listed) {
        recovery->sources[source].listed = true;
        recovery->gapped[recovery->gapped_count++] = source;
    }
    if (due_ns < recovery->due_ns) recovery->due_ns = due_ns;
}

bool recovery_arrived(struct worker *worker, const struct projection_input *input, uint64_t now_ns)
{
    struct encoding_recovery *recovery = recovery_of(worker, input->source, input->encoding);
    if (!recovery) return false;
    if (recovery->history.ssrc != input->ssrc) {
        const struct encoding_state *encoding =
            &worker->state.sources[input->source].encodings[input->encoding];
        history_restart(&recovery->history, input->ssrc);
        recovery->nack.started = false;
        if (encoding->received && encoding->ssrc == input->ssrc)
            nack_restart(&recovery->nack, encoding->highest_index);
    }
    bool filled = nack_received(&recovery->nack, input->index, now_ns);
    if (recovery->nack.next_due_ns != UINT64_MAX)
        look_at(worker, input->source, recovery->nack.next_due_ns);
    if (filled) worker_count(worker, COUNTER_gaps_filled, 1);
    return filled;
}

bool recovery_newer_than_request(const struct worker *worker, const struct projection_input *input)
{
    const struct encoding_recovery *recovery = recovery_of(worker, input->source, input->encoding);
    return recovery && recovery->nack.filled_since_ns > worker->state.sources[input->source].key_request_pending_ns;
}

void recovery_keep(struct worker *worker, const struct arrival *arrival, uint64_t now_ns)
{
    const struct projection_input *input = &arrival->input;
    struct encoding_recovery *recovery = recovery_of(worker, input->source, input->encoding);
    const uint32_t *first = &worker->fanout.source_first[input->source];
    if (!recovery || (first[0] == first[1] && !worker->sources[input->source].exports)) return;
    struct history_packet packet = {
        .index = input->index,
        .time_ns = now_ns,
        .payload = arrival->payload,
        .timestamp = input->timestamp,
        .length = (uint16_t)arrival->payload_length,
        .marker = arrival->marker,
        .has_level = arrival->has_level,
        .level = arrival->level,
        .sealed = arrival->sealed,
        /* Only another worker needs it again: whoever is sent the packet once more has it from us. */
        .descriptor_length = worker->sources[input->source].exports && arrival->descriptor ? arrival->descriptor_length
                                                                                           : (uint8_t)0,
        .descriptor = arrival->descriptor,
    };
    history_put(&worker->recovery.slab, &recovery->history, &packet);
}

void recovery_key_frame(struct worker *worker, const struct projection_input *input)
{
    struct encoding_recovery *recovery = recovery_of(worker, input->source, input->encoding);
    if (recovery) nack_key_frame(&recovery->nack, input->index);
}

void recovery_viewed(struct worker *worker, const struct projection_input *input, uint64_t now_ns)
{
    struct encoding_recovery *recovery = recovery_of(worker, input->source, input->encoding);
    if (recovery) recovery->viewed_ns = now_ns;
}

/* What of one encoding is due. */
static void ask(struct worker *worker, uint32_t source, uint8_t encoding,
                struct encoding_recovery *recovery, uint64_t now_ns)
{
    uint16_t lost[NACK_ENTRIES];
    bool key_wanted = false;
    uint32_t round_trip_us = worker->state.transports[worker->sources[source].transport].round_trip_us;
    unsigned count = nack_due(&recovery->nack, round_trip_us, now_ns, lost, NACK_ENTRIES, &key_wanted);
    if (!recovery->viewed_ns || now_ns - recovery->viewed_ns > RECOVERY_VIEWED_NS ||
        worker->sources[source].muted)
        return;
    /* Who negotiated no RTX has no pictures for us; what it lost is known, and ends in a key frame. */
    const struct source_row *row = &worker->generation.sources[source];
    if (count && (row->rtx_payload_type || row->resends || row->home) &&
        compound_send_nack(worker, source, encoding, lost, count, now_ns)) {
        worker_count(worker, COUNTER_nacks_sent, !worker->sources[source].home);
        worker_count(worker, COUNTER_nacks_sent_packets, worker->sources[source].home ? 0 : count);
    }
    if (key_wanted && !worker->sources[source].audio) {
        worker_count(worker, COUNTER_gaps_given_up, 1);
        key_request(worker, source, now_ns);
    }
}

/* When to look at the source again, UINT64_MAX = nothing is missing. */
static uint64_t ask_source(struct worker *worker, uint32_t source, uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;
    if (!worker->recovery.sources[source].encodings || !worker->sources[source].incarnation)
        return next;
    for (uint8_t i = 0; i < worker->sources[source].encoding_count; i++) {
        struct encoding_recovery *recovery = &worker->recovery.sources[source].encodings[i];
        if (!recovery->nack.started) continue;
        if (recovery->nack.next_due_ns <= now_ns) ask(worker, source, i, recovery, now_ns);
        if (recovery->nack.next_due_ns < next) next = recovery->nack.next_due_ns;
    }
    return next;
}

void recovery_tick(struct worker *worker, uint64_t now_ns)
{
    struct recovery *recovery = &worker->recovery;
    if (recovery->due_ns > now_ns) return;
    uint64_t next = UINT64_MAX;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < recovery->gapped_count; i++) {
        uint32_t source = recovery->gapped[i];
        uint64_t due = ask_source(worker, source, now_ns);
        if (due < next) next = due;
        if (due == UINT64_MAX)
            recovery->sources[source].listed = false;
        else
            recovery->gapped[kept++] = source;
    }
    recovery->gapped_count = kept;
    recovery->due_ns = next;
}

bool recovery_find(const struct worker *worker, uint32_t source, uint32_t incarnation, uint8_t encoding,
                   uint32_t ssrc, uint64_t index, uint64_t now_ns, struct history_packet *packet)
{
    if (source >= worker->capacities.sources || encoding >= LIMIT_ENCODINGS ||
        worker->sources[source].incarnation != incarnation || worker->sources[source].muted)
        return false;
    const struct encoding_recovery *recovery = recovery_of(worker, source, encoding);
    return recovery && recovery->history.ssrc == ssrc &&
           history_find(&worker->recovery.slab, &recovery->history, index, now_ns, packet);
}
