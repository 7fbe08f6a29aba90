/* What a sender is asked for, from the shares of its viewers (kbit/s). */
#include <time.h>

#include "check.h"
#include "clamp.h"
#include "table.h"

#define MS 1000000ull
#define SECOND (1000 * MS)
#define KBIT 1000u
#define TICK (100 * MS)

enum { T = 0, M = 1, F = 2 };
static const struct clamp_limits CAMERA = {
    .max_bps = {150 * KBIT, 500 * KBIT, 1700 * KBIT}, .encoding_count = 3, .kind = SOURCE_CAMERA};
static const struct clamp_limits SINGLE = {.max_bps = {1700 * KBIT}, .encoding_count = 1, .kind = SOURCE_CAMERA};
static const struct clamp_limits SCREEN = {.max_bps = {2500 * KBIT}, .encoding_count = 1, .kind = SOURCE_SCREEN};

#define VIEWERS 8

/* Everybody wants f and bids for it, as long as the share is not 0 (the end of the list). */
static size_t viewers_of(const unsigned *kbps, struct clamp_viewer *viewers)
{
    size_t count = 0;
    for (; count < VIEWERS && kbps[count]; count++)
        viewers[count] = (struct clamp_viewer){
            .share_bps = kbps[count] * KBIT, .max_encoding = F, .bid = F, .encoding = F};
    return count;
}

static void test_full_resolution_is_held_to_the_lowest_worthy_share(void)
{
    static const struct {
        const char *what;
        unsigned share[VIEWERS];
        unsigned target, entry, held_for, left_out;
    } TABLE[] = {
        {"one with plenty", {5000}, 1700, 850, 1, 0},
        {"one in the middle", {1000}, 950, 550, 1, 0},
        {"the lower of two", {1700, 1000}, 950, 850, 2, 0},
        {"a slow one does not drag another down", {1700, 700}, 1615, 850, 1, 1},
        {"nor many", {3000, 3000, 2000, 300}, 1700, 850, 3, 1},
        {"but one fast one does not put most of them out", {5000, 800, 800, 800}, 760, 550, 4, 0},
        {"nor two of five", {5000, 5000, 800, 800, 800}, 760, 550, 5, 0},
        {"of two and two the better count", {1700, 1700, 800, 800}, 1615, 850, 2, 2},
        {"who cannot have it at all does not count as a viewer", {1700, 1700, 200, 200, 200}, 1615, 850, 2, 3},
    };
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        struct clamp_source source = {0};
        struct clamp_viewer viewers[VIEWERS];
        size_t count = viewers_of(TABLE[i].share, viewers);
        clamp_update(&source, &CAMERA, viewers, count, 100 * SECOND);
        const struct clamp_encoding *f = &source.encodings[F];
        if (f->target_bps != TABLE[i].target * KBIT)
            fprintf(stderr, "%s: %u bit/s\n", TABLE[i].what, f->target_bps);
        CHECK_EQUAL(f->target_bps, TABLE[i].target * KBIT);
        CHECK_EQUAL(f->entry_bps, TABLE[i].entry * KBIT);
        CHECK_EQUAL(f->viewers, TABLE[i].held_for);
        CHECK_EQUAL(f->left_out, TABLE[i].left_out);
    }
}

static void test_the_share_is_configurable(void)
{
    struct clamp_limits limits = CAMERA;
    struct clamp_viewer viewers[VIEWERS];
    const unsigned shares[VIEWERS] = {1700, 1000};
    limits.share_percent = 80;
    struct clamp_source source = {0};
    clamp_update(&source, &limits, viewers, viewers_of(shares, viewers), SECOND);
    CHECK_EQUAL(source.encodings[F].target_bps, 1615 * KBIT);
    CHECK_EQUAL(source.encodings[F].entry_bps, 1360 * KBIT);
}

static void test_thumbnails_have_a_floor(void)
{
    static const struct {
        unsigned share[VIEWERS], target;
    } TABLE[] = {{{400, 300}, 150}, {{400, 100}, 95}, {{400, 60}, 150},
                 {{60, 60}, 57},    {{51}, 50},       {{20, 20}, 50}};
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        struct clamp_source source = {0};
        struct clamp_viewer viewers[VIEWERS];
        size_t count = viewers_of(TABLE[i].share, viewers);
        for (size_t v = 0; v < count; v++)
            viewers[v].max_encoding = viewers[v].bid = viewers[v].encoding = T;
        clamp_update(&source, &CAMERA, viewers, count, SECOND);
        CHECK_EQUAL(source.encodings[T].target_bps, TABLE[i].target * KBIT);
        CHECK_EQUAL(source.encodings[F].target_bps, 0);
    }
}

