/* The rings between workers: order, wrap-around, room, spoilt memory, and both sides killed at random. */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "handover_ring.h"

static void *segment(uint32_t workers)
{
    void *memory =
        mmap(NULL, handover_size(workers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    handover_format(memory, workers);
    return memory;
}

static void test_attach(void)
{
    struct handover_rings rings;
    for (uint32_t workers = 2; workers <= LIMIT_WORKERS; workers++) {
        size_t size = handover_size(workers);
        CHECK(size <= (130u << 20));
        struct handover_header *header = segment(workers);
        CHECK_EQUAL(handover_attach(header, size, &rings), 0);
        /* Rings do not overlap, and the last one ends with the segment. */
        struct ring_writer first = handover_writer(&rings, 0, 1),
                           last = handover_writer(&rings, workers - 1, workers - 2);
        CHECK_EQUAL((size_t)(last.bytes + last.size - (uint8_t *)header), size);
        CHECK((uint8_t *)first.bytes >=
              (uint8_t *)header + sizeof *header + workers * workers * sizeof(struct handover_ring));
        CHECK_EQUAL(handover_attach(header, size - 1, &rings), -EINVAL);
        CHECK_EQUAL(handover_attach(header, 10, &rings), -EINVAL);
        header->ring_bytes++;
        CHECK_EQUAL(handover_attach(header, size, &rings), -EINVAL);
        header->ring_bytes = 1u << 31;
        CHECK_EQUAL(handover_attach(header, size, &rings), -EINVAL);
        header->ring_bytes = handover_ring_bytes(workers);
        header->workers = 1;
        CHECK_EQUAL(handover_attach(header, size, &rings), -EINVAL);
        header->workers = 0xffffffff;
        CHECK_EQUAL(handover_attach(header, size, &rings), -EINVAL);
        header->layout_version++;
        CHECK_EQUAL(handover_attach(header, size, &rings), -EPROTO);
        munmap(header, size);
    }
}

/* A record of `length` bytes that all follow from its number. */
static void fill(uint8_t *out, uint64_t number, uint32_t length)
{
    memcpy(out, &number, sizeof number);
    for (uint32_t i = sizeof number; i < length; i++) out[i] = (uint8_t)(number * 7 + i);
}

static uint64_t check(const uint8_t *record, uint32_t length)
{
    uint64_t number;
    memcpy(&number, record, sizeof number);
    for (uint32_t i = sizeof number; i < length; i++)
        CHECK_EQUAL(record[i], (uint8_t)(number * 7 + i));
    return number;
}

static uint32_t length_of(uint64_t number)
{ return 8 + (uint32_t)(number * 2654435761u >> 7) % (HANDOVER_RECORD_MAX - 7); }

static void test_order_over_many_rounds(void)
{
    void *memory = segment(3);
    struct handover_rings rings;
    CHECK_EQUAL(handover_attach(memory, handover_size(3), &rings), 0);
    struct ring_writer writer = handover_writer(&rings, 2, 0);
    struct ring_reader reader = handover_reader(&rings, 2, 0), other = handover_reader(&rings, 1, 0);
    uint8_t record[HANDOVER_RECORD_MAX];
    uint64_t random = 5, written = 0, taken = 0;
    CHECK(ring_empty(&reader));
    CHECK_EQUAL(ring_take_untrusted(&reader, record), 0);
    while (written < 200000) {
        for (unsigned burst = random_next(&random) >> 32 & 1023; burst; burst--) {
            uint8_t *out = ring_reserve(&writer, length_of(written), rings.ring_bytes);
            if (!out) break;
            CHECK(((uintptr_t)out & 7) == 0);
            fill(out, written, length_of(written));
            ring_commit(&writer);
            written++;
        }
        for (unsigned burst = random_next(&random) >> 32 & 1023; burst; burst--) {
            int length = ring_take_untrusted(&reader, record);
            if (!length) break;
            CHECK_EQUAL(length, length_of(taken));
            CHECK_EQUAL(check(record, (uint32_t)length), taken++);
        }
    }
    CHECK(ring_empty(&other));
    CHECK(!ring_reserve(&writer, 0, rings.ring_bytes) &&
          !ring_reserve(&writer, HANDOVER_RECORD_MAX + 1, rings.ring_bytes));
    munmap(memory, handover_size(3));
}

static void test_room_by_plan(void)
{
    void *memory = segment(2);
    struct handover_rings rings;
    CHECK_EQUAL(handover_attach(memory, handover_size(2), &rings), 0);
    struct ring_writer writer = handover_writer(&rings, 0, 1);
    struct ring_reader reader = handover_reader(&rings, 0, 1);
    uint8_t record[HANDOVER_RECORD_MAX];
    unsigned half = 0, whole = 0;
    for (; ring_reserve(&writer, 1000, rings.ring_bytes / 2); half++) ring_commit(&writer);
    for (; ring_reserve(&writer, 1000, rings.ring_bytes); whole++) ring_commit(&writer);
    CHECK_EQUAL(half, rings.ring_bytes / 2 / 1008);
    CHECK_EQUAL(half + whole, rings.ring_bytes / 1008);
    CHECK(!ring_reserve(&writer, 1000, rings.ring_bytes / 2));
    for (unsigned i = 0; i < half + whole; i++)
        CHECK_EQUAL(ring_take_untrusted(&reader, record), 1000);
    CHECK(ring_empty(&reader) && ring_reserve(&writer, 1000, rings.ring_bytes / 2));
    munmap(memory, handover_size(2));
}

/* Whatever stands in the segment: what is taken has a length that fits, and the ring works again afterwards. */
static void test_spoilt_memory(void)
{
    void *memory = segment(2);
    struct handover_rings rings;
    CHECK_EQUAL(handover_attach(memory, handover_size(2), &rings), 0);
    uint64_t random = 99;
    for (unsigned round = 0; round < 3000; round++) {
        struct ring_writer writer = handover_writer(&rings, 0, 1);
        struct ring_reader reader = handover_reader(&rings, 0, 1);
        uint8_t *record = malloc(HANDOVER_RECORD_MAX);
        for (unsigned i = 0; i < 20; i++) {
            uint8_t *out = ring_reserve(&writer, 8 + i * 90, rings.ring_bytes);
            if (!out) break;
            fill(out, i, 8 + i * 90);
            ring_commit(&writer);
        }
        uint64_t any = random_next(&random), sort = any % 4;
        if (sort == 0) atomic_store(&reader.ring->tail, random_next(&random) >> (any >> 8 & 63));
        if (sort == 1) atomic_store(&reader.ring->head, random_next(&random) >> (any >> 8 & 63));
        for (unsigned i = 0; sort > 1 && i < 5; i++) {
            uint32_t at = (uint32_t)(atomic_load(&reader.ring->head) + (random_next(&random) >> 40) % 16384) &
                          (rings.ring_bytes - 4);
            uint32_t value = i % 2 ? 0xffffffff : (uint32_t)random_next(&random) >> (any >> 8 & 31);
            memcpy(reader.bytes + at, &value, sizeof value);
        }
        for (unsigned i = 0; i < 100; i++) {
            int length = ring_take_untrusted(&reader, record);
            CHECK(length <= (int)HANDOVER_RECORD_MAX);
            if (!length || length == -EBADMSG) break;
        }
        while (ring_take_untrusted(&reader, record)) {}
        writer = handover_writer(&rings, 0, 1);
        uint8_t *out = ring_reserve(&writer, 100, rings.ring_bytes);
        CHECK(out);
        fill(out, 4711, 100);
        ring_commit(&writer);
        CHECK_EQUAL(ring_take_untrusted(&reader, record), 100);
        CHECK_EQUAL(check(record, 100), 4711);
        free(record);
    }
    munmap(memory, handover_size(2));
}

/* Writers and readers in processes of their own, killed at random: every record is whole, in order, and taken at most once; each death of a reader
   loses at most the record in its hands, that of a writer none that it said it had written. */
struct kills {
    _Atomic uint64_t next;  /* number the next record gets; stored before it is written */
    _Atomic uint64_t taken; /* number of the last record taken + 1 */
    _Atomic uint64_t lost;  /* numbers that were left out */
    _Atomic uint64_t wrong, count;
};

static void write_for_ever(struct handover_rings *rings, struct kills *kills)
{
    struct ring_writer writer = handover_writer(rings, 0, 1);
    while (true) {
        uint64_t number = atomic_load(&kills->next);
        uint8_t *out = ring_reserve(&writer, length_of(number), rings->ring_bytes / 16);
        if (!out) {
            usleep(10);
            continue;
        }
        fill(out, number, length_of(number));
        atomic_store(&kills->next, number + 1); /* killed from here to the commit: left out, never twice */
        ring_commit(&writer);
    }
}

static void read_for_ever(struct handover_rings *rings, struct kills *kills)
{
    struct ring_reader reader = handover_reader(rings, 0, 1);
    uint8_t record[HANDOVER_RECORD_MAX];
    while (true) {
        int length = ring_take_untrusted(&reader, record);
        if (length < 0) atomic_fetch_add(&kills->wrong, 1);
        if (length <= 0) continue;
        uint64_t number, before = atomic_load(&kills->taken);
        memcpy(&number, record, sizeof number);
        bool whole = length == (int)length_of(number);
        for (int i = 8; i < length && whole; i++)
            whole = record[i] == (uint8_t)(number * 7 + (uint64_t)i);
        if (!whole || number < before) {
            atomic_fetch_add(&kills->wrong, 1);
            continue;
        }
        atomic_store(&kills->taken, number + 1);
        atomic_fetch_add(&kills->lost, number - before);
        atomic_fetch_add(&kills->count, 1);
    }
}

static pid_t start(void (*what)(struct handover_rings *, struct kills *),
                   struct handover_rings *rings, struct kills *kills)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        what(rings, kills);
        _exit(0);
    }
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    CHECK_EQUAL(waitpid(child, NULL, 0), child);
}

