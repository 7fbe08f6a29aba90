/* stream PLAN RATE: the members of a plan at sockets of their own on the loopback; each sends its source and notes what it gets.
 *
 * They report what they get as browsers do (feedback.h), so that the server gives them all of it. Media flows from the first to the last moment; commands on standard input say what else happens:
 *   report          one line of JSON about the time since the last report, judged up to half a second ago
 *   bad N           N packets with a wrong tag for each good one, from the same address
 *   replay N        N packets of before again for each one
 *   ssrcs N         members send N packets under SSRCs never seen, authenticated
 *   deaf MEMBER     it reads nothing from now on; -1 = all read
 *   gone MEMBER     it makes no more checks
 *   flood N         (0 = no more) N datagrams of strangers: checks under names nobody has, RTP of the members' SSRCs, ClientHellos, noise
 *   mangle 0|1      of what members send 30 % is lost, 10 % comes twice, 10 % late, 5 % with a bit turned; none of it counts as lost
 *   pause 0|1       no media
 *   rate N          packets a second of each source from now on
 *   quit */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"
#include "feedback.h"
#include "load.h"
#include "rtp.h"

enum {
    MOST = 64,
    NUMBERS = 1 << 25, /* of a source: an hour at 9,000 a second; pages come as they are used */
    JUDGED_NS = 500000000,
    KEPT = 4096,
    STRANGERS = 16,
    TURN_NS = 500000,
    DELAYS = 1 << 16
};
#define MAGIC 0x43484153u /* before each number in a payload */

struct seat {
    int fd;
    struct srtp_keys tx, rx;
    struct srtp_rx_state rx_state[LIMIT_RX_SSRCS];
    struct reporter reporter;
    uint64_t check_due_ns, report_due_ns, checked_ns, last_ns;
    bool gone, deaf;
};
struct flow { /* one source */
    uint64_t next, judged, first_ns;
    uint64_t *sent_ns;
    uint8_t (*kept)[300];
    uint16_t kept_length[KEPT];
};
struct hearing { /* one sink */
    uint8_t *had;
    uint64_t last_ns;
};
struct told {
    uint64_t received, lost, lost_all, repeats, refused, duplicates, foreign, misrouted, gap_ns, answered;
    uint32_t delay_count;
    uint32_t delays_us[DELAYS];
};

static struct plan plan;
static struct seat seats[MOST];
static struct flow flows[MOST];
static struct hearing hearings[MOST * MOST];
static struct told told;
static unsigned bad, replay;
static bool mangled, paused;
static double rate; /* packets a second of each source */
static uint64_t random_state = 88172645463325252ull, flood_sent_bytes, flood_got_bytes, flood_got;
static int strangers[STRANGERS];
static struct sockaddr_in server;

