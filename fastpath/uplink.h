/* Messages between a worker and control over a SOCK_SEQPACKET pair that the supervisor keeps open. One message is one head
   and `length` bytes. Both ends are ours, yet each checks lengths: a new build may talk to an old one. */
#ifndef SOTTO_UPLINK_H
#define SOTTO_UPLINK_H

#include <stdint.h>

#include "limits.h"

enum uplink_kind {
    /* worker -> control */
    UPLINK_DTLS = 1, /* payload: a DTLS datagram from an address that passed an authenticated check */
    UPLINK_CONNECTED = 2,       /* first authenticated check of a transport */
    UPLINK_PATH_CHANGED = 3,    /* the selected address changed; no address is told */
    UPLINK_CONSENT_EXPIRED = 4, /* LIMIT_CONSENT_NS without an authenticated request */
    UPLINK_SOURCE_LIVE = 5,     /* first packet of an encoding: a = source handle, b = encoding */
    UPLINK_SINK_SWITCHED = 6,   /* a = sink handle, b = source handle now carried */
    UPLINK_READY = 7, /* the worker runs its loop; transport and incarnation are 0; a = process id */
    UPLINK_SEND_TARGET = 8, /* what an encoding should be sent at: a = source handle, b = encoding, payload: struct clamp_order */
    UPLINK_SPEAKING = 9,    /* a = source handle, b = 1 began, 0 stopped */
    UPLINK_DOMINANT = 10, /* a = source handle: whoever speaks now has the floor of its conference */
    UPLINK_SINK_DEAL = 11, /* what a slot gets within its receiver's estimate: a = sink handle, b = encoding | temporal << 8, 0xff = paused */
    UPLINK_VIEWERS = 12, /* what the viewers of a source lose: a = source handle, b = viewers << 16 | worst << 8 | mean, of 256 */
    UPLINK_INNER_INDEX = 13, /* a = source handle of a sealed source, b = encoding, payload: uint64_t, its newest inner index; see sealed.h */
    /* control -> worker */
    DOWNLINK_DTLS = 64, /* payload: a DTLS datagram for the selected address of the transport */
    DOWNLINK_WAKE = 65, /* look at the table now (a generation was published) */
    DOWNLINK_STOP = 66, /* leave the loop in order */
};

struct uplink_head {
    uint32_t kind;        /* enum uplink_kind */
    uint32_t transport;   /* handle */
    uint32_t incarnation; /* of the transport, as in its row; others are ignored */
    uint32_t length;      /* bytes of payload that follow, at most LIMIT_UPLINK_PAYLOAD */
    uint32_t a, b;        /* by kind */
    uint64_t time_ns;     /* CLOCK_MONOTONIC of the sender */
};
_Static_assert(sizeof(struct uplink_head) == 32,
               "the head is part of the hand-over between builds");

#endif
