/* Who speaks: synthetic traces of RFC 6464 levels, 20 ms a packet. Speech is syllables of 120 to 260 ms with gaps of 20 to 80 ms and pauses;
   keys are clicks of one frame; a cough is one burst. Levels in -dBov: smaller is louder. */
#include "check.h"
#include "speakers.h"

#define MS 1000000ull
#define FRAME (20 * MS)
#define PEOPLE 40

enum sound { SILENCE, ROOM, FAN, SPEECH, SOFT_SPEECH, KEYS, COUGH, DIGITAL, NO_EXTENSION, STEADY };

struct voice {
    struct speaker_state state;
    uint64_t random;
    enum sound sound;
    unsigned left; /* frames of the syllable or gap at hand */
    bool syllable;
};

struct room {
    struct voice voices[PEOPLE];
    struct speaker speakers[PEOPLE];
    struct dominance dominance;
    uint64_t now;
    unsigned count, starts, stops, changes;
};

static void room_open(struct room *room, unsigned count, uint64_t seed)
{
    *room = (struct room){.now = 1000 * MS, .count = count, .dominance.source = SPEAKER_NOBODY};
    for (unsigned i = 0; i < count; i++) {
        room->voices[i].random = seed * 977 + i * 31 + 1;
        room->voices[i].sound = ROOM;
        room->speakers[i] = (struct speaker){.source = i, .state = &room->voices[i].state};
    }
}

static unsigned between(struct voice *voice, unsigned low, unsigned high)
{ return low + (unsigned)(random_next(&voice->random) % (high - low + 1)); }

static uint16_t speech(struct voice *voice, unsigned loudness)
{
    if (voice->left == 0) {
        voice->syllable = !voice->syllable;
        voice->left = voice->syllable ? between(voice, 6, 13) : between(voice, 1, 4);
    }
    voice->left--;
    return (uint16_t)(voice->syllable ? loudness + between(voice, 0, 8)
                                      : loudness + 28 + between(voice, 0, 8));
}

static uint16_t next_level(struct voice *voice)
{
    switch (voice->sound) {
    case SILENCE: return (uint16_t)between(voice, 85, 95);
    case ROOM: return (uint16_t)between(voice, 64, 72);
    case FAN: return (uint16_t)between(voice, 42, 46);
    case SPEECH: return speech(voice, 22);
    case SOFT_SPEECH: return speech(voice, 36);
    case KEYS: /* eight keys a second, loud, one frame each and now and then two */
        if (voice->left) {
            voice->left--;
            return (uint16_t)(voice->left >= 5 && (voice->random & 3) == 0 ? 30 : between(voice, 60, 70));
        }
        voice->left = between(voice, 4, 7);
        return (uint16_t)between(voice, 18, 30);
    case COUGH:
        if (voice->left == 0)
            voice->sound = ROOM;
        else
            voice->left--;
        return (uint16_t)between(voice, 12, 20);
    case STEADY: return 30;
    case DIGITAL: return 127;
    default: return SPEAKER_LEVEL_ABSENT;
    }
}

static void become(struct voice *voice, enum sound sound)
{
    voice->sound = sound;
    voice->left = sound == COUGH ? 13 : 0;
    voice->syllable = false;
}

/* One frame of everybody; decisions every 40 ms, as a worker's tick would. */
static void frame(struct room *room)
{
    room->now += FRAME;
    for (unsigned i = 0; i < room->count; i++)
        speaker_level(&room->voices[i].state, next_level(&room->voices[i]), room->now + i * 1000);
    if (room->now / FRAME % 2) return;
    for (unsigned i = 0; i < room->count; i++) {
        int change = speaker_update(&room->voices[i].state, room->now + MS);
        room->starts += change > 0;
        room->stops += change < 0;
    }
    room->changes += dominance_update(&room->dominance, room->speakers, room->count, room->now + MS);
}

