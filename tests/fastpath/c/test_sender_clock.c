/* Sender reports of slots in the words of their senders: lips match whatever the network does to audio and to video. */
#include "bytes.h"
#include "check.h"
#include "scene.h"
#include "sender_clock.h"

#define SECOND (1000 * MS)
#define NTP_BASE \
    3900000000ull /* seconds since 1900 at which a sender's clock stands when ours is 0 */

static uint64_t ntp_at(int64_t sender_ns)
{ return rtcp_ntp((uint64_t)((int64_t)(NTP_BASE * SECOND) + sender_ns)); }

/* What the offset is, in milliseconds, after reports that left at `sent_ms` of the sender's clock and came at `came_ms` of ours. */
static const struct {
    const char *what;
    struct {
        int64_t sent_ms, came_ms;
    } reports[6];
    int64_t offset_ms;
} OFFSETS[] = {
    {"one report: its delay stands in it", {{1000, 1040}}, -40},
    {"a faster one is nearer to the truth", {{1000, 1040}, {2000, 2010}}, -10},
    {"a slower one changes nothing", {{1000, 1010}, {2000, 2500}}, -10},
    {"nor an outage of five seconds", {{1000, 1010}, {2000, 7000}, {6900, 7005}, {8000, 8012}}, -11},
    {"a clock set forward counts at once", {{1000, 1010}, {3602000, 2010}}, 3599990},
    {"set back, nothing for a while", {{1000, 1010}, {-3598000, 2010}, {-3597000, 3010}}, -10},
    {"and then it counts",
     {{1000, 1010}, {-3598000, 2010}, {-3590000, 10010}, {-3588000, 12010}, {-3587000, 13005}},
     -3600005},
};

static int64_t offset_after(unsigned row, uint64_t *seen)
{
    int64_t offset = 0;
    *seen = 0;
    for (int i = 0; i < 6 && OFFSETS[row].reports[i].came_ms; i++)
        sender_clock_observe(&offset, seen, ntp_at(OFFSETS[row].reports[i].sent_ms * (int64_t)MS),
                             (uint64_t)OFFSETS[row].reports[i].came_ms * MS);
    return offset - (int64_t)(NTP_BASE * SECOND);
}

static void test_offsets(void)
{
    for (unsigned row = 0; row < sizeof OFFSETS / sizeof *OFFSETS; row++) {
        uint64_t seen;
        double difference = (double)(offset_after(row, &seen) - OFFSETS[row].offset_ms * (int64_t)MS) / MS;
        if (difference < -1.3 || difference > 1.3) { /* what the drift allowed in 5 s */
            fprintf(stderr, "%s: off by %.3f ms\n", OFFSETS[row].what, difference);
            exit(1);
        }
    }
    int64_t offset = 0;
    uint64_t seen = 0;
    sender_clock_observe(&offset, &seen, 0, SECOND); /* a sender without a clock */
    CHECK_EQUAL(seen, 0);
}

static void test_a_clock_that_drifts_is_followed(void)
{
    for (int ppm = -200; ppm <= 200; ppm += 400) {
        int64_t offset = 0, now = 0, sender = 0;
        uint64_t seen = 0, random = 5;
        for (int i = 0; i < 3600; i++) {
            now = (int64_t)i * (int64_t)SECOND;
            sender = now + now / 1000000 * ppm;
            int64_t delay = (int64_t)(20 * MS + random_next(&random) % (30 * MS));
            sender_clock_observe(&offset, &seen, ntp_at(sender), (uint64_t)(now + delay));
        }
        int64_t wrong = offset - (int64_t)(NTP_BASE * SECOND) - (sender - now);
        CHECK(wrong <= -15 * (int64_t)MS && wrong >= -55 * (int64_t)MS);
    }
}

/* Of an encoding whose report said timestamp 90000 at the sender's second 10, which came at our second 10.05; offset as `offset_ms`. */
static const struct {
    const char *what;
    int64_t offset_ms;
    uint64_t now_ms;
    bool told;
    uint32_t timestamp;
} TIMES[] = {
    {"at the moment of the report", 0, 10050, true, 90000 + 50 * 90},
    {"a second later", 0, 11050, true, 90000 + 1050 * 90},
    {"what the sender captures while a report is under way", -50, 10050, true, 90000},
    {"before what it was about: timestamps go back too", -150, 10050, true, 90000 - 100 * 90},
    {"older than reports are used", 0, 131000, false, 0},
    {"of another clock", 3600000, 11000, false, 0},
    {"of another clock, backwards", -3600000, 11000, false, 0},
};

