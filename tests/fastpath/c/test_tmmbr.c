/* The clamp's ways to a sender by RTCP: REMB at once and then repeated, TMMBR until a TMMBN answers. */
#include "bytes.h"
#include "check.h"
#include "compounds.h"
#include "scene.h"
#include "tmmbr.h"

/* Member 0 sends two encodings of a camera; nobody watches. */
static struct scene *sender(bool tmmbr)
{
    struct scene *scene = scene_open(SRTP_AES128_CM_SHA1_80);
    scene_member(scene, 0);
    scene_member(scene, 1);
    scene_video(scene, 0, 0, "1");
    scene->sources[0].tmmbr = tmmbr;
    scene_publish(scene);
    scene_connect(scene);
    scene_vp8(scene, 0, "1", 0, 1, true, true, true, 300);
    scene_vp8(scene, 0, "1", 2, 1, true, true, true, 300);
    scene_advance(scene, 1200 * MS); /* the reports that a new encoding brings are over */
    scene_forget(scene);
    return scene;
}

/* The newest feedback block of this kind that member 0 got. */
static bool newest(const struct scene *scene, uint8_t type, uint8_t format, struct rtcp_feedback *feedback)
{
    bool found = false;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        struct rtcp_block block;
        size_t offset = 0;
        if (!got->rtcp || got->member) continue;
        while (rtcp_next_untrusted(got->payload, got->payload_length, &offset, &block) == 1)
            if (block.type == type && block.count == format)
                found = rtcp_feedback_untrusted(&block, feedback) == 0;
    }
    return found;
}

static unsigned requests(const struct scene *scene)
{ return scene_blocks(scene, 0, RTCP_RTPFB, RTCP_FMT_TMMBR); }

static void test_remb_at_once_and_then_with_the_reports(void)
{
    struct scene *scene = sender(false);
    struct rtcp_feedback feedback;
    uint32_t rate;
    uint8_t ssrcs;
    CHECK(compound_send_remb(&scene->worker, 0, 700000, scene->now));
    scene_flush(scene);
    CHECK(newest(scene, RTCP_PSFB, RTCP_FMT_REMB, &feedback));
    CHECK_EQUAL(rtcp_remb_untrusted(&feedback, &rate, &ssrcs), 0);
    CHECK(rate <= 700000 && rate > 699990);
    CHECK_EQUAL(ssrcs, 2);
    CHECK_EQUAL(load_be32(feedback.fci + 8), video_ssrc(0, 0));
    CHECK_EQUAL(load_be32(feedback.fci + 12), video_ssrc(0, 2));
    scene_forget(scene);
    scene_advance(scene, 1200 * MS); /* the clamp said nothing: what control wants */
    CHECK(newest(scene, RTCP_PSFB, RTCP_FMT_REMB, &feedback));
    CHECK_EQUAL(rtcp_remb_untrusted(&feedback, &rate, &ssrcs), 0);
    CHECK(rate <= 2000000 && rate > 1999900);
    scene->worker.state.transports[0].remb.told_bps = 700000;
    scene_advance(scene, 1200 * MS);
    CHECK(newest(scene, RTCP_PSFB, RTCP_FMT_REMB, &feedback));
    CHECK_EQUAL(rtcp_remb_untrusted(&feedback, &rate, &ssrcs), 0);
    CHECK(rate <= 700000 && rate > 699990);
    scene_restart(scene); /* what was said is said again by a successor */
    scene_forget(scene);
    scene_advance(scene, 1200 * MS);
    CHECK(newest(scene, RTCP_PSFB, RTCP_FMT_REMB, &feedback));
    CHECK_EQUAL(rtcp_remb_untrusted(&feedback, &rate, &ssrcs), 0);
    CHECK(rate <= 700000);
    CHECK(!compound_send_remb(&scene->worker, 1, 700000, scene->now)); /* sends nothing that could be named */
    scene_close(scene);
}

/* A TMMBN of the stream `ssrc` with one entry, or with none. */
static void answer(struct scene *scene, uint32_t ssrc, const struct rtcp_tmmb_entry *entry)
{
    uint8_t bytes[100];
    int length = rtcp_write_rr(bytes, sizeof bytes, ssrc, NULL, 0);
    length += rtcp_write_tmmbr(bytes + length, 60, RTCP_FMT_TMMBN, ssrc, entry, entry != NULL);
    scene_rtcp(scene, 0, bytes, (size_t)length);
}

