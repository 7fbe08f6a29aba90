/* The shared tables of one worker: the only definition of their layout. C includes this file, Cython declares it, Python sees
 * methods. Nothing here is ever locked. docs/table.md tells the rules in prose; docs/architecture.md says who writes what.
 *
 * CONFIG segment: what control decided. Two halves hold generations g and g-1 (generation g lives in half g & 1). Control
 *   writes rows into the half that nobody reads, stores `current` (release), and rewrites the other half only after the worker
 *   stored `adopted` >= current at a batch boundary. There is one worker per segment and never two at once, so one `adopted` is
 *   enough; a dead worker never moves it, and control then only gathers its changes.
 * STATE segment: what happens. Fixed rows, written only by the worker, found by handle. Each is ordered so that a kill at any
 *   instruction fails closed (stores of a killed thread are a prefix of its program order; compiler order is kept by
 *   `table_barrier`):
 *     - a row counts only while its `incarnation` equals the config row's; resetting first stores 0, then clears, then stores
 *       the new incarnation last;
 *     - the replay bit of a received packet is stored before the packet is forwarded: it may be lost, never sent twice;
 *     - a projection is two copies, the one with the greater `version` counts, `version` is stored last: it always holds an
 *       index at least as great as any that was encrypted, because it is stored before encrypting;
 *     - the SRTCP index, and that of a slot's retransmission stream, is stored (+1) before encrypting;
 *     - a path is written into an unused entry and selected by one store afterwards.
 *   No state row is ever copied to another row, and no handle is given to a new occupant without a new incarnation; an SSRC is
 *   never given twice to sinks of one transport incarnation (control's allocator), so no (key, SSRC, index) repeats.
 *
 * All integers are in host byte order, addresses and keys are bytes. Times are CLOCK_MONOTONIC in nanoseconds. */
#ifndef SOTTO_TABLE_H
#define SOTTO_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocation.h"
#include "bandwidth.h"
#include "clamp.h"
#include "counters.h"
#include "limits.h"
#include "pacing.h"
#include "rates.h"
#include "sent_log.h"
#include "speakers.h"

#define TABLE_CONFIG_MAGIC 0x31676663746f73ull /* "sotcfg1" little endian */
#define TABLE_STATE_MAGIC 0x31617473746f73ull  /* "sotsta1" */
#define TABLE_LAYOUT_VERSION 5u
#define TABLE_NONE 0xffffffffu

/* Keeps the order of plain stores as written: enough against a kill, because stores retire in program order. */
#define table_barrier() atomic_signal_fence(memory_order_seq_cst)

/* ---- config rows: immutable within a generation; `incarnation` 0 = no such row ---- */

/* values of RFC 5764 4.1.2 and RFC 7714 14.2 */
enum srtp_profile {
    SRTP_NONE = 0,
    SRTP_AES128_CM_SHA1_80 = 0x0001,
    SRTP_AEAD_AES_128_GCM = 0x0007,
    SRTP_AEAD_AES_256_GCM = 0x0008,
};

struct ice_credentials { /* text, not NUL-terminated; length 0 = unused entry */
    uint8_t local_ufrag_length, local_pwd_length, remote_ufrag_length, reserved;
    char local_ufrag[LIMIT_LOCAL_UFRAG];
    char local_pwd[LIMIT_LOCAL_PWD];
    char remote_ufrag[LIMIT_REMOTE_UFRAG];
};

struct srtp_key { /* master key and salt as DTLS exported them (RFC 5764 4.2); unused bytes 0 */
    uint8_t key[32];
    uint8_t salt[14];
    uint8_t reserved[2];
};

struct extension_ids { /* ids of RFC 8285 in this transport's BUNDLE group, 0 = not negotiated */
    uint8_t mid, rid, repaired_rid, audio_level, abs_send_time, transport_cc, dependency_descriptor, reserved;
};

