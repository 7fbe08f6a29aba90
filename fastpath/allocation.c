#include "allocation.h"

#include <string.h>

#include "allocation_sink.h"
#include "table.h"

enum tier { TIER_AUDIO, TIER_FOCUS, TIER_THUMBNAIL, TIER_NOTHING };

/* What is left of the estimate, and what of that is kept free for somebody more important, so that no raise may take it. */
struct purse {
    int64_t left;
    int64_t kept_free;
    int64_t steady; /* cost of the foci that do not shrink with their share: how the estimate trembles falls on the others */
    int64_t spare;  /* what a thumbnail's raise must leave for that */
    bool raises; /* total.next_bps is for a raise, and not for a higher clamp of somebody at his best */
};

static enum tier tier_of(const struct allocation_wish *wish)
{
    if (wish->hidden) return TIER_NOTHING;
    if (wish->kind == SOURCE_AUDIO || wish->kind == SOURCE_SCREEN_AUDIO) return TIER_AUDIO;
    return wish->focus ? TIER_FOCUS : TIER_THUMBNAIL;
}

static void serve(struct request *request, struct purse *purse, uint32_t sharers, uint64_t now_ns,
                  struct allocation_total *total)
{
    int64_t own = request->own, least = request_least(request);
    int64_t share = own + purse->left / sharers;
    if (share < least && own + purse->left >= least)
        share = least; /* a picture before anybody's second frame */
    uint32_t share_bps = bps_clip(share);
    request->state->share_bps = share_bps;
    request_lower(request, share_bps, now_ns);
    int64_t spare = request->state->fresh ? 0 : purse->spare;
    int64_t most = own + purse->left - purse->kept_free - spare;
    if (share - most < spare / sharers) most = share - spare / sharers;
    uint32_t free_bps = bps_clip(share < most ? share : most);
    uint8_t step = request_raise(request, share_bps, free_bps, now_ns, &purse->kept_free);
    uint32_t cost = request->charged, dearest = request_greatest(request), most_ever = request->wish->most_bps;
    purse->left += own - (int64_t)cost;
    if ((int64_t)cost * 10 < share * 9) purse->steady += cost;
    total->bps = bps_clip((int64_t)total->bps + cost);
    total->changed += request_settle(request, step);
    total->paused += !step && request->step_count;
    total->wanted_bps = bps_clip((int64_t)total->wanted_bps + (most_ever > dearest ? most_ever : dearest));
    uint32_t lacks = request_lacks(request, step);
    if (lacks && (!total->next_bps || lacks < total->next_bps)) {
        total->next_bps = lacks; /* an estimate at the end */
        purse->raises = cost < dearest;
    }
}

static void sort_by_key(struct request *requests[], size_t count)
{
    static const uint8_t GAPS[] = {57, 23, 10, 4, 1}; /* Ciura */
    for (size_t g = 0; g < sizeof GAPS; g++) {
        size_t gap = GAPS[g];
        for (size_t i = gap; i < count; i++) {
            struct request *moving = requests[i];
            size_t at = i;
            for (; at >= gap && requests[at - gap]->key > moving->key; at -= gap)
                requests[at] = requests[at - gap];
            requests[at] = moving;
        }
    }
}

static size_t prepare(struct request requests[], struct request *order[], const struct allocation_wish *wishes,
                      struct allocation_state *const *states, size_t count, uint64_t now_ns)
{
    if (count > ALLOCATION_SINKS) count = ALLOCATION_SINKS;
    for (size_t i = 0; i < count; i++) {
        struct request *request = order[i] = &requests[i];
        enum tier tier = tier_of(&wishes[i]);
        request_open(request, &wishes[i], states[i], tier == TIER_FOCUS || tier == TIER_THUMBNAIL, now_ns);
        /* Of one priority the small ones first: what they leave of their even share goes to the large ones. */
        request->key = (uint64_t)tier << 48 | (uint64_t)(255u - wishes[i].priority) << 40 |
                       (uint64_t)wishes[i].max_encoding << 32 | wishes[i].sink;
    }
    sort_by_key(order, count);
    return count;
}

