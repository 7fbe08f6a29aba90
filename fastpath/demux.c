#include "demux.h"

#include <errno.h>

int demux_untrusted(const uint8_t *datagram, size_t length)
{
    if (length < 8) return -EINVAL; /* RTCP: the smallest of all */
    uint8_t first = datagram[0];
    if (first >= 128 && first <= 191) {
        /* Packet types 192 to 223 are RTCP; payload types 64 to 95 with a marker would look the same, and are never used. */
        if (datagram[1] >= 192 && datagram[1] <= 223) return DEMUX_RTCP;
        return length >= 12 ? DEMUX_RTP : -EINVAL;
    }
    if (first <= 3) return length >= 20 ? DEMUX_STUN : -EINVAL;
    if (first >= 20 && first <= 63) return length >= 13 ? DEMUX_DTLS : -EINVAL;
    return -EINVAL;
}
