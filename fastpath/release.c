#include "release.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "equal_sizes.h"
#include "filling.h"
#include "outgoing.h"
#include "repair.h"
#include "retransmit.h"
#include "rtx.h"
#include "sealed.h"

int release_open(struct release *release, uint32_t transports, uint32_t sinks)
{
    *release = (struct release){.due_ns = UINT64_MAX};
    release->due = calloc(transports, sizeof *release->due);
    release->keys = calloc(sinks, sizeof *release->keys); /* pages come as they are used */
    return release->due && release->keys && waiting_open(&release->waiting) == 0 ? 0 : -ENOMEM;
}

void release_close(struct release *release)
{
    free(release->due);
    free(release->keys);
    waiting_close(&release->waiting);
    *release = (struct release){.due_ns = UINT64_MAX};
}

/* ---- who waits, and until when ---- */

static void look_at(struct release *release, uint64_t due_ns)
{
    uint64_t soonest = release->scanned_ns + RELEASE_SCAN_NS;
    if (due_ns < soonest) due_ns = soonest;
    if (due_ns < release->due_ns) release->due_ns = due_ns;
}

static void list(struct worker *worker, uint32_t transport, uint64_t due_ns)
{
    struct release *release = &worker->release;
    struct downlink *link = &worker->downlinks.links[transport];
    if (!link->place) {
        release->due[release->count] = (struct release_due){.transport = transport};
        link->place = ++release->count;
    }
    release->due[link->place - 1].ns = due_ns;
    look_at(release, due_ns);
}

static void unlist(struct worker *worker, uint32_t transport)
{
    struct release *release = &worker->release;
    struct downlink *link = &worker->downlinks.links[transport];
    if (!link->place) return;
    struct release_due last = release->due[--release->count];
    release->due[link->place - 1] = last;
    worker->downlinks.links[last.transport].place = link->place;
    link->place = 0;
}

void release_later(struct worker *worker, uint32_t transport, const struct waiting_packet *packet, uint64_t now_ns)
{
    struct downlink *link = &worker->downlinks.links[transport];
    struct downlink_state *state = &worker->state.downlinks[transport];
    uint64_t carried = (uint64_t)state->pacing.rate * 2 * (PACING_WAIT_NS / 1000000) / 8000;
    uint32_t most = carried > WAITING_BYTES ? (uint32_t)carried : WAITING_BYTES;
    worker_count(worker, COUNTER_pacing_waited, 1);
    unsigned dropped =
        waiting_put(&worker->release.waiting, &link->queue, packet, most, RELEASE_LONGEST_NS, now_ns);
    if (dropped) worker_count(worker, COUNTER_waiting_dropped, dropped);
    state->waiting_bytes = link->queue.bytes;
    if (!link->place && link->queue.count)
        list(worker, transport, pacing_due_ns(&state->pacing, now_ns));
}

void release_key_frame(struct worker *worker, uint32_t sink, uint64_t index, bool cut)
{
    uint32_t transport = worker->sinks[sink].transport;
    struct downlink *link = &worker->downlinks.links[transport];
    struct downlink_state *state = &worker->state.downlinks[transport];
    if (!worker->transports[transport].paced) return;
    bool stale = link->queue.bytes > (uint64_t)state->pacing.rate * RELEASE_STALE_MS / 8000;
    if (!cut && !stale) return;
    worker->release.keys[sink] =
        (struct release_key){.incarnation = worker->sinks[sink].incarnation, .index = index};
    if (!stale) return;
    unsigned purged = waiting_purge(&worker->release.waiting, &link->queue, sink, index);
    worker_count(worker, COUNTER_waiting_superseded, purged);
    state->waiting_bytes = link->queue.bytes;
}

bool release_superseded(const struct worker *worker, uint32_t sink, uint64_t index)
{
    const struct release_key *key = &worker->release.keys[sink];
    return key->incarnation == worker->sinks[sink].incarnation && index < key->index;
}

void release_probe(struct worker *worker, uint32_t transport, const struct probe_request *request, uint64_t now_ns)
{
    pacing_probe(&worker->state.downlinks[transport].pacing, request, now_ns);
    worker->downlinks.links[transport].run_left = 0;
    list(worker, transport, now_ns);
    worker_count(worker, COUNTER_probes_sent, 1);
}

