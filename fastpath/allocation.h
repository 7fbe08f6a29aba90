/* What one receiver gets within its estimate: for each of its sinks an encoding and the highest temporal layer of it, or nothing.
 *
 * The order:
 *   1. Audio, all of it, whatever the estimate says.
 *   2. A picture for every focus: its lowest encoding with the fewest frames.
 *   3. The foci grow, in order of priority; those of one priority share evenly. Up to a quarter of what is left (ALLOCATION_THUMBNAIL_SHARE)
 *      stays for a picture of each thumbnail, so that one large tile does not cost all the small ones.
 *   4. A picture for each thumbnail, in order of priority, then they grow: frames first, pictures are lost last.
 * A hidden sink costs nothing. Cameras step down f, fewer frames, m, fewer frames, t, fewer frames; screens lose all their frames before
 * they lose detail.
 *
 * Down at once. Up when the better deal has been affordable, with a margin, all the time for ALLOCATION_HOLD_NS; each raise that fails within
 * ALLOCATION_FAIL_NS doubles that time, until twice what its next step needs is there. A link that falls below what it carried before the raise is not the raise's
 * failure. A changed wish (a click) starts without waiting. What somebody more important waits
 * for is not given to others meanwhile.
 *
 * `share_bps` is what the sink could have of its source; the sources' clamps (clamp.h) are made of the shares of those who `bid`. A bid comes
 * before the raise: the sender is first held to what the bidder can take, then the bidder is moved up.
 *
 * Pure: no clock, no memory but what it is given; O(n log n). The state is plain data, to stand in the sink's row. */
#ifndef SOTTO_ALLOCATION_H
#define SOTTO_ALLOCATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits.h"
#include "rates.h"

/* Sinks of one receiver. 3 x 16 slots today; a meeting of 50 without loudest slots would be 98. Higher: 9 kB of stack per 64. Lower: what is beyond gets nothing. */
#define ALLOCATION_SINKS 128
#define ALLOCATION_NOTHING 0xffu

/* How much more than its cost must be there before a sink is raised, in percent of the cost. Higher: capacity stays unused. Lower: estimates
   that tremble by 10 % move layers. Not asked for where the clamp follows the share anyway. */
#define ALLOCATION_MARGIN_PERCENT 115u
/* A thumbnail is raised only when this much of all that trembles with the estimate stays free: of the foci's cost too, unless a clamp makes it follow.
   The same 10 % are half of what a large tile leaves. Higher, lower: as above. */
#define ALLOCATION_SPARE_PERCENT 13u
/* ... and for how long. Higher: full resolution comes back later. Lower: a probe that lasts as long raises what it cannot carry. */
#define ALLOCATION_HOLD_NS (1500ull * 1000000ull)
/* What it has of a sender that its clamp holds to the share may cost this much of the share, in percent: the sender is about to be told, and what is
   counted is the share. Higher: a longer queue at a viewer whose estimate fell, until the sender follows. Lower: a trembling estimate costs layers although
   the clamp absorbs it. An overuse lowers the
   estimate to 0.85 of what arrives, 20 % below the estimate of before: at 115 each of them cost half the frames for seconds (1 Mbit/s behind a
   bottleneck: 0.52 of it used, now 0.86 with a 95th percentile of the queue of 72 ms). */
#define ALLOCATION_FOLLOW_PERCENT 130u
/* A raise that is undone within this time has failed; doubled waiting, at most 2^ALLOCATION_FAILURES_MAX times (48 s). It is forgiven after a raise
   lasted that long. Higher: an accident long after is blamed on the raise. Lower: a slow queue's failure is not seen as one. */
#define ALLOCATION_FAIL_NS (8000ull * 1000000ull)
#define ALLOCATION_FAILURES_MAX 5u
/* After a wish changed, raises need no waiting and no margin for so long. Higher: more trembling after a click. Lower: an encoding that must
   first be switched on, or held down for us, comes late. */
#define ALLOCATION_FRESH_NS (1500ull * 1000000ull)
/* A bid that brought nothing is taken back after this. Higher: others are held down in vain. Lower: slow senders are given up. */
#define ALLOCATION_BID_NS (3000ull * 1000000ull)
/* What a waiting sink will take is kept free for it when it waits no longer than this. Higher: capacity lies idle after failures. Lower: others
   are raised and lowered again in between. */
