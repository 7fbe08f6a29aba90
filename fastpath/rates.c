#include "rates.h"

#include <string.h>

/* A bucket's part of the rate, as a shift. Higher: key frames and changes show less. Lower: both show more. */
#define WEIGHT_SHIFT 2
#define BUCKETS_KNOWN 4u
/* After a silence of so many buckets the rate is 0 anyway. */
#define BUCKETS_FORGET 32u
/* What a source that was silent may begin with without being called a burst. */
#define LEAST_BPS 30000u

static uint32_t at_most(uint64_t value)
{ return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value; }

static uint64_t percent(uint64_t value, uint32_t of)
{ return value * of / 100; }

/* Bits of the bucket as a rate: 8 bits a byte, RATES_BUCKET_NS a bucket. */
static uint64_t bucket_bps(uint32_t bytes)
{ return (uint64_t)bytes * 8 * 1000000000ull / RATES_BUCKET_NS; }

static void bucket_close(struct rate_row *row)
{
    uint64_t total = 0, smoothed = 0;
    for (unsigned t = 0; t < RATES_TEMPORAL; t++) {
        total += bucket_bps(row->bytes[t]);
        smoothed += row->bps[t];
    }
    uint64_t most = percent(smoothed < LEAST_BPS ? LEAST_BPS : smoothed, RATES_BURST_PERCENT);
    int burst = row->buckets >= BUCKETS_KNOWN && total > most;
    row->bursts = burst ? (uint8_t)(row->bursts < 255 ? row->bursts + 1 : 255) : 0;
    int cut = burst && row->bursts <= RATES_BURST_BUCKETS;
    for (unsigned t = 0; t < RATES_TEMPORAL; t++) {
        uint64_t bps = bucket_bps(row->bytes[t]);
        if (cut) bps = bps * most / total;
        if (row->buckets < BUCKETS_KNOWN) /* the plain mean of what there is */
            bps = (row->bps[t] * (uint64_t)row->buckets + bps) / (row->buckets + 1u);
        else
            bps = (((uint64_t)row->bps[t] << WEIGHT_SHIFT) - row->bps[t] + bps) >> WEIGHT_SHIFT;
        row->bps[t] = at_most(bps);
        row->bytes[t] = 0;
    }
    row->peak_bps -= row->peak_bps >> 5;
    if (total > row->peak_bps) row->peak_bps = at_most(total);
    if (row->buckets < BUCKETS_KNOWN) row->buckets++;
}

void rate_roll(struct rate_row *row, uint64_t now_ns)
{
    if (!row->bucket_ns || now_ns < row->bucket_ns) return;
    uint64_t over = (now_ns - row->bucket_ns) / RATES_BUCKET_NS;
    if (over > BUCKETS_FORGET) {
        memset(row, 0, sizeof *row);
        return;
    }
    for (uint64_t i = 0; i < over; i++) bucket_close(row);
    row->bucket_ns += over * RATES_BUCKET_NS;
}

void rate_add(struct rate_row *row, uint8_t temporal, size_t bytes, uint64_t now_ns)
{
    if (row->bucket_ns && now_ns - row->bucket_ns >= RATES_BUCKET_NS) rate_roll(row, now_ns);
    if (!row->bucket_ns) row->bucket_ns = now_ns ? now_ns : 1;
    if (temporal >= RATES_TEMPORAL) temporal = RATES_TEMPORAL - 1;
    row->bytes[temporal] = at_most((uint64_t)row->bytes[temporal] + bytes);
}

uint32_t rate_of(const struct rate_row *row, uint8_t temporal)
{
    uint64_t sum = 0;
    for (unsigned t = 0; t < RATES_TEMPORAL && t <= temporal; t++) sum += row->bps[t];
    return at_most(sum);
}

/* ---- costs ---- */

/* Of all layers of an encoding that flows: measured, but as far as its sender was told less, that. */
static uint64_t flowing_cost(const struct rate_row *row, const struct rate_hold *hold, int screen, uint64_t now_ns)
{
    uint64_t measured = rate_of(row, RATES_TEMPORAL - 1);
    if (screen && measured < row->peak_bps / 2) measured = row->peak_bps / 2;
    if (!hold->target_bps) return measured;
    if (row->buckets < BUCKETS_KNOWN) return hold->target_bps; /* its first frame is a key frame */
    if (measured <= hold->target_bps) return measured;
    int told_just_now = now_ns - hold->since_ns < RATES_GRACE_NS;
    uint64_t excess = measured * 100 / (told_just_now ? RATES_GRACE_PERCENT : RATES_OVERSHOOT_PERCENT);
    return excess > hold->target_bps ? excess : hold->target_bps;
}

static void fill_flowing(uint32_t costs[RATES_TEMPORAL], const struct rate_row *row, uint64_t whole)
{
    uint64_t measured = rate_of(row, RATES_TEMPORAL - 1);
    for (uint8_t t = 0; t < RATES_TEMPORAL; t++) {
        uint64_t part = measured ? whole * rate_of(row, t) / measured : whole;
        costs[t] = at_most(part ? part : 1);
    }
}

void rate_costs_fill(struct rate_costs *costs, const struct rate_row rows[LIMIT_ENCODINGS],
                     const struct rate_hold holds[LIMIT_ENCODINGS], const uint32_t declared_bps[LIMIT_ENCODINGS],
                     uint8_t encoding_count, uint8_t live, int screen, uint64_t now_ns)
{
    memset(costs, 0, sizeof *costs);
    const uint32_t *below = NULL; /* costs of the highest encoding that flows */
    for (uint8_t e = 0; e < encoding_count && e < LIMIT_ENCODINGS; e++) {
        const struct rate_hold *hold = &holds[e];
        if (live & (1u << e) && rows[e].buckets) {
            fill_flowing(costs->bps[e], &rows[e], flowing_cost(&rows[e], hold, screen, now_ns));
            below = costs->bps[e];
            continue;
        }
        /* Nothing of it was measured: it comes at its target if it was asked for, and at what is declared if it is going to be. Else the one below stands
           in for it. */
        uint32_t expected = hold->target_bps ? hold->target_bps : declared_bps[e];
        int missing = hold->target_bps && !(live & (1u << e)) && now_ns - hold->since_ns >= RATES_START_NS;
        for (unsigned t = 0; t < RATES_TEMPORAL; t++)
            costs->bps[e][t] = (missing || !expected) && below ? below[t] : expected ? expected : 1;
    }
}
