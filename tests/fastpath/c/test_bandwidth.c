/* The estimator's parts as tables, and the whole against feedback that lies. How it does on networks: test_bandwidth_simulation.c. */
#include <errno.h>

#include "bandwidth.h"
#include "bytes.h"
#include "check.h"
#include "transport_cc.h"

#define MS INT64_C(1000) /* in microseconds */
#define SECOND (1000 * MS)
#define NS UINT64_C(1000) /* nanoseconds in a microsecond */
#define MBIT 1000000.0

/* ---- delay ---- */

/* 300 groups of two packets every 10 ms whose delay changes by `slope` ms a group, with jitter up to `jitter` ms each. */
static enum delay_verdict trend_of(double slope, unsigned jitter, unsigned groups, unsigned *overuses)
{
    static struct delay_trend trend;
    uint64_t random = 5;
    delay_trend_reset(&trend);
    *overuses = 0;
    int64_t last_us = 0;
    for (unsigned i = 0; i < groups; i++) {
        int64_t sent_us = SECOND + i * 10 * MS;
        int64_t arrival_us = 77 * SECOND + i * 10 * MS + (int64_t)(slope * i * 1000) +
                             (jitter ? (int64_t)(random_next(&random) % (jitter * 1000)) : 0);
        if (arrival_us < last_us) arrival_us = last_us;
        last_us = arrival_us;
        delay_trend_packet(&trend, sent_us, arrival_us);
        delay_trend_packet(&trend, sent_us, arrival_us + 250);
        *overuses += trend.verdict == DELAY_OVERUSE;
    }
    return (enum delay_verdict)trend.verdict;
}

static void delay_is_judged(void)
{
    static const struct {
        double slope; /* ms of more delay each 10 ms */
        unsigned jitter_ms, groups;
        enum delay_verdict verdict;
    } rows[] = {
        {0, 0, 300, DELAY_NORMAL},     {0, 3, 300, DELAY_NORMAL},
        {0, 8, 300, DELAY_NORMAL},     {1, 0, 40, DELAY_OVERUSE},
        {5, 0, 25, DELAY_OVERUSE},     {1, 3, 60, DELAY_OVERUSE},
        {-1, 0, 40, DELAY_UNDERUSE},   {-5, 0, 25, DELAY_UNDERUSE},
        {0.003, 0, 300, DELAY_NORMAL}, /* drift of a clock */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned overuses;
        CHECK_EQUAL(trend_of(rows[i].slope, rows[i].jitter_ms, rows[i].groups, &overuses), rows[i].verdict);
        if (rows[i].slope <= 0.01) CHECK_EQUAL(overuses, 0);
    }
}

static void late_and_reordered_packets_do_not_spoil_the_trend(void)
{
    static struct delay_trend trend, before;
    delay_trend_reset(&trend);
    for (int64_t i = 0; i < 50; i++)
        delay_trend_packet(&trend, SECOND + i * 10 * MS, 9 * SECOND + i * 10 * MS);
    before = trend;
    delay_trend_packet(&trend, SECOND + 100 * MS, 9 * SECOND + 2 * SECOND); /* sent long ago, told now */
    CHECK_BYTES(&trend, &before, sizeof trend);
    for (int64_t i = 50; i < 100; i++) { /* every other group overtakes its predecessor */
        int64_t late = i % 2 ? -15 * MS : 0;
        delay_trend_packet(&trend, SECOND + i * 10 * MS, 9 * SECOND + i * 10 * MS + late);
        CHECK_EQUAL(trend.verdict == DELAY_OVERUSE, 0);
    }
}

/* ---- rate ---- */

