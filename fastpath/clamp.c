#include "clamp.h"

#include "table.h"

#define SECOND_NS 1000000000ull
/* Longest time a rise is worked out for at once. Higher: a jump after a stall of the worker. Lower: slower after one. */
#define GROWTH_MOST_NS SECOND_NS
/* A lowering by more than this, in percent, is one the viewers wait for. */
#define LOWERED_PERCENT 5u
/* A larger picture again only with so much more than its own step needs, percent. Higher: blurred for longer. Lower: sizes flap, each a key frame. */
#define STEP_UP_PERCENT 120u

/* Size and speed by what is left of an encoding's maximum. Bits a pixel shrink a little less than the pixels. */
struct picture_step {
    uint8_t least_percent; /* of max_bps, to be on this step */
    uint16_t scale_percent;
    uint8_t framerate;
};
#define PICTURE_STEPS 4u
static const struct picture_step CAMERA_PICTURES[PICTURE_STEPS] = {
    {35, 100, 0}, {20, 150, 0}, {12, 200, 20}, {0, 400, 15}};
static const struct picture_step SCREEN_PICTURES[PICTURE_STEPS] = {
    {35, 100, 0}, {20, 100, 10}, {8, 100, 5}, {0, 200, 3}};

static uint32_t percent(uint64_t value, uint32_t of)
{
    uint64_t result = value * of / 100;
    return result > UINT32_MAX ? UINT32_MAX : (uint32_t)result;
}

static uint32_t least(uint32_t a, uint32_t b)
{ return a < b ? a : b; }

static uint32_t greatest(uint32_t a, uint32_t b)
{ return a > b ? a : b; }

static const struct picture_step *pictures_of(const struct clamp_limits *limits)
{ return limits->kind == SOURCE_SCREEN ? SCREEN_PICTURES : CAMERA_PICTURES; }

uint32_t clamp_floor(const struct clamp_limits *limits, uint8_t encoding)
{
    uint32_t floor = limits->floor_bps[encoding];
    if (!floor && encoding > 0) floor = percent(limits->max_bps[encoding - 1], 110);
    if (!floor) floor = limits->max_bps[encoding] / (limits->encoding_count > 1 ? 3 : 16);
    return least(floor, limits->max_bps[encoding]);
}

/* ---- whom an encoding is held for ---- */

/* Greatest share first; equal ones are alike. */
static void sort_by_share(struct clamp_viewer *viewers, size_t count)
{
    static const uint16_t GAPS[] = {701, 301, 132, 57, 23, 10, 4, 1}; /* Ciura */
    for (size_t g = 0; g < sizeof GAPS / sizeof *GAPS; g++) {
        size_t gap = GAPS[g];
        for (size_t i = gap; i < count; i++) {
            struct clamp_viewer moving = viewers[i];
            size_t at = i;
            for (; at >= gap && viewers[at - gap].share_bps < moving.share_bps; at -= gap)
                viewers[at] = viewers[at - gap];
            viewers[at] = moving;
        }
    }
}

/* Might it be held for this viewer? It wants the encoding and asks for no higher one. */
static bool wants(const struct clamp_viewer *viewer, uint8_t encoding)
{
    return viewer->max_encoding >= encoding && (viewer->bid == ALLOCATION_NOTHING || viewer->bid <= encoding);
}

/* The least share that counts: of the median viewer of those for whom the encoding is worth having, of an even number the better. */
static uint32_t entry_of(const struct clamp_limits *limits, uint8_t encoding,
                         const struct clamp_viewer *viewers, size_t count)
{
    uint32_t floor = clamp_floor(limits, encoding), median = 0;
    size_t able = 0, at = 0;
    for (size_t i = 0; i < count && viewers[i].share_bps >= floor; i++)
        able += wants(&viewers[i], encoding);
    for (size_t i = 0; i < count && able; i++) {
        if (!wants(&viewers[i], encoding) || at++ != (able - 1) / 2) continue;
        median = viewers[i].share_bps;
        break;
    }
    uint32_t part = limits->share_percent ? limits->share_percent : CLAMP_SHARE_PERCENT;
    return greatest(floor, percent(least(median, limits->max_bps[encoding]), part));
}

