#include "scene.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bytes.h"
#include "check.h"
#include "demux.h"
#include "equal_sizes.h"
#include "rtp.h"
#include "stun.h"

static enum srtp_profile scene_profile;

/* Zeroed, and shared with children as the segments of real workers are. */
static void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

struct scene *scene_open(enum srtp_profile profile)
{
    struct table_capacities capacities = {SCENE_MEMBERS, SCENE_SOURCES, SCENE_SINKS};
    struct scene *scene = calloc(1, sizeof *scene);
    scene_profile = profile;
    scene->now = 1000000 * MS;
    scene->config_size = table_config_size(capacities);
    scene->state_size = table_state_size(capacities);
    scene->config = shared_memory(scene->config_size);
    scene->state = shared_memory(scene->state_size);
    table_config_format(scene->config, capacities);
    table_state_format(scene->state, capacities);
    CHECK_EQUAL(table_config_attach(scene->config, scene->config_size, &scene->control), 0);
    scene->received = calloc(SCENE_RECEIVED, sizeof *scene->received);
    CHECK_EQUAL(worker_open(&scene->worker, scene->config, scene->config_size, scene->state, scene->state_size, 7), 0);
    scene->worker.realtime_offset_ns = 1700000000ull * 1000 * MS;
    return scene;
}

void scene_close(struct scene *scene)
{
    CHECK_EQUAL(scene_counter(scene, COUNTER_internal_errors), 0);
    CHECK_EQUAL(scene->refused, 0);
    worker_close(&scene->worker);
    for (unsigned i = 0; i < SCENE_MEMBERS; i++) {
        srtp_keys_wipe(&scene->members[i].tx);
        srtp_keys_wipe(&scene->members[i].rx);
    }
    munmap(scene->config, scene->config_size);
    munmap(scene->state, scene->state_size);
    free(scene->received);
    free(scene);
}

void scene_restart(struct scene *scene)
{
    worker_close(&scene->worker);
    CHECK_EQUAL(worker_open(&scene->worker, scene->config, scene->config_size, scene->state, scene->state_size, 8), 0);
    scene->worker.realtime_offset_ns = 1700000000ull * 1000 * MS;
    CHECK_EQUAL(worker_adopt(&scene->worker, scene->now), 1);
}

bool scene_offer(struct scene *scene)
{
    struct generation_view next;
    if (table_next_generation(&scene->control, &next) != 0) return false;
    for (unsigned i = 0; i < SCENE_MEMBERS; i++) {
        scene->transports[i].check = row_check(&scene->transports[i], sizeof scene->transports[i]);
        next.transports[i] = scene->transports[i];
    }
    for (unsigned i = 0; i < SCENE_SOURCES; i++) {
        scene->sources[i].check = row_check(&scene->sources[i], sizeof scene->sources[i]);
        next.sources[i] = scene->sources[i];
    }
    for (unsigned i = 0; i < SCENE_SINKS; i++) {
        scene->sinks[i].check = row_check(&scene->sinks[i], sizeof scene->sinks[i]);
        next.sinks[i] = scene->sinks[i];
    }
    next.head->transport_limit = SCENE_MEMBERS;
    next.head->source_limit = SCENE_SOURCES;
    next.head->sink_limit = SCENE_SINKS;
    table_publish(&scene->control, &next);
    return true;
}

void scene_publish(struct scene *scene)
{
    CHECK(scene_offer(scene));
    CHECK_EQUAL(worker_adopt(&scene->worker, scene->now), 1);
}

void scene_member(struct scene *scene, uint32_t member)
{
    struct transport_row *row = &scene->transports[member];
    struct member *self = &scene->members[member];
    uint64_t random = 77 + member;
    *row = (struct transport_row){.incarnation = member + 1,
                                  .srtp_profile = (uint16_t)scene_profile,
                                  .rtcp_ssrc = 0x90000 + member,
                                  .remb_bps = 2000000,
                                  .sources = {[0 ... LIMIT_SOURCES_PER_TRANSPORT - 1] = TABLE_NONE},
                                  .ext = {.mid = MID_EXT,
                                          .rid = RID_EXT,
                                          .repaired_rid = REPAIRED_EXT,
                                          .audio_level = LEVEL_EXT,
                                          .dependency_descriptor = DEPENDENCY_EXT}};
    struct ice_credentials *ice = &row->ice[0];
    stun_ufrag_write(member, ice->local_ufrag);
    memcpy(ice->local_ufrag + 4, "abcd", 4);
    ice->local_ufrag_length = 8;
    random_fill(&random, (uint8_t *)ice->local_pwd, 24);
    ice->local_pwd_length = 24;
    memcpy(ice->remote_ufrag, "peer", 4);
    ice->remote_ufrag_length = 4;
    size_t key = scene_profile == SRTP_AEAD_AES_256_GCM ? 32 : 16;
    size_t salt = scene_profile == SRTP_AES128_CM_SHA1_80 ? 14 : 12;
    random_fill(&random, row->rx_key.key, key);
    random_fill(&random, row->rx_key.salt, salt);
    random_fill(&random, row->tx_key.key, key);
    random_fill(&random, row->tx_key.salt, salt);
    self->port = (uint16_t)(10000 + member);
    srtp_keys_wipe(&self->tx);
    srtp_keys_wipe(&self->rx);
    CHECK_EQUAL(srtp_keys_expand(&self->tx, scene_profile, &row->rx_key), 0);
    CHECK_EQUAL(srtp_keys_expand(&self->rx, scene_profile, &row->tx_key), 0);
}

