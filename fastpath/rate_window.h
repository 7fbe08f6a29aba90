/* How fast something arrived lately: bytes in buckets of time, over at most half a second. Plain data, valid when zeroed. */
#ifndef SOTTO_RATE_WINDOW_H
#define SOTTO_RATE_WINDOW_H

#include <stdint.h>
#include <string.h>

/* Length of a bucket. Longer: less exact at the edges. Shorter: more state for the same time. */
#define RATE_BUCKET_US 25000
#define RATE_BUCKETS 24
/* Nothing is told of less time than this. Longer: no answer for the first moments. Shorter: a single frame decides. */
#define RATE_BUCKETS_LEAST 5

struct rate_window {
    int64_t oldest, newest;       /* bucket numbers; both 0 = empty */
    uint32_t bytes[RATE_BUCKETS]; /* bucket n at n % RATE_BUCKETS */
};

static inline void rate_window_add(struct rate_window *window, int64_t at_us, uint32_t bytes)
{
    int64_t bucket = at_us / RATE_BUCKET_US;
    if (bucket <= 0) return;
    if (window->newest == 0 || bucket - window->newest >= RATE_BUCKETS) {
        memset(window, 0, sizeof *window);
        window->oldest = window->newest = bucket;
    }
    while (window->newest < bucket) window->bytes[(uint64_t)++window->newest % RATE_BUCKETS] = 0;
    if (bucket < window->oldest || bucket <= window->newest - RATE_BUCKETS) return;
    window->bytes[(uint64_t)bucket % RATE_BUCKETS] += bytes;
}

/* Bits per second over the last `buckets` full ones (fewer when there are not so many yet), 0 = too early to tell. The newest bucket is not
   full and does not count. */
static inline double rate_window_bps(const struct rate_window *window, int64_t buckets)
{
    int64_t have = window->newest - window->oldest;
    if (have > RATE_BUCKETS - 1) have = RATE_BUCKETS - 1;
    if (buckets > have) buckets = have;
    if (buckets < RATE_BUCKETS_LEAST) return 0;
    uint64_t sum = 0;
    for (int64_t i = 1; i <= buckets; i++)
        sum += window->bytes[(uint64_t)(window->newest - i) % RATE_BUCKETS];
    return (double)sum * 8e6 / (double)(buckets * RATE_BUCKET_US);
}

#endif
