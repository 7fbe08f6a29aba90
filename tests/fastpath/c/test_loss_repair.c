/* Loss through a whole worker: gaps of a sender are asked for and filled, receivers get what they miss, and nobody gets more. */
#include "bytes.h"
#include "check.h"
#include "nack.h"
#include "repair.h"
#include "scene.h"

#define SINK 1 /* of member 1, for the camera of member 0, source 0 */
#define RTX_SSRC(sink) (0x60000u + (sink))

/* Member 0 has a camera; members 1 and 2 watch it. */
static struct scene *watched(enum srtp_profile profile)
{
    struct scene *scene = scene_open(profile);
    for (uint32_t member = 0; member < 3; member++) scene_member(scene, member);
    scene_video(scene, 0, 0, "1");
    /* So that an encoding may be asked for before it comes. */
    scene->sources[0].limits =
        (struct clamp_limits){.max_bps = {150000, 500000, 1700000}, .encoding_count = 3, .kind = SOURCE_CAMERA};
    scene_sink(scene, SINK, 1, 0, 0);
    scene_sink(scene, SINK + 1, 2, 0, 0);
    scene_publish(scene);
    scene_connect(scene);
    return scene;
}

/* One packet a frame. */
static void camera(struct scene *scene, uint64_t index, bool key)
{ scene_vp8(scene, 0, "1", 0, index, key, true, true, 300); }

/* The same packet as a retransmission: what scene_vp8 makes of `index`, of a frame with this picture id and timestamp. */
static void retransmission(struct scene *scene, uint64_t rtx_index, uint64_t index, bool key,
                           uint16_t picture, uint32_t timestamp)
{
    uint8_t payload[302] = {0, 0, 0x90, 0xe0, 0, 0, (uint8_t)picture, 0, key ? 0x10 : 0x11};
    store_be16(payload, (uint16_t)index);
    store_be16(payload + 4, (uint16_t)(0x8000 | picture));
    for (size_t i = 7; i < 300; i++) payload[i + 2] = (uint8_t)(index + i);
    scene_send(scene, 0,
               &(struct packet){.ssrc = 0x70000,
                                .timestamp = timestamp,
                                .index = rtx_index,
                                .mid = "1",
                                .repaired_rid = "t",
                                .payload_type = 97,
                                .marker = 1,
                                .payload = payload,
                                .length = sizeof payload});
}

static void ask_for(struct scene *scene, uint32_t member, uint32_t sink, const uint16_t *lost, unsigned count)
{
    uint8_t compound[1200];
    int at = rtcp_write_rr(compound, sizeof compound, 0x20000 + member, NULL, 0);
    at += rtcp_write_nack(compound + at, sizeof compound - (size_t)at, 0x20000 + member,
                          sink_ssrc(sink), lost, count);
    scene_rtcp(scene, member, compound, (size_t)at);
    scene_flush(scene);
}

/* Sequence numbers that NACKs sent to the member asked for, all of them. */
static unsigned asked_of(const struct scene *scene, uint32_t member, uint16_t *lost)
{
    unsigned found = 0;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        struct rtcp_block block;
        size_t offset = 0;
        if (got->member != member || !got->rtcp) continue;
        CHECK_EQUAL(load_be32(got->payload + 4), 0x90000 + member); /* our own SSRC stands first */
        while (rtcp_next_untrusted(got->payload, got->payload_length, &offset, &block) == 1) {
            struct rtcp_feedback feedback;
            if (block.type != RTCP_RTPFB) continue;
            CHECK_EQUAL(rtcp_feedback_untrusted(&block, &feedback), 0);
            for (int k = 0; k < rtcp_nack_untrusted(&feedback); k++) {
                uint16_t first;
                uint32_t mask;
                rtcp_nack_entry(&feedback, (unsigned)k, &first, &mask);
                for (; mask; mask &= mask - 1)
                    lost[found++] = (uint16_t)(first + __builtin_ctz(mask));
            }
        }
    }
    return found;
}

