/* ICE checks as a controlling agent makes them (RFC 8445 7.1). */
#include <string.h>

#include "bytes.h"
#include "hmac_sha1.h"
#include "load.h"

static uint32_t crc32_of(const uint8_t *bytes, size_t length)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

size_t check_make(const struct plan_member *member, uint8_t *out)
{
    size_t ours = strnlen(member->local_ufrag, sizeof member->local_ufrag);
    size_t theirs = strnlen(member->remote_ufrag, sizeof member->remote_ufrag);
    size_t name = ours + 1 + theirs, room = (name + 3) & ~(size_t)3, at = 20;
    store_be16(out, 1);
    store_be32(out + 4, 0x2112a442);
    memcpy(out + 8, "transaction!", 12);
    store_be16(out + at, 6); /* USERNAME */
    store_be16(out + at + 2, (uint16_t)name);
    memset(out + at + 4, 0, room);
    memcpy(out + at + 4, member->local_ufrag, ours);
    out[at + 4 + ours] = ':';
    memcpy(out + at + 5 + ours, member->remote_ufrag, theirs);
    at += 4 + room;
    store_be32(out + at, 0x802a0008); /* ICE-CONTROLLING */
    memset(out + at + 4, 7, 8);
    store_be32(out + at + 12, 0x00240004); /* PRIORITY */
    store_be32(out + at + 16, 1845501695);
    store_be32(out + at + 20, 0x00250000); /* USE-CANDIDATE */
    at += 24;
    struct hmac_sha1_key key;
    hmac_sha1_key_make(&key, member->local_pwd, strnlen(member->local_pwd, sizeof member->local_pwd));
    store_be16(out + 2, (uint16_t)(at + 24 - 20));
    struct hmac_part part = {out, at};
    store_be32(out + at, 0x00080014);
    hmac_sha1(&key, &part, 1, out + at + 4);
    at += 24;
    store_be16(out + 2, (uint16_t)(at + 8 - 20));
    store_be32(out + at, 0x80280004);
    store_be32(out + at + 4, crc32_of(out, at) ^ 0x5354554e);
    return at + 8;
}
