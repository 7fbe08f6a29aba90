#include "bottleneck.h"

#include "bytes.h"
#include "check.h"

#define KBIT 1000u
#define STEP MS
#define FRAME (40 * MS)
#define PACKET 1100u
#define ASK_AGAIN (60 * MS)
#define GIVE_UP (900 * MS)
#define FEEDBACK_SLOTS 16
#define BURST_BPS 8e6 /* the camera's own pace within a frame */

static double uniform(uint64_t *random)
{ return (double)(random_next(random) >> 11) * 0x1p-53; }

void bottleneck_open(struct bottleneck *net)
{
    memset(net, 0, sizeof *net);
    net->scene = scene_open(SRTP_AEAD_AES_128_GCM);
    scene_member(net->scene, 0);
    scene_video(net->scene, 0, 0, "1");
    net->scene->sources[0].limits = (struct clamp_limits){
        .max_bps = {150 * KBIT, 500 * KBIT, 1700 * KBIT}, .encoding_count = 3, .kind = SOURCE_CAMERA};
    scene_audio(net->scene, 1, 0, "0");
    net->camera.key = net->camera.audio = true;
    net->camera.random = 99;
    for (unsigned e = 0; e < LIMIT_ENCODINGS; e++) net->camera.index[e] = 100 + 20000 * e;
    net->camera.bps[0] = 150 * KBIT;
}

void bottleneck_close(struct bottleneck *net)
{
    for (unsigned i = 0; i < net->link_count; i++) free(net->links[i].flying);
    scene_close(net->scene);
}

struct link *bottleneck_link(struct bottleneck *net, double bps)
{
    CHECK(net->link_count < BOTTLENECK_LINKS);
    struct link *link = &net->links[net->link_count++];
    uint32_t member = net->link_count;
    *link = (struct link){
        .member = member, .sink = member, .bps = bps, .queue_ms = 200, .delay_ms = 20, .answers = true, .random = 77 + member};
    link->flying = calloc(BOTTLENECK_FLYING, sizeof *link->flying);
    scene_member(net->scene, member);
    net->scene->transports[member].transport_cc_down = 1;
    net->scene->transports[member].ext.transport_cc = TRANSPORT_CC_EXT;
    scene_sink(net->scene, member, member, 0, 2);
    net->scene->sinks[member].focus = 1;
    scene_sink(net->scene, 100 + member, member, 1, 0);
    return link;
}

void bottleneck_start(struct bottleneck *net)
{
    scene_publish(net->scene);
    scene_connect(net->scene);
}

uint32_t link_estimate(const struct bottleneck *net, const struct link *link)
{ return net->scene->worker.state.downlinks[link->member].bandwidth.target; }

void link_forget(struct link *link)
{
    link->sent_bytes = link->received_bytes = link->media_bytes = link->padding_bytes = 0;
    link->packets = link->dropped = link->frames = link->key_frames = link->repaired = link->gave_up = 0;
    link->longest_burst = 0;
    link->longest_queue_ms = 0;
    link->longest_pause_ns = 0;
}

/* ---- the camera ---- */

static void obey(struct bottleneck *net)
{
    const struct clamp_source *clamp = &net->scene->worker.state.sources[0].clamp;
    for (unsigned e = 0; e < LIMIT_ENCODINGS; e++) {
        if (!clamp->encodings[e].told) continue;
        if (!net->camera.bps[e] && clamp->encodings[e].told_bps) net->camera.key = true;
        net->camera.bps[e] = clamp->encodings[e].told_bps;
    }
}

/* In parts of the mean frame. */
static double frame_size(struct camera_sending *camera, uint8_t encoding)
{
    static const double OF_LAYER[] = {1.5, 0.7, 1.1, 0.7}; /* by `frame` % 4 */
    double *bps = &camera->encoder_bps[encoding];
    if (!camera->lifelike) return camera->key ? 3 : 1;
    if (*bps <= 0 || camera->key) *bps = camera->bps[encoding];
    *bps += (camera->bps[encoding] - *bps) / 12;
    return *bps / camera->bps[encoding] *
           (camera->key ? 5 : OF_LAYER[camera->frame % 4] * (0.5 + uniform(&camera->random)));
}

