/* Which encoding and which source a slot carries, packet by packet. A camera's encodings t, m, f are numbered 0, 1, 2. */
#include "bytes.h"
#include "check.h"
#include "scene.h"

enum { VIEWER = 2, SINK = 7 };

/* Members 0 and 1 send cameras (sources 0 and 1), member 2 watches the first in slot 7. */
static struct scene *watching(uint8_t max_encoding)
{
    struct scene *scene = scene_open(SRTP_AEAD_AES_128_GCM);
    for (uint32_t member = 0; member < 3; member++) scene_member(scene, member);
    scene_video(scene, 0, 0, "1");
    scene_video(scene, 1, 1, "1");
    scene_sink(scene, SINK, VIEWER, 0, max_encoding);
    scene_publish(scene);
    scene_connect(scene);
    return scene;
}

/* A frame of `packets` packets on one encoding; its indices go on from *index. */
static void frame(struct scene *scene, uint32_t member, unsigned encoding, uint64_t *index, bool key, unsigned packets)
{
    for (unsigned i = 0; i < packets; i++)
        scene_vp8(scene, member, "1", encoding, (*index)++, key, i == 0, i + 1 == packets, 300 + 100 * encoding);
}

static unsigned carried(const struct scene *scene)
{ return scene_packets(scene, VIEWER, sink_ssrc(SINK)); }

/* Sequence numbers without a hole, timestamps never back, picture ids by frame. */
static void check_continuous(const struct scene *scene)
{
    const struct received *before = NULL;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        if (got->member != VIEWER || got->ssrc != sink_ssrc(SINK)) continue;
        if (before) {
            CHECK_EQUAL(got->index, before->index + 1);
            CHECK((int32_t)(got->timestamp - before->timestamp) >= 0);
            if (before->marker) /* a new frame: the picture id goes on by one, whatever the source */
                CHECK_EQUAL((load_be16(got->payload + 2) - load_be16(before->payload + 2)) & 0x7fff, 1);
        }
        before = got;
    }
}

static void test_first_packet_must_begin_a_key_frame(void)
{
    struct scene *scene = watching(0);
    uint64_t t = 10;
    frame(scene, 0, 0, &t, false, 1);
    scene_flush(scene);
    CHECK_EQUAL(carried(scene), 0);
    frame(scene, 0, 0, &t, true, 3);
    frame(scene, 0, 0, &t, false, 2);
    scene_flush(scene);
    CHECK_EQUAL(carried(scene), 5);
    check_continuous(scene);
    scene_close(scene);
}

static void test_layers_up_and_down(void)
{
    struct scene *scene = watching(0);
    uint64_t t = 10, f = 5000;
    frame(scene, 0, 0, &t, true, 1);
    frame(scene, 0, 2, &f, true, 1); /* above what this viewer may have */
    frame(scene, 0, 2, &f, false, 1);
    scene_advance(scene, 40 * MS);
    CHECK_EQUAL(carried(scene), 1);
    scene_sink(scene, SINK, VIEWER, 0, 2);
    scene_publish(scene);
    uint64_t before = scene_counter(scene, COUNTER_key_requests_sent);
    frame(scene, 0, 0, &t, false, 1); /* goes on */
    frame(scene, 0, 2, &f, false, 1); /* wanted, but no beginning: asked for */
    scene_advance(scene, 200 * MS);
    CHECK_EQUAL(carried(scene), 2);
    CHECK(scene_counter(scene, COUNTER_key_requests_sent) > before);
    frame(scene, 0, 0, &t, true, 1); /* the key frame of t is not that of f */
    scene_advance(scene, 5 * MS);
    CHECK_EQUAL(carried(scene), 3);
    frame(scene, 0, 2, &f, true, 3); /* cut with its first packet, once */
    frame(scene, 0, 0, &t, false, 1);
    scene_advance(scene, 33 * MS);
    CHECK_EQUAL(carried(scene), 6);
    CHECK_EQUAL(scene_counter(scene, COUNTER_sink_switches), 2);
    CHECK_EQUAL(scene_last(scene, VIEWER, sink_ssrc(SINK))->payload_length, 500);
    scene_sink(scene, SINK, VIEWER, 0, 0);
    scene_publish(scene);
    frame(scene, 0, 2, &f, false, 1); /* f until t begins */
    frame(scene, 0, 0, &t, false, 1);
    frame(scene, 0, 0, &t, true, 1);
    frame(scene, 0, 2, &f, false, 1);
    scene_flush(scene);
    CHECK_EQUAL(carried(scene), 8);
    CHECK_EQUAL(scene_last(scene, VIEWER, sink_ssrc(SINK))->payload_length, 300);
    check_continuous(scene);
    scene_close(scene);
}

