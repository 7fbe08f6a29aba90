/* The RTCP compounds a worker sends. Each begins with an RR of the transport's rtcp_ssrc, because that SSRC owns the SRTCP index. */
#ifndef SOTTO_COMPOUNDS_H
#define SOTTO_COMPOUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "worker.h"

/* What is due once a second: reports about what the transport sends, its REMB, our name, and a sender report for each slot in use. */
void compound_send_reports(struct worker *worker, uint32_t transport, uint64_t now_ns);
/* Sender reports at once, for the slots that were just cut over. */
void compound_send_switched(struct worker *worker, uint32_t transport, uint64_t now_ns);
/* NACK to the sender of an encoding for these sequence numbers, in ascending order. False when it cannot be asked now. */
bool compound_send_nack(struct worker *worker, uint32_t source, uint8_t encoding,
                        const uint16_t *lost, unsigned count, uint64_t now_ns);
/* Transport-wide feedback about what the log has not told yet. False when nothing was sent: it cannot be told now, or there is nothing. */
bool compound_send_arrivals(struct worker *worker, uint32_t transport, struct arrival_log *log,
                            uint32_t media_ssrc, uint64_t now_ns);
/* REMB outside of the regular report, which repeats it from then on (transport_state.remb.told_bps). False when nothing was sent: it cannot be told now, or
   nothing of it was received yet that the REMB could name. */
bool compound_send_remb(struct worker *worker, uint32_t transport, uint64_t bits_per_second, uint64_t now_ns);
/* TMMBR (RFC 5104 4.2.1) for one encoding, for sources whose row says tmmbr: all of its packets together, headers from IP upwards counted,
   at most so many bits per second. It is repeated with the regular reports until a TMMBN answers it. False when it cannot be sent yet. */
bool compound_send_tmmbr(struct worker *worker, uint32_t source, uint8_t encoding,
                         uint64_t bits_per_second, uint64_t now_ns);
/* PLI to the sender of a source, in one compound for each encoding that comes (RFC 4585 6.3.1: a PLI is about the SSRC it names). Chromium 156 and Firefox 153
   refresh all encodings for any of them, and once for all three. False when it cannot be asked yet. */
bool compound_send_key_request(struct worker *worker, uint32_t source, uint64_t now_ns);

#endif
