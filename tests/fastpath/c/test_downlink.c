/* The whole core in a closed loop: a camera, the worker, and receivers behind bottlenecks that answer with transport-wide feedback. */
#include "bottleneck.h"
#include "bytes.h"
#include "check.h"
#include "downlink.h"

#define KBIT 1000u
enum { T = 0, M = 1, F = 2 };

static double kbps(uint64_t bytes, unsigned ms)
{ return (double)bytes * 8 / ms; }

static void show(const char *what, const struct bottleneck *net, const struct link *link, unsigned ms)
{
    printf("%s: estimate %u, sent %.0f, media %.0f, padding %.0f kbit/s, encoding %c, queue up to "
           "%.0f ms, %u frames, "
           "longest pause %.0f ms, dropped %u, repaired %u, given up %u\n",
           what, link_estimate(net, link) / 1000, kbps(link->sent_bytes, ms), kbps(link->media_bytes, ms),
           kbps(link->padding_bytes, ms), "tmf"[link->encoding], link->longest_queue_ms, link->frames,
           (double)link->longest_pause_ns / 1e6, link->dropped, link->repaired, link->gave_up);
}

static struct link *one_receiver(struct bottleneck *net, double bps)
{
    bottleneck_open(net);
    struct link *link = bottleneck_link(net, bps);
    bottleneck_start(net);
    return link;
}

/* ---- the estimate finds the link, and media fills it ---- */

static void test_one_receiver_over_all_links(void)
{
    static const struct {
        double kbps, least_used;
        uint8_t encoding;
    } TABLE[] = {{20000, 0, F},  {2500, 0, F},   {1500, 0.8, F},
                 {1000, 0.8, F}, {500, 0.65, M}, {300, 0.6, M}};
    for (unsigned i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        struct bottleneck net;
        struct link *link = one_receiver(&net, TABLE[i].kbps * KBIT);
        bottleneck_run(&net, 20000);
        link_forget(link);
        double estimates = 0;
        for (unsigned k = 0; k < 200; k++) {
            bottleneck_run(&net, 100);
            estimates += link_estimate(&net, link) / 200.0;
        }
        char name[64];
        snprintf(name, sizeof name, "%.0f kbit/s (mean estimate %.0f)", TABLE[i].kbps, estimates / KBIT);
        show(name, &net, link, 20000);
        CHECK_EQUAL(link->encoding, TABLE[i].encoding);
        CHECK(kbps(link->media_bytes, 20000) >= TABLE[i].kbps * TABLE[i].least_used);
        if (TABLE[i].least_used > 0) { /* the others are not filled */
            CHECK(estimates >= TABLE[i].kbps * 0.85 * KBIT);
            CHECK(estimates <= TABLE[i].kbps * 1.0 * KBIT);
        }
        CHECK(link->longest_pause_ns < 300 * MS);
        CHECK_EQUAL(link->gave_up, 0);
        /* 5 ms of the estimate or one packet, in one turn of the worker; of a probe 5 ms of twice as much. */
        if (TABLE[i].kbps <= 500) CHECK(link->longest_burst <= 1300);
        if (TABLE[i].kbps == 1000 || TABLE[i].kbps == 2500) CHECK(link->longest_burst <= 2 * 1300);
        bottleneck_close(&net);
    }
}

/* Frames of all sizes, as encoders make them: a large one is a short queue, and no reason to fall. */
static void test_frames_of_all_sizes_fill_a_link(void)
{
    static const double KBPS[] = {500, 1000, 1300, 1600};
    for (unsigned i = 0; i < sizeof KBPS / sizeof *KBPS; i++) {
        double used = 0;
        for (unsigned seed = 1; seed <= 4; seed++) {
            struct bottleneck net;
            struct link *link = one_receiver(&net, KBPS[i] * KBIT);
            net.camera.lifelike = true;
            net.camera.random = 77 * seed;
            link->queue_ms = 300;
            bottleneck_run(&net, 10000);
            link_forget(link);
            bottleneck_run(&net, 18000);
            used += kbps(link->received_bytes, 18000) / KBPS[i] / 4;
            CHECK(link->longest_queue_ms < 200);
            CHECK(link->longest_pause_ns < 300 * MS);
            CHECK_EQUAL(link->dropped, 0);
            bottleneck_close(&net);
        }
        printf("frames of all sizes: %.3f of %.0f kbit/s\n", used, KBPS[i]);
        CHECK(used >= 0.87);
    }
}