static void test_timestamps(void)
{
    struct encoding_state encoding = {
        .sr_ntp = ntp_at(10 * (int64_t)SECOND), .sr_timestamp = 90000, .sr_arrival_ns = 10050 * MS};
    for (unsigned i = 0; i < sizeof TIMES / sizeof *TIMES; i++) {
        uint32_t timestamp = 0;
        int64_t offset = (int64_t)(NTP_BASE * SECOND) + TIMES[i].offset_ms * (int64_t)MS;
        bool told = sender_clock_timestamp(&encoding, offset, 1, 90000, TIMES[i].now_ms * MS, &timestamp);
        if (told != TIMES[i].told || (told && timestamp - TIMES[i].timestamp + 1 > 2)) {
            fprintf(stderr, "%s: %d %u\n", TIMES[i].what, told, timestamp);
            exit(1);
        }
        /* Its timestamps begin anywhere, also shortly before the wrap. */
        struct encoding_state wrapping = encoding;
        wrapping.sr_timestamp = 0xfffffff0u;
        uint32_t wrapped = 0;
        if (sender_clock_timestamp(&wrapping, offset, 1, 90000, TIMES[i].now_ms * MS, &wrapped))
            CHECK_EQUAL(wrapped - 0xfffffff0u, timestamp - 90000);
    }
    uint32_t timestamp;
    CHECK(!sender_clock_timestamp(&encoding, 0, 0, 90000, 11 * SECOND, &timestamp)); /* no offset yet */
    encoding.sr_ntp = 0;
    CHECK(!sender_clock_timestamp(&encoding, 0, 1, 90000, 11 * SECOND, &timestamp));
    /* What arrival says holds against reports that are far from it, and only then. */
    encoding.sr_ntp = ntp_at(10 * (int64_t)SECOND);
    int64_t offset = (int64_t)(NTP_BASE * SECOND);
    uint32_t sent = 90000 + 1050 * 90;
    CHECK(sender_clock_slot_timestamp(&encoding, offset, 1, 90000, 7, sent - 9000, 11050 * MS) - (sent + 7) + 1 <= 2);
    CHECK(sender_clock_slot_timestamp(&encoding, offset, 1, 90000, 7, sent + 9000, 11050 * MS) - (sent + 7) + 1 <= 2);
    for (int64_t far = -6 * 90000; far <= 6 * 90000; far += 12 * 90000) {
        uint32_t arrival = sent + (uint32_t)far;
        CHECK_EQUAL(sender_clock_slot_timestamp(&encoding, offset, 1, 90000, 7, arrival, 11050 * MS), arrival);
    }
}

/* Any times and reports a sender may claim: no sum overflows (the sanitizer looks), and what comes out is within the bound of arrival. */
static void test_lies_stay_within_bounds(void)
{
    uint64_t random = 11;
    for (int round = 0; round < 200000; round++) {
        int64_t offset = 0;
        uint64_t seen = 0, now = random_next(&random) % (400000000ull * SECOND);
        struct encoding_state encoding = {0};
        for (int i = 0; i < 3; i++) {
            uint64_t ntp = random_next(&random) >> (random_next(&random) % 3 * 20);
            sender_clock_observe(&offset, &seen, ntp, now);
            encoding.sr_ntp = ntp;
            encoding.sr_timestamp = (uint32_t)random_next(&random);
            encoding.sr_arrival_ns = now;
            now += random_next(&random) % (20 * SECOND);
        }
        uint32_t arrival = (uint32_t)random_next(&random);
        if (round % 2) arrival = encoding.sr_timestamp;
        uint32_t told = sender_clock_slot_timestamp(&encoding, offset, seen, 90000, 0, arrival, now);
        CHECK(told - arrival + 5 * 90000 <= 10 * 90000);
    }
}

