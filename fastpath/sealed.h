/* Sealed sources (RFC 8723): the sender encrypts each RTP packet end to end, under a key that only members have, and then for the hop.
 * What the hop's decryption leaves is opaque, except for the Original Header Block (OHB) at its end, by which whoever changes payload
 * type, sequence number or marker says what they were: the tag of the inner encryption is over those.
 *
 *   payload on the hop = ciphertext | tag (16) | key id (3) | OHB
 *   OHB                = [PT (1)] [SEQ (2)] config (1); config = R R R R B M P Q
 *
 * The worker keeps SSRC, timestamp, CSRC list and padding as they came. It always writes the whole OHB, PT and SEQ and marker, whether
 * they differ for a receiver or not: so the payload is one for all receivers, for the history and for retransmissions, and is made once,
 * at arrival. RFC 8723 5.2 has a distributor leave out what did not change; receivers restore the same header either way, and it is at
 * most 3 bytes.
 *
 * CSRCs are authenticated too and stand before the extensions, not beside the payload: they are moved in front of it, and count as its
 * first bytes until the header is written. */
#ifndef SOTTO_SEALED_H
#define SOTTO_SEALED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rtp.h"

struct worker;
struct arrival;

#define SEALED_TAG 16u   /* RFC 7714 */
#define SEALED_KEY_ID 3u /* docs/protocol.md section 11.4 */
#define SEALED_OHB 4u    /* as written here: PT, SEQ, config */
/* UPLINK_INNER_INDEX of an encoding again after so many indices, a power of two below 2^15: a receiver that was told the last one and saw
   nothing since still guesses right. Lower: more messages to every receiver. Higher: beyond 2^15 the guess is wrong. */
#define SEALED_TELL 16384u
/* In `sealed` of arrivals and of what is kept: the P bit; the low four bits count the CSRCs. */
#define SEALED_PADDING 0x10u

enum { OHB_SEQUENCE = 0x01, OHB_PAYLOAD_TYPE = 0x02, OHB_MARKER = 0x04, OHB_MARKER_WAS = 0x08 };

struct ohb { /* the header as the sender of the inner packet made it */
    uint16_t sequence;
    uint8_t payload_type, marker;
};

/* Takes the OHB off the end of `payload`. `header`: what stands in the packet's header, and comes back restored. The length without it,
   or -EBADMSG: shorter than its OHB, reserved bits, a marker value without its bit, or a payload type above 127. */
int ohb_read_untrusted(const uint8_t *payload, size_t length, struct ohb *header);
/* Writes the whole OHB, SEALED_OHB bytes. */
void ohb_write(uint8_t *to, const struct ohb *header);

/* A packet of a sealed source: its OHB is made whole in place (up to 3 bytes beyond the payload, where the hop's tag was) and its CSRCs
   come before the payload. Notes and tells its inner index. 0 or -EBADMSG. */
int sealed_receive_untrusted(struct worker *worker, struct arrival *arrival, uint64_t now_ns);

/* Padding belongs to the inner packet, whose sealed end is no count of anything; but a probe on a retransmission stream is padding from end
   to end. `padding` of rtp_padding_untrusted; what counts as padding of the hop. */
static inline int sealed_padding(int padding, size_t payload, bool repair)
{ return repair && padding > 0 && (size_t)padding == payload ? padding : 0; }

/* Bytes of the CSRC list in front of the payload. */
static inline size_t sealed_csrcs(uint8_t sealed)
{ return (size_t)(sealed & 15) * 4; }

/* What a sealed packet's header keeps. */
static inline void sealed_header(struct rtp_outgoing *header, uint8_t sealed, const uint8_t *csrcs)
{
    header->csrc = 0;
    header->padding = (sealed & SEALED_PADDING) != 0;
    header->csrc_count = sealed & 15;
    header->csrcs = csrcs;
}

/* A sink's rows were taken over: it goes on with the SSRC it carried; a sealed sink that wants another source than the one it was made for, or
   any sink that wants a source of the other form, gets nothing. */
void sealed_adopt(struct worker *worker, uint32_t sink);
/* Is it one of the SSRCs that this sink, a sealed one, may carry? */
bool sealed_has(const struct worker *worker, uint32_t sink, uint32_t ssrc);

#endif
