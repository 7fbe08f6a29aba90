/* Workers are killed at random, a few hundred of them, while they forward, let packets wait, probe, retransmit and adopt: whoever receives accepts every packet
 * that was sent, so none was sent twice and no (key, SSRC, index) was used twice. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "projection.h"
#include "scene.h"

#define LIVES 300
#define PACKETS 90000
#define PACKETS_OF_A_LIFE \
    600 /* then it waits for its end: a busy machine must not let one life take all */
#define WIRE ((size_t)64 << 20)

struct wire {                /* shared with the children: what the kernel would hold for them */
    volatile uint32_t taken; /* packets a worker received; it never comes twice */
    volatile uint32_t sent;
    volatile uint32_t asked[2]; /* NACKs made; each is an SRTCP index of member 2 or 3 */
    volatile size_t used;
    uint32_t made;
    struct {
        uint32_t offset, member;
        uint16_t length;
    } in[PACKETS], out[PACKETS * 4];
    uint8_t bytes[WIRE];
};

static void put_in(struct wire *wire, struct scene *scene, uint32_t member, const struct packet *packet)
{
    uint8_t bytes[1800];
    size_t length = scene_make(scene, member, packet, bytes);
    CHECK(wire->made < PACKETS && wire->used + length < WIRE);
    memcpy(wire->bytes + wire->used, bytes, length);
    wire->in[wire->made].offset = (uint32_t)wire->used;
    wire->in[wire->made].member = member;
    wire->in[wire->made++].length = (uint16_t)length;
    wire->used += length;
}

/* Audio of member 0 with losses, video of members 0 and 1 with a key frame now and then. */
static void make_packets(struct wire *wire, struct scene *scene)
{
    uint64_t random = 12, audio = 65000, video[2] = {1, 30000};
    uint8_t payload[100] = {0x90, 0x80, 1, 0x11};
    while (wire->made < PACKETS - 3) {
        audio += random_next(&random) % 50 == 0 ? 2 : 1;
        put_in(wire, scene, 0,
               &(struct packet){.ssrc = audio_ssrc(0),
                                .index = audio,
                                .timestamp = (uint32_t)audio * 960,
                                .mid = "0",
                                .payload_type = 111,
                                .payload = payload,
                                .length = sizeof payload});
        for (uint32_t member = 0; member < 2; member++) {
            payload[3] = wire->made % 5 ? 0x11 : 0x10;
            put_in(wire, scene, member,
                   &(struct packet){.ssrc = video_ssrc(member, 0),
                                    .index = video[member]++,
                                    .timestamp = (uint32_t)wire->made * 90,
                                    .mid = "1",
                                    .rid = "t",
                                    .payload_type = 96,
                                    .payload = payload,
                                    .length = sizeof payload});
        }
    }
}

/* What the kernel takes over in one step: a packet is sent when `sent` says so. */
static void put_out(struct wire *wire, const struct egress *egress)
{
    for (uint32_t i = 0; i < egress->run_count; i++)
        for (uint32_t k = 0; k < egress->runs[i].count; k++) {
            const struct egress_packet *packet = &egress->packets[egress->order[egress->runs[i].first + k]];
            CHECK(wire->sent < PACKETS * 4 && wire->used + packet->length < WIRE);
            memcpy(wire->bytes + wire->used, egress->slab + packet->offset, packet->length);
            wire->out[wire->sent].offset = (uint32_t)wire->used;
            wire->out[wire->sent].member = egress->destinations[egress->runs[i].destination].transport;
            wire->out[wire->sent].length = packet->length;
            wire->used += packet->length;
            table_barrier();
            wire->sent++;
        }
}

/* A member misses the last 17 packets of its video slot. */
static void ask_again(struct wire *wire, struct scene *scene, struct worker *worker, uint32_t member, uint64_t now)
{
    uint32_t sink = member * 2 + 1;
    const struct projection *current = projection_current(worker->state.sinks[sink].copies);
    uint16_t lost[17];
    for (unsigned i = 0; i < 17; i++) lost[i] = (uint16_t)(current->highest_index - 16 + i);
    uint8_t compound[200];
    int at = rtcp_write_rr(compound, sizeof compound, 0x20002, NULL, 0);
    at += rtcp_write_nack(compound + at, sizeof compound - (size_t)at, 0x20002, sink_ssrc(sink), lost, 17);
    uint32_t index = wire->asked[member - 2]++;
    int length = srtcp_protect(&scene->members[member].tx, &index, compound, (size_t)at, sizeof compound);
    struct datagram in = {
        .bytes = compound,
        .length = (size_t)length,
        .remote = {.family = 4, .port = scene->members[member].port, .address = {192, 0, 2, 1}}};
    forward(worker, &in, now);
}