static void produce_frame(struct camera_sending *camera)
{
    for (uint8_t e = 0; e < LIMIT_ENCODINGS; e++) {
        if (!camera->bps[e]) continue;
        uint32_t left = (uint32_t)(camera->bps[e] / 8 / 25 * frame_size(camera, e));
        unsigned packets = left / PACKET + 1;
        uint16_t length = (uint16_t)(left / packets > 40 ? left / packets : 40);
        for (unsigned i = 0; i < packets && camera->waiting_count < 512; i++)
            camera->waiting[(camera->waiting_first + camera->waiting_count++) % 512] = (struct burst){
                .encoding = e, .key = camera->key, .first = i == 0, .last = i + 1 == packets, .length = length};
    }
    camera->key_frames += camera->key;
    camera->frame += camera->key ? 4 - camera->frame % 4 : 1;
    camera->key = false;
}

static void send_burst(struct bottleneck *net, const struct burst *burst)
{
    static const uint8_t PATTERN[] = {2, 0, 2, 1}; /* `frame` was counted on already */
    struct camera_sending *camera = &net->camera;
    unsigned e = burst->encoding;
    uint8_t tid = burst->key ? 0 : PATTERN[camera->frame % 4], payload[1500] = {0};
    camera->pictures[e] += burst->first;
    payload[0] = (uint8_t)(0x80 | (burst->first ? 0x10 : 0));
    payload[1] = 0xe0; /* I, L, T */
    store_be16(payload + 2, (uint16_t)(0x8000 | (camera->pictures[e] & 0x7fff)));
    payload[4] = (uint8_t)(camera->frame / 4);
    payload[5] = (uint8_t)(tid << 6 | (tid == 1 || camera->frame % 4 == 2 ? 0x20 : 0)); /* Y: may be stepped up to */
    payload[6] = burst->key ? 0x10 : 0x11;
    payload[7] = burst->encoding;
    char rid[2] = {"tmf"[e], 0};
    scene_send(net->scene, 0,
               &(struct packet){.ssrc = video_ssrc(0, e),
                                .timestamp = (uint32_t)((camera->due_ns - FRAME) / MS * 90),
                                .index = camera->index[e]++,
                                .mid = "1",
                                .rid = rid,
                                .payload_type = 96,
                                .marker = burst->last,
                                .payload = payload,
                                .length = burst->length});
}

static void camera_step(struct bottleneck *net)
{
    struct camera_sending *camera = &net->camera;
    uint64_t now = net->scene->now;
    if (camera->audio && now >= camera->audio_due_ns) {
        camera->audio_due_ns = now + 20 * MS;
        scene_opus(net->scene, 0, "0", ++camera->audio_index);
    }
    if (now >= camera->due_ns && !camera->waiting_count) {
        camera->due_ns = now + FRAME;
        obey(net);
        produce_frame(camera);
    }
    for (double bytes = BURST_BPS / 8e3; bytes > 0 && camera->waiting_count; camera->waiting_count--) {
        const struct burst *burst = &camera->waiting[camera->waiting_first];
        camera->waiting_first = (camera->waiting_first + 1) % 512;
        bytes -= burst->length;
        send_burst(net, burst);
    }
}

/* ---- the way there ---- */

static void link_send(struct link *link, const uint8_t *bytes, uint16_t length, uint64_t now)
{
    uint64_t start = link->free_ns > now ? link->free_ns : now;
    double queue_ms = (double)(start - now) / 1e6;
    link->sent_bytes += length;
    link->packets++;
    if (queue_ms > link->longest_queue_ms) link->longest_queue_ms = queue_ms;
    if (queue_ms > link->queue_ms) {
        link->dropped++;
        return;
    }
    link->free_ns = start + (uint64_t)(length * 8e9 / link->bps);
    if (uniform(&link->random) < link->loss) {
        link->dropped++;
        return;
    }
    CHECK(link->count < BOTTLENECK_FLYING);
    struct flying_datagram *flying = &link->flying[(link->first + link->count++) % BOTTLENECK_FLYING];
    flying->arrival_ns = link->free_ns + (uint64_t)(link->delay_ms * 1e6);
    if (link->busy_ms > 0)
        flying->arrival_ns += (uint64_t)(uniform(&link->random) * link->busy_ms * 1e6);
    if (flying->arrival_ns < link->last_arrival_ns) flying->arrival_ns = link->last_arrival_ns;
    link->last_arrival_ns = flying->arrival_ns;
    flying->length = length;
    memcpy(flying->bytes, bytes, length);
}