static void test_a_gap_is_asked_for_and_filled(enum srtp_profile profile)
{
    struct scene *scene = watched(profile);
    uint16_t lost[1000];
    camera(scene, 1, true);
    scene_advance(scene, 20 * MS);
    camera(scene, 2, false);
    uint32_t timestamp = (uint32_t)(scene->now / MS * 90);
    scene_advance(scene, 20 * MS);
    scene->members[0].picture[0]++; /* 3 and 4 are lost, in the rollover of nothing */
    scene->members[0].picture[0]++;
    camera(scene, 5, false);
    scene_flush(scene);
    CHECK(worker_sleep_ns(&scene->worker, scene->now) <= NACK_GUARD_NS);
    scene_advance(scene, NACK_GUARD_NS);
    CHECK_EQUAL(asked_of(scene, 0, lost), 2);
    CHECK(lost[0] == 3 && lost[1] == 4);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 3);
    retransmission(scene, 700, 3, false, 3, timestamp + 10);
    retransmission(scene, 701, 4, false, 4, timestamp + 20);
    retransmission(scene, 702, 4, false, 4, timestamp + 20); /* browsers probe with what they sent before */
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 5);
    CHECK_EQUAL(scene_packets(scene, 2, sink_ssrc(SINK + 1)), 5);
    const struct received *got = scene_last(scene, 1, sink_ssrc(SINK));
    const struct received *newest = NULL;
    for (uint32_t i = 0; i < scene->received_count && !newest; i++)
        if (scene->received[i].member == 1 && scene->received[i].ssrc == sink_ssrc(SINK) &&
            scene->received[i].payload[7] == (uint8_t)(5 + 7))
            newest = &scene->received[i];
    CHECK_EQUAL(got->index + 1, newest->index); /* each has its own place in the slot's numbers */
    CHECK_EQUAL(got->payload_length, 300);
    CHECK_EQUAL(got->payload[7], (uint8_t)(4 + 7));
    CHECK_EQUAL(load_be16(got->payload + 2) + 1, load_be16(newest->payload + 2));
    CHECK_EQUAL(got->payload_type, 120);
    scene->members[0].picture[0] = 3;
    camera(scene, 4, false); /* the original, very late */
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 5);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_replayed_dropped), 1);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtx_unwrapped), 2);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtx_useless_dropped), 1);
    CHECK_EQUAL(scene_counter(scene, COUNTER_gaps_filled), 2);
    scene_forget(scene);
    scene_advance(scene, 500 * MS);
    CHECK_EQUAL(asked_of(scene, 0, lost), 0); /* nothing is missing any more */
    CHECK_EQUAL(scene_counter(scene, COUNTER_gaps_given_up), 0);
    scene_close(scene);
}

/* A viewer asks for a key frame; then, or before, the first packet of one is lost, and comes retransmitted. */
static void test_a_repaired_key_frame_answers_the_requests_before_it(void)
{
    for (int asked_first = 0; asked_first < 2; asked_first++) {
        struct scene *scene = watched(SRTP_AEAD_AES_128_GCM);
        for (uint64_t index = 100; index < 110; index++) {
            camera(scene, index, index == 100);
            scene_advance(scene, 20 * MS);
        }
        uint8_t pli[100];
        int length = rtcp_write_rr(pli, sizeof pli, 0x777, NULL, 0);
        length += rtcp_write_pli(pli + length, 50, 0x777, sink_ssrc(SINK));
        const struct source_state *source = &scene->worker.state.sources[0];
        if (asked_first) scene_rtcp(scene, 1, pli, (size_t)length);
        scene_advance(scene, 5 * MS);
        scene->members[0].picture[0]++; /* that of packet 110, which is lost */
        camera(scene, 111, false);
        scene_advance(scene, 5 * MS);
        if (!asked_first) scene_rtcp(scene, 1, pli, (size_t)length);
        scene_advance(scene, 5 * MS);
        CHECK(source->key_request_pending_ns);
        retransmission(scene, 1, 110, true, 11, 77);
        CHECK_EQUAL(scene_counter(scene, COUNTER_gaps_filled), 1);
        CHECK_EQUAL(source->key_request_pending_ns != 0, !asked_first);
        scene_close(scene);
    }
}

