/* What kind of packet a datagram on the one port is, told by its first bytes: RFC 7983 section 7, RFC 5761 section 4. */
#ifndef SOTTO_DEMUX_H
#define SOTTO_DEMUX_H

#include <stddef.h>
#include <stdint.h>

enum demux_kind { DEMUX_STUN, DEMUX_DTLS, DEMUX_RTP, DEMUX_RTCP };

/* enum demux_kind, or -EINVAL: no kind we take (ZRTP, TURN channels, QUIC), or shorter than the smallest packet of its kind
   (STUN 20, DTLS record header 13, RTP 12, RTCP 8 bytes). Reads two bytes at most. */
int demux_untrusted(const uint8_t *datagram, size_t length);

#endif
