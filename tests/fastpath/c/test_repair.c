/* What a receiver's NACKs get: the same packet as before under a new index, not too often, not too much. */
#include <errno.h>

#include "bytes.h"
#include "check.h"
#include "payload.h"
#include "repair.h"
#include "rtx.h"
#include "srtp.h"

#define MS UINT64_C(1000000)

enum { PACKETS = 1 << 13, SIZE = 200, RTX_SSRC = 77, SLOT_SSRC = 66 };

/* A slot with history behind it, and a record of every (SSRC, index) that was encrypted with what it was. */
struct slot {
    struct history_slab slab;
    struct history history;
    struct sequence_map map;
    struct projection copies[2];
    struct repair_receiver receiver;
    uint64_t rtx_next;
    bool rtx; /* negotiated */
    struct sent {
        uint16_t length;
        uint8_t bytes[SIZE + RTP_HEADER_MAX + 2];
    } media[PACKETS], retransmitted[PACKETS]; /* by index */
    unsigned repairs;
};
static struct slot slot;

/* In place of srtp_protect: the same index for other bytes is what must never be. */
static void encrypt(struct sent *log, uint64_t index, const uint8_t *packet, size_t length)
{
    CHECK(index < PACKETS && length <= sizeof log->bytes);
    CHECK_EQUAL((uint16_t)index, load_be16(packet + 2));
    CHECK(log[index].length == 0 ||
          (log[index].length == length && memcmp(log[index].bytes, packet, length) == 0));
    log[index].length = (uint16_t)length;
    memcpy(log[index].bytes, packet, length);
}

static size_t vp8_payload(uint64_t index, uint8_t *payload)
{
    uint16_t picture = (uint16_t)(index / 2) & 0x7fff;
    const uint8_t descriptor[] = {
        0x90, 0xe0, (uint8_t)(0x80 | picture >> 8), (uint8_t)picture, (uint8_t)(index / 2),
        0x20, 1};
    memset(payload, (int)index, SIZE);
    memcpy(payload, descriptor, sizeof descriptor);
    return SIZE - index % 50;
}

static void open_slot(bool rtx)
{
    history_slab_close(&slot.slab);
    history_close(&slot.history);
    memset(&slot, 0, sizeof slot);
    slot.rtx = rtx;
    CHECK_EQUAL(history_slab_open(&slot.slab, 1 << 20), 0);
    CHECK_EQUAL(history_open(&slot.history, false), 0);
}

/* A packet arrives and is forwarded, or left out. */
static void arrive(uint64_t index, bool drop, uint64_t now)
{
    uint8_t payload[SIZE], out[SIZE + RTP_HEADER_MAX];
    size_t length = vp8_payload(index, payload);
    struct history_packet kept = {
        .index = index,
        .time_ns = now,
        .payload = payload,
        .timestamp = (uint32_t)(index / 2) * 3000,
        .length = (uint16_t)length,
        .marker = index & 1,
    };
    CHECK(history_put(&slot.slab, &slot.history, &kept));
    struct vp8_descriptor vp8;
    CHECK_EQUAL(vp8_parse_untrusted(payload, length, &vp8), 0);
    struct projection_input input = {
        .source = 3,
        .source_incarnation = 1,
        .ssrc = 5,
        .timestamp = kept.timestamp,
        .index = index,
        .picture_id = vp8.picture_id,
        .picture_id_bits = 15,
        .has_tl0 = 1,
        .tl0 = vp8.tl0,
    };
    struct projection_output output;
    int result;
    if (!projection_current(slot.copies)->started)
        result = sequence_map_begin(&slot.map, slot.copies, &input, false, 90000, 50, now, &output);
    else
        result = drop ? sequence_map_drop(&slot.map, slot.copies, &input, now, &output)
                      : sequence_map_forward(&slot.map, slot.copies, &input, now, &output);
    if (result != SEQUENCE_SEND) return;
    vp8_rewrite(payload, &vp8, output.picture_id, output.tl0);
    struct rtp_outgoing header = {.ssrc = SLOT_SSRC,
                                  .sequence = (uint16_t)output.index,
                                  .timestamp = output.timestamp,
                                  .marker = kept.marker,
                                  .payload_type = 96};
    size_t at = rtp_header_write(out, &header);
    memcpy(out + at, payload, length);
    encrypt(slot.media, output.index, out, at + length);
}

static struct rtcp_feedback nack_of(const uint16_t *lost, unsigned count, uint8_t *block)
{
    int length = rtcp_write_nack(block, 1400, 9, SLOT_SSRC, lost, count);
    CHECK(length > 0);
    return (struct rtcp_feedback){
        .sender = 9, .media = SLOT_SSRC, .fci = block + 12, .fci_length = (uint32_t)length - 12};
}