static void test_change_of_source_makes_before_it_breaks(void)
{
    struct scene *scene = watching(0);
    uint64_t a = 10, b = 65530;
    frame(scene, 0, 0, &a, true, 2);
    scene_advance(scene, 33 * MS);
    scene_sink(scene, SINK, VIEWER, 1, 0);
    scene_publish(scene);
    frame(scene, 1, 0, &b, false, 1);
    frame(scene, 0, 0, &a, false, 2); /* the old source until the new one begins */
    scene_advance(scene, 33 * MS);
    CHECK_EQUAL(carried(scene), 4);
    CHECK_EQUAL(scene_last(scene, VIEWER, sink_ssrc(SINK))->csrc, 1000);
    CHECK(scene_blocks(scene, 1, RTCP_PSFB, RTCP_FMT_PLI) > 0);
    frame(scene, 1, 0, &b, true, 2);
    frame(scene, 0, 0, &a, true, 2); /* the old one is through, key frame or not */
    frame(scene, 1, 0, &b, false, 8);
    scene_advance(scene, 33 * MS);
    CHECK_EQUAL(carried(scene), 14);
    CHECK_EQUAL(scene_last(scene, VIEWER, sink_ssrc(SINK))->csrc, 1001);
    check_continuous(scene);
    scene_sink(scene, SINK, VIEWER, 0, 0); /* and back, the new one muted meanwhile: nothing of either */
    scene->sources[0].muted = 1;
    scene_publish(scene);
    frame(scene, 1, 0, &b, true, 2);
    frame(scene, 0, 0, &a, true, 2);
    scene_flush(scene);
    CHECK_EQUAL(carried(scene), 14);
    scene_close(scene);
}

static void test_a_silent_encoding_is_left(void)
{
    struct scene *scene = watching(2);
    uint64_t t = 10, f = 5000;
    for (int i = 0; i < 10; i++) {
        frame(scene, 0, 0, &t, i == 0, 1);
        frame(scene, 0, 2, &f, i == 0, 1);
        scene_advance(scene, 33 * MS);
    }
    /* The first t packet came while f was not live yet: t was taken, then f. */
    CHECK_EQUAL(scene_last(scene, VIEWER, sink_ssrc(SINK))->payload_length, 500);
    unsigned before = carried(scene);
    for (int i = 0; i < 19; i++) { /* f stops; for 600 ms it may come back */
        frame(scene, 0, 0, &t, i % 5 == 0, 1);
        scene_advance(scene, 30 * MS);
    }
    CHECK_EQUAL(carried(scene), before);
    for (int i = 0; i < 10; i++) {
        frame(scene, 0, 0, &t, i == 5, 1);
        scene_advance(scene, 30 * MS);
    }
    CHECK_EQUAL(carried(scene), before + 5);
    CHECK_EQUAL(scene_last(scene, VIEWER, sink_ssrc(SINK))->payload_length, 300);
    frame(scene, 0, 2, &f, true, 1); /* it begins again */
    scene_flush(scene);
    CHECK_EQUAL(scene_last(scene, VIEWER, sink_ssrc(SINK))->payload_length, 500);
    check_continuous(scene);
    scene_close(scene);
}

static void test_a_pause_of_all_encodings_moves_nobody(void)
{
    struct scene *scene = watching(2);
    uint64_t t = 10, f = 5000;
    frame(scene, 0, 0, &t, true, 1);
    frame(scene, 0, 2, &f, true, 1);
    for (int i = 0; i < 5; i++) { /* a screen on which something changes every five seconds */
        uint64_t asked = scene_counter(scene, COUNTER_key_requests_sent);
        scene_advance(scene, 5000 * MS);
        scene_check(scene, 0, true);
        scene_check(scene, VIEWER, true);
        frame(scene, 0, 0, &t, false, 3);
        frame(scene, 0, 2, &f, false, 3);
        scene_flush(scene);
        CHECK_EQUAL(scene_last(scene, VIEWER, sink_ssrc(SINK))->payload_length, 500);
        if (i) CHECK_EQUAL(scene_counter(scene, COUNTER_key_requests_sent), asked);
    }
    check_continuous(scene);
    scene_close(scene);
}

