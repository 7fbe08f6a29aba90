/* The sending half: what was sent under which number, and a receiver's feedback taken apart. Declared in transport_cc.h. */
#include <errno.h>

#include "bytes.h"
#include "transport_cc.h"

#define SLOT(number) ((number) & (LIMIT_SENT - 1))
#define FIXED_PART 8 /* base sequence, count, reference time, feedback count */
#define RESERVED_SYMBOL 3

_Static_assert((LIMIT_SENT & (LIMIT_SENT - 1)) == 0, "a power of two");

uint16_t sent_log_add(struct sent_log *log, uint16_t size, uint8_t cluster, uint64_t now_ns)
{
    if (log->next == 0)
        log->next = log->told_end = 65536; /* one wrap up, so that differences are never below 0 */
    uint64_t number = log->next;
    log->packets[SLOT(number)] = (struct sent_packet){
        .sent_us = (uint32_t)(now_ns / 1000), .size = size, .cluster = cluster, .state = SENT_WAITING};
    table_barrier();
    log->next = number + 1;
    return (uint16_t)number;
}

struct sent_packet *sent_log_find(struct sent_log *log, uint16_t sequence, uint64_t *unwrapped)
{
    uint16_t age = (uint16_t)(log->next - sequence);
    if (age == 0 || age > LIMIT_SENT || log->next < 65536u + age) return NULL;
    *unwrapped = log->next - age;
    struct sent_packet *packet = &log->packets[SLOT(*unwrapped)];
    return packet->state == SENT_NOTHING ? NULL : packet;
}

static unsigned chunk_symbols(uint16_t chunk)
{ return chunk & 0x8000 ? (chunk & 0x4000 ? 7 : 14) : chunk & 0x1fff; }

/* `left`: how many symbols of the chunk are to come, this one included. */
static unsigned chunk_symbol(uint16_t chunk, unsigned left)
{
    if (!(chunk & 0x8000)) return chunk >> 13 & 3;
    return chunk & 0x4000 ? chunk >> 2 * (left - 1) & 3 : chunk >> (left - 1) & 1;
}

int transport_cc_parse_untrusted(const struct rtcp_feedback *feedback, struct transport_cc_reader *reader)
{
    if (feedback->fci_length < FIXED_PART) return -EBADMSG;
    const uint8_t *fci = feedback->fci;
    size_t length = feedback->fci_length, at = FIXED_PART, deltas = 0;
    unsigned left = load_be16(fci + 2);
    if (left == 0) return -EBADMSG;
    while (left) {
        if (length - at < 2) return -EBADMSG;
        uint16_t chunk = load_be16(fci + at);
        at += 2;
        unsigned symbols = chunk_symbols(chunk);
        for (unsigned i = symbols; i && left; i--, left--) {
            unsigned symbol = chunk_symbol(chunk, i);
            if (symbol == RESERVED_SYMBOL) return -EBADMSG;
            deltas += symbol; /* a symbol is also its bytes of delta */
        }
    }
    if (deltas > length - at) return -EBADMSG;
    *reader = (struct transport_cc_reader){
        .reference_time = load_be24(fci + 4),
        .sequence = load_be16(fci),
        .left = load_be16(fci + 2),
        .feedback_count = fci[7],
        .chunks = fci + FIXED_PART,
        .deltas = fci + at,
    };
    return 0;
}

bool transport_cc_next(struct transport_cc_reader *reader, struct transport_cc_status *status)
{
    if (reader->left == 0) return false;
    while (reader->chunk_left == 0) { /* a run may be of length 0; the count says that one with symbols follows */
        reader->chunk = load_be16(reader->chunks);
        reader->chunk_left = (uint16_t)chunk_symbols(reader->chunk);
        reader->chunks += 2;
    }
    unsigned symbol = chunk_symbol(reader->chunk, reader->chunk_left--);
    status->sequence = reader->sequence++;
    status->received = symbol != 0;
    reader->left--;
    if (symbol == 1) {
        reader->ticks += *reader->deltas++;
    } else if (symbol == 2) {
        reader->ticks += (int16_t)load_be16(reader->deltas); /* 65,535 of the greatest fit 32 bits */
        reader->deltas += 2;
    }
    status->ticks = reader->ticks;
    return true;
}
