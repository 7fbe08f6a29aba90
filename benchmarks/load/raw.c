/* raw MODE: the bursts of bare.c past the kernel's UDP and IP: packet sockets with a virtio header, by which runs of equal packets are
 * handed over in one piece as UDP_SEGMENT does it. An experiment: what it would gain stands in the README beside this folder.
 *
 *   raw packet|bypass|ring ADDRESS PORT RECEIVERS PACKETS SIZE BURSTS_PER_SECOND SECONDS DEVICE SOURCE HOP_LINK
 *
 * packet: sendmmsg; bypass: the same without the queueing discipline; ring: a transmit ring into which packets are encrypted, so that the
 * kernel copies no payload. SOURCE = our address, HOP_LINK = link address of the next hop, as 02:00:... */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "bytes.h"
#include "mix.h"
#include "srtp.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#define RTP_HEADER 28
#define BATCH 512u
#define LINK_HEADER (14 + 20 + 8)
#define VNET sizeof(struct virtio_net_hdr)
#define SLOT 16384u /* one message in the ring */

struct receiver {
    struct srtp_keys keys;
    uint32_t address;
    uint64_t index;
};

static uint64_t clock_ns(int clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint32_t sum_of(const uint8_t *bytes, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i += 2) sum += load_be16(bytes + i);
    return sum;
}

static uint16_t folded(uint32_t sum)
{
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static uint8_t link_from[6], link_to[6];
static uint32_t source;
static uint16_t port;

/* virtio, Ethernet, IP and UDP headers of a run; what follows is `length` bytes in segments of `size`. */
static void headers_write(uint8_t *out, uint32_t to, size_t length, size_t size)
{
    struct virtio_net_hdr about = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .hdr_len = LINK_HEADER, .csum_start = 34, .csum_offset = 6};
    if (length > size) {
        about.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
        about.gso_size = (uint16_t)size;
    }
    memcpy(out, &about, VNET);
    uint8_t *link = out + VNET, *ip = link + 14, *udp = ip + 20;
    memcpy(link, link_to, 6);
    memcpy(link + 6, link_from, 6);
    store_be16(link + 12, ETHERTYPE_IP);
    memset(ip, 0, 20);
    ip[0] = 0x45;
    store_be16(ip + 2, (uint16_t)(28 + length));
    ip[6] = 0x40; /* do not fragment */
    ip[8] = 64;
    ip[9] = IPPROTO_UDP;
    store_be32(ip + 12, source);
    store_be32(ip + 16, to);
    store_be16(ip + 10, (uint16_t)~folded(sum_of(ip, 20)));
    store_be16(udp, 40001);
    store_be16(udp + 2, port);
    store_be16(udp + 4, (uint16_t)(8 + length));
    store_be16(udp + 6, folded(sum_of(ip + 12, 8) + IPPROTO_UDP + (uint32_t)(8 + length)));
}

static size_t packet_make(struct receiver *receiver, uint32_t ssrc, const uint8_t *payload,
                          size_t size, uint8_t *out)
{
    memset(out, 0, RTP_HEADER);
    out[0] = 0x91;
    out[1] = 96;
    store_be16(out + 2, (uint16_t)receiver->index);
    store_be32(out + 8, ssrc);
    store_be16(out + 16, 0xbede);
    store_be16(out + 18, 2);
    return (size_t)srtp_protect(&receiver->keys, receiver->index++, out, 1600, RTP_HEADER, payload,
                                size - RTP_HEADER - 16);
}