struct demand {
    uint32_t lowest; /* share, UINT32_MAX = nobody counts */
    uint32_t held_for, left_out;
    bool viewed, asked;
    bool passed; /* only by those who bid for a higher one already: for them it is not switched on */
};

static struct demand demand_of(uint8_t encoding, uint32_t entry, const struct clamp_viewer *viewers, size_t count)
{
    struct demand demand = {.lowest = UINT32_MAX, .viewed = encoding == 0 && count > 0, .passed = encoding > 0};
    for (size_t i = 0; i < count; i++) {
        const struct clamp_viewer *viewer = &viewers[i];
        bool has = viewer->encoding == encoding;
        /* The lowest encoding is what everybody falls back to who bids for nothing else. */
        bool asks = viewer->bid == encoding || (encoding == 0 && viewer->bid == ALLOCATION_NOTHING);
        bool passes = viewer->bid != ALLOCATION_NOTHING && viewer->bid > encoding;
        demand.viewed |= has || asks;
        demand.passed &= passes || !(has || asks);
        bool short_of = viewer->share_bps < entry;
        demand.asked |= asks;
        demand.left_out += wants(viewer, encoding) && short_of;
        if (!asks || short_of) continue;
        demand.held_for++;
        demand.lowest = least(demand.lowest, viewer->share_bps);
    }
    return demand;
}

/* ---- one encoding ---- */

static void retarget(struct clamp_encoding *state, uint32_t wanted, uint64_t now_ns)
{
    uint32_t before = state->target_bps;
    uint64_t elapsed = now_ns - state->moved_ns;
    if (elapsed > GROWTH_MOST_NS) elapsed = GROWTH_MOST_NS;
    state->moved_ns = now_ns;
    if (!before || wanted < percent(before, 100 - LOWERED_PERCENT)) {
        state->lowered_ns = now_ns;
        state->starting = !before;
    }
    if (state->starting && now_ns - state->lowered_ns >= CLAMP_START_NS) state->starting = 0;
    if (before && wanted > before && !state->starting) {
        bool far = wanted > percent(before, CLAMP_FAR_PERCENT);
        uint64_t growth = (uint64_t)before * (far ? CLAMP_GROWTH_FAR_PERCENT : CLAMP_GROWTH_PERCENT) /
                          100 * (elapsed / 1000) / (SECOND_NS / 1000);
        if (wanted - before > growth) wanted = before + (uint32_t)growth;
    }
    state->target_bps = wanted;
}

static void follow_step(struct clamp_encoding *state, const struct clamp_limits *limits, uint32_t max)
{
    const struct picture_step *pictures = pictures_of(limits);
    uint8_t step = state->step < PICTURE_STEPS ? state->step : PICTURE_STEPS - 1;
    while (step + 1u < PICTURE_STEPS && state->target_bps < percent(max, pictures[step].least_percent))
        step++;
    while (step > 0 && state->target_bps >= percent(percent(max, pictures[step - 1].least_percent), STEP_UP_PERCENT))
        step--;
    state->step = step;
}

static bool must_tell(const struct clamp_encoding *state, uint32_t max, uint64_t now_ns)
{
    if (!state->told) return state->target_bps != 0;
    if (!state->told_bps != !state->target_bps || (state->target_bps && state->step != state->told_step))
        return true;
    if (state->target_bps < percent(state->told_bps, 100 - CLAMP_TELL_PERCENT)) return true;
    if (state->starting && state->target_bps > percent(state->told_bps, CLAMP_FAR_PERCENT))
        return true;
    uint64_t since_ns = now_ns - state->told_ns;
    uint32_t rise = since_ns >= CLAMP_TELL_NS ? CLAMP_TELL_PERCENT : CLAMP_FAR_PERCENT - 100;
    if (since_ns >= CLAMP_TELL_NS && state->target_bps == max) rise = 0;
    return since_ns >= CLAMP_TELL_FAR_NS &&
           (uint64_t)state->target_bps * 100 > (uint64_t)state->told_bps * (100 + rise);
}

