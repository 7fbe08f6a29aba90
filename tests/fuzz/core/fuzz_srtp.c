/* SRTP and SRTCP of every profile, on bytes that nobody with the key made, and on genuine packets that were bent afterwards. */
#include "bytes.h"
#include "input.h"
#include "rtp.h"
#include "srtp.h"

static const enum srtp_profile profiles[3] = {SRTP_AES128_CM_SHA1_80, SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM};

static struct srtp_keys *keys_of(unsigned which)
{
    static _Alignas(64) struct srtp_keys keys[3];
    struct srtp_key master = {{1, 2, 3}, {4, 5, 6}, {0}};
    if (keys[which].profile == SRTP_NONE)
        CHECK_EQUAL(srtp_keys_expand(&keys[which], profiles[which], &master), 0);
    return &keys[which];
}

static void hostile(const uint8_t *data, size_t size, const struct srtp_keys *keys)
{
    struct srtp_rx_state rx[LIMIT_RX_SSRCS] = {0}, untouched[LIMIT_RX_SSRCS] = {0};
    struct srtcp_rx_state rtcp[LIMIT_RX_SSRCS] = {0};
    uint8_t *bytes = exact_copy(data, size);
    struct rtp_header header;
    size_t length = size, offset = size ? data[0] : 0;
    uint64_t index;
    if (rtp_parse_untrusted(bytes, size, &header) == 0) offset = header.payload_offset;
    CHECK(srtp_unprotect_untrusted(keys, rx, bytes, &length, offset, &index) < 0);
    CHECK_BYTES(rx, untouched, sizeof rx);
    memcpy(bytes, data, size);
    length = size;
    CHECK(srtcp_unprotect_untrusted(keys, rtcp, bytes, &length) < 0);
    CHECK_BYTES(rtcp, untouched, sizeof rtcp);
    free(bytes);
}

/* One bit turned, or cut short: refused. */
static void bent(struct input *input, const struct srtp_keys *keys)
{
    struct srtp_rx_state rx[LIMIT_RX_SSRCS] = {0};
    struct srtcp_rx_state rtcp[LIMIT_RX_SSRCS] = {0};
    uint16_t where = input_word(input);
    size_t length = input->left < 1200 ? input->left : 1200;
    uint8_t packet[1300] = {0x80, 96, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9};
    uint32_t next = where;
    uint64_t index;
    int made = srtp_protect(keys, 7, packet, sizeof packet, 12, input->at, length);
    CHECK(made > 0);
    size_t left = (size_t)made;
    packet[where / 8 % left] ^= (uint8_t)(1 << (where & 7));
    CHECK(srtp_unprotect_untrusted(keys, rx, packet, &left, 12, &index) < 0);
    memset(packet, 0, 12);
    packet[0] = 0x80, packet[1] = 201, packet[7] = 9;
    if (length) memcpy(packet + 8, input->at, length);
    made = srtcp_protect(keys, &next, packet, 8 + length, sizeof packet);
    CHECK(made > 0 && next == where + 1u);
    left = (size_t)made - (where & 64 ? 1 : 0);
    if (!(where & 64)) packet[where / 8 % left] ^= (uint8_t)(1 << (where & 7));
    CHECK(srtcp_unprotect_untrusted(keys, rtcp, packet, &left) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    unsigned which = input_byte(&input) % 3;
    hostile(input.at, input.left, keys_of(which));
    bent(&input, keys_of(which));
    return 0;
}
