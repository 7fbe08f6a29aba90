/* Transport-wide feedback into a receiver's estimate. Steps of: time, packets sent, one feedback of so many bytes. */
#include "bandwidth.h"
#include "input.h"
#include "transport_cc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sent_log log;
    struct input input = {data, size};
    struct bandwidth bandwidth;
    uint64_t now = 5000000000;
    memset(&log, 0, sizeof log);
    bandwidth_reset(&bandwidth, NULL);
    while (input.left) {
        struct transport_cc_reader reader;
        struct transport_cc_status status;
        struct probe_request probe;
        size_t length;
        now += input_word(&input) * 10000ull;
        for (unsigned sent = input_byte(&input) & 31; sent; sent--)
            bandwidth_sent(&bandwidth, &log, input_byte(&input) * 6, 0, now += 100000);
        uint8_t *fci = input_take(&input, input_byte(&input), &length);
        struct rtcp_feedback feedback = {1, 2, fci, (uint32_t)length};
        if (transport_cc_parse_untrusted(&feedback, &reader) == 0) {
            unsigned count = 0;
            while (transport_cc_next(&reader, &status)) CHECK(++count <= 65536);
        }
        bandwidth_feedback_untrusted(&bandwidth, &log, &feedback, now);
        bandwidth_tick(&bandwidth, now, &probe);
        bandwidth_remb(&bandwidth, (uint32_t)length << 16);
        CHECK(bandwidth.target >= bandwidth.minimum && bandwidth.target <= bandwidth.maximum);
        CHECK(bandwidth_usable(&bandwidth));
        free(fci);
    }
    return 0;
}
