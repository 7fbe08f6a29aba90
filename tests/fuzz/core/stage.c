#include "stage.h"

#include <stdlib.h>

#include "bytes.h"
#include "descriptors.h"
#include "rtp.h"
#include "srtp.h"

static unsigned restarts; /* by this input */
static uint64_t audio_index[STAGE_MEMBERS], video_index[STAGE_MEMBERS][LIMIT_ENCODINGS];

/* Member 0 also sends an audio and a video source sealed, which the others take. */
enum { SEALED_AUDIO = 2 * STAGE_MEMBERS, SEALED_VIDEO, SEALED_SSRC = 0xb0000 };
static uint64_t sealed_index[LIMIT_ENCODINGS + 1]; /* of the video's encodings, and of the audio */

static void sealed_rows(struct scene *scene, uint32_t round)
{
    scene_audio(scene, SEALED_AUDIO, 0, "2");
    scene_video(scene, SEALED_VIDEO, 0, "3");
    for (uint32_t i = SEALED_AUDIO; i <= SEALED_VIDEO; i++) {
        struct source_row *row = &scene->sources[i];
        row->codec = CODEC_SEALED;
        row->incarnation = round + i;
        row->transport_incarnation = round;
        for (uint32_t e = 0; e < row->encoding_count; e++) {
            row->ssrc[e] = SEALED_SSRC + (i == SEALED_AUDIO ? LIMIT_ENCODINGS : e);
            row->rtx_ssrc[e] = i == SEALED_AUDIO ? 0 : row->ssrc[e] + 16;
        }
        for (uint32_t n = 1; n < STAGE_MEMBERS; n++) {
            struct sink_row *sink = &scene->sinks[8 * n + i];
            scene_sink(scene, 8 * n + i, n, i, 2);
            sink->incarnation = round + i;
            sink->transport_incarnation = round + n;
            sink->ssrc = row->ssrc[0];
            sink->sealed = 1;
        }
    }
    for (unsigned i = 0; i <= LIMIT_ENCODINGS; i++) sealed_index[i] = 1;
}

static void put_rows(struct scene *scene, uint32_t round)
{
    for (uint32_t n = 0; n < STAGE_MEMBERS; n++) {
        scene_member(scene, n);
        struct transport_row *row = &scene->transports[n];
        row->incarnation = round + n;
        row->conference = 5;
        row->transport_cc_down = n != 2;
        row->ext.transport_cc = TRANSPORT_CC_EXT;
        memset(scene->members[n].rx_state, 0, sizeof scene->members[n].rx_state);
        memset(scene->members[n].rtcp_state, 0, sizeof scene->members[n].rtcp_state);
        memset(scene->members[n].picture, 0, sizeof scene->members[n].picture);
        scene->members[n].srtcp_index = 0;
        audio_index[n] = 1;
        for (unsigned i = 0; i < LIMIT_ENCODINGS; i++) video_index[n][i] = 1;
    }
    for (uint32_t n = 0; n < STAGE_MEMBERS; n++) {
        scene_audio(scene, 2 * n, n, "0");
        scene_video(scene, 2 * n + 1, n, "1");
        scene->sources[2 * n + 1].tmmbr = n == 1;
        for (uint32_t i = 2 * n; i < 2 * n + 2; i++) {
            scene->sources[i].incarnation = round + i;
            scene->sources[i].transport_incarnation = round + n;
        }
    }
    sealed_rows(scene, round);
    for (uint32_t n = 0; n < STAGE_MEMBERS; n++)
        for (uint32_t i = 0; i < 2 * STAGE_MEMBERS; i++) {
            if (i / 2 == n) continue;
            struct sink_row *row = &scene->sinks[8 * n + i];
            scene_sink(scene, 8 * n + i, n, i, n == 1 && i & 1 ? 2 : 0);
            row->incarnation = round + i;
            row->transport_incarnation = round + n;
            row->priority = 1;
        }
}