static struct repair_slot slot_asked(void)
{
    return (struct repair_slot){.sink = 4,
                                .rtx_ssrc = slot.rtx ? RTX_SSRC : 0,
                                .map = &slot.map,
                                .current = projection_current(slot.copies)};
}

/* As the worker answers it: how many repairs went out. */
static unsigned answer(const struct rtcp_feedback *nack, uint64_t rate_bps, uint32_t round_trip_us, uint64_t now)
{
    static struct sequence_origin requests[REPAIR_REQUESTS];
    struct repair_slot asked = slot_asked();
    int count = repair_requests_untrusted(&slot.receiver, &asked, nack, rate_bps, round_trip_us, now, requests);
    unsigned sent = 0;
    for (int i = 0; i < count; i++) {
        struct history_packet packet;
        uint8_t out[SIZE + RTP_HEADER_MAX + 2];
        uint64_t index;
        size_t length;
        CHECK_EQUAL(requests[i].source, 3);
        if (!history_find(&slot.slab, &slot.history, requests[i].input_index, now, &packet))
            continue;
        if (!repair_spend(&slot.receiver, 4, &requests[i], packet.length, now)) continue;
        CHECK_EQUAL(rtx_take_index(&slot.rtx_next, 9, &index), 0);
        struct rtp_outgoing header = {.ssrc = RTX_SSRC, .sequence = (uint16_t)index, .payload_type = 97};
        int at = repair_write(&requests[i], &packet, true, &header, out, sizeof out, &length);
        CHECK(at > 0);
        encrypt(slot.retransmitted, index, out, (size_t)at + length);
        /* Unwrapped it is the packet the slot sent, or would have, byte for byte. */
        const struct sent *original = &slot.media[requests[i].output_index];
        uint16_t osn;
        const uint8_t *payload;
        size_t left;
        CHECK_EQUAL(rtx_unwrap_untrusted(out + at, length, &osn, &payload, &left), 0);
        CHECK_EQUAL(osn, (uint16_t)requests[i].output_index);
        CHECK_EQUAL(original->length, (size_t)at + left);
        CHECK_BYTES(original->bytes + at, payload, left);
        CHECK_BYTES(original->bytes + 4, out + 4, 4);          /* timestamp */
        CHECK_EQUAL(original->bytes[1] & 0x80, out[1] & 0x80); /* marker */
        sent++;
    }
    slot.repairs += sent;
    return sent;
}

static uint16_t newest(void)
{ return (uint16_t)projection_current(slot.copies)->highest_index; }

static void test_repaired_as_it_was_sent(void)
{
    open_slot(true);
    for (uint64_t i = 0; i < 100; i++) arrive(1000 + i, i / 2 % 2 == 1, 1000 * MS + i * MS);
    uint8_t block[1400];
    uint16_t lost[20];
    for (unsigned i = 0; i < 20; i++) lost[i] = (uint16_t)(newest() - 30 + i);
    struct rtcp_feedback nack = nack_of(lost, 20, block);
    CHECK_EQUAL(answer(&nack, 1000000, 50000, 1100 * MS), 20);
    CHECK_EQUAL(answer(&nack, 1000000, 50000, 1150 * MS), 0); /* within the round trip */
    CHECK_EQUAL(answer(&nack, 1000000, 50000, 1151 * MS), 20);
    CHECK_EQUAL(answer(&nack, 1000000, 50000, 3000 * MS), 0); /* too old */
    uint16_t never[] = {(uint16_t)(newest() + 1), (uint16_t)(newest() + 2)};
    nack = nack_of(never, 2, block);
    CHECK_EQUAL(answer(&nack, 1000000, 50000, 1160 * MS), 0);
    uint16_t twice[] = {newest(), newest()};
    nack = nack_of(twice, 2, block);
    CHECK_EQUAL(nack.fci_length, 8);
    CHECK_EQUAL(answer(&nack, 1000000, 50000, 1160 * MS), 1);
}

/* No retransmission stream: nothing at all is encrypted, neither with the old index nor with a new one. */
static void test_nothing_without_rtx(void)
{
    open_slot(false);
    for (uint64_t i = 0; i < 50; i++) arrive(1000 + i, false, 1000 * MS);
    struct slot before = slot;
    uint8_t block[1400];
    uint16_t lost[] = {(uint16_t)(newest() - 1), newest()};
    struct rtcp_feedback nack = nack_of(lost, 2, block);
    CHECK_EQUAL(answer(&nack, 1000000, 50000, 1001 * MS), 0);
    CHECK_BYTES(&before, &slot, sizeof slot);
}

