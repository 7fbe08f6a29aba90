/* Delays in buckets of 2 us up to 400 ms; percentiles from them. */
#ifndef SOTTO_LOAD_DELAYS_H
#define SOTTO_LOAD_DELAYS_H

#include <stdint.h>

#define DELAY_BUCKET_NS 2000
#define DELAY_BUCKETS 200000u

struct delays {
    uint64_t count, greatest_ns;
    uint32_t buckets[DELAY_BUCKETS];
};

static inline void delays_add(struct delays *delays, uint64_t ns)
{
    uint64_t bucket = ns / DELAY_BUCKET_NS;
    delays->buckets[bucket < DELAY_BUCKETS ? bucket : DELAY_BUCKETS - 1]++;
    delays->count++;
    if (ns > delays->greatest_ns) delays->greatest_ns = ns;
}

/* The delay that `share` (0 to 1) of all do not exceed, in ns; 0 = there are none. */
static inline uint64_t delays_share(const struct delays *delays, double share)
{
    uint64_t wanted = (uint64_t)((double)delays->count * share), seen = 0;
    for (uint64_t i = 0; i < DELAY_BUCKETS; i++)
        if ((seen += delays->buckets[i]) > wanted) return (i + 1) * DELAY_BUCKET_NS;
    return delays->greatest_ns;
}

#endif
