/* Digests of viewers: as many as there were, none with more than it has, and the lowest of each kind exact. */
#include "check.h"
#include "viewer_digest.h"

static uint32_t kind_of(const struct clamp_viewer *viewer)
{
    return (uint32_t)viewer->max_encoding * 25 + (viewer->bid == 0xff ? 4u : viewer->bid) * 5 +
           (viewer->encoding == 0xff ? 4u : viewer->encoding);
}

static void test_any(uint64_t *random, size_t count)
{
    struct clamp_viewer *viewers = calloc(count + 1, sizeof *viewers),
                        *read = calloc(count + 1, sizeof *read);
    struct viewer_entry entries[VIEWER_DIGEST_MAX];
    static const uint8_t ENCODINGS[] = {0, 1, 2, 0xff};
    uint32_t lowest[128], number[128] = {0};
    uint64_t sum = 0;
    memset(lowest, 0xff, sizeof lowest);
    for (size_t i = 0; i < count; i++) {
        uint64_t any = random_next(random);
        viewers[i] =
            (struct clamp_viewer){.share_bps = any & 7 ? (uint32_t)(any >> 8) >> (any >> 58 & 15) : 0,
                                  .max_encoding = (uint8_t)(any >> 40 & 0xff) % 3,
                                  .bid = ENCODINGS[any >> 48 & 3],
                                  .encoding = ENCODINGS[any >> 50 & 3]};
        uint32_t kind = kind_of(&viewers[i]);
        number[kind]++;
        sum += viewers[i].share_bps;
        if (viewers[i].share_bps < lowest[kind]) lowest[kind] = viewers[i].share_bps;
    }
    size_t used = viewer_digest_make(viewers, count, entries);
    CHECK(used <= VIEWER_DIGEST_MAX);
    CHECK_EQUAL(viewer_digest_read_untrusted(entries, used, read, count + 1), count);
    uint64_t told = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t kind = kind_of(&read[i]);
        CHECK(number[kind]-- > 0 && read[i].share_bps >= lowest[kind]);
        told += read[i].share_bps;
    }
    CHECK(told <= sum);
    if (count < 60) CHECK(told * 102 >= sum * 100);
    for (size_t i = 0; i < used; i++)
        if (entries[i].viewer.share_bps == lowest[kind_of(&entries[i].viewer)])
            lowest[kind_of(&entries[i].viewer)] = 0;
    free(viewers);
    free(read);
}

int main(void)
{
    uint64_t random = 8;
    for (size_t count = 0; count < 400; count++) test_any(&random, count);
    for (unsigned i = 0; i < 20; i++) test_any(&random, 3000);
    /* Nonsense: no more than there is room for, and fields that mean nothing. */
    struct viewer_entry spoilt[2] = {{{5, 200, 100, 50, 0}, 0xffffffff}, {{1, 1, 1, 1, 0}, 3}};
    struct clamp_viewer read[10];
    CHECK_EQUAL(viewer_digest_read_untrusted(spoilt, 2, read, 10), 10);
    CHECK(read[0].max_encoding == 2 && read[0].bid == ALLOCATION_NOTHING && read[0].encoding == ALLOCATION_NOTHING);
    return 0;
}
