/* Who speaks and who has the floor, by conference, and the loudest onto the audio slots that have no member of their own (speakers.h over the rows).
 *
 * Who is on a slot stands in sink_state.loudest; everything here is private memory and is made anew for each generation. A tick costs 50 to 100 ns for
 * each audio source (300: 13 us, 2000: 0.2 ms), and something for each receiver only when somebody begins or stops, or more speak than there are slots. */
#ifndef SOTTO_LOUDNESS_H
#define SOTTO_LOUDNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "speakers.h"

struct worker;

/* Higher: events come later (seven frames of speech are awaited already). Lower: more passes over all microphones. */
#define LOUDNESS_INTERVAL_NS (40ull * 1000000ull)
/* While more speak than there are slots and nobody begins or stops, slots are looked at once in so many ticks. Higher: a louder voice waits longer. */
#define LOUDNESS_TICKS 5u
/* Of those who speak at once, so many are looked at. Higher: more work in a noisy hall. */
#define LOUDNESS_CANDIDATES 32u

struct voice_group { /* one conference */
    uint32_t conference;
    uint32_t first, microphones, count; /* in loudness.voices: screens' audio comes last and has no floor */
    uint32_t receiver_first, receiver_end; /* in loudness.receivers */
    bool look; /* at its slots in this tick: somebody began or stopped, or who is there changed */
    bool unsettled; /* somebody speaks who has no slot everywhere */
    bool told;      /* dominance.source was */
    bool decides;   /* of the workers that have members of it, this one tells who has the floor */
    struct dominance dominance;
};

struct loudness {
    struct voice_group *groups; /* in order of conference */
    uint32_t group_count;
    struct speaker *voices;
    uint64_t *keys;        /* to sort by */
    uint32_t *receivers;   /* transports with a slot for the loudest */
    uint32_t *marks, mark; /* by source, was it seen for this receiver; or by transport */
    uint8_t *told;         /* by source: speaking, as told to control */
    uint32_t *switched;    /* by sink: source as told to control; TABLE_NONE = none */
    uint64_t due_ns;       /* UINT64_MAX = nobody is there */
    uint32_t ticks;
};

int loudness_open(struct worker *worker); /* 0 or -ENOMEM */
void loudness_close(struct worker *worker);
void loudness_adopt(struct worker *worker, uint64_t now_ns);
/* Who stands on the sink's slot and may stay there; TABLE_NONE = nobody. Its row says that it is for the loudest. */
uint32_t loudness_source(const struct worker *worker, uint32_t sink);
void loudness_tick(struct worker *worker, uint64_t now_ns);

#endif