static void test_what_was_switched_on_follows_at_once(void)
{
    struct clamp_source source = {0};
    struct clamp_viewer viewer = {.share_bps = 600 * KBIT, .max_encoding = F, .bid = F, .encoding = T};
    uint64_t now = 100 * SECOND;
    static const struct {
        const char *what;
        unsigned after_ms, share, target, scale;
        bool told;
    } TABLE[] = {
        {"a click, and little is known of the link", 0, 600, 570, 150, true},
        {"nothing new", 100, 600, 570, 150, false},
        {"a probe found more", 200, 1200, 1140, 100, true},
        {"and the next one all of it: told at once", 50, 4000, 1700, 100, true},
        {"down is down", 300, 1000, 950, 100, true},
        {"and up again slowly, as with any picture that is seen", 100, 4000, 1045, 100, false},
    };
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        now += TABLE[i].after_ms * MS;
        viewer.share_bps = TABLE[i].share * KBIT;
        bool told = clamp_update(&source, &CAMERA, &viewer, 1, now) & 1 << F;
        struct clamp_order order = clamp_order(&source, &CAMERA, F);
        if (order.bps != TABLE[i].target * KBIT || told != TABLE[i].told)
            fprintf(stderr, "%s: %u bit/s, told %d\n", TABLE[i].what, order.bps, told);
        CHECK_EQUAL(order.bps, TABLE[i].target * KBIT);
        CHECK_EQUAL(order.scale_percent, TABLE[i].scale);
        CHECK_EQUAL(told, TABLE[i].told);
        if (told) clamp_told(&source, F, now);
    }
    source = (struct clamp_source){0}; /* a link that opens only later */
    viewer.share_bps = 600 * KBIT;
    clamp_update(&source, &CAMERA, &viewer, 1, now);
    viewer.share_bps = 4000 * KBIT;
    clamp_update(&source, &CAMERA, &viewer, 1, now + CLAMP_START_NS);
    CHECK(source.encodings[F].target_bps < 1200 * KBIT);
}

static void test_what_is_only_passed_on_the_way_up_stays_off(void)
{
    struct clamp_source source = {0};
    struct clamp_viewer viewer = {.share_bps = 1200 * KBIT, .max_encoding = F, .bid = F, .encoding = M};
    clamp_update(&source, &CAMERA, &viewer, 1, SECOND);
    CHECK_EQUAL(source.encodings[F].target_bps, 1140 * KBIT);
    CHECK_EQUAL(source.encodings[M].target_bps, 0); /* one more encoder would only make f come later */
    viewer.bid = M;
    clamp_update(&source, &CAMERA, &viewer, 1, SECOND + TICK);
    CHECK_EQUAL(source.encodings[M].target_bps, 500 * KBIT);
}

static void test_down_at_once_up_slowly(void)
{
    struct clamp_source source = {0};
    struct clamp_viewer viewer = {.share_bps = 5000 * KBIT, .max_encoding = F, .bid = F, .encoding = F};
    uint64_t now = 100 * SECOND;
    clamp_update(&source, &CAMERA, &viewer, 1, now);
    CHECK_EQUAL(source.encodings[F].target_bps, 1700 * KBIT); /* switched on: at once */
    viewer.share_bps = 700 * KBIT;
    clamp_update(&source, &CAMERA, &viewer, 1, now += TICK);
    CHECK_EQUAL(source.encodings[F].target_bps, 665 * KBIT);
    viewer.share_bps = 5000 * KBIT;
    unsigned ticks = 0;
    for (uint32_t before = 0; source.encodings[F].target_bps < 1700 * KBIT; ticks++) {
        before = source.encodings[F].target_bps;
        clamp_update(&source, &CAMERA, &viewer, 1, now += TICK);
        unsigned most = 1700 * KBIT > before / 100 * CLAMP_FAR_PERCENT ? 11 : 4; /* percent a tick */
        CHECK(source.encodings[F].target_bps > before &&
              source.encodings[F].target_bps <= before + before * most / 100);
    }
    CHECK(ticks >= 12 && ticks <= 22); /* 1.5 to 2 s */
}

