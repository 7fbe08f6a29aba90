#include "sender_clock.h"

#define SECOND_NS INT64_C(1000000000)

/* Below 2^32 seconds: fits. The era's end of 2036 looks like a clock that was set. */
static int64_t ntp_ns(uint64_t ntp)
{
    return (int64_t)(ntp >> 32) * SECOND_NS + (int64_t)(((ntp & 0xffffffff) * (uint64_t)SECOND_NS) >> 32);
}

void sender_clock_observe(int64_t *offset_ns, uint64_t *seen_ns, uint64_t ntp, uint64_t now_ns)
{
    if (!ntp) return;
    /* Too small by the time the report took: the greatest is the best. */
    int64_t observed = ntp_ns(ntp) - (int64_t)now_ns;
    if (*seen_ns && observed < *offset_ns) {
        uint64_t since = now_ns > *seen_ns ? now_ns - *seen_ns : 0;
        if (*offset_ns - observed > SENDER_CLOCK_STEP_NS) {
            if (since < SENDER_CLOCK_STEP_PATIENCE_NS) return;
        } else {
            int64_t drift = (int64_t)(since / 1000000 * SENDER_CLOCK_DRIFT_PPM);
            if (*offset_ns - observed > drift) observed = *offset_ns - drift;
        }
    }
    *offset_ns = observed;
    *seen_ns = now_ns ? now_ns : 1;
}

/* Modulo 2^32, as timestamps are. */
static uint32_t ticks(int64_t ns, uint32_t clock_rate)
{
    uint64_t length = (uint64_t)(ns < 0 ? -ns : ns);
    uint64_t count = length / (uint64_t)SECOND_NS * clock_rate +
                     length % (uint64_t)SECOND_NS * clock_rate / (uint64_t)SECOND_NS;
    return (uint32_t)(ns < 0 ? 0 - count : count);
}

bool sender_clock_timestamp(const struct encoding_state *encoding, int64_t offset_ns, uint64_t seen_ns,
                            uint32_t clock_rate, uint64_t now_ns, uint32_t *timestamp)
{
    if (!seen_ns || !encoding->sr_arrival_ns || !encoding->sr_ntp || now_ns < encoding->sr_arrival_ns ||
        now_ns - encoding->sr_arrival_ns > SENDER_CLOCK_REPORT_AGE_NS)
        return false;
    int64_t age = (int64_t)now_ns + offset_ns - ntp_ns(encoding->sr_ntp); /* by the sender's clock */
    int64_t ours = (int64_t)(now_ns - encoding->sr_arrival_ns);
    if (age - ours > SENDER_CLOCK_DISAGREE_NS || ours - age > SENDER_CLOCK_DISAGREE_NS)
        return false;
    *timestamp = encoding->sr_timestamp + ticks(age, clock_rate);
    return true;
}

uint32_t sender_clock_slot_timestamp(const struct encoding_state *encoding, int64_t offset_ns,
                                     uint64_t seen_ns, uint32_t clock_rate,
                                     uint32_t slot_timestamp_offset, uint32_t arrival, uint64_t now_ns)
{
    uint32_t timestamp;
    if (!sender_clock_timestamp(encoding, offset_ns, seen_ns, clock_rate, now_ns, &timestamp))
        return arrival;
    timestamp += slot_timestamp_offset;
    uint32_t bound = ticks(SENDER_CLOCK_DISAGREE_NS, clock_rate);
    return timestamp - arrival + bound <= 2 * bound ? timestamp : arrival;
}
