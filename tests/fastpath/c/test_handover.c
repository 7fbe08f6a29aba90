/* One conference on two workers: what arrives at one reaches the receivers of the other, and what they want gets back. Workers are 0 and 1; member 0
 * of worker 0 has a microphone (source 0) and a camera (source 1), which are 10 and 11 on worker 1; its members 1 and 2 have slots for both. */
#include "bytes.h"
#include "check.h"
#include "handover_messages.h"
#include "spread.h"

enum { MIC = 0, CAMERA = 1, FAR_MIC = 10, FAR_CAMERA = 11, AUDIO_SINK = 0, VIDEO_SINK = 1 };

static struct spread *two_workers(enum srtp_profile profile)
{
    struct spread *spread = spread_open(profile);
    scene_member(spread->at[0], 0);
    scene_audio(spread->at[0], MIC, 0, "0");
    scene_video(spread->at[0], CAMERA, 0, "1");
    spread->at[0]->sources[CAMERA].limits =
        (struct clamp_limits){.max_bps = {150000, 500000, 1700000}, .encoding_count = 3, .kind = SOURCE_CAMERA};
    spread_source(spread, 0, MIC, FAR_MIC);
    spread_source(spread, 0, CAMERA, FAR_CAMERA);
    for (uint32_t member = 1; member < 3; member++) {
        scene_member(spread->at[1], member);
        scene_sink(spread->at[1], AUDIO_SINK + 10 * member, member, FAR_MIC, 0);
        scene_sink(spread->at[1], VIDEO_SINK + 10 * member, member, FAR_CAMERA, 0);
    }
    spread_publish(spread);
    for (unsigned i = 0; i < 2; i++) scene_connect(spread->at[i]);
    spread_pump(spread);
    spread_forget(spread);
    return spread;
}

static void send_frame(struct spread *spread, uint64_t index, bool key)
{
    scene_vp8(spread->at[0], 0, "1", 0, index, key, true, true, 300);
    scene_flush(spread->at[0]);
}

/* What a receiver got on a slot: how many; no number twice, none smaller than the one before, nothing left out if `whole`. */
static unsigned in_order(const struct scene *scene, uint32_t member, uint32_t ssrc, bool whole)
{
    uint64_t last = 0;
    unsigned count = 0;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        if (got->member != member || got->ssrc != ssrc) continue;
        CHECK(!count || (whole ? got->index == last + 1 : got->index > last));
        last = got->index;
        count++;
    }
    return count;
}

static void test_audio_and_video_reach_the_other_worker(enum srtp_profile profile)
{
    struct spread *spread = two_workers(profile);
    struct scene *far = spread->at[1];
    for (uint64_t i = 1; i <= 50; i++) {
        scene_opus(spread->at[0], 0, "0", 7000 + i);
        send_frame(spread, 65500 + i, i == 1); /* over a wrap of the sequence number */
        scene_flush(spread->at[0]);
        spread_advance(spread, 20 * MS);
    }
    for (uint32_t member = 1; member < 3; member++) {
        CHECK_EQUAL(in_order(far, member, sink_ssrc(AUDIO_SINK + 10 * member), true), 50);
        CHECK_EQUAL(in_order(far, member, sink_ssrc(VIDEO_SINK + 10 * member), true), 50);
        const struct received *got = scene_last(far, member, sink_ssrc(VIDEO_SINK + 10 * member));
        CHECK(got->marker && got->csrc == 1000 && got->payload_type == 120);
        CHECK_EQUAL(got->payload[20], (uint8_t)(65550 + 20));
        CHECK_EQUAL(scene_last(far, member, sink_ssrc(AUDIO_SINK + 10 * member))->payload[5], (uint8_t)7050);
    }
    CHECK_EQUAL(scene_counter(spread->at[0], COUNTER_handed_over), 100);
    CHECK_EQUAL(scene_counter(far, COUNTER_handover_taken), 100);
    CHECK_EQUAL(scene_counter(spread->at[0], COUNTER_rtp_unsubscribed), 0);
    CHECK_EQUAL(scene_counter(far, COUNTER_handover_invalid_dropped) +
                    scene_counter(far, COUNTER_handover_repeated_dropped),
                0);
    spread_close(spread);
}