static void test_a_fall_and_a_recovery(void)
{
    struct bottleneck net;
    bottleneck_open(&net);
    struct link *link = bottleneck_link(&net, 3000 * KBIT), *other = bottleneck_link(&net, 3000 * KBIT);
    bottleneck_start(&net);
    bottleneck_run(&net, 20000);
    CHECK_EQUAL(link->encoding, F);
    CHECK(link_estimate(&net, link) > 2000 * KBIT);
    link_forget(link);
    link_forget(other);
    link->bps = 500 * KBIT;
    link->queue_ms = 150;
    unsigned down = 0;
    for (; down < 5000 && (link->encoding == F || link_estimate(&net, link) > 500 * KBIT); down += 10)
        bottleneck_run(&net, 10);
    bottleneck_run(&net, 10000 - down);
    show("3 Mbit/s -> 500 kbit/s", &net, link, 10000);
    printf("  down after %u ms\n", down);
    CHECK(down <= 1000);
    CHECK(link->longest_pause_ns <= 500 * MS);
    link_forget(link);
    link->bps = 3000 * KBIT;
    unsigned up = 0;
    for (; up < 20000 && link->encoding != F; up += 50) bottleneck_run(&net, 50);
    printf("  back on f after %u ms\n", up);
    CHECK(up <= 8000);
    show("the other", &net, other, 10000 + up);
    CHECK(other->longest_pause_ns <= 100 * MS);
    CHECK_EQUAL(other->encoding, F);
    CHECK(kbps(other->media_bytes, 10000 + up) > 1600);
    bottleneck_close(&net);
}

/* One who sees a thumbnail clicks on it. The estimate is there before the click, and the first full picture one frame after the sender was told. */
static void test_a_click_finds_the_estimate(double busy_ms, uint32_t least)
{
    struct bottleneck net;
    bottleneck_open(&net);
    struct link *link = bottleneck_link(&net, 20000 * KBIT);
    link->busy_ms = busy_ms;
    struct sink_row *row = &net.scene->sinks[link->sink];
    row->max_encoding = T;
    row->focus = 0;
    bottleneck_start(&net);
    bottleneck_run(&net, 3000);
    printf("a link of 20 Mbit/s, busy %.0f ms: %u kbit/s after 3 s of a thumbnail, ", busy_ms,
           link_estimate(&net, link) / 1000);
    CHECK(link_estimate(&net, link) >= least);
    bottleneck_run(&net, 27000);
    printf("%u after 30 s, ", link_estimate(&net, link) / 1000);
    CHECK(link_estimate(&net, link) >= least);
    CHECK_EQUAL(link->encoding, T);
    row->max_encoding = F;
    row->focus = 1;
    scene_publish(net.scene);
    unsigned took = 0;
    for (; took < 5000 && link->encoding != F; took++) bottleneck_run(&net, 1);
    printf("full picture %u ms after a click at %u kbit/s\n", took, net.camera.bps[F] / 1000);
    CHECK(took <= 200);
    CHECK(net.camera.bps[F] >= least * 8 / 10);
    bottleneck_run(&net, 3000);
    CHECK_EQUAL(link->encoding, F);
    CHECK(link_estimate(&net, link) >= least);
    bottleneck_close(&net);
}

/* Whatever made it lose every picture, it comes back when that is over: also when nothing at all is sent to it any more, of which no
   feedback could tell that there is room again. */
static void test_who_was_paused_altogether_comes_back(void)
{
    enum { NARROW, DEAD, BUSY, SILENT, LOSSY, WAYS };
    static const char *const NAMES[] = {"20 kbit/s", "1 kbit/s", "a processor 800 ms late",
                                        "no feedback", "70 % loss"};
    for (unsigned i = 0; i < 2 * WAYS; i++) {
        unsigned way = i / 2, paused = 0, back = 0;
        struct bottleneck net;
        struct link *link = one_receiver(&net, 3000 * KBIT);
        net.camera.audio = i % 2;
        bottleneck_run(&net, 8000);
        CHECK_EQUAL(link->encoding, F);
        link->bps = way == NARROW ? 20 * KBIT : way == DEAD ? 1 * KBIT : 3000 * KBIT;
        link->busy_ms = way == BUSY ? 800 : 0;
        link->answers = way != SILENT;
        link->loss = way == LOSSY ? 0.7 : 0;
        for (unsigned k = 0; k < 250; k++) {
            bottleneck_run(&net, 100);
            paused += net.scene->worker.state.sinks[1].allocation.encoding == ALLOCATION_NOTHING;
        }
        uint32_t low = link_estimate(&net, link);
        link->bps = 3000 * KBIT;
        link->busy_ms = link->loss = 0;
        link->free_ns = 0;
        link->answers = true;
        link_forget(link);
        while (back < 40000 && (net.scene->worker.state.sinks[1].allocation.encoding != F || !link->media_bytes))
            bottleneck_run(&net, 10), back += 10;
        printf(
            "%s%s: paused for %.1f of 25 s, estimate then %u kbit/s; back in full after %.1f s\n",
            NAMES[way], i % 2 ? ", with audio" : "", paused / 10.0, low / 1000, back / 1000.0);
        CHECK(back <= 15000);
        bottleneck_close(&net);
    }
}

