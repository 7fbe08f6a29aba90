#include "speakers.h"

#define LEVEL_ONE 16u /* 1 dB */
#define LEVEL_MOST (127u * LEVEL_ONE)
/* Smoothing of loudness in frames: 160 ms up, 1.3 s down, so that the gaps between syllables do not show. Higher: a louder voice counts as such
   later. Lower: two who talk at once take turns by syllables. */
#define LEVEL_ATTACK 8
#define LEVEL_RELEASE 64
#define MEDIUM_MASK 0x7fffull        /* 15 frames */
#define LONG_MASK 0x3ffffffffffffull /* 50 frames */
/* Noise floor before anything is known, 1/16 dB above -127 dBov: -60 dBov. Higher: the first words are missed. Lower: a noisy line speaks for
   the second it takes to find its floor. */
#define NOISE_FIRST ((127u - 60u) * LEVEL_ONE)
/* The floor rises so much a frame (1/16 dB; 3 dB a second) while something is heard and falls by a sixteenth of the difference when it is quieter. Higher
   rise: long vowels become noise. Lower: a fan that starts speaks for longer. */
#define NOISE_RISE 1u
#define NOISE_FALL_SHIFT 4
/* The floor is not taken to be above -35 dBov. Higher: loud steady noise is not taken for speech, but neither is speech above it. */
#define NOISE_MOST ((127u - 35u) * LEVEL_ONE)

/* ---- one source ---- */

static unsigned ones(uint64_t bits)
{ return (unsigned)__builtin_popcountll(bits); }

/* The bits that belong to runs of SPEAKER_RUN or more. */
static uint64_t runs_of(uint64_t bits)
{
    uint64_t starts = bits, runs;
    for (unsigned i = 1; i < SPEAKER_RUN; i++) starts &= bits >> i;
    runs = starts;
    for (unsigned i = 1; i < SPEAKER_RUN; i++) runs |= starts << i;
    return runs;
}

unsigned speaker_medium(const struct speaker_state *state)
{ return ones(runs_of(state->heard) & MEDIUM_MASK); }

unsigned speaker_long(const struct speaker_state *state)
{ return ones(runs_of(state->heard) & LONG_MASK); }

/* Moves the history on to `now_ns`; frames nobody filled are silent. */
static void frames_pass(struct speaker_state *state, uint64_t now_ns)
{
    if (!state->frame_ns) {
        state->frame_ns = now_ns ? now_ns : 1;
        return;
    }
    if (now_ns < state->frame_ns) return;
    uint64_t passed = (now_ns - state->frame_ns) / SPEAKER_FRAME_NS;
    state->heard = passed > 63 ? 0 : state->heard << passed;
    state->frame_ns += passed * SPEAKER_FRAME_NS;
}

static void follow_noise(struct speaker_state *state, uint16_t level)
{
    if (!state->noise) state->noise = NOISE_FIRST;
    if (level < state->noise)
        state->noise = (uint16_t)(state->noise - ((state->noise - level) >> NOISE_FALL_SHIFT));
    else if (state->noise < NOISE_MOST)
        state->noise = (uint16_t)(state->noise + NOISE_RISE);
}

void speaker_level(struct speaker_state *state, uint16_t octet, uint64_t now_ns)
{
    if (octet == SPEAKER_LEVEL_ABSENT) return;
    uint64_t before_ns = state->frame_ns;
    frames_pass(state, now_ns);
    unsigned quiet = octet & 0x7fu;
    uint16_t level = (uint16_t)((127u - quiet) * LEVEL_ONE);
    /* Digital silence (127) is a muted microphone or a gate, not a quiet room: it says nothing about the noise. */
    if (quiet < 127) follow_noise(state, level);
    bool loud = quiet <= SPEAKER_QUIETEST && level >= state->noise + SPEAKER_ABOVE_NOISE * LEVEL_ONE;
    if (loud) {
        state->heard |= 1;
        /* A packet of 40 or 60 ms stands for the frames since the one before. */
        uint64_t frames = before_ns ? (state->frame_ns - before_ns) / SPEAKER_FRAME_NS : 0;
        if (frames > 1 && frames <= SPEAKER_PACKET_NS / SPEAKER_FRAME_NS)
            state->heard |= (1ull << frames) - 1;
    }
    int change = (int)level - (int)state->level;
    state->level = (uint16_t)((int)state->level + change / (change > 0 ? LEVEL_ATTACK : LEVEL_RELEASE));
}

void speaker_mute(struct speaker_state *state)
{
    state->heard = 0;
    state->level = 0;
}

int speaker_update(struct speaker_state *state, uint64_t now_ns)
{
    if (!state->frame_ns) return 0;
    /* The newest frame may not have come yet: one packet late is not silence. */
    if (now_ns - state->frame_ns > 2 * SPEAKER_PACKET_NS && now_ns > state->frame_ns) {
        frames_pass(state, now_ns);
        state->level = (uint16_t)(state->level - state->level / 4);
    }
    unsigned medium = speaker_medium(state);
    if (medium >= SPEAKER_STARTS || (state->speaking && speaker_long(state) >= SPEAKER_STOPS_LONG)) {
        if (medium) state->spoke_ns = now_ns;
        if (state->speaking) return 0;
        state->speaking = 1;
        return 1;
    }
    if (!state->speaking) return 0;
    state->speaking = 0;
    return -1;
}

