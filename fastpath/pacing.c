#include "pacing.h"

#define SECOND_NS 1000000000ull
#define MILLI \
    1000 /* the budget is in thousandths of a byte, or slow links would lose the remainder of each turn */

static uint64_t leaving_rate(const struct pacing *pacing)
{
    if (pacing->cluster) return pacing->probe_rate;
    uint64_t rate =
        (uint64_t)pacing->rate * (pacing->draining_network ? PACING_DRAIN_PERCENT : PACING_PERCENT) / 100;
    if (rate < pacing->draining) rate = pacing->draining;
    return rate ? rate : 1;
}

static int64_t bytes_in(uint64_t rate, uint64_t ns)
{ return (int64_t)(rate * (ns / 1000) / 8 * MILLI / 1000000); }

static bool is_roomy(const struct pacing *pacing)
{ return pacing->roomy && !pacing->cluster && !pacing->draining_network; }

/* Bytes of one run: 5 ms of the estimate (of the probe's rate in a probe), 20 where there is room, or one packet. */
static int64_t run_size(const struct pacing *pacing)
{
    int64_t bytes = bytes_in(pacing->cluster ? pacing->probe_rate : pacing->rate,
                             is_roomy(pacing) ? PACING_ROOMY_NS : PACING_RUN_NS);
    return bytes > PACING_PACKET * MILLI ? bytes : PACING_PACKET * MILLI;
}

static void fill(struct pacing *pacing, uint64_t now_ns)
{
    uint64_t saved = is_roomy(pacing) ? PACING_ROOMY_NS : PACING_SAVED_NS;
    if (now_ns == pacing->filled_ns) return;
    if (pacing->filled_ns == 0 || now_ns - pacing->filled_ns > SECOND_NS) {
        pacing->budget = 0;
    } else if (now_ns > pacing->filled_ns) {
        uint64_t elapsed = now_ns - pacing->filled_ns;
        if (elapsed < 1000) return; /* it is counted in microseconds */
        pacing->budget += bytes_in(leaving_rate(pacing), elapsed);
        if (pacing->kept && elapsed > saved)
            saved = elapsed < PACING_LATE_NS ? elapsed : PACING_LATE_NS;
    }
    pacing->filled_ns = now_ns;
    int64_t most = bytes_in(leaving_rate(pacing), saved);
    if (pacing->budget > most) pacing->budget = most;
}

void pacing_rate(struct pacing *pacing, uint32_t bits_per_second, bool congested)
{
    pacing->rate = bits_per_second;
    pacing->draining_network = congested;
}

void pacing_probe(struct pacing *pacing, const struct probe_request *request, uint64_t now_ns)
{
    fill(pacing, now_ns);
    pacing->probe_rate = request->bits_per_second;
    pacing->probe_left = request->bytes;
    pacing->cluster = request->cluster;
    pacing->budget = 0;
}

uint32_t pacing_allowed(struct pacing *pacing, uint32_t waiting, uint64_t now_ns)
{
    uint64_t draining = (uint64_t)waiting * 8 * SECOND_NS / PACING_WAIT_NS;
    pacing->draining = draining < UINT32_MAX ? (uint32_t)draining : UINT32_MAX;
    fill(pacing, now_ns);
    if (pacing->budget < 0 || (waiting == 0 && pacing->cluster == 0)) return 0;
    return (uint32_t)(run_size(pacing) / MILLI);
}

bool pacing_saved(struct pacing *pacing, uint32_t bytes, uint64_t now_ns)
{
    fill(pacing, now_ns);
    return pacing->budget >= (int64_t)bytes * MILLI;
}

void pacing_spent(struct pacing *pacing, uint32_t bytes, uint64_t now_ns)
{
    fill(pacing, now_ns);
    pacing->budget -= (int64_t)bytes * MILLI;
    int64_t most = bytes_in(leaving_rate(pacing), PACING_DEBT_NS) + run_size(pacing);
    if (pacing->budget < -most) pacing->budget = -most;
    if (pacing->cluster == 0) return;
    pacing->probe_left = bytes < pacing->probe_left ? pacing->probe_left - bytes : 0;
    if (pacing->probe_left == 0) pacing->cluster = 0;
}

uint64_t pacing_due_ns(const struct pacing *pacing, uint64_t now_ns)
{
    if (pacing->budget >= 0) return now_ns;
    uint64_t rate = leaving_rate(pacing);
    uint64_t microseconds = ((uint64_t)-pacing->budget * 8 * 1000000 / MILLI + rate - 1) / rate;
    return pacing->filled_ns + microseconds * 1000 + 1000;
}

uint32_t pacing_padding(const struct pacing *pacing, uint32_t allowed, uint32_t taken)
{
    if (pacing->cluster == 0 || taken >= allowed) return 0;
    uint32_t room = allowed - taken;
    return room < pacing->probe_left ? room : pacing->probe_left;
}
