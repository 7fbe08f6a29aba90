#include "allocation_sink.h"

#include "table.h"

/* A camera with very few frames of a higher encoding is worse than all frames of a lower one; of a screen, letters come before motion. */
static const struct step CAMERA_STEPS[] = {{0, 0}, {0, 1}, {0, 2}, {1, 1}, {1, 2}, {2, 1}, {2, 2}};
static const struct step SCREEN_STEPS[] = {{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1},
                                           {1, 2}, {2, 0}, {2, 1}, {2, 2}};

static uint32_t percent(uint64_t value, uint32_t of)
{
    uint64_t result = value * of / 100;
    return result > UINT32_MAX ? UINT32_MAX : (uint32_t)result;
}

static void request_costs(struct request *request)
{
    const struct allocation_wish *wish = request->wish;
    int screen = wish->kind == SOURCE_SCREEN;
    request->steps = screen ? SCREEN_STEPS : CAMERA_STEPS;
    size_t all = screen ? sizeof SCREEN_STEPS / sizeof *SCREEN_STEPS : sizeof CAMERA_STEPS / sizeof *CAMERA_STEPS;
    uint8_t count = 0;
    for (uint8_t step = 1; step <= all; step++) {
        struct step at = request->steps[step - 1];
        if (at.encoding > wish->max_encoding || at.encoding >= LIMIT_ENCODINGS) break;
        request->cost[step] = wish->costs.bps[at.encoding][at.temporal];
        count = step;
    }
    /* A layer that adds nothing is not left out: the sink has the highest layer of the same cost, so that one that appears later is had at once. */
    for (uint8_t step = count; step > 1; step--)
        if (request->steps[step - 1].encoding == request->steps[step - 2].encoding &&
            request->cost[step - 1] == request->cost[step])
            request->cost[step - 1] = 0;
    request->step_count = count;
}

static uint8_t step_encoding(const struct request *request, uint8_t step)
{ return step ? request->steps[step - 1].encoding : 0; }

/* Where a deal it had stands now: that step; one of the same packets, when its layer adds nothing any more; else the next below. */
static uint8_t step_of(const struct request *request, uint8_t encoding, uint8_t temporal)
{
    if (encoding == ALLOCATION_NOTHING) return 0;
    uint8_t step = request->step_count;
    while (step > 0 && (step_encoding(request, step) > encoding ||
                        (step_encoding(request, step) == encoding && request->steps[step - 1].temporal > temporal)))
        step--;
    for (uint8_t same = step; same <= request->step_count && step_encoding(request, same) == encoding; same++)
        if (request->cost[same]) return same;
    while (step > 0 && !request->cost[step]) step--;
    return step;
}

uint32_t request_least(const struct request *request)
{
    for (uint8_t step = 1; step <= request->step_count; step++)
        if (request->cost[step]) return request->cost[step];
    return 0;
}

uint32_t request_greatest(const struct request *request)
{
    uint32_t most = 0;
    for (uint8_t step = 1; step <= request->step_count; step++)
        if (request->cost[step] > most) most = request->cost[step];
    return most;
}

/* Does the source's clamp follow this sink's share, so that the sender is told to send less as soon as the share shrinks? */
static bool is_held(const struct request *request, uint8_t encoding, uint32_t share)
{
    uint32_t entry = request->wish->entry_bps[encoding];
    return entry && entry <= share && request->before && step_encoding(request, request->before) == encoding;
}

/* What a step is going to cost: of a sender that is held to the share, no more than that, if it is not too far above. */
static uint32_t cost_within(const struct request *request, uint8_t step, uint32_t share)
{
    uint32_t cost = request->cost[step];
    bool follows = cost > share && cost <= percent(share, ALLOCATION_FOLLOW_PERCENT) &&
                   is_held(request, step_encoding(request, step), share);
    return follows ? share : cost;
}

static bool may_stay(const struct request *request, uint8_t step, uint32_t share)
{
    uint8_t encoding = step_encoding(request, step);
    return request->cost[step] && cost_within(request, step, share) <= share &&
           (encoding == 0 || request->wish->entry_bps[encoding] <= share);
}

/* What a raise to this step must find. Where the clamp follows our share the sender is held below it: no margin, and between layers of the
   same encoding (but not in the haste after a click) as much above it as may stay. Raises within an encoding need none for its entry, which it has passed. */
static uint32_t raise_need(const struct request *request, uint8_t step, uint8_t bid, uint32_t margin)
{
    uint8_t encoding = step_encoding(request, step), now = step_encoding(request, request->before);
    uint32_t entry = encoding > now ? percent(request->wish->entry_bps[encoding], margin) : 0;
    uint32_t cost = request->cost[step];
    if (encoding > 0 && bid == encoding && request->wish->entry_bps[encoding])
        cost = encoding == now && margin > 100 ? (uint32_t)((uint64_t)cost * 100 / ALLOCATION_FOLLOW_PERCENT)
                                               : cost;
    else
        cost = percent(cost, margin);
    return cost > entry ? cost : entry;
}

