#include "nack.h"

#include <string.h>

#define MS_NS UINT64_C(1000000)

void nack_restart(struct nack *nack, uint64_t highest)
{
    nack->highest = highest;
    nack->count = 0;
    nack->started = true;
    nack->key_wanted = false;
    nack->next_due_ns = UINT64_MAX;
}

static void forget_oldest(struct nack *nack, uint32_t how_many)
{
    nack->count -= how_many;
    memmove(nack->entries, nack->entries + how_many, nack->count * sizeof *nack->entries);
}

static void gap_found(struct nack *nack, uint64_t first, uint64_t end, uint64_t now_ns)
{
    uint64_t missing = end - first;
    if (missing > NACK_ENTRIES) { /* an outage: nothing of it can be had in time */
        nack_restart(nack, end);
        nack->key_wanted = true;
        nack->next_due_ns = now_ns;
        return;
    }
    if (nack->count + missing > NACK_ENTRIES) {
        forget_oldest(nack, nack->count + (uint32_t)missing - NACK_ENTRIES);
        nack->key_wanted = true;
    }
    for (uint64_t index = first; index < end; index++)
        nack->entries[nack->count++] = (struct nack_entry){
            .index = index, .found_ns = now_ns, .wait_ms = (uint32_t)(NACK_GUARD_NS / MS_NS)};
    uint64_t due = nack->key_wanted ? now_ns : now_ns + NACK_GUARD_NS;
    if (due < nack->next_due_ns) nack->next_due_ns = due;
}

/* The first entry not below `index`. */
static uint32_t entry_at(const struct nack *nack, uint64_t index)
{
    uint32_t low = 0, high = nack->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (nack->entries[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool nack_received(struct nack *nack, uint64_t index, uint64_t now_ns)
{
    nack->filled_since_ns = 0;
    if (!nack->started) {
        nack_restart(nack, index);
        return false;
    }
    if (index > nack->highest) {
        if (index > nack->highest + 1) gap_found(nack, nack->highest + 1, index, now_ns);
        nack->highest = index;
        return false;
    }
    uint32_t at = entry_at(nack, index);
    if (at == nack->count || nack->entries[at].index != index) return false;
    nack->filled_since_ns = nack->entries[at].found_ns;
    nack->count--;
    memmove(nack->entries + at, nack->entries + at + 1, (nack->count - at) * sizeof *nack->entries);
    if (!nack->count && !nack->key_wanted) nack->next_due_ns = UINT64_MAX;
    return true;
}

void nack_key_frame(struct nack *nack, uint64_t index)
{
    for (uint32_t i = 0; i < nack->count && nack->entries[i].index < index; i++)
        nack->entries[i].key_asked = true;
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{ return value < least ? least : value > most ? most : value; }

struct pauses {
    uint64_t round_trip_ns, key_after_ns;
};

static struct pauses pauses_of(uint32_t round_trip_us)
{
    uint64_t ns = round_trip_us ? round_trip_us * UINT64_C(1000) : NACK_ROUND_TRIP_DEFAULT_NS;
    ns = clamp(ns, NACK_ROUND_TRIP_MIN_NS, NACK_ROUND_TRIP_MAX_NS);
    return (struct pauses){
        .round_trip_ns = ns,
        .key_after_ns = clamp(ns + ns / 2 + NACK_KEY_MARGIN_NS, NACK_KEY_MIN_NS, NACK_KEY_MAX_NS),
    };
}

/* One entry's turn. False: it is given up. *ask: it is to be asked for now. */
static bool entry_turn(struct nack_entry *entry, struct pauses pauses, uint64_t now_ns, bool *ask, bool *key_wanted)
{
    uint64_t age = now_ns - entry->found_ns;
    *ask = age >= entry->wait_ms * MS_NS;
    bool hopeless = age >= NACK_AGE_NS || (*ask && entry->tries >= NACK_TRIES);
    if (!entry->key_asked && (hopeless || age >= pauses.key_after_ns)) {
        entry->key_asked = true;
        *key_wanted = true;
    }
    return !hopeless;
}

static void entry_asked(struct nack_entry *entry, struct pauses pauses, uint64_t now_ns)
{
    entry->tries++;
    unsigned doubled = entry->tries < NACK_STEADY_TRIES ? 0 : entry->tries - NACK_STEADY_TRIES + 1;
    uint64_t wait = now_ns - entry->found_ns + (pauses.round_trip_ns << doubled);
    entry->wait_ms = (uint32_t)((wait + MS_NS - 1) / MS_NS); /* never before the answer can be here */
}

static uint64_t entry_due(const struct nack_entry *entry, struct pauses pauses)
{
    uint64_t wait = entry->wait_ms * MS_NS;
    if (!entry->key_asked && pauses.key_after_ns < wait) wait = pauses.key_after_ns;
    return entry->found_ns + (wait < NACK_AGE_NS ? wait : NACK_AGE_NS);
}

unsigned nack_due(struct nack *nack, uint32_t round_trip_us, uint64_t now_ns, uint16_t *lost,
                  unsigned room, bool *key_wanted)
{
    struct pauses pauses = pauses_of(round_trip_us);
    if (nack->key_wanted) *key_wanted = true;
    nack->key_wanted = false;
    nack->next_due_ns = UINT64_MAX;
    unsigned asked = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < nack->count; i++) {
        struct nack_entry entry = nack->entries[i];
        bool ask;
        if (!entry_turn(&entry, pauses, now_ns, &ask, key_wanted)) continue;
        if (ask && asked < room) {
            lost[asked++] = (uint16_t)entry.index;
            entry_asked(&entry, pauses, now_ns);
        }
        uint64_t due = entry_due(&entry, pauses);
        if (due < nack->next_due_ns) nack->next_due_ns = due;
        nack->entries[kept++] = entry;
    }
    nack->count = kept;
    return asked;
}
