/* The clamp: what each encoding of a source should be sent at, from the shares of those who view it.
 *
 * An encoding is held to the lowest share among its viewers, but a viewer pays for a majority and never a majority for a viewer: whose share is
 * below `share_percent` of the median viewer's, or below what makes the encoding worth having (`floor_bps`), is left out, and the allocation
 * moves it to a lower encoding (`entry_bps` is the least share that may stay). The lowest encoding shuts nobody out: it is not held
 * below its floor, and who cannot take that loses frames, then the picture.
 *
 * Lowered at once, raised slowly (CLAMP_GROWTH_PERCENT a second). Nobody views it: off after CLAMP_OFF_NS. Somebody does: on at once, and for
 * CLAMP_START_NS, or until it is lowered, it follows its viewers' share upwards at once, too: there is no picture yet that could tremble.
 * Below what the encoder can do at full size the picture gets smaller and slower by steps; a screen gets slower before it gets smaller.
 *
 * Pure; states are plain data for the source's and the transport's row. Rates in bit/s. */
#ifndef SOTTO_CLAMP_H
#define SOTTO_CLAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocation.h"
#include "limits.h"
#include "rates.h"

/* Below this part of the median viewer's share, in percent, somebody is moved to a lower encoding instead of holding the others down. Half the
   rate is a visibly worse picture, and about where the next lower encoding looks as good. Higher: few differences between viewers are
   tolerated, many sit on lower encodings. Lower: one viewer may cost the others most of theirs. */
#define CLAMP_SHARE_PERCENT 50u
/* Part of the lowest share, in percent, that the sender is told. Higher: encoders overshoot into the viewer's queue. Lower: unused. */
#define CLAMP_USE_PERCENT 95u
/* How fast a target rises, percent a second; and as long as there is so much more to be had than it is, in percent of it: no tremble, but a link
   that was found or opened. Higher: a trembling estimate reaches the encoder. Lower: full quality comes back later (from 600 kbit/s to
   1.7 Mbit/s in 2 s). */
#define CLAMP_GROWTH_PERCENT 30u
#define CLAMP_FAR_PERCENT 130u
#define CLAMP_GROWTH_FAR_PERCENT 100u
/* What was switched on follows the share at once for so long, and a rise to CLAMP_FAR_PERCENT is told at once. Higher: the first probes after a click
   are messages and, where the size changes, key frames. Lower: an estimate that is found out only after the click brings full resolution later. */
#define CLAMP_START_NS (2000ull * 1000000ull)
/* An encoding without viewers stops after this. Higher: uplink spent in vain. Lower: a look aside and back costs a key frame. At most 5 s. */
#define CLAMP_OFF_NS (3000ull * 1000000ull)
/* The data channel hears of another bitrate at most so often, unless it fell by more than CLAMP_TELL_PERCENT or a step or on/off
   changed; and never of less than that difference, but of the maximum. Higher: the encoder follows later. Lower: more messages (each costs
   control 40 us). */
#define CLAMP_TELL_NS (1000ull * 1000000ull)
#define CLAMP_TELL_PERCENT 10u
#define CLAMP_TELL_FAR_NS (300ull * 1000000ull) /* of CLAMP_FAR_PERCENT more */
/* REMB: a fall of more than CLAMP_REMB_PERCENT at once, and a rise of more than CLAMP_REMB_JUMP_PERCENT (an encoding was switched on); anything
   else with the next one after CLAMP_REMB_NS. Lower values: more RTCP. Higher: senders follow later. */
#define CLAMP_REMB_NS (500ull * 1000000ull)
#define CLAMP_REMB_PERCENT 3u
#define CLAMP_REMB_JUMP_PERCENT 20u
/* On top of the media for retransmissions and headers, percent. Higher: the clamp is less exact where only REMB is obeyed.
   Lower: repair takes from the picture. */
#define CLAMP_REPAIR_PERCENT 5u
/* Never less than this to a whole transport: Chromium stops video altogether below 30 kbit/s and restarts slowly. */
#define CLAMP_REMB_LEAST 60000u

