/* Pacing in virtual time: how much leaves, in which runs, and that audio never waits. */
#include "check.h"
#include "pacing.h"

#define MS UINT64_C(1000000)
#define START (UINT64_C(1000) * MS)

struct told {
    uint64_t bytes;
    uint32_t longest_run, runs;
    uint64_t last_ns;
};

/* Polls each `poll` for `ns` with `waiting` bytes in the queue (kept full when `refill`), in packets of `packet` bytes. */
static struct told run(struct pacing *pacing, uint32_t waiting, bool refill, uint32_t packet,
                       uint64_t poll, uint64_t ns)
{
    struct told told = {0};
    uint32_t left = waiting;
    for (uint64_t now = START; now < START + ns; now += poll) {
        uint32_t allowed = pacing_allowed(pacing, left, now), taken = 0;
        while (left >= packet && allowed && (taken == 0 || taken + packet <= allowed)) {
            taken += packet;
            if (!refill) left -= packet;
        }
        if (!taken) continue;
        pacing_spent(pacing, taken, now);
        told.bytes += taken;
        told.runs++;
        told.last_ns = now;
        if (taken > told.longest_run) told.longest_run = taken;
    }
    return told;
}

static void runs_are_short_and_the_rate_holds(void)
{
    static const struct {
        uint32_t rate, packet;
        uint64_t poll;
        double least, most;   /* share of the estimate that leaves in a second */
        uint32_t longest_run; /* bytes */
    } rows[] = {
        {300000, 1200, 1 * MS, 1.15, 1.25, 1200},
        {1000000, 1200, 1 * MS, 1.12, 1.25, 1200},
        {3000000, 1200, 1 * MS, 1.12, 1.25, 1875},
        {10000000, 1200, 1 * MS, 1.12, 1.25, 6250},
        {10000000, 1200, 100000, 1.12, 1.25, 6250},
        {50000000, 1200, 100000, 1.12, 1.25, 31250},
        {60000, 1200, 1 * MS, 1.12, 1.4, 1200},
        {2500000, 100, 5 * MS, 0.95, 1.05, 1562}, /* polled late: one run each */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pacing pacing = {0};
        pacing_rate(&pacing, rows[i].rate, false);
        /* As much as would leave within PACING_WAIT_NS anyway. */
        uint32_t waiting = rows[i].rate / 8 / 4 + rows[i].packet;
        struct told told = run(&pacing, waiting, true, rows[i].packet, rows[i].poll, 1000 * MS);
        double share = (double)told.bytes * 8 / rows[i].rate;
        if (share < rows[i].least || share > rows[i].most || told.longest_run > rows[i].longest_run) {
            fprintf(stderr, "row %zu: %.3f of the rate, longest run %u\n", i, share, told.longest_run);
            exit(1);
        }
    }
}

static void nothing_is_saved_up(void)
{
    struct pacing pacing = {0};
    pacing_rate(&pacing, 2000000, false);
    CHECK_EQUAL(pacing_allowed(&pacing, 0, START), 0); /* nothing waits, no probe */
    uint32_t first = pacing_allowed(&pacing, 100000, START + 900 * MS);
    CHECK_EQUAL(first, 1250); /* 5 ms of 2 Mbit/s; not what 900 ms would have held */
    pacing_spent(&pacing, first, START + 900 * MS);
    CHECK_EQUAL(pacing_allowed(&pacing, 10000, START + 900 * MS), 0);
    CHECK_EQUAL(pacing_allowed(&pacing, 10000, START + 3000 * MS), 1250);
}

/* A frame of 9 kB at 2 of 3 Mbit/s leaves at once where there is room, also when it comes in two turns; a probe and a queue in the network end that. */
static void where_there_is_room_a_frame_leaves_in_one_piece(void)
{
    static const struct {
        bool roomy, congested, probe;
        uint32_t least, most;
    } rows[] = {{true, false, false, 7500, 18750},
                {false, false, false, 1, 1875},
                {true, true, false, 1, 1875},
                {true, false, true, 1, 3125}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pacing pacing = {0};
        pacing_rate(&pacing, 3000000, rows[i].congested);
        pacing_room(&pacing, rows[i].roomy);
        CHECK(pacing_allowed(&pacing, 9000, START) > 0);
        if (rows[i].probe)
            pacing_probe(&pacing, &(struct probe_request){5000000, 20000, 1}, START + 500 * MS);
        uint32_t allowed = pacing_allowed(&pacing, 9000, START + 900 * MS);
        CHECK(allowed >= rows[i].least && allowed <= rows[i].most);
        pacing_spent(&pacing, 2400, START + 900 * MS);
        uint32_t more = pacing_allowed(&pacing, 6600, START + 900 * MS + 200000);
        CHECK_EQUAL(more > 0, rows[i].least > 1);
    }
    struct pacing pacing = {0};
    pacing_rate(&pacing, 3000000, false);
    pacing_room(&pacing, true);
    struct told told = run(&pacing, 95000, true, 1200, MS, 1000 * MS);
    CHECK((double)told.bytes * 8 / 3000000 < 1.6); /* the rate holds nevertheless */
}

