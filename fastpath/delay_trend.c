#include "delay_trend.h"

#include <string.h>

void delay_trend_reset(struct delay_trend *trend)
{
    memset(trend, 0, sizeof *trend);
    trend->threshold = TREND_THRESHOLD_START;
}

static bool belongs(const struct packet_group *group, int64_t sent_us, int64_t arrival_us)
{
    if (sent_us - group->first_sent_us <= TREND_GROUP_US) return true;
    int64_t apart = arrival_us - group->last_arrival_us;
    return apart <= TREND_GROUP_US && apart < sent_us - group->last_sent_us &&
           arrival_us - group->first_arrival_us < TREND_BURST_US;
}

/* Slope of delay over time by least squares, without unit; 0 when all groups came at once. */
static double window_slope(const struct delay_trend *trend)
{
    double mean_at = 0, mean_delay = 0, above = 0, below = 0;
    for (unsigned i = 0; i < TREND_WINDOW; i++) {
        mean_at += trend->at_ms[i] / TREND_WINDOW;
        mean_delay += trend->delay_ms[i] / TREND_WINDOW;
    }
    for (unsigned i = 0; i < TREND_WINDOW; i++) {
        double at = trend->at_ms[i] - mean_at;
        above += at * (trend->delay_ms[i] - mean_delay);
        below += at * at;
    }
    return below > 0 ? above / below : 0;
}

static void adapt_threshold(struct delay_trend *trend, int64_t now_us)
{
    double size = trend->trend < 0 ? -trend->trend : trend->trend;
    double elapsed_ms = (double)(now_us - trend->adapted_us) / 1000;
    trend->adapted_us = now_us;
    if (size > trend->threshold + TREND_SPIKE || elapsed_ms < 0) return;
    if (elapsed_ms > 100) elapsed_ms = 100; /* after a pause the old threshold is as good as any */
    double speed = size < trend->threshold ? TREND_ADAPT_DOWN : TREND_ADAPT_UP;
    trend->threshold += speed * (size - trend->threshold) * elapsed_ms;
    if (trend->threshold < TREND_THRESHOLD_MIN) trend->threshold = TREND_THRESHOLD_MIN;
    if (trend->threshold > TREND_THRESHOLD_MAX) trend->threshold = TREND_THRESHOLD_MAX;
}

static void judge(struct delay_trend *trend, double slope, double sent_ms, int64_t arrival_us)
{
    uint32_t weight = trend->groups < TREND_GROUPS_MAX ? trend->groups : TREND_GROUPS_MAX;
    trend->trend = slope * weight * TREND_GAIN;
    if (trend->trend > trend->threshold) {
        trend->over_ms += trend->over_groups ? sent_ms : sent_ms / 2; /* it began somewhere within the first */
        trend->over_groups++;
        if (trend->over_ms > TREND_OVERUSE_MS && trend->over_groups > 1 && slope >= trend->slope) {
            trend->over_ms = 0;
            trend->over_groups = 0;
            trend->verdict = DELAY_OVERUSE;
        }
    } else {
        trend->over_ms = 0;
        trend->over_groups = 0;
        trend->verdict = trend->trend < -trend->threshold ? DELAY_UNDERUSE : DELAY_NORMAL;
    }
    trend->slope = slope;
    adapt_threshold(trend, arrival_us);
}

/* `current` is complete: one more sample. */
static void close_group(struct delay_trend *trend)
{
    const struct packet_group *group = &trend->current, *before = &trend->previous;
    double sent_ms = (double)(group->last_sent_us - before->last_sent_us) / 1000;
    double arrival_ms = (double)(group->last_arrival_us - before->last_arrival_us) / 1000;
    if (arrival_ms < 0)
        return; /* the groups overtook each other: no sample, and the earlier one stays the reference */
    if (trend->groups == 0) trend->origin_us = trend->adapted_us = group->last_arrival_us;
    trend->groups++;
    trend->sum_ms += arrival_ms - sent_ms;
    trend->smoothed_ms = TREND_SMOOTHING * trend->smoothed_ms + (1 - TREND_SMOOTHING) * trend->sum_ms;
    unsigned slot = trend->window_next++ % TREND_WINDOW;
    trend->at_ms[slot] = (double)(group->last_arrival_us - trend->origin_us) / 1000;
    trend->delay_ms[slot] = trend->smoothed_ms;
    double slope = trend->groups >= TREND_WINDOW ? window_slope(trend) : trend->slope;
    judge(trend, slope, sent_ms, group->last_arrival_us);
    trend->previous = *group;
}

void delay_trend_packet(struct delay_trend *trend, int64_t sent_us, int64_t arrival_us)
{
    struct packet_group *group = &trend->current;
    if (trend->has_current) {
        if (sent_us < group->first_sent_us) return;
        if (belongs(group, sent_us, arrival_us)) {
            if (sent_us > group->last_sent_us) group->last_sent_us = sent_us;
            if (arrival_us > group->last_arrival_us) group->last_arrival_us = arrival_us;
            return;
        }
        if (trend->has_previous)
            close_group(trend);
        else
            trend->previous = *group;
        trend->has_previous = 1;
    }
    *group = (struct packet_group){sent_us, sent_us, arrival_us, arrival_us};
    trend->has_current = 1;
}
