#include "retransmit.h"

#include <errno.h>

#include "relay.h"
#include "rtx.h"

/* Writes and encrypts one; false when the slab or the path of the receiver takes no more. */
static bool retransmit(struct worker *worker, uint32_t handle, const struct sequence_origin *request,
                       const struct history_packet *packet, uint64_t now_ns)
{
    const struct sink_row *row = &worker->generation.sinks[handle];
    struct sink_state *state = &worker->state.sinks[handle];
    uint32_t receiver = worker->sinks[handle].transport;
    struct transport_cache *transport = &worker->transports[receiver];
    uint8_t *out = egress_reserve(&worker->egress);
    uint32_t destination = out ? transport_destination(worker, receiver, now_ns) : TABLE_NONE;
    if (destination == TABLE_NONE) {
        worker_count(worker, COUNTER_egress_full_dropped, 1);
        return false;
    }
    if (!repair_spend(&worker->receivers[receiver], handle, request,
                      (size_t)packet->length + RTX_OSN_SIZE + RTP_HEADER_MAX, now_ns)) {
        worker_count(worker, COUNTER_rtx_limited_dropped, 1);
        return true;
    }
    uint64_t index;
    if (rtx_take_index(&state->rtx_next_index, worker_random(worker), &index) != 0) {
        worker_count(worker, COUNTER_index_exhausted_dropped, 1);
        return false;
    }
    const struct source_cache *source = &worker->sources[request->source];
    struct rtp_outgoing header = {
        .ssrc = row->rtx_ssrc,
        .csrc = source->member,
        .sequence = (uint16_t)index,
        .payload_type = row->rtx_payload_type & 0x7f,
        .audio_level_id = worker->sinks[handle].audio_level_id,
        .abs_send_time_id = worker->sinks[handle].abs_send_time_id,
        .abs_send_time = relay_send_time(now_ns),
    };
    size_t length;
    int written = repair_write(request, packet, source->codec == CODEC_VP8 && packet->length,
                               &header, out, EGRESS_PACKET_MAX, &length);
    if (written > 0)
        written = srtp_protect(&transport->tx, index, out, EGRESS_PACKET_MAX, (size_t)written,
                               out + written, length);
    if (written <= 0) {
        worker_count(worker, COUNTER_internal_errors, 1);
        return true;
    }
    egress_commit(&worker->egress, destination, row->rtx_ssrc, (size_t)written);
    transport->tx_packets++;
    transport->tx_bytes += (uint64_t)written;
    worker_count(worker, COUNTER_rtx_sent, 1);
    worker_count(worker, COUNTER_rtx_sent_bytes, (uint64_t)written);
    return true;
}

void retransmit_untrusted(struct worker *worker, uint32_t transport, const struct rtcp_feedback *nack, uint64_t now_ns)
{
    uint32_t sink = fanout_sink_of_ssrc(worker, transport, nack->media);
    if (sink == TABLE_NONE || !worker->transports[transport].tx_keyed) return;
    const struct sink_row *row = &worker->generation.sinks[sink];
    struct repair_slot slot = {
        .sink = sink,
        .rtx_ssrc = row->rtx_payload_type ? row->rtx_ssrc : 0,
        .map = &worker->maps[sink],
        .current = projection_current(worker->state.sinks[sink].copies),
    };
    struct sequence_origin requests[REPAIR_REQUESTS];
    int count = repair_requests_untrusted(&worker->receivers[transport], &slot, nack,
                                          worker->transports[transport].tx_bps,
                                          worker->state.transports[transport].round_trip_us, now_ns, requests);
    for (int i = 0; i < count; i++) {
        const struct sequence_origin *request = &requests[i];
        struct history_packet packet;
        if (!recovery_find(worker, request->source, request->source_incarnation, request->encoding,
                           request->input_ssrc, request->input_index, now_ns, &packet))
            worker_count(worker, COUNTER_rtx_not_kept, 1);
        else if (!retransmit(worker, sink, request, &packet, now_ns))
            return;
    }
}
