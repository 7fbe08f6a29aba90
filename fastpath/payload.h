/* The clear bytes of a codec's payload: where frames start, which are key frames, and the VP8 numbers a switch must keep
 * continuous. Everything after these bytes is encrypted end to end and never looked at. -EBADMSG = malformed. */
#ifndef SOTTO_PAYLOAD_H
#define SOTTO_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "table.h"

/* VP8 payload descriptor, RFC 7741 section 4.2. */
struct vp8_descriptor {
    uint16_t picture_id;       /* 7 or 15 bits */
    uint8_t length;            /* bytes of the descriptor: 1 to 6 */
    uint8_t picture_id_bits;   /* 0 (none), 7 or 15 */
    uint8_t picture_id_offset; /* in the payload, 0 = none */
    uint8_t tl0_offset;        /* of TL0PICIDX in the payload, 0 = none */
    uint8_t tl0;
    uint8_t temporal_id, layer_sync, has_temporal_id;
    uint8_t non_reference; /* N: nothing refers to this frame */
    uint8_t frame_start;   /* S=1 and PID=0: first packet of a frame */
    uint8_t key_frame; /* first packet of a key frame: frame_start and P=0 in the first byte of the frame */
};

/* 0 or -EBADMSG (also when nothing follows the descriptor). */
int vp8_parse_untrusted(const uint8_t *payload, size_t length, struct vp8_descriptor *descriptor);
/* Writes both numbers into the payload the descriptor was read from, each in the width it has there, if it is there. */
void vp8_rewrite(uint8_t *payload, const struct vp8_descriptor *descriptor, uint16_t picture_id, uint8_t tl0);

/* Does this packet begin a key frame, so that a slot may cut over here? 1, 0, or -EBADMSG.
     VP8   RFC 7741: S=1, PID=0, P=0
     VP9   RFC 9628: B=1, P=0, spatial layer 0, and not the inter-layer part of a picture
     H264  RFC 6184: SPS or IDR slice in a single NAL, in a STAP-A, or starting an FU-A
     AV1   AV1 RTP 4.4: N=1, Z=0
     Opus  1: audio can be cut anywhere */
int payload_key_start_untrusted(enum codec codec, const uint8_t *payload, size_t length);

#endif
