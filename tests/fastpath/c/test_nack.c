/* Which gaps are asked for and when, and when a key frame is asked for instead. */
#include "check.h"
#include "nack.h"
#include "rtcp.h"

#define MS UINT64_C(1000000)

static struct nack nack;
static uint16_t lost[256];
static bool key_wanted;

static unsigned due(uint64_t now_ns, uint32_t round_trip_us)
{
    key_wanted = false;
    return nack_due(&nack, round_trip_us, now_ns, lost, 256, &key_wanted);
}

static void begin(uint64_t first)
{
    memset(&nack, 0, sizeof nack);
    CHECK(!nack_received(&nack, first, MS));
}

static void test_asked_after_the_guard_and_once_per_round_trip(void)
{
    begin(10);
    CHECK_EQUAL(nack.next_due_ns, UINT64_MAX);
    CHECK(!nack_received(&nack, 13, 100 * MS));
    CHECK_EQUAL(nack.next_due_ns, 105 * MS);
    CHECK_EQUAL(due(104 * MS, 50000), 0);
    CHECK_EQUAL(due(105 * MS, 50000), 2);
    CHECK_EQUAL(lost[0], 11);
    CHECK_EQUAL(lost[1], 12);
    CHECK_EQUAL(due(154 * MS, 50000), 0);
    CHECK(nack_received(&nack, 11, 154 * MS));
    CHECK(!nack_received(&nack, 11, 154 * MS));
    CHECK_EQUAL(nack.next_due_ns, 155 * MS);
    CHECK_EQUAL(due(155 * MS, 50000), 1);
    CHECK_EQUAL(lost[0], 12);
    CHECK(nack_received(&nack, 12, 160 * MS));
    CHECK_EQUAL(nack.next_due_ns, UINT64_MAX);
    CHECK_EQUAL(due(300 * MS, 50000), 0);
    CHECK(!key_wanted);
}

static void test_a_mere_reordering_is_not_asked_for(void)
{
    begin(10);
    CHECK(!nack_received(&nack, 12, 100 * MS));
    CHECK(nack_received(&nack, 11, 103 * MS));
    CHECK_EQUAL(due(106 * MS, 0), 0);
    CHECK(!key_wanted);
}

/* When each try comes, for round trips of 50 ms, 1 ms (taken as 20), unknown (100), and 2 s (taken as 500), and the key frame. */
static void test_back_off(void)
{
    static const struct {
        uint32_t round_trip_us;
        unsigned tries[NACK_TRIES + 1]; /* ms after the gap was found, 0 = no more */
        unsigned key;
    } rows[] = {
        {50000, {5, 55, 105, 155, 255, 455, 855}, 225},
        {1000, {5, 25, 45, 65, 105, 185, 345, 665}, 200},
        {0, {5, 105, 205, 305, 505, 905}, 300},
        {2000000, {5, 505}, 800},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        begin(65534);
        CHECK(!nack_received(&nack, 65537, 1000 * MS));
        unsigned tries = 0, key = 0;
        for (unsigned ms = 0; ms <= 1100; ms++) {
            uint64_t now = (1000 + ms) * MS;
            bool promised = nack.next_due_ns <= now;
            unsigned got = due(now, rows[r].round_trip_us);
            CHECK(got == 0 || got == 2);
            if (got) {
                CHECK_EQUAL(lost[0], 65535);
                CHECK_EQUAL(lost[1], 0);
                CHECK_EQUAL(rows[r].tries[tries++], ms);
            }
            if (key_wanted) {
                CHECK_EQUAL(key, 0);
                key = ms;
            }
            CHECK(promised || (!got && !key_wanted)); /* next_due_ns told */
        }
        CHECK_EQUAL(rows[r].tries[tries], 0);
        CHECK_EQUAL(key, rows[r].key);
        CHECK_EQUAL(nack.count, 0);
        CHECK_EQUAL(nack.next_due_ns, UINT64_MAX);
    }
}

static void test_an_outage_asks_for_a_key_frame_at_once(void)
{
    begin(10);
    CHECK(!nack_received(&nack, 10 + NACK_ENTRIES + 2, 100 * MS));
    CHECK_EQUAL(nack.next_due_ns, 100 * MS);
    CHECK_EQUAL(due(100 * MS, 50000), 0);
    CHECK(key_wanted);
    CHECK_EQUAL(due(100 * MS, 50000), 0);
    CHECK(!key_wanted);
    CHECK(!nack_received(&nack, nack.highest + 2, 101 * MS)); /* goes on */
    CHECK_EQUAL(nack.count, 1);

    begin(10);
    CHECK(!nack_received(&nack, 10 + NACK_ENTRIES + 1, 100 * MS)); /* all of them just fit */
    CHECK_EQUAL(nack.count, NACK_ENTRIES);
    CHECK(!nack_received(&nack, nack.highest + 4, 101 * MS)); /* the oldest three are given up */
    CHECK_EQUAL(nack.count, NACK_ENTRIES);
    CHECK_EQUAL(nack.entries[0].index, 14);
    CHECK_EQUAL(due(102 * MS, 50000), 0);
    CHECK(key_wanted);
    CHECK_EQUAL(due(106 * MS, 50000), NACK_ENTRIES);
}

