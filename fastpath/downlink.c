#include "downlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "adaptation.h"
#include "filling.h"

int downlinks_open(struct downlinks *downlinks, uint32_t transports)
{
    *downlinks = (struct downlinks){.due_ns = UINT64_MAX};
    downlinks->links = aligned_alloc(64, sizeof *downlinks->links * transports);
    downlinks->listed = calloc(transports, sizeof *downlinks->listed);
    if (!downlinks->links || !downlinks->listed) return -ENOMEM;
    memset(downlinks->links, 0, sizeof *downlinks->links * transports);
    return 0;
}

void downlinks_close(struct downlinks *downlinks)
{
    free(downlinks->links);
    free(downlinks->listed);
    *downlinks = (struct downlinks){.due_ns = UINT64_MAX};
}

void downlink_list(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct downlinks *downlinks = &worker->downlinks;
    struct downlink *link = &downlinks->links[transport];
    if (link->listed) return;
    link->listed = true;
    link->idle = 0;
    downlinks->listed[downlinks->listed_count++] = transport;
    uint64_t soonest = downlinks->scanned_ns + DOWNLINK_SCAN_NS;
    if (soonest < now_ns) soonest = now_ns;
    if (soonest < downlinks->due_ns) downlinks->due_ns = soonest;
}

/* ---- a receiver begins ---- */

/* A second connection of a member goes where the first did, as a rule: at what that one carried, its pictures go on. A path that is
   gone is not followed: without feedback its estimate has shrunk. */
static uint32_t carried_before(const struct worker *worker, const struct transport_row *row)
{
    if (!row->follows || row->follows > worker->generation.head->transport_limit) return 0;
    uint32_t former = row->follows - 1;
    const struct downlink_state *state = &worker->state.downlinks[former];
    if (worker->generation.transports[former].conference != row->conference || !state->incarnation)
        return 0;
    if (!state->bandwidth.has_feedback || !bandwidth_usable(&state->bandwidth)) return 0;
    return state->bandwidth.target > BANDWIDTH_START ? state->bandwidth.target : 0;
}

static void begin(const struct worker *worker, struct downlink_state *state, const struct transport_row *row)
{
    struct bandwidth_config config = {.start = row->transport_cc_down ? carried_before(worker, row)
                                                                      : DOWNLINK_UNTOLD_BPS};
    bandwidth_reset(&state->bandwidth, &config);
}

/* The operator's bound may change within an incarnation. */
static void settle_bounds(struct bandwidth *bandwidth, uint32_t most)
{
    uint32_t maximum = most && most < BANDWIDTH_MAX ? most : BANDWIDTH_MAX;
    bandwidth->minimum = maximum < BANDWIDTH_MIN ? maximum : BANDWIDTH_MIN;
    bandwidth->maximum = maximum;
}

static uint32_t estimate(const struct bandwidth *bandwidth)
{ return bandwidth->target < bandwidth->maximum ? bandwidth->target : bandwidth->maximum; }

void downlink_adopt(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct downlink_state *state = &worker->state.downlinks[transport];
    struct transport_cache *cache = &worker->transports[transport];
    struct downlink *link = &worker->downlinks.links[transport];
    if (link->incarnation != cache->incarnation) {
        bool listed = link->listed;
        release_forget(worker, transport);
        *link = (struct downlink){.incarnation = cache->incarnation, .listed = listed};
        state->waiting_bytes = 0; /* a predecessor's queue is gone with it */
        state->pacing.kept = 0;
    }
    if (!cache->incarnation) {
        if (state->incarnation) state_row_reset(state, sizeof *state, 0);
        return;
    }
    const struct transport_row *row = &worker->generation.transports[transport];
    if (state->incarnation != cache->incarnation) {
        state_row_reset(state, sizeof *state, cache->incarnation);
        begin(worker, state, row);
    } else if (!bandwidth_usable(&state->bandwidth)) {
        begin(worker, state, row);
    }
    settle_bounds(&state->bandwidth, row->downlink_max_bps);
    cache->transport_cc_id = row->transport_cc_down ? row->ext.transport_cc : 0;
    cache->paced = cache->transport_cc_id || state->bandwidth.remb;
    pacing_rate(&state->pacing, estimate(&state->bandwidth), false);
    if (!link->told_bps) link->told_bps = estimate(&state->bandwidth);
    release_resume(worker, transport, now_ns);
}

/* ---- what it may be sent ---- */

uint32_t downlink_bps(const struct worker *worker, uint32_t transport)
{
    const struct downlink *link = &worker->downlinks.links[transport];
    uint32_t bps = estimate(&worker->state.downlinks[transport].bandwidth);
    return bps - (link->repair_bps < bps / 4 ? link->repair_bps : bps / 4);
}

void downlink_want(struct worker *worker, uint32_t transport, uint32_t bits_per_second, uint32_t could)
{
    struct bandwidth *bandwidth = &worker->state.downlinks[transport].bandwidth;
    bool explores = !bandwidth->control.decreases && bandwidth->probing.clusters < DOWNLINK_EXPLORE_PROBES;
    if (could > DOWNLINK_EXPLORE_BPS) could = DOWNLINK_EXPLORE_BPS;
    bandwidth_want(bandwidth, explores && could > bits_per_second ? could : bits_per_second);
    /* Also one that gets nothing yet is probed: what it wants may cost more than the rate everyone begins with. */
    if (bits_per_second && !worker->downlinks.links[transport].listed)
        downlink_list(worker, transport, worker->downlinks.scanned_ns);
}

