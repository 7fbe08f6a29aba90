/* Padding to equal sizes: what it adds, and how many runs a frame leaves in with it and without. */
#include "check.h"
#include "egress.h"
#include "equal_sizes.h"

static void it_adds_what_is_missing_and_no_more(void)
{
    static const struct {
        size_t length, room, wanted;
    } cases[] = {
        {1072, 16, 0}, {1071, 16, 1}, {1073, 16, 15}, {1073, 10, 0},
        {1079, 10, 9}, {399, 16, 0},  {401, 16, 15},  {0, 16, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_EQUAL(equal_padding(cases[i].length, cases[i].room), cases[i].wanted);
    uint8_t bytes[4] = {9, 9, 9, 9};
    equal_padding_write(bytes, 3);
    CHECK_BYTES(bytes, "\0\0\3\11", 4);
    equal_padding_write(bytes, 1);
    CHECK_EQUAL(bytes[0], 1);
}

/* Runs of frames of 4 to 7 packets one byte apart, the smaller ones first. */
static unsigned runs_of(struct egress *egress, bool padded)
{
    unsigned runs = 0;
    for (unsigned bytes = 4000; bytes < 7000; bytes += 7) {
        unsigned packets = (bytes + 999) / 1000;
        egress_clear(egress);
        uint32_t to = egress_add_destination(egress, &(struct egress_destination){0});
        for (unsigned i = 0; i < packets; i++) {
            size_t length = bytes / packets + (i >= packets - bytes % packets);
            CHECK(egress_reserve(egress) != NULL);
            egress_commit(egress, to, 1, length + (padded ? equal_padding(length, 16) : 0));
        }
        egress_plan(egress);
        runs += egress->run_count;
    }
    return runs;
}

static void frames_leave_in_fewer_runs(void)
{
    static struct egress egress;
    CHECK_EQUAL(egress_open(&egress), 0);
    unsigned without = runs_of(&egress, false), with = runs_of(&egress, true),
             frames = (7000 - 4000 + 6) / 7;
    CHECK(without > frames * 18 / 10);
    CHECK(with < frames * 11 / 10);
    egress_close(&egress);
}

int main(void)
{
    it_adds_what_is_missing_and_no_more();
    frames_leave_in_fewer_runs();
    return 0;
}
