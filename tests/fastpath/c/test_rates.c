/* What encodings cost, measured and told. Rates in kbit/s in the tables. */
#include <stdbool.h>

#include "check.h"
#include "rates.h"

#define MS 1000000ull
#define SECOND (1000 * MS)

static const uint64_t BEGIN = 5 * SECOND;

/* `seconds` of frames at `hz` and `kbps`, a key frame of `key_times` the usual size every `key_every` frames (0 = none). Layers
   by the pattern 0 2 1 2. Returns the end. */
static uint64_t feed(struct rate_row *row, uint64_t now, unsigned ms, unsigned hz, unsigned kbps,
                     unsigned key_every, unsigned key_times, bool layers)
{
    static const uint8_t PATTERN[] = {0, 2, 1, 2};
    unsigned frames = ms * hz / 1000;
    size_t bytes = (size_t)kbps * 125 / hz;
    for (unsigned i = 0; i < frames; i++) {
        size_t size = key_every && i % key_every == key_every - 1 ? bytes * key_times : bytes;
        rate_add(row, layers ? PATTERN[i % 4] : 0, size, now + (uint64_t)i * SECOND / hz);
    }
    return now + (uint64_t)ms * MS;
}

static void check_near(uint32_t bps, unsigned kbps, unsigned percent)
{
    uint64_t found = (uint64_t)bps * 100, wanted = (uint64_t)kbps * 1000;
    if (found < wanted * (100 - percent) || found > wanted * (100 + percent)) {
        fprintf(stderr, "%u bit/s is not within %u %% of %u kbit/s\n", bps, percent, kbps);
        exit(1);
    }
}

static void test_steady_rates_are_measured(void)
{
    static const struct {
        const char *what;
        unsigned hz, kbps, percent;
    } TABLE[] = {{"thumbnail", 15, 150, 10},
                 {"middle", 30, 500, 10},
                 {"full", 30, 1700, 10},
                 {"a slow screen: two frames in a bucket look like a burst", 5, 300, 16},
                 {"large", 60, 8000, 10}};
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        struct rate_row row = {0};
        uint64_t now = feed(&row, BEGIN, 1000, TABLE[i].hz, TABLE[i].kbps, 0, 0, false);
        rate_roll(&row, now);
        check_near(rate_of(&row, 2), TABLE[i].kbps, TABLE[i].percent); /* after one second */
        now = feed(&row, now, 5000, TABLE[i].hz, TABLE[i].kbps, 0, 0, false);
        rate_roll(&row, now);
        check_near(rate_of(&row, 0), TABLE[i].kbps, TABLE[i].percent);
    }
}

static void test_layers_add_up(void)
{
    struct rate_row row = {0};
    uint64_t now = feed(&row, BEGIN, 8000, 32, 1600, 0, 0, true);
    rate_roll(&row, now);
    check_near(rate_of(&row, 0), 400, 3);
    check_near(rate_of(&row, 1), 800, 3);
    check_near(rate_of(&row, 2), 1600, 3);
    check_near(rate_of(&row, 200), 1600, 3);
}

static void test_key_frames_do_not_look_like_another_rate(void)
{
    static const struct {
        unsigned hz, kbps, every, times;
    } TABLE[] = {{30, 1700, 300, 10}, {30, 1700, 120, 8}, {15, 150, 60, 8}, {30, 500, 60, 6}};
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        struct rate_row row = {0};
        uint64_t now = feed(&row, BEGIN, 2000, TABLE[i].hz, TABLE[i].kbps, 0, 0, false);
        uint32_t most = 0;
        for (unsigned part = 0; part < 20; part++) { /* read while it goes on */
            now = feed(&row, now, TABLE[i].every * 1000 / TABLE[i].hz, TABLE[i].hz, TABLE[i].kbps,
                       TABLE[i].every, TABLE[i].times, false);
            rate_roll(&row, now + 250 * MS);
            if (rate_of(&row, 2) > most) most = rate_of(&row, 2);
        }
        CHECK(most <= TABLE[i].kbps * 1000u * 120 / 100);
    }
}

static void test_true_changes_are_followed(void)
{
    static const struct {
        const char *what;
        unsigned from, to, ms;
    } TABLE[] = {{"four times as much, within 2.5 s", 400, 1600, 2500},
                 {"a quarter, within 1.5 s", 1600, 400, 2250},
                 {"half", 1000, 500, 1500}};
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        struct rate_row row = {0};
        uint64_t now = feed(&row, BEGIN, 4000, 30, TABLE[i].from, 0, 0, false);
        now = feed(&row, now, TABLE[i].ms, 30, TABLE[i].to, 0, 0, false);
        rate_roll(&row, now);
        check_near(rate_of(&row, 2), TABLE[i].to, 30);
    }
}

