#include "receive.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "equal_sizes.h"
#include "feedback.h"
#include "layering.h"
#include "relay.h"
#include "rtcp.h"
#include "rtp.h"
#include "rtx.h"
#include "sealed.h"
#include "switching.h"

/* Bytes of a packet of ours besides its payload: RTP header with CSRC and extensions, SRTP tag. Counted once for each arriving packet, so that
   what a source costs is what leaves for each viewer. */
#define PACKET_OVERHEAD 44u

/* Does the field of the packet say exactly this text? */
static bool field_is(const uint8_t *bytes, struct rtp_field field, const char *text, uint8_t length)
{
    return field.offset && length && field.length == length && memcmp(bytes + field.offset, text, length) == 0;
}

/* The encoding the rid (or repaired rid) names; without rids a source has one. -1 = none. */
static int encoding_of(const struct source_row *row, const uint8_t *bytes, struct rtp_field rid)
{
    if (!rid.offset) return row->encoding_count == 1 ? 0 : -1;
    for (int i = 0; i < row->encoding_count; i++)
        if (row->rid_length[i] <= LIMIT_RID && field_is(bytes, rid, row->rid[i], row->rid_length[i]))
            return i;
    return row->encoding_count == 1 && !row->rid_length[0] ? 0 : -1;
}

/* Finds what an unknown SSRC is by mid and rid (RFC 8843, RFC 8852). To be believed only once the packet authenticated. */
static bool identify(const struct worker *worker, uint32_t transport, const uint8_t *bytes,
                     const struct rtp_header *header, const struct rtp_extensions *found,
                     struct ssrc_binding *binding)
{
    const struct transport_row *row = &worker->generation.transports[transport];
    for (unsigned i = 0; i < LIMIT_SOURCES_PER_TRANSPORT; i++) {
        uint32_t handle = row->sources[i];
        if (handle >= worker->capacities.sources || !worker->sources[handle].incarnation ||
            worker->sources[handle].transport != transport || worker->sources[handle].sealed)
            continue; /* sealed ones have the SSRCs they were given and no others */
        const struct source_row *source = &worker->generation.sources[handle];
        if (source->mid_length > LIMIT_MID || !field_is(bytes, found->mid, source->mid, source->mid_length))
            continue;
        bool repair = source->rtx_payload_type && header->payload_type == source->rtx_payload_type;
        if (!repair && header->payload_type != source->payload_type) continue;
        int encoding = encoding_of(source, bytes, repair ? found->repaired_rid : found->rid);
        if (encoding < 0) continue;
        *binding = (struct ssrc_binding){.source = handle, .encoding = (uint8_t)encoding, .repair = repair};
        return true;
    }
    return false;
}

static bool unprotect(struct worker *worker, uint32_t transport, uint8_t *bytes, size_t *length,
                      const struct rtp_header *header, uint64_t *index)
{
    int result = srtp_unprotect_untrusted(&worker->transports[transport].rx,
                                          worker->state.transports[transport].rx, bytes, length,
                                          header->payload_offset, index);
    if (result == 0) return true;
    enum counter which = result == -EALREADY  ? COUNTER_rtp_replayed_dropped
                         : result == -ENOSPC  ? COUNTER_rtp_ssrc_limit_dropped
                         : result == -EBADMSG ? COUNTER_rtp_unauthenticated_dropped
                                              : COUNTER_rtp_malformed_dropped;
    worker_count(worker, which, 1);
    return false;
}

static void note_live(struct worker *worker, uint32_t transport, const struct ssrc_binding *binding, uint64_t now_ns)
{
    struct source_cache *source = &worker->sources[binding->source];
    uint8_t bit = (uint8_t)(1u << binding->encoding);
    if (source->live_told & bit) return;
    if (worker_tell(worker, UPLINK_SOURCE_LIVE, transport, binding->source, binding->encoding, NULL, 0, now_ns)) {
        source->live_told |= bit;
        worker_hasten_report(worker, transport, now_ns);
        worker->state.sources[binding->source].encodings[binding->encoding].live = 1;
    }
}

/* Which encodings are live. One is silent when nothing came of it for a while during which others were sent: a screen that does
   not change sends nothing at all, and must not fall to its thumbnail for that. */
static uint8_t live_encodings(struct worker *worker, uint32_t handle, uint8_t arrived, uint64_t now_ns)
{
    struct source_cache *source = &worker->sources[handle];
    const struct source_state *state = &worker->state.sources[handle];
    if (now_ns - source->last_packet_ns > LIMIT_ENCODING_SILENT_NS) {
        source->resumed = source->recent;
        source->resumed_ns = now_ns;
    }
    source->last_packet_ns = now_ns;
    uint8_t live = (uint8_t)(1u << arrived);
    for (unsigned i = 0; i < source->encoding_count; i++)
        if (state->encodings[i].last_packet_ns && now_ns - state->encodings[i].last_packet_ns <= LIMIT_ENCODING_SILENT_NS)
            live |= (uint8_t)(1u << i);
    if (now_ns - source->resumed_ns <= LIMIT_ENCODING_SILENT_NS) live |= source->resumed;
    source->recent = live;
    return live;
}