static void live(struct wire *wire, struct scene *scene)
{
    struct worker worker;
    uint64_t seed = wire->taken + 1;
    CHECK_EQUAL(worker_open(&worker, scene->config, scene->config_size, scene->state, scene->state_size, seed), 0);
    uint32_t enough =
        wire->taken + PACKETS_OF_A_LIFE < wire->made ? wire->taken + PACKETS_OF_A_LIFE : wire->made;
    while (wire->taken < enough) {
        uint64_t now = scene->now + wire->taken * (MS / 8); /* within the consent of those who checked once */
        worker_adopt(&worker, now);
        for (unsigned i = 0; i < 6 && wire->taken < enough; i++) {
            uint32_t number = wire->taken++;
            uint8_t bytes[1500];
            memcpy(bytes, wire->bytes + wire->in[number].offset, wire->in[number].length);
            struct datagram in = {.bytes = bytes,
                                  .length = wire->in[number].length,
                                  .remote = {.family = 4,
                                             .port = scene->members[wire->in[number].member].port,
                                             .address = {192, 0, 2, 1}}};
            forward(&worker, &in, now);
        }
        ask_again(wire, scene, &worker, 2, now);
        ask_again(wire, scene, &worker, 3, now);
        worker_tick(&worker, now);
        egress_plan(&worker.egress);
        put_out(wire, &worker.egress);
        egress_clear(&worker.egress);
        while (worker.outbox.count) outbox_pop(&worker.outbox);
    }
    pause();
}

int main(void)
{
    struct scene *scene = scene_open(SRTP_AEAD_AES_128_GCM);
    struct wire *wire = mmap(NULL, sizeof *wire, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(wire != MAP_FAILED);
    for (uint32_t member = 0; member < 4; member++) {
        scene_member(scene, member);
        scene_audio(scene, member * 2, member, "0");
        scene_video(scene, member * 2 + 1, member, "1");
    }
    for (uint32_t member = 2; member < 4; member++) {
        scene_sink(scene, member * 2, member, 0, 0);
        scene_sink(scene, member * 2 + 1, member, 1, 0);
    }
    /* Member 3's link is slow: what it is sent is numbered, most of it waits, and it is probed. */
    scene->transports[3].transport_cc_down = 1;
    scene->transports[3].ext.transport_cc = TRANSPORT_CC_EXT;
    scene_publish(scene);
    scene_connect(scene);
    struct bandwidth *slow = &scene->worker.state.downlinks[3].bandwidth;
    slow->control.target = slow->target = 4000000; /* of more than 6 Mbit/s that come; audio does not wait */
    make_packets(wire, scene);
    uint64_t random = 4;
    for (int life = 0; life < LIVES && wire->taken < wire->made; life++) {
        for (uint32_t member = 2; member < 4; member++) /* another source for the video slot in every life */
            scene_sink(scene, member * 2 + 1, member, random_next(&random) >> 40 & 1 ? 1 : 3, 0);
        scene_offer(scene);
        uint32_t before = wire->taken;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            live(wire, scene);
            _exit(0);
        }
        bool begins = random_next(&random) >> 40 & 3; /* the others die while they open and adopt */
        while (begins && wire->taken == before && wire->taken < wire->made) usleep(20);
        usleep((useconds_t)((random_next(&random) >> 40) % 60));
        kill(child, SIGKILL);
        CHECK_EQUAL(waitpid(child, NULL, 0), child);
    }
    unsigned retransmitted = 0, over_rtx = 0;
    for (uint32_t i = 0; i < wire->sent; i++) {
        struct egress_destination to = {.transport = wire->out[i].member};
        scene_keep(scene, &to, wire->bytes + wire->out[i].offset, wire->out[i].length);
        retransmitted += scene->received[0].ssrc == 0x60005;
        over_rtx += scene->received[0].ssrc == 0x60007;
        scene->received_count = 0;
    }
    CHECK_EQUAL(scene->refused, 0);
    printf("%u retransmitted, %u over the slow member's stream, %llu waited, %llu probes\n",
           retransmitted, over_rtx, (unsigned long long)scene_counter(scene, COUNTER_pacing_waited),
           (unsigned long long)scene_counter(scene, COUNTER_probes_sent));
    CHECK(retransmitted > 300 && over_rtx > 100);
    CHECK(scene_counter(scene, COUNTER_pacing_waited) > 300);
    CHECK(scene_counter(scene, COUNTER_probes_sent) >= 1 &&
          scene_counter(scene, COUNTER_probe_padding_bytes) > 5000);
    CHECK(wire->taken > 2000 && scene_counter(scene, COUNTER_generations_adopted) > 50);
    CHECK(wire->sent > wire->taken);
    CHECK_EQUAL(scene_counter(scene, COUNTER_rtp_replayed_dropped), 0);
    munmap(wire, sizeof *wire);
    scene_close(scene);
    return 0;
}