/* A sender without mid and rid is known by the SSRCs its offer named: media and what it retransmits. */
static void test_a_sender_of_declared_ssrcs(bool declared)
{
    struct scene *scene = watched(SRTP_AEAD_AES_128_GCM);
    uint8_t payload[302] = {0, 0, 0x90, 0xe0, 0x80, 1, 1, 0, 0x10};
    struct packet packet = {
        .ssrc = video_ssrc(0, 0), .payload_type = 96, .marker = 1, .payload = payload + 2, .length = 300};
    struct packet repair = {.ssrc = 0x70000, .payload_type = 97, .marker = 1, .payload = payload, .length = 302};
    scene->sources[0].encoding_count = 1;
    scene->sources[0].limits.encoding_count = 1;
    scene->sources[0].ssrc[0] = video_ssrc(0, 0);
    scene->sources[0].rtx_ssrc[0] = declared ? 0x70000 : 0;
    scene_publish(scene);
    for (uint64_t index = 1; index <= 6; index++) {
        payload[5] = payload[6] = (uint8_t)index;
        payload[8] = index == 1 ? 0x10 : 0x11;
        packet.index = index;
        packet.timestamp = (uint32_t)index * 3000;
        if (index != 4) scene_send(scene, 0, &packet);
        scene_advance(scene, 33 * MS);
    }
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 5);
    payload[1] = payload[5] = payload[6] = 4;
    repair.index = 900;
    repair.timestamp = 12000;
    scene_send(scene, 0, &repair);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), declared ? 6 : 5);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtx_unwrapped), declared);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_unknown_source_dropped), !declared);
    scene_publish(scene); /* the next generation, and the next worker, know them as well */
    scene_restart(scene);
    packet.index = 7;
    payload[8] = 0x10;
    scene_send(scene, 0, &packet);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), declared ? 7 : 6);
    scene_close(scene);
}

static void test_a_gap_that_stays_is_given_up_with_a_key_frame(void)
{
    struct scene *scene = watched(SRTP_AEAD_AES_128_GCM);
    uint16_t lost[1000];
    camera(scene, 1, true);
    scene_flush(scene);
    scene_forget(scene);
    uint64_t index = 2;
    for (unsigned i = 0; i < 150; i++) { /* 3 s */
        index += i == 0;                 /* 2 never comes */
        camera(scene, index++, false);
        scene_advance(scene, 20 * MS);
    }
    unsigned asked = asked_of(scene, 0, lost);
    CHECK(asked >= 4 && asked <= NACK_TRIES);
    CHECK_EQUAL(scene_counter(scene, COUNTER_nacks_sent_packets), asked);
    CHECK_EQUAL(scene_counter(scene, COUNTER_gaps_given_up), 1);
    CHECK(scene_blocks(scene, 0, RTCP_PSFB, RTCP_FMT_PLI) >= 1);
    CHECK_EQUAL(scene->worker.recovery.gapped_count, 0);
    CHECK_EQUAL(scene->worker.recovery.due_ns, UINT64_MAX);
    scene_close(scene);
}

static void test_what_nobody_watches_is_not_asked_for(void)
{
    struct scene *scene = watched(SRTP_AEAD_AES_128_GCM);
    uint16_t lost[1000];
    camera(scene, 1, true); /* the thumbnail is watched, the full resolution is not */
    scene_vp8(scene, 0, "1", 2, 1, true, true, true, 300);
    scene_vp8(scene, 0, "1", 2, 5, false, true, true, 300);
    scene_advance(scene, 10 * MS);
    CHECK_EQUAL(asked_of(scene, 0, lost), 0);
    scene->sources[0].rtx_payload_type = 0; /* who has no RTX is asked for a key frame only */
    scene_publish(scene);
    camera(scene, 3, false);
    scene_forget(scene);
    scene_advance(scene, 10 * MS);
    scene_advance(scene, 300 * MS);
    CHECK_EQUAL(asked_of(scene, 0, lost), 0);
    CHECK_EQUAL(scene_blocks(scene, 0, RTCP_PSFB, RTCP_FMT_PLI), 2); /* one request, about both encodings that come */
    CHECK_EQUAL(scene_counter(scene, COUNTER_key_requests_sent), 1);
    scene_close(scene);
}

