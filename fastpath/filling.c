#include "filling.h"

#include "outgoing.h"
#include "retransmit.h"
#include "rtx.h"

/* Padding that one packet may consist of (RFC 3550: its length stands in one byte). */
#define PADDING_MOST 255u

static bool has_stream(const struct worker *worker, uint32_t sink)
{
    const struct sink_row *row = &worker->generation.sinks[sink];
    return worker->sinks[sink].incarnation && row->rtx_payload_type && row->rtx_ssrc;
}

bool filling_possible(const struct worker *worker, uint32_t transport)
{
    const struct fanout *fanout = &worker->fanout;
    for (uint32_t i = fanout->transport_first[transport]; i < fanout->transport_first[transport + 1]; i++)
        if (has_stream(worker, fanout->of_transport[i])) return true;
    return false;
}

/* The longest of the slots' newest packets: sent again it is a packet like any other, and useless only where the first one came through. Returns
   the slot, TABLE_NONE = nothing has a retransmission stream; without a packet (length 0) there is only padding. */
static uint32_t find_filling(struct worker *worker, uint32_t transport, uint64_t now_ns,
                             struct sequence_origin *origin, struct history_packet *packet)
{
    const struct fanout *fanout = &worker->fanout;
    uint32_t found = TABLE_NONE;
    packet->length = 0;
    for (uint32_t i = fanout->transport_first[transport]; i < fanout->transport_first[transport + 1]; i++) {
        uint32_t sink = fanout->of_transport[i];
        if (!has_stream(worker, sink)) continue;
        if (found == TABLE_NONE) found = sink;
        const struct projection *current = projection_current(worker->state.sinks[sink].copies);
        for (uint16_t back = 0; back < FILLING_LOOK && current->started; back++) {
            struct sequence_origin candidate;
            struct history_packet kept;
            if (sequence_map_origin(&worker->maps[sink], current,
                                    (uint16_t)(current->highest_index - back), &candidate) != 0 ||
                !recovery_find(worker, candidate.source, candidate.source_incarnation, candidate.encoding,
                               candidate.input_ssrc, candidate.input_index, now_ns, &kept) ||
                kept.length <= packet->length)
                continue;
            found = sink;
            *origin = candidate;
            *packet = kept;
        }
    }
    return found;
}

bool filling_send(struct worker *worker, uint32_t transport, uint32_t allowed, uint32_t taken, uint64_t now_ns)
{
    struct sequence_origin origin;
    struct history_packet packet;
    uint32_t sink = find_filling(worker, transport, now_ns, &origin, &packet);
    if (sink == TABLE_NONE) return false;
    bool repeat = packet.length > PADDING_MOST;
    uint32_t bytes = OUTGOING_OVERHEAD + (repeat ? packet.length + RTX_OSN_SIZE : PADDING_MOST);
    do {
        int sent = repeat ? retransmit_packet(worker, sink, &origin, &packet, now_ns)
                          : retransmit_padding(worker, sink, PADDING_MOST, now_ns);
        if (sent <= 0) return sent == 0;
        worker_count(worker, COUNTER_probe_padding_bytes, (uint64_t)sent);
        taken += (uint32_t)sent;
    } while (pacing_padding(&worker->state.downlinks[transport].pacing, allowed, taken) >= bytes);
    return true;
}
