#include "table.h"

#include <errno.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* ---- check values: CRC32C (RFC 3720 B.4), reflected, polynomial 0x1edc6f41 ---- */

/* Four bits at a time: 64 bytes of constants and no initialisation to race for. Only machines without the instruction use it. */
static uint32_t crc32c_portable(uint32_t crc, const uint8_t *bytes, size_t size)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *bytes, size_t size)
{
    uint64_t state = crc;
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        state = _mm_crc32_u64(state, word);
    }
    crc = (uint32_t)state;
    for (; size > 0; bytes++, size--) crc = _mm_crc32_u8(crc, *bytes);
    return crc;
}
#endif

static uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return crc32c_sse42(crc, bytes, size);
#endif
    return crc32c_portable(crc, bytes, size);
}

static uint32_t check_of(uint32_t crc)
{ return ~crc == 0 ? 1 : ~crc; }

uint32_t row_check(const void *row, size_t size)
{
    return check_of(crc32c(0xffffffffu, (const uint8_t *)row + sizeof(uint32_t), size - sizeof(uint32_t)));
}

uint32_t row_check_portable(const void *row, size_t size)
{
    return check_of(crc32c_portable(0xffffffffu, (const uint8_t *)row + sizeof(uint32_t),
                                    size - sizeof(uint32_t)));
}

static uint32_t head_check(const struct config_generation *head)
{ return check_of(crc32c(0xffffffffu, head, offsetof(struct config_generation, check))); }

/* ---- where things lie: every array begins on a cache line ---- */

static size_t lines(size_t size)
{ return (size + 63) & ~(size_t)63; }

static size_t generation_size(struct table_capacities capacities)
{
    return lines(sizeof(struct config_generation)) + capacities.transports * sizeof(struct transport_row) +
           capacities.sources * sizeof(struct source_row) + capacities.sinks * sizeof(struct sink_row);
}

size_t table_config_size(struct table_capacities capacities)
{ return sizeof(struct config_header) + 2 * generation_size(capacities); }

size_t table_state_size(struct table_capacities capacities)
{
    return sizeof(struct state_header) + lines(capacities.transports * sizeof(struct transport_state)) +
           capacities.transports * sizeof(struct downlink_state) +
           lines(capacities.sources * sizeof(struct source_state)) +
           capacities.sinks * sizeof(struct sink_state);
}

_Static_assert(sizeof(struct config_header) % 64 == 0, "the first half begins on a cache line");
_Static_assert(sizeof(struct state_header) % 64 == 0, "the first row begins on a cache line");
_Static_assert(sizeof(struct transport_row) % 64 == 0, "rows of one array begin on cache lines");
_Static_assert(offsetof(struct sink_state, copies) == 64, "each projection is one cache line");
_Static_assert(offsetof(struct transport_state, incarnation) == 0, "state_row_reset");
_Static_assert(offsetof(struct downlink_state, incarnation) == 0, "state_row_reset");
_Static_assert(offsetof(struct source_state, incarnation) == 0, "state_row_reset");
_Static_assert(offsetof(struct sink_state, incarnation) == 0, "state_row_reset");
_Static_assert(sizeof(_Atomic uint32_t) == 4 && sizeof(_Atomic uint64_t) == 8,
               "atomics carry no lock");

struct generation_view table_generation(const struct config_view *config, uint64_t number)
{
    const struct table_capacities *room = &config->capacities;
    uint8_t *half = (uint8_t *)config->header + sizeof(struct config_header);
    if (number & 1) half += generation_size(*room);

    struct generation_view view = {.head = (struct config_generation *)half};
    half += lines(sizeof(struct config_generation));
    view.transports = (struct transport_row *)half;
    half += (size_t)room->transports * sizeof(struct transport_row);
    view.sources = (struct source_row *)half;
    half += (size_t)room->sources * sizeof(struct source_row);
    view.sinks = (struct sink_row *)half;
    return view;
}

/* ---- making and attaching ---- */

static void format_sizes(struct config_header *header, struct table_capacities capacities)
{
    header->layout_version = TABLE_LAYOUT_VERSION;
    header->header_size = sizeof(struct config_header);
    header->transport_row_size = sizeof(struct transport_row);
    header->source_row_size = sizeof(struct source_row);
    header->sink_row_size = sizeof(struct sink_row);
    header->transport_capacity = capacities.transports;
    header->source_capacity = capacities.sources;
    header->sink_capacity = capacities.sinks;
    header->generation_size = (uint32_t)generation_size(capacities);
}

void table_config_format(void *memory, struct table_capacities capacities)
{
    struct config_header *header = memory;
    format_sizes(header, capacities);
    table_barrier(); /* the magic last: a creator killed before leaves no table */
    header->magic = TABLE_CONFIG_MAGIC;
}

void table_state_format(void *memory, struct table_capacities capacities)
{
    struct state_header *header = memory;
    header->layout_version = TABLE_LAYOUT_VERSION;
    header->header_size = sizeof(struct state_header);
    header->transport_state_size = sizeof(struct transport_state);
    header->downlink_state_size = sizeof(struct downlink_state);
    header->source_state_size = sizeof(struct source_state);
    header->sink_state_size = sizeof(struct sink_state);
    header->counter_count = COUNTER_COUNT;
    header->transport_capacity = capacities.transports;
    header->source_capacity = capacities.sources;
    header->sink_capacity = capacities.sinks;
    table_barrier();
    header->magic = TABLE_STATE_MAGIC;
}

