/* The dependency descriptor: which frames a frame needs and who needs it, readable beside encrypted payload whatever the codec.
 * RTP Payload Format For AV1, appendix A. The template structure is state: it comes with key frames and gives all later descriptors
 * their meaning. One state for each encoding (its SSRC). Nothing allocates; a descriptor is at most 255 bytes, and the cost is
 * bounded by its bits. */
#ifndef SOTTO_DEPENDENCY_H
#define SOTTO_DEPENDENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds of the syntax (6 and 5 bits) and of AV1 (2 and 3 bits). */
#define DEPENDENCY_TEMPLATES 64u
#define DEPENDENCY_TARGETS 32u
#define DEPENDENCY_SPATIAL 4u
#define DEPENDENCY_TEMPORAL 8u
/* Differences kept of one frame; AV1 has 8 references. More are read and counted, not kept. */
#define DEPENDENCY_FDIFFS 8u

enum dependency_indication { /* DTI, what a frame is to a decode target */
                             DEPENDENCY_NOT_PRESENT = 0,
                             DEPENDENCY_DISCARDABLE = 1,
                             DEPENDENCY_SWITCH = 2, /* a receiver may begin with this target here */
                             DEPENDENCY_REQUIRED = 3,
};

struct dependency_structure {              /* plain data; template_count 0 = not known */
    uint64_t dtis[DEPENDENCY_TEMPLATES];   /* 2 bits for each target, target 0 lowest */
    uint32_t fdiffs[DEPENDENCY_TEMPLATES]; /* 4 bits each: difference - 1, the first lowest */
    uint8_t fdiff_count[DEPENDENCY_TEMPLATES];
    uint8_t spatial[DEPENDENCY_TEMPLATES], temporal[DEPENDENCY_TEMPLATES];
    uint8_t target_spatial[DEPENDENCY_TARGETS], target_temporal[DEPENDENCY_TARGETS]; /* greatest that belongs to it */
    /* Only temporal layers are ever dropped here: who wants them up to t gets what any target up to t has, in all sizes, and may go up
       where the smallest picture's target can be switched to. */
    uint64_t targets_up_to[DEPENDENCY_TEMPORAL]; /* 3 in the place of each of their DTIs */
    uint8_t target_of_temporal[DEPENDENCY_TEMPORAL];
    uint16_t width[DEPENDENCY_SPATIAL], height[DEPENDENCY_SPATIAL]; /* 0 = not told */
    uint8_t template_count, target_count, template_id_offset, chain_count;
    uint8_t max_spatial, max_temporal;
};

/* A frame number at most this far behind the newest is late, one further away a sender that began anew. Higher: such a sender's
   structure is refused for longer. Lower: a structure repaired late replaces a newer one; nothing else comes so late. */
#define DEPENDENCY_LATE 1024u

struct dependency_state { /* all zero at first and for another SSRC. Lost with its worker: nothing is dropped up to the next key frame. */
    struct dependency_structure structure;
    uint32_t active_targets; /* as told last; all when never */
    uint16_t newest_frame;   /* frame number */
    uint16_t structure_age;  /* frames since the structure came, at most UINT16_MAX */
};

struct dependency_frame {
    uint64_t dtis;
    uint32_t active_targets; /* of this descriptor, 0 = it does not say */
    uint16_t frame_number;
    uint16_t fdiffs[DEPENDENCY_FDIFFS]; /* frames before this one that it refers to */
    uint16_t fdiff_count;
    uint8_t template_id;
    uint8_t start, end; /* first, last packet of the frame */
    uint8_t structure_attached;
    uint8_t key_frame; /* start of a frame with a structure: decoding may begin here */
    uint8_t spatial_id, temporal_id;
    uint16_t width, height; /* 0 = not told */
};

/* Reads the extension of an authenticated packet and moves the state (only forwards). 0; -ENODATA: its structure
   never came or has been replaced, only number, start, end and template are set (if none came, ask for a key frame when anybody needs
   layers); -EBADMSG: malformed, or of a template the structure does not have; the state is unchanged. */
int dependency_read_untrusted(struct dependency_state *state, const uint8_t *bytes, size_t length,
                              struct dependency_frame *frame);

static inline enum dependency_indication dependency_of(uint64_t dtis, unsigned target)
{ return (enum dependency_indication)(dtis >> (2 * target) & 3); }

#endif
