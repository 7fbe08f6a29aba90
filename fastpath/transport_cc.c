/* The receiving half: when packets came, and the feedback written from it. */
#include "transport_cc.h"

#include <errno.h>

#include "bytes.h"

#define SLOT(number) ((number) & (LIMIT_ARRIVALS - 1))
/* Header, both SSRCs, and the fixed part of the message. */
#define FEEDBACK_HEAD 20
/* The most a vector chunk takes, with its deltas: 7 large ones. */
#define CHUNK_MAX 16
#define RUN_MAX 8191
#define ONE_BIT_SYMBOLS 14
#define TWO_BIT_SYMBOLS 7

enum {
    NOT_RECEIVED = 0,
    SMALL_DELTA = 1,
    LARGE_DELTA = 2
}; /* the symbols, each also its bytes of delta */

_Static_assert((LIMIT_ARRIVALS & (LIMIT_ARRIVALS - 1)) == 0, "a power of two");

void arrivals_add(struct arrival_log *log, uint16_t sequence, uint64_t now_ns)
{
    uint32_t tick = (uint32_t)(now_ns / TRANSPORT_CC_TICK_NS);
    uint64_t at;
    if (log->end == 0) { /* one wrap up, so that what came before it is not below 0 */
        at = 65536u + sequence;
        log->next = log->end = at;
        log->written_ns = now_ns;
    } else {
        at = log->end - 1 + (uint64_t)(int64_t)(int16_t)(uint16_t)(sequence - (log->end - 1));
        if (at + LIMIT_ARRIVALS < log->end) return; /* its place is another's by now */
    }
    if (at >= log->end) {
        uint64_t fresh = at + 1 - log->end;
        if (fresh > LIMIT_ARRIVALS) fresh = LIMIT_ARRIVALS;
        for (uint64_t i = 0; i < fresh; i++) log->ticks[SLOT(at - i)] = 0;
        table_barrier();
        log->end = at + 1;
        if (log->next + LIMIT_ARRIVALS < log->end) log->next = log->end - LIMIT_ARRIVALS;
    }
    if (log->ticks[SLOT(at)] != 0) return;
    log->ticks[SLOT(at)] = tick ? tick : 1;
    log->pending++;
    if (at < log->next) log->next = at;
}

uint64_t arrivals_due_ns(const struct arrival_log *log)
{
    if (log->pending == 0) return UINT64_MAX;
    if (log->pending >= TRANSPORT_CC_MANY) return log->written_ns;
    return log->written_ns +
           (log->pending >= TRANSPORT_CC_SOME ? TRANSPORT_CC_SHORTEST_NS : TRANSPORT_CC_LONGEST_NS);
}

struct statuses { /* one feedback while it is made */
    unsigned count;
    uint8_t symbol[LIMIT_ARRIVALS];
    int16_t delta[LIMIT_ARRIVALS]; /* of those received */
};

/* Fills symbols up to the last arrival, or up to one that is too far in time from its predecessor for one feedback. */
static void collect(const struct arrival_log *log, uint64_t first, uint32_t reference_tick, struct statuses *statuses)
{
    uint32_t previous = reference_tick;
    statuses->count = 0;
    for (uint64_t at = first; at < log->end && statuses->count < LIMIT_ARRIVALS; at++) {
        uint32_t tick = log->ticks[SLOT(at)];
        uint8_t symbol = NOT_RECEIVED;
        if (tick) {
            int32_t delta = (int32_t)(tick - previous);
            if (delta < INT16_MIN || delta > INT16_MAX) return;
            symbol = delta >= 0 && delta <= 255 ? SMALL_DELTA : LARGE_DELTA;
            statuses->delta[statuses->count] = (int16_t)delta;
            previous = tick;
        }
        statuses->symbol[statuses->count++] = symbol;
    }
}

