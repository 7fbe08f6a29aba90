#include "holding.h"

#define WHOLE 65536u

void holding_note(struct holding *holding, uint64_t worked_ns, uint64_t slept_ns)
{
    uint64_t elapsed = worked_ns + slept_ns;
    if (elapsed == 0) return;
    int64_t share = (int64_t)((unsigned __int128)worked_ns * WHOLE / elapsed);
    if (elapsed > HOLDING_SMOOTH_NS) elapsed = HOLDING_SMOOTH_NS;
    int64_t step = (share - (int64_t)holding->share) * (int64_t)elapsed / (int64_t)HOLDING_SMOOTH_NS;
    holding->share = (uint32_t)((int64_t)holding->share + step);
}

uint64_t holding_ns(const struct holding *holding, uint64_t limit_ns)
{
    const uint32_t from = WHOLE * HOLDING_FROM / 100, full = WHOLE * HOLDING_FULL / 100;
    if (holding->share <= from) return 0;
    if (holding->share >= full) return limit_ns;
    return limit_ns * (holding->share - from) / (full - from);
}

uint64_t holding_gather_ns(const struct holding *holding, uint64_t limit_ns)
{
    if (holding->share < WHOLE * HOLDING_GATHER_FROM / 100) return 0;
    return limit_ns < HOLDING_GATHER_NS ? limit_ns : HOLDING_GATHER_NS;
}
