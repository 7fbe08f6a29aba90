/* What another worker process, broken or taken over, can put into a ring: nothing but counters, and whatever leaves is authentic, under an index
 * never used before. Member 1 sees sources of worker 0 (this is worker 1), and member 0's camera is handed over to it.
 *
 * Input: records, each a word of length and its bytes; a length with the highest bit set instead writes those 8 bytes over the ring's numbers or its
 * bytes. Every record whose first byte says so gets the handles that are there, so that not all are strangers. */
#include <sys/mman.h>

#include "handover_messages.h"
#include "input.h"
#include "scene.h"

enum { STRANGERS = 100, FAR_MIC = 10, FAR_CAMERA = 11, OWN_CAMERA = 1 };

static struct scene *begin(void **rings)
{
    static struct scene *scene;
    static void *segment;
    static uint32_t round;
    size_t size = handover_size(2);
    if (!scene) {
        scene = scene_open(SRTP_AEAD_AES_128_GCM);
        segment = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(segment != MAP_FAILED);
        handover_format(segment, 2);
        CHECK_EQUAL(handover_join(&scene->worker, segment, size, 1), 0);
    }
    round += 16;
    scene->now += 2000 * MS;
    for (uint32_t member = 0; member < 2; member++) {
        scene_member(scene, member);
        scene->transports[member].incarnation = round + member;
        memset(scene->members[member].rx_state, 0, sizeof scene->members[member].rx_state);
        memset(scene->members[member].rtcp_state, 0, sizeof scene->members[member].rtcp_state);
    }
    scene->transports[STRANGERS] =
        (struct transport_row){.incarnation = round,
                               .foreign = 1,
                               .sources = {[0 ... LIMIT_SOURCES_PER_TRANSPORT - 1] = TABLE_NONE},
                               .ext = {.dependency_descriptor = 1}};
    scene_video(scene, OWN_CAMERA, 0, "1");
    scene_audio(scene, FAR_MIC, 0, "0");
    scene_video(scene, FAR_CAMERA, 0, "1");
    scene->transports[0].sources[0] = OWN_CAMERA;
    scene->transports[0].sources[1] = scene->transports[0].sources[2] = TABLE_NONE;
    scene->sources[OWN_CAMERA].exports = 1;
    scene->sources[OWN_CAMERA].transport_incarnation = round;
    scene->sources[OWN_CAMERA].incarnation = 3;
    scene->sources[OWN_CAMERA].limits =
        (struct clamp_limits){.max_bps = {150000, 500000, 1700000}, .encoding_count = 3, .kind = SOURCE_CAMERA};
    for (uint32_t source = FAR_MIC; source <= FAR_CAMERA; source++) {
        struct source_row *row = &scene->sources[source];
        row->incarnation = round + source;
        row->transport = STRANGERS;
        row->transport_incarnation = round;
        row->home = 1;
        row->home_source = source - FAR_MIC;
        row->home_incarnation = 3;
        scene_sink(scene, source, 1, source, 2);
        scene->sinks[source].incarnation = round + source;
        scene->sinks[source].transport_incarnation = round + 1;
    }
    worker_adopt(&scene->worker, scene->now);
    scene_publish(scene);
    scene_connect(scene);
    scene_vp8(scene, 0, "1", 0, 1, true, true, true, 100);
    *rings = segment;
    return scene;
}

static void write_record(struct ring_writer *writer, struct handover *handover, const uint8_t *bytes, size_t length)
{
    uint8_t *out = length ? ring_reserve(writer, (uint32_t)length, handover->rings.ring_bytes) : NULL;
    if (!out) return;
    memcpy(out, bytes, length);
    if (length >= sizeof(struct handover_head) && !(bytes[0] & 0x80)) { /* to somebody who is there */
        struct handover_head head;
        memcpy(&head, out, sizeof head);
        head.kind &= 7;
        head.source &= 1;
        head.incarnation = 3;
        head.encoding &= 3;
        head.ssrc &= 3;
        memcpy(out, &head, sizeof head);
        struct handover_packet packet;
        if (head.kind == HANDOVER_PACKET && length >= sizeof packet) {
            memcpy(&packet, out, sizeof packet);
            packet.index &= 0xffffff;
            packet.written_ns = UINT64_MAX;
            packet.descriptor_length &= 31;
            if (length < sizeof packet + packet.descriptor_length) packet.descriptor_length = 0;
            packet.payload_length = (uint16_t)(length - sizeof packet - packet.descriptor_length);
            memcpy(out, &packet, sizeof packet);
        }
    }
    ring_commit(writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 8192) return 0;
    void *segment;
    struct scene *scene = begin(&segment);
    struct handover *handover = scene->worker.handover;
    struct ring_writer writer = handover_writer(&handover->rings, 0, 1);
    struct input input = {data, size};
    while (input.left) {
        uint16_t head = input_word(&input);
        size_t length;
        uint8_t *bytes = input_take(&input, head & 0x8000 ? 8 : head % (HANDOVER_RECORD_MAX + 1), &length);
        if (!(head & 0x8000)) {
            write_record(&writer, handover, bytes, length);
        } else if (length == 8) {
            uint64_t value;
            memcpy(&value, bytes, sizeof value);
            if (head & 0x4000)
                atomic_store(&writer.ring->tail, value);
            else
                memcpy(writer.bytes + (head & 0xff8), &value, sizeof value);
        }
        free(bytes);
        for (unsigned i = 0; i < 64 && handover_take(&scene->worker, scene->now); i++)
            if (worker_must_flush(&scene->worker) || !forward_has_room(&scene->worker)) {
                while (!forward_release(&scene->worker, scene->now)) scene_flush(scene);
                scene_flush(scene);
            }
        while (!forward_release(&scene->worker, scene->now)) scene_flush(scene);
        if (head & 0x2000) scene_advance(scene, 100 * MS);
        scene_flush(scene);
        CHECK_EQUAL(scene->refused, 0);
        scene_forget(scene);
    }
    scene_advance(scene, 1000 * MS);
    CHECK_EQUAL(scene_counter(scene, COUNTER_internal_errors), 0);
    scene_forget(scene);
    uint8_t record[HANDOVER_RECORD_MAX];
    struct ring_reader back = handover_reader(&handover->rings, 1, 0);
    while (ring_take_untrusted(&back, record)) {}
    return 0;
}