/* The highest encoding it may ask the clamp for. One without an entry is held by nobody: it is had when it fits. */
static uint8_t best_bid(const struct request *request, uint32_t share, uint32_t margin)
{
    for (uint8_t encoding = request->wish->max_encoding; encoding > 0; encoding--) {
        if (encoding >= LIMIT_ENCODINGS || !request->wish->costs.bps[encoding][RATES_TEMPORAL - 1])
            continue;
        bool has = request->state->bid == encoding || step_encoding(request, request->before) == encoding;
        uint32_t entry = request->wish->entry_bps[encoding];
        if (!entry) continue;
        if ((has ? entry : percent(entry, margin)) <= share) return encoding;
    }
    return 0;
}

static uint64_t hold_of(const struct allocation_state *state)
{
    return ALLOCATION_HOLD_NS << (state->failures < ALLOCATION_FAILURES_MAX ? state->failures : ALLOCATION_FAILURES_MAX);
}

/* Fell it for the raise? Not when the clamp makes the encoding cheaper, and not when it ends well below where the raise began: that the link carried. */
static bool blames_raise(const struct request *request, uint8_t step, uint64_t now_ns)
{
    const struct allocation_state *state = request->state;
    uint8_t encoding = step_encoding(request, request->before);
    bool followed = encoding > 0 && step_encoding(request, step) == encoding &&
                    request->wish->entry_bps[encoding];
    return !state->fresh && state->raised_ns && now_ns - state->raised_ns < ALLOCATION_FAIL_NS &&
           !followed && step + 1u >= state->raised_from;
}

static void failed(struct allocation_state *state, uint64_t now_ns)
{
    state->calm_ns = now_ns;
    if (state->failures < ALLOCATION_FAILURES_MAX) state->failures++;
}

/* Asks the clamp for more than it has. */
static void bid_for(struct allocation_state *state, uint8_t encoding, bool promised, uint64_t now_ns)
{
    state->bid = encoding;
    state->promised = promised;
    state->bid_ns = now_ns;
}

static uint8_t lower(struct request *request, uint32_t share, uint64_t now_ns)
{
    struct allocation_state *state = request->state;
    uint8_t step = request->before;
    while (step > 0 && !may_stay(request, step, share)) step--;
    if (blames_raise(request, step, now_ns)) failed(state, now_ns);
    state->fresh = 0;
    state->waiting_ns = state->raised_ns = 0;
    /* Lowered for the cost and not for the entry: the clamp will follow, and the first time it may go back at once then. */
    bid_for(state, best_bid(request, share, 100), !state->failures, now_ns);
    return step;
}

/* Takes back what brings nothing: a bid that got no raise in time, or one whose share shrank. */
static void bid_review(struct request *request, uint8_t best, uint64_t now_ns)
{
    struct allocation_state *state = request->state;
    uint8_t has = step_encoding(request, request->before);
    if (state->bid == ALLOCATION_NOTHING || state->bid <= has) return;
    if (now_ns - state->bid_ns >= ALLOCATION_BID_NS) {
        state->bid = has;
        state->waiting_ns = 0;
        failed(state, now_ns);
    } else if (best < state->bid) {
        state->bid = best > has ? best : has;
    }
}

/* The highest step whose need is within `bps`; the one it has when there is none. */
static uint8_t goal_within(const struct request *request, uint32_t bps, uint8_t best, uint32_t margin)
{
    uint8_t step = request->step_count;
    while (step > request->before && !(request->cost[step] && raise_need(request, step, best, margin) <= bps))
        step--;
    return step > request->before ? step : request->before;
}

static void raise_to(struct request *request, uint8_t goal, uint64_t now_ns)
{
    struct allocation_state *state = request->state;
    if (goal == request->before) return;
    if (!state->fresh) state->raised_ns = now_ns;
    state->raised_from = request->before;
}

