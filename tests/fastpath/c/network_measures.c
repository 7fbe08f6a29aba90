/* What a run of the network model showed. Declared in network_model.h. */
#include <stdio.h>
#include <stdlib.h>

#include "network_model.h"

static unsigned sample_number(double at_s)
{ return (unsigned)(at_s * 1e6 / MODEL_SAMPLE_US); }

double model_received(const struct model_result *result, int flow, double from_s, double to_s)
{
    double sum = 0;
    unsigned from = sample_number(from_s), to = sample_number(to_s);
    for (unsigned i = from; i < to && i < result->flow[flow].sample_count; i++)
        sum += (double)result->flow[flow].samples[i].received;
    return sum / (to - from);
}

double model_capacity(const struct model_result *result, double from_s, double to_s)
{
    double sum = 0;
    unsigned from = sample_number(from_s), to = sample_number(to_s);
    for (unsigned i = from; i < to && i < result->flow[0].sample_count; i++)
        sum += (double)result->flow[0].samples[i].capacity;
    return sum / (to - from);
}

static int by_size(const void *a, const void *b)
{
    float first = *(const float *)a, second = *(const float *)b;
    return (first > second) - (first < second);
}

double model_queue(const struct model_result *result, double share, double from_s, double to_s)
{
    unsigned from = sample_number(from_s), to = sample_number(to_s), count = 0;
    static float found[MODEL_SAMPLES];
    for (unsigned i = from; i < to && i < result->flow[0].sample_count; i++)
        found[count++] = result->flow[0].samples[i].queue_ms;
    if (count == 0) return 0;
    qsort(found, count, sizeof *found, by_size);
    return (double)found[(unsigned)(share * (count - 1))];
}

double model_reaches(const struct model_result *result, int flow, double bps, bool above, double from_s, double hold_s)
{
    unsigned held = 0, hold = sample_number(hold_s);
    for (unsigned i = sample_number(from_s); i < result->flow[flow].sample_count; i++) {
        double target = (double)result->flow[flow].samples[i].target;
        held = (above ? target >= bps : target <= bps) ? held + 1 : 0;
        if (held > hold) return (double)(i + 1 - held) * MODEL_SAMPLE_US / 1e6 - from_s;
    }
    return -1;
}

void model_trace(const struct model_scene *scene, const struct model_result *result, const char *folder)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.csv", folder, scene->name);
    FILE *file = fopen(path, "w");
    if (!file) return;
    fprintf(file, "seconds,capacity,flow,target,sent,received,queue_ms\n");
    for (int flow = 0; flow < scene->flows; flow++)
        for (unsigned i = 0; i < result->flow[flow].sample_count; i++) {
            const struct model_sample *row = &result->flow[flow].samples[i];
            fprintf(file, "%.2f,%.0f,%d,%.0f,%.0f,%.0f,%.1f\n", (i + 1) * MODEL_SAMPLE_US / 1e6,
                    (double)row->capacity, flow, (double)row->target, (double)row->sent,
                    (double)row->received, (double)row->queue_ms);
        }
    fclose(file);
}
