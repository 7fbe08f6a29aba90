/* What receivers ask us for: a NACK about a slot becomes packets out of the history, wrapped for the slot's retransmission stream.
 *
 * Without a negotiated retransmission stream the answer for video is nothing. On the slot's own SSRC only the identical ciphertext would
 * be allowed (the same key, SSRC and index over another header gives the hop's authentication key away), and keeping that for each
 * receiver costs its rate times a second of memory, 375 kB at 3 Mbit/s, and every browser negotiates RTX for video. Each repair is a
 * fresh packet under a fresh index instead. Audio has no RTX anywhere, and is small: resend.h.
 *
 * Bounds: a packet once per round trip and receiver; bytes, packets and numbers looked up in a second for each receiver. A receiver
 * that asks for more gets no more, and costs the others what reading its RTCP costs. */
#ifndef SOTTO_REPAIR_H
#define SOTTO_REPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "history.h"
#include "rtcp.h"
#include "rtp.h"
#include "sequence_map.h"

/* Share of a receiver's rate for repairs, in 256ths, and the least rate. Higher: repairs crowd out media on a congested path. Lower: a
   path with 15 % random loss is not repaired. The floor lets a receiver of thumbnails repair a key frame. */
#define REPAIR_SHARE 64u
#define REPAIR_FLOOR_BPS 200000u
/* What may be repaired at once after a quiet time, in milliseconds of the allowed rate. Higher: a longer burst at somebody's modem.
   Lower: one lost key frame is repaired in several round trips. */
#define REPAIR_BURST_MS 1000u
/* Packets in a second, and at once. Higher: encryption for one receiver that lies about loss (300 ns each). Lower: repairs of a
   lossy full-resolution receiver end early. */
#define REPAIR_PACKETS_PER_SECOND 400u
#define REPAIR_PACKETS_AT_ONCE 128u
/* Sequence numbers looked up in a second, and at once; about 20 ns each. */
#define REPAIR_LOOKUPS_PER_SECOND 2000u
#define REPAIR_LOOKUPS_AT_ONCE 512u
/* Moments of repairs remembered for one receiver, 4 B each, a power of two; a packet's place follows from its number. Higher: memory.
   Lower: more repairs wait for a round trip, because another packet's of less than one ago stands in their place: with 20 repairs in
   a round trip, one in 50. */
#define REPAIR_RECENT 1024u
/* Bounds of the round trip, and its value when not known. Lower min: a receiver on a LAN is answered twice. Higher max: a receiver
   that claims a long one is answered late. */
#define REPAIR_ROUND_TRIP_MIN_US 10000u
#define REPAIR_ROUND_TRIP_MAX_US 500000u
#define REPAIR_ROUND_TRIP_DEFAULT_US 100000u
/* Requests one call hands out. */
#define REPAIR_REQUESTS 128u

struct repair_receiver { /* private memory, one a transport; all zero at first */
    uint64_t refilled_ns;
    uint64_t byte_credit; /* in bits times nanoseconds, so that nothing is rounded away */
    uint64_t packet_credit, lookup_credit; /* in nanoseconds of their rates */
    uint32_t recent_ms[REPAIR_RECENT];     /* 0 = unused */
};

struct repair_slot { /* whose packets are asked for */
    uint32_t sink;
    uint32_t rtx_ssrc; /* 0 = no retransmission stream was negotiated: nothing is repaired */
    const struct sequence_map *map;
    const struct projection *current;
};

/* Reads a NACK about the slot (its feedback head is already read), and picks what may be repaired now: how many of `requests` (room for
   REPAIR_REQUESTS) were filled, 0 when nothing may or is known, -EBADMSG when malformed. Nothing counts as repaired yet. `rate_bps`:
   what the receiver may be sent, or is. `round_trip_us` 0 = not known. */
int repair_requests_untrusted(struct repair_receiver *receiver, const struct repair_slot *slot,
                              const struct rtcp_feedback *nack, uint64_t rate_bps, uint32_t round_trip_us,
                              uint64_t now_ns, struct sequence_origin *requests);
/* The packet was found in the history and is about to be sent: takes it from the budget and remembers it. False: no budget, send nothing. */
bool repair_spend(struct repair_receiver *receiver, uint32_t sink,
                  const struct sequence_origin *request, size_t bytes, uint64_t now_ns);

/* Microseconds between two repairs of one packet: the round trip within its bounds, `round_trip_us` 0 = not known. */
static inline uint32_t repair_wait_us(uint32_t round_trip_us)
{
    if (!round_trip_us) return REPAIR_ROUND_TRIP_DEFAULT_US;
    if (round_trip_us < REPAIR_ROUND_TRIP_MIN_US) return REPAIR_ROUND_TRIP_MIN_US;
    return round_trip_us < REPAIR_ROUND_TRIP_MAX_US ? round_trip_us : REPAIR_ROUND_TRIP_MAX_US;
}

/* Writes the slot's numbers into a copy of a kept VP8 payload's clear descriptor. 0 or -EBADMSG. */
int repair_renumber(const struct sequence_origin *origin, uint8_t *payload, size_t length);

/* Writes the retransmission of `packet` as the slot had sent it. `header` comes with what belongs to the sink - rtx SSRC, rtx payload
   type, sequence (of rtx_take_index), CSRC, extensions; timestamp, marker and level are filled in here. `vp8`: the payload has VP8's
   clear descriptor, whose numbers are those of the slot. Returns the header's length, *payload_length bytes stand behind it; -ENOSPC,
   -EBADMSG. */
int repair_write(const struct sequence_origin *request, const struct history_packet *packet, bool vp8,
                 struct rtp_outgoing *header, uint8_t *out, size_t room, size_t *payload_length);

#endif