static void test_padding_leaves_no_hole_and_lateness_is_refused(void)
{
    struct scene *scene = watching(0);
    uint64_t t = 10;
    frame(scene, 0, 0, &t, true, 2);
    struct packet padding = {
        .ssrc = video_ssrc(0, 0), .index = t++, .mid = "1", .rid = "t", .payload_type = 96, .padding = 200};
    scene_send(scene, 0, &padding);
    frame(scene, 0, 0, &t, false, 2);
    scene_flush(scene);
    CHECK_EQUAL(carried(scene), 4);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_padding_dropped), 1);
    check_continuous(scene);
    uint64_t lost = t++; /* overtaken within the run: it finds its place */
    frame(scene, 0, 0, &t, false, 1);
    frame(scene, 0, 0, &lost, false, 1);
    scene_flush(scene);
    CHECK_EQUAL(carried(scene), 6);
    CHECK_EQUAL(scene->received[scene->received_count - 1].index + 1,
                scene->received[scene->received_count - 2].index);
    uint64_t late = 5; /* of before the run */
    frame(scene, 0, 0, &late, false, 1);
    scene_flush(scene);
    CHECK_EQUAL(carried(scene), 6);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_late_dropped), 1);
    scene_close(scene);
}

static void test_audio_cuts_at_once(void)
{
    struct scene *scene = scene_open(SRTP_AEAD_AES_128_GCM);
    for (uint32_t member = 0; member < 3; member++) scene_member(scene, member);
    scene_audio(scene, 0, 0, "0");
    scene_audio(scene, 1, 1, "0");
    scene_sink(scene, SINK, VIEWER, 0, 0);
    scene_publish(scene);
    scene_connect(scene);
    for (uint64_t i = 0; i < 20; i++) {
        if (i == 10) {
            scene_sink(scene, SINK, VIEWER, 1, 0);
            scene_publish(scene);
        }
        scene_opus(scene, 0, "0", 100 + i);
        scene_opus(scene, 1, "0", 9000 + i);
        scene_advance(scene, 20 * MS);
    }
    CHECK_EQUAL(carried(scene), 21); /* the old voice until the first packet of the new one */
    const struct received *before = NULL;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        if (got->member != VIEWER || got->ssrc != sink_ssrc(SINK)) continue;
        if (before) {
            CHECK_EQUAL(got->index, before->index + 1);
            CHECK_EQUAL(got->timestamp - before->timestamp, 960);
        }
        before = got;
    }
    CHECK_EQUAL(before->csrc, 1001);
    scene_close(scene);
}

static void test_a_spoilt_row_is_as_none_and_loses_nothing(void)
{
    struct scene *scene = watching(0);
    uint64_t t = 10;
    frame(scene, 0, 0, &t, true, 1);
    scene_flush(scene);
    struct generation_view next;
    CHECK_EQUAL(table_next_generation(&scene->control, &next), 0);
    scene_publish(scene);
    CHECK_EQUAL(table_next_generation(&scene->control, &next), 0);
    next.sinks[SINK].ssrc ^= 1; /* a torn row */
    next.head->transport_limit = SCENE_MEMBERS;
    next.head->source_limit = SCENE_SOURCES;
    next.head->sink_limit = SCENE_SINKS;
    table_publish(&scene->control, &next);
    worker_adopt(&scene->worker, scene->now);
    frame(scene, 0, 0, &t, true, 1);
    scene_flush(scene);
    CHECK_EQUAL(carried(scene), 1);
    CHECK(scene_counter(scene, COUNTER_rows_invalid_dropped) >= 1);
    scene_publish(scene);
    frame(scene, 0, 0, &t, true, 1);
    scene_flush(scene);
    CHECK_EQUAL(carried(scene), 2);
    scene_close(scene);
}

int main(void)
{
    test_first_packet_must_begin_a_key_frame();
    test_layers_up_and_down();
    test_change_of_source_makes_before_it_breaks();
    test_a_silent_encoding_is_left();
    test_a_pause_of_all_encodings_moves_nobody();
    test_padding_leaves_no_hole_and_lateness_is_refused();
    test_audio_cuts_at_once();
    test_a_spoilt_row_is_as_none_and_loses_nothing();
    return 0;
}
