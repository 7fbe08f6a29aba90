#include "history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

struct record { /* in the slab, followed by the payload and the descriptor */
    uint64_t index, time_ns;
    uint32_t timestamp;
    uint16_t length;
    uint8_t marker, has_level, level, sealed;
    uint8_t descriptor_length;
    uint8_t reserved[5];
};
_Static_assert(sizeof(struct record) == 32, "no unaligned record");

int history_slab_open(struct history_slab *slab, size_t capacity)
{
    *slab = (struct history_slab){0};
    if (capacity < 65536 || capacity & (capacity - 1)) return -EINVAL;
    slab->bytes = calloc(1, capacity); /* pages come as they are written */
    if (!slab->bytes) return -ENOMEM;
    slab->capacity = capacity;
    return 0;
}

void history_slab_close(struct history_slab *slab)
{
    free(slab->bytes);
    *slab = (struct history_slab){0};
}

int history_open(struct history *history, bool audio)
{
    *history = (struct history){
        .slot_count = audio ? HISTORY_AUDIO_SLOTS : HISTORY_VIDEO_SLOTS,
        .keep_ns = audio ? HISTORY_AUDIO_NS : HISTORY_VIDEO_NS,
    };
    history->slots = calloc(history->slot_count, sizeof *history->slots);
    return history->slots ? 0 : -ENOMEM;
}

void history_close(struct history *history)
{
    free(history->slots);
    *history = (struct history){0};
}

void history_restart(struct history *history, uint32_t ssrc)
{
    if (history->slots) memset(history->slots, 0, history->slot_count * sizeof *history->slots);
    history->ssrc = ssrc;
}

/* Room for `size` bytes in one piece: their position. What the ring's end is too short for, or is not needed, stays as it is:
 * positions of before the gap are good until they are written over, as everywhere. */
static uint64_t slab_take(struct history_slab *slab, uint64_t size, uint64_t now_ns)
{
    uint64_t used = slab->head & (slab->capacity - 1);
    bool enough = used >= HISTORY_LAP_BYTES && now_ns - slab->lap_ns >= HISTORY_LAP_NS;
    if (enough || slab->capacity - used < size) slab->head += slab->capacity - used;
    if (!(slab->head & (slab->capacity - 1))) slab->lap_ns = now_ns;
    uint64_t position = slab->head;
    slab->head += size;
    return position;
}

static bool within_rate(struct history *history, uint64_t size, uint64_t now_ns)
{
    if (now_ns - history->window_ns >= SECOND_NS) {
        history->window_ns = now_ns;
        history->window_bytes = 0;
    }
    if (history->window_bytes + size > HISTORY_BYTES_PER_SECOND) return false;
    history->window_bytes += (uint32_t)size;
    return true;
}

bool history_put(struct history_slab *slab, struct history *history, const struct history_packet *packet)
{
    if (!history->slots || !slab->bytes || packet->length > HISTORY_PAYLOAD_MAX) return false;
    struct history_slot *slot = &history->slots[packet->index & (history->slot_count - 1)];
    if (slot->position && slot->index > packet->index) return false; /* later than any repair */
    uint64_t size = (sizeof(struct record) + packet->length + packet->descriptor_length + 15) / 16 * 16;
    if (!within_rate(history, size, packet->time_ns)) return false;
    uint64_t position = slab_take(slab, size, packet->time_ns);
    uint8_t *at = slab->bytes + (position & (slab->capacity - 1));
    *(struct record *)(void *)at = (struct record){
        .index = packet->index,
        .time_ns = packet->time_ns,
        .timestamp = packet->timestamp,
        .length = packet->length,
        .marker = packet->marker,
        .has_level = packet->has_level,
        .level = packet->level,
        .sealed = packet->sealed,
        .descriptor_length = packet->descriptor_length,
    };
    at += sizeof(struct record);
    if (packet->length) memcpy(at, packet->payload, packet->length);
    if (packet->descriptor_length)
        memcpy(at + packet->length, packet->descriptor, packet->descriptor_length);
    *slot = (struct history_slot){.index = packet->index, .position = position + 1};
    return true;
}

bool history_find(const struct history_slab *slab, const struct history *history, uint64_t index,
                  uint64_t now_ns, struct history_packet *packet)
{
    if (!history->slots) return false;
    const struct history_slot *slot = &history->slots[index & (history->slot_count - 1)];
    if (!slot->position || slot->index != index) return false;
    uint64_t position = slot->position - 1;
    if (slab->head - position > slab->capacity) return false; /* written over, or about to be */
    const uint8_t *at = slab->bytes + (position & (slab->capacity - 1));
    const struct record *record = (const struct record *)(const void *)at;
    if (now_ns - record->time_ns > history->keep_ns) return false;
    *packet = (struct history_packet){
        .index = index,
        .time_ns = record->time_ns,
        .payload = at + sizeof *record,
        .timestamp = record->timestamp,
        .length = record->length,
        .marker = record->marker,
        .has_level = record->has_level,
        .level = record->level,
        .sealed = record->sealed,
        .descriptor_length = record->descriptor_length,
        .descriptor = at + sizeof *record + record->length,
    };
    return true;
}