/* ---- whose is the floor ---- */

static bool displaces(const struct speaker_state *challenger, const struct speaker_state *holder, bool settled)
{
    unsigned medium = speaker_medium(challenger), lasting = speaker_long(challenger);
    if (!challenger->speaking) return false;
    if (!holder) return true;
    unsigned held = speaker_long(holder);
    if (!holder->speaking && held == 0) return true;
    if (speaker_medium(holder) == 0)
        return medium >= SPEAKER_TAKES && lasting * 100 >= held * SPEAKER_TAKES_PERCENT;
    return settled && medium >= SPEAKER_TAKES && lasting >= held + SPEAKER_DISPLACES &&
           challenger->level >= holder->level + SPEAKER_LOUDER * LEVEL_ONE;
}

bool dominance_update(struct dominance *dominance, const struct speaker *speakers, size_t count, uint64_t now_ns)
{
    const struct speaker_state *holder = NULL;
    for (size_t i = 0; i < count; i++)
        if (speakers[i].source == dominance->source) holder = speakers[i].state;
    bool settled = now_ns - dominance->since_ns >= SPEAKER_SETTLE_NS;
    const struct speaker *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct speaker *each = &speakers[i];
        if (!each->state->speaking || each->source == dominance->source || !displaces(each->state, holder, settled))
            continue;
        if (!best || speaker_long(each->state) > speaker_long(best->state) ||
            (speaker_long(each->state) == speaker_long(best->state) &&
             each->state->level > best->state->level))
            best = each;
    }
    if (!best) return false;
    dominance->source = best->source;
    dominance->since_ns = now_ns;
    return true;
}

/* ---- the loudest onto the slots there are ---- */

static const struct speaker *find(const struct speaker *speakers, size_t count, uint32_t source)
{
    for (size_t i = 0; i < count; i++)
        if (speakers[i].source == source) return &speakers[i];
    return NULL;
}

/* The slot to give to somebody who speaks, NULL = none. */
static struct loudest_slot *slot_for(const struct speaker_state *state, struct loudest_slot *slots,
                                     const struct speaker **on, size_t slot_count, uint64_t now_ns)
{
    struct loudest_slot *free = NULL, *silent = NULL, *quiet = NULL;
    uint64_t spoke_ns = UINT64_MAX;
    uint16_t level = UINT16_MAX;
    for (size_t i = 0; i < slot_count; i++) {
        if (!on[i]) {
            if (!free) free = &slots[i];
        } else if (!on[i]->state->speaking) {
            if (on[i]->state->spoke_ns >= spoke_ns) continue;
            spoke_ns = on[i]->state->spoke_ns;
            silent = &slots[i];
        } else if (now_ns - slots[i].since_ns >= LOUDEST_SETTLE_NS && on[i]->state->level < level) {
            level = on[i]->state->level;
            quiet = &slots[i];
        }
    }
    if (free || silent) return free ? free : silent;
    return quiet && state->level >= level + LOUDEST_LOUDER * LEVEL_ONE ? quiet : NULL;
}

static void occupy(struct loudest_slot *slot, const struct speaker **on, size_t at,
                   const struct speaker *speaker, uint64_t now_ns)
{
    *slot = (struct loudest_slot){.since_ns = now_ns, .source = speaker->source};
    on[at] = speaker;
}

unsigned loudest_update(struct loudest_slot *slots, size_t slot_count,
                        const struct speaker *speakers, size_t count, uint64_t now_ns)
{
    const struct speaker *on[LOUDEST_SLOTS];
    unsigned changed = 0;
    size_t free = 0;
    if (slot_count > LOUDEST_SLOTS) slot_count = LOUDEST_SLOTS;
    for (size_t i = 0; i < slot_count; i++) {
        on[i] = slots[i].source == SPEAKER_NOBODY ? NULL : find(speakers, count, slots[i].source);
        if (!on[i]) free++;
        if (on[i] || slots[i].source == SPEAKER_NOBODY) continue;
        slots[i] = (struct loudest_slot){.source = SPEAKER_NOBODY}; /* left */
        changed++;
    }
    /* Those who speak first; the second round gives what is free to anybody. */
    for (int speaking = 1; speaking >= 0; speaking--) {
        for (size_t i = 0; i < count && (speaking || free); i++) {
            const struct speaker *each = &speakers[i];
            if (each->state->speaking != speaking) continue;
            bool placed = false;
            for (size_t s = 0; s < slot_count && !placed; s++)
                placed = slots[s].source == each->source;
            if (placed) continue;
            struct loudest_slot *slot = slot_for(each->state, slots, on, slot_count, now_ns);
            if (!slot || (!speaking && slot->source != SPEAKER_NOBODY)) continue;
            free -= slot->source == SPEAKER_NOBODY;
            occupy(slot, on, (size_t)(slot - slots), each, now_ns);
            changed++;
        }
    }
    return changed;
}