static void test_a_receiver_gets_what_it_misses(enum srtp_profile profile)
{
    struct scene *scene = watched(profile);
    struct received sent[10];
    for (uint64_t i = 0; i < 10; i++) {
        camera(scene, 65530 + i, i == 0);
        scene_advance(scene, 20 * MS);
        sent[i] = *scene_last(scene, 1, sink_ssrc(SINK));
    }
    scene_forget(scene);
    uint16_t lost[] = {(uint16_t)sent[3].index, (uint16_t)sent[8].index, (uint16_t)(sent[9].index + 5)};
    ask_for(scene, 1, SINK, lost, 3);
    ask_for(scene, 1, SINK, lost, 3); /* within the same round trip */
    CHECK_EQUAL(scene_packets(scene, 1, RTX_SSRC(SINK)), 2);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 0);
    CHECK_EQUAL(scene_packets(scene, 2, RTX_SSRC(SINK + 1)), 0);
    unsigned seen = 0;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        if (got->rtcp) continue;
        const struct received *original = &sent[seen++ ? 8 : 3];
        CHECK_EQUAL(got->payload_type, 121);
        CHECK_EQUAL(load_be16(got->payload), (uint16_t)original->index);
        CHECK_EQUAL(got->payload_length, original->payload_length + 2);
        CHECK_BYTES(got->payload + 2, original->payload, original->payload_length); /* picture id and TL0 as they went out */
        CHECK_EQUAL(got->timestamp, original->timestamp);
        CHECK_EQUAL(got->marker, original->marker);
        CHECK_EQUAL(got->csrc, 1000);
    }
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtx_sent), 2);
    scene_advance(scene, 150 * MS); /* it was lost again */
    ask_for(scene, 1, SINK, lost, 3);
    CHECK_EQUAL(scene_packets(scene, 1, RTX_SSRC(SINK)), 4);
    ask_for(scene, 2, SINK, lost, 3); /* not its slot */
    CHECK_EQUAL(scene_packets(scene, 2, RTX_SSRC(SINK + 1)) + scene_packets(scene, 2, RTX_SSRC(SINK)), 0);
    scene->sources[0].muted = 1; /* nothing of it any more, not even what was sent before */
    scene_publish(scene);
    scene_advance(scene, 150 * MS);
    ask_for(scene, 1, SINK, lost, 3);
    CHECK_EQUAL(scene_packets(scene, 1, RTX_SSRC(SINK)), 4);
    scene_close(scene);
}

static void test_without_a_retransmission_stream_there_is_no_answer(void)
{
    struct scene *scene = watched(SRTP_AEAD_AES_128_GCM);
    scene->sinks[SINK].rtx_payload_type = 0;
    scene_publish(scene);
    camera(scene, 1, true);
    camera(scene, 2, false);
    scene_flush(scene);
    uint16_t lost = (uint16_t)(scene_last(scene, 1, sink_ssrc(SINK))->index - 1);
    scene_forget(scene);
    ask_for(scene, 1, SINK, &lost, 1);
    CHECK_EQUAL(scene->received_count, 0);
    CHECK_EQUAL(scene_counter(scene, COUNTER_nacks_received), 1);
    scene_close(scene);
}

/* Around a switch of encodings: old numbers mean old packets, late packets find their place or are left out. */
static void test_reordering_around_a_switch(void)
{
    struct scene *scene = watched(SRTP_AEAD_AES_128_GCM);
    camera(scene, 1, true);
    camera(scene, 2, false);
    camera(scene, 3, false);
    scene_flush(scene);
    struct received old = *scene_last(scene, 1, sink_ssrc(SINK));
    scene_sink(scene, SINK, 1, 0, 2);
    scene_publish(scene);
    scene_advance(scene, 20 * MS);
    scene_vp8(scene, 0, "1", 2, 100, true, true, false, 400); /* 101 and the thumbnail's 4 are overtaken */
    scene_vp8(scene, 0, "1", 2, 102, false, true, true, 402);
    camera(scene, 4, false);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 5);
    scene_vp8(scene, 0, "1", 2, 101, false, false, true, 401);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 6);
    const struct received *late = scene_last(scene, 1, sink_ssrc(SINK));
    CHECK_EQUAL(late->payload_length, 401);
    CHECK_EQUAL(late->index, old.index + 2); /* 100 came directly behind the thumbnail's 3 */
    scene_forget(scene);
    uint16_t lost[] = {(uint16_t)old.index, (uint16_t)(old.index + 2)};
    ask_for(scene, 1, SINK, lost, 2);
    CHECK_EQUAL(scene->received_count, 2);
    CHECK_EQUAL(scene->received[0].payload_length, old.payload_length + 2);
    CHECK_BYTES(scene->received[0].payload + 2, old.payload, old.payload_length);
    CHECK_EQUAL(scene->received[0].timestamp, old.timestamp);
    CHECK_EQUAL(scene->received[1].payload_length, 403);
    scene_close(scene);
}