/* The same from the worst state there is: nothing is sent, and what the estimator saw last was an overuse and a loss in doubt. */
static void test_silence_does_not_keep_an_overuse(void)
{
    for (unsigned i = 0; i < 4; i++) {
        struct bottleneck net;
        bottleneck_open(&net);
        struct link *link = bottleneck_link(&net, 3000 * KBIT);
        struct clamp_limits *limits = &net.scene->sources[0].limits;
        limits->max_bps[T] = limits->floor_bps[T] = 400 * KBIT; /* at the least estimate not one frame of it fits */
        net.scene->sinks[1].rtx_payload_type = i == 3 ? 0 : net.scene->sinks[1].rtx_payload_type; /* cannot be probed */
        net.camera.audio = false;
        bottleneck_start(&net);
        bottleneck_run(&net, 8000);
        struct bandwidth *bandwidth = &net.scene->worker.state.downlinks[1].bandwidth;
        struct allocation_state *deal = &net.scene->worker.state.sinks[1].allocation;
        link->answers = false;
        net.scene->sinks[1].hidden = 1;
        scene_publish(net.scene);
        bottleneck_run(&net, 4000); /* all that was on its way is forgotten */
        CHECK_EQUAL(deal->encoding, ALLOCATION_NOTHING);
        bandwidth->control.target = bandwidth->target = BANDWIDTH_MIN;
        bandwidth->trend.verdict = i != 1 ? DELAY_OVERUSE : DELAY_NORMAL;
        bandwidth->loss.testing = i == 1 || i == 2;
        bandwidth->loss.bound = i == 1 || i == 2 ? BANDWIDTH_MIN : 0;
        bandwidth->loss.suspect = 0.3;
        link->answers = true;
        net.scene->sinks[1].hidden = 0;
        scene_publish(net.scene);
        unsigned back = 0, paused = 0;
        for (; back < 40000 && deal->encoding != F && (i != 3 || deal->encoding == ALLOCATION_NOTHING);
             back += 10) {
            bottleneck_run(&net, 10);
            paused += deal->encoding == ALLOCATION_NOTHING;
        }
        printf("silent after an overuse: nothing for %.1f s, back after %.1f s\n", paused / 100.0, back / 1000.0);
        CHECK(back <= (i == 3 ? 20000 : 10000));
        bottleneck_close(&net);
    }
}

static void test_random_loss_is_repaired_and_does_not_starve(void)
{
    for (unsigned percent = 5; percent <= 10; percent += 5) {
        struct bottleneck net;
        struct link *link = one_receiver(&net, 3000 * KBIT);
        link->loss = percent / 100.0;
        bottleneck_run(&net, 20000);
        link_forget(link);
        bottleneck_run(&net, 30000);
        char name[64];
        snprintf(name, sizeof name, "%u %% random loss", percent);
        show(name, &net, link, 30000);
        CHECK_EQUAL(link->encoding, F);
        CHECK(link->gave_up * 1000 <= link->packets);
        CHECK(link_estimate(&net, link) > 1500 * KBIT);
        bottleneck_close(&net);
    }
}

/* ---- who says nothing, or nonsense ---- */

