/* The tables: check values, attach, generations, and writers that are killed. */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "rows.h"
#include "table.h"
#include "table_reader.h"

#define KILLS 500

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

struct segments {
    int config_fd, state_fd;
    struct config_view config;
    struct state_view state;
};

static int segment(const char *name, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

static struct segments make(struct table_capacities room)
{
    struct segments made = {
        segment("config", table_config_size(room)), segment("state", table_state_size(room)), {0}, {0}};
    struct table_reader mapped;
    void *memory =
        mmap(NULL, table_config_size(room), PROT_READ | PROT_WRITE, MAP_SHARED, made.config_fd, 0);
    table_config_format(memory, room);
    munmap(memory, table_config_size(room));
    memory = mmap(NULL, table_state_size(room), PROT_READ | PROT_WRITE, MAP_SHARED, made.state_fd, 0);
    table_state_format(memory, room);
    munmap(memory, table_state_size(room));
    CHECK_EQUAL(table_reader_open(&mapped, made.config_fd, made.state_fd), 0);
    made.config = mapped.config;
    made.state = mapped.state;
    return made;
}

static void release(struct segments *made)
{
    munmap(made->config.header, made->config.size);
    munmap(made->state.header, made->state.size);
    close(made->config_fd);
    close(made->state_fd);
}

/* Bit by bit from the polynomial: slow and plain. */
static uint32_t plain_crc32c(const uint8_t *bytes, size_t size)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

static void test_check_value(void)
{
    uint8_t row[404] = {0};
    memcpy(row + 4, "123456789", 9);
    CHECK_EQUAL(row_check(row, 13), 0xe3069283); /* RFC 3720 B.4's polynomial, its usual check value */
    uint64_t random = 1;
    for (size_t size = 5; size <= sizeof(row); size++) {
        random_fill(&random, row, size);
        CHECK_EQUAL(row_check(row, size), plain_crc32c(row + 4, size - 4));
        CHECK_EQUAL(row_check_portable(row, size), plain_crc32c(row + 4, size - 4));
        for (int flip = 0; flip < 8; flip++) {
            uint32_t before = row_check(row, size);
            size_t at = 4 + random_next(&random) % (size - 4);
            row[at] ^= (uint8_t)(1u << (random_next(&random) & 7));
            CHECK(row_check(row, size) != before);
        }
    }
    /* Bytes whose CRC is 0 get 1: no row with check 0 is ever valid. */
    CHECK_EQUAL(plain_crc32c(row, 0), 0);
    CHECK_EQUAL(row_check(row, 4), 1);
}

static void test_attach_refuses(void)
{
    struct table_capacities room = {4, 8, 16};
    size_t config_size = table_config_size(room), state_size = table_state_size(room);
    uint8_t *config = aligned_alloc(64, config_size), *state = aligned_alloc(64, state_size);
    struct config_view config_view;
    struct state_view state_view;
    for (size_t i = 0; i < 64; i += 4) {
        memset(config, 0, config_size);
        memset(state, 0, state_size);
        table_config_format(config, room);
        table_state_format(state, room);
        CHECK_EQUAL(table_config_attach(config, config_size, &config_view), 0);
        CHECK_EQUAL(table_state_attach(state, state_size, &state_view), 0);
        CHECK_EQUAL(table_config_attach(config, config_size - 1, &config_view), -EINVAL);
        CHECK_EQUAL(table_state_attach(state, state_size - 1, &state_view), -EINVAL);
        CHECK_EQUAL(table_config_attach(config, 63, &config_view), -EINVAL);
        CHECK_EQUAL(table_state_attach(state, 63, &state_view), -EINVAL);
        /* Any other word in the header (but those that say nothing of the layout) is another layout. */
        config[i] ^= 0x80;
        state[i] ^= 0x80;
        int free_word = i == offsetof(struct config_header, reserved) ||
                        i >= offsetof(struct config_header, generation_size) + 4;
        CHECK_EQUAL(table_config_attach(config, config_size, &config_view) != 0, !free_word);
        free_word = i == offsetof(struct state_header, counter_count) ||
                    (i >= offsetof(struct state_header, heartbeat_ns));
        CHECK_EQUAL(table_state_attach(state, state_size, &state_view) != 0, !free_word);
    }
    free(config);
    free(state);
}

static void test_generations(void)
{
    struct segments made = make((struct table_capacities){2, 2, 2});
    struct generation_view next, seen;
    CHECK_EQUAL(table_adopt(&made.config, 0, &seen), 0);
    CHECK_EQUAL(table_next_generation(&made.config, &next), 0);
    next.head->transport_limit = 1;
    table_publish(&made.config, &next);
    /* Nobody adopted: the other half may not be touched. */
    CHECK_EQUAL(table_next_generation(&made.config, &next), -EAGAIN);
    CHECK_EQUAL(table_adopt(&made.config, 0, &seen), 1);
    CHECK_EQUAL(seen.head->number, 1);
    CHECK_EQUAL(seen.head->transport_limit, 1);
    CHECK_EQUAL(table_adopt(&made.config, 1, &seen), 0);
    CHECK_EQUAL(table_next_generation(&made.config, &next), 0);
    CHECK(next.head != seen.head);
    next.head->transport_limit = 2;
    table_publish(&made.config, &next);
    /* A head that is not what was published is not adopted, and control is not told to go on. */
    next.head->sink_limit ^= 1;
    CHECK_EQUAL(table_adopt(&made.config, 1, &seen), -EBADMSG);
    CHECK_EQUAL(seen.head->number, 1);
    CHECK_EQUAL(table_next_generation(&made.config, &next), -EAGAIN);
    release(&made);
}

static void test_rows(void)
{
    struct rows rows;
    struct sink_row halves[2][8] = {0}, row = {.incarnation = 3, .ssrc = 9};
    CHECK_EQUAL(rows_create(&rows, 8, sizeof(struct sink_row)), 0);
    rows_put(&rows, 5, &row);
    CHECK_EQUAL(rows.limit, 6);
    CHECK_EQUAL(rows.queued[0], 1);
    rows_flush(&rows, halves[0], 0);
    CHECK_EQUAL(halves[0][5].ssrc, 9);
    CHECK_EQUAL(halves[0][5].check, row_check(&row, sizeof(row)));
    CHECK_EQUAL(rows.queued[0], 0);
    CHECK_EQUAL(rows.queued[1], 1);
    rows_put(&rows, 5, &row); /* the same again is no change */
    CHECK_EQUAL(rows.queued[0], 0);
    rows_remove(&rows, 5);
    CHECK_EQUAL(rows.limit, 0);
    rows_flush(&rows, halves[0], 0);
    rows_flush(&rows, halves[1], 1);
    CHECK_EQUAL(halves[0][5].incarnation, 0);
    CHECK_EQUAL(halves[0][5].ssrc, 0);
    rows_distrust(&rows, 1);
    CHECK_EQUAL(rows.queued[1], 8);
    memset(halves[1], 0x55, sizeof(halves[1]));
    rows_flush(&rows, halves[1], 1);
    for (int i = 0; i < 8; i++) CHECK_EQUAL(halves[1][i].incarnation, 0);
    rows_destroy(&rows);

    /* A successor takes over what is right and leaves out what is not. */
    halves[0][1] = halves[0][4] = (struct sink_row){.incarnation = 2, .ssrc = 8};
    halves[0][1].check = row_check(&halves[0][1], sizeof(row));
    CHECK_EQUAL(rows_create(&rows, 8, sizeof(struct sink_row)), 0);
    CHECK_EQUAL(rows_load(&rows, halves[0], 8, 0), 1);
    CHECK_EQUAL(rows.limit, 2);
    CHECK_EQUAL(rows.queued[0], 1);
    rows_destroy(&rows);
}

/* Control's role at full speed: every row of every generation bears its number. */
static void write_for_ever(const struct config_view *config, uint32_t sinks)
{
    struct generation_view next;
    for (;;) {
        if (table_next_generation(config, &next) != 0) continue;
        uint32_t stamp = (uint32_t)atomic_load(&config->header->current) + 1;
        struct transport_row transport = {.incarnation = stamp, .conference = stamp};
        transport.check = row_check(&transport, sizeof(transport));
        struct source_row source = {.incarnation = stamp, .member = stamp, .transport_incarnation = stamp};
        source.check = row_check(&source, sizeof(source));
        struct sink_row sink = {
            .incarnation = stamp, .ssrc = stamp, .transport_incarnation = stamp, .source_incarnation = stamp};
        sink.check = row_check(&sink, sizeof(sink));
        next.transports[0] = transport;
        next.sources[0] = source;
        next.head->transport_limit = next.head->source_limit = 1;
        next.head->sink_limit = 1 + stamp * 7919u % sinks;
        for (uint32_t i = 0; i < next.head->sink_limit; i++) next.sinks[i] = sink;
        table_publish(config, &next);
    }
}

/* A reader that sometimes holds on, a writer that never waits for it and is killed at any moment. */
static void test_killed_writers(void)
{
    struct table_capacities room = {1, 1, 8192};
    struct segments made = make(room);
    struct table_reader reader;
    CHECK_EQUAL(table_reader_open(&reader, made.config_fd, made.state_fd), 0);
    uint64_t random = now_ns() | 1, adopted = 0, unfinished = 0;
    for (int kill_number = 0; kill_number < KILLS; kill_number++) {
        pid_t writer = fork();
        CHECK(writer >= 0);
        if (writer == 0) write_for_ever(&made.config, room.sinks);
        uint64_t hold = kill_number % 4 == 0 ? random_next(&random) % 2000000 : 0;
        uint64_t until = now_ns() + random_next(&random) % 8000000;
        int64_t fault = table_reader_run(&reader, until, hold, &adopted);
        kill(writer, SIGKILL);
        waitpid(writer, NULL, 0);
        CHECK_EQUAL(fault, 0);
        if (reader.number > 0) {
            CHECK_EQUAL(table_reader_run(&reader, now_ns() + 1, 0, &adopted), 0);
            /* The half that is not current: its number tells whether the writer was killed between two publications. */
            struct generation_view other = table_generation(&made.config, reader.number + 1);
            unfinished += other.sinks[0].incarnation == (uint32_t)(reader.number + 1);
        }
    }
    printf("  %d writers killed, %llu of them while writing a generation; %llu generations read, 0 "
           "torn\n",
           KILLS, (unsigned long long)unfinished, (unsigned long long)adopted);
    CHECK(adopted > KILLS);
    table_reader_close(&reader);
    release(&made);
}

/* A state row changes its occupant while its worker is killed: it is nobody's, or wholly the new one's. */
static void test_killed_resets(void)
{
    struct segments made = make((struct table_capacities){1, 1, 1});
    struct transport_state *row = made.state.transports;
    uint64_t random = now_ns() | 1, nobody = 0;
    for (int kill_number = 0; kill_number < KILLS / 2; kill_number++) {
        pid_t worker = fork();
        CHECK(worker >= 0);
        if (worker == 0) {
            for (uint32_t incarnation = 1;; incarnation = incarnation % 1000 + 1) {
                state_row_reset(row, sizeof(*row), incarnation);
                volatile uint8_t *rest = (uint8_t *)row + 4;
                for (size_t i = 0; i < sizeof(*row) - 4; i++)
                    rest[i] = 0xff; /* what a worker stores, from the front */
            }
        }
        struct timespec pause = {0, (long)(random_next(&random) % 1000000)};
        nanosleep(&pause, NULL);
        kill(worker, SIGKILL);
        waitpid(worker, NULL, 0);
        if (atomic_load(&row->incarnation) == 0) {
            nobody++;
        } else {
            /* Only what its own occupant stored: zeros, then ones from the front. Never ones after a zero byte. */
            const uint8_t *rest = (const uint8_t *)row + 4;
            size_t ones = 0;
            while (ones < sizeof(*row) - 4 && rest[ones] == 0xff) ones++;
            for (size_t i = ones; i < sizeof(*row) - 4; i++) CHECK_EQUAL(rest[i], 0);
        }
        state_row_reset(row, sizeof(*row), 0);
    }
    printf("  %d resets killed, %llu left the row to nobody\n", KILLS / 2, (unsigned long long)nobody);
    release(&made);
}

int main(void)
{
    test_check_value();
    test_attach_refuses();
    test_generations();
    test_rows();
    test_killed_writers();
    test_killed_resets();
    return 0;
}
