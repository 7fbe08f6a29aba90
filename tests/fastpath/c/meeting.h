/* A scene in which cameras send all the time: each follows what it is told (rates, on and off, key frames), with temporal layers 0 2 1 2 as browsers
 * send VP8, and receivers say by REMB what their links carry. What every slot gets is counted and looked at for gaps. */
#ifndef SOTTO_MEETING_H
#define SOTTO_MEETING_H

#include "scene.h"

#define MEETING_STEP (20 * MS)
#define MEETING_CAMERAS 8

struct camera {
    uint32_t member, source;
    const char *mid;
    uint64_t index[LIMIT_ENCODINGS];
    uint32_t bps[LIMIT_ENCODINGS]; /* sent now */
    bool key;                      /* the next frame of each encoding is one */
    bool off;                      /* sends nothing, as if its uplink was gone */
    unsigned frame, pictures[LIMIT_ENCODINGS];
};

struct got { /* of one slot, since meeting_forget */
    unsigned packets, frames, gaps, key_frames;
    uint64_t bytes;
    uint64_t first_ns, last_ns;
    unsigned of_temporal[3];
    uint8_t encoding; /* of the last packet */
    /* kept over meeting_forget */
    uint64_t index;
    uint16_t picture;
    bool began;
};

struct meeting {
    struct scene *scene;
    struct camera cameras[MEETING_CAMERAS];
    unsigned camera_count;
    uint32_t estimates[SCENE_MEMBERS]; /* said by REMB, 0 = nothing */
    uint32_t remb[SCENE_MEMBERS];      /* the last that each member was sent */
    unsigned rembs[SCENE_MEMBERS];     /* how many, of our own accord and in reports */
    uint64_t tmmbr[SCENE_MEMBERS];     /* the last TMMBR for its highest encoding, bit/s */
    struct got got[SCENE_SINKS];
    uint64_t said_ns;
    void (*each_step)(struct meeting *meeting, void *argument); /* also sends, after the cameras; NULL = nothing */
    void *argument;
};

void meeting_open(struct meeting *meeting);
void meeting_close(struct meeting *meeting);
/* A camera with the limits of three encodings; 150, 500 and 1700 kbit/s. */
struct camera *meeting_camera(struct meeting *meeting, uint32_t source, uint32_t member, const char *mid);
/* A member's link; said at once. */
void meeting_estimate(struct meeting *meeting, uint32_t member, uint32_t bps);
void meeting_run(struct meeting *meeting, unsigned ms);
void meeting_forget(struct meeting *meeting);
/* What the slot got, bit/s of payload over the `ms` since meeting_forget. */
uint32_t meeting_bps(const struct meeting *meeting, uint32_t sink, unsigned ms);

/* Member 0 sends source 0, members 1, 2, 3 watch it in slots 1, 2, 3 at its best, over links of so many kbit/s. */
void meeting_of_three(struct meeting *meeting, uint32_t a, uint32_t b, uint32_t c);
/* The row of slot `member` of that member. */
void meeting_watch(struct meeting *meeting, uint32_t member, uint32_t source, uint8_t encoding, bool focus);
uint8_t meeting_deal(const struct meeting *meeting, uint32_t sink);
/* What the sender was told of an encoding, bit/s. */
uint32_t meeting_told(const struct meeting *meeting, uint32_t source, unsigned encoding);

#endif
