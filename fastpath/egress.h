/* What a batch sends: packets written once into a slab, gathered by destination, and planned into runs that the kernel takes as
 * one message each (UDP_SEGMENT: equal sizes, the last may be smaller). Pure: the shell turns runs into sendmmsg.
 *
 * The cost of sending is per pass through the kernel, not per byte: a run of 8 costs little more than one packet. */
#ifndef SOTTO_EGRESS_H
#define SOTTO_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addresses.h"
#include "limits.h"

/* Room for the largest packet with what encryption and our header add to it. */
#define EGRESS_PACKET_MAX (LIMIT_DATAGRAM + 100)
#define EGRESS_SLAB ((size_t)LIMIT_EGRESS * 1600)
struct egress_destination {
    struct endpoint remote;
    uint8_t local_address[16]; /* as in struct path: the address to send from */
    uint32_t local_interface;
    uint32_t socket; /* number of the worker's UDP socket */
    uint32_t transport;
    uint32_t first, last, count; /* its packets, linked by `next` */
    bool single;                 /* no runs: its route refused UDP_SEGMENT */
};

struct egress_packet {
    uint32_t offset; /* in the slab */
    uint32_t next;   /* of the same destination, TABLE_NONE = last */
    uint32_t stream; /* packets of one stream keep their order: the SSRC, or 0 for what is not RTP */
    uint16_t length;
    uint16_t reserved;
};

struct egress_run { /* one message to the kernel */
    uint32_t destination;
    uint32_t first; /* in order[] */
    uint16_t count;
    uint16_t segment_size; /* of all packets but the last, which is this long or shorter */
};

struct egress {
    uint8_t *slab;
    struct egress_packet *packets;           /* LIMIT_EGRESS */
    struct egress_destination *destinations; /* LIMIT_EGRESS */
    uint32_t *order;                         /* LIMIT_EGRESS packet numbers as they are sent */
    struct egress_run *runs;                 /* LIMIT_EGRESS */
    size_t used;                             /* bytes of the slab */
    uint32_t packet_count, destination_count, run_count;
    uint64_t epoch; /* changes with every clearing: destination numbers of before are void */
};

int egress_open(struct egress *egress); /* 0 or -ENOMEM */
void egress_close(struct egress *egress);
/* Forgets all packets, destinations and runs. */
void egress_clear(struct egress *egress);

/* A new destination; its number, or TABLE_NONE when there is no room. */
uint32_t egress_add_destination(struct egress *egress, const struct egress_destination *destination);
/* Room for a packet of up to EGRESS_PACKET_MAX bytes, or NULL when the slab is full. Nothing is taken before egress_commit. */
static inline uint8_t *egress_reserve(struct egress *egress)
{
    if (egress->packet_count == LIMIT_EGRESS || egress->used + EGRESS_PACKET_MAX > EGRESS_SLAB)
        return NULL;
    return egress->slab + egress->used;
}
/* Takes the packet that was written into the reserved room. `length` is 1 to EGRESS_PACKET_MAX. */
void egress_commit(struct egress *egress, uint32_t destination, uint32_t stream, size_t length);
/* How many packets fit for sure. */
static inline uint32_t egress_room(const struct egress *egress)
{
    size_t by_size = (EGRESS_SLAB - egress->used) / EGRESS_PACKET_MAX;
    uint32_t by_count = LIMIT_EGRESS - egress->packet_count;
    return by_size < by_count ? (uint32_t)by_size : by_count;
}

/* Fills order[] and runs[]. Destinations come in the order they were added. Within a destination the largest packets that may go
   next lead, and those of equal size follow as long as no stream is reordered; one smaller packet of any stream ends the run. */
void egress_plan(struct egress *egress);

#endif