static void rate_follows_the_verdict(void)
{
    static const struct {
        const char *what;
        double target;
        enum delay_verdict verdict;
        double arriving, arriving_now;
        double least, most; /* after one second of feedback every 100 ms */
    } rows[] = {
        {"grows by 8 % a second far from the capacity", 1 * MBIT, DELAY_NORMAL, 1 * MBIT, 1 * MBIT,
         1.06 * MBIT, 1.09 * MBIT},
        {"not above half again of what arrives", 1 * MBIT, DELAY_NORMAL, 0.5 * MBIT, 0.5 * MBIT,
         1 * MBIT, 1 * MBIT},
        {"holds while queues empty", 1 * MBIT, DELAY_UNDERUSE, 1 * MBIT, 1 * MBIT, 1 * MBIT, 1 * MBIT},
        {"falls to 0.85 of what arrives", 3 * MBIT, DELAY_OVERUSE, 1 * MBIT, 1 * MBIT, 0.85 * MBIT, 0.85 * MBIT},
        {"of the newer rate after a step", 3 * MBIT, DELAY_OVERUSE, 1.5 * MBIT, 0.5 * MBIT,
         0.425 * MBIT, 0.425 * MBIT},
        {"holds when less is sent than may be", 1 * MBIT, DELAY_OVERUSE, 1.3 * MBIT, 1.3 * MBIT,
         1 * MBIT, 1 * MBIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rate_control control;
        rate_control_reset(&control, rows[i].target);
        for (int64_t at = 0; at <= SECOND; at += 100 * MS)
            rate_control_update(&control, rows[i].verdict, rows[i].arriving, rows[i].arriving_now,
                                50 * MS, SECOND + at);
        if (control.target < rows[i].least - 1 || control.target > rows[i].most + 1) {
            fprintf(stderr, "%s: %.0f\n", rows[i].what, control.target);
            exit(1);
        }
    }
    struct rate_control control; /* nothing arrived yet: half, once in a response time */
    rate_control_reset(&control, 1 * MBIT);
    CHECK(rate_control_update(&control, DELAY_OVERUSE, 0, 0, 50 * MS, SECOND));
    CHECK(!rate_control_update(&control, DELAY_OVERUSE, 0, 0, 50 * MS, SECOND + 100 * MS));
    CHECK_EQUAL(control.target, 500000);
}

static void near_the_capacity_growth_is_a_packet_at_a_time(void)
{
    struct rate_control control;
    rate_control_reset(&control, 2 * MBIT);
    CHECK(rate_control_update(&control, DELAY_OVERUSE, 2 * MBIT, 2 * MBIT, 100 * MS, SECOND));
    double after = control.target;
    for (int64_t at = 100 * MS; at <= 2 * SECOND; at += 100 * MS)
        rate_control_update(&control, DELAY_NORMAL, after, after, 100 * MS, SECOND + at);
    double grown = (control.target - after) / 1.8; /* a second */
    CHECK(grown > 40000 && grown < 60000);
}

/* ---- loss ---- */

struct path_of_loss {
    double capacity, random; /* above the capacity the rest is lost; and this share at random */
};

static void loss_is_told_from_congestion(void)
{
    static const struct {
        struct path_of_loss path;
        double wanted;
        double least, most; /* of the rate used, mean of the last half */
        double inherent_least, inherent_most;
    } rows[] = {
        {{1e9, 0.00}, 2 * MBIT, 1.99 * MBIT, 2 * MBIT, 0, 0.001},
        {{1e9, 0.05}, 2 * MBIT, 1.9 * MBIT, 2 * MBIT, 0.02, 0.08},
        {{1e9, 0.10}, 2 * MBIT, 1.85 * MBIT, 2 * MBIT, 0.06, 0.14},
        {{1e9, 0.20}, 2 * MBIT, 1.75 * MBIT, 2 * MBIT, 0.13, 0.25},
        {{1 * MBIT, 0.00}, 3 * MBIT, 0.85 * MBIT, 1.25 * MBIT, 0, 0.08},
        {{1 * MBIT, 0.05}, 3 * MBIT, 0.75 * MBIT, 1.3 * MBIT, 0, 0.2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct loss_bound loss = {0};
        uint64_t random = 9;
        double passed = 0, used = 0, tokens = 0;
        int64_t now_us = SECOND, feedback_us = now_us;
        for (double at_us = (double)now_us; at_us < 61 * SECOND;) { /* packets of 1200 B, policed without a queue */
            double rate = loss.bound > 0 && loss.bound < rows[i].wanted ? loss.bound : rows[i].wanted;
            double step_us = 9600 / rate * 1e6;
            at_us += step_us;
            now_us = (int64_t)at_us;
            tokens += rows[i].path.capacity * step_us / 1e6;
            if (tokens > 9600 * 4) tokens = 9600 * 4;
            bool through = tokens >= 9600;
            if (through) tokens -= 9600;
            if ((double)(random_next(&random) >> 11) * 0x1p-53 < rows[i].path.random)
                through = false;
            loss_bound_packet(&loss, now_us, 1200, through);
            if (now_us - feedback_us > 100 * MS) {
                feedback_us = now_us;
                loss_bound_update(&loss, rows[i].wanted, now_us);
            }
            if (now_us > 31 * SECOND) passed += step_us, used += rate * step_us;
        }
        double mean = used / passed;
        if (mean < rows[i].least || mean > rows[i].most || loss.inherent < rows[i].inherent_least ||
            loss.inherent > rows[i].inherent_most) {
            fprintf(stderr, "row %zu: rate %.0f inherent %.3f\n", i, mean, loss.inherent);
            exit(1);
        }
    }
}

static void late_arrivals_are_no_loss(void)
{
    struct loss_bound loss = {0};
    for (unsigned i = 0; i < 100; i++)
        loss_bound_packet(&loss, SECOND + i * 5 * MS, 1200, i % 5 != 0);
    for (unsigned i = 0; i < 20; i++) loss_bound_late(&loss);
    CHECK_EQUAL(loss_bound_update(&loss, MBIT, 2 * SECOND), LOSS_NO_EVENT);
    CHECK_EQUAL(loss.last_loss * 1000, 0);
    loss_bound_late(&loss); /* of an earlier observation: nothing to take back */
    CHECK_EQUAL(loss.lost, 0);
}

/* ---- probes ---- */

/* Sends the cluster at its rate in runs of `run` packets over a link of `capacity`; `drop` = every so many-th is lost. */
static double probe_over(struct probing *probing, const struct probe_request *request,
                         double capacity, unsigned run, unsigned drop, int64_t now_us, bool *full)
{
    double free_us = 0;
    unsigned sent = 0;
    for (uint32_t bytes = 0; bytes < request->bytes; bytes += 1200, sent++) {
        int64_t sent_us = now_us + (int64_t)((double)(sent / run * run) * 9600e6 / request->bits_per_second);
        if (free_us < (double)sent_us) free_us = (double)sent_us;
        free_us += 9600e6 / capacity;
        if (drop && sent % drop == drop - 1)
            probing_lost(probing, request->cluster, 1200);
        else
            probing_packet(probing, request->cluster, 1200, sent_us, (int64_t)free_us + 20 * MS);
    }
    return probing_result(probing, now_us + 200 * MS, full);
}

static void probes_measure_the_link(void)
{
    static const struct {
        double target, capacity;
        unsigned run, drop;
        double least, most; /* of the result */
        bool full;
    } rows[] = {
        {300e3, 10e6, 1, 0, 840e3, 860e3, false},
        {300e3, 10e6, 2, 0, 840e3, 860e3, false},
        {300e3, 500e3, 1, 0, 450e3, 500e3, true},
        {1e6, 10e6, 1, 0, 2.8e6, 2.9e6, false},
        {1e6, 1.5e6, 2, 0, 1.3e6, 1.5e6, true},
        {1e6, 10e6, 1, 5, 2.8e6, 2.9e6, false},
        {4e6, 100e6, 4, 0, 11e6, 11.5e6, false},
        {300e3, 10e6, 1, 2, 0, 0, false}, /* too much of it lost */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct probing probing = {0};
        struct probe_request request;
        CHECK(probing_start(&probing, rows[i].target, 20e6, SECOND, &request));
        CHECK_EQUAL(request.bits_per_second, rows[i].target * 3);
        bool full = false;
        double result =
            probe_over(&probing, &request, rows[i].capacity, rows[i].run, rows[i].drop, SECOND, &full);
        if (result < rows[i].least || result > rows[i].most || full != rows[i].full) {
            fprintf(stderr, "row %zu: %.0f full %d\n", i, result, full);
            exit(1);
        }
    }
}

static void probes_keep_their_pauses(void)
{
    struct probing probing = {0};
    struct probe_request request;
    bool full;
    int64_t now = SECOND;
    CHECK(!probing_start(&probing, MBIT, MBIT, now, &request)); /* nothing more is wanted */
    CHECK(probing_start(&probing, MBIT, 10 * MBIT, now, &request));
    CHECK(!probing_start(&probing, MBIT, 10 * MBIT, now + 50 * MS, &request)); /* one at a time */
    CHECK(probe_over(&probing, &request, 100 * MBIT, 1, 0, now, &full) > 0);
    probing_gained(&probing, MBIT, now + 200 * MS);
    CHECK(probing_start(&probing, 2.8 * MBIT, 10 * MBIT, now + 200 * MS, &request)); /* and the next at once, at twice */
    CHECK_EQUAL(request.bits_per_second, 5600000);
    CHECK(probe_over(&probing, &request, 2.8 * MBIT, 1, 0, now + 200 * MS, &full) > 0); /* nothing new: a pause, of the first a short one */
    CHECK(!probing_start(&probing, 2.8 * MBIT, 10 * MBIT, now + 1100 * MS, &request));
    CHECK(probing_start(&probing, 2.8 * MBIT, 10 * MBIT, now + 1400 * MS, &request));
    CHECK(probe_over(&probing, &request, 2.8 * MBIT, 1, 0, now + 1400 * MS, &full) > 0); /* and of the next */
    CHECK(!probing_start(&probing, 2.8 * MBIT, 10 * MBIT, now + 5500 * MS, &request));
    now += SECOND;
    CHECK(probing_start(&probing, 2.8 * MBIT, 10 * MBIT, now + 6 * SECOND, &request));
    CHECK(!probing_start(&probing, 2.8 * MBIT, 10 * MBIT, now + 6 * SECOND + 900 * MS, &request));
    CHECK(probing_start(&probing, 2.8 * MBIT, 10 * MBIT, now + 7 * SECOND, &request)); /* its answer was lost: again */
    now += 20 * SECOND; /* what is gained and lost again and again is tried more and more rarely */
    for (unsigned i = 0; i < 6; i++) {
        probing_gained(&probing, MBIT, now);
        probing_dropped(&probing, 3 * MBIT, MBIT, now + SECOND);
        int64_t pause = (int64_t)PROBE_INTERVAL_US << (i < PROBE_IN_VAIN_MAX ? i : PROBE_IN_VAIN_MAX);
        CHECK(!probing_start(&probing, MBIT, 10 * MBIT, now + SECOND + pause - MS, &request));
        CHECK(probing_start(&probing, MBIT, 10 * MBIT, now + SECOND + pause, &request));
        now += 100 * SECOND;
    }
    probing_dropped(&probing, 3 * MBIT, 0.5 * MBIT, now); /* a deep drop: soon, not above 0.85 of before, twice the rate */
    CHECK(!probing_start(&probing, 0.5 * MBIT, 10 * MBIT, now + SECOND, &request));
    CHECK(probing_start(&probing, 0.5 * MBIT, 10 * MBIT, now + 1500 * MS, &request));
    CHECK_EQUAL(request.bits_per_second, 1000000);
}

/* ---- the whole ---- */

static struct sent_log sent;
static struct arrival_log arrivals;

static int feed(struct bandwidth *bandwidth, const uint8_t *fci, size_t length, uint64_t now_ns)
{
    uint8_t *copy = exact_copy(fci, length);
    struct rtcp_feedback feedback = {.fci = copy, .fci_length = (uint32_t)length};
    int result = bandwidth_feedback_untrusted(bandwidth, &sent, &feedback, now_ns);
    free(copy);
    return result;
}

/* 20 packets over 100 ms that arrive 20 ms later, and feedback about them. */
static void converse_losing(struct bandwidth *bandwidth, uint64_t *now_us, unsigned lost_of_20)
{
    for (unsigned i = 0; i < 20; i++) {
        *now_us += 5000;
        uint16_t number = bandwidth_sent(bandwidth, &sent, 1000, 0, *now_us * NS);
        if (i >= lost_of_20) arrivals_add(&arrivals, number, (*now_us + 20000) * NS);
    }
    uint8_t bytes[1200];
    int length = transport_cc_write(&arrivals, bytes, sizeof bytes, 1, 2, *now_us * NS);
    CHECK(length > 0);
    CHECK_EQUAL(feed(bandwidth, bytes + 12, (size_t)length - 12, (*now_us + 40000) * NS), 0);
}

static void converse(struct bandwidth *bandwidth, uint64_t *now_us)
{ converse_losing(bandwidth, now_us, 0); }

static void begin(struct bandwidth *bandwidth, const struct bandwidth_config *config)
{
    memset(&sent, 0, sizeof sent);
    memset(&arrivals, 0, sizeof arrivals);
    memset(bandwidth, 0, sizeof *bandwidth);
    CHECK(!bandwidth_usable(bandwidth));
    bandwidth_reset(bandwidth, config);
    CHECK(bandwidth_usable(bandwidth));
}

static void limits_and_remb_hold(void)
{
    struct bandwidth bandwidth;
    struct probe_request request;
    uint64_t now_us = 5000000;
    begin(&bandwidth, NULL);
    CHECK_EQUAL(bandwidth.target, BANDWIDTH_START);
    bandwidth_remb(&bandwidth, 2000000); /* a receiver without transport-wide feedback: REMB is the rate */
    CHECK_EQUAL(bandwidth.target, 2000000);
    bandwidth_remb(&bandwidth, 1);
    CHECK_EQUAL(bandwidth.target, BANDWIDTH_MIN);
    bandwidth_remb(&bandwidth, UINT32_MAX);
    CHECK_EQUAL(bandwidth.target, BANDWIDTH_MAX);
    converse(&bandwidth, &now_us); /* with feedback it is a cap only */
    CHECK(bandwidth.target < 400000);
    for (unsigned i = 0; i < 50; i++) converse(&bandwidth, &now_us);
    uint32_t found = bandwidth.target;
    CHECK(found > BANDWIDTH_START);
    bandwidth_remb(&bandwidth, 200000);
    CHECK_EQUAL(bandwidth.target, 200000);
    CHECK(!bandwidth_tick(&bandwidth, now_us * NS + 40000 * NS, &request)); /* no probes above it */
    bandwidth_remb(&bandwidth, 5000000);
    CHECK_EQUAL(bandwidth.target, found);

    begin(&bandwidth, &(struct bandwidth_config){.start = 100000, .minimum = 90000, .maximum = 150000});
    for (unsigned i = 0; i < 100; i++) converse(&bandwidth, &now_us);
    CHECK_EQUAL(bandwidth.target, 150000);
    CHECK(!bandwidth_tick(&bandwidth, (now_us + 41000) * NS, &request) || request.bits_per_second <= 180000);
}

static void silence_lowers_the_rate(void)
{
    struct bandwidth bandwidth;
    struct probe_request request;
    uint64_t now_us = 5000000;
    begin(&bandwidth, NULL);
    bandwidth_tick(&bandwidth, now_us * NS, &request); /* the first probe waits for no feedback */
    CHECK_EQUAL(request.bits_per_second, 900000);
    for (unsigned i = 0; i < 10; i++) converse(&bandwidth, &now_us);
    uint32_t before = bandwidth.target;
    for (uint64_t until = now_us + 10000000; now_us < until; now_us += 20000)
        bandwidth_tick(&bandwidth, now_us * NS, &request); /* nothing sent: no reason to answer */
    CHECK_EQUAL(bandwidth.target, before);
    for (uint64_t until = now_us + 10000000; now_us < until; now_us += 20000) {
        bandwidth_sent(&bandwidth, &sent, 100, 0, now_us * NS);
        bandwidth_tick(&bandwidth, now_us * NS, &request);
    }
    CHECK_EQUAL(bandwidth.target, BANDWIDTH_MIN);
    CHECK(!bandwidth_tick(&bandwidth, (now_us + 5000000) * NS, &request)); /* no probes into the dark */
}

static void malformed_feedback_changes_nothing(void)
{
    static struct bandwidth bandwidth, before;
    static struct sent_log sent_before;
    uint64_t now_us = 5000000;
    begin(&bandwidth, NULL);
    for (unsigned i = 0; i < 20; i++) converse(&bandwidth, &now_us);
    uint8_t fci[20];
    hex_bytes("00000014000001003fff0000", fci); /* a reserved symbol; then the same cut short */
    memcpy(&before, &bandwidth, sizeof before);
    memcpy(&sent_before, &sent, sizeof sent);
    fci[8] = 0x60;
    CHECK_EQUAL(feed(&bandwidth, fci, 12, now_us * NS), -EBADMSG);
    fci[8] = 0x20;
    for (size_t cut = 0; cut < 12; cut++)
        CHECK_EQUAL(feed(&bandwidth, fci, cut, now_us * NS), -EBADMSG);
    CHECK_BYTES(&bandwidth, &before, sizeof before);
    CHECK_BYTES(&sent, &sent_before, sizeof sent);
}

/* Feedback about numbers never sent, with any times: counted as an answer, and nothing else. */
static void lies_stay_within_limits(void)
{
    static struct bandwidth bandwidth;
    uint64_t random = 21, now_us = 5000000;
    for (unsigned round = 0; round < 40; round++) {
        begin(&bandwidth, NULL);
        for (unsigned i = 0; i < 300; i++) {
            now_us += random_next(&random) % 200000;
            for (unsigned packets = (unsigned)(random_next(&random) % 40); packets; packets--)
                bandwidth_sent(&bandwidth, &sent, (uint16_t)(random_next(&random) % 1500),
                               (uint8_t)(random_next(&random) % 4), now_us * NS);
            uint8_t fci[64];
            random_fill(&random, fci, sizeof fci);
            store_be16(fci, (uint16_t)(sent.next - random_next(&random) % 60));
            store_be16(fci + 2, (uint16_t)(1 + random_next(&random) % 30));
            fci[8] = (uint8_t)(random_next(&random) % 2 ? 0x20 : 0xd6);
            size_t length = 10 + random_next(&random) % 54;
            int result = feed(&bandwidth, fci, length, now_us * NS);
            CHECK(result == 0 || result == -EBADMSG);
            struct probe_request request;
            bandwidth_tick(&bandwidth, now_us * NS, &request);
            CHECK(bandwidth.target >= BANDWIDTH_MIN && bandwidth.target <= BANDWIDTH_MAX);
            CHECK(bandwidth_usable(&bandwidth));
            CHECK(bandwidth.loss.inherent >= 0 && bandwidth.loss.inherent <= LOSS_INHERENT_MAX);
        }
    }
}

/* A kill leaves some words of before and some of after a call. A successor goes on with that. */
static void a_torn_row_goes_on(void)
{
    union row {
        struct bandwidth bandwidth;
        uint64_t words[sizeof(struct bandwidth) / 8];
    } before, after;
    uint64_t random = 31, now_us = 5000000;
    for (unsigned round = 0; round < 1000; round++) {
        begin(&after.bandwidth, NULL);
        unsigned rounds = (unsigned)(random_next(&random) % 60);
        before = after;
        for (unsigned i = 0; i < rounds; i++) {
            before = after;
            unsigned lost = random_next(&random) % 4 == 0 ? (unsigned)(random_next(&random) % 20) : 0;
            converse_losing(&after.bandwidth, &now_us, round % 2 ? lost : 0);
        }
        for (size_t i = 0; i < sizeof after.words / 8; i++)
            if (random_next(&random) & 1) after.words[i] = before.words[i];
        CHECK(bandwidth_usable(&after.bandwidth));
        for (unsigned i = 0; i < 30; i++) converse(&after.bandwidth, &now_us);
        CHECK(after.bandwidth.target >= BANDWIDTH_MIN && after.bandwidth.target < 10 * MBIT);
        if (round % 2 == 0) CHECK(after.bandwidth.target >= BANDWIDTH_START * 0.8);
        CHECK(after.bandwidth.loss.inherent >= 0 && after.bandwidth.loss.inherent <= LOSS_INHERENT_MAX);
    }
}

int main(void)
{
    delay_is_judged();
    late_and_reordered_packets_do_not_spoil_the_trend();
    rate_follows_the_verdict();
    near_the_capacity_growth_is_a_packet_at_a_time();
    loss_is_told_from_congestion();
    late_arrivals_are_no_loss();
    probes_measure_the_link();
    probes_keep_their_pauses();
    limits_and_remb_hold();
    silence_lowers_the_rate();
    malformed_feedback_changes_nothing();
    lies_stay_within_limits();
    a_torn_row_goes_on();
    return 0;
}
