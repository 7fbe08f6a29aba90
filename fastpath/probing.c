#include "probing.h"

/* Arriving faster than sent by more than this is an accident of a queue that emptied. */
#define CREDIBLE_RATIO 2.0
/* Packets sent within this time left in one run. */
#define SAME_RUN_US 500
/* Less than this above the estimate tells nothing new. */
#define WORTHWHILE 1.1
/* What probes found has not lasted when a drop leaves less than this of the rate before them. */
#define KEPT 1.2
/* A drop to less than this is more than the ordinary up and down. */
#define DEEP_DROP 0.66
/* Of the rate before a deep drop, the most that the first probe after it tries. */
#define BEFORE_DROP_SHARE 0.85

bool probing_start(struct probing *probing, double target, double wanted, int64_t now_us,
                   struct probe_request *request)
{
    if (probing->interval_us == 0) probing->interval_us = PROBE_INTERVAL_US;
    if (probing->started_us) {
        if (now_us - probing->started_us < PROBE_PATIENCE_US) return false;
        probing->started_us = 0;
        probing->due_us = now_us; /* lost, not refused */
    }
    if (target >= wanted) return false;
    if (now_us < probing->due_us && (probing->fell || !probing->jumped)) return false;
    double rate = target * (probing->clusters == 0 ? PROBE_FIRST : PROBE_NEXT);
    if (probing->before_drop > 0 && rate > probing->before_drop * BEFORE_DROP_SHARE)
        rate = probing->before_drop * BEFORE_DROP_SHARE;
    probing->before_drop = 0;
    if (rate > wanted * PROBE_ABOVE_WANTED) rate = wanted * PROBE_ABOVE_WANTED;
    if (rate < target * WORTHWHILE) {
        probing->jumped = 0;
        probing->due_us = now_us + probing->interval_us;
        return false;
    }
    probing->jumped = 0;
    probing->clusters++;
    if (++probing->cluster == 0) probing->cluster = 1;
    probing->started_us = now_us;
    probing->bits_per_second = rate < UINT32_MAX ? (uint32_t)rate : UINT32_MAX;
    double bytes = rate * PROBE_US / 8e6, least = PROBE_PACKETS * PROBE_PACKET_BYTES;
    probing->bytes_asked = (uint32_t)(bytes > least ? bytes : least);
    probing->bytes = probing->bytes_lost = probing->count = 0;
    *request = (struct probe_request){.bits_per_second = probing->bits_per_second,
                                      .bytes = probing->bytes_asked,
                                      .cluster = probing->cluster};
    return true;
}

void probing_jumped(struct probing *probing)
{ probing->jumped = 1; }

void probing_packet(struct probing *probing, uint8_t cluster, uint32_t size, int64_t sent_us, int64_t arrival_us)
{
    if (probing->started_us == 0 || cluster == 0 || cluster != probing->cluster) return;
    if (probing->count++ == 0) {
        probing->first_sent_us = probing->last_sent_us = sent_us;
        probing->first_arrival_us = probing->last_arrival_us = arrival_us;
        probing->first_size = size;
        probing->last_size = 0;
    }
    probing->bytes += size;
    if (sent_us < probing->first_sent_us) probing->first_sent_us = sent_us;
    if (sent_us > probing->last_sent_us + SAME_RUN_US) probing->last_size = 0;
    if (sent_us >= probing->last_sent_us) {
        probing->last_sent_us = sent_us;
        probing->last_size += size;
    }
    if (arrival_us > probing->last_arrival_us) probing->last_arrival_us = arrival_us;
    if (arrival_us < probing->first_arrival_us) {
        probing->first_arrival_us = arrival_us;
        probing->first_size = size;
    }
}

void probing_lost(struct probing *probing, uint8_t cluster, uint32_t size)
{
    if (probing->started_us && cluster && cluster == probing->cluster) probing->bytes_lost += size;
}

double probing_result(struct probing *probing, int64_t now_us, bool *full)
{
    if (probing->started_us == 0 || probing->count < PROBE_PACKETS * PROBE_ARRIVED ||
        probing->bytes < probing->bytes_asked * PROBE_ARRIVED)
        return 0;
    double sending_us = (double)(probing->last_sent_us - probing->first_sent_us);
    double arriving_us = (double)(probing->last_arrival_us - probing->first_arrival_us);
    probing->started_us = 0;
    probing->interval_us = PROBE_INTERVAL_US; /* it did no harm */
    probing->due_us = now_us + (probing->clusters <= PROBE_EARLY ? PROBE_EARLY_US : probing->interval_us);
    probing->fell = 0;
    if (sending_us <= 0 || arriving_us <= 0) return 0;
    double sent = (probing->bytes - probing->last_size) * 8e6 / sending_us;
    double arrived = (probing->bytes - probing->first_size) * 8e6 / arriving_us;
    if (arrived > sent * CREDIBLE_RATIO) return 0;
    *full = arrived < PROBE_WENT_THROUGH * sent;
    if (*full && probing->bytes_lost) probing->due_us = now_us + PROBE_PATIENCE_US; /* unsure */
    double found = arrived < sent ? arrived : sent;
    /* Where the link was not full, what got lost was not lost for want of room. */
    if (!*full) found *= (double)(probing->bytes + probing->bytes_lost) / probing->bytes;
    return PROBE_HEADROOM * (found < probing->bits_per_second ? found : probing->bits_per_second);
}

void probing_gained(struct probing *probing, double before, int64_t now_us)
{
    if (probing->gained_us == 0 || now_us - probing->gained_us > PROBE_PATIENCE_US)
        probing->gained_from = before;
    probing->gained_us = probing->due_us = now_us;
    probing->fell = 0;
}

void probing_dropped(struct probing *probing, double before, double now, int64_t now_us)
{
    bool deep = now < before * DEEP_DROP;
    probing->fell = 1;
    probing->started_us = 0;
    probing->before_drop = deep ? before : 0;
    bool in_vain = probing->gained_us && now_us - probing->gained_us < PROBE_LASTED_US &&
                   now < probing->gained_from * KEPT;
    if (in_vain) {
        probing->interval_us = (int64_t)PROBE_INTERVAL_US << (probing->in_vain % (PROBE_IN_VAIN_MAX + 1));
        if (probing->in_vain < PROBE_IN_VAIN_MAX) probing->in_vain++;
        probing->due_us = now_us + probing->interval_us;
    } else {
        probing->in_vain = 0;
        probing->interval_us = PROBE_INTERVAL_US;
        probing->due_us = now_us + (deep ? PROBE_AFTER_DROP_US : PROBE_AFTER_OVERUSE_US);
    }
    probing->gained_us = 0;
}
