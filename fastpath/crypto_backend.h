/* What a backend of crypto.h is. Included by crypto*.c only. */
#ifndef SOTTO_CRYPTO_BACKEND_H
#define SOTTO_CRYPTO_BACKEND_H

#include "crypto.h"

/* The functions mean what those of crypto.h do, with arguments already checked. */
struct crypto_backend {
    const char *name;
    int (*start)(void); /* self test; 0 or -ENOTSUP; called again it only answers */
    int (*expand)(enum crypto_cipher cipher, const uint8_t *key, struct crypto_key *expanded);
    int (*seal)(const struct crypto_key *key, const uint8_t *nonce, const uint8_t *aad,
                size_t aad_length, uint32_t after, const uint8_t *plain, size_t length, uint8_t *out);
    int (*open)(const struct crypto_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_length,
                uint32_t after, const uint8_t *sealed, size_t length, const uint8_t *tag, uint8_t *out);
    void (*wipe)(struct crypto_key *key); /* frees what the key points to; crypto_wipe zeroes */
};

extern const struct crypto_backend crypto_backend_openssl;
#ifdef SOTTO_HAVE_IPSEC_MB
extern const struct crypto_backend crypto_backend_ipsec_mb;
void crypto_ipsec_tags_write(void);
#endif

/* RFC 3711 4.2: HMAC-SHA1 over header, ciphertext and the word `after`, cut to 80 bits. */
struct hmac_sha1_key;
void crypto_sha1_80(const struct hmac_sha1_key *key, const uint8_t *aad, size_t aad_length,
                    const uint8_t *sealed, size_t length, uint32_t after, uint8_t tag[10]);

#endif
