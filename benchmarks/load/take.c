/* take MODE: a loop that receives and does nothing else, as the worker receives: what a packet costs before a conference server has looked at it.
 *
 *   take plain|decrypt GATHER_US PORT SECONDS
 *
 * One socket for both families with the worker's options, batches of BATCH, asleep until something comes and then GATHER_US more. decrypt: each
 * packet is authenticated and decrypted with the keys that `bare` gives to its first receiver. Says "ready"; prints one JSON object, of what it
 * took from the first packet on; CPU time is the process's, by the operating system's account. */
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "limits.h"
#include "rtp.h"
#include "srtp.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#define BATCH LIMIT_RX_BATCH
#define CONTROL_ROOM 128
#define ROOM \
    69632 /* a run that the kernel joined, and not all of them on the same lines of the caches */

static uint64_t clock_ns(int clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int open_socket(uint16_t port)
{
    int fd = socket(AF_INET6, SOCK_DGRAM, 0), off = 0, on = 1, room = 4 << 20;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    return bind(fd, (struct sockaddr *)&name, sizeof name) == 0 ? fd : -1;
}

/* Bytes of one datagram of those that the kernel joined. */
static size_t segment_of(struct msghdr *message, size_t length)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        int size;
        if (control->cmsg_level != IPPROTO_UDP || control->cmsg_type != UDP_GRO) continue;
        memcpy(&size, CMSG_DATA(control), sizeof size);
        if (size > 0 && (size_t)size < length) return (size_t)size;
    }
    return length;
}

/* The kernel wrote into both how much it gave. */
static void arm(struct msghdr *message)
{
    message->msg_namelen = sizeof(struct sockaddr_in6);
    message->msg_controllen = CONTROL_ROOM;
}

int main(int argc, char **argv)
{
    if (argc != 5) return 2;
    bool decrypt = strcmp(argv[1], "decrypt") == 0;
    long gather_ns = atol(argv[2]) * 1000;
    int fd = open_socket((uint16_t)atoi(argv[3]));
    if (fd < 0) return 1;
    static struct mmsghdr messages[BATCH];
    static struct iovec vectors[BATCH];
    static struct sockaddr_in6 names[BATCH];
    static _Alignas(16) uint8_t controls[BATCH][CONTROL_ROOM];
    static struct srtp_rx_state rx[LIMIT_RX_SSRCS];
    uint8_t *buffers = malloc((size_t)BATCH * ROOM);
    struct srtp_keys keys = {0};
    struct srtp_key master = {.key = {0, 0, 7}};
    if (!buffers || srtp_keys_expand(&keys, SRTP_AEAD_AES_128_GCM, &master) != 0) return 1;
    for (unsigned i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){buffers + (size_t)i * ROOM, 65536};
        messages[i].msg_hdr = (struct msghdr){&names[i], 0, &vectors[i], 1, controls[i], 0, 0};
        arm(&messages[i].msg_hdr);
    }
    printf("ready\n");
    fflush(stdout);

    uint64_t taken = 0, refused = 0, turns = 0, begin = 0, cpu = 0, end = UINT64_MAX;
    while (clock_ns(CLOCK_MONOTONIC) < end) {
        struct pollfd waits = {fd, POLLIN, 0};
        if (ppoll(&waits, 1, &(struct timespec){1, 0}, NULL) <= 0)
            break; /* nothing comes any more */
        if (!begin) {
            begin = clock_ns(CLOCK_MONOTONIC);
            cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
            end = begin + (uint64_t)(atof(argv[4]) * 1e9);
        }
        nanosleep(&(struct timespec){0, gather_ns}, NULL);
        turns++;
        int got;
        do {
            got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
            for (int i = 0; i < got; i++) {
                size_t length = messages[i].msg_len, segment = segment_of(&messages[i].msg_hdr, length);
                for (size_t at = 0; at < length; at += segment) {
                    size_t size = segment < length - at ? segment : length - at;
                    uint8_t *packet = buffers + (size_t)i * ROOM + at;
                    struct rtp_header header;
                    uint64_t index;
                    taken++;
                    if (decrypt && (rtp_parse_untrusted(packet, size, &header) != 0 ||
                                    srtp_unprotect_untrusted(&keys, rx, packet, &size,
                                                             header.payload_offset, &index) != 0))
                        refused++;
                }
                arm(&messages[i].msg_hdr);
            }
        } while (got == BATCH);
    }
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    double wall = (double)(clock_ns(CLOCK_MONOTONIC) - begin) / 1e9;
    printf("{\"taken\": %llu, \"refused\": %llu, \"turns\": %llu, \"cpu_s\": %.6f, \"seconds\": "
           "%.3f}\n",
           (unsigned long long)taken, (unsigned long long)refused, (unsigned long long)turns,
           (double)cpu / 1e9, wall);
    srtp_keys_wipe(&keys);
    free(buffers);
    return refused || !taken;
}
