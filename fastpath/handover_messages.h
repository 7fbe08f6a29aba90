/* The records in the rings between workers: fixed sizes, host byte order, of one machine and one build (HANDOVER_LAYOUT_VERSION). */
#ifndef SOTTO_HANDOVER_MESSAGES_H
#define SOTTO_HANDOVER_MESSAGES_H

#include <stdint.h>

#include "clamp.h"
#include "handover_ring.h"
#include "nack.h"
#include "viewer_digest.h"

enum handover_kind {
    HANDOVER_PACKET = 1, /* home: handover_packet, the dependency descriptor, the payload */
    HANDOVER_CLOCK,      /* home: handover_clock_told */
    HANDOVER_CLAMP,      /* home: handover_clamp_told */
    HANDOVER_KEY,        /* to the home: a key frame is needed; the head alone */
    HANDOVER_ASK,        /* to the home: handover_asked, packets are missing */
    HANDOVER_VIEWERS,    /* to the home: handover_viewers_told */
    HANDOVER_FLOOR       /* to the home: it has the floor; the head alone */
};

enum { /* flags of a packet */
       HANDOVER_MARKER = 1,
       HANDOVER_HAS_LEVEL = 2,
       HANDOVER_REPAIRED = 4,
       HANDOVER_SEALED = 8 /* times `sealed` of the arrival, 5 bits: the P bit and the number of CSRCs, which stand before the payload */
};

struct handover_head {
    uint8_t kind, encoding, flags, level;
    uint32_t source, incarnation; /* as its home has it */
    uint32_t ssrc;
};

struct handover_packet {
    struct handover_head head;
    uint64_t index;
    uint64_t arrived_ns, written_ns;
    uint32_t timestamp;
    uint16_t payload_length; /* 0 = padding only: the number is closed up */
    uint16_t descriptor_length;
};

struct handover_clock_told {
    struct handover_head head;
    uint64_t arrival_ns, ntp;
    int64_t offset_ns;
    uint64_t offset_seen_ns;
    uint32_t timestamp, reserved;
};

struct handover_clamp_told {
    struct handover_head head;
    struct clamp_source clamp;
};

struct handover_asked {
    struct handover_head head;
    uint32_t count, reserved;
    uint16_t lost[NACK_ENTRIES];
};

struct handover_viewers_told {
    struct handover_head head;
    uint32_t viewers; /* all of them: `entries` has them by share */
    uint32_t lost_sum, lost_most;
    uint32_t count; /* of entries */
    struct viewer_entry entries[VIEWER_DIGEST_MAX];
};

_Static_assert(sizeof(struct handover_packet) == 48, "no holes");
_Static_assert(sizeof(struct handover_packet) + 255 + LIMIT_DATAGRAM <= HANDOVER_RECORD_MAX,
               "fits");
_Static_assert(sizeof(struct handover_viewers_told) <= HANDOVER_RECORD_MAX, "fits");
_Static_assert(sizeof(struct handover_asked) <= HANDOVER_RECORD_MAX, "fits");

#endif
