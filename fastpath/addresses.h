/* From a peer's address to its transport: a hash table in private memory, rebuilt from the state rows at any time. Only addresses
 * that passed an authenticated check ever enter, so its size is bounded by transports x LIMIT_PATHS whatever arrives. */
#ifndef SOTTO_ADDRESSES_H
#define SOTTO_ADDRESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "table.h"

/* Where a datagram came from or goes to. An IPv4-mapped IPv6 address is family 4 here: the shell normalises. */
struct endpoint {
    uint8_t family; /* 4 or 6 */
    uint8_t reserved;
    uint16_t port;       /* host order */
    uint32_t scope;      /* IPv6 scope id of a link-local address, else 0 */
    uint8_t address[16]; /* IPv4 in the first four bytes, the rest 0 */
};
_Static_assert(sizeof(struct endpoint) == 24, "compared as three words");

struct address_entry {
    struct endpoint endpoint;
    uint32_t transport; /* handle, TABLE_NONE = empty */
    uint32_t path;      /* index in its state row */
};

struct addresses {
    struct address_entry *entries;
    uint32_t mask; /* entries - 1, a power of two of at least twice the addresses it can hold */
    uint32_t count;
    uint64_t seed; /* so that nobody can choose addresses that collide */
};

/* 0 or -ENOMEM. */
int addresses_open(struct addresses *addresses, uint32_t transports, uint64_t seed);
void addresses_close(struct addresses *addresses);

/* The entry of an endpoint, or NULL. */
const struct address_entry *addresses_find(const struct addresses *addresses, const struct endpoint *endpoint);
/* Adds or replaces. */
void addresses_put(struct addresses *addresses, const struct endpoint *endpoint, uint32_t transport, uint32_t path);
/* Removes the entry if it belongs to this transport. */
void addresses_remove(struct addresses *addresses, const struct endpoint *endpoint, uint32_t transport);

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
struct endpoint endpoint_of_path(const struct path *path);

#endif
