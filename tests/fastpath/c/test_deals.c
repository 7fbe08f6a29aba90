/* Who gets what, through forward(): estimates, clamps, clicks, hidden tiles, temporal layers, kills. Member 0 sends source 0, a camera of 150, 500 and
 * 1700 kbit/s; members 1, 2, 3 watch it in slots 1, 2, 3. */
#include "check.h"
#include "meeting.h"

#define KBIT 1000u
#define NOTHING ALLOCATION_NOTHING
enum { T = 0, M = 1, F = 2 };

static void watch(struct meeting *meeting, uint32_t member, uint32_t source, uint8_t encoding, bool focus)
{
    scene_sink(meeting->scene, member, member, source, encoding);
    meeting->scene->sinks[member].focus = focus;
}

static void three_viewers(struct meeting *meeting, uint32_t a, uint32_t b, uint32_t c)
{
    meeting_open(meeting);
    for (uint32_t member = 0; member < 4; member++) scene_member(meeting->scene, member);
    meeting_camera(meeting, 0, 0, "1");
    for (uint32_t member = 1; member < 4; member++) watch(meeting, member, 0, F, true);
    scene_publish(meeting->scene);
    scene_connect(meeting->scene);
    meeting_estimate(meeting, 1, a * KBIT);
    meeting_estimate(meeting, 2, b * KBIT);
    meeting_estimate(meeting, 3, c * KBIT);
}

static uint8_t deal(const struct meeting *meeting, uint32_t sink)
{ return meeting->scene->worker.state.sinks[sink].allocation.encoding; }

static uint32_t target(const struct meeting *meeting, uint32_t source, unsigned encoding)
{ return meeting->scene->worker.state.sources[source].clamp.encodings[encoding].told_bps; }

static void test_a_slow_viewer_moves_and_the_others_are_not_held(void)
{
    struct meeting meeting;
    three_viewers(&meeting, 3000, 2000, 250);
    meeting_run(&meeting, 12000);
    meeting_forget(&meeting);
    meeting_run(&meeting, 4000);
    printf("3 M: %u, 2 M: %u, 250 k: %u kbit/s; f told %u, t told %u, REMB %u\n",
           meeting_bps(&meeting, 1, 4000) / 1000, meeting_bps(&meeting, 2, 4000) / 1000,
           meeting_bps(&meeting, 3, 4000) / 1000, target(&meeting, 0, F) / 1000,
           target(&meeting, 0, T) / 1000, meeting.remb[0] / 1000);
    CHECK_EQUAL(deal(&meeting, 1), F);
    CHECK_EQUAL(deal(&meeting, 2), F);
    CHECK_EQUAL(deal(&meeting, 3), M); /* held to what it can take: nobody else looks at that one */
    CHECK_EQUAL(target(&meeting, 0, F), 1700 * KBIT);
    CHECK(target(&meeting, 0, M) <= 250 * KBIT);
    CHECK_EQUAL(meeting.got[3].encoding, M);
    CHECK_EQUAL(meeting.got[1].gaps + meeting.got[2].gaps + meeting.got[3].gaps, 0);
    CHECK(meeting_bps(&meeting, 1, 4000) > 1600 * KBIT && meeting_bps(&meeting, 2, 4000) > 1600 * KBIT);
    meeting_close(&meeting);
}

