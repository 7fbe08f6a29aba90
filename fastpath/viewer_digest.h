/* Those who view a source, told to another worker: viewers who want and get the same and whose shares are about equal become one entry with their
 * number, of the lowest share among them, because that is what an encoding is held to (clamp.h).
 *
 * Pure. */
#ifndef SOTTO_VIEWER_DIGEST_H
#define SOTTO_VIEWER_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "clamp.h"

/* Entries of one digest. Higher: longer messages. Lower: shares are told more coarsely where many differ. */
#define VIEWER_DIGEST_MAX 128u
/* Shares this near, in percent, are one at first; twice as far each time that there is no room. Higher: a sender is held lower than its
   slowest viewer needs, by up to that. Lower: more entries. */
#define VIEWER_DIGEST_NEAR_PERCENT 2u

struct viewer_entry {
    struct clamp_viewer viewer;
    uint32_t number; /* how many like it */
};
_Static_assert(sizeof(struct viewer_entry) == 12, "layout of a message");

/* The array is put into another order. Returns how many of entries[VIEWER_DIGEST_MAX] are used. */
size_t viewer_digest_make(struct clamp_viewer *viewers, size_t count, struct viewer_entry *entries);
/* Writes at most `room` viewers; fields that cannot be are made such that mean nothing. Returns how many. */
size_t viewer_digest_read_untrusted(const struct viewer_entry *entries, size_t count,
                                    struct clamp_viewer *viewers, size_t room);

#endif
