/* Dependency descriptors written bit by bit and read back, cut at every length, and random ones; and what sinks let through by them. */
#include <errno.h>

#include "check.h"
#include "dependency.h"
#include "descriptors.h"
#include "layer.h"

static int reading(struct dependency_state *state, const struct writer *writer, struct dependency_frame *frame)
{
    uint8_t *copy = exact_copy(writer->bytes, size_of(writer));
    int result = dependency_read_untrusted(state, copy, size_of(writer), frame);
    free(copy);
    return result;
}

static void test_structure(void)
{
    static struct dependency_state state;
    struct dependency_frame frame;
    memset(&state, 0, sizeof state);
    struct writer writer = delta(7, 11);
    CHECK_EQUAL(reading(&state, &writer, &frame), -ENODATA);
    CHECK_EQUAL(frame.frame_number, 7);
    CHECK_EQUAL(frame.template_id, 11);
    CHECK_EQUAL(frame.start, 1);

    writer = key_frame(8, 10);
    CHECK_EQUAL(reading(&state, &writer, &frame), 0);
    CHECK(frame.key_frame && frame.structure_attached && frame.start && !frame.end);
    CHECK_EQUAL(frame.width, 1280);
    CHECK_EQUAL(frame.height, 720);
    CHECK_EQUAL(frame.fdiff_count, 0);
    CHECK_EQUAL(state.structure.template_count, 5);
    CHECK_EQUAL(state.structure.target_count, 3);
    CHECK_EQUAL(state.structure.chain_count, 1);
    CHECK_EQUAL(state.structure.max_temporal, 2);
    CHECK_EQUAL(state.active_targets, 7);
    static const uint8_t watched[] = {0, 1, 2, 2, 2, 2, 2, 2};
    CHECK_BYTES(state.structure.target_of_temporal, watched, 8);

    static const struct {
        unsigned template_id;
        uint8_t temporal, needed, switch_up, discardable;
        uint16_t fdiff;
    } rows[] = {
        {11, 0, 0xff, 0xff, 0, 4},
        {12, 1, 0xfe, 0xfc, 1, 2},
        {13, 2, 0xfc, 0, 1, 1},
        {14, 2, 0xfc, 0, 1, 1},
    };
    for (uint16_t i = 0; i < 4; i++) {
        writer = delta((uint16_t)(9 + i), rows[i].template_id);
        CHECK_EQUAL(reading(&state, &writer, &frame), 0);
        CHECK(!frame.key_frame);
        CHECK_EQUAL(frame.temporal_id, rows[i].temporal);
        CHECK_EQUAL(frame.fdiff_count, 1);
        CHECK_EQUAL(frame.fdiffs[0], rows[i].fdiff);
        struct packet_layer layer = layer_of_dependency(&state, &frame);
        CHECK_EQUAL(layer.needed, rows[i].needed);
        CHECK_EQUAL(layer.switch_up, rows[i].switch_up);
        CHECK_EQUAL(layer.discardable, rows[i].discardable);
        CHECK_EQUAL(layer.base, i == 0);
    }
    static const unsigned unknown[] = {9, 15, 0, 63};
    for (int i = 0; i < 4; i++) {
        struct dependency_state before = state;
        writer = delta(20, unknown[i]);
        CHECK_EQUAL(reading(&state, &writer, &frame), -EBADMSG);
        CHECK_BYTES(&before, &state, sizeof state);
    }
}