static void test_the_sender_is_held_to_the_lowest_who_counts(void)
{
    struct meeting meeting;
    three_viewers(&meeting, 3000, 2000, 1200);
    meeting_run(&meeting, 12000);
    meeting_forget(&meeting);
    meeting_run(&meeting, 4000);
    printf("lowest viewer 1200: f told %u kbit/s, sent %u, REMB %u\n", target(&meeting, 0, F) / 1000,
           meeting_bps(&meeting, 3, 4000) / 1000, meeting.remb[0] / 1000);
    for (uint32_t sink = 1; sink < 4; sink++) CHECK_EQUAL(deal(&meeting, sink), F);
    CHECK(target(&meeting, 0, F) <= 1200 * KBIT && target(&meeting, 0, F) >= 1020 * KBIT);
    /* REMB bounds all of it: f, what else is sent, and repair. */
    uint32_t sum = target(&meeting, 0, T) + target(&meeting, 0, M) + target(&meeting, 0, F);
    CHECK(meeting.remb[0] >= sum && meeting.remb[0] <= sum / 100 * 112);
    /* Its link falls: the REMB at once, and the message. */
    meeting_estimate(&meeting, 3, 900 * KBIT);
    meeting_run(&meeting, 60);
    CHECK(target(&meeting, 0, F) <= 900 * KBIT);
    CHECK(meeting.remb[0] < sum);
    CHECK(scene_told(meeting.scene, UPLINK_SEND_TARGET, 0) >= 1);
    /* Below half of what the others have it is moved, and the others are freed. */
    meeting_estimate(&meeting, 3, 600 * KBIT);
    meeting_run(&meeting, 500);
    CHECK_EQUAL(deal(&meeting, 3), M);
    CHECK_EQUAL(deal(&meeting, 1), F);
    meeting_run(&meeting, 8000);
    CHECK(target(&meeting, 0, F) >= 1600 * KBIT);
    CHECK_EQUAL(meeting.got[3].encoding, M);
    CHECK_EQUAL(meeting.got[3].gaps, 0);
    meeting_close(&meeting);
}

static void test_nobody_looks_and_somebody_asks(void)
{
    struct meeting meeting;
    three_viewers(&meeting, 5000, 5000, 5000);
    meeting_run(&meeting, 6000);
    CHECK_EQUAL(deal(&meeting, 1), F);
    for (uint32_t member = 1; member < 4; member++) watch(&meeting, member, 0, T, false);
    scene_publish(meeting.scene);
    unsigned ms = 0;
    for (; target(&meeting, 0, F); ms += 20) {
        meeting_run(&meeting, 20);
        CHECK(ms < 5000);
    }
    printf("an encoding that nobody views is told off after %u ms\n", ms);
    CHECK(target(&meeting, 0, T) > 0);
    meeting_run(&meeting, 3000);
    meeting_forget(&meeting);
    watch(&meeting, 1, 0, F, true);
    scene_publish(meeting.scene); /* the click: told before any other packet comes */
    scene_flush(meeting.scene);
    CHECK(target(&meeting, 0, F) > 0);
    for (ms = 0; meeting.got[1].encoding != F; ms += 20) {
        meeting_run(&meeting, 20);
        CHECK(ms < 300);
    }
    printf("... and on at once: its picture is there after %u ms\n", ms);
    CHECK_EQUAL(meeting.got[1].gaps, 0);
    meeting_close(&meeting);
}

static void test_a_hidden_tile_costs_nothing(void)
{
    struct meeting meeting;
    meeting_open(&meeting);
    for (uint32_t member = 0; member < 3; member++) scene_member(meeting.scene, member);
    meeting_camera(&meeting, 0, 0, "1");
    meeting_camera(&meeting, 1, 1, "1");
    scene_sink(meeting.scene, 1, 2, 0, T);
    scene_sink(meeting.scene, 2, 2, 1, T);
    scene_publish(meeting.scene);
    scene_connect(meeting.scene);
    meeting_estimate(&meeting, 2, 220 * KBIT);
    meeting_run(&meeting, 4000);
    CHECK(deal(&meeting, 1) == T && deal(&meeting, 2) == T);
    meeting.scene->sinks[1].hidden = 1;
    scene_publish(meeting.scene);
    meeting_run(&meeting, 100);
    meeting_forget(&meeting);
    meeting_run(&meeting, 4000);
    CHECK_EQUAL(meeting.got[1].packets, 0);
    CHECK(meeting_bps(&meeting, 2, 1000) > 140 * KBIT); /* the other has all frames now */
    CHECK_EQUAL(meeting.scene->worker.state.downlinks[2].total.paused, 0);
    meeting.scene->sinks[1].hidden = 0; /* and back, with a key frame and no gap */
    scene_publish(meeting.scene);
    meeting_run(&meeting, 200);
    CHECK(meeting.got[1].packets > 0 && meeting.got[1].key_frames >= 1);
    CHECK_EQUAL(meeting.got[1].gaps, 0);
    meeting_close(&meeting);
}

