/* What the load generator is told to do: a file of these structures, written by benchmarks/plan.py and read by plan.c. Host byte
 * order, no padding that is not named. Members are addressed by number: member n has the address first_address + n and, at the server,
 * the keys and ICE credentials of its transport row. */
#ifndef SOTTO_LOAD_PLAN_H
#define SOTTO_LOAD_PLAN_H

#include <stdint.h>

#include "table.h"

#define PLAN_MAGIC 0x316e616c706f73ull /* "soplan1" little endian */
#define PLAN_SSRC_BASE \
    0x10000000u /* SSRC of sink s is this + s, of source s's encoding PLAN_SOURCE_BASE + s */
#define PLAN_SOURCE_BASE 0x20000000u
#define PLAN_SERVERS 8

struct plan_head {
    uint64_t magic;
    uint32_t member_count, source_count, sink_count, server_count;
    uint8_t server_address[PLAN_SERVERS][4]; /* one of each worker */
    uint16_t server_port[PLAN_SERVERS];
    uint32_t first_address; /* of member 0, host order */
    uint16_t client_port;
    uint16_t profile; /* enum srtp_profile */
    uint64_t warm_ns; /* media flows at least so long before anything is counted */
    uint64_t measure_ns;
    uint32_t sample_every; /* each so many packets of a sink one is decrypted */
    uint32_t plain;        /* 1 = no STUN, RTP in clear, and member n + 1 receives sink n */
    uint32_t segments; /* 1 = senders hand frames to the kernel as one message, 0 = each packet singly */
    uint8_t mid_ext, rid_ext, level_ext, transport_cc_ext; /* 0 = not sent */
    char device[16];        /* where the server's packets arrive, NUL-filled */
    uint32_t feedback;      /* 1 = receivers answer with transport-wide feedback */
    uint32_t nack_permille; /* of the pictures' packets, asked for again as if they were lost */
};

struct plan_member {
    char local_ufrag[16], local_pwd[32], remote_ufrag[16]; /* the server's, its password, ours; NUL-filled */
    struct srtp_key tx, rx; /* the member's own sending and receiving */
    uint32_t server;        /* number of the worker it talks to */
    uint32_t rtcp_ssrc;
};

struct plan_source { /* one encoding */
    uint32_t member;
    uint32_t ssrc;
    uint8_t video, payload_type, mid, rid; /* one character each, 0 = none */
    uint16_t payload_max;                  /* the longest payload of a packet */
    uint16_t spread;                       /* 1 = packets of a frame evenly over the interval */
    uint32_t frame_bytes;
    uint32_t vary_percent; /* frame sizes differ by up to so much either way */
    uint64_t interval_ns, phase_ns;
};

struct plan_sink { /* what a receiver gets under SSRC PLAN_SSRC_BASE + its number */
    uint32_t member;
    uint32_t source; /* TABLE_NONE = any: the numbers are learnt by decrypting */
};

#endif