struct scene *stage_begin(enum srtp_profile profile)
{
    restarts = 0;
    static struct scene *scene;
    static uint32_t round;
    if (!scene) scene = scene_open(profile);
    round += 16;
    stage_flush_unread(scene);
    put_rows(scene, round);
    scene->now += 1000 * MS;
    worker_adopt(&scene->worker, scene->now); /* what a former input may have offered */
    scene_publish(scene);
    scene->worker.random = 7;
    scene->refused = 0;
    scene_connect(scene);
    return scene;
}

void stage_flush_unread(struct scene *scene)
{
    size_t length;
    egress_plan(&scene->worker.egress);
    egress_clear(&scene->worker.egress);
    while (outbox_peek(&scene->worker.outbox, &length)) outbox_pop(&scene->worker.outbox);
}

void stage_rtp(struct scene *scene, uint32_t member, unsigned turn, const uint8_t *bytes, size_t length)
{
    uint8_t packet[2048];
    struct rtp_header header;
    if (rtp_parse_untrusted(bytes, length, &header) == 0 && length <= LIMIT_DATAGRAM) {
        memcpy(packet, bytes, header.payload_offset);
        int made = srtp_protect(&scene->members[member].tx, (uint64_t)turn << 16 | header.sequence,
                                packet, sizeof packet, header.payload_offset,
                                bytes + header.payload_offset, length - header.payload_offset);
        if (made > 0) {
            scene_datagram(scene, scene->members[member].port, packet, (size_t)made);
            return;
        }
    }
    scene_datagram(scene, scene->members[member].port, bytes, length);
}

void stage_rtcp(struct scene *scene, uint32_t member, const uint8_t *bytes, size_t length)
{
    uint8_t compound[2048];
    struct member *self = &scene->members[member];
    if (length < 8 || length > LIMIT_DATAGRAM - 20) {
        scene_datagram(scene, self->port, bytes, length);
        return;
    }
    memcpy(compound, bytes, length);
    int made = srtcp_protect(&self->tx, &self->srtcp_index, compound, length, sizeof compound);
    if (made > 0) scene_datagram(scene, self->port, compound, (size_t)made);
}

static void ask_again(struct scene *scene, uint32_t member, uint8_t which)
{
    uint8_t compound[64];
    uint32_t sink = 8 * member + 2 * ((member + 1 + (which & 1)) % STAGE_MEMBERS) + 1;
    const struct projection *current = projection_current(scene->worker.state.sinks[sink].copies);
    uint16_t lost = (uint16_t)(current->highest_index - (which >> 1 & 31));
    int length =
        rtcp_write_nack(compound, sizeof compound, video_ssrc(member, 0), sink_ssrc(sink), &lost, 1);
    if (length > 0) stage_rtcp(scene, member, compound, (size_t)length);
}

static void from_control(struct scene *scene, uint32_t member, const uint8_t *bytes, size_t length)
{
    uint8_t message[sizeof(struct uplink_head) + LIMIT_UPLINK_PAYLOAD] = {0};
    struct uplink_head head = {.kind = DOWNLINK_DTLS,
                               .transport = member,
                               .incarnation = scene->transports[member].incarnation,
                               .length = (uint32_t)length,
                               .time_ns = scene->now};
    memcpy(message, &head, sizeof head);
    if (length < 13) return; /* control sends whole records */
    memcpy(message + sizeof head, bytes, length);
    message[sizeof head] = (uint8_t)(20 + bytes[0] % 44);
    uint8_t *copy = exact_copy(message, sizeof head + length);
    worker_downlink_untrusted(&scene->worker, copy, sizeof head + length, scene->now);
    free(copy);
}

static void other_row(struct scene *scene, struct input *input)
{
    uint32_t member = input_byte(input) % STAGE_MEMBERS,
             source = input_byte(input) % (2 * STAGE_MEMBERS + 1);
    uint8_t flags = input_byte(input);
    uint32_t pair = (member + 1 + (flags >> 6 & 1)) % STAGE_MEMBERS,
             sink = 8 * member + 2 * pair + (source & 1);
    struct sink_row *row = &scene->sinks[sink];
    row->max_encoding = flags & 3;
    row->hidden = flags >> 2 & 1;
    row->focus = flags >> 3 & 1;
    row->loudest = !(source & 1) && flags >> 4 & 1;
    bool nothing = source == 2 * STAGE_MEMBERS || row->loudest || scene->sources[source].kind != row->kind;
    row->source = nothing ? TABLE_NONE : source;
    row->source_incarnation = nothing ? 0 : scene->sources[source].incarnation;
    if (scene_offer(scene)) worker_adopt(&scene->worker, scene->now);
}

