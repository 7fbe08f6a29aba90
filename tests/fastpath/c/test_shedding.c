/* Overload: when it is one, what is given up first, and that what is given up comes back whole. */
#include "check.h"
#include "scene.h"
#include "shedding.h"

#define US 1000ull
#define SECOND (1000 * MS)
#define HELD (3 * MS)

/* ---- when ---- */

/* Turns of `turn_ns` for so long, each of which finds a backlog of `age_ns`; the worker runs for so much of the time and is as busy as told. */
static void turns(struct shedding *shedding, uint64_t *now, uint64_t for_ns, uint64_t turn_ns,
                  uint64_t age_ns, uint32_t ran_percent, uint32_t busy_percent)
{
    for (uint64_t end = *now + for_ns; *now < end; *now += turn_ns)
        shedding_note(shedding, age_ns, HELD, *now / 100 * ran_percent, busy_percent, *now);
}

static void test_what_counts_as_overload(void)
{
    static const struct {
        uint64_t for_ns, turn_ns, age_ns;
        uint32_t ran_percent;
        bool sheds;
    } cases[] = {
        {SECOND, MS, 0, 100, false},
        {SECOND, MS, HELD + SHEDDING_LATE_NS, 100, false}, /* what holding held, and a little */
        {SECOND, MS, HELD + SHEDDING_LATE_NS + 1, 100, true},
        {SECOND, 60 * MS, 20 * MS, 100, true}, /* long turns */
        {30 * MS, MS, 50 * MS, 100, false},    /* one stall, caught up with */
        {SECOND, 5 * MS, 100 * MS, 30, false}, /* the core is somebody else's */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shedding shedding = {0};
        uint64_t now = 100 * SECOND;
        turns(&shedding, &now, cases[i].for_ns, cases[i].turn_ns, cases[i].age_ns, cases[i].ran_percent, 99);
        CHECK_EQUAL(shedding.level > 0, cases[i].sheds);
    }
    struct shedding shedding = {0};
    uint64_t now = 100 * SECOND;
    for (unsigned i = 0; i < 50; i++) { /* bursts, but each is worked off */
        turns(&shedding, &now, 30 * MS, MS, 20 * MS, 100, 90);
        turns(&shedding, &now, MS, MS, 0, 100, 90);
    }
    CHECK_EQUAL(shedding.level, 0);
}

/* A backlog that grows by `grows_ns` in each turn of a millisecond. */
static uint32_t level_after(uint64_t age_ns, uint64_t grows_ns, bool higher)
{
    struct shedding shedding = {.higher_passed = higher};
    uint64_t now = 100 * SECOND;
    for (unsigned i = 0; i < 42; i++, age_ns += grows_ns, now += MS)
        shedding_note(&shedding, age_ns, HELD, now, 99, now);
    return shedding.level;
}

static void test_the_level_goes_as_far_as_it_must(void)
{
    /* It grows by a fifth of the time: a fifth is too much, and some more to work off what there is. */
    uint32_t fifth = level_after(8 * MS, MS / 5, true);
    CHECK(fifth > SHEDDING_ALL / 5 && fifth < SHEDDING_ALL / 4);
    CHECK(level_after(8 * MS, 0, true) < SHEDDING_ALL / 50); /* as much as comes is sent, a little late */
    CHECK(level_after(8 * MS, MS / 2, true) <= SHEDDING_STEP_MOST);

    struct shedding shedding = {.higher_passed = true};
    uint64_t now = 100 * SECOND;
    for (uint64_t age = 200 * MS; age > 8 * MS; age -= MS) { /* it shrinks fast enough: nothing is */
        turns(&shedding, &now, MS, MS, age, 100, 99);
        shedding.higher_passed = true;
    }
    CHECK_EQUAL(shedding.level, 0);
    turns(&shedding, &now, 60 * SECOND, 10 * MS, 100 * MS, 100, 99);
    CHECK_EQUAL(shedding.level, SHEDDING_ALL);
    uint32_t level = shedding.level = SHEDDING_ONE + 20;
    shedding.busy = 90 << 8;
    turns(&shedding, &now, 10 * SECOND, MS, MS, 100, 90); /* nearly full: all stays as it is */
    CHECK_EQUAL(shedding.level, level);
    turns(&shedding, &now, 5 * SECOND, MS, MS, 100, 95); /* no room for bursts: a little less */
    CHECK(shedding.level > level && shedding.level < level + SHEDDING_ONE / 2);
    shedding.level = SHEDDING_ALL;
    shedding.stepped_ns = now;
    shedding.higher_passed = true;
    turns(&shedding, &now, SHEDDING_BACK_NS - 2 * MS, MS, MS, 100, 60); /* not at once */
    CHECK_EQUAL(shedding.level, SHEDDING_ALL);
    turns(&shedding, &now, 60 * SECOND, MS, MS, 100, 60);
    CHECK_EQUAL(shedding.level, 0);
    /* Where nothing above a lowest encoding comes, lowest ones go at once, and are back when the last of them is. */
    CHECK(level_after(8 * MS, MS / 5, false) > SHEDDING_ONE);
    shedding = (struct shedding){.level = SHEDDING_ONE};
    turns(&shedding, &now, SHEDDING_BACK_NS, MS, MS, 100, 60);
    CHECK_EQUAL(shedding.level, 0);
}

