/* The outgoing stream against the promise it makes: no index for two packets. Millions of steps of chance, and kills. */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "projection.h"

enum { SENDERS = 4, INPUTS = 1 << 16, OUTPUTS = 1 << 23, WINDOW = 1024 };

struct sender {
    uint64_t first, newest;
    uint8_t seen[INPUTS]; /* ingress lets each index through once */
};

/* An index not yet seen, mostly the next, sometimes one of the last WINDOW or one far ahead; 0 if it was seen. */
static uint64_t ingress(struct sender *sender, uint64_t *state)
{
    uint64_t choice = random_next(state), index = sender->newest + 1;
    if (choice % 4 == 0) index += choice >> 8 & 3;
    if (choice % 1024 == 1) index += choice >> 8 & 0xfff;
    if (choice % 4 == 2 && sender->newest > sender->first + WINDOW)
        index = sender->newest - (choice >> 8 & (WINDOW - 1));
    uint64_t place = index - sender->first;
    if (place >= INPUTS) { /* another SSRC: another space of indices */
        memset(sender->seen, 0, INPUTS);
        sender->first = sender->newest = index;
        return 0;
    }
    if (sender->seen[place]) return 0;
    sender->seen[place] = 1;
    if (index > sender->newest) sender->newest = index;
    return index;
}

static void test_no_index_is_used_twice(void)
{
    static struct sender senders[SENDERS];
    static uint8_t used[OUTPUTS];
    struct projection copies[2] = {{0}};
    uint64_t state = 99, now = 1, highest = 0, seen_at_once = 0;
    for (uint32_t i = 0; i < SENDERS; i++)
        senders[i].first = senders[i].newest = (uint64_t)i * 0xfff0 + 1;
    for (int step = 0; step < 1000000; step++) {
        uint64_t choice = random_next(&state);
        uint32_t who = choice & 3 ? (uint32_t)(step >> 8) % SENDERS : (uint32_t)(choice >> 8) % SENDERS;
        uint64_t index = ingress(&senders[who], &state);
        if (index == 0) continue;
        struct projection_input input = {
            .source = who,
            .source_incarnation = 1,
            .ssrc = (uint32_t)senders[who].first,
            .timestamp = (uint32_t)index * 90,
            .index = index,
            .picture_id = (uint16_t)index & 0x7fff,
            .picture_id_bits = 15,
            .has_tl0 = 1,
            .tl0 = (uint8_t)index,
        };
        struct projection_output output;
        now += choice >> 20 & 0xfffff;
        if ((choice >> 40) % 100 == 0) projection_end(copies);
        if ((choice >> 48) % 50 == 0) {
            projection_skip(copies, &input);
            continue;
        }
        int result = projection_map(copies, &input, now, &output);
        if (result == -EXDEV && (choice >> 56) % 4 == 0)
            result = projection_begin(copies, &input, who & 1, 48000, 0x12345678, now, &output);
        CHECK(result == 0 || result == -EXDEV || result == -ESTALE);
        if (result != 0) continue;
        CHECK(output.index < OUTPUTS);
        CHECK(!used[output.index]);
        used[output.index] = 1;
        seen_at_once++;
        CHECK(seen_at_once == 1 || output.index <= highest + PROJECTION_MAX_GAP + 1);
        if (output.index > highest) highest = output.index;
        CHECK_EQUAL(projection_current(copies)->highest_index, highest);
    }
    CHECK(seen_at_once > 300000);
}

/* The version wraps after 49 days of 1000 packets a second. */
static void test_the_version_wraps(void)
{
    struct projection copies[2] = {{0}};
    struct projection_input input = {.index = 1};
    struct projection_output output;
    CHECK_EQUAL(projection_begin(copies, &input, false, 90000, 0, 0, &output), 0);
    copies[1].version = 0xfffffffe;
    for (uint64_t i = 0; i < 6; i++) {
        input.index++;
        CHECK_EQUAL(projection_map(copies, &input, 0, &output), 0);
        CHECK_EQUAL(output.index, i + 1);
        CHECK_EQUAL(projection_current(copies)->highest_index, i + 1);
    }
    CHECK_EQUAL(projection_current(copies)->version, 5);
}

static void test_a_nonsense_clock_is_refused(void)
{
    struct projection copies[2] = {{0}};
    struct projection_input input = {.index = 1};
    struct projection_output output;
    CHECK_EQUAL(projection_begin(copies, &input, true, 0, 0, 0, &output), -EINVAL);
    CHECK_EQUAL(projection_current(copies)->started, 0);
}

struct shared {
    struct projection copies[2];
    volatile uint64_t encrypted;
};

static void work(struct shared *shared, uint64_t state)
{
    struct projection_output output;
    for (uint64_t n = projection_current(shared->copies)->highest_index + 1;; n++) {
        /* Every field follows from n, so that a torn row shows. */
        struct projection_input input = {.index = n, .timestamp = (uint32_t)n, .source = 7, .ssrc = 7};
        int result = -1;
        if (random_next(&state) & 3) result = projection_map(shared->copies, &input, n, &output);
        if (result < 0)
            result = projection_begin(shared->copies, &input, false, 90000, n, n, &output);
        if (result < 0) _exit(1);
        shared->encrypted = output.index; /* a worker would encrypt here */
    }
}

static void test_a_kill_at_any_instruction_leaves_a_row_to_go_on_from(void)
{
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    uint64_t state = 5;
    for (int round = 0; round < 300; round++) {
        uint64_t before = shared->encrypted;
        uint64_t seed = random_next(&state), pause = random_next(&state) & 0xffff;
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

        const struct projection *row = projection_current(shared->copies);
        uint64_t encrypted = shared->encrypted;
        CHECK(row->highest_index >= encrypted);
        CHECK(row->highest_index <= encrypted + 1);
        CHECK_EQUAL(row->last_sent_ns, row->highest_index);
        CHECK_EQUAL(row->last_timestamp, (uint32_t)row->highest_index + row->timestamp_offset);
        CHECK_EQUAL(row->index_offset, 0);
        CHECK(row->first_input <= row->highest_index);
    }
    munmap(shared, sizeof *shared);
}

int main(void)
{
    test_no_index_is_used_twice();
    test_the_version_wraps();
    test_a_nonsense_clock_is_refused();
    test_a_kill_at_any_instruction_leaves_a_row_to_go_on_from();
    return 0;
}
