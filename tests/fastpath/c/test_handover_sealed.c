/* Sealed sources of one worker given to receivers of another. Member 0 of worker 0 sends an audio source (4) and a camera (5) sealed, which are 10 and 11 on
 * worker 1, whose member 1 has a sealed sink for each and member 2 a slot that must never get any of it. */
#include "bytes.h"
#include "check.h"
#include "handover_messages.h"
#include "sealed.h"
#include "sealed_sending.h"
#include "spread.h"

enum {
    AUDIO = 4,
    VIDEO = 5,
    FAR_AUDIO = 10,
    FAR_VIDEO = 11,
    AUDIO_SINK = 1,
    VIDEO_SINK = 2,
    SLOT = 3
};

static struct spread *two_workers(enum srtp_profile profile)
{
    struct spread *spread = spread_open(profile);
    struct scene *near = spread->at[0], *far = spread->at[1];
    scene_member(near, 0);
    scene_audio(near, AUDIO, 0, "1");
    scene_video(near, VIDEO, 0, "2");
    sealed_rows(near, AUDIO, VIDEO);
    spread_source(spread, 0, AUDIO, FAR_AUDIO);
    spread_source(spread, 0, VIDEO, FAR_VIDEO);
    for (uint32_t member = 1; member < 3; member++) scene_member(far, member);
    scene_sink(far, AUDIO_SINK, 1, FAR_AUDIO, 0);
    scene_sink(far, VIDEO_SINK, 1, FAR_VIDEO, 2);
    scene_sink(far, SLOT, 2, FAR_VIDEO, 2);
    far->sinks[AUDIO_SINK].sealed = far->sinks[VIDEO_SINK].sealed = 1;
    far->sinks[AUDIO_SINK].ssrc = AUDIO_SSRC;
    far->sinks[VIDEO_SINK].ssrc = VIDEO_SSRC;
    spread_publish(spread);
    for (unsigned i = 0; i < 2; i++) scene_connect(spread->at[i]);
    spread_pump(spread);
    spread_forget(spread);
    return spread;
}

static void test_they_come_as_they_were_made(enum srtp_profile profile)
{
    struct spread *spread = two_workers(profile);
    struct scene *far = spread->at[1];
    static const char *const ohbs[] = {"00", "6002", "6000070f", "0c"};
    static const struct ohb restored[] = {{65534, 111, 0}, {65535, 96, 0}, {7, 96, 1}, {1, 111, 1}};
    for (unsigned i = 0; i < 4; i++) {
        sealed_audio(spread->at[0], 65534 + i, ohbs[i]);
        spread_pump(spread);
        const struct received *got = scene_last(far, 1, AUDIO_SSRC);
        CHECK(got != NULL);
        uint8_t wanted[110];
        sealed_payload(wanted, 100, "");
        ohb_write(wanted + 100, &restored[i]);
        CHECK_EQUAL(got->payload_length, 104);
        CHECK_BYTES(got->payload, wanted, 104);
        CHECK_EQUAL(got->timestamp, (uint32_t)(65534 + i) * 960);
        CHECK_EQUAL(got->padding, 1);
        CHECK_EQUAL(got->csrc_count, 2);
        CHECK_BYTES(got->csrcs, "\x11\x22\x33\x44\x55\x66\x77\x88", 8);
        CHECK_EQUAL(got->level, 30);
        CHECK_EQUAL(scene_packets(far, 1, AUDIO_SSRC), i + 1);
    }
    /* Where the inner stream stands, its home alone tells. */
    CHECK(scene_told(spread->at[0], UPLINK_INNER_INDEX, 0) >= 1);
    CHECK_EQUAL(scene_told(far, UPLINK_INNER_INDEX, 0), 0);
    CHECK_EQUAL(scene_counter(far, COUNTER_handover_invalid_dropped), 0);
    CHECK_EQUAL(far->refused, 0);
    spread_close(spread);
}

static void want(struct scene *far, uint8_t encoding)
{
    far->worker.sinks[VIDEO_SINK].encoding = encoding;
    far->worker.state.sinks[VIDEO_SINK].allocation.encoding = encoding;
}

