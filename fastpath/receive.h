/* An RTP datagram of a known address up to the point where its sinks come: authenticated, its source found, counted. */
#ifndef SOTTO_RECEIVE_H
#define SOTTO_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "layer.h"
#include "payload.h"
#include "projection.h"
#include "worker.h"

#define ENCODING_NONE 0xffu

/* A packet as all its sinks need it. */
struct arrival {
    struct projection_input input;
    uint8_t *payload; /* decrypted on the hop; what is inside stays sealed end to end */
    size_t payload_length;
    struct vp8_descriptor vp8;
    bool has_vp8, has_level;
    uint8_t level; /* octet of RFC 6464 */
    uint8_t marker;
    bool audio;
    bool key_start;                  /* a slot may cut over here */
    bool repaired;                   /* came retransmitted */
    uint8_t wanted[LIMIT_ENCODINGS]; /* by a sink's deal: the encoding it should carry, or ENCODING_NONE */
    struct packet_layer layer; /* temporal layers; all zero = not known */
    uint16_t sequence; /* as the sender numbered it on its hop, of a retransmission the original's */
    const uint8_t *head;       /* the packet's first byte */
    uint8_t room;              /* bytes behind the payload that may be written to */
    uint8_t padding;           /* of them, what goes out with the payload: equal_sizes.h */
    uint8_t sealed;            /* as in struct history_packet, 0 for what is not sealed */
    const uint8_t *descriptor; /* dependency descriptor as it came, NULL = none */
    uint8_t descriptor_length;
};

/* An authenticated packet of a media encoding, received here or taken from another worker; counted already. */
void receive_media(struct worker *worker, struct arrival *arrival, uint64_t now_ns);
void receive_rtp_untrusted(struct worker *worker, uint32_t transport, uint8_t *bytes, size_t length,
                           uint64_t now_ns);

#endif
