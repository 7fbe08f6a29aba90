#include "rate_control.h"

/* Weight of a new sample of the capacity. Higher: follows faster, believes noise. */
#define CAPACITY_WEIGHT 0.05
/* Bounds of the variance divided by the mean, kbit/s. Higher: more rates count as near the capacity, where growth is slow. */
#define VARIANCE_MIN 0.4
#define VARIANCE_MAX 2.5
#define NEAR_DEVIATIONS 3.0
/* Arriving by so much above the known capacity, or without an overuse for so long, it is forgotten and growth is by share again. Higher, longer: minutes
   to use a link that became free, where no probe can be made. Lower, shorter: flows that share a link do not become equal (growth by share
   keeps their ratio, growth by packets does not). */
#define CAPACITY_EXCEEDED 1.2
#define CAPACITY_AGE_US 12000000
/* The rates over the shorter and the longer time differ by more: something changed, the shorter is right. Higher: old rates are mixed in. Lower:
   the noise of single frames. */
#define STEP 0.15
/* Nor does the longer time tell anything so shortly after a raise. */
#define RAISED_US 700000
/* Overuses within this time are one fall. */
#define AGAIN_US 700000
/* For the size of a packet: frames per second and the largest packet of a typical sender. */
#define FRAME_RATE 30.0
#define PACKET_BITS 9600.0
#define ROUND_TRIP_MAX_US 1000000

void rate_control_reset(struct rate_control *control, double target)
{ *control = (struct rate_control){.target = target}; }

/* -1 below the range of the known capacity, 0 within or not known, 1 above. */
static int against_capacity(const struct rate_control *control, double bps)
{
    if (control->capacity_kbps <= 0) return 0;
    double off = bps / 1000 - control->capacity_kbps;
    double range = NEAR_DEVIATIONS * NEAR_DEVIATIONS * control->capacity_variance * control->capacity_kbps;
    return off * off <= range ? 0 : off < 0 ? -1 : 1;
}

static void note_capacity(struct rate_control *control, double bps)
{
    double kbps = bps / 1000;
    if (control->capacity_kbps <= 0) {
        control->capacity_kbps = kbps;
        control->capacity_variance = VARIANCE_MIN;
        return;
    }
    double off = control->capacity_kbps - kbps;
    control->capacity_kbps -= CAPACITY_WEIGHT * off;
    double norm = control->capacity_kbps > 1 ? control->capacity_kbps : 1;
    control->capacity_variance += CAPACITY_WEIGHT * (off * off / norm - control->capacity_variance);
    if (control->capacity_variance < VARIANCE_MIN) control->capacity_variance = VARIANCE_MIN;
    if (control->capacity_variance > VARIANCE_MAX) control->capacity_variance = VARIANCE_MAX;
}

/* bit/s per second: one packet per response time. */
static double additive_growth(double target, int64_t round_trip_us)
{
    double frame_bits = target / FRAME_RATE;
    double packets = (double)(int64_t)(frame_bits / PACKET_BITS) + 1;
    double growth = frame_bits / packets * 1e6 / (double)(round_trip_us + RATE_RESPONSE_US);
    double least = RATE_GROWTH_NEAR * target > RATE_GROWTH_LEAST ? RATE_GROWTH_NEAR * target : RATE_GROWTH_LEAST;
    return growth > least ? growth : least;
}

static void increase(struct rate_control *control, double arriving, int64_t round_trip_us,
                     double seconds, int64_t now_us)
{
    /* Clearly more fits now, or nothing confirmed that it does not for long. */
    if (arriving / 1000 > CAPACITY_EXCEEDED * control->capacity_kbps || now_us - control->decreased_us > CAPACITY_AGE_US)
        control->capacity_kbps = 0;
    double target = control->target, limit = RATE_OVER_ARRIVING * arriving + RATE_OVER_ARRIVING_BPS;
    if (control->capacity_kbps > 0)
        target += additive_growth(target, round_trip_us) * seconds;
    else
        target += target * RATE_GROWTH * seconds;
    if (arriving > 0 && target > limit) target = limit;
    if (target > control->target) control->target = target;
}