/* More than this build's limits is another layout: arrays of the reader are sized by them. */
static int capacities_fit(struct table_capacities capacities)
{
    return capacities.transports <= LIMIT_TRANSPORTS && capacities.sources <= LIMIT_SOURCES &&
           capacities.sinks <= LIMIT_SINKS;
}

int table_config_attach(void *memory, size_t size, struct config_view *view)
{
    struct config_header *header = memory;
    if (size < sizeof(struct config_header)) return -EINVAL;
    struct table_capacities capacities = {header->transport_capacity, header->source_capacity,
                                          header->sink_capacity};
    if (header->magic != TABLE_CONFIG_MAGIC || header->layout_version != TABLE_LAYOUT_VERSION ||
        header->header_size != sizeof(struct config_header) ||
        header->transport_row_size != sizeof(struct transport_row) ||
        header->source_row_size != sizeof(struct source_row) || header->sink_row_size != sizeof(struct sink_row) ||
        !capacities_fit(capacities) || header->generation_size != generation_size(capacities))
        return -EPROTO;
    if (size < table_config_size(capacities)) return -EINVAL;
    *view = (struct config_view){.header = header, .size = size, .capacities = capacities};
    return 0;
}

int table_state_attach(void *memory, size_t size, struct state_view *view)
{
    struct state_header *header = memory;
    if (size < sizeof(struct state_header)) return -EINVAL;
    struct table_capacities capacities = {header->transport_capacity, header->source_capacity,
                                          header->sink_capacity};
    if (header->magic != TABLE_STATE_MAGIC || header->layout_version != TABLE_LAYOUT_VERSION ||
        header->header_size != sizeof(struct state_header) ||
        header->transport_state_size != sizeof(struct transport_state) ||
        header->downlink_state_size != sizeof(struct downlink_state) ||
        header->source_state_size != sizeof(struct source_state) ||
        header->sink_state_size != sizeof(struct sink_state) || !capacities_fit(capacities))
        return -EPROTO;
    if (size < table_state_size(capacities)) return -EINVAL;

    uint8_t *rows = (uint8_t *)memory + sizeof(struct state_header);
    view->header = header;
    view->size = size;
    view->transports = (struct transport_state *)rows;
    rows += lines(capacities.transports * sizeof(struct transport_state));
    view->downlinks = (struct downlink_state *)rows;
    rows += capacities.transports * sizeof(struct downlink_state);
    view->sources = (struct source_state *)rows;
    rows += lines(capacities.sources * sizeof(struct source_state));
    view->sinks = (struct sink_state *)rows;
    return 0;
}

/* ---- generations ---- */

int table_next_generation(const struct config_view *config, struct generation_view *next)
{
    /* `current` has no writer but us; `adopted` (acquire) orders the worker's last reads of the half before our writes. */
    uint64_t current = atomic_load_explicit(&config->header->current, memory_order_relaxed);
    if (atomic_load_explicit(&config->header->adopted, memory_order_acquire) < current)
        return -EAGAIN;
    *next = table_generation(config, current + 1);
    return 0;
}

void table_publish_again(const struct config_view *config, const struct generation_view *again, uint64_t number)
{
    (void)config;
    atomic_thread_fence(memory_order_release); /* the rows before what makes them valid */
    again->head->number = number;
    again->head->check = head_check(again->head);
}

void table_publish(const struct config_view *config, const struct generation_view *next)
{
    uint64_t number = atomic_load_explicit(&config->header->current, memory_order_relaxed) + 1;
    table_publish_again(config, next, number);
    atomic_store_explicit(&config->header->current, number, memory_order_release);
}

bool table_head_valid(const struct config_view *config, uint64_t number)
{
    const struct table_capacities *room = &config->capacities;
    struct config_generation head = *table_generation(config, number).head;
    return head.number == number && head.check == head_check(&head) &&
           head.transport_limit <= room->transports && head.source_limit <= room->sources &&
           head.sink_limit <= room->sinks;
}

bool table_mend_header(const struct config_view *config, uint64_t number)
{
    struct config_header *header = config->header, right = {.magic = TABLE_CONFIG_MAGIC};
    format_sizes(&right, config->capacities);
    bool spoilt = memcmp(header, &right, offsetof(struct config_header, current)) != 0;
    if (spoilt) memcpy(header, &right, offsetof(struct config_header, current));
    if (atomic_load_explicit(&header->current, memory_order_relaxed) == number) return spoilt;
    atomic_store_explicit(&header->current, number, memory_order_release);
    return true;
}

int table_adopt(const struct config_view *config, uint64_t adopted_number, struct generation_view *view)
{
    uint64_t current = atomic_load_explicit(&config->header->current, memory_order_acquire);
    if (current == adopted_number) {
        /* Ours alone to write, and control waits for it: a bit that turned over there would be for ever. */
        if (atomic_load_explicit(&config->header->adopted, memory_order_relaxed) != current)
            atomic_store_explicit(&config->header->adopted, current, memory_order_release);
        return 0;
    }
    if (!table_head_valid(config, current)) return -EBADMSG;
    struct generation_view newest = table_generation(config, current);
    *view = newest;
    /* Release: whatever was read of the older generation was read before control may rewrite it. */
    atomic_store_explicit(&config->header->adopted, current, memory_order_release);
    return 1;
}

/* ---- state rows ---- */

void state_row_reset(void *row, size_t size, uint32_t incarnation)
{
    _Atomic uint32_t *owner = row;
    atomic_store_explicit(owner, 0, memory_order_release);
    table_barrier();
    memset((uint8_t *)row + sizeof(*owner), 0, size - sizeof(*owner));
    table_barrier();
    atomic_store_explicit(owner, incarnation, memory_order_release);
}
