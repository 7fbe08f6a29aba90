/* A worker and members around it without sockets: each member has credentials, keys and an address; what it sends goes into forward(),
 * what the worker sends it is decrypted with its own keys and kept for looking at. */
#ifndef SOTTO_SCENE_H
#define SOTTO_SCENE_H

#include "forward.h"
#include "rtcp.h"
#include "srtp.h"

#define SCENE_MEMBERS 128
#define SCENE_SOURCES 256
#define SCENE_SINKS 512
#define SCENE_RECEIVED 8192
#define MS 1000000ull

enum {
    MID_EXT = 4,
    RID_EXT = 10,
    REPAIRED_EXT = 11,
    LEVEL_EXT = 1,
    TRANSPORT_CC_EXT = 3,
    DEPENDENCY_EXT = 12
};

struct received { /* one datagram a member got, decrypted */
    uint32_t member;
    uint16_t port; /* it was sent to */
    bool stun, dtls, rtcp;
    uint32_t ssrc, timestamp, csrc;
    uint64_t index;
    uint8_t payload_type, marker, level;
    bool numbered; /* has a transport-wide number */
    uint16_t transport_cc;
    uint16_t bytes; /* of the datagram */
    uint8_t csrc_count, padding;
    uint8_t csrcs[60];
    uint16_t payload_length;
    uint8_t payload[1500]; /* of RTP; of the others the whole datagram */
};

struct member {
    uint16_t port;
    struct srtp_keys tx, rx; /* its own, the opposite of the row's */
    struct srtp_rx_state rx_state[LIMIT_RX_SSRCS];
    struct srtcp_rx_state rtcp_state[LIMIT_RX_SSRCS];
    uint32_t srtcp_index;
    uint16_t picture[LIMIT_ENCODINGS]; /* of its newest frame */
};

struct scene {
    void *config, *state;
    size_t config_size, state_size;
    struct config_view control;
    struct worker worker;
    uint64_t now;
    struct transport_row transports[SCENE_MEMBERS];
    struct source_row sources[SCENE_SOURCES];
    struct sink_row sinks[SCENE_SINKS];
    struct member members[SCENE_MEMBERS];
    struct received *received;
    uint32_t received_count;
    struct uplink_head told[4096];
    uint32_t told_count;
    bool together; /* what members send is taken, and relayed with the next scene_flush */
    uint8_t *taken[RELAY_BATCH];
    uint32_t taken_count;
    uint32_t flushes; /* of the slab */
    uint32_t refused; /* datagrams a member could not authenticate: must stay 0 */
};

struct scene *scene_open(enum srtp_profile profile);
void scene_close(struct scene *scene);
/* Publishes all rows; false while the worker has not adopted those before. */
bool scene_offer(struct scene *scene);
/* The same, and lets the worker adopt them. */
void scene_publish(struct scene *scene);
/* Another worker on the same segments; the old one's private memory is thrown away as by a kill. */
void scene_restart(struct scene *scene);

/* Rows; effective with the next scene_publish. Handles are the numbers given. */
void scene_member(struct scene *scene, uint32_t member);
void scene_audio(struct scene *scene, uint32_t source, uint32_t member, const char *mid);
void scene_video(struct scene *scene, uint32_t source, uint32_t member, const char *mid); /* rids t, m, f */
void scene_sink(struct scene *scene, uint32_t sink, uint32_t member, uint32_t source, uint8_t max_encoding);

/* One check from the member's port. */
void scene_check(struct scene *scene, uint32_t member, bool nominate);
size_t stun_request_make(const struct ice_credentials *credentials, bool nominate, uint8_t *out);
void scene_datagram(struct scene *scene, uint16_t port, const void *bytes, size_t length);
/* All members of the rows: check, nominate, empty what was received. */
void scene_connect(struct scene *scene);

struct packet { /* an RTP packet a member sends */
    uint32_t ssrc, timestamp;
    uint64_t index;
    const char *mid, *rid, *repaired_rid; /* NULL = no extension */
    uint8_t payload_type, marker, level, padding;
    const uint8_t *payload;
    size_t length;
    const uint8_t *descriptor; /* of dependencies; the extensions have the two-byte form then */
    uint8_t descriptor_length;
    uint32_t csrcs[15];
    uint8_t csrc_count;
    bool inner_padding; /* the P bit alone: the padding is in what is sealed */
};
size_t scene_make(struct scene *scene, uint32_t member, const struct packet *packet, uint8_t *out);
void scene_send(struct scene *scene, uint32_t member, const struct packet *packet);
/* One VP8 packet of `size` bytes with a 6 byte descriptor: `key` or delta, first of its frame or not. */
void scene_vp8(struct scene *scene, uint32_t member, const char *mid, unsigned encoding,
               uint64_t index, bool key, bool first, bool last, size_t size);
void scene_opus(struct scene *scene, uint32_t member, const char *mid, uint64_t index);
/* Encrypts and sends a compound. */
void scene_rtcp(struct scene *scene, uint32_t member, uint8_t *compound, size_t length);

/* Decrypts one datagram that was sent to a member and appends it to received[], or counts it in refused. */
void scene_keep(struct scene *scene, const struct egress_destination *to, const uint8_t *bytes, size_t length);
/* Relays what was taken; plans, decrypts and clears what stands in the slab, gathers what was told to control. Appends to received[]. */
void scene_flush(struct scene *scene);
/* Forgets received[] and told[]. */
void scene_forget(struct scene *scene);
/* worker_tick and scene_flush at now + `ns`. */
void scene_advance(struct scene *scene, uint64_t ns);
uint64_t scene_counter(const struct scene *scene, enum counter which);
unsigned scene_told(const struct scene *scene, uint32_t kind, uint32_t transport);
/* How many RTP packets this member got on this SSRC. */
unsigned scene_packets(const struct scene *scene, uint32_t member, uint32_t ssrc);
const struct received *scene_last(const struct scene *scene, uint32_t member, uint32_t ssrc);
/* How many RTCP blocks of this type and count/format the member got; count -1 = any. */
unsigned scene_blocks(const struct scene *scene, uint32_t member, uint8_t type, int count);

/* SSRCs as the helpers above use them. */
static inline uint32_t video_ssrc(uint32_t member, unsigned encoding)
{ return 0x10000 + member * 16 + encoding; }
static inline uint32_t audio_ssrc(uint32_t member)
{ return 0x20000 + member; }
static inline uint32_t sink_ssrc(uint32_t sink)
{ return 0x50000 + sink; }

#endif