static void test_kills(void)
{
    void *memory = segment(2);
    struct handover_rings rings;
    CHECK_EQUAL(handover_attach(memory, handover_size(2), &rings), 0);
    struct kills *kills =
        mmap(NULL, sizeof *kills, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(kills != MAP_FAILED);
    uint64_t random = 3;
    unsigned deaths = 0;
    pid_t writer = start(write_for_ever, &rings, kills), reader = start(read_for_ever, &rings, kills);
    for (; deaths < 400; deaths++) {
        usleep((useconds_t)((random_next(&random) >> 40) % 400));
        if (random_next(&random) >> 63) {
            end(writer);
            writer = start(write_for_ever, &rings, kills);
        } else {
            end(reader);
            reader = start(read_for_ever, &rings, kills);
        }
    }
    uint64_t had = atomic_load(&kills->count);
    for (unsigned i = 0; i < 2000 && atomic_load(&kills->count) < had + 100; i++) usleep(1000);
    CHECK(atomic_load(&kills->count) >= had + 100);
    end(writer);
    end(reader);
    printf("handover ring: %llu records, %llu lost in %u kills\n",
           (unsigned long long)atomic_load(&kills->count),
           (unsigned long long)atomic_load(&kills->lost), deaths);
    CHECK_EQUAL(atomic_load(&kills->wrong), 0);
    CHECK(atomic_load(&kills->lost) <= deaths);
    munmap(kills, sizeof *kills);
    munmap(memory, handover_size(2));
}

int main(void)
{
    test_attach();
    test_order_over_many_rounds();
    test_room_by_plan();
    test_spoilt_memory();
    test_kills();
    return 0;
}