static void test_a_paused_slot_stops_and_goes_on_without_a_gap(void)
{
    struct meeting meeting;
    three_viewers(&meeting, 3000, 3000, 3000);
    meeting_run(&meeting, 3000);
    meeting_estimate(&meeting, 3, 10 * KBIT);
    /* REMB below the least estimate: what is left is less than the least picture of a camera that is held by nobody below 50. */
    meeting.scene->transports[3].downlink_max_bps = 20 * KBIT;
    scene_publish(meeting.scene);
    meeting_run(&meeting, 1500);
    CHECK_EQUAL(deal(&meeting, 3), NOTHING);
    bool told = false;
    for (uint32_t i = 0; i < meeting.scene->told_count; i++)
        told |= meeting.scene->told[i].kind == UPLINK_SINK_DEAL && meeting.scene->told[i].a == 3 &&
                meeting.scene->told[i].b == NOTHING;
    CHECK(told);
    meeting_forget(&meeting);
    meeting_run(&meeting, 1000);
    CHECK_EQUAL(meeting.got[3].packets, 0);
    meeting.scene->transports[3].downlink_max_bps = 0;
    scene_publish(meeting.scene);
    meeting_estimate(&meeting, 3, 3000 * KBIT);
    meeting_run(&meeting, 6000);
    CHECK_EQUAL(deal(&meeting, 3), F);
    CHECK(meeting.got[3].packets > 0);
    CHECK_EQUAL(meeting.got[3].gaps, 0);
    meeting_close(&meeting);
}

static void test_fewer_frames_leave_no_hole(void)
{
    struct meeting meeting;
    three_viewers(&meeting, 3000, 3000, 90);
    meeting.scene->sources[0].limits = (struct clamp_limits){0}; /* a sender that cannot be held */
    scene_publish(meeting.scene);
    meeting_run(&meeting, 3000);
    meeting_forget(&meeting);
    meeting_run(&meeting, 4000);
    printf("90 kbit/s of a 150 kbit/s thumbnail: %u of 100 frames, layers %u %u %u, %u kbit/s\n",
           meeting.got[3].frames, meeting.got[3].of_temporal[0], meeting.got[3].of_temporal[1],
           meeting.got[3].of_temporal[2], meeting_bps(&meeting, 3, 4000) / 1000);
    CHECK_EQUAL(deal(&meeting, 3), T);
    CHECK_EQUAL(meeting.got[3].of_temporal[2], 0);
    CHECK(meeting.got[3].frames >= 20);
    CHECK_EQUAL(meeting.got[3].gaps, 0);
    meeting_estimate(&meeting, 3, 400 * KBIT);
    meeting_run(&meeting, 6000);
    meeting_forget(&meeting);
    meeting_run(&meeting, 1000);
    CHECK(meeting.got[3].frames >= 24);
    CHECK_EQUAL(meeting.got[3].gaps, 0);
    meeting_close(&meeting);
}

static void test_it_goes_on_without_control_and_over_a_kill(void)
{
    struct meeting meeting;
    three_viewers(&meeting, 3000, 2000, 150);
    meeting_run(&meeting, 8000); /* no generation since the first */
    CHECK_EQUAL(deal(&meeting, 3), T);
    uint8_t before[4];
    for (uint32_t sink = 1; sink < 4; sink++) before[sink] = deal(&meeting, sink);
    scene_restart(meeting.scene);
    for (uint32_t sink = 1; sink < 4; sink++) {
        CHECK_EQUAL(deal(&meeting, sink), before[sink]);
        CHECK_EQUAL(meeting.scene->worker.sinks[sink].encoding, before[sink]);
    }
    meeting_forget(&meeting);
    meeting_run(&meeting, 2000);
    for (uint32_t sink = 1; sink < 4; sink++) {
        CHECK_EQUAL(deal(&meeting, sink), before[sink]);
        CHECK(meeting.got[sink].packets > 0);
    }
    CHECK_EQUAL(meeting.got[3].encoding, T);
    meeting_estimate(&meeting, 3, 3000 * KBIT); /* the link got better: it follows, still without control */
    meeting_run(&meeting, 10000);
    CHECK_EQUAL(deal(&meeting, 3), F);
    meeting_close(&meeting);
}

