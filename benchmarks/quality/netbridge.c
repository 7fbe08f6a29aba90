/* A network between two TUN devices, reproducible from a seed: for each direction a bottleneck with a bounded queue, then delay, jitter,
 * reordering, loss, duplication and corruption.
 *
 *     netbridge TUN_A_FD TUN_B_FD SEED [LOG]
 *
 * Both descriptors are open TUN devices (IFF_TUN | IFF_NO_PI), each in whatever network namespace. Lines on standard input change a direction, "ab",
 * "ba" or "both":
 *     ab rate=500000 queue_ms=150 delay_ms=20 jitter_ms=5 reorder=1 loss=0.05 burst=1 duplicate=0.01 corrupt=0.01
 * What is not named stays. Each line is answered by one line: "ok <ns>" (CLOCK_MONOTONIC, when it took effect) or "error <why>"; "stats" by a
 * JSON object; "quit" and the end of input end it.
 *
 *     rate       bit/s of IP packets, 0 = no bottleneck
 *     queue_ms   a packet that would wait longer for the bottleneck is dropped (tail drop: a modem's buffer)
 *     delay_ms   after the bottleneck;  jitter_ms is added, uniform from 0;  reorder=1 lets packets overtake each other by it
 *     loss       share lost after the bottleneck; burst = mean length of a run of losses (Gilbert), 1 = independent of each other
 *     duplicate  share that comes twice;  corrupt  share of UDP packets in which one payload bit is turned, with a checksum that lets them through
 *
 * The fate of the n-th packet of a direction depends on the seed, the direction, n and the settings alone, never on time.
 * LOG: one line for each packet, when it has left the queue: arrival_ns direction bytes wait_us fate, fate a sum of the values below. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define PACKET_MAX 2048
/* Packets on the way in one direction; beyond that they are dropped as by a full queue. Higher: memory. Lower: 1 s of 100 Mbit/s is 10,000. */
#define ON_THE_WAY_MAX 65536

enum { DELIVERED = 0, QUEUE_FULL = 1, LOST = 2, DUPLICATED = 4, CORRUPTED = 8 };

struct packet {
    struct packet *next;
    uint64_t arrived_ns, due_ns, number;
    uint16_t length;
    uint8_t fate;
    uint8_t bytes[PACKET_MAX];
};

struct settings {
    double rate, queue_ms, delay_ms, jitter_ms, reorder, loss, burst, duplicate, corrupt;
};

struct direction {
    const char *name;
    int from, to;
    struct settings set;
    uint64_t seed, count; /* packets that came */
    bool in_burst;
    struct packet *head, *tail; /* waiting for the bottleneck; the head is being sent */
    uint64_t head_done_ns, free_ns, waiting_bytes;
    struct packet **heap; /* on the way, by due time and number */
    size_t heap_count;
    uint64_t last_due_ns;
    uint64_t packets, bytes, dropped, lost, duplicated, corrupted;
};

static FILE *packet_log;

static uint64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* SplitMix64's finaliser: a good hash of a counter. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* Uniform in [0, 1): the `which`-th throw of the dice for packet `number`. */
static double throw_dice(const struct direction *way, uint64_t number, unsigned which)
{ return (double)(mix(mix(way->seed + number) + which) >> 11) * 0x1p-53; }

static bool packet_is_lost(struct direction *way, uint64_t number)
{
    const struct settings *set = &way->set;
    double share = set->loss;
    if (set->burst > 1) {
        double stay = 1 - 1 / set->burst;
        double begin = set->loss < 1 ? set->loss / (set->burst * (1 - set->loss)) : 1;
        share = way->in_burst ? stay : begin;
    }
    way->in_burst = throw_dice(way, number, 0) < share;
    return way->in_burst;
}

static uint8_t packet_fate(struct direction *way, uint64_t number)
{
    uint8_t fate = 0;
    if (packet_is_lost(way, number)) fate |= LOST;
    if (throw_dice(way, number, 1) < way->set.duplicate) fate |= DUPLICATED;
    if (throw_dice(way, number, 2) < way->set.corrupt) fate |= CORRUPTED;
    return fate;
}

