/* HMAC-SHA1 (RFC 2104) with the key's two blocks hashed once: what SRTP tags and STUN's
   MESSAGE-INTEGRITY need a few hundred thousand times a second. Does not allocate, cannot fail. */
#ifndef SOTTO_HMAC_SHA1_H
#define SOTTO_HMAC_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define HMAC_SHA1_SIZE 20

struct hmac_sha1_key { /* chaining values after the inner and the outer key block; secret */
    uint32_t inner[5], outer[5];
};

struct hmac_part {
    const void *bytes;
    size_t length;
};

/* Keys longer than a block (64 bytes) are hashed first, as RFC 2104 says. */
void hmac_sha1_key_make(struct hmac_sha1_key *made, const void *key, size_t length);
/* The HMAC of the parts one after the other. */
void hmac_sha1(const struct hmac_sha1_key *key, const struct hmac_part *parts, size_t count,
               uint8_t digest[HMAC_SHA1_SIZE]);

#endif
