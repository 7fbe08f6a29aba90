/* RTCP both ways: key-frame requests merged, reports about a sender's own hop, sender reports on the server's clock. */
#include "bytes.h"
#include "check.h"
#include "scene.h"

enum { VIEWERS = 20 };

/* Member 0 sends a camera (source 0) and a microphone (source 1); members 1 to VIEWERS watch in slots 2n and 2n + 1. */
static struct scene *audience(void)
{
    struct scene *scene = scene_open(SRTP_AEAD_AES_128_GCM);
    for (uint32_t member = 0; member <= VIEWERS; member++) scene_member(scene, member);
    scene_video(scene, 0, 0, "1");
    scene_audio(scene, 1, 0, "0");
    for (uint32_t member = 1; member <= VIEWERS; member++) {
        scene_sink(scene, 2 * member, member, 0, 0);
        scene_sink(scene, 2 * member + 1, member, 1, 0);
    }
    scene_publish(scene);
    scene_connect(scene);
    scene_vp8(scene, 0, "1", 0, 1, true, true, true, 300);
    scene_opus(scene, 0, "0", 1);
    scene_advance(scene, 300 * MS);
    scene_forget(scene);
    return scene;
}

static void send_pli(struct scene *scene, uint32_t member, uint32_t ssrc)
{
    uint8_t bytes[200];
    int length = rtcp_write_rr(bytes, sizeof bytes, 0x777, NULL, 0);
    length += rtcp_write_pli(bytes + length, sizeof bytes - (size_t)length, 0x777, ssrc);
    scene_rtcp(scene, member, bytes, (size_t)length);
}

static unsigned asked(const struct scene *scene)
{ return scene_blocks(scene, 0, RTCP_PSFB, RTCP_FMT_PLI); }

static void test_requests_of_many_are_one(void)
{
    struct scene *scene = audience();
    for (uint32_t member = 1; member <= VIEWERS; member++)
        send_pli(scene, member, sink_ssrc(2 * member));
    scene_flush(scene);
    CHECK_EQUAL(asked(scene), 1); /* at once, without waiting for a timer */
    scene_advance(scene, 50 * MS);
    scene_vp8(scene, 0, "1", 0, 2, true, true, true, 300); /* the answer */
    for (int i = 0; i < 100; i++) scene_advance(scene, 50 * MS);
    CHECK_EQUAL(asked(scene), 1);
    CHECK_EQUAL(scene_counter(scene, COUNTER_key_requests_received), VIEWERS);
    scene_close(scene);
}

/* The SSRCs that PLIs to the sender named, as bits by encoding. */
static unsigned named(const struct scene *scene)
{
    unsigned found = 0;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        struct rtcp_block block;
        struct rtcp_feedback feedback;
        size_t offset = 0;
        while (got->member == 0 && got->rtcp &&
               rtcp_next_untrusted(got->payload, got->payload_length, &offset, &block) == 1)
            for (unsigned e = 0; e < 3 && block.type == RTCP_PSFB && block.count == RTCP_FMT_PLI; e++)
                if (rtcp_feedback_untrusted(&block, &feedback) == 0 && feedback.media == video_ssrc(0, e))
                    found |= 1u << e;
    }
    return found;
}

