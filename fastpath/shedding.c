#include "shedding.h"

static void step_up(struct shedding *shedding, uint64_t now_ns)
{
    uint64_t step = shedding->least_ns / SHEDDING_LATE_NS * SHEDDING_STEP;
    if (step > SHEDDING_STEP_MOST) step = SHEDDING_STEP_MOST;
    if (step < SHEDDING_STEP) step = SHEDDING_STEP;
    /* Where nobody sends more than one encoding there is nothing to give up first. */
    if (shedding->level < SHEDDING_ONE && !shedding->higher_passed) shedding->level = SHEDDING_ONE;
    shedding->level += (uint32_t)step;
    if (shedding->level > SHEDDING_ALL) shedding->level = SHEDDING_ALL;
    shedding->higher_passed = false;
    shedding->stepped_ns = now_ns;
}

static void step_down(struct shedding *shedding, uint32_t percent, uint64_t now_ns)
{
    if (!shedding->level || percent > SHEDDING_BACK_BUSY || now_ns < shedding->stepped_ns) return;
    uint64_t calm = now_ns - shedding->stepped_ns;
    if (calm < SHEDDING_CALM_NS + SHEDDING_BACK_NS) return;
    shedding->level--;
    shedding->stepped_ns = now_ns - SHEDDING_CALM_NS; /* the next one after SHEDDING_BACK_NS */
}

void shedding_note(struct shedding *shedding, uint64_t age_ns, uint64_t held_ns, uint64_t ran_ns,
                   uint32_t percent, uint64_t now_ns)
{
    if (!shedding_late(age_ns, held_ns)) {
        shedding->late_ns = shedding->before_ns = 0;
        step_down(shedding, percent, now_ns);
        return;
    }
    if (shedding->late_ns) {
        uint64_t late_for = now_ns - shedding->late_ns, ran_for = ran_ns - shedding->ran_ns;
        if (age_ns < shedding->least_ns) shedding->least_ns = age_ns;
        if (late_for < SHEDDING_WINDOW_NS) return;
        /* A queue that shrinks by itself needs no more to be given up. */
        bool shrinks = shedding->before_ns &&
                       shedding->least_ns < shedding->before_ns - shedding->before_ns / 16;
        if (ran_for >= late_for / 100 * SHEDDING_RAN_PERCENT && !shrinks) step_up(shedding, now_ns);
        shedding->before_ns = shedding->least_ns;
    }
    shedding->late_ns = now_ns;
    shedding->ran_ns = ran_ns;
    shedding->least_ns = age_ns;
}
