/* Transport-wide feedback through a whole worker: senders that number their packets are told of them, others hear nothing. */
#include "bytes.h"
#include "check.h"
#include "scene.h"
#include "transport_cc.h"

#define TRANSPORT_CC_EXT 5
#define PACKETS 400

/* Members 0 and 1 send a camera to nobody; only the first negotiated the extension. */
static struct scene *numbered(void)
{
    struct scene *scene = scene_open(SRTP_AEAD_AES_128_GCM);
    for (uint32_t member = 0; member < 2; member++) {
        scene_member(scene, member);
        scene_video(scene, member, member, "1");
    }
    scene->transports[0].ext.transport_cc = TRANSPORT_CC_EXT;
    scene_publish(scene);
    scene_connect(scene);
    return scene;
}

/* A packet of the member's thumbnail, or of its retransmissions, with a transport-wide number; `padding` alone is a probe. */
static size_t make(struct scene *scene, uint32_t member, uint64_t index, uint16_t number,
                   bool repair, bool padding, uint8_t *out)
{
    uint8_t clear[64] = {(uint8_t)(padding ? 0xb0 : 0x90), (uint8_t)(repair ? 97 : 96)};
    store_be16(clear + 2, (uint16_t)index);
    store_be32(clear + 8, repair ? 0x70000 + member : video_ssrc(member, 0));
    store_be16(clear + 12, 0xbede);
    store_be16(clear + 14, 2);
    const uint8_t elements[8] = {MID_EXT << 4, '1', (uint8_t)((repair ? REPAIRED_EXT : RID_EXT) << 4),
                                 't', TRANSPORT_CC_EXT << 4 | 1};
    for (size_t i = 0; i < sizeof elements; i++) clear[16 + i] = elements[i];
    store_be16(clear + 21, number);
    uint8_t payload[20] = {0x10, 0x01};
    if (padding) payload[19] = 20;
    for (size_t i = 0; i < 24; i++) out[i] = clear[i];
    int length = srtp_protect(&scene->members[member].tx, index, out, 1700, 24, payload, sizeof payload);
    CHECK(length > 0);
    return (size_t)length;
}

static void send_numbered(struct scene *scene, uint32_t member, uint64_t index, uint16_t number,
                          bool repair, bool padding)
{
    uint8_t out[1800];
    size_t length = make(scene, member, index, number, repair, padding, out);
    scene_datagram(scene, scene->members[member].port, out, length);
}

struct told {
    unsigned messages, lost, received;
    int32_t gap_ticks[PACKETS]; /* of a received one since the one before, within one message */
    unsigned gaps;
    uint16_t first, last;
    uint32_t media;
};

/* Takes apart all feedback the member got, and forgets it. */
static struct told heard(struct scene *scene, uint32_t member)
{
    struct told told = {0};
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        struct rtcp_block block;
        size_t offset = 0;
        if (got->member != member || !got->rtcp) continue;
        CHECK_EQUAL(load_be32(got->payload + 4), 0x90000 + member); /* our own SSRC stands first */
        while (rtcp_next_untrusted(got->payload, got->payload_length, &offset, &block) == 1) {
            struct rtcp_feedback feedback;
            struct transport_cc_reader reader;
            struct transport_cc_status status;
            if (block.type != RTCP_RTPFB || block.count != RTCP_FMT_TRANSPORT_CC) continue;
            CHECK_EQUAL(rtcp_feedback_untrusted(&block, &feedback), 0);
            CHECK_EQUAL(feedback.sender, 0x90000 + member);
            CHECK_EQUAL(transport_cc_parse_untrusted(&feedback, &reader), 0);
            told.media = feedback.media;
            told.messages++;
            for (int32_t before = -1; transport_cc_next(&reader, &status);) {
                if (!told.received && !told.lost) told.first = status.sequence;
                told.last = status.sequence;
                told.lost += !status.received;
                told.received += status.received;
                if (!status.received) continue;
                if (before >= 0) told.gap_ticks[told.gaps++] = status.ticks - before;
                before = status.ticks;
            }
        }
    }
    scene_forget(scene);
    return told;
}

static void test_arrivals_are_told(void)
{
    struct scene *scene = numbered();
    for (uint32_t i = 0; i < PACKETS / 2; i++) { /* one in 5 ms; every tenth is lost; the numbers wrap */
        if (i % 10 != 3) send_numbered(scene, 0, 1 + i, (uint16_t)(65500 + i), false, false);
        scene_flush(scene);
        CHECK(worker_sleep_ns(&scene->worker, scene->now) <= TRANSPORT_CC_LONGEST_NS);
        scene_advance(scene, 5 * MS);
    }
    struct told told = heard(scene, 0);
    CHECK(told.messages >= 10 && told.messages <= 20); /* 1 s, one in 50 to 100 ms */
    CHECK_EQUAL(scene_counter(scene, COUNTER_transport_cc_sent), told.messages);
    CHECK_EQUAL(told.first, 65500);
    CHECK_EQUAL(told.media, video_ssrc(0, 0));
    unsigned covered = (uint16_t)(told.last - told.first) + 1u;
    CHECK(covered >= PACKETS / 2 - 20);
    CHECK_EQUAL(told.received + told.lost, covered);
    CHECK(told.lost >= covered / 10 - 1 && told.lost <= covered / 10 + 1);
    for (unsigned i = 0; i < told.gaps; i++)
        CHECK(told.gap_ticks[i] == 20 || told.gap_ticks[i] == 40);
    scene_advance(scene, 200 * MS); /* the rest; then there is nothing to say */
    scene_forget(scene);
    scene_advance(scene, 500 * MS);
    CHECK_EQUAL(heard(scene, 0).messages, 0);
    CHECK(scene->worker.arrival_reports.due_ns == UINT64_MAX);
    scene_close(scene);
}