static void test_malformed(void)
{
    open_slot(true);
    for (uint64_t i = 0; i < 50; i++) arrive(1000 + i, false, 1000 * MS);
    struct repair_receiver before = slot.receiver;
    struct sequence_origin requests[REPAIR_REQUESTS];
    uint8_t *fci = exact_copy("\0\1\0\0\0", 5);
    for (uint32_t length = 0; length < 6; length++) {
        struct rtcp_feedback nack = {.fci = fci, .fci_length = length};
        struct repair_slot asked = slot_asked();
        int result = repair_requests_untrusted(&slot.receiver, &asked, &nack, 0, 0, 1000 * MS, requests);
        CHECK(length == 4 ? result == 0 : result == -EBADMSG);
        if (length < 4) CHECK_BYTES(&before, &slot.receiver, sizeof before);
    }
    free(fci);
}

/* 10,000 NACK messages in a second, each for 300 packets: bounded repairs and look-ups, whatever they ask. */
static void test_a_storm(void)
{
    open_slot(true);
    uint64_t fed = 0, now = 1000 * MS;
    uint8_t block[1400];
    unsigned last_half = 0;
    for (int message = 0; message < 20000; message++) {
        now += MS / 10;
        while (fed < (now - 1000 * MS) / (3 * MS) + 1) arrive(1000 + fed++, false, now);
        uint16_t lost[300];
        for (unsigned i = 0; i < 300; i++) lost[i] = (uint16_t)(newest() - 299 + i);
        struct rtcp_feedback nack = nack_of(lost, 300, block);
        unsigned sent = answer(&nack, 2000000, 1, now);
        if (message >= 10000) last_half += sent;
    }
    CHECK(slot.repairs <= REPAIR_PACKETS_AT_ONCE + 2 * REPAIR_PACKETS_PER_SECOND);
    CHECK(last_half <= REPAIR_PACKETS_PER_SECOND + 1 && last_half > 100);
}

/* Bytes: a quarter of the rate, and the floor. */
static void test_share_of_the_rate(void)
{
    static const struct {
        uint64_t rate_bps;
        unsigned bits_per_second;
    } rows[] = {{400000, REPAIR_FLOOR_BPS}, {1600000, 400000}, {0, REPAIR_FLOOR_BPS}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct repair_receiver receiver = {0};
        struct sequence_origin origin = {.output_index = 0};
        static struct sequence_map map;
        struct projection none = {0};
        uint8_t block[1400];
        uint16_t one = 1;
        struct rtcp_feedback nack = nack_of(&one, 1, block);
        struct sequence_origin requests[REPAIR_REQUESTS];
        struct repair_slot asked = {.sink = 1, .rtx_ssrc = RTX_SSRC, .map = &map, .current = &none};
        uint64_t bytes = 0;
        for (uint64_t now = 100000 * MS; now < 110000 * MS; now += MS) {
            CHECK_EQUAL(repair_requests_untrusted(&receiver, &asked, &nack, rows[r].rate_bps, 0, now, requests), 0);
            origin.output_index++;
            while (repair_spend(&receiver, 1, &origin, 500, now)) bytes += 500;
        }
        /* Ten seconds of it, and the burst saved up before. */
        double share = (double)bytes * 8 / (11.0 * rows[r].bits_per_second);
        CHECK(share > 0.97 && share < 1.001);
    }
}

/* Losses both ways, retransmissions lost again, switches of time: no index for two packets, everything repaired alike. */
static void test_chance(void)
{
    uint64_t state = 12;
    for (int round = 0; round < 10; round++) {
        open_slot(true);
        uint64_t now = 1000 * MS;
        for (uint64_t i = 0; i < 4000; i++) {
            uint64_t choice = random_next(&state);
            now += MS;
            if (choice % 20 == 0) continue; /* never reached us */
            arrive(60000 + i, i / 2 % 4 == 3, now);
            if (choice >> 8 & 3) continue;
            uint8_t block[1400];
            uint16_t lost[3];
            lost[0] = (uint16_t)(newest() - (choice >> 10) % 300 - 20);
            lost[1] = (uint16_t)(lost[0] + 3);
            lost[2] = (uint16_t)(lost[0] + 19);
            struct rtcp_feedback nack = nack_of(lost, 3, block);
            answer(&nack, 5000000, 30000, now);
        }
        CHECK(slot.repairs > 500);
    }
}

int main(void)
{
    test_repaired_as_it_was_sent();
    test_nothing_without_rtx();
    test_malformed();
    test_a_storm();
    test_share_of_the_rate();
    test_chance();
    open_slot(false);
    history_slab_close(&slot.slab);
    history_close(&slot.history);
    return 0;
}
