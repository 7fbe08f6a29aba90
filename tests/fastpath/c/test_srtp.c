/* SRTP and SRTCP: published packets, indices around a wrap, replay, room for SSRCs, and garbage of
   every length. */
#include "check.h"
#include "srtp.h"

#include <errno.h>

static const enum srtp_profile profiles[] = {SRTP_AES128_CM_SHA1_80, SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM};
enum { PROFILES = 3, SSRC = 0x1234abcd };

static void keys_make(struct srtp_keys *keys, enum srtp_profile profile)
{
    struct srtp_key master = {{0}, {0}, {0}};
    uint64_t seed = profile;
    random_fill(&seed, master.key, sizeof master.key);
    random_fill(&seed, master.salt, sizeof master.salt);
    CHECK_EQUAL(srtp_keys_expand(keys, profile, &master), 0);
}

/* A packet of `payload` bytes with the 48-bit index; returns its length. */
static size_t packet_make(const struct srtp_keys *keys, uint64_t index, uint32_t ssrc,
                          size_t payload, uint8_t packet[LIMIT_DATAGRAM])
{
    uint8_t plain[LIMIT_DATAGRAM];
    memset(plain, (int)(index & 0xff), sizeof plain);
    memset(packet, 0, 12);
    packet[0] = 0x80;
    packet[2] = (uint8_t)(index >> 8);
    packet[3] = (uint8_t)index;
    for (int i = 0; i < 4; i++) packet[8 + i] = (uint8_t)(ssrc >> (24 - 8 * i));
    int length = srtp_protect(keys, index, packet, LIMIT_DATAGRAM, 12, plain, payload);
    CHECK(length == (int)(12 + payload + keys->tag_size));
    return (size_t)length;
}

/* The result of giving that packet to the receiver. */
static int receive(const struct srtp_keys *keys, struct srtp_rx_state *rx, uint64_t index, uint32_t ssrc)
{
    uint8_t packet[LIMIT_DATAGRAM];
    size_t length = packet_make(keys, index, ssrc, 50, packet);
    uint64_t found = 0;
    int result = srtp_unprotect_untrusted(keys, rx, packet, &length, 12, &found);
    if (result == 0) {
        CHECK_EQUAL(found, index);
        CHECK_EQUAL(length, 62);
        for (size_t i = 12; i < length; i++) CHECK_EQUAL(packet[i], index & 0xff);
    }
    return result;
}

