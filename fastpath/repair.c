#include "repair.h"

#include <errno.h>

#include "payload.h"
#include "rtx.h"
#include "sealed.h"

#define SECOND_NS UINT64_C(1000000000)
#define PACKET_COST_NS (SECOND_NS / REPAIR_PACKETS_PER_SECOND)
#define LOOKUP_COST_NS (SECOND_NS / REPAIR_LOOKUPS_PER_SECOND)

static uint64_t topped(uint64_t credit, uint64_t more, uint64_t most)
{ return credit + more < most ? credit + more : most; }

static void refill(struct repair_receiver *receiver, uint64_t rate_bps, uint64_t now_ns)
{
    uint64_t elapsed = now_ns - receiver->refilled_ns;
    if (elapsed > SECOND_NS) elapsed = SECOND_NS;
    uint64_t rate = rate_bps / 256 * REPAIR_SHARE;
    if (rate < REPAIR_FLOOR_BPS) rate = REPAIR_FLOOR_BPS;
    if (rate > UINT32_MAX) rate = UINT32_MAX;
    receiver->refilled_ns = now_ns;
    receiver->byte_credit =
        topped(receiver->byte_credit, rate * elapsed, rate * (REPAIR_BURST_MS * UINT64_C(1000000)));
    receiver->packet_credit = topped(receiver->packet_credit, elapsed, REPAIR_PACKETS_AT_ONCE * PACKET_COST_NS);
    receiver->lookup_credit = topped(receiver->lookup_credit, elapsed, REPAIR_LOOKUPS_AT_ONCE * LOOKUP_COST_NS);
}

static uint32_t now_ms(uint64_t now_ns)
{
    uint32_t ms = (uint32_t)(now_ns / 1000000);
    return ms ? ms : 1;
}

/* Where the repair of this packet is remembered. Neighbours of one slot lie side by side and never push each other out. */
static uint32_t place_of(uint32_t sink, uint64_t index)
{
    return (sink * 0x9e3779b1u / (UINT32_MAX / REPAIR_RECENT + 1) + (uint32_t)index) % REPAIR_RECENT;
}

/* Was it repaired, or does another one of less than a round trip ago stand in its place? */
static bool too_soon(const struct repair_receiver *receiver, uint32_t sink, uint64_t index,
                     uint32_t round_trip_ms, uint64_t now_ns)
{
    uint32_t last_ms = receiver->recent_ms[place_of(sink, index)];
    return last_ms && now_ms(now_ns) - last_ms < round_trip_ms;
}

/* In whole milliseconds, and one more, because the moments compared are whole milliseconds too. */
static uint32_t wait_ms_of(uint32_t round_trip_us)
{ return repair_wait_us(round_trip_us) / 1000 + 1; }

int repair_requests_untrusted(struct repair_receiver *receiver, const struct repair_slot *slot,
                              const struct rtcp_feedback *nack, uint64_t rate_bps,
                              uint32_t round_trip_us, uint64_t now_ns, struct sequence_origin *requests)
{
    int entries = rtcp_nack_untrusted(nack);
    if (entries < 0 || !slot->rtx_ssrc) return entries < 0 ? entries : 0;
    refill(receiver, rate_bps, now_ns);
    uint32_t wait_ms = wait_ms_of(round_trip_us);
    int found = 0;
    for (unsigned i = 0; i < (unsigned)entries; i++) {
        uint16_t first;
        uint32_t mask;
        rtcp_nack_entry(nack, i, &first, &mask);
        for (; mask; mask &= mask - 1) {
            if (receiver->lookup_credit < LOOKUP_COST_NS || found == (int)REPAIR_REQUESTS)
                return found;
            receiver->lookup_credit -= LOOKUP_COST_NS;
            uint16_t sequence = (uint16_t)(first + __builtin_ctz(mask));
            struct sequence_origin *origin = &requests[found];
            if (sequence_map_origin(slot->map, slot->current, sequence, origin) == 0 &&
                !too_soon(receiver, slot->sink, origin->output_index, wait_ms, now_ns))
                found++;
        }
    }
    return found;
}

bool repair_spend(struct repair_receiver *receiver, uint32_t sink,
                  const struct sequence_origin *request, size_t bytes, uint64_t now_ns)
{
    uint64_t cost = bytes * 8 * SECOND_NS;
    uint32_t *last_ms = &receiver->recent_ms[place_of(sink, request->output_index)];
    bool again = *last_ms == now_ms(now_ns); /* named twice in one NACK */
    if (again || receiver->packet_credit < PACKET_COST_NS || receiver->byte_credit < cost)
        return false;
    receiver->packet_credit -= PACKET_COST_NS;
    receiver->byte_credit -= cost;
    *last_ms = now_ms(now_ns);
    return true;
}

int repair_renumber(const struct sequence_origin *origin, uint8_t *payload, size_t length)
{
    struct vp8_descriptor descriptor;
    if (vp8_parse_untrusted(payload, length, &descriptor) != 0) return -EBADMSG;
    uint16_t mask = descriptor.picture_id_bits == 7 ? 0x7f : 0x7fff;
    vp8_rewrite(payload, &descriptor, (uint16_t)(descriptor.picture_id + origin->picture_id_offset) & mask,
                (uint8_t)(descriptor.tl0 + origin->tl0_offset));
    return 0;
}

int repair_write(const struct sequence_origin *request, const struct history_packet *packet, bool vp8,
                 struct rtp_outgoing *header, uint8_t *out, size_t room, size_t *payload_length)
{
    header->timestamp = packet->timestamp + request->timestamp_offset;
    header->marker = packet->marker;
    header->audio_level = packet->level;
    if (!packet->has_level) header->audio_level_id = 0;
    size_t listed = sealed_csrcs(packet->sealed), length = packet->length - listed;
    int at = rtx_write(out, room, header, (uint16_t)request->output_index, packet->payload + listed, length);
    if (at < 0) return at;
    if (vp8 && repair_renumber(request, out + at + RTX_OSN_SIZE, length) != 0) return -EBADMSG;
    *payload_length = RTX_OSN_SIZE + length;
    return at;
}