struct transport_row { /* one member's connection; handle = index. local_ufrag begins with the handle: see stun.h */
    uint32_t check; /* row_check over the rest of the row */
    uint32_t incarnation;
    uint32_t conference;   /* number for grouping, not an identifier anybody else knows */
    uint16_t srtp_profile; /* enum srtp_profile; SRTP_NONE until DTLS is done */
    uint8_t transport_cc_down; /* 1 = its slots negotiated transport-wide feedback too: what we send it is numbered */
    uint8_t foreign; /* number of another worker + 1: its members of this conference, who come by the ring; no keys, no addresses */
    struct ice_credentials ice[2];  /* [1] is used during an ICE restart */
    struct srtp_key rx_key, tx_key; /* theirs, ours */
    uint32_t rtcp_ssrc; /* our SSRC for reports and requests on this transport; first in every compound we send */
    uint32_t remb_bps;                             /* REMB sent to it, 0 = none */
    uint32_t sources[LIMIT_SOURCES_PER_TRANSPORT]; /* handles of what it sends, TABLE_NONE = none */
    struct extension_ids ext;
    uint32_t downlink_max_bps; /* the operator's bound of what it is sent, 0 = none */
    uint32_t follows; /* 1 + handle of the same member's connection before it, whose estimate it begins with; 0 = none */
    uint32_t reserved[12];
};

enum source_kind {
    SOURCE_AUDIO = 0,
    SOURCE_CAMERA = 1,
    SOURCE_SCREEN = 2,
    SOURCE_SCREEN_AUDIO = 3
};
enum codec {
    CODEC_OPUS = 0,
    CODEC_VP8 = 1,
    CODEC_VP9 = 2,
    CODEC_H264 = 3,
    CODEC_AV1 = 4,
    CODEC_SEALED = 5, /* RFC 8723: the whole payload is encrypted end to end, whatever it is; see sealed.h */
};

struct source_row { /* one microphone, camera or screen that arrives on `transport` */
    uint32_t check;
    uint32_t incarnation;
    uint32_t transport, transport_incarnation;
    uint32_t member; /* written into the CSRC list of what is forwarded */
    uint32_t clock_rate;
    uint8_t kind, codec, payload_type, rtx_payload_type; /* rtx 0 = none */
    uint8_t muted;          /* 1 = the member said so: nothing of it is forwarded */
    uint8_t encoding_count; /* 1 for audio and for video without rids */
    uint8_t mid_length;
    uint8_t rid_length[LIMIT_ENCODINGS];
    uint8_t tmmbr; /* 1 = "ccm tmmbr" was negotiated (RFC 5104): the clamp is sent that way too */
    uint8_t resends; /* 1 = audio whose sender takes NACKs and sends the packet itself once more; video has RTX */
    uint32_t ssrc[LIMIT_ENCODINGS]; /* declared in the SDP, 0 = learn from mid and rid */
    char mid[LIMIT_MID];
    char rid[LIMIT_ENCODINGS][LIMIT_RID]; /* lowest encoding first */
    struct clamp_limits limits; /* for audio max_bps[0] is what it is counted as before it is measured */
    uint32_t rtx_ssrc[LIMIT_ENCODINGS]; /* as ssrc, of its retransmissions */
    uint32_t exports;                   /* bits of the workers that it is handed over to */
    uint32_t home_source, home_incarnation; /* of a foreign one: its row on the worker that it arrives at */
    uint8_t home;                           /* that worker's number + 1; 0 = it arrives here */
    uint8_t reserved1[11];
};

struct sink_row { /* one outgoing RTP stream: a receive slot of `transport`, and what it should carry */
    uint32_t check;
    uint32_t incarnation;
    uint32_t transport, transport_incarnation; /* the receiver */
    uint32_t source, source_incarnation; /* wanted; TABLE_NONE = nothing: an old source stops at once */
    uint32_t ssrc, rtx_ssrc; /* constant for the incarnation; of a sealed sink the first of its source's */
    uint32_t clock_rate;
    uint8_t payload_type, rtx_payload_type, kind;
    uint8_t max_encoding; /* 0 t, 1 m, 2 f: never a higher one */
    uint8_t priority;     /* higher = kept longer when bandwidth is short */
    uint8_t focus;        /* 1 = what is looked at: grows before any thumbnail */
    uint8_t hidden;       /* 1 = nobody looks at it now: costs nothing, the mapping stays */
    uint8_t loudest; /* 1 = audio slot without a member of its own: the worker puts the loudest of the others there */
    uint8_t sealed; /* 1 = no slot: one sealed source for the whole incarnation, under that source's SSRCs */
    uint8_t resend; /* 1 = audio whose receiver may ask for a packet once more (resend.h) */
    uint8_t reserved[18];
};

