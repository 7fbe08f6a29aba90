/* What came together is relayed together, receiver by receiver: the same packets in the same order of each stream as one after the other, but
 * the slab may be sent in between, and what a key frame behind them answers is not asked for. */
#include "check.h"
#include "scene.h"

enum { VIEWERS = 40, FIRST = 2 };

/* Members 0 and 1 send a camera and a microphone each (sources 0 to 3); everyone else gets all four. */
static struct scene *audience(enum srtp_profile profile, bool together)
{
    struct scene *scene = scene_open(profile);
    for (uint32_t member = 0; member < FIRST + VIEWERS; member++) scene_member(scene, member);
    for (uint32_t member = 0; member < FIRST; member++) {
        scene_video(scene, member, member, "1");
        scene_audio(scene, FIRST + member, member, "0");
    }
    for (uint32_t viewer = 0; viewer < VIEWERS; viewer++)
        for (uint32_t source = 0; source < 4; source++)
            scene_sink(scene, viewer * 4 + source, FIRST + viewer, source, 0);
    scene_publish(scene);
    scene_connect(scene);
    scene->together = together;
    scene->flushes = 0;
    return scene;
}

/* A key frame of the first and the second camera, packet by packet in turn, with audio between. */
static void talk(struct scene *scene, unsigned packets, size_t size)
{
    for (unsigned i = 0; i < packets; i++) {
        scene_vp8(scene, 0, "1", 0, 10 + i, true, i == 0, i + 1 == packets, size);
        if (i % 4 == 0) scene_opus(scene, 0, "0", 20 + i / 4);
        scene_vp8(scene, 1, "1", 0, 30 + i, true, i == 0, i + 1 == packets, size);
        if (i % 4 == 2) scene_opus(scene, 1, "0", 40 + i / 4);
    }
    scene_flush(scene);
}

static void test_the_same_as_one_after_the_other(enum srtp_profile profile)
{
    struct scene *one = audience(profile, false), *all = audience(profile, true);
    talk(one, 8, 300);
    talk(all, 8, 300);
    CHECK_EQUAL(all->received_count, one->received_count);
    CHECK_EQUAL(all->received_count, VIEWERS * (8 + 8 + 2 + 2));
    for (uint32_t viewer = 0; viewer < VIEWERS; viewer++)
        for (uint32_t source = 0; source < 4; source++) {
            uint32_t ssrc = sink_ssrc(viewer * 4 + source), i = 0, k = 0;
            const struct received *before = NULL;
            for (;; i++, k++) {
                while (i < one->received_count && one->received[i].ssrc != ssrc) i++;
                while (k < all->received_count && all->received[k].ssrc != ssrc) k++;
                CHECK_EQUAL(i == one->received_count, k == all->received_count);
                if (i == one->received_count) break;
                const struct received *a = &one->received[i], *b = &all->received[k];
                CHECK_EQUAL(a->member, b->member);
                CHECK_EQUAL(a->payload_length, b->payload_length);
                CHECK_EQUAL(a->marker, b->marker);
                CHECK_BYTES(a->payload, b->payload, a->payload_length);
                if (before) CHECK_EQUAL(b->index, before->index + 1);
                before = b;
            }
        }
    CHECK_EQUAL(all->refused, 0);
    CHECK_EQUAL(scene_counter(all, COUNTER_rtp_forwarded), scene_counter(one, COUNTER_rtp_forwarded));
    scene_close(one);
    scene_close(all);
}

static void test_the_slab_is_sent_in_between(void)
{
    struct scene *scene = audience(SRTP_AEAD_AES_128_GCM, true);
    talk(scene, 16, 1150);
    CHECK_EQUAL(scene->received_count, VIEWERS * (16 + 16 + 4 + 4));
    CHECK(scene->flushes >= 2u * VIEWERS * 16 * 1150 / (RELAY_CHUNK + 20000));
    CHECK_EQUAL(scene_counter(scene, COUNTER_egress_full_dropped), 0);
    scene_close(scene);
}