uint64_t load_clock_ns(int clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t clock_ns(void)
{ return load_clock_ns(CLOCK_MONOTONIC); }

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static void transmit(int fd, const void *bytes, size_t length)
{ sendto(fd, bytes, length, 0, (const struct sockaddr *)&server, sizeof server); }

static size_t packet_make(uint32_t source, uint32_t ssrc, uint64_t index, uint64_t number, uint8_t *out)
{
    const struct plan_source *row = &plan.sources[source];
    /* Small: 20,000 a second of them are within BANDWIDTH_MAX of a receiver. */
    uint8_t payload[24] = {0x90, 0xe0, 0, 0, 0, 0, 0x10};
    store_be16(payload + 2, (uint16_t)(0x8000 | (number & 0x7fff)));
    payload[4] = (uint8_t)number;
    store_be32(payload + 7, MAGIC);
    store_be32(payload + 11, source);
    store_be64(payload + 15, number);
    memset(out, 0, 20);
    out[0] = 0x90, out[1] = (uint8_t)(0x80 | row->payload_type);
    store_be16(out + 2, (uint16_t)index);
    store_be32(out + 4, (uint32_t)(clock_ns() / 1000 * 9 / 100));
    store_be32(out + 8, ssrc);
    store_be16(out + 12, 0xbede);
    store_be16(out + 14, 1);
    out[16] = (uint8_t)(plan.head.mid_ext << 4), out[17] = row->mid;
    if (row->rid) out[18] = (uint8_t)(plan.head.rid_ext << 4), out[19] = row->rid;
    int length = srtp_protect(&seats[row->member].tx, index, out, 300, 20, payload, sizeof payload);
    if (length < 0) exit(3);
    return (size_t)length;
}

static void transmit_mangled(struct flow *flow, int fd, uint64_t number, uint8_t *out, size_t length)
{
    unsigned chance = (unsigned)(random_next() % 100);
    if (chance >= 40 && chance < 50 && number >= 20) { /* in place of it one of twenty before, which came or did not */
        unsigned late = (unsigned)((number - 1 - random_next() % 19) % KEPT);
        transmit(fd, flow->kept[late], flow->kept_length[late]);
    }
    if (chance < 30) return;
    transmit(fd, out, length);
    if (chance < 40) transmit(fd, out, length);
    if (chance < 95) return;
    uint8_t bent[300];
    memcpy(bent, out, length);
    bent[random_next() % length] ^= (uint8_t)(1 << random_next() % 8);
    transmit(fd, bent, length);
}

static void send_one(uint32_t source)
{
    struct flow *flow = &flows[source];
    int fd = seats[plan.sources[source].member].fd;
    uint8_t out[300];
    uint64_t number = flow->next++;
    if (number >= NUMBERS) exit(4);
    /* Near a wrap from the first second on, so that every run passes several. */
    size_t length = packet_make(source, plan.sources[source].ssrc, number + 65000, number, out);
    flow->sent_ns[number] = mangled ? 1 : clock_ns(); /* 1 = nobody waits for it */
    if (!mangled)
        transmit(fd, out, length);
    else
        transmit_mangled(flow, fd, number, out, length);
    memcpy(flow->kept[number % KEPT], out, length);
    flow->kept_length[number % KEPT] = (uint16_t)length;
    for (unsigned i = 0; i < bad; i++) {
        out[length - 1 - i % 8] ^= 0x55;
        store_be16(out + 2, (uint16_t)(number + 65000 + 1 + i));
        transmit(fd, out, length);
    }
    for (unsigned i = 0; i < replay && number > KEPT; i++) {
        unsigned which = (unsigned)(random_next() % KEPT);
        transmit(fd, flow->kept[which], flow->kept_length[which]);
    }
}

static void take(uint32_t member, uint8_t *bytes, size_t length, uint64_t now)
{
    struct rtp_header header;
    uint64_t index;
    if (length < 12) return;
    if (bytes[0] < 4) {
        told.answered++;
        return;
    }
    if (bytes[0] >> 6 != 2 || (bytes[1] >= 192 && bytes[1] <= 223)) return;
    uint32_t sink = load_be32(bytes + 8) - PLAN_SSRC_BASE;
    if (rtp_parse_untrusted(bytes, length, &header) != 0) return;
    int result = srtp_unprotect_untrusted(&seats[member].rx, seats[member].rx_state, bytes, &length,
                                          header.payload_offset, &index);
    if (result == -EALREADY)
        told.repeats++;
    else if (result != 0)
        told.refused++;
    seats[member].last_ns = now;
    if (result == 0)
        reporter_arrival(&seats[member].reporter, plan.head.transport_cc_ext, bytes, length, now);
    const uint8_t *payload = bytes + header.payload_offset;
    if (result != 0 || sink >= plan.head.sink_count || length < header.payload_offset + 23u)
        return; /* also padding, RTX */
    uint32_t source = load_be32(payload + 11);
    uint64_t number = load_be64(payload + 15);
    if (load_be32(payload + 7) != MAGIC || source >= plan.head.source_count ||
        number >= flows[source].next) {
        told.foreign++;
        return;
    }
    if (plan.sinks[sink].member != member || plan.sinks[sink].source != source) {
        told.misrouted++;
        return;
    }
    struct hearing *hearing = &hearings[sink];
    told.received++;
    told.duplicates += hearing->had[number];
    hearing->had[number] = 1;
    if (hearing->last_ns && now - hearing->last_ns > told.gap_ns)
        told.gap_ns = now - hearing->last_ns;
    hearing->last_ns = now;
    if (flows[source].sent_ns[number] == 1) return;
    told.delays_us[told.delay_count++ % DELAYS] = (uint32_t)((now - flows[source].sent_ns[number]) / 1000);
}

static void receive(void)
{
    uint8_t bytes[2048];
    for (uint32_t i = 0; i < plan.head.member_count; i++) {
        ssize_t length;
        if (seats[i].deaf) continue;
        while ((length = recv(seats[i].fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
            take(i, bytes, (size_t)length, clock_ns());
    }
    for (int i = 0; i < STRANGERS; i++) {
        ssize_t length;
        while ((length = recv(strangers[i], bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
            flood_got_bytes += (uint64_t)length, flood_got++;
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static void judge(uint64_t now)
{
    for (uint32_t source = 0; source < plan.head.source_count; source++) {
        struct flow *flow = &flows[source];
        for (; flow->judged < flow->next && flow->sent_ns[flow->judged] + JUDGED_NS < now; flow->judged++) {
            unsigned due = 0, had = 0;
            if (flow->sent_ns[flow->judged] == 1) continue;
            for (uint32_t sink = 0; sink < plan.head.sink_count; sink++) {
                const struct plan_sink *row = &plan.sinks[sink];
                if (row->source != source || seats[row->member].deaf || seats[row->member].gone)
                    continue;
                due++;
                had += hearings[sink].had[flow->judged];
            }
            told.lost += had < due;
            told.lost_all += due > 0 && had == 0;
        }
    }
}

static void report(void)
{
    uint64_t now = clock_ns(), sent = 0;
    judge(now);
    for (uint32_t i = 0; i < plan.head.source_count; i++) sent += flows[i].next;
    uint32_t count = told.delay_count < DELAYS ? told.delay_count : DELAYS;
    qsort(told.delays_us, count, sizeof *told.delays_us, compare);
    printf("{\"now_ns\": %llu, \"sent\": %llu, \"received\": %llu, \"lost\": %llu, \"lost_all\": "
           "%llu, \"repeats\": %llu, "
           "\"refused\": %llu, \"duplicates\": %llu, \"foreign\": %llu, \"misrouted\": %llu, "
           "\"gap_ns\": %llu, \"answered\": %llu, "
           "\"p50_us\": %u, \"p99_us\": %u, \"flood_sent_bytes\": %llu, \"flood_got_bytes\": %llu, "
           "\"flood_got\": %llu, \"last_ns\": [",
           (unsigned long long)now, (unsigned long long)sent, (unsigned long long)told.received,
           (unsigned long long)told.lost, (unsigned long long)told.lost_all,
           (unsigned long long)told.repeats, (unsigned long long)told.refused,
           (unsigned long long)told.duplicates, (unsigned long long)told.foreign,
           (unsigned long long)told.misrouted, (unsigned long long)told.gap_ns,
           (unsigned long long)told.answered, count ? told.delays_us[count / 2] : 0,
           count ? told.delays_us[(uint64_t)count * 99 / 100] : 0, (unsigned long long)flood_sent_bytes,
           (unsigned long long)flood_got_bytes, (unsigned long long)flood_got);
    for (uint32_t i = 0; i < plan.head.member_count; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)seats[i].last_ns);
    printf("], \"checked_ns\": [");
    for (uint32_t i = 0; i < plan.head.member_count; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)seats[i].checked_ns);
    puts("]}");
    fflush(stdout);
    memset(&told, 0, offsetof(struct told, delays_us));
}

static void compound_send(uint32_t member, uint8_t *compound, int length)
{
    struct seat *seat = &seats[member];
    int whole = reporter_seal(&seat->reporter, &seat->tx, compound, length, 1500);
    if (whole > 0) transmit(seat->fd, compound, (size_t)whole);
}

static void reports(uint64_t now)
{
    uint8_t out[1500];
    for (uint32_t i = 0; i < plan.head.member_count; i++) {
        struct seat *seat = &seats[i];
        uint32_t ssrc = plan.members[i].rtcp_ssrc;
        int length = 0;
        if (seat->gone || seat->deaf) continue;
        if (arrivals_due_ns(&seat->reporter.arrivals) <= now)
            length = reporter_feedback(&seat->reporter, ssrc, now, out);
        if (length <= 0 && seat->report_due_ns <= now) length = reporter_report(ssrc, out);
        if (length <= 0) continue;
        seat->report_due_ns = now + 1000000000;
        compound_send(i, out, length);
    }
}

/* Strangers have any address of 127/8 and one of sixteen ports. */
static void flood_one(uint64_t number)
{
    uint8_t bytes[400], control[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0};
    size_t length = 200;
    for (size_t i = 0; i < sizeof bytes; i += 8) store_be64(bytes + i, random_next());
    struct plan_member nobody = plan.members[number % plan.head.member_count];
    switch (number % 4) {
    case 0: /* a name that points at a row, or past all of them, under a password of nobody */
        for (int i = 0; i < 8; i++) nobody.local_ufrag[i] = (char)('a' + (bytes[i] & 15));
        if (number % 8) memcpy(nobody.local_ufrag, plan.members[0].local_ufrag, 4);
        memset(nobody.local_pwd, 'x', 24);
        length = check_make(&nobody, bytes);
        break;
    case 1: /* RTP as a member sends it, in the clear or sealed by nobody */
        bytes[0] = 0x80, bytes[1] = plan.sources[0].payload_type;
        store_be16(bytes + 2, (uint16_t)(flows[0].next + 65000));
        store_be32(bytes + 8, plan.sources[number / 4 % plan.head.source_count].ssrc);
        break;
    case 2: /* DTLS: ClientHello */
        memcpy(bytes, "\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\xbb\x01\0\0\xaf\0\0\0\0\0\0\0\xaf\xfe\xfd", 27);
        break;
    default: break;
    }
    uint32_t address = 0x7f000000u | (uint32_t)(random_next() & 0xffffff) | 2;
    struct iovec part = {bytes, length};
    struct msghdr message = {.msg_name = &server,
                             .msg_namelen = sizeof server,
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = IPPROTO_IP, head->cmsg_type = IP_PKTINFO,
    head->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo from = {.ipi_spec_dst.s_addr = htonl(address)};
    memcpy(CMSG_DATA(head), &from, sizeof from);
    if (sendmsg(strangers[number % STRANGERS], &message, 0) > 0) flood_sent_bytes += length;
}

static void under_new_ssrcs(unsigned count)
{
    uint8_t out[300];
    for (unsigned i = 0; i < count; i++) {
        uint32_t source = i % plan.head.source_count;
        size_t length = packet_make(source, (uint32_t)random_next() | 0x80000000u, 1 + i % 60000, 0, out);
        transmit(seats[plan.sources[source].member].fd, out, length);
    }
}

static uint64_t floods; /* left to be sent */

static bool command(char *line)
{
    char what[16] = "";
    long value = 0;
    sscanf(line, "%15s %ld", what, &value);
    if (!strcmp(what, "report"))
        report();
    else if (!strcmp(what, "bad"))
        bad = (unsigned)value;
    else if (!strcmp(what, "replay"))
        replay = (unsigned)value;
    else if (!strcmp(what, "ssrcs"))
        under_new_ssrcs((unsigned)value);
    else if (!strcmp(what, "flood"))
        floods = value ? floods + (uint64_t)value : 0;
    else if (!strcmp(what, "mangle"))
        mangled = value != 0;
    else if (!strcmp(what, "pause"))
        paused = value != 0;
    else if (!strcmp(what, "rate"))
        rate = (double)value;
    else if (!strcmp(what, "gone"))
        seats[value % MOST].gone = true;
    else if (!strcmp(what, "deaf"))
        for (long i = 0; i < MOST; i++) seats[i].deaf = i == value;
    return strcmp(what, "quit") != 0;
}

static int udp_socket(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 8 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) != 0) exit(2);
    return fd;
}

static void open_all(void)
{
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(plan.head.server_port[0])};
    memcpy(&server.sin_addr, plan.head.server_address[0], 4);
    for (uint32_t i = 0; i < plan.head.member_count; i++) {
        const struct plan_member *row = &plan.members[i];
        seats[i].fd = udp_socket();
        if (srtp_keys_expand(&seats[i].tx, plan.head.profile, &row->tx) ||
            srtp_keys_expand(&seats[i].rx, plan.head.profile, &row->rx))
            exit(2);
    }
    for (uint32_t i = 0; i < plan.head.source_count; i++) {
        flows[i].sent_ns = calloc(NUMBERS, sizeof *flows[i].sent_ns);
        flows[i].kept = calloc(KEPT, sizeof *flows[i].kept);
    }
    for (uint32_t i = 0; i < plan.head.sink_count; i++) hearings[i].had = calloc(NUMBERS, 1);
    for (int i = 0; i < STRANGERS; i++) strangers[i] = udp_socket();
}

int main(int argc, char **argv)
{
    char line[128];
    size_t used = 0;
    if (argc != 3 || plan_read(&plan, argv[1]) != 0 || plan.head.member_count > MOST) return 2;
    rate = atof(argv[2]);
    open_all();
    uint64_t begin = clock_ns(), before = begin;
    double owed = 0;
    for (;;) {
        uint64_t now = clock_ns();
        for (uint32_t i = 0; i < plan.head.member_count; i++) {
            if (seats[i].gone || seats[i].check_due_ns > now) continue;
            uint8_t check[300];
            seats[i].check_due_ns = now + 1000000000;
            seats[i].checked_ns = now;
            transmit(seats[i].fd, check, check_make(&plan.members[i], check));
        }
        if (now > begin + 1500000000) { /* once all are connected: SRTP begins before its first wrap */
            /* Never more than 64 at once, or a stall of ours would look like a loss of theirs. */
            owed += paused ? 0 : (double)(now - before) / 1e9 * rate;
            if (owed > 64) owed = 64;
            for (; owed >= 1; owed--)
                for (uint32_t i = 0; i < plan.head.source_count; i++) send_one(i);
        }
        before = now;
        for (unsigned i = 0; i < 512 && floods; i++) flood_one(floods--);
        receive();
        reports(clock_ns());
        struct pollfd input = {0, POLLIN, 0};
        struct timespec pause = {0, floods ? 0 : TURN_NS};
        if (ppoll(&input, 1, &pause, NULL) > 0) {
            ssize_t got = read(0, line + used, sizeof line - 1 - used);
            if (got <= 0) return 0;
            used += (size_t)got;
            line[used] = 0;
            for (char *end; (end = strchr(line, '\n'));) {
                *end = 0;
                if (!command(line)) return 0;
                used -= (size_t)(end + 1 - line);
                memmove(line, end + 1, used + 1);
            }
        }
    }
}