static bool decrease(struct rate_control *control, double arriving, double arriving_now,
                     int64_t round_trip_us, int64_t now_us)
{
    bool stepped = now_us - control->raised_us < RAISED_US ||
                   arriving_now < arriving * (1 - STEP) || arriving_now > arriving * (1 + STEP);
    int64_t since_us = now_us - control->decreased_us;
    bool again = control->decreased_us && since_us < AGAIN_US && arriving_now < arriving; /* a deep fall goes on */
    double measured = arriving_now > 0 && (stepped || again) ? arriving_now : arriving;
    bool soon = control->decreased_us && !control->eased && since_us < round_trip_us + RATE_RESPONSE_US;
    if (soon && !(measured > 0 && measured < control->target / 2)) return false;
    double target = measured > 0 ? RATE_DECREASE * measured : control->target / 2;
    if (target >= control->target) { /* we send less than we may: the capacity says more than what arrives */
        target = control->capacity_kbps > 0 ? RATE_DECREASE * 1000 * control->capacity_kbps
                                            : control->target;
        if (target > control->target) target = control->target;
    }
    if (measured > 0) {
        if (against_capacity(control, measured) != 0) control->capacity_kbps = 0;
        note_capacity(control, measured);
    }
    control->target = target;
    control->decreased_us = now_us;
    control->eased = 0;
    control->decreases++;
    return true;
}

bool rate_control_update(struct rate_control *control, enum delay_verdict verdict, double arriving,
                         double arriving_now, int64_t round_trip_us, int64_t now_us)
{
    if (round_trip_us < 0) round_trip_us = 0;
    if (round_trip_us > ROUND_TRIP_MAX_US) round_trip_us = ROUND_TRIP_MAX_US;
    double seconds = control->updated_us ? (double)(now_us - control->updated_us) / 1e6 : 0;
    if (seconds < 0) seconds = 0;
    if (seconds > 1) seconds = 1;
    control->updated_us = now_us;
    bool decreased = false;
    if (verdict == DELAY_OVERUSE) {
        decreased = decrease(control, arriving, arriving_now, round_trip_us, now_us);
        control->state = RATE_HOLD;
    } else if (verdict == DELAY_UNDERUSE) {
        control->state = RATE_HOLD; /* queues empty: let them */
    } else if (control->state == RATE_HOLD) {
        control->state = RATE_INCREASE;
    } else {
        increase(control, arriving, round_trip_us, seconds, now_us);
    }
    return decreased;
}

bool rate_control_ease(struct rate_control *control, double arriving, int64_t round_trip_us, int64_t now_us)
{
    control->updated_us = now_us;
    control->state = RATE_HOLD;
    double before = control->target, target = RATE_EASE_ARRIVING * arriving;
    if (target < RATE_EASE * before) target = RATE_EASE * before;
    if (target >= before || now_us - control->decreased_us < round_trip_us + RATE_RESPONSE_US)
        return false;
    if (against_capacity(control, before) != 0) control->capacity_kbps = 0;
    note_capacity(control, before);
    control->target = target;
    control->decreased_us = now_us;
    control->eased = 1;
    control->decreases++;
    return true;
}

bool rate_control_yield(struct rate_control *control, double proven, int64_t round_trip_us, int64_t now_us)
{
    control->updated_us = now_us;
    control->state = RATE_HOLD;
    double target = RATE_DECREASE * control->target;
    if (target < proven) target = proven;
    if (target >= control->target || now_us - control->decreased_us < round_trip_us + RATE_RESPONSE_US)
        return false;
    control->target = target;
    control->decreased_us = now_us;
    control->decreases++;
    return true;
}

void rate_control_raise(struct rate_control *control, double target, int64_t now_us)
{
    if (target <= control->target) return;
    control->raised_us = now_us;
    control->target = target;
    control->capacity_kbps = 0;
}