void stage_restart(struct scene *scene)
{
    if (restarts++ < 2) scene_restart(scene);
}

/* Any bytes in place of what is sealed, under one of the SSRCs that were given. */
static void send_sealed(struct scene *scene, struct input *input)
{
    uint8_t flags = input_byte(input), form = input_byte(input);
    unsigned which = flags & 3;
    size_t taken;
    uint8_t *bytes = input_take(input, form & 0x7f, &taken);
    uint8_t payload[128 + 4] = {0};
    memcpy(payload, bytes, taken);
    free(bytes);
    struct writer descriptor = flags & 4 ? key_frame((uint16_t)sealed_index[which], 10)
                                         : delta((uint16_t)sealed_index[which], 11);
    sealed_index[which] += 1 + (flags >> 5 & 3);
    struct packet packet = {.ssrc = SEALED_SSRC + which + (flags & 128 ? 16 : 0),
                            .index = sealed_index[which],
                            .timestamp = (uint32_t)sealed_index[which] * 960,
                            .payload_type = flags & 128  ? 97
                                            : which == 3 ? 111
                                                         : 96,
                            .payload = payload,
                            .length = taken,
                            .inner_padding = form >> 7,
                            .csrc_count = taken ? payload[0] & 15 : 0};
    if (flags & 8) { /* whole: tag, key id, OHB as they should be */
        packet.length = 24 + taken / 2;
        payload[packet.length - 1] = flags & 16 ? 0 : payload[0] & 15;
    }
    if (which != 3) {
        packet.descriptor = descriptor.bytes;
        packet.descriptor_length = (uint8_t)size_of(&descriptor);
    }
    scene_send(scene, 0, &packet);
}

void stage_step(struct scene *scene, struct input *input)
{
    static const uint64_t pauses[] = {0, MS, 20 * MS, 300 * MS};
    uint8_t step = input_byte(input);
    uint32_t member = (step >> 4 & 3) % STAGE_MEMBERS;
    unsigned kind = step & 15;
    scene->now += pauses[step >> 6];
    if (kind <= 2 || kind == 9 || kind == 12) {
        uint16_t length = input_word(input);
        size_t taken;
        uint8_t *bytes = input_take(input, length & 0x7ff, &taken);
        if (taken > LIMIT_DATAGRAM) taken = LIMIT_DATAGRAM;
        if (kind == 0)
            stage_rtp(scene, member, length >> 15, bytes, taken);
        else if (kind == 1)
            stage_rtcp(scene, member, bytes, taken);
        else if (kind == 9)
            from_control(scene, member, bytes, taken);
        else
            scene_datagram(scene, kind == 2 ? scene->members[member].port : 999, bytes, taken);
        free(bytes);
    } else if (kind == 3)
        scene_check(scene, member, step & 64);
    else if (kind == 4)
        scene->now += input_byte(input) * 40 * MS;
    else if (kind == 5)
        scene_opus(scene, member, "0", audio_index[member]++);
    else if (kind <= 8) {
        uint8_t flags = input_byte(input);
        unsigned encoding = kind - 6;
        video_index[member][encoding] += 1 + (flags >> 4 & 3);
        scene_vp8(scene, member, "1", encoding, video_index[member][encoding], flags & 1, flags & 2,
                  flags & 4, 8 + input_byte(input) * 4);
    } else if (kind == 10)
        stage_restart(scene);
    else if (kind == 11)
        other_row(scene, input);
    else if (kind == 13)
        ask_again(scene, member, input_byte(input));
    else if (kind == 14)
        send_sealed(scene, input);
}