/* Turns one bit of the UDP payload; a checksum of 0 means that there is none (RFC 768). False if it is no such packet. */
static bool packet_corrupt(struct direction *way, struct packet *packet)
{
    uint8_t *ip = packet->bytes;
    if (packet->length < 28 || ip[0] >> 4 != 4 || ip[9] != 17) return false;
    size_t start = (size_t)(ip[0] & 15) * 4 + 8;
    if (start >= packet->length) return false;
    uint64_t bits = (packet->length - start) * 8;
    uint64_t bit = (uint64_t)(throw_dice(way, packet->number, 3) * (double)bits);
    packet->bytes[start + bit / 8] ^= (uint8_t)(1u << bit % 8);
    packet->bytes[start - 2] = packet->bytes[start - 1] = 0;
    return true;
}

static bool earlier(const struct packet *a, const struct packet *b)
{ return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number; }

static void heap_push(struct direction *way, struct packet *packet)
{
    size_t at = way->heap_count++;
    while (at && earlier(packet, way->heap[(at - 1) / 2])) {
        way->heap[at] = way->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    way->heap[at] = packet;
}

static struct packet *heap_pop(struct direction *way)
{
    struct packet *top = way->heap[0], *last = way->heap[--way->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= way->heap_count) break;
        if (child + 1 < way->heap_count && earlier(way->heap[child + 1], way->heap[child])) child++;
        if (!earlier(way->heap[child], last)) break;
        way->heap[at] = way->heap[child];
        at = child;
    }
    way->heap[at] = last;
    return top;
}

static void tell_log(const struct direction *way, const struct packet *packet, uint64_t left_ns)
{
    if (packet_log)
        fprintf(packet_log, "%" PRIu64 " %s %u %" PRIu64 " %u\n", packet->arrived_ns, way->name,
                packet->length, (left_ns - packet->arrived_ns) / 1000, packet->fate);
}

/* It has passed the bottleneck at `left_ns`: it is lost, or sets out. */
static void packet_sets_out(struct direction *way, struct packet *packet, uint64_t left_ns)
{
    const struct settings *set = &way->set;
    bool corrupted = packet->fate & CORRUPTED && packet_corrupt(way, packet);
    if (!corrupted) packet->fate &= (uint8_t)~CORRUPTED;
    bool full = way->heap_count + 2 > ON_THE_WAY_MAX;
    if (full && !(packet->fate & LOST)) packet->fate = QUEUE_FULL;
    tell_log(way, packet, left_ns);
    if (packet->fate & (LOST | QUEUE_FULL)) {
        way->lost += packet->fate == LOST;
        way->dropped += packet->fate == QUEUE_FULL;
        free(packet);
        return;
    }
    way->corrupted += corrupted;
    double ms = set->delay_ms + throw_dice(way, packet->number, 4) * set->jitter_ms;
    packet->due_ns = left_ns + (uint64_t)(ms * 1e6);
    if (set->reorder == 0 && packet->due_ns < way->last_due_ns) packet->due_ns = way->last_due_ns;
    if (packet->due_ns > way->last_due_ns) way->last_due_ns = packet->due_ns;
    struct packet *twin = packet->fate & DUPLICATED ? malloc(sizeof *twin) : NULL;
    heap_push(way, packet);
    if (twin) {
        *twin = *packet;
        way->duplicated++;
        heap_push(way, twin);
    }
}

static uint64_t sending_ns(const struct direction *way, const struct packet *packet)
{ return (uint64_t)((double)packet->length * 8e9 / way->set.rate); }

