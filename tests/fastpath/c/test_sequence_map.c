/* Outgoing numbers when packets are left out on purpose: tables that can be read aloud, chance against a plain model, and kills. */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "sequence_map.h"

#define MS UINT64_C(1000000)

static struct projection_input input_of(uint32_t source, uint64_t index)
{
    return (struct projection_input){
        .source = source,
        .source_incarnation = 1,
        .ssrc = source + 100,
        .timestamp = (uint32_t)(index / 2) * 3000, /* two packets a picture */
        .index = index,
        .picture_id = (uint16_t)(index / 2) & 0x7fff,
        .picture_id_bits = 15,
    };
}

/* ---- tables ---- */

struct row {
    char what; /* b begin, s send, d drop */
    uint64_t index;
    int result;
    uint64_t output; /* counted from the first packet; only of SEND and FILL */
};

#define PLAY(rows) play(rows, sizeof(rows) / sizeof *(rows))

static void play(const struct row *rows, size_t count)
{
    struct sequence_map map = {0};
    struct projection copies[2] = {{0}};
    uint64_t first = 0, now = 0;
    for (size_t i = 0; i < count; i++) {
        struct projection_input input = input_of(1, rows[i].index);
        struct projection_output output;
        now += MS;
        int result = rows[i].what == 'b'
                         ? sequence_map_begin(&map, copies, &input, false, 90000, 700, now, &output)
                     : rows[i].what == 's' ? sequence_map_forward(&map, copies, &input, now, &output)
                                           : sequence_map_drop(&map, copies, &input, now, &output);
        if (i == 0) first = output.index;
        CHECK_EQUAL(result, rows[i].result);
        if (result == SEQUENCE_SEND || result == SEQUENCE_FILL)
            CHECK_EQUAL(output.index - first, rows[i].output);
    }
}

static void test_tables(void)
{
    static const struct row every_other_frame[] = {
        {'b', 10, SEQUENCE_SEND, 0}, {'s', 11, SEQUENCE_SEND, 1}, {'d', 12, SEQUENCE_GONE, 0},
        {'d', 13, SEQUENCE_GONE, 0}, {'s', 14, SEQUENCE_SEND, 2}, {'s', 15, SEQUENCE_SEND, 3},
        {'d', 16, SEQUENCE_GONE, 0}, {'s', 18, SEQUENCE_SEND, 5},
    }; /* 17 was lost: its number stays a gap */
    static const struct row overtaken_by_a_drop[] = {
        {'b', 10, SEQUENCE_SEND, 0},
        {'d', 12, SEQUENCE_GONE, 0},
        {'s', 13, SEQUENCE_SEND, 2},
        {'s', 11, SEQUENCE_SEND, 1},
    };
    static const struct row overtaken_before_anything_followed[] = {
        {'b', 10, SEQUENCE_SEND, 0},
        {'d', 12, SEQUENCE_GONE, 0},
        {'s', 11, SEQUENCE_SEND, 1},
        {'s', 13, SEQUENCE_SEND, 2},
    };
    static const struct row dropped_too_late[] = {
        {'b', 10, SEQUENCE_SEND, 0},
        {'s', 12, SEQUENCE_SEND, 2},
        {'d', 11, SEQUENCE_FILL, 1},
        {'s', 13, SEQUENCE_SEND, 3},
    };
    static const struct row dropped_too_late_in_an_older_piece[] = {
        {'b', 10, SEQUENCE_SEND, 0}, {'d', 13, SEQUENCE_GONE, 0}, {'s', 14, SEQUENCE_SEND, 3},
        {'d', 12, SEQUENCE_FILL, 2}, {'s', 11, SEQUENCE_SEND, 1},
    };
    static const struct row of_before_the_beginning[] = {
        {'b', 10, SEQUENCE_SEND, 0}, {'s', 9, -ESTALE, 0}, {'d', 8, -ESTALE, 0},
        {'d', 11, SEQUENCE_GONE, 0}, {'s', 7, -ESTALE, 0},
    };
    static const struct row nothing_carried[] = {{'d', 10, -EXDEV, 0}, {'s', 10, -EXDEV, 0}};
    /* 100 packets missing at once are shown as 32 and 4 for the millisecond since; late ones of the rest have no number. */
    static const struct row a_hole_too_long[] = {
        {'b', 10, SEQUENCE_SEND, 0}, {'d', 111, SEQUENCE_GONE, 0},  {'s', 112, SEQUENCE_SEND, 38},
        {'s', 60, -ESTALE, 0},       {'s', 110, SEQUENCE_SEND, 37},
    };
    PLAY(every_other_frame);
    PLAY(overtaken_by_a_drop);
    PLAY(overtaken_before_anything_followed);
    PLAY(dropped_too_late);
    PLAY(dropped_too_late_in_an_older_piece);
    PLAY(of_before_the_beginning);
    PLAY(nothing_carried);
    PLAY(a_hole_too_long);
}

