/* Temporal layers left out by the dependency descriptor, through forward(): an AV1 camera of three of them (source 0), one viewer (slot 7). Of VP8 see
 * test_deals.c. */
#include "adaptation.h"
#include "check.h"
#include "descriptors.h"
#include "layering.h"
#include "scene.h"

enum { VIEWER = 1, SINK = 7, OFFSET = 10 };

struct sender {
    struct scene *scene;
    uint64_t index;
    uint16_t frame;
};

static struct sender watching(void)
{
    struct sender sender = {.scene = scene_open(SRTP_AEAD_AES_128_GCM), .index = 1000};
    scene_member(sender.scene, 0);
    scene_member(sender.scene, VIEWER);
    scene_video(sender.scene, 0, 0, "1");
    sender.scene->sources[0].codec = CODEC_AV1;
    sender.scene->sources[0].encoding_count = 1;
    scene_sink(sender.scene, SINK, VIEWER, 0, 0);
    scene_publish(sender.scene);
    scene_connect(sender.scene);
    return sender;
}

/* What the slot may have from now on, as a deal would say. */
static void layers_up_to(struct scene *scene, uint8_t temporal)
{
    struct sink_state *state = &scene->worker.state.sinks[SINK];
    state->allocation.temporal = temporal;
    scene->worker.sinks[SINK].temporal = temporal;
    adaptation_resume(&scene->worker, SINK);
}

static void send(struct sender *sender, const struct writer *descriptor, bool key, bool last)
{
    uint8_t payload[100] = {key ? 0x18 : 0x10, (uint8_t)sender->frame};
    scene_send(sender->scene, 0,
               &(struct packet){.ssrc = video_ssrc(0, 0),
                                .timestamp = sender->frame * 3600u,
                                .index = sender->index++,
                                .mid = "1",
                                .payload_type = 96,
                                .marker = last,
                                .payload = payload,
                                .length = sizeof payload,
                                .descriptor = descriptor->bytes,
                                .descriptor_length = (uint8_t)size_of(descriptor)});
}

/* Frames by their templates: K key with its structure, 0 1 2 of temporal layers, each of two packets. Returns what went out, one letter a
   frame, and looks for gaps. */
static const char *frames(struct sender *sender, const char *kinds)
{
    static char out[100];
    struct scene *scene = sender->scene;
    size_t count = 0;
    scene_forget(scene);
    for (; *kinds; kinds++) {
        bool key = *kinds == 'K';
        uint16_t frame = ++sender->frame;
        unsigned template_id = key             ? OFFSET
                               : *kinds == '0' ? OFFSET + 1
                               : *kinds == '1' ? OFFSET + 2
                                               : OFFSET + 3;
        struct writer descriptor = key ? key_frame(frame, OFFSET) : delta(frame, template_id);
        uint32_t before = scene->received_count;
        send(sender, &descriptor, key, false);
        descriptor = delta(frame, template_id);
        send(sender, &descriptor, false, true);
        scene_flush(scene);
        unsigned got = 0;
        for (uint32_t i = before; i < scene->received_count; i++)
            got += scene->received[i].member == VIEWER && !scene->received[i].rtcp;
        if (got) out[count++] = *kinds;
        CHECK(got == 0 || got == 2); /* whole frames */
        scene->now += 40 * MS;
    }
    out[count] = 0;
    const struct received *before = NULL;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        if (got->member != VIEWER || got->ssrc != sink_ssrc(SINK)) continue;
        if (before) CHECK_EQUAL(got->index, before->index + 1);
        before = got;
    }
    return out;
}

static void test_layers_by_descriptor(void)
{
    struct sender sender = watching();
    CHECK(strcmp(frames(&sender, "K2120212"), "K2120212") == 0);
    layers_up_to(sender.scene, 1);
    CHECK(strcmp(frames(&sender, "02120212"), "0101") == 0);
    layers_up_to(sender.scene, 0);
    CHECK(strcmp(frames(&sender, "02120212"), "00") == 0);
    layers_up_to(sender.scene, 2); /* up where it may be switched to */
    CHECK(strcmp(frames(&sender, "2120212"), "120212") == 0);
    CHECK(strcmp(frames(&sender, "K212"), "K212") == 0);
    scene_close(sender.scene);
}

