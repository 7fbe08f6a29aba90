#include "stun.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "crypto.h"
#include "hmac_sha1.h"

enum {
    BINDING_REQUEST = 0x0001,
    BINDING_SUCCESS = 0x0101,
    ATTRIBUTE_HEADER = 4,
    INTEGRITY_SIZE = ATTRIBUTE_HEADER + HMAC_SHA1_SIZE,
    FINGERPRINT_SIZE = ATTRIBUTE_HEADER + 4,
};
#define MAGIC_COOKIE 0x2112a442u
#define FINGERPRINT_XOR 0x5354554eu

enum attribute { /* below 0x8000 an attribute must be understood: RFC 8489 14 */
                 USERNAME = 0x0006,
                 MESSAGE_INTEGRITY = 0x0008,
                 XOR_MAPPED_ADDRESS = 0x0020,
                 PRIORITY = 0x0024,
                 USE_CANDIDATE = 0x0025,
                 OPTIONAL = 0x8000,
                 FINGERPRINT = 0x8028,
                 ICE_CONTROLLED = 0x8029,
                 ICE_CONTROLLING = 0x802a,
};

/* ---- CRC-32 of RFC 8489 14.7 (ITU V.42), eight bytes a step: byte by byte it costs as much as the HMAC ---- */

static uint32_t crc_tables[8][256];

__attribute__((constructor)) static void crc_tables_make(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
        crc_tables[0][i] = value;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int table = 1; table < 8; table++) {
            uint32_t before = crc_tables[table - 1][i];
            crc_tables[table][i] = before >> 8 ^ crc_tables[0][before & 0xff];
        }
}

static uint32_t crc32_of(const uint8_t *bytes, size_t length)
{
    uint32_t crc = 0xffffffffu;
    for (; length >= 8; bytes += 8, length -= 8) {
        uint32_t low, high;
        memcpy(&low, bytes, 4);
        memcpy(&high, bytes + 4, 4);
        low ^= crc;
        crc = crc_tables[7][low & 0xff] ^ crc_tables[6][low >> 8 & 0xff] ^ crc_tables[5][low >> 16 & 0xff] ^
              crc_tables[4][low >> 24] ^ crc_tables[3][high & 0xff] ^ crc_tables[2][high >> 8 & 0xff] ^
              crc_tables[1][high >> 16 & 0xff] ^ crc_tables[0][high >> 24];
    }
    for (; length > 0; bytes++, length--) crc = crc >> 8 ^ crc_tables[0][(crc ^ *bytes) & 0xff];
    return ~crc;
}

/* ---- requests ---- */

static bool attribute_is_known(unsigned type)
{ return type >= OPTIONAL || type == USERNAME || type == PRIORITY || type == USE_CANDIDATE; }

/* One attribute before MESSAGE-INTEGRITY. The first of its kind counts (RFC 8489 14). */
static int attribute_take(struct stun_request *request, unsigned type, const uint8_t *value, uint16_t length)
{
    switch (type) {
    case USERNAME:
        if (length == 0) return -EINVAL;
        if (request->username != NULL) return 0;
        request->username = value;
        request->username_length = length;
        return 0;
    case PRIORITY:
        if (length != 4) return -EINVAL;
        if (request->priority == 0) request->priority = load_be32(value);
        return 0;
    case USE_CANDIDATE:
        if (length != 0) return -EINVAL;
        request->use_candidate = true;
        return 0;
    case ICE_CONTROLLED:
    case ICE_CONTROLLING:
        if (length != 8) return -EINVAL;
        if (request->controlled || request->controlling) return 0;
        request->tie_breaker = load_be64(value);
        request->controlled = type == ICE_CONTROLLED;
        request->controlling = type == ICE_CONTROLLING;
        return 0;
    default: return attribute_is_known(type) ? 0 : -EINVAL;
    }
}