static void a_key_frame_leaves_in_time(void)
{
    struct pacing pacing = {0};
    pacing_rate(&pacing, 300000, false);
    struct told told = run(&pacing, 60000, false, 1200, MS, 3000 * MS); /* 1.6 s of the estimate */
    CHECK_EQUAL(told.bytes, 60000);
    CHECK(told.last_ns - START < 900 * MS);
    CHECK_EQUAL(told.longest_run, 1200);
}

static void audio_never_waits_and_does_not_silence_video(void)
{
    struct pacing pacing = {0};
    pacing_rate(&pacing, 100000, false);
    CHECK(pacing_allowed(&pacing, 1200, START) > 0);
    pacing_spent(&pacing, 1200, START);
    for (unsigned i = 0; i < 200; i++)
        pacing_spent(&pacing, 300, START + i * 1000); /* audio asks nobody */
    uint64_t due = pacing_due_ns(&pacing, START + MS);
    CHECK(due > START + MS && due < START + 150 * MS);
    CHECK(pacing_allowed(&pacing, 1200, due) > 0);
}

static void due_is_when_something_may_leave(void)
{
    uint64_t random = 3, now = START;
    struct pacing pacing = {0};
    for (unsigned i = 0; i < 5000; i++) {
        if (i % 50 == 0)
            pacing_rate(&pacing, 60000 + (uint32_t)(random_next(&random) % 20000000), false);
        uint32_t waiting = 1 + (uint32_t)(random_next(&random) % 20000);
        uint32_t allowed = pacing_allowed(&pacing, waiting, now);
        if (allowed) {
            pacing_spent(&pacing,
                         1 + (uint32_t)(random_next(&random) % (allowed < waiting ? allowed : waiting)), now);
        } else {
            uint64_t due = pacing_due_ns(&pacing, now);
            CHECK(due > now && due < now + 1000 * MS);
            CHECK(pacing_allowed(&pacing, waiting, due) > 0);
            now = due;
        }
        now += random_next(&random) % MS;
    }
}

static void a_probe_is_filled_with_padding(void)
{
    static const struct {
        uint32_t rate, probe, media; /* media = bytes that wait when it begins */
        uint64_t poll;
        double least_ms, most_ms;
    } rows[] = {
        {300000, 900000, 0, MS, 40, 60},      {1000000, 3000000, 0, MS, 12, 22},
        {1000000, 3000000, 3000, MS, 12, 22}, {5000000, 15000000, 0, MS, 10, 24},
        {300000, 900000, 20000, MS, 40, 60},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pacing pacing = {0};
        pacing_rate(&pacing, rows[i].rate, false);
        uint32_t bytes = rows[i].probe / 8 * 15 / 1000;
        if (bytes < 6000) bytes = 6000;
        pacing_probe(&pacing, &(struct probe_request){rows[i].probe, bytes, 7}, START);
        uint32_t left = rows[i].media, sent = 0, padding = 0, first = 0;
        uint64_t last = START;
        for (uint64_t now = START; pacing_cluster(&pacing) && now < START + 500 * MS; now += rows[i].poll) {
            CHECK_EQUAL(pacing_cluster(&pacing), 7);
            uint32_t allowed = pacing_allowed(&pacing, left, now), taken = 0;
            while (allowed && left >= 1000 && (taken == 0 || taken + 1000 <= allowed))
                taken += 1000, left -= 1000;
            uint32_t filler = left >= 1000 ? 0 : pacing_padding(&pacing, allowed, taken);
            padding += filler;
            if (taken + filler == 0) continue;
            pacing_spent(&pacing, taken + filler, now);
            if (!first) first = taken + filler;
            sent += taken + filler;
            last = now;
        }
        double ms = (double)(last - START) / (double)MS;
        if (sent < bytes || sent > bytes + 1250 || ms < rows[i].least_ms || ms > rows[i].most_ms) {
            fprintf(stderr, "row %zu: %u of %u bytes in %.1f ms\n", i, sent, bytes, ms);
            exit(1);
        }
        CHECK(rows[i].media >= bytes ? padding == 0 : padding > 0);
        CHECK_EQUAL(pacing_cluster(&pacing), 0);
        CHECK_EQUAL(pacing_padding(&pacing, 1000, 0), 0);
    }
}

int main(void)
{
    runs_are_short_and_the_rate_holds();
    nothing_is_saved_up();
    where_there_is_room_a_frame_leaves_in_one_piece();
    a_key_frame_leaves_in_time();
    audio_never_waits_and_does_not_silence_video();
    due_is_when_something_may_leave();
    a_probe_is_filled_with_padding();
    return 0;
}
