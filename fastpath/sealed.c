#include "sealed.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "receive.h"
#include "worker.h"

int ohb_read_untrusted(const uint8_t *payload, size_t length, struct ohb *header)
{
    if (length == 0 || length > UINT16_MAX) return -EBADMSG;
    uint8_t config = payload[length - 1];
    if (config & 0xf0 || (config & (OHB_MARKER | OHB_MARKER_WAS)) == OHB_MARKER_WAS)
        return -EBADMSG;
    size_t size = 1 + (config & OHB_SEQUENCE ? 2u : 0u) + (config & OHB_PAYLOAD_TYPE ? 1u : 0u);
    if (length < size) return -EBADMSG;
    const uint8_t *at = payload + length - size;
    if (config & OHB_PAYLOAD_TYPE) {
        if (*at > 127) return -EBADMSG;
        header->payload_type = *at++;
    }
    if (config & OHB_SEQUENCE) header->sequence = load_be16(at);
    if (config & OHB_MARKER) header->marker = (config & OHB_MARKER_WAS) != 0;
    return (int)(length - size);
}

void ohb_write(uint8_t *to, const struct ohb *header)
{
    to[0] = header->payload_type & 0x7f;
    store_be16(to + 1, header->sequence);
    to[3] = OHB_SEQUENCE | OHB_PAYLOAD_TYPE | OHB_MARKER | (header->marker ? OHB_MARKER_WAS : 0);
}

/* The inner sequence number as an index: the nearest to the greatest one seen (RFC 3711 3.3.1). A sender begins with rollover counter 0. */
static void note_index(struct worker *worker, const struct arrival *arrival, uint16_t sequence, uint64_t now_ns)
{
    uint32_t handle = arrival->input.source;
    uint8_t encoding = arrival->input.encoding;
    uint64_t *next = &worker->state.sources[handle].inner_next[encoding];
    if (*next == 0) {
        *next = (uint64_t)sequence + 1;
    } else {
        int16_t ahead = (int16_t)(uint16_t)(sequence - (uint16_t)(*next - 1));
        if (ahead > 0) *next += (uint64_t)ahead;
    }
    struct source_cache *source = &worker->sources[handle];
    uint64_t newest = *next - 1;
    uint32_t step = (uint32_t)(newest / SEALED_TELL) + 1;
    if (source->inner_told[encoding] != step && worker_tell(worker, UPLINK_INNER_INDEX, source->transport,
                                                            handle, encoding, &newest, sizeof newest, now_ns))
        source->inner_told[encoding] = step;
}

int sealed_receive_untrusted(struct worker *worker, struct arrival *arrival, uint64_t now_ns)
{
    const struct source_row *row = &worker->generation.sources[arrival->input.source];
    struct ohb header = {
        .sequence = arrival->sequence, .payload_type = row->payload_type, .marker = arrival->marker};
    int length = ohb_read_untrusted(arrival->payload, arrival->payload_length, &header);
    if (length < (int)(SEALED_TAG + SEALED_KEY_ID)) return -EBADMSG;
    ohb_write(arrival->payload + length, &header);
    size_t listed = sealed_csrcs(arrival->sealed);
    arrival->payload -= listed;
    memmove(arrival->payload, arrival->head + RTP_FIXED_HEADER, listed);
    arrival->payload_length = listed + (size_t)length + SEALED_OHB;
    note_index(worker, arrival, header.sequence, now_ns);
    return 0;
}

bool sealed_has(const struct worker *worker, uint32_t sink, uint32_t ssrc)
{
    const struct sink_cache *cache = &worker->sinks[sink];
    if (!cache->sealed || cache->source == TABLE_NONE || !ssrc) return false;
    const struct source_row *row = &worker->generation.sources[cache->source];
    for (unsigned i = 0; i < row->encoding_count; i++)
        if (row->ssrc[i] == ssrc) return true;
    return false;
}

void sealed_adopt(struct worker *worker, uint32_t sink)
{
    struct sink_cache *cache = &worker->sinks[sink];
    const struct sink_row *row = &worker->generation.sinks[sink];
    const struct sink_state *state = &worker->state.sinks[sink];
    cache->sealed = row->sealed != 0;
    if (cache->source != TABLE_NONE) {
        bool fits = worker->sources[cache->source].sealed == cache->sealed;
        /* Its indices are by encoding of one source: under other SSRCs they would say nothing. */
        if (cache->sealed)
            fits = fits && !row->loudest && row->ssrc == state->ssrc &&
                   worker->generation.sources[cache->source].ssrc[0] == state->ssrc;
        if (!fits) {
            worker_count(worker, COUNTER_rows_invalid_dropped, 1);
            cache->source = TABLE_NONE;
            cache->source_incarnation = 0;
        }
    }
    if (!cache->sealed) return;
    const struct projection *current = projection_current(state->copies);
    if (current->started) cache->ssrc = current->input_ssrc;
}