/* Pictures 0 1 2 3 with 1 and 3 left out arrive as 0 1, whatever their packets' order. */
static void test_picture_ids_close_up(void)
{
    for (int reordered = 0; reordered < 2; reordered++) {
        for (uint8_t bits = 7; bits <= 15; bits += 8) {
            struct sequence_map map = {0};
            struct projection copies[2] = {{0}};
            struct projection_output output;
            uint16_t next = 0;
            for (uint64_t i = 0; i < 600; i++) {
                uint64_t index = reordered ? (i & ~1ull) + !(i & 1) : i;
                struct projection_input input = input_of(1, 1000 + index);
                input.picture_id_bits = bits;
                input.picture_id &= bits == 7 ? 0x7f : 0x7fff;
                bool drop = index / 2 % 2;
                int result = i == 0 ? sequence_map_begin(&map, copies, &input, false, 90000, 5, i, &output)
                             : drop ? sequence_map_drop(&map, copies, &input, i, &output)
                                    : sequence_map_forward(&map, copies, &input, i, &output);
                if (i == 0) next = output.picture_id;
                if (reordered && i == 1) continue; /* before the run's beginning */
                if (drop) {
                    CHECK(result == SEQUENCE_GONE || (reordered && result == SEQUENCE_FILL));
                } else {
                    CHECK_EQUAL(result, SEQUENCE_SEND);
                    CHECK_EQUAL(output.picture_id, (next + index / 4) & (bits == 7 ? 0x7f : 0x7fff));
                }
            }
        }
    }
}

/* A base frame is missing when the frame above it is left out: repaired, it has its own TL0PICIDX, which the next source's key frame has not. */
static void test_next_source_goes_on_after_a_missing_base(void)
{
    struct sequence_map map = {0};
    struct projection copies[2] = {{0}};
    struct projection_output first, base, next;
    struct projection_input input = input_of(1, 1000);
    input.has_tl0 = 1;
    input.tl0 = 255;
    CHECK_EQUAL(sequence_map_begin(&map, copies, &input, false, 90000, 5, 0, &first), 0);
    struct projection_input missing = input_of(1, 1002), above = input_of(1, 1004);
    missing.has_tl0 = above.has_tl0 = 1;
    missing.tl0 = above.tl0 = 0;
    CHECK_EQUAL(sequence_map_drop(&map, copies, &above, 66 * MS, &next), SEQUENCE_GONE);
    CHECK_EQUAL(sequence_map_forward(&map, copies, &missing, 90 * MS, &base), SEQUENCE_SEND);
    CHECK_EQUAL(base.tl0, (uint8_t)(first.tl0 + 1));
    CHECK_EQUAL(base.picture_id, first.picture_id + 1);
    struct projection_input other = input_of(2, 5000);
    other.has_tl0 = 1;
    other.tl0 = 77;
    CHECK_EQUAL(sequence_map_begin(&map, copies, &other, false, 90000, 5, 99 * MS, &next), 0);
    CHECK_EQUAL(next.tl0, (uint8_t)(first.tl0 + 2));
    CHECK_EQUAL(next.picture_id, first.picture_id + 2);
}

/* ---- chance against a model ---- */

enum { LENGTH = 1 << 14, OUTPUTS = 1 << 21, SOURCES = 3 };

struct model { /* of the run: which inputs left no trace */
    uint64_t first_input, first_output;
    uint8_t gone[LENGTH];
    uint64_t run;
};

static uint64_t model_output(const struct model *model, uint64_t index)
{
    uint64_t output = model->first_output;
    for (uint64_t i = model->first_input; i < index; i++) output += !model->gone[i % LENGTH];
    return output;
}

enum { REORDERED = 1, LOST = 2, KILLED = 4 };

