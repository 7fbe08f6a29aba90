#include "plan_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *section(const uint8_t *bytes, size_t length, size_t *at, size_t size, uint32_t count)
{
    if (count > (length - *at) / size) return NULL;
    void *copy = malloc(size * count + 1);
    if (copy) memcpy(copy, bytes + *at, size * count);
    *at += size * count;
    return copy;
}

static uint8_t *whole(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    size_t room = 1 << 20, used = 0, more;
    uint8_t *bytes = malloc(room);
    while (bytes && (more = fread(bytes + used, 1, room - used, file)) > 0) {
        used += more;
        if (used == room) bytes = realloc(bytes, room *= 2);
    }
    fclose(file);
    *length = used;
    return bytes;
}

int plan_read(struct plan *plan, const char *path)
{
    size_t length = 0, at = sizeof plan->head;
    uint8_t *bytes = whole(path, &length);
    memset(plan, 0, sizeof *plan);
    if (!bytes || length < sizeof plan->head) goto bad;
    memcpy(&plan->head, bytes, sizeof plan->head);
    if (plan->head.magic != PLAN_MAGIC || plan->head.server_count > PLAN_SERVERS) goto bad;
    plan->members = section(bytes, length, &at, sizeof *plan->members, plan->head.member_count);
    plan->sources = section(bytes, length, &at, sizeof *plan->sources, plan->head.source_count);
    plan->sinks = section(bytes, length, &at, sizeof *plan->sinks, plan->head.sink_count);
    if (!plan->members || !plan->sources || !plan->sinks || at != length) goto bad;
    free(bytes);
    return 0;
bad:
    free(bytes);
    return -1;
}