/* Reads the clear bytes of the codec. */
static bool look_inside(struct worker *worker, struct arrival *arrival)
{
    const struct source_cache *source = &worker->sources[arrival->input.source];
    if (source->sealed) return true; /* its descriptor alone tells of key frames */
    if (source->codec == CODEC_VP8 && !source->audio) {
        if (vp8_parse_untrusted(arrival->payload, arrival->payload_length, &arrival->vp8) != 0)
            return false;
        arrival->key_start = arrival->vp8.key_frame;
        arrival->input.picture_id = arrival->vp8.picture_id;
        arrival->input.picture_id_bits = arrival->vp8.picture_id_bits;
        arrival->input.has_tl0 = arrival->vp8.tl0_offset != 0;
        arrival->input.tl0 = arrival->vp8.tl0;
        arrival->has_vp8 = arrival->vp8.picture_id_bits || arrival->vp8.tl0_offset;
        return true;
    }
    int key = payload_key_start_untrusted((enum codec)source->codec, arrival->payload, arrival->payload_length);
    arrival->key_start = key == 1;
    return key >= 0;
}

/* What the packet adds to what its source costs, and to who is heard. */
static void note_rate_and_level(struct worker *worker, const struct arrival *arrival, uint64_t now_ns)
{
    struct source_state *state = &worker->state.sources[arrival->input.source];
    rate_add(&state->rates[arrival->input.encoding], arrival->layer.temporal_id,
             arrival->payload_length + PACKET_OVERHEAD, now_ns);
    if (arrival->audio && arrival->has_level)
        speaker_level(&state->speaker, arrival->level, now_ns);
}

/* A voice that is given up, because more comes than can be sent and no picture is left. Pictures are by relay.c. */
static bool is_shed(struct worker *worker, const struct arrival *arrival, uint64_t now_ns)
{
    if (arrival->input.encoding) worker->shedding.higher_passed = true;
    if (!arrival->audio || !worker->shedding.level) return false;
    uint64_t age_ns = now_ns > worker->arrived_ns ? now_ns - worker->arrived_ns : 0;
    if (!shedding_wants_voice(&worker->shedding, age_ns)) return false;
    worker_count(worker, COUNTER_shed_voice_dropped, 1);
    return true;
}

void receive_media(struct worker *worker, struct arrival *arrival, uint64_t now_ns)
{
    uint32_t handle = arrival->input.source;
    struct source_cache *source = &worker->sources[handle];
    if (!arrival->payload_length && !source->sealed) {
        worker_count(worker, COUNTER_rtp_padding_dropped, 1);
        recovery_keep(worker, arrival, now_ns);
        if (source->exports) handover_packet(worker, arrival, now_ns);
        relay_take(worker, arrival);
        return;
    }
    if (source->muted) {
        worker_count(worker, COUNTER_rtp_muted_dropped, 1);
        return;
    }
    if (!look_inside(worker, arrival)) {
        worker_count(worker, COUNTER_rtp_malformed_dropped, 1);
        return;
    }
    if (source->sealed) {
        layering_read_untrusted(worker, arrival, arrival->descriptor, arrival->descriptor_length, now_ns);
        if (!source->home && sealed_receive_untrusted(worker, arrival, now_ns) != 0) {
            worker_count(worker, COUNTER_sealed_malformed_dropped, 1);
            return;
        }
    }
    if (arrival->key_start && !arrival->audio) {
        worker->state.sources[handle].encodings[arrival->input.encoding].last_key_frame_ns = now_ns;
        recovery_key_frame(worker, &arrival->input);
        if (!arrival->repaired || recovery_newer_than_request(worker, &arrival->input))
            key_request_answered(worker, handle);
    }
    if (!source->sealed)
        layering_read_untrusted(worker, arrival, arrival->descriptor, arrival->descriptor_length, now_ns);
    note_rate_and_level(worker, arrival, now_ns);
    recovery_keep(worker, arrival, now_ns);
    if (source->exports) handover_packet(worker, arrival, now_ns);
    if (is_shed(worker, arrival, now_ns)) return;
    if (!arrival->audio && !source->sealed) {
        arrival->padding = equal_padding(arrival->payload_length, arrival->room);
        if (arrival->padding)
            equal_padding_write(arrival->payload + arrival->payload_length, arrival->padding);
    }
    switching_wanted(arrival->wanted, live_encodings(worker, handle, arrival->input.encoding, now_ns));
    relay_take(worker, arrival);
}

/* What stands in the packet about itself, beyond its number. */
static struct arrival arrival_of(struct worker *worker, const struct ssrc_binding *binding, uint8_t *bytes,
                                 const struct rtp_header *header, const struct rtp_extensions *found)
{
    const struct source_cache *source = &worker->sources[binding->source];
    return (struct arrival){
        .input = {.source = binding->source,
                  .source_incarnation = source->incarnation,
                  .ssrc = header->ssrc,
                  .window = source->windows[binding->encoding],
                  .timestamp = header->timestamp,
                  .encoding = binding->encoding},
        .payload = bytes + header->payload_offset,
        .marker = header->marker,
        .audio = source->audio,
        .sealed = source->sealed ? (uint8_t)(header->csrc_count | (header->padding ? SEALED_PADDING : 0))
                                 : (uint8_t)0,
        .head = bytes,
        .has_level = found->audio_level.offset != 0,
        .level = found->audio_level.offset ? bytes[found->audio_level.offset] : (uint8_t)0,
        .descriptor = found->dependency_descriptor.offset ? bytes + found->dependency_descriptor.offset : NULL,
        .descriptor_length = found->dependency_descriptor.length,
    };
}