static void test_key_requests_go_to_the_sender_merged(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *home = spread->at[0], *far = spread->at[1];
    send_frame(spread, 100, false); /* its SSRC is known; nobody can begin with it */
    spread_advance(spread, 300 * MS);
    CHECK(scene_blocks(home, 0, RTCP_PSFB, RTCP_FMT_PLI) >= 1);
    send_frame(spread, 101, true);
    spread_advance(spread, 500 * MS);
    spread_forget(spread);
    for (uint32_t member = 1; member < 3; member++) {
        uint8_t compound[100];
        int at = rtcp_write_rr(compound, sizeof compound, 0x20000 + member, NULL, 0);
        at += rtcp_write_pli(compound + at, sizeof compound - (size_t)at, 0x20000 + member,
                             sink_ssrc(VIDEO_SINK + 10 * member));
        scene_rtcp(far, member, compound, (size_t)at);
    }
    spread_pump(spread);
    scene_advance(home, 0);
    CHECK_EQUAL(scene_blocks(home, 0, RTCP_PSFB, RTCP_FMT_PLI), 1);
    CHECK_EQUAL(scene_blocks(far, 0, RTCP_PSFB, RTCP_FMT_PLI), 0);
    CHECK_EQUAL(scene_counter(far, COUNTER_key_requests_sent), 0);
    spread_close(spread);
}

static unsigned nacked(const struct scene *scene, uint32_t member)
{ return scene_blocks(scene, member, RTCP_RTPFB, RTCP_FMT_NACK); }

/* What the sender's uplink lost its home asks for, because somebody elsewhere looks; what the ring lost the other worker asks its home for; what a
   receiver lost it gets from its own worker. */
static void test_repairs(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *home = spread->at[0], *far = spread->at[1];
    for (uint64_t i = 0; i < 20; i++) {
        send_frame(spread, 100 + i, i == 0);
        spread_advance(spread, 20 * MS);
    }
    send_frame(spread, 121, false); /* 120 is lost on the way up */
    spread_advance(spread, 100 * MS);
    CHECK(nacked(home, 0) >= 1);
    CHECK_EQUAL(scene_counter(far, COUNTER_nacks_sent), 0);
    scene_vp8(home, 0, "1", 0, 120, false, true, true, 300); /* late */
    spread_advance(spread, 50 * MS);
    CHECK_EQUAL(scene_packets(far, 1, sink_ssrc(VIDEO_SINK + 10)), 22);
    /* The ring drops one. */
    spread_forget(spread);
    spread_pump(spread);
    send_frame(spread, 122, false);
    CHECK_EQUAL(spread_lose(spread, 1), HANDOVER_PACKET);
    for (uint64_t i = 123; i < 130; i++) {
        send_frame(spread, i, false);
        spread_advance(spread, 20 * MS);
    }
    spread_advance(spread, 100 * MS);
    CHECK_EQUAL(scene_packets(far, 1, sink_ssrc(VIDEO_SINK + 10)), 8);
    CHECK(scene_counter(far, COUNTER_handover_asked) >= 1);
    CHECK(scene_counter(far, COUNTER_gaps_filled) >= 2);
    CHECK_EQUAL(scene_blocks(home, 0, RTCP_PSFB, RTCP_FMT_PLI), 0);
    /* A receiver asks. */
    uint16_t lost = (uint16_t)(scene_last(far, 2, sink_ssrc(VIDEO_SINK + 20))->index - 3);
    uint64_t asked = scene_counter(far, COUNTER_handover_asked);
    uint8_t compound[200];
    int at = rtcp_write_rr(compound, sizeof compound, 0x20002, NULL, 0);
    at += rtcp_write_nack(compound + at, sizeof compound - (size_t)at, 0x20002,
                          sink_ssrc(VIDEO_SINK + 20), &lost, 1);
    spread_forget(spread);
    scene_rtcp(far, 2, compound, (size_t)at);
    spread_advance(spread, 10 * MS);
    CHECK_EQUAL(scene_packets(far, 2, 0x60000 + VIDEO_SINK + 20), 1);
    CHECK_EQUAL(scene_counter(far, COUNTER_handover_asked), asked);
    spread_close(spread);
}

