/* Audio asked for again, both ways: the very same bytes, at most twice, once per round trip; and asked of senders that answer. */
#include "bytes.h"
#include "check.h"
#include "nack.h"
#include "resend.h"
#include "scene.h"

#define SINK 1 /* of member 1, for the microphone of member 0, source 0 */

/* Member 0 speaks, and answers NACKs or not; members 1 and 2 listen, of whom only 1 may ask again. */
static struct scene *heard(enum srtp_profile profile, bool answers)
{
    struct scene *scene = scene_open(profile);
    for (uint32_t member = 0; member < 3; member++) scene_member(scene, member);
    scene_audio(scene, 0, 0, "0");
    scene->sources[0].resends = answers;
    for (uint32_t sink = SINK; sink < SINK + 2; sink++) {
        scene_sink(scene, sink, sink, 0, 0);
        scene->sinks[sink].kind = SOURCE_AUDIO;
        scene->sinks[sink].clock_rate = 48000;
        scene->sinks[sink].rtx_payload_type = 0;
        scene->sinks[sink].rtx_ssrc = 0;
    }
    scene->sinks[SINK].resend = 1;
    scene_publish(scene);
    scene_connect(scene);
    return scene;
}

static void ask_for(struct scene *scene, uint32_t member, uint32_t ssrc, const uint16_t *lost, unsigned count)
{
    uint8_t compound[1200];
    int at = rtcp_write_rr(compound, sizeof compound, 0x20000 + member, NULL, 0);
    at += rtcp_write_nack(compound + at, sizeof compound - (size_t)at, 0x20000 + member, ssrc, lost, count);
    scene_rtcp(scene, member, compound, (size_t)at);
}

/* The network loses what stands in the slab. */
static void lose(struct scene *scene)
{ egress_clear(&scene->worker.egress); }

/* What stands in the slab for a member, the `which`th packet: its length. */
static size_t in_slab(const struct scene *scene, uint32_t member, unsigned which, uint8_t *bytes)
{
    const struct egress *egress = &scene->worker.egress;
    for (uint32_t i = 0; i < egress->destination_count; i++) {
        uint32_t packet = egress->destinations[i].first;
        if (egress->destinations[i].transport != member || !egress->destinations[i].count) continue;
        for (; packet != TABLE_NONE; packet = egress->packets[packet].next)
            if (!which--) {
                memcpy(bytes, egress->slab + egress->packets[packet].offset, egress->packets[packet].length);
                return egress->packets[packet].length;
            }
    }
    return 0;
}

static void test_the_same_bytes_go_again(enum srtp_profile profile)
{
    struct scene *scene = heard(profile, true);
    uint8_t first[3][1500], again[1500];
    size_t length[3];
    uint16_t sequence = 0;
    for (unsigned i = 0; i < 3; i++) {
        scene_opus(scene, 0, "0", 10 + i);
        length[i] = in_slab(scene, 1, 0, first[i]);
        CHECK(length[i] > 80);
        if (i == 1) sequence = load_be16(first[i] + 2);
        i == 1 ? lose(scene) : scene_flush(scene);
        scene_advance(scene, 20 * MS);
    }
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 2);
    scene_advance(scene, 100 * MS); /* the round trip is not known */
    ask_for(scene, 1, sink_ssrc(SINK), &sequence, 1);
    CHECK_EQUAL(in_slab(scene, 1, 0, again), length[1]);
    CHECK_EQUAL(memcmp(again, first[1], length[1]), 0);
    CHECK_EQUAL(in_slab(scene, 1, 1, again), 0);
    lose(scene);
    ask_for(scene, 1, sink_ssrc(SINK), &sequence, 1);
    CHECK_EQUAL(in_slab(scene, 1, 0, again), 0); /* not twice in a round trip */
    scene_advance(scene, 100 * MS);
    ask_for(scene, 1, sink_ssrc(SINK), &sequence, 1);
    CHECK_EQUAL(in_slab(scene, 1, 0, again), length[1]);
    CHECK_EQUAL(memcmp(again, first[1], length[1]), 0);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 3);
    scene_advance(scene, 100 * MS);
    ask_for(scene, 1, sink_ssrc(SINK), &sequence, 1);
    CHECK_EQUAL(in_slab(scene, 1, 0, again), 0); /* and not for ever */
    CHECK_EQUAL(scene_counter(scene, COUNTER_audio_sent_again), RESEND_TIMES);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtx_sent), 0);
    scene_close(scene);
}

static void test_who_did_not_agree_gets_nothing_again(void)
{
    struct scene *scene = heard(SRTP_AEAD_AES_128_GCM, true);
    uint8_t bytes[1500];
    scene_opus(scene, 0, "0", 10);
    CHECK(in_slab(scene, 2, 0, bytes) > 0);
    uint16_t sequence = load_be16(bytes + 2);
    scene_flush(scene);
    scene_advance(scene, 200 * MS);
    ask_for(scene, 2, sink_ssrc(SINK + 1), &sequence, 1);
    CHECK_EQUAL(in_slab(scene, 2, 0, bytes), 0);
    /* Nor what another was sent: member 2 names the slot of member 1. */
    ask_for(scene, 2, sink_ssrc(SINK), &sequence, 1);
    CHECK_EQUAL(in_slab(scene, 1, 0, bytes), 0);
    CHECK_EQUAL(in_slab(scene, 2, 0, bytes), 0);
    scene_close(scene);
}

