/* What slots get within their receivers' estimates, through forward(): hidden tiles, pauses, fewer frames, kills. Member 0 sends source 0, a camera of 150,
 * 500 and 1700 kbit/s; members 1, 2, 3 watch it in slots 1, 2, 3. */
#include "bytes.h"
#include "check.h"
#include "meeting.h"

#define KBIT 1000u
#define NOTHING ALLOCATION_NOTHING
enum { T = 0, M = 1, F = 2 };

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
    CHECK(meeting_deal(&meeting, 1) == T && meeting_deal(&meeting, 2) == T);
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
    meeting_of_three(&meeting, 3000, 3000, 3000);
    meeting_run(&meeting, 3000);
    meeting_estimate(&meeting, 3, 10 * KBIT);
    /* REMB below the least estimate: what is left is less than the least picture of a camera that is held by nobody below 50. */
    meeting.scene->transports[3].downlink_max_bps = 20 * KBIT;
    scene_publish(meeting.scene);
    meeting_run(&meeting, 1500);
    CHECK_EQUAL(meeting_deal(&meeting, 3), NOTHING);
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
    CHECK_EQUAL(meeting_deal(&meeting, 3), F);
    CHECK(meeting.got[3].packets > 0);
    CHECK_EQUAL(meeting.got[3].gaps, 0);
    meeting_close(&meeting);
}

/* The last packet before a pause was lost: it is asked for while nothing else comes, and comes. One is what that link takes in a second. */
static void test_the_last_of_a_paused_slot_is_repaired(void)
{
    struct meeting meeting;
    meeting_of_three(&meeting, 3000, 3000, 3000);
    struct scene *scene = meeting.scene;
    meeting_run(&meeting, 3000);
    meeting_estimate(&meeting, 3, 10 * KBIT);
    scene->transports[3].downlink_max_bps = 20 * KBIT;
    scene_publish(scene);
    for (unsigned ms = 0; meeting_deal(&meeting, 3) != NOTHING; ms += 20) {
        CHECK(ms < 1500);
        meeting_run(&meeting, 20);
    }
    uint16_t lost = (uint16_t)meeting.got[3].index;
    uint8_t compound[200];
    int at = rtcp_write_rr(compound, sizeof compound, 0x20003, NULL, 0);
    at += rtcp_write_nack(compound + at, sizeof compound - (size_t)at, 0x20003, sink_ssrc(3), &lost, 1);
    scene_forget(scene);
    scene_rtcp(scene, 3, compound, (size_t)at);
    for (unsigned ms = 0; ms < 1000; ms += 20) scene_advance(scene, 20 * MS);
    unsigned repaired = 0;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        if (got->rtcp || got->member != 3) continue;
        CHECK(got->ssrc != sink_ssrc(3));
        repaired += got->payload_length > 2 && load_be16(got->payload) == lost;
    }
    CHECK_EQUAL(repaired, 1);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtx_sent), 1);
    meeting_close(&meeting);
}

static void test_fewer_frames_leave_no_hole(void)
{
    struct meeting meeting;
    meeting_of_three(&meeting, 3000, 3000, 90);
    meeting.scene->sources[0].limits = (struct clamp_limits){0}; /* a sender that cannot be held */
    scene_publish(meeting.scene);
    meeting_run(&meeting, 3000);
    meeting_forget(&meeting);
    meeting_run(&meeting, 4000);
    printf("90 kbit/s of a 150 kbit/s thumbnail: %u of 100 frames, layers %u %u %u, %u kbit/s\n",
           meeting.got[3].frames, meeting.got[3].of_temporal[0], meeting.got[3].of_temporal[1],
           meeting.got[3].of_temporal[2], meeting_bps(&meeting, 3, 4000) / 1000);
    CHECK_EQUAL(meeting_deal(&meeting, 3), T);
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
    meeting_of_three(&meeting, 3000, 2000, 150);
    meeting_run(&meeting, 8000); /* no generation since the first */
    CHECK_EQUAL(meeting_deal(&meeting, 3), T);
    uint8_t before[4];
    for (uint32_t sink = 1; sink < 4; sink++) before[sink] = meeting_deal(&meeting, sink);
    scene_restart(meeting.scene);
    for (uint32_t sink = 1; sink < 4; sink++) {
        CHECK_EQUAL(meeting_deal(&meeting, sink), before[sink]);
        CHECK_EQUAL(meeting.scene->worker.sinks[sink].encoding, before[sink]);
    }
    meeting_forget(&meeting);
    meeting_run(&meeting, 2000);
    for (uint32_t sink = 1; sink < 4; sink++) {
        CHECK_EQUAL(meeting_deal(&meeting, sink), before[sink]);
        CHECK(meeting.got[sink].packets > 0);
    }
    CHECK_EQUAL(meeting.got[3].encoding, T);
    meeting_estimate(&meeting, 3, 3000 * KBIT); /* the link got better: it follows, still without control */
    meeting_run(&meeting, 10000);
    CHECK_EQUAL(meeting_deal(&meeting, 3), F);
    meeting_close(&meeting);
}