uint8_t clamp_update(struct clamp_source *source, const struct clamp_limits *limits,
                     struct clamp_viewer *viewers, size_t count, uint64_t now_ns)
{
    uint8_t telling = 0;
    sort_by_share(viewers, count);
    for (uint8_t e = 0; e < limits->encoding_count && e < LIMIT_ENCODINGS; e++) {
        struct clamp_encoding *state = &source->encodings[e];
        uint32_t max = limits->max_bps[e], floor = clamp_floor(limits, e);
        state->entry_bps = entry_of(limits, e, viewers, count);
        struct demand demand = demand_of(e, state->entry_bps, viewers, count);
        state->viewers = (uint16_t)least(demand.held_for, UINT16_MAX);
        state->left_out = (uint16_t)least(demand.left_out, UINT16_MAX);
        if (demand.viewed) state->viewed_ns = now_ns;
        if (demand.held_for) { /* `max` and not 95 % of a share that is above it */
            uint32_t wanted = least(percent(demand.lowest, CLAMP_USE_PERCENT), max);
            retarget(state, greatest(wanted, floor), now_ns);
        } else if (e == 0 && demand.viewed) { /* by those who get few frames of it; else it only stands ready */
            retarget(state, demand.asked ? floor : max, now_ns);
        } else if (demand.viewed && !demand.passed && !state->target_bps) { /* by somebody on the way to a lower one */
            retarget(state, floor, now_ns);
        } else if (!demand.viewed && state->target_bps && now_ns - state->viewed_ns >= CLAMP_OFF_NS) {
            state->target_bps = 0;
            state->step = 0;
        }
        if (state->target_bps) follow_step(state, limits, max);
        if (must_tell(state, max, now_ns)) telling |= (uint8_t)(1u << e);
    }
    return telling;
}

struct clamp_order clamp_order(const struct clamp_source *source, const struct clamp_limits *limits, uint8_t encoding)
{
    const struct clamp_encoding *state = &source->encodings[encoding];
    const struct picture_step *picture = &pictures_of(limits)[state->step < PICTURE_STEPS ? state->step : 0];
    if (!state->target_bps) return (struct clamp_order){.scale_percent = 100};
    return (struct clamp_order){.bps = state->target_bps,
                                .scale_percent = picture->scale_percent,
                                .framerate = picture->framerate,
                                .active = 1};
}

void clamp_told(struct clamp_source *source, uint8_t encoding, uint64_t now_ns)
{
    struct clamp_encoding *state = &source->encodings[encoding];
    state->told = 1;
    state->told_ns = now_ns;
    state->told_bps = state->target_bps;
    state->told_step = state->step;
}

struct rate_hold clamp_hold(const struct clamp_source *source, uint8_t encoding)
{
    const struct clamp_encoding *state = &source->encodings[encoding];
    return (struct rate_hold){.target_bps = state->target_bps, .since_ns = state->lowered_ns};
}

/* ---- the whole transport ---- */

uint32_t clamp_sum(const struct clamp_source *source, uint8_t encoding_count)
{
    uint64_t sum = 0;
    for (uint8_t e = 0; e < encoding_count && e < LIMIT_ENCODINGS; e++)
        sum += source->encodings[e].target_bps;
    return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

uint32_t clamp_remb_bps(uint32_t video_bps, uint32_t audio_bps, uint32_t most_bps)
{
    uint32_t bps = percent((uint64_t)video_bps + audio_bps, 100 + CLAMP_REPAIR_PERCENT);
    if (most_bps) bps = least(bps, most_bps);
    return greatest(bps, CLAMP_REMB_LEAST);
}

bool clamp_remb_due(struct clamp_remb *remb, uint32_t bps, uint64_t now_ns)
{
    uint32_t told = remb->told_bps;
    if (bps == told) return false;
    bool fell = bps < percent(told, 100 - CLAMP_REMB_PERCENT);
    bool jumped = bps > percent(told, 100 + CLAMP_REMB_JUMP_PERCENT);
    if (told && !fell && !jumped && now_ns - remb->told_ns < CLAMP_REMB_NS) return false;
    remb->told_bps = bps;
    remb->told_ns = now_ns;
    return true;
}
