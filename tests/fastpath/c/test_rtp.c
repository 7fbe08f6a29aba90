/* RTP, demultiplexing and payload descriptors with exact copies on the heap: whatever the bytes, nothing beyond them is read. */
#include <errno.h>

#include "bytes.h"
#include "check.h"
#include "demux.h"
#include "payload.h"
#include "rtp.h"

static const struct extension_ids IDS = {
    .mid = 1, .rid = 2, .repaired_rid = 3, .audio_level = 4, .abs_send_time = 5, .transport_cc = 6, .dependency_descriptor = 7};

/* Every reader over these bytes; what they find must lie within. */
static void read_all(const uint8_t *bytes, size_t length)
{
    uint8_t *packet = exact_copy(bytes, length);
    int kind = demux_untrusted(packet, length);
    CHECK(kind == -EINVAL || (kind >= DEMUX_STUN && kind <= DEMUX_RTCP));

    struct rtp_header header;
    if (rtp_parse_untrusted(packet, length, &header) == 0) {
        CHECK(header.payload_offset <= length);
        CHECK(header.extension_offset + header.extension_length <= header.payload_offset);
        int padding = rtp_padding_untrusted(packet, length, &header);
        CHECK(padding == -EBADMSG || padding + header.payload_offset <= (int)length);

        struct rtp_extensions found;
        int result = rtp_extensions_read_untrusted(packet, &header, &IDS, &found);
        CHECK(result == 0 || result == -EBADMSG);
        const struct rtp_field fields[] = {
            found.mid,           found.rid,          found.repaired_rid,         found.audio_level,
            found.abs_send_time, found.transport_cc, found.dependency_descriptor};
        for (int i = 0; i < 7; i++) {
            char text[LIMIT_MID];
            CHECK(fields[i].offset + fields[i].length <= header.payload_offset);
            int letters = rtp_text_untrusted(packet, fields[i], text, sizeof text);
            CHECK(letters == -EBADMSG || letters == fields[i].length);
        }
        for (unsigned id = 0; id < 256; id++) {
            struct rtp_field field;
            if (rtp_extension_find(packet, &header, (uint8_t)id, &field) > 0)
                CHECK(field.offset + field.length <= header.payload_offset);
        }
    }

    for (int codec = CODEC_OPUS; codec <= CODEC_AV1; codec++) {
        int key = payload_key_start_untrusted((enum codec)codec, packet, length);
        CHECK(key == 0 || key == 1 || key == -EBADMSG);
    }
    struct vp8_descriptor descriptor;
    if (vp8_parse_untrusted(packet, length, &descriptor) == 0) {
        CHECK(descriptor.length < length);
        vp8_rewrite(packet, &descriptor, descriptor.picture_id, descriptor.tl0);
        CHECK_BYTES(packet, bytes, length);
        vp8_rewrite(packet, &descriptor, 0x7fff, 0xff);
    }
    free(packet);
}

/* Bytes of chance that begin as packets do, so that the readers get past the first check. */
static void chance(uint64_t *state, uint8_t *bytes, size_t length)
{
    random_fill(state, bytes, length);
    uint64_t choice = random_next(state);
    if (length < 20 || choice % 4 == 0) return;
    bytes[0] = (uint8_t)(0x80 | (choice >> 8 & 0x33)); /* few CSRCs */
    size_t at = 12 + (size_t)(bytes[0] & 15) * 4;
    if (at + 4 > length) return;
    store_be16(bytes + at, choice >> 16 & 1 ? 0xbede : (uint16_t)(0x1000 | (choice >> 20 & 15)));
    store_be16(bytes + at + 2, (uint16_t)((length - at - 4) / 4 * (choice >> 24 & 1)));
    for (size_t i = at + 4; i < length; i += 1 + (random_next(state) & 3)) bytes[i] &= 0x73;
}

static void test_any_bytes_of_every_length(void)
{
    uint64_t state = 2359;
    uint8_t bytes[1600];
    for (size_t length = 0; length <= 1500; length++) {
        for (int round = 0; round < (length < 64 ? 1000 : 20); round++) {
            chance(&state, bytes, length);
            read_all(bytes, length);
        }
    }
}

static void test_every_cut_of_a_full_header(void)
{
    static const uint8_t mid[] = "0123456789abcdef", csrcs[60] = {1};
    struct rtp_outgoing outgoing = {
        .timestamp = 1,
        .ssrc = 2,
        .csrc = 3,
        .sequence = 4,
        .payload_type = 96,
        .audio_level_id = 4,
        .abs_send_time_id = 5,
        .transport_cc_id = 6,
        .mid_id = 1,
        .mid_length = 16,
        .mid = (const char *)mid,
        .csrc_count = 15,
        .csrcs = csrcs,
    };
    for (int two_byte = 0; two_byte < 2; two_byte++) {
        outgoing.audio_level_id = two_byte ? 200 : 4;
        uint8_t *packet = malloc(RTP_HEADER_MAX), bytes[RTP_HEADER_MAX];
        size_t length = rtp_header_write(packet, &outgoing);
        CHECK_EQUAL(length, two_byte ? RTP_HEADER_MAX : RTP_HEADER_MAX - 4);
        memcpy(bytes, packet, length);
        free(packet);
        struct rtp_header header;
        CHECK_EQUAL(rtp_parse_untrusted(bytes, length, &header), 0);
        CHECK_EQUAL(header.payload_offset, length);
        for (size_t cut = 0; cut < length; cut++) {
            CHECK_EQUAL(rtp_parse_untrusted(bytes, cut, &header), -EBADMSG);
            read_all(bytes, cut);
        }
    }
}

static void test_the_written_header_byte_by_byte(void)
{
    struct rtp_outgoing outgoing = {
        .timestamp = 0x01020304,
        .ssrc = 0x05060708,
        .csrc = 9,
        .sequence = 0xfffe,
        .payload_type = 111,
        .marker = 1,
        .audio_level_id = 1,
        .audio_level = 0x8a,
    };
    uint8_t packet[RTP_HEADER_MAX], wanted[RTP_HEADER_MAX];
    size_t length = hex_bytes("91effffe010203040506070800000009bede0001108a0000", wanted);
    CHECK_EQUAL(rtp_header_write(packet, &outgoing), length);
    CHECK_BYTES(packet, wanted, length);

    outgoing.csrc = 0;
    outgoing.audio_level_id = 0;
    length = hex_bytes("80effffe0102030405060708", wanted);
    CHECK_EQUAL(rtp_header_write(packet, &outgoing), length);
    CHECK_BYTES(packet, wanted, length);
}

static void test_what_is_too_long_is_refused(void)
{
    struct rtp_header header;
    uint8_t *packet = calloc(70000, 1);
    packet[0] = 0x80;
    CHECK_EQUAL(rtp_parse_untrusted(packet, 65535, &header), 0);
    CHECK_EQUAL(rtp_parse_untrusted(packet, 65536, &header), -EBADMSG);
    free(packet);
}

int main(void)
{
    test_any_bytes_of_every_length();
    test_every_cut_of_a_full_header();
    test_the_written_header_byte_by_byte();
    test_what_is_too_long_is_refused();
    return 0;
}
