#include "addresses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int addresses_open(struct addresses *addresses, uint32_t transports, uint64_t seed)
{
    uint64_t size = 16;
    while (size < (uint64_t)transports * LIMIT_PATHS * 2) size *= 2;
    addresses->entries = malloc(size * sizeof *addresses->entries);
    if (!addresses->entries) return -ENOMEM;
    for (uint64_t i = 0; i < size; i++) addresses->entries[i].transport = TABLE_NONE;
    addresses->mask = (uint32_t)(size - 1);
    addresses->count = 0;
    addresses->seed = seed;
    return 0;
}

void addresses_close(struct addresses *addresses)
{
    free(addresses->entries);
    addresses->entries = NULL;
}

static uint32_t home_of(const struct addresses *addresses, const struct endpoint *endpoint)
{
    uint64_t words[3];
    memcpy(words, endpoint, sizeof words);
    uint64_t hash = addresses->seed;
    for (int i = 0; i < 3; i++) {
        hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash >> 16) & addresses->mask;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{ return memcmp(a, b, sizeof *a) == 0; }

struct endpoint endpoint_of_path(const struct path *path)
{
    struct endpoint endpoint = {.family = path->family, .port = path->port, .scope = path->scope};
    memcpy(endpoint.address, path->address, sizeof endpoint.address);
    return endpoint;
}

/* The entry of the endpoint or the empty one where it would stand. The table is at most half full, so there is one. */
static uint32_t slot_of(const struct addresses *addresses, const struct endpoint *endpoint)
{
    uint32_t at = home_of(addresses, endpoint);
    while (addresses->entries[at].transport != TABLE_NONE &&
           !endpoint_equal(&addresses->entries[at].endpoint, endpoint))
        at = (at + 1) & addresses->mask;
    return at;
}

const struct address_entry *addresses_find(const struct addresses *addresses, const struct endpoint *endpoint)
{
    const struct address_entry *entry = &addresses->entries[slot_of(addresses, endpoint)];
    return entry->transport == TABLE_NONE ? NULL : entry;
}

void addresses_put(struct addresses *addresses, const struct endpoint *endpoint, uint32_t transport, uint32_t path)
{
    struct address_entry *entry = &addresses->entries[slot_of(addresses, endpoint)];
    if (entry->transport == TABLE_NONE) {
        if (addresses->count > addresses->mask / 2)
            return; /* cannot happen: a transport has at most LIMIT_PATHS addresses */
        addresses->count++;
    }
    *entry = (struct address_entry){.endpoint = *endpoint, .transport = transport, .path = path};
}

void addresses_remove(struct addresses *addresses, const struct endpoint *endpoint, uint32_t transport)
{
    uint32_t hole = slot_of(addresses, endpoint);
    if (addresses->entries[hole].transport != transport || transport == TABLE_NONE) return;
    addresses->count--;
    /* Moves back what would no longer be found past the hole (linear probing without tombstones). */
    for (uint32_t at = (hole + 1) & addresses->mask; addresses->entries[at].transport != TABLE_NONE;
         at = (at + 1) & addresses->mask) {
        uint32_t home = home_of(addresses, &addresses->entries[at].endpoint);
        if (((at - home) & addresses->mask) < ((at - hole) & addresses->mask)) continue;
        addresses->entries[hole] = addresses->entries[at];
        hole = at;
    }
    addresses->entries[hole].transport = TABLE_NONE;
}