static void test_nobody_views_it(void)
{
    struct clamp_source source = {0};
    struct clamp_viewer viewer = {.share_bps = 5000 * KBIT, .max_encoding = F, .bid = F, .encoding = F};
    uint64_t now = 100 * SECOND;
    CHECK_EQUAL(clamp_update(&source, &CAMERA, &viewer, 1, now), 1 << F | 1 << T); /* t stands ready */
    clamp_told(&source, F, now);
    clamp_told(&source, T, now);
    CHECK_EQUAL(clamp_update(&source, &CAMERA, &viewer, 0, now + 2 * SECOND), 0);
    CHECK_EQUAL(source.encodings[F].target_bps, 1700 * KBIT);
    CHECK_EQUAL(clamp_update(&source, &CAMERA, &viewer, 0, now + CLAMP_OFF_NS), 1 << F | 1 << T);
    CHECK_EQUAL(clamp_order(&source, &CAMERA, F).active, 0);
    clamp_told(&source, F, now + CLAMP_OFF_NS);
    CHECK_EQUAL(clamp_update(&source, &CAMERA, &viewer, 1, now + 60 * SECOND) & 1 << F, 1 << F); /* and on, at once */
    CHECK_EQUAL(clamp_order(&source, &CAMERA, F).bps, 1700 * KBIT);
}

static void test_a_look_aside_costs_nothing(void)
{
    struct clamp_source source = {0};
    struct clamp_viewer viewer = {.share_bps = 5000 * KBIT, .max_encoding = F, .bid = F, .encoding = F};
    uint64_t now = 100 * SECOND;
    clamp_update(&source, &CAMERA, &viewer, 1, now);
    clamp_told(&source, F, now);
    for (unsigned i = 0; i < 50; i++) {
        viewer.max_encoding = viewer.bid = viewer.encoding = i % 10 == 0 ? F : T; /* every 2 s */
        CHECK_EQUAL(clamp_update(&source, &CAMERA, &viewer, 1, now += 200 * MS) & 1 << F, 0);
    }
}

static void test_smaller_and_slower_below_what_full_size_needs(void)
{
    static const struct {
        const char *what;
        const struct clamp_limits *limits;
        unsigned kbps, scale, framerate;
    } TABLE[] = {
        {"full size", &SINGLE, 700, 100, 0},
        {"540 lines", &SINGLE, 500, 150, 0},
        {"360 lines, 20 Hz", &SINGLE, 300, 200, 20},
        {"180 lines, 15 Hz", &SINGLE, 150, 400, 15},
        {"a screen", &SCREEN, 1500, 100, 0},
        {"a screen, 10 Hz", &SCREEN, 700, 100, 10},
        {"a screen, 5 Hz", &SCREEN, 300, 100, 5},
        {"a smaller screen last", &SCREEN, 180, 200, 3},
    };
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        struct clamp_source source = {0};
        struct clamp_viewer viewer = {
            .share_bps = TABLE[i].kbps * KBIT, .max_encoding = 0, .bid = 0, .encoding = 0};
        clamp_update(&source, TABLE[i].limits, &viewer, 1, SECOND);
        struct clamp_order order = clamp_order(&source, TABLE[i].limits, 0);
        if (order.scale_percent != TABLE[i].scale)
            fprintf(stderr, "%s: %u\n", TABLE[i].what, order.scale_percent);
        CHECK_EQUAL(order.scale_percent, TABLE[i].scale);
        CHECK_EQUAL(order.framerate, TABLE[i].framerate);
        CHECK(order.active && order.bps <= TABLE[i].kbps * KBIT);
    }
}

static void test_sizes_do_not_flap(void)
{
    struct clamp_source source = {0};
    uint64_t now = 100 * SECOND, random = 3;
    unsigned changes = 0;
    for (unsigned i = 0; i < 1000; i++) { /* around the first step: 595 */
        struct clamp_viewer viewer = {.share_bps = (uint32_t)(590 + random_next(&random) % 70) * KBIT,
                                      .max_encoding = 0,
                                      .bid = 0,
                                      .encoding = 0};
        uint8_t before = source.encodings[0].step;
        clamp_update(&source, &SINGLE, &viewer, 1, now += TICK);
        changes += source.encodings[0].step != before;
    }
    CHECK(changes <= 1);
}

static void test_senders_are_not_told_every_tick(void)
{
    struct clamp_source source = {0};
    struct clamp_remb remb = {0};
    uint64_t now = 100 * SECOND, random = 9;
    unsigned told = 0, rembs = 0;
    for (unsigned i = 0; i < 600; i++) { /* a minute of shares that tremble by 10 % */
        struct clamp_viewer viewer = {.share_bps = (uint32_t)(900 + random_next(&random) % 200) * KBIT,
                                      .max_encoding = F,
                                      .bid = F,
                                      .encoding = F};
        uint8_t bits = clamp_update(&source, &CAMERA, &viewer, 1, now += TICK);
        for (uint8_t e = 0; e < 3; e++)
            if (bits & 1 << e) {
                clamp_told(&source, e, now);
                told++;
            }
        rembs += clamp_remb_due(&remb, clamp_remb_bps(clamp_sum(&source, 3), 40 * KBIT, 0), now);
    }
    printf("a minute of trembling shares: %u data channel messages, %u REMBs\n", told, rembs);
    CHECK(told <= 20);
    CHECK(rembs <= 240);
    CHECK(source.encodings[F].target_bps >= 800 * KBIT);
}

