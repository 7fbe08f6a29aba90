/* The two backends against known answers, and against each other over every length. */
#include "check.h"
#include "crypto.h"
#include "hmac_sha1.h"

#include <errno.h>

static const char *const ciphers[] = {"", "AES-128-GCM", "AES-256-GCM", "AES-128-CTR + HMAC-SHA1-80"};

static void expand(enum crypto_choice choice, enum crypto_cipher cipher, const uint8_t *secret,
                   struct crypto_key *key)
{
    CHECK_EQUAL(crypto_init(choice), 0);
    CHECK_EQUAL(crypto_expand(cipher, secret, key), 0);
}

static void test_hmac_sha1_answers_rfc_2202(void)
{
    struct {
        const char *key, *data, *digest;
    } cases[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265", "b617318655057264e28bc0b6fb378c8ef146be00"},
        {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d20486173682"
         "04b657920"
         "4669727374",
         "aa4ae5e15272d00e95705637ce8a3b55ed402112"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t secret[128], data[128], wanted[20], digest[20];
        struct hmac_sha1_key key;
        hmac_sha1_key_make(&key, secret, hex_bytes(cases[i].key, secret));
        size_t length = hex_bytes(cases[i].data, data);
        hex_bytes(cases[i].digest, wanted);
        for (size_t cut = 0; cut <= length; cut++) { /* parts or whole are the same */
            struct hmac_part parts[] = {{data, cut}, {data + cut, length - cut}};
            hmac_sha1(&key, parts, 2, digest);
            CHECK_BYTES(digest, wanted, 20);
        }
    }
}

static void test_gcm_answers(enum crypto_choice choice)
{
    /* Test cases 4 and 16 of the GCM specification. */
    const char *secrets[] = {"feffe9928665731c6d6a8f9467308308",
                             "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"};
    const char *sealed_texts[] = {"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
                                  "21d514b25466931c7d8f6a5aac84aa05"
                                  "1ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47",
                                  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                                  "8cb08e48590dbb3da7b08b1056828838"
                                  "c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"};
    uint8_t secret[32], nonce[16] = {0}, plain[60], aad[20], wanted[76], out[76];
    hex_bytes("cafebabefacedbaddecaf888", nonce);
    hex_bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad);
    hex_bytes("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf"
              "0e2449a6"
              "b525b16aedf5aa0de657ba637b39",
              plain);
    for (int i = 0; i < 2; i++) {
        struct crypto_key key = {0};
        hex_bytes(secrets[i], secret);
        CHECK_EQUAL(hex_bytes(sealed_texts[i], wanted), sizeof wanted);
        expand(choice, i == 0 ? CRYPTO_AES_128_GCM : CRYPTO_AES_256_GCM, secret, &key);
        CHECK_EQUAL(crypto_seal(&key, nonce, aad, sizeof aad, 7, plain, sizeof plain, out), 0);
        CHECK_BYTES(out, wanted, sizeof wanted);
        CHECK_EQUAL(crypto_open(&key, nonce, aad, sizeof aad, 0, out, sizeof plain, out + 60, out), 0);
        CHECK_BYTES(out, plain, sizeof plain);
        crypto_wipe(&key);
    }
}

static void test_keystream_answers_rfc_3711_b2(void)
{
    uint8_t secret[32], counter[16], wanted[48], out[48];
    hex_bytes("2b7e151628aed2a6abf7158809cf4f3c", secret);
    hex_bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000", counter);
    hex_bytes("e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd4779"
              "01e4fca894c0",
              wanted);
    CHECK_EQUAL(crypto_keystream(secret, 16, counter, out, sizeof out), 0);
    CHECK_BYTES(out, wanted, sizeof wanted);
    CHECK_EQUAL(crypto_keystream(secret, 24, counter, out, sizeof out), -EINVAL);
    CHECK_EQUAL(crypto_keystream(secret, 16, counter, out, 65), -EINVAL);
}

/* What one seals the other opens, in place and not, at every length, with exact buffers; and one
   wrong bit anywhere in tag, ciphertext, header or nonce is refused. */
