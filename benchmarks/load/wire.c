#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "bytes.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define RING_BLOCK (1u << 20)
#define RING_BLOCKS 192u
#define SEND_BUFFER (16 << 20)

struct wire_message {
    uint32_t member;
    uint16_t length;
};

static int ring_open(struct wire *wire);

int wire_open(struct wire *wire, const struct plan *plan)
{
    *wire = (struct wire){.plan = plan};
    wire->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (wire->fd < 0) return -errno;
    int room = SEND_BUFFER;
    setsockopt(wire->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(plan->head.client_port)};
    if (bind(wire->fd, (struct sockaddr *)&name, sizeof name) != 0) return -errno;
    wire->outgoing = malloc((size_t)WIRE_BATCH * WIRE_PACKET);
    wire->queue = calloc(WIRE_BATCH, sizeof *wire->queue);
    if (!wire->outgoing || !wire->queue) return -ENOMEM;
    return ring_open(wire);
}

uint8_t *wire_reserve(struct wire *wire)
{
    if (wire->queued == WIRE_BATCH) wire_flush(wire, false);
    return wire->outgoing + (size_t)wire->queued * WIRE_PACKET;
}

void wire_commit(struct wire *wire, uint32_t member, size_t length)
{ wire->queue[wire->queued++] = (struct wire_message){member, (uint16_t)length}; }

static void put_control(struct msghdr *header, int level, int type, const void *data, size_t size)
{
    struct cmsghdr *control = (struct cmsghdr *)((uint8_t *)header->msg_control + header->msg_controllen);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(control), data, size);
    header->msg_controllen += CMSG_SPACE(size);
}

static unsigned run_length(const struct wire *wire, unsigned first, bool segments)
{
    unsigned count = 1;
    const struct wire_message *queue = wire->queue;
    while (segments && first + count < wire->queued && count < 40 &&
           queue[first + count].member == queue[first].member &&
           queue[first + count - 1].length == queue[first].length &&
           queue[first + count].length <= queue[first].length)
        count++;
    return count;
}

void wire_flush(struct wire *wire, bool segments)
{
    static struct mmsghdr messages[WIRE_BATCH];
    static struct iovec vectors[WIRE_BATCH];
    static struct sockaddr_in names[WIRE_BATCH];
    static _Alignas(16) uint8_t controls[WIRE_BATCH][96];
    const struct plan_head *head = &wire->plan->head;
    unsigned count = 0, runs;
    for (unsigned first = 0; first < wire->queued; first += runs) {
        runs = run_length(wire, first, segments);
        uint32_t member = wire->queue[first].member;
        uint32_t server = head->plain ? 0 : wire->plan->members[member].server;
        struct msghdr *header = &messages[count].msg_hdr;
        for (unsigned i = first; i < first + runs; i++)
            vectors[i] = (struct iovec){wire->outgoing + (size_t)i * WIRE_PACKET, wire->queue[i].length};
        names[count] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(head->server_port[server])};
        memcpy(&names[count].sin_addr, head->server_address[server], 4);
        *header = (struct msghdr){.msg_name = &names[count],
                                  .msg_namelen = sizeof names[count],
                                  .msg_iov = &vectors[first],
                                  .msg_iovlen = runs,
                                  .msg_control = controls[count]};
        struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(head->first_address + member)};
        put_control(header, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
        uint16_t size = wire->queue[first].length;
        if (runs > 1) put_control(header, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
        count++;
    }
    wire->queued = 0;
    for (unsigned at = 0; at < count;) {
        int sent = sendmmsg(wire->fd, messages + at, count - at, 0);
        if (sent > 0) {
            at += (unsigned)sent;
        } else if (errno == EAGAIN) {
            poll(&(struct pollfd){wire->fd, POLLOUT, 0}, 1, 10);
        } else if (errno != EINTR) {
            wire->send_errors++;
            at++;
        }
    }
}

