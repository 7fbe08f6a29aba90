/* Rings between workers: one for each ordered pair, one writer and one reader each, in one segment of shared memory that the supervisor keeps.
 *
 * Kill-safe like the tables: a record counts once `tail` was stored behind it, and is the reader's once `head` was stored behind it, which happens
 * before anything is done with it. So a writer that is killed leaves no half record, and a reader that is killed loses the record in its hands and
 * never takes one twice. Successors go on from both numbers.
 *
 * The other side of a ring is another process, and what stands in it is not trusted: every length is checked before use, records are copied out
 * before they are looked at, and a ring that makes no sense is emptied by its reader. */
#ifndef SOTTO_HANDOVER_RING_H
#define SOTTO_HANDOVER_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits.h"

#define HANDOVER_MAGIC 0x31726468746f73ull /* "sothdr1" little endian */
#define HANDOVER_LAYOUT_VERSION 1u
/* Longest record. */
#define HANDOVER_RECORD_MAX 2048u

struct handover_seat {                      /* of one worker as a reader */
    _Alignas(64) _Atomic uint32_t sleeping; /* 1 = wants its eventfd written when something comes */
};

struct handover_ring {                  /* counts of bytes ever written and taken */
    _Alignas(64) _Atomic uint64_t tail; /* by the writer */
    _Alignas(64) _Atomic uint64_t head; /* by the reader */
};

struct handover_header {
    uint64_t magic;
    uint32_t layout_version, header_size;
    uint32_t workers, ring_bytes; /* ring_bytes: a power of two */
    uint64_t reserved[5];
    struct handover_seat seats[LIMIT_WORKERS];
};

struct handover_rings { /* a mapped segment */
    struct handover_header *header;
    uint32_t workers, ring_bytes; /* as checked at attach: the segment's own are not looked at again */
};

struct ring_writer {
    struct handover_ring *ring; /* NULL = there is none */
    uint8_t *bytes;
    uint32_t size;
    uint32_t begun;     /* bytes of the record that was reserved, with what was skipped before it */
    uint64_t seen_head; /* as last looked at: the line is the reader's */
};

struct ring_reader {
    struct handover_ring *ring; /* NULL = there is none */
    uint8_t *bytes;
    uint32_t size;
};

/* Bytes of one ring and of the whole segment for so many workers (2 to LIMIT_WORKERS). */
uint32_t handover_ring_bytes(uint32_t workers);
size_t handover_size(uint32_t workers);
/* Writes the header into zeroed memory of that size. */
void handover_format(void *memory, uint32_t workers);
/* 0, -EPROTO (no such segment, or of another layout), -EINVAL (too short, or sizes that cannot be). */
int handover_attach(void *memory, size_t size, struct handover_rings *rings);

/* What `from` tells `to`, both below `workers` and different. */
struct ring_writer handover_writer(const struct handover_rings *rings, uint32_t from, uint32_t to);
struct ring_reader handover_reader(const struct handover_rings *rings, uint32_t from, uint32_t to);

/* Room for a record of `length` bytes (1 to HANDOVER_RECORD_MAX), or NULL when more than `limit` bytes of the ring would be in use.
   Nothing is given to the reader before ring_commit. */
uint8_t *ring_reserve(struct ring_writer *writer, uint32_t length, uint32_t limit);
void ring_commit(struct ring_writer *writer);

/* The next record into `out`, which has room for HANDOVER_RECORD_MAX: its length; 0 = there is none; -EBADMSG = the ring made no sense and
   is empty now. */
int ring_take_untrusted(struct ring_reader *reader, uint8_t *out);
bool ring_empty(const struct ring_reader *reader);

#endif
