/* The packet's way through a worker, without sockets: who is answered, what is forwarded, and what changes nothing. */
#include "bytes.h"
#include "check.h"
#include "scene.h"

/* Members 0 to 2, each with microphone (source 2m, mid 0) and camera (source 2m+1, mid 1). */
static struct scene *three(enum srtp_profile profile)
{
    struct scene *scene = scene_open(profile);
    for (uint32_t member = 0; member < 3; member++) {
        scene_member(scene, member);
        scene_audio(scene, member * 2, member, "0");
        scene_video(scene, member * 2 + 1, member, "1");
    }
    uint32_t sink = 0;
    for (uint32_t to = 0; to < 3; to++)
        for (uint32_t from = 0; from < 3; from++)
            if (from != to) {
                scene_sink(scene, sink++, to, from * 2, 0);
                scene_sink(scene, sink++, to, from * 2 + 1, 0);
            }
    scene_publish(scene);
    return scene;
}

static void test_check_is_answered_to_where_it_came_from(void)
{
    struct scene *scene = three(SRTP_AEAD_AES_128_GCM);
    scene_check(scene, 1, false);
    scene_flush(scene);
    CHECK_EQUAL(scene->received_count, 1);
    CHECK(scene->received[0].stun);
    CHECK_EQUAL(scene->received[0].port, 10001);
    CHECK_EQUAL(load_be16(scene->received[0].payload), 0x0101);
    CHECK_EQUAL(scene_told(scene, UPLINK_CONNECTED, 1), 1);
    CHECK_EQUAL(scene->told[0].incarnation, 2);
    scene_check(scene, 1, true);
    scene_flush(scene);
    CHECK_EQUAL(scene_told(scene, UPLINK_CONNECTED, 1), 1); /* told once */
    scene_close(scene);
}

static void test_media_follows_the_nominated_address(void)
{
    struct scene *scene = three(SRTP_AEAD_AES_128_GCM);
    scene_connect(scene);
    scene_opus(scene, 0, "0", 1);
    scene_flush(scene);
    CHECK_EQUAL(scene_last(scene, 1, sink_ssrc(4))->port, 10001);
    scene->members[1].port = 20001; /* another address checks, without nominating itself */
    scene_check(scene, 1, false);
    scene_opus(scene, 0, "0", 2);
    scene_flush(scene);
    CHECK_EQUAL(scene_last(scene, 1, sink_ssrc(4))->port, 10001);
    CHECK_EQUAL(scene_told(scene, UPLINK_PATH_CHANGED, 1), 0);
    scene_check(scene, 1, true);
    scene_opus(scene, 0, "0", 3);
    scene_flush(scene);
    CHECK_EQUAL(scene_last(scene, 1, sink_ssrc(4))->port, 20001);
    CHECK_EQUAL(scene_told(scene, UPLINK_PATH_CHANGED, 1), 1);
    scene_opus(scene, 1, "0", 1); /* from the new address it may send too */
    scene_flush(scene);
    CHECK_EQUAL(scene_counter(scene, COUNTER_unknown_address_dropped), 0);
    CHECK(scene_last(scene, 0, sink_ssrc(0)) != NULL);
    for (uint16_t port = 30000; port < 30010; port++) { /* more addresses than are remembered: the selected one stays */
        scene->members[1].port = port;
        scene_check(scene, 1, false);
    }
    scene_opus(scene, 0, "0", 4);
    scene_flush(scene);
    CHECK_EQUAL(scene_last(scene, 1, sink_ssrc(4))->port, 20001);
    scene_close(scene);
}