static void test_encodings_are_streams_of_their_own_over_a_kill(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *near = spread->at[0], *far = spread->at[1];
    uint64_t index[3] = {100, 200, 300}, last[3] = {0};
    uint16_t frame = 0;
    for (unsigned round = 0; round < 8; round++) {
        uint8_t wanted = round % 2 ? 0 : 2;
        want(far, wanted);
        for (unsigned k = 0; k < 4; k++, frame++) {
            near->now += 33 * MS;
            far->now += 33 * MS;
            for (uint32_t i = 0; i < 3; i++) { /* the wanted one first: until its key frame the other goes on */
                uint32_t e = (wanted + i) % 3;
                sealed_frame(near, e, index[e], frame, k == 0);
                index[e] += 2;
                spread_pump(spread);
                want(far, wanted);
            }
        }
        const struct received *got = scene_last(far, 1, VIDEO_SSRC + wanted);
        CHECK(got != NULL);
        CHECK_EQUAL(got->timestamp, (uint32_t)(frame - 1) * 3000u);
        if (last[wanted]) CHECK_EQUAL(got->index, last[wanted] + 8);
        last[wanted] = got->index;
        CHECK_EQUAL(scene_packets(far, 1, VIDEO_SSRC + wanted), (round / 2 + 1) * 8);
        if (round == 3) spread_restart(spread, 1);
        if (round == 5) spread_restart(spread, 0);
    }
    for (uint32_t i = 0; i < far->received_count; i++)
        CHECK(far->received[i].member != 2 || far->received[i].rtcp);
    CHECK_EQUAL(near->refused + far->refused, 0);
    spread_close(spread);
}

/* One is lost on the ring, one on the way to the receiver: the first its worker asks the other for, the second it has. */
static void test_repairs_and_key_requests_cross(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *near = spread->at[0], *far = spread->at[1];
    want(far, 0);
    sealed_frame(near, 0, 300, 1, true);
    spread_pump(spread);
    CHECK_EQUAL(scene_packets(far, 1, VIDEO_SSRC), 2);
    sealed_frame(near, 0, 302, 2, false);
    CHECK_EQUAL(spread_lose(spread, 1), HANDOVER_PACKET);
    spread_pump(spread);
    for (unsigned i = 0; i < 10; i++) {
        sealed_frame(near, 0, 304 + 2 * i, (uint16_t)(3 + i), false);
        spread_advance(spread, 20 * MS);
    }
    CHECK_EQUAL(scene_packets(far, 1, VIDEO_SSRC), 24);
    CHECK_EQUAL(scene_blocks(near, 0, RTCP_RTPFB, RTCP_FMT_NACK), 0);
    const struct received *last = scene_last(far, 1, VIDEO_SSRC);
    CHECK(last != NULL);
    struct received original = *last;
    uint16_t lost[1] = {(uint16_t)original.index};
    uint8_t report[200];
    int at = rtcp_write_rr(report, sizeof report, 9, NULL, 0);
    int length = rtcp_write_nack(report + at, sizeof report - (size_t)at, 9, VIDEO_SSRC, lost, 1);
    CHECK(at > 0 && length > 0);
    scene_rtcp(far, 1, report, (size_t)(at + length));
    spread_advance(spread, 20 * MS);
    const struct received *again = scene_last(far, 1, 0x60000 + VIDEO_SINK);
    CHECK(again != NULL);
    CHECK_EQUAL(load_be16(again->payload), (uint16_t)original.index);
    CHECK_BYTES(again->payload + 2, original.payload, original.payload_length);
    spread_advance(spread, 1000 * MS);
    spread_forget(spread);
    length = rtcp_write_pli(report + at, sizeof report - (size_t)at, 9, VIDEO_SSRC + 1);
    scene_rtcp(far, 1, report, (size_t)(at + length));
    spread_advance(spread, 300 * MS);
    CHECK(scene_blocks(near, 0, RTCP_PSFB, RTCP_FMT_PLI) >= 1);
    CHECK_EQUAL(near->refused + far->refused, 0);
    spread_close(spread);
}