#define ALLOCATION_KEEP_FREE_NS (3000ull * 1000000ull)
/* Part of what audio and the foci's least pictures leave, in percent, that thumbnails' pictures may take before the foci grow. Higher: a small
   link shows many stamps and a blurred speaker. Lower: a large tile empties the others. */
#define ALLOCATION_THUMBNAIL_SHARE_PERCENT 25u

struct allocation_wish { /* of one sink, made by the caller */
    uint32_t sink;       /* handle: settles ties */
    uint8_t kind;        /* enum source_kind */
    uint8_t priority;    /* higher = served earlier, within foci and within thumbnails */
    uint8_t max_encoding;
    uint8_t focus;  /* 1 = grows before any thumbnail; audio kinds: not looked at */
    uint8_t hidden; /* 1 = nothing is wanted (no source, muted, tile not shown) */
    uint8_t reserved[3];
    uint32_t most_bps; /* what its highest encoding is ever sent at, 0 = its cost: how far probing pays */
    struct rate_costs costs;             /* audio: bps[0][0] */
    uint32_t entry_bps[LIMIT_ENCODINGS]; /* the clamp's: share below which it may not have the encoding; 0 = no clamp. [0] shuts nobody out */
};

struct allocation_state { /* of one sink; zeroed = new. To be zeroed when the sink's wanted source changes */
    uint64_t waiting_ns; /* since when it could be better without a break, 0 = it could not */
    uint64_t raised_ns;  /* last raise, or change of wish; 0 = was lowered since */
    uint64_t bid_ns;     /* when it bid for more than it has */
    uint64_t calm_ns;    /* last failure, or when one was forgiven */
    uint32_t share_bps;  /* what it could have of its source now */
    uint32_t bps;        /* what its deal costs */
    uint8_t encoding;    /* the deal; ALLOCATION_NOTHING = paused or hidden */
    uint8_t temporal;    /* highest temporal layer */
    uint8_t bid; /* encoding its source's clamp should consider its share for; ALLOCATION_NOTHING */
    uint8_t wish; /* of the last time: 1 | focus << 1 | hidden << 2 | max_encoding << 3; 0 = new */
    uint8_t failures;
    uint8_t fresh; /* 1 = wish changed within ALLOCATION_FRESH_NS and nothing was lowered since */
    uint8_t promised;    /* 1 = what it bids for it has waited for already */
    uint8_t raised_from; /* step of its ladder before the last raise */
};
_Static_assert(sizeof(struct allocation_state) == 48, "layout");

/* Of allocation_state.wish. */
#define ALLOCATION_WISH_HIDDEN 4u
#define ALLOCATION_WISH_MAX_SHIFT 3

struct allocation_total {
    uint32_t bps; /* of all deals; at most the estimate, or audio_bps where that is more */
    uint32_t audio_bps;
    uint32_t next_bps; /* estimate at which somebody's next step begins to be affordable: probe up to here. 0 = nobody wants more */
    uint32_t wanted_bps; /* what everything wished for costs */
    uint32_t changed;    /* deals that are other than before */
    uint32_t paused;     /* sinks that want a picture and have none */
};

/* `wishes` and `states` in the same order; at most ALLOCATION_SINKS, more are left as they are. Meant every 50 to 100 ms and at once when the
   estimate fell or a wish changed; how often it is called changes nothing but the delay. */
void allocate(uint32_t estimate_bps, const struct allocation_wish *wishes, struct allocation_state *const *states,
              size_t count, uint64_t now_ns, struct allocation_total *total);

/* How far up the temporal layers of what a sink carries now are forwarded, -1 = not at all. Of something higher than its deal, until it cuts over, only the base
   layer; what is lower stands in for the deal, at that one's layers (rates.h: it costs what stands in for it). */
static inline int allocation_temporal(uint8_t encoding, uint8_t temporal, uint8_t carried_encoding)
{
    if (encoding == ALLOCATION_NOTHING) return -1;
    return carried_encoding > encoding ? 0 : temporal;
}

#endif
