#include "downlink.h"

#include <errno.h>
#include <stdlib.h>

#include "worker.h"

int downlinks_open(struct downlinks *downlinks, uint32_t transports)
{
    downlinks->links = calloc(transports, sizeof *downlinks->links);
    return downlinks->links ? 0 : -ENOMEM;
}

void downlinks_close(struct downlinks *downlinks)
{
    free(downlinks->links);
    *downlinks = (struct downlinks){0};
}

static void begin(struct downlink_state *state, const struct transport_row *row)
{
    struct bandwidth_config config = {.start = row->transport_cc_down ? 0 : DOWNLINK_UNTOLD_BPS};
    bandwidth_reset(&state->bandwidth, &config);
}

/* The operator's bound may change within an incarnation. */
static void settle_bounds(struct bandwidth *bandwidth, uint32_t most)
{
    uint32_t maximum = most && most < BANDWIDTH_MAX ? most : BANDWIDTH_MAX;
    bandwidth->minimum = maximum < BANDWIDTH_MIN ? maximum : BANDWIDTH_MIN;
    bandwidth->maximum = maximum;
}

void downlink_adopt(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct downlink_state *state = &worker->state.downlinks[transport];
    struct downlink *link = &worker->downlinks.links[transport];
    uint32_t incarnation = worker->transports[transport].incarnation;
    (void)now_ns;
    if (!incarnation) {
        if (state->incarnation) state_row_reset(state, sizeof *state, 0);
        *link = (struct downlink){0};
        return;
    }
    const struct transport_row *row = &worker->generation.transports[transport];
    if (state->incarnation != incarnation) {
        state_row_reset(state, sizeof *state, incarnation);
        begin(state, row);
    } else if (!bandwidth_usable(&state->bandwidth)) {
        begin(state, row);
    }
    settle_bounds(&state->bandwidth, row->downlink_max_bps);
    if (link->incarnation != incarnation) *link = (struct downlink){.incarnation = incarnation};
}

uint32_t downlink_bps(const struct worker *worker, uint32_t transport)
{
    const struct bandwidth *bandwidth = &worker->state.downlinks[transport].bandwidth;
    const struct downlink *link = &worker->downlinks.links[transport];
    uint32_t bps = bandwidth->target < bandwidth->maximum ? bandwidth->target : bandwidth->maximum;
    uint32_t repairs = link->repair_bps < bps / 4 ? link->repair_bps : bps / 4;
    return bps - repairs;
}

void downlink_want(struct worker *worker, uint32_t transport, uint32_t bits_per_second)
{ bandwidth_want(&worker->state.downlinks[transport].bandwidth, bits_per_second); }

bool downlink_known(const struct worker *worker, uint32_t transport)
{
    const struct bandwidth *bandwidth = &worker->state.downlinks[transport].bandwidth;
    return bandwidth->has_feedback || bandwidth->remb;
}