static void packet_arrives(struct direction *way, struct packet *packet, uint64_t now_ns)
{
    packet->next = NULL;
    packet->arrived_ns = now_ns;
    packet->number = way->count++;
    packet->fate = packet_fate(way, packet->number);
    way->packets++;
    way->bytes += packet->length;
    if (way->set.rate <= 0 && !way->head) {
        packet_sets_out(way, packet, now_ns);
        return;
    }
    double wait_ms = 0;
    if (way->head) {
        uint64_t rest = way->waiting_bytes - way->head->length;
        wait_ms = way->head_done_ns > now_ns ? (double)(way->head_done_ns - now_ns) / 1e6 : 0;
        if (way->set.rate > 0) wait_ms += (double)rest * 8e3 / way->set.rate;
    }
    if (way->set.queue_ms > 0 && wait_ms > way->set.queue_ms) {
        packet->fate = QUEUE_FULL;
        way->dropped++;
        tell_log(way, packet, now_ns);
        free(packet);
        return;
    }
    way->waiting_bytes += packet->length;
    if (way->tail) {
        way->tail->next = packet;
    } else {
        way->head = packet;
        uint64_t start = way->free_ns > now_ns ? way->free_ns : now_ns;
        way->head_done_ns = start + sending_ns(way, packet);
    }
    way->tail = packet;
}

static void way_advance(struct direction *way, uint64_t now_ns)
{
    while (way->head && way->head_done_ns <= now_ns) {
        struct packet *packet = way->head;
        uint64_t done_ns = way->head_done_ns;
        way->head = packet->next;
        if (!way->head) way->tail = NULL;
        way->waiting_bytes -= packet->length;
        way->free_ns = done_ns;
        if (way->head) {
            /* It may have come after that, if we are late ourselves. */
            uint64_t start = done_ns > way->head->arrived_ns ? done_ns : way->head->arrived_ns;
            way->head_done_ns = start + (way->set.rate > 0 ? sending_ns(way, way->head) : 0);
        }
        packet_sets_out(way, packet, done_ns);
    }
    while (way->heap_count && way->heap[0]->due_ns <= now_ns) {
        struct packet *packet = heap_pop(way);
        /* A full device drops, as the kernel would. */
        if (write(way->to, packet->bytes, packet->length) < 0) way->dropped++;
        free(packet);
    }
}

static uint64_t way_due(const struct direction *way)
{
    uint64_t due = UINT64_MAX;
    if (way->head) due = way->head_done_ns;
    if (way->heap_count && way->heap[0]->due_ns < due) due = way->heap[0]->due_ns;
    return due;
}

/* At most one packet: the two directions take turns. */
static bool way_read(struct direction *way)
{
    struct packet *packet = malloc(sizeof *packet);
    if (!packet) return false;
    ssize_t length = read(way->from, packet->bytes, PACKET_MAX);
    if (length <= 0) {
        free(packet);
        return false;
    }
    packet->length = (uint16_t)length;
    packet_arrives(way, packet, clock_now());
    return true;
}

static const char *settings_read(struct settings *set, char *text)
{
    static const char *const names[] = {"rate", "queue_ms", "delay_ms",  "jitter_ms", "reorder",
                                        "loss", "burst",    "duplicate", "corrupt"};
    double *values[] = {&set->rate, &set->queue_ms, &set->delay_ms,  &set->jitter_ms, &set->reorder,
                        &set->loss, &set->burst,    &set->duplicate, &set->corrupt};
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        char *equals = strchr(word, '='), *end;
        if (!equals) return "a setting is name=value";
        *equals = 0;
        size_t i = 0;
        while (i < sizeof names / sizeof *names && strcmp(names[i], word) != 0) i++;
        if (i == sizeof names / sizeof *names) return "no such setting";
        double value = strtod(equals + 1, &end);
        if (end == equals + 1 || *end || !(value >= 0) || value > 1e12)
            return "not a number that makes sense";
        *values[i] = value;
    }
    return set->loss > 1 || set->duplicate > 1 || set->corrupt > 1 ? "a share is at most 1" : NULL;
}

static void tell_stats(const struct direction *ways)
{
    for (int i = 0; i < 2; i++)
        printf("%s\"%s\": {\"packets\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"dropped\": %" PRIu64 ", \"lost\": %" PRIu64
               ", \"duplicated\": %" PRIu64 ", \"corrupted\": %" PRIu64 "}%s",
               i ? ", " : "{", ways[i].name, ways[i].packets, ways[i].bytes, ways[i].dropped,
               ways[i].lost, ways[i].duplicated, ways[i].corrupted, i ? "}\n" : "");
}