static void test_what_came_back_too_soon_comes_later(void)
{
    struct shedding shedding = {.level = SHEDDING_ONE + 100};
    uint64_t now = 100 * SECOND;
    uint64_t wait = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t level = shedding.level;
        uint64_t begin = now;
        while (shedding.level == level) turns(&shedding, &now, MS, MS, MS, 100, 60);
        CHECK(now - begin > wait + wait / 2);
        wait = now - begin;
        turns(&shedding, &now, 90 * MS, MS, 20 * MS, 100, 99); /* too much */
        turns(&shedding, &now, MS, MS, MS, 100, 90);
    }
}

static void test_higher_encodings_of_all_before_the_lowest_of_any(void)
{
    for (uint32_t level = 0; level <= SHEDDING_ALL; level += 8) {
        struct shedding shedding = {.level = level};
        unsigned higher = 0, lowest = 0;
        for (uint32_t sink = 0; sink < 1000; sink++) {
            higher += shedding_wants(&shedding, sink, 2);
            lowest += shedding_wants(&shedding, sink, 0);
            CHECK_EQUAL(shedding_wants(&shedding, sink, 1), shedding_wants(&shedding, sink, 2));
        }
        CHECK(!lowest || higher == 1000);
        uint32_t part = level < SHEDDING_ONE ? higher : lowest, of = level % SHEDDING_ONE;
        if (level && level < SHEDDING_ALL && of)
            CHECK(part + 60 > 1000 * of / SHEDDING_ONE && part < 1060 * of / SHEDDING_ONE + 60);
        CHECK(!shedding_wants_voice(&shedding, SHEDDING_VOICE_NS));
        CHECK_EQUAL(shedding_wants_voice(&shedding, SHEDDING_VOICE_NS + 1), level == SHEDDING_ALL);
    }
}

/* ---- what viewers see ---- */

enum { CAMERA, VOICE, SOURCES };
enum { T = 0, F = 2, BIG = 0, SMALL = 1, HEARD = 2 };

/* Member 0 sends; member 1 looks at its full resolution (sink 0), member 2 at its thumbnail (sink 1) and hears it (sink 2). */
static struct scene *call(void)
{
    struct scene *scene = scene_open(SRTP_AEAD_AES_128_GCM);
    for (uint32_t member = 0; member < 3; member++) scene_member(scene, member);
    scene_video(scene, CAMERA, 0, "1");
    scene_audio(scene, VOICE, 0, "0");
    scene_sink(scene, BIG, 1, CAMERA, F);
    scene_sink(scene, SMALL, 2, CAMERA, T);
    scene_sink(scene, HEARD, 2, VOICE, 0);
    scene_publish(scene);
    scene_connect(scene);
    return scene;
}

static uint64_t next_index = 100;

/* A frame of one packet in both encodings, and a voice. */
static void frame(struct scene *scene, bool key)
{
    scene_vp8(scene, 0, "1", T, next_index, key, true, true, 300);
    scene_vp8(scene, 0, "1", F, next_index, key, true, true, 900);
    scene_opus(scene, 0, "0", next_index++);
    scene_flush(scene);
    scene_advance(scene, 33 * MS);
}

static unsigned got(struct scene *scene, uint32_t member, uint32_t sink)
{ return scene_packets(scene, member, sink_ssrc(sink)); }