/* Streams of frames of three packets, each second frame left out when `drops`. Every arrival is once; what is lost never comes. */
static void chance(uint64_t seed, unsigned kinds)
{
    static uint8_t used[OUTPUTS];
    static uint64_t came_from[OUTPUTS]; /* source << 56 | input index */
    static struct model model;
    memset(used, 0, sizeof used);
    struct sequence_map map = {0};
    struct projection copies[2] = {{0}};
    uint64_t state = seed, now = MS, highest = 0, sent = 0, origins = 0, fills = 0;
    uint32_t carried = 0;
    uint64_t next_index[SOURCES] = {1, 65530, 1ull << 40};
    uint64_t waiting[64];
    unsigned wait_count = 0;
    bool begun = false;
    for (int step = 0; step < 60000; step++) {
        uint64_t choice = random_next(&state);
        now += choice >> 60 == 0 ? 40 * MS : 100000;
        if (choice % 500 == 0 || !begun) { /* cut over: late packets of the old run never come to this sink */
            carried = (uint32_t)(choice >> 32) % SOURCES;
            wait_count = 0;
            struct projection_input input = input_of(carried, next_index[carried]++);
            struct projection_output output;
            CHECK_EQUAL(sequence_map_begin(&map, copies, &input, false, 90000, seed, now, &output), 0);
            CHECK(!begun || output.index == highest + 1);
            memset(&model, 0, sizeof model);
            model.first_input = input.index;
            model.first_output = output.index;
            CHECK(!used[output.index]);
            used[output.index] = 1;
            came_from[output.index] = (uint64_t)carried << 56 | input.index;
            highest = output.index;
            begun = true;
            continue;
        }
        if (kinds & KILLED && choice % 997 == 1) { /* the successor has the row alone, and no late packet finds its way */
            memset(&map, 0, sizeof map);
            wait_count = 0;
        }
        uint64_t index;
        if (kinds & REORDERED && wait_count && (choice >> 8) % 3 == 0) {
            unsigned which = (unsigned)(choice >> 16) % wait_count;
            index = waiting[which];
            waiting[which] = waiting[--wait_count];
        } else {
            index = next_index[carried]++;
            if (index - model.first_input >= LENGTH - 1) continue;
            if (kinds & LOST && (choice >> 8) % 20 == 1) continue;
            if (kinds & REORDERED && (choice >> 8) % 8 == 2 && wait_count < 16) {
                waiting[wait_count++] = index;
                continue;
            }
        }
        bool drop = index / 3 % 2;
        struct projection_input input = input_of(carried, index);
        struct projection_output output;
        int result = drop ? sequence_map_drop(&map, copies, &input, now, &output)
                          : sequence_map_forward(&map, copies, &input, now, &output);
        if (result == SEQUENCE_GONE) {
            CHECK(drop);
            model.gone[index % LENGTH] = 1;
            highest = projection_current(copies)->highest_index;
            continue;
        }
        if (result == -ESTALE) { /* only what a successor or a full ring has forgotten */
            CHECK(kinds & (KILLED | REORDERED));
            CHECK(index < projection_current(copies)->first_input);
            continue;
        }
        CHECK(result == (drop ? SEQUENCE_FILL : SEQUENCE_SEND));
        CHECK(!(drop && !(kinds & REORDERED))); /* in order, nothing is ever dropped too late */
        fills += drop;
        CHECK(output.index < OUTPUTS && !used[output.index]);
        CHECK_EQUAL(output.index, model_output(&model, index));
        CHECK(output.index <= projection_current(copies)->highest_index);
        used[output.index] = 1;
        came_from[output.index] = (uint64_t)carried << 56 | index;
        sent++;
        highest = projection_current(copies)->highest_index;
        struct sequence_origin origin;
        uint64_t back =
            output.index > (choice >> 50) % 40 ? output.index - (choice >> 50) % 40 : output.index;
        if (used[back] && sequence_map_origin(&map, projection_current(copies), (uint16_t)back, &origin) == 0) {
            CHECK_EQUAL((uint64_t)origin.source << 56 | origin.input_index, came_from[back]);
            CHECK_EQUAL(origin.output_index, back);
            origins++;
        }
    }
    CHECK(sent > 15000 && origins > 5000);
    CHECK(fills == 0 || kinds & REORDERED);
    if (kinds == 0) { /* nothing was lost: not one number may be missing */
        uint64_t first = 0;
        while (!used[first]) first++;
        for (uint64_t i = first; i <= highest; i++) CHECK(used[i]);
    }
}