void release_forget(struct worker *worker, uint32_t transport)
{
    struct downlink *link = &worker->downlinks.links[transport];
    waiting_clear(&worker->release.waiting, &link->queue);
    unlist(worker, transport);
}

void release_resume(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    if (pacing_cluster(&worker->state.downlinks[transport].pacing)) list(worker, transport, now_ns);
}

/* ---- what waited ---- */

/* Its slot is still the same and may be sent to. */
static bool still_wanted(const struct worker *worker, uint32_t transport, const struct waiting_packet *packet)
{
    const struct sink_cache *sink = &worker->sinks[packet->sink];
    return sink->incarnation == packet->sink_incarnation && sink->transport == transport &&
           sink->source != TABLE_NONE &&
           projection_current(worker->state.sinks[packet->sink].copies)->source != TABLE_NONE;
}

/* As retransmit_packet, on the slot itself: for the first time, under the number it was given when it came. */
static int send_media(struct worker *worker, uint32_t transport, const struct waiting_packet *waiting,
                      const struct history_packet *packet, uint64_t now_ns)
{
    const struct sink_cache *sink = &worker->sinks[waiting->sink];
    const struct source_cache *source = &worker->sources[waiting->origin.source];
    uint8_t *out = egress_reserve(&worker->egress);
    uint32_t destination = out ? transport_destination(worker, transport, now_ns) : TABLE_NONE;
    if (destination == TABLE_NONE) return 0;
    struct rtp_outgoing header = {
        .timestamp = packet->timestamp + waiting->origin.timestamp_offset,
        .ssrc = sink->ssrc,
        .csrc = source->member,
        .sequence = (uint16_t)waiting->origin.output_index,
        .payload_type = sink->payload_type,
        .marker = packet->marker,
        .abs_send_time_id = sink->abs_send_time_id,
        .abs_send_time = outgoing_send_time(now_ns),
    };
    outgoing_number(worker, transport, &header);
    uint8_t padding = sink->sealed ? 0 : equal_padding(packet->length, EQUAL_GRID);
    header.padding = padding != 0;
    if (sink->sealed) {
        header.ssrc = waiting->origin.input_ssrc;
        sealed_header(&header, packet->sealed, packet->payload);
    }
    size_t at = rtp_header_write(out, &header), listed = sealed_csrcs(packet->sealed);
    size_t payload = packet->length - listed;
    memcpy(out + at, packet->payload + listed, payload);
    if (source->codec == CODEC_VP8 && repair_renumber(&waiting->origin, out + at, payload) != 0) {
        worker_count(worker, COUNTER_internal_errors, 1);
        return -1;
    }
    if (padding) equal_padding_write(out + at + payload, padding);
    int length = srtp_protect(&worker->transports[transport].tx, waiting->origin.output_index, out,
                              EGRESS_PACKET_MAX, at, out + at, payload + padding);
    if (length < 0) {
        worker_count(worker, length == -EOVERFLOW ? COUNTER_index_exhausted_dropped : COUNTER_internal_errors, 1);
        return -1;
    }
    egress_commit(&worker->egress, destination, header.ssrc, (size_t)length);
    outgoing_sent(worker, transport, (size_t)length, now_ns);
    worker->state.sinks[waiting->sink].packets++;
    worker->state.sinks[waiting->sink].octets += packet->length;
    worker_count_forwarded(worker, source->audio, 1, (uint64_t)length);
    return length;
}

int release_filler(struct worker *worker, uint32_t handle, uint32_t member, uint64_t index,
                   uint32_t timestamp, uint64_t now_ns)
{
    const struct sink_cache *sink = &worker->sinks[handle];
    uint8_t *out = egress_reserve(&worker->egress);
    uint32_t destination = out ? transport_destination(worker, sink->transport, now_ns) : TABLE_NONE;
    if (destination == TABLE_NONE) return 0;
    struct rtp_outgoing header = {
        .timestamp = timestamp,
        .ssrc = sink->ssrc,
        .csrc = member,
        .sequence = (uint16_t)index,
        .payload_type = sink->payload_type,
        .abs_send_time_id = sink->abs_send_time_id,
        .abs_send_time = outgoing_send_time(now_ns),
    };
    outgoing_number(worker, sink->transport, &header);
    int at = rtp_padding_write(out, EGRESS_PACKET_MAX, &header, 1);
    int length = at < 0 ? at
                        : srtp_protect(&worker->transports[sink->transport].tx, index, out,
                                       EGRESS_PACKET_MAX, (size_t)at, out + at, 1);
    if (length < 0) {
        worker_count(worker, COUNTER_internal_errors, 1);
        return -1;
    }
    egress_commit(&worker->egress, destination, sink->ssrc, (size_t)length);
    outgoing_sent(worker, sink->transport, (size_t)length, now_ns);
    return length;
}