static void test_a_storm_of_requests_is_bounded(void)
{
    struct scene *scene = watched(SRTP_AEAD_AES_128_GCM);
    uint64_t index = 1;
    for (; index <= 300; index++) {
        camera(scene, index, index == 1);
        scene_advance(scene, 3 * MS);
    }
    uint16_t newest = (uint16_t)scene_last(scene, 1, sink_ssrc(SINK))->index;
    scene_forget(scene);
    for (unsigned i = 0; i < 10000; i++) { /* one second of 10,000 NACKs, each about 17 packets */
        uint16_t lost[17];
        for (unsigned k = 0; k < 17; k++) lost[k] = (uint16_t)(newest - (i * 17 + 16) % 250 + k);
        uint8_t compound[100];
        int at = rtcp_write_rr(compound, sizeof compound, 0x20001, NULL, 0);
        at += rtcp_write_nack(compound + at, sizeof compound - (size_t)at, 0x20001, sink_ssrc(SINK), lost, 17);
        scene_rtcp(scene, 1, compound, (size_t)at);
        if (i % 100 == 0) {
            camera(scene, index++, false);
            scene_advance(scene, 10 * MS);
        }
    }
    CHECK_EQUAL(scene_packets(scene, 2, sink_ssrc(SINK + 1)), 100); /* nobody else feels it */
    unsigned repaired = scene_packets(scene, 1, RTX_SSRC(SINK));
    CHECK(repaired >= 20 && repaired <= REPAIR_PACKETS_AT_ONCE + REPAIR_PACKETS_PER_SECOND);
    CHECK_EQUAL(scene_counter(scene, COUNTER_nacks_received), 10000);
    scene_close(scene);
}

static void test_indices_go_on_after_a_restart(void)
{
    struct scene *scene = watched(SRTP_AEAD_AES_128_GCM);
    uint64_t last = 0, index = 1;
    for (unsigned life = 0; life < 20; life++) {
        for (unsigned i = 0; i < 5; i++) camera(scene, index++, life == 0 && i == 0);
        scene_flush(scene);
        uint16_t lost = (uint16_t)(scene_last(scene, 1, sink_ssrc(SINK))->index - 2);
        scene_forget(scene);
        ask_for(scene, 1, SINK, &lost, 1);
        CHECK_EQUAL(scene->received_count, 1);
        CHECK(last == 0 || scene->received[0].index == last + 1);
        last = scene->received[0].index;
        scene_restart(scene);
        scene_forget(scene);
        ask_for(scene, 1, SINK, &lost, 1); /* the history is gone */
        CHECK_EQUAL(scene->received_count, 0);
        scene_advance(scene, 200 * MS);
    }
    scene_close(scene);
}

/* Padding of its own closes up where it can; where not, who asks gets an empty packet. */
static void test_late_padding_is_answered(void)
{
    struct scene *scene = watched(SRTP_AEAD_AES_128_GCM);
    struct packet padding = {.ssrc = video_ssrc(0, 0), .mid = "1", .rid = "t", .payload_type = 96, .padding = 200};
    camera(scene, 1, true);
    padding.index = 2;
    scene_send(scene, 0, &padding);
    camera(scene, 3, false);
    camera(scene, 5, false);
    padding.index = 4;
    scene_send(scene, 0, &padding);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 3);
    uint64_t newest = scene_last(scene, 1, sink_ssrc(SINK))->index, first = 0;
    for (uint32_t i = scene->received_count; i-- > 0;)
        if (scene->received[i].member == 1 && scene->received[i].ssrc == sink_ssrc(SINK))
            first = scene->received[i].index;
    CHECK_EQUAL(newest, first + 3);
    uint16_t lost = (uint16_t)(newest - 1);
    scene_forget(scene);
    ask_for(scene, 1, SINK, &lost, 1);
    CHECK_EQUAL(scene->received_count, 1);
    CHECK_EQUAL(scene->received[0].payload_length, 2);
    scene_close(scene);
}

int main(void)
{
    test_a_gap_is_asked_for_and_filled(SRTP_AEAD_AES_128_GCM);
    test_a_gap_is_asked_for_and_filled(SRTP_AES128_CM_SHA1_80);
    test_a_sender_of_declared_ssrcs(true);
    test_a_sender_of_declared_ssrcs(false);
    test_a_gap_that_stays_is_given_up_with_a_key_frame();
    test_a_repaired_key_frame_answers_the_requests_before_it();
    test_what_nobody_watches_is_not_asked_for();
    test_a_receiver_gets_what_it_misses(SRTP_AEAD_AES_128_GCM);
    test_a_receiver_gets_what_it_misses(SRTP_AES128_CM_SHA1_80);
    test_without_a_retransmission_stream_there_is_no_answer();
    test_reordering_around_a_switch();
    test_a_storm_of_requests_is_bounded();
    test_indices_go_on_after_a_restart();
    test_late_padding_is_answered();
    return 0;
}