_Static_assert(sizeof(struct ice_credentials) == 116, "layout");
_Static_assert(sizeof(struct transport_row) == 448, "layout");
_Static_assert(sizeof(struct source_row) == 176, "layout");
_Static_assert(sizeof(struct sink_row) == 64, "layout");

struct config_generation { /* head of one half; the three arrays follow, each at its full capacity */
    uint64_t number;
    uint32_t transport_limit, source_limit, sink_limit; /* one above the greatest handle in use */
    uint32_t check;                                     /* row_check over number and limits */
};

struct config_header {
    uint64_t magic;
    uint32_t layout_version, header_size;
    uint32_t transport_row_size, source_row_size, sink_row_size, reserved;
    uint32_t transport_capacity, source_capacity, sink_capacity, generation_size; /* generation_size: bytes of one half */
    _Alignas(64) _Atomic uint64_t current; /* written by control; 0 = nothing published yet */
    _Alignas(64) _Atomic uint64_t adopted; /* written by the worker */
    uint8_t padding[56];
};

/* ---- state rows ---- */

struct srtp_rx_state { /* one received SSRC: RFC 3711 3.3; index = ROC << 16 | SEQ */
    uint32_t ssrc;     /* 0 = free entry (SSRC 0 is refused) */
    uint32_t used;     /* 1 once a packet authenticated */
    uint64_t highest;  /* greatest authenticated index */
    uint64_t window[LIMIT_REPLAY_WINDOW / 64]; /* bit (index % LIMIT_REPLAY_WINDOW) = seen */
};

struct srtcp_rx_state {
    uint32_t ssrc;
    uint32_t used;
    uint64_t highest;
    uint64_t window[LIMIT_RTCP_REPLAY_WINDOW / 64];
};

struct path {       /* an address that passed an authenticated check */
    uint8_t family; /* 0 = unused, 4 or 6 */
    uint8_t nominated;
    uint16_t port;       /* host order */
    uint32_t scope;      /* IPv6 scope id, or 0 */
    uint8_t address[16]; /* IPv4 in the first four bytes */
    uint8_t local_address[16]; /* where its packets arrive, to answer from (IPV6_PKTINFO); all 0 = unknown */
    uint32_t local_interface;
    uint32_t socket;  /* number of the worker's UDP socket they arrive at */
    uint64_t seen_ns; /* last authenticated request */
};

struct transport_state {
    _Atomic uint32_t incarnation; /* 0 = nobody */
    uint32_t selected;   /* index of the path media goes to, TABLE_NONE before the first check */
    uint64_t consent_ns; /* last authenticated request on any path; 0 = none yet */
    uint64_t consent_lost_ns; /* when its expiry was told to control, 0 = not */
    uint32_t connected;       /* 1 once UPLINK_CONNECTED was sent */
    uint32_t srtcp_tx_index;  /* next index to use with rtcp_ssrc (31 bits) */
    struct path paths[LIMIT_PATHS];
    struct srtp_rx_state rx[LIMIT_RX_SSRCS];
    struct srtcp_rx_state rtcp_rx[LIMIT_RX_SSRCS];
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
    uint64_t report_due_ns;
    uint32_t reported_lost; /* last cumulative loss its receiver reports told of our slots, summed */
    uint32_t round_trip_us;  /* from the last LSR and DLSR, 0 = unknown */
    struct clamp_remb remb;  /* what was sent to it */
    int64_t clock_offset_ns; /* sender's NTP clock minus ours, least seen; see sender_clock.h */
    uint64_t clock_offset_seen_ns; /* 0 = unknown */
};

/* What one receiver may be sent, by handle of its transport. A row of its own: the estimator goes on over a kill, and a scan of transports does
   not pass over it. */
struct downlink_state {
    _Alignas(64) _Atomic uint32_t incarnation;
    uint32_t waiting_bytes; /* last seen in its queue, for status; the queue itself is private memory */
    struct pacing pacing;
    struct bandwidth bandwidth;
    struct allocation_total total;
    struct sent_log sent;
};

