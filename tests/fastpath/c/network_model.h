/* A network in virtual time for estimators: one bottleneck that several flows share, with a queue, a base delay, jitter, reordering, random loss
 * and traffic of others, and for each flow a receiver that answers with transport-wide feedback over a way back that loses and delays
 * it. Everything comes from one seed. A minute of two flows takes some tens of milliseconds. */
#ifndef SOTTO_NETWORK_MODEL_H
#define SOTTO_NETWORK_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "bandwidth.h"
#include "pacing.h"
#include "transport_cc.h"

#define MODEL_FLOWS 3
#define MODEL_STEPS 8
#define MODEL_LAYERS 4

struct model_step { /* from `at_s` on; the list ends with bps 0 */
    double at_s, bps;
};

struct model_scene {
    const char *name;
    double seconds;
    struct model_step capacity[MODEL_STEPS];
    double queue_ms;                               /* a packet that would wait longer is dropped */
    double delay_ms;                               /* each way */
    double jitter_ms;                              /* uniform; on the way there */
    bool reorder;                                  /* jitter may let packets overtake each other */
    double loss;                                   /* share, at random */
    double cross_bps, cross_on_s, cross_off_s;     /* traffic of others, 0 = none */
    double feedback_loss;                          /* share */
    double feedback_late_ms;                       /* uniform, on top of delay; reorders feedback */
    double feedback_gap_from_s, feedback_gap_to_s; /* none comes through */
    double clock_ppm;                              /* drift of the receiver's clock */
    struct model_step clock_jump[MODEL_STEPS];     /* `bps` = jump in ms */
    int flows;
    double flow_start_s[MODEL_FLOWS];
    double wanted; /* most the application has to send; 0 = 10 Mbit/s */
    double layers[MODEL_LAYERS]; /* it sends the greatest of these sums not above the target; all 0 = exactly the target */
    uint64_t seed;
};

struct model_sample { /* of one flow, each 50 ms */
    float target, sent, received, queue_ms, capacity;
};
#define MODEL_SAMPLE_US 50000
#define MODEL_SAMPLES (200 * 20)

struct model_flow {
    struct bandwidth bandwidth;
    struct sent_log sent;
    struct pacing pacing;
    struct arrival_log arrivals;
    uint64_t sent_bytes, received_bytes, packets, lost, feedbacks, padding_bytes, probes;
    double media_queue_max_ms; /* longest a frame waited in the pacer */
    uint32_t sample_count;
    struct model_sample samples[MODEL_SAMPLES];
};

struct model_result {
    struct model_flow flow[MODEL_FLOWS];
};

/* Runs a scene. `result` is large: allocate it. */
void model_run(const struct model_scene *scene, struct model_result *result);
/* Mean of received bits per second of a flow over [from, to) seconds. */
double model_received(const struct model_result *result, int flow, double from_s, double to_s);
/* Mean capacity less the traffic of others is for the scene's author to know; this is the mean of the capacity. */
double model_capacity(const struct model_result *result, double from_s, double to_s);
/* The waiting time, ms, that the share (0 to 1) of samples of [from, to) does not exceed; of the worst packet in each 50 ms. */
double model_queue(const struct model_result *result, double share, double from_s, double to_s);
/* First time after `from_s` from which on the target is at least (at most) `bps` for `hold_s`; -1 = never. Seconds after from_s. */
double model_reaches(const struct model_result *result, int flow, double bps, bool above,
                     double from_s, double hold_s);
/* Writes the samples as comma separated lines, for plots. */
void model_trace(const struct model_scene *scene, const struct model_result *result, const char *folder);

#endif