/* A member with a slow link on the other worker holds the sender down, and one who goes frees it. */
static void test_the_clamp_counts_viewers_elsewhere(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *home = spread->at[0], *far = spread->at[1];
    far->transports[1].transport_cc_down = far->transports[2].transport_cc_down = 1;
    far->transports[1].ext.transport_cc = far->transports[2].ext.transport_cc = TRANSPORT_CC_EXT;
    far->transports[1].downlink_max_bps = 900000;
    for (uint32_t member = 1; member < 3; member++)
        scene_sink(far, VIDEO_SINK + 10 * member, member, FAR_CAMERA, 2);
    spread_publish(spread);
    struct bandwidth *links[2] = {&far->worker.state.downlinks[1].bandwidth,
                                  &far->worker.state.downlinks[2].bandwidth};
    uint64_t index[3] = {0};
    for (unsigned step = 0; step < 150; step++) {
        for (unsigned i = 0; i < 2; i++)
            links[i]->control.target = links[i]->target = i ? 3000000 : 900000;
        for (unsigned e = 0; e < 3; e++)
            if (home->worker.state.sources[CAMERA].clamp.encodings[e].target_bps || step < 10)
                scene_vp8(home, 0, "1", e, 100 + index[e]++, step % 10 == 0, true, true, 500);
        scene_flush(home);
        spread_advance(spread, 40 * MS);
    }
    const struct clamp_source *clamp = &home->worker.state.sources[CAMERA].clamp;
    printf("far viewers of 900 and 3000 kbit/s: f is held to %u\n", clamp->encodings[2].target_bps);
    CHECK(clamp->encodings[2].target_bps > 500000 && clamp->encodings[2].target_bps <= 900000);
    CHECK_EQUAL(clamp->encodings[2].viewers, 2);
    CHECK_EQUAL(far->worker.state.sources[FAR_CAMERA].clamp.encodings[2].target_bps,
                clamp->encodings[2].target_bps);
    CHECK(scene_told(home, UPLINK_SEND_TARGET, 0) >= 1);
    CHECK(scene_told(home, UPLINK_VIEWERS, 0) >= 1);
    CHECK_EQUAL(scene_told(far, UPLINK_SEND_TARGET, SPREAD_STRANGERS) + scene_told(far, UPLINK_VIEWERS, SPREAD_STRANGERS),
                0);
    /* Nobody looks any more: off. */
    for (uint32_t member = 1; member < 3; member++) far->sinks[VIDEO_SINK + 10 * member].hidden = 1;
    spread_publish(spread);
    spread_advance(spread, 5000 * MS);
    CHECK_EQUAL(clamp->encodings[2].target_bps, 0);
    spread_close(spread);
}