static void run(struct room *room, unsigned ms)
{
    for (unsigned i = 0; i < ms / 20; i++) frame(room);
}

/* How long until somebody has the floor, in ms; 9999 = not within 3 s. */
static unsigned until_dominant(struct room *room, uint32_t who)
{
    for (unsigned ms = 20; ms <= 3000; ms += 20) {
        frame(room);
        if (room->dominance.source == who) return ms;
    }
    return 9999;
}

static unsigned until_speaking(struct room *room, unsigned who)
{
    for (unsigned ms = 20; ms <= 3000; ms += 20) {
        frame(room);
        if (room->voices[who].state.speaking) return ms;
    }
    return 9999;
}

/* ---- what happens, in words ---- */

static void test_sounds_that_are_and_are_not_speech(void)
{
    static const struct {
        const char *what;
        enum sound sound;
        bool speaks;
    } TABLE[] = {
        {"silence", SILENCE, false},
        {"a quiet room", ROOM, false},
        {"a fan, after it has run for a while", FAN, false},
        {"speech", SPEECH, true},
        {"soft speech", SOFT_SPEECH, true},
        {"a keyboard", KEYS, false},
        {"a gate or a muted microphone (level 127)", DIGITAL, false},
        {"packets without a level", NO_EXTENSION, false},
        {"a steady tone is noise in the end", STEADY, false},
    };
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct room room;
            room_open(&room, 1, seed);
            room.voices[0].sound = TABLE[i].sound;
            run(&room, 20000);
            unsigned starts = room.starts;
            unsigned spoken = 0;
            for (unsigned tick = 0; tick < 500; tick++) {
                frame(&room);
                spoken += room.voices[0].state.speaking;
            }
            if (TABLE[i].speaks ? spoken < 490 : spoken > 0 || (starts && TABLE[i].sound == KEYS))
                fprintf(stderr, "%s, seed %llu: spoke in %u of 500 frames, %u starts before\n",
                        TABLE[i].what, (unsigned long long)seed, spoken, starts);
            CHECK(TABLE[i].speaks ? spoken >= 490 : spoken == 0);
            if (TABLE[i].sound == KEYS) CHECK_EQUAL(starts, 0);
        }
}

static void test_events_come_within_300_ms_of_speech(void)
{
    unsigned slowest = 0, sum = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct room room;
        room_open(&room, 5, seed);
        run(&room, 2000);
        become(&room.voices[2], SPEECH);
        unsigned ms = until_dominant(&room, 2);
        if (ms > slowest) slowest = ms;
        sum += ms;
    }
    printf("speaker event: mean %u ms, slowest of 50 %u ms\n", sum / 50, slowest);
    CHECK(slowest <= 300);
}

static void test_one_stops_and_another_begins(void)
{
    unsigned slowest = 0, sum = 0, slowest_event = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct room room;
        room_open(&room, 5, seed);
        become(&room.voices[0], SPEECH);
        run(&room, 8000);
        CHECK_EQUAL(room.dominance.source, 0);
        become(&room.voices[0], ROOM);
        run(&room, 100);
        become(&room.voices[1], SPEECH);
        struct room other = room;
        for (unsigned i = 0; i < other.count; i++) other.speakers[i].state = &other.voices[i].state;
        unsigned event = until_speaking(&other, 1), ms = until_dominant(&room, 1);
        if (ms > slowest) slowest = ms;
        if (event > slowest_event) slowest_event = event;
        sum += ms;
        run(&room, 5000);
        CHECK_EQUAL(room.dominance.source, 1);
    }
    printf("turn taking: begins to speak within %u ms, has the floor after mean %u ms, slowest of "
           "50 %u ms\n",
           slowest_event, sum / 50, slowest);
    CHECK(slowest_event <= 300);
    CHECK(slowest <= 800);
}

