/* Packets as they were received, kept for repairs: one index for each encoding, one ring of bytes for the whole worker, shared by
 * all receivers. What is kept is decrypted on the hop only; media stays sealed end to end. Nothing allocates per packet.
 *
 * It lies in the worker's private memory, not in the state segment, because a retransmission is a fresh packet under a fresh index:
 * nothing here has to survive for the nonces' sake. What a killed worker's successor lacks is the last second of packets: NACKs of
 * one round trip stay unanswered and end in a key frame. In the segment it would be 32 MiB more of shared memory a worker, with
 * offsets into it to be checked by every successor. */
#ifndef SOTTO_HISTORY_H
#define SOTTO_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long a packet may be asked for. Higher: repairs of no use, since nobody's jitter buffer waits so long, and more memory.
   Lower: a receiver 300 ms away cannot ask three times. Audio is played after 200 ms or never. */
#define HISTORY_VIDEO_NS (1000ull * 1000000ull)
#define HISTORY_AUDIO_NS (500ull * 1000000ull)
/* Packets of one encoding that can be found, a power of two; 16 B each. Higher: memory of each camera. Lower: video above 1024
   packets a second (10 Mbit/s) and audio above 64 in half a second are kept for less than the times above. */
#define HISTORY_VIDEO_SLOTS 1024u
#define HISTORY_AUDIO_SLOTS 64u
/* The ring of one worker. Higher: resident memory. Lower: all its conferences together are kept for less than a second from
   256 Mbit/s of ingress on, which at 20 viewers each is more than a core can send. */
#define HISTORY_SLAB_BYTES (32u << 20)
/* The ring begins anew before its end where so much was written in no less time: a worker with little to keep has little memory.
   With four times the longest time that anything is kept, ingress may become four times as much at once and nothing of the last
   second is written over. Higher: more memory of workers with little to do. Lower: where ingress grows at once, repairs of before
   it are lost sooner. */
#define HISTORY_LAP_BYTES (1u << 20)
#define HISTORY_LAP_NS (4 * HISTORY_VIDEO_NS)
/* What one encoding may put there in a second; beyond it its packets are not kept. Higher: one sender can push out the packets of
   all others. Lower: a screen share above 16 Mbit/s is repaired in part. */
#define HISTORY_BYTES_PER_SECOND (2u << 20)
/* Longest payload kept. */
#define HISTORY_PAYLOAD_MAX 1500u

struct history_slab {
    uint8_t *bytes; /* owned */
    uint64_t capacity;
    uint64_t head;   /* bytes ever written, gaps at the ring's end included */
    uint64_t lap_ns; /* when the ring was begun anew */
};

struct history_slot {
    uint64_t index;    /* SRTP index of the packet, valid if position is not 0 */
    uint64_t position; /* of its record in the slab, + 1; 0 = never used */
};

struct history {                /* of one encoding; all zero = keeps nothing */
    struct history_slot *slots; /* owned */
    uint32_t slot_count;
    uint32_t ssrc; /* whose indices these are */
    uint64_t keep_ns;
    uint64_t window_ns; /* the second that HISTORY_BYTES_PER_SECOND is counted in */
    uint32_t window_bytes;
    uint32_t reserved;
};

struct history_packet {
    uint64_t index, time_ns;
    const uint8_t *payload; /* as received: no numbers of any slot in it */
    uint32_t timestamp;
    uint16_t length; /* of the payload, without padding */
    uint8_t marker, has_level, level;
    uint8_t sealed; /* P bit (bit 4) and number of CSRCs, which stand before the payload and in its length: sealed.h */
    uint8_t descriptor_length; /* 0 = none is kept */
    const uint8_t *descriptor; /* as the payload: the dependency descriptor, without which nobody can tell what a sealed packet begins */
};

int history_slab_open(struct history_slab *slab, size_t capacity); /* 0 or -ENOMEM, -EINVAL (below 64 KiB) */
void history_slab_close(struct history_slab *slab);

/* When a source gets a row. 0 or -ENOMEM. */
int history_open(struct history *history, bool audio);
void history_close(struct history *history);
/* The encoding has another SSRC: its indices begin anew and nothing of before may be found. */
void history_restart(struct history *history, uint32_t ssrc);

/* Keeps a packet; to be called before any slot's numbers are written into the payload. False: not kept (too long, no room in this
   second, or not opened). */
bool history_put(struct history_slab *slab, struct history *history, const struct history_packet *packet);
/* Finds one; its payload may be read until the next history_put. False: never had, too old or overwritten. */
bool history_find(const struct history_slab *slab, const struct history *history, uint64_t index,
                  uint64_t now_ns, struct history_packet *packet);

#endif
