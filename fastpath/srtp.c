#include "srtp.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "bytes.h"
#include "replay.h"

enum {
    RTP_FIXED_HEADER = 12,
    RTCP_CLEAR_HEADER = 8, /* first header and sender SSRC: RFC 3711 3.4 */
    RTCP_INDEX_WORD = 4,
};
#define RTCP_ENCRYPTED_FLAG 0x80000000u

/* RFC 3711 4.3.2 */
enum label { RTP_KEY = 0, RTP_AUTH = 1, RTP_SALT = 2, RTCP_KEY = 3, RTCP_AUTH = 4, RTCP_SALT = 5 };

struct shape { /* of a profile, in bytes */
    enum crypto_cipher cipher;
    uint8_t key, auth, salt, tag;
};

static const struct shape *shape_of(enum srtp_profile profile)
{
    static const struct shape cm_sha1_80 = {CRYPTO_AES_128_CTR_SHA1_80, 16, 20, 14, 10};
    static const struct shape gcm_128 = {CRYPTO_AES_128_GCM, 16, 0, 12, 16};
    static const struct shape gcm_256 = {CRYPTO_AES_256_GCM, 32, 0, 12, 16};
    switch (profile) {
    case SRTP_AES128_CM_SHA1_80: return &cm_sha1_80;
    case SRTP_AEAD_AES_128_GCM: return &gcm_128;
    case SRTP_AEAD_AES_256_GCM: return &gcm_256;
    case SRTP_NONE: break;
    }
    return NULL;
}

/* ---- keys ---- */

/* RFC 3711 4.3.1 with key derivation rate 0: the label is added at the seventh byte of the master
   salt, whose 112 bits a 96-bit salt fills from the left (RFC 7714 11). */
static int key_derive(const struct shape *shape, const struct srtp_key *master, enum label label,
                      uint8_t *out, size_t length)
{
    uint8_t counter[16] = {0};
    memcpy(counter, master->salt, shape->salt);
    counter[7] ^= (uint8_t)label;
    return crypto_keystream(master->key, shape->key, counter, out, length);
}

static int crypt_expand(struct crypto_key *key, uint8_t salt[16], const struct shape *shape,
                        const struct srtp_key *master, enum label first)
{
    uint8_t secret[32 + 20];
    int failed = key_derive(shape, master, first, secret, shape->key);
    if (!failed) failed = key_derive(shape, master, first + 1, secret + shape->key, shape->auth);
    if (!failed) failed = key_derive(shape, master, first + 2, salt, shape->salt);
    if (!failed) failed = crypto_expand(shape->cipher, secret, key);
    crypto_zero(secret, sizeof secret);
    return failed;
}

int srtp_keys_expand(struct srtp_keys *keys, enum srtp_profile profile, const struct srtp_key *master)
{
    const struct shape *shape = shape_of(profile);
    memset(keys, 0, sizeof *keys);
    if (shape == NULL) return -EINVAL;
    int failed = crypt_expand(&keys->rtp, keys->rtp_salt, shape, master, RTP_KEY);
    if (!failed) failed = crypt_expand(&keys->rtcp, keys->rtcp_salt, shape, master, RTCP_KEY);
    if (failed) {
        srtp_keys_wipe(keys);
        return failed == -EINVAL ? failed : -ENOMEM;
    }
    keys->profile = (uint16_t)profile;
    keys->tag_size = shape->tag;
    return 0;
}

void srtp_keys_wipe(struct srtp_keys *keys)
{
    crypto_wipe(&keys->rtp);
    crypto_wipe(&keys->rtcp);
    crypto_zero(keys, sizeof *keys);
}

static bool keys_are_cm(const struct srtp_keys *keys)
{ return keys->profile == SRTP_AES128_CM_SHA1_80; }

/* RFC 3711 4.1.1 and RFC 7714 8.1, 9.1: SSRC and index are added to the salt, of 14 bytes with two
   of block counter behind, or of 12 bytes. An SRTCP index is the same with 31 bits. */
static void nonce_make(const struct srtp_keys *keys, const uint8_t salt[16], uint32_t ssrc,
                       uint64_t index, uint8_t nonce[CRYPTO_NONCE_SIZE])
{
    const size_t at = keys_are_cm(keys) ? 4 : 2;
    uint8_t variable[16] = {0};
    store_be32(variable + at, ssrc);
    store_be16(variable + at + 4, (uint16_t)(index >> 32));
    store_be32(variable + at + 6, (uint32_t)index);
    for (size_t i = 0; i < 16; i++) nonce[i] = salt[i] ^ variable[i];
}

/* ---- RTP ---- */

struct srtp_rx_state *srtp_rx_find(struct srtp_rx_state *rx, uint32_t ssrc)
{
    for (size_t i = 0; i < LIMIT_RX_SSRCS; i++)
        if (rx[i].ssrc == ssrc) return &rx[i];
    return NULL;
}