static void test_a_request_names_every_encoding_that_comes(void)
{
    static const struct {
        unsigned come, later, named; /* encodings, as bits: that came once, that come still */
    } rows[] = {{7, 7, 7}, {7, 5, 5}, {7, 1, 1}, {3, 2, 2}, {7, 0, 1}, {6, 0, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene *scene = scene_open(SRTP_AEAD_AES_128_GCM);
        for (uint32_t member = 0; member < 2; member++) scene_member(scene, member);
        scene_video(scene, 0, 0, "1");
        scene_sink(scene, 2, 1, 0, 0);
        scene_publish(scene);
        scene_connect(scene);
        for (unsigned e = 0; e < 3; e++)
            if (rows[i].come >> e & 1)
                scene_vp8(scene, 0, "1", e, 1 + 1000 * e, true, true, true, 300);
        for (int k = 0; k < 60; k++) scene_advance(scene, 50 * MS);
        for (unsigned e = 0; e < 3; e++)
            if (rows[i].later >> e & 1)
                scene_vp8(scene, 0, "1", e, 2 + 1000 * e, false, true, true, 300);
        scene_advance(scene, 10 * MS);
        scene_forget(scene);
        scene->worker.state.sources[0].key_request_pending_ns = 0;
        scene->worker.state.sources[0].key_request_sent_ns = 0;
        send_pli(scene, 1, sink_ssrc(2));
        scene_flush(scene);
        CHECK_EQUAL(named(scene), rows[i].named);
        CHECK_EQUAL(asked(scene), (unsigned)__builtin_popcount(rows[i].named));
        scene_close(scene);
    }
}

static void test_one_receiver_cannot_drive_a_sender(void)
{
    struct scene *scene = audience();
    uint64_t index = 2;
    int answer = -1;
    for (int i = 0; i < 9900; i++) { /* 1000 PLI a second, each request answered after 30 ms */
        scene_forget(scene);
        send_pli(scene, 1, sink_ssrc(2));
        scene_advance(scene, 1 * MS);
        if (asked(scene)) answer = i + 30;
        if (i == answer) scene_vp8(scene, 0, "1", 0, index++, true, true, true, 300);
        if (i % 1000 == 0) {
            scene_check(scene, 0, true);
            scene_check(scene, 1, true);
        }
    }
    CHECK_EQUAL(scene_counter(scene, COUNTER_key_requests_sent), LIMIT_KEY_REQUESTS_PER_SINK);
    scene_close(scene);
}

static void test_an_unanswered_request_is_repeated_and_given_up(void)
{
    struct scene *scene = audience();
    send_pli(scene, 1, sink_ssrc(2));
    for (int i = 0; i < 100; i++) scene_advance(scene, 50 * MS);
    unsigned sent = asked(scene);
    CHECK(sent >= 3 && sent <= 6);     /* 0, 200, 400, 800, 1600 ms */
    send_pli(scene, 1, sink_ssrc(3));  /* audio has no key frames */
    send_pli(scene, 1, sink_ssrc(99)); /* not ours */
    send_pli(scene, 1, sink_ssrc(4));  /* another member's slot */
    scene_flush(scene);
    CHECK_EQUAL(asked(scene), sent);
    uint8_t fir[200];
    int length = rtcp_write_rr(fir, sizeof fir, 0x777, NULL, 0);
    length += rtcp_write_fir(fir + length, sizeof fir - (size_t)length, 0x777, sink_ssrc(4), 1);
    scene_rtcp(scene, 2, fir, (size_t)length);
    scene_flush(scene);
    CHECK_EQUAL(asked(scene), sent + 1);
    scene_close(scene);
}

/* The first block of this type that the member got. */
static bool find_block(const struct scene *scene, uint32_t member, uint8_t type, struct rtcp_block *block)
{
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        size_t offset = 0;
        if (got->member != member || !got->rtcp) continue;
        CHECK_EQUAL(got->payload[1], RTCP_RR); /* each compound begins with the SSRC that owns the index */
        CHECK_EQUAL(load_be32(got->payload + 4), 0x90000 + member);
        while (rtcp_next_untrusted(got->payload, got->payload_length, &offset, block) == 1)
            if (block->type == type) return true;
    }
    return false;
}

static void test_reports_tell_a_sender_about_its_own_hop(void)
{
    struct scene *scene = audience();
    for (uint64_t i = 2; i < 102; i++) {
        if (i % 10) scene_opus(scene, 0, "0", i); /* one of ten never came */
        scene_advance(scene, 20 * MS);
    }
    struct rtcp_block block;
    struct rtcp_report report;
    uint32_t ssrc;
    bool found = false;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        size_t offset = 0;
        if (got->member || !got->rtcp ||
            rtcp_next_untrusted(got->payload, got->payload_length, &offset, &block) != 1)
            continue;
        int count = rtcp_reports_untrusted(&block, &ssrc);
        for (int k = 0; k < count; k++) {
            CHECK_EQUAL(rtcp_report_untrusted(&block, (unsigned)k, &report), 0);
            if (report.ssrc == audio_ssrc(0) && report.lost >= 4) {
                found = true;
                CHECK(report.fraction_lost >= 20 && report.fraction_lost <= 30);
                CHECK(report.jitter < 100);
            }
        }
    }
    CHECK(found);
    CHECK(find_block(scene, 0, RTCP_SDES, &block));
    struct rtcp_feedback feedback;
    uint32_t rate;
    uint8_t ssrcs;
    CHECK(find_block(scene, 0, RTCP_PSFB, &block));
    CHECK_EQUAL(rtcp_feedback_untrusted(&block, &feedback), 0);
    CHECK_EQUAL(rtcp_remb_untrusted(&feedback, &rate, &ssrcs), 0);
    CHECK(rate > 1990000 && rate <= 2000000);
    CHECK_EQUAL(ssrcs, 2);
    CHECK(!find_block(scene, 1, RTCP_PSFB, &block)); /* who sends nothing has nothing to be told */
    scene_close(scene);
}