/* An authenticated packet of a retransmission stream: from here on it is the original, if that has not come. */
static void receive_retransmitted(struct worker *worker, uint32_t transport,
                                  struct arrival *arrival, size_t length, uint64_t now_ns)
{
    const uint8_t *original;
    uint16_t osn;
    int unwrapped = rtx_unwrap_untrusted(arrival->payload, length, &osn, &original, &arrival->payload_length);
    if (unwrapped != 0) {
        worker_count(worker, unwrapped > 0 ? COUNTER_rtp_padding_dropped : COUNTER_rtp_malformed_dropped, 1);
        return;
    }
    const struct source_state *state = &worker->state.sources[arrival->input.source];
    arrival->input.ssrc = state->encodings[arrival->input.encoding].ssrc;
    struct srtp_rx_state *media =
        srtp_rx_find(worker->state.transports[transport].rx, arrival->input.ssrc);
    if (rtx_accept(media, osn, &arrival->input.index) != 0) {
        worker_count(worker, COUNTER_rtx_useless_dropped, 1);
        return;
    }
    worker_count(worker, COUNTER_rtx_unwrapped, 1);
    arrival->payload += RTX_OSN_SIZE;
    arrival->repaired = true;
    arrival->sequence = osn;
    recovery_arrived(worker, &arrival->input, now_ns);
    receive_media(worker, arrival, now_ns);
}

void receive_rtp_untrusted(struct worker *worker, uint32_t transport, uint8_t *bytes, size_t length, uint64_t now_ns)
{
    struct transport_cache *cache = &worker->transports[transport];
    struct transport_state *state = &worker->state.transports[transport];
    struct rtp_header header;
    if (!cache->rx_keyed) {
        worker_count(worker, COUNTER_rtp_unkeyed_dropped, 1);
        return;
    }
    if (rtp_parse_untrusted(bytes, length, &header) != 0) {
        worker_count(worker, COUNTER_rtp_malformed_dropped, 1);
        return;
    }
    struct rtp_extensions found = {0};
    if (header.extension_length) /* what stands before a spoilt element counts; the packet is judged by its tag */
        rtp_extensions_read_untrusted(bytes, &header, &worker->generation.transports[transport].ext, &found);
    const struct ssrc_binding *known = transport_binding(cache, header.ssrc);
    struct ssrc_binding binding;
    if (known) {
        binding = *known;
    } else if (!identify(worker, transport, bytes, &header, &found, &binding)) {
        worker_count(worker, COUNTER_rtp_unknown_source_dropped, 1);
        return;
    }
    uint64_t index;
    const size_t whole = length;
    if (!unprotect(worker, transport, bytes, &length, &header, &index)) return;
    worker_count_received(worker, worker->sources[binding.source].audio, length);
    state->rx_packets++;
    state->rx_bytes += length;
    if (!known) transport_bind(worker, transport, header.ssrc, binding);
    if (found.transport_cc.offset)
        arrival_reports_note(worker, transport, load_be16(bytes + found.transport_cc.offset),
                             header.ssrc, binding.repair, now_ns);
    if (binding.repair) worker_count(worker, COUNTER_rtx_received, 1);
    int padding = rtp_padding_untrusted(bytes, length, &header);
    if (worker->sources[binding.source].sealed)
        padding = sealed_padding(padding, length - header.payload_offset, binding.repair);
    const struct source_row *row = &worker->generation.sources[binding.source];
    if (padding < 0 || header.payload_type != (binding.repair ? row->rtx_payload_type : row->payload_type)) {
        worker_count(worker, padding < 0 ? COUNTER_rtp_malformed_dropped : COUNTER_rtp_unknown_source_dropped, 1);
        return;
    }
    struct arrival arrival = arrival_of(worker, &binding, bytes, &header, &found);
    size_t payload_length = length - header.payload_offset - (size_t)padding;
    if (binding.repair) {
        receive_retransmitted(worker, transport, &arrival, payload_length, now_ns);
        return;
    }
    arrival.input.index = index;
    arrival.sequence = header.sequence;
    arrival.payload_length = payload_length;
    size_t room = whole - header.payload_offset - payload_length; /* its padding and its tag */
    arrival.room = room < UINT8_MAX ? (uint8_t)room : UINT8_MAX;
    recovery_arrived(worker, &arrival.input, now_ns);
    encoding_received(&worker->state.sources[binding.source].encodings[binding.encoding], index,
                      header.timestamp, worker->sources[binding.source].clock_rate, now_ns, length);
    note_live(worker, transport, &binding, now_ns);
    receive_media(worker, &arrival, now_ns);
}
