#include "ice.h"

#include <errno.h>
#include <string.h>

#include "stun.h"

static bool selection_valid(const struct transport_state *state)
{ return state->selected < LIMIT_PATHS && state->paths[state->selected].family; }

/* An unused entry, else that of the address unheard for longest which is not the selected one. */
static uint32_t path_to_use(struct worker *worker, uint32_t transport)
{
    struct transport_state *state = &worker->state.transports[transport];
    uint32_t oldest = TABLE_NONE;
    for (uint32_t i = 0; i < LIMIT_PATHS; i++) {
        if (!state->paths[i].family) return i;
        if (i != state->selected &&
            (oldest == TABLE_NONE || state->paths[i].seen_ns < state->paths[oldest].seen_ns))
            oldest = i;
    }
    struct endpoint old = endpoint_of_path(&state->paths[oldest]);
    addresses_remove(&worker->addresses, &old, transport);
    state->paths[oldest].family = 0;
    table_barrier();
    return oldest;
}

static void path_write(struct path *path, const struct datagram *in, uint64_t now_ns)
{
    path->nominated = 0;
    path->port = in->remote.port;
    path->scope = in->remote.scope;
    memcpy(path->address, in->remote.address, sizeof path->address);
    memcpy(path->local_address, in->local_address, sizeof path->local_address);
    path->local_interface = in->local_interface;
    path->socket = in->socket;
    path->seen_ns = now_ns;
    table_barrier();
    path->family = in->remote.family; /* last: only now the entry counts */
}

/* The path of an authenticated request, or TABLE_NONE when its address belongs to another member who is alive: with a member's
   credentials and somebody's forged address one could otherwise take that somebody's media away. */
static uint32_t path_of(struct worker *worker, uint32_t transport, const struct datagram *in, uint64_t now_ns)
{
    struct transport_state *state = &worker->state.transports[transport];
    const struct address_entry *entry = addresses_find(&worker->addresses, &in->remote);
    if (entry && entry->transport == transport) {
        struct path *path = &state->paths[entry->path];
        path->seen_ns = now_ns;
        if (memcmp(path->local_address, in->local_address, sizeof path->local_address) != 0 ||
            path->local_interface != in->local_interface) {
            memcpy(path->local_address, in->local_address, sizeof path->local_address);
            path->local_interface = in->local_interface;
        }
        path->socket = in->socket;
        return entry->path;
    }
    if (entry) {
        struct path *other = &worker->state.transports[entry->transport].paths[entry->path];
        if (other->seen_ns + LIMIT_CONSENT_NS > now_ns) return TABLE_NONE;
        addresses_remove(&worker->addresses, &in->remote, entry->transport);
        other->family = 0;
    }
    uint32_t path = path_to_use(worker, transport);
    path_write(&state->paths[path], in, now_ns);
    addresses_put(&worker->addresses, &in->remote, transport, path);
    return path;
}

static void select_path(struct worker *worker, uint32_t transport, uint32_t path, uint64_t now_ns)
{
    struct transport_state *state = &worker->state.transports[transport];
    bool first = !selection_valid(state);
    if (!first && state->selected == path) return;
    table_barrier();
    state->selected = path;
    worker->transports[transport].egress_epoch = 0;
    worker->transports[transport].refuses_segments = false;
    worker_count(worker, COUNTER_path_nominated, 1);
    if (!first) worker_tell(worker, UPLINK_PATH_CHANGED, transport, 0, 0, NULL, 0, now_ns);
}

/* The first address until one is nominated, then the one nominated last. */
static void apply_nomination(struct worker *worker, uint32_t transport, uint32_t path, bool nominated, uint64_t now_ns)
{
    struct transport_state *state = &worker->state.transports[transport];
    if (nominated) {
        state->paths[path].nominated = 1;
        select_path(worker, transport, path, now_ns);
    } else if (!selection_valid(state)) {
        select_path(worker, transport, path, now_ns);
    }
}

static void refresh_consent(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct transport_state *state = &worker->state.transports[transport];
    struct transport_cache *cache = &worker->transports[transport];
    state->consent_ns = now_ns;
    worker->timers[transport].send_until_ns = now_ns + LIMIT_CONSENT_NS;
    if (state->consent_lost_ns) { /* it came back before control took the row away */
        state->consent_lost_ns = 0;
        cache->connected_told = cache->expiry_told = false;
    }
    ice_tell(worker, transport, now_ns);
}

