#include "viewer_digest.h"

#include <stdlib.h>

static uint32_t kind_of(const struct clamp_viewer *viewer)
{ return (uint32_t)viewer->max_encoding << 16 | (uint32_t)viewer->bid << 8 | viewer->encoding; }

/* Those who want and get the same together, the lowest share first. */
static int by_kind_and_share(const void *a, const void *b)
{
    const struct clamp_viewer *left = a, *right = b;
    uint32_t first = kind_of(left), second = kind_of(right);
    if (first != second) return first < second ? -1 : 1;
    return left->share_bps < right->share_bps ? -1 : left->share_bps > right->share_bps;
}

/* False when there is no room. */
static bool merge(const struct clamp_viewer *viewers, size_t count, uint64_t near_percent,
                  struct viewer_entry *entries, size_t *used)
{
    *used = 0;
    for (size_t i = 0; i < count; i++) {
        struct viewer_entry *last = *used ? &entries[*used - 1] : NULL;
        if (last && kind_of(&last->viewer) == kind_of(&viewers[i]) &&
            viewers[i].share_bps * 100ull <= last->viewer.share_bps * (100 + near_percent)) {
            last->number++;
            continue;
        }
        if (*used == VIEWER_DIGEST_MAX) return false;
        entries[(*used)++] = (struct viewer_entry){.viewer = viewers[i], .number = 1};
    }
    return true;
}

size_t viewer_digest_make(struct clamp_viewer *viewers, size_t count, struct viewer_entry *entries)
{
    size_t used = 0;
    if (!count) return 0;
    qsort(viewers, count, sizeof *viewers, by_kind_and_share);
    /* There are fewer kinds than entries: at last each has one, but for a share of 0, which is near nothing else. */
    for (uint64_t near = VIEWER_DIGEST_NEAR_PERCENT; near < 1ull << 32; near *= 2)
        if (merge(viewers, count, near, entries, &used)) break;
    return used;
}

static uint8_t encoding_or_nothing(uint8_t encoding)
{ return encoding < LIMIT_ENCODINGS ? encoding : (uint8_t)ALLOCATION_NOTHING; }

size_t viewer_digest_read_untrusted(const struct viewer_entry *entries, size_t count,
                                    struct clamp_viewer *viewers, size_t room)
{
    size_t written = 0;
    for (size_t i = 0; i < count && i < VIEWER_DIGEST_MAX; i++) {
        struct clamp_viewer viewer = entries[i].viewer;
        viewer.bid = encoding_or_nothing(viewer.bid);
        viewer.encoding = encoding_or_nothing(viewer.encoding);
        if (viewer.max_encoding >= LIMIT_ENCODINGS) viewer.max_encoding = LIMIT_ENCODINGS - 1;
        for (uint32_t n = 0; n < entries[i].number && written < room; n++)
            viewers[written++] = viewer;
    }
    return written;
}