static void serve_unasked(struct request *request, struct purse *purse, struct allocation_total *total)
{
    struct allocation_state *state = request->state;
    bool audio = tier_of(request->wish) == TIER_AUDIO;
    state->encoding = audio ? 0 : ALLOCATION_NOTHING;
    state->temporal = 0;
    state->bid = ALLOCATION_NOTHING;
    state->bps = state->share_bps = audio ? request->wish->costs.bps[0][0] : 0;
    state->waiting_ns = 0;
    purse->left -= state->bps;
    total->bps = bps_clip((int64_t)total->bps + state->bps);
    total->audio_bps = total->bps;
    total->wanted_bps = total->bps;
    total->changed += state->encoding != request->encoding_before;
}

/* Sets the least picture aside for those of order[from..to) that have none set aside, as long as there is something left. */
static void set_aside(struct request *order[], size_t from, size_t to, int64_t *left)
{
    for (size_t i = from; i < to; i++) {
        uint32_t least = order[i]->own ? 0 : request_least(order[i]);
        if (least > *left) continue;
        order[i]->own += least;
        *left -= least;
    }
}

static void serve_tier(struct request *order[], size_t from, size_t to, struct purse *purse,
                       uint64_t now_ns, struct allocation_total *total)
{
    for (size_t i = from; i < to; i++) {
        uint32_t sharers = 1;
        while (i + sharers < to && order[i + sharers]->wish->priority == order[i]->wish->priority)
            sharers++;
        serve(order[i], purse, sharers, now_ns, total);
    }
}

/* What a thumbnail lacks, and what must stay free at the estimate that has room for it: a probe that ended below both would leave it waiting for good.
   `others`: the cost of all that trembles with the estimate beside it. */
static uint32_t with_spare(uint32_t lacks, int64_t others)
{
    int64_t spare = (others + lacks) * ALLOCATION_SPARE_PERCENT / (100 - ALLOCATION_SPARE_PERCENT);
    return bps_clip(lacks + spare + 1);
}

void allocate(uint32_t estimate_bps, const struct allocation_wish *wishes, struct allocation_state *const *states,
              size_t count, uint64_t now_ns, struct allocation_total *total)
{
    struct request requests[ALLOCATION_SINKS], *order[ALLOCATION_SINKS];
    struct purse purse = {.left = estimate_bps};
    memset(total, 0, sizeof *total);
    count = prepare(requests, order, wishes, states, count, now_ns);
    size_t ends[TIER_NOTHING + 1] = {0}, at = 0;
    for (unsigned tier = 0; tier <= TIER_NOTHING; tier++) {
        while (at < count && (unsigned)tier_of(order[at]->wish) == tier) at++;
        ends[tier] = at;
    }
    size_t foci = ends[TIER_AUDIO], thumbnails = ends[TIER_FOCUS], end = ends[TIER_THUMBNAIL];
    for (size_t i = 0; i < foci; i++) serve_unasked(order[i], &purse, total);
    for (size_t i = end; i < count; i++) serve_unasked(order[i], &purse, total);
    if (purse.left < 0) purse.left = 0;
    set_aside(order, foci, thumbnails, &purse.left);
    int64_t pictures = 0, pool = purse.left * ALLOCATION_THUMBNAIL_SHARE_PERCENT / 100;
    for (size_t i = thumbnails; i < end; i++) pictures += request_least(order[i]);
    if (pool > pictures) pool = pictures;
    purse.left -= pool;
    serve_tier(order, foci, thumbnails, &purse, now_ns, total);
    purse.left += pool;
    purse.spare = (purse.steady + purse.left) * ALLOCATION_SPARE_PERCENT / 100;
    set_aside(order, thumbnails, end, &purse.left);
    uint32_t next_of_foci = total->next_bps, bps_of_foci = total->bps;
    total->next_bps = 0;
    serve_tier(order, thumbnails, end, &purse, now_ns, total);
    if (total->next_bps && purse.raises) {
        int64_t cost = (int64_t)total->bps - bps_of_foci;
        total->next_bps = with_spare(total->next_bps, cost + purse.steady);
    }
    if (next_of_foci && (!total->next_bps || next_of_foci < total->next_bps))
        total->next_bps = next_of_foci;
    if (total->next_bps) total->next_bps = bps_clip((int64_t)total->next_bps + total->bps);
}