static struct source_row *add_source(struct scene *scene, uint32_t source, uint32_t member, const char *mid)
{
    struct source_row *row = &scene->sources[source];
    *row = (struct source_row){.incarnation = source + 1,
                               .transport = member,
                               .transport_incarnation = member + 1,
                               .member = 1000 + member,
                               .mid_length = (uint8_t)strlen(mid),
                               .encoding_count = 1};
    memcpy(row->mid, mid, strlen(mid));
    for (unsigned i = 0; i < LIMIT_SOURCES_PER_TRANSPORT; i++) {
        if (scene->transports[member].sources[i] == source) break;
        if (scene->transports[member].sources[i] == TABLE_NONE) {
            scene->transports[member].sources[i] = source;
            break;
        }
    }
    return row;
}

void scene_audio(struct scene *scene, uint32_t source, uint32_t member, const char *mid)
{
    struct source_row *row = add_source(scene, source, member, mid);
    row->kind = SOURCE_AUDIO;
    row->codec = CODEC_OPUS;
    row->clock_rate = 48000;
    row->payload_type = 111;
}

void scene_video(struct scene *scene, uint32_t source, uint32_t member, const char *mid)
{
    struct source_row *row = add_source(scene, source, member, mid);
    row->kind = SOURCE_CAMERA;
    row->codec = CODEC_VP8;
    row->clock_rate = 90000;
    row->payload_type = 96;
    row->rtx_payload_type = 97;
    row->encoding_count = 3;
    for (unsigned i = 0; i < 3; i++) {
        row->rid_length[i] = 1;
        row->rid[i][0] = "tmf"[i];
    }
}

void scene_sink(struct scene *scene, uint32_t sink, uint32_t member, uint32_t source, uint8_t max_encoding)
{
    const struct source_row *from = source == TABLE_NONE ? NULL : &scene->sources[source];
    struct sink_row *row = &scene->sinks[sink];
    bool audio = from ? from->kind == SOURCE_AUDIO : row->kind == SOURCE_AUDIO;
    *row = (struct sink_row){.incarnation = sink + 1,
                             .transport = member,
                             .transport_incarnation = member + 1,
                             .source = source,
                             .source_incarnation = from ? from->incarnation : 0,
                             .ssrc = sink_ssrc(sink),
                             .rtx_ssrc = 0x60000 + sink,
                             .clock_rate = audio ? 48000 : 90000,
                             .payload_type = audio ? 109 : 120,
                             .rtx_payload_type = audio ? 0 : 121,
                             .kind = audio ? SOURCE_AUDIO : SOURCE_CAMERA,
                             .max_encoding = max_encoding};
}

static void keep_rtp(struct scene *scene, struct received *got, const uint8_t *bytes, size_t length)
{
    struct member *self = &scene->members[got->member];
    struct rtp_header header;
    struct rtp_field level, number;
    uint8_t copy[1700];
    memcpy(copy, bytes, length);
    CHECK_EQUAL(rtp_parse_untrusted(copy, length, &header), 0);
    if (srtp_unprotect_untrusted(&self->rx, self->rx_state, copy, &length, header.payload_offset,
                                 &got->index) != 0) {
        scene->refused++;
        return;
    }
    got->ssrc = header.ssrc;
    got->timestamp = header.timestamp;
    got->csrc = header.csrc_count ? load_be32(copy + 12) : 0;
    got->csrc_count = header.csrc_count;
    got->padding = header.padding;
    memcpy(got->csrcs, copy + 12, 4 * (size_t)header.csrc_count);
    got->payload_type = header.payload_type;
    got->marker = header.marker;
    if (rtp_extension_find(copy, &header, LEVEL_EXT, &level) == 1) got->level = copy[level.offset];
    if (rtp_extension_find(copy, &header, TRANSPORT_CC_EXT, &number) == 1) {
        got->numbered = true;
        got->transport_cc = load_be16(copy + number.offset);
    }
    got->payload_length = (uint16_t)(length - header.payload_offset);
    memcpy(got->payload, copy + header.payload_offset, got->payload_length);
    /* What was made equally long (equal_sizes.h). Sealed streams have SSRCs of their own. */
    bool slot = got->ssrc >= sink_ssrc(0) && got->ssrc < sink_ssrc(SCENE_SINKS);
    uint8_t last = got->payload_length ? got->payload[got->payload_length - 1] : 0;
    if (slot && got->padding && last < EQUAL_GRID && last < got->payload_length) {
        got->payload_length -= last;
        got->padding = 0;
    }
}

