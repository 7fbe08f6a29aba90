/* Where a datagram of ours leaves to on its link: asked of the kernel (rtnetlink), because a packet socket does not route. Needs no privilege.
 *
 * Each answer costs two round trips into the kernel, some 10 us, and is kept by the caller until next_hops_changed. IPv4 over one Ethernet-like
 * device. Names of neighbours that the kernel does not know (yet, or any more) are no answer: what goes there takes the UDP socket, and that
 * makes the kernel ask for it. */
#ifndef SOTTO_NEXT_HOP_H
#define SOTTO_NEXT_HOP_H

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct next_hops {
    int asking, changes; /* sockets; -1 = closed */
    int device;          /* interface index */
    uint8_t link[6];     /* its own address */
    unsigned mtu;        /* bytes of an IP packet */
    uint32_t asked;
};

static inline void next_hops_close(struct next_hops *hops)
{
    if (hops->asking >= 0) close(hops->asking);
    if (hops->changes >= 0) close(hops->changes);
    hops->asking = hops->changes = -1;
}

static inline void next_hops_measure(struct next_hops *hops)
{
    struct ifreq about = {.ifr_mtu = 0};
    hops->mtu = 0;
    if (if_indextoname((unsigned)hops->device, about.ifr_name) &&
        ioctl(hops->asking, SIOCGIFMTU, &about) == 0 && about.ifr_mtu > 0)
        hops->mtu = (unsigned)about.ifr_mtu;
}

/* For the device that the packet socket is bound to. 0 or -1: not an Ethernet-like one, or no netlink. */
static inline int next_hops_open(struct next_hops *hops, int packet_fd)
{
    struct sockaddr_ll own;
    socklen_t size = sizeof own;
    *hops = (struct next_hops){.asking = -1, .changes = -1};
    if (getsockname(packet_fd, (struct sockaddr *)&own, &size) != 0 || own.sll_family != AF_PACKET ||
        own.sll_hatype != ARPHRD_ETHER || own.sll_halen != 6 || own.sll_ifindex <= 0)
        return -1;
    hops->device = own.sll_ifindex;
    memcpy(hops->link, own.sll_addr, 6);
    struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
                                 .nl_groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_IFADDR};
    hops->asking = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    hops->changes = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (hops->asking < 0 || hops->changes < 0 ||
        bind(hops->changes, (struct sockaddr *)&groups, sizeof groups) != 0) {
        next_hops_close(hops);
        return -1;
    }
    next_hops_measure(hops);
    return 0;
}

/* Did anything change since the last call that answers may depend on? Refreshed neighbours count too: they are told seldom. */
static inline bool next_hops_changed(struct next_hops *hops)
{
    uint8_t message[8192];
    bool changed = false;
    while (hops->changes >= 0 &&
           (recv(hops->changes, message, sizeof message, MSG_DONTWAIT) > 0 || errno == ENOBUFS))
        changed = true; /* ENOBUFS: more than it could hold */
    if (changed) next_hops_measure(hops);
    return changed;
}

struct netlink_question {
    struct nlmsghdr head;
    union {
        struct rtmsg route;
        struct ndmsg neighbour;
    } body;
    struct rtattr attribute; /* the address asked about */
    uint8_t address[4];
};

/* The kernel's answer, or NULL. */
static inline const struct nlmsghdr *netlink_ask(struct next_hops *hops, struct netlink_question *question,
                                                 uint16_t type, const uint8_t address[4],
                                                 uint16_t attribute, uint8_t *room, size_t size)
{
    question->head = (struct nlmsghdr){.nlmsg_len = sizeof *question,
                                       .nlmsg_type = type,
                                       .nlmsg_flags = NLM_F_REQUEST,
                                       .nlmsg_seq = ++hops->asked};
    question->attribute = (struct rtattr){.rta_len = RTA_LENGTH(4), .rta_type = attribute};
    memcpy(question->address, address, 4);
    if (send(hops->asking, question, sizeof *question, 0) != (ssize_t)sizeof *question) return NULL;
    for (int tries = 0; tries < 4; tries++) { /* answers come within the call above; older ones may lie before it */
        ssize_t length = recv(hops->asking, room, size, MSG_DONTWAIT);
        const struct nlmsghdr *head = (const struct nlmsghdr *)(void *)room;
        if (length < (ssize_t)sizeof *head || !NLMSG_OK(head, (size_t)length)) return NULL;
        if (head->nlmsg_seq != hops->asked) continue;
        return head->nlmsg_type == NLMSG_ERROR ? NULL : head;
    }
    return NULL;
}

static inline const void *attribute_of(const struct nlmsghdr *head, size_t body, uint16_t wanted, size_t length)
{
    const struct rtattr *one =
        (const struct rtattr *)(const void *)((const uint8_t *)NLMSG_DATA(head) + NLMSG_ALIGN(body));
    size_t left = head->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(body));
    for (; RTA_OK(one, left); one = RTA_NEXT(one, left))
        if (one->rta_type == wanted && RTA_PAYLOAD(one) >= length) return RTA_DATA(one);
    return NULL;
}

/* Link address of the next hop to an IPv4 address, and the address the kernel would send from. 0, or -1: not over this device, or not known. */
static inline int next_hop_find(struct next_hops *hops, const uint8_t to[4], uint8_t link[6], uint8_t from[4])
{
    _Alignas(8) uint8_t room[8192];
    struct netlink_question question = {.body.route = {.rtm_family = AF_INET, .rtm_dst_len = 32}};
    const struct nlmsghdr *head = netlink_ask(hops, &question, RTM_GETROUTE, to, RTA_DST, room, sizeof room);
    if (!head || head->nlmsg_type != RTM_NEWROUTE) return -1;
    const struct rtmsg *route = NLMSG_DATA(head);
    const int *device = attribute_of(head, sizeof *route, RTA_OIF, sizeof *device);
    const uint8_t *gateway = attribute_of(head, sizeof *route, RTA_GATEWAY, 4);
    const uint8_t *source = attribute_of(head, sizeof *route, RTA_PREFSRC, 4);
    if (route->rtm_type != RTN_UNICAST || !device || *device != hops->device || !source) return -1;
    uint8_t hop[4];
    memcpy(hop, gateway ? gateway : to, 4);
    memcpy(from, source, 4);
    question = (struct netlink_question){.body.neighbour = {.ndm_family = AF_INET, .ndm_ifindex = hops->device}};
    head = netlink_ask(hops, &question, RTM_GETNEIGH, hop, NDA_DST, room, sizeof room);
    if (!head || head->nlmsg_type != RTM_NEWNEIGH) return -1;
    const struct ndmsg *neighbour = NLMSG_DATA(head);
    const uint8_t *address = attribute_of(head, sizeof *neighbour, NDA_LLADDR, 6);
    if (!address || !(neighbour->ndm_state &
                      (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)))
        return -1;
    memcpy(link, address, 6);
    return 0;
}

#endif