static void test_remb_bounds_the_whole_transport(void)
{
    CHECK_EQUAL(clamp_remb_bps(1000 * KBIT, 40 * KBIT, 0), 1092 * KBIT);
    CHECK_EQUAL(clamp_remb_bps(1000 * KBIT, 40 * KBIT, 500 * KBIT), 500 * KBIT);
    CHECK_EQUAL(clamp_remb_bps(0, 0, 0), CLAMP_REMB_LEAST);
    struct clamp_remb remb = {0};
    uint64_t now = SECOND;
    CHECK(clamp_remb_due(&remb, 1000 * KBIT, now));
    CHECK(!clamp_remb_due(&remb, 1000 * KBIT, now + 10 * SECOND)); /* the same */
    CHECK(!clamp_remb_due(&remb, 990 * KBIT, now + 100 * MS));     /* hardly lower */
    CHECK(clamp_remb_due(&remb, 900 * KBIT, now + 100 * MS));      /* lower: at once */
    CHECK(!clamp_remb_due(&remb, 1000 * KBIT, now + 200 * MS));    /* higher: later */
    CHECK(clamp_remb_due(&remb, 1000 * KBIT, now + 700 * MS));
    CHECK(clamp_remb_due(&remb, 2000 * KBIT, now + 750 * MS)); /* an encoding was switched on */
}

static void test_the_target_is_never_above_the_lowest_share_held_for(void)
{
    uint64_t random = 17;
    for (unsigned round = 0; round < 2000; round++) {
        struct clamp_source source = {0};
        uint64_t now = SECOND;
        for (unsigned i = 0; i < 20; i++) {
            struct clamp_viewer viewers[VIEWERS];
            size_t count = random_next(&random) % (VIEWERS + 1);
            for (size_t v = 0; v < count; v++) {
                uint8_t bid = (uint8_t)(random_next(&random) % 3);
                viewers[v] = (struct clamp_viewer){.share_bps = (uint32_t)(random_next(&random) % 3000) * KBIT,
                                                   .max_encoding = F,
                                                   .bid = bid,
                                                   .encoding = bid};
            }
            clamp_update(&source, &CAMERA, viewers, count, now += random_next(&random) % SECOND);
            for (uint8_t e = 0; e < 3; e++) {
                const struct clamp_encoding *state = &source.encodings[e];
                CHECK(state->target_bps <= CAMERA.max_bps[e]);
                for (size_t v = 0; v < count; v++)
                    if (viewers[v].bid == e && viewers[v].share_bps >= state->entry_bps)
                        CHECK(state->target_bps <= viewers[v].share_bps ||
                              state->target_bps == clamp_floor(&CAMERA, e));
            }
        }
    }
}

static void measure(void)
{
    enum { COUNT = 50, ROUNDS = 20000 };
    struct clamp_viewer viewers[COUNT];
    struct clamp_source source = {0};
    uint64_t random = 1, now = SECOND;
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < ROUNDS; i++) {
        for (unsigned v = 0; v < COUNT; v++)
            viewers[v] = (struct clamp_viewer){.share_bps = (uint32_t)(random_next(&random) % 3000) * KBIT,
                                               .max_encoding = F,
                                               .bid = F,
                                               .encoding = F};
        clamp_update(&source, &CAMERA, viewers, COUNT, now += TICK);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
    printf("clamp_update: %.0f ns for %d viewers in no order\n", ns / ROUNDS, COUNT);
}

int main(void)
{
    test_full_resolution_is_held_to_the_lowest_worthy_share();
    test_the_share_is_configurable();
    test_thumbnails_have_a_floor();
    test_what_was_switched_on_follows_at_once();
    test_what_is_only_passed_on_the_way_up_stays_off();
    test_down_at_once_up_slowly();
    test_nobody_views_it();
    test_a_look_aside_costs_nothing();
    test_smaller_and_slower_below_what_full_size_needs();
    test_sizes_do_not_flap();
    test_senders_are_not_told_every_tick();
    test_remb_bounds_the_whole_transport();
    test_the_target_is_never_above_the_lowest_share_held_for();
    measure();
    return 0;
}
