/* What we ask a sender for: the gaps of one encoding (RFC 4585 6.2.1). Each gap is asked for once it is no mere reordering, again
 * once per round trip, with growing pauses, for a bounded time; when that fails, a key frame is asked for instead.
 *
 * Plain data without pointers, all zero at first. It may lie in private memory: a successor begins at the encoding's highest index,
 * so it still finds what was lost while nobody looked; gaps of before the kill end in a key frame. */
#ifndef SOTTO_NACK_H
#define SOTTO_NACK_H

#include <stdbool.h>
#include <stdint.h>

/* Gaps remembered for one encoding. Higher: 24 B each, and more repairs at once onto an uplink that has just failed. Lower: an
   outage of less than half a second at 300 packets/s costs a key frame. */
#define NACK_ENTRIES 128u
/* A gap younger than this may be a reordering. Higher: repairs come later. Lower: reordering networks carry packets twice. */
#define NACK_GUARD_NS (5ull * 1000000ull)
/* Bounds of the round trip used, and what is taken when it is not known. Min: lower = asks faster than a browser's pacer answers.
   Max: higher = a wrong measurement stops repairs. */
#define NACK_ROUND_TRIP_MIN_NS (20ull * 1000000ull)
#define NACK_ROUND_TRIP_MAX_NS (500ull * 1000000ull)
#define NACK_ROUND_TRIP_DEFAULT_NS (100ull * 1000000ull)
/* So often at a distance of one round trip, then each pause is twice the last. Higher: a bad uplink carries more requests. Lower: at
   10 % loss both ways, where each try fails with 0.19, more is left to key frames. */
#define NACK_STEADY_TRIES 4u
/* Given up after so many tries or so long. Higher: repairs nobody waits for. Lower: a distant sender is not asked often enough. */
#define NACK_TRIES 8u
#define NACK_AGE_NS (1000ull * 1000000ull)
/* A gap not filled in 1.5 round trips and this margin asks for a key frame, within the bounds. Higher: a longer freeze when a repair
   fails for good. Lower: key frames, which cost every viewer, where one more try would have done: with 10 % loss and 50 ms four
   tries fit into 225 ms, and 300 packets/s cost one key frame in 20 s; with the bare 75 ms it would be several in each second. */
#define NACK_KEY_MARGIN_NS (150ull * 1000000ull)
#define NACK_KEY_MIN_NS (200ull * 1000000ull)
#define NACK_KEY_MAX_NS (800ull * 1000000ull)

struct nack_entry {
    uint64_t index; /* missing SRTP index */
    uint64_t found_ns;
    uint32_t wait_ms; /* due at found_ns + wait_ms */
    uint8_t tries;
    bool key_asked;
};

struct nack {
    uint64_t highest; /* greatest index received */
    uint32_t count;
    bool started;
    bool key_wanted;          /* by overflow; nack_due takes it */
    uint64_t next_due_ns;     /* no entry is due before; UINT64_MAX = no entry */
    uint64_t filled_since_ns; /* the last packet filled a gap that was found then; 0 = it filled none */
    struct nack_entry entries[NACK_ENTRIES]; /* ascending by index */
};

/* Begins, and again for another SSRC: packets up to `highest` are not asked for. */
void nack_restart(struct nack *nack, uint64_t highest);
/* A packet came, of the stream or out of RTX, once (the replay window saw to that). True: it was missing, and is now repaired. */
bool nack_received(struct nack *nack, uint64_t index, uint64_t now_ns);
/* `index` begins a key frame: what is missing before it is still asked for, and no reason for another key frame. */
void nack_key_frame(struct nack *nack, uint64_t index);
/* What has to be asked for now: at most `room` sequence numbers in ascending order (as rtcp_write_nack takes them), whose number is
   returned; they count as asked. `round_trip_us` 0 = not known. *key_wanted becomes true when a key frame should be asked for (feedback
   merges such wishes), else stays. Call when nack->next_due_ns has come. */
unsigned nack_due(struct nack *nack, uint32_t round_trip_us, uint64_t now_ns, uint16_t *lost,
                  unsigned room, bool *key_wanted);

#endif
