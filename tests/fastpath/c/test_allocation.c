/* What a receiver gets of its estimate. kbit/s; a deal is written like "f2": encoding t, m or f and the highest temporal layer, "--" for no picture,
   "a" for audio. Thumbnails cost 50/90/150 by layers, middle 250/375/500, full 680/1100/1700, audio 40. */
#include <time.h>

#include "allocation.h"
#include "check.h"
#include "table.h"

#define MS 1000000ull
#define SECOND (1000 * MS)
#define KBIT 1000u
#define TICK (100 * MS)

static const uint32_t COSTS[LIMIT_ENCODINGS][RATES_TEMPORAL] = {{50, 90, 150}, {250, 375, 500}, {680, 1100, 1700}};

struct receiver {
    struct allocation_wish wishes[ALLOCATION_SINKS];
    struct allocation_state states[ALLOCATION_SINKS], *at[ALLOCATION_SINKS];
    struct allocation_total total;
    size_t count;
    uint64_t now;
    char text[ALLOCATION_SINKS * 3 + 1];
};

static struct allocation_wish *wish_add(struct receiver *receiver, uint8_t kind, uint8_t priority,
                                        uint8_t max_encoding, uint8_t focus)
{
    struct allocation_wish *wish = &receiver->wishes[receiver->count];
    receiver->at[receiver->count] = &receiver->states[receiver->count];
    *wish = (struct allocation_wish){.sink = (uint32_t)receiver->count++,
                                     .kind = kind,
                                     .priority = priority,
                                     .max_encoding = max_encoding,
                                     .focus = focus};
    for (unsigned e = 0; e < LIMIT_ENCODINGS; e++)
        for (unsigned t = 0; t < RATES_TEMPORAL; t++) wish->costs.bps[e][t] = COSTS[e][t] * KBIT;
    if (kind == SOURCE_AUDIO) wish->costs.bps[0][0] = 40 * KBIT;
    return wish;
}

/* 'a' audio, 'F' focus wanting f, 'S' screen, 't' thumbnail, 'm' thumbnail wanting m, 'h' hidden. Thumbnails in order of relevance. */
static void receiver_open(struct receiver *receiver, const char *sinks)
{
    *receiver = (struct receiver){.now = 100 * SECOND};
    for (; *sinks; sinks++) {
        uint8_t relevance = (uint8_t)(90 - receiver->count);
        switch (*sinks) {
        case 'a': wish_add(receiver, SOURCE_AUDIO, 200, 0, 0); break;
        case 'F': wish_add(receiver, SOURCE_CAMERA, 100, 2, 1); break;
        case 'S': wish_add(receiver, SOURCE_SCREEN, 100, 2, 1); break;
        case 't': wish_add(receiver, SOURCE_CAMERA, relevance, 0, 0); break;
        case 'e': wish_add(receiver, SOURCE_CAMERA, 50, 0, 0); break; /* of equal relevance */
        case 'm': wish_add(receiver, SOURCE_CAMERA, relevance, 1, 0); break;
        default: wish_add(receiver, SOURCE_CAMERA, relevance, 2, 1)->hidden = 1;
        }
    }
}

static const char *decide(struct receiver *receiver, uint32_t kbps)
{
    allocate(kbps * KBIT, receiver->wishes, receiver->at, receiver->count, receiver->now, &receiver->total);
    char *out = receiver->text;
    for (size_t i = 0; i < receiver->count; i++) {
        const struct allocation_state *state = &receiver->states[i];
        if (i) *out++ = ' ';
        if (receiver->wishes[i].kind == SOURCE_AUDIO) {
            *out++ = 'a';
        } else if (state->encoding == ALLOCATION_NOTHING) {
            *out++ = '-';
            *out++ = '-';
        } else {
            *out++ = "tmf"[state->encoding];
            *out++ = (char)('0' + state->temporal);
        }
    }
    *out = 0;
    return receiver->text;
}

/* The same estimate for `ms`. */
static const char *wait_at(struct receiver *receiver, uint32_t kbps, unsigned ms)
{
    for (unsigned i = 0; i < ms / 100; i++) {
        receiver->now += TICK;
        decide(receiver, kbps);
    }
    return receiver->text;
}