static void test_backends_agree(enum crypto_choice sealer, enum crypto_choice opener, enum crypto_cipher cipher)
{
    uint64_t seed = 1 + cipher;
    uint8_t secret[36], nonce[16];
    random_fill(&seed, secret, sizeof secret);
    struct crypto_key seal_key = {0}, open_key = {0};
    expand(sealer, cipher, secret, &seal_key);
    expand(opener, cipher, secret, &open_key);
    const size_t tag = seal_key.tag_size;
    for (size_t length = 0; length <= 1500; length += length < 300 ? 1 : 37) {
        const size_t aad_length = 12 + length % 20;
        random_fill(&seed, nonce, sizeof nonce);
        nonce[14] = nonce[15] = 0;
        uint8_t *plain = malloc(length + 1), *aad = malloc(aad_length), *sealed = malloc(length + tag);
        random_fill(&seed, plain, length);
        random_fill(&seed, aad, aad_length);
        const uint32_t after = (uint32_t)random_next(&seed);
        CHECK_EQUAL(crypto_seal(&seal_key, nonce, aad, aad_length, after, plain, length, sealed), 0);

        uint8_t *in_place = exact_copy(plain, length + tag - tag + 1);
        in_place = realloc(in_place, length + tag);
        CHECK_EQUAL(crypto_seal(&seal_key, nonce, aad, aad_length, after, in_place, length, in_place), 0);
        CHECK_BYTES(in_place, sealed, length + tag);

        uint8_t *opened = malloc(length + 1);
        CHECK_EQUAL(crypto_open(&open_key, nonce, aad, aad_length, after, sealed, length, sealed + length, opened), 0);
        CHECK_BYTES(opened, plain, length);
        CHECK_EQUAL(crypto_open(&open_key, nonce, aad, aad_length, after, in_place, length,
                                in_place + length, in_place),
                    0);
        CHECK_BYTES(in_place, plain, length);

        uint8_t *places[] = {sealed, aad, nonce};
        size_t sizes[] = {length + tag, aad_length, 12};
        for (size_t place = 0; place < 3; place++) {
            uint8_t *byte = places[place] + random_next(&seed) % sizes[place];
            const uint8_t bit = (uint8_t)(1u << random_next(&seed) % 8);
            /* A nonce of CTR only changes the plaintext: its HMAC does not cover it. */
            if (place == 2 && cipher == CRYPTO_AES_128_CTR_SHA1_80) continue;
            *byte ^= bit;
            CHECK_EQUAL(crypto_open(&open_key, nonce, aad, aad_length, after, sealed, length, sealed + length, opened),
                        -EBADMSG);
            *byte ^= bit;
        }
        int other_after = crypto_open(&open_key, nonce, aad, aad_length, after + 1, sealed, length,
                                      sealed + length, opened);
        CHECK_EQUAL(other_after, cipher == CRYPTO_AES_128_CTR_SHA1_80 ? -EBADMSG : 0);
        free(plain);
        free(aad);
        free(sealed);
        free(in_place);
        free(opened);
    }
    crypto_wipe(&seal_key);
    crypto_wipe(&seal_key);
    crypto_wipe(&open_key);
    uint8_t nothing[sizeof seal_key] = {0};
    CHECK_BYTES(&seal_key, nothing, sizeof seal_key);
}

static void test_a_key_stays_with_its_backend(enum crypto_choice other)
{
    uint8_t secret[36] = {1}, nonce[16] = {2}, text[36], wanted[36];
    struct crypto_key key = {0};
    expand(CRYPTO_OPENSSL, CRYPTO_AES_128_GCM, secret, &key);
    memset(text, 3, sizeof text);
    CHECK_EQUAL(crypto_seal(&key, nonce, text, 4, 0, text, 20, wanted), 0);
    CHECK_EQUAL(crypto_init(other), 0);
    CHECK_EQUAL(crypto_seal(&key, nonce, text, 4, 0, text, 20, text), 0);
    CHECK_BYTES(text + 4, wanted + 4, 32);
    crypto_wipe(&key);
}

/* Packets of all lengths behind each other as in a slab, so many at once: the same bytes as one by one. */
static void test_tags_of_many_are_those_of_each(void)
{
    enum { MOST = 150, ROOM = 1300 };
    static uint8_t one[MOST][ROOM], many[MOST * ROOM], plain[ROOM];
    static struct crypto_key keys[3];
    uint64_t random = 5;
    for (size_t i = 0; i < sizeof plain; i++) plain[i] = (uint8_t)random_next(&random);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t secret[36];
        random_fill(&random, secret, sizeof secret);
        CHECK_EQUAL(crypto_expand(CRYPTO_AES_128_CTR_SHA1_80, secret, &keys[i]), 0);
    }
    for (unsigned count = 0; count <= MOST; count += count < 20 ? 1 : 13) {
        uint8_t *at = many;
        size_t lengths[MOST];
        for (unsigned i = 0; i < count; i++) {
            const struct crypto_key *key = &keys[i % 3];
            size_t header = 12 + 4 * (i % 6), length = random_next(&random) % 1200;
            uint8_t nonce[16] = {(uint8_t)i, (uint8_t)count};
            memset(at, (int)i, header);
            memset(one[i], (int)i, header);
            CHECK_EQUAL(crypto_seal(key, nonce, one[i], header, i, plain, length, one[i] + header), 0);
            crypto_tags_later(i % 7 != 3);
            CHECK_EQUAL(crypto_seal(key, nonce, at, header, i, plain, length, at + header), 0);
            crypto_tags_later(false);
            lengths[i] = header + length + 10;
            at += lengths[i];
        }
        crypto_tags_write();
        at = many;
        for (unsigned i = 0; i < count; at += lengths[i++]) CHECK_BYTES(at, one[i], lengths[i]);
    }
    for (unsigned i = 0; i < 3; i++) crypto_wipe(&keys[i]);
}

int main(void)
{
    struct crypto_key key = {0};
    uint8_t secret[36] = {0};
    CHECK_EQUAL(crypto_expand((enum crypto_cipher)9, secret, &key), -EINVAL);
    CHECK_EQUAL(crypto_init((enum crypto_choice)9), -ENOTSUP);

    enum crypto_choice found[2] = {CRYPTO_OPENSSL};
    size_t count = 1;
    if (crypto_init(CRYPTO_IPSEC_MB) == 0) found[count++] = CRYPTO_IPSEC_MB;
    test_hmac_sha1_answers_rfc_2202();
    test_keystream_answers_rfc_3711_b2();
    for (size_t i = 0; i < count; i++) {
        CHECK_EQUAL(crypto_init(found[i]), 0);
        printf("%s:", crypto_backend_name());
        test_gcm_answers(found[i]);
        test_a_key_stays_with_its_backend(found[i]);
        for (size_t other = 0; other < count; other++)
            for (int cipher = 1; cipher <= 3; cipher++)
                test_backends_agree(found[i], found[other], (enum crypto_cipher)cipher);
        test_tags_of_many_are_those_of_each();
        for (int cipher = 1; cipher <= 3; cipher++) printf(" %s", ciphers[cipher]);
        printf("\n");
    }
    CHECK_EQUAL(crypto_init(CRYPTO_AUTO), 0);
    return 0;
}
