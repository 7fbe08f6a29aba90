/* What members send: checks, RTP, RTCP. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "check.h"
#include "hmac_sha1.h"
#include "scene.h"

static uint32_t crc32_of(const uint8_t *bytes, size_t length)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

size_t stun_request_make(const struct ice_credentials *credentials, bool nominate, uint8_t *out)
{
    size_t ours = credentials->local_ufrag_length, theirs = credentials->remote_ufrag_length;
    size_t name = ours + 1 + theirs, at = 20;
    store_be16(out, 1);
    store_be32(out + 4, 0x2112a442);
    memcpy(out + 8, "transaction!", 12);
    store_be16(out + at, 6);
    store_be16(out + at + 2, (uint16_t)name);
    memset(out + at + 4, 0, (name + 3) & ~3ull);
    memcpy(out + at + 4, credentials->local_ufrag, ours);
    out[at + 4 + ours] = ':';
    memcpy(out + at + 5 + ours, credentials->remote_ufrag, theirs);
    at += 4 + ((name + 3) & ~3ull);
    store_be32(out + at, 0x802a0008); /* ICE-CONTROLLING */
    memset(out + at + 4, 7, 8);
    at += 12;
    store_be32(out + at, 0x00240004); /* PRIORITY */
    store_be32(out + at + 4, 1845501695);
    at += 8;
    if (nominate) {
        store_be32(out + at, 0x00250000);
        at += 4;
    }
    struct hmac_sha1_key key;
    hmac_sha1_key_make(&key, credentials->local_pwd, credentials->local_pwd_length);
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

void scene_datagram(struct scene *scene, uint16_t port, const void *bytes, size_t length)
{
    uint8_t *copy = exact_copy(bytes, length); /* so that the sanitizer sees every overread */
    struct datagram in = {.bytes = copy,
                          .length = length,
                          .remote = {.family = 4, .port = port, .address = {192, 0, 2, 1}},
                          .local_address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}};
    if (scene->together) {
        CHECK(forward_has_room(&scene->worker));
        forward_take(&scene->worker, &in, scene->now);
        scene->taken[scene->taken_count++] = copy;
        return;
    }
    forward(&scene->worker, &in, scene->now);
    free(copy);
}

void scene_check(struct scene *scene, uint32_t member, bool nominate)
{
    uint8_t request[300];
    size_t length = stun_request_make(&scene->transports[member].ice[0], nominate, request);
    scene_datagram(scene, scene->members[member].port, request, length);
}

void scene_connect(struct scene *scene)
{
    for (uint32_t i = 0; i < SCENE_MEMBERS; i++)
        if (scene->transports[i].incarnation) scene_check(scene, i, true);
    scene_flush(scene);
    scene_forget(scene);
}

/* One header extension, RFC 8285. */
static size_t element(uint8_t *out, bool wide, uint8_t id, const void *data, size_t length)
{
    out[0] = wide ? id : (uint8_t)(id << 4 | (length - 1));
    if (wide) out[1] = (uint8_t)length;
    memcpy(out + 1 + wide, data, length);
    return 1 + wide + length;
}

size_t scene_make(struct scene *scene, uint32_t member, const struct packet *packet, uint8_t *out)
{
    size_t header = 12 + 4 * (size_t)packet->csrc_count;
    uint8_t elements[300];
    size_t used = 0;
    bool wide = packet->descriptor;
    if (packet->mid)
        used += element(elements + used, wide, MID_EXT, packet->mid, strlen(packet->mid));
    if (packet->rid) used += element(elements + used, wide, RID_EXT, packet->rid, 1);
    if (packet->repaired_rid)
        used += element(elements + used, wide, REPAIRED_EXT, packet->repaired_rid, 1);
    if (packet->level) used += element(elements + used, wide, LEVEL_EXT, &packet->level, 1);
    if (wide)
        used += element(elements + used, wide, DEPENDENCY_EXT, packet->descriptor, packet->descriptor_length);
    while (used % 4) elements[used++] = 0;
    out[0] = (uint8_t)(0x80 | (used ? 0x10 : 0) |
                       (packet->padding || packet->inner_padding ? 0x20 : 0) | packet->csrc_count);
    out[1] = (uint8_t)(packet->payload_type | packet->marker << 7);
    store_be16(out + 2, (uint16_t)packet->index);
    store_be32(out + 4, packet->timestamp);
    store_be32(out + 8, packet->ssrc);
    for (size_t i = 0; i < packet->csrc_count; i++) store_be32(out + 12 + 4 * i, packet->csrcs[i]);
    if (used) {
        store_be16(out + header, wide ? 0x1000 : 0xbede);
        store_be16(out + header + 2, (uint16_t)(used / 4));
        memcpy(out + header + 4, elements, used);
        header += 4 + used;
    }
    uint8_t payload[1500];
    if (packet->length) memcpy(payload, packet->payload, packet->length);
    memset(payload + packet->length, 0, packet->padding);
    if (packet->padding) payload[packet->length + packet->padding - 1] = packet->padding;
    int length = srtp_protect(&scene->members[member].tx, packet->index, out, 1700, header, payload,
                              packet->length + packet->padding);
    CHECK(length > 0);
    return (size_t)length;
}

void scene_send(struct scene *scene, uint32_t member, const struct packet *packet)
{
    uint8_t out[1800];
    size_t length = scene_make(scene, member, packet, out);
    scene_datagram(scene, scene->members[member].port, out, length);
}

void scene_vp8(struct scene *scene, uint32_t member, const char *mid, unsigned encoding,
               uint64_t index, bool key, bool first, bool last, size_t size)
{
    uint8_t payload[1500];
    uint16_t picture = (uint16_t)((scene->members[member].picture[encoding] += first) & 0x7fff);
    payload[0] = (uint8_t)(0x80 | (first ? 0x10 : 0)); /* X, S */
    payload[1] = 0xe0;                                 /* I, L, T */
    store_be16(payload + 2, (uint16_t)(0x8000 | picture));
    payload[4] = (uint8_t)picture; /* TL0PICIDX */
    payload[5] = 0;
    payload[6] = key ? 0x10 : 0x11; /* P bit of the frame's first byte */
    for (size_t i = 7; i < size; i++) payload[i] = (uint8_t)(index + i);
    char rid[2] = {"tmf"[encoding], 0};
    scene_send(scene, member,
               &(struct packet){.ssrc = video_ssrc(member, encoding),
                                .timestamp = (uint32_t)(scene->now / MS * 90),
                                .index = index,
                                .mid = mid,
                                .rid = rid,
                                .payload_type = 96,
                                .marker = last,
                                .payload = payload,
                                .length = size});
}

void scene_opus(struct scene *scene, uint32_t member, const char *mid, uint64_t index)
{
    uint8_t payload[80];
    memset(payload, (int)index, sizeof payload);
    scene_send(scene, member,
               &(struct packet){.ssrc = audio_ssrc(member),
                                .timestamp = (uint32_t)(index * 960),
                                .index = index,
                                .mid = mid,
                                .payload_type = 111,
                                .level = 0x9e,
                                .payload = payload,
                                .length = sizeof payload});
}

void scene_rtcp(struct scene *scene, uint32_t member, uint8_t *compound, size_t length)
{
    struct member *self = &scene->members[member];
    uint8_t bytes[1500];
    memcpy(bytes, compound, length);
    int protected = srtcp_protect(&self->tx, &self->srtcp_index, bytes, length, sizeof bytes);
    CHECK(protected > 0);
    scene_datagram(scene, self->port, bytes, (size_t)protected);
}
