/* The load generator: what the members of a plan send, and what they make of what they get. One thread. */
#ifndef SOTTO_LOAD_H
#define SOTTO_LOAD_H

#include <stdbool.h>

#include "delays.h"
#include "feedback.h"
#include "plan_file.h"
#include "srtp.h"
#include "wire.h"

#define SENT_TIMES \
    4096u /* of each source; a packet that needs longer than so many others is not timed */

struct member_state {
    struct srtp_keys tx, rx;
    struct reporter reporter;
    struct srtcp_rx_state rtcp_rx[LIMIT_RX_SSRCS];
    uint16_t transport_number; /* of its own sending */
    uint32_t watched_ssrc;     /* newest picture's */
    uint16_t watched_number;
    uint32_t unasked; /* packets of pictures, in thousandths of one to ask for again */
    bool sends, answered;
    uint64_t check_due_ns, report_due_ns;
};

struct sender {
    uint64_t due_ns, index; /* index of the next packet */
    uint64_t frame;
    uint32_t packets, packet; /* of the frame under way */
    uint32_t frame_bytes;
    uint32_t timestamp;
    bool key;                     /* the frame under way */
    bool key_wanted;              /* the next one shall be one */
    uint64_t counted;             /* packets in the window */
    uint32_t sinks;               /* how many should get it */
    uint64_t sent_ns[SENT_TIMES]; /* CLOCK_REALTIME */
};

struct stream {             /* what one sink got */
    uint64_t highest, base; /* unwrapped sequence numbers; 0 = nothing yet */
    uint64_t received, reordered;
    uint64_t seen;  /* packets ever */
    int64_t offset; /* index at the source minus ours */
    uint32_t source;
    bool placed; /* offset and source are known */
    struct srtp_rx_state rx;
};

struct totals { /* [0] audio, [1] video */
    uint64_t packets[2], bytes[2], lost[2], due[2];
    uint64_t reordered, sampled, bad_tags, unknown, rtcp, stun, key_requests, feedback_sent, asked;
    struct delays delays[2];
};

struct load {
    struct plan plan;
    struct wire wire;
    struct member_state *members;
    struct sender *sources;
    struct stream *streams;
    uint32_t *heap; /* sources by due_ns */
    uint32_t answered;
    bool counting;
    uint64_t scanned_ns;
    struct totals *totals;
    uint64_t random;
};

uint64_t load_clock_ns(int clock);
uint64_t load_random(struct load *load);

/* sending.c: whatever is due. Returns when the next is. */
void sending_start(struct load *load, uint64_t now_ns);
uint64_t sending_turn(struct load *load, uint64_t now_ns);

/* members.c: ICE checks, feedback, reports; what is due. */
int members_open(struct load *load);
void members_turn(struct load *load, uint64_t now_ns);
void members_stun(struct load *load, const struct arrived *arrived);
void members_rtcp(struct load *load, const struct arrived *arrived);
/* A Binding request that nominates; its length, at most 256. */
size_t check_make(const struct plan_member *member, uint8_t *out);

/* receiving.c */
void receiving_take(void *load, const struct arrived *arrived);
void receiving_begin(struct load *load); /* from now on it counts */
void receiving_finish(struct load *load);

#endif