struct encoding_state {      /* what arrives of one encoding; RFC 3550 6.4.1 and appendix A */
    uint32_t ssrc, rtx_ssrc; /* learned or declared, 0 = not known */
    uint32_t base_sequence, received;
    uint32_t expected_prior, received_prior;
    uint64_t highest_index; /* extended sequence number of the newest packet, as SRTP counts it */
    uint32_t jitter;        /* in timestamp units, scaled by 16 as in appendix A.8 */
    uint32_t transit;
    uint32_t last_timestamp;
    uint32_t live; /* 1 once UPLINK_SOURCE_LIVE was sent */
    uint64_t last_packet_ns, last_key_frame_ns;
    uint64_t sr_arrival_ns;
    uint64_t sr_ntp; /* of the sender's clock, 32.32 */
    uint32_t sr_timestamp;
    uint32_t reserved;
    uint64_t bytes;
};

struct source_state {
    _Atomic uint32_t incarnation;
    uint32_t fir_sequence;
    uint64_t key_request_sent_ns;    /* last request upstream */
    uint64_t key_request_pending_ns; /* since when somebody waits for one, 0 = nobody */
    uint32_t lost_told;              /* what UPLINK_VIEWERS said last */
    uint32_t reserved;
    uint64_t inner_next[LIMIT_ENCODINGS]; /* of a sealed source: greatest inner index (ROC << 16 | SEQ) seen + 1, 0 = none */
    struct speaker_state speaker; /* of audio */
    struct clamp_source clamp;    /* of video; of a foreign one as its own worker told it */
    struct rate_row rates[LIMIT_ENCODINGS];
    struct encoding_state encodings[LIMIT_ENCODINGS];
    struct srtp_rx_state taken[LIMIT_ENCODINGS]; /* of a foreign one: what was taken from the ring, as what is received */
    int64_t clock_offset_ns; /* likewise its sender's, as in transport_state */
    uint64_t clock_offset_seen_ns;
};

/* One continuous outgoing RTP stream. All of what must survive a kill, in one cache line; see projection.h. */
struct projection {
    uint32_t version; /* 0 = never written or half written; the copy with the later version counts (wraps) */
    uint32_t input_ssrc; /* whose indices the current run maps: a new SSRC has an index space of its own */
    uint64_t highest_index; /* greatest SRTP index (ROC << 16 | SEQ) used so far */
    uint64_t first_input; /* input index (of the current encoding) at which the current run began */
    uint64_t index_offset;               /* output index = input index + this (wraps) */
    uint64_t last_sent_ns;               /* when the first packet with last_timestamp was sent */
    uint32_t source, source_incarnation; /* what it carries, TABLE_NONE = nothing */
    uint32_t timestamp_offset;
    uint32_t last_timestamp; /* output timestamp of the packet with the greatest index */
    uint16_t picture_id_offset, last_picture_id; /* 15 bits */
    uint8_t tl0_offset, last_tl0;
    uint8_t encoding;
    uint8_t started; /* 1 once anything was sent */
};
_Static_assert(sizeof(struct projection) == 64, "a projection is one cache line");

struct sink_state {
    _Atomic uint32_t incarnation;
    uint32_t ssrc;
    uint32_t key_request_count; /* of this receiver in the current window */
    uint32_t packets;           /* sent, for sender reports */
    uint32_t octets;
    uint32_t rtp_per_report;
    uint64_t key_request_window_ns;
    uint64_t sr_due_ns;
    uint64_t rtx_next_index; /* next index to use with rtx_ssrc, 0 = not begun; see rtx.h */
    uint32_t fraction_lost;  /* of 256, as its last receiver report said */
    uint32_t wished_source;  /* whose wishes `allocation` is about, TABLE_NONE = none */
    uint64_t parked_lowest;  /* `parked` of encoding 0 */
    struct projection copies[2];
    struct allocation_state allocation;
    union {
        struct loudest_slot loudest; /* of a sink whose row says so */
        uint64_t parked[2]; /* of a sealed sink, for encodings 1 and 2 that it carried before: next index to use, 0 = not begun */
    };
};

_Static_assert(sizeof(struct srtp_rx_state) == 144, "layout");
_Static_assert(sizeof(struct srtcp_rx_state) == 32, "layout");
_Static_assert(sizeof(struct path) == 56, "layout");
_Static_assert(sizeof(struct encoding_state) == 96, "layout");
_Static_assert(sizeof(struct sink_state) == 256, "layout");
_Static_assert(sizeof(struct downlink_state) % 64 == 0, "layout");

