/* Bursts of several kinds in turns: "1,1,5" packets of "124,124,1080" bytes. */
#ifndef SOTTO_LOAD_MIX_H
#define SOTTO_LOAD_MIX_H

#include <stdlib.h>

#define MIX_MOST 64u

struct mix {
    unsigned count;
    unsigned packets[MIX_MOST]; /* 1 to 64 */
    size_t size[MIX_MOST];      /* of each packet */
};

static inline unsigned mix_numbers(const char *text, unsigned long *to)
{
    unsigned count = 0;
    for (char *end; count < MIX_MOST && *text; text = *end ? end + 1 : end)
        to[count++] = strtoul(text, &end, 10);
    return count;
}

/* 0, or -1 when they are no such lists. */
static inline int mix_read(struct mix *mix, const char *packets, const char *sizes)
{
    unsigned long each[MIX_MOST] = {0}, size[MIX_MOST] = {0};
    mix->count = mix_numbers(packets, each);
    if (!mix->count || mix_numbers(sizes, size) != mix->count) return -1;
    for (unsigned i = 0; i < mix->count; i++) {
        if (each[i] < 1 || each[i] > 64 || size[i] < 64 || size[i] > 1500) return -1;
        mix->packets[i] = (unsigned)each[i];
        mix->size[i] = size[i];
    }
    return 0;
}

#endif