static void test_custom_fields(void)
{
    static struct dependency_state state;
    struct dependency_frame frame;
    memset(&state, 0, sizeof state);
    struct writer writer = key_frame(1, 62); /* template ids wrap at 64 */
    CHECK_EQUAL(reading(&state, &writer, &frame), 0);
    writer = (struct writer){0};
    mandatory(&writer, false, true, 0, 2); /* the third template */
    put(&writer, 0x0f, 5);                 /* active targets and everything custom */
    put(&writer, 3, 3);
    put_dtis(&writer, "-SR");
    put(&writer, 1, 2);
    put(&writer, 15, 4);
    put(&writer, 3, 2);
    put(&writer, 4095, 12);
    put(&writer, 2, 2);
    put(&writer, 99, 8);
    put(&writer, 0, 2);
    put(&writer, 200, 8); /* chain */
    CHECK_EQUAL(reading(&state, &writer, &frame), 0);
    CHECK_EQUAL(frame.temporal_id, 1);
    CHECK_EQUAL(frame.active_targets, 3);
    CHECK_EQUAL(state.active_targets, 3);
    CHECK_EQUAL(dependency_of(frame.dtis, 0), DEPENDENCY_NOT_PRESENT);
    CHECK_EQUAL(dependency_of(frame.dtis, 1), DEPENDENCY_SWITCH);
    CHECK_EQUAL(dependency_of(frame.dtis, 2), DEPENDENCY_REQUIRED);
    CHECK_EQUAL(frame.fdiff_count, 3);
    CHECK_EQUAL(frame.fdiffs[0], 16);
    CHECK_EQUAL(frame.fdiffs[1], 4096);
    CHECK_EQUAL(frame.fdiffs[2], 100);
    writer.at -= 8; /* without the chain */
    CHECK_EQUAL(reading(&state, &writer, &frame), -EBADMSG);
    CHECK_EQUAL(state.active_targets, 3);
}

/* Late packets: an older structure does not come back, a newer one is taken though later frames were seen. */
static void test_late_structures(void)
{
    static struct dependency_state state;
    struct dependency_frame frame;
    memset(&state, 0, sizeof state);
    struct writer first = key_frame(65530, 0), second = key_frame(4, 20),
                  of_first = delta(65534, 1), of_second = delta(6, 21);
    CHECK_EQUAL(reading(&state, &first, &frame), 0);
    CHECK_EQUAL(reading(&state, &second, &frame), 0);
    CHECK_EQUAL(state.structure.template_id_offset, 20);
    CHECK_EQUAL(reading(&state, &of_first, &frame), -ENODATA);
    CHECK_EQUAL(reading(&state, &first, &frame), -ENODATA);
    CHECK_EQUAL(state.structure.template_id_offset, 20);
    CHECK_EQUAL(reading(&state, &of_second, &frame), 0);
    CHECK_EQUAL(state.newest_frame, 6);
    CHECK_EQUAL(state.structure_age, 2);

    memset(&state, 0, sizeof state);
    CHECK_EQUAL(reading(&state, &first, &frame), 0);
    struct writer ahead = delta(10, 3);
    CHECK_EQUAL(reading(&state, &ahead, &frame), 0);
    CHECK_EQUAL(reading(&state, &second, &frame), 0); /* repaired late */
    CHECK_EQUAL(state.structure.template_id_offset, 20);
    CHECK_EQUAL(state.newest_frame, 10);
    CHECK_EQUAL(state.structure_age, 6);
    CHECK_EQUAL(reading(&state, &of_second, &frame), 0);
    CHECK_EQUAL(reading(&state, &of_first, &frame), -ENODATA);
    struct writer anew = key_frame(20000, 40); /* the sender began anew, far behind or ahead */
    CHECK_EQUAL(reading(&state, &anew, &frame), 0);
    CHECK_EQUAL(state.structure.template_id_offset, 40);
    anew = key_frame(10, 50);
    CHECK_EQUAL(reading(&state, &anew, &frame), 0);
    CHECK_EQUAL(state.structure.template_id_offset, 50);
}