static void test_hysteresis(void)
{
    struct meeting meeting;
    three_viewers(&meeting, 3000, 3000, 800);
    uint64_t random = 5;
    unsigned switches = 0;
    uint8_t last = NOTHING;
    for (unsigned i = 0; i < 600; i++) { /* a minute, +-8 % */
        meeting_estimate(&meeting, 3, 800 * (uint32_t)(92 + random_next(&random) % 17) / 100 * KBIT);
        meeting_run(&meeting, 100);
        if (i > 60) switches += deal(&meeting, 3) != last;
        last = deal(&meeting, 3);
    }
    printf("800 kbit/s +-8 %% for a minute: %u switches of encoding\n", switches);
    CHECK(switches <= 4);
    CHECK_EQUAL(meeting.got[3].gaps, 0);
    meeting_close(&meeting);
}

static void test_what_viewers_lose_is_told(void)
{
    struct meeting meeting;
    three_viewers(&meeting, 3000, 3000, 3000);
    meeting_run(&meeting, 2000);
    meeting.scene->worker.state.sinks[3].fraction_lost = 40;
    meeting_forget(&meeting);
    meeting_run(&meeting, 2200);
    unsigned told = 0;
    for (uint32_t i = 0; i < meeting.scene->told_count; i++)
        if (meeting.scene->told[i].kind == UPLINK_VIEWERS && meeting.scene->told[i].a == 0) {
            CHECK_EQUAL(meeting.scene->told[i].b >> 16, 3);
            CHECK_EQUAL(meeting.scene->told[i].b >> 8 & 255, 40);
            CHECK_EQUAL(meeting.scene->told[i].b & 255, 13);
            told++;
        }
    CHECK_EQUAL(told, 1);
    meeting_close(&meeting);
}

static void test_a_source_without_limits_is_not_clamped(void)
{
    struct meeting meeting;
    three_viewers(&meeting, 3000, 3000, 3000);
    meeting.scene->sources[0].limits = (struct clamp_limits){0};
    scene_publish(meeting.scene);
    meeting.cameras[0].bps[1] = 500 * KBIT;
    meeting.cameras[0].bps[2] = 1700 * KBIT;
    meeting_run(&meeting, 5000);
    for (uint32_t sink = 1; sink < 4; sink++) {
        CHECK_EQUAL(deal(&meeting, sink), F);
        CHECK_EQUAL(meeting.got[sink].encoding, F);
    }
    meeting_estimate(&meeting, 3, 800 * KBIT);
    meeting_run(&meeting, 3000);
    CHECK_EQUAL(deal(&meeting, 3), M);
    CHECK_EQUAL(meeting.got[3].encoding, M);
    CHECK_EQUAL(meeting.got[3].gaps, 0);
    meeting_close(&meeting);
}

static void test_tmmbr_says_it_too(void)
{
    struct meeting meeting;
    three_viewers(&meeting, 1200, 1200, 1200);
    meeting.scene->sources[0].tmmbr = 1;
    scene_publish(meeting.scene);
    meeting_run(&meeting, 8000);
    uint64_t wanted = target(&meeting, 0, F);
    CHECK(meeting.tmmbr[0] >= wanted && meeting.tmmbr[0] <= wanted * 110 / 100); /* headers are counted there */
    meeting_estimate(&meeting, 3, 900 * KBIT);
    meeting_run(&meeting, 60);
    CHECK(meeting.tmmbr[0] < wanted * 900 / 1100);
    meeting_close(&meeting);
}

static void test_control_does_not_read(void)
{
    struct meeting meeting;
    three_viewers(&meeting, 3000, 2000, 1200);
    meeting_run(&meeting, 8000);
    for (unsigned i = 0; i < LIMIT_OUTBOX; i++)
        worker_tell(&meeting.scene->worker, UPLINK_PATH_CHANGED, 0, 0, 0, NULL, 0, meeting.scene->now);
    /* Nothing more goes up, but what goes to the sender itself does. */
    meeting_estimate(&meeting, 3, 900 * KBIT);
    for (unsigned i = 0; i < 5; i++) {
        meeting.scene->now += 20 * MS;
        worker_tick(&meeting.scene->worker, meeting.scene->now);
    }
    const struct clamp_encoding *clamp = &meeting.scene->worker.state.sources[0].clamp.encodings[F];
    CHECK(clamp->target_bps <= 900 * KBIT && clamp->told_bps > 1000 * KBIT);
    CHECK(meeting.scene->worker.state.transports[0].remb.told_bps < 1150 * KBIT);
    scene_flush(meeting.scene); /* it is back */
    meeting_run(&meeting, 200);
    CHECK(clamp->told_bps <= 900 * KBIT);
    meeting_close(&meeting);
}

