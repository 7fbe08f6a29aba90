/* The queues of packets that wait, against a plain model: one array for each receiver, searched from end to end. */
#include "check.h"
#include "waiting.h"

#define QUEUES 5
#define MODEL 600
#define LONGEST 1000u
#define MOST 60000u

struct model {
    struct waiting_packet packets[MODEL]; /* repairs first */
    unsigned count;
};

static uint32_t model_bytes(const struct model *model)
{
    uint32_t bytes = 0;
    for (unsigned i = 0; i < model->count; i++) bytes += model->packets[i].bytes;
    return bytes;
}

static void model_remove(struct model *model, unsigned at)
{
    memmove(&model->packets[at], &model->packets[at + 1], (model->count - at - 1) * sizeof model->packets[0]);
    model->count--;
}

static void model_insert(struct model *model, const struct waiting_packet *packet, uint64_t now)
{
    unsigned at = model->count;
    CHECK(model->count < MODEL);
    while (packet->repair && at > 0 && !model->packets[at - 1].repair) at--;
    memmove(&model->packets[at + 1], &model->packets[at], (model->count - at) * sizeof model->packets[0]);
    model->packets[at] = *packet;
    model->packets[at].since_ns = now;
    model->count++;
}

static unsigned model_put(struct model *model, const struct waiting_packet *packet, uint64_t now)
{
    uint64_t oldest = now;
    for (unsigned i = model->count; i-- > 0;)
        if (!model->packets[i].repair) oldest = model->packets[i].since_ns;
    if (model->count < WAITING_PACKETS && model_bytes(model) + packet->bytes <= MOST && now - oldest <= LONGEST) {
        model_insert(model, packet, now);
        return 0;
    }
    int victim = -1;
    for (unsigned i = 0; i < model->count; i++)
        if (!model->packets[i].repair &&
            (victim < 0 || model->packets[i].origin.encoding >= model->packets[victim].origin.encoding))
            victim = (int)i;
    if (packet->repair || victim < 0 || model->packets[victim].origin.encoding <= packet->origin.encoding)
        return 1;
    model_remove(model, (unsigned)victim);
    model_insert(model, packet, now);
    return 1;
}

static void compare(const struct waiting *waiting, const struct waiting_queue *queue, const struct model *model)
{
    unsigned of_encoding[LIMIT_ENCODINGS] = {0}, at = 0;
    for (unsigned line = 0; line < WAITING_LINES; line++) {
        for (uint32_t number = queue->first[line]; number; number = waiting->packets[number].next, at++) {
            const struct waiting_packet *found = &waiting->packets[number], *wanted = &model->packets[at];
            CHECK(at < model->count);
            CHECK_EQUAL(found->origin.output_index, wanted->origin.output_index);
            CHECK_EQUAL(found->sink, wanted->sink);
            CHECK_EQUAL(found->repair, line == WAITING_REPAIRS);
            CHECK(found->next || queue->last[line] == number);
            if (!found->repair) of_encoding[found->origin.encoding]++;
        }
        CHECK_EQUAL(queue->first[line] == 0, queue->last[line] == 0);
    }
    CHECK_EQUAL(at, model->count);
    CHECK_EQUAL(queue->count, model->count);
    CHECK_EQUAL(queue->bytes, model_bytes(model));
    for (unsigned e = 0; e < LIMIT_ENCODINGS; e++)
        CHECK_EQUAL(queue->of_encoding[e], of_encoding[e]);
}

static unsigned unused(const struct waiting *waiting)
{
    unsigned count = 0;
    for (uint32_t number = waiting->free; number; number = waiting->packets[number].next) count++;
    return count;
}

