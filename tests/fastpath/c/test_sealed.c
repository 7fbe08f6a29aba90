/* Sealed sources (RFC 8723) through forward(): member 0 sends an audio source (4) and a camera (5), members 1 and 2 have sealed sinks, member 3 a
 * slot that must never get any of it. The inner layer is opaque here; tests/client opens it. */
#include <errno.h>

#include "bytes.h"
#include "check.h"
#include "scene.h"
#include "sealed.h"
#include "sealed_sending.h"

enum { AUDIO = 4, VIDEO = 5, AUDIO_SINK = 1, VIDEO_SINK = 2, OTHER_VIDEO_SINK = 3, SLOT = 6 };

static struct scene *scene_of_sealed(enum srtp_profile profile)
{
    struct scene *scene = scene_open(profile);
    for (uint32_t i = 0; i < 4; i++) scene_member(scene, i);
    scene_audio(scene, AUDIO, 0, "1");
    scene_video(scene, VIDEO, 0, "2");
    sealed_rows(scene, AUDIO, VIDEO);
    scene_sink(scene, AUDIO_SINK, 1, AUDIO, 0);
    scene_sink(scene, VIDEO_SINK, 1, VIDEO, 2);
    scene_sink(scene, OTHER_VIDEO_SINK, 2, VIDEO, 2);
    scene_sink(scene, SLOT, 3, VIDEO, 2); /* a mistake of control: no slot carries sealed packets */
    scene->sinks[AUDIO_SINK].sealed = scene->sinks[VIDEO_SINK].sealed =
        scene->sinks[OTHER_VIDEO_SINK].sealed = 1;
    scene->sinks[AUDIO_SINK].ssrc = AUDIO_SSRC;
    scene->sinks[VIDEO_SINK].ssrc = scene->sinks[OTHER_VIDEO_SINK].ssrc = VIDEO_SSRC;
    scene_publish(scene);
    scene_connect(scene);
    return scene;
}

static void test_the_ohb_restores_the_header_for_any_change(void)
{
    for (unsigned round = 0; round < 100000; round++) {
        struct ohb original = {(uint16_t)(round * 40503u), (uint8_t)(round * 31 & 0x7f), round >> 3 & 1}, found;
        uint8_t payload[24] = {0};
        ohb_write(payload + 20, &original);
        found = (struct ohb){(uint16_t)~original.sequence, (uint8_t)(~original.payload_type & 0x7f),
                             !original.marker};
        CHECK_EQUAL(ohb_read_untrusted(payload, 24, &found), 20);
        CHECK(found.sequence == original.sequence && found.payload_type == original.payload_type &&
              found.marker == original.marker);
    }
    static const struct {
        const char *bytes;
        int length;
        struct ohb found;
    } table[] = {/* of a header with sequence 7, payload type 96, marker 1 */
                 {"aa00", 1, {7, 96, 1}},
                 {"aa6002", 1, {7, 96, 1}},
                 {"aa0502", 1, {7, 5, 1}},
                 {"aa123401", 1, {0x1234, 96, 1}},
                 {"aa60123403", 1, {0x1234, 96, 1}},
                 {"aa6012340f", 1, {0x1234, 96, 1}},
                 {"aa04", 1, {7, 96, 0}},
                 {"aa0c", 1, {7, 96, 1}},
                 {"aa08", -EBADMSG, {0}},
                 {"aa10", -EBADMSG, {0}},
                 {"aa80", -EBADMSG, {0}},
                 {"aa8002", -EBADMSG, {0}},
                 {"", -EBADMSG, {0}},
                 {"02", -EBADMSG, {0}},
                 {"3401", -EBADMSG, {0}},
                 {"123403", -EBADMSG, {0}}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint8_t bytes[16];
        size_t length = hex_bytes(table[i].bytes, bytes);
        uint8_t *copy = exact_copy(bytes, length);
        struct ohb header = {7, 96, 1};
        CHECK_EQUAL(ohb_read_untrusted(copy, length, &header), table[i].length);
        if (table[i].length >= 0)
            CHECK(header.sequence == table[i].found.sequence && header.marker == table[i].found.marker &&
                  header.payload_type == table[i].found.payload_type);
        free(copy);
    }
}

