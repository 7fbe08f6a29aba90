/* The fast backend: libipsec-mb. GCM by its direct calls; for CTR its one-packet cipher call. SHA-1 of packets that may wait for their
   tags (crypto_tags_later) side by side, 16 in the time of three; a lone one by OpenSSL, which is three times as fast then. */
#ifdef SOTTO_HAVE_IPSEC_MB
#define NO_COMPAT_IMB_API_053 /* its old names collide with OpenSSL's */
#include <intel-ipsec-mb.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto_backend.h"
#include "hmac_sha1.h"

struct ctr_key {
    _Alignas(16) uint32_t rounds[4 * 15];
    struct hmac_sha1_key hmac;
};
_Static_assert(sizeof(struct gcm_key_data) <= CRYPTO_EXPANDED_SIZE, "fits the opaque key");
_Static_assert(sizeof(struct ctr_key) <= CRYPTO_EXPANDED_SIZE, "fits the opaque key");

static IMB_MGR *manager; /* of this process, never freed: keys outlive any owner it could have */
static char name[48] = "ipsec-mb";

static const struct gcm_key_data *gcm_key_of(const struct crypto_key *key)
{ return (const struct gcm_key_data *)(const void *)key->expanded; }

static const struct ctr_key *ctr_key_of(const struct crypto_key *key)
{ return (const struct ctr_key *)(const void *)key->expanded; }

static int ipsec_start(void)
{
    if (manager != NULL) return 0;
    if (imb_get_version() < IMB_VERSION(1, 3, 0)) return -ENOTSUP;
    IMB_MGR *made = alloc_mb_mgr(0);
    if (made == NULL) return -ENOTSUP;
    init_mb_mgr_auto(made, NULL);
    const uint64_t wanted = IMB_FEATURE_SELF_TEST | IMB_FEATURE_SELF_TEST_PASS;
    if (imb_get_errno(made) != 0 || (made->features & wanted) != wanted) {
        free_mb_mgr(made);
        return -ENOTSUP;
    }
    snprintf(name, sizeof name, "ipsec-mb %s", imb_get_version_str());
    manager = made;
    return 0;
}

static int ipsec_expand(enum crypto_cipher cipher, const uint8_t *key, struct crypto_key *expanded)
{
    if (cipher == CRYPTO_AES_128_CTR_SHA1_80) {
        struct ctr_key *made = (struct ctr_key *)(void *)expanded->expanded;
        _Alignas(16) uint32_t decrypt[4 * 15]; /* the call wants it; CTR does not */
        IMB_AES_KEYEXP_128(manager, key, made->rounds, decrypt);
        crypto_zero(decrypt, sizeof decrypt);
        hmac_sha1_key_make(&made->hmac, key + 16, 20);
        return 0;
    }
    struct gcm_key_data *made = (struct gcm_key_data *)(void *)expanded->expanded;
    if (cipher == CRYPTO_AES_128_GCM)
        IMB_AES128_GCM_PRE(manager, key, made);
    else
        IMB_AES256_GCM_PRE(manager, key, made);
    return 0;
}

static int ctr_crypt(const struct ctr_key *key, const uint8_t *nonce, const uint8_t *in,
                     size_t length, uint8_t *out)
{
    if (length == 0) return 0;
    IMB_JOB job;
    memset(&job, 0, sizeof job);
    job.enc_keys = key->rounds;
    job.dec_keys = key->rounds;
    job.key_len_in_bytes = 16;
    job.iv = nonce;
    job.iv_len_in_bytes = 16;
    job.src = in;
    job.dst = out;
    job.msg_len_to_cipher_in_bytes = length;
    job.cipher_mode = IMB_CIPHER_CNTR;
    job.cipher_direction = IMB_DIR_ENCRYPT;
    job.hash_alg = IMB_AUTH_NULL;
    IMB_SUBMIT_CIPHER_BURST_NOCHECK(manager, &job, 1, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT, 16);
    return job.status & IMB_STATUS_COMPLETED_CIPHER ? 0 : -EIO;
}

/* ---- tags of many packets ---- */

/* Hashed together. Higher: packets leave the cache before they are hashed. Lower: lanes of the last round stay empty oftener. */
#define TAGS_AT_ONCE 64u
/* So few are faster one by one. */
#define TAGS_ALONE 3u
#define SHA1_TAG 20 /* what the library writes; the packet gets 10 of them */

static struct {
    struct {
        const struct hmac_sha1_key *key;
        uint8_t *packet, *tag;
        size_t length; /* with the word behind the ciphertext, where the tag will stand */
    } packets[TAGS_AT_ONCE];
    unsigned count;
} unsigned_yet;

static void tags_write_alone(void)
{
    for (unsigned i = 0; i < unsigned_yet.count; i++) {
        uint8_t digest[HMAC_SHA1_SIZE];
        struct hmac_part part = {unsigned_yet.packets[i].packet, unsigned_yet.packets[i].length};
        hmac_sha1(unsigned_yet.packets[i].key, &part, 1, digest);
        memcpy(unsigned_yet.packets[i].tag, digest, 10);
    }
}

