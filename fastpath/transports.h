/* What a worker keeps of each transport, source and sink in private memory: everything here is derived from config and state rows
 * and can be lost at any time. Keys are expanded once for an incarnation and its keys. */
#ifndef SOTTO_TRANSPORTS_H
#define SOTTO_TRANSPORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "srtp.h"
#include "table.h"

struct worker;

struct ssrc_binding { /* what an SSRC of a transport is */
    uint32_t source;  /* handle */
    uint8_t encoding;
    uint8_t repair; /* 1 = RTX of that encoding */
    uint8_t reserved[2];
};

struct transport_cache {
    uint32_t incarnation; /* 0 = nothing may be done with it */
    uint32_t egress_destination;
    uint64_t egress_epoch; /* destination is valid in this epoch of the slab */
    uint64_t tx_packets, tx_bytes;
    bool refuses_segments; /* its route refused UDP_SEGMENT */
    bool rx_keyed, tx_keyed;
    bool paced;              /* there is, or will be, an estimate by its own word: see downlink.h */
    uint8_t transport_cc_id; /* of the extension on what it is sent, 0 = not numbered */
    bool connected_told, expiry_told; /* by this worker; a successor says it again */
    bool report_now;                  /* waits in worker.hasty for a compound at once */
    uint8_t bound_count;
    uint32_t bound_ssrc[LIMIT_RX_SSRCS];
    struct ssrc_binding bound[LIMIT_RX_SSRCS];
    uint32_t remb_bps, dtls_count;
    uint64_t dtls_window_ns;
    uint64_t tx_bps;                      /* between its last two reports */
    uint64_t rated_ns, rated_bytes;       /* since when that is counted */
    struct srtp_key rx_master, tx_master; /* of which the expanded keys were made */
    uint16_t profile;
    struct srtp_keys rx, tx;
};

/* The two times looked at most, apart from the rest so that a scan over all transports stays in the first cache level. */
struct transport_timer {
    uint64_t send_until_ns; /* consent; 0 = nothing may be sent */
    uint64_t report_due_ns; /* 0 = no reports */
};

/* Follows a new generation: resets state rows of new incarnations, expands keys, forgets what is gone. */
void transports_adopt(struct worker *worker, uint64_t now_ns);
void transports_close(struct worker *worker);

/* The number in egress of a transport's selected address, or TABLE_NONE: no path, consent too old, slab full. */
uint32_t transport_destination(struct worker *worker, uint32_t transport, uint64_t now_ns);

/* What an SSRC is, or NULL. */
const struct ssrc_binding *transport_binding(const struct transport_cache *cache, uint32_t ssrc);
/* Remembers it, here and in the source's state row. */
void transport_bind(struct worker *worker, uint32_t transport, uint32_t ssrc, struct ssrc_binding binding);
/* After sources were adopted: all bindings again, from the declared and the learned SSRCs. */
void transports_rebind(struct worker *worker);

#endif
