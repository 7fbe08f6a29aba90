#include "sealed_sending.h"

#include "check.h"
#include "descriptors.h"

void sealed_rows(struct scene *scene, uint32_t audio, uint32_t video)
{
    scene->sources[audio].codec = scene->sources[video].codec = CODEC_SEALED;
    scene->sources[audio].ssrc[0] = AUDIO_SSRC;
    for (uint32_t i = 0; i < 3; i++) {
        scene->sources[video].ssrc[i] = VIDEO_SSRC + i;
        scene->sources[video].rtx_ssrc[i] = VIDEO_RTX + i;
    }
}

size_t sealed_payload(uint8_t *out, size_t length, const char *ohb)
{
    for (size_t i = 0; i < length; i++) out[i] = (uint8_t)(i * 7 + length);
    return length + hex_bytes(ohb, out + length);
}

void sealed_audio(struct scene *scene, uint64_t index, const char *ohb)
{
    uint8_t payload[200];
    struct packet packet = {.ssrc = AUDIO_SSRC,
                            .index = index,
                            .timestamp = (uint32_t)index * 960,
                            .payload_type = 111,
                            .level = 30,
                            .payload = payload,
                            .csrcs = {0x11223344, 0x55667788},
                            .csrc_count = 2,
                            .inner_padding = true};
    packet.length = sealed_payload(payload, 100, ohb);
    scene_send(scene, 0, &packet);
    scene_flush(scene);
}

void sealed_frame(struct scene *scene, uint32_t encoding, uint64_t index, uint16_t frame, bool key)
{
    uint8_t payload[300];
    struct packet packet = {
        .ssrc = VIDEO_SSRC + encoding, .index = index, .timestamp = frame * 3000u, .payload_type = 96, .payload = payload};
    for (unsigned part = 0; part < 2; part++) {
        struct writer descriptor = key && !part ? key_frame(frame, 10) : delta(frame, key ? 10 : 11);
        if (part) descriptor.bytes[0] &= 0x7f; /* not the first */
        packet.length = sealed_payload(payload, 200 + part, "00");
        packet.descriptor = descriptor.bytes;
        packet.descriptor_length = (uint8_t)size_of(&descriptor);
        packet.marker = part == 1;
        packet.index = index + part;
        scene_send(scene, 0, &packet);
    }
    scene_flush(scene);
}