/* Every length of a sound one either reads as before, or is refused and changes nothing. */
static void sweep(struct dependency_state *known, const uint8_t *bytes, size_t length)
{
    for (size_t cut = 0; cut <= length; cut++) {
        static struct dependency_state state;
        state = *known;
        struct dependency_frame frame;
        uint8_t *copy = exact_copy(bytes, cut);
        int result = dependency_read_untrusted(&state, copy, cut, &frame);
        CHECK(result == 0 || result == -EBADMSG || result == -ENODATA);
        if (cut < 3) CHECK_EQUAL(result, -EBADMSG);
        if (result != 0) {
            CHECK_BYTES(known, &state, sizeof state);
        } else {
            const struct dependency_structure *structure = &state.structure;
            CHECK(structure->template_count >= 1 && structure->template_count <= DEPENDENCY_TEMPLATES);
            CHECK(structure->target_count >= 1 && structure->target_count <= DEPENDENCY_TARGETS);
            CHECK(frame.spatial_id < DEPENDENCY_SPATIAL && frame.temporal_id < DEPENDENCY_TEMPORAL);
            for (int t = 0; t < 8; t++)
                CHECK(structure->target_of_temporal[t] < structure->target_count);
            layer_of_dependency(&state, &frame);
        }
        free(copy);
    }
}

static void test_lengths_and_chance(void)
{
    static struct dependency_state none, known;
    struct dependency_frame frame;
    struct writer writer = key_frame(8, 10);
    CHECK_EQUAL(reading(&known, &writer, &frame), 0);
    sweep(&none, writer.bytes, size_of(&writer));
    sweep(&known, writer.bytes, size_of(&writer));
    uint64_t state = 2;
    for (int i = 0; i < 30000; i++) {
        uint8_t bytes[255];
        size_t length = random_next(&state) % sizeof bytes;
        random_fill(&state, bytes, length);
        if (i % 2)
            memcpy(bytes, writer.bytes, length < size_of(&writer) ? length : size_of(&writer));
        if (length > 4) bytes[random_next(&state) % length] ^= (uint8_t)(1 << i % 8);
        uint8_t *copy = exact_copy(bytes, length);
        static struct dependency_state moving;
        dependency_read_untrusted(&moving, copy, length, &frame);
        free(copy);
        if (i % 100 == 0) sweep(&known, bytes, length);
    }
    for (size_t length = 0; length <= 1500; length++) { /* longer than any extension, too: chance, and a sound one with a tail */
        uint8_t bytes[1500];
        for (int sound = 0; sound < 2; sound++) {
            random_fill(&state, bytes, sizeof bytes);
            if (sound) memcpy(bytes, writer.bytes, size_of(&writer));
            uint8_t *copy = exact_copy(bytes, length);
            static struct dependency_state moving;
            int result = dependency_read_untrusted(&moving, copy, length, &frame);
            CHECK(result == 0 || result == -EBADMSG || result == -ENODATA);
            if (length < 3 || length > 255) CHECK_EQUAL(result, -EBADMSG);
            free(copy);
        }
    }
    uint8_t most[256] = {0xff, 0, 0, 0x80};
    CHECK_EQUAL(dependency_read_untrusted(&none, most, 256, &frame), -EBADMSG); /* no extension is so long */
}

/* The bytes after each "hex" of a file of vectors, where there are any. */
static void test_corpus(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) return;
    static char text[1 << 16];
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    static struct dependency_state none, moving;
    memset(&moving, 0, sizeof moving);
    unsigned cases = 0;
    for (char *at = text; (at = strstr(at, "\"hex\": \"")); cases++) {
        at += 8;
        static uint8_t bytes[1 << 14];
        char *end = strchr(at, '"');
        *end = 0;
        size_t size = hex_bytes(at, bytes);
        at = end + 1;
        struct dependency_frame frame;
        for (size_t from = 0; from < size; from += 40) { /* the fuzzers' inputs hold several */
            sweep(&none, bytes + from, size - from < 255 ? size - from : 255);
            sweep(&moving, bytes + from, size - from < 255 ? size - from : 255);
            dependency_read_untrusted(&moving, bytes + from, size - from < 255 ? size - from : 255, &frame);
        }
    }
    CHECK(cases > 10);
}

/* ---- what one sink lets through ---- */