/* A slot that passed to another incarnation has another meaning; numbers out of the ring are gone; a storm costs what is kept. */
static void test_only_what_is_kept(void)
{
    struct scene *scene = heard(SRTP_AEAD_AES_128_GCM, true);
    uint8_t bytes[1500];
    uint16_t sequences[RESEND_PACKETS + 8];
    for (unsigned i = 0; i < RESEND_PACKETS + 8; i++) {
        scene_opus(scene, 0, "0", 10 + i);
        CHECK(in_slab(scene, 1, 0, bytes) > 0);
        sequences[i] = load_be16(bytes + 2);
        lose(scene);
        scene_advance(scene, 20 * MS);
    }
    scene_advance(scene, 200 * MS);
    scene_forget(scene);
    ask_for(scene, 1, sink_ssrc(SINK), sequences, 8);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 0);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtx_not_kept), 8);
    ask_for(scene, 1, sink_ssrc(SINK), sequences, RESEND_PACKETS + 8); /* only so many numbers are looked up */
    scene_flush(scene);
    CHECK_EQUAL(scene_counter(scene, COUNTER_audio_sent_again), RESEND_PACKETS - 8);
    scene->sinks[SINK].incarnation++;
    scene_publish(scene);
    scene_advance(scene, 200 * MS);
    ask_for(scene, 1, sink_ssrc(SINK), sequences + 8, RESEND_PACKETS);
    scene_flush(scene);
    CHECK_EQUAL(scene_counter(scene, COUNTER_audio_sent_again), RESEND_PACKETS - 8);
    scene_close(scene);
}

/* Numbers that NACKs sent to member 0 asked for. */
static unsigned asked(const struct scene *scene, uint16_t *lost)
{
    unsigned found = 0;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        struct rtcp_block block;
        size_t offset = 0;
        if (got->member != 0 || !got->rtcp) continue;
        while (rtcp_next_untrusted(got->payload, got->payload_length, &offset, &block) == 1) {
            struct rtcp_feedback feedback;
            if (block.type != RTCP_RTPFB || rtcp_feedback_untrusted(&block, &feedback) != 0)
                continue;
            for (int k = 0; k < rtcp_nack_untrusted(&feedback); k++) {
                uint16_t first;
                uint32_t mask;
                rtcp_nack_entry(&feedback, (unsigned)k, &first, &mask);
                CHECK_EQUAL(feedback.media, audio_ssrc(0));
                for (; mask; mask &= mask - 1)
                    lost[found++] = (uint16_t)(first + __builtin_ctz(mask));
            }
        }
    }
    return found;
}

static void test_a_sender_that_answers_is_asked(bool answers)
{
    struct scene *scene = heard(SRTP_AEAD_AES_128_GCM, answers);
    uint16_t lost[1000];
    scene_opus(scene, 0, "0", 10);
    scene_advance(scene, 20 * MS);
    scene_opus(scene, 0, "0", 12);
    scene_flush(scene);
    scene_advance(scene, NACK_GUARD_NS);
    CHECK_EQUAL(asked(scene, lost), answers ? 1 : 0);
    if (answers) CHECK_EQUAL(lost[0], 11);
    scene_opus(scene, 0, "0", 11); /* the packet itself */
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, sink_ssrc(SINK)), 3);
    CHECK_EQUAL(scene_packets(scene, 2, sink_ssrc(SINK + 1)), 3);
    CHECK_EQUAL(scene_counter(scene, COUNTER_gaps_filled), answers ? 1 : 0);
    /* What never comes is asked for a second at most, and never ends in a key frame. */
    scene_opus(scene, 0, "0", 20);
    for (unsigned i = 0; i < 100; i++) scene_advance(scene, 20 * MS);
    scene_forget(scene);
    for (unsigned i = 0; i < 50; i++) scene_advance(scene, 20 * MS);
    CHECK_EQUAL(asked(scene, lost), 0);
    CHECK_EQUAL(scene_counter(scene, COUNTER_key_requests_sent), 0);
    CHECK_EQUAL(scene->refused, 0);
    scene_close(scene);
}

int main(void)
{
    test_the_same_bytes_go_again(SRTP_AEAD_AES_128_GCM);
    test_the_same_bytes_go_again(SRTP_AES128_CM_SHA1_80);
    test_who_did_not_agree_gets_nothing_again();
    test_only_what_is_kept();
    test_a_sender_that_answers_is_asked(true);
    test_a_sender_that_answers_is_asked(false);
    return 0;
}