struct state_header {
    uint64_t magic;
    uint32_t layout_version, header_size;
    uint32_t transport_state_size, downlink_state_size, source_state_size, sink_state_size;
    uint32_t transport_capacity, source_capacity, sink_capacity, counter_count;
    _Atomic uint64_t heartbeat_ns;   /* stored at every turn of the worker's loop */
    _Atomic uint64_t worker_started; /* how many workers ran on this segment so far */
    /* One writer: relaxed load, add, store. Of fixed room, so that a build that appends a counter attaches to older tables:
       within one layout version counters are appended to COUNTERS, never moved. */
    _Alignas(64) _Atomic uint64_t counters[LIMIT_COUNTERS];
};
_Static_assert(COUNTER_COUNT <= LIMIT_COUNTERS, "raise LIMIT_COUNTERS and TABLE_LAYOUT_VERSION");

/* ---- what everybody uses ---- */

struct table_capacities {
    uint32_t transports, sources, sinks;
};

struct config_view { /* pointers into a mapped config segment */
    struct config_header *header;
    size_t size;
    struct table_capacities capacities; /* as attached: what the segment says of itself later may be a flipped bit */
};
struct generation_view { /* one generation, for reading (worker) or writing (control) */
    struct config_generation *head;
    struct transport_row *transports;
    struct source_row *sources;
    struct sink_row *sinks;
};
struct state_view {
    struct state_header *header;
    struct transport_state *transports;
    struct downlink_state *downlinks; /* by transport */
    struct source_state *sources;
    struct sink_state *sinks;
    size_t size;
};

/* Bytes a segment of these capacities needs. */
size_t table_config_size(struct table_capacities capacities);
size_t table_state_size(struct table_capacities capacities);
/* Writes headers into zeroed memory of at least the size above. */
void table_config_format(void *memory, struct table_capacities capacities);
void table_state_format(void *memory, struct table_capacities capacities);
/* Checks magic, version, every size and that the arrays fit into `size` bytes; 0 or -EPROTO (another layout) / -EINVAL (too short). */
int table_config_attach(void *memory, size_t size, struct config_view *view);
int table_state_attach(void *memory, size_t size, struct state_view *view);

/* Where generation `number` lies, or will: half `number & 1`. Whether its rows are that generation's is for the caller to know. */
struct generation_view table_generation(const struct config_view *config, uint64_t number);
/* Control: the half to write the next generation into, or -EAGAIN while the worker has not adopted the current one. The arrays
   still hold the generation before the last; rows must be written whole. */
int table_next_generation(const struct config_view *config, struct generation_view *next);
/* Control: makes it current. `transport_limit` and so on must be set; number and check are filled in here. */
void table_publish(const struct config_view *config, const struct generation_view *next);
/* Worker: at a batch boundary. Returns 1 and the view of the newest generation when it is another than `adopted_number`, and stores `adopted`; 0 when nothing
   is new; -EBADMSG when the head's check is wrong (the older one stays in use). */
int table_adopt(const struct config_view *config, uint64_t adopted_number, struct generation_view *view);
/* Control: is the head of generation `number` that generation's, and whole? */
bool table_head_valid(const struct config_view *config, uint64_t number);
/* Control: writes sizes, and `current` as `number`, again where they are not what they were. Returns whether they were not. */
bool table_mend_header(const struct config_view *config, uint64_t number);
/* Control: fills number and check of a half that no worker could read, in place. `current` stays. */
void table_publish_again(const struct config_view *config, const struct generation_view *again, uint64_t number);

/* Check value of a row: over all its bytes but the first four; never 0. CRC32C: every change of up to 32 neighbouring bits and of up
   to 3 bits anywhere is found. */
uint32_t row_check(const void *row, size_t size);
/* The same without the processor's instruction, to compare with. */
uint32_t row_check_portable(const void *row, size_t size);

/* Worker: gives a state row (any of the four; each begins with its incarnation) to a new occupant: stores 0, clears the rest, stores
   `incarnation` last. Killed anywhere, the row belongs to nobody and the next worker resets it again. */
void state_row_reset(void *row, size_t size, uint32_t incarnation);

static inline void counter_add(const struct state_view *state, enum counter which, uint64_t amount)
{
    _Atomic uint64_t *counter = &state->header->counters[which];
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

#endif