/* Voices are heard by all workers; one of them says who has the floor, the home of each who speaks. */
static void test_voices(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *home = spread->at[0], *far = spread->at[1];
    scene_audio(far, 0, 1, "0");
    spread_source(spread, 1, 0, 20);
    for (unsigned i = 0; i < 2; i++) { /* a slot for the loudest on each */
        struct scene *scene = spread->at[i];
        uint32_t member = i ? 2 : 0;
        scene->sinks[200].kind = SOURCE_AUDIO;
        scene_sink(scene, 200, member, TABLE_NONE, 0);
        scene->sinks[200].loudest = 1;
        scene->sinks[AUDIO_SINK + 10 * member] = (struct sink_row){0};
    }
    spread_publish(spread);
    for (uint64_t i = 0; i < 100; i++) { /* first the far one's member speaks, then home's */
        scene_opus(far, 1, "0", 100 + i);
        spread_advance(spread, 20 * MS);
    }
    CHECK_EQUAL(scene_told(far, UPLINK_SPEAKING, 1), 1);
    CHECK_EQUAL(scene_told(far, UPLINK_DOMINANT, 1), 1);
    CHECK_EQUAL(scene_told(home, UPLINK_SPEAKING, SPREAD_STRANGERS) + scene_told(home, UPLINK_DOMINANT, SPREAD_STRANGERS),
                0);
    CHECK(scene_packets(home, 0, sink_ssrc(200)) > 50);
    CHECK(scene_packets(far, 2, sink_ssrc(200)) > 50);
    spread_forget(spread);
    for (uint64_t i = 0; i < 200; i++) {
        scene_opus(home, 0, "0", 100 + i);
        spread_advance(spread, 20 * MS);
    }
    CHECK_EQUAL(scene_told(home, UPLINK_DOMINANT, 0), 1);
    CHECK_EQUAL(scene_told(far, UPLINK_DOMINANT, SPREAD_STRANGERS), 0);
    CHECK(scene_packets(far, 2, sink_ssrc(200)) > 100);
    CHECK(in_order(far, 2, sink_ssrc(200), false) > 100);
    spread_close(spread);
}

/* Either is killed and followed: no number twice (scene_keep refuses it), and the picture goes on. */
static void test_successors_go_on(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *far = spread->at[1];
    uint64_t index = 100;
    unsigned got = 0;
    for (unsigned life = 0; life < 40; life++) {
        spread_forget(spread);
        for (unsigned i = 0; i < 20; i++) {
            scene_opus(spread->at[0], 0, "0", index);
            send_frame(spread, index++, i == 10);
            if (i % 5 == life % 5)
                scene_flush(spread->at[0]); /* some is in the ring when it dies */
            else
                spread_advance(spread, 5 * MS);
        }
        got += scene_packets(far, 1, sink_ssrc(VIDEO_SINK + 10));
        CHECK_EQUAL(far->refused, 0);
        spread_restart(spread, life & 1);
    }
    spread_forget(spread);
    spread_pump(spread); /* of what the last of them left in the ring */
    got += scene_packets(far, 1, sink_ssrc(VIDEO_SINK + 10));
    CHECK_EQUAL(got, 40 * 20 - 10); /* up to the first key frame nobody can begin */
    CHECK_EQUAL(scene_counter(far, COUNTER_handover_repeated_dropped), 0);
    spread_close(spread);
}

/* A home that says things twice, or nonsense, costs a counter. */
static void test_nothing_is_taken_twice(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *far = spread->at[1];
    struct handover *handover = far->worker.handover;
    send_frame(spread, 100, true);
    spread_pump(spread);
    for (uint64_t i = 101; i < 120; i++) send_frame(spread, i, false);
    /* The whole ring once more, as if its head had been set back. */
    uint64_t head = atomic_load(&handover->from[0].ring->head);
    spread_pump(spread);
    atomic_store(&handover->from[0].ring->head, head);
    spread_restart(spread, 1); /* the successor knows as well */
    spread_pump(spread);
    CHECK_EQUAL(scene_packets(far, 1, sink_ssrc(VIDEO_SINK + 10)), 20);
    CHECK_EQUAL(scene_counter(far, COUNTER_handover_repeated_dropped), 19);
    CHECK_EQUAL(far->refused, 0);
    spread_close(spread);
}