static void answer(struct worker *worker, const struct datagram *in, const struct stun_request *request,
                   const struct ice_credentials *credentials, uint32_t transport)
{
    struct stun_address mapped = {.family = in->remote.family, .port = in->remote.port};
    memcpy(mapped.bytes, in->remote.address, sizeof mapped.bytes);
    uint8_t *out = egress_reserve(&worker->egress);
    struct egress_destination to = {.remote = in->remote,
                                    .local_interface = in->local_interface,
                                    .socket = in->socket,
                                    .transport = transport,
                                    .single = true};
    memcpy(to.local_address, in->local_address, sizeof to.local_address);
    int length = out ? stun_response_build(request, credentials, &mapped, out, EGRESS_PACKET_MAX) : -ENOBUFS;
    uint32_t destination = length > 0 ? egress_add_destination(&worker->egress, &to) : TABLE_NONE;
    if (destination == TABLE_NONE)
        worker_count(worker, COUNTER_egress_full_dropped, 1);
    else
        egress_commit(&worker->egress, destination, 0, (size_t)length);
}

void ice_receive_untrusted(struct worker *worker, const struct datagram *in, uint64_t now_ns)
{
    struct stun_request request;
    if (stun_request_parse_untrusted(in->bytes, in->length, &request) != 0) {
        worker_count(worker, COUNTER_stun_malformed_dropped, 1);
        return;
    }
    uint32_t transport = stun_ufrag_handle(request.username, request.username_length);
    if (transport >= worker->capacities.transports || !worker->transports[transport].incarnation) {
        worker_count(worker, COUNTER_stun_unknown_user_dropped, 1);
        return;
    }
    const struct transport_row *row = &worker->generation.transports[transport];
    const struct ice_credentials *credentials = NULL;
    int result = -ENOENT;
    for (int i = 0; i < 2 && result == -ENOENT; i++) {
        credentials = &row->ice[i];
        result = stun_request_authenticate(&request, credentials);
    }
    if (result != 0) {
        worker_count(worker, result == -ENOENT ? COUNTER_stun_unknown_user_dropped : COUNTER_stun_unauthenticated_dropped,
                     1);
        return;
    }
    worker_count(worker, COUNTER_stun_requests, 1);
    uint32_t path = path_of(worker, transport, in, now_ns);
    if (path == TABLE_NONE) {
        worker_count(worker, COUNTER_stun_address_taken_dropped, 1);
        return;
    }
    apply_nomination(worker, transport, path, request.use_candidate, now_ns);
    refresh_consent(worker, transport, now_ns);
    answer(worker, in, &request, credentials, transport);
}

void ice_check_consent(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct transport_state *state = &worker->state.transports[transport];
    struct transport_timer *timer = &worker->timers[transport];
    if (!timer->send_until_ns || timer->send_until_ns > now_ns) return;
    timer->send_until_ns = 0;
    if (!state->consent_lost_ns) {
        state->consent_lost_ns = now_ns;
        worker_count(worker, COUNTER_consent_expired, 1);
    }
    fanout_end_sinks_of(worker, transport);
    ice_tell(worker, transport, now_ns);
}

void ice_tell(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    const struct transport_state *state = &worker->state.transports[transport];
    struct transport_cache *cache = &worker->transports[transport];
    if (state->consent_lost_ns && !cache->expiry_told)
        cache->expiry_told = worker_tell(worker, UPLINK_CONSENT_EXPIRED, transport, 0, 0, NULL, 0, now_ns);
    if (state->consent_ns && !state->consent_lost_ns && !cache->connected_told) {
        cache->connected_told = worker_tell(worker, UPLINK_CONNECTED, transport, 0, 0, NULL, 0, now_ns);
        worker->state.transports[transport].connected = cache->connected_told;
    }
}

void ice_send_dtls(struct worker *worker, uint32_t transport, const uint8_t *bytes, size_t length, uint64_t now_ns)
{
    uint32_t destination = transport_destination(worker, transport, now_ns);
    if (destination == TABLE_NONE || !length || length > LIMIT_DATAGRAM) {
        worker_count(worker, COUNTER_downlink_invalid_dropped, 1);
        return;
    }
    uint8_t *out = egress_reserve(&worker->egress);
    if (!out) {
        worker_count(worker, COUNTER_egress_full_dropped, 1);
        return;
    }
    memcpy(out, bytes, length);
    egress_commit(&worker->egress, destination, 0, length);
    worker_count(worker, COUNTER_dtls_down, 1);
}