static void test_a_key_frame_ends_the_wish_for_one(void)
{
    begin(10);
    CHECK(!nack_received(&nack, 12, 100 * MS));
    CHECK(!nack_received(&nack, 14, 110 * MS));
    nack_key_frame(&nack, 12);
    CHECK_EQUAL(due(115 * MS, 50000), 2); /* both are asked for */
    for (uint64_t ms = 116; ms < 330; ms++) {
        due(ms * MS, 50000);
        CHECK(!key_wanted);
    }
    due(335 * MS, 50000); /* 225 ms after 13 was missed */
    CHECK(key_wanted);
}

static void test_no_more_than_there_is_room_for(void)
{
    begin(10);
    CHECK(!nack_received(&nack, 61, 100 * MS));
    key_wanted = false;
    CHECK_EQUAL(nack_due(&nack, 50000, 105 * MS, lost, 20, &key_wanted), 20);
    CHECK_EQUAL(lost[19], 30);
    CHECK(nack.next_due_ns <= 105 * MS);
    CHECK_EQUAL(nack_due(&nack, 50000, 106 * MS, lost, 256, &key_wanted), 30);
    CHECK_EQUAL(lost[0], 31);
    uint8_t block[256];
    CHECK_EQUAL(rtcp_write_nack(block, sizeof block, 1, 2, lost, 30), 20); /* 31..47 and 48..60 */
    CHECK_EQUAL(block[12] << 8 | block[13], 31);
    CHECK_EQUAL(block[14] << 8 | block[15], 0xffff);
}

/* Any order of arrivals: the list is what a plain set says, bounded and ascending. */
static void test_chance(void)
{
    uint64_t state = 8, now = MS;
    static uint8_t seen[1 << 17];
    begin(1);
    seen[1] = 1;
    for (int step = 0; step < 200000 && nack.highest < (1 << 17) - 300; step++) {
        uint64_t choice = random_next(&state), index = nack.highest + 1;
        if (choice % 8 == 0) index += (choice >> 8) % 6;
        if (choice % 3000 == 1) index += (choice >> 8) % 200;
        if (choice % 4 == 2 && nack.highest > 100) index = nack.highest - (choice >> 8) % 100;
        if (seen[index]) continue;
        seen[index] = 1;
        bool listed = false;
        for (uint32_t i = 0; i < nack.count; i++) listed |= nack.entries[i].index == index;
        CHECK_EQUAL(nack_received(&nack, index, now), listed);
        now += (choice >> 40) % (3 * MS);
        if (nack.next_due_ns <= now) {
            unsigned got = due(now, 30000);
            for (unsigned i = 1; i < got; i++) CHECK((uint16_t)(lost[i] - lost[i - 1]) < 0x8000);
            CHECK(nack.next_due_ns > now);
        }
        CHECK(nack.count <= NACK_ENTRIES);
        for (uint32_t i = 0; i < nack.count; i++) {
            CHECK(!seen[nack.entries[i].index] && nack.entries[i].index < nack.highest);
            CHECK(i == 0 || nack.entries[i].index > nack.entries[i - 1].index);
        }
    }
    CHECK(nack.highest > 50000);
}

/* Ten minutes of 300 packets a second where one in ten is lost both ways, 50 ms there and back: what stays lost, what is asked for. */
static void test_a_lossy_path(void)
{
    enum { PACKETS = 300 * 600, FLIGHTS = 1024 };
    static uint8_t have[PACKETS + 2];
    static struct {
        uint64_t at;
        uint32_t index;
    } flights[FLIGHTS]; /* repairs on their way */
    uint64_t state = 21, asked = 0, key_frames = 0, lost_for_good = 0;
    begin(1);
    have[1] = 1;
    for (uint32_t i = 2; i <= PACKETS; i++) {
        uint64_t now = i * (1000 * MS / 300);
        for (unsigned f = 0; f < FLIGHTS; f++) {
            if (!flights[f].at || flights[f].at > now) continue;
            flights[f].at = 0;
            if (!have[flights[f].index]) nack_received(&nack, flights[f].index, now);
            have[flights[f].index] = 1;
        }
        if (random_next(&state) % 10) {
            have[i] = 1;
            nack_received(&nack, i, now);
        }
        if (nack.next_due_ns > now) continue;
        unsigned got = due(now, 50000);
        key_frames += key_wanted;
        asked += got;
        bool arrives = random_next(&state) % 10; /* one NACK for all of them */
        for (unsigned n = 0; n < got && arrives; n++) {
            if (random_next(&state) % 10 == 0) continue;
            unsigned f = 0;
            while (flights[f].at) f++;
            CHECK(f < FLIGHTS);
            flights[f].at = now + 50 * MS;
            flights[f].index = (i & ~0xffffu) | lost[n];
            if (flights[f].index > i) flights[f].index -= 0x10000;
        }
    }
    for (uint32_t i = 1; i < PACKETS - 300; i++) lost_for_good += !have[i];
    CHECK(lost_for_good <= PACKETS / 100000);       /* far below one in a thousand */
    CHECK(asked < PACKETS / 10 * 5 / 4 + 200);      /* each loss 1.23 times */
    CHECK(key_frames > 5 && key_frames < 600 / 15); /* one in 20 s */
}

int main(void)
{
    test_asked_after_the_guard_and_once_per_round_trip();
    test_a_mere_reordering_is_not_asked_for();
    test_back_off();
    test_an_outage_asks_for_a_key_frame_at_once();
    test_a_key_frame_ends_the_wish_for_one();
    test_no_more_than_there_is_room_for();
    test_chance();
    test_a_lossy_path();
    return 0;
}