static int fingerprint_check(const uint8_t *bytes, size_t offset, uint16_t length, size_t end)
{
    if (length != 4 || offset + FINGERPRINT_SIZE != end) return -EINVAL; /* it is the last one */
    uint32_t claimed = load_be32(bytes + offset + ATTRIBUTE_HEADER);
    return claimed == (crc32_of(bytes, offset) ^ FINGERPRINT_XOR) ? 0 : -EINVAL;
}

int stun_request_parse_untrusted(const uint8_t *bytes, size_t length, struct stun_request *request)
{
    if (length < STUN_HEADER_SIZE || length > LIMIT_DATAGRAM || length % 4 != 0 || load_be16(bytes) != BINDING_REQUEST ||
        load_be32(bytes + 4) != MAGIC_COOKIE || load_be16(bytes + 2) != length - STUN_HEADER_SIZE)
        return -EINVAL;
    memset(request, 0, sizeof *request);
    request->bytes = bytes;
    request->length = (uint16_t)length;
    bool fingerprint = false;
    /* The length is a multiple of 4 and so is every step: four bytes are always there. */
    for (size_t offset = STUN_HEADER_SIZE; offset < length;) {
        const unsigned type = load_be16(bytes + offset);
        const uint16_t size = load_be16(bytes + offset + 2);
        const uint8_t *value = bytes + offset + ATTRIBUTE_HEADER;
        const size_t padded = (size + 3u) & ~(size_t)3;
        if (padded > length - offset - ATTRIBUTE_HEADER) return -EINVAL;
        int failed = 0;
        if (type == FINGERPRINT) {
            failed = fingerprint_check(bytes, offset, size, length);
            fingerprint = true;
        } else if (request->integrity_offset != 0) {
            /* Behind MESSAGE-INTEGRITY anybody may have written: skipped, whatever it is (RFC 8489 14.5). */
        } else if (type == MESSAGE_INTEGRITY) {
            if (size != HMAC_SHA1_SIZE) return -EINVAL;
            request->integrity_offset = (uint16_t)offset;
        } else {
            failed = attribute_take(request, type, value, size);
        }
        if (failed) return failed;
        offset += ATTRIBUTE_HEADER + padded;
    }
    return fingerprint && request->integrity_offset != 0 && request->username != NULL ? 0 : -EINVAL;
}

/* HMAC over the message up to `offset`, with the length field as if the message ended behind
   MESSAGE-INTEGRITY (RFC 8489 14.5). */
static void integrity_of(const uint8_t *bytes, size_t offset,
                         const struct ice_credentials *credentials, uint8_t digest[HMAC_SHA1_SIZE])
{
    uint8_t length[2];
    store_be16(length, (uint16_t)(offset + INTEGRITY_SIZE - STUN_HEADER_SIZE));
    const struct hmac_part parts[] = {{bytes, 2}, {length, sizeof length}, {bytes + 4, offset - 4}};
    struct hmac_sha1_key key;
    hmac_sha1_key_make(&key, credentials->local_pwd, credentials->local_pwd_length);
    hmac_sha1(&key, parts, 3, digest);
}

static bool credentials_are_sound(const struct ice_credentials *credentials)
{
    return credentials->local_ufrag_length > 0 && credentials->local_pwd_length > 0 &&
           credentials->remote_ufrag_length > 0 && credentials->local_ufrag_length <= LIMIT_LOCAL_UFRAG &&
           credentials->local_pwd_length <= LIMIT_LOCAL_PWD &&
           credentials->remote_ufrag_length <= LIMIT_REMOTE_UFRAG;
}

