/* What senders are told, through forward(): by control, by REMB, by TMMBR, from what their viewers' links carry. Member 0 sends source 0, a camera of 150,
 * 500 and 1700 kbit/s; members 1, 2, 3 watch it in slots 1, 2, 3. */
#include "check.h"
#include "meeting.h"

#define KBIT 1000u
enum { T = 0, M = 1, F = 2 };

static void test_a_slow_viewer_moves_and_the_others_are_not_held(void)
{
    struct meeting meeting;
    meeting_of_three(&meeting, 3000, 2000, 250);
    meeting_run(&meeting, 12000);
    meeting_forget(&meeting);
    meeting_run(&meeting, 4000);
    printf("3 M: %u, 2 M: %u, 250 k: %u kbit/s; f told %u, t told %u, REMB %u\n",
           meeting_bps(&meeting, 1, 4000) / 1000, meeting_bps(&meeting, 2, 4000) / 1000,
           meeting_bps(&meeting, 3, 4000) / 1000, meeting_told(&meeting, 0, F) / 1000,
           meeting_told(&meeting, 0, T) / 1000, meeting.remb[0] / 1000);
    CHECK_EQUAL(meeting_deal(&meeting, 1), F);
    CHECK_EQUAL(meeting_deal(&meeting, 2), F);
    CHECK_EQUAL(meeting_deal(&meeting, 3), M); /* held to what it can take: nobody else looks at that one */
    CHECK_EQUAL(meeting_told(&meeting, 0, F), 1700 * KBIT);
    CHECK(meeting_told(&meeting, 0, M) <= 250 * KBIT);
    CHECK_EQUAL(meeting.got[3].encoding, M);
    CHECK_EQUAL(meeting.got[1].gaps + meeting.got[2].gaps + meeting.got[3].gaps, 0);
    CHECK(meeting_bps(&meeting, 1, 4000) > 1600 * KBIT && meeting_bps(&meeting, 2, 4000) > 1600 * KBIT);
    meeting_close(&meeting);
}

static void test_the_sender_is_held_to_the_lowest_who_counts(void)
{
    struct meeting meeting;
    meeting_of_three(&meeting, 3000, 2000, 1200);
    meeting_run(&meeting, 12000);
    meeting_forget(&meeting);
    meeting_run(&meeting, 4000);
    printf("lowest viewer 1200: f told %u kbit/s, sent %u, REMB %u\n", meeting_told(&meeting, 0, F) / 1000,
           meeting_bps(&meeting, 3, 4000) / 1000, meeting.remb[0] / 1000);
    for (uint32_t sink = 1; sink < 4; sink++) CHECK_EQUAL(meeting_deal(&meeting, sink), F);
    CHECK(meeting_told(&meeting, 0, F) <= 1200 * KBIT && meeting_told(&meeting, 0, F) >= 1020 * KBIT);
    /* REMB bounds all of it: f, what else is sent, and repair. */
    uint32_t sum =
        meeting_told(&meeting, 0, T) + meeting_told(&meeting, 0, M) + meeting_told(&meeting, 0, F);
    CHECK(meeting.remb[0] >= sum && meeting.remb[0] <= sum / 100 * 112);
    /* Its link falls: the REMB at once, and the message. */
    meeting_estimate(&meeting, 3, 900 * KBIT);
    meeting_run(&meeting, 60);
    CHECK(meeting_told(&meeting, 0, F) <= 900 * KBIT);
    CHECK(meeting.remb[0] < sum);
    CHECK(scene_told(meeting.scene, UPLINK_SEND_TARGET, 0) >= 1);
    /* Below half of what the others have it is moved, and the others are freed. */
    meeting_estimate(&meeting, 3, 600 * KBIT);
    meeting_run(&meeting, 500);
    CHECK_EQUAL(meeting_deal(&meeting, 3), M);
    CHECK_EQUAL(meeting_deal(&meeting, 1), F);
    meeting_run(&meeting, 8000);
    CHECK(meeting_told(&meeting, 0, F) >= 1600 * KBIT);
    CHECK_EQUAL(meeting.got[3].encoding, M);
    CHECK_EQUAL(meeting.got[3].gaps, 0);
    meeting_close(&meeting);
}