int main(int argc, char **argv)
{
    if (argc != 12) return 2;
    bool ring = strcmp(argv[1], "ring") == 0;
    int bypass = strcmp(argv[1], "packet") != 0, on = 1, room = 16 << 20, version = TPACKET_V2;
    uint32_t address = ntohl(inet_addr(argv[2]));
    port = (uint16_t)atoi(argv[3]);
    unsigned count = (unsigned)atoi(argv[4]), turn = 0;
    struct mix mix;
    if (mix_read(&mix, argv[5], argv[6]) != 0) return 2;
    double per_second = atof(argv[7]), seconds = atof(argv[8]);
    source = ntohl(inet_addr(argv[10]));
    unsigned byte[6];
    if (sscanf(argv[11], "%x:%x:%x:%x:%x:%x", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5]) != 6)
        return 2;
    for (int i = 0; i < 6; i++) link_to[i] = (uint8_t)byte[i];
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    struct ifreq device = {0};
    snprintf(device.ifr_name, sizeof device.ifr_name, "%s", argv[9]);
    if (ioctl(fd, SIOCGIFHWADDR, &device) != 0) return 1;
    memcpy(link_from, device.ifr_hwaddr.sa_data, 6);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version);
    if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0) perror("PACKET_VNET_HDR");
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof bypass);
    uint8_t *slots = NULL;
    if (ring) {
        struct tpacket_req request = {
            .tp_block_size = SLOT * 4, .tp_block_nr = BATCH / 4, .tp_frame_size = SLOT, .tp_frame_nr = BATCH};
        if (setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &request, sizeof request) != 0)
            perror("PACKET_TX_RING");
        slots = mmap(NULL, (size_t)SLOT * BATCH, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (slots == MAP_FAILED) return 1;
    }
    struct sockaddr_ll name = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(ETH_P_IP),
                               .sll_ifindex = (int)if_nametoindex(argv[9])};
    if (bind(fd, (struct sockaddr *)&name, sizeof name) != 0) return 1;

    struct receiver *receivers = aligned_alloc(64, (sizeof *receivers * count + 63) & ~(size_t)63);
    for (unsigned i = 0; i < count; i++) {
        memset(&receivers[i], 0, sizeof receivers[i]);
        struct srtp_key master = {.key = {(uint8_t)i, (uint8_t)(i >> 8), 7}};
        if (srtp_keys_expand(&receivers[i].keys, SRTP_AEAD_AES_128_GCM, &master) != 0) return 1;
        receivers[i].address = address + i;
        receivers[i].index = 1;
    }
    static uint8_t payload[64][1600], slab[BATCH][64][1600] __attribute__((aligned(64)));
    static uint8_t heads[BATCH][64];
    static struct mmsghdr messages[BATCH];
    static struct iovec vectors[BATCH][65];
    uint64_t sent = 0, failed = 0, begin = clock_ns(CLOCK_MONOTONIC),
             cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), due = begin;
    uint64_t step = (uint64_t)(1e9 / per_second), end = begin + (uint64_t)(seconds * 1e9);
    unsigned slot = 0;
    const size_t data_at = TPACKET_ALIGN(sizeof(struct tpacket2_hdr));
    while (due < end) {
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (now < due) {
            struct timespec until = {(time_t)(due / 1000000000), (long)(due % 1000000000)};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        }
        due += step;
        const unsigned packets = mix.packets[turn % mix.count];
        const size_t size = mix.size[turn++ % mix.count];
        if (now > due + 100000000) due = now;
        for (unsigned first = 0; first < count; first += BATCH) {
            unsigned many = count - first < BATCH ? count - first : BATCH;
            for (unsigned i = 0; i < many; i++) {
                struct receiver *receiver = &receivers[first + i];
                if (ring) {
                    struct tpacket2_hdr *head = (void *)(slots + (size_t)slot * SLOT);
                    if (head->tp_status != TP_STATUS_AVAILABLE) {
                        failed += packets;
                        continue;
                    }
                    uint8_t *data = (uint8_t *)head + data_at, *at = data + VNET + LINK_HEADER;
                    for (unsigned k = 0; k < packets; k++)
                        at += packet_make(receiver, first + i + 1, payload[k], size, at);
                    headers_write(data, receiver->address, (size_t)packets * size, size);
                    head->tp_len = (uint32_t)(at - data);
                    __atomic_store_n(&head->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
                    slot = (slot + 1) % BATCH;
                    sent += packets;
                    continue;
                }
                for (unsigned k = 0; k < packets; k++)
                    vectors[i][k + 1] = (struct iovec){
                        slab[i][k], packet_make(receiver, first + i + 1, payload[k], size, slab[i][k])};
                headers_write(heads[i], receiver->address, (size_t)packets * size, size);
                vectors[i][0] = (struct iovec){heads[i], VNET + LINK_HEADER};
                messages[i].msg_hdr = (struct msghdr){.msg_iov = vectors[i], .msg_iovlen = packets + 1};
            }
            if (ring && sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0) failed++;
            for (unsigned at = 0; !ring && at < many;) {
                int done = sendmmsg(fd, messages + at, many - at, MSG_DONTWAIT);
                if (done > 0) {
                    at += (unsigned)done;
                    sent += (uint64_t)done * packets;
                } else {
                    if (!failed) perror("sendmmsg");
                    at++;
                    failed += packets;
                }
            }
        }
    }
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    double wall = (double)(clock_ns(CLOCK_MONOTONIC) - begin) / 1e9;
    printf("{\"sent\": %llu, \"failed\": %llu, \"cpu_s\": %.6f, \"seconds\": %.3f, \"us\": %.4f}\n",
           (unsigned long long)sent, (unsigned long long)failed, (double)cpu / 1e9, wall,
           sent ? (double)cpu / 1e3 / (double)sent : 0.0);
    return 0;
}