#define CHECK_DEAL(found, wanted)                                                                     \
    do {                                                                                              \
        const char *found_text = (found);                                                             \
        if (strcmp(found_text, wanted) != 0) {                                                        \
            fprintf(stderr, "%s:%d: \"%s\", not \"%s\"\n", __FILE__, __LINE__, found_text, (wanted)); \
            exit(1);                                                                                  \
        }                                                                                             \
    } while (0)

static void test_what_fits(void)
{
    static const struct {
        const char *what, *sinks;
        uint32_t kbps;
        const char *deal;
    } TABLE[] = {
        {"plenty for all", "aFttt", 5000, "a f2 t2 t2 t2"},
        {"audio is never cut", "aaaF", 60, "a a a --"},
        {"nothing at all but audio", "aFt", 0, "a -- --"},
        {"one thumbnail's worth: the focus has it", "aFtt", 95, "a t0 -- --"},
        {"a small link: the speaker moves before others are seen", "aFtt", 160, "a t1 -- --"},
        {"then there is room for one", "aFtt", 240, "a t2 t0 --"},
        {"the focus grows before thumbnails do", "aFtt", 400, "a t2 t2 t0"},
        {"the focus at m, the rest for thumbnails", "aFtt", 800, "a m2 t2 t1"},
        {"fewer frames of f before m", "aFtt", 1500, "a f1 t2 t2"},
        {"everybody a picture before a second frame", "tttt", 210, "t0 t0 t0 t0"},
        {"then frames in order of relevance", "tttt", 300, "t2 t0 t0 t0"},
        {"pictures are lost from the end", "tttt", 140, "t1 t0 -- --"},
        {"equal thumbnails are alike", "eeee", 380, "t1 t1 t1 t1"},
        {"a hidden tile costs nothing", "ahF", 1800, "a -- f2"},
        {"a screen loses frames before letters", "aS", 800, "a f0"},
        {"a camera does not", "aF", 800, "a m2"},
        {"two foci share evenly", "aFF", 1200, "a m2 m2"},
        {"what one cannot use goes to the other", "aFF", 2300, "a f1 f1"},
        {"many thumbnails take a quarter, not all", "aFeeeeeeeeee", 900, "a m2 t0 t0 t0 t0 t0 t0 t0 -- -- --"},
        {"middle tiles", "amm", 920, "a m2 m1"},
    };
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        struct receiver receiver;
        receiver_open(&receiver, TABLE[i].sinks);
        const char *deal = decide(&receiver, TABLE[i].kbps);
        if (strcmp(deal, TABLE[i].deal) == 0) continue;
        fprintf(stderr, "%s: %u kbit/s gives \"%s\"\n", TABLE[i].what, TABLE[i].kbps, deal);
        wrong++;
    }
    CHECK_EQUAL(wrong, 0);
}

static void test_down_at_once_up_after_a_while(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "aF");
    CHECK_DEAL(decide(&receiver, 3000), "a f2");
    CHECK_DEAL(wait_at(&receiver, 3000, 10000), "a f2");
    CHECK_DEAL(wait_at(&receiver, 500, 100), "a m1");
    CHECK_DEAL(wait_at(&receiver, 3000, 1400), "a m1");
    CHECK_DEAL(wait_at(&receiver, 3000, 300), "a f2");
}

static void test_up_needs_a_margin_without_a_break(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "F");
    CHECK_DEAL(decide(&receiver, 600), "m2");
    receiver.now += 20 * SECOND;
    CHECK_DEAL(wait_at(&receiver, 1200, 10000), "m2"); /* 1100 x 1.15 = 1265 */
    for (unsigned i = 0; i < 10; i++) {
        wait_at(&receiver, 1300, 1000);
        CHECK_DEAL(wait_at(&receiver, 1200, 100), "m2");
    }
    CHECK_DEAL(wait_at(&receiver, 1300, 1700), "f1");
    CHECK_DEAL(wait_at(&receiver, 1110, 10000), "f1"); /* what it has it keeps while it fits */
    CHECK_DEAL(wait_at(&receiver, 1090, 100), "m2");
}