static void test_chance(void)
{
    for (uint64_t seed = 1; seed <= 5; seed++)
        for (unsigned kinds = 0; kinds < 8; kinds++) chance(seed * 77, kinds);
}

/* With every packet arriving at last, late or not, no number is missing: each was sent or filled. */
static void test_reordering_alone_leaves_no_gap(void)
{
    uint64_t state = 4;
    struct sequence_map map = {0};
    struct projection copies[2] = {{0}};
    static uint8_t used[1 << 16];
    struct projection_output output;
    struct projection_input first = input_of(1, 65000);
    CHECK_EQUAL(sequence_map_begin(&map, copies, &first, false, 90000, 0, 1, &output), 0);
    used[output.index] = 1;
    for (uint64_t block = 65001; block < 85001; block += 8) {
        unsigned order[8] = {0, 1, 2, 3, 4, 5, 6, 7};
        for (unsigned i = 7; i > 0; i--) {
            unsigned other = (unsigned)(random_next(&state) >> 32) % (i + 1), swap = order[i];
            order[i] = order[other];
            order[other] = swap;
        }
        for (unsigned i = 0; i < 8; i++) {
            struct projection_input input = input_of(1, block + order[i]);
            int got = input.index / 2 % 2
                          ? sequence_map_drop(&map, copies, &input, block * MS, &output)
                          : sequence_map_forward(&map, copies, &input, block * MS, &output);
            CHECK(got >= 0);
            if (got != SEQUENCE_GONE) CHECK(!used[output.index]++);
        }
    }
    uint64_t highest = projection_current(copies)->highest_index;
    CHECK(highest > 10000);
    for (uint64_t i = 0; i <= highest; i++) CHECK(used[i]);
}

static void test_origins(void)
{
    struct sequence_map map = {0};
    struct projection copies[2] = {{0}};
    struct projection_output output;
    struct sequence_origin origin;
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 0, &origin), -ENOENT);
    struct projection_input one = input_of(1, 500), two = input_of(2, 9000);
    CHECK_EQUAL(sequence_map_begin(&map, copies, &one, false, 90000, 3, 1, &output), 0); /* output 3 */
    CHECK_EQUAL(sequence_map_begin(&map, copies, &two, false, 90000, 3, 1, &output), 0); /* output 4 */
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 3, &origin), 0);
    CHECK_EQUAL(origin.source, 1);
    CHECK_EQUAL(origin.input_index, 500);
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 4, &origin), 0);
    CHECK_EQUAL(origin.source, 2);
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 5, &origin), -ENOENT); /* not sent yet */
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 2, &origin), -ENOENT); /* before the first */
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 40000, &origin), -ENOENT);
    projection_end(copies);
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 4, &origin), -ENOENT); /* muted since */
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 3, &origin), 0);
    struct projection_input three = input_of(1, 600);
    sequence_map_end(&map, copies); /* nothing to end */
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 4, &origin), -ENOENT);
    CHECK_EQUAL(sequence_map_begin(&map, copies, &three, false, 90000, 3, 1, &output), 0);
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 4, &origin), -ENOENT);
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 3, &origin), 0);
    CHECK_EQUAL(origin.input_index, 500);
    /* Over the wrap of the sequence number. */
    struct projection_input many = input_of(1, 0);
    for (uint64_t index = 601; index < 601 + 70000; index++) {
        many.index = index;
        CHECK_EQUAL(sequence_map_forward(&map, copies, &many, index * MS, &output), 0);
    }
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), (uint16_t)(output.index - 6000), &origin), 0);
    CHECK_EQUAL(origin.output_index, output.index - 6000);
    CHECK_EQUAL(origin.input_index, many.index - 6000);
}

