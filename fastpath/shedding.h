/* What a worker gives up by itself, within tens of milliseconds, when more comes than it can send: pictures above the lowest encoding first, then the
 * lowest ones, voices last. Control's plan (control/protocol/overload.py) takes seconds, refuses joins and tells senders to send less; until
 * then this keeps what is sent young, instead of all of it growing old in the socket's buffer.
 *
 * Overloaded is a worker that finds even the youngest of its backlog older than SHEDDING_LATE_NS all the time for SHEDDING_WINDOW_NS, while it had the
 * processor: one that was merely stopped by others for a while catches up, and loses nothing.
 *
 * The level goes from nothing over all higher encodings to all pictures, sink by sink: some tiles of some receivers get less or stop, the others stay
 * whole. A slot that stopped begins again with a key frame, as after a pause, so nothing is forwarded that cannot be decoded (relay.c). Beyond all
 * pictures, voices that are too old to be of use are dropped.
 *
 * The level settles where the worker is nearly busy all the time (tests/fastpath/c/test_shedding_simulation.c). Pure; plain data, valid when zeroed; private memory that can be lost at any time. */
#ifndef SOTTO_SHEDDING_H
#define SOTTO_SHEDDING_H

#include <stdbool.h>
#include <stdint.h>

/* A backlog older than this, beyond what holding held it for, is one. Higher: more delay at saturation. Lower: frames of several cameras that come together
   (0.9 ms of work each to 100 viewers) look like overload. */
#define SHEDDING_LATE_NS (4ull * 1000000ull)
/* For so long without a break. Longer: a longer queue until something is done. Shorter: a burst costs pictures. */
#define SHEDDING_WINDOW_NS (40ull * 1000000ull)
/* Part of that time that it must have had the processor for, in percent. Higher: never on a core that is shared. Lower: a starved worker sheds
   what would not have helped; control hears of its lateness and acts. */
#define SHEDDING_RAN_PERCENT 75u

/* Levels: up to one of these ever more sinks lose their higher encodings, up to two all pictures. */
#define SHEDDING_ONE 256u
#define SHEDDING_ALL (2 * SHEDDING_ONE)
/* How much it goes up: a backlog that ages by g in a time t means that the part g/t of the load is too much, and that part of what is left goes. What has
   piled up is to be gone after this time. Longer: voices are late for longer. Shorter: more is given up for a moment than has to be for long. */
#define SHEDDING_DRAIN_NS (400ull * 1000000ull)
/* The most at once. Higher: more is given up than needed where a measure was wrong. Lower: the queue grows for longer. */
#define SHEDDING_STEP_MOST 128u
/* How it comes back: while less than SHEDDING_BACK_BUSY percent of the worker's time is used, half of what SHEDDING_FULL percent has room for. Higher: bursts
   find no room, voices are late, the same pictures go and come. Lower: pictures are kept away though there is room. */
#define SHEDDING_BACK_BUSY 88u
#define SHEDDING_FULL 91u
/* From so many percent on, once something is given up, a little more is. Higher: no room for bursts. Lower: back and forth. */
#define SHEDDING_TIGHT 93u
/* ... at most so many levels at once, because higher encodings may cost more than what is left. Higher: it may be too much again. Lower: later. */
#define SHEDDING_BACK_MOST 24u
/* With (nearly) all given up nothing is known of what a picture costs: as if so many levels made what the worker does. Higher: too much at once. Lower: slower. */
#define SHEDDING_LEFT 16u
/* From one step back to the next: key frames must have come, and the busy share, which is smoothed over SHEDDING_SMOOTH_NS, must have told. Longer: pictures
   stay away. Shorter: it is not known yet what the last step cost. Doubled up to the most when one was too much, halved when it was not. */
#define SHEDDING_BACK_NS (600ull * 1000000ull)
#define SHEDDING_BACK_MOST_NS (9600ull * 1000000ull)
#define SHEDDING_SMOOTH_NS (250ull * 1000000ull)
/* Voices older than this are dropped when no pictures are left to give up. Higher: later voices. Lower: gaps, though receivers' buffers could have
   waited. */
#define SHEDDING_VOICE_NS (100ull * 1000000ull)

struct shedding {
    uint32_t level;
    uint32_t busy;       /* of its time, smoothed, in 1/256 percent */
    bool higher_passed;  /* something above a lowest encoding came since the last step */
    bool came_back;      /* the last step was one down */
    uint64_t noted_ns;   /* the last note, 0 = there was none */
    uint64_t late_ns;    /* since when the backlog is too old without a break, 0 = it is not */
    uint64_t ran_ns;     /* the processor's time then */
    uint64_t least_ns;   /* its least age since then */
    uint64_t began_ns;   /* its age then */
    uint64_t stepped_ns; /* the last step either way */
    uint64_t back_ns;    /* from one step back to the next, 0 = SHEDDING_BACK_NS */
};

/* Is a backlog of this age one? Then the shell has to tell the processor's time as well. */
static inline bool shedding_late(uint64_t age_ns, uint64_t held_ns)
{ return age_ns > held_ns + SHEDDING_LATE_NS; }

/* A turn of the loop begins: the oldest datagram it finds came `age_ns` ago (0 = it found none), of which holding may account for `held_ns`; `ran_ns`: the
   time this thread had of a processor, wanted only when shedding_late; the worker is busy for `percent` of its time. */
void shedding_note(struct shedding *shedding, uint64_t age_ns, uint64_t held_ns, uint64_t ran_ns,
                   uint32_t percent, uint64_t now_ns);

/* Does this sink get no pictures of that encoding now? Which sinks are first is settled by their handles. */
static inline bool shedding_wants(const struct shedding *shedding, uint32_t sink, uint8_t encoding)
{
    uint32_t rank = sink * 2654435761u >> 24;
    return shedding->level > rank + (encoding ? 0 : SHEDDING_ONE);
}

/* Is a voice that came so long ago? */
static inline bool shedding_wants_voice(const struct shedding *shedding, uint64_t age_ns)
{ return shedding->level >= SHEDDING_ALL && age_ns > SHEDDING_VOICE_NS; }

#endif
