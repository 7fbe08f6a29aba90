#include "meeting.h"

#include "bytes.h"
#include "check.h"

#define KBIT 1000u
#define FRAME_STEPS 2 /* 25 frames a second */
#define PACKET 1100u

void meeting_open(struct meeting *meeting)
{
    memset(meeting, 0, sizeof *meeting);
    meeting->scene = scene_open(SRTP_AEAD_AES_128_GCM);
}

void meeting_close(struct meeting *meeting)
{ scene_close(meeting->scene); }

struct camera *meeting_camera(struct meeting *meeting, uint32_t source, uint32_t member, const char *mid)
{
    scene_video(meeting->scene, source, member, mid);
    struct clamp_limits *limits = &meeting->scene->sources[source].limits;
    *limits = (struct clamp_limits){
        .max_bps = {150 * KBIT, 500 * KBIT, 1700 * KBIT}, .encoding_count = 3, .kind = SOURCE_CAMERA};
    CHECK(meeting->camera_count < MEETING_CAMERAS);
    struct camera *camera = &meeting->cameras[meeting->camera_count++];
    *camera = (struct camera){.member = member, .source = source, .mid = mid, .key = true};
    for (unsigned e = 0; e < LIMIT_ENCODINGS; e++) camera->index[e] = 100 + 10000 * e;
    camera->bps[0] = 150 * KBIT;
    return camera;
}

void meeting_estimate(struct meeting *meeting, uint32_t member, uint32_t bps)
{
    uint8_t compound[200];
    uint32_t ssrc = 1;
    meeting->estimates[member] = bps;
    if (!bps) return;
    int length = rtcp_write_rr(compound, sizeof compound, 1, NULL, 0);
    CHECK(length > 0);
    int remb = rtcp_write_remb(compound + length, sizeof compound - (size_t)length, 1, bps, &ssrc, 1);
    CHECK(remb > 0);
    scene_rtcp(meeting->scene, member, compound, (size_t)(length + remb));
}

/* One frame of one encoding. Behind the descriptor: the encoding and the temporal layer, to be found again. */
static void send_frame(struct meeting *meeting, struct camera *camera, uint8_t encoding)
{
    static const uint8_t PATTERN[] = {0, 2, 1, 2};
    struct scene *scene = meeting->scene;
    uint8_t tid = camera->key ? 0 : PATTERN[camera->frame % 4], payload[1500] = {0};
    uint32_t left = camera->bps[encoding] / 8 / (50 / FRAME_STEPS);
    uint16_t picture = (uint16_t)(camera->pictures[encoding]++ & 0x7fff);
    char rid[2] = {"tmf"[encoding], 0};
    for (bool first = true; left || first; first = false) {
        uint32_t length = left > PACKET ? PACKET : left < 20 ? 20 : left;
        left -= left < length ? left : length;
        payload[0] = (uint8_t)(0x80 | (first ? 0x10 : 0));
        payload[1] = 0xe0; /* I, L, T */
        store_be16(payload + 2, (uint16_t)(0x8000 | picture));
        payload[4] = (uint8_t)(camera->frame / 4);
        payload[5] = (uint8_t)(tid << 6 | (tid == 1 || camera->frame % 4 == 1 ? 0x20 : 0)); /* Y: may be stepped up to */
        payload[6] = camera->key ? 0x10 : 0x11;
        payload[7] = encoding;
        payload[8] = tid;
        scene_send(scene, camera->member,
                   &(struct packet){.ssrc = video_ssrc(camera->member, encoding),
                                    .timestamp = (uint32_t)(scene->now / MS * 90),
                                    .index = camera->index[encoding]++,
                                    .mid = camera->mid,
                                    .rid = rid,
                                    .payload_type = 96,
                                    .marker = !left,
                                    .payload = payload,
                                    .length = length});
    }
}

static void obey(struct meeting *meeting, struct camera *camera)
{
    const struct clamp_source *clamp = &meeting->scene->worker.state.sources[camera->source].clamp;
    for (unsigned e = 0; e < LIMIT_ENCODINGS; e++) {
        if (!clamp->encodings[e].told) continue;
        if (!camera->bps[e] && clamp->encodings[e].told_bps) camera->key = true;
        camera->bps[e] = clamp->encodings[e].told_bps;
    }
}

static void send_frames(struct meeting *meeting, struct camera *camera)
{
    if (camera->off) return;
    obey(meeting, camera);
    for (uint8_t e = 0; e < LIMIT_ENCODINGS; e++)
        if (camera->bps[e]) send_frame(meeting, camera, e);
    if (camera->key) camera->frame = (camera->frame + 3) / 4 * 4;
    camera->key = false;
    camera->frame++;
}

static void look_at_rtp(struct meeting *meeting, const struct received *packet)
{
    uint32_t sink = packet->ssrc - sink_ssrc(0);
    struct got *got = &meeting->got[sink];
    bool video = packet->payload_type == 120;
    CHECK(sink < SCENE_SINKS);
    if (got->began) got->gaps += packet->index != got->index + 1;
    if (video && got->began) {
        uint16_t step = (uint16_t)(load_be16(packet->payload + 2) - got->picture) & 0x7fff;
        bool first = packet->payload[0] & 0x10;
        if (step != first) fprintf(stderr, "sink %u: picture id goes on by %u\n", sink, step);
        CHECK_EQUAL(step, first);
    }
    got->began = true;
    got->index = packet->index;
    got->packets++;
    got->bytes += packet->payload_length;
    got->last_ns = meeting->scene->now;
    if (!got->first_ns) got->first_ns = meeting->scene->now;
    if (!video) return;
    got->picture = load_be16(packet->payload + 2);
    got->frames += packet->payload[0] >> 4 & 1;
    got->key_frames += (packet->payload[0] & 0x10) && !(packet->payload[6] & 1);
    got->encoding = packet->payload[7];
    got->of_temporal[packet->payload[8]]++;
}