static void write_packet(struct spread *spread, uint32_t ssrc, uint64_t index)
{
    uint8_t payload[60] = {0x90, 0xe0, 0x80, 1, 1, 0, 0x10};
    struct ring_writer writer = handover_writer(&spread->at[0]->worker.handover->rings, 0, 1);
    struct handover_packet packet = {
        .head = {.kind = HANDOVER_PACKET, .source = CAMERA, .incarnation = CAMERA + 1, .ssrc = ssrc},
        .index = index,
        .written_ns = UINT64_MAX,
        .payload_length = sizeof payload,
    };
    uint8_t *out = ring_reserve(&writer, sizeof packet + sizeof payload, writer.size);
    CHECK(out);
    memcpy(out, &packet, sizeof packet);
    memcpy(out + sizeof packet, payload, sizeof payload);
    ring_commit(&writer);
}

/* A home that is broken says the same under two SSRCs in turns, or leaps ahead: receivers still get no number twice, and can follow. */
static void test_a_broken_home_repeats_no_number(void)
{
    for (unsigned together = 0; together < 2; together++) {
        struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
        struct scene *far = spread->at[1];
        for (unsigned round = 0; round < 30; round++) {
            write_packet(spread, 7 + round % 2, 5);
            write_packet(spread, 7, 5 + (uint64_t)round * 40000);
            if (!together) spread_pump(spread);
        }
        spread_pump(spread);
        CHECK_EQUAL(far->refused, 0);
        CHECK(in_order(far, 1, sink_ssrc(VIDEO_SINK + 10), false) > 20);
        spread_close(spread);
    }
}

/* It comes back to an SSRC whose window was forgotten meanwhile, and to packets of before a leap: those had their numbers. */
static void test_a_broken_home_that_comes_back_repeats_no_number(void)
{
    static const struct {
        uint32_t ssrc;
        uint64_t index;
    } said[] = {{7, 1000}, {7, 1001}, {7, 1900}, {8, 1}, {7, 1910}, {7, 1000}, {7, 1001}};
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *far = spread->at[1];
    for (unsigned i = 0; i < sizeof said / sizeof *said; i++) {
        write_packet(spread, said[i].ssrc, said[i].index);
        spread_pump(spread);
    }
    CHECK_EQUAL(far->refused, 0);
    CHECK(scene_packets(far, 1, sink_ssrc(VIDEO_SINK + 10)) >= 5);
    spread_close(spread);
}

/* The same while a slot carries something else: when it comes back to that source, its late packets find none of the numbers of before. */
static void test_a_slot_that_was_elsewhere_repeats_no_number(void)
{
    enum { LOCAL = 5, SLOT = VIDEO_SINK + 10 };
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *far = spread->at[1];
    scene_video(far, LOCAL, 2, "9");
    spread_publish(spread);
    static const uint64_t before[] = {1000, 1001, 1900}, after[] = {1910, 1000, 1001, 1900};
    for (unsigned i = 0; i < 3; i++) write_packet(spread, 7, before[i]);
    spread_pump(spread);
    CHECK_EQUAL(scene_packets(far, 1, sink_ssrc(SLOT)), 3);
    scene_sink(far, SLOT, 1, LOCAL, 0);
    spread_publish(spread);
    scene_vp8(far, 2, "9", 0, 50, true, true, true, 300);
    scene_flush(far);
    CHECK_EQUAL(scene_packets(far, 1, sink_ssrc(SLOT)), 4);
    spread_publish(spread); /* from here on it is none of the camera's slots */
    write_packet(spread, 8, 1);
    write_packet(spread, 7, 1905);
    spread_pump(spread);
    CHECK_EQUAL(scene_packets(far, 1, sink_ssrc(SLOT)), 4);
    scene_sink(far, SLOT, 1, FAR_CAMERA, 0);
    spread_publish(spread);
    for (unsigned i = 0; i < 4; i++) write_packet(spread, 7, after[i]);
    spread_pump(spread);
    CHECK_EQUAL(far->refused, 0);
    CHECK_EQUAL(scene_packets(far, 1, sink_ssrc(SLOT)), 5); /* 1910 alone: the others are of before its run */
    spread_close(spread);
}

