/* A worker may be killed at any instruction: no index it handed out is handed out again, and no
   packet it accepted is accepted again. Shown twice: by stopping a child after each single
   instruction, and by killing children at random. */
#include "check.h"
#include "replay.h"
#include "srtp.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SSRC = 0x51515151, RTCP_SSRC = 0x61616161 };

static void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static void keys_make(struct srtp_keys *keys, enum srtp_profile profile)
{
    struct srtp_key master = {{1, 2, 3}, {4, 5, 6}, {0}};
    CHECK_EQUAL(srtp_keys_expand(keys, profile, &master), 0);
}

static void header_make(uint8_t *packet, uint64_t index, uint32_t ssrc)
{
    memset(packet, 0, 12);
    packet[0] = 0x80;
    packet[2] = (uint8_t)(index >> 8);
    packet[3] = (uint8_t)index;
    for (int i = 0; i < 4; i++) packet[8 + i] = (uint8_t)(ssrc >> (24 - 8 * i));
}

/* ---- after every instruction ---- */

struct step_case {
    struct srtp_keys keys;
    struct srtp_rx_state rx[LIMIT_RX_SSRCS]; /* in shared memory, as all of this */
    uint32_t tx_index;
    uint8_t packet[256];
    size_t length;
    uint64_t index;  /* of the packet that comes */
    uint64_t before; /* tx_index or highest */
    uint64_t window[LIMIT_REPLAY_WINDOW / 64];
    int result;
};

/* Runs `work` in a child and calls `verify` after each instruction of it. Returns how many, 0 when
   tracing is not allowed here. */
static long step_through(struct step_case *state, void (*work)(struct step_case *),
                         void (*verify)(const struct step_case *))
{
    fflush(NULL);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(77);
        raise(SIGSTOP);
        work(state);
        raise(SIGUSR1);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status)) return 0;
    long steps = 0;
    for (;; steps++) {
        CHECK(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0);
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFSTOPPED(status));
        if (WSTOPSIG(status) == SIGUSR1) break;
        CHECK(WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP);
        verify(state);
    }
    kill(child, SIGKILL);
    CHECK(waitpid(child, &status, 0) == child);
    return steps;
}

static void work_unprotect(struct step_case *state)
{
    uint64_t index;
    state->result =
        srtp_unprotect_untrusted(&state->keys, state->rx, state->packet, &state->length, 12, &index);
}

/* What the window refused it refuses still, the packet that came excepted. */
static void verify_window(const struct step_case *state)
{
    const struct srtp_rx_state *rx = &state->rx[0];
    CHECK(rx->highest == state->before || rx->highest == state->index);
    const uint64_t first = state->before < LIMIT_REPLAY_WINDOW ? 0 : state->before - LIMIT_REPLAY_WINDOW;
    for (uint64_t i = first; i <= state->before; i++)
        if (i != state->index && replay_refuses(state->window, LIMIT_REPLAY_WINDOW, state->before, i))
            CHECK(replay_refuses(rx->window, LIMIT_REPLAY_WINDOW, rx->highest, i));
    if (rx->highest == state->index)
        CHECK(replay_refuses(rx->window, LIMIT_REPLAY_WINDOW, rx->highest, state->index));
}

static void verify_claim(const struct step_case *state)
{
    const struct srtp_rx_state *rx = &state->rx[0];
    CHECK(rx->ssrc == 0 || rx->ssrc == SSRC);
    if (rx->ssrc != 0)
        CHECK(replay_refuses(rx->window, LIMIT_REPLAY_WINDOW, rx->highest, state->index));
}

static void packet_for(struct step_case *state, uint64_t index)
{
    uint8_t plain[40] = {0};
    header_make(state->packet, index, SSRC);
    int length = srtp_protect(&state->keys, index, state->packet, sizeof state->packet, 12, plain, sizeof plain);
    CHECK(length > 0);
    state->length = (size_t)length;
    state->index = index;
}

static long steps_of_unprotect(struct step_case *state)
{
    long steps = 0;
    const int64_t jumps[] = {1, 2, 70, 1023, 1024, 1025, 20000, -1, -64, -1023};
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        struct srtp_rx_state *rx = &state->rx[0];
        uint64_t seed = 3 + i;
        memset(state->rx, 0, sizeof state->rx);
        random_fill(&seed, (uint8_t *)rx->window, sizeof rx->window);
        rx->ssrc = SSRC;
        rx->used = 1;
        rx->highest = 0x1fff0;
        packet_for(state, (uint64_t)((int64_t)rx->highest + jumps[i]));
        /* the newest was seen of course, and the packet that comes was not */
        rx->window[rx->highest % LIMIT_REPLAY_WINDOW / 64] |= 1ull << (rx->highest % 64);
        if (jumps[i] < 0)
            rx->window[state->index % LIMIT_REPLAY_WINDOW / 64] &= ~(1ull << (state->index % 64));
        memcpy(state->window, rx->window, sizeof state->window);
        state->before = rx->highest;
        state->result = 1;
        steps += step_through(state, work_unprotect, verify_window);
        if (steps == 0) return 0;
        CHECK_EQUAL(state->result, 0);
    }
    memset(state->rx, 0, sizeof state->rx);
    memset(state->rx[0].window, 0xff, sizeof state->rx[0].window); /* of an entry that was never claimed */
    packet_for(state, 77);
    steps += step_through(state, work_unprotect, verify_claim);
    CHECK_EQUAL(state->result, 0);
    CHECK_EQUAL(state->rx[0].ssrc, SSRC);
    return steps;
}

