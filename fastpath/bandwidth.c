#include "bandwidth.h"

#include <errno.h>
#include <string.h>

#include "transport_cc.h"

/* Buckets of 25 ms: the rate a decrease starts from looks at the shorter and the longer time, everything else at the longer. */
#define ARRIVED_LONG 20
#define ARRIVED_SHORT 8
/* Weight of a new round trip. Higher: nervous. Lower: late. */
#define ROUND_TRIP_WEIGHT 8
/* Probes only while feedback is this fresh. */
#define FRESH_US 400000
/* So long after the last packet what was seen of it does not count. Higher: who was paused altogether comes back later. Lower: probes, 6 kB each, into a path
   that answers nothing. */
#define QUIET_US 1000000
/* A probe that filled the link got more of it than its share beside others: it raises the rate only where it found so many times more. Higher: slow
   to use a link that is a little faster. Lower: unfair to others, and an overuse after each probe. */
#define FULL_RAISE 1.3
/* And then by this part of the difference only. */
#define FULL_BELIEVED 0.7
/* Sending less than this share of the rate, the rate is not what limits. */
#define USED_SHARE 0.8
/* More is wanted, by a click and not by an encoder's ups and downs. Higher: a click waits for a probe. Lower: useless probes. */
#define WANTED_JUMP 1.5
/* This soon after a raise what arrives does not tell whether it is used. */
#define USED_WITHIN_US 600000
/* Inherent loss up to this is added to what arrives to tell what may be sent. Higher: when congestion was taken for it, we overrun the link
   by so much. Lower: paths that lose more are used less. */
#define INHERENT_CREDITED 0.1
/* Of the receiver's unwrapped time in microseconds: beyond these a sum of jumps, not a time. */
#define BASE_START (1ll << 50)
#define BASE_LEAST (1ll << 49)
#define BASE_MOST (1ll << 51)
/* Slack for rounding of arrival times and of batches. */
#define JUMP_SLACK_US 10000
/* Above this loss a rate falls of which only receiver reports tell (draft-ietf-rmcat-gcc-02 section 6). */
#define REPORT_LOSS_BAD 0.1
/* Unreported packets at most this old are presumed received. */
#define PRESUMED_MAX LIMIT_SENT / 2

static int64_t microseconds(uint64_t now_ns)
{ return (int64_t)(now_ns / 1000); }

void bandwidth_reset(struct bandwidth *bandwidth, const struct bandwidth_config *config)
{
    memset(bandwidth, 0, sizeof *bandwidth);
    bandwidth->maximum = config && config->maximum ? config->maximum : BANDWIDTH_MAX;
    bandwidth->wanted = bandwidth->maximum;
    delay_trend_reset(&bandwidth->trend);
    bandwidth->target = config && config->start ? config->start : BANDWIDTH_START;
    rate_control_reset(&bandwidth->control, bandwidth->target);
    table_barrier();
    bandwidth->minimum = config && config->minimum ? config->minimum : BANDWIDTH_MIN;
}

bool bandwidth_usable(const struct bandwidth *bandwidth)
{
    return bandwidth->minimum != 0 && bandwidth->maximum >= bandwidth->minimum &&
           bandwidth->trend.threshold >= TREND_THRESHOLD_MIN &&
           bandwidth->trend.threshold <= TREND_THRESHOLD_MAX && bandwidth->control.target > 0 &&
           bandwidth->control.target <= 1e12;
}

static void settle_target(struct bandwidth *bandwidth)
{
    struct rate_control *control = &bandwidth->control;
    if (!(control->target >= bandwidth->minimum)) control->target = bandwidth->minimum;
    if (control->target > bandwidth->maximum) control->target = bandwidth->maximum;
    double target = control->target;
    if (bandwidth->loss.bound > 0 && target > bandwidth->loss.bound) target = bandwidth->loss.bound;
    if (bandwidth->remb) {
        if (!bandwidth->has_feedback || target > bandwidth->remb) target = bandwidth->remb;
    }
    if (target > bandwidth->maximum) target = bandwidth->maximum;
    if (target < bandwidth->minimum) target = bandwidth->minimum;
    bandwidth->target = (uint32_t)target;
}

uint16_t bandwidth_sent(struct bandwidth *bandwidth, struct sent_log *log, uint16_t size,
                        uint8_t cluster, uint64_t now_ns)
{
    int64_t now_us = microseconds(now_ns);
    /* The first since all was answered: what follows is waited for from here on. */
    if (bandwidth->feedback_us && bandwidth->sent_us < bandwidth->feedback_us)
        bandwidth->feedback_us = now_us - 1;
    bandwidth->sent_us = now_us;
    return sent_log_add(log, size, cluster, now_ns);
}

