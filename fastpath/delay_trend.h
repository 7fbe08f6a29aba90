/* Does the delay on the way to a receiver grow? Draft-ietf-rmcat-gcc-02 section 4 with the trendline in place of the Kalman filter, as in
 * "Analysis and Design of the Google Congestion Control for WebRTC" and what browsers do since: packets are grouped by the bursts they were sent in,
 * the change of delay from group to group is summed, and the slope of that sum over the last groups is held against a
 * threshold that adapts. Times are microseconds: sending times of our clock, arrival times of the receiver's; only differences
 * of the same clock are used. Plain data, valid after delay_trend_reset, also when a kill tore it. */
#ifndef SOTTO_DELAY_TREND_H
#define SOTTO_DELAY_TREND_H

#include <stdbool.h>
#include <stdint.h>

/* Packets sent within this time of the first are one group. Longer: fewer, steadier samples and a later verdict. Shorter: the jitter of single
   packets is taken for a trend. */
#define TREND_GROUP_US 5000
/* Packets that came together (a queue that emptied at once, as on radio links) are one group up to this length. Longer: real growth of a queue is
   hidden in one group. Shorter: a radio's scheduling looks like a queue. */
#define TREND_BURST_US 100000
/* Groups the slope is taken over. More: steadier and later. Fewer: faster, and false alarms. */
#define TREND_WINDOW 20
/* How much of the sum of delay changes is carried over at each group. Higher: smoother, later. */
#define TREND_SMOOTHING 0.9
/* Slope to threshold units: by the groups seen, at most TREND_GROUPS_MAX, and this gain. Higher: more sensitive. */
#define TREND_GAIN 4.0
#define TREND_GROUPS_MAX 60
/* Threshold in ms, its start and its bounds. Higher: longer queues before we react, and less yielding to flows of our kind. Lower: we starve
   beside flows that fill queues. */
#define TREND_THRESHOLD_START 12.5
#define TREND_THRESHOLD_MIN 6.0
#define TREND_THRESHOLD_MAX 600.0
/* Speed of adaptation per ms, upwards when the trend is above the threshold and downwards when it is below. Higher up: beside a flow that
   fills the queue we hold our share, at the price of delay. Higher down: sensitive again sooner, and starved. */
#define TREND_ADAPT_UP 0.0087
#define TREND_ADAPT_DOWN 0.039
/* A trend so far above the threshold is a spike (a route change), not something to adapt to. */
#define TREND_SPIKE 15.0
/* The trend must be above the threshold for so long. Longer: later verdicts. Shorter: one late frame is an overuse. */
#define TREND_OVERUSE_MS 10.0

enum delay_verdict { DELAY_NORMAL = 0, DELAY_OVERUSE, DELAY_UNDERUSE };

struct packet_group {
    int64_t first_sent_us, last_sent_us, first_arrival_us, last_arrival_us;
};

struct delay_trend {
    struct packet_group current, previous;
    uint8_t has_current, has_previous;
    uint8_t verdict; /* enum delay_verdict */
    uint8_t reserved;
    uint32_t groups; /* deltas seen since the reset */
    uint32_t over_groups;
    uint32_t window_next;
    double sum_ms, smoothed_ms;
    double threshold, slope, trend, over_ms;
    int64_t origin_us; /* arrival of the first group; of the window's times */
    int64_t adapted_us;
    double at_ms[TREND_WINDOW], delay_ms[TREND_WINDOW];
};

void delay_trend_reset(struct delay_trend *trend);
/* A packet that was received. Called in order of sending; one sent before the current group is left out (late feedback). */
void delay_trend_packet(struct delay_trend *trend, int64_t sent_us, int64_t arrival_us);

#endif
