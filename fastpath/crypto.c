#include "crypto.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "crypto_backend.h"
#include "hmac_sha1.h"

static const struct crypto_backend *chosen; /* of this process; set before the loop starts */

static const struct crypto_backend *backend_of(enum crypto_choice choice)
{
#ifdef SOTTO_HAVE_IPSEC_MB
    if (choice == CRYPTO_IPSEC_MB) return &crypto_backend_ipsec_mb;
#endif
    return choice == CRYPTO_OPENSSL ? &crypto_backend_openssl : NULL;
}

bool crypto_tags_are_later;

void crypto_tags_write(void)
{
#ifdef SOTTO_HAVE_IPSEC_MB
    crypto_ipsec_tags_write();
#endif
}

int crypto_init(enum crypto_choice choice)
{
    if (choice == CRYPTO_AUTO)
        return crypto_init(CRYPTO_IPSEC_MB) == 0 ? 0 : crypto_init(CRYPTO_OPENSSL);
    const struct crypto_backend *backend = backend_of(choice);
    if (backend == NULL || backend->start() != 0) return -ENOTSUP;
    chosen = backend;
    return 0;
}

const char *crypto_backend_name(void)
{ return chosen == NULL ? "none" : chosen->name; }

int crypto_expand(enum crypto_cipher cipher, const uint8_t *key, struct crypto_key *expanded)
{
    if (cipher != CRYPTO_AES_128_GCM && cipher != CRYPTO_AES_256_GCM && cipher != CRYPTO_AES_128_CTR_SHA1_80)
        return -EINVAL;
    if (chosen == NULL && crypto_init(CRYPTO_AUTO) != 0) return -ENOMEM;
    memset(expanded, 0, sizeof *expanded);
    int failed = chosen->expand(cipher, key, expanded);
    if (failed) {
        crypto_zero(expanded, sizeof *expanded);
        return failed;
    }
    expanded->backend = chosen;
    expanded->cipher = (uint8_t)cipher;
    expanded->tag_size = cipher == CRYPTO_AES_128_CTR_SHA1_80 ? 10 : 16;
    return 0;
}

int crypto_seal(const struct crypto_key *key, const uint8_t nonce[CRYPTO_NONCE_SIZE], const uint8_t *aad,
                size_t aad_length, uint32_t after, const uint8_t *plain, size_t length, uint8_t *out)
{ return key->backend->seal(key, nonce, aad, aad_length, after, plain, length, out); }

int crypto_open(const struct crypto_key *key, const uint8_t nonce[CRYPTO_NONCE_SIZE],
                const uint8_t *aad, size_t aad_length, uint32_t after, const uint8_t *sealed,
                size_t length, const uint8_t *tag, uint8_t *out)
{ return key->backend->open(key, nonce, aad, aad_length, after, sealed, length, tag, out); }

void crypto_wipe(struct crypto_key *key)
{
    if (key->backend != NULL) key->backend->wipe(key);
    crypto_zero(key, sizeof *key);
}

void crypto_sha1_80(const struct hmac_sha1_key *key, const uint8_t *aad, size_t aad_length,
                    const uint8_t *sealed, size_t length, uint32_t after, uint8_t tag[10])
{
    uint8_t word[4], digest[HMAC_SHA1_SIZE];
    word[0] = (uint8_t)(after >> 24);
    word[1] = (uint8_t)(after >> 16);
    word[2] = (uint8_t)(after >> 8);
    word[3] = (uint8_t)after;
    const struct hmac_part parts[] = {{aad, aad_length}, {sealed, length}, {word, sizeof word}};
    hmac_sha1(key, parts, 3, digest);
    memcpy(tag, digest, 10);
}

int crypto_keystream(const uint8_t *key, size_t key_length, const uint8_t counter[16], uint8_t *out, size_t length)
{
    if ((key_length != 16 && key_length != 32) || length > 64) return -EINVAL;
    const EVP_CIPHER *cipher = key_length == 16 ? EVP_aes_128_ctr() : EVP_aes_256_ctr();
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int written = 0;
    memset(out, 0, length);
    int good = context != NULL && EVP_EncryptInit_ex(context, cipher, NULL, key, counter) == 1 &&
               EVP_EncryptUpdate(context, out, &written, out, (int)length) == 1;
    EVP_CIPHER_CTX_free(context);
    return good ? 0 : -EIO;
}

int crypto_compare(const void *a, const void *b, size_t length)
{ return CRYPTO_memcmp(a, b, length); }

void crypto_zero(void *memory, size_t length)
{ OPENSSL_cleanse(memory, length); }
