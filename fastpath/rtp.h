/* RTP headers (RFC 3550 section 5.1) and their extensions (RFC 8285), read and written. Nothing here allocates or keeps a pointer;
 * offsets are bytes from the start of the packet. Errors are negative errno values: -EBADMSG for whatever is malformed. */
#ifndef SOTTO_RTP_H
#define SOTTO_RTP_H

#include <stddef.h>
#include <stdint.h>

#include "table.h"

#define RTP_FIXED_HEADER 12

struct rtp_header {
    uint32_t timestamp, ssrc;
    uint16_t sequence;
    uint16_t payload_offset; /* bytes of the whole header, CSRCs and extensions included */
    uint16_t extension_profile; /* 0xbede one-byte, 0x100x two-byte, anything else is skipped; 0 without X */
    uint16_t extension_offset; /* of the first element, 0 without X */
    uint16_t extension_length; /* bytes of all elements, a multiple of 4 */
    uint8_t payload_type, marker, csrc_count;
    uint8_t padding; /* P bit; how much stands in the last byte, which SRTP encrypts */
};

/* Reads the header; works on encrypted packets too. 0, or -EBADMSG: shorter than its header says, version other than 2, or
   longer than UINT16_MAX. An empty payload is valid here. */
int rtp_parse_untrusted(const uint8_t *packet, size_t length, struct rtp_header *header);

/* Bytes of padding at the end of a DECRYPTED packet of `length` bytes (without the SRTP tag): 0 without P bit, else 1 to
   255; -EBADMSG if it is 0 or longer than the payload. A packet of padding only has this equal length - payload_offset. */
int rtp_padding_untrusted(const uint8_t *packet, size_t length, const struct rtp_header *header);

struct rtp_field { /* where an extension's data stands; offset 0 = not there. Length may be 0 in the two-byte form. */
    uint16_t offset;
    uint8_t length;
};

/* Finds the extension `id` (1 to 14 in the one-byte form, 1 to 255 in the other): 1 and its place, 0 when it is not there,
   -EBADMSG when an element before it runs over the end. The first of several counts. `header` must come from this packet. */
int rtp_extension_find(const uint8_t *packet, const struct rtp_header *header, uint8_t id,
                       struct rtp_field *found);

struct rtp_extensions { /* every extension a worker looks at, found in one pass */
    struct rtp_field mid, rid, repaired_rid, audio_level, abs_send_time, transport_cc, dependency_descriptor;
};

/* Finds all that `ids` names. 0, or -EBADMSG when an element runs over the end: what stood before it is found nevertheless.
   Fields of a wrong size (audio level other than 1, abs-send-time 3, transport-cc 2, mid and rid outside 1 to LIMIT_MID and
   LIMIT_RID) are reported as not there. */
int rtp_extensions_read_untrusted(const uint8_t *packet, const struct rtp_header *header,
                                  const struct extension_ids *ids, struct rtp_extensions *found);

/* Copies a mid or rid: its length, or -EBADMSG when it is missing, empty, longer than `room`, or holds anything but visible ASCII
   (both are tokens, RFC 5888 section 4, RFC 8852 3.1). Not NUL-terminated. */
int rtp_text_untrusted(const uint8_t *packet, struct rtp_field field, char *text, size_t room);

/* A header as a receiver of ours gets it: V=2, no padding and at most one CSRC unless it is a sealed one, the extensions whose id is not 0. */
struct rtp_outgoing {
    uint32_t timestamp, ssrc;
    uint32_t csrc; /* member number, 0 = no CSRC */
    uint16_t sequence;
    uint8_t padding, csrc_count; /* of sealed packets: the P bit, and the CSRC list as it came instead of `csrc` */
    const uint8_t *csrcs; /* csrc_count x 4 bytes, at most 15 */
    uint8_t payload_type, marker;
    uint8_t audio_level_id, audio_level; /* the octet of RFC 6464: V bit and level */
    uint8_t abs_send_time_id, transport_cc_id, mid_id, mid_length;
    uint16_t transport_cc;
    uint32_t abs_send_time; /* 24 bits of 6.18 seconds */
    const char *mid;        /* 1 to LIMIT_MID bytes */
};

/* Fixed part, 15 CSRCs, extension head, and level 1, abs-send-time 3, transport-cc 2, mid 16 bytes in the two-byte form. */
#define RTP_HEADER_MAX (12 + 60 + 4 + 32)
#define RTP_HEADER_USUAL (12 + 4 + 4 + 32) /* with one CSRC */

/* Writes at most RTP_HEADER_MAX bytes, returns how many. The one-byte form unless an id is above 14. */
size_t rtp_header_write(uint8_t *to, const struct rtp_outgoing *outgoing);

#endif
