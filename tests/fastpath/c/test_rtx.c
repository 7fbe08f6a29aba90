/* Retransmission streams: unwrapping what comes, the window both streams share, wrapping what goes. */
#include <errno.h>

#include "bytes.h"
#include "check.h"
#include "replay.h"
#include "rtx.h"
#include "srtp.h"

static void test_unwrap(void)
{
    static const struct {
        const char *hex;
        int result;
        uint16_t osn;
        size_t left;
    } rows[] = {
        {"", 1, 0, 0}, /* padding only: a probe */
        {"ff", -EBADMSG, 0, 0},
        {"0102", 1, 0x102, 0}, /* a retransmission of padding */
        {"fffe90", 0, 0xfffe, 1},
        {"0000aabbcc", 0, 0, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bytes[16];
        size_t length = hex_bytes(rows[i].hex, bytes), left = 0;
        uint8_t *copy = exact_copy(bytes, length);
        const uint8_t *original = NULL;
        uint16_t osn = 0;
        CHECK_EQUAL(rtx_unwrap_untrusted(copy, length, &osn, &original, &left), rows[i].result);
        if (rows[i].result == 0) {
            CHECK_EQUAL(osn, rows[i].osn);
            CHECK_EQUAL(left, rows[i].left);
            CHECK(original == copy + 2);
        }
        free(copy);
    }
}

static struct srtp_rx_state state_at(uint64_t highest)
{
    struct srtp_rx_state state = {.ssrc = 1, .used = 1, .highest = highest};
    replay_accept(state.window, LIMIT_REPLAY_WINDOW, &state.highest, highest);
    return state;
}

static void test_accept(void)
{
    static const struct {
        uint64_t highest;
        uint16_t osn;
        int result;
        uint64_t index;
    } rows[] = {
        {0x1fffe, 0xfffd, 0, 0x1fffd},
        {0x1fffe, 0xfffe, -EALREADY, 0}, /* the original was faster */
        {0x1fffe, 0x0005, 0, 0x20005},   /* not yet known to be missing, over the wrap */
        {0x20003, 0xffff, 0, 0x1ffff},
        {0x20003, 0xf000, -EALREADY, 0}, /* older than the window */
        {0x20003, 0x0003 + RTX_AHEAD, 0, 0x20003 + RTX_AHEAD},
        {0x20003, 0x0004 + RTX_AHEAD, -ERANGE, 0},
        {5, 0xfff0, -EALREADY, 0}, /* of before the first packet */
        {5, 3, 0, 3},
        {SRTP_INDEX_LIMIT - 1, 1, -ERANGE, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct srtp_rx_state state = state_at(rows[i].highest);
        uint64_t index = 0;
        CHECK_EQUAL(rtx_accept(&state, rows[i].osn, &index), rows[i].result);
        CHECK_EQUAL(index, rows[i].index);
        if (rows[i].result == 0) { /* neither it nor the original passes again */
            CHECK_EQUAL(rtx_accept(&state, rows[i].osn, &index), -EALREADY);
            CHECK(replay_refuses(state.window, LIMIT_REPLAY_WINDOW, state.highest, rows[i].index));
        }
    }
    struct srtp_rx_state unused = {0};
    uint64_t index;
    CHECK_EQUAL(rtx_accept(&unused, 1, &index), -ENOENT);
    CHECK_EQUAL(rtx_accept(NULL, 1, &index), -ENOENT);
}

static void test_index(void)
{
    uint64_t next = 0, index = 0;
    CHECK_EQUAL(rtx_take_index(&next, ~0ull, &index), 0);
    CHECK_EQUAL(index, 0x8000);
    CHECK_EQUAL(next, 0x8001);
    CHECK_EQUAL(rtx_take_index(&next, 0, &index), 0);
    CHECK_EQUAL(index, 0x8001);
    next = SRTP_INDEX_LIMIT - 1;
    CHECK_EQUAL(rtx_take_index(&next, 0, &index), 0);
    CHECK_EQUAL(rtx_take_index(&next, 0, &index), -EOVERFLOW);
    CHECK_EQUAL(rtx_take_index(&next, 0, &index), -EOVERFLOW);
}

static void test_write(void)
{
    uint8_t out[200], payload[20];
    memset(payload, 0xab, sizeof payload);
    struct rtp_outgoing header = {
        .ssrc = 7, .sequence = 99, .timestamp = 1234, .payload_type = 97, .marker = 1, .csrc = 5};
    int at = rtx_write(out, sizeof out, &header, 0x1234, payload, sizeof payload);
    struct rtp_header parsed;
    CHECK_EQUAL(rtp_parse_untrusted(out, (size_t)at + 22, &parsed), 0);
    CHECK_EQUAL(parsed.payload_offset, at);
    CHECK_EQUAL(parsed.ssrc, 7);
    CHECK_EQUAL(parsed.sequence, 99);
    CHECK_EQUAL(parsed.marker, 1);
    CHECK_EQUAL(parsed.padding, 0);
    const uint8_t *original;
    size_t left;
    uint16_t osn;
    CHECK_EQUAL(rtx_unwrap_untrusted(out + at, 22, &osn, &original, &left), 0);
    CHECK_EQUAL(osn, 0x1234);
    CHECK_EQUAL(left, 20);
    CHECK_BYTES(original, payload, 20);
    CHECK_EQUAL(rtx_write(out, RTP_HEADER_MAX + 21, &header, 1, payload, 20), -ENOSPC);
    CHECK_EQUAL(rtx_write(out, 10, &header, 1, payload, 20), -ENOSPC);
}

static void test_padding(void)
{
    static const unsigned sizes[] = {1, 2, 255};
    for (size_t i = 0; i < 3; i++) {
        uint8_t out[RTP_HEADER_MAX + 255];
        memset(out, 0xee, sizeof out);
        struct rtp_outgoing header = {.ssrc = 7, .sequence = 99, .payload_type = 96};
        int at = rtp_padding_write(out, RTP_HEADER_MAX + sizes[i], &header, sizes[i]);
        CHECK_EQUAL(at, 12);
        struct rtp_header parsed;
        CHECK_EQUAL(rtp_parse_untrusted(out, (size_t)at + sizes[i], &parsed), 0);
        CHECK_EQUAL(rtp_padding_untrusted(out, (size_t)at + sizes[i], &parsed), sizes[i]); /* padding only */
        CHECK_EQUAL(rtp_padding_write(out, RTP_HEADER_MAX + sizes[i] - 1, &header, sizes[i]), -ENOSPC);
    }
    uint8_t out[400];
    struct rtp_outgoing header = {0};
    CHECK_EQUAL(rtp_padding_write(out, sizeof out, &header, 0), -EINVAL);
    CHECK_EQUAL(rtp_padding_write(out, sizeof out, &header, 256), -EINVAL);
}

int main(void)
{
    test_unwrap();
    test_accept();
    test_index();
    test_write();
    test_padding();
    return 0;
}
