/* RTCP: walking compounds, reading the blocks we use, writing ours, and the arithmetic of reports.
 * RFC 3550 section 6 and appendix A, RFC 4585 (PLI, NACK), RFC 5104 (FIR, TMMBR, TMMBN), REMB, transport-wide feedback.
 * Readers never look past the block, and re-check each count against its length. Errors: -EBADMSG malformed, -ENOSPC no room. */
#ifndef SOTTO_RTCP_H
#define SOTTO_RTCP_H

#include <stddef.h>
#include <stdint.h>

#include "table.h"

enum rtcp_type {
    RTCP_SR = 200,
    RTCP_RR = 201,
    RTCP_SDES = 202,
    RTCP_BYE = 203,
    RTCP_APP = 204,
    RTCP_RTPFB = 205, /* RFC 4585: count 1 = NACK, 3 = TMMBR, 4 = TMMBN, 15 = transport-wide feedback */
    RTCP_PSFB = 206, /* count 1 = PLI, 4 = FIR, 15 = application layer, where REMB is */
    RTCP_XR = 207,
};
enum {
    RTCP_FMT_NACK = 1,
    RTCP_FMT_TMMBR = 3,
    RTCP_FMT_TMMBN = 4,
    RTCP_FMT_TRANSPORT_CC = 15,
    RTCP_FMT_PLI = 1,
    RTCP_FMT_FIR = 4,
    RTCP_FMT_REMB = 15
};

struct rtcp_block {
    const uint8_t *body; /* after the 4 byte header; valid as long as the compound */
    uint32_t length; /* bytes of the body, padding taken off; a multiple of 4 unless the padding was odd */
    uint8_t type, count; /* count: report count, source count, or feedback message type */
};

/* The block at *offset, which then moves behind it: 1, or 0 at the end, or -EBADMSG. Compounds that begin with something else
   than a report are taken (RFC 5506). Start with *offset 0. Blocks before a malformed one have been handed out by then. */
int rtcp_next_untrusted(const uint8_t *compound, size_t length, size_t *offset, struct rtcp_block *block);

struct rtcp_sender_info {
    uint32_t ssrc;
    uint64_t ntp; /* 32.32 seconds since 1900 of the sender's clock */
    uint32_t timestamp, packets, octets;
};
struct rtcp_report { /* one report block, RFC 3550 6.4.1 */
    uint32_t ssrc;
    uint8_t fraction_lost; /* of 256 */
    int32_t lost;          /* cumulative, 24 bits with sign */
    uint32_t highest, jitter, last_sr, delay_since_last_sr;
};
/* 0 or -EBADMSG. */
int rtcp_sender_info_untrusted(const struct rtcp_block *block, struct rtcp_sender_info *info);
/* How many report blocks an SR or RR holds: 0 to 31, or -EBADMSG. `ssrc` = its sender. */
int rtcp_reports_untrusted(const struct rtcp_block *block, uint32_t *ssrc);
/* Report block number `which`, below what the function above returned. 0 or -EBADMSG. */
int rtcp_report_untrusted(const struct rtcp_block *block, unsigned which, struct rtcp_report *report);

struct rtcp_feedback {      /* the common head of RTPFB and PSFB */
    uint32_t sender, media; /* SSRCs; media is 0 in FIR and REMB */
    const uint8_t *fci;
    uint32_t fci_length;
};
int rtcp_feedback_untrusted(const struct rtcp_block *block, struct rtcp_feedback *feedback);

/* NACK: entries of first sequence number and bitmap. Number of entries (1 or more), or -EBADMSG. */
int rtcp_nack_untrusted(const struct rtcp_feedback *feedback);
/* Entry `which`: bit 0 of `mask` is `first` itself, bit n is first + n (17 bits used). */
void rtcp_nack_entry(const struct rtcp_feedback *feedback, unsigned which, uint16_t *first, uint32_t *mask);
/* FIR: number of entries, or -EBADMSG; entry = SSRC asked and its command number. */
int rtcp_fir_untrusted(const struct rtcp_feedback *feedback);
void rtcp_fir_entry(const struct rtcp_feedback *feedback, unsigned which, uint32_t *ssrc, uint8_t *sequence);
/* REMB: bits per second (at most UINT32_MAX) and the number of SSRCs that follow; 0, or -EBADMSG (also for other application
   feedback, whose name is not "REMB"). */