static void test_any_order_of_calls_is_as_the_model_says(void)
{
    static struct model models[QUEUES];
    struct waiting_queue queues[QUEUES] = {0};
    struct waiting waiting;
    uint64_t random = 4711, now = 1000000, index = 0;
    unsigned drops = 0, purges = 0, waited = 0;
    CHECK_EQUAL(waiting_open(&waiting), 0);
    for (unsigned round = 0; round < 60000; round++) {
        unsigned q = (unsigned)(random_next(&random) % QUEUES), what = (unsigned)(random_next(&random) % 100);
        struct model *model = &models[q];
        bool filling = round / 2000 % 2;
        now += random_next(&random) % 3;
        if (what < (filling ? 75u : 40u)) {
            struct waiting_packet packet = {
                .origin = {.output_index = ++index, .encoding = (uint8_t)(random_next(&random) % 3)},
                .sink = (uint32_t)(random_next(&random) % 4),
                .bytes = (uint16_t)(40 + random_next(&random) % (q ? 1200 : 60)),
                .repair = random_next(&random) % 5 == 0};
            unsigned dropped = model_put(model, &packet, now);
            CHECK_EQUAL(waiting_put(&waiting, &queues[q], &packet, MOST, LONGEST, now), dropped);
            drops += dropped;
            waited++;
        } else if (what < 97) {
            const struct waiting_packet *first = waiting_first(&waiting, &queues[q]);
            CHECK_EQUAL(first != NULL, model->count > 0);
            if (!first) continue;
            CHECK_EQUAL(first->origin.output_index, model->packets[0].origin.output_index);
            waiting_take(&waiting, &queues[q]);
            model_remove(model, 0);
        } else if (what < 99) {
            uint32_t sink = (uint32_t)(random_next(&random) % 4);
            uint64_t below = index - random_next(&random) % 50;
            unsigned count = 0;
            for (unsigned i = 0; i < model->count;) {
                bool gone = model->packets[i].sink == sink && model->packets[i].origin.output_index < below;
                if (gone)
                    model_remove(model, i), count++;
                else
                    i++;
            }
            CHECK_EQUAL(waiting_purge(&waiting, &queues[q], sink, below), count);
            purges += count;
        } else if (random_next(&random) % 8 == 0) {
            CHECK_EQUAL(waiting_clear(&waiting, &queues[q]), model->count);
            model->count = 0;
        }
        compare(&waiting, &queues[q], model);
    }
    unsigned held = 0;
    for (unsigned q = 0; q < QUEUES; q++) held += queues[q].count;
    CHECK_EQUAL(unused(&waiting) + held, WAITING_POOL);
    CHECK(drops > 1000 && purges > 100 && waited > 20000);
    waiting_close(&waiting);
}

/* 40 receivers want more than the pool has: who comes last gets nothing, nobody's queue is spoilt, all of it comes back. */
static void test_the_pool_is_shared(void)
{
    static struct waiting_queue queues[40];
    struct waiting waiting;
    CHECK_EQUAL(waiting_open(&waiting), 0);
    unsigned taken = 0, dropped = 0;
    for (uint64_t i = 0; i < 40 * 450; i++) {
        struct waiting_packet packet = {.origin.output_index = i, .bytes = 100};
        unsigned lost = waiting_put(&waiting, &queues[i % 40], &packet, MOST, LONGEST, 1);
        dropped += lost;
        taken += !lost;
    }
    CHECK_EQUAL(taken, WAITING_POOL);
    CHECK_EQUAL(taken + dropped, 40 * 450);
    /* A lower encoding finds its place among packets of a higher one all the same. */
    struct waiting_packet high = {.origin = {.output_index = 1, .encoding = 2}, .bytes = 100}, low = high;
    low.origin.encoding = 0;
    waiting_take(&waiting, &queues[0]);
    CHECK_EQUAL(waiting_put(&waiting, &queues[0], &high, MOST, LONGEST, 1), 0);
    CHECK_EQUAL(waiting_put(&waiting, &queues[0], &low, MOST, LONGEST, 1), 1);
    CHECK_EQUAL(queues[0].of_encoding[2], 0);
    for (unsigned i = 0; i < 40; i++) waiting_clear(&waiting, &queues[i]);
    CHECK_EQUAL(unused(&waiting), WAITING_POOL);
    waiting_close(&waiting);
}

int main(void)
{
    test_any_order_of_calls_is_as_the_model_says();
    test_the_pool_is_shared();
    return 0;
}