static void test_each_failed_raise_waits_longer(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "F");
    decide(&receiver, 600);
    receiver.now += 20 * SECOND;
    unsigned waited[4];
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        for (waited[attempt] = 0; strcmp(wait_at(&receiver, 1300, 100), "f1") != 0; waited[attempt]++)
            CHECK(waited[attempt] < 1000);
        CHECK_DEAL(wait_at(&receiver, 600, 100), "m2"); /* what was tried broke the link */
    }
    CHECK(waited[0] <= 17);
    for (unsigned attempt = 1; attempt < 4; attempt++)
        CHECK(waited[attempt] >= waited[attempt - 1] * 19 / 10);
    wait_at(&receiver, 600, 200000); /* long calm: forgiven */
    for (waited[0] = 0; strcmp(wait_at(&receiver, 1300, 100), "f1") != 0; waited[0]++)
        CHECK(waited[0] < 1000);
    CHECK(waited[0] <= 17);
}

static void test_what_the_network_does_is_no_failure_of_a_raise(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "F");
    decide(&receiver, 600);
    receiver.now += 20 * SECOND;
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        CHECK_DEAL(wait_at(&receiver, 1300, 1700), "f1");
        CHECK_DEAL(wait_at(&receiver, 160, 100), "t2"); /* the link carried m2 before the raise */
        CHECK_EQUAL(receiver.states[0].failures, 0);
        CHECK_DEAL(wait_at(&receiver, 600, 1700), "m2");
    }
}

static void test_a_link_that_opened_wide_is_not_held_against_it(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "F");
    decide(&receiver, 600);
    receiver.now += 20 * SECOND;
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        for (unsigned waited = 0; strcmp(wait_at(&receiver, 1300, 100), "f1") != 0; waited++)
            CHECK(waited < 1000);
        CHECK_DEAL(wait_at(&receiver, 600, 100), "m2");
    }
    CHECK(receiver.states[0].failures >= 3); /* 12 s and more */
    CHECK_DEAL(wait_at(&receiver, 4000, 1700), "f2");
}

static void test_one_fall_in_many_steps_is_one_failure(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "F");
    decide(&receiver, 3000);
    for (uint32_t kbps = 3000; kbps > 100; kbps -= 50) wait_at(&receiver, kbps, 100);
    CHECK(receiver.states[0].failures <= 1);
    wait_at(&receiver, 3000, 3200);
    CHECK_DEAL(receiver.text, "f2");
}

static void test_a_click_does_not_wait(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "aFt");
    CHECK_DEAL(decide(&receiver, 2200), "a f2 t2");
    receiver.now += 30 * SECOND;
    CHECK_DEAL(decide(&receiver, 2200), "a f2 t2");
    receiver.wishes[1].focus = 0, receiver.wishes[1].max_encoding = 0;
    receiver.wishes[2].focus = 1, receiver.wishes[2].max_encoding = 2;
    CHECK_DEAL(wait_at(&receiver, 2200, 100), "a t2 f2");
    receiver.wishes[1].hidden = 1;
    CHECK_DEAL(wait_at(&receiver, 2200, 100), "a -- f2");
    receiver.wishes[1].hidden = 0;
    CHECK_DEAL(wait_at(&receiver, 2200, 100), "a t2 f2");
}

static unsigned changes_under_noise(const char *sinks, uint32_t kbps, uint32_t percent, uint64_t seed)
{
    struct receiver receiver;
    receiver_open(&receiver, sinks);
    uint64_t random = seed;
    unsigned changes = 0;
    for (unsigned i = 0; i < 3000; i++) { /* five minutes */
        receiver.now += TICK;
        uint32_t tremble = (uint32_t)(random_next(&random) % (2 * percent + 1));
        decide(&receiver, kbps * (100 - percent + tremble) / 100);
        if (i > 100) changes += receiver.total.changed;
    }
    return changes;
}

