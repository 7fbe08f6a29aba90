/* What receivers make of media: loss, order, delay; some packets are decrypted, which says that tags are right and where a stream's
 * numbers stand to its source's. */
#include <string.h>
#include <time.h>

#include "bytes.h"
#include "load.h"
#include "rtp.h"

static uint64_t unwrap(const struct stream *stream, uint16_t sequence)
{
    if (!stream->highest) return sequence + 65536;
    return stream->highest + (uint64_t)(int64_t)(int16_t)(sequence - (uint16_t)stream->highest);
}

/* Reads what write_payload of sending.c wrote: the packet's number at its source. */
static void place(struct load *load, struct stream *stream, uint64_t number, const uint8_t *payload, size_t length)
{
    size_t at = load->plan.sources[stream->source].video ? 7 : 0;
    if (length < at + 16) return;
    int64_t offset = (int64_t)load_be64(payload + at) - (int64_t)number;
    stream->offset = offset;
    stream->placed = true;
}

static void sample(struct load *load, struct stream *stream, uint64_t number, const struct arrived *arrived)
{
    static struct srtp_rx_state rx[LIMIT_RX_SSRCS];
    static uint8_t copy[WIRE_PACKET];
    struct rtp_header header;
    size_t length = arrived->length;
    uint64_t index;
    if (length > sizeof copy || rtp_parse_untrusted(arrived->bytes, length, &header) != 0) return;
    load->totals->sampled++;
    memcpy(copy, arrived->bytes, length);
    rx[0] = stream->rx;
    const struct srtp_keys *keys = &load->members[arrived->member].rx;
    if (srtp_unprotect_untrusted(keys, rx, copy, &length, header.payload_offset, &index) != 0) {
        load->totals->bad_tags++;
        return;
    }
    stream->rx = rx[0];
    place(load, stream, number, copy + header.payload_offset, length - header.payload_offset);
}

static void note_delay(struct load *load, const struct stream *stream, uint64_t number, uint64_t time_ns)
{
    const struct sender *source = &load->sources[stream->source];
    uint64_t index = (uint64_t)((int64_t)number + stream->offset);
    if (index >= source->index || index + SENT_TIMES <= source->index) return;
    uint64_t sent_ns = source->sent_ns[index % SENT_TIMES];
    if (time_ns > sent_ns)
        delays_add(&load->totals->delays[load->plan.sources[stream->source].video], time_ns - sent_ns);
}

static void note_arrival(struct load *load, const struct arrived *arrived)
{
    const struct plan_head *head = &load->plan.head;
    uint64_t behind = load_clock_ns(CLOCK_REALTIME) - arrived->time_ns;
    reporter_arrival(&load->members[arrived->member].reporter, head->feedback ? head->transport_cc_ext : 0,
                     arrived->bytes, arrived->length, load_clock_ns(CLOCK_MONOTONIC) - behind);
}

static void take_media(struct load *load, const struct arrived *arrived)
{
    const struct plan *plan = &load->plan;
    uint32_t ssrc = load_be32(arrived->bytes + 8);
    uint32_t sink = plan->head.plain ? arrived->member - 1 : ssrc - PLAN_SSRC_BASE;
    if (sink >= plan->head.sink_count || plan->sinks[sink].member != arrived->member) {
        load->totals->unknown++; /* padding and retransmissions are on other SSRCs */
        if (!plan->head.plain) note_arrival(load, arrived);
        return;
    }
    struct stream *stream = &load->streams[sink];
    uint64_t number = unwrap(stream, load_be16(arrived->bytes + 2));
    stream->source = plan->sinks[sink].source;
    if (plan->head.plain) { /* such servers keep the numbers */
        stream->placed = true;
        stream->offset = -65536;
    } else if (!stream->placed || stream->seen % plan->head.sample_every == 0)
        sample(load, stream, number, arrived);
    stream->seen++;
    note_arrival(load, arrived);
    if (plan->head.nack_permille && plan->sources[stream->source].video) {
        struct member_state *member = &load->members[arrived->member];
        member->watched_ssrc = ssrc;
        member->watched_number = load_be16(arrived->bytes + 2);
        member->unasked += plan->head.nack_permille;
    }
    if (load->counting && stream->base == 0) stream->base = number;
    if (load->counting && number >= stream->base) {
        bool video = plan->sources[stream->source].video;
        stream->received++;
        stream->reordered += number < stream->highest;
        load->totals->packets[video]++;
        load->totals->bytes[video] += arrived->length;
        if (stream->placed) note_delay(load, stream, number, arrived->time_ns);
    }
    if (number > stream->highest) stream->highest = number;
}

void receiving_take(void *context, const struct arrived *arrived)
{
    struct load *load = context;
    if (arrived->length < 12) return;
    if (arrived->bytes[0] < 4)
        members_stun(load, arrived);
    else if (arrived->bytes[0] >> 6 == 2 && arrived->bytes[1] >= 192 && arrived->bytes[1] <= 223)
        members_rtcp(load, arrived);
    else if (arrived->bytes[0] >> 6 == 2)
        take_media(load, arrived);
}

void receiving_begin(struct load *load)
{
    struct totals *totals = load->totals;
    memset(totals, 0, sizeof *totals);
    for (uint32_t i = 0; i < load->plan.head.sink_count; i++) {
        struct stream *stream = &load->streams[i];
        if (stream->highest) stream->base = stream->highest + 1;
    }
    load->counting = true;
}

void receiving_finish(struct load *load)
{
    load->counting = false;
    for (uint32_t i = 0; i < load->plan.head.sink_count; i++) {
        const struct stream *stream = &load->streams[i];
        if (!stream->base) continue;
        uint64_t expected = stream->highest + 1 - stream->base;
        bool video = load->plan.sources[load->plan.sinks[i].source].video;
        if (expected > stream->received) load->totals->lost[video] += expected - stream->received;
        load->totals->reordered += stream->reordered;
    }
}
