#include "handover_ring.h"

#include <errno.h>
#include <string.h>

#define SKIP 0xffffffffu /* as a length: nothing more up to the ring's end */
#define RECORD_HEAD 8u   /* length, and nothing; records stand at multiples of 8 */

_Static_assert(sizeof(struct handover_ring) == 128, "layout");
_Static_assert(sizeof(struct handover_header) % 64 == 0, "layout");
_Static_assert(offsetof(struct handover_header, seats) == 64, "layout");

static uint32_t whole(uint32_t length)
{ return RECORD_HEAD + ((length + 7u) & ~7u); }

static size_t rings_offset(uint32_t workers)
{
    return sizeof(struct handover_header) + (size_t)workers * workers * sizeof(struct handover_ring);
}

/* No more than 128 MiB in all. */
uint32_t handover_ring_bytes(uint32_t workers)
{
    uint32_t bytes = LIMIT_HANDOVER_BYTES;
    while (bytes > 16 * HANDOVER_RECORD_MAX && (uint64_t)workers * workers * bytes > (128u << 20))
        bytes /= 2;
    return bytes;
}

size_t handover_size(uint32_t workers)
{ return rings_offset(workers) + (size_t)workers * (workers - 1) * handover_ring_bytes(workers); }

void handover_format(void *memory, uint32_t workers)
{
    struct handover_header *header = memory;
    header->layout_version = HANDOVER_LAYOUT_VERSION;
    header->header_size = sizeof *header;
    header->workers = workers;
    header->ring_bytes = handover_ring_bytes(workers);
    atomic_signal_fence(memory_order_seq_cst);
    header->magic = HANDOVER_MAGIC;
}

int handover_attach(void *memory, size_t size, struct handover_rings *rings)
{
    struct handover_header *header = memory;
    *rings = (struct handover_rings){0};
    if (size < sizeof *header) return -EINVAL;
    if (header->magic != HANDOVER_MAGIC || header->layout_version != HANDOVER_LAYOUT_VERSION ||
        header->header_size != sizeof *header)
        return -EPROTO;
    uint32_t workers = header->workers, bytes = header->ring_bytes;
    if (workers < 2 || workers > LIMIT_WORKERS || bytes < 4 * HANDOVER_RECORD_MAX || bytes > LIMIT_HANDOVER_BYTES ||
        (bytes & (bytes - 1)) || size < rings_offset(workers) + (size_t)workers * (workers - 1) * bytes)
        return -EINVAL;
    *rings = (struct handover_rings){header, workers, bytes};
    return 0;
}

static struct handover_ring *ring_of(const struct handover_rings *rings, uint32_t from, uint32_t to)
{
    struct handover_ring *first = (struct handover_ring *)((uint8_t *)rings->header + sizeof *rings->header);
    return &first[from * rings->workers + to];
}

static uint8_t *bytes_of(const struct handover_rings *rings, uint32_t from, uint32_t to)
{
    size_t number = (size_t)from * (rings->workers - 1) + (to < from ? to : to - 1);
    return (uint8_t *)rings->header + rings_offset(rings->workers) + number * rings->ring_bytes;
}

struct ring_writer handover_writer(const struct handover_rings *rings, uint32_t from, uint32_t to)
{
    struct handover_ring *ring = ring_of(rings, from, to);
    return (struct ring_writer){.ring = ring,
                                .bytes = bytes_of(rings, from, to),
                                .size = rings->ring_bytes,
                                .seen_head = atomic_load_explicit(&ring->head, memory_order_acquire)};
}

struct ring_reader handover_reader(const struct handover_rings *rings, uint32_t from, uint32_t to)
{
    return (struct ring_reader){ring_of(rings, from, to), bytes_of(rings, from, to), rings->ring_bytes};
}

static void store_length(uint8_t *at, uint32_t length)
{ atomic_store_explicit((_Atomic uint32_t *)(void *)at, length, memory_order_relaxed); }

uint8_t *ring_reserve(struct ring_writer *writer, uint32_t length, uint32_t limit)
{
    if (!writer->ring || !length || length > HANDOVER_RECORD_MAX) return NULL;
    /* Only ever stored by us and our predecessors; whatever stands there, what is written stays inside. */
    uint64_t tail = atomic_load_explicit(&writer->ring->tail, memory_order_relaxed) & ~7ull;
    uint32_t at = (uint32_t)(tail & (writer->size - 1)), left = writer->size - at, skipped = 0;
    if (whole(length) > left) skipped = left;
    uint32_t needed = skipped + whole(length);
    if (limit > writer->size) limit = writer->size;
    if (tail - writer->seen_head > limit || limit - (uint32_t)(tail - writer->seen_head) < needed) {
        writer->seen_head = atomic_load_explicit(&writer->ring->head, memory_order_acquire);
        /* A head that cannot be reads as full, until the reader empties the ring. */
        if (tail - writer->seen_head > limit || limit - (uint32_t)(tail - writer->seen_head) < needed)
            return NULL;
    }
    if (skipped) {
        store_length(writer->bytes + at, SKIP);
        at = 0;
    }
    store_length(writer->bytes + at, length);
    writer->begun = needed;
    return writer->bytes + at + RECORD_HEAD;
}

void ring_commit(struct ring_writer *writer)
{
    uint64_t tail = atomic_load_explicit(&writer->ring->tail, memory_order_relaxed) & ~7ull;
    atomic_store_explicit(&writer->ring->tail, tail + writer->begun, memory_order_release);
    writer->begun = 0;
}

static int spoilt(struct ring_reader *reader, uint64_t tail)
{
    atomic_store_explicit(&reader->ring->head, tail, memory_order_release);
    return -EBADMSG;
}

int ring_take_untrusted(struct ring_reader *reader, uint8_t *out)
{
    if (!reader->ring) return 0;
    /* Both are multiples of 8, or read as if they were. */
    uint64_t head = atomic_load_explicit(&reader->ring->head, memory_order_relaxed) & ~7ull;
    uint64_t tail = atomic_load_explicit(&reader->ring->tail, memory_order_acquire) & ~7ull;
    if (head == tail) return 0;
    if (tail - head > reader->size) return spoilt(reader, tail);
    uint32_t filled = (uint32_t)(tail - head), at = (uint32_t)(head & (reader->size - 1));
    uint32_t length =
        atomic_load_explicit((_Atomic uint32_t *)(void *)(reader->bytes + at), memory_order_relaxed);
    if (length == SKIP) {
        uint32_t left = reader->size - at;
        if (left >= filled) return spoilt(reader, tail);
        filled -= left;
        head += left;
        at = 0;
        length = atomic_load_explicit((_Atomic uint32_t *)(void *)reader->bytes, memory_order_relaxed);
    }
    if (!length || length > HANDOVER_RECORD_MAX || whole(length) > filled || whole(length) > reader->size - at)
        return spoilt(reader, tail);
    memcpy(out, reader->bytes + at + RECORD_HEAD, length);
    /* From here on it is taken, whatever becomes of us. */
    atomic_store_explicit(&reader->ring->head, head + whole(length), memory_order_release);
    return (int)length;
}

bool ring_empty(const struct ring_reader *reader)
{
    return !reader->ring || (atomic_load_explicit(&reader->ring->head, memory_order_relaxed) ^
                             atomic_load_explicit(&reader->ring->tail, memory_order_acquire)) < 8;
}