static void work_rtcp_protect(struct step_case *state)
{
    state->result = srtcp_protect(&state->keys, &state->tx_index, state->packet, 60, sizeof state->packet);
}

/* The first byte of ciphertext comes after the index was stored. */
static void verify_rtcp_index(const struct step_case *state)
{
    int touched = 0;
    for (size_t i = 8; i < sizeof state->packet; i++) touched |= state->packet[i] ^ 0x5a;
    if (touched) CHECK_EQUAL(state->tx_index, state->before + 1);
}

static long steps_of_rtcp_protect(struct step_case *state)
{
    memset(state->packet, 0x5a, sizeof state->packet);
    header_make(state->packet, 0, 0);
    memset(state->packet + 8, 0x5a, 4);
    state->tx_index = 41;
    state->before = 41;
    long steps = step_through(state, work_rtcp_protect, verify_rtcp_index);
    if (steps > 0) CHECK(state->result > 60);
    return steps;
}

/* ---- at random ---- */

enum { KILLS = 150, LOG = 1 << 21 };

struct arena {
    struct srtp_rx_state rx[LIMIT_RX_SSRCS];
    struct srtcp_rx_state rtcp_rx[LIMIT_RX_SSRCS];
    uint64_t tx_highest;
    uint32_t rtcp_tx_index;
    _Atomic uint32_t accepted_count, sent_count, rtcp_sent_count;
    uint32_t accepted[LOG]; /* index of each packet a call returned 0 for */
    uint32_t sent[LOG], rtcp_sent[LOG];
};

static void log_add(uint32_t *log, _Atomic uint32_t *count, uint32_t value)
{
    const uint32_t at = atomic_load(count);
    if (at >= LOG) return;
    log[at] = value;
    atomic_store(count, at + 1);
}

/* Takes packets around the newest in any order and often twice; sends under indices stored before. */
static void work_until_killed(struct arena *arena, const struct srtp_keys *keys, uint64_t seed)
{
    const uint8_t plain[4] = {0};
    uint8_t out[64];
    for (;;) {
        const uint64_t newest = arena->rx[0].ssrc ? arena->rx[0].highest : 0;
        const uint64_t ahead = random_next(&seed) % 40, back = random_next(&seed) % 1500;
        const int late = random_next(&seed) % 2 == 0;
        const uint64_t index = !late ? newest + ahead : newest > back ? newest - back : 0;
        header_make(out, index, SSRC);
        size_t length = (size_t)srtp_protect(keys, index, out, sizeof out, 12, plain, sizeof plain);
        uint64_t found;
        if (srtp_unprotect_untrusted(keys, arena->rx, out, &length, 12, &found) == 0)
            log_add(arena->accepted, &arena->accepted_count, (uint32_t)found);

        const uint64_t next = arena->tx_highest + 1;
        arena->tx_highest = next;
        table_barrier();
        header_make(out, next, SSRC);
        if (srtp_protect(keys, next, out, sizeof out, 12, plain, sizeof plain) > 0)
            log_add(arena->sent, &arena->sent_count, (uint32_t)next);
        header_make(out, 0, 0);
        const uint32_t word_at = keys->tag_size == 10 ? 16 : 32;
        if (srtcp_protect(keys, &arena->rtcp_tx_index, out, 16, sizeof out) > 0)
            log_add(arena->rtcp_sent, &arena->rtcp_sent_count,
                    (uint32_t)out[word_at + 1] << 16 | (uint32_t)out[word_at + 2] << 8 | out[word_at + 3]);
    }
}

static int by_value(const void *a, const void *b)
{
    const uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static void check_no_repeats(uint32_t *log, uint32_t count)
{
    qsort(log, count, sizeof *log, by_value);
    for (uint32_t i = 1; i < count; i++) CHECK(log[i] != log[i - 1]);
}

static void test_random_kills(enum srtp_profile profile)
{
    struct arena *arena = shared(sizeof *arena);
    struct srtp_keys keys;
    uint64_t seed = 12;
    keys_make(&keys, profile);
    for (int i = 0; i < KILLS; i++) {
        fflush(NULL);
        const pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) work_until_killed(arena, &keys, random_next(&seed) | 1);
        (void)random_next(&seed);
        const struct timespec wait = {0, (long)(random_next(&seed) % 4000000)};
        nanosleep(&wait, NULL);
        kill(child, SIGKILL);
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    printf(
        "%d kills, profile %d: %u packets accepted, %u RTP and %u RTCP packets made, none twice\n",
        KILLS, (int)profile, arena->accepted_count, arena->sent_count, arena->rtcp_sent_count);
    CHECK(arena->accepted_count > 1000 && arena->sent_count > 1000);
    check_no_repeats(arena->accepted, arena->accepted_count);
    check_no_repeats(arena->sent, arena->sent_count);
    check_no_repeats(arena->rtcp_sent, arena->rtcp_sent_count);
    srtp_keys_wipe(&keys);
    munmap(arena, sizeof *arena);
}

int main(void)
{
    const enum srtp_profile profiles[] = {SRTP_AES128_CM_SHA1_80, SRTP_AEAD_AES_128_GCM};
    for (size_t i = 0; i < 2; i++) {
        struct step_case *state = shared(sizeof *state);
        keys_make(&state->keys, profiles[i]);
        const long steps = steps_of_unprotect(state);
        if (steps > 0)
            printf("profile %d: sound after each of %ld instructions\n", (int)profiles[i],
                   steps + steps_of_rtcp_protect(state));
        srtp_keys_wipe(&state->keys);
        munmap(state, sizeof *state);
        test_random_kills(profiles[i]);
    }
    return 0;
}