static void test_published_packets(void)
{
    struct {
        enum srtp_profile profile;
        const char *key, *salt, *session_salt, *rtp, *srtp, *rtcp, *srtcp;
    } cases[] = {
        /* master key of RFC 3711 B.3, packets of libsrtp's own tests */
        {SRTP_AES128_CM_SHA1_80, "e1f97a0d3e018be0d64fa32c06de4139", "0ec675ad498afeebb6960b3aabe6",
         "30cbbc08863d8c85d49db34a9ae1", "800f1234decafbadcafebabeabababababababababababababababab",
         "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
         "81c8000bcafebabeabababababababababababababababab",
         "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798"},
        {SRTP_AEAD_AES_128_GCM, "000102030405060708090a0b0c0d0e0f", "a0a1a2a3a4a5a6a7a8a9aaab", "",
         "800f1234decafbadcafebabeabababababababababababababababab",
         "800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392",
         "81c8000bcafebabeabababababababababababababababab", "81c8000bcafebabec98b8b5df0392a55852b6c21ac8e7025c52c6fbea2b3b446ea31123ba88ce61e80000001"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct srtp_key master = {{0}, {0}, {0}};
        struct srtp_keys keys;
        struct srtp_rx_state rx[LIMIT_RX_SSRCS] = {{0}};
        struct srtcp_rx_state rtcp_rx[LIMIT_RX_SSRCS] = {{0}};
        uint8_t plain[64], sealed[64], out[64], salt[16];
        hex_bytes(cases[i].key, master.key);
        hex_bytes(cases[i].salt, master.salt);
        CHECK_EQUAL(srtp_keys_expand(&keys, cases[i].profile, &master), 0);
        CHECK_BYTES(keys.rtp_salt, salt, hex_bytes(cases[i].session_salt, salt));

        size_t length = hex_bytes(cases[i].rtp, plain), index_length;
        size_t sealed_length = hex_bytes(cases[i].srtp, sealed);
        memcpy(out, plain, 12);
        CHECK_EQUAL(srtp_protect(&keys, 0x1234, out, sizeof out, 12, plain + 12, length - 12), sealed_length);
        CHECK_BYTES(out, sealed, sealed_length);
        uint64_t index;
        CHECK_EQUAL(srtp_unprotect_untrusted(&keys, rx, out, &sealed_length, 12, &index), 0);
        CHECK_EQUAL(sealed_length, length);
        CHECK_EQUAL(index, 0x1234);
        CHECK_BYTES(out, plain, length);

        uint32_t tx_index = 1;
        length = hex_bytes(cases[i].rtcp, plain);
        index_length = hex_bytes(cases[i].srtcp, sealed);
        memcpy(out, plain, length);
        CHECK_EQUAL(srtcp_protect(&keys, &tx_index, out, length, sizeof out), index_length);
        CHECK_EQUAL(tx_index, 2);
        CHECK_BYTES(out, sealed, index_length);
        CHECK_EQUAL(srtcp_unprotect_untrusted(&keys, rtcp_rx, out, &index_length), 0);
        CHECK_EQUAL(index_length, length);
        CHECK_BYTES(out, plain, length);
        srtp_keys_wipe(&keys);
    }
}

/* RFC 7714 16 and 17 give session keys: they go past the derivation. */
static void test_rfc_7714(void)
{
    const char *rtp = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e"
                      "2070617274657320747265"
                      "73";
    const char *rtcp =
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeef"
        "deadbeefdeadbeefdeadbeef";
    struct {
        enum srtp_profile profile;
        const char *srtp, *srtcp;
    } cases[] = {
        {SRTP_AEAD_AES_128_GCM,
         "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b3"
         "6de3adf88"
         "33899d7f27beb16a9152cf765ee4390cce",
         "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b468"
         "6303ded0b"
         "b9275bc84aa45896cf4d2fc5abf87245d9eade800005d4"},
        {SRTP_AEAD_AES_256_GCM,
         "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1"
         "ba63799b8"
         "7b7aa3db36dfffd6b0f9bb7878d7a76c13",
         "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c"
         "61de0476f"
         "1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4"},
    };
    for (size_t i = 0; i < 2; i++) {
        struct srtp_keys keys = {.profile = (uint16_t)cases[i].profile, .tag_size = 16};
        enum crypto_cipher cipher = i == 0 ? CRYPTO_AES_128_GCM : CRYPTO_AES_256_GCM;
        uint8_t secret[32], plain[128], wanted[128], out[128];
        for (uint8_t byte = 0; byte < 32; byte++) secret[byte] = byte;
        CHECK_EQUAL(crypto_expand(cipher, secret, &keys.rtp), 0);
        CHECK_EQUAL(crypto_expand(cipher, secret, &keys.rtcp), 0);
        hex_bytes("517569642070726f2071756f", keys.rtp_salt);
        memcpy(keys.rtcp_salt, keys.rtp_salt, 12);

        size_t length = hex_bytes(rtp, plain), sealed = hex_bytes(cases[i].srtp, wanted);
        memcpy(out, plain, 12);
        CHECK_EQUAL(srtp_protect(&keys, 0xf17b, out, sizeof out, 12, plain + 12, length - 12), sealed);
        CHECK_BYTES(out, wanted, sealed);

        uint32_t tx_index = 0x5d4;
        length = hex_bytes(rtcp, plain);
        sealed = hex_bytes(cases[i].srtcp, wanted);
        CHECK_EQUAL(srtcp_protect(&keys, &tx_index, plain, length, sizeof plain), sealed);
        CHECK_BYTES(plain, wanted, sealed);
        srtp_keys_wipe(&keys);
    }
}

static void test_indices_replay_and_the_wrap(const struct srtp_keys *keys)
{
    struct srtp_rx_state rx[LIMIT_RX_SSRCS] = {{0}};
    const uint64_t wrap = 0x10000;
    const uint64_t good[] = {
        65000,       65530,    65535,
        wrap + 3,    wrap,     65534, /* reordered around the wrap, both ways */
        wrap + 1000, wrap + 2, 65533,
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_EQUAL(receive(keys, rx, good[i], SSRC), 0);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_EQUAL(receive(keys, rx, good[i], SSRC), -EALREADY);
    CHECK_EQUAL(srtp_rx_find(rx, SSRC)->highest, wrap + 1000);
    /* the far end of the window */
    CHECK_EQUAL(receive(keys, rx, wrap + 1000 - LIMIT_REPLAY_WINDOW + 1, SSRC), 0);
    CHECK_EQUAL(receive(keys, rx, wrap + 1000 - LIMIT_REPLAY_WINDOW, SSRC), -EALREADY);
    /* jumps below, at and above the window's size; what was skipped may still come, once */
    uint64_t highest = wrap + 1000;
    const uint64_t jumps[] = {1, 2, 63, 64, 65, 1023, 1024, 1025, 5000, 32767};
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        const uint64_t before = highest;
        highest += jumps[i];
        CHECK_EQUAL(receive(keys, rx, highest, SSRC), 0);
        CHECK_EQUAL(receive(keys, rx, highest, SSRC), -EALREADY);
        CHECK_EQUAL(receive(keys, rx, before, SSRC), -EALREADY);
        if (jumps[i] > 1) CHECK_EQUAL(receive(keys, rx, highest - 1, SSRC), 0);
        if (jumps[i] > 1) CHECK_EQUAL(receive(keys, rx, highest - 1, SSRC), -EALREADY);
    }
    /* a whole wrap nobody saw cannot be guessed, and changes nothing */
    CHECK_EQUAL(receive(keys, rx, highest + 0x10000 + 5, SSRC), -EBADMSG);
    CHECK_EQUAL(receive(keys, rx, highest + 5, SSRC), 0);
    /* a packet of before the first one seen */
    CHECK_EQUAL(receive(keys, rx, 10, SSRC + 1), 0);
    CHECK_EQUAL(receive(keys, rx, 65000, SSRC + 1), -EALREADY);
    /* the last index of all, and none after it */
    struct srtp_rx_state *late = srtp_rx_find(rx, SSRC);
    memset(late->window, 0, sizeof late->window);
    late->highest = SRTP_INDEX_LIMIT - 10;
    CHECK_EQUAL(receive(keys, rx, SRTP_INDEX_LIMIT - 1, SSRC), 0);
    uint8_t packet[LIMIT_DATAGRAM];
    size_t length = packet_make(keys, 0, SSRC, 5, packet);
    uint64_t index;
    CHECK_EQUAL(srtp_unprotect_untrusted(keys, rx, packet, &length, 12, &index), -EALREADY);
}

/* Model: a set of every accepted index, against random arrivals within and beyond the window. */
static void test_window_against_a_set(const struct srtp_keys *keys)
{
    enum { RANGE = 20000 };
    struct srtp_rx_state rx[LIMIT_RX_SSRCS] = {{0}};
    uint8_t *seen = calloc(RANGE, 1);
    uint64_t seed = 99, base = 0, highest = 0;
    CHECK_EQUAL(receive(keys, rx, 0, SSRC), 0);
    seen[0] = 1;
    while (base < RANGE - 3000) {
        base += random_next(&seed) % 20 == 0 ? random_next(&seed) % 1500 : random_next(&seed) % 4;
        uint64_t index = base + random_next(&seed) % 1400;
        int wanted = seen[index] || index + LIMIT_REPLAY_WINDOW <= highest ? -EALREADY : 0;
        CHECK_EQUAL(receive(keys, rx, index, SSRC), wanted);
        if (wanted == 0) seen[index] = 1;
        if (index > highest) highest = index;
    }
    free(seen);
}

static void test_a_forged_ssrc_takes_no_room(const struct srtp_keys *keys)
{
    struct srtp_rx_state rx[LIMIT_RX_SSRCS] = {{0}}, before[LIMIT_RX_SSRCS];
    uint8_t packet[LIMIT_DATAGRAM];
    uint64_t index;
    CHECK_EQUAL(receive(keys, rx, 5, SSRC), 0);
    memcpy(before, rx, sizeof rx);
    for (uint32_t i = 0; i < 1000; i++) {
        size_t length = packet_make(keys, 100, SSRC + i, 30, packet);
        packet[length - 1 - i % 10] ^= 1;
        CHECK_EQUAL(srtp_unprotect_untrusted(keys, rx, packet, &length, 12, &index), -EBADMSG);
    }
    CHECK_BYTES(before, rx, sizeof rx);
    for (uint32_t i = 1; i < LIMIT_RX_SSRCS; i++) CHECK_EQUAL(receive(keys, rx, 9, SSRC + i), 0);
    CHECK_EQUAL(receive(keys, rx, 9, SSRC + LIMIT_RX_SSRCS), -ENOSPC);
    CHECK_EQUAL(receive(keys, rx, 6, SSRC), 0);
    CHECK(srtp_rx_find(rx, SSRC + 3) != NULL && srtp_rx_find(rx, 77) == NULL);
    CHECK_EQUAL(receive(keys, rx, 9, 0), -EINVAL);
}

static void test_protect_refuses(const struct srtp_keys *keys)
{
    uint8_t out[LIMIT_DATAGRAM] = {0x80}, other[LIMIT_DATAGRAM] = {0x80}, plain[100] = {1, 2, 3};
    const size_t whole = 12u + sizeof plain + keys->tag_size;
    out[3] = other[3] = 9;
    CHECK_EQUAL(srtp_protect(keys, 9, out, whole - 1, 12, plain, sizeof plain), -ENOBUFS);
    CHECK_EQUAL(srtp_protect(keys, 10, out, whole, 12, plain, sizeof plain), -EINVAL);
    CHECK_EQUAL(srtp_protect(keys, 9, out, whole, 11, plain, sizeof plain), -EINVAL);
    CHECK_EQUAL(srtp_protect(keys, 9, out, SIZE_MAX, SIZE_MAX, plain, sizeof plain), -EINVAL);
    CHECK_EQUAL(srtp_protect(keys, 9, out, SIZE_MAX, 12, plain, SIZE_MAX), -EINVAL);
    CHECK_EQUAL(srtp_protect(keys, SRTP_INDEX_LIMIT + 9, out, whole, 12, plain, sizeof plain), -EOVERFLOW);
    CHECK_EQUAL(srtp_protect(keys, 9, out, whole, 12, plain, sizeof plain), whole);
    memcpy(other + 12, plain, sizeof plain); /* in place is the same */
    CHECK_EQUAL(srtp_protect(keys, 9, other, whole, 12, other + 12, sizeof plain), whole);
    CHECK_BYTES(out, other, whole);

    struct srtp_keys none = {.profile = SRTP_NONE};
    struct srtp_rx_state rx[LIMIT_RX_SSRCS] = {{0}};
    struct srtcp_rx_state rtcp_rx[LIMIT_RX_SSRCS] = {{0}};
    uint64_t index;
    uint32_t tx_index = 0;
    size_t length = whole;
    CHECK_EQUAL(srtp_protect(&none, 9, out, whole, 12, plain, sizeof plain), -EINVAL);
    CHECK_EQUAL(srtp_unprotect_untrusted(&none, rx, out, &length, 12, &index), -EINVAL);
    CHECK_EQUAL(srtcp_protect(&none, &tx_index, out, whole, sizeof out), -EINVAL);
    CHECK_EQUAL(srtcp_unprotect_untrusted(&none, rtcp_rx, out, &length), -EINVAL);
    srtp_keys_wipe(&none);
}

static size_t rtcp_make(uint8_t *packet, uint32_t ssrc, size_t length)
{
    memset(packet, 0x5a, length);
    packet[0] = 0x80;
    packet[1] = 201;
    for (int i = 0; i < 4; i++) packet[4 + i] = (uint8_t)(ssrc >> (24 - 8 * i));
    return length;
}

static void test_rtcp(const struct srtp_keys *keys)
{
    struct srtcp_rx_state rx[LIMIT_RX_SSRCS] = {{0}};
    uint8_t sent[200][256], copy[256];
    size_t lengths[200];
    uint32_t tx_index = 0;
    for (int i = 0; i < 200; i++) {
        size_t length = rtcp_make(sent[i], SSRC, 8 + (size_t)(i % 50) * 4);
        CHECK_EQUAL(srtcp_protect(keys, &tx_index, sent[i], length, length + keys->tag_size + 3u), -ENOBUFS);
        CHECK_EQUAL(tx_index, i);
        lengths[i] = (size_t)srtcp_protect(keys, &tx_index, sent[i], length, sizeof sent[i]);
        CHECK_EQUAL(lengths[i], length + keys->tag_size + 4u);
        CHECK_EQUAL(tx_index, i + 1);
    }
    const int order[] = {0, 0, 2, 1, 1, 150, 23, 22, 22, 149, 199, 0};
    const int wanted[] = {0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        size_t length = lengths[order[i]];
        memcpy(copy, sent[order[i]], length);
        CHECK_EQUAL(srtcp_unprotect_untrusted(keys, rx, copy, &length), wanted[i] ? -EALREADY : 0);
        if (wanted[i]) continue;
        uint8_t plain[256];
        CHECK_EQUAL(length, rtcp_make(plain, SSRC, 8 + (size_t)(order[i] % 50) * 4));
        CHECK_BYTES(copy, plain, length);
    }
    /* any one bit wrong, and nothing is claimed for an SSRC that did not authenticate */
    struct srtcp_rx_state before[LIMIT_RX_SSRCS];
    memcpy(before, rx, sizeof rx);
    size_t length = rtcp_make(sent[0], SSRC + 1, 60);
    length = (size_t)srtcp_protect(keys, &tx_index, sent[0], length, sizeof sent[0]);
    for (size_t bit = 0; bit < length * 8; bit++) {
        size_t size = length;
        memcpy(copy, sent[0], length);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int result = srtcp_unprotect_untrusted(keys, rx, copy, &size);
        CHECK(result == -EBADMSG || result == -EINVAL);
    }
    CHECK_BYTES(before, rx, sizeof rx);
    /* the last index, and none after it */
    tx_index = SRTCP_INDEX_LIMIT - 1;
    length = rtcp_make(copy, SSRC, 40);
    length = (size_t)srtcp_protect(keys, &tx_index, copy, length, sizeof copy);
    CHECK_EQUAL(srtcp_unprotect_untrusted(keys, rx, copy, &length), 0);
    CHECK_EQUAL(srtcp_protect(keys, &tx_index, copy, length, sizeof copy), -EOVERFLOW);
    CHECK_EQUAL(tx_index, SRTCP_INDEX_LIMIT);
    for (uint32_t i = 1; i <= LIMIT_RX_SSRCS; i++) {
        tx_index = i;
        length = rtcp_make(copy, SSRC + i, 40);
        length = (size_t)srtcp_protect(keys, &tx_index, copy, length, sizeof copy);
        CHECK_EQUAL(srtcp_unprotect_untrusted(keys, rx, copy, &length), i < LIMIT_RX_SSRCS ? 0 : -ENOSPC);
    }
}

/* Every length of garbage and every cut of a real packet, in memory that ends where the packet
   does. */
static void test_garbage_of_every_length(const struct srtp_keys *keys)
{
    struct srtp_rx_state rx[LIMIT_RX_SSRCS] = {{0}}, rx_before[LIMIT_RX_SSRCS];
    struct srtcp_rx_state rtcp_rx[LIMIT_RX_SSRCS] = {{0}}, rtcp_before[LIMIT_RX_SSRCS];
    uint64_t seed = 4, index;
    uint8_t bytes[LIMIT_DATAGRAM];
    CHECK_EQUAL(receive(keys, rx, 1, SSRC), 0);
    memcpy(rx_before, rx, sizeof rx);
    memcpy(rtcp_before, rtcp_rx, sizeof rtcp_rx);
    for (size_t length = 0; length <= LIMIT_DATAGRAM; length++) {
        for (int kind = 0; kind < 3; kind++) {
            random_fill(&seed, bytes, sizeof bytes);
            if (kind > 0) bytes[0] = 0x80;
            if (kind == 2)
                (void)packet_make(keys, 2, SSRC, LIMIT_DATAGRAM - 12u - keys->tag_size, bytes);
            if (kind == 2 && length == LIMIT_DATAGRAM) continue; /* that one is whole */
            const size_t headers[] = {0, 11, 12, 13, 28, length, length + 1, SIZE_MAX};
            for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
                uint8_t *packet = exact_copy(bytes, length);
                size_t left = length;
                CHECK(srtp_unprotect_untrusted(keys, rx, packet, &left, headers[i], &index) < 0);
                CHECK_EQUAL(left, length);
                free(packet);
            }
            if (kind == 2) bytes[length > 4 ? length - 4 : 0] |= 0x80;
            uint8_t *packet = exact_copy(bytes, length);
            size_t left = length;
            CHECK(srtcp_unprotect_untrusted(keys, rtcp_rx, packet, &left) < 0);
            CHECK_EQUAL(left, length);
            free(packet);
        }
    }
    CHECK_BYTES(rx_before, rx, sizeof rx);
    CHECK_BYTES(rtcp_before, rtcp_rx, sizeof rtcp_rx);
}

