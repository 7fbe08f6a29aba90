#include "network_model.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

#define STEP_US 1000
#define SAMPLE_US MODEL_SAMPLE_US
#define IN_FLIGHT 8192
#define ON_THE_WAY_BACK 256
#define FEEDBACK_ROOM 1000
#define PACKET 1200
#define WAITING 512

struct flying {
    double arrival_us;
    uint16_t sequence, size;
    uint8_t flow;
};
struct returning {
    double arrival_us;
    uint8_t flow;
    int length;
    uint8_t bytes[FEEDBACK_ROOM];
};
struct waiting { /* a packet in the pacer */
    uint16_t size;
    int64_t since_us;
};
struct application {
    struct waiting queue[WAITING];
    unsigned first, count;
    uint32_t bytes;
    int64_t frame_us, audio_us, answered_us;
    double arrival_last_us;
    uint64_t sent_mark, received_mark;
    double worst_queue_ms;
};
struct model {
    const struct model_scene *scene;
    struct model_result *result;
    uint64_t random;
    double free_us; /* when the bottleneck has sent all it holds */
    double cross_us;
    struct flying flying[IN_FLIGHT]; /* by arrival */
    unsigned flying_count;
    struct returning returning[ON_THE_WAY_BACK];
    unsigned returning_count;
    struct application application[MODEL_FLOWS];
};

static double uniform(struct model *model)
{ return (double)(random_next(&model->random) >> 11) * 0x1p-53; }

static double capacity_at(const struct model_scene *scene, double at_us)
{
    double bps = scene->capacity[0].bps;
    for (int i = 0; i < MODEL_STEPS && scene->capacity[i].bps > 0 && scene->capacity[i].at_s * 1e6 <= at_us; i++)
        bps = scene->capacity[i].bps;
    return bps;
}

/* When `bits` that begin at `start_us` have left the bottleneck. */
static double leave(const struct model_scene *scene, double start_us, double bits)
{
    for (;;) {
        double bps = capacity_at(scene, start_us), end_us = start_us + bits / bps * 1e6, change_us = 1e300;
        for (int i = 0; i < MODEL_STEPS && scene->capacity[i].bps > 0; i++)
            if (scene->capacity[i].at_s * 1e6 > start_us && scene->capacity[i].at_s * 1e6 < change_us)
                change_us = scene->capacity[i].at_s * 1e6;
        if (end_us <= change_us) return end_us;
        bits -= (change_us - start_us) * bps / 1e6;
        start_us = change_us;
    }
}

/* Puts bits into the queue: when they leave it, or -1 = dropped. */
static double enqueue(struct model *model, double now_us, double bits)
{
    double start_us = model->free_us > now_us ? model->free_us : now_us;
    if (start_us - now_us > model->scene->queue_ms * 1000) return -1;
    return model->free_us = leave(model->scene, start_us, bits);
}

static void send_packet(struct model *model, int number, uint16_t size, uint8_t cluster, int64_t now_us)
{
    struct model_flow *flow = &model->result->flow[number];
    struct application *application = &model->application[number];
    uint16_t sequence = bandwidth_sent(&flow->bandwidth, &flow->sent, size, cluster, (uint64_t)now_us * 1000);
    flow->sent_bytes += size;
    flow->packets++;
    double left_us = enqueue(model, (double)now_us, size * 8);
    if (left_us >= 0) {
        double waited_ms = (left_us - (double)now_us) / 1000;
        if (waited_ms > application->worst_queue_ms) application->worst_queue_ms = waited_ms;
    }
    if (left_us < 0 || uniform(model) < model->scene->loss) {
        flow->lost++;
        return;
    }
    double arrival_us =
        left_us + model->scene->delay_ms * 1000 + uniform(model) * model->scene->jitter_ms * 1000;
    if (!model->scene->reorder && arrival_us < application->arrival_last_us)
        arrival_us = application->arrival_last_us;
    application->arrival_last_us = arrival_us;
    CHECK(model->flying_count < IN_FLIGHT);
    unsigned at = model->flying_count++;
    for (; at > 0 && model->flying[at - 1].arrival_us > arrival_us; at--)
        model->flying[at] = model->flying[at - 1];
    model->flying[at] = (struct flying){arrival_us, sequence, size, (uint8_t)number};
}

static void queue_media(struct application *application, uint16_t size, int64_t now_us)
{
    if (application->count == WAITING) return;
    application->queue[(application->first + application->count++) % WAITING] = (struct waiting){size, now_us};
    application->bytes += size;
}