/* All of a slot's numbers since the last scene_forget follow each other. */
static void no_gaps(struct scene *scene, uint32_t sink, const struct received *before)
{
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *now = &scene->received[i];
        if (now->ssrc != sink_ssrc(sink)) continue;
        if (before) CHECK_EQUAL(now->index, before->index + 1);
        before = now;
    }
}

static void test_full_resolution_goes_first_and_comes_back_whole(void)
{
    struct scene *scene = call();
    frame(scene, true);
    for (unsigned i = 0; i < 5; i++) frame(scene, false);
    CHECK_EQUAL(scene_last(scene, 1, sink_ssrc(BIG))->payload_length, 900);
    struct received last = *scene_last(scene, 1, sink_ssrc(BIG));
    scene_forget(scene);

    scene->worker.shedding.level = SHEDDING_ONE;
    frame(scene, false);
    CHECK_EQUAL(got(scene, 1, BIG), 0); /* a delta frame of the thumbnail is of no use to it */
    CHECK_EQUAL(got(scene, 2, SMALL), 1);
    CHECK(scene_blocks(scene, 0, RTCP_PSFB, RTCP_FMT_PLI) > 0);
    frame(scene, false);
    frame(scene, true);
    frame(scene, false);
    CHECK_EQUAL(got(scene, 1, BIG), 2);
    CHECK_EQUAL(scene_last(scene, 1, sink_ssrc(BIG))->payload_length, 300);
    CHECK_EQUAL(scene_counter(scene, COUNTER_shed_higher_dropped), 4);
    CHECK_EQUAL(scene_counter(scene, COUNTER_shed_lowest_dropped), 0);

    scene->worker.shedding.level = 0;
    scene->now += SECOND; /* the next request is due */
    unsigned asked = scene_blocks(scene, 0, RTCP_PSFB, RTCP_FMT_PLI);
    frame(scene, false);
    CHECK_EQUAL(scene_last(scene, 1, sink_ssrc(BIG))->payload_length, 300);
    CHECK(scene_blocks(scene, 0, RTCP_PSFB, RTCP_FMT_PLI) > asked);
    frame(scene, true);
    frame(scene, false);
    CHECK_EQUAL(scene_last(scene, 1, sink_ssrc(BIG))->payload_length, 900);
    CHECK_EQUAL(got(scene, 1, BIG), 6); /* both encodings' key frames */
    CHECK_EQUAL(got(scene, 2, SMALL), 7);
    CHECK_EQUAL(got(scene, 2, HEARD), 7);
    no_gaps(scene, BIG, &last);
    no_gaps(scene, SMALL, NULL);
    CHECK_EQUAL(scene->refused, 0);
    scene_close(scene);
}

static void test_pictures_that_were_all_given_up_begin_with_a_key_frame(void)
{
    struct scene *scene = call();
    frame(scene, true);
    struct received last = *scene_last(scene, 2, sink_ssrc(SMALL));
    scene_forget(scene);
    scene->worker.shedding.level = SHEDDING_ALL;
    for (unsigned i = 0; i < 5; i++) frame(scene, i == 3);
    CHECK_EQUAL(got(scene, 1, BIG), 0);
    CHECK_EQUAL(got(scene, 2, SMALL), 0);
    CHECK_EQUAL(got(scene, 2, HEARD), 5);
    CHECK_EQUAL(scene_counter(scene, COUNTER_shed_lowest_dropped), 5);
    CHECK_EQUAL(scene_counter(scene, COUNTER_shed_voice_dropped), 0);
    scene->worker.shedding.level = 0;
    scene->now += SECOND;
    frame(scene, false);
    CHECK_EQUAL(got(scene, 2, SMALL), 0);
    CHECK(scene_blocks(scene, 0, RTCP_PSFB, RTCP_FMT_PLI) > 0);
    frame(scene, true);
    frame(scene, false);
    CHECK_EQUAL(got(scene, 1, BIG), 2);
    CHECK_EQUAL(got(scene, 2, SMALL), 2);
    no_gaps(scene, SMALL, &last);
    CHECK_EQUAL(scene->refused, 0);
    scene_close(scene);
}

int main(void)
{
    test_what_counts_as_overload();
    test_the_level_goes_as_far_as_it_must();
    test_what_came_back_too_soon_comes_later();
    test_higher_encodings_of_all_before_the_lowest_of_any();
    test_full_resolution_goes_first_and_comes_back_whole();
    test_pictures_that_were_all_given_up_begin_with_a_key_frame();
    return 0;
}
