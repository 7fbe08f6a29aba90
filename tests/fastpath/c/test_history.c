/* What is kept, for how long, and what pushes it out. */
#include <errno.h>

#include "check.h"
#include "history.h"

#define MS UINT64_C(1000000)

static struct history_slab slab;
static uint8_t payload[HISTORY_PAYLOAD_MAX];

static bool put(struct history *history, uint64_t index, uint16_t length, uint64_t now_ns)
{
    memset(payload, (int)(index % 251), length);
    struct history_packet packet = {
        .index = index,
        .time_ns = now_ns,
        .payload = payload,
        .timestamp = (uint32_t)index * 3,
        .length = length,
        .marker = index & 1,
        .has_level = 1,
        .level = (uint8_t)index,
    };
    return history_put(&slab, history, &packet);
}

static bool find(const struct history *history, uint64_t index, uint64_t now_ns)
{
    struct history_packet packet;
    if (!history_find(&slab, history, index, now_ns, &packet)) return false;
    CHECK_EQUAL(packet.index, index);
    CHECK_EQUAL(packet.timestamp, (uint32_t)index * 3);
    CHECK_EQUAL(packet.marker, index & 1);
    CHECK_EQUAL(packet.level, (uint8_t)index);
    for (unsigned i = 0; i < packet.length; i++) CHECK_EQUAL(packet.payload[i], index % 251);
    return true;
}

static void test_kept_for_a_second(void)
{
    struct history history;
    CHECK_EQUAL(history_open(&history, false), 0);
    CHECK(!find(&history, 0, MS));
    CHECK(put(&history, 70000, 1200, 5 * MS));
    CHECK(find(&history, 70000, 5 * MS));
    CHECK(find(&history, 70000, 1005 * MS));
    CHECK(!find(&history, 70000, 1005 * MS + 1));
    CHECK(!find(&history, 70001, 5 * MS));
    CHECK(!find(&history, 70000 - HISTORY_VIDEO_SLOTS, 5 * MS)); /* same slot, another packet */
    CHECK(put(&history, 70001, 0, 6 * MS));                      /* an empty one */
    CHECK(find(&history, 70001, 6 * MS));
    CHECK(put(&history, 70000 + HISTORY_VIDEO_SLOTS, 9, 6 * MS));
    CHECK(!find(&history, 70000, 6 * MS));
    CHECK(!put(&history, 70000, 9, 6 * MS)); /* a late one does not push out a newer one */
    CHECK(find(&history, 70000 + HISTORY_VIDEO_SLOTS, 6 * MS));
    history_restart(&history, 9);
    CHECK_EQUAL(history.ssrc, 9);
    CHECK(!find(&history, 70001, 6 * MS));
    history_close(&history);
    CHECK(!put(&history, 1, 9, MS));
    CHECK(!find(&history, 1, MS));
    history_close(&history);

    CHECK_EQUAL(history_open(&history, true), 0);
    CHECK(put(&history, 1, 80, MS));
    CHECK(find(&history, 1, 501 * MS));
    CHECK(!find(&history, 1, 502 * MS));
    history_close(&history);
}

static void test_too_long_is_not_kept(void)
{
    struct history history;
    CHECK_EQUAL(history_open(&history, false), 0);
    struct history_packet packet = {.index = 1, .payload = payload, .length = HISTORY_PAYLOAD_MAX + 1};
    CHECK(!history_put(&slab, &history, &packet));
    packet.length--;
    CHECK(history_put(&slab, &history, &packet));
    history_close(&history);
}

/* Three encodings share the ring; what is found is always what was put, and the newest half of the ring is always found. */
static void test_the_ring_wraps(void)
{
    struct history histories[3];
    for (int i = 0; i < 3; i++) CHECK_EQUAL(history_open(&histories[i], false), 0);
    uint64_t state = 3, next[3] = {1, 1, 1};
    for (int step = 0; step < 30000; step++) {
        uint64_t choice = random_next(&state), now = (uint64_t)step * MS * 4;
        unsigned who = (unsigned)choice % 3;
        uint64_t index = next[who]++;
        CHECK(put(&histories[who], index, (uint16_t)((choice >> 8) % 1400), now));
        CHECK(find(&histories[who], index, now));
        uint64_t back = (choice >> 32) % 200;
        if (index > back && find(&histories[who], index - back, now)) CHECK(back < 190);
        if (index > 5) CHECK(find(&histories[who], index - 5, now));
    }
    for (int i = 0; i < 3; i++) history_close(&histories[i]);
}

/* 2 Mbit/s for a minute and then 8, in a ring of 32 MiB: two pieces of it are used, and what is asked for is there all the time. */
static void test_little_to_keep_needs_little_memory(void)
{
    struct history_slab whole = slab;
    CHECK_EQUAL(history_slab_open(&slab, HISTORY_SLAB_BYTES), 0);
    struct history histories[4];
    for (int i = 0; i < 4; i++) CHECK_EQUAL(history_open(&histories[i], false), 0);
    uint64_t now = 7 * MS, most = 0, laps = 0;
    for (uint64_t step = 0; step < 30000; step++) {
        now += step < 15000 ? 4 * MS : MS;
        CHECK(put(&histories[step % 4], step / 4 + 1, 1000, now));
        uint64_t back = step < 15000 ? 248 : 996; /* steps in a little less than a second */
        if (step < 15000 || step > 16000)
            if (step > back) CHECK(find(&histories[(step - back) % 4], (step - back) / 4 + 1, now));
        uint64_t used = slab.head & (slab.capacity - 1);
        if (used > most) most = used;
        laps = slab.head / slab.capacity;
    }
    CHECK(laps > 10);
    CHECK(most < 5u << 20); /* what comes in four seconds of the higher rate */
    for (int i = 0; i < 4; i++) history_close(&histories[i]);
    history_slab_close(&slab);
    slab = whole;
}

static void test_one_sender_cannot_push_out_the_others(void)
{
    struct history_slab whole = slab;
    CHECK_EQUAL(history_slab_open(&slab, HISTORY_SLAB_BYTES), 0);
    struct history quiet, flood;
    CHECK_EQUAL(history_open(&quiet, false), 0);
    CHECK_EQUAL(history_open(&flood, false), 0);
    CHECK(put(&quiet, 1, 1000, 1000 * MS));
    unsigned kept = 0;
    for (uint64_t i = 0; i < 100000; i++) kept += put(&flood, i + 1, 1400, 1000 * MS + i * 1000);
    CHECK_EQUAL(kept, HISTORY_BYTES_PER_SECOND / 1440);
    CHECK(find(&quiet, 1, 1100 * MS));
    CHECK(put(&flood, 200000, 1400, 2001 * MS)); /* the next second */
    history_close(&quiet);
    history_close(&flood);
    history_slab_close(&slab);
    slab = whole;
}

int main(void)
{
    CHECK_EQUAL(history_slab_open(&slab, 1000), -EINVAL);
    CHECK_EQUAL(history_slab_open(&slab, 100000), -EINVAL);
    CHECK_EQUAL(history_slab_open(&slab, 1 << 18), 0);
    test_kept_for_a_second();
    test_too_long_is_not_kept();
    test_the_ring_wraps();
    test_little_to_keep_needs_little_memory();
    test_one_sender_cannot_push_out_the_others();
    history_slab_close(&slab);
    history_slab_close(&slab);
    return 0;
}