/* The first packet of a key frame, which alone says that it is one, is lost on the ring: whoever waits for it has another one asked for, at once. */
static void test_a_key_frame_lost_between_workers_is_asked_for_again(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *near = spread->at[0], *far = spread->at[1];
    want(far, 0);
    sealed_frame(near, 0, 300, 1, true);
    spread_pump(spread);
    CHECK_EQUAL(scene_packets(far, 1, VIDEO_SSRC), 2);
    spread_advance(spread, 1000 * MS);
    spread_forget(spread);
    want(far, 2);
    sealed_frame(near, 2, 700, 2, true);
    CHECK_EQUAL(spread_lose(spread, 1), HANDOVER_PACKET);
    spread_pump(spread);
    want(far, 2);
    sealed_frame(near, 2, 702, 3, false);
    spread_pump(spread);
    CHECK(scene_blocks(near, 0, RTCP_PSFB, RTCP_FMT_PLI) >= 1);
    CHECK_EQUAL(scene_packets(far, 1, VIDEO_SSRC + 2), 0);
    want(far, 2);
    sealed_frame(near, 2, 704, 4, true);
    spread_pump(spread);
    CHECK_EQUAL(scene_packets(far, 1, VIDEO_SSRC + 2), 2);
    CHECK_EQUAL(near->refused + far->refused, 0);
    spread_close(spread);
}

/* Handed over again, it says what it was: a place to begin, as if it had come at once. */
static void test_a_repaired_key_frame_is_known_as_one(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *near = spread->at[0], *far = spread->at[1];
    const struct encoding_state *there = &far->worker.state.sources[FAR_VIDEO].encodings[0];
    want(far, 0);
    sealed_frame(near, 0, 300, 1, true);
    spread_pump(spread);
    spread_advance(spread, 100 * MS);
    uint64_t first = there->last_key_frame_ns;
    CHECK(first != 0);
    sealed_frame(near, 0, 302, 2, true);
    CHECK_EQUAL(spread_lose(spread, 1), HANDOVER_PACKET);
    spread_pump(spread);
    CHECK_EQUAL(there->last_key_frame_ns, first);
    for (unsigned i = 0; i < 10; i++) {
        sealed_frame(near, 0, 304 + 2 * i, (uint16_t)(3 + i), false);
        spread_advance(spread, 20 * MS);
    }
    CHECK(there->last_key_frame_ns > first);
    CHECK_EQUAL(scene_packets(far, 1, VIDEO_SSRC), 24);
    CHECK_EQUAL(near->refused + far->refused, 0);
    spread_close(spread);
}

/* Records that no home of ours writes. */
static void test_spoilt_records(void)
{
    struct spread *spread = two_workers(SRTP_AEAD_AES_128_GCM);
    struct scene *far = spread->at[1];
    struct ring_writer writer = handover_writer(&spread->at[0]->worker.handover->rings, 0, 1);
    for (unsigned flags = 0; flags < 256; flags += HANDOVER_SEALED)
        for (uint16_t length = 0; length < 90; length++) {
            struct handover_packet packet = {.head = {.kind = HANDOVER_PACKET,
                                                      .flags = (uint8_t)flags,
                                                      .source = AUDIO,
                                                      .incarnation = spread->at[0]->sources[AUDIO].incarnation,
                                                      .ssrc = AUDIO_SSRC + (length == 89)},
                                             .index = 1000 + flags * 100 + length,
                                             .written_ns = far->now,
                                             .arrived_ns = far->now,
                                             .payload_length = length};
            uint8_t *out = ring_reserve(&writer, (uint32_t)(sizeof packet + length), LIMIT_HANDOVER_BYTES);
            CHECK(out != NULL);
            memcpy(out, &packet, sizeof packet);
            memset(out + sizeof packet, 0x5a, length);
            ring_commit(&writer);
            uint64_t before = scene_counter(far, COUNTER_handover_invalid_dropped);
            spread_pump(spread);
            bool whole = length >= sealed_csrcs((uint8_t)(flags / HANDOVER_SEALED)) + SEALED_TAG +
                                       SEALED_KEY_ID + SEALED_OHB;
            CHECK_EQUAL(scene_counter(far, COUNTER_handover_invalid_dropped) - before, !whole || length == 89);
        }
    CHECK_EQUAL(far->refused, 0);
    spread_close(spread);
}

int main(void)
{
    test_they_come_as_they_were_made(SRTP_AEAD_AES_128_GCM);
    test_they_come_as_they_were_made(SRTP_AES128_CM_SHA1_80);
    test_encodings_are_streams_of_their_own_over_a_kill();
    test_repairs_and_key_requests_cross();
    test_a_key_frame_lost_between_workers_is_asked_for_again();
    test_a_repaired_key_frame_is_known_as_one();
    test_spoilt_records();
    return 0;
}