static uint8_t raise_or_stay(struct request *request, uint32_t free_share, uint64_t now_ns, int64_t *kept_free)
{
    struct allocation_state *state = request->state;
    uint32_t margin = state->fresh ? 100 : ALLOCATION_MARGIN_PERCENT;
    uint8_t before = request->before, has = step_encoding(request, before);
    uint8_t best = best_bid(request, free_share, margin);
    bid_review(request, best, now_ns);
    uint8_t standing = state->bid == ALLOCATION_NOTHING ? 0 : state->bid;
    uint8_t goal = goal_within(request, free_share, best, margin);
    if (goal == before && best <= standing) {
        state->waiting_ns = 0;
        if (standing > has && free_share > request->cost[before]) /* for the clamp to do its work */
            *kept_free += free_share - request->cost[before];
        return before;
    }
    if (!state->waiting_ns) state->waiting_ns = now_ns ? now_ns : 1;
    uint8_t sure = goal_within(request, free_share / 2, best, margin); /* there is far more than when it failed */
    uint64_t waited = now_ns - state->waiting_ns, hold = sure > before ? ALLOCATION_HOLD_NS : hold_of(state);
    bool granted = goal > before && standing > has && step_encoding(request, goal) == standing &&
                   state->promised;
    if (!state->fresh && !granted && waited < hold) {
        if (hold - waited <= ALLOCATION_KEEP_FREE_NS && goal > before)
            *kept_free += (int64_t)request->cost[goal] - (int64_t)request->cost[before];
        return before;
    }
    if (best > standing) {
        bid_for(state, best, true, now_ns);
        if (goal == before)
            return raise_or_stay(request, free_share, now_ns, kept_free); /* keeps free what it bids for */
    }
    raise_to(request, goal, now_ns);
    if (goal > before) state->waiting_ns = 0;
    return goal;
}

/* Follows what the caller wishes; a change lets it rise at once for a while. */
static void follow_wish(struct request *request, uint64_t now_ns)
{
    struct allocation_state *state = request->state;
    const struct allocation_wish *wish = request->wish;
    uint8_t said = (uint8_t)(1u | (unsigned)(wish->focus != 0) << 1 | (unsigned)(wish->hidden != 0) << 2 |
                             (unsigned)(wish->max_encoding & 7u) << 3);
    if (!state->wish) state->encoding = state->bid = ALLOCATION_NOTHING;
    request->encoding_before = state->encoding;
    request->temporal_before = state->temporal;
    if (state->wish != said) {
        state->wish = said;
        state->fresh = 1;
        state->failures = 0;
        state->raised_ns = now_ns;
        state->waiting_ns = 0;
    }
    if (state->fresh && now_ns - state->raised_ns >= ALLOCATION_FRESH_NS) state->fresh = 0;
    if (state->failures && now_ns - state->calm_ns >= hold_of(state) + ALLOCATION_FAIL_NS) {
        state->failures--;
        state->calm_ns = now_ns;
    }
    if (state->bid != ALLOCATION_NOTHING && state->bid > wish->max_encoding)
        state->bid = wish->max_encoding;
}

void request_open(struct request *request, const struct allocation_wish *wish,
                  struct allocation_state *state, bool picture, uint64_t now_ns)
{
    *request = (struct request){.wish = wish, .state = state};
    follow_wish(request, now_ns);
    if (!picture) return;
    request_costs(request);
    request->before = step_of(request, state->encoding, state->temporal);
}

void request_lower(struct request *request, uint32_t share_bps, uint64_t now_ns)
{
    if (request->before && !may_stay(request, request->before, share_bps))
        request->before = lower(request, share_bps, now_ns);
}

uint8_t request_raise(struct request *request, uint32_t share_bps, uint32_t free_bps,
                      uint64_t now_ns, int64_t *kept_free)
{
    uint8_t step = request->before;
    /* Again after each change, so that what it waits for next is known to the others at once, and not only with the next call. */
    for (unsigned i = 0; i <= STEPS_MAX; i++) {
        request->before = step;
        step = raise_or_stay(request, free_bps, now_ns, kept_free);
        if (step == request->before) break;
    }
    request->charged = cost_within(request, step, share_bps);
    return step;
}

bool request_settle(struct request *request, uint8_t step)
{
    struct allocation_state *state = request->state;
    uint8_t has = step_encoding(request, step);
    state->encoding = step ? has : ALLOCATION_NOTHING;
    state->temporal = step ? request->steps[step - 1].temporal : 0;
    state->bps = request->charged;
    if (state->bid == ALLOCATION_NOTHING || state->bid < has) state->bid = has;
    return state->encoding != request->encoding_before || state->temporal != request->temporal_before;
}

uint32_t request_lacks(const struct request *request, uint8_t step)
{
    uint32_t cost = request->cost[step];
    for (uint8_t next = (uint8_t)(step + 1); next <= request->step_count; next++) {
        if (!request->cost[next]) continue;
        uint8_t encoding = step_encoding(request, next);
        uint32_t entry = request->wish->entry_bps[encoding];
        /* A clamp can be asked for what does not fit yet. */
        int64_t need = encoding > step_encoding(request, step) && entry
                           ? percent(entry, ALLOCATION_MARGIN_PERCENT)
                           : raise_need(request, next, request->state->bid, ALLOCATION_MARGIN_PERCENT);
        int64_t lacks = need - cost;
        return lacks < 1 ? 1 : bps_clip(lacks);
    }
    /* At its best: then the clamp may hold the source down, perhaps for its sake. */
    return request->wish->most_bps > cost ? cost / 10 + 1 : 0;
}
