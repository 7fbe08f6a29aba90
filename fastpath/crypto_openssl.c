/* The backend that is everywhere: OpenSSL 3, one EVP context per key, made once. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "crypto_backend.h"
#include "hmac_sha1.h"

struct openssl_key {
    EVP_CIPHER_CTX *context; /* keyed; each packet only sets its nonce */
    struct hmac_sha1_key hmac;
};
_Static_assert(sizeof(struct openssl_key) <= CRYPTO_EXPANDED_SIZE, "fits the opaque key");

static char name[48] = "openssl";

static const struct openssl_key *key_of(const struct crypto_key *key)
{ return (const struct openssl_key *)(const void *)key->expanded; }

static int openssl_start(void)
{
    snprintf(name, sizeof name, "openssl %s", OpenSSL_version(OPENSSL_VERSION_STRING));
    return 0;
}

static int openssl_expand(enum crypto_cipher cipher, const uint8_t *key, struct crypto_key *expanded)
{
    struct openssl_key *made = (struct openssl_key *)(void *)expanded->expanded;
    const EVP_CIPHER *kind = cipher == CRYPTO_AES_128_GCM   ? EVP_aes_128_gcm()
                             : cipher == CRYPTO_AES_256_GCM ? EVP_aes_256_gcm()
                                                            : EVP_aes_128_ctr();
    made->context = EVP_CIPHER_CTX_new();
    if (made->context == NULL) return -ENOMEM;
    if (EVP_EncryptInit_ex(made->context, kind, NULL, key, NULL) != 1) {
        EVP_CIPHER_CTX_free(made->context);
        return -ENOMEM;
    }
    if (cipher == CRYPTO_AES_128_CTR_SHA1_80) hmac_sha1_key_make(&made->hmac, key + 16, 20);
    return 0;
}

static int gcm_seal(EVP_CIPHER_CTX *context, const uint8_t *nonce, const uint8_t *aad,
                    size_t aad_length, const uint8_t *plain, size_t length, uint8_t *out)
{
    int written = 0;
    int good = EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, 1) == 1 &&
               EVP_EncryptUpdate(context, NULL, &written, aad, (int)aad_length) == 1 &&
               (length == 0 || EVP_EncryptUpdate(context, out, &written, plain, (int)length) == 1) &&
               EVP_EncryptFinal_ex(context, out + length, &written) == 1 &&
               EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, out + length) == 1;
    return good ? 0 : -EIO;
}

static int gcm_open(EVP_CIPHER_CTX *context, const uint8_t *nonce, const uint8_t *aad, size_t aad_length,
                    const uint8_t *sealed, size_t length, const uint8_t *tag, uint8_t *out)
{
    int written = 0;
    uint8_t expected[16], none[16];
    memcpy(expected, tag, sizeof expected); /* the control function takes no const */
    int good = EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, 0) == 1 &&
               EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, 16, expected) == 1 &&
               EVP_DecryptUpdate(context, NULL, &written, aad, (int)aad_length) == 1 &&
               (length == 0 || EVP_DecryptUpdate(context, out, &written, sealed, (int)length) == 1) &&
               EVP_DecryptFinal_ex(context, none, &written) == 1; /* compares in constant time */
    return good ? 0 : -EBADMSG;
}

static int ctr_crypt(EVP_CIPHER_CTX *context, const uint8_t *nonce, const uint8_t *in, size_t length, uint8_t *out)
{
    int written = 0;
    int good = EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
               (length == 0 || EVP_EncryptUpdate(context, out, &written, in, (int)length) == 1);
    return good ? 0 : -EIO;
}

static int openssl_seal(const struct crypto_key *key, const uint8_t *nonce, const uint8_t *aad,
                        size_t aad_length, uint32_t after, const uint8_t *plain, size_t length, uint8_t *out)
{
    const struct openssl_key *own = key_of(key);
    if (key->cipher != CRYPTO_AES_128_CTR_SHA1_80)
        return gcm_seal(own->context, nonce, aad, aad_length, plain, length, out);
    int failed = ctr_crypt(own->context, nonce, plain, length, out);
    if (!failed) crypto_sha1_80(&own->hmac, aad, aad_length, out, length, after, out + length);
    return failed;
}

static int openssl_open(const struct crypto_key *key, const uint8_t *nonce, const uint8_t *aad,
                        size_t aad_length, uint32_t after, const uint8_t *sealed, size_t length,
                        const uint8_t *tag, uint8_t *out)
{
    const struct openssl_key *own = key_of(key);
    if (key->cipher != CRYPTO_AES_128_CTR_SHA1_80)
        return gcm_open(own->context, nonce, aad, aad_length, sealed, length, tag, out);
    uint8_t expected[10];
    crypto_sha1_80(&own->hmac, aad, aad_length, sealed, length, after, expected);
    if (crypto_compare(expected, tag, sizeof expected) != 0) return -EBADMSG;
    return ctr_crypt(own->context, nonce, sealed, length, out) == 0 ? 0 : -EBADMSG;
}

static void openssl_wipe(struct crypto_key *key)
{ EVP_CIPHER_CTX_free(key_of(key)->context); }

const struct crypto_backend crypto_backend_openssl = {
    .name = name,
    .start = openssl_start,
    .expand = openssl_expand,
    .seal = openssl_seal,
    .open = openssl_open,
    .wipe = openssl_wipe,
};