static void test_what_a_sealed_packet_keeps(enum srtp_profile profile)
{
    struct scene *scene = scene_of_sealed(profile);
    static const struct {
        const char *ohb;
        uint16_t sequence;
        uint8_t payload_type, marker;
    } table[] = {{"00", 65534, 111, 0}, {"6002", 65535, 96, 0}, {"600007 0f", 7, 96, 1}, {"0c", 1, 111, 1}};
    for (unsigned i = 0; i < 4; i++) {
        char ohb[16] = {0};
        for (const char *c = table[i].ohb; *c; c++)
            if (*c != ' ') strncat(ohb, c, 1);
        sealed_audio(scene, 65534 + i, ohb);
        const struct received *got = scene_last(scene, 1, AUDIO_SSRC);
        CHECK(got != NULL);
        uint8_t wanted[110];
        sealed_payload(wanted, 100, "");
        ohb_write(wanted + 100, &(struct ohb){table[i].sequence, table[i].payload_type, table[i].marker});
        CHECK_EQUAL(got->payload_length, 104);
        CHECK_BYTES(got->payload, wanted, 104);
        CHECK_EQUAL(got->timestamp, (uint32_t)(65534 + i) * 960);
        CHECK_EQUAL(got->payload_type, 109);
        CHECK_EQUAL(got->padding, 1);
        CHECK_EQUAL(got->csrc_count, 2);
        CHECK_BYTES(got->csrcs, "\x11\x22\x33\x44\x55\x66\x77\x88", 8);
        CHECK_EQUAL(got->level, 30);
        CHECK_EQUAL(scene_packets(scene, 1, AUDIO_SSRC), i + 1);
    }
    /* The inner index is told: rollover 1 after the numbers 65534, 65535, 7, 1. */
    CHECK_EQUAL(scene->worker.state.sources[AUDIO].inner_next[0], 65536 + 7 + 1);
    CHECK(scene_told(scene, UPLINK_INNER_INDEX, 0) >= 1);
    CHECK_EQUAL(scene->refused, 0);
    scene_close(scene);
}

static void test_encodings_are_streams_of_their_own(void)
{
    struct scene *scene = scene_of_sealed(SRTP_AEAD_AES_128_GCM);
    uint64_t index[3] = {100, 200, 300}, last[3] = {0};
    uint16_t frame = 0;
    for (unsigned round = 0; round < 12; round++) {
        uint32_t wanted = round % 2 ? 0 : 2;
        scene->worker.sinks[VIDEO_SINK].encoding = (uint8_t)wanted;
        scene->worker.state.sinks[VIDEO_SINK].allocation.encoding = (uint8_t)wanted;
        for (unsigned k = 0; k < 4; k++, frame++) {
            scene->now += 33 * MS;
            for (uint32_t i = 0; i < 3; i++) { /* the wanted one first: until its key frame the other goes on */
                uint32_t e = (wanted + i) % 3;
                sealed_frame(scene, e, index[e], frame, k == 0);
                index[e] += 2;
            }
        }
        const struct received *got = scene_last(scene, 1, VIDEO_SSRC + wanted);
        CHECK(got != NULL);
        CHECK_EQUAL(got->timestamp, (uint32_t)(frame - 1) * 3000u);
        CHECK_EQUAL(got->csrc_count, 0);
        /* Contiguous on its SSRC, whatever was carried between. */
        if (last[wanted]) CHECK_EQUAL(got->index, last[wanted] + 8);
        last[wanted] = got->index;
        CHECK_EQUAL(scene_packets(scene, 1, VIDEO_SSRC + wanted), (round / 2 + 1) * 8);
        if (round == 7) scene_restart(scene);
    }
    CHECK_EQUAL(scene_packets(scene, 1, VIDEO_SSRC + 1), 0);
    /* The slot got nothing, of neither form. */
    for (uint32_t i = 0; i < scene->received_count; i++)
        CHECK(scene->received[i].member != 3 || scene->received[i].rtcp);
    CHECK_EQUAL(scene->refused, 0);
    scene_close(scene);
}