static int send_waiting(struct worker *worker, uint32_t transport,
                        const struct waiting_packet *waiting, uint64_t now_ns)
{
    const struct sequence_origin *origin = &waiting->origin;
    struct history_packet packet;
    if (!still_wanted(worker, transport, waiting) ||
        !recovery_find(worker, origin->source, origin->source_incarnation, origin->encoding,
                       origin->input_ssrc, origin->input_index, now_ns, &packet) ||
        !packet.length) {
        worker_count(worker, COUNTER_waiting_gone, 1);
        return -1;
    }
    if (waiting->filler)
        return release_filler(worker, waiting->sink, worker->sources[origin->source].member,
                              origin->output_index, packet.timestamp + origin->timestamp_offset, now_ns);
    if (!waiting->repair) return send_media(worker, transport, waiting, &packet, now_ns);
    int sent = retransmit_packet(worker, waiting->sink, origin, &packet, now_ns);
    retransmit_count(worker, transport, sent, now_ns);
    return sent;
}

/* ---- a receiver's turn ---- */

/* One run. */
static void send_run(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct downlink *link = &worker->downlinks.links[transport];
    struct downlink_state *state = &worker->state.downlinks[transport];
    bool begun = link->run_ns == now_ns; /* by packets that went at once */
    uint32_t allowed = begun ? link->run_left : pacing_allowed(&state->pacing, link->queue.bytes, now_ns),
             taken = 0;
    if (allowed && !begun) {
        link->run_left = allowed;
        link->run_ns = now_ns;
    }
    const struct waiting_packet *next;
    while ((allowed || begun) && (next = waiting_first(&worker->release.waiting, &link->queue)) != NULL) {
        if ((taken || begun) && taken + next->bytes > allowed && !pacing_saved(&state->pacing, next->bytes, now_ns))
            break;
        int sent = send_waiting(worker, transport, next, now_ns);
        if (sent == 0) break; /* the slab is full */
        waiting_take(&worker->release.waiting, &link->queue);
        if (sent > 0) taken += (uint32_t)sent;
    }
    state->waiting_bytes = link->queue.bytes;
    state->pacing.kept = link->queue.count != 0;
    if (link->queue.count || !pacing_padding(&state->pacing, allowed, taken) ||
        (taken && taken + PACING_PACKET > allowed))
        return;
    if (!filling_send(worker, transport, allowed, taken, now_ns)) state->pacing.cluster = 0;
}

static bool can_be_sent_to(const struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    const struct transport_state *state = &worker->state.transports[transport];
    return worker->transports[transport].tx_keyed &&
           worker->timers[transport].send_until_ns > now_ns && state->selected < LIMIT_PATHS;
}

void release_tick(struct worker *worker, uint64_t now_ns)
{
    struct release *release = &worker->release;
    if (release->due_ns > now_ns) return;
    release->scanned_ns = now_ns;
    release->due_ns = UINT64_MAX;
    for (uint32_t i = 0; i < release->count;) {
        uint32_t transport = release->due[i].transport;
        if (release->due[i].ns <= now_ns) {
            struct downlink *link = &worker->downlinks.links[transport];
            struct pacing *pacing = &worker->state.downlinks[transport].pacing;
            if (!can_be_sent_to(worker, transport, now_ns)) {
                worker_count(worker, COUNTER_waiting_gone, link->queue.count);
                release_forget(worker, transport);
                pacing->cluster = 0;
                continue;
            }
            if (!egress_reserve(&worker->egress)) { /* the rest goes after the flush, which is next */
                release->due_ns = now_ns;
                return;
            }
            if (link->queue.count || pacing_cluster(pacing)) send_run(worker, transport, now_ns);
            if (!link->queue.count && !pacing_cluster(pacing)) {
                unlist(worker, transport);
                continue;
            }
            release->due[i].ns = pacing_due_ns(pacing, now_ns);
        }
        look_at(release, release->due[i].ns);
        i++;
    }
}
