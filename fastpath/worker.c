#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "adaptation.h"
#include "compounds.h"
#include "downlink.h"
#include "feedback.h"
#include "ice.h"

static int take_memory(struct worker *worker, uint64_t seed)
{
    struct table_capacities capacities = worker->capacities;
    worker->transports =
        aligned_alloc(64, (sizeof *worker->transports * capacities.transports + 63) & ~(size_t)63);
    worker->timers = calloc(capacities.transports, sizeof *worker->timers);
    worker->sources = calloc(capacities.sources, sizeof *worker->sources);
    worker->sinks = calloc(capacities.sinks, sizeof *worker->sinks);
    worker->hasty = calloc(capacities.transports, sizeof *worker->hasty);
    worker->waiting = calloc(capacities.sources, sizeof *worker->waiting);
    worker->maps = calloc(capacities.sinks, sizeof *worker->maps); /* pages come as they are used */
    worker->receivers = calloc(capacities.transports, sizeof *worker->receivers);
    worker->resends = calloc(capacities.transports, sizeof *worker->resends); /* likewise */
    worker->tmmbr = calloc(capacities.sources, sizeof *worker->tmmbr);
    if (worker->transports)
        memset(worker->transports, 0, sizeof *worker->transports * capacities.transports);
    if (!worker->transports || !worker->timers || !worker->sources || !worker->sinks ||
        !worker->hasty || !worker->waiting || !worker->maps || !worker->receivers || !worker->resends ||
        !worker->tmmbr || recovery_open(&worker->recovery, capacities.sources) != 0 ||
        arrival_reports_open(&worker->arrival_reports, capacities.transports) != 0 ||
        downlinks_open(&worker->downlinks, capacities.transports) != 0 ||
        relay_open(&worker->relaying, capacities.sources) != 0 ||
        release_open(&worker->release, capacities.transports, capacities.sinks) != 0 ||
        addresses_open(&worker->addresses, capacities.transports, seed) != 0 ||
        adaptation_open(worker) != 0 || fanout_open(&worker->fanout, capacities) != 0 ||
        egress_open(&worker->egress) != 0 || outbox_open(&worker->outbox) != 0)
        return -ENOMEM;
    return 0;
}

int worker_open(struct worker *worker, void *config, size_t config_size, void *state,
                size_t state_size, uint64_t seed)
{
    *worker = (struct worker){.random = seed};
    int result = table_config_attach(config, config_size, &worker->config);
    if (result == 0) result = table_state_attach(state, state_size, &worker->state);
    if (result != 0) return result;
    const struct config_header *rows = worker->config.header;
    const struct state_header *states = worker->state.header;
    if (rows->transport_capacity != states->transport_capacity ||
        rows->source_capacity != states->source_capacity || rows->sink_capacity != states->sink_capacity)
        return -EINVAL;
    worker->capacities =
        (struct table_capacities){rows->transport_capacity, rows->source_capacity, rows->sink_capacity};
    result = take_memory(worker, worker_random(worker));
    if (result != 0) worker_close(worker);
    return result;
}

void worker_close(struct worker *worker)
{
    transports_close(worker);
    free(worker->transports);
    free(worker->timers);
    free(worker->sources);
    free(worker->sinks);
    free(worker->hasty);
    free(worker->waiting);
    free(worker->maps);
    free(worker->receivers);
    free(worker->resends);
    free(worker->tmmbr);
    recovery_close(&worker->recovery, worker->capacities.sources);
    arrival_reports_close(&worker->arrival_reports);
    downlinks_close(&worker->downlinks);
    relay_close(&worker->relaying);
    release_close(&worker->release);
    addresses_close(&worker->addresses);
    adaptation_close(worker);
    handover_leave(worker);
    fanout_close(&worker->fanout);
    egress_close(&worker->egress);
    outbox_close(&worker->outbox);
    *worker = (struct worker){0};
}

static bool generation_fits(const struct config_generation *head, struct table_capacities room)
{
    return head->transport_limit <= room.transports && head->source_limit <= room.sources &&
           head->sink_limit <= room.sinks;
}

int worker_adopt(struct worker *worker, uint64_t now_ns)
{
    struct generation_view view;
    if (table_adopt(&worker->config, worker->generation_number, &view) != 1) return 0;
    worker->generation = view;
    /* The limits bound every loop over handles: a copy of ours, which nobody else's fault can change. */
    worker->generation_head = *view.head;
    worker->generation.head = &worker->generation_head;
    if (!generation_fits(&worker->generation_head, worker->capacities))
        worker->generation_head = (struct config_generation){.number = view.head->number};
    worker->generation_number = worker->generation_head.number;
    transports_adopt(worker, now_ns);
    fanout_adopt(worker, now_ns);
    const struct config_generation *head = &worker->generation_head;
    worker->reach = (struct table_capacities){head->transport_limit, head->source_limit, head->sink_limit};
    worker->scan_due_ns = now_ns;
    worker_count(worker, COUNTER_generations_adopted, 1);
    return 1;
}

static void store_totals(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct transport_cache *cache = &worker->transports[transport];
    worker->state.transports[transport].tx_packets = cache->tx_packets;
    worker->state.transports[transport].tx_bytes = cache->tx_bytes;
    uint64_t ms = (now_ns - cache->rated_ns) / 1000000, bits = (cache->tx_bytes - cache->rated_bytes) * 8;
    cache->tx_bps = ms ? bits * 1000 / ms : 0;
    cache->rated_ns = now_ns;
    cache->rated_bytes = cache->tx_bytes;
}

