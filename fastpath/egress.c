#include "egress.h"

#include <errno.h>
#include <stdlib.h>

int egress_open(struct egress *egress)
{
    *egress = (struct egress){.epoch = 1};
    egress->slab = aligned_alloc(4096, EGRESS_SLAB);
    egress->packets = calloc(LIMIT_EGRESS, sizeof *egress->packets);
    egress->destinations = calloc(LIMIT_EGRESS, sizeof *egress->destinations);
    egress->order = calloc(LIMIT_EGRESS, sizeof *egress->order);
    egress->runs = calloc(LIMIT_EGRESS, sizeof *egress->runs);
    if (egress->slab && egress->packets && egress->destinations && egress->order && egress->runs)
        return 0;
    egress_close(egress);
    return -ENOMEM;
}

void egress_close(struct egress *egress)
{
    free(egress->slab);
    free(egress->packets);
    free(egress->destinations);
    free(egress->order);
    free(egress->runs);
    *egress = (struct egress){0};
}

void egress_clear(struct egress *egress)
{
    egress->used = 0;
    egress->packet_count = egress->destination_count = egress->run_count = 0;
    egress->epoch++;
}

uint32_t egress_add_destination(struct egress *egress, const struct egress_destination *destination)
{
    if (egress->destination_count == LIMIT_EGRESS) return TABLE_NONE;
    struct egress_destination *added = &egress->destinations[egress->destination_count];
    *added = *destination;
    added->first = added->last = TABLE_NONE;
    added->count = 0;
    return egress->destination_count++;
}

void egress_commit(struct egress *egress, uint32_t destination, uint32_t stream, size_t length)
{
    uint32_t number = egress->packet_count++;
    egress->packets[number] = (struct egress_packet){
        .offset = (uint32_t)egress->used, .next = TABLE_NONE, .stream = stream, .length = (uint16_t)length};
    egress->used += length; /* without a gap: packets that follow each other in a run are one piece to the kernel */
    struct egress_destination *to = &egress->destinations[destination];
    if (to->last == TABLE_NONE)
        to->first = number;
    else
        egress->packets[to->last].next = number;
    to->last = number;
    to->count++;
}

struct window { /* what is left of up to LIMIT_RUN_WINDOW packets of one destination, in their order */
    uint32_t packet[LIMIT_RUN_WINDOW];
    uint16_t length[LIMIT_RUN_WINDOW];
    uint8_t stream[LIMIT_RUN_WINDOW]; /* numbered from 0 within the window */
    unsigned count;
};

static void emit(struct egress *egress, uint32_t destination, const uint32_t *packets,
                 unsigned count, uint16_t size, uint32_t *at)
{
    egress->runs[egress->run_count++] = (struct egress_run){
        .destination = destination, .first = *at, .count = (uint16_t)count, .segment_size = size};
    for (unsigned i = 0; i < count; i++) egress->order[(*at)++] = packets[i];
}

/* The largest packet that is the next of its stream. */
static uint16_t largest_head(const struct window *window)
{
    uint64_t seen = 0;
    uint16_t largest = 0;
    for (unsigned i = 0; i < window->count; i++) {
        uint64_t bit = 1ull << window->stream[i];
        if (!(seen & bit) && window->length[i] > largest) largest = window->length[i];
        seen |= bit;
    }
    return largest;
}

/* Takes one run out of the window. */
static unsigned take_run(struct window *window, uint32_t taken[LIMIT_RUN_WINDOW], uint16_t *size)
{
    uint16_t segment = largest_head(window);
    unsigned limit = (unsigned)LIMIT_RUN_BYTES / segment;
    if (limit > LIMIT_RUN_SEGMENTS) limit = LIMIT_RUN_SEGMENTS;
    uint64_t blocked = 0; /* streams whose next packet stays */
    unsigned count = 0, kept = 0, tail = LIMIT_RUN_WINDOW;
    for (unsigned i = 0; i < window->count; i++) {
        uint64_t bit = 1ull << window->stream[i];
        if (!(blocked & bit) && window->length[i] == segment && count < limit) {
            taken[count++] = window->packet[i];
            continue;
        }
        /* The largest of the smaller ones that could go next may end the run. */
        if (!(blocked & bit) && window->length[i] < segment &&
            (tail == LIMIT_RUN_WINDOW || window->length[i] > window->length[tail]))
            tail = kept;
        blocked |= bit;
        window->packet[kept] = window->packet[i];
        window->length[kept] = window->length[i];
        window->stream[kept] = window->stream[i];
        kept++;
    }
    if (tail != LIMIT_RUN_WINDOW && count < limit) {
        taken[count++] = window->packet[tail];
        for (unsigned i = tail + 1; i < kept; i++) {
            window->packet[i - 1] = window->packet[i];
            window->length[i - 1] = window->length[i];
            window->stream[i - 1] = window->stream[i];
        }
        kept--;
    }
    window->count = kept;
    *size = segment;
    return count;
}

static void plan_window(struct egress *egress, uint32_t destination, struct window *window, uint32_t *at)
{
    uint32_t taken[LIMIT_RUN_WINDOW];
    while (window->count) {
        uint16_t size;
        unsigned count = take_run(window, taken, &size);
        emit(egress, destination, taken, count, size, at);
    }
}

static void plan_destination(struct egress *egress, uint32_t number, uint32_t *at)
{
    const struct egress_destination *to = &egress->destinations[number];
    uint32_t next = to->first;
    while (next != TABLE_NONE) {
        const struct egress_packet *packet = &egress->packets[next];
        if (to->single || to->count == 1) {
            emit(egress, number, &next, 1, packet->length, at);
            next = packet->next;
            continue;
        }
        struct window window = {.count = 0};
        uint32_t streams[LIMIT_RUN_WINDOW];
        unsigned stream_count = 0;
        for (; next != TABLE_NONE && window.count < LIMIT_RUN_WINDOW; next = packet->next) {
            packet = &egress->packets[next];
            unsigned stream = 0;
            while (stream < stream_count && streams[stream] != packet->stream) stream++;
            if (stream == stream_count) streams[stream_count++] = packet->stream;
            window.packet[window.count] = next;
            window.length[window.count] = packet->length;
            window.stream[window.count++] = (uint8_t)stream;
        }
        plan_window(egress, number, &window, at);
    }
}

void egress_plan(struct egress *egress)
{
    uint32_t at = 0;
    egress->run_count = 0;
    for (uint32_t number = 0; number < egress->destination_count; number++)
        plan_destination(egress, number, &at);
}
