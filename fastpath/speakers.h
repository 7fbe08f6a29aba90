/* Who speaks, from RFC 6464 levels alone (they stay readable beside encrypted frames).
 *
 * After Volfin and Cohen, "Dominant speaker identification for multipoint videoconferencing" (2013): a speaker is judged on three
 * time scales, and displaces another only if it wins on them. Here a frame of 20 ms is one bit, speech or not:
 *   now     level above the source's own noise floor, and how loud
 *   medium  15 frames (300 ms): is this speech or a click? Only runs of SPEAKER_RUN frames count: keys and mouse are shorter
 *   long    50 frames (1 s): has it the floor, or did it cough into somebody's pause?
 * so the state is one word of bits, a level and a floor. Deterministic, integers only, no clock. */
#ifndef SOTTO_SPEAKERS_H
#define SOTTO_SPEAKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Given for a packet without the extension. Such a source never counts as speaking. */
#define SPEAKER_LEVEL_ABSENT 0xffffu
/* One bit of history. Opus packets are 20 ms; shorter ones share a frame (the loudest counts), longer ones fill several. */
#define SPEAKER_FRAME_NS (20ull * 1000000ull)
/* Longest packet that fills the frames it stands for. Higher: a gap in the network is taken for speech. Lower: 60 ms packets look like clicks. */
#define SPEAKER_PACKET_NS (60ull * 1000000ull)
/* Quieter than this is never speech, -dBov. Higher: whispering from the next room counts. Lower: quiet microphones do not. */
#define SPEAKER_QUIETEST 55u
/* dB above the noise floor that make a frame speech. Higher: speech on a noisy line is missed. Lower: a fan that sways counts. */
#define SPEAKER_ABOVE_NOISE 9u
/* Frames in a row that make a sound more than a click. Higher: events come later. Lower: keyboards speak. */
#define SPEAKER_RUN 4u
/* Speech frames of the last 15 from which somebody speaks, and from which it is quiet again; of the last 50 likewise for the latter. Higher: later, surer. */
#define SPEAKER_STARTS 7u
#define SPEAKER_STOPS_LONG 6u
/* To take the floor from one who fell silent: this many of 15, and this percentage of the other's last second. Higher: the event comes later.
   Lower: "mhm" takes it. */
#define SPEAKER_TAKES 11u
#define SPEAKER_TAKES_PERCENT 50u
/* To take it from one who still speaks: that many more frames of the last 50, and that much louder (dB). Higher: interrupting takes longer.
   Lower: double talk flaps. */
#define SPEAKER_DISPLACES 12u
#define SPEAKER_LOUDER 4u
/* ... and nobody loses it to one who is not clearly better within this time. Higher: slower. Lower: flapping. */
#define SPEAKER_SETTLE_NS (1000ull * 1000000ull)
/* A source on an audio slot is displaced by an equally loud one only after this. Higher: a new voice is cut off when all slots speak. */
#define LOUDEST_SETTLE_NS (1000ull * 1000000ull)
#define LOUDEST_LOUDER 6u
/* Slots looked at; more are left alone. */
#define LOUDEST_SLOTS 64u

struct speaker_state { /* of one audio source; zeroed = heard nothing yet */
    uint64_t heard;    /* bit k: the frame k before the newest was above its noise */
    uint64_t frame_ns; /* when the newest frame began, 0 = none */
    uint64_t spoke_ns; /* last frame at which it counted as speaking, 0 = never */
    uint16_t level;    /* smoothed loudness, 1/16 dB above -127 dBov */
    uint16_t noise;    /* noise floor, likewise */
    uint8_t speaking;  /* 1 between start and stop; the last decision of speaker_update */
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct speaker_state) == 32, "layout");

/* A packet of the source: `octet` as in RFC 6464 (V bit, which senders fill as they like and is not looked at, and -dBov), or SPEAKER_LEVEL_ABSENT. */
void speaker_level(struct speaker_state *state, uint16_t octet, uint64_t now_ns);
/* The source was muted, or is another: silence at once. The noise floor is kept. */
void speaker_mute(struct speaker_state *state);
/* Lets time pass for it and decides. 1 = began to speak, -1 = stopped, 0 = as before. At each tick of up to 100 ms. */
int speaker_update(struct speaker_state *state, uint64_t now_ns);
/* Speech frames of the last 15 (0..15) and of the last 50 (0..50), as of the last level or update. */
unsigned speaker_medium(const struct speaker_state *state);
unsigned speaker_long(const struct speaker_state *state);

struct speaker {     /* one candidate of a conference */
    uint32_t source; /* handle */
    uint32_t reserved;
    const struct speaker_state *state;
};

#define SPEAKER_NOBODY 0xffffffffu
struct dominance { /* of one conference; zero it and set source = SPEAKER_NOBODY */
    uint64_t since_ns;
    uint32_t source; /* handle, SPEAKER_NOBODY before anybody spoke; whoever spoke last keeps it in silence */
    uint32_t reserved;
};
/* After speaker_update of all of them. True when the dominant speaker is another now. O(n). */
bool dominance_update(struct dominance *dominance, const struct speaker *speakers, size_t count, uint64_t now_ns);

struct loudest_slot {
    uint64_t since_ns;
    uint32_t source; /* handle, SPEAKER_NOBODY = free */
    uint32_t reserved;
};
/* The loudest onto `slot_count` audio slots. Who is on a slot stays on it until somebody who speaks needs it: first free slots, then those of the one who
   spoke longest ago, then, when all speak, of one who is LOUDEST_LOUDER dB quieter. The silent get free slots only, in
   the order given. Returns how many slots changed. O(n x slots) at worst, O(n) when nobody new speaks. */
unsigned loudest_update(struct loudest_slot *slots, size_t slot_count,
                        const struct speaker *speakers, size_t count, uint64_t now_ns);

#endif