/* Looks at every transport's two times; returns the earliest of those to come. */
static uint64_t scan_timers(struct worker *worker, uint64_t now_ns)
{
    uint64_t next = now_ns + LIMIT_SLEEP_NS;
    for (uint32_t transport = 0; transport < worker->generation.head->transport_limit; transport++) {
        struct transport_timer *timer = &worker->timers[transport];
        if (!timer->report_due_ns) continue;
        ice_check_consent(worker, transport, now_ns);
        if (timer->report_due_ns <= now_ns) {
            compound_send_reports(worker, transport, now_ns);
            store_totals(worker, transport, now_ns);
            ice_tell(worker, transport, now_ns);
            /* A tenth more or less, so that those who began together do not report together for ever. */
            timer->report_due_ns = now_ns + LIMIT_REPORT_INTERVAL_NS * 9 / 10 +
                                   worker_random(worker) % (LIMIT_REPORT_INTERVAL_NS / 5);
        }
        if (timer->report_due_ns < next) next = timer->report_due_ns;
        if (timer->send_until_ns && timer->send_until_ns < next) next = timer->send_until_ns;
    }
    return next < now_ns + LIMIT_SCAN_NS ? now_ns + LIMIT_SCAN_NS : next;
}

void worker_hasten_report(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    uint64_t due = now_ns + LIMIT_SCAN_NS;
    if (worker->timers[transport].report_due_ns > due)
        worker->timers[transport].report_due_ns = due;
    if (worker->scan_due_ns > due) worker->scan_due_ns = due;
}

void worker_tick(struct worker *worker, uint64_t now_ns)
{
    if (!worker->generation_number) return;
    for (uint32_t i = 0; i < worker->hasty_count; i++) {
        worker->transports[worker->hasty[i]].report_now = false;
        compound_send_switched(worker, worker->hasty[i], now_ns);
    }
    worker->hasty_count = 0;
    if (worker->scan_due_ns <= now_ns) worker->scan_due_ns = scan_timers(worker, now_ns);
    recovery_tick(worker, now_ns);
    arrival_reports_tick(worker, now_ns);
    adaptation_tick(worker, now_ns);
    downlinks_tick(worker, now_ns);
    release_tick(worker, now_ns);
    handover_tick(worker, now_ns);
    uint64_t key_due = key_requests_tick(worker, now_ns);
    if (key_due < worker->scan_due_ns) worker->scan_due_ns = key_due;
}

uint64_t worker_sleep_ns(const struct worker *worker, uint64_t now_ns)
{
    if (!worker->generation_number) return LIMIT_SLEEP_NS;
    uint64_t due = worker->scan_due_ns < worker->recovery.due_ns ? worker->scan_due_ns
                                                                 : worker->recovery.due_ns;
    if (worker->arrival_reports.due_ns < due) due = worker->arrival_reports.due_ns;
    if (adaptation_due_ns(worker) < due) due = adaptation_due_ns(worker);
    if (worker->downlinks.due_ns < due) due = worker->downlinks.due_ns;
    if (worker->release.due_ns < due) due = worker->release.due_ns;
    if (handover_due_ns(worker) < due) due = handover_due_ns(worker);
    if (worker->hasty_count || due <= now_ns) return 0;
    uint64_t sleep = due - now_ns;
    return sleep < LIMIT_SLEEP_NS ? sleep : LIMIT_SLEEP_NS;
}

bool worker_must_flush(const struct worker *worker)
{
    uint32_t most = worker->fanout.longest > REPAIR_PACKETS_AT_ONCE ? worker->fanout.longest : REPAIR_PACKETS_AT_ONCE;
    return worker->egress.packet_count && egress_room(&worker->egress) < most + LIMIT_RX_SSRCS;
}

bool worker_tell(struct worker *worker, uint32_t kind, uint32_t transport, uint32_t a, uint32_t b,
                 const void *payload, size_t length, uint64_t now_ns)
{
    struct uplink_head head = {.kind = kind,
                               .transport = transport,
                               .incarnation = worker->transports[transport].incarnation,
                               .length = (uint32_t)length,
                               .a = a,
                               .b = b,
                               .time_ns = now_ns};
    bool taken = outbox_put(&worker->outbox, &head, payload);
    if (!taken) worker_count(worker, COUNTER_uplink_full_dropped, 1);
    return taken;
}

int worker_downlink_untrusted(struct worker *worker, const void *message, size_t length, uint64_t now_ns)
{
    struct uplink_head head;
    if (length < sizeof head) goto invalid;
    memcpy(&head, message, sizeof head);
    if (head.length != length - sizeof head) goto invalid;
    if (head.kind == DOWNLINK_STOP) return DOWNLINK_MUST_STOP;
    if (head.kind == DOWNLINK_WAKE) return DOWNLINK_MUST_ADOPT;
    if (head.kind != DOWNLINK_DTLS || head.transport >= worker->capacities.transports ||
        !head.incarnation || worker->transports[head.transport].incarnation != head.incarnation)
        goto invalid;
    ice_send_dtls(worker, head.transport, (const uint8_t *)message + sizeof head, head.length, now_ns);
    return DOWNLINK_DONE;
invalid:
    worker_count(worker, COUNTER_downlink_invalid_dropped, 1);
    return DOWNLINK_DONE;
}

uint64_t worker_random(struct worker *worker)
{
    /* splitmix64: sequence numbers and timestamps need no secrecy under SRTP, only variety. */
    uint64_t value = worker->random += 0x9e3779b97f4a7c15ull;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
    return value ^ (value >> 31);
}