static void test_malformed_feedback_changes_nothing_but_a_counter(void)
{
    struct bottleneck net;
    struct link *link = one_receiver(&net, 1000 * KBIT);
    bottleneck_run(&net, 5000);
    struct bandwidth *bandwidth = &net.scene->worker.state.downlinks[1].bandwidth;
    struct sent_log *sent = &net.scene->worker.state.downlinks[1].sent;
    struct bandwidth bandwidth_before = *bandwidth;
    struct sent_log *sent_before = (struct sent_log *)exact_copy(sent, sizeof *sent);
    uint64_t random = 5;
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t compound[200];
        int head = rtcp_write_rr(compound, sizeof compound, 7, NULL, 0);
        size_t length = 12 + 4 * (size_t)(random_next(&random) % 20);
        uint8_t *block = compound + head;
        random_fill(&random, block, length);
        block[0] = 0x80 | RTCP_FMT_TRANSPORT_CC;
        block[1] = RTCP_RTPFB;
        store_be16(block + 2, (uint16_t)(length / 4 - 1));
        if (length >= 16) store_be16(block + 14, 0xffff); /* more statuses than there are */
        scene_rtcp(net.scene, 1, compound, (size_t)head + length);
    }
    CHECK_EQUAL(scene_counter(net.scene, COUNTER_transport_cc_malformed), 2000);
    CHECK_BYTES(bandwidth, &bandwidth_before, sizeof *bandwidth);
    CHECK_BYTES(sent, sent_before, sizeof *sent);
    free(sent_before);
    (void)link;
    bottleneck_close(&net);
}

static void send_report(struct bottleneck *net, uint32_t member, uint8_t fraction)
{
    uint8_t compound[100];
    struct rtcp_report report = {.ssrc = sink_ssrc(member), .fraction_lost = fraction};
    int length = rtcp_write_rr(compound, sizeof compound, 7, &report, 1);
    scene_rtcp(net->scene, member, compound, (size_t)length);
}

static void test_a_receiver_without_feedback_is_sent_what_it_asks_for(void)
{
    struct bottleneck net;
    bottleneck_open(&net);
    struct link *link = bottleneck_link(&net, 10000 * KBIT);
    net.scene->transports[1].transport_cc_down = 0;
    link->answers = false;
    link->unnumbered = true;
    bottleneck_start(&net);
    bottleneck_run(&net, 5000);
    CHECK_EQUAL(link_estimate(&net, link), DOWNLINK_UNTOLD_BPS);
    CHECK_EQUAL(link->encoding, F);
    CHECK_EQUAL(scene_counter(net.scene, COUNTER_pacing_waited), 0);
    CHECK_EQUAL(scene_counter(net.scene, COUNTER_probes_sent), 0);
    /* Its reports tell loss: 50 %, each second. */
    for (unsigned i = 0; i < 12; i++) {
        send_report(&net, 1, 128);
        send_report(&net, 1, 128); /* sooner than it may count again */
        bottleneck_run(&net, 1000);
    }
    CHECK(link_estimate(&net, link) < DOWNLINK_UNTOLD_BPS / 25);
    CHECK_EQUAL(net.scene->worker.state.sinks[1].fraction_lost, 128);
    CHECK(link->encoding < F);
    uint32_t low = link_estimate(&net, link);
    send_report(&net, 1, 12); /* 5 %: neither up nor down */
    CHECK_EQUAL(link_estimate(&net, link), low);
    for (unsigned i = 0; i < 30; i++) {
        send_report(&net, 1, 0);
        bottleneck_run(&net, 1000);
    }
    CHECK_EQUAL(link_estimate(&net, link), DOWNLINK_UNTOLD_BPS);
    CHECK_EQUAL(link->encoding, F);
    bottleneck_close(&net);
}

/* It agreed to transport-wide feedback and never sends any: not stuck at the first estimate, as long as its reports are good. */
static void test_a_receiver_whose_feedback_never_comes(void)
{
    struct bottleneck net;
    struct link *link = one_receiver(&net, 10000 * KBIT);
    link->answers = false;
    bottleneck_run(&net, 2000);
    send_report(&net, 1, 0);
    CHECK_EQUAL(link_estimate(&net, link), BANDWIDTH_START);
    for (unsigned i = 0; i < 20; i++) {
        bottleneck_run(&net, 1000);
        send_report(&net, 1, 0);
    }
    CHECK_EQUAL(link_estimate(&net, link), DOWNLINK_UNTOLD_BPS);
    CHECK_EQUAL(link->encoding, F);
    bottleneck_close(&net);
}

