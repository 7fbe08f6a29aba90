#include "waiting.h"

#include <errno.h>
#include <stdlib.h>

int waiting_open(struct waiting *waiting)
{
    waiting->packets = calloc(WAITING_POOL + 1, sizeof *waiting->packets);
    if (!waiting->packets) return -ENOMEM;
    for (uint32_t number = 1; number < WAITING_POOL; number++)
        waiting->packets[number].next = number + 1;
    waiting->free = 1;
    return 0;
}

void waiting_close(struct waiting *waiting)
{
    free(waiting->packets);
    *waiting = (struct waiting){0};
}

static void count_out(struct waiting_queue *queue, const struct waiting_packet *packet)
{
    queue->count--;
    queue->bytes -= packet->bytes;
    if (!packet->repair) queue->of_encoding[packet->origin.encoding]--;
}

static void give_back(struct waiting *waiting, uint32_t number)
{
    waiting->packets[number].next = waiting->free;
    waiting->free = number;
}

/* The newest of this encoding, of which there is one. */
static void drop_newest(struct waiting *waiting, struct waiting_queue *queue, uint8_t encoding)
{
    uint32_t before = 0, newest = 0, newest_before = 0;
    for (uint32_t at = queue->first[WAITING_MEDIA]; at; before = at, at = waiting->packets[at].next) {
        if (waiting->packets[at].origin.encoding != encoding) continue;
        newest = at;
        newest_before = before;
    }
    count_out(queue, &waiting->packets[newest]);
    uint32_t next = waiting->packets[newest].next;
    if (newest_before)
        waiting->packets[newest_before].next = next;
    else
        queue->first[WAITING_MEDIA] = next;
    if (!next) queue->last[WAITING_MEDIA] = newest_before;
    give_back(waiting, newest);
}

static bool is_full(const struct waiting *waiting, const struct waiting_queue *queue,
                    uint32_t bytes, uint32_t most_bytes, uint64_t longest_ns, uint64_t now_ns)
{
    if (!waiting->free || queue->count >= WAITING_PACKETS || queue->bytes + bytes > most_bytes)
        return true;
    uint32_t oldest = queue->first[WAITING_MEDIA];
    return oldest && now_ns - waiting->packets[oldest].since_ns > longest_ns;
}

unsigned waiting_put(struct waiting *waiting, struct waiting_queue *queue, const struct waiting_packet *packet,
                     uint32_t most_bytes, uint64_t longest_ns, uint64_t now_ns)
{
    unsigned dropped = 0;
    if (is_full(waiting, queue, packet->bytes, most_bytes, longest_ns, now_ns)) {
        unsigned highest = LIMIT_ENCODINGS;
        while (highest > 0 && !queue->of_encoding[highest - 1]) highest--;
        /* `highest` is one above it. Rather this one than an older one of the same. */
        if (packet->repair || packet->origin.encoding + 1u >= highest) return 1;
        drop_newest(waiting, queue, (uint8_t)(highest - 1));
        dropped = 1;
    }
    uint32_t number = waiting->free;
    struct waiting_packet *taken = &waiting->packets[number];
    waiting->free = taken->next;
    *taken = *packet;
    taken->since_ns = now_ns;
    taken->next = 0;
    unsigned line = packet->repair ? WAITING_REPAIRS : WAITING_MEDIA;
    if (queue->last[line])
        waiting->packets[queue->last[line]].next = number;
    else
        queue->first[line] = number;
    queue->last[line] = number;
    queue->count++;
    queue->bytes += packet->bytes;
    if (!packet->repair) queue->of_encoding[packet->origin.encoding]++;
    return dropped;
}

void waiting_take(struct waiting *waiting, struct waiting_queue *queue)
{
    unsigned line = queue->first[WAITING_REPAIRS] ? WAITING_REPAIRS : WAITING_MEDIA;
    uint32_t number = queue->first[line];
    if (!number) return;
    count_out(queue, &waiting->packets[number]);
    queue->first[line] = waiting->packets[number].next;
    if (!queue->first[line]) queue->last[line] = 0;
    give_back(waiting, number);
}

unsigned waiting_purge(struct waiting *waiting, struct waiting_queue *queue, uint32_t sink, uint64_t below)
{
    unsigned before = queue->count;
    for (unsigned line = 0; line < WAITING_LINES; line++) {
        uint32_t kept = 0;
        for (uint32_t at = queue->first[line], next; at; at = next) {
            struct waiting_packet *packet = &waiting->packets[at];
            next = packet->next;
            if (packet->sink != sink || packet->origin.output_index >= below) {
                kept = at;
                continue;
            }
            count_out(queue, packet);
            if (kept)
                waiting->packets[kept].next = next;
            else
                queue->first[line] = next;
            give_back(waiting, at);
        }
        queue->last[line] = kept;
    }
    return before - queue->count;
}

unsigned waiting_clear(struct waiting *waiting, struct waiting_queue *queue)
{
    unsigned count = queue->count;
    while (queue->count) waiting_take(waiting, queue);
    return count;
}