static void test_no_switch_without_a_descriptor(void)
{
    struct scene *scene = scene_of_sealed(SRTP_AEAD_AES_128_GCM);
    uint8_t payload[100];
    struct packet packet = {.ssrc = VIDEO_SSRC, .index = 1, .payload_type = 96, .payload = payload, .marker = 1};
    packet.length = sealed_payload(payload, 60, "00");
    scene_send(scene, 0, &packet);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, VIDEO_SSRC), 0);
    sealed_frame(scene, 0, 2, 1, true);
    CHECK_EQUAL(scene_packets(scene, 1, VIDEO_SSRC), 2);
    /* A running one goes on without it. */
    packet.index = 4;
    scene_send(scene, 0, &packet);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, VIDEO_SSRC), 3);
    scene_close(scene);
}

static void test_repairs(void)
{
    struct scene *scene = scene_of_sealed(SRTP_AEAD_AES_128_GCM);
    sealed_frame(scene, 2, 300, 1, true);
    sealed_frame(scene, 2, 302, 2, false);
    const struct received *first = NULL;
    for (uint32_t i = 0; i < scene->received_count && !first; i++)
        if (scene->received[i].member == 1 && scene->received[i].ssrc == VIDEO_SSRC + 2)
            first = &scene->received[i];
    CHECK(first != NULL);
    struct received original = *first;
    uint16_t lost[1] = {(uint16_t)original.index};
    uint8_t compound[100];
    int length = rtcp_write_nack(compound, sizeof compound, 9, VIDEO_SSRC + 2, lost, 1);
    CHECK(length > 0);
    uint8_t report[100];
    int at = rtcp_write_rr(report, sizeof report, 9, NULL, 0);
    memcpy(report + at, compound, (size_t)length);
    scene_rtcp(scene, 1, report, (size_t)(at + length));
    scene_advance(scene, MS);
    const struct received *got = scene_last(scene, 1, 0x60000 + VIDEO_SINK);
    CHECK(got != NULL);
    CHECK_EQUAL(got->payload_length, original.payload_length + 2);
    CHECK_EQUAL(load_be16(got->payload), (uint16_t)original.index);
    CHECK_BYTES(got->payload + 2, original.payload, original.payload_length);
    CHECK_EQUAL(got->timestamp, original.timestamp);
    /* A key frame is asked for by the SSRC of any encoding. */
    scene_forget(scene);
    length = rtcp_write_pli(compound, sizeof compound, 9, VIDEO_SSRC + 1);
    memcpy(report + at, compound, (size_t)length);
    scene->now += 1000 * MS;
    scene_rtcp(scene, 1, report, (size_t)(at + length));
    scene_advance(scene, 300 * MS);
    CHECK(scene_blocks(scene, 0, RTCP_PSFB, RTCP_FMT_PLI) >= 1);
    /* And upstream: 304 is lost, 305 comes, then 304 over the retransmission stream the source was given. */
    scene_forget(scene);
    uint8_t payload[300];
    struct packet packet = {
        .ssrc = VIDEO_SSRC + 2, .index = 305, .timestamp = 9000, .payload_type = 96, .payload = payload};
    packet.length = sealed_payload(payload, 150, "00");
    scene_send(scene, 0, &packet);
    scene_flush(scene);
    store_be16(payload, 304);
    packet = (struct packet){
        .ssrc = VIDEO_RTX + 2, .index = 5, .timestamp = 9000, .payload_type = 97, .payload = payload};
    packet.length = 2 + sealed_payload(payload + 2, 140, "00");
    scene_send(scene, 0, &packet);
    scene_flush(scene);
    got = scene_last(scene, 1, VIDEO_SSRC + 2);
    CHECK(got != NULL);
    CHECK_EQUAL(got->payload_length, 144);
    struct ohb header = {0};
    CHECK_EQUAL(ohb_read_untrusted(got->payload, got->payload_length, &header), 140);
    CHECK_EQUAL(header.sequence, 304);
    CHECK_EQUAL(scene->refused, 0);
    scene_close(scene);
}