/* The reference time wraps every 12 days: the difference to the last one is taken in 24 bits with sign. */
static int64_t unwrap_reference(struct bandwidth *bandwidth, uint32_t reference_time)
{
    int64_t step = TRANSPORT_CC_REFERENCE_TICKS * TRANSPORT_CC_TICK_US, base = bandwidth->arrival_base_us;
    base += (int32_t)((reference_time - bandwidth->reference_time) << 8) / 256 * step;
    /* At first, and when a receiver told us of years: high enough that differences do not make it negative. */
    if (bandwidth->arrival_base_us == 0 || base < BASE_LEAST || base > BASE_MOST) base = BASE_START;
    bandwidth->reference_time = reference_time;
    return bandwidth->arrival_base_us = base;
}

/* A packet was on its way between our sending and now: so our clock minus theirs lies between two numbers. When what a packet says
   does not meet what all before it said, their clock jumped, and times before and after do not compare. */
static void watch_clock(struct bandwidth *bandwidth, int64_t sent_us, int64_t arrival_us, int64_t now_us)
{
    int64_t least = sent_us - arrival_us, most = now_us - arrival_us;
    if (bandwidth->offset_us) {
        int64_t drift = (now_us - bandwidth->offset_us) * BANDWIDTH_DRIFT_PPM / 1000000;
        int64_t known_least = bandwidth->offset_least_us - drift, known_most = bandwidth->offset_most_us + drift;
        if (least > known_most + JUMP_SLACK_US || most < known_least - JUMP_SLACK_US) {
            delay_trend_reset(&bandwidth->trend);
            memset(&bandwidth->arrived, 0, sizeof bandwidth->arrived);
            memset(&bandwidth->queue, 0, sizeof bandwidth->queue);
            bandwidth->probing.count = bandwidth->probing.bytes = 0;
            bandwidth->clock_jumps++;
        } else {
            if (least < known_least) least = known_least;
            if (most > known_most) most = known_most;
        }
    }
    bandwidth->offset_least_us = least;
    bandwidth->offset_most_us = most;
    bandwidth->offset_us = now_us;
}

/* Feedback between the last and this one did not come: its packets count for the arriving rate, spread over the time between. */
static void presume_untold(struct bandwidth *bandwidth, struct sent_log *log, uint64_t first, int64_t arrival_us)
{
    if (log->told_end >= first || first - log->told_end > PRESUMED_MAX) return;
    int64_t from_us = bandwidth->trend.has_current ? bandwidth->trend.current.last_arrival_us : arrival_us;
    int64_t count = (int64_t)(first - log->told_end);
    for (int64_t i = 0; i < count; i++) {
        struct sent_packet *packet = &log->packets[(log->told_end + (uint64_t)i) % LIMIT_SENT];
        if (packet->state != SENT_WAITING) continue;
        packet->state = SENT_PRESUMED;
        rate_window_add(&bandwidth->arrived,
                        from_us + (arrival_us - from_us) * (i + 1) / (count + 1), packet->size);
    }
}

static void note_received(struct bandwidth *bandwidth, struct sent_packet *packet, int64_t sent_us,
                          int64_t arrival_us, int64_t now_us)
{
    watch_clock(bandwidth, sent_us, arrival_us, now_us);
    if (packet->state != SENT_PRESUMED)
        rate_window_add(&bandwidth->arrived, arrival_us, packet->size);
    if (packet->state == SENT_LOST)
        loss_bound_late(&bandwidth->loss);
    else
        loss_bound_packet(&bandwidth->loss, sent_us, packet->size, true);
    packet->state = SENT_RECEIVED;
    delay_trend_packet(&bandwidth->trend, sent_us, arrival_us);
    if (packet->cluster)
        probing_packet(&bandwidth->probing, packet->cluster, packet->size, sent_us, arrival_us);
}