/* Paused, its last numbers are known; then it goes on, and they still are. Late packets of before find theirs, and none comes twice. */
static void test_a_pause(void)
{
    struct sequence_map map = {0};
    struct projection copies[2] = {{0}};
    struct projection_output output;
    struct sequence_origin origin;
    struct projection_input input = input_of(1, 500);
    CHECK_EQUAL(sequence_map_begin(&map, copies, &input, false, 90000, 3, MS, &output), 0); /* output 3 */
    for (uint64_t index = 501; index <= 505; index++) {
        input = input_of(1, index);
        if (index != 504)
            CHECK_EQUAL(sequence_map_forward(&map, copies, &input, 2 * MS, &output), 0);
    }
    CHECK_EQUAL(output.index, 8);
    for (int paused = 0; paused < 2; paused++) {
        sequence_map_end(&map, copies); /* the second time it is ended already */
        CHECK_EQUAL(projection_current(copies)->source, TABLE_NONE);
        for (uint16_t sequence = 3; sequence <= 8; sequence++) {
            CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), sequence, &origin), 0);
            CHECK_EQUAL(origin.input_index, 497u + sequence);
            CHECK_EQUAL(origin.source, 1);
        }
        CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 9, &origin), -ENOENT);
        CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 2, &origin), -ENOENT);
    }
    input = input_of(1, 600);
    CHECK_EQUAL(sequence_map_begin(&map, copies, &input, false, 90000, 3, 9 * MS, &output), 0);
    CHECK_EQUAL(output.index, 9);
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 8, &origin), 0);
    CHECK_EQUAL(origin.input_index, 505);
    input = input_of(1, 504);
    CHECK_EQUAL(sequence_map_forward(&map, copies, &input, 9 * MS, &output), 0);
    CHECK_EQUAL(output.index, 7);
    input = input_of(1, 506); /* came while nothing was said, or late: its number was never given out */
    CHECK_EQUAL(sequence_map_forward(&map, copies, &input, 9 * MS, &output), -ESTALE);
    projection_end(copies); /* muted: nothing of it any more */
    CHECK_EQUAL(sequence_map_origin(&map, projection_current(copies), 9, &origin), -ENOENT);
}

/* Its source's replay window begins anew while the stream carries something else: what comes late finds no number of before that. */
static void test_another_window(void)
{
    struct sequence_map map = {0};
    struct projection copies[2] = {{0}};
    struct projection_output output;
    struct projection_input input = input_of(1, 500), other = input_of(2, 9000), late = input_of(1, 500);
    CHECK_EQUAL(sequence_map_begin(&map, copies, &input, false, 90000, 3, MS, &output), 0); /* output 3 */
    CHECK_EQUAL(sequence_map_begin(&map, copies, &other, false, 90000, 3, 2 * MS, &output), 0);
    input = input_of(1, 600);
    CHECK_EQUAL(sequence_map_begin(&map, copies, &input, false, 90000, 3, 3 * MS, &output), 0);
    CHECK_EQUAL(sequence_map_forward(&map, copies, &late, 4 * MS, &output), 0); /* the window lets it pass once */
    CHECK_EQUAL(output.index, 3);
    CHECK_EQUAL(sequence_map_begin(&map, copies, &other, false, 90000, 3, 5 * MS, &output), 0);
    input.window = late.window = 1;
    input.index = 700;
    CHECK_EQUAL(sequence_map_begin(&map, copies, &input, false, 90000, 3, 6 * MS, &output), 0);
    CHECK_EQUAL(sequence_map_forward(&map, copies, &late, 7 * MS, &output), -ESTALE);
    CHECK_EQUAL(sequence_map_drop(&map, copies, &late, 7 * MS, &output), -ESTALE);
    /* In one window it does, of runs before the newest too. */
    input.index = 702;
    CHECK_EQUAL(sequence_map_forward(&map, copies, &input, 7 * MS, &output), 0);
    uint64_t newest = output.index;
    CHECK_EQUAL(sequence_map_begin(&map, copies, &other, false, 90000, 3, 7 * MS, &output), 0);
    input.index = 710;
    CHECK_EQUAL(sequence_map_begin(&map, copies, &input, false, 90000, 3, 7 * MS, &output), 0);
    late.index = 701;
    CHECK_EQUAL(sequence_map_forward(&map, copies, &late, 7 * MS, &output), 0);
    CHECK_EQUAL(output.index, newest - 1);
    /* A successor goes on with it: a piece that ends under its hands is known, whether by what is left out or by a hole shown smaller. */
    for (unsigned drops = 0; drops < 2; drops++) {
        memset(&map, 0, sizeof map);
        late.index = input.index + 1;
        input.index += 2;
        CHECK_EQUAL(sequence_map_forward(&map, copies, &input, 8 * MS, &output), 0);
        uint64_t sent = output.index;
        input.index += drops ? 1 : 2000;
        if (drops)
            CHECK_EQUAL(sequence_map_drop(&map, copies, &input, 8 * MS, &output), SEQUENCE_GONE);
        else
            CHECK_EQUAL(sequence_map_forward(&map, copies, &input, 8 * MS, &output), 0);
        CHECK_EQUAL(map.count, 1);
        late.window = 2;
        CHECK_EQUAL(sequence_map_forward(&map, copies, &late, 9 * MS, &output), -ESTALE);
        late.window = 1;
        CHECK_EQUAL(sequence_map_forward(&map, copies, &late, 9 * MS, &output), 0);
        CHECK_EQUAL(output.index, sent - 1);
    }
}