static void test_silence_is_no_rate(void)
{
    struct rate_row row = {0};
    CHECK_EQUAL(rate_of(&row, 2), 0);
    rate_roll(&row, BEGIN);
    uint64_t now = feed(&row, BEGIN, 4000, 30, 1000, 0, 0, false);
    rate_roll(&row, now + 2 * SECOND);
    CHECK(rate_of(&row, 2) < 150000);
    rate_roll(&row, now + 20 * SECOND);
    CHECK_EQUAL(rate_of(&row, 2), 0);
    rate_roll(&row, now); /* a clock that seems to go back changes nothing */
    CHECK_EQUAL(rate_of(&row, 2), 0);
}

/* ---- costs ---- */

enum { T = 0, M = 1, F = 2 };
static const uint32_t DECLARED[LIMIT_ENCODINGS] = {150000, 500000, 1700000};

static void measured(struct rate_row *row, uint64_t now, unsigned kbps)
{
    uint64_t end = feed(row, now - 6 * SECOND, 6000, 32, kbps, 0, 0, true);
    rate_roll(row, end);
}

static void test_costs_by_what_is_known(void)
{
    uint64_t now = 100 * SECOND;
    static const struct {
        const char *what;
        unsigned live_kbps; /* of f, 0 = not live */
        unsigned target_kbps, told_ms_ago;
        unsigned cost_kbps;
    } TABLE[] = {
        {"flows and is not held: what it is", 1600, 0, 0, 1600},
        {"keeps to its target", 900, 1000, 5000, 900},
        {"was told less just now: believed", 1200, 1000, 300, 1000},
        {"was told much less just now: what it still exceeds counts", 1600, 500, 300, 1280},
        {"overshoots a little for good: believed", 1080, 1000, 5000, 1000},
        {"does not obey", 1600, 1000, 5000, 1454},
        {"is not sent: as declared", 0, 0, 0, 1700},
        {"was just asked for", 0, 900, 500, 900},
        {"was asked for and does not come: what flows instead", 0, 900, 2500, 160},
    };
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        struct rate_row rows[LIMIT_ENCODINGS] = {0};
        struct rate_hold holds[LIMIT_ENCODINGS] = {0};
        struct rate_costs costs;
        uint8_t live = 1 << T;
        measured(&rows[T], now, 160);
        if (TABLE[i].live_kbps) {
            measured(&rows[F], now, TABLE[i].live_kbps);
            live |= 1 << F;
        }
        holds[F] = (struct rate_hold){TABLE[i].target_kbps * 1000, now - TABLE[i].told_ms_ago * MS};
        rate_costs_fill(&costs, rows, holds, DECLARED, 3, live, 0, now);
        check_near(costs.bps[F][2], TABLE[i].cost_kbps, 3);
        check_near(costs.bps[T][2], 160, 3);
        CHECK_EQUAL(costs.bps[M][0], 500000);
        CHECK(costs.bps[F][0] <= costs.bps[F][1] && costs.bps[F][1] <= costs.bps[F][2] && costs.bps[F][0] > 0);
    }
}

static void test_a_still_screen_keeps_half_its_peak(void)
{
    struct rate_row rows[LIMIT_ENCODINGS] = {0};
    struct rate_hold holds[LIMIT_ENCODINGS] = {0};
    struct rate_costs costs;
    uint64_t now = feed(&rows[0], BEGIN, 3000, 30, 2000, 0, 0, false);
    now = feed(&rows[0], now, 3000, 5, 20, 0, 0, false);
    rate_roll(&rows[0], now);
    rate_costs_fill(&costs, rows, holds, DECLARED, 1, 1, 1, now);
    CHECK(costs.bps[0][2] > 500000 && costs.bps[0][2] < 1000000);
    CHECK_EQUAL(costs.bps[1][0], 0); /* one encoding */
    rate_costs_fill(&costs, rows, holds, DECLARED, 1, 1, 0, now);
    CHECK(costs.bps[0][2] < 200000);
}

int main(void)
{
    test_steady_rates_are_measured();
    test_layers_add_up();
    test_key_frames_do_not_look_like_another_rate();
    test_true_changes_are_followed();
    test_silence_is_no_rate();
    test_costs_by_what_is_known();
    test_a_still_screen_keeps_half_its_peak();
    return 0;
}