struct clamp_limits {                  /* of a source, compiled by control */
    uint32_t max_bps[LIMIT_ENCODINGS]; /* what it is told at most */
    uint32_t floor_bps[LIMIT_ENCODINGS]; /* below this a lower encoding is as good; of the lowest: never held below. 0 = clamp_floor's */
    uint8_t encoding_count;
    uint8_t kind;          /* enum source_kind */
    uint8_t share_percent; /* 0 = CLAMP_SHARE_PERCENT */
    uint8_t reserved;
};

struct clamp_viewer { /* one sink of the source, from its allocation_state; hidden sinks are left out */
    uint32_t share_bps;
    uint8_t max_encoding;
    uint8_t bid;      /* or ALLOCATION_NOTHING */
    uint8_t encoding; /* its deal, or ALLOCATION_NOTHING */
    uint8_t reserved;
};

struct clamp_encoding {  /* zeroed = never viewed */
    uint64_t viewed_ns;  /* last time that somebody did */
    uint64_t moved_ns;   /* when target_bps was last worked out */
    uint64_t lowered_ns; /* last lowering by more than 5 %, or switching on: for rate_hold */
    uint64_t told_ns;
    uint32_t target_bps; /* 0 = off */
    uint32_t told_bps;
    uint32_t entry_bps; /* for allocation_wish: 0 = not held */
    uint16_t viewers, left_out; /* who bids and is considered, and who wanted it and has too small a share */
    uint8_t step, told_step; /* see clamp_order */
    uint8_t told;            /* 1 once anything was told */
    uint8_t starting;        /* 1 = switched on at lowered_ns, and not lowered since */
    uint8_t reserved[4];
};
_Static_assert(sizeof(struct clamp_encoding) == 56, "layout");

struct clamp_source {
    struct clamp_encoding encodings[LIMIT_ENCODINGS];
};

/* What a sender is told about one encoding: P.send's active, max_bitrate, scale_resolution_down_by (in percent), max_framerate. */
struct clamp_order {
    uint32_t bps; /* 0 = inactive */
    uint16_t scale_percent;
    uint8_t framerate; /* 0 = as it likes */
    uint8_t active;
};

/* The floor that is used where control gave none: the next lower encoding's maximum and a tenth (more than that must it be worth); of the
   lowest of several a third of its maximum; of a single one, which all viewers need, a sixteenth. */
uint32_t clamp_floor(const struct clamp_limits *limits, uint8_t encoding);

/* From all viewers of the source (the array is put into another order). Returns bits: 1 << e = encoding e has something to tell. */
uint8_t clamp_update(struct clamp_source *source, const struct clamp_limits *limits,
                     struct clamp_viewer *viewers, size_t count, uint64_t now_ns);
/* What to tell of it now; clamp_told once it was handed on (not when the queue was full). */
struct clamp_order clamp_order(const struct clamp_source *source, const struct clamp_limits *limits,
                               uint8_t encoding);
void clamp_told(struct clamp_source *source, uint8_t encoding, uint64_t now_ns);
/* The hold of an encoding, for rate_costs_fill. */
struct rate_hold clamp_hold(const struct clamp_source *source, uint8_t encoding);

/* Sum of the targets of one source's encodings. */
uint32_t clamp_sum(const struct clamp_source *source, uint8_t encoding_count);

struct clamp_remb { /* of a sender's transport; zeroed = none sent */
    uint64_t told_ns;
    uint32_t told_bps, reserved;
};
/* REMB of a whole transport: its video targets, its audio, and repair on top; at most `most_bps` (0 = no bound). */
uint32_t clamp_remb_bps(uint32_t video_bps, uint32_t audio_bps, uint32_t most_bps);
/* True when it should be sent now; it is then taken as sent. An unchanged one is repeated by the regular reports. */
bool clamp_remb_due(struct clamp_remb *remb, uint32_t bps, uint64_t now_ns);

#endif
