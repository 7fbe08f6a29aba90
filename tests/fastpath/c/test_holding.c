/* Holding: by load, in virtual time. */
#include "check.h"
#include "holding.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

/* `turns` of so much work and sleep. */
static struct holding after(unsigned turns, uint64_t worked, uint64_t slept)
{
    struct holding holding = {0};
    for (unsigned i = 0; i < turns; i++) holding_note(&holding, worked, slept);
    return holding;
}

static void it_follows_the_load(void)
{
    static const struct {
        uint64_t worked, slept, wanted_least, wanted_most;
    } cases[] = {
        {10 * US, 990 * US, 0, 0},
        {490 * US, 510 * US, 0, 0},
        {700 * US, 300 * US, 1400 * US, 1600 * US},
        {900 * US, 100 * US, 2900 * US, 3000 * US},
        {1000 * US, 0, 3000 * US, 3000 * US},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct holding holding = after(1000, cases[i].worked, cases[i].slept);
        uint64_t held = holding_ns(&holding, HOLDING_LIMIT_NS);
        CHECK(held >= cases[i].wanted_least && held <= cases[i].wanted_most);
        CHECK_EQUAL(holding_ns(&holding, 0), 0);
    }
}

static void an_idle_worker_gathers_nothing(void)
{
    struct holding holding = after(1000, 10 * US, 990 * US);
    CHECK_EQUAL(holding_gather_ns(&holding, HOLDING_LIMIT_NS), 0);
    holding = after(1000, 100 * US, 900 * US);
    CHECK_EQUAL(holding_gather_ns(&holding, HOLDING_LIMIT_NS), HOLDING_GATHER_NS);
    CHECK_EQUAL(holding_gather_ns(&holding, 40 * US), 40 * US);
    CHECK_EQUAL(holding_gather_ns(&holding, 0), 0);
}

static void one_long_turn_is_no_load_and_an_idle_second_forgets(void)
{
    struct holding holding = after(1000, 10 * US, 990 * US);
    holding_note(&holding, 10 * MS, 0);
    CHECK_EQUAL(holding_ns(&holding, HOLDING_LIMIT_NS), 0);
    holding = after(1000, 1000 * US, 0);
    CHECK_EQUAL(holding_percent(&holding), 99);
    holding_note(&holding, 0, 1000 * MS);
    CHECK_EQUAL(holding_percent(&holding), 0);
    holding_note(&holding, 0, 0);
    CHECK_EQUAL(holding_percent(&holding), 0);
    holding_note(&holding, UINT64_MAX / 2, 0);
    CHECK(holding_percent(&holding) >= 99);
}

static void only_a_pressed_worker_reads_wide(void)
{
    struct holding holding = {0};
    CHECK_EQUAL(holding_batch(&holding), HOLDING_BATCH); /* who just took over, with a backlog before it */
    holding = after(1000, 500 * US, 500 * US);
    CHECK_EQUAL(holding_batch(&holding), HOLDING_BATCH);
    holding_note(&holding, 10 * MS, 0); /* a stall is no load */
    CHECK_EQUAL(holding_batch(&holding), HOLDING_BATCH);
    holding = after(1000, 650 * US, 350 * US);
    CHECK_EQUAL(holding_batch(&holding), LIMIT_RX_BATCH);
}

/* Work of `each` for a wake and `per_ms` for each ms that passed: holding makes wakes fewer, and it settles. */
static void it_settles(void)
{
    struct holding holding = {0};
    uint64_t gap = 100 * US, least = UINT64_MAX, most = 0;
    for (unsigned i = 0; i < 5000; i++) {
        uint64_t worked = 40 * US + gap * 45 / 100;
        uint64_t held = holding_ns(&holding, HOLDING_LIMIT_NS);
        gap = held > worked ? held : worked + 20 * US;
        holding_note(&holding, worked, gap - worked);
        if (i < 4000) continue;
        if (gap < least) least = gap;
        if (gap > most) most = gap;
    }
    CHECK(most - least < 50 * US);
    CHECK(holding_percent(&holding) < 70);
}

int main(void)
{
    it_follows_the_load();
    an_idle_worker_gathers_nothing();
    only_a_pressed_worker_reads_wide();
    one_long_turn_is_no_load_and_an_idle_second_forgets();
    it_settles();
    return 0;
}