/* RFC 3711 3.3.1 and appendix A: of the three rollover counters the one whose index is nearest to
   the highest. An index below 0 (a packet from before the first we saw) or of more than 48 bits
   comes out as SRTP_INDEX_LIMIT or more. */
static uint64_t index_estimate(uint64_t highest, uint16_t sequence)
{
    const uint16_t newest = (uint16_t)highest;
    uint64_t rollover = highest >> 16;
    if (newest < 0x8000 && sequence > newest + 0x8000)
        rollover--;
    else if (newest >= 0x8000 && sequence < newest - 0x8000)
        rollover++;
    return rollover << 16 | sequence;
}

/* `ssrc` last: until then the entry is free. */
static void rx_claim(struct srtp_rx_state *entry, uint32_t ssrc, uint64_t index)
{
    memset(entry->window, 0, sizeof entry->window);
    entry->window[index % LIMIT_REPLAY_WINDOW / 64] = 1ull << (index % 64);
    entry->highest = index;
    entry->used = 1;
    table_barrier();
    entry->ssrc = ssrc;
    table_barrier();
}

int srtp_unprotect_untrusted(const struct srtp_keys *keys, struct srtp_rx_state *rx,
                             uint8_t *packet, size_t *length, size_t header_length, uint64_t *index)
{
    const size_t tag = keys->tag_size;
    if (keys->profile == SRTP_NONE || header_length < RTP_FIXED_HEADER || *length < header_length ||
        *length - header_length < tag || packet[0] >> 6 != 2)
        return -EINVAL;
    const uint16_t sequence = load_be16(packet + 2);
    const uint32_t ssrc = load_be32(packet + 8);
    if (ssrc == 0) return -EINVAL;

    struct srtp_rx_state *known = srtp_rx_find(rx, ssrc);
    struct srtp_rx_state *entry = known != NULL ? known : srtp_rx_find(rx, 0);
    if (entry == NULL) return -ENOSPC;
    const uint64_t estimate = known != NULL ? index_estimate(known->highest, sequence) : sequence;
    if (estimate >= SRTP_INDEX_LIMIT) return -EALREADY;
    if (known != NULL && replay_refuses(known->window, LIMIT_REPLAY_WINDOW, known->highest, estimate))
        return -EALREADY;

    uint8_t nonce[CRYPTO_NONCE_SIZE];
    nonce_make(keys, keys->rtp_salt, ssrc, estimate, nonce);
    uint8_t *payload = packet + header_length;
    const size_t payload_length = *length - header_length - tag;
    int failed = crypto_open(&keys->rtp, nonce, packet, header_length, (uint32_t)(estimate >> 16),
                             payload, payload_length, payload + payload_length, payload);
    if (failed) return -EBADMSG;

    if (known != NULL)
        replay_accept(known->window, LIMIT_REPLAY_WINDOW, &known->highest, estimate);
    else
        rx_claim(entry, ssrc, estimate);
    *length -= tag;
    *index = estimate;
    return 0;
}

int srtp_protect(const struct srtp_keys *keys, uint64_t index, uint8_t *out, size_t capacity,
                 size_t header_length, const uint8_t *payload, size_t payload_length)
{
    if (keys->profile == SRTP_NONE || header_length < RTP_FIXED_HEADER ||
        header_length > LIMIT_DATAGRAM || payload_length > LIMIT_DATAGRAM)
        return -EINVAL;
    if (header_length + payload_length + keys->tag_size > capacity) return -ENOBUFS;
    if (index >= SRTP_INDEX_LIMIT) return -EOVERFLOW;
    if (load_be16(out + 2) != (uint16_t)index) return -EINVAL;

    uint8_t nonce[CRYPTO_NONCE_SIZE];
    nonce_make(keys, keys->rtp_salt, load_be32(out + 8), index, nonce);
    int failed = crypto_seal(&keys->rtp, nonce, out, header_length, (uint32_t)(index >> 16),
                             payload, payload_length, out + header_length);
    return failed ? failed : (int)(header_length + payload_length + keys->tag_size);
}

/* ---- RTCP ---- */

/* Where things stand behind the encrypted part: RFC 3711 3.4 puts the index word before the tag,
   RFC 7714 9.2 after it. */
static uint8_t *rtcp_tag(const struct srtp_keys *keys, uint8_t *behind)
{ return keys_are_cm(keys) ? behind + RTCP_INDEX_WORD : behind; }

static uint8_t *rtcp_word(const struct srtp_keys *keys, uint8_t *behind)
{ return keys_are_cm(keys) ? behind : behind + keys->tag_size; }

/* RFC 7714 9.3 authenticates the clear header and the index word before the ciphertext; CM has the
   word behind. */