/* Frames of a pattern, whose wish changes: which ones pass, as text. */
static void filtered(const char *temporal, const char *sync, const char *wanted, const char *passes)
{
    struct layer_filter filter;
    layer_begin(&filter, (uint8_t)(wanted[0] - '0'), 0);
    for (size_t i = 0; temporal[i]; i++) {
        struct vp8_descriptor vp8 = {
            .has_temporal_id = 1,
            .temporal_id = (uint8_t)(temporal[i] - '0'),
            .layer_sync = sync[i] == 'Y',
            .key_frame = sync[i] == 'K',
        };
        struct packet_layer layer = layer_of_vp8(&vp8);
        for (int packet = 0; packet < 2; packet++) { /* the frame's second packet goes the way of its first */
            bool passed = layer_passes(&filter, &layer, (uint8_t)(wanted[i] - '0'), (uint32_t)(i + 1) * 3000);
            CHECK_EQUAL(passed, passes[i] == 'x');
            vp8.key_frame = 0;
            layer = layer_of_vp8(&vp8);
        }
    }
}

static void test_filter(void)
{
    /*        temporal ids         Y = sync, K = key  wanted              passes */
    filtered("0212021202120212", "K...............", "7777777777777777", "xxxxxxxxxxxxxxxx");
    filtered("0212021202120212", "K...............", "0000000000000000", "x...x...x...x...");
    filtered("0212021202120212", "K...............", "1111111111111111", "x.x.x.x.x.x.x.x.");
    filtered("0212021202120212", "K...............", "7772200000000000", "xxxxx...x...x...");
    filtered("0212021202120212", ".YY......YY......", "0000000022222222", "x...x...x.x.x.x."); /* one step at each sync frame */
    filtered("0212021202120212", "..Y.......YY.....", "0000000022222222", "x...x...x.xxxxxx");
    filtered("0212021202120212", "........K.......", "0000000022222222", "x...x...xxxxxxxx"); /* a key frame opens all */
    filtered("0212021202120212", "................", "0000000022222222", "x...x...x...x...");

    struct layer_filter filter = {0};
    struct packet_layer unknown = {0}, top = {.known = 1, .needed = 0xfc},
                        base = {.known = 1, .needed = 0xff, .switch_up = 0xfc};
    CHECK(layer_passes(&filter, &unknown, 0, 5));
    CHECK(!layer_passes(&filter, &top, 2, 10)); /* a successor begins with the base */
    CHECK(layer_passes(&filter, &base, 2, 20)); /* where the target may be switched to, at once to it */
    CHECK(layer_passes(&filter, &top, 2, 30));
    CHECK(layer_passes(&filter, &top, 0, 20)); /* late: the wish for less counts from the next frame on */
    CHECK(!layer_passes(&filter, &top, 0, 40));
    CHECK(!layer_passes(&filter, &top, 2, 10)); /* late, of a frame that was left out: not a fragment of it */
    CHECK(layer_passes(&filter, &top, 2, 30)); /* late, of one that went */
    for (uint32_t i = 0; i < 2 * LAYER_CHANGES; i++) { /* up and down: every late packet goes as its frame went */
        uint32_t at = 100 + 20 * i;
        CHECK(layer_passes(&filter, &base, 2, at));
        CHECK(!layer_passes(&filter, &top, 0, at + 10));
        for (uint32_t back = 0; back < LAYER_CHANGES && back <= 2 * i; back++) {
            bool went = back % 2;
            CHECK_EQUAL(layer_passes(&filter, &top, (uint8_t)(back % 3), at + 10 - 10 * back), went);
        }
    }
    struct vp8_descriptor plain = {0};
    CHECK(!layer_of_vp8(&plain).known);
}

int main(void)
{
    test_structure();
    test_custom_fields();
    test_late_structures();
    test_lengths_and_chance();
    test_corpus("../../../../shared/vectors/av1-dd/dependency-descriptors.json");
    test_corpus("../../../../shared/vectors/libwebrtc-fuzz/dependency_descriptor-corpus.json");
    test_filter();
    return 0;
}