static void test_a_trembling_estimate_moves_little(void)
{
    unsigned worst = 0;
    for (uint32_t kbps = 100; kbps < 3000; kbps += 50)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            unsigned changes = changes_under_noise("aFttt", kbps, 10, seed * 77);
            if (changes > worst) worst = changes;
        }
    printf("estimate +-10 %%, 5 min, 4 tiles: at most %u changes\n", worst);
    CHECK(worst <= 4);
    worst = 0;
    for (uint32_t kbps = 100; kbps < 3000; kbps += 100) {
        unsigned changes = changes_under_noise("aFttt", kbps, 25, kbps);
        if (changes > worst) worst = changes;
    }
    printf("estimate +-25 %%: at most %u changes\n", worst);
    CHECK(worst <= 60);
}

static void test_what_the_important_wait_for_is_not_given_away(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "Ftt");
    CHECK_DEAL(decide(&receiver, 700), "m2 t2 t0");
    receiver.now += 20 * SECOND;
    unsigned lowered = 0;
    for (unsigned i = 0; i < 40; i++) {
        uint32_t before = receiver.states[1].bps + receiver.states[2].bps;
        wait_at(&receiver, 1800, 100);
        lowered += receiver.states[1].bps + receiver.states[2].bps < before;
    }
    CHECK_DEAL(receiver.text, "f1 t2 t2");
    CHECK_EQUAL(lowered, 0);
}

/* ---- the clamp's entries and bids ---- */

static void test_who_is_below_the_entry_gets_a_lower_encoding(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "F");
    receiver.wishes[0].entry_bps[2] = 850 * KBIT;
    for (unsigned t = 0; t < 3; t++)
        receiver.wishes[0].costs.bps[2][t] = 700 * KBIT; /* it would fit */
    CHECK_DEAL(decide(&receiver, 800), "m2");
    CHECK_EQUAL(receiver.states[0].bid, 1);
    CHECK_DEAL(wait_at(&receiver, 900, 100), "f2"); /* new wishes do not wait */
    CHECK_EQUAL(receiver.states[0].bid, 2);
    receiver.now += 20 * SECOND;
    CHECK_DEAL(decide(&receiver, 860), "f2");
    CHECK_DEAL(decide(&receiver, 840), "m2");
}

static void test_a_bid_comes_before_the_raise(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "F");
    receiver.wishes[0].entry_bps[2] = 600 * KBIT;
    decide(&receiver, 550);
    receiver.now += 20 * SECOND;
    CHECK_DEAL(wait_at(&receiver, 1000, 1300), "m2");
    CHECK_EQUAL(receiver.states[0].bid, 1);
    wait_at(&receiver, 1000, 400);
    CHECK_EQUAL(receiver.states[0].bid, 2); /* it asks; the sender still sends 1700 to the others */
    CHECK_DEAL(receiver.text, "m2");
    for (unsigned t = 0; t < 3; t++)
        receiver.wishes[0].costs.bps[2][t] = 950 * KBIT; /* and now follows */
    CHECK_DEAL(wait_at(&receiver, 1000, 100), "f2");
}

static void test_a_bid_for_nothing_is_taken_back(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "F");
    receiver.wishes[0].entry_bps[2] = 600 * KBIT;
    decide(&receiver, 550);
    receiver.now += 20 * SECOND;
    wait_at(&receiver, 1000, 1700);
    CHECK_EQUAL(receiver.states[0].bid, 2);
    wait_at(&receiver, 1000, 3100);
    CHECK_EQUAL(receiver.states[0].bid, 1);
    CHECK_EQUAL(receiver.states[0].failures, 1);
}

static void test_how_far_probing_pays(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "aF");
    decide(&receiver, 600);
    CHECK_EQUAL(receiver.total.next_bps, (40 + 1265) * KBIT);
    CHECK_EQUAL(receiver.total.wanted_bps, 1740 * KBIT);
    receiver.wishes[1].entry_bps[2] = 700 * KBIT; /* the clamp can be asked from there on */
    decide(&receiver, 600);
    CHECK_EQUAL(receiver.total.next_bps, (40 + 805) * KBIT);
    decide(&receiver, 5000);
    CHECK_EQUAL(receiver.total.next_bps, 0);
    receiver.wishes[1].most_bps = 2500 * KBIT; /* it could be better, were the clamp higher */
    decide(&receiver, 5000);
    CHECK(receiver.total.next_bps > receiver.total.bps);
}