static size_t rtcp_aad(const struct srtp_keys *keys, const uint8_t *packet, uint32_t word,
                       uint8_t aad[RTCP_CLEAR_HEADER + RTCP_INDEX_WORD])
{
    memcpy(aad, packet, RTCP_CLEAR_HEADER);
    if (keys_are_cm(keys)) return RTCP_CLEAR_HEADER;
    store_be32(aad + RTCP_CLEAR_HEADER, word);
    return RTCP_CLEAR_HEADER + RTCP_INDEX_WORD;
}

int srtcp_protect(const struct srtp_keys *keys, uint32_t *tx_index, uint8_t *packet, size_t length, size_t capacity)
{
    if (keys->profile == SRTP_NONE || length < RTCP_CLEAR_HEADER || length > LIMIT_DATAGRAM)
        return -EINVAL;
    if (length + keys->tag_size + RTCP_INDEX_WORD > capacity) return -ENOBUFS;
    const uint32_t index = *tx_index;
    if (index >= SRTCP_INDEX_LIMIT) return -EOVERFLOW;
    *tx_index = index + 1;
    table_barrier();

    const uint32_t word = RTCP_ENCRYPTED_FLAG | index;
    uint8_t nonce[CRYPTO_NONCE_SIZE], aad[RTCP_CLEAR_HEADER + RTCP_INDEX_WORD];
    nonce_make(keys, keys->rtcp_salt, load_be32(packet + 4), index, nonce);
    const size_t aad_length = rtcp_aad(keys, packet, word, aad);
    /* The seal writes the tag right behind the ciphertext; for CM it is moved behind the index word. */
    uint8_t *behind = packet + length, *body = packet + RTCP_CLEAR_HEADER;
    int failed = crypto_seal(&keys->rtcp, nonce, aad, aad_length, word, body, length - RTCP_CLEAR_HEADER, body);
    if (failed) return failed;
    if (keys_are_cm(keys)) memmove(rtcp_tag(keys, behind), behind, keys->tag_size);
    store_be32(rtcp_word(keys, behind), word);
    return (int)(length + keys->tag_size + RTCP_INDEX_WORD);
}

static struct srtcp_rx_state *rtcp_rx_find(struct srtcp_rx_state *rx, uint32_t ssrc)
{
    for (size_t i = 0; i < LIMIT_RX_SSRCS; i++)
        if (rx[i].ssrc == ssrc) return &rx[i];
    return NULL;
}

static void rtcp_rx_claim(struct srtcp_rx_state *entry, uint32_t ssrc, uint32_t index)
{
    memset(entry->window, 0, sizeof entry->window);
    entry->window[index % LIMIT_RTCP_REPLAY_WINDOW / 64] = 1ull << (index % 64);
    entry->highest = index;
    entry->used = 1;
    table_barrier();
    entry->ssrc = ssrc;
    table_barrier();
}

int srtcp_unprotect_untrusted(const struct srtp_keys *keys, struct srtcp_rx_state *rx,
                              uint8_t *packet, size_t *length)
{
    const size_t overhead = (size_t)keys->tag_size + RTCP_INDEX_WORD;
    if (keys->profile == SRTP_NONE || *length < RTCP_CLEAR_HEADER + overhead || packet[0] >> 6 != 2)
        return -EINVAL;
    uint8_t *behind = packet + *length - overhead, *body = packet + RTCP_CLEAR_HEADER;
    const uint32_t word = load_be32(rtcp_word(keys, behind)), index = word & ~RTCP_ENCRYPTED_FLAG;
    const uint32_t ssrc = load_be32(packet + 4);
    if (ssrc == 0 || !(word & RTCP_ENCRYPTED_FLAG)) return -EINVAL;

    struct srtcp_rx_state *known = rtcp_rx_find(rx, ssrc);
    struct srtcp_rx_state *entry = known != NULL ? known : rtcp_rx_find(rx, 0);
    if (entry == NULL) return -ENOSPC;
    if (known != NULL && replay_refuses(known->window, LIMIT_RTCP_REPLAY_WINDOW, known->highest, index))
        return -EALREADY;

    uint8_t nonce[CRYPTO_NONCE_SIZE], aad[RTCP_CLEAR_HEADER + RTCP_INDEX_WORD];
    nonce_make(keys, keys->rtcp_salt, ssrc, index, nonce);
    const size_t aad_length = rtcp_aad(keys, packet, word, aad);
    int failed = crypto_open(&keys->rtcp, nonce, aad, aad_length, word, body,
                             (size_t)(behind - body), rtcp_tag(keys, behind), body);
    if (failed) return -EBADMSG;

    if (known != NULL)
        replay_accept(known->window, LIMIT_RTCP_REPLAY_WINDOW, &known->highest, index);
    else
        rtcp_rx_claim(entry, ssrc, index);
    *length -= overhead;
    return 0;
}