static double media_rate(const struct model_scene *scene, double target)
{
    double most = scene->wanted > 0 ? scene->wanted : 1e7, layer = scene->layers[0];
    if (target > most) target = most;
    for (int i = 0; i < MODEL_LAYERS; i++)
        if (scene->layers[i] > 0 && scene->layers[i] <= target) layer = scene->layers[i];
    return layer > 0 ? layer : target;
}

/* Audio at 40 kbit/s at once; video in frames whose sizes vary by a fifth, through the pacer. */
static void produce(struct model *model, int number, int64_t now_us)
{
    struct model_flow *flow = &model->result->flow[number];
    struct application *application = &model->application[number];
    if (now_us >= application->audio_us) {
        application->audio_us += 20000;
        send_packet(model, number, 100, pacing_cluster(&flow->pacing), now_us);
        pacing_spent(&flow->pacing, 100, (uint64_t)now_us * 1000);
    }
    if (now_us >= application->frame_us) {
        application->frame_us += 33333;
        double rate = media_rate(model->scene, flow->bandwidth.target) - 40000;
        if (rate < 20000) rate = 20000;
        unsigned bytes = (unsigned)(rate / 30 / 8 * (0.8 + 0.4 * uniform(model)));
        unsigned packets = bytes / PACKET + 1;
        for (unsigned i = 0; i < packets; i++)
            queue_media(application, (uint16_t)(bytes / packets + 12), now_us);
    }
}

static void send_run(struct model *model, int number, int64_t now_us)
{
    struct model_flow *flow = &model->result->flow[number];
    struct application *application = &model->application[number];
    uint64_t now_ns = (uint64_t)now_us * 1000;
    pacing_rate(&flow->pacing, flow->bandwidth.target, false);
    uint32_t allowed = pacing_allowed(&flow->pacing, application->bytes, now_ns), taken = 0;
    uint8_t cluster = pacing_cluster(&flow->pacing);
    while (application->count && allowed) {
        struct waiting *next = &application->queue[application->first];
        if (taken && taken + next->size > allowed) break;
        double waited_ms = (double)(now_us - next->since_us) / 1000;
        if (waited_ms > flow->media_queue_max_ms) flow->media_queue_max_ms = waited_ms;
        send_packet(model, number, next->size, cluster, now_us);
        taken += next->size;
        application->bytes -= next->size;
        application->first = (application->first + 1) % WAITING;
        application->count--;
    }
    uint32_t padding = application->count ? 0 : pacing_padding(&flow->pacing, allowed, taken);
    while (padding) { /* as RTX padding is: at most 255 bytes and a header each; here of any size */
        uint16_t size = (uint16_t)(padding < 200 ? 200 : padding < PACKET ? padding : PACKET);
        send_packet(model, number, size, cluster, now_us);
        flow->padding_bytes += size;
        taken += size;
        padding = padding > size ? padding - size : 0;
    }
    if (taken) pacing_spent(&flow->pacing, taken, now_ns);
}

static double remote_ns(const struct model_scene *scene, double at_us)
{
    double jumped_ms = 0;
    for (int i = 0; i < MODEL_STEPS && scene->clock_jump[i].bps != 0; i++)
        if (scene->clock_jump[i].at_s * 1e6 <= at_us) jumped_ms += scene->clock_jump[i].bps;
    return (at_us * (1 + scene->clock_ppm / 1e6) + jumped_ms * 1000 + 5e9) * 1000;
}

static void receive(struct model *model, int64_t now_us)
{
    unsigned done = 0;
    for (; done < model->flying_count && model->flying[done].arrival_us <= (double)now_us; done++) {
        struct flying *packet = &model->flying[done];
        struct model_flow *flow = &model->result->flow[packet->flow];
        arrivals_add(&flow->arrivals, packet->sequence, (uint64_t)remote_ns(model->scene, packet->arrival_us));
        flow->received_bytes += packet->size;
    }
    model->flying_count -= done;
    memmove(model->flying, model->flying + done, model->flying_count * sizeof *model->flying);
}