static void test_keyboards_and_coughs_do_not_take_the_floor(void)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct room room;
        room_open(&room, 6, seed);
        become(&room.voices[0], SPEECH);
        room.voices[3].sound = KEYS;
        run(&room, 5000);
        for (unsigned cough = 0; cough < 10; cough++) {
            become(&room.voices[4], COUGH);
            run(&room, 1500);
            CHECK_EQUAL(room.dominance.source, 0);
        }
        CHECK_EQUAL(room.changes, 1);
    }
}

static void test_a_pause_for_breath_keeps_the_floor_while_others_type(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct room room;
        room_open(&room, 4, seed);
        room.voices[1].sound = KEYS;
        for (unsigned sentence = 0; sentence < 8; sentence++) {
            become(&room.voices[0], SPEECH);
            run(&room, 3000);
            become(&room.voices[0], ROOM);
            run(&room, 600);
        }
        CHECK_EQUAL(room.dominance.source, 0);
        CHECK_EQUAL(room.changes, 1);
    }
}

static void test_double_talk_does_not_flap(void)
{
    unsigned most = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct room room;
        room_open(&room, 3, seed);
        become(&room.voices[0], SPEECH);
        run(&room, 1000);
        become(&room.voices[1], SPEECH);
        run(&room, 30000);
        if (room.changes - 1 > most) most = room.changes - 1;
    }
    printf("double talk of equals, 30 s: at most %u changes of the floor\n", most);
    CHECK(most <= 3);
}

static void test_a_loud_one_displaces_a_soft_one_who_goes_on(void)
{
    /* Both talk without a break; only who talks more of the time and louder takes over. */
    struct room room;
    room_open(&room, 2, 7);
    become(&room.voices[0], KEYS);
    run(&room, 2000);
    become(&room.voices[0], SOFT_SPEECH);
    run(&room, 4000);
    CHECK_EQUAL(room.dominance.source, 0);
    become(&room.voices[1], SPEECH);
    run(&room, 8000);
    CHECK(room.changes <= 2);
}

static void test_muted_is_silent_at_once(void)
{
    struct room room;
    room_open(&room, 2, 3);
    become(&room.voices[0], SPEECH);
    run(&room, 3000);
    speaker_mute(&room.voices[0].state);
    CHECK_EQUAL(speaker_update(&room.voices[0].state, room.now), -1);
    CHECK_EQUAL(speaker_long(&room.voices[0].state), 0);
}

static void test_whose_packets_stop_falls_silent(void)
{
    struct room room;
    room_open(&room, 1, 3);
    become(&room.voices[0], SPEECH);
    run(&room, 3000);
    unsigned ms = 0;
    while (room.voices[0].state.speaking && ms < 5000) {
        ms += 40;
        speaker_update(&room.voices[0].state, room.now + ms * MS);
    }
    CHECK(ms >= 200 && ms <= 1100);
}

static void test_discontinuous_transmission_and_long_packets(void)
{
    struct speaker_state state = {0};
    uint64_t now = 1000 * MS;
    for (unsigned i = 0; i < 10; i++, now += 400 * MS)
        speaker_level(&state, 80, now); /* comfort noise */
    CHECK_EQUAL(speaker_update(&state, now), 0);
    for (unsigned i = 0; i < 5; i++, now += 60 * MS)
        speaker_level(&state, 25, now); /* speech in 60 ms packets */
    CHECK_EQUAL(speaker_update(&state, now), 1);
    struct speaker_state fine = {0};
    for (unsigned i = 0; i < 100; i++, now += 10 * MS)
        speaker_level(&fine, 0x80 | 25, now); /* in 10 ms packets, V bit set */
    CHECK_EQUAL(speaker_update(&fine, now), 1);
    CHECK(speaker_medium(&fine) >= 14);
}

/* ---- audio slots ---- */

static unsigned on_slots(const struct loudest_slot *slots, unsigned count, uint32_t source)
{
    for (unsigned i = 0; i < count; i++)
        if (slots[i].source == source) return 1;
    return 0;
}

