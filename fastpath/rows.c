#include "rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

/* Every config row begins with its check value and its incarnation. */
struct row_head {
    uint32_t check, incarnation;
};

static uint32_t incarnation_at(const struct rows *rows, uint32_t handle)
{
    struct row_head head;
    memcpy(&head, rows_at(rows, handle), sizeof(head));
    return head.incarnation;
}

int rows_create(struct rows *rows, uint32_t capacity, size_t row_size)
{
    *rows = (struct rows){.capacity = capacity, .row_size = row_size};
    size_t count = capacity > 0 ? capacity : 1;
    rows->bytes = calloc(count, row_size);
    rows->lacking = calloc(count, 1);
    rows->queue[0] = calloc(count, sizeof(uint32_t));
    rows->queue[1] = calloc(count, sizeof(uint32_t));
    if (rows->bytes && rows->lacking && rows->queue[0] && rows->queue[1]) return 0;
    rows_destroy(rows);
    return -ENOMEM;
}

void rows_destroy(struct rows *rows)
{
    if (rows->bytes) explicit_bzero(rows->bytes, rows->limit * rows->row_size);
    free(rows->bytes);
    free(rows->lacking);
    free(rows->queue[0]);
    free(rows->queue[1]);
    *rows = (struct rows){0};
}

static void note(struct rows *rows, uint32_t handle, unsigned half)
{
    uint8_t bit = (uint8_t)(1u << half);
    if (rows->lacking[handle] & bit) return;
    rows->lacking[handle] |= bit;
    rows->queue[half][rows->queued[half]++] = handle;
}

void rows_put(struct rows *rows, uint32_t handle, void *row)
{
    ((struct row_head *)row)->check = row_check(row, rows->row_size);
    if (memcmp(rows_at(rows, handle), row, rows->row_size) == 0) return;
    memcpy(rows_at(rows, handle), row, rows->row_size);
    if (handle >= rows->limit) rows->limit = handle + 1;
    note(rows, handle, 0);
    note(rows, handle, 1);
}

void rows_remove(struct rows *rows, uint32_t handle)
{
    if (incarnation_at(rows, handle) == 0) return;
    explicit_bzero(rows_at(rows, handle), rows->row_size);
    while (rows->limit > 0 && incarnation_at(rows, rows->limit - 1) == 0) rows->limit--;
    note(rows, handle, 0);
    note(rows, handle, 1);
}

uint32_t rows_load(struct rows *rows, const void *half, uint32_t limit, unsigned which)
{
    uint32_t refused = 0;
    for (uint32_t handle = 0; handle < limit; handle++) {
        const uint8_t *row = (const uint8_t *)half + handle * rows->row_size;
        struct row_head head;
        memcpy(&head, row, sizeof(head));
        if (head.incarnation == 0) continue;
        if (head.check != row_check(row, rows->row_size)) {
            note(rows, handle, which);
            refused++;
            continue;
        }
        memcpy(rows_at(rows, handle), row, rows->row_size);
        rows->limit = handle + 1;
    }
    return refused;
}

void rows_distrust(struct rows *rows, unsigned half)
{
    for (uint32_t handle = 0; handle < rows->capacity; handle++) note(rows, handle, half);
}

bool rows_differ(const struct rows *rows, const void *half, unsigned which)
{
    uint8_t bit = (uint8_t)(1u << which);
    for (uint32_t handle = 0; handle < rows->limit; handle++) {
        if (rows->lacking[handle] & bit) continue;
        if (memcmp((const uint8_t *)half + handle * rows->row_size, rows_at(rows, handle), rows->row_size) != 0)
            return true;
    }
    return false;
}

void rows_flush(struct rows *rows, void *target, unsigned half)
{
    uint8_t bit = (uint8_t)(1u << half);
    for (uint32_t i = 0; i < rows->queued[half]; i++) {
        uint32_t handle = rows->queue[half][i];
        memcpy((uint8_t *)target + handle * rows->row_size, rows_at(rows, handle), rows->row_size);
        rows->lacking[handle] = (uint8_t)(rows->lacking[handle] & ~bit);
    }
    rows->queued[half] = 0;
}
