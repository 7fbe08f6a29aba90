/* Who speaks and who is heard, through forward(): members with microphones only, RFC 6464 levels as they come. */
#include "adaptation.h"
#include "check.h"
#include "meeting.h"

enum { ROOM = 10, SLOTS = 3, LOUD = 30, QUIET = 80 };

/* Members 0 to 9, source m is the microphone of member m, sinks 10 m + 0..2 are its slots for the loudest. */
static void room(struct meeting *meeting, unsigned members)
{
    meeting_open(meeting);
    struct scene *scene = meeting->scene;
    for (uint32_t member = 0; member < members; member++) {
        scene_member(scene, member);
        scene->transports[member].conference = 7;
        scene_audio(scene, member, member, "0");
    }
    for (uint32_t member = 0; member < members; member++)
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
            struct sink_row *row = &scene->sinks[member * 10 + slot];
            row->kind = SOURCE_AUDIO;
            scene_sink(scene, member * 10 + slot, member, TABLE_NONE, 0);
            row->loudest = 1;
        }
    scene_publish(scene);
    scene_connect(scene);
}

struct voices {
    uint32_t speaking; /* by member, bit */
    unsigned members;
    uint64_t index;
};

static void speak(struct meeting *meeting, void *argument)
{
    struct voices *voices = argument;
    uint8_t payload[60] = {0};
    voices->index++;
    for (uint32_t member = 0; member < voices->members; member++)
        scene_send(meeting->scene, member,
                   &(struct packet){.ssrc = audio_ssrc(member),
                                    .timestamp = (uint32_t)(voices->index * 960),
                                    .index = voices->index,
                                    .mid = "0",
                                    .payload_type = 111,
                                    .level = voices->speaking >> member & 1 ? LOUD : QUIET,
                                    .payload = payload,
                                    .length = sizeof payload});
}

static bool on(const struct meeting *meeting, uint32_t receiver, uint32_t source)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        if (meeting->scene->worker.sinks[receiver * 10 + slot].source == source) return true;
    return false;
}

static const struct uplink_head *told(const struct meeting *meeting, uint32_t kind, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < meeting->scene->told_count; i++)
        if (meeting->scene->told[i].kind == kind && meeting->scene->told[i].a == a &&
            meeting->scene->told[i].b == b)
            return &meeting->scene->told[i];
    return NULL;
}

static void test_events_come_within_300_ms(void)
{
    struct meeting meeting;
    struct voices voices = {.members = ROOM};
    room(&meeting, ROOM);
    meeting.each_step = speak;
    meeting.argument = &voices;
    meeting_run(&meeting, 2000);
    CHECK(!told(&meeting, UPLINK_SPEAKING, 4, 1));
    uint64_t began = meeting.scene->now;
    voices.speaking = 1u << 4;
    meeting_run(&meeting, 400);
    const struct uplink_head *event = told(&meeting, UPLINK_SPEAKING, 4, 1);
    CHECK(event && event->transport == 4 && event->time_ns - began <= 300 * MS);
    printf("speech is told of after %u ms\n", (unsigned)((event->time_ns - began) / MS));
    event = told(&meeting, UPLINK_DOMINANT, 4, 0);
    CHECK(event && event->time_ns - began <= 300 * MS);
    voices.speaking = 0;
    meeting_run(&meeting, 3000);
    CHECK(told(&meeting, UPLINK_SPEAKING, 4, 0));
    meeting_close(&meeting);
}

static void test_five_speakers_on_three_slots(void)
{
    struct meeting meeting;
    struct voices voices = {.members = ROOM};
    room(&meeting, ROOM);
    meeting.each_step = speak;
    meeting.argument = &voices;
    meeting_run(&meeting, 1000);
    for (uint32_t turn = 0; turn < 5; turn++) { /* one after the other, the last three are heard by all the others */
        uint32_t speaker = 5 + turn;
        voices.speaking = 1u << speaker;
        meeting_run(&meeting, 300);
        meeting_forget(&meeting);
        meeting_run(&meeting, 1000);
        for (uint32_t receiver = 0; receiver < ROOM; receiver++) {
            CHECK_EQUAL(on(&meeting, receiver, speaker), receiver != speaker);
            CHECK(!on(&meeting, receiver, receiver)); /* nobody hears himself */
            for (uint32_t slot = 0; slot < SLOTS; slot++) {
                const struct got *got = &meeting.got[receiver * 10 + slot];
                CHECK_EQUAL(got->gaps, 0);
                CHECK(got->packets >= 48);
            }
        }
    }
    CHECK(on(&meeting, 0, 7) && on(&meeting, 0, 8) && on(&meeting, 0, 9));
    voices.speaking = 0x1f << 5; /* all five at once: those who are on stay */
    meeting_run(&meeting, 500);
    CHECK(on(&meeting, 0, 7) && on(&meeting, 0, 8) && on(&meeting, 0, 9));
    voices.speaking = 3u << 5; /* two of them go on */
    meeting_run(&meeting, 2000);
    CHECK(on(&meeting, 0, 5) && on(&meeting, 0, 6));
    meeting_close(&meeting);
}

