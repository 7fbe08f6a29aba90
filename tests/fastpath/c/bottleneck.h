/* Receivers behind bottlenecks, in virtual time, around a whole worker: what the worker sends goes through each receiver's link (capacity, queue,
 * delay, random loss), is decrypted where it arrives, answered with transport-wide feedback, and asked for again where it is missing. One
 * camera sends: three encodings with temporal layers, as its clamp orders, a key frame when it is asked for one. */
#ifndef SOTTO_BOTTLENECK_H
#define SOTTO_BOTTLENECK_H

#include "scene.h"
#include "transport_cc.h"

#define BOTTLENECK_LINKS 4
#define BOTTLENECK_FLYING 4096
#define BOTTLENECK_MISSING 2048

struct flying_datagram {
    uint64_t arrival_ns;
    uint16_t length;
    uint8_t bytes[1700];
};

struct link {
    uint32_t member, sink; /* its video slot */
    double bps, queue_ms, delay_ms, loss;
    double busy_ms; /* its processor takes up packets so much later, at random; it keeps their order */
    bool answers;    /* with transport-wide feedback */
    bool unnumbered; /* it negotiated none */
    /* measured; link_forget sets to 0 */
    uint64_t sent_bytes, received_bytes, media_bytes, padding_bytes;
    uint32_t packets, dropped, frames, key_frames, repaired, gave_up, longest_burst;
    double longest_queue_ms;
    /* what it is made of */
    uint64_t free_ns, random, last_arrival_ns;
    struct flying_datagram *flying; /* a ring, by arrival */
    uint32_t first, count;
    struct arrival_log arrivals;
    struct feedback_on_its_way {
        uint64_t arrival_ns;
        int length;
        uint8_t bytes[1200];
    } feedback[16];
    uint32_t feedback_first, feedback_count;
    uint64_t highest;
    bool began;
    struct missing_packet {
        uint64_t index, since_ns, asked_ns;
    } missing[BOTTLENECK_MISSING];
    uint32_t missing_count;
    uint64_t last_frame_ns, longest_pause_ns;
    uint8_t encoding; /* of the last packet of media */
};

struct camera_sending {
    uint64_t index[LIMIT_ENCODINGS], due_ns, audio_due_ns, audio_index;
    uint32_t bps[LIMIT_ENCODINGS];
    unsigned frame, pictures[LIMIT_ENCODINGS];
    struct burst { /* packets of a frame leave the camera one by one */
        uint8_t encoding;
        bool key, first, last;
        uint16_t length;
    } waiting[512];
    unsigned waiting_first, waiting_count;
    bool key, audio;
    bool lifelike; /* frames as encoders make them: sizes by layer and by chance, a new rate reached in half a second */
    double encoder_bps[LIMIT_ENCODINGS];
    uint64_t random;
    uint32_t key_frames;
};

struct bottleneck {
    struct scene *scene;
    struct camera_sending camera;
    struct link links[BOTTLENECK_LINKS];
    unsigned link_count;
    unsigned turns; /* of the worker */
};

/* Member 0 sends camera 0 (150, 500, 1700 kbit/s) and audio 1. */
void bottleneck_open(struct bottleneck *net);
void bottleneck_close(struct bottleneck *net);
/* Another member, number 1 and on: its video slot is sink `member`, its audio slot 100 + `member`. */
struct link *bottleneck_link(struct bottleneck *net, double bps);
void bottleneck_start(struct bottleneck *net);
void bottleneck_run(struct bottleneck *net, unsigned ms);
void link_forget(struct link *link);
/* The worker's estimate for it. */
uint32_t link_estimate(const struct bottleneck *net, const struct link *link);

#endif
