/* load PLAN: members of the plan connect, send and receive; figures as one JSON object on standard output.
 *
 * Lines that say when: "connected", then "begin" and "end" of the measured time, so that whoever started it can look at the server's
 * CPU time at these moments. Ends by itself; a server that does not answer ends it with status 1. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECT_NS (10ull * 1000000000ull)
#define JOIN_NS (10ull * 1000000ull) /* from one join to the next, on average */
#define JOIN_MOST_NS (4000ull * 1000000ull)
#define WARM_MORE 5 /* times warm_ns */
#define WARM_STEP_NS (500ull * 1000000ull)
#define DRAIN_NS (400ull * 1000000ull)

uint64_t load_clock_ns(int clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t load_random(struct load *load)
{
    uint64_t value = load->random += 0x9e3779b97f4a7c15ull;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
    return value ^ (value >> 31);
}

static void *zeroed(size_t count, size_t size)
{
    size_t bytes = (count * size + 63) & ~(size_t)63;
    void *memory = aligned_alloc(64, bytes ? bytes : 64);
    if (!memory) exit(2);
    return memset(memory, 0, bytes);
}

static void say(const char *what)
{
    puts(what);
    fflush(stdout);
}

/* Runs until the time; `sends` = media too. */
static void run(struct load *load, uint64_t until_ns, bool sends)
{
    uint64_t now;
    while ((now = load_clock_ns(CLOCK_MONOTONIC)) < until_ns) {
        uint64_t next = sends ? sending_turn(load, now) : until_ns;
        members_turn(load, now);
        bool more = wire_receive(&load->wire, 1, receiving_take, load);
        now = load_clock_ns(CLOCK_MONOTONIC);
        if (next > now + 1000000) next = now + 1000000;
        if (!more && next > now) wire_wait(next - now);
    }
}

/* Estimates need seconds until everything that is wanted is sent: media flows until each sink gets some, within a limit. */
static void warm_up(struct load *load)
{
    const struct plan_head *head = &load->plan.head;
    uint64_t begin = load_clock_ns(CLOCK_MONOTONIC);
    uint64_t *before = zeroed(head->sink_count, sizeof *before);
    run(load, begin + head->warm_ns, true);
    while (load_clock_ns(CLOCK_MONOTONIC) < begin + (1 + WARM_MORE) * head->warm_ns) {
        uint32_t silent = 0;
        for (uint32_t i = 0; i < head->sink_count; i++) before[i] = load->streams[i].seen;
        run(load, load_clock_ns(CLOCK_MONOTONIC) + WARM_STEP_NS, true);
        for (uint32_t i = 0; i < head->sink_count; i++)
            silent += load->streams[i].seen == before[i];
        if (silent <= head->sink_count / 200) break;
    }
    free(before);
}

static bool connected(struct load *load, uint32_t count, bool sends)
{
    uint64_t limit = load_clock_ns(CLOCK_MONOTONIC) + CONNECT_NS;
    while (load->answered < count) {
        uint64_t now = load_clock_ns(CLOCK_MONOTONIC);
        if (now > limit) return false;
        run(load, now + 5000000, sends);
    }
    return true;
}

/* Who sends comes first and begins; the others join one after another, as people do: thousands of estimates do not begin in one moment. */
static bool connect_all(struct load *load)
{
    uint32_t count = load->plan.head.member_count, senders = 0;
    uint64_t now = load_clock_ns(CLOCK_MONOTONIC);
    if (!load->plan.head.plain) {
        for (uint32_t i = 0; i < count; i++) {
            senders += load->members[i].sends;
            if (!load->members[i].sends) load->members[i].check_due_ns = UINT64_MAX;
        }
        if (!connected(load, senders, false)) return false;
        now = load_clock_ns(CLOCK_MONOTONIC);
        uint64_t all = (uint64_t)(count - senders) * JOIN_NS;
        if (all > JOIN_MOST_NS) all = JOIN_MOST_NS;
        for (uint32_t i = 0; i < count; i++)
            if (!load->members[i].sends)
                load->members[i].check_due_ns = now + load_random(load) % (all + 1);
    }
    sending_start(load, now);
    return load->plan.head.plain || connected(load, count, true);
}

static void print_delays(const char *name, const struct delays *delays)
{
    printf(", \"%s\": {\"count\": %llu, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
           "\"p999_us\": %.1f, \"max_us\": %.1f}",
           name, (unsigned long long)delays->count, (double)delays_share(delays, 0.5) / 1e3,
           (double)delays_share(delays, 0.9) / 1e3, (double)delays_share(delays, 0.99) / 1e3,
           (double)delays_share(delays, 0.999) / 1e3, (double)delays->greatest_ns / 1e3);
}

static void print(struct load *load, uint64_t own_cpu_ns)
{
    const struct totals *totals = load->totals;
    static const char *const kinds[2] = {"audio", "video"};
    printf("{\"reordered\": %llu, \"sampled\": %llu, \"bad_tags\": %llu, \"other_packets\": %llu, "
           "\"rtcp\": %llu, "
           "\"key_requests\": %llu, \"feedback_sent\": %llu, \"asked\": %llu, \"send_errors\": "
           "%llu, \"own_cpu_s\": "
           "%.3f, \"ring_drops\": %llu, \"messages\": %llu",
           (unsigned long long)totals->reordered, (unsigned long long)totals->sampled,
           (unsigned long long)totals->bad_tags, (unsigned long long)totals->unknown,
           (unsigned long long)totals->rtcp, (unsigned long long)totals->key_requests,
           (unsigned long long)totals->feedback_sent, (unsigned long long)totals->asked,
           (unsigned long long)load->wire.send_errors, (double)own_cpu_ns / 1e9,
           (unsigned long long)wire_ring_drops(&load->wire), (unsigned long long)load->wire.received_messages);
    for (int i = 0; i < 2; i++) {
        printf(", \"%s_packets\": %llu, \"%s_bytes\": %llu, \"%s_lost\": %llu, \"%s_due\": %llu",
               kinds[i], (unsigned long long)totals->packets[i], kinds[i],
               (unsigned long long)totals->bytes[i], kinds[i], (unsigned long long)totals->lost[i],
               kinds[i], (unsigned long long)totals->due[i]);
        char name[32];
        snprintf(name, sizeof name, "%s_delay", kinds[i]);
        print_delays(name, &totals->delays[i]);
    }
    puts("}");
}

int main(int argc, char **argv)
{
    static struct load load;
    if (argc != 2 || plan_read(&load.plan, argv[1]) != 0) {
        fprintf(stderr, "usage: load PLAN\n");
        return 2;
    }
    const struct plan_head *head = &load.plan.head;
    load.random = 1; /* the same frames in every run */
    load.members = zeroed(head->member_count, sizeof *load.members);
    load.sources = zeroed(head->source_count, sizeof *load.sources);
    load.streams = zeroed(head->sink_count, sizeof *load.streams);
    load.heap = zeroed(head->source_count, sizeof *load.heap);
    load.totals = zeroed(1, sizeof *load.totals);
    for (uint32_t i = 0; i < head->sink_count; i++)
        if (load.plan.sinks[i].source < head->source_count)
            load.sources[load.plan.sinks[i].source].sinks++;
    if ((!head->plain && members_open(&load) != 0) || wire_open(&load.wire, &load.plan) != 0) {
        perror("load");
        return 2;
    }
    if (!connect_all(&load)) {
        fprintf(stderr, "only %u of %u members were answered\n", load.answered, head->member_count);
        return 1;
    }
    say("connected");
    warm_up(&load);
    receiving_begin(&load);
    wire_ring_drops(&load.wire);
    say("begin");
    uint64_t cpu = load_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    run(&load, load_clock_ns(CLOCK_MONOTONIC) + head->measure_ns, true);
    cpu = load_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    say("end");
    run(&load, load_clock_ns(CLOCK_MONOTONIC) + DRAIN_NS, false);
    receiving_finish(&load);
    print(&load, cpu);
    return 0;
}