static void test_who_is_heard_in_a_pair_takes_no_slot(void)
{
    struct meeting meeting;
    struct voices voices = {.members = 5, .speaking = 0x1e};
    room(&meeting, 5);
    scene_sink(meeting.scene, 5, 0, 1, 0); /* member 0 has member 1 in a slot of its own */
    scene_publish(meeting.scene);
    meeting.each_step = speak;
    meeting.argument = &voices;
    meeting_run(&meeting, 2000);
    CHECK(!on(&meeting, 0, 1) && on(&meeting, 0, 2) && on(&meeting, 0, 3) && on(&meeting, 0, 4));
    CHECK_EQUAL(meeting.got[5].gaps, 0);
    scene_sink(meeting.scene, 5, 0, 2, 0); /* and now member 2 */
    scene_publish(meeting.scene);
    meeting_run(&meeting, 100);
    CHECK(on(&meeting, 0, 1) && !on(&meeting, 0, 2));
    CHECK(told(&meeting, UPLINK_SINK_SWITCHED, 0, 1) ||
          told(&meeting, UPLINK_SINK_SWITCHED, 1, 1) || told(&meeting, UPLINK_SINK_SWITCHED, 2, 1));
    meeting.scene->sources[3].muted = 1; /* who is muted leaves, at once */
    scene_publish(meeting.scene);
    CHECK(!on(&meeting, 0, 3));
    meeting_run(&meeting, 100);
    CHECK(told(&meeting, UPLINK_SPEAKING, 3, 0));
    meeting_close(&meeting);
}

static void test_conferences_do_not_hear_each_other(void)
{
    struct meeting meeting;
    struct voices voices = {.members = 8, .speaking = 0xff};
    room(&meeting, 8);
    for (uint32_t member = 4; member < 8; member++)
        meeting.scene->transports[member].conference = 8;
    scene_publish(meeting.scene);
    meeting.each_step = speak;
    meeting.argument = &voices;
    meeting_run(&meeting, 2000);
    for (uint32_t receiver = 0; receiver < 8; receiver++)
        for (uint32_t source = 0; source < 8; source++)
            CHECK_EQUAL(on(&meeting, receiver, source), receiver != source && receiver / 4 == source / 4);
    CHECK_EQUAL(meeting.scene->worker.adaptation->loudness.group_count, 2);
    meeting_close(&meeting);
}

static void test_a_successor_goes_on(void)
{
    struct meeting meeting;
    struct voices voices = {.members = ROOM, .speaking = 7u << 6};
    room(&meeting, ROOM);
    meeting.each_step = speak;
    meeting.argument = &voices;
    meeting_run(&meeting, 2000);
    CHECK(on(&meeting, 0, 6) && on(&meeting, 0, 7) && on(&meeting, 0, 8));
    scene_restart(meeting.scene);
    CHECK(on(&meeting, 0, 6) && on(&meeting, 0, 7) && on(&meeting, 0, 8));
    meeting_forget(&meeting);
    meeting_run(&meeting, 1000);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        CHECK_EQUAL(meeting.got[slot].packets, 50);
        CHECK_EQUAL(meeting.got[slot].gaps, 0);
    }
    CHECK(told(&meeting, UPLINK_SPEAKING, 7, 1)); /* said again: whether it was said before nobody knows */
    meeting_close(&meeting);
}

int main(void)
{
    test_events_come_within_300_ms();
    test_five_speakers_on_three_slots();
    test_who_is_heard_in_a_pair_takes_no_slot();
    test_conferences_do_not_hear_each_other();
    test_a_successor_goes_on();
    return 0;
}