/* The chunk that says most from `from` on: its 16 bits, and in *covered how many symbols it says. */
static uint16_t make_chunk(const struct statuses *statuses, unsigned from, unsigned *covered)
{
    const uint8_t *symbol = statuses->symbol + from;
    unsigned left = statuses->count - from, run = 1, plain = 0;
    while (run < left && run < RUN_MAX && symbol[run] == symbol[0]) run++;
    while (plain < left && plain < ONE_BIT_SYMBOLS && symbol[plain] != LARGE_DELTA) plain++;
    bool one_bit = plain == left || plain == ONE_BIT_SYMBOLS;
    unsigned vector = one_bit ? ONE_BIT_SYMBOLS : TWO_BIT_SYMBOLS;
    if (vector > left) vector = left;
    *covered = run >= vector ? run : vector;
    if (run >= vector) return (uint16_t)(symbol[0] << 13 | run);
    unsigned chunk = one_bit ? 0x8000 : 0xc000;
    for (unsigned i = 0; i < vector; i++)
        chunk |= (unsigned)symbol[i] << (one_bit ? 13 - i : 12 - 2 * i);
    return (uint16_t)chunk;
}

static size_t delta_bytes(const struct statuses *statuses, unsigned from, unsigned count)
{
    size_t bytes = 0;
    for (unsigned i = from; i < from + count; i++) bytes += statuses->symbol[i];
    return bytes;
}

/* Writes chunks and deltas for as many symbols as `room` holds; how many, and the bytes used. */
static unsigned pack(const struct statuses *statuses, uint8_t *to, size_t room, size_t *used)
{
    unsigned told = 0;
    size_t chunks = 0, deltas = 0;
    room &= ~(size_t)3;
    while (told < statuses->count) {
        unsigned covered;
        uint16_t chunk = make_chunk(statuses, told, &covered);
        size_t bytes = delta_bytes(statuses, told, covered), free_bytes = room - chunks - deltas;
        if (free_bytes < 2) break;
        if (bytes > free_bytes - 2) {
            if (chunk & 0x8000) break;
            covered = (unsigned)((free_bytes - 2) / (chunk >> 13)); /* a shorter run; its symbol has deltas */
            if (covered == 0) break;
            chunk = (uint16_t)((chunk & 0xe000) | covered);
            bytes = delta_bytes(statuses, told, covered);
        }
        store_be16(to + chunks, chunk);
        chunks += 2;
        deltas += bytes;
        told += covered;
    }
    uint8_t *delta = to + chunks;
    for (unsigned i = 0; i < told; i++) {
        if (statuses->symbol[i] == SMALL_DELTA) {
            *delta++ = (uint8_t)statuses->delta[i];
        } else if (statuses->symbol[i] == LARGE_DELTA) {
            store_be16(delta, (uint16_t)statuses->delta[i]);
            delta += 2;
        }
    }
    *used = (size_t)(delta - to);
    return told;
}

int transport_cc_write(struct arrival_log *log, uint8_t *to, size_t room, uint32_t sender,
                       uint32_t media, uint64_t now_ns)
{
    if (room < FEEDBACK_HEAD + CHUNK_MAX) return -ENOSPC;
    uint64_t first_received = log->next;
    if (log->end - log->next > LIMIT_ARRIVALS) first_received = log->end; /* torn: begin again */
    while (first_received < log->end && log->ticks[SLOT(first_received)] == 0) first_received++;
    if (log->pending == 0 || first_received >= log->end) {
        log->next = log->end;
        log->pending = 0;
        return 0;
    }
    uint32_t reference = log->ticks[SLOT(first_received)] / TRANSPORT_CC_REFERENCE_TICKS;
    struct statuses statuses;
    collect(log, log->next, reference * TRANSPORT_CC_REFERENCE_TICKS, &statuses);
    size_t used = 0;
    unsigned told = pack(&statuses, to + FEEDBACK_HEAD, room - FEEDBACK_HEAD, &used);
    size_t length = FEEDBACK_HEAD + ((used + 3) & ~(size_t)3);
    for (size_t i = FEEDBACK_HEAD + used; i < length; i++) to[i] = 0;
    to[0] = 0x80 | RTCP_FMT_TRANSPORT_CC;
    to[1] = RTCP_RTPFB;
    store_be16(to + 2, (uint16_t)(length / 4 - 1));
    store_be32(to + 4, sender);
    store_be32(to + 8, media);
    store_be16(to + 12, (uint16_t)log->next);
    store_be16(to + 14, (uint16_t)told);
    store_be24(to + 16, reference & 0xffffff);
    to[19] = (uint8_t)log->feedback_count;

    uint32_t pending = 0;
    for (uint64_t at = log->next + told; at < log->end; at++) pending += log->ticks[SLOT(at)] != 0;
    log->next += told;
    log->pending = pending;
    log->feedback_count++;
    if (pending == 0) log->written_ns = now_ns;
    return (int)length;
}