/* A kill loses what waits for its turn: receivers ask for it again. */
static void restart(struct meeting *meeting)
{
    scene_restart(meeting->scene);
    for (uint32_t sink = 0; sink < SCENE_SINKS; sink++) meeting->got[sink].began = false;
}

/* Whatever is wished and whatever links carry: no slot ever has a gap, and what flows is what the links carry. */
static void test_any_wishes_over_any_links(uint64_t seed)
{
    struct meeting meeting;
    uint64_t random = seed;
    meeting_open(&meeting);
    struct scene *scene = meeting.scene;
    for (uint32_t member = 0; member < 5; member++) scene_member(scene, member);
    for (uint32_t source = 0; source < 3; source++) meeting_camera(&meeting, source, source, "1");
    for (uint32_t viewer = 3; viewer < 5; viewer++)
        for (uint32_t source = 0; source < 3; source++)
            scene_sink(scene, viewer * 10 + source, viewer, source, (uint8_t)(source == 0 ? F : T));
    scene_publish(scene);
    scene_connect(scene);
    for (unsigned round = 0; round < 40; round++) {
        unsigned changes = 1 + (unsigned)(random_next(&random) % 4);
        for (unsigned i = 0; i < changes; i++) {
            uint64_t draw = random_next(&random) >> 8;
            struct sink_row *row = &scene->sinks[30 + draw % 2 * 10 + draw / 2 % 3];
            uint32_t source = (uint32_t)(draw / 64 % 3);
            switch (draw / 8 % 7) {
            case 0: row->hidden ^= 1; break;
            case 1: row->focus ^= 1; break;
            case 2: row->max_encoding = (uint8_t)(draw / 64 % 3); break;
            case 3: row->priority = (uint8_t)(draw / 64 % 10); break;
            case 4:
                row->source = source;
                row->source_incarnation = scene->sources[source].incarnation;
                break;
            case 5: scene->sources[source].muted ^= 1; break;
            default:
                meeting_estimate(&meeting, row->transport, (uint32_t)(100 + draw % 4000) * KBIT);
            }
        }
        scene_publish(scene);
        if (round % 8 == 7) restart(&meeting);
        meeting_run(&meeting, 500 + (unsigned)(random_next(&random) % 2000));
    }
    for (uint32_t source = 0; source < 3; source++) scene->sources[source].muted = 0;
    scene_publish(scene);
    meeting_run(&meeting, 8000);
    uint64_t flows[2] = {0};
    for (uint32_t sink = 30; sink < 43; sink++) CHECK_EQUAL(meeting.got[sink].gaps, 0);
    meeting_forget(&meeting);
    meeting_run(&meeting, 4000);
    for (uint32_t sink = 30; sink < 43; sink++)
        flows[sink / 10 - 3] += meeting_bps(&meeting, sink, 4000);
    for (uint32_t viewer = 3; viewer < 5; viewer++) {
        uint32_t estimate = meeting.estimates[viewer];
        if (!estimate) continue;
        if (flows[viewer - 3] > estimate + estimate / 20)
            fprintf(stderr, "seed %llu: %llu of %u\n", (unsigned long long)seed,
                    (unsigned long long)flows[viewer - 3], estimate);
        CHECK(flows[viewer - 3] <= estimate + estimate / 20);
    }
    meeting_close(&meeting);
}

int main(void)
{
    for (uint64_t seed = 1; seed <= 4; seed++) test_any_wishes_over_any_links(seed);
    test_tmmbr_says_it_too();
    test_control_does_not_read();
    test_a_slow_viewer_moves_and_the_others_are_not_held();
    test_the_sender_is_held_to_the_lowest_who_counts();
    test_nobody_looks_and_somebody_asks();
    test_a_hidden_tile_costs_nothing();
    test_a_paused_slot_stops_and_goes_on_without_a_gap();
    test_fewer_frames_leave_no_hole();
    test_it_goes_on_without_control_and_over_a_kill();
    test_hysteresis();
    test_what_viewers_lose_is_told();
    test_a_source_without_limits_is_not_clamped();
    return 0;
}