void scene_keep(struct scene *scene, const struct egress_destination *to, const uint8_t *bytes, size_t length)
{
    CHECK(scene->received_count < SCENE_RECEIVED);
    struct received *got = &scene->received[scene->received_count++];
    *got = (struct received){.member = to->transport, .port = to->remote.port, .bytes = (uint16_t)length};
    int kind = demux_untrusted(bytes, length);
    CHECK(kind >= 0);
    got->stun = kind == DEMUX_STUN;
    got->dtls = kind == DEMUX_DTLS;
    got->rtcp = kind == DEMUX_RTCP;
    if (kind == DEMUX_RTP) {
        keep_rtp(scene, got, bytes, length);
        return;
    }
    CHECK(length <= sizeof got->payload);
    memcpy(got->payload, bytes, length);
    if (got->rtcp && srtcp_unprotect_untrusted(&scene->members[to->transport].rx,
                                               scene->members[to->transport].rtcp_state,
                                               got->payload, &length) != 0)
        scene->refused++;
    got->payload_length = (uint16_t)length;
}

static void flush_slab(struct scene *scene)
{
    struct egress *egress = &scene->worker.egress;
    egress_plan(egress);
    uint32_t sent = 0;
    for (uint32_t i = 0; i < egress->run_count; i++) {
        const struct egress_run *run = &egress->runs[i];
        CHECK(run->count >= 1 && run->count <= LIMIT_RUN_SEGMENTS);
        for (uint32_t k = 0; k < run->count; k++, sent++) {
            const struct egress_packet *packet = &egress->packets[egress->order[run->first + k]];
            CHECK(k + 1 == run->count ? packet->length <= run->segment_size : packet->length == run->segment_size);
            scene_keep(scene, &egress->destinations[run->destination],
                       egress->slab + packet->offset, packet->length);
        }
    }
    CHECK_EQUAL(sent, egress->packet_count);
    egress_clear(egress);
    scene->flushes++;
}

void scene_flush(struct scene *scene)
{
    while (!forward_release(&scene->worker, scene->now)) flush_slab(scene);
    flush_slab(scene);
    while (scene->taken_count) free(scene->taken[--scene->taken_count]);
    size_t length;
    const void *message;
    while ((message = outbox_peek(&scene->worker.outbox, &length))) {
        CHECK(scene->told_count < 4096);
        memcpy(&scene->told[scene->told_count++], message, sizeof scene->told[0]);
        outbox_pop(&scene->worker.outbox);
    }
}

void scene_forget(struct scene *scene)
{ scene->received_count = scene->told_count = 0; }

void scene_advance(struct scene *scene, uint64_t ns)
{
    scene->now += ns;
    worker_tick(&scene->worker, scene->now);
    scene_flush(scene);
}

uint64_t scene_counter(const struct scene *scene, enum counter which)
{ return atomic_load(&scene->worker.state.header->counters[which]); }

unsigned scene_told(const struct scene *scene, uint32_t kind, uint32_t transport)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < scene->told_count; i++)
        count += scene->told[i].kind == kind && scene->told[i].transport == transport;
    return count;
}

unsigned scene_packets(const struct scene *scene, uint32_t member, uint32_t ssrc)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < scene->received_count; i++)
        count += scene->received[i].member == member && scene->received[i].ssrc == ssrc;
    return count;
}

const struct received *scene_last(const struct scene *scene, uint32_t member, uint32_t ssrc)
{
    for (uint32_t i = scene->received_count; i-- > 0;)
        if (scene->received[i].member == member && scene->received[i].ssrc == ssrc)
            return &scene->received[i];
    return NULL;
}

unsigned scene_blocks(const struct scene *scene, uint32_t member, uint8_t type, int count)
{
    unsigned found = 0;
    for (uint32_t i = 0; i < scene->received_count; i++) {
        const struct received *got = &scene->received[i];
        struct rtcp_block block;
        size_t offset = 0;
        if (got->member != member || !got->rtcp) continue;
        while (rtcp_next_untrusted(got->payload, got->payload_length, &offset, &block) == 1)
            found += block.type == type && (count < 0 || block.count == count);
    }
    return found;
}