int rtcp_remb_untrusted(const struct rtcp_feedback *feedback, uint32_t *bits_per_second, uint8_t *ssrc_count);
/* Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): its head only. */
struct rtcp_transport_cc {
    uint16_t base_sequence, packet_count;
    uint32_t reference_time; /* 24 bits with sign, in 64 ms */
    uint8_t feedback_count;
};
int rtcp_transport_cc_untrusted(const struct rtcp_feedback *feedback, struct rtcp_transport_cc *head);
struct rtcp_tmmb_entry { /* RFC 5104 4.2.1.1 and 4.2.2.1 */
    uint32_t ssrc; /* TMMBR: the stream that is to be limited; TMMBN: who asked for the limit */
    uint64_t bits_per_second; /* from IP upwards; 17 bits of it travel, rounded down; saturated when read */
    uint16_t overhead; /* bytes of a packet before its payload, IP header included; 9 bits */
};
/* TMMBN, and TMMBR too: number of entries, or -EBADMSG. 0 is a TMMBN that says nobody limits it. */
int rtcp_tmmbn_untrusted(const struct rtcp_feedback *feedback);
void rtcp_tmmb_entry(const struct rtcp_feedback *feedback, unsigned which, struct rtcp_tmmb_entry *entry);
/* BYE: number of SSRCs (0 to 31) or -EBADMSG; SSRC number `which`. */
int rtcp_bye_untrusted(const struct rtcp_block *block);
uint32_t rtcp_bye_ssrc(const struct rtcp_block *block, unsigned which);

/* Writers append one block at `to`: its length, or -ENOSPC when `room` is too small. Concatenated they make a compound; ours
   begins with SR or RR. `sender` is the transport's rtcp_ssrc, except in SR, where it is the slot's SSRC. */
int rtcp_write_rr(uint8_t *to, size_t room, uint32_t sender, const struct rtcp_report *reports, unsigned count);
int rtcp_write_sr(uint8_t *to, size_t room, const struct rtcp_sender_info *info);
int rtcp_write_sdes(uint8_t *to, size_t room, uint32_t ssrc, const char *cname, size_t cname_length);
int rtcp_write_bye(uint8_t *to, size_t room, uint32_t ssrc);
int rtcp_write_pli(uint8_t *to, size_t room, uint32_t sender, uint32_t media);
int rtcp_write_fir(uint8_t *to, size_t room, uint32_t sender, uint32_t ssrc, uint8_t sequence);
/* `lost` in ascending order (wrap-around included), 1 or more. */
int rtcp_write_nack(uint8_t *to, size_t room, uint32_t sender, uint32_t media, const uint16_t *lost,
                    unsigned count);
/* At most 255 SSRCs. The rate is rounded down to 18 bits of mantissa. */
int rtcp_write_remb(uint8_t *to, size_t room, uint32_t sender, uint64_t bits_per_second,
                    const uint32_t *ssrcs, unsigned count);
/* TMMBR, or TMMBN with the same entries, by `format`. -ENOSPC also for more than LIMIT_RX_SSRCS entries. */
int rtcp_write_tmmbr(uint8_t *to, size_t room, int format, uint32_t sender,
                     const struct rtcp_tmmb_entry *entries, unsigned count);

/* ---- reports.c: arithmetic of reports, over the rows of table.h ---- */

/* An authenticated packet of the encoding came, not seen before: counts it, moves highest_index, jitter (A.8), bytes, last_packet_ns.
   `index` is its SRTP index, `bytes` its length. The first one sets base_sequence. A changed SSRC: call encoding_restart first. */
void encoding_received(struct encoding_state *encoding, uint64_t index, uint32_t timestamp,
                       uint32_t clock_rate, uint64_t now_ns, size_t bytes);
/* Forgets the statistics of the former SSRC (not rtx_ssrc, live, last_key_frame_ns, bytes). */
void encoding_restart(struct encoding_state *encoding, uint32_t ssrc);
/* Notes a sender report of this encoding. */
void encoding_sender_report(struct encoding_state *encoding, const struct rtcp_sender_info *info, uint64_t now_ns);
/* The report block about it (A.3), and begins the next interval. 1, or 0 when nothing was ever received: no block then. */
int encoding_report_block(struct encoding_state *encoding, uint64_t now_ns, struct rtcp_report *report);

/* Nanoseconds of any clock as NTP 32.32 (seconds modulo 2^32), and the middle 32 bits that reports carry. */
uint64_t rtcp_ntp(uint64_t ns);
static inline uint32_t rtcp_ntp_middle(uint64_t ntp)
{ return (uint32_t)(ntp >> 16); }
/* Round trip in microseconds from a report block about a stream of ours, whose SRs carried rtcp_ntp of the same clock; 0 = cannot be
   told (no SR seen yet, a delay longer than the time since, or more than a minute). */
uint32_t rtcp_round_trip_us(const struct rtcp_report *report, uint64_t now_ns);

#endif