bool downlink_known(const struct worker *worker, uint32_t transport)
{
    const struct bandwidth *bandwidth = &worker->state.downlinks[transport].bandwidth;
    return bandwidth->has_feedback || bandwidth->remb;
}

/* The estimate may have changed. */
static void settle(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct downlink_state *state = &worker->state.downlinks[transport];
    struct downlink *link = &worker->downlinks.links[transport];
    uint32_t bps = estimate(&state->bandwidth);
    if (bps < state->pacing.rate)
        link->run_left = 0; /* what the former rate allowed is too much now */
    pacing_rate(&state->pacing, bps, bandwidth_congested(&state->bandwidth, now_ns));
    bool roomy = (uint64_t)bps * 100 >= (uint64_t)state->bandwidth.wanted * DOWNLINK_ROOMY_PERCENT;
    pacing_room(&state->pacing, downlink_known(worker, transport) && roomy);
    if (bps > link->told_bps) link->told_bps = bps;
    if ((uint64_t)bps * 100 >= (uint64_t)link->told_bps * (100 - DOWNLINK_FALL_PERCENT)) return;
    link->told_bps = bps;
    worker_count(worker, COUNTER_estimate_drops, 1);
    adaptation_estimate(worker, transport, now_ns);
}

/* Time passes for the estimator, which may want a probe. */
static void look(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct downlink_state *state = &worker->state.downlinks[transport];
    struct probe_request request;
    if (!worker->transports[transport].transport_cc_id) return;
    bool probes = !pacing_cluster(&state->pacing) && filling_possible(worker, transport);
    if (bandwidth_tick(&state->bandwidth, now_ns, probes ? &request : NULL))
        release_probe(worker, transport, &request, now_ns);
    settle(worker, transport, now_ns);
}

/* ---- what it says ---- */

void downlink_feedback_untrusted(struct worker *worker, uint32_t transport,
                                 const struct rtcp_feedback *feedback, uint64_t now_ns)
{
    struct downlink_state *state = &worker->state.downlinks[transport];
    if (!worker->transports[transport].transport_cc_id) return; /* about numbers we did not give */
    if (bandwidth_feedback_untrusted(&state->bandwidth, &state->sent, feedback, now_ns) != 0) {
        worker_count(worker, COUNTER_transport_cc_malformed, 1);
        return;
    }
    worker_count(worker, COUNTER_transport_cc_received, 1);
    settle(worker, transport, now_ns);
    look(worker, transport, now_ns);
}

void downlink_remb(struct worker *worker, uint32_t transport, uint32_t bits_per_second, uint64_t now_ns)
{
    bandwidth_remb(&worker->state.downlinks[transport].bandwidth, bits_per_second);
    worker->transports[transport].paced = true;
    settle(worker, transport, now_ns);
}

void downlink_reported(struct worker *worker, uint32_t transport, uint32_t fraction_lost, uint64_t now_ns)
{
    struct bandwidth *bandwidth = &worker->state.downlinks[transport].bandwidth;
    struct downlink *link = &worker->downlinks.links[transport];
    if (now_ns - link->reported_ns < DOWNLINK_REPORT_NS) return;
    link->reported_ns = now_ns;
    if (worker->transports[transport].transport_cc_id &&
        (!link->first_ns || now_ns - link->first_ns < DOWNLINK_SILENT_NS))
        return;
    bandwidth_report(bandwidth, fraction_lost / 256.0, DOWNLINK_UNTOLD_BPS);
    settle(worker, transport, now_ns);
}

/* ---- from time to time ---- */

static bool look_at_listed(struct worker *worker, uint32_t transport, uint64_t elapsed_ns, uint64_t now_ns)
{
    struct downlink *link = &worker->downlinks.links[transport];
    const struct transport_cache *cache = &worker->transports[transport];
    uint32_t packets = (uint32_t)cache->tx_packets;
    if (!cache->incarnation) return false;
    if (!link->first_ns) link->first_ns = now_ns;
    link->idle = packets == link->seen_packets ? (uint8_t)(link->idle + 1) : 0;
    link->seen_packets = packets;
    int64_t bps = (int64_t)((uint64_t)link->repair_bytes * 8 * 1000000 / (elapsed_ns / 1000 + 1));
    link->repair_bytes = 0;
    int64_t weight = elapsed_ns < DOWNLINK_REPAIR_NS ? (int64_t)elapsed_ns : (int64_t)DOWNLINK_REPAIR_NS;
    link->repair_bps += (uint32_t)((bps - (int64_t)link->repair_bps) * weight / (int64_t)DOWNLINK_REPAIR_NS);
    look(worker, transport, now_ns);
    return link->idle < DOWNLINK_IDLE_LOOKS;
}

void downlinks_tick(struct worker *worker, uint64_t now_ns)
{
    struct downlinks *downlinks = &worker->downlinks;
    if (downlinks->due_ns > now_ns) return;
    uint64_t elapsed_ns = now_ns - downlinks->scanned_ns;
    if (elapsed_ns > DOWNLINK_REPAIR_NS) elapsed_ns = DOWNLINK_REPAIR_NS;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < downlinks->listed_count; i++) {
        uint32_t transport = downlinks->listed[i];
        if (look_at_listed(worker, transport, elapsed_ns, now_ns)) {
            downlinks->listed[kept++] = transport;
            continue;
        }
        downlinks->links[transport].listed = false;
        downlinks->links[transport].repair_bps = 0;
    }
    downlinks->listed_count = kept;
    downlinks->scanned_ns = now_ns;
    downlinks->due_ns = kept ? now_ns + DOWNLINK_SCAN_NS : UINT64_MAX;
}