static void test_remb_alone_is_the_estimate_and_paces(void)
{
    struct bottleneck net;
    bottleneck_open(&net);
    struct link *link = bottleneck_link(&net, 10000 * KBIT);
    net.scene->transports[1].transport_cc_down = 0;
    link->answers = false;
    link->unnumbered = true;
    bottleneck_start(&net);
    for (unsigned i = 0; i < 10; i++) {
        uint8_t compound[100];
        uint32_t ssrc = sink_ssrc(1);
        int head = rtcp_write_rr(compound, sizeof compound, 7, NULL, 0);
        int length =
            rtcp_write_remb(compound + head, sizeof compound - (size_t)head, 7, 1000 * KBIT, &ssrc, 1);
        scene_rtcp(net.scene, 1, compound, (size_t)(head + length));
        bottleneck_run(&net, 1000);
        if (i == 2) link_forget(link);
    }
    CHECK(link_estimate(&net, link) <= 1000 * KBIT && link_estimate(&net, link) > 990 * KBIT);
    CHECK_EQUAL(scene_counter(net.scene, COUNTER_probes_sent), 0);
    CHECK(scene_counter(net.scene, COUNTER_pacing_waited) > 100);
    CHECK(link->longest_burst <= 1300);
    CHECK(kbps(link->media_bytes, 7000) > 700 && kbps(link->media_bytes, 7000) <= 1000);
    bottleneck_close(&net);
}

static void test_a_second_connection_begins_with_the_estimate_of_the_first(void)
{
    struct bottleneck net;
    bottleneck_open(&net);
    bottleneck_link(&net, 3000 * KBIT);
    bottleneck_start(&net);
    bottleneck_run(&net, 5000);
    uint32_t first = downlink_bps(&net.scene->worker, 1);
    CHECK(first > 2 * BANDWIDTH_START);
    struct transport_row second = net.scene->transports[1];
    second.incarnation++;
    second.follows = 2;
    net.scene->transports[5] = second;
    second.conference++; /* somebody else's row by now */
    net.scene->transports[6] = second;
    scene_publish(net.scene);
    CHECK(downlink_bps(&net.scene->worker, 5) >= first);
    CHECK_EQUAL(downlink_bps(&net.scene->worker, 6), BANDWIDTH_START);
    bottleneck_close(&net);
}

static void test_the_operators_bound_and_no_retransmission_stream(void)
{
    struct bottleneck net;
    bottleneck_open(&net);
    struct link *link = bottleneck_link(&net, 10000 * KBIT);
    net.scene->transports[1].downlink_max_bps = 700 * KBIT;
    bottleneck_start(&net);
    bottleneck_run(&net, 10000);
    CHECK_EQUAL(downlink_bps(&net.scene->worker, 1), 700 * KBIT);
    CHECK(scene_counter(net.scene, COUNTER_probes_sent) > 0);
    CHECK(scene_counter(net.scene, COUNTER_probe_padding_bytes) > 0);
    printf("held to 700 by the operator: sent %.0f kbit/s\n", kbps(link->sent_bytes, 10000));
    CHECK(kbps(link->media_bytes, 10000) <= 700 && kbps(link->sent_bytes, 10000) <= 750);
    net.scene->transports[1].downlink_max_bps = 300 * KBIT; /* at once */
    scene_publish(net.scene);
    CHECK_EQUAL(downlink_bps(&net.scene->worker, 1), 300 * KBIT);
    bottleneck_close(&net);

    bottleneck_open(&net);
    link = bottleneck_link(&net, 10000 * KBIT);
    net.scene->sinks[1].rtx_payload_type = 0;
    bottleneck_start(&net);
    bottleneck_run(&net, 10000);
    CHECK_EQUAL(scene_counter(net.scene, COUNTER_probes_sent), 0);
    CHECK_EQUAL(link->padding_bytes, 0);
    bottleneck_close(&net);
}

/* ---- what waits ---- */

static void test_what_waits_keeps_its_order_and_wakes_the_worker(void)
{
    struct bottleneck net;
    struct link *link = one_receiver(&net, 1000 * KBIT);
    bottleneck_run(&net, 8000);
    unsigned waited = 0, late = 0;
    for (unsigned i = 0; i < 4000; i++) {
        bottleneck_run(&net, 1);
        if (!net.scene->worker.state.downlinks[1].waiting_bytes) continue;
        waited++;
        late += worker_sleep_ns(&net.scene->worker, net.scene->now) > 15 * MS; /* a packet at 1 Mbit/s is 10 ms */
        CHECK(net.scene->worker.release.count >= 1);
    }
    CHECK(waited > 500);
    CHECK_EQUAL(late, 0);
    /* In order: the link loses nothing, so nothing was asked for, though hundreds of packets waited. */
    CHECK_EQUAL(scene_counter(net.scene, COUNTER_nacks_received), 0);
    CHECK_EQUAL(scene_counter(net.scene, COUNTER_waiting_dropped), 0);
    /* Nobody views any more: what waits is not sent, and the list is empty again. */
    net.scene->sinks[1].source = TABLE_NONE;
    scene_publish(net.scene);
    bottleneck_run(&net, 300); /* what is on its way arrives */
    link_forget(link);
    bottleneck_run(&net, 1000);
    CHECK_EQUAL(link->frames, 0);
    CHECK_EQUAL(net.scene->worker.release.count, 0);
    CHECK_EQUAL(net.scene->worker.state.downlinks[1].waiting_bytes, 0);
    bottleneck_close(&net);
}

