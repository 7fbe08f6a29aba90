#include "retransmit.h"

#include "outgoing.h"
#include "resend.h"
#include "rtx.h"
#include "sealed.h"

/* A packet of a slot's retransmission stream on its way into the slab. */
struct writing {
    uint8_t *out;
    uint32_t receiver, destination;
    uint64_t index;
    struct rtp_outgoing header;
};

/* 1, or as retransmit_packet. */
static int begin(struct worker *worker, uint32_t handle, uint64_t now_ns, struct writing *writing)
{
    const struct sink_row *row = &worker->generation.sinks[handle];
    writing->receiver = worker->sinks[handle].transport;
    writing->out = egress_reserve(&worker->egress);
    writing->destination = writing->out ? transport_destination(worker, writing->receiver, now_ns) : TABLE_NONE;
    if (writing->destination == TABLE_NONE) return 0;
    if (rtx_take_index(&worker->state.sinks[handle].rtx_next_index, worker_random(worker), &writing->index) != 0) {
        worker_count(worker, COUNTER_index_exhausted_dropped, 1);
        return -1;
    }
    writing->header = (struct rtp_outgoing){
        .ssrc = row->rtx_ssrc,
        .sequence = (uint16_t)writing->index,
        .payload_type = row->rtx_payload_type & 0x7f,
        .abs_send_time_id = worker->sinks[handle].abs_send_time_id,
        .abs_send_time = outgoing_send_time(now_ns),
    };
    outgoing_number(worker, writing->receiver, &writing->header);
    return 1;
}

/* `header` bytes and behind them `length` of payload stand in the slab. */
static int finish(struct worker *worker, const struct writing *writing, int header, size_t length, uint64_t now_ns)
{
    int written = header;
    if (header > 0)
        written = srtp_protect(&worker->transports[writing->receiver].tx, writing->index, writing->out,
                               EGRESS_PACKET_MAX, (size_t)header, writing->out + header, length);
    if (written <= 0) {
        worker_count(worker, COUNTER_internal_errors, 1);
        return -1;
    }
    egress_commit(&worker->egress, writing->destination, writing->header.ssrc, (size_t)written);
    outgoing_sent(worker, writing->receiver, (size_t)written, now_ns);
    return written;
}

int retransmit_packet(struct worker *worker, uint32_t sink, const struct sequence_origin *origin,
                      const struct history_packet *packet, uint64_t now_ns)
{
    struct writing writing;
    int result = begin(worker, sink, now_ns, &writing);
    if (result <= 0) return result;
    const struct source_cache *source = &worker->sources[origin->source];
    writing.header.csrc = source->member;
    if (worker->sinks[sink].sealed) sealed_header(&writing.header, packet->sealed, packet->payload);
    writing.header.audio_level_id = worker->sinks[sink].audio_level_id;
    size_t length = 0;
    int header = repair_write(origin, packet, source->codec == CODEC_VP8 && packet->length,
                              &writing.header, writing.out, EGRESS_PACKET_MAX, &length);
    return finish(worker, &writing, header, length, now_ns);
}

int retransmit_padding(struct worker *worker, uint32_t sink, unsigned padding, uint64_t now_ns)
{
    struct writing writing;
    int result = begin(worker, sink, now_ns, &writing);
    if (result <= 0) return result;
    const struct projection *current = projection_current(worker->state.sinks[sink].copies);
    if (current->started) writing.header.timestamp = current->last_timestamp;
    int header = rtp_padding_write(writing.out, EGRESS_PACKET_MAX, &writing.header, padding);
    return finish(worker, &writing, header, padding, now_ns);
}

void retransmit_count(struct worker *worker, uint32_t receiver, int bytes, uint64_t now_ns)
{
    struct downlink *link = &worker->downlinks.links[receiver];
    if (bytes <= 0) return;
    if (!link->listed) downlink_list(worker, receiver, now_ns);
    link->repair_bytes += (uint32_t)bytes;
    worker_count(worker, COUNTER_rtx_sent, 1);
    worker_count(worker, COUNTER_rtx_sent_bytes, (uint64_t)bytes);
}

/* Sends it or lets it wait; false when the slab or the path of the receiver takes no more. */
static bool repair(struct worker *worker, uint32_t sink, const struct sequence_origin *request,
                   const struct history_packet *packet, uint64_t now_ns)
{
    uint32_t receiver = worker->sinks[sink].transport;
    uint32_t bytes = packet->length + RTX_OSN_SIZE + OUTGOING_OVERHEAD;
    size_t most = (size_t)packet->length + RTX_OSN_SIZE + RTP_HEADER_USUAL;
    if (!egress_reserve(&worker->egress) || transport_destination(worker, receiver, now_ns) == TABLE_NONE) {
        worker_count(worker, COUNTER_egress_full_dropped, 1);
        return false;
    }
    if (!repair_spend(&worker->receivers[receiver], sink, request, most, now_ns)) {
        worker_count(worker, COUNTER_rtx_limited_dropped, 1);
        return true;
    }
    if (worker->transports[receiver].paced && outgoing_must_wait(worker, receiver, bytes, now_ns)) {
        struct waiting_packet waiting = {.origin = *request,
                                         .sink = sink,
                                         .sink_incarnation = worker->sinks[sink].incarnation,
                                         .bytes = (uint16_t)bytes,
                                         .repair = 1};
        release_later(worker, receiver, &waiting, now_ns);
        return true;
    }
    int sent = retransmit_packet(worker, sink, request, packet, now_ns);
    retransmit_count(worker, receiver, sent, now_ns);
    return sent != 0;
}

void retransmit_untrusted(struct worker *worker, uint32_t transport, const struct rtcp_feedback *nack, uint64_t now_ns)
{
    uint32_t sink = fanout_sink_of_ssrc(worker, transport, nack->media);
    if (sink == TABLE_NONE || !worker->transports[transport].tx_keyed)
        return; /* of sealed ones: what is carried now */
    if (worker->sinks[sink].resend) {
        resend_untrusted(worker, sink, nack, now_ns);
        return;
    }
    const struct sink_row *row = &worker->generation.sinks[sink];
    struct repair_slot slot = {
        .sink = sink,
        .rtx_ssrc = row->rtx_payload_type ? row->rtx_ssrc : 0,
        .map = &worker->maps[sink],
        .current = projection_current(worker->state.sinks[sink].copies),
    };
    struct sequence_origin requests[REPAIR_REQUESTS];
    uint64_t rate = downlink_known(worker, transport) ? worker->state.downlinks[transport].bandwidth.target
                                                      : worker->transports[transport].tx_bps;
    int count = repair_requests_untrusted(&worker->receivers[transport], &slot, nack, rate,
                                          worker->state.transports[transport].round_trip_us, now_ns, requests);
    for (int i = 0; i < count; i++) {
        const struct sequence_origin *request = &requests[i];
        struct history_packet packet;
        if (worker->transports[transport].paced && release_superseded(worker, sink, request->output_index))
            worker_count(worker, COUNTER_rtx_superseded, 1);
        else if (!recovery_find(worker, request->source, request->source_incarnation, request->encoding,
                                request->input_ssrc, request->input_index, now_ns, &packet))
            worker_count(worker, COUNTER_rtx_not_kept, 1);
        else if (!repair(worker, sink, request, &packet, now_ns))
            return;
    }
}
