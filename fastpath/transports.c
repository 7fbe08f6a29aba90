#include "transports.h"

#include <string.h>

#include "downlink.h"
#include "rtcp.h"
#include "worker.h"

static void forget_addresses(struct worker *worker, uint32_t handle)
{
    const struct transport_state *state = &worker->state.transports[handle];
    for (unsigned i = 0; i < LIMIT_PATHS; i++) {
        struct endpoint endpoint = endpoint_of_path(&state->paths[i]);
        if (endpoint.family) addresses_remove(&worker->addresses, &endpoint, handle);
    }
}

static void load_addresses(struct worker *worker, uint32_t handle)
{
    const struct transport_state *state = &worker->state.transports[handle];
    for (uint32_t i = 0; i < LIMIT_PATHS; i++) {
        struct endpoint endpoint = endpoint_of_path(&state->paths[i]);
        if (endpoint.family == 4 || endpoint.family == 6)
            addresses_put(&worker->addresses, &endpoint, handle, i);
    }
}

static void clear_cache(struct transport_cache *cache)
{
    srtp_keys_wipe(&cache->rx);
    srtp_keys_wipe(&cache->tx);
    memset(cache, 0, sizeof *cache);
}

static void expand_keys(struct worker *worker, struct transport_cache *cache, const struct transport_row *row)
{
    if (cache->profile == row->srtp_profile && memcmp(&cache->rx_master, &row->rx_key, sizeof row->rx_key) == 0 &&
        memcmp(&cache->tx_master, &row->tx_key, sizeof row->tx_key) == 0)
        return;
    srtp_keys_wipe(&cache->rx);
    srtp_keys_wipe(&cache->tx);
    cache->rx_keyed = cache->tx_keyed = false;
    cache->profile = row->srtp_profile;
    cache->rx_master = row->rx_key;
    cache->tx_master = row->tx_key;
    if (row->srtp_profile == SRTP_NONE) return;
    enum srtp_profile profile = (enum srtp_profile)row->srtp_profile;
    cache->rx_keyed = srtp_keys_expand(&cache->rx, profile, &row->rx_key) == 0;
    cache->tx_keyed = srtp_keys_expand(&cache->tx, profile, &row->tx_key) == 0;
    if (!cache->rx_keyed || !cache->tx_keyed) worker_count(worker, COUNTER_internal_errors, 1);
}

/* The row of a transport that exists in this generation, or NULL. */
static const struct transport_row *valid_row(struct worker *worker, uint32_t handle, bool *spoilt)
{
    *spoilt = false;
    if (handle >= worker->generation.head->transport_limit) return NULL;
    const struct transport_row *row = &worker->generation.transports[handle];
    if (!row->incarnation) return NULL;
    if (row->check == row_check(row, sizeof *row)) return row;
    worker_count(worker, COUNTER_rows_invalid_dropped, 1);
    *spoilt = true;
    return NULL;
}

static void adopt_one(struct worker *worker, uint32_t handle, uint64_t now_ns)
{
    struct transport_cache *cache = &worker->transports[handle];
    struct transport_state *state = &worker->state.transports[handle];
    struct transport_timer *timer = &worker->timers[handle];
    bool spoilt;
    const struct transport_row *row = valid_row(worker, handle, &spoilt);
    if (!row) {
        if (!cache->incarnation && !state->incarnation) return;
        *timer = (struct transport_timer){0};
        if (spoilt) {
            cache->incarnation = 0; /* nothing is done with it, yet nothing is lost when a good row follows */
            return;
        }
        forget_addresses(worker, handle);
        clear_cache(cache);
        state_row_reset(state, sizeof *state, 0);
        downlink_adopt(worker, handle, now_ns);
        return;
    }
    if (state->incarnation != row->incarnation) {
        forget_addresses(worker, handle);
        clear_cache(cache);
        state_row_reset(state, sizeof *state, row->incarnation);
        state->selected = TABLE_NONE;
    }
    if (cache->incarnation != row->incarnation) {
        clear_cache(cache);
        cache->incarnation = row->incarnation;
        cache->remb_bps = row->remb_bps;
        cache->tx_packets = state->tx_packets;
        cache->tx_bytes = cache->rated_bytes = state->tx_bytes;
        cache->rated_ns = now_ns;
        worker->receivers[handle] = (struct repair_receiver){0};
        load_addresses(worker, handle);
        timer->send_until_ns = state->consent_ns ? state->consent_ns + LIMIT_CONSENT_NS : 0;
        /* Spread over the interval, so that reports of many do not leave in one burst. */
        timer->report_due_ns = row->foreign ? 0 : now_ns + worker_random(worker) % LIMIT_REPORT_INTERVAL_NS;
    }
    expand_keys(worker, cache, row);
    downlink_adopt(worker, handle, now_ns);
    if (cache->remb_bps != row->remb_bps) { /* a new limit counts at once */
        cache->remb_bps = row->remb_bps;
        worker_hasten_report(worker, handle, now_ns);
    }
}

