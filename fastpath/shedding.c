#include "shedding.h"

/* A step back that was too much: the next one waits longer. */
static void judge_last(struct shedding *shedding, bool good)
{
    uint64_t back_ns = shedding->back_ns ? shedding->back_ns : SHEDDING_BACK_NS;
    back_ns = good ? back_ns / 2 : back_ns * 2;
    if (back_ns < SHEDDING_BACK_NS) back_ns = SHEDDING_BACK_NS;
    if (back_ns > SHEDDING_BACK_MOST_NS) back_ns = SHEDDING_BACK_MOST_NS;
    shedding->back_ns = back_ns;
}

/* The part of `level` to `SHEDDING_ALL` that is `part_ns` of `of_ns`. */
static uint64_t share(uint32_t level, uint64_t part_ns, uint64_t of_ns)
{ return (SHEDDING_ALL - level) * part_ns / of_ns; }

/* The backlog was `began_ns` old when a window of `window_ns` began, and now is `age_ns`. */
static void step_up(struct shedding *shedding, uint64_t age_ns, uint64_t window_ns, uint64_t held_ns, uint64_t now_ns)
{
    uint64_t old_ns = shedding->least_ns > held_ns ? shedding->least_ns - held_ns : 0;
    /* A queue that shrinks fast enough needs nothing. */
    int64_t ages_ns = (int64_t)age_ns - (int64_t)shedding->began_ns;
    int64_t much_ns = ages_ns + (int64_t)(old_ns * window_ns / SHEDDING_DRAIN_NS);
    if (much_ns <= 0 || shedding->level == SHEDDING_ALL) return;
    /* Where nobody sends more than one encoding there is nothing to give up first. */
    if (shedding->level < SHEDDING_ONE && !shedding->higher_passed) shedding->level = SHEDDING_ONE;
    uint64_t step = share(shedding->level, (uint64_t)much_ns, window_ns);
    if (step > SHEDDING_STEP_MOST) step = SHEDDING_STEP_MOST;
    if (step < 1) step = 1;
    shedding->level += (uint32_t)step;
    if (shedding->level > SHEDDING_ALL) shedding->level = SHEDDING_ALL;
    if (shedding->came_back) judge_last(shedding, false);
    shedding->came_back = false;
    shedding->higher_passed = false;
    shedding->stepped_ns = now_ns;
}

/* While nothing is late: a little less when there is no room for bursts, more when there is time left. */
static void trim(struct shedding *shedding, uint64_t now_ns)
{
    uint32_t busy = shedding->busy >> 8;
    uint64_t back_ns = shedding->back_ns ? shedding->back_ns : SHEDDING_BACK_NS;
    if (!shedding->level || (busy >= SHEDDING_BACK_BUSY && busy < SHEDDING_TIGHT)) return;
    if (now_ns < shedding->stepped_ns + (busy < SHEDDING_TIGHT ? back_ns : SHEDDING_BACK_NS))
        return;
    /* Below SHEDDING_ONE only higher encodings are missing: where there are none, nothing is. */
    if (shedding->level <= SHEDDING_ONE && !shedding->higher_passed) {
        shedding->level = 0;
        return;
    }
    shedding->stepped_ns = now_ns;
    uint64_t kept = SHEDDING_ALL - shedding->level;
    if (busy >= SHEDDING_TIGHT) {
        shedding->level += (uint32_t)(kept * (busy - SHEDDING_FULL) / busy);
        if (shedding->came_back) judge_last(shedding, false);
        shedding->came_back = false;
        return;
    }
    if (kept < SHEDDING_LEFT) kept = SHEDDING_LEFT;
    uint64_t step = kept * (SHEDDING_FULL - busy) / (2u * (busy ? busy : 1));
    if (step > SHEDDING_BACK_MOST) step = SHEDDING_BACK_MOST;
    if (step < 1) step = 1;
    shedding->level -= step < shedding->level ? (uint32_t)step : shedding->level;
    if (shedding->came_back) judge_last(shedding, true);
    shedding->came_back = true;
}

static void note_busy(struct shedding *shedding, uint32_t percent, uint64_t now_ns)
{
    uint64_t passed_ns = now_ns - shedding->noted_ns;
    if (!shedding->noted_ns || passed_ns > SHEDDING_SMOOTH_NS) passed_ns = SHEDDING_SMOOTH_NS;
    int64_t step = ((int64_t)percent * 256 - (int64_t)shedding->busy) * (int64_t)passed_ns;
    shedding->busy = (uint32_t)((int64_t)shedding->busy + step / (int64_t)SHEDDING_SMOOTH_NS);
    shedding->noted_ns = now_ns;
}

void shedding_note(struct shedding *shedding, uint64_t age_ns, uint64_t held_ns, uint64_t ran_ns,
                   uint32_t percent, uint64_t now_ns)
{
    note_busy(shedding, percent, now_ns);
    if (!shedding_late(age_ns, held_ns)) {
        shedding->late_ns = 0;
        trim(shedding, now_ns);
        return;
    }
    if (shedding->late_ns) {
        uint64_t late_for = now_ns - shedding->late_ns, ran_for = ran_ns - shedding->ran_ns;
        if (age_ns < shedding->least_ns) shedding->least_ns = age_ns;
        if (late_for < SHEDDING_WINDOW_NS) return;
        if (ran_for >= late_for / 100 * SHEDDING_RAN_PERCENT)
            step_up(shedding, age_ns, late_for, held_ns, now_ns);
    }
    shedding->late_ns = now_ns;
    shedding->ran_ns = ran_ns;
    shedding->began_ns = shedding->least_ns = age_ns;
}