/* What stands in the slab: into the links; to the others it arrives at once. */
static void carry(struct bottleneck *net)
{
    struct scene *scene = net->scene;
    struct egress *egress = &scene->worker.egress;
    uint32_t burst[BOTTLENECK_LINKS] = {0};
    egress_plan(egress);
    for (uint32_t i = 0; i < egress->run_count; i++) {
        const struct egress_destination *to = &egress->destinations[egress->runs[i].destination];
        for (uint32_t k = 0; k < egress->runs[i].count; k++) {
            const struct egress_packet *packet = &egress->packets[egress->order[egress->runs[i].first + k]];
            const uint8_t *bytes = egress->slab + packet->offset;
            if (to->transport == 0 || to->transport > net->link_count) {
                scene_keep(scene, to, bytes, packet->length);
                continue;
            }
            struct link *link = &net->links[to->transport - 1];
            if (packet->stream == sink_ssrc(link->sink) || packet->stream == 0x60000 + link->sink)
                burst[to->transport - 1] += packet->length;
            link_send(link, bytes, packet->length, scene->now);
        }
    }
    for (unsigned i = 0; i < net->link_count; i++)
        if (burst[i] > net->links[i].longest_burst) net->links[i].longest_burst = burst[i];
    egress_clear(egress);
    const void *message;
    size_t length;
    while ((message = outbox_peek(&scene->worker.outbox, &length)))
        outbox_pop(&scene->worker.outbox);
}

/* ---- the receiver ---- */

static void miss(struct link *link, uint64_t from, uint64_t to, uint64_t now)
{
    if (to - from + link->missing_count > BOTTLENECK_MISSING) { /* a jitter buffer begins anew */
        link->missing_count = 0;
        return;
    }
    for (uint64_t index = from; index < to; index++) {
        CHECK(link->missing_count < BOTTLENECK_MISSING);
        link->missing[link->missing_count++] = (struct missing_packet){.index = index, .since_ns = now};
    }
}

/* True when it was missing. */
static bool found(struct link *link, uint16_t sequence)
{
    for (uint32_t i = 0; i < link->missing_count; i++) {
        if ((uint16_t)link->missing[i].index != sequence) continue;
        link->missing[i] = link->missing[--link->missing_count];
        return true;
    }
    return false;
}

static void take_media(struct link *link, const struct received *got, uint64_t now)
{
    if (link->began && got->index > link->highest + 1)
        miss(link, link->highest + 1, got->index, now);
    if (!link->began || got->index > link->highest)
        link->highest = got->index;
    else
        found(link, (uint16_t)got->index);
    link->began = true;
    link->media_bytes += got->bytes;
    link->encoding = got->payload[7];
    if (!(got->payload[0] & 0x10)) return;
    if (!(got->payload[6] & 1))
        link->missing_count = 0; /* nobody needs what was before a key frame */
    link->frames++;
    link->key_frames += !(got->payload[6] & 1);
    if (link->last_frame_ns && now - link->last_frame_ns > link->longest_pause_ns)
        link->longest_pause_ns = now - link->last_frame_ns;
    link->last_frame_ns = now;
}

static void arrive(struct bottleneck *net, struct link *link, const struct flying_datagram *flying)
{
    struct scene *scene = net->scene;
    struct egress_destination to = {.transport = link->member,
                                    .remote = {.port = scene->members[link->member].port}};
    scene->received_count = 0;
    scene_keep(scene, &to, flying->bytes, flying->length);
    const struct received *got = &scene->received[0];
    link->received_bytes += flying->length;
    if (got->numbered)
        arrivals_add(&link->arrivals, got->transport_cc, flying->arrival_ns + 3000000 * MS);
    if (got->rtcp || got->stun) return;
    CHECK_EQUAL(got->numbered, !link->unnumbered);
    if (got->ssrc == sink_ssrc(link->sink))
        take_media(link, got, flying->arrival_ns);
    else if (got->ssrc == 0x60000 + link->sink && got->payload_length >= 2 &&
             found(link, load_be16(got->payload)))
        link->repaired++;
    else if (got->ssrc == 0x60000 + link->sink)
        link->padding_bytes += got->bytes;
}