static void test_other_ssrcs_and_spoilt_packets(void)
{
    struct scene *scene = scene_of_sealed(SRTP_AES128_CM_SHA1_80);
    uint8_t payload[200];
    struct packet packet = {.ssrc = 0x999, .index = 1, .mid = "1", .payload_type = 111, .payload = payload};
    packet.length = sealed_payload(payload, 100, "00");
    scene_send(scene, 0, &packet);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_unknown_source_dropped), 1);
    /* Every length, with every last byte. */
    packet = (struct packet){
        .ssrc = AUDIO_SSRC, .index = 1, .payload_type = 111, .payload = payload, .csrc_count = 15};
    unsigned whole = 0, sent = 0;
    for (size_t length = 0; length < 40; length++)
        for (unsigned last = 0; last < 256; last += length < 24 ? 1 : 17, sent++) {
            memset(payload, 0x55, length);
            if (length) payload[length - 1] = (uint8_t)last;
            packet.length = length;
            packet.index++;
            packet.inner_padding = last & 1;
            packet.csrc_count = (uint8_t)(last >> 4 & 15);
            struct ohb header = {0};
            whole += ohb_read_untrusted(payload, length, &header) >= 19;
            scene_send(scene, 0, &packet);
            scene_flush(scene);
        }
    CHECK_EQUAL(scene_packets(scene, 1, AUDIO_SSRC), whole);
    CHECK_EQUAL(scene_counter(scene, COUNTER_sealed_malformed_dropped), sent - whole);
    CHECK_EQUAL(scene->refused, 0);
    scene_close(scene);
}

/* A sealed sink is of one source for good: another's indices would say nothing of its SSRCs. */
static void test_a_sink_never_changes_its_source(void)
{
    struct scene *scene = scene_of_sealed(SRTP_AEAD_AES_128_GCM);
    sealed_audio(scene, 100, "00");
    CHECK_EQUAL(scene_packets(scene, 1, AUDIO_SSRC), 1);
    scene->sources[AUDIO].incarnation++;
    scene->sources[AUDIO].ssrc[0] = AUDIO_SSRC + 1;
    scene->sinks[AUDIO_SINK].source_incarnation++;
    scene_publish(scene);
    uint8_t payload[100];
    struct packet packet = {.ssrc = AUDIO_SSRC + 1, .index = 5, .payload_type = 111, .payload = payload};
    packet.length = sealed_payload(payload, 60, "00");
    scene_send(scene, 0, &packet);
    scene_flush(scene);
    CHECK_EQUAL(scene_packets(scene, 1, AUDIO_SSRC + 1), 0);
    CHECK(scene_counter(scene, COUNTER_rows_invalid_dropped) >= 1);
    scene_close(scene);
}

/* Encodings taken in turns, and deaths between the two stores of a switch: each index of each encoding once. */
static void test_no_index_of_any_encoding_comes_twice(void)
{
    static uint8_t used[LIMIT_ENCODINGS][1 << 16];
    memset(used, 0, sizeof used);
    struct projection copies[2] = {{0}, {0}};
    uint64_t words[LIMIT_ENCODINGS] = {0}, input_index[LIMIT_ENCODINGS] = {0}, state = 7;
    uint64_t *const parked[LIMIT_ENCODINGS] = {&words[0], &words[1], &words[2]};
    for (unsigned round = 0; round < 4000; round++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        struct projection_input input = {
            .source = 1, .source_incarnation = 1, .encoding = (uint8_t)(state >> 33) % 3};
        input.ssrc = 100 + input.encoding;
        input.index = input_index[input.encoding] += 1 + (state >> 40 & 1);
        struct projection_output output;
        const struct projection *current = projection_current(copies);
        if (projection_carries(current, &input) && state >> 50 & 3) {
            CHECK_EQUAL(projection_map(copies, &input, round * MS, &output), 0);
        } else {
            struct projection before[2] = {copies[0], copies[1]};
            CHECK_EQUAL(projection_begin_sealed(copies, parked, &input, 5, round * MS, &output), 0);
            if ((state >> 45 & 7) == 0) { /* died before the row that names the new encoding counted */
                memcpy(copies, before, sizeof before);
                continue;
            }
        }
        CHECK(output.index < sizeof used[0]);
        CHECK(!used[input.encoding][output.index]);
        used[input.encoding][output.index] = 1;
        CHECK_EQUAL(output.timestamp, input.timestamp);
    }
}

int main(void)
{
    test_no_index_of_any_encoding_comes_twice();
    test_the_ohb_restores_the_header_for_any_change();
    test_what_a_sealed_packet_keeps(SRTP_AEAD_AES_128_GCM);
    test_what_a_sealed_packet_keeps(SRTP_AES128_CM_SHA1_80);
    test_encodings_are_streams_of_their_own();
    test_no_switch_without_a_descriptor();
    test_repairs();
    test_other_ssrcs_and_spoilt_packets();
    test_a_sink_never_changes_its_source();
    return 0;
}
