/* Frames and audio packets when they are due. */
#include <string.h>
#include <time.h>

#include "bytes.h"
#include "load.h"

static bool sooner(const struct load *load, uint32_t a, uint32_t b)
{ return load->sources[a].due_ns < load->sources[b].due_ns; }

static void sift_down(struct load *load, uint32_t at)
{
    uint32_t count = load->plan.head.source_count, *heap = load->heap;
    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (sooner(load, heap[child], heap[least])) least = child;
        if (least == at) return;
        uint32_t other = heap[at];
        heap[at] = heap[least];
        heap[least] = other;
        at = least;
    }
}

void sending_start(struct load *load, uint64_t now_ns)
{
    for (uint32_t i = 0; i < load->plan.head.source_count; i++) {
        load->heap[i] = i;
        load->sources[i].due_ns = now_ns + load->plan.sources[i].phase_ns;
        load->sources[i].key_wanted = true;
        load->sources[i].index = 1;
    }
    for (uint32_t i = load->plan.head.source_count; i-- > 0;) sift_down(load, i);
}

static void frame_begin(struct load *load, uint32_t number, uint64_t now_ns)
{
    const struct plan_source *source = &load->plan.sources[number];
    struct sender *state = &load->sources[number];
    uint32_t vary = (uint32_t)((uint64_t)source->frame_bytes * source->vary_percent / 100);
    state->frame_bytes =
        source->frame_bytes - vary + (vary ? (uint32_t)(load_random(load) % (2 * vary + 1)) : 0);
    state->packets = (state->frame_bytes + source->payload_max - 1) / source->payload_max;
    state->packet = 0;
    state->frame++;
    state->key = source->video && state->key_wanted;
    if (state->key) state->key_wanted = false;
    state->timestamp = source->video ? (uint32_t)(now_ns / 1000 * 9 / 100) : (uint32_t)(state->frame * 960);
}

static size_t write_elements(struct load *load, const struct plan_source *source, uint8_t *to)
{
    const struct plan_head *head = &load->plan.head;
    size_t used = 0;
    if (source->mid && head->mid_ext) {
        to[used++] = (uint8_t)(head->mid_ext << 4);
        to[used++] = source->mid;
    }
    if (source->rid && head->rid_ext) {
        to[used++] = (uint8_t)(head->rid_ext << 4);
        to[used++] = source->rid;
    }
    if (!source->video && head->level_ext) {
        to[used++] = (uint8_t)(head->level_ext << 4);
        to[used++] = 0x9e; /* voice, -30 dB */
    }
    if (head->transport_cc_ext) {
        to[used++] = (uint8_t)(head->transport_cc_ext << 4 | 1);
        store_be16(to + used, load->members[source->member].transport_number++);
        used += 2;
    }
    while (used % 4) to[used++] = 0;
    return used;
}

/* The picture's descriptor (RFC 7741), then what stands for sealed bytes: number and time of the packet, and nothing. */
static size_t write_payload(const struct sender *state, const struct plan_source *source,
                            uint64_t time_ns, uint8_t *to)
{
    uint32_t least = state->frame_bytes / state->packets, more = state->frame_bytes % state->packets;
    size_t length = least + (state->packet < more), at = 0; /* equal but for one byte, as packetisers cut */
    if (source->video) {
        to[0] = (uint8_t)(0x80 | (state->packet == 0 ? 0x10 : 0));
        to[1] = 0xe0;
        store_be16(to + 2, (uint16_t)(0x8000 | (state->frame & 0x7fff)));
        to[4] = (uint8_t)state->frame;
        to[5] = 0;
        to[6] = state->key ? 0x10 : 0x11;
        at = 7;
    }
    store_be64(to + at, state->index);
    store_be64(to + at + 8, time_ns);
    if (length < at + 16) length = at + 16;
    memset(to + at + 16, 0x5a, length - at - 16);
    return length;
}

static void packet_send(struct load *load, uint32_t number)
{
    const struct plan_source *source = &load->plan.sources[number];
    struct sender *state = &load->sources[number];
    struct member_state *member = &load->members[source->member];
    uint8_t *out = wire_reserve(&load->wire), elements[40], payload[1500];
    size_t header = 12, used = write_elements(load, source, elements);
    bool last = state->packet + 1 == state->packets;
    uint64_t time_ns = load_clock_ns(CLOCK_REALTIME);
    out[0] = (uint8_t)(0x80 | (used ? 0x10 : 0));
    out[1] = (uint8_t)(source->payload_type | (source->video && last ? 0x80 : 0));
    store_be16(out + 2, (uint16_t)state->index);
    store_be32(out + 4, state->timestamp);
    store_be32(out + 8, source->ssrc);
    if (used) {
        store_be16(out + 12, 0xbede);
        store_be16(out + 14, (uint16_t)(used / 4));
        memcpy(out + 16, elements, used);
        header = 16 + used;
    }
    size_t length = write_payload(state, source, time_ns, payload);
    int whole;
    if (load->plan.head.plain) {
        memcpy(out + header, payload, length);
        whole = (int)(header + length);
    } else {
        whole = srtp_protect(&member->tx, state->index, out, WIRE_PACKET, header, payload, length);
    }
    if (whole > 0) wire_commit(&load->wire, source->member, (size_t)whole);
    state->sent_ns[state->index % SENT_TIMES] = time_ns;
    state->index++;
    state->packet++;
    if (load->counting) {
        state->counted++;
        load->totals->due[source->video] += state->sinks;
    }
}

uint64_t sending_turn(struct load *load, uint64_t now_ns)
{
    if (!load->plan.head.source_count) return now_ns + 10000000;
    for (;;) {
        uint32_t number = load->heap[0];
        const struct plan_source *source = &load->plan.sources[number];
        struct sender *state = &load->sources[number];
        if (state->due_ns > now_ns) break;
        if (state->packet == state->packets) frame_begin(load, number, state->due_ns);
        uint64_t step = source->interval_ns;
        if (source->spread) {
            packet_send(load, number);
            step = source->interval_ns / state->packets;
        } else {
            while (state->packet < state->packets) packet_send(load, number);
        }
        wire_flush(&load->wire, load->plan.head.segments);
        state->due_ns += step;
        if (state->due_ns + 200000000 < now_ns)
            state->due_ns = now_ns; /* far behind: no flood to make up */
        sift_down(load, 0);
    }
    return load->sources[load->heap[0]].due_ns;
}