static void test_the_loudest_get_the_slots_and_keep_them(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct room room;
        struct loudest_slot slots[4] = {{.source = SPEAKER_NOBODY},
                                        {.source = SPEAKER_NOBODY},
                                        {.source = SPEAKER_NOBODY},
                                        {.source = SPEAKER_NOBODY}};
        room_open(&room, PEOPLE, seed);
        run(&room, 1000);
        CHECK_EQUAL(loudest_update(slots, 4, room.speakers, room.count, room.now), 4);
        CHECK_EQUAL(slots[3].source, 3);
        unsigned changes = 0, slowest = 0;
        for (unsigned turn = 0; turn < 12; turn++) { /* three talk in turn, of the far end of the list */
            unsigned who = 30 + turn % 3, waited = 0;
            become(&room.voices[who], SPEECH);
            for (unsigned i = 0; i < 150; i++) {
                frame(&room);
                changes += loudest_update(slots, 4, room.speakers, room.count, room.now + 2 * MS);
                if (!on_slots(slots, 4, who)) waited += 20;
            }
            if (waited > slowest) slowest = waited;
            become(&room.voices[who], ROOM);
            run(&room, 300);
        }
        CHECK(slowest <= 300);
        CHECK_EQUAL(changes, 3); /* each came once and stayed */
    }
}

static void test_when_all_slots_speak_a_louder_one_gets_in_and_an_equal_one_does_not(void)
{
    struct room room;
    struct loudest_slot slots[2] = {{.source = SPEAKER_NOBODY}, {.source = SPEAKER_NOBODY}};
    room_open(&room, 4, 5);
    become(&room.voices[0], SPEECH);
    become(&room.voices[1], SOFT_SPEECH);
    run(&room, 2000);
    loudest_update(slots, 2, room.speakers, room.count, room.now);
    become(&room.voices[2], SPEECH);
    for (unsigned i = 0; i < 150; i++) {
        frame(&room);
        loudest_update(slots, 2, room.speakers, room.count, room.now + 2 * MS);
    }
    CHECK(on_slots(slots, 2, 0) && on_slots(slots, 2, 2));
    become(&room.voices[3], SPEECH);
    unsigned changes = 0;
    for (unsigned i = 0; i < 500; i++) {
        frame(&room);
        changes += loudest_update(slots, 2, room.speakers, room.count, room.now + 2 * MS);
    }
    CHECK(changes <= 2);
}

static void test_who_leaves_frees_the_slot(void)
{
    struct room room;
    struct loudest_slot slots[2] = {{.source = 0}, {.source = 77}};
    room_open(&room, 3, 5);
    CHECK_EQUAL(loudest_update(slots, 2, room.speakers, room.count, room.now), 2); /* 77 out, 1 in */
    CHECK_EQUAL(slots[1].source, 1);
    CHECK_EQUAL(loudest_update(slots, 2, room.speakers, room.count, room.now), 0);
    CHECK_EQUAL(loudest_update(slots, 2, room.speakers, 0, room.now), 2);
}

int main(void)
{
    test_sounds_that_are_and_are_not_speech();
    test_events_come_within_300_ms_of_speech();
    test_one_stops_and_another_begins();
    test_keyboards_and_coughs_do_not_take_the_floor();
    test_a_pause_for_breath_keeps_the_floor_while_others_type();
    test_double_talk_does_not_flap();
    test_a_loud_one_displaces_a_soft_one_who_goes_on();
    test_muted_is_silent_at_once();
    test_whose_packets_stop_falls_silent();
    test_discontinuous_transmission_and_long_packets();
    test_the_loudest_get_the_slots_and_keep_them();
    test_when_all_slots_speak_a_louder_one_gets_in_and_an_equal_one_does_not();
    test_who_leaves_frees_the_slot();
    return 0;
}
