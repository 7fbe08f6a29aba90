/* What members do besides media: checks, transport-wide feedback, receiver reports, and obeying key-frame requests. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bytes.h"
#include "load.h"
#include "rtcp.h"

#define CHECK_AGAIN_NS (200ull * 1000000ull)
#define CHECK_NS (2500ull * 1000000ull) /* as browsers do */
#define REPORT_NS (1000ull * 1000000ull)
#define SCAN_NS (5ull * 1000000ull)

int members_open(struct load *load)
{
    const struct plan *plan = &load->plan;
    for (uint32_t i = 0; i < plan->head.member_count; i++) {
        struct member_state *member = &load->members[i];
        const struct plan_member *row = &plan->members[i];
        if (srtp_keys_expand(&member->tx, (enum srtp_profile)plan->head.profile, &row->tx) != 0 ||
            srtp_keys_expand(&member->rx, (enum srtp_profile)plan->head.profile, &row->rx) != 0)
            return -EINVAL;
        member->report_due_ns = load_random(load) % REPORT_NS; /* so that not all report together */
    }
    for (uint32_t i = 0; i < plan->head.source_count; i++)
        load->members[plan->sources[i].member].sends = true;
    return 0;
}

void members_stun(struct load *load, const struct arrived *arrived)
{
    struct member_state *member = &load->members[arrived->member];
    load->totals->stun++;
    if (arrived->length < 20 || load_be16(arrived->bytes) != 0x0101 || member->answered) return;
    member->answered = true;
    load->answered++;
}

static void wants_key(struct load *load, uint32_t number)
{
    load->totals->key_requests++;
    for (uint32_t i = 0; i < load->plan.head.source_count; i++)
        if (load->plan.sources[i].member == number && load->plan.sources[i].video)
            load->sources[i].key_wanted = true;
}

void members_rtcp(struct load *load, const struct arrived *arrived)
{
    struct member_state *member = &load->members[arrived->member];
    load->totals->rtcp++;
    if (!member->sends) return;
    size_t length = arrived->length, offset = 0;
    if (srtcp_unprotect_untrusted(&member->rx, member->rtcp_rx, arrived->bytes, &length) != 0) {
        load->totals->bad_tags++;
        return;
    }
    struct rtcp_block block;
    while (rtcp_next_untrusted(arrived->bytes, length, &offset, &block) == 1)
        if (block.type == RTCP_PSFB && (block.count == RTCP_FMT_PLI || block.count == RTCP_FMT_FIR))
            wants_key(load, arrived->member);
}

static void compound_send(struct load *load, uint32_t number, uint8_t *compound, int length)
{
    struct member_state *member = &load->members[number];
    int whole = reporter_seal(&member->reporter, &member->tx, compound, length, WIRE_PACKET);
    if (whole > 0) wire_commit(&load->wire, number, (size_t)whole);
}

/* The newest packets but two, as if they had been lost (RFC 4585 6.2.1). Returns the length. */
static int nack_write(struct load *load, uint32_t number, uint8_t *out)
{
    struct member_state *member = &load->members[number];
    uint32_t count = member->unasked / 1000;
    if (!count) return 0;
    if (count > 17) count = 17;
    member->unasked -= count * 1000;
    load->totals->asked += count;
    store_be32(out, 0x81cd0003);
    store_be32(out + 4, load->plan.members[number].rtcp_ssrc);
    store_be32(out + 8, member->watched_ssrc);
    store_be16(out + 12, (uint16_t)(member->watched_number - count - 1));
    store_be16(out + 14, (uint16_t)((1u << (count - 1)) - 1));
    return 16;
}

static void feedback_send(struct load *load, uint32_t number, uint64_t now_ns)
{
    struct member_state *member = &load->members[number];
    uint8_t *out = wire_reserve(&load->wire);
    int length = reporter_feedback(&member->reporter, load->plan.members[number].rtcp_ssrc, now_ns, out);
    if (length <= 0) return;
    compound_send(load, number, out, length + nack_write(load, number, out + length));
    load->totals->feedback_sent++;
}

static void check_send(struct load *load, uint32_t number)
{
    uint8_t *out = wire_reserve(&load->wire);
    wire_commit(&load->wire, number, check_make(&load->plan.members[number], out));
}

void members_turn(struct load *load, uint64_t now_ns)
{
    if (load->plan.head.plain || now_ns - load->scanned_ns < SCAN_NS) return;
    load->scanned_ns = now_ns;
    for (uint32_t i = 0; i < load->plan.head.member_count; i++) {
        struct member_state *member = &load->members[i];
        if (member->check_due_ns <= now_ns) {
            uint64_t next = member->answered ? CHECK_NS : CHECK_AGAIN_NS;
            /* The second one somewhere within the interval, so that later ones are spread. */
            member->check_due_ns =
                now_ns + next - (next == CHECK_NS ? load_random(load) % (CHECK_NS / 4) : 0);
            check_send(load, i);
        }
        if (!member->answered) continue;
        if (load->plan.head.feedback && arrivals_due_ns(&member->reporter.arrivals) <= now_ns)
            feedback_send(load, i, now_ns);
        if (member->report_due_ns <= now_ns) {
            member->report_due_ns = now_ns + REPORT_NS * 3 / 4 + load_random(load) % (REPORT_NS / 2);
            uint8_t *out = wire_reserve(&load->wire);
            compound_send(load, i, out, reporter_report(load->plan.members[i].rtcp_ssrc, out));
        }
    }
    wire_flush(&load->wire, false);
}