static void test_tmmbr_names_the_encoding_and_its_rate(void)
{
    struct scene *scene = sender(true);
    struct rtcp_feedback feedback;
    struct rtcp_tmmb_entry entry;
    CHECK(compound_send_tmmbr(&scene->worker, 0, 2, 1234567, scene->now));
    scene_flush(scene);
    CHECK(newest(scene, RTCP_RTPFB, RTCP_FMT_TMMBR, &feedback));
    CHECK_EQUAL(feedback.sender, 0x90000);
    CHECK_EQUAL(rtcp_tmmbn_untrusted(&feedback), 1);
    rtcp_tmmb_entry(&feedback, 0, &entry);
    CHECK_EQUAL(entry.ssrc, video_ssrc(0, 2));
    CHECK(entry.bits_per_second <= 1234567 && entry.bits_per_second > 1234567 - 16);
    CHECK_EQUAL(entry.overhead, 20 + 8 + 12 + 12);
    CHECK(!compound_send_tmmbr(&scene->worker, 0, 1, 1234567, scene->now)); /* nothing of it came yet */
    CHECK(!compound_send_tmmbr(&scene->worker, 0, 3, 1234567, scene->now)); /* no such encoding */
    CHECK(!compound_send_tmmbr(&scene->worker, 1, 0, 1234567, scene->now)); /* no such source */
    scene_close(scene);
    scene = sender(false);
    CHECK(!compound_send_tmmbr(&scene->worker, 0, 2, 1234567, scene->now)); /* not negotiated */
    scene_close(scene);
}

static void test_it_is_repeated_until_it_is_answered(void)
{
    struct rtcp_tmmb_entry ours = {.ssrc = 0x90000, .bits_per_second = 1234567};
    struct rtcp_tmmb_entry other = {.ssrc = 0x90001, .bits_per_second = 1234567};
    struct rtcp_tmmb_entry former = {.ssrc = 0x90000, .bits_per_second = 999999};
    static const char *const what[] = {"silence",       "nobody limits it", "somebody else does",
                                       "an older rate", "another encoding", "an answer"};
    for (unsigned i = 0; i < 6; i++) {
        struct scene *scene = sender(true);
        CHECK(compound_send_tmmbr(&scene->worker, 0, 2, 1234567, scene->now));
        uint32_t stream = video_ssrc(0, i == 4 ? 0 : 2);
        if (i) answer(scene, stream, i == 1 ? NULL : i == 2 ? &other : i == 3 ? &former : &ours);
        for (int second = 0; second < 12; second++) {
            scene_check(scene, 0, true);
            scene_advance(scene, 1000 * MS);
        }
        unsigned wanted = i == 5 ? 1 : TMMBR_TRIES;
        if (requests(scene) != wanted) fprintf(stderr, "%s:\n", what[i]);
        CHECK_EQUAL(requests(scene), wanted);
        scene_close(scene);
    }
}

static void test_a_newer_rate_takes_the_place(void)
{
    struct scene *scene = sender(true);
    struct rtcp_feedback feedback;
    struct rtcp_tmmb_entry entry;
    CHECK(compound_send_tmmbr(&scene->worker, 0, 0, 100000, scene->now));
    CHECK(compound_send_tmmbr(&scene->worker, 0, 2, 1000000, scene->now));
    CHECK(compound_send_tmmbr(&scene->worker, 0, 2, 900000, scene->now));
    scene_flush(scene);
    scene_forget(scene);
    scene_advance(scene, 1200 * MS);
    CHECK_EQUAL(requests(scene), 1); /* both encodings in one */
    CHECK(newest(scene, RTCP_RTPFB, RTCP_FMT_TMMBR, &feedback));
    CHECK_EQUAL(rtcp_tmmbn_untrusted(&feedback), 2);
    rtcp_tmmb_entry(&feedback, 1, &entry);
    CHECK_EQUAL(entry.ssrc, video_ssrc(0, 2));
    CHECK(entry.bits_per_second <= 900000 && entry.bits_per_second > 899990);
    scene->sources[0].incarnation = 99; /* another camera under the same handle was asked for nothing */
    scene_publish(scene);
    scene_forget(scene);
    scene_advance(scene, 1200 * MS);
    CHECK_EQUAL(requests(scene), 0);
    scene_close(scene);
}

/* TMMBN of every length and any content, authentic: it may end a repetition, and does nothing else. */
static void test_any_notification(void)
{
    struct scene *scene = sender(true);
    uint64_t random = 5;
    for (size_t fci = 0; fci <= 200; fci++) {
        for (int round = 0; round < 20; round++) {
            uint8_t bytes[300];
            size_t words = (8 + fci + 3) / 4;
            random_fill(&random, bytes, sizeof bytes);
            rtcp_write_rr(bytes, 8, video_ssrc(0, 2), NULL, 0);
            bytes[8] = 0x80 | (round & 1 ? RTCP_FMT_TMMBN : RTCP_FMT_TMMBR);
            bytes[9] = RTCP_RTPFB;
            store_be16(bytes + 10, (uint16_t)words);
            store_be32(bytes + 12, round & 2 ? video_ssrc(0, 2) : (uint32_t)random_next(&random));
            if (round & 4 && fci >= 4) store_be32(bytes + 20, 0x90000);
            if (round & 8) CHECK(compound_send_tmmbr(&scene->worker, 0, 2, random, scene->now));
            scene_rtcp(scene, 0, bytes, 12 + words * 4);
            scene_flush(scene);
            scene_forget(scene);
        }
    }
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtcp_unauthenticated_dropped), 0);
    scene_close(scene);
}

int main(void)
{
    test_remb_at_once_and_then_with_the_reports();
    test_tmmbr_names_the_encoding_and_its_rate();
    test_it_is_repeated_until_it_is_answered();
    test_a_newer_rate_takes_the_place();
    test_any_notification();
    return 0;
}
