/* RTCP with exact copies on the heap: whatever the bytes, nothing beyond them is read, and every walk ends. */
#include <errno.h>

#include "bytes.h"
#include "check.h"
#include "rtcp.h"

static void read_feedback(const struct rtcp_block *block)
{
    struct rtcp_feedback feedback;
    if (rtcp_feedback_untrusted(block, &feedback) != 0) return;
    CHECK_EQUAL(feedback.fci_length + 8, block->length);
    for (int i = 0, count = rtcp_nack_untrusted(&feedback); i < count; i++) {
        uint16_t first;
        uint32_t mask;
        rtcp_nack_entry(&feedback, (unsigned)i, &first, &mask);
        CHECK(mask & 1);
        CHECK(mask < 1u << 17);
    }
    for (int i = 0, count = rtcp_fir_untrusted(&feedback); i < count; i++) {
        uint32_t ssrc;
        uint8_t sequence;
        rtcp_fir_entry(&feedback, (unsigned)i, &ssrc, &sequence);
    }
    for (int i = 0, entries = rtcp_tmmbn_untrusted(&feedback); i < entries; i++) {
        struct rtcp_tmmb_entry entry;
        rtcp_tmmb_entry(&feedback, (unsigned)i, &entry);
        CHECK(entry.overhead < 512);
    }
    uint32_t rate;
    uint8_t count;
    if (rtcp_remb_untrusted(&feedback, &rate, &count) == 0)
        CHECK(8 + count * 4u <= feedback.fci_length);
    struct rtcp_transport_cc head;
    rtcp_transport_cc_untrusted(&feedback, &head);
}

/* Every reader over these bytes, also those meant for another type. How many blocks there were. */
static int read_all(const uint8_t *bytes, size_t length)
{
    uint8_t *compound = exact_copy(bytes, length);
    struct rtcp_block block;
    size_t offset = 0;
    int blocks = 0, got;
    while ((got = rtcp_next_untrusted(compound, length, &offset, &block)) > 0) {
        blocks++;
        CHECK(offset <= length);
        CHECK(block.body + block.length <= compound + length);
        struct rtcp_sender_info info;
        struct rtcp_report report;
        uint32_t ssrc;
        rtcp_sender_info_untrusted(&block, &info);
        int reports = rtcp_reports_untrusted(&block, &ssrc);
        for (int i = 0; i < reports; i++)
            CHECK_EQUAL(rtcp_report_untrusted(&block, (unsigned)i, &report), 0);
        for (unsigned i = 0; i < 40; i++) rtcp_report_untrusted(&block, i * i * i, &report);
        for (int i = 0, count = rtcp_bye_untrusted(&block); i < count; i++)
            rtcp_bye_ssrc(&block, (unsigned)i);
        read_feedback(&block);
    }
    CHECK(got == 0 || got == -EBADMSG);
    CHECK(blocks <= (int)length / 4);
    free(compound);
    return got < 0 ? got : blocks;
}

static void chance(uint64_t *state, uint8_t *bytes, size_t length)
{
    static const uint8_t counts[] = {0, 1, 4, 15, 31, 2};
    random_fill(state, bytes, length);
    if (random_next(state) % 8 == 0) return;
    size_t at = 0;
    while (length - at >= 4) {
        uint64_t choice = random_next(state);
        size_t words = (length - at) / 4 - 1;
        if (words > 0 && choice & 1) words = (choice >> 8) % words;
        bytes[at] = (uint8_t)(0x80 | (choice >> 16 & 7 ? 0 : 0x20) | counts[(choice >> 24) % 6]);
        bytes[at + 1] = (uint8_t)(200 + (choice >> 32) % 8);
        store_be16(bytes + at + 2, (uint16_t)words);
        if (words >= 5 && choice >> 40 & 1) memcpy(bytes + at + 12, "REMB", 4);
        at += 4 + words * 4;
    }
}

static void test_any_bytes_of_every_length(void)
{
    uint64_t state = 7;
    uint8_t bytes[1600];
    for (size_t length = 0; length <= 1500; length++) {
        for (int round = 0; round < (length < 80 ? 2000 : 20); round++) {
            chance(&state, bytes, length);
            read_all(bytes, length);
        }
    }
}

/* Writers into memory of exactly their size, one byte less, and then read at every cut. */
#define WRITTEN(call, wanted)                                             \
    do {                                                                  \
        size_t room = wanted;                                             \
        uint8_t *to = malloc(room);                                       \
        CHECK_EQUAL(call, wanted);                                        \
        CHECK_EQUAL(read_all(to, room), 1);                               \
        for (size_t cut = 1; cut < room; cut++) read_all(to, cut);        \
        free(to);                                                         \
        to = malloc(room);                                                \
        for (room = 0; room < wanted; room++) CHECK_EQUAL(call, -ENOSPC); \
        free(to);                                                         \
    } while (0)

