/* Control's own copy of one array of config rows, and which rows each half of the segment still lacks.
 *
 * Every change is noted for both halves and copied into a half when that half is next written: publishing costs what changed since
 * that half was last written, not the size of the table. Measured: one sink of 100, 10,000 or 65,536 changed 0.03, 0.03 and 0.09 us
 * (all of them changed 0.2, 26 and 330); copying the whole table each time would be 0.06, 15 and 100 us. */
#ifndef SOTTO_ROWS_H
#define SOTTO_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rows {
    uint8_t *bytes;     /* capacity rows; owned */
    uint8_t *lacking;   /* per row: bit h = half h holds something else; owned */
    uint32_t *queue[2]; /* rows whose bit h is set, in no order; owned */
    uint32_t queued[2];
    uint32_t capacity;
    uint32_t limit; /* one above the greatest row in use */
    size_t row_size;
};

/* Allocates; 0 or -ENOMEM (and then nothing is held). */
int rows_create(struct rows *rows, uint32_t capacity, size_t row_size);
/* Wipes and frees; harmless on zeroed memory. */
void rows_destroy(struct rows *rows);
/* Stores a row of `row_size` bytes, whose check value it fills in (the first four bytes). Equal to what is there: nothing changes. */
void rows_put(struct rows *rows, uint32_t handle, void *row);
/* Wipes a row. */
void rows_remove(struct rows *rows, uint32_t handle);
/* Takes over what a half holds; rows up to `limit` with a wrong check value are left out, their number is returned. */
uint32_t rows_load(struct rows *rows, const void *half, uint32_t limit, unsigned which);
/* Of a half nothing is known: all its rows will be written. */
void rows_distrust(struct rows *rows, unsigned half);
/* Does the half hold something else than we once wrote there? What it is known to lack is not looked at. */
bool rows_differ(const struct rows *rows, const void *half, unsigned which);
/* Writes what the half lacks. */
void rows_flush(struct rows *rows, void *target, unsigned half);

static inline void *rows_at(const struct rows *rows, uint32_t handle)
{ return rows->bytes + (size_t)handle * rows->row_size; }

#endif
