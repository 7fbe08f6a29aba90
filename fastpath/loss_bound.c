#include "loss_bound.h"

/* Weight of an observation in the inherent loss when it rises and falls. Higher up: slow congestion is learned as inherent. Lower: a path that became
   worse is tested again and again. */
#define INHERENT_UP 0.05
#define INHERENT_DOWN 0.1
/* What remains of loss when congestion was its only cause. Lower: one stray loss decides the test. */
#define LOSS_RESIDUAL 0.01
/* A rate up to this share above the bound counts as lowered: senders do not follow exactly. */
#define FOLLOWED 1.15
/* Loss at the lowered rate below this share of the former has changed with the rate. Higher: more steps down before chance is believed.
   Lower: a link still overrun after the first step is taken for a bad path. */
#define AS_BEFORE 0.7
/* Sending less than this share of the bound (in layers one cannot follow it), what is still lost is not lost for going over the bound. */
#define AT_BOUND 0.7
/* So many observations without the sender following, and the bound stays without a verdict. */
#define IN_VAIN_MAX 8
/* A bound so far above the rate in use bounds nothing. */
#define BOUND_FORGOTTEN 1.5

/* Natural logarithm to 1e-5, for 1e-6 to 1e6 (a torn row may ask for anything); the core is not linked with libm. */
static double natural_log(double x)
{
    int twos = 0;
    if (!(x > 1e-6)) x = 1e-6;
    if (x > 1e6) x = 1e6;
    while (x > 1.4142) x /= 2, twos++;
    while (x < 0.7071) x *= 2, twos--;
    double y = (x - 1) / (x + 1), square = y * y;
    return 2 * y * (1 + square * (1.0 / 3 + square * (1.0 / 5 + square / 7))) + twos * 0.6931471805599453;
}

void loss_bound_packet(struct loss_bound *loss, int64_t sent_us, uint32_t size, bool received)
{
    if (sent_us < loss->since_us) return;
    if (loss->count == 0) loss->first_sent_us = loss->last_sent_us = sent_us;
    if (sent_us > loss->last_sent_us) loss->last_sent_us = sent_us;
    if (sent_us < loss->first_sent_us) loss->first_sent_us = sent_us;
    loss->count++;
    loss->bytes += size;
    if (!received) loss->lost++;
}

void loss_bound_late(struct loss_bound *loss)
{
    if (loss->lost) loss->lost--;
}

/* Beyond three standard deviations of what chance does with `count` packets. */
static bool surprising(double excess, double expected, double count)
{
    double share = expected > LOSS_TOLERATED ? expected : LOSS_TOLERATED;
    return excess > 0 && excess * excess * count > 9 * share * (1 - share);
}

static enum loss_event suspect_congestion(struct loss_bound *loss, double share, double rate,
                                          double target, int64_t now_us)
{
    double through = rate * (1 - share) / (1 - loss->inherent);
    if (through > target) through = target;
    loss->bound = loss->bound > 0 && loss->bound < through ? loss->bound : through;
    loss->suspect = share < 0.95 ? share : 0.95;
    loss->evidence = 0;
    loss->tested_count = loss->tested_lost = 0;
    loss->tested_in_vain = 0;
    loss->testing = 1;
    loss->since_us = now_us; /* what was sent before was not sent at the lowered rate */
    return LOSS_SUSPECTED;
}

static enum loss_event weigh(struct loss_bound *loss, double rate, double target, int64_t now_us)
{
    if (rate > loss->bound * FOLLOWED) {
        if (++loss->tested_in_vain >= IN_VAIN_MAX) loss->testing = 0;
        return LOSS_NO_EVENT;
    }
    double gone = loss->inherent > LOSS_RESIDUAL ? loss->inherent : LOSS_RESIDUAL;
    double same = loss->suspect > gone + LOSS_TOLERATED ? loss->suspect : gone + LOSS_TOLERATED;
    loss->evidence += loss->lost * natural_log(gone / same) +
                      (loss->count - loss->lost) * natural_log((1 - gone) / (1 - same));
    loss->tested_count += loss->count;
    loss->tested_lost += loss->lost;
    if (loss->evidence >= LOSS_SURE) {
        loss->testing = 0;
        return LOSS_CONFIRMED;
    }
    if (loss->evidence <= -LOSS_SURE) {
        double still = (double)loss->tested_lost / loss->tested_count;
        if (still < loss->suspect * AS_BEFORE && still > loss->inherent + LOSS_TOLERATED &&
            rate > loss->bound * AT_BOUND)
            return suspect_congestion(loss, still, rate, target, now_us); /* better, not gone: lower still */
        loss->testing = 0;
        loss->bound = 0;
        loss->inherent = still;
        if (loss->inherent > loss->suspect) loss->inherent = loss->suspect;
        if (loss->inherent > LOSS_INHERENT_MAX) loss->inherent = LOSS_INHERENT_MAX;
    }
    return LOSS_NO_EVENT;
}

enum loss_event loss_bound_update(struct loss_bound *loss, double target, int64_t now_us)
{
    int64_t span = loss->last_sent_us - loss->first_sent_us;
    if (loss->count < LOSS_PACKETS || span < LOSS_SPAN_US) return LOSS_NO_EVENT;
    if (loss->lost > loss->count) loss->lost = loss->count; /* torn */
    double share = (double)loss->lost / loss->count, rate = loss->bytes * 8e6 / (double)span;
    double seconds = loss->observed_us ? (double)(now_us - loss->observed_us) / 1e6 : 0;
    enum loss_event event = LOSS_NO_EVENT;
    double known = loss->testing && loss->suspect > loss->inherent ? loss->suspect : loss->inherent;
    if (surprising(share - known - LOSS_TOLERATED, known, loss->count)) {
        event = suspect_congestion(loss, share, rate, target, now_us);
    } else if (loss->testing) {
        event = weigh(loss, rate, target, now_us);
    } else {
        if (share < loss->inherent)
            loss->inherent += INHERENT_DOWN * (share - loss->inherent);
        else if (loss->bound <= 0)
            loss->inherent += INHERENT_UP * (share - loss->inherent);
        if (loss->inherent > LOSS_INHERENT_MAX) loss->inherent = LOSS_INHERENT_MAX;
        if (share < loss->inherent + LOSS_TOLERATED)
            loss->bound += loss->bound * LOSS_GROWTH * (seconds < 1 ? seconds : 1);
        if (loss->bound > target * BOUND_FORGOTTEN) loss->bound = 0;
    }
    loss->last_loss = share;
    loss->observed_us = now_us;
    loss->bytes = loss->count = loss->lost = 0;
    return event;
}

void loss_bound_raise(struct loss_bound *loss, double rate, int64_t now_us)
{
    loss->since_us = now_us;
    loss->bytes = loss->count = loss->lost = 0;
    if (loss->bound > 0 && loss->bound < rate) {
        loss->bound = rate;
        loss->testing = 0; /* what is lost at this rate will show */
    }
}
