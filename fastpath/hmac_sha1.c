/* OpenSSL's SHA-1 through its low-level functions, which 3.0 calls deprecated: the same code for the
   processor at hand, but the state between blocks is ours to keep in 20 bytes. EVP_MAC keeps it on
   the heap, 800 instead of 670 ns for 1112 bytes and 240 instead of 180 for 140. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "hmac_sha1.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

static void block_hash(uint32_t chain[5], const uint8_t block[SHA_CBLOCK])
{
    SHA_CTX sha;
    SHA1_Init(&sha);
    SHA1_Update(&sha, block, SHA_CBLOCK);
    chain[0] = sha.h0;
    chain[1] = sha.h1;
    chain[2] = sha.h2;
    chain[3] = sha.h3;
    chain[4] = sha.h4;
    OPENSSL_cleanse(&sha, sizeof sha);
}

/* A hash that has already taken one block. Its data buffer stays as it is: `num` 0 says that it is
   empty. */
static void hash_resume(SHA_CTX *sha, const uint32_t chain[5])
{
    sha->h0 = chain[0];
    sha->h1 = chain[1];
    sha->h2 = chain[2];
    sha->h3 = chain[3];
    sha->h4 = chain[4];
    sha->Nl = SHA_CBLOCK * 8;
    sha->Nh = 0;
    sha->num = 0;
}

void hmac_sha1_key_make(struct hmac_sha1_key *made, const void *key, size_t length)
{
    uint8_t block[SHA_CBLOCK] = {0};
    if (length > sizeof block)
        SHA1(key, length, block);
    else if (length > 0)
        memcpy(block, key, length);
    for (size_t i = 0; i < sizeof block; i++) block[i] ^= 0x36;
    block_hash(made->inner, block);
    for (size_t i = 0; i < sizeof block; i++) block[i] ^= 0x36 ^ 0x5c;
    block_hash(made->outer, block);
    OPENSSL_cleanse(block, sizeof block);
}

void hmac_sha1(const struct hmac_sha1_key *key, const struct hmac_part *parts, size_t count,
               uint8_t digest[HMAC_SHA1_SIZE])
{
    SHA_CTX sha;
    hash_resume(&sha, key->inner);
    for (size_t i = 0; i < count; i++) SHA1_Update(&sha, parts[i].bytes, parts[i].length);
    SHA1_Final(digest, &sha);
    hash_resume(&sha, key->outer);
    SHA1_Update(&sha, digest, HMAC_SHA1_SIZE);
    SHA1_Final(digest, &sha);
}