static void test_audio_and_video_reach_the_others(enum srtp_profile profile)
{
    struct scene *scene = three(profile);
    scene_connect(scene);
    for (uint64_t i = 0; i < 50; i++) {
        scene_opus(scene, 0, "0", 65500 + i);
        scene_vp8(scene, 0, "1", 0, 65510 + i, i == 0, true, true, 1000);
        scene_advance(scene, 20 * MS);
    }
    for (uint32_t member = 1; member < 3; member++) {
        uint32_t audio = member == 1 ? sink_ssrc(4) : sink_ssrc(8), video = audio + 1;
        CHECK_EQUAL(scene_packets(scene, member, audio), 50);
        CHECK_EQUAL(scene_packets(scene, member, video), 50);
        const struct received *last = scene_last(scene, member, audio);
        CHECK_EQUAL(last->csrc, 1000);
        CHECK_EQUAL(last->level, 0x9e);
        CHECK_EQUAL(last->payload_type, 109);
        last = scene_last(scene, member, video);
        CHECK_EQUAL(last->payload_type, 120);
        CHECK_EQUAL(last->marker, 1);
        CHECK_EQUAL(last->payload_length, 1000);
        uint64_t next = 0;
        for (uint32_t i = 0; i < scene->received_count; i++)
            if (scene->received[i].member == member && scene->received[i].ssrc == video) {
                CHECK(!next || scene->received[i].index == next);
                next = scene->received[i].index + 1;
            }
    }
    CHECK_EQUAL(scene_packets(scene, 0, sink_ssrc(0)), 0);
    CHECK_EQUAL(scene_told(scene, UPLINK_SOURCE_LIVE, 0), 2);
    CHECK_EQUAL(scene_told(scene, UPLINK_SINK_SWITCHED, 1), 2);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_forwarded), 200);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_forwarded_audio), 100);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_forwarded_video), 100);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_received_bytes_audio) +
                    scene_counter(scene, COUNTER_rtp_received_bytes_video),
                scene_counter(scene, COUNTER_rtp_received_bytes));
    scene_close(scene);
}

static void test_mute_and_unsubscribe_stop_at_once(void)
{
    struct scene *scene = three(SRTP_AEAD_AES_128_GCM);
    scene_connect(scene);
    scene_vp8(scene, 0, "1", 0, 1, true, true, true, 500);
    scene_vp8(scene, 0, "1", 0, 2, false, true, true, 500);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(5)), 2);
    scene->sources[1].muted = 1;
    scene_publish(scene);
    scene_vp8(scene, 0, "1", 0, 3, true, true, true, 500);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(5)), 2);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_muted_dropped), 1);
    scene->sources[1].muted = 0;
    scene_publish(scene);
    scene_vp8(scene, 0, "1", 0, 4, false, true, true, 500); /* begins again with a key frame only */
    scene_vp8(scene, 0, "1", 0, 5, true, true, true, 500);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(5)), 3);
    scene_sink(scene, 5, 1, TABLE_NONE, 0);
    scene_publish(scene);
    scene_vp8(scene, 0, "1", 0, 6, true, true, true, 500);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(5)), 3);
    CHECK_EQUAL(scene_packets(scene, 2, sink_ssrc(9)), 4);
    scene_close(scene);
}

static void test_consent_expires(void)
{
    struct scene *scene = three(SRTP_AEAD_AES_128_GCM);
    scene_connect(scene);
    uint64_t start = scene->now, index = 1;
    /* RFC 7675: 30 s from when it was sent, so that a check may be on its way for a while, and so may the last packet. */
    CHECK(LIMIT_CONSENT_NS <= 29800 * MS && LIMIT_CONSENT_NS >= 28000 * MS);
    while (scene->now - start < LIMIT_CONSENT_NS - 100 * MS) { /* members 0 and 2 go on checking, 1 has gone */
        scene_check(scene, 0, true);
        scene_check(scene, 2, true);
        scene_opus(scene, 0, "0", index++);
        scene_advance(scene, 100 * MS);
    }
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(4)), index - 1);
    scene->now = start + LIMIT_CONSENT_NS; /* before any timer ran */
    scene_opus(scene, 0, "0", index++);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(4)), index - 2);
    CHECK_EQUAL(scene_packets(scene, 2, sink_ssrc(8)), index - 1);
    scene_advance(scene, 250 * MS);
    CHECK_EQUAL(scene_told(scene, UPLINK_CONSENT_EXPIRED, 1), 1);
    CHECK_EQUAL(scene_told(scene, UPLINK_CONSENT_EXPIRED, 0), 0);
    scene_forget(scene);
    scene_advance(scene, 1000 * MS);
    for (uint32_t i = 0; i < scene->received_count; i++) CHECK(scene->received[i].member != 1);
    scene_check(scene, 1, true); /* it was a tunnel */
    scene_opus(scene, 0, "0", index++);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(4)), 1);
    CHECK_EQUAL(scene_told(scene, UPLINK_CONNECTED, 1), 1);
    scene_close(scene);
}