/* Where probing ends there is room for what was waited for: also what must stay free beside a thumbnail. */
static void test_probing_goes_as_far_as_a_raise_needs(void)
{
    static const char *const tiles[] = {"t", "ttt", "tttttttt", "Ft", "aFtt", "mmm"};
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        struct receiver receiver;
        receiver_open(&receiver, tiles[i]);
        receiver.wishes[0].costs.bps[0][0] = receiver.wishes[0].costs.bps[0][1] = 0; /* one without layers */
        for (uint32_t kbps = 30, wanted = 0;; kbps = wanted) {
            for (unsigned turn = 0; turn < 300; turn++) {
                receiver.now += TICK;
                decide(&receiver, kbps);
            }
            wanted = receiver.total.wanted_bps / 100 * 110; /* as adaptation.c does */
            if (wanted < receiver.total.next_bps) wanted = receiver.total.next_bps;
            wanted = wanted / KBIT + 1;
            if (wanted <= kbps) break;
        }
        CHECK_EQUAL(receiver.total.next_bps, 0);
        CHECK_EQUAL(receiver.total.paused, 0);
    }
}

static void test_a_source_without_layers(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "F");
    for (unsigned e = 0; e < 3; e++)
        for (unsigned t = 0; t < 3; t++) receiver.wishes[0].costs.bps[e][t] = COSTS[e][2] * KBIT;
    CHECK_DEAL(decide(&receiver, 2000), "f2");
    CHECK_DEAL(wait_at(&receiver, 1600, 100), "m2");
    CHECK_DEAL(wait_at(&receiver, 140, 100), "--");
    memset(receiver.wishes[0].costs.bps[1], 0, sizeof receiver.wishes[0].costs.bps[1]); /* no m at all */
    receiver.now += 200 * SECOND;
    CHECK_DEAL(wait_at(&receiver, 1600, 30000), "t2");
}

static void test_what_goes_on_until_the_key_frame(void)
{
    CHECK_EQUAL(allocation_temporal(1, 1, 1), 1);
    CHECK_EQUAL(allocation_temporal(1, 1, 2), 0); /* lowered: few frames of what is too large */
    CHECK_EQUAL(allocation_temporal(1, 1, 0), 1); /* what is small stands in for it */
    CHECK_EQUAL(allocation_temporal(ALLOCATION_NOTHING, 0, 0), -1);
}

/* ---- properties ---- */

static void random_receiver(struct receiver *receiver, uint64_t *random)
{
    char sinks[ALLOCATION_SINKS + 1] = {0};
    size_t count = 1 + random_next(random) % 20;
    for (size_t i = 0; i < count; i++) sinks[i] = "aaFStteemh"[random_next(random) % 10];
    receiver_open(receiver, sinks);
    for (size_t i = 0; i < count; i++) {
        struct allocation_wish *wish = &receiver->wishes[i];
        for (unsigned e = 0; e < LIMIT_ENCODINGS; e++) {
            uint32_t whole = (uint32_t)(random_next(random) % (600u << (e + 1))) * KBIT / 3 + 20 * KBIT;
            for (unsigned t = 0; t < RATES_TEMPORAL; t++)
                wish->costs.bps[e][t] = whole * (t + 2) / 4;
            if (random_next(random) % 4 == 0)
                wish->entry_bps[e] = (uint32_t)(random_next(random) % 900) * KBIT;
        }
        if (wish->kind == SOURCE_AUDIO) wish->costs.bps[0][0] = 32 * KBIT;
    }
}

