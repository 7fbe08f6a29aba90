/* The rate that delay allows (draft-ietf-rmcat-gcc-02 section 5.5): up while delay does not grow, by a share of itself far from
 * the last known capacity and by a packet per response time near it; down to a share of what arrives when it grows. Rates in bits
 * per second, times in microseconds of our clock. Plain data, valid after rate_control_reset. */
#ifndef SOTTO_RATE_CONTROL_H
#define SOTTO_RATE_CONTROL_H

#include <stdint.h>

#include "delay_trend.h"

/* Share of the arriving rate after an overuse. Higher: the queue we made stays longer. Lower: more capacity unused after each overuse. */
#define RATE_DECREASE 0.85
/* The same while the queue is short: of what arrives, but no more than one step down from the target. Higher: the queue stays longer. Lower: capacity
   unused after each accident of frame sizes. */
#define RATE_EASE_ARRIVING 0.95
#define RATE_EASE 0.93
/* Growth per second far from the capacity. Higher: overshoots more. Lower: minutes to reach a fast link without probes. */
#define RATE_GROWTH 0.08
/* Least growth near the capacity: share per second, and bit/s per second. Higher: fast links are filled again sooner after an overuse, and
   flows that share one become equal later. */
#define RATE_GROWTH_NEAR 0.025
#define RATE_GROWTH_LEAST 4000.0
/* Never above what arrives by more than this share and constant: a rate nobody tried is no knowledge. Higher: a step from an unused target
   into an overload. Lower: a sender that pauses is slow to come back. */
#define RATE_OVER_ARRIVING 1.5
#define RATE_OVER_ARRIVING_BPS 10000.0
/* A decrease takes effect after a round trip and this; until then no second one. Longer: slow in deep falls. Shorter: twice for the same
   queue. */
#define RATE_RESPONSE_US 100000

enum { RATE_HOLD = 0, RATE_INCREASE };

struct rate_control {
    double target;
    double capacity_kbps, capacity_variance; /* mean, and variance divided by the mean; 0 = not known */
    int64_t updated_us, decreased_us, raised_us; /* 0 = never */
    uint16_t state;
    uint16_t eased; /* 1 = the last decrease was a mild one: a full one does not wait */
    uint32_t decreases;
};

void rate_control_reset(struct rate_control *control, double target);
/* Feedback came. `arriving` = rate at which packets arrive at the receiver, over a longer time, `arriving_now` over a shorter (both 0 = not known).
   True when it decreased. */
bool rate_control_update(struct rate_control *control, enum delay_verdict verdict, double arriving,
                         double arriving_now, int64_t round_trip_us, int64_t now_us);
/* Instead of it, where an overuse left a short queue only: what arrives may be little because little is sent. True when it decreased. */
bool rate_control_ease(struct rate_control *control, double arriving, int64_t round_trip_us, int64_t now_us);
/* Instead of it, where an overuse is seen although hardly anything is sent: down by one step, but not below `proven`. True when it decreased. */
bool rate_control_yield(struct rate_control *control, double proven, int64_t round_trip_us, int64_t now_us);
/* A probe measured that the path carries so much. */
void rate_control_raise(struct rate_control *control, double target, int64_t now_us);

#endif
