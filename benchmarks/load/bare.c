/* bare MODE: the same bursts to the same receivers with the same encryption and no conference server around it.
 *
 *   bare gso|single|plain ADDRESS PORT RECEIVERS PACKETS SIZE BURSTS_PER_SECOND SECONDS
 *
 * gso: what a receiver gets of one burst leaves as one UDP_SEGMENT message: the limit of what this machine's kernel gives. single: one
 * sendto for each packet, as most servers do. plain: single without encryption. Each burst is PACKETS packets of SIZE bytes on the wire to
 * each of RECEIVERS addresses from ADDRESS on; lists of both ("1,5" and "124,1080") are bursts in turns (mix.h). Prints one JSON object; CPU time is the process's, by the operating system's account. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "bytes.h"
#include "mix.h"
#include "srtp.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define HEADER 28 /* as the worker writes it: fixed, one CSRC, two extension elements */
#define BATCH 128

struct receiver {
    struct srtp_keys keys;
    struct sockaddr_in6 name;
    uint64_t index;
};

static uint64_t clock_ns(int clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static size_t packet_make(struct receiver *receiver, uint32_t ssrc, const uint8_t *payload,
                          size_t size, bool plain, uint8_t *out)
{
    memset(out, 0, HEADER);
    out[0] = 0x91;
    out[1] = 96;
    store_be16(out + 2, (uint16_t)receiver->index);
    store_be32(out + 4, (uint32_t)(receiver->index * 375));
    store_be32(out + 8, ssrc);
    store_be16(out + 16, 0xbede);
    store_be16(out + 18, 2);
    if (plain) {
        memcpy(out + HEADER, payload, size - HEADER);
        receiver->index++;
        return size;
    }
    return (size_t)srtp_protect(&receiver->keys, receiver->index++, out, 1600, HEADER, payload,
                                size - HEADER - 16);
}

int main(int argc, char **argv)
{
    if (argc != 9) return 2;
    bool gso = strcmp(argv[1], "gso") == 0, plain = strcmp(argv[1], "plain") == 0;
    uint32_t address = ntohl(inet_addr(argv[2]));
    unsigned count = (unsigned)atoi(argv[4]), turn = 0;
    struct mix mix;
    if (mix_read(&mix, argv[5], argv[6]) != 0) return 2;
    double per_second = atof(argv[7]), seconds = atof(argv[8]);
    int fd = socket(AF_INET6, SOCK_DGRAM, 0), off = 0, room = 4 << 20; /* as the worker's: one socket for both families */
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0) return 1;

    struct receiver *receivers = aligned_alloc(64, (sizeof *receivers * count + 63) & ~(size_t)63);
    for (unsigned i = 0; i < count; i++) {
        memset(&receivers[i], 0, sizeof receivers[i]);
        struct srtp_key master = {.key = {(uint8_t)i, (uint8_t)(i >> 8), 7}};
        if (srtp_keys_expand(&receivers[i].keys, SRTP_AEAD_AES_128_GCM, &master) != 0) return 1;
        receivers[i].name =
            (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(argv[3]))};
        uint8_t *to = receivers[i].name.sin6_addr.s6_addr;
        to[10] = to[11] = 0xff;
        store_be32(to + 12, address + i);
        receivers[i].index = 1;
    }
    static uint8_t payload[64][1600], slab[BATCH][64][1600] __attribute__((aligned(64)));
    static struct mmsghdr messages[BATCH];
    static struct iovec vectors[BATCH][64];
    static _Alignas(16) uint8_t controls[BATCH][CMSG_SPACE(2)];
    uint64_t sent = 0, failed = 0, begin = clock_ns(CLOCK_MONOTONIC),
             cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), due = begin;
    uint64_t step = (uint64_t)(1e9 / per_second), end = begin + (uint64_t)(seconds * 1e9);
    while (due < end) {
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (now < due) {
            struct timespec until = {(time_t)(due / 1000000000), (long)(due % 1000000000)};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        }
        due += step;
        const unsigned packets = mix.packets[turn % mix.count];
        const size_t size = mix.size[turn++ % mix.count];
        if (now > due + 100000000) due = now; /* saturated: as fast as it goes */
        for (unsigned first = 0; first < count; first += BATCH) {
            unsigned many = count - first < BATCH ? count - first : BATCH;
            for (unsigned i = 0; i < many; i++) {
                struct receiver *receiver = &receivers[first + i];
                for (unsigned k = 0; k < packets; k++) {
                    size_t length =
                        packet_make(receiver, first + i + 1, payload[k], size, plain, slab[i][k]);
                    vectors[i][k] = (struct iovec){slab[i][k], length};
                    if (gso) continue;
                    if (sendto(fd, slab[i][k], length, MSG_DONTWAIT,
                               (struct sockaddr *)&receiver->name, sizeof receiver->name) < 0)
                        failed++;
                    else
                        sent++;
                }
                if (!gso) continue;
                messages[i].msg_hdr = (struct msghdr){.msg_name = &receiver->name,
                                                      .msg_namelen = sizeof receiver->name,
                                                      .msg_iov = vectors[i],
                                                      .msg_iovlen = packets};
                if (packets == 1) continue;
                struct cmsghdr *control = (struct cmsghdr *)controls[i];
                control->cmsg_level = IPPROTO_UDP;
                control->cmsg_type = UDP_SEGMENT;
                control->cmsg_len = CMSG_LEN(2);
                uint16_t segment = (uint16_t)size;
                memcpy(CMSG_DATA(control), &segment, 2);
                messages[i].msg_hdr.msg_control = controls[i];
                messages[i].msg_hdr.msg_controllen = sizeof controls[i];
            }
            for (unsigned at = 0; gso && at < many;) {
                int done = sendmmsg(fd, messages + at, many - at, MSG_DONTWAIT);
                if (done > 0) {
                    at += (unsigned)done;
                    sent += (uint64_t)done * packets;
                } else {
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