static void answer(struct model *model, int number, int64_t now_us)
{
    const struct model_scene *scene = model->scene;
    struct model_flow *flow = &model->result->flow[number];
    struct application *application = &model->application[number];
    uint64_t remote = (uint64_t)remote_ns(scene, (double)now_us);
    /* As arrivals_due_ns says, but by a clock that does not jump: timers do not. */
    uint64_t wait_us = arrivals_due_ns(&flow->arrivals) - flow->arrivals.written_ns;
    if (flow->arrivals.pending == 0 || (uint64_t)(now_us - application->answered_us) < wait_us / 1000)
        return;
    while (flow->arrivals.pending) {
        struct returning back = {.flow = (uint8_t)number};
        back.length = transport_cc_write(&flow->arrivals, back.bytes, sizeof back.bytes, 1, 2, remote);
        if (back.length <= 0) break;
        flow->feedbacks++;
        application->answered_us = now_us;
        bool gap = (double)now_us >= scene->feedback_gap_from_s * 1e6 &&
                   (double)now_us < scene->feedback_gap_to_s * 1e6;
        if (gap || uniform(model) < scene->feedback_loss) continue;
        back.arrival_us = (double)now_us + (scene->delay_ms + uniform(model) * scene->feedback_late_ms) * 1000;
        CHECK(model->returning_count < ON_THE_WAY_BACK);
        model->returning[model->returning_count++] = back;
    }
}

static void hear(struct model *model, int64_t now_us)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < model->returning_count; i++) {
        struct returning *back = &model->returning[i];
        if (back->arrival_us > (double)now_us) {
            if (kept != i) model->returning[kept] = *back;
            kept++;
            continue;
        }
        struct model_flow *flow = &model->result->flow[back->flow];
        struct rtcp_feedback feedback = {
            .sender = 1, .media = 2, .fci = back->bytes + 12, .fci_length = (uint32_t)back->length - 12};
        CHECK_EQUAL(bandwidth_feedback_untrusted(&flow->bandwidth, &flow->sent, &feedback, (uint64_t)now_us * 1000),
                    0);
    }
    model->returning_count = kept;
}

static void others(struct model *model, int64_t now_us)
{
    const struct model_scene *scene = model->scene;
    if (scene->cross_bps <= 0) return;
    double period_us = (scene->cross_on_s + scene->cross_off_s) * 1e6;
    double phase_us = (double)now_us - period_us * (double)(int64_t)((double)now_us / period_us);
    if (model->cross_us < (double)now_us) model->cross_us = (double)now_us;
    while (phase_us < scene->cross_on_s * 1e6 && model->cross_us < (double)(now_us + STEP_US)) {
        enqueue(model, model->cross_us, PACKET * 8);
        model->cross_us += PACKET * 8 / scene->cross_bps * 1e6;
    }
}

static void sample(struct model *model, int number, int64_t now_us)
{
    struct model_flow *flow = &model->result->flow[number];
    struct application *application = &model->application[number];
    if (flow->sample_count < MODEL_SAMPLES)
        flow->samples[flow->sample_count++] = (struct model_sample){
            .target = (float)flow->bandwidth.target,
            .sent = (float)((double)(flow->sent_bytes - application->sent_mark) * 8e6 / SAMPLE_US),
            .received = (float)((double)(flow->received_bytes - application->received_mark) * 8e6 / SAMPLE_US),
            .queue_ms = (float)application->worst_queue_ms,
            .capacity = (float)capacity_at(model->scene, (double)now_us)};
    application->sent_mark = flow->sent_bytes;
    application->received_mark = flow->received_bytes;
    application->worst_queue_ms = 0;
}

void model_run(const struct model_scene *scene, struct model_result *result)
{
    struct model *model = calloc(1, sizeof *model);
    if (!model) abort();
    memset(result, 0, sizeof *result);
    *model = (struct model){.scene = scene, .result = result, .random = scene->seed * 2654435761u + 88172645463325252u};
    for (int i = 0; i < scene->flows; i++) {
        bandwidth_reset(&result->flow[i].bandwidth, NULL);
        if (scene->wanted > 0) bandwidth_want(&result->flow[i].bandwidth, (uint32_t)scene->wanted);
        model->application[i].frame_us = model->application[i].audio_us =
            (int64_t)(scene->flow_start_s[i] * 1e6) + 1000000;
    }
    /* One second before 0, so that no clock begins at 0. */
    for (int64_t now_us = 0; now_us < (int64_t)(scene->seconds * 1e6); now_us += STEP_US) {
        receive(model, now_us);
        hear(model, now_us);
        others(model, now_us);
        for (int i = 0; i < scene->flows; i++) {
            struct model_flow *flow = &result->flow[i];
            answer(model, i, now_us);
            if (now_us && now_us % SAMPLE_US == 0) sample(model, i, now_us);
            if ((double)now_us < scene->flow_start_s[i] * 1e6 + 1e6) continue;
            struct probe_request request;
            if (bandwidth_tick(&flow->bandwidth, (uint64_t)now_us * 1000, &request)) {
                pacing_probe(&flow->pacing, &request, (uint64_t)now_us * 1000);
                flow->probes++;
            }
            produce(model, i, now_us);
            send_run(model, i, now_us);
        }
    }
    free(model);
}