static void test_nobody_looks_and_somebody_asks(void)
{
    struct meeting meeting;
    meeting_of_three(&meeting, 5000, 5000, 5000);
    meeting_run(&meeting, 6000);
    CHECK_EQUAL(meeting_deal(&meeting, 1), F);
    for (uint32_t member = 1; member < 4; member++) meeting_watch(&meeting, member, 0, T, false);
    scene_publish(meeting.scene);
    unsigned ms = 0;
    for (; meeting_told(&meeting, 0, F); ms += 20) {
        meeting_run(&meeting, 20);
        CHECK(ms < 5000);
    }
    printf("an encoding that nobody views is told off after %u ms\n", ms);
    CHECK(meeting_told(&meeting, 0, T) > 0);
    meeting_run(&meeting, 3000);
    meeting_forget(&meeting);
    meeting_watch(&meeting, 1, 0, F, true);
    scene_publish(meeting.scene); /* the click: told before any other packet comes */
    scene_flush(meeting.scene);
    CHECK(meeting_told(&meeting, 0, F) > 0);
    for (ms = 0; meeting.got[1].encoding != F; ms += 20) {
        meeting_run(&meeting, 20);
        CHECK(ms < 300);
    }
    printf("... and on at once: its picture is there after %u ms\n", ms);
    CHECK_EQUAL(meeting.got[1].gaps, 0);
    meeting_close(&meeting);
}

static void test_what_viewers_lose_is_told(void)
{
    struct meeting meeting;
    meeting_of_three(&meeting, 3000, 3000, 3000);
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
    meeting_of_three(&meeting, 3000, 3000, 3000);
    meeting.scene->sources[0].limits = (struct clamp_limits){0};
    scene_publish(meeting.scene);
    meeting.cameras[0].bps[1] = 500 * KBIT;
    meeting.cameras[0].bps[2] = 1700 * KBIT;
    meeting_run(&meeting, 5000);
    for (uint32_t sink = 1; sink < 4; sink++) {
        CHECK_EQUAL(meeting_deal(&meeting, sink), F);
        CHECK_EQUAL(meeting.got[sink].encoding, F);
    }
    meeting_estimate(&meeting, 3, 800 * KBIT);
    meeting_run(&meeting, 3000);
    CHECK_EQUAL(meeting_deal(&meeting, 3), M);
    CHECK_EQUAL(meeting.got[3].encoding, M);
    CHECK_EQUAL(meeting.got[3].gaps, 0);
    meeting_close(&meeting);
}

static void test_tmmbr_says_it_too(void)
{
    struct meeting meeting;
    meeting_of_three(&meeting, 1200, 1200, 1200);
    meeting.scene->sources[0].tmmbr = 1;
    scene_publish(meeting.scene);
    meeting_run(&meeting, 8000);
    uint64_t wanted = meeting_told(&meeting, 0, F);
    CHECK(meeting.tmmbr[0] >= wanted && meeting.tmmbr[0] <= wanted * 110 / 100); /* headers are counted there */
    meeting_estimate(&meeting, 3, 900 * KBIT);
    meeting_run(&meeting, 60);
    CHECK(meeting.tmmbr[0] < wanted * 900 / 1100);
    meeting_close(&meeting);
}

static void test_control_does_not_read(void)
{
    struct meeting meeting;
    meeting_of_three(&meeting, 3000, 2000, 1200);
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

int main(void)
{
    test_a_slow_viewer_moves_and_the_others_are_not_held();
    test_the_sender_is_held_to_the_lowest_who_counts();
    test_nobody_looks_and_somebody_asks();
    test_what_viewers_lose_is_told();
    test_a_source_without_limits_is_not_clamped();
    test_tmmbr_says_it_too();
    test_control_does_not_read();
    return 0;
}
