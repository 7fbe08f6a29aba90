/* The rate that loss allows.
 *
 * The draft's rule (above 10 % loss: less; below 2 %: more) takes every loss for congestion: at 10 % random loss it falls to the
 * minimum. Here two explanations of a loss are held against each other by trying: the rate is lowered once to what got through. If
 * congestion lost the rest, the loss is gone at the lower rate; if the path loses by itself, it is the same as before. Wald's
 * sequential test tells which, usually after one or two observations (0.25 s each). Loss the path has by itself is remembered as `inherent`
 * and only what exceeds it is acted upon; then the rate goes back to what delay allows. Rates in bit/s, times in microseconds. Plain data. */
#ifndef SOTTO_LOSS_BOUND_H
#define SOTTO_LOSS_BOUND_H

#include <stdbool.h>
#include <stdint.h>

/* An observation is this many packets and this long. More: surer, later. Fewer: chance is taken for congestion. */
#define LOSS_PACKETS 50
#define LOSS_SPAN_US 250000
/* Loss above the inherent one that is let pass (the draft's 2 %). Higher: a policed link loses so much for ever. Lower: chance stops growth. */
#define LOSS_TOLERATED 0.02
/* Never is more than this believed to be inherent. Higher: a full queue we share with others may be taken for a bad path. Lower: a path that bad
   is unusable. */
#define LOSS_INHERENT_MAX 0.25
/* How sure the test must be, in nats: 3 = one error in 20. Higher: longer at the lowered rate. */
#define LOSS_SURE 3.0
/* Growth of the bound per second once loss is back at the inherent one. Higher: a policed link is overrun more often. */
#define LOSS_GROWTH 0.08

struct loss_bound {
    double bound;                        /* bit/s, 0 = none */
    double inherent;                     /* share of packets the path loses by itself */
    double suspect;                      /* the loss that is being tested */
    double evidence;                     /* nats for congestion, negative for the path */
    double last_loss;                    /* of the last observation, for metrics */
    int64_t observed_us;                 /* end of the last observation */
    int64_t since_us;                    /* packets sent before do not count */
    int64_t first_sent_us, last_sent_us; /* of this observation */
    uint32_t bytes, count, lost;
    uint32_t tested_count, tested_lost; /* since the test began */
    uint16_t tested_in_vain;            /* observations at a rate that was not lowered */
    uint8_t testing;
    uint8_t reserved[5];
};

/* A packet's fate became known. */
void loss_bound_packet(struct loss_bound *loss, int64_t sent_us, uint32_t size, bool received);
/* One that was told lost came after all. */
void loss_bound_late(struct loss_bound *loss);
/* After each feedback; `target` is the rate that delay allows. */
enum loss_event {
    LOSS_NO_EVENT = 0,
    LOSS_SUSPECTED /* the bound fell */,
    LOSS_CONFIRMED /* it was congestion */
};
enum loss_event loss_bound_update(struct loss_bound *loss, double target, int64_t now_us);
/* A probe went through at this rate; packets sent before say nothing about it. */
void loss_bound_raise(struct loss_bound *loss, double rate, int64_t now_us);

#endif