static void test_dtls_goes_both_ways(void)
{
    struct scene *scene = three(SRTP_AEAD_AES_128_GCM);
    uint8_t dtls[100] = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 87};
    scene_datagram(scene, 10001, dtls, sizeof dtls);
    CHECK_EQUAL(scene_counter(scene, COUNTER_unknown_address_dropped), 1);
    scene_connect(scene);
    scene_datagram(scene, 10001, dtls, sizeof dtls);
    scene_flush(scene);
    CHECK_EQUAL(scene_told(scene, UPLINK_DTLS, 1), 1);
    struct {
        struct uplink_head head;
        uint8_t payload[104];
    } down = {{.kind = DOWNLINK_DTLS, .transport = 1, .incarnation = 2, .length = 104}, {22, 0xfe, 0xfd}};
    CHECK_EQUAL(worker_downlink_untrusted(&scene->worker, &down, sizeof down, scene->now), DOWNLINK_DONE);
    scene_flush(scene);
    CHECK_EQUAL(scene->received_count, 1);
    CHECK(scene->received[0].dtls && scene->received[0].port == 10001 && scene->received[0].payload_length == 104);
    down.head.incarnation = 3;
    worker_downlink_untrusted(&scene->worker, &down, sizeof down, scene->now);
    for (size_t length = 0; length < sizeof down; length++)
        CHECK_EQUAL(worker_downlink_untrusted(&scene->worker, &down, length, scene->now), DOWNLINK_DONE);
    CHECK_EQUAL(scene_counter(scene, COUNTER_downlink_invalid_dropped), sizeof down + 1);
    scene_flush(scene);
    CHECK_EQUAL(scene->received_count, 1);
    scene_close(scene);
}

/* One member cannot fill the queue to control that all share. */
static void test_dtls_of_one_member_is_rationed(void)
{
    struct scene *scene = three(SRTP_AEAD_AES_128_GCM);
    uint8_t dtls[100] = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 87};
    scene_connect(scene);
    for (unsigned i = 0; i < 3 * LIMIT_DTLS_PER_SCAN; i++)
        scene_datagram(scene, 10001, dtls, sizeof dtls);
    CHECK_EQUAL(scene_counter(scene, COUNTER_dtls_up), LIMIT_DTLS_PER_SCAN);
    CHECK_EQUAL(scene_counter(scene, COUNTER_dtls_limited_dropped), 2 * LIMIT_DTLS_PER_SCAN);
    scene_datagram(scene, 10000, dtls, sizeof dtls); /* another's is taken */
    CHECK_EQUAL(scene_counter(scene, COUNTER_dtls_up), LIMIT_DTLS_PER_SCAN + 1);
    scene->now += LIMIT_SCAN_NS;
    scene_datagram(scene, 10001, dtls, sizeof dtls); /* and its own a moment later */
    CHECK_EQUAL(scene_counter(scene, COUNTER_dtls_up), LIMIT_DTLS_PER_SCAN + 2);
    scene_close(scene);
}

/* Bytes of every state row but the counters. */
static uint32_t state_print(const struct scene *scene)
{
    const uint8_t *rows = (const uint8_t *)scene->worker.state.transports;
    return row_check(rows - 4, (size_t)((const uint8_t *)scene->state + scene->state_size - rows));
}