static void test_every_kind_of_packet_counts(void)
{
    struct scene *scene = numbered();
    send_numbered(scene, 0, 500, 7, true, false); /* of a retransmission stream, while nothing else came */
    scene_advance(scene, 100 * MS);
    struct told told = heard(scene, 0);
    CHECK_EQUAL(told.media, 0x70000);
    send_numbered(scene, 0, 1, 8, false, false);
    send_numbered(scene, 0, 2, 9, false, true);   /* padding on the media stream */
    send_numbered(scene, 0, 501, 10, true, true); /* a probe */
    scene_advance(scene, 100 * MS);
    told = heard(scene, 0);
    CHECK_EQUAL(told.received, 3);
    CHECK_EQUAL(told.lost, 0);
    CHECK_EQUAL(told.media, video_ssrc(0, 0)); /* the newest packet's was a retransmission stream's */
    scene_close(scene);
}

static void test_only_what_authenticated_and_was_negotiated(void)
{
    struct scene *scene = numbered();
    uint8_t out[1800];
    size_t length = make(scene, 0, 1, 1, false, false, out);
    out[length - 1] ^= 1;
    scene_datagram(scene, scene->members[0].port, out, length);
    for (uint32_t i = 0; i < 50; i++) {
        send_numbered(scene, 1, 1 + i, (uint16_t)i, false, false);
        scene_advance(scene, 5 * MS);
    }
    CHECK_EQUAL(heard(scene, 0).messages + heard(scene, 1).messages, 0);
    CHECK_EQUAL(scene_counter(scene, COUNTER_transport_cc_sent), 0);
    send_numbered(scene, 0, 2, 2, false, false);
    send_numbered(scene, 0, 2, 2, false, false); /* seen before */
    scene_advance(scene, 100 * MS);
    struct told told = heard(scene, 0);
    CHECK_EQUAL(told.messages, 1);
    CHECK_EQUAL(told.received, 1);
    CHECK_EQUAL(told.first, 2);
    scene_close(scene);
}

static void test_a_successor_and_another_occupant_begin_anew(void)
{
    struct scene *scene = numbered();
    send_numbered(scene, 0, 1, 100, false, false);
    scene_restart(scene);
    send_numbered(scene, 0, 2, 105, false, false);
    scene_advance(scene, 100 * MS);
    struct told told = heard(scene, 0);
    CHECK_EQUAL(told.first, 105); /* nothing before it is called lost */
    CHECK_EQUAL(told.received, 1);
    send_numbered(scene, 0, 3, 110, false, false); /* untold when its sender is exchanged */
    scene->transports[0].incarnation++;
    scene->sources[0].incarnation++;
    scene->sources[0].transport_incarnation++;
    scene_publish(scene);
    scene_flush(scene);
    scene_forget(scene);
    scene_advance(scene, 300 * MS);
    CHECK_EQUAL(heard(scene, 0).messages, 0);
    scene_check(scene, 0, true);
    scene->members[0].rtcp_state[0] = (struct srtcp_rx_state){0}; /* the key is the same, the index begins anew */
    send_numbered(scene, 0, 4, 500, false, false);
    scene_advance(scene, 100 * MS);
    told = heard(scene, 0);
    CHECK_EQUAL(told.first, 500);
    CHECK_EQUAL(told.received + told.lost, 1);
    scene_close(scene);
}

/* A worker that was busy for 40 ms finds four packets that came 10 ms apart; a fifth has a time that cannot be. */
static void test_what_waited_in_the_kernel_did_not_wait_in_the_network(void)
{
    struct scene *scene = numbered();
    uint64_t came = scene->now;
    scene_advance(scene, 40 * MS);
    for (uint32_t i = 0; i < 5; i++) {
        uint8_t bytes[1800];
        struct datagram in = {
            .bytes = bytes,
            .length = make(scene, 0, 1 + i, (uint16_t)i, false, false, bytes),
            .arrived_ns = i < 4 ? came + i * 10 * MS : scene->now + 3600000 * MS,
            .remote = {.family = 4, .port = scene->members[0].port, .address = {192, 0, 2, 1}}};
        forward(&scene->worker, &in, scene->now);
    }
    scene_advance(scene, 200 * MS);
    struct told told = heard(scene, 0);
    CHECK_EQUAL(told.received, 5);
    CHECK_EQUAL(told.gaps, 4);
    for (unsigned i = 0; i < 4; i++) CHECK_EQUAL(told.gap_ticks[i], 40);
    scene_close(scene);
}

static void test_without_consent_nothing_is_said(void)
{
    struct scene *scene = numbered();
    scene_advance(scene, LIMIT_CONSENT_NS + 1000 * MS);
    scene_forget(scene);
    for (uint32_t i = 0; i < 50; i++) {
        send_numbered(scene, 0, 1 + i, (uint16_t)i, false, false);
        scene_advance(scene, 5 * MS);
    }
    CHECK_EQUAL(heard(scene, 0).messages, 0);
    scene_advance(scene, 200 * MS);
    CHECK(scene->worker.arrival_reports.due_ns == UINT64_MAX); /* nobody is woken for it */
    scene_close(scene);
}

int main(void)
{
    test_arrivals_are_told();
    test_every_kind_of_packet_counts();
    test_only_what_authenticated_and_was_negotiated();
    test_a_successor_and_another_occupant_begin_anew();
    test_what_waited_in_the_kernel_did_not_wait_in_the_network();
    test_without_consent_nothing_is_said();
    return 0;
}