/* A browser without transport-wide feedback raises its rate only once REMB names what it sends. */
static void test_a_new_encoding_and_a_new_limit_are_told_soon(void)
{
    struct scene *scene = audience();
    scene_advance(scene, 400 * MS);
    scene_forget(scene);
    scene_vp8(scene, 0, "1", 2, 1, true, true, true, 300);
    scene_advance(scene, LIMIT_SCAN_NS);
    CHECK_EQUAL(scene_blocks(scene, 0, RTCP_PSFB, RTCP_FMT_REMB), 1);
    scene_forget(scene);
    scene->transports[0].remb_bps = 500000;
    scene_publish(scene);
    scene_advance(scene, LIMIT_SCAN_NS);
    CHECK_EQUAL(scene_blocks(scene, 0, RTCP_PSFB, RTCP_FMT_REMB), 1);
    scene_advance(scene, 500 * MS);
    CHECK_EQUAL(scene_blocks(scene, 0, RTCP_PSFB, RTCP_FMT_REMB), 1);
    scene_close(scene);
}

static void test_sender_reports_at_a_switch_and_every_second(void)
{
    struct scene *scene = audience();
    scene_vp8(scene, 0, "1", 1, 1, true, true, true, 300);
    scene_sink(scene, 2, 1, 0, 1);
    scene_publish(scene);
    scene_vp8(scene, 0, "1", 1, 2, true, true, true, 300);
    worker_tick(&scene->worker, scene->now);
    scene_flush(scene);
    struct rtcp_block block;
    struct rtcp_sender_info info;
    CHECK(find_block(scene, 1, RTCP_SR, &block)); /* at once */
    CHECK_EQUAL(rtcp_sender_info_untrusted(&block, &info), 0);
    CHECK_EQUAL(info.ssrc, sink_ssrc(2));
    CHECK_EQUAL(info.packets, 2);
    CHECK_EQUAL(info.ntp, rtcp_ntp(scene->now + scene->worker.realtime_offset_ns));
    CHECK_EQUAL(info.timestamp, scene_last(scene, 1, sink_ssrc(2))->timestamp);
    CHECK_EQUAL(scene_blocks(scene, 2, RTCP_SR, -1), 0);
    scene_forget(scene);
    for (int i = 0; i < 58; i++) { /* a second, and the tenth that intervals may be longer */
        scene_opus(scene, 0, "0", 10 + (uint64_t)i);
        scene_advance(scene, 20 * MS);
    }
    for (uint32_t member = 1; member <= VIEWERS; member++)
        CHECK(scene_blocks(scene, member, RTCP_SR, -1) == 2 || scene_blocks(scene, member, RTCP_SR, -1) == 4);
    /* A receiver's report brings the round trip. */
    struct rtcp_block mine;
    CHECK(find_block(scene, 5, RTCP_SR, &mine));
    CHECK_EQUAL(rtcp_sender_info_untrusted(&mine, &info), 0);
    struct rtcp_report report = {.ssrc = info.ssrc, .lost = 7, .last_sr = rtcp_ntp_middle(info.ntp)};
    uint8_t bytes[200];
    int length = rtcp_write_rr(bytes, sizeof bytes, 0x777, &report, 1);
    scene->now += 80 * MS;
    scene_rtcp(scene, 5, bytes, (size_t)length);
    CHECK_EQUAL(scene->worker.state.transports[5].reported_lost, 7);
    CHECK(scene->worker.state.transports[5].round_trip_us > 80000);
    scene_close(scene);
}

static void test_bad_rtcp_changes_nothing(void)
{
    struct scene *scene = audience();
    uint64_t random = 3;
    uint8_t bytes[600];
    for (int i = 0; i < 20000; i++) { /* authentic, and nonsense: a member's broken client */
        size_t length = 8 + random_next(&random) % 100 * 4;
        random_fill(&random, bytes, length);
        bytes[0] = (uint8_t)(0x80 | (bytes[0] & 0x3f));
        bytes[1] = (uint8_t)(200 + random_next(&random) % 8);
        store_be32(bytes + 4, 0x777);
        if (i % 2) store_be16(bytes + 2, (uint16_t)(length / 4 - 1));
        scene_rtcp(scene, 1, bytes, length);
        scene_flush(scene);
        scene_forget(scene);
    }
    CHECK(scene_counter(scene, COUNTER_rtcp_received) >= 20000);
    CHECK(scene_counter(scene, COUNTER_rtcp_malformed_dropped) > 0);
    CHECK_EQUAL(scene_counter(scene, COUNTER_key_requests_sent), 0);
    scene_close(scene);
}

int main(void)
{
    test_requests_of_many_are_one();
    test_a_request_names_every_encoding_that_comes();
    test_one_receiver_cannot_drive_a_sender();
    test_an_unanswered_request_is_repeated_and_given_up();
    test_reports_tell_a_sender_about_its_own_hop();
    test_a_new_encoding_and_a_new_limit_are_told_soon();
    test_sender_reports_at_a_switch_and_every_second();
    test_bad_rtcp_changes_nothing();
    return 0;
}