static void test_a_frame_that_began_is_sent_to_its_end(void)
{
    struct sender sender = watching();
    frames(&sender, "K212");
    uint16_t frame = ++sender.frame;
    struct writer descriptor = delta(frame, OFFSET + 3);
    scene_forget(sender.scene);
    send(&sender, &descriptor, false, false);
    layers_up_to(sender.scene, 0);
    send(&sender, &descriptor, false, true);
    scene_flush(sender.scene);
    CHECK_EQUAL(scene_packets(sender.scene, VIEWER, sink_ssrc(SINK)), 2);
    CHECK(strcmp(frames(&sender, "02120"), "00") == 0);
    scene_close(sender.scene);
}

/* The packet of number `index` of a frame of the highest layer. */
static void send_late(struct sender *sender, uint16_t frame, uint64_t index)
{
    struct sender before = *sender;
    struct writer descriptor = delta(frame, OFFSET + 3);
    sender->index = index;
    sender->frame = frame;
    send(sender, &descriptor, false, true);
    scene_flush(sender->scene);
    *sender = before;
}

/* A frame is left out while one of its packets is on its way. That comes when the slot has all layers again: no fragment, but its number is filled. */
static void test_what_comes_late_of_a_frame_goes_as_the_frame_did(bool left_out, bool structure)
{
    struct sender sender = watching();
    frames(&sender, "K212");
    layers_up_to(sender.scene, left_out ? 0 : 2);
    if (left_out) frames(&sender, "0212");
    scene_forget(sender.scene);
    uint16_t frame = ++sender.frame;
    struct writer descriptor = delta(frame, OFFSET + 3);
    send(&sender, &descriptor, false, false);
    scene_flush(sender.scene);
    CHECK_EQUAL(scene_packets(sender.scene, VIEWER, sink_ssrc(SINK)), left_out ? 0 : 1);
    uint64_t late = sender.index++; /* its second packet */
    for (unsigned i = 0; i < 3; i++) {
        layers_up_to(sender.scene, left_out ? 2 : 0); /* the other way from here on */
        ++sender.frame;
        descriptor = structure ? key_frame(sender.frame, OFFSET) : delta(sender.frame, OFFSET + 2);
        sender.scene->now += 40 * MS;
        send(&sender, &descriptor, structure, true);
        scene_flush(sender.scene);
        layers_up_to(sender.scene, left_out ? 2 : 0);
    }
    scene_forget(sender.scene);
    send_late(&sender, frame, late);
    CHECK_EQUAL(scene_packets(sender.scene, VIEWER, sink_ssrc(SINK)), 1);
    const struct received *got = scene_last(sender.scene, VIEWER, sink_ssrc(SINK));
    CHECK_EQUAL(got->payload_length, left_out ? 1 : 100);
    CHECK_EQUAL(got->padding, left_out);
    CHECK_EQUAL(got->payload_length, left_out ? 1 : 100);
    if (left_out) CHECK_EQUAL(got->payload[0], 1);
    scene_forget(sender.scene);
    send_late(&sender, frame, late); /* once */
    CHECK_EQUAL(scene_packets(sender.scene, VIEWER, sink_ssrc(SINK)), 0);
    scene_close(sender.scene);
}

static void test_unknown_and_malformed(void)
{
    struct sender sender = watching();
    frames(&sender, "K212");
    layers_up_to(sender.scene, 0);
    scene_restart(sender.scene); /* the structure is lost with its worker: everything passes until it comes again */
    layers_up_to(sender.scene, 0);
    sender.scene->worker.adaptation->layers[0].wanted = true;
    uint64_t asked = scene_counter(sender.scene, COUNTER_key_requests_sent);
    CHECK(strcmp(frames(&sender, "0212"), "0212") == 0);
    CHECK_EQUAL(scene_counter(sender.scene, COUNTER_dependency_unknown), 8);
    CHECK(scene_counter(sender.scene, COUNTER_key_requests_sent) > asked);
    CHECK(strcmp(frames(&sender, "K2120212"), "K0") == 0);
    struct writer bad = {.at = 16};
    sender.frame++;
    send(&sender, &bad, false, true);
    scene_flush(sender.scene);
    CHECK_EQUAL(scene_counter(sender.scene, COUNTER_dependency_malformed), 1);
    CHECK(strcmp(frames(&sender, "0212"), "0") == 0);
    scene_close(sender.scene);
}

int main(void)
{
    test_layers_by_descriptor();
    test_a_frame_that_began_is_sent_to_its_end();
    for (unsigned i = 0; i < 4; i++)
        test_what_comes_late_of_a_frame_goes_as_the_frame_did(i & 1, i & 2);
    test_unknown_and_malformed();
    return 0;
}
