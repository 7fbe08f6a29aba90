/* Which capture times the timestamps of a slot stand for, in the words of its sender: the reports of a member's streams tie each stream's
 * timestamps to the member's own clock, and one offset ties that clock to ours. Lips match when audio and video of one member use the same
 * offset; how far it is from the truth does not matter to them (RFC 3550 6.4.1, RFC 7656 3.7).
 *
 * Pure; what is kept stands in transport_state (clock_offset_ns, clock_offset_seen_ns) and encoding_state (sr_ntp, sr_timestamp, sr_arrival_ns). */
#ifndef SOTTO_SENDER_CLOCK_H
#define SOTTO_SENDER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "table.h"

/* The offset may fall so much a second, in millionths: quartz clocks differ by up to 100, ours and theirs by 200. Higher: it follows a queue that
   builds up, which moves audio and video together and helps nobody. Lower: a fast clock of ours carries reports away from arrivals. */
#define SENDER_CLOCK_DRIFT_PPM 250
/* An observation further off is a clock that was set, or a delay out of all bounds. Higher: a clock that was set by less stays wrong, until the
   drift has made it good. Lower: a second of bufferbloat counts as a clock that was set. */
#define SENDER_CLOCK_STEP_NS (1000ll * 1000000ll)
/* So long it must go on before a clock is taken as set back; forwards nothing but a clock that was set leads. Higher: reports are made from
   arrivals for longer after it. Lower: an outage with everything delivered late moves the offset there and back. */
#define SENDER_CLOCK_STEP_PATIENCE_NS (10000ull * 1000000ull)
/* A sender's report is used for so long. Higher: clocks that drift apart by 200 millionths spoil it (12 ms a minute). Lower: an encoding that is
   switched on again begins with arrival times. */
#define SENDER_CLOCK_REPORT_AGE_NS (120ull * 1000000000ull)
/* A report that would say more than this other than arrival does is not believed. Higher: a sender that set its clock shows it to its receivers
   until its next report. Lower: a queue of that length at the sender makes reports fall back to arrival times. */
#define SENDER_CLOCK_DISAGREE_NS (5000ll * 1000000ll)

/* A sender report with this NTP time (32.32) came. Both 0 at first. NTP 0 (RFC 3550: no such clock) changes nothing. */
void sender_clock_observe(int64_t *offset_ns, uint64_t *seen_ns, uint64_t ntp, uint64_t now_ns);

/* The timestamp that the encoding's sender would give to what it captures at the moment `now_ns` of our clock. False when that cannot be told:
   no report of it yet, none for long, or times that make no sense. */
bool sender_clock_timestamp(const struct encoding_state *encoding, int64_t offset_ns, uint64_t seen_ns,
                            uint32_t clock_rate, uint64_t now_ns, uint32_t *timestamp);

/* For a slot's sender report: the slot's timestamp at `now_ns`. `arrival` is what its last packet's arrival says about that, and is what comes
   back when the sender's reports cannot tell or tell something else altogether. */
uint32_t sender_clock_slot_timestamp(const struct encoding_state *encoding, int64_t offset_ns,
                                     uint64_t seen_ns, uint32_t clock_rate,
                                     uint32_t slot_timestamp_offset, uint32_t arrival, uint64_t now_ns);

#endif