void transports_adopt(struct worker *worker, uint64_t now_ns)
{
    uint32_t limit = worker->generation.head->transport_limit;
    if (limit < worker->reach.transports) limit = worker->reach.transports;
    for (uint32_t handle = 0; handle < limit; handle++) adopt_one(worker, handle, now_ns);
}

void transports_close(struct worker *worker)
{
    for (uint32_t handle = 0; worker->transports && handle < worker->capacities.transports; handle++)
        clear_cache(&worker->transports[handle]);
}

uint32_t transport_destination(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct transport_cache *cache = &worker->transports[transport];
    if (worker->timers[transport].send_until_ns <= now_ns || !cache->incarnation) return TABLE_NONE;
    if (cache->egress_epoch == worker->egress.epoch) return cache->egress_destination;
    const struct transport_state *state = &worker->state.transports[transport];
    if (state->selected >= LIMIT_PATHS || !state->paths[state->selected].family) return TABLE_NONE;
    const struct path *path = &state->paths[state->selected];
    struct egress_destination to = {.remote = endpoint_of_path(path),
                                    .local_interface = path->local_interface,
                                    .socket = path->socket,
                                    .transport = transport,
                                    .single = cache->refuses_segments};
    memcpy(to.local_address, path->local_address, sizeof to.local_address);
    uint32_t number = egress_add_destination(&worker->egress, &to);
    if (number == TABLE_NONE) return TABLE_NONE;
    cache->egress_destination = number;
    cache->egress_epoch = worker->egress.epoch;
    return number;
}

const struct ssrc_binding *transport_binding(const struct transport_cache *cache, uint32_t ssrc)
{
    for (unsigned i = 0; i < cache->bound_count; i++)
        if (cache->bound_ssrc[i] == ssrc) return &cache->bound[i];
    return NULL;
}

static void add_binding(struct transport_cache *cache, uint32_t ssrc, struct ssrc_binding binding)
{
    unsigned at = 0;
    while (at < cache->bound_count && (cache->bound[at].source != binding.source ||
                                       cache->bound[at].encoding != binding.encoding ||
                                       cache->bound[at].repair != binding.repair))
        at++;
    if (!ssrc || transport_binding(cache, ssrc) || at == LIMIT_RX_SSRCS) return;
    cache->bound_ssrc[at] = ssrc;
    cache->bound[at] = binding;
    if (at == cache->bound_count) cache->bound_count++;
}

void transport_bind(struct worker *worker, uint32_t transport, uint32_t ssrc, struct ssrc_binding binding)
{
    struct encoding_state *encoding = &worker->state.sources[binding.source].encodings[binding.encoding];
    if (binding.repair)
        encoding->rtx_ssrc = ssrc;
    else if (encoding->ssrc != ssrc)
        encoding_restart(encoding, ssrc);
    add_binding(&worker->transports[transport], ssrc, binding);
}

static void rebind_source(struct worker *worker, uint32_t transport, uint32_t handle)
{
    const struct source_row *row = &worker->generation.sources[handle];
    struct source_state *state = &worker->state.sources[handle];
    for (uint8_t i = 0; i < row->encoding_count; i++) {
        struct encoding_state *encoding = &state->encodings[i];
        if (row->ssrc[i] && encoding->ssrc != row->ssrc[i])
            encoding_restart(encoding, row->ssrc[i]);
        if (row->rtx_ssrc[i]) encoding->rtx_ssrc = row->rtx_ssrc[i];
        struct ssrc_binding binding = {.source = handle, .encoding = i};
        add_binding(&worker->transports[transport], encoding->ssrc, binding);
        binding.repair = 1;
        add_binding(&worker->transports[transport], encoding->rtx_ssrc, binding);
    }
}

void transports_rebind(struct worker *worker)
{
    uint32_t limit = worker->generation.head->transport_limit;
    for (uint32_t transport = 0; transport < limit; transport++) {
        struct transport_cache *cache = &worker->transports[transport];
        cache->bound_count = 0;
        if (!cache->incarnation) continue;
        const struct transport_row *row = &worker->generation.transports[transport];
        for (unsigned i = 0; i < LIMIT_SOURCES_PER_TRANSPORT; i++) {
            uint32_t handle = row->sources[i];
            if (handle < worker->capacities.sources && worker->sources[handle].incarnation &&
                worker->sources[handle].transport == transport)
                rebind_source(worker, transport, handle);
        }
    }
}