/* Member 0 and the first half of the viewers are one conference, member 1 and the others another; what comes is mixed. */
static void test_conferences_take_turns_and_stand_together(void)
{
    enum { FRAME = 10, SPOKEN = 3, HALF = VIEWERS / 2 };
    struct scene *scene = scene_open(SRTP_AEAD_AES_128_GCM);
    for (uint32_t member = 0; member < FIRST + VIEWERS; member++) {
        scene_member(scene, member);
        bool second = member == 1 || member >= FIRST + HALF;
        scene->transports[member].conference = second ? 2 : 1;
    }
    for (uint32_t member = 0; member < FIRST; member++) {
        scene_video(scene, member, member, "1");
        scene_audio(scene, FIRST + member, member, "0");
    }
    for (uint32_t viewer = 0; viewer < VIEWERS; viewer++)
        for (uint32_t source = 0; source < 2; source++)
            scene_sink(scene, viewer * 2 + source, FIRST + viewer, source * FIRST + (viewer >= HALF), 0);
    scene_publish(scene);
    scene_connect(scene);
    scene->together = true;
    for (unsigned i = 0; i < FRAME; i++)
        for (uint32_t member = FIRST; member-- > 0;) {
            scene_vp8(scene, member, "1", 0, 10 + i, true, i == 0, i + 1 == FRAME, 1150);
            if (i < SPOKEN) scene_opus(scene, member, "0", 20 + i);
        }
    const struct egress *egress = &scene->worker.egress;
    CHECK(!forward_release(&scene->worker, scene->now)); /* one conference, whole, and nothing of the other */
    CHECK_EQUAL(egress->packet_count, HALF * (FRAME + SPOKEN));
    CHECK_EQUAL(egress->destination_count, HALF);
    CHECK_EQUAL(egress->destinations[0].transport, FIRST);
    scene_flush(scene);
    CHECK_EQUAL(scene->received_count, VIEWERS * (FRAME + SPOKEN));
    CHECK_EQUAL(scene->refused, 0);
    scene_close(scene);
}

static void test_a_key_frame_behind_them_is_not_asked_for(void)
{
    struct scene *scene = audience(SRTP_AEAD_AES_128_GCM, true);
    uint64_t asked = scene_counter(scene, COUNTER_key_requests_sent);
    scene_vp8(scene, 0, "1", 0, 10, false, true, true, 300);
    scene_vp8(scene, 0, "1", 0, 11, true, true, true, 300);
    scene_flush(scene);
    CHECK_EQUAL(scene->received_count, VIEWERS);
    scene_advance(scene, 300 * MS);
    CHECK_EQUAL(scene_counter(scene, COUNTER_key_requests_sent), asked);
    scene_close(scene);
}

static void test_padding_between_closes_up(void)
{
    struct scene *scene = audience(SRTP_AEAD_AES_128_GCM, true);
    scene_vp8(scene, 0, "1", 0, 10, true, true, true, 300);
    struct packet empty = {
        .ssrc = video_ssrc(0, 0), .index = 11, .mid = "1", .rid = "t", .payload_type = 96, .padding = 100};
    scene_send(scene, 0, &empty);
    scene_vp8(scene, 0, "1", 0, 12, false, true, true, 300);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, FIRST, sink_ssrc(0)), 2);
    CHECK_EQUAL(scene->received[1].index, scene->received[0].index + 1);
    scene_close(scene);
}

static void test_packets_one_byte_apart_leave_as_one_run(void)
{
    struct scene *scene = audience(SRTP_AEAD_AES_128_GCM, true);
    for (unsigned i = 0; i < 8; i++)
        scene_vp8(scene, 0, "1", 0, 10 + i, true, i == 0, i == 7, 1001 + i / 4);
    while (!forward_release(&scene->worker, scene->now)) CHECK(false);
    egress_plan(&scene->worker.egress);
    CHECK_EQUAL(scene->worker.egress.packet_count, VIEWERS * 8);
    CHECK_EQUAL(scene->worker.egress.run_count, VIEWERS);
    scene_flush(scene);
    CHECK_EQUAL(scene->received_count, VIEWERS * 8);
    for (uint32_t i = 0; i < scene->received_count; i++)
        CHECK_EQUAL(scene->received[i].payload_length, 1001 + i % 8 / 4);
    CHECK_EQUAL(scene->refused, 0);
    scene_close(scene);
}

int main(void)
{
    test_packets_one_byte_apart_leave_as_one_run();
    test_the_same_as_one_after_the_other(SRTP_AEAD_AES_128_GCM);
    test_the_same_as_one_after_the_other(SRTP_AES128_CM_SHA1_80); /* whose tags are made together */
    test_the_slab_is_sent_in_between();
    test_conferences_take_turns_and_stand_together();
    test_a_key_frame_behind_them_is_not_asked_for();
    test_padding_between_closes_up();
    return 0;
}