static void test_between_full_and_thumbnail_there_is_the_middle(void)
{
    struct meeting meeting;
    meeting_open(&meeting);
    for (uint32_t member = 0; member < 2; member++) scene_member(meeting.scene, member);
    meeting_camera(&meeting, 0, 0, "1");
    meeting_watch(&meeting, 1, 0, F, true);
    scene_publish(meeting.scene);
    scene_connect(meeting.scene);
    meeting_estimate(&meeting, 1, 900 * KBIT);
    meeting_run(&meeting, 3000);
    CHECK_EQUAL(meeting_deal(&meeting, 1), F);
    meeting_estimate(&meeting, 1, 500 * KBIT);
    meeting_run(&meeting, 300);
    CHECK(meeting_told(&meeting, 0, M) >= 450 * KBIT);
    CHECK_EQUAL(meeting_deal(&meeting, 1), M);
    meeting_forget(&meeting);
    meeting_run(&meeting, 2000);
    CHECK_EQUAL(meeting.got[1].encoding, M);
    CHECK(meeting_bps(&meeting, 1, 2000) > 400 * KBIT);
    for (uint32_t kbps = 300; kbps > 100; kbps -= 60) { /* down, and some time there */
        meeting_estimate(&meeting, 1, kbps * KBIT);
        meeting_run(&meeting, 2500);
    }
    CHECK_EQUAL(meeting_deal(&meeting, 1), T);
    meeting_estimate(&meeting, 1, 900 * KBIT);
    meeting_run(&meeting, 2000);
    CHECK_EQUAL(meeting_deal(&meeting, 1), F);
    meeting_close(&meeting);
}

static void test_hysteresis(void)
{
    struct meeting meeting;
    meeting_of_three(&meeting, 3000, 3000, 800);
    uint64_t random = 5;
    unsigned switches = 0;
    uint8_t last = NOTHING;
    for (unsigned i = 0; i < 600; i++) { /* a minute, +-8 % */
        meeting_estimate(&meeting, 3, 800 * (uint32_t)(92 + random_next(&random) % 17) / 100 * KBIT);
        meeting_run(&meeting, 100);
        if (i > 60) switches += meeting_deal(&meeting, 3) != last;
        last = meeting_deal(&meeting, 3);
    }
    printf("800 kbit/s +-8 %% for a minute: %u switches of encoding\n", switches);
    CHECK(switches <= 4);
    CHECK_EQUAL(meeting.got[3].gaps, 0);
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
    test_a_hidden_tile_costs_nothing();
    test_a_paused_slot_stops_and_goes_on_without_a_gap();
    test_the_last_of_a_paused_slot_is_repaired();
    test_fewer_frames_leave_no_hole();
    test_it_goes_on_without_control_and_over_a_kill();
    test_between_full_and_thumbnail_there_is_the_middle();
    test_hysteresis();
    for (uint64_t seed = 1; seed <= 4; seed++) test_any_wishes_over_any_links(seed);
    return 0;
}
