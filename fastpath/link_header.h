/* What stands before a datagram that leaves by a packet socket: virtio, Ethernet, IPv4 and UDP headers, for one datagram or for a run of equal ones
 * that the device (or the kernel, late) cuts. Pure. linux/virtio_net.h, IEEE 802.3, RFC 791, RFC 768. */
#ifndef SOTTO_LINK_HEADER_H
#define SOTTO_LINK_HEADER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bytes.h"

#define LINK_VIRTIO_SIZE 10u
#define LINK_HEADERS 42u /* Ethernet, IPv4, UDP */
#define LINK_HEADER_SIZE (LINK_VIRTIO_SIZE + LINK_HEADERS)
/* As Linux sends by itself. */
#define LINK_TIME_TO_LIVE 64u

struct link_way { /* all of one destination */
    uint8_t link_from[6], link_to[6];
    uint8_t from[4], to[4];
    uint16_t port_from, port_to;
};

static inline uint32_t link_sum(const uint8_t *bytes, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i += 2) sum += load_be16(bytes + i);
    return sum;
}

static inline uint16_t link_fold(uint32_t sum)
{
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* Before `length` bytes (1 to 65,507) in datagrams of `segment` bytes, the last may be shorter. `identification` of the first, those after it count up: it
   is given because a router on the way may have to cut them. The device, or the kernel, sums up the payload. */
static inline void link_header_write(uint8_t out[LINK_HEADER_SIZE], const struct link_way *way,
                                     size_t length, size_t segment, uint16_t identification)
{
    /* struct virtio_net_hdr in the machine's byte order, as packet sockets have it by default */
    uint16_t sizes[4] = {LINK_HEADERS, length > segment ? (uint16_t)segment : 0, 14 + 20, 6};
    out[0] = 1;                        /* VIRTIO_NET_HDR_F_NEEDS_CSUM */
    out[1] = length > segment ? 5 : 0; /* VIRTIO_NET_HDR_GSO_UDP_L4 */
    memcpy(out + 2, sizes, sizeof sizes);
    uint8_t *ethernet = out + LINK_VIRTIO_SIZE, *ip = ethernet + 14, *udp = ip + 20;
    memcpy(ethernet, way->link_to, 6);
    memcpy(ethernet + 6, way->link_from, 6);
    store_be16(ethernet + 12, 0x0800);
    store_be16(ip, 0x4500);
    store_be16(ip + 2, (uint16_t)(28 + length));
    store_be16(ip + 4, identification);
    store_be16(ip + 6, 0);
    store_be16(ip + 8, LINK_TIME_TO_LIVE << 8 | 17);
    store_be16(ip + 10, 0);
    memcpy(ip + 12, way->from, 4);
    memcpy(ip + 16, way->to, 4);
    store_be16(ip + 10, (uint16_t)~link_fold(link_sum(ip, 20)));
    store_be16(udp, way->port_from);
    store_be16(udp + 2, way->port_to);
    store_be16(udp + 4, (uint16_t)(8 + length));
    store_be16(udp + 6, link_fold(link_sum(ip + 12, 8) + 17 + (uint32_t)(8 + length)));
}

#endif