/* False to end. */
static bool command(struct direction *ways, char *line)
{
    char *rest = strchr(line, ' ');
    if (rest) *rest++ = 0;
    if (strcmp(line, "quit") == 0) return false;
    if (strcmp(line, "stats") == 0) {
        tell_stats(ways);
        if (packet_log) fflush(packet_log);
        return true;
    }
    const char *wrong = "not ab, ba, both, stats or quit";
    struct settings wanted[2] = {ways[0].set, ways[1].set};
    char copy[1024];
    bool known = false;
    for (int i = 0; i < 2; i++) {
        if (strcmp(line, ways[i].name) != 0 && strcmp(line, "both") != 0) continue;
        snprintf(copy, sizeof copy, "%s", rest ? rest : "");
        known = true;
        wrong = settings_read(&wanted[i], copy);
        if (wrong) break;
    }
    if (known && !wrong) {
        for (int i = 0; i < 2; i++) ways[i].set = wanted[i];
        printf("ok %" PRIu64 "\n", clock_now());
    } else {
        printf("error %s\n", wrong);
    }
    return true;
}

static bool commands_read(struct direction *ways)
{
    static char buffer[4096];
    static size_t held;
    ssize_t got = read(STDIN_FILENO, buffer + held, sizeof buffer - 1 - held);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    held += (size_t)got;
    buffer[held] = 0;
    char *line = buffer, *end;
    while ((end = strchr(line, '\n'))) {
        *end = 0;
        if (!command(ways, line)) return false;
        line = end + 1;
    }
    held = strlen(line);
    memmove(buffer, line, held + 1);
    if (held == sizeof buffer - 1) held = 0;
    return true;
}

int main(int count, char **words)
{
    if (count < 4) {
        fprintf(stderr, "netbridge TUN_A_FD TUN_B_FD SEED [LOG]\n");
        return 2;
    }
    int a = atoi(words[1]), b = atoi(words[2]);
    uint64_t seed = strtoull(words[3], NULL, 10);
    if (count > 4 && !(packet_log = fopen(words[4], "w"))) {
        perror(words[4]);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    fcntl(a, F_SETFL, O_NONBLOCK);
    fcntl(b, F_SETFL, O_NONBLOCK);
    /* A network does not wait for a loaded machine: where we may, we go first and are woken to the microsecond. */
    prctl(PR_SET_TIMERSLACK, 1ul);
    struct sched_param first = {.sched_priority = 10};
    sched_setscheduler(0, SCHED_FIFO, &first);
    struct direction ways[2] = {
        {.name = "ab", .from = a, .to = b, .seed = mix(seed), .set = {.burst = 1}},
        {.name = "ba", .from = b, .to = a, .seed = mix(seed ^ 0xbaull << 32), .set = {.burst = 1}},
    };
    for (int i = 0; i < 2; i++)
        if (!(ways[i].heap = calloc(ON_THE_WAY_MAX, sizeof *ways[i].heap))) return 1;
    printf("ok %" PRIu64 "\n", clock_now());
    struct pollfd wait[3] = {{a, POLLIN, 0}, {b, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    for (;;) {
        uint64_t now = clock_now(), due = UINT64_MAX;
        for (int i = 0; i < 2; i++) {
            way_advance(&ways[i], now);
            if (way_due(&ways[i]) < due) due = way_due(&ways[i]);
        }
        now = clock_now();
        uint64_t left = due <= now ? 0 : due - now;
        struct timespec timeout = {(time_t)(left / SECOND), (long)(left % SECOND)};
        if (ppoll(wait, 3, due == UINT64_MAX ? NULL : &timeout, NULL) < 0 && errno != EINTR)
            return 1;
        bool more = true;
        for (int turn = 0; turn < 64 && more; turn++) {
            more = way_read(&ways[0]);
            more |= way_read(&ways[1]);
        }
        if (wait[2].revents && !commands_read(ways)) break;
        wait[2].revents = 0;
    }
    if (packet_log) fclose(packet_log);
    return 0;
}
