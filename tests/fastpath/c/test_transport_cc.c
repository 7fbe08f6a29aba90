/* Transport-wide feedback: what is written is read back exactly; whatever else arrives is refused or read without looking past it. */
#include <errno.h>

#include "bytes.h"
#include "check.h"
#include "transport_cc.h"

#define MS UINT64_C(1000000)
#define START (UINT64_C(1000000) * MS)

/* The one block of a feedback, as the worker's walk finds it. */
static int open_feedback(const uint8_t *bytes, size_t length, struct rtcp_feedback *feedback,
                         struct transport_cc_reader *reader)
{
    struct rtcp_block block;
    size_t offset = 0;
    if (rtcp_next_untrusted(bytes, length, &offset, &block) != 1) return -EBADMSG;
    if (block.type != RTCP_RTPFB || block.count != RTCP_FMT_TRANSPORT_CC) return -EBADMSG;
    if (rtcp_feedback_untrusted(&block, feedback) != 0) return -EBADMSG;
    return transport_cc_parse_untrusted(feedback, reader);
}

/* Draft, section 3.1: each row a feedback (without its RTCP header and SSRCs) and what it says. */
static void examples_are_read(void)
{
    static const struct {
        const char *fci;
        unsigned count;
        const char *said; /* per packet: ticks since the reference, or - */
    } rows[] = {
        {"00990001 3de80217 2001 94", 1, "148"},
        {"00010003 00000100 2003 000102", 3, "0 1 3"},
        {"fffe0004 00000100 2004 04040404", 4, "4 8 12 16"},
        {"0174000200000140 4002 1ffe 1f9a", 2, "8190 16280"},
        {"0001000300000140 d900 05 fffd 07", 3, "5 2 9"},
        {"0001000e00000100 ba00 100c0c10", 14, "16 28 40 - 56 - - - - - - - - -"},
        {"0001000900000100 0007 2002 0a01", 9, "- - - - - - - 10 11"},
        {"0001000100000100 0000 2001 05", 1, "5"}, /* a run of nothing is passed over */
        {"0001000200000100 9fff 0101", 2, NULL},   /* first two of 14: not received, 1 */
        {"0001000100000100 e000", 1, NULL},        /* two bits: large, without its delta */
        {"0001000100000100 6001", 1, NULL},        /* the reserved symbol in a run */
        {"0001000100000100 f000 0102", 1, NULL},   /* and in a vector */
        {"0001000200000100 2001 01", 2, NULL},     /* chunks end before the count */
        {"0001000100000100", 1, NULL},
        {"00010000000001002001 01", 0, NULL}, /* a count of 0 says nothing */
        {"0001ffff00000100 3fff3fff3fff3fff3fff3fff3fff3fff", 65535, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char hex[200] = "";
        for (const char *c = rows[i].fci; *c; c++)
            if (*c != ' ') strncat(hex, c, 1);
        uint8_t bytes[100];
        size_t length = hex_bytes(hex, bytes);
        uint8_t *copy = exact_copy(bytes, length);
        struct rtcp_feedback feedback = {.fci = copy, .fci_length = (uint32_t)length};
        struct transport_cc_reader reader;
        int result = transport_cc_parse_untrusted(&feedback, &reader);
        if (!rows[i].said && i != 8) {
            CHECK_EQUAL(result, -EBADMSG);
        } else {
            CHECK_EQUAL(result, 0);
            char said[200] = "";
            struct transport_cc_status status;
            uint16_t sequence = load_be16(copy);
            while (transport_cc_next(&reader, &status)) {
                CHECK_EQUAL(status.sequence, sequence++);
                size_t at = strlen(said);
                if (status.received)
                    snprintf(said + at, sizeof said - at, "%s%d", at ? " " : "", status.ticks);
                else
                    snprintf(said + at, sizeof said - at, "%s-", at ? " " : "");
            }
            if (rows[i].said) CHECK(strcmp(said, rows[i].said) == 0);
        }
        free(copy);
    }
}

#define NUMBERS 70000
struct truth {              /* what really arrived */
    uint32_t tick[NUMBERS]; /* 0 = not */
    uint8_t told[NUMBERS];  /* 1 = told lost, 2 = told received */
};

/* Writes all there is to tell into packets of `room` bytes and compares. `first` = what is number 0 of the truth. */
static unsigned tell_all(struct arrival_log *log, struct truth *truth, uint16_t first, size_t room, uint64_t now_ns)
{
    unsigned packets = 0;
    static unsigned at; /* numbers grow over calls: the truth is indexed by the nearest to the last */
    if (!truth) return at = 0;
    for (;;) {
        uint8_t *bytes = malloc(room);
        CHECK(bytes);
        uint8_t count = (uint8_t)log->feedback_count;
        int length = transport_cc_write(log, bytes, room, 11, 22, now_ns);
        if (length == 0) {
            free(bytes);
            return packets;
        }
        CHECK(length > 0 && (size_t)length <= room && length % 4 == 0);
        struct rtcp_feedback feedback;
        struct transport_cc_reader reader;
        uint8_t *copy = exact_copy(bytes, (size_t)length);
        CHECK_EQUAL(open_feedback(copy, (size_t)length, &feedback, &reader), 0);
        CHECK_EQUAL(feedback.sender, 11);
        CHECK_EQUAL(feedback.media, 22);
        CHECK_EQUAL(reader.feedback_count, count);
        struct transport_cc_status status;
        while (transport_cc_next(&reader, &status)) {
            int16_t ahead = (int16_t)(uint16_t)(status.sequence - first - at);
            unsigned number = (unsigned)((int)at + ahead);
            CHECK(number < NUMBERS);
            if (status.received) {
                CHECK_EQUAL(truth->tick[number], reader.reference_time * 256 + (uint32_t)status.ticks);
                truth->told[number] = 2;
            } else {
                CHECK_EQUAL(truth->tick[number], 0);
                truth->told[number] = 1;
            }
            if (ahead > 0) at = number;
        }
        free(copy);
        free(bytes);
        packets++;
        CHECK(packets < 1000);
    }
}

static void arrive(struct arrival_log *log, struct truth *truth, uint16_t first, unsigned number, uint64_t now_ns)
{
    arrivals_add(log, (uint16_t)(first + number), now_ns);
    if (!truth->tick[number]) truth->tick[number] = (uint32_t)(now_ns / TRANSPORT_CC_TICK_NS);
}

/* Loss, reordering within 20, duplicates, pauses up to 20 s, any room: every arrival is told once or more, with its time to the tick. */
static void what_arrives_is_told(void)
{
    static struct truth truth;
    uint64_t random = 7;
    for (unsigned round = 0; round < 12; round++) {
        struct arrival_log log = {0};
        memset(&truth, 0, sizeof truth);
        tell_all(NULL, NULL, 0, 0, 0);
        uint16_t first = (uint16_t)(65000 + round * 100);
        uint64_t now_ns = (UINT64_C(1) << 32) * TRANSPORT_CC_TICK_NS * (round % 2 + 1) - 3000 * MS; /* ticks wrap within */
        size_t room = round < 6 ? 1200 : 36 + round;
        unsigned loss = round % 4 * 10, newest = 0;
        for (unsigned number = 0; number < 4000; number++) {
            now_ns += random_next(&random) % (random_next(&random) % 500 == 0 ? 20000 * MS : 2 * MS);
            if (random_next(&random) % 100 >= loss) {
                unsigned back = random_next(&random) % 10 == 0 ? (unsigned)(random_next(&random) % 20) : 0;
                unsigned which = number > back ? number - back : number;
                if (random_next(&random) % 50 == 0) arrive(&log, &truth, first, which, now_ns);
                arrive(&log, &truth, first, which, now_ns);
                if (which > newest) newest = which;
            }
            if (arrivals_due_ns(&log) <= now_ns) tell_all(&log, &truth, first, room, now_ns);
        }
        tell_all(&log, &truth, first, room, now_ns);
        CHECK_EQUAL(arrivals_due_ns(&log), UINT64_MAX);
        for (unsigned number = 0; number < newest; number++)
            if (truth.tick[number]) CHECK_EQUAL(truth.told[number], 2);
    }
}

static void feedback_is_due_in_time(void)
{
    struct arrival_log log = {0};
    CHECK_EQUAL(arrivals_due_ns(&log), UINT64_MAX);
    arrivals_add(&log, 5, START);
    CHECK_EQUAL(arrivals_due_ns(&log), START + TRANSPORT_CC_LONGEST_NS);
    for (uint16_t i = 1; i < TRANSPORT_CC_SOME; i++)
        arrivals_add(&log, (uint16_t)(5 + i), START + 10 * MS);
    CHECK_EQUAL(arrivals_due_ns(&log), START + TRANSPORT_CC_SHORTEST_NS);
    for (uint16_t i = TRANSPORT_CC_SOME; i < TRANSPORT_CC_MANY; i++)
        arrivals_add(&log, (uint16_t)(5 + i), START + 20 * MS);
    CHECK(arrivals_due_ns(&log) <= START + 20 * MS);
    uint8_t bytes[1200];
    CHECK_EQUAL(transport_cc_write(&log, bytes, 35, 1, 2, START), -ENOSPC);
    CHECK(transport_cc_write(&log, bytes, sizeof bytes, 1, 2, START + 21 * MS) > 0);
    CHECK_EQUAL(arrivals_due_ns(&log), UINT64_MAX);
    arrivals_add(&log, 3, START + 30 * MS); /* late, before everything told: told again from there */
    CHECK_EQUAL(log.next, 65536 + 3);
    CHECK(transport_cc_write(&log, bytes, sizeof bytes, 1, 2, START + 200 * MS) > 0);
    CHECK_EQUAL(load_be16(bytes + 12), 3);
    CHECK_EQUAL(load_be16(bytes + 14), TRANSPORT_CC_MANY + 2);
}

static void a_jump_forgets_what_is_too_old(void)
{
    struct arrival_log log = {0};
    uint8_t bytes[1200];
    arrivals_add(&log, 0, START);
    arrivals_add(&log, 30000, START + MS); /* more than the log holds */
    int length = transport_cc_write(&log, bytes, sizeof bytes, 1, 2, START + 2 * MS);
    CHECK(length > 0 && length < 40);
    CHECK_EQUAL(load_be16(bytes + 12), 30000 - LIMIT_ARRIVALS + 1);
    CHECK_EQUAL(load_be16(bytes + 14), LIMIT_ARRIVALS);
    arrivals_add(&log, 100, START + 3 * MS); /* its place is another's */
    CHECK_EQUAL(log.pending, 0);
}

/* Any mixture of an older and a newer state of the log, word by word: bounded work, no read beyond it, and it recovers. */
static void a_torn_log_is_harmless(void)
{
    uint64_t random = 3;
    for (unsigned round = 0; round < 300; round++) {
        union torn {
            struct arrival_log log;
            uint64_t words[sizeof(struct arrival_log) / 8];
        } older = {0}, newer;
        uint64_t now_ns = START;
        uint16_t sequence = (uint16_t)random_next(&random);
        unsigned packets = (unsigned)(random_next(&random) % 3000);
        newer = older;
        for (unsigned i = 0; i < packets; i++) {
            if (i == packets / 2) older = newer;
            arrivals_add(&newer.log, sequence = (uint16_t)(sequence + 1 + random_next(&random) % 3),
                         now_ns += MS);
        }
        for (size_t i = 0; i < sizeof newer.words / 8; i++)
            if (random_next(&random) & 1) newer.words[i] = older.words[i];
        uint8_t bytes[1200];
        for (unsigned i = 0;
             i < 100 && transport_cc_write(&newer.log, bytes, sizeof bytes, 1, 2, now_ns) > 0; i++)
            CHECK(i < 99);
        arrivals_add(&newer.log, (uint16_t)(sequence + 1), now_ns);
        CHECK(transport_cc_write(&newer.log, bytes, sizeof bytes, 1, 2, now_ns) > 0);
        CHECK_EQUAL(transport_cc_write(&newer.log, bytes, sizeof bytes, 1, 2, now_ns), 0);
    }
}

/* Cut anywhere, changed anywhere: refused, or read as many statuses as the head says. */
static void hostile_feedback_is_bounded(void)
{
    uint64_t random = 11;
    struct arrival_log log = {0};
    uint64_t now_ns = START;
    for (uint16_t i = 0; i < 200; i++)
        if (random_next(&random) % 4)
            arrivals_add(&log, i, now_ns += random_next(&random) % (100 * MS));
    uint8_t bytes[1200];
    int length = transport_cc_write(&log, bytes, sizeof bytes, 1, 2, now_ns);
    CHECK(length > 0);
    for (unsigned round = 0; round < 40000; round++) {
        size_t cut = 12 + random_next(&random) % ((unsigned)length - 11);
        uint8_t *copy = exact_copy(bytes + 12, cut - 12);
        for (unsigned i = 0, changes = round % 4; i < changes && cut > 12; i++)
            copy[random_next(&random) % (cut - 12) % (i ? 1200 : 40)] = (uint8_t)random_next(&random);
        struct rtcp_feedback feedback = {.fci = copy, .fci_length = (uint32_t)(cut - 12)};
        struct transport_cc_reader reader;
        if (transport_cc_parse_untrusted(&feedback, &reader) == 0) {
            struct transport_cc_status status;
            unsigned statuses = 0;
            while (transport_cc_next(&reader, &status)) statuses++;
            CHECK_EQUAL(statuses, load_be16(copy + 2));
            CHECK(reader.deltas <= copy + feedback.fci_length);
        }
        free(copy);
    }
}

static void numbers_are_given_out_and_found(void)
{
    static struct sent_log log;
    uint64_t number;
    CHECK(sent_log_find(&log, 0, &number) == NULL);
    CHECK_EQUAL(sent_log_add(&log, 1200, 0, START), 0);
    CHECK(sent_log_find(&log, 1, &number) == NULL);
    CHECK(sent_log_find(&log, 65535, &number) == NULL); /* of before the first */
    for (unsigned i = 1; i < 70000; i++) {
        CHECK_EQUAL(sent_log_add(&log, (uint16_t)(i % 1400), (uint8_t)i, START + i * MS), (uint16_t)i);
        if (i < LIMIT_SENT) continue;
        struct sent_packet *oldest = sent_log_find(&log, (uint16_t)(i - LIMIT_SENT + 1), &number);
        CHECK(oldest != NULL);
        CHECK_EQUAL(number, 65536u + i - LIMIT_SENT + 1);
        CHECK_EQUAL(oldest->size, (i - LIMIT_SENT + 1) % 1400);
        CHECK_EQUAL(sent_time_us(oldest, START + i * MS), (START / MS + i - LIMIT_SENT + 1) * 1000);
        CHECK(sent_log_find(&log, (uint16_t)(i - LIMIT_SENT), &number) == NULL);
    }
}

/* Feedback among the vectors that lie beside the project, when they do. */
static void vectors_are_read(void)
{
    static const char *const files[] = {"pion/rtcp-test-bytes.json", "aiortc/packets.json",
                                        "libwebrtc-fuzz/rtcp-corpus.json"};
    static char text[4 << 20];
    unsigned read = 0, refused = 0;
    for (unsigned i = 0; i < 3; i++) {
        char path[200];
        snprintf(path, sizeof path, "../../../../shared/vectors/%s", files[i]);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        fclose(file);
        for (char *at = text; (at = strstr(at, "\"hex\": \"")) != NULL;) {
            at += 8;
            char *end = strchr(at, '"');
            if (!end || end - at > 4000) break;
            *end = 0;
            static uint8_t bytes[2000];
            size_t length = hex_bytes(at, bytes);
            for (size_t cut = 0; cut <= length; cut++) {
                uint8_t *copy = exact_copy(bytes, cut);
                struct rtcp_feedback feedback;
                struct transport_cc_reader reader;
                struct transport_cc_status status;
                bool good = open_feedback(copy, cut, &feedback, &reader) == 0;
                if (good)
                    while (transport_cc_next(&reader, &status)) {}
                if (cut == length && length > 12 && bytes[1] == RTCP_RTPFB && (bytes[0] & 31) == RTCP_FMT_TRANSPORT_CC)
                    good ? read++ : refused++;
                free(copy);
            }
            at = end + 1;
        }
    }
    /* Refused: one too short, one of nothing, one whose padding is 0 long, one whose padding reaches into the deltas. */
    if (read + refused) CHECK(read == 4 && refused == 4);
}

int main(void)
{
    examples_are_read();
    what_arrives_is_told();
    feedback_is_due_in_time();
    a_jump_forgets_what_is_too_old();
    a_torn_log_is_harmless();
    hostile_feedback_is_bounded();
    numbers_are_given_out_and_found();
    vectors_are_read();
    return 0;
}