static void answer(struct bottleneck *net, struct link *link)
{
    uint64_t now = net->scene->now, remote = now + 3000000 * MS;
    while (link->answers && arrivals_due_ns(&link->arrivals) <= remote && link->feedback_count < FEEDBACK_SLOTS) {
        struct feedback_on_its_way *back =
            &link->feedback[(link->feedback_first + link->feedback_count) % FEEDBACK_SLOTS];
        int head = rtcp_write_rr(back->bytes, sizeof back->bytes, 7, NULL, 0);
        int length = transport_cc_write(&link->arrivals, back->bytes + head, 1000, 7,
                                        sink_ssrc(link->sink), remote);
        if (length <= 0) break;
        back->length = head + length;
        back->arrival_ns = now + (uint64_t)(link->delay_ms * 1e6);
        link->feedback_count++;
    }
    while (link->feedback_count && link->feedback[link->feedback_first].arrival_ns <= now) {
        struct feedback_on_its_way *back = &link->feedback[link->feedback_first];
        link->feedback_first = (link->feedback_first + 1) % FEEDBACK_SLOTS;
        link->feedback_count--;
        scene_rtcp(net->scene, link->member, back->bytes, (size_t)back->length);
    }
}

/* NACKs travel no time: only what they cause is looked at. */
static void ask(struct bottleneck *net, struct link *link)
{
    uint64_t now = net->scene->now;
    uint8_t compound[1400];
    for (uint32_t i = 0; i < link->missing_count; i++) {
        struct missing_packet *missing = &link->missing[i];
        if (now - missing->since_ns > GIVE_UP) {
            link->gave_up++;
            *missing = link->missing[--link->missing_count];
            i--;
            continue;
        }
        if (missing->asked_ns ? now - missing->asked_ns < ASK_AGAIN : now < missing->since_ns + 2 * MS)
            continue;
        missing->asked_ns = now;
        uint16_t lost = (uint16_t)missing->index;
        int head = rtcp_write_rr(compound, sizeof compound, 7, NULL, 0);
        int length = rtcp_write_nack(compound + head, sizeof compound - (size_t)head, 7,
                                     sink_ssrc(link->sink), &lost, 1);
        scene_rtcp(net->scene, link->member, compound, (size_t)(head + length));
    }
}

static bool wants_key(const struct received *packet)
{
    struct rtcp_block block;
    size_t offset = 0;
    while (packet->rtcp && rtcp_next_untrusted(packet->payload, packet->payload_length, &offset, &block) == 1)
        if (block.type == RTCP_PSFB && block.count == RTCP_FMT_PLI) return true;
    return false;
}

void bottleneck_run(struct bottleneck *net, unsigned ms)
{
    struct scene *scene = net->scene;
    for (unsigned i = 0; i < ms; i++) {
        scene->now += STEP;
        if (scene->now / STEP % 1000 == 0)
            for (uint32_t member = 0; member <= net->link_count; member++)
                scene_check(scene, member, true);
        for (unsigned l = 0; l < net->link_count; l++) {
            struct link *link = &net->links[l];
            for (; link->count && link->flying[link->first].arrival_ns <= scene->now; link->count--) {
                arrive(net, link, &link->flying[link->first]);
                link->first = (link->first + 1) % BOTTLENECK_FLYING;
            }
            answer(net, link);
            ask(net, link);
        }
        scene->received_count = 0;
        camera_step(net);
        worker_tick(&scene->worker, scene->now);
        net->turns++;
        carry(net);
        for (uint32_t r = 0; r < scene->received_count; r++)
            if (scene->received[r].member == 0 && wants_key(&scene->received[r]))
                net->camera.key = true;
    }
}