static void test_an_empty_payload_is_a_packet(const struct srtp_keys *keys)
{
    struct srtp_rx_state rx[LIMIT_RX_SSRCS] = {{0}};
    uint8_t packet[LIMIT_DATAGRAM];
    uint64_t index;
    size_t length = packet_make(keys, 3, SSRC, 0, packet);
    uint8_t *exact = exact_copy(packet, length);
    CHECK_EQUAL(srtp_unprotect_untrusted(keys, rx, exact, &length, 12, &index), 0);
    CHECK_EQUAL(length, 12);
    free(exact);
}

int main(void)
{
    struct srtp_key master = {{0}, {0}, {0}};
    struct srtp_keys keys;
    CHECK_EQUAL(srtp_keys_expand(&keys, (enum srtp_profile)2, &master), -EINVAL);
    CHECK_EQUAL(srtp_keys_expand(&keys, SRTP_NONE, &master), -EINVAL);
    const enum crypto_choice choices[] = {CRYPTO_OPENSSL, CRYPTO_IPSEC_MB};
    for (size_t choice = 0; choice < 2; choice++) {
        if (crypto_init(choices[choice]) != 0) continue;
        test_published_packets();
        test_rfc_7714();
        for (int i = 0; i < PROFILES; i++) {
            keys_make(&keys, profiles[i]);
            test_indices_replay_and_the_wrap(&keys);
            test_window_against_a_set(&keys);
            test_a_forged_ssrc_takes_no_room(&keys);
            test_protect_refuses(&keys);
            test_rtcp(&keys);
            test_garbage_of_every_length(&keys);
            test_an_empty_payload_is_a_packet(&keys);
            srtp_keys_wipe(&keys);
            srtp_keys_wipe(&keys);
        }
        printf("srtp over %s: ok\n", crypto_backend_name());
    }
    return 0;
}
