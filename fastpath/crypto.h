/* Authenticated encryption of one packet: four functions over two backends (libipsec-mb where it
 * was compiled in and its self test passes, else OpenSSL's EVP). Knows nothing of RTP: nonces, what
 * is authenticated and where tags stand in a packet are srtp.c's.
 *
 * Nothing here allocates or makes a syscall after crypto_expand. A worker is one thread: a key and
 * a backend are used by one thread at a time. Errors are negative errno values. */
#ifndef SOTTO_CRYPTO_H
#define SOTTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum crypto_cipher {
    CRYPTO_AES_128_GCM = 1,         /* key 16, nonce 12, tag 16 bytes */
    CRYPTO_AES_256_GCM = 2,         /* key 32, nonce 12, tag 16 bytes */
    CRYPTO_AES_128_CTR_SHA1_80 = 3, /* key 16 + HMAC key 20 bytes, nonce 16 (first counter block), tag 10 */
};

enum crypto_choice {
    CRYPTO_AUTO = 0, /* the fastest that passes its self test */
    CRYPTO_OPENSSL = 1,
    CRYPTO_IPSEC_MB = 2,
};

#define CRYPTO_NONCE_SIZE 16 /* room for any cipher's nonce */
#define CRYPTO_TAG_MAX 16
/* Largest expanded key of a backend (gcm_key_data of libipsec-mb: 1008 bytes). Higher: more memory
   per key, four keys a transport. Lower: does not compile. */
#define CRYPTO_EXPANDED_SIZE 1024

struct crypto_backend;

/* An expanded key in the caller's memory; its contents are private. All zero = no key. May not be
   copied or moved: it can hold pointers, and crypto_wipe frees them once. Memory from the heap must
   be aligned to 64 bytes (aligned_alloc). */
struct crypto_key {
    _Alignas(64) uint8_t expanded[CRYPTO_EXPANDED_SIZE];
    const struct crypto_backend *backend;
    uint8_t cipher;   /* enum crypto_cipher, 0 = no key */
    uint8_t tag_size; /* bytes */
    uint8_t reserved[6];
};

/* Chooses the backend of every key expanded from now on; a key stays with the backend that expanded
   it. 0, or -ENOTSUP when the choice was not compiled in or its self test fails (the older choice
   stays). Without a call the first crypto_expand chooses CRYPTO_AUTO. */
int crypto_init(enum crypto_choice choice);
/* "ipsec-mb 1.3.0" or "openssl 3.0.22"; the backend crypto_init chose. */
const char *crypto_backend_name(void);

/* 1. Expands `key` (bytes as the cipher says; the HMAC key follows the AES key). `expanded` must
      hold no live key. 0, -EINVAL for an unknown cipher, -ENOMEM. */
int crypto_expand(enum crypto_cipher cipher, const uint8_t *key, struct crypto_key *expanded);

/* 2. Encrypts `length` bytes of `plain` to `out` and writes the tag behind them: out holds length +
      tag_size bytes. plain == out is allowed, any other overlap is not. `aad` is authenticated
      before the ciphertext. `after` is authenticated behind it as four big-endian bytes by CTR_SHA1
      only (RFC 3711's rollover counter or SRTCP index); GCM ignores it. 0, or -EIO if the backend
      failed, which it has no reason to: send nothing then. */
int crypto_seal(const struct crypto_key *key, const uint8_t nonce[CRYPTO_NONCE_SIZE], const uint8_t *aad,
                size_t aad_length, uint32_t after, const uint8_t *plain, size_t length, uint8_t *out);

/* 2b. Tags of CTR_SHA1 for many packets at once. After crypto_tags_later(true) a packet that crypto_seal makes has its tag only when
       crypto_tags_write returns, and until then its bytes stay where they are; `aad` stands right before `out`, or it is done at once. Of no effect on other
       ciphers, and with a backend that hashes packets one by one. After crypto_tags_later(false) crypto_seal makes whole packets again. */
extern bool crypto_tags_are_later;
static inline void crypto_tags_later(bool later)
{ crypto_tags_are_later = later; }
void crypto_tags_write(void);

/* 3. Checks the tag at `tag` in constant time and decrypts `length` bytes of `sealed` to `out`
      (equal to sealed, or elsewhere without overlap). 0, or -EBADMSG: what is in `out` then is
      garbage. */
int crypto_open(const struct crypto_key *key, const uint8_t nonce[CRYPTO_NONCE_SIZE],
                const uint8_t *aad, size_t aad_length, uint32_t after, const uint8_t *sealed,
                size_t length, const uint8_t *tag, uint8_t *out);

/* 4. Frees and zeroes; harmless on an all-zero key and a second time. */
void crypto_wipe(struct crypto_key *key);

/* The AES-CM keystream of RFC 3711 4.1.1, for key derivation only: not fast. `counter` is the first
   counter block. length <= 64. 0 or -EIO. */
int crypto_keystream(const uint8_t *key, size_t key_length, const uint8_t counter[16], uint8_t *out, size_t length);

/* 0 when equal, in a time that depends on `length` alone. */
int crypto_compare(const void *a, const void *b, size_t length);
/* Zeroes memory in a way the compiler keeps. */
void crypto_zero(void *memory, size_t length);

#endif