static void test_never_above_the_estimate_and_the_same_again(void)
{
    uint64_t random = 4711;
    for (unsigned round = 0; round < 3000; round++) {
        struct receiver receiver;
        random_receiver(&receiver, &random);
        for (unsigned i = 0; i < 30; i++) {
            receiver.now += random_next(&random) % (800 * MS);
            uint32_t kbps = (uint32_t)(random_next(&random) % 6000);
            decide(&receiver, kbps);
            uint32_t sum = 0;
            for (size_t s = 0; s < receiver.count; s++) {
                sum += receiver.states[s].bps;
                CHECK(!receiver.wishes[s].hidden || receiver.states[s].encoding == ALLOCATION_NOTHING);
                CHECK(receiver.states[s].encoding == ALLOCATION_NOTHING ||
                      receiver.states[s].encoding <= receiver.wishes[s].max_encoding);
            }
            CHECK_EQUAL(sum, receiver.total.bps);
            CHECK(receiver.total.bps <= kbps * KBIT || receiver.total.bps == receiver.total.audio_bps);
            decide(&receiver, kbps);
            CHECK_EQUAL(receiver.total.changed, 0);
        }
    }
}

/* Of several, the pictures of all come before the growth of one; a single focus only ever gains. */
static void test_the_focus_never_loses_by_a_higher_estimate(void)
{
    uint64_t random = 99;
    for (unsigned round = 0; round < 300; round++) {
        struct receiver pattern;
        random_receiver(&pattern, &random);
        size_t first = pattern.count;
        for (size_t i = 0; i < pattern.count; i++) {
            struct allocation_wish *wish = &pattern.wishes[i];
            if (!wish->focus || wish->hidden) continue;
            if (first == pattern.count)
                first = i;
            else
                wish->focus = 0;
        }
        if (first == pattern.count) continue;
        int before = -1;
        for (uint32_t kbps = 0; kbps < 6000; kbps += 20) {
            struct receiver receiver = pattern;
            for (size_t i = 0; i < receiver.count; i++) receiver.at[i] = &receiver.states[i];
            decide(&receiver, kbps);
            const struct allocation_state *state = &receiver.states[first];
            int deal = state->encoding == ALLOCATION_NOTHING ? -1 : state->encoding * 3 + state->temporal;
            CHECK(deal >= before);
            before = deal;
        }
    }
}

/* Of equal wishes nobody has a better deal than somebody more important. */
static void test_nobody_overtakes(void)
{
    for (uint32_t kbps = 0; kbps < 3000; kbps += 10) {
        struct receiver receiver;
        receiver_open(&receiver, "atttttttt");
        decide(&receiver, kbps);
        for (size_t i = 2; i < receiver.count; i++)
            CHECK(receiver.states[i].bps <= receiver.states[i - 1].bps);
    }
}

static void measure(void)
{
    struct receiver receiver;
    receiver_open(&receiver, "aaaaaaaaaaaaaaaaFSttttttttttttttttttttttmmmmmmmmhh");
    CHECK_EQUAL(receiver.count, 50);
    struct timespec begin, end;
    uint64_t random = 5;
    enum { ROUNDS = 20000 };
    decide(&receiver, 6000);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < ROUNDS; i++) {
        receiver.now += 50 * MS;
        allocate((uint32_t)(5000 + random_next(&random) % 1000) * KBIT, receiver.wishes,
                 receiver.at, receiver.count, receiver.now, &receiver.total);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
    printf("allocate: %.0f ns for %zu sinks\n", ns / ROUNDS, receiver.count);
}

int main(void)
{
    test_what_fits();
    test_down_at_once_up_after_a_while();
    test_up_needs_a_margin_without_a_break();
    test_each_failed_raise_waits_longer();
    test_what_the_network_does_is_no_failure_of_a_raise();
    test_a_link_that_opened_wide_is_not_held_against_it();
    test_one_fall_in_many_steps_is_one_failure();
    test_a_click_does_not_wait();
    test_a_trembling_estimate_moves_little();
    test_what_the_important_wait_for_is_not_given_away();
    test_who_is_below_the_entry_gets_a_lower_encoding();
    test_a_bid_comes_before_the_raise();
    test_a_bid_for_nothing_is_taken_back();
    test_how_far_probing_pays();
    test_probing_goes_as_far_as_a_raise_needs();
    test_a_source_without_layers();
    test_what_goes_on_until_the_key_frame();
    test_never_above_the_estimate_and_the_same_again();
    test_the_focus_never_loses_by_a_higher_estimate();
    test_nobody_overtakes();
    measure();
    return 0;
}
