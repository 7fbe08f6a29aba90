/* CPU of forward() without sockets: one camera to 1, 10 and 100 receivers, frames of 8 packets of 1112 bytes and 20 ms audio,
 * planning of runs included. Prints ns of CPU for each packet sent. Built by benchmarks/build.sh. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../tests/fastpath/c/check.h"
#include "../tests/fastpath/c/scene.h"

#define FRAME 8
#define PACKETS 4000

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static struct scene *audience(enum srtp_profile profile, uint32_t receivers, bool video)
{
    struct scene *scene = scene_open(profile);
    for (uint32_t member = 0; member <= receivers; member++) scene_member(scene, member);
    if (video)
        scene_video(scene, 0, 0, "1");
    else
        scene_audio(scene, 0, 0, "0");
    for (uint32_t member = 1; member <= receivers; member++)
        scene_sink(scene, member, member, 0, 0);
    scene_publish(scene);
    scene_connect(scene);
    return scene;
}

static unsigned packets = PACKETS;

static void measure(const char *name, enum srtp_profile profile, uint32_t receivers, bool video)
{
    struct scene *scene = audience(profile, receivers, video);
    static uint8_t made[PACKETS][1600];
    static size_t lengths[PACKETS];
    uint8_t payload[1200] = {0x90, 0xe0, 0x80, 0, 0, 0, 0x10};
    for (uint64_t i = 0; i < packets; i++) {
        payload[0] = i % FRAME ? 0x80 : 0x90;
        payload[6] = i ? 0x11 : 0x10;
        struct packet packet = {.ssrc = video ? video_ssrc(0, 0) : audio_ssrc(0),
                                .index = i + 1,
                                .mid = video ? "1" : "0",
                                .rid = video ? "t" : NULL,
                                .level = video ? 0 : 0x9e,
                                .marker = i % FRAME == FRAME - 1,
                                .payload_type = video ? 96 : 111,
                                .timestamp = (uint32_t)(i / FRAME * 3000),
                                .payload = payload,
                                .length = video ? 1066 : 100};
        lengths[i] = scene_make(scene, 0, &packet, made[i]);
    }
    uint64_t sent = 0, runs = 0;
    double start = cpu_ns();
    for (unsigned i = 0; i < packets; i++) {
        struct datagram in = {.bytes = made[i],
                              .length = lengths[i],
                              .remote = {.family = 4, .port = 10000, .address = {192, 0, 2, 1}}};
        forward_take(&scene->worker, &in, scene->now);
        if (i % FRAME != FRAME - 1) continue;
        for (bool done = false; !done;) {
            done = forward_release(&scene->worker, scene->now);
            egress_plan(&scene->worker.egress);
            sent += scene->worker.egress.packet_count;
            runs += scene->worker.egress.run_count;
            egress_clear(&scene->worker.egress);
        }
        scene->now += 33 * MS / 20;
    }
    double spent = cpu_ns() - start;
    CHECK(sent >= (uint64_t)(packets - FRAME) * receivers);
    printf("%-32s 1 -> %-4u %7.0f ns a packet sent, mean run %.1f\n", name, receivers,
           spent / (double)sent, (double)sent / (double)runs);
    scene_close(scene);
}

int main(int argc, char **argv)
{
    if (argc > 1) { /* for counting instructions: video 1 -> 100, so many packets */
        packets = (unsigned)atoi(argv[1]);
        if (packets < FRAME || packets > PACKETS) return 2;
        measure("video 1112 B, GCM-128", SRTP_AEAD_AES_128_GCM, 100, true);
        return 0;
    }
    for (int turn = 0; turn < 2; turn++) {
        measure("video 1112 B, GCM-128", SRTP_AEAD_AES_128_GCM, 1, true);
        measure("video 1112 B, GCM-128", SRTP_AEAD_AES_128_GCM, 10, true);
        measure("video 1112 B, GCM-128", SRTP_AEAD_AES_128_GCM, 100, true);
        measure("video 1112 B, CM-SHA1", SRTP_AES128_CM_SHA1_80, 100, true);
        measure("audio 150 B, GCM-128", SRTP_AEAD_AES_128_GCM, 100, false);
    }
    return 0;
}