/* ---- through forward(): one member's audio and video, late by different times ---- */

enum { PENDING = 512, VIDEO_CHANGES_MS = 12000 };

struct pending {
    uint64_t at_ms; /* 0 = free */
    int encoding;   /* -1 = audio */
    bool report;
    uint64_t index, captured_ms;
};

struct call {
    struct scene *scene;
    struct pending pending[PENDING];
    uint64_t start_ms, random;
    int64_t lead_ms; /* the sender's clock before ours */
    int ppm;
};

/* Timestamps of what is captured then, by stream; each begins elsewhere. */
static uint32_t stamp_of(int encoding, uint64_t captured_ms)
{
    static const uint32_t bases[] = {0xffff0000u, 12345, 0x7ffffff0u, 99999999};
    return bases[encoding + 1] + (uint32_t)(captured_ms * (encoding < 0 ? 48 : 90));
}

static void post(struct call *call, struct pending what, uint64_t delay_ms)
{
    unsigned i = 0;
    while (call->pending[i].at_ms) CHECK(++i < PENDING);
    what.at_ms = what.captured_ms + delay_ms;
    call->pending[i] = what;
}

static void deliver(struct call *call, const struct pending *what)
{
    struct scene *scene = call->scene;
    uint32_t ssrc = what->encoding < 0 ? audio_ssrc(0) : video_ssrc(0, (unsigned)what->encoding);
    if (what->report) {
        int64_t ms = (int64_t)what->captured_ms;
        struct rtcp_sender_info info = {
            .ssrc = ssrc,
            .ntp = ntp_at((ms + call->lead_ms) * (int64_t)MS + ms * call->ppm),
            .timestamp = stamp_of(what->encoding, what->captured_ms),
        };
        uint8_t bytes[100];
        int length = rtcp_write_sr(bytes, sizeof bytes, &info);
        scene_rtcp(scene, 0, bytes, (size_t)length);
        return;
    }
    /* Frames of one packet, each a key frame: a switch comes when control wants it. */
    uint8_t video[60] = {0x10, 0x10};
    static const char *const rids[] = {NULL, "t", "m", "f"};
    scene_send(scene, 0,
               &(struct packet){.ssrc = ssrc,
                                .timestamp = stamp_of(what->encoding, what->captured_ms),
                                .index = what->index,
                                .mid = what->encoding < 0 ? "0" : "1",
                                .rid = rids[what->encoding + 1],
                                .payload_type = what->encoding < 0 ? 111 : 96,
                                .marker = 1,
                                .payload = video,
                                .length = sizeof video});
}

/* What the newest report of a slot says: our clock minus the capture time, in milliseconds. False when there is none of this moment. */
static bool said(struct call *call, uint32_t sink, int encoding, double *difference_ms)
{
    struct scene *scene = call->scene;
    const struct received *last = scene_last(scene, 1, sink_ssrc(sink));
    for (uint32_t i = scene->received_count; i-- > 0;) {
        const struct received *got = &scene->received[i];
        struct rtcp_block block;
        struct rtcp_sender_info info;
        size_t offset = 0;
        while (got->rtcp && got->member == 1 &&
               rtcp_next_untrusted(got->payload, got->payload_length, &offset, &block) == 1) {
            if (rtcp_sender_info_untrusted(&block, &info) != 0 || info.ssrc != sink_ssrc(sink) || !last)
                continue;
            double rate = encoding < 0 ? 48 : 90;
            uint64_t elapsed = info.ntp - rtcp_ntp(scene->worker.realtime_offset_ns + call->start_ms * MS);
            uint32_t shift = projection_current(scene->worker.state.sinks[sink].copies)->timestamp_offset;
            int32_t captured = (int32_t)(info.timestamp - shift - stamp_of(encoding, call->start_ms));
            *difference_ms = (double)elapsed / 4294967.296 - captured / rate;
            return true;
        }
    }
    return false;
}

struct outcome {
    double worst_ms; /* between audio and video */
    unsigned pairs;
};