static void look_at_rtcp(struct meeting *meeting, const struct received *packet)
{
    struct rtcp_block block;
    struct rtcp_feedback feedback;
    size_t offset = 0;
    while (rtcp_next_untrusted(packet->payload, packet->payload_length, &offset, &block) == 1) {
        uint32_t bps;
        uint8_t count;
        if (block.type == RTCP_RTPFB && block.count == RTCP_FMT_TMMBR &&
            rtcp_feedback_untrusted(&block, &feedback) == 0) {
            for (unsigned i = 0; i < feedback.fci_length / 8; i++) {
                struct rtcp_tmmb_entry entry; /* it looks as in TMMBN */
                rtcp_tmmb_entry(&feedback, i, &entry);
                if (entry.ssrc == video_ssrc(packet->member, 2))
                    meeting->tmmbr[packet->member] = entry.bits_per_second;
            }
        }
        if (block.type != RTCP_PSFB || rtcp_feedback_untrusted(&block, &feedback) != 0) continue;
        if (block.count == RTCP_FMT_PLI) {
            for (unsigned c = 0; c < meeting->camera_count; c++)
                if (meeting->cameras[c].member == packet->member) meeting->cameras[c].key = true;
        } else if (block.count == RTCP_FMT_REMB && rtcp_remb_untrusted(&feedback, &bps, &count) == 0) {
            meeting->remb[packet->member] = bps;
            meeting->rembs[packet->member]++;
        }
    }
}

static void say_again(struct meeting *meeting)
{
    struct scene *scene = meeting->scene;
    if (scene->now - meeting->said_ns < 1000 * MS) return;
    meeting->said_ns = scene->now;
    for (uint32_t member = 0; member < SCENE_MEMBERS; member++) {
        if (!scene->transports[member].incarnation) continue;
        scene_check(scene, member, true);
        meeting_estimate(meeting, member, meeting->estimates[member]);
    }
}

void meeting_run(struct meeting *meeting, unsigned ms)
{
    struct scene *scene = meeting->scene;
    for (unsigned i = 0; i < ms / (MEETING_STEP / MS); i++) {
        say_again(meeting);
        for (unsigned c = 0; c < meeting->camera_count; c++)
            if (scene->now / MEETING_STEP % FRAME_STEPS == 0)
                send_frames(meeting, &meeting->cameras[c]);
        if (meeting->each_step) meeting->each_step(meeting, meeting->argument);
        for (unsigned part = 0; part < 20; part++) { /* so that what waits for its turn leaves in time */
            scene_advance(scene, MEETING_STEP / 20);
            for (uint32_t r = 0; r < scene->received_count; r++) {
                const struct received *packet = &scene->received[r];
                if (packet->rtcp)
                    look_at_rtcp(meeting, packet);
                else if (!packet->stun && !packet->dtls && packet->ssrc - sink_ssrc(0) < SCENE_SINKS)
                    look_at_rtp(meeting, packet);
            }
            scene->received_count = 0;
        }
        if (scene->told_count > 3000) scene->told_count = 0;
    }
}

void meeting_forget(struct meeting *meeting)
{
    for (unsigned i = 0; i < SCENE_SINKS; i++) {
        struct got *got = &meeting->got[i];
        *got = (struct got){
            .index = got->index, .picture = got->picture, .began = got->began, .encoding = got->encoding};
    }
    scene_forget(meeting->scene);
}

uint32_t meeting_bps(const struct meeting *meeting, uint32_t sink, unsigned ms)
{ return (uint32_t)(meeting->got[sink].bytes * 8 * 1000 / ms); }

void meeting_watch(struct meeting *meeting, uint32_t member, uint32_t source, uint8_t encoding, bool focus)
{
    scene_sink(meeting->scene, member, member, source, encoding);
    meeting->scene->sinks[member].focus = focus;
}

void meeting_of_three(struct meeting *meeting, uint32_t a, uint32_t b, uint32_t c)
{
    meeting_open(meeting);
    for (uint32_t member = 0; member < 4; member++) scene_member(meeting->scene, member);
    meeting_camera(meeting, 0, 0, "1");
    for (uint32_t member = 1; member < 4; member++) meeting_watch(meeting, member, 0, 2, true);
    scene_publish(meeting->scene);
    scene_connect(meeting->scene);
    meeting_estimate(meeting, 1, a * KBIT);
    meeting_estimate(meeting, 2, b * KBIT);
    meeting_estimate(meeting, 3, c * KBIT);
}

uint8_t meeting_deal(const struct meeting *meeting, uint32_t sink)
{ return meeting->scene->worker.state.sinks[sink].allocation.encoding; }

uint32_t meeting_told(const struct meeting *meeting, uint32_t source, unsigned encoding)
{ return meeting->scene->worker.state.sources[source].clamp.encodings[encoding].told_bps; }