int stun_request_authenticate(const struct stun_request *request, const struct ice_credentials *credentials)
{
    if (!credentials_are_sound(credentials)) return -ENOENT;
    const size_t ours = credentials->local_ufrag_length, theirs = credentials->remote_ufrag_length;
    const uint8_t *name = request->username;
    if (request->username_length != ours + 1 + theirs) return -ENOENT;
    int other = crypto_compare(name, credentials->local_ufrag, ours) | (name[ours] ^ ':') |
                crypto_compare(name + ours + 1, credentials->remote_ufrag, theirs);
    if (other != 0) return -ENOENT;

    uint8_t digest[HMAC_SHA1_SIZE];
    integrity_of(request->bytes, request->integrity_offset, credentials, digest);
    const uint8_t *claimed = request->bytes + request->integrity_offset + ATTRIBUTE_HEADER;
    return crypto_compare(digest, claimed, sizeof digest) == 0 ? 0 : -EACCES;
}

/* ---- responses ---- */

static uint8_t *attribute_head(uint8_t *to, enum attribute type, uint16_t length)
{
    store_be16(to, (uint16_t)type);
    store_be16(to + 2, length);
    return to + ATTRIBUTE_HEADER;
}

int stun_response_build(const struct stun_request *request, const struct ice_credentials *credentials,
                        const struct stun_address *mapped, uint8_t *out, size_t capacity)
{
    if ((mapped->family != 4 && mapped->family != 6) || !credentials_are_sound(credentials))
        return -EINVAL;
    const uint16_t address_length = mapped->family == 4 ? 4 : 16;
    const size_t integrity = STUN_HEADER_SIZE + ATTRIBUTE_HEADER + 4u + address_length;
    const size_t fingerprint = integrity + INTEGRITY_SIZE, length = fingerprint + FINGERPRINT_SIZE;
    if (length > capacity) return -ENOBUFS;
    if (length > request->length) return -EMSGSIZE;

    store_be16(out, BINDING_SUCCESS);
    store_be16(out + 2, (uint16_t)(length - STUN_HEADER_SIZE));
    memcpy(out + 4, request->bytes + 4, 16); /* cookie and transaction id, which also mask the address */

    uint8_t *value = attribute_head(out + STUN_HEADER_SIZE, XOR_MAPPED_ADDRESS, 4 + address_length);
    value[0] = 0;
    value[1] = mapped->family == 4 ? 1 : 2;
    store_be16(value + 2, mapped->port ^ (uint16_t)(MAGIC_COOKIE >> 16));
    for (size_t i = 0; i < address_length; i++) value[4 + i] = mapped->bytes[i] ^ out[4 + i];

    value = attribute_head(out + integrity, MESSAGE_INTEGRITY, HMAC_SHA1_SIZE);
    integrity_of(out, integrity, credentials, value);
    value = attribute_head(out + fingerprint, FINGERPRINT, 4);
    store_be32(value, crc32_of(out, fingerprint) ^ FINGERPRINT_XOR);
    return (int)length;
}

/* ---- user fragments ---- */

/* 32 of RFC 8839's ice-chars, one case, nothing that reads like another letter. */
static const char letters_of_handles[] = "abcdefghijkmnpqrstuvwxyz23456789";
_Static_assert(sizeof letters_of_handles == 33, "five bits a letter");

uint32_t stun_ufrag_handle(const void *ufrag, size_t length)
{
    const char *letters = ufrag;
    if (length < STUN_UFRAG_HANDLE_LETTERS) return TABLE_NONE;
    uint32_t handle = 0;
    for (size_t i = 0; i < STUN_UFRAG_HANDLE_LETTERS; i++) {
        const char *found = memchr(letters_of_handles, letters[i], sizeof letters_of_handles - 1);
        if (found == NULL) return TABLE_NONE;
        handle = handle << 5 | (uint32_t)(found - letters_of_handles);
    }
    return handle;
}

void stun_ufrag_write(uint32_t handle, char letters[STUN_UFRAG_HANDLE_LETTERS])
{
    for (size_t i = STUN_UFRAG_HANDLE_LETTERS; i-- > 0; handle >>= 5)
        letters[i] = letters_of_handles[handle & 31];
}