/* Ten seconds and more; audio is late by `audio_ms` and up to `jitter_ms` more, video by `video_ms` and likewise. */
static struct outcome lips(uint64_t audio_ms, uint64_t video_ms, uint64_t jitter_ms, int ppm, bool simulcast)
{
    struct call *call = calloc(1, sizeof *call);
    *call = (struct call){
        .scene = scene_open(SRTP_AEAD_AES_128_GCM), .random = 3, .lead_ms = -86400000, .ppm = ppm};
    struct scene *scene = call->scene;
    struct outcome outcome = {0};
    for (uint32_t member = 0; member < 2; member++) scene_member(scene, member);
    scene_video(scene, 0, 0, "1");
    scene_audio(scene, 1, 0, "0");
    scene_sink(scene, 2, 1, 0, 0);
    scene_sink(scene, 3, 1, 1, 0);
    scene_publish(scene);
    scene_connect(scene);
    call->start_ms = scene->now / MS;
    uint64_t audio_index = 1, video_index = 1;
    int wanted = 0;
    for (uint64_t ms = 1; ms < 20000; ms++) {
        uint64_t now = call->start_ms + ms;
        if (ms % 20 == 0)
            post(call, (struct pending){.encoding = -1, .index = audio_index++, .captured_ms = now},
                 audio_ms + random_next(&call->random) % (jitter_ms + 1));
        if (ms % 33 == 0) {
            for (int encoding = 0; encoding < (simulcast ? 3 : 1); encoding++)
                post(call, (struct pending){.encoding = encoding, .index = video_index, .captured_ms = now},
                     video_ms + 5 * (unsigned)encoding + random_next(&call->random) % (jitter_ms + 1));
            video_index++;
        }
        if (ms % 5000 == 700)
            post(call, (struct pending){.encoding = -1, .report = true, .captured_ms = now}, audio_ms);
        for (int encoding = 0; encoding < (simulcast ? 3 : 1); encoding++)
            if (ms % 1000 == 300 + 77 * (unsigned)encoding)
                post(call, (struct pending){.encoding = encoding, .report = true, .captured_ms = now}, video_ms);
        scene->now = now * MS;
        if (simulcast && ms >= VIDEO_CHANGES_MS && ms % 1300 == 0) {
            wanted = wanted == 2 ? 0 : 2;
            scene_sink(scene, 2, 1, 0, (uint8_t)wanted);
            scene_publish(scene);
        }
        for (unsigned i = 0; i < PENDING; i++)
            if (call->pending[i].at_ms == now) {
                deliver(call, &call->pending[i]);
                call->pending[i].at_ms = 0;
            }
        if (ms % 4000 == 0) scene_check(scene, 0, true), scene_check(scene, 1, true);
        scene_advance(scene, 0);
        double audio, video;
        int carried = (int)projection_current(scene->worker.state.sinks[2].copies)->encoding;
        if (ms > 7000 && scene->received_count && said(call, 3, -1, &audio) && said(call, 2, carried, &video)) {
            double apart = audio > video ? audio - video : video - audio;
            if (apart > outcome.worst_ms) outcome.worst_ms = apart;
            outcome.pairs++;
        }
        if (ms % 100 == 0) scene_forget(scene);
    }
    scene_close(scene);
    free(call);
    return outcome;
}

static void test_lips_match(void)
{
    static const struct {
        uint64_t audio_ms, video_ms, jitter_ms;
        int ppm;
        bool simulcast;
    } rows[] = {
        {30, 30, 0, 0, false},    {30, 230, 0, 0, false},    {230, 30, 0, 0, false},
        {30, 230, 60, 0, false},  {30, 230, 60, 150, false}, {30, 230, 60, -150, false},
        {30, 230, 60, 100, true}, {10, 1500, 90, 0, true},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct outcome outcome =
            lips(rows[i].audio_ms, rows[i].video_ms, rows[i].jitter_ms, rows[i].ppm, rows[i].simulcast);
        if (outcome.pairs < 9 || outcome.worst_ms > 3) {
            fprintf(stderr, "row %u: %u pairs, at worst %.2f ms apart\n", i, outcome.pairs, outcome.worst_ms);
            exit(1);
        }
    }
}

int main(void)
{
    test_offsets();
    test_a_clock_that_drifts_is_followed();
    test_timestamps();
    test_lies_stay_within_bounds();
    test_lips_match();
    return 0;
}