static void test_what_waited_too_long_is_dropped(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *far = spread->at[1];
    send_frame(spread, 100, true);
    far->now += HANDOVER_STALE_NS + MS;
    spread_pump(spread);
    CHECK_EQUAL(scene_packets(far, 1, sink_ssrc(VIDEO_SINK + 10)), 0);
    CHECK_EQUAL(scene_counter(far, COUNTER_handover_stale_dropped), 1);
    spread_close(spread);
}

/* A reader that does not read: full resolution is left out first, then the other pictures; voices go on longest. */
static void test_overflow_by_plan(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *home = spread->at[0];
    unsigned kept[4] = {0};
    uint8_t record[HANDOVER_RECORD_MAX];
    for (uint64_t i = 1; i <= 4000; i++) {
        for (unsigned e = 0; e < 3; e++)
            scene_vp8(home, 0, "1", e, 100 + i, i == 1, true, true, 300);
        scene_opus(home, 0, "0", i);
        scene_flush(home);
        scene_forget(home);
    }
    int length;
    while ((length = ring_take_untrusted(&spread->at[1]->worker.handover->from[0], record)) > 0)
        if (record[0] == HANDOVER_PACKET)
            kept[((struct handover_head *)(void *)record)->source == MIC ? 3 : record[1]]++;
    printf("a full ring holds %u t, %u m, %u f, %u voices\n", kept[0], kept[1], kept[2], kept[3]);
    CHECK(kept[2] + 100 < kept[1] && kept[1] + 100 < kept[3]);
    CHECK(scene_counter(home, COUNTER_handover_full_dropped) > 4000);
    spread_close(spread);
}

static void test_only_who_shares_the_segment_joins(void)
{
    struct scene *scene = scene_open(SRTP_AEAD_AES_128_GCM);
    struct spread *spread = spread_open(SRTP_AEAD_AES_128_GCM);
    CHECK(handover_join(&scene->worker, spread->rings, spread->size, 2) != 0);
    CHECK(handover_join(&scene->worker, spread->rings, 100, 0) != 0);
    CHECK(handover_join(&spread->at[0]->worker, spread->rings, spread->size, 0) != 0); /* it did already */
    CHECK(!handover_take(&scene->worker, scene->now) && handover_may_sleep(&scene->worker) &&
          !handover_wakes(&scene->worker));
    spread_close(spread);
    scene_close(scene);
}

static void test_wakes(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct worker *home = &spread->at[0]->worker, *far = &spread->at[1]->worker;
    handover_wakes(home);
    CHECK(handover_may_sleep(far));
    CHECK_EQUAL(handover_wakes(home), 0); /* nothing was written */
    send_frame(spread, 100, true);
    CHECK_EQUAL(handover_wakes(home), 2);
    send_frame(spread, 101, false);
    CHECK_EQUAL(handover_wakes(home), 0); /* it is awake already */
    CHECK(!handover_may_sleep(far));
    spread_pump(spread);
    CHECK(handover_may_sleep(far));
    handover_awake(far);
    send_frame(spread, 102, false);
    CHECK_EQUAL(handover_wakes(home), 0);
    spread_close(spread);
}

int main(void)
{
    test_audio_and_video_reach_the_other_worker(SRTP_AEAD_AES_128_GCM);
    test_audio_and_video_reach_the_other_worker(SRTP_AES128_CM_SHA1_80);
    test_key_requests_go_to_the_sender_merged();
    test_repairs();
    test_the_clamp_counts_viewers_elsewhere();
    test_voices();
    test_successors_go_on();
    test_nothing_is_taken_twice();
    test_a_broken_home_repeats_no_number();
    test_a_broken_home_that_comes_back_repeats_no_number();
    test_a_slot_that_was_elsewhere_repeats_no_number();
    test_what_waited_too_long_is_dropped();
    test_overflow_by_plan();
    test_only_who_shares_the_segment_joins();
    test_wakes();
    return 0;
}