/* All statuses of one feedback. */
static void take_statuses(struct bandwidth *bandwidth, struct sent_log *log,
                          struct transport_cc_reader *reader, uint64_t now_ns)
{
    int64_t base_us = unwrap_reference(bandwidth, reader->reference_time), newest_sent_us = 0,
            delay_us = INT64_MAX;
    uint64_t first = 0, number = 0;
    struct transport_cc_status status;
    while (transport_cc_next(reader, &status)) {
        struct sent_packet *packet = sent_log_find(log, status.sequence, &number);
        if (packet == NULL) continue;
        if (first == 0) first = number;
        if (packet->state == SENT_RECEIVED) continue;
        int64_t sent_us = sent_time_us(packet, now_ns);
        if (status.received) {
            int64_t arrival_us = base_us + (int64_t)status.ticks * TRANSPORT_CC_TICK_US;
            if (newest_sent_us == 0) presume_untold(bandwidth, log, first, arrival_us);
            if (sent_us > newest_sent_us) newest_sent_us = sent_us;
            if (arrival_us - sent_us < delay_us) delay_us = arrival_us - sent_us;
            note_received(bandwidth, packet, sent_us, arrival_us, microseconds(now_ns));
        } else if (packet->state != SENT_LOST) {
            packet->state = SENT_LOST;
            loss_bound_packet(&bandwidth->loss, sent_us, packet->size, false);
            probing_lost(&bandwidth->probing, packet->cluster, packet->size);
        }
    }
    if (number >= log->told_end) log->told_end = number + 1;
    if (newest_sent_us == 0) return;
    standing_queue_note(&bandwidth->queue, delay_us, microseconds(now_ns));
    int64_t round_trip_us = microseconds(now_ns) - newest_sent_us;
    if (bandwidth->round_trip_us == 0) bandwidth->round_trip_us = round_trip_us;
    bandwidth->round_trip_us += (round_trip_us - bandwidth->round_trip_us) / ROUND_TRIP_WEIGHT;
}

static void note_proven(struct bandwidth *bandwidth, double bps, int64_t now_us)
{
    if (bandwidth->proven_us && bps < bandwidth->proven && now_us - bandwidth->proven_us < BANDWIDTH_PROVEN_US)
        return;
    bandwidth->proven = bps;
    bandwidth->proven_us = now_us;
}

static bool loses(const struct bandwidth *bandwidth)
{
    return bandwidth->loss.testing || bandwidth->loss.last_loss > bandwidth->loss.inherent + LOSS_TOLERATED;
}

/* Does delay, or loss, make the rate fall? It depends on the queue what an overuse means. */
static bool control_rate(struct bandwidth *bandwidth, enum delay_verdict verdict, double arriving,
                         double arriving_now, int64_t now_us)
{
    struct rate_control *control = &bandwidth->control;
    int64_t queue_us = bandwidth->queue.queue_us, round_trip_us = bandwidth->round_trip_us;
    bool suspect = verdict == DELAY_OVERUSE && queue_us < BANDWIDTH_QUEUE_US && !loses(bandwidth);
    if (suspect && queue_us < BANDWIDTH_QUEUE_GONE_US)
        verdict = DELAY_UNDERUSE;                                                /* hold */
    else if (suspect && arriving > 0 && arriving < control->target * USED_SHARE) /* says nothing of the rate */
        return rate_control_yield(control, bandwidth->proven, round_trip_us, now_us);
    else if (suspect)
        return rate_control_ease(control, arriving > arriving_now ? arriving : arriving_now,
                                 round_trip_us, now_us);
    return rate_control_update(control, verdict, arriving, arriving_now, round_trip_us, now_us);
}

static void take_probe_result(struct bandwidth *bandwidth, double arriving, int64_t now_us)
{
    bool full = false;
    double result = probing_result(&bandwidth->probing, now_us, &full);
    if (result <= 0) return;
    bandwidth->probe_result_us = now_us;
    note_proven(bandwidth, result, now_us);
    bool used = arriving > bandwidth->target * USED_SHARE || now_us - bandwidth->control.raised_us < USED_WITHIN_US;
    /* If not, nothing but probes can raise it. */
    if (result <= bandwidth->target * (full && used ? FULL_RAISE : 1)) return;
    double before = bandwidth->target;
    if (full && used) result = before + FULL_BELIEVED * (result - before);
    rate_control_raise(&bandwidth->control, result, now_us);
    loss_bound_raise(&bandwidth->loss, result, now_us);
    probing_gained(&bandwidth->probing, before, now_us);
}

int bandwidth_feedback_untrusted(struct bandwidth *bandwidth, struct sent_log *log,
                                 const struct rtcp_feedback *feedback, uint64_t now_ns)
{
    struct transport_cc_reader reader;
    if (transport_cc_parse_untrusted(feedback, &reader) != 0) return -EBADMSG;
    int64_t now_us = microseconds(now_ns);
    uint32_t before = bandwidth->target;
    bandwidth->has_feedback = 1;
    bandwidth->feedback_us = now_us;
    take_statuses(bandwidth, log, &reader, now_ns);

    double inherent = bandwidth->loss.inherent < INHERENT_CREDITED ? bandwidth->loss.inherent : INHERENT_CREDITED;
    double through = 1 - inherent; /* what we must send for so much to arrive */
    double arriving = rate_window_bps(&bandwidth->arrived, ARRIVED_LONG) / through;
    double arriving_now = rate_window_bps(&bandwidth->arrived, ARRIVED_SHORT) / through;
    enum delay_verdict verdict = bandwidth->trend.verdict;
    if (verdict == DELAY_OVERUSE &&
        now_us - bandwidth->probe_result_us < BANDWIDTH_PROBE_GRACE_US && bandwidth->probe_result_us)
        verdict = DELAY_UNDERUSE; /* hold */
    if (verdict == DELAY_NORMAL && standing_queue_drain(&bandwidth->queue, now_us))
        verdict = DELAY_OVERUSE;
    note_proven(bandwidth, arriving, now_us);
    bool fell = control_rate(bandwidth, verdict, arriving, arriving_now, now_us);
    enum loss_event event = loss_bound_update(&bandwidth->loss, bandwidth->control.target, now_us);
    settle_target(bandwidth);
    if (event == LOSS_CONFIRMED && bandwidth->probing.gained_us && now_us - bandwidth->probing.gained_us < PROBE_LASTED_US)
        fell = true; /* what a probe found is lost again */
    if (fell) probing_dropped(&bandwidth->probing, before, bandwidth->target, now_us);
    take_probe_result(bandwidth, arriving, now_us);
    settle_target(bandwidth);
    return 0;
}