static void test_writers_stay_within_their_room(void)
{
    struct rtcp_report reports[32] = {{.ssrc = 1, .lost = -1}};
    struct rtcp_sender_info info = {.ssrc = 1};
    uint16_t lost[] = {65535, 0, 15, 16, 1000};
    uint32_t ssrcs[] = {1, 2, 3};
    struct rtcp_tmmb_entry limits[LIMIT_RX_SSRCS] = {{1, 1000, 40}, {2, 0, 60}};
    WRITTEN(rtcp_write_rr(to, room, 1, reports, 0), 8);
    WRITTEN(rtcp_write_rr(to, room, 1, reports, 31), 8 + 31 * 24);
    WRITTEN(rtcp_write_sr(to, room, &info), 28);
    WRITTEN(rtcp_write_sdes(to, room, 1, "", 0), 12);
    WRITTEN(rtcp_write_sdes(to, room, 1, "ab", 2), 16);
    WRITTEN(rtcp_write_bye(to, room, 1), 8);
    WRITTEN(rtcp_write_pli(to, room, 1, 2), 12);
    WRITTEN(rtcp_write_fir(to, room, 1, 2, 3), 20);
    WRITTEN(rtcp_write_nack(to, room, 1, 2, lost, 5), 24);
    WRITTEN(rtcp_write_remb(to, room, 1, 1000000, ssrcs, 3), 32);
    WRITTEN(rtcp_write_tmmbr(to, room, RTCP_FMT_TMMBR, 1, limits, 2), 28);
    WRITTEN(rtcp_write_tmmbr(to, room, RTCP_FMT_TMMBN, 1, limits, 0), 12);
    WRITTEN(rtcp_write_tmmbr(to, room, RTCP_FMT_TMMBR, 1, limits, LIMIT_RX_SSRCS), 12 + 8 * LIMIT_RX_SSRCS);
    CHECK_EQUAL(rtcp_write_tmmbr((uint8_t[1000]){0}, 1000, RTCP_FMT_TMMBR, 1, limits, LIMIT_RX_SSRCS + 1), -ENOSPC);
    CHECK_EQUAL(rtcp_write_rr((uint8_t[1000]){0}, 1000, 1, reports, 32), -ENOSPC);
    CHECK_EQUAL(rtcp_write_nack((uint8_t[1000]){0}, 1000, 1, 2, lost, 0), -ENOSPC);
}

/* A rate as it travels: exponent and mantissa of RFC 5104 4.2.1.1, and what is read back. */
static void test_rates_of_tmmbr(void)
{
    static const struct {
        uint64_t rate;
        uint32_t packed; /* exponent, mantissa, overhead 40 */
        uint64_t back;
    } rows[] = {
        {0, 40, 0},
        {1, 1u << 9 | 40, 1},
        {131071, 131071u << 9 | 40, 131071},
        {131072, 1u << 26 | 65536u << 9 | 40, 131072},
        {131073, 1u << 26 | 65536u << 9 | 40, 131072},
        {1700000, 4u << 26 | 106250u << 9 | 40, 1700000},
        {UINT64_MAX, 47u << 26 | 131071u << 9 | 40, 0x1ffffull << 47},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rtcp_tmmb_entry entry = {7, rows[i].rate, 40}, back;
        uint8_t bytes[20];
        struct rtcp_block block;
        struct rtcp_feedback feedback;
        size_t offset = 0;
        CHECK_EQUAL(rtcp_write_tmmbr(bytes, 20, RTCP_FMT_TMMBR, 5, &entry, 1), 20);
        CHECK_EQUAL(load_be32(bytes + 16), rows[i].packed);
        CHECK_EQUAL(rtcp_next_untrusted(bytes, 20, &offset, &block), 1);
        CHECK_EQUAL(block.count, RTCP_FMT_TMMBR);
        CHECK_EQUAL(rtcp_feedback_untrusted(&block, &feedback), 0);
        CHECK_EQUAL(feedback.sender, 5);
        CHECK_EQUAL(feedback.media, 0);
        CHECK_EQUAL(rtcp_tmmbn_untrusted(&feedback), 1);
        rtcp_tmmb_entry(&feedback, 0, &back);
        CHECK_EQUAL(back.ssrc, 7);
        CHECK(back.bits_per_second == rows[i].back);
        CHECK_EQUAL(back.overhead, 40);
        store_be32(bytes + 16, 63u << 26 | 3u << 9); /* more than 64 bits hold */
        rtcp_tmmb_entry(&feedback, 0, &back);
        CHECK(back.bits_per_second == UINT64_MAX);
        store_be32(bytes + 16, 63u << 26);
        rtcp_tmmb_entry(&feedback, 0, &back);
        CHECK(back.bits_per_second == 0);
    }
}

static void test_jitter_forgets_a_sender_that_set_its_timestamps_anew(void)
{
    struct encoding_state encoding = {0};
    for (uint64_t i = 0; i < 100; i++)
        encoding_received(&encoding, i, (uint32_t)i * 1800, 90000, 1000000000 + i * 20000000, 1000);
    CHECK_EQUAL(encoding.jitter, 0);
    encoding_received(&encoding, 100, 0x80000000, 90000, 3020000000, 1000);
    CHECK_EQUAL(encoding.jitter, 0);
    encoding_received(&encoding, 101, 0x80000000, 90000, 3030000000, 1000);
    CHECK_EQUAL(encoding.jitter, 900);
    CHECK_EQUAL(encoding.bytes, 102000);
}

int main(void)
{
    test_any_bytes_of_every_length();
    test_writers_stay_within_their_room();
    test_rates_of_tmmbr();
    test_jitter_forgets_a_sender_that_set_its_timestamps_anew();
    return 0;
}
