#include "payload.h"

#include <errno.h>
#include <stdbool.h>

#include "bytes.h"

int vp8_parse_untrusted(const uint8_t *payload, size_t length, struct vp8_descriptor *descriptor)
{
    if (length < 2) return -EBADMSG;
    uint8_t first = payload[0];
    *descriptor = (struct vp8_descriptor){
        .non_reference = first >> 5 & 1,
        .frame_start = (first & 0x10) != 0 && (first & 0x07) == 0,
    };
    size_t at = 1;
    if (first & 0x80) { /* X; length is 2 at least */
        uint8_t extended = payload[at++];
        if (extended & 0x80) { /* I */
            if (length <= at) return -EBADMSG;
            descriptor->picture_id_offset = (uint8_t)at;
            if (payload[at] & 0x80) { /* M: 15 bits */
                if (length < at + 2) return -EBADMSG;
                descriptor->picture_id_bits = 15;
                descriptor->picture_id = load_be16(payload + at) & 0x7fff;
                at += 2;
            } else {
                descriptor->picture_id_bits = 7;
                descriptor->picture_id = payload[at];
                at += 1;
            }
        }
        if (extended & 0x40) { /* L */
            if (length <= at) return -EBADMSG;
            descriptor->tl0_offset = (uint8_t)at;
            descriptor->tl0 = payload[at];
            at += 1;
        }
        if (extended & 0x30) { /* T or K share a byte */
            if (length <= at) return -EBADMSG;
            if (extended & 0x20) {
                descriptor->has_temporal_id = 1;
                descriptor->temporal_id = payload[at] >> 6;
                descriptor->layer_sync = payload[at] >> 5 & 1;
            }
            at += 1;
        }
    }
    if (length <= at) return -EBADMSG;
    descriptor->length = (uint8_t)at;
    descriptor->key_frame = descriptor->frame_start && (payload[at] & 1) == 0;
    return 0;
}

void vp8_rewrite(uint8_t *payload, const struct vp8_descriptor *descriptor, uint16_t picture_id, uint8_t tl0)
{
    if (descriptor->picture_id_bits == 15)
        store_be16(payload + descriptor->picture_id_offset, (uint16_t)(0x8000 | picture_id));
    else if (descriptor->picture_id_bits == 7)
        payload[descriptor->picture_id_offset] = picture_id & 0x7f;
    if (descriptor->tl0_offset) payload[descriptor->tl0_offset] = tl0;
}

static int vp9_key_start(const uint8_t *payload, size_t length)
{
    uint8_t first = payload[0]; /* I P L F B E V Z */
    size_t at = 1;
    if (first & 0x80) { /* I */
        if (length <= at) return -EBADMSG;
        at += payload[at] & 0x80 ? 2 : 1;
        if (length < at) return -EBADMSG;
    }
    if (first & 0x20) { /* L: TID(3) U SID(3) D */
        if (length <= at) return -EBADMSG;
        if (payload[at] & 0x0f) return 0;
    }
    return (first & 0x48) == 0x08;
}

static bool h264_is_key(uint8_t nal)
{ return (nal & 0x1f) == 5 || (nal & 0x1f) == 7; }

static int h264_key_start(const uint8_t *payload, size_t length)
{
    uint8_t type = payload[0] & 0x1f;
    if (type == 28) { /* FU-A */
        if (length < 2) return -EBADMSG;
        return (payload[1] & 0x80) != 0 && h264_is_key(payload[1]);
    }
    if (type != 24) return h264_is_key(payload[0]);
    size_t at = 1; /* STAP-A */
    while (at < length) {
        if (length - at < 3) return -EBADMSG;
        size_t size = load_be16(payload + at);
        at += 2;
        if (size == 0 || length - at < size) return -EBADMSG;
        if (h264_is_key(payload[at])) return 1;
        at += size;
    }
    return 0;
}

int payload_key_start_untrusted(enum codec codec, const uint8_t *payload, size_t length)
{
    if (length == 0) return -EBADMSG;
    switch (codec) {
    case CODEC_OPUS: return 1;
    case CODEC_VP8: {
        struct vp8_descriptor descriptor;
        int error = vp8_parse_untrusted(payload, length, &descriptor);
        return error ? error : descriptor.key_frame;
    }
    case CODEC_VP9: return vp9_key_start(payload, length);
    case CODEC_H264: return h264_key_start(payload, length);
    case CODEC_AV1: return (payload[0] & 0x88) == 0x08; /* Z Y WW N --- */
    case CODEC_SEALED: return 0;                        /* not readable */
    }
    return -EBADMSG;
}