void bandwidth_remb(struct bandwidth *bandwidth, uint32_t bits_per_second)
{
    bandwidth->remb = bits_per_second ? bits_per_second : 1;
    settle_target(bandwidth);
}

void bandwidth_report(struct bandwidth *bandwidth, double lost, uint32_t most)
{
    double *target = &bandwidth->control.target;
    if (bandwidth->has_feedback || bandwidth->remb) return;
    if (lost > REPORT_LOSS_BAD) *target *= 1 - lost / 2;
    if (lost < LOSS_TOLERATED && *target < most)
        *target = *target * BANDWIDTH_REPORT_GROWTH < most ? *target * BANDWIDTH_REPORT_GROWTH : most;
    settle_target(bandwidth);
}

void bandwidth_want(struct bandwidth *bandwidth, uint32_t bits_per_second)
{
    uint32_t before = bandwidth->wanted;
    bandwidth->wanted = bits_per_second < bandwidth->maximum ? bits_per_second : bandwidth->maximum;
    if (bandwidth->wanted > before * WANTED_JUMP && bandwidth->wanted > bandwidth->target)
        probing_jumped(&bandwidth->probing);
}

bool bandwidth_congested(const struct bandwidth *bandwidth, uint64_t now_ns)
{
    int64_t now_us = microseconds(now_ns), fell_us = bandwidth->control.decreased_us;
    return fell_us && now_us - fell_us < BANDWIDTH_DRAIN_US && bandwidth->queue.queue_us > QUEUE_LONG_US;
}

/* Grows as if what is not sent arrived, up to what is believed of somebody new. */
static void hope(struct bandwidth *bandwidth, int64_t now_us)
{
    struct rate_control *control = &bandwidth->control;
    int64_t elapsed_us = now_us - control->updated_us;
    control->updated_us = now_us;
    if (elapsed_us <= 0 || elapsed_us > QUIET_US || control->target >= BANDWIDTH_START) return;
    control->target += control->target * RATE_GROWTH * (double)elapsed_us / 1e6;
    bandwidth->loss.bound = bandwidth->loss.bound > 0 && bandwidth->loss.bound < control->target
                                ? control->target
                                : bandwidth->loss.bound;
    settle_target(bandwidth);
}

bool bandwidth_tick(struct bandwidth *bandwidth, uint64_t now_ns, struct probe_request *request)
{
    int64_t now_us = microseconds(now_ns);
    if (bandwidth->has_feedback && bandwidth->sent_us > bandwidth->feedback_us &&
        now_us - bandwidth->feedback_us > BANDWIDTH_SILENT_US + bandwidth->round_trip_us) {
        uint32_t before = bandwidth->target;
        bandwidth->feedback_us = now_us;
        bandwidth->control.target *= BANDWIDTH_SILENT_SHARE;
        settle_target(bandwidth);
        probing_dropped(&bandwidth->probing, before, bandwidth->target, now_us);
    }
    /* Nothing is sent, so nothing more will be told: only a probe finds out whether it still is as it was, and where none can be made, a try. */
    bool quiet = now_us - bandwidth->sent_us > QUIET_US;
    if (!request) {
        if (quiet && bandwidth->has_feedback) hope(bandwidth, now_us);
        return false;
    }
    bool first = bandwidth->probing.clusters == 0;
    if (!first && !quiet && (!bandwidth->has_feedback || now_us - bandwidth->feedback_us > FRESH_US))
        return false;
    if (!quiet && (bandwidth->trend.verdict == DELAY_OVERUSE || bandwidth->loss.testing))
        return false;
    double wanted = bandwidth->wanted;
    if (bandwidth->remb && wanted > bandwidth->remb) wanted = bandwidth->remb;
    return probing_start(&bandwidth->probing, bandwidth->target, wanted, now_us, request);
}
