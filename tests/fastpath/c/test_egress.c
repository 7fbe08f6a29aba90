/* Runs: what goes to one receiver in one flush, as few messages as the order of each stream allows. */
#include "check.h"
#include "egress.h"

struct row { /* packets as "stream:size" in the order they were made, and the runs expected */
    const char *name;
    const char *packets;
    const char *runs;
};

static const struct row rows[] = {
    {"one packet is one run", "a100", "a100"},
    {"equal sizes form one run", "a100 a100 a100", "a100,a100,a100"},
    {"one smaller packet ends a run", "a100 a100 a60", "a100,a100,a60"},
    {"a larger one begins another", "a60 a100", "a60 a100"},
    {"the smaller one may be of any stream", "a100 a100 b40", "a100,a100,b40"},
    {"the largest that may end a run does", "a100 b40 c60", "a100,c60 b40"},
    {"order within a stream is kept", "a100 a40 a100", "a100,a40 a100"},
    {"streams interleave", "a100 b100 a100 b100", "a100,b100,a100,b100"},
    {"a blocked stream waits", "a40 a100 b100", "b100,a40 a100"},
    {"sizes one byte apart", "a101 a100 a100", "a101,a100 a100"},
    {"three speakers and a frame", "a70 b70 c70 v900 v900 v500", "v900,v900,v500 a70,b70,c70"},
};

static void put(struct egress *egress, uint32_t destination, char stream, unsigned length)
{
    uint8_t *at = egress_reserve(egress);
    CHECK(at != NULL);
    memset(at, stream, length);
    egress_commit(egress, destination, (uint32_t)stream, length);
}

static void describe(const struct egress *egress, char *out)
{
    for (uint32_t i = 0; i < egress->run_count; i++) {
        const struct egress_run *run = &egress->runs[i];
        for (uint32_t k = 0; k < run->count; k++) {
            const struct egress_packet *packet = &egress->packets[egress->order[run->first + k]];
            if (i || k) *out++ = k ? ',' : ' ';
            out += sprintf(out, "%c%u", (char)packet->stream, packet->length);
        }
    }
    *out = 0;
}

static void test_rows(void)
{
    struct egress egress;
    CHECK_EQUAL(egress_open(&egress), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct egress_destination to = {.transport = 1};
        uint32_t destination = egress_add_destination(&egress, &to);
        char copy[200], found[400];
        strcpy(copy, rows[i].packets);
        for (char *token = strtok(copy, " "); token; token = strtok(NULL, " "))
            put(&egress, destination, token[0], (unsigned)atoi(token + 1));
        egress_plan(&egress);
        describe(&egress, found);
        if (strcmp(found, rows[i].runs) != 0) {
            fprintf(stderr, "%s: %s, not %s\n", rows[i].name, found, rows[i].runs);
            exit(1);
        }
        egress_clear(&egress);
    }
    egress_close(&egress);
}

/* Whatever is put in: every packet leaves once, streams in order, runs within the kernel's limits. */
static void test_any_mixture(void)
{
    struct egress egress;
    uint64_t random = 5;
    CHECK_EQUAL(egress_open(&egress), 0);
    for (int turn = 0; turn < 300; turn++) {
        unsigned destinations = 1 + (unsigned)(random_next(&random) % 7);
        unsigned packets = (unsigned)(random_next(&random) % 600);
        unsigned sizes = 1 + (unsigned)(random_next(&random) % 4);
        for (unsigned i = 0; i < destinations; i++)
            egress_add_destination(
                &egress, &(struct egress_destination){.single = random_next(&random) % 8 == 0});
        for (unsigned i = 0; i < packets; i++)
            put(&egress, (uint32_t)(random_next(&random) % destinations),
                (char)('a' + random_next(&random) % 9), 1 + (unsigned)(random_next(&random) % sizes) * 499);
        egress_plan(&egress);
        uint8_t *seen = calloc(LIMIT_EGRESS, 1);
        uint32_t total = 0, last[8][16];
        memset(last, 0, sizeof last);
        for (uint32_t i = 0; i < egress.run_count; i++) {
            const struct egress_run *run = &egress.runs[i];
            size_t bytes = 0;
            CHECK(run->count >= 1 && run->count <= LIMIT_RUN_SEGMENTS);
            CHECK(!egress.destinations[run->destination].single || run->count == 1);
            for (uint32_t k = 0; k < run->count; k++, total++) {
                uint32_t number = egress.order[run->first + k];
                const struct egress_packet *packet = &egress.packets[number];
                uint32_t *before = &last[run->destination][packet->stream - 'a'];
                CHECK(!seen[number]);
                seen[number] = 1;
                CHECK(number + 1 > *before);
                *before = number + 1;
                CHECK(k + 1 == run->count ? packet->length <= run->segment_size
                                          : packet->length == run->segment_size);
                bytes += packet->length;
            }
            CHECK(bytes <= LIMIT_RUN_BYTES);
        }
        CHECK_EQUAL(total, packets);
        free(seen);
        egress_clear(&egress);
    }
    egress_close(&egress);
}

static void test_full(void)
{
    struct egress egress;
    CHECK_EQUAL(egress_open(&egress), 0);
    uint32_t destination = egress_add_destination(&egress, &(struct egress_destination){0});
    uint32_t packets = 0;
    while (egress_reserve(&egress)) {
        CHECK(egress_room(&egress) > 0);
        put(&egress, destination, 'a', EGRESS_PACKET_MAX);
        packets++;
    }
    CHECK(packets > LIMIT_EGRESS / 2 && packets <= LIMIT_EGRESS);
    CHECK_EQUAL(egress_room(&egress), 0);
    egress_plan(&egress);
    CHECK(egress.run_count >= packets / 40);
    egress_close(&egress);
}

int main(void)
{
    test_rows();
    test_any_mixture();
    test_full();
    return 0;
}