/* Likewise for a sealed sink, whose runs of one encoding follow each other. */
static void test_another_window_of_a_sealed_sink(void)
{
    struct sequence_map map = {0};
    struct projection copies[2] = {{0}};
    struct projection_output output;
    uint64_t used[LIMIT_ENCODINGS] = {0}, *parked[LIMIT_ENCODINGS];
    for (unsigned i = 0; i < LIMIT_ENCODINGS; i++) parked[i] = &used[i];
    struct projection_input input = input_of(1, 500), late = input_of(1, 501);
    input.window = late.window = 1;
    CHECK_EQUAL(sequence_map_begin_sealed(&map, copies, parked, &input, 3, MS, &output), 0);
    input.index = 502;
    CHECK_EQUAL(sequence_map_forward(&map, copies, &input, 2 * MS, &output), 0);
    uint64_t sent = output.index;
    input.index = 600;
    CHECK_EQUAL(sequence_map_begin_sealed(&map, copies, parked, &input, 3, 3 * MS, &output), 0);
    late.window = 2;
    CHECK_EQUAL(sequence_map_forward(&map, copies, &late, 4 * MS, &output), -ESTALE);
    late.window = 1;
    CHECK_EQUAL(sequence_map_forward(&map, copies, &late, 4 * MS, &output), 0);
    CHECK_EQUAL(output.index, sent - 1);
}

/* ---- kills ---- */

struct shared {
    struct projection copies[2];
    volatile uint64_t encrypted; /* greatest index so far */
    volatile uint64_t inputs;    /* its input */
};

static void work(struct shared *shared, uint64_t state)
{
    struct sequence_map map = {0};
    for (uint64_t index = shared->inputs + 4;; index++) { /* beyond what the killed one may have taken */
        struct projection_input input = input_of(1, index);
        input.picture_id_bits = 0;
        struct projection_output output;
        uint64_t choice = random_next(&state);
        int result;
        if (!projection_current(shared->copies)->started) {
            result = sequence_map_begin(&map, shared->copies, &input, false, 90000, 1, index, &output);
        } else if (choice & 1) {
            result = sequence_map_forward(&map, shared->copies, &input, index, &output);
        } else {
            if (choice & 2) input.index = ++index; /* one missing before what is dropped */
            result = sequence_map_drop(&map, shared->copies, &input, index, &output);
        }
        shared->inputs = index;
        if (result == SEQUENCE_GONE) continue;
        if (result < 0 || output.index <= shared->encrypted) _exit(1);
        shared->encrypted = output.index;
    }
}

static void test_a_kill_at_any_instruction_repeats_no_index(void)
{
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    uint64_t state = 5;
    for (int round = 0; round < 100; round++) {
        uint64_t before = shared->encrypted, seed = random_next(&state), pause = random_next(&state) & 0xffff;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) work(shared, seed);
        while (shared->encrypted == before) {
            int status;
            CHECK_EQUAL(waitpid(child, &status, WNOHANG), 0);
        }
        for (volatile uint64_t spin = 0; spin < pause; spin = spin + 1) continue;
        CHECK_EQUAL(kill(child, SIGKILL), 0);
        CHECK_EQUAL(waitpid(child, NULL, 0), child);
        CHECK(projection_current(shared->copies)->highest_index >= shared->encrypted);
    }
    munmap(shared, sizeof *shared);
}

int main(void)
{
    test_tables();
    test_picture_ids_close_up();
    test_next_source_goes_on_after_a_missing_base();
    test_chance();
    test_reordering_alone_leaves_no_gap();
    test_origins();
    test_a_pause();
    test_another_window();
    test_another_window_of_a_sealed_sink();
    test_a_kill_at_any_instruction_repeats_no_index();
    return 0;
}