static void test_bad_datagrams_change_nothing(void)
{
    struct scene *scene = three(SRTP_AEAD_AES_128_GCM);
    scene_connect(scene);
    scene_opus(scene, 0, "0", 1);
    scene_flush(scene);
    scene_forget(scene);
    uint32_t before = state_print(scene);
    uint64_t random = 99;
    uint8_t bytes[1600], request[300];
    struct packet opus = {
        .ssrc = audio_ssrc(0), .index = 2, .payload_type = 111, .payload = bytes, .length = 80, .mid = "0"};
    size_t stun = stun_request_make(&scene->transports[1].ice[0], true, request);
    for (size_t length = 0; length <= 1500; length++) { /* garbage of every length, from strangers and from a member */
        random_fill(&random, bytes, length);
        for (unsigned first = 0; first < 256; first += 1 + (unsigned)(random_next(&random) % 40)) {
            if (length) bytes[0] = (uint8_t)first;
            scene_datagram(scene, 4000, bytes, length);
            if (first < 20 || first > 63) /* what looks like DTLS goes to control, as it should */
                scene_datagram(scene, 10000, bytes, length);
        }
    }
    for (size_t length = 0; length < stun; length++) scene_datagram(scene, 4000, request, length);
    for (size_t bit = 0; bit < stun * 8; bit++) {
        request[bit / 8] ^= (uint8_t)(1 << bit % 8);
        scene_datagram(scene, 4000, request, stun);
        request[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    struct ice_credentials guessed = scene->transports[1].ice[0];
    guessed.local_pwd[0] ^= 1;
    scene_datagram(scene, 4000, request, stun_request_make(&guessed, true, request));
    size_t good = scene_make(scene, 0, &opus, bytes);
    scene_datagram(scene, 4000, bytes, good); /* right in every way, from the wrong address */
    for (size_t length = 0; length < good; length++) scene_datagram(scene, 10000, bytes, length);
    for (size_t bit = 0; bit < good * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        scene_datagram(scene, 10000, bytes, good);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    scene_datagram(scene, 10001, bytes, good); /* another member's packet */
    scene_flush(scene);
    CHECK_EQUAL(scene->received_count, 0);
    CHECK_EQUAL(scene->told_count, 0);
    CHECK_EQUAL(state_print(scene), before);
    CHECK_EQUAL(scene_counter(scene, COUNTER_stun_unauthenticated_dropped), 1);
    CHECK(scene_counter(scene, COUNTER_unknown_address_dropped) > 1000);
    CHECK(scene_counter(scene, COUNTER_rtp_unauthenticated_dropped) > 100);
    scene_datagram(scene, 10000, bytes, good);
    scene_flush(scene);
    CHECK_EQUAL(scene->received_count, 2);
    uint64_t replayed = scene_counter(scene, COUNTER_rtp_replayed_dropped);
    scene_datagram(scene, 10000, bytes, good); /* a second time */
    scene_flush(scene);
    CHECK_EQUAL(scene->received_count, 2);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_replayed_dropped), replayed + 1);
    scene_close(scene);
}

static void test_a_member_cannot_take_anothers_address(void)
{
    struct scene *scene = three(SRTP_AEAD_AES_128_GCM);
    scene_connect(scene);
    scene->members[2].port = 10001; /* member 2 forges member 1's address */
    scene_check(scene, 2, true);
    scene->members[2].port = 10002;
    scene_opus(scene, 1, "0", 1);
    scene_opus(scene, 0, "0", 1);
    scene_flush(scene);
    CHECK_EQUAL(scene_last(scene, 1, sink_ssrc(4))->port, 10001);
    CHECK_EQUAL(scene_last(scene, 2, sink_ssrc(8))->port, 10002);
    CHECK(scene_last(scene, 0, sink_ssrc(0)) != NULL);
    CHECK_EQUAL(scene_counter(scene, COUNTER_stun_address_taken_dropped), 1);
    scene_close(scene);
}

static void test_ssrcs_belong_to_one_source(void)
{
    struct scene *scene = three(SRTP_AEAD_AES_128_GCM);
    scene_connect(scene);
    uint8_t payload[50] = {0};
    struct packet packet = {.ssrc = 1, .index = 1, .payload_type = 111, .payload = payload, .length = 50};
    scene_send(scene, 0, &packet); /* says no mid */
    packet.mid = "9";
    scene_send(scene, 0, &packet); /* a mid nobody declared */
    packet.mid = "1";
    packet.payload_type = 96;
    scene_send(scene, 0, &packet); /* video without its rid */
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_unknown_source_dropped), 3);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_received), 0);
    packet.mid = "0";
    packet.payload_type = 111;
    for (uint32_t ssrc = 1; ssrc < 40; ssrc++) { /* a member that changes its SSRC for ever: bounded */
        packet.ssrc = ssrc;
        scene_send(scene, 0, &packet);
    }
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_received), LIMIT_RX_SSRCS);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_ssrc_limit_dropped), 39 - LIMIT_RX_SSRCS);
    scene_flush(scene);
    packet.ssrc = 1; /* a replay of the first SSRC stays one */
    scene_send(scene, 0, &packet);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_replayed_dropped), 1);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(4)), LIMIT_RX_SSRCS);
    scene_close(scene);
}

int main(void)
{
    test_check_is_answered_to_where_it_came_from();
    test_media_follows_the_nominated_address();
    test_audio_and_video_reach_the_others(SRTP_AEAD_AES_128_GCM);
    test_audio_and_video_reach_the_others(SRTP_AEAD_AES_256_GCM);
    test_audio_and_video_reach_the_others(SRTP_AES128_CM_SHA1_80);
    test_mute_and_unsubscribe_stop_at_once();
    test_consent_expires();
    test_dtls_goes_both_ways();
    test_dtls_of_one_member_is_rationed();
    test_bad_datagrams_change_nothing();
    test_a_member_cannot_take_anothers_address();
    test_ssrcs_belong_to_one_source();
    return 0;
}
