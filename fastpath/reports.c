/* The arithmetic of RTCP reports: RFC 3550 6.4 and appendix A.3, A.8. Declared in rtcp.h. */
#include "bytes.h"
#include "rtcp.h"

#define SECOND_NS UINT64_C(1000000000)
/* A transit that changes by more is a sender that set its timestamps anew, not jitter. Higher: one such jump spoils the jitter
   for longer. Lower: a real stall is left out. */
#define TRANSIT_JUMP_SECONDS 5

/* In ticks modulo 2^32, which is all that differences need. */
static uint32_t ticks_at(uint64_t ns, uint32_t clock_rate)
{ return (uint32_t)(ns / SECOND_NS * clock_rate + ns % SECOND_NS * clock_rate / SECOND_NS); }

void encoding_received(struct encoding_state *encoding, uint64_t index, uint32_t timestamp,
                       uint32_t clock_rate, uint64_t now_ns, size_t bytes)
{
    uint32_t transit = ticks_at(now_ns, clock_rate) - timestamp;
    if (encoding->received == 0) {
        encoding->base_sequence = (uint32_t)index;
        encoding->highest_index = index;
        encoding->last_timestamp = timestamp;
    } else {
        uint32_t change = transit - encoding->transit;
        if (change > 0x80000000u) change = 0u - change;
        if (change < (uint64_t)clock_rate * TRANSIT_JUMP_SECONDS)
            encoding->jitter += change - ((encoding->jitter + 8) >> 4);
        if (index > encoding->highest_index) {
            encoding->highest_index = index;
            encoding->last_timestamp = timestamp;
        }
    }
    encoding->transit = transit;
    encoding->received++;
    encoding->bytes += bytes;
    encoding->last_packet_ns = now_ns;
}

void encoding_restart(struct encoding_state *encoding, uint32_t ssrc)
{
    *encoding = (struct encoding_state){
        .ssrc = ssrc,
        .rtx_ssrc = encoding->rtx_ssrc,
        .live = encoding->live,
        .last_key_frame_ns = encoding->last_key_frame_ns,
        .bytes = encoding->bytes,
    };
}

void encoding_sender_report(struct encoding_state *encoding, const struct rtcp_sender_info *info, uint64_t now_ns)
{
    encoding->sr_arrival_ns = now_ns;
    encoding->sr_ntp = info->ntp;
    encoding->sr_timestamp = info->timestamp;
}

int encoding_report_block(struct encoding_state *encoding, uint64_t now_ns, struct rtcp_report *report)
{
    if (encoding->received == 0) return 0;
    uint32_t expected = (uint32_t)encoding->highest_index - encoding->base_sequence + 1;
    int64_t lost = (int64_t)expected - encoding->received;
    uint32_t expected_now = expected - encoding->expected_prior;
    uint32_t received_now = encoding->received - encoding->received_prior;
    encoding->expected_prior = expected;
    encoding->received_prior = encoding->received;
    *report = (struct rtcp_report){
        .ssrc = encoding->ssrc,
        .highest = (uint32_t)encoding->highest_index,
        .jitter = encoding->jitter >> 4,
        .lost = lost > 0x7fffff    ? 0x7fffff
                : lost < -0x800000 ? -0x800000
                                   : (int32_t)lost,
    };
    if (expected_now > received_now) { /* then expected_now is not 0 */
        uint64_t fraction = ((uint64_t)(expected_now - received_now) << 8) / expected_now;
        report->fraction_lost = fraction > 255 ? 255 : (uint8_t)fraction;
    }
    if (encoding->sr_arrival_ns != 0 && now_ns >= encoding->sr_arrival_ns) {
        uint64_t delay = now_ns - encoding->sr_arrival_ns;
        report->last_sr = rtcp_ntp_middle(encoding->sr_ntp);
        report->delay_since_last_sr = rtcp_ntp_middle(rtcp_ntp(delay));
    }
    return 1;
}

uint64_t rtcp_ntp(uint64_t ns)
{ return (ns / SECOND_NS) << 32 | (ns % SECOND_NS << 32) / SECOND_NS; }

uint32_t rtcp_round_trip_us(const struct rtcp_report *report, uint64_t now_ns)
{
    if (report->last_sr == 0) return 0;
    uint32_t now = rtcp_ntp_middle(rtcp_ntp(now_ns));
    uint32_t round_trip = now - report->last_sr - report->delay_since_last_sr; /* of 65536 a second */
    if (round_trip > 60u << 16) return 0; /* a lie, or a clock that ran backwards */
    uint32_t us = (uint32_t)((uint64_t)round_trip * 1000000 >> 16);
    return us ? us : 1;
}