/* Killed again and again, with packets waiting and probes under way: members accept everything (scene_close checks that nothing was refused as
   seen before), and the estimate goes on. */
static void test_successors_go_on_with_the_estimate_and_repeat_no_index(void)
{
    struct bottleneck net;
    struct link *link = one_receiver(&net, 1000 * KBIT);
    uint64_t random = 3;
    unsigned waiting = 0, probing = 0;
    bottleneck_run(&net, 5000);
    for (unsigned life = 0; life < 200; life++) {
        const struct downlink_state *state = &net.scene->worker.state.downlinks[1];
        for (unsigned ms = 0; ms < 400; ms++) {
            bottleneck_run(&net, 1);
            if (ms < random_next(&random) % 200) continue;
            bool worth = life % 2 ? state->waiting_bytes > 0 : pacing_cluster(&state->pacing) != 0;
            if (worth || ms > 200) break;
        }
        waiting += state->waiting_bytes > 0;
        probing += pacing_cluster(&state->pacing) != 0;
        uint32_t estimate = link_estimate(&net, link);
        scene_restart(net.scene);
        CHECK_EQUAL(link_estimate(&net, link), estimate);
        if (life % 10 == 0 && net.scene->worker.state.downlinks[1].bandwidth.control.target > 0)
            net.scene->worker.state.downlinks[1].bandwidth.probing.due_us = 1; /* another probe soon */
    }
    show("200 kills", &net, link, 60000);
    CHECK(waiting >= 50 && probing >= 3);
    CHECK(link_estimate(&net, link) > 500 * KBIT && link_estimate(&net, link) < 1200 * KBIT);
    bottleneck_close(&net);
}

static void test_rows_that_make_no_sense_begin_anew(void)
{
    struct bottleneck net;
    struct link *link = one_receiver(&net, 1000 * KBIT);
    bottleneck_run(&net, 5000);
    CHECK(link_estimate(&net, link) > 500 * KBIT);
    memset(&net.scene->worker.state.downlinks[1].bandwidth, 0, sizeof(struct bandwidth)); /* killed within the reset */
    scene_restart(net.scene);
    CHECK_EQUAL(link_estimate(&net, link), BANDWIDTH_START);
    bottleneck_run(&net, 5000);
    CHECK(link_estimate(&net, link) > 700 * KBIT);
    /* Another member on the same handle knows nothing of the one before. */
    scene_member(net.scene, 1);
    net.scene->transports[1].incarnation = 77;
    net.scene->sinks[1].transport_incarnation = net.scene->sinks[101].transport_incarnation = 77;
    scene_publish(net.scene);
    CHECK_EQUAL(link_estimate(&net, link), DOWNLINK_UNTOLD_BPS);
    CHECK_EQUAL(net.scene->worker.state.downlinks[1].sent.next, 0);
    bottleneck_close(&net);
}

int main(void)
{
    test_one_receiver_over_all_links();
    test_frames_of_all_sizes_fill_a_link();
    test_a_fall_and_a_recovery();
    test_a_click_finds_the_estimate(0, 1800 * KBIT);
    test_a_click_finds_the_estimate(60, 1000 * KBIT); /* its probes look slower */
    test_who_was_paused_altogether_comes_back();
    test_silence_does_not_keep_an_overuse();
    test_random_loss_is_repaired_and_does_not_starve();
    test_malformed_feedback_changes_nothing_but_a_counter();
    test_a_receiver_without_feedback_is_sent_what_it_asks_for();
    test_a_receiver_whose_feedback_never_comes();
    test_remb_alone_is_the_estimate_and_paces();
    test_a_second_connection_begins_with_the_estimate_of_the_first();
    test_the_operators_bound_and_no_retransmission_stream();
    test_what_waits_keeps_its_order_and_wakes_the_worker();
    test_successors_go_on_with_the_estimate_and_repeat_no_index();
    test_rows_that_make_no_sense_begin_anew();
    return 0;
}