static bool tags_write_together(void)
{
    static IMB_JOB jobs[TAGS_AT_ONCE];
    static uint8_t tags[TAGS_AT_ONCE][SHA1_TAG];
    unsigned count = unsigned_yet.count;
    memset(jobs, 0, sizeof jobs[0] * count);
    for (unsigned i = 0; i < count; i++) {
        IMB_JOB *job = &jobs[i];
        job->src = unsigned_yet.packets[i].packet;
        job->msg_len_to_hash_in_bytes = unsigned_yet.packets[i].length;
        job->auth_tag_output = tags[i];
        job->auth_tag_output_len_in_bytes = SHA1_TAG;
        job->u.HMAC._hashed_auth_key_xor_ipad = (const uint8_t *)unsigned_yet.packets[i].key->inner;
        job->u.HMAC._hashed_auth_key_xor_opad = (const uint8_t *)unsigned_yet.packets[i].key->outer;
        job->cipher_mode = IMB_CIPHER_NULL;
        job->hash_alg = IMB_AUTH_HMAC_SHA_1;
    }
    if (IMB_SUBMIT_HASH_BURST_NOCHECK(manager, jobs, count, IMB_AUTH_HMAC_SHA_1) != count)
        return false;
    for (unsigned i = 0; i < count; i++) memcpy(unsigned_yet.packets[i].tag, tags[i], 10);
    return true;
}

void crypto_ipsec_tags_write(void)
{
    if (!unsigned_yet.count) return;
    if (unsigned_yet.count <= TAGS_ALONE || !tags_write_together()) tags_write_alone();
    unsigned_yet.count = 0;
}

static void tag_later(const struct hmac_sha1_key *key, size_t aad_length, uint8_t *sealed,
                      size_t length, uint32_t after)
{
    if (unsigned_yet.count == TAGS_AT_ONCE) crypto_ipsec_tags_write();
    uint8_t *word = sealed + length;
    word[0] = (uint8_t)(after >> 24);
    word[1] = (uint8_t)(after >> 16);
    word[2] = (uint8_t)(after >> 8);
    word[3] = (uint8_t)after;
    unsigned number = unsigned_yet.count++;
    unsigned_yet.packets[number].key = key;
    unsigned_yet.packets[number].packet = sealed - aad_length;
    unsigned_yet.packets[number].tag = word;
    unsigned_yet.packets[number].length = aad_length + length + 4;
}

static int ipsec_seal(const struct crypto_key *key, const uint8_t *nonce, const uint8_t *aad,
                      size_t aad_length, uint32_t after, const uint8_t *plain, size_t length, uint8_t *out)
{
    if (key->cipher == CRYPTO_AES_128_CTR_SHA1_80) {
        const struct ctr_key *own = ctr_key_of(key);
        int failed = ctr_crypt(own, nonce, plain, length, out);
        if (failed) return failed;
        if (crypto_tags_are_later && aad + aad_length == out)
            tag_later(&own->hmac, aad_length, out, length, after);
        else
            crypto_sha1_80(&own->hmac, aad, aad_length, out, length, after, out + length);
        return 0;
    }
    struct gcm_context_data context;
    if (key->cipher == CRYPTO_AES_128_GCM)
        IMB_AES128_GCM_ENC(manager, gcm_key_of(key), &context, out, plain, length, nonce, aad,
                           aad_length, out + length, 16);
    else
        IMB_AES256_GCM_ENC(manager, gcm_key_of(key), &context, out, plain, length, nonce, aad,
                           aad_length, out + length, 16);
    return 0;
}

static int ipsec_open(const struct crypto_key *key, const uint8_t *nonce, const uint8_t *aad,
                      size_t aad_length, uint32_t after, const uint8_t *sealed, size_t length,
                      const uint8_t *tag, uint8_t *out)
{
    if (key->cipher == CRYPTO_AES_128_CTR_SHA1_80) {
        const struct ctr_key *own = ctr_key_of(key);
        uint8_t expected[10];
        crypto_sha1_80(&own->hmac, aad, aad_length, sealed, length, after, expected);
        if (crypto_compare(expected, tag, sizeof expected) != 0) return -EBADMSG;
        return ctr_crypt(own, nonce, sealed, length, out) == 0 ? 0 : -EBADMSG;
    }
    struct gcm_context_data context;
    uint8_t expected[16];
    if (key->cipher == CRYPTO_AES_128_GCM)
        IMB_AES128_GCM_DEC(manager, gcm_key_of(key), &context, out, sealed, length, nonce, aad,
                           aad_length, expected, sizeof expected);
    else
        IMB_AES256_GCM_DEC(manager, gcm_key_of(key), &context, out, sealed, length, nonce, aad,
                           aad_length, expected, sizeof expected);
    return crypto_compare(expected, tag, sizeof expected) == 0 ? 0 : -EBADMSG;
}

static void ipsec_wipe(struct crypto_key *key)
{ (void)key; }

const struct crypto_backend crypto_backend_ipsec_mb = {
    .name = name,
    .start = ipsec_start,
    .expand = ipsec_expand,
    .seal = ipsec_seal,
    .open = ipsec_open,
    .wipe = ipsec_wipe,
};
#else
typedef int crypto_ipsec_absent; /* ISO C wants a file to declare something */
#endif
