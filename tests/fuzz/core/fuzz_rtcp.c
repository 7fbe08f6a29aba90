/* Compounds block by block: reports, goodbyes. */
#include "input.h"
#include "rtcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = exact_copy(data, size);
    struct rtcp_block block;
    struct encoding_state encoding = {.ssrc = 1};
    size_t offset = 0, before = 0;
    uint64_t now = 1000000000;
    while (rtcp_next_untrusted(bytes, size, &offset, &block) == 1) {
        struct rtcp_sender_info info;
        struct rtcp_report report;
        uint32_t ssrc;
        CHECK(offset > before && offset <= size && block.body >= bytes &&
              block.body + block.length <= bytes + size);
        before = offset;
        if (rtcp_sender_info_untrusted(&block, &info) == 0)
            encoding_sender_report(&encoding, &info, now);
        int count = rtcp_reports_untrusted(&block, &ssrc);
        CHECK(count <= 31);
        for (int i = 0; i < count; i++)
            if (rtcp_report_untrusted(&block, (unsigned)i, &report) == 0)
                rtcp_round_trip_us(&report, now);
        count = rtcp_bye_untrusted(&block);
        for (int i = 0; i < count; i++) ssrc = rtcp_bye_ssrc(&block, (unsigned)i);
        encoding_received(&encoding, ssrc, ssrc * 3, 90000, now += 1000000, block.length);
        encoding_report_block(&encoding, now, &report);
    }
    free(bytes);
    return 0;
}
