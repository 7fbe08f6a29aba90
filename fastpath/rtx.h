/* Retransmission streams (RFC 4588): the original's sequence number (OSN) in the first two bytes of the payload, its own SSRC,
 * payload type and sequence. Received ones are unwrapped into the original; ours are wrapped for one slot. */
#ifndef SOTTO_RTX_H
#define SOTTO_RTX_H

#include <stddef.h>
#include <stdint.h>

#include "rtp.h"
#include "table.h"

#define RTX_OSN_SIZE 2u

/* Reads OSN and original payload of a decrypted RTX packet; `length` is without padding. 0: `original` = where the payload begins, *left
   its length. 1: a probe, padding only or a retransmission of padding: count it, forward nothing. -EBADMSG: a single byte. */
int rtx_unwrap_untrusted(const uint8_t *payload, size_t length, uint16_t *osn,
                         const uint8_t **original, size_t *left);

/* Takes an unwrapped packet through the replay window of the stream it repairs, so that the original, coming late, is refused and
   both never get the same outgoing index. `media` = srtp_rx_find of the encoding's SSRC. Stored before it is forwarded, like any
   packet's bit. 0: *index is its SRTP index, RFC 3711 3.3.1. -ENOENT: nothing of that stream authenticated yet; -EALREADY: had it or
   older than the window; -ERANGE: further ahead than RTX_AHEAD. */
int rtx_accept(struct srtp_rx_state *media, uint16_t osn, uint64_t *index);
/* A retransmission may bring packets that we do not yet know to be missing (browsers probe with them). Higher: a sender that lies
   moves its own window further. Lower: the tail of a burst is repaired one round trip later. */
#define RTX_AHEAD 256u

/* The next index of a slot's retransmission stream. `next` is a word of the sink's state row (0 = not begun): the successor of *index is
   stored there before returning, so a kill skips numbers and repeats none. `random`: low 15 bits are the first one. 0 or -EOVERFLOW. */
int rtx_take_index(uint64_t *next, uint64_t random, uint64_t *index);

/* Writes a retransmission before encryption: header (of rtx SSRC, rtx payload type, its own sequence; timestamp and marker of the original),
   OSN, payload. Returns the header's length; the payload of RTX_OSN_SIZE + length bytes stands behind it, as srtp_protect takes it.
   -ENOSPC when `room` is too small. */
int rtx_write(uint8_t *out, size_t room, const struct rtp_outgoing *header, uint16_t osn,
              const uint8_t *payload, size_t length);

/* Writes a packet of padding only, 1 to 255 bytes of it: a probe on a retransmission stream, or on a slot itself what fills the number
   of a packet that was left out too late (see sequence_map.h). Returns the header's length; `padding` bytes stand behind it. -EINVAL,
   -ENOSPC. */
int rtp_padding_write(uint8_t *out, size_t room, const struct rtp_outgoing *header, unsigned padding);

#endif