/* ---- receiving ---- */

/* A ring that the kernel fills where packets arrive at the device, before they would go up: see wire.h. */
static int ring_open(struct wire *wire)
{
    int version = TPACKET_V3, on = 1;
    struct tpacket_req3 request = {.tp_block_size = RING_BLOCK,
                                   .tp_block_nr = RING_BLOCKS,
                                   .tp_frame_size = 2048,
                                   .tp_frame_nr = RING_BLOCK / 2048 * RING_BLOCKS,
                                   .tp_retire_blk_tov = 1};
    wire->ring_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (wire->ring_fd < 0 ||
        setsockopt(wire->ring_fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) != 0 ||
        setsockopt(wire->ring_fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0 ||
        setsockopt(wire->ring_fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
        setsockopt(wire->ring_fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) != 0)
        return -errno;
    wire->ring = mmap(NULL, (size_t)RING_BLOCK * RING_BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED,
                      wire->ring_fd, 0);
    if (wire->ring == MAP_FAILED) return -errno;
    struct sockaddr_ll name = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(ETH_P_IP),
                               .sll_ifindex = (int)if_nametoindex(wire->plan->head.device)};
    return bind(wire->ring_fd, (struct sockaddr *)&name, sizeof name) == 0 ? 0 : -errno;
}

/* One message as it came over the device: one datagram, or a run that no device has cut yet. */
static void take_frame(struct wire *wire, const struct tpacket3_hdr *frame,
                       void (*take)(void *, const struct arrived *), void *to)
{
    const struct plan_head *head = &wire->plan->head;
    const uint8_t *ip = (const uint8_t *)frame + frame->tp_net;
    struct virtio_net_hdr segments;
    memcpy(&segments, (const uint8_t *)frame + frame->tp_mac - sizeof segments, sizeof segments);
    size_t have = frame->tp_snaplen - (size_t)(frame->tp_net - frame->tp_mac),
           header = (size_t)(ip[0] & 15) * 4 + 8;
    if (have < header || ip[9] != IPPROTO_UDP || load_be16(ip + header - 6) != head->client_port)
        return;
    struct arrived one = {.member = load_be32(ip + 16) - head->first_address,
                          .time_ns = (uint64_t)frame->tp_sec * 1000000000 + frame->tp_nsec};
    if (one.member >= head->member_count) return;
    size_t length = have - header, size = segments.gso_type ? segments.gso_size : length;
    if (!segments.gso_type) { /* short Ethernet frames are filled up */
        size_t said = load_be16(ip + header - 4);
        if (said >= 8 && said - 8 < length) size = length = said - 8;
    }
    wire->received_messages++;
    for (size_t at = 0; at < length; at += size) {
        one.bytes = (uint8_t *)(uintptr_t)ip + header + at;
        one.length = length - at < size ? length - at : size;
        take(to, &one);
    }
}

bool wire_receive(struct wire *wire, unsigned blocks, void (*take)(void *, const struct arrived *), void *to)
{
    for (unsigned i = 0; i < blocks; i++) {
        struct tpacket_block_desc *block = (void *)(wire->ring + (size_t)wire->block * RING_BLOCK);
        if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
            return false;
        const uint8_t *at = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
        for (uint32_t k = 0; k < block->hdr.bh1.num_pkts; k++) {
            const struct tpacket3_hdr *frame = (const void *)at;
            take_frame(wire, frame, take, to);
            at += frame->tp_next_offset;
        }
        __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        wire->block = (wire->block + 1) % RING_BLOCKS;
    }
    return true;
}

uint64_t wire_ring_drops(struct wire *wire)
{
    struct tpacket_stats_v3 stats = {0};
    socklen_t size = sizeof stats;
    getsockopt(wire->ring_fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size);
    return stats.tp_drops;
}

void wire_wait(uint64_t ns)
{
    struct timespec left = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    nanosleep(&left, NULL);
}
