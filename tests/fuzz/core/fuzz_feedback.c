/* What receivers ask for: NACK, PLI, FIR, REMB, TMMBR and TMMBN, transport-wide feedback's head. */
#include "input.h"
#include "rtcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = exact_copy(data, size);
    struct rtcp_block block;
    size_t offset = 0;
    while (rtcp_next_untrusted(bytes, size, &offset, &block) == 1) {
        struct rtcp_feedback feedback;
        struct rtcp_transport_cc head;
        struct rtcp_tmmb_entry entry;
        uint32_t word, mask;
        uint16_t first;
        uint8_t count8;
        if (rtcp_feedback_untrusted(&block, &feedback) != 0) continue;
        int count = rtcp_nack_untrusted(&feedback);
        for (int i = 0; i < count; i++) rtcp_nack_entry(&feedback, (unsigned)i, &first, &mask);
        count = rtcp_fir_untrusted(&feedback);
        for (int i = 0; i < count; i++) rtcp_fir_entry(&feedback, (unsigned)i, &word, &count8);
        count = rtcp_tmmbn_untrusted(&feedback);
        for (int i = 0; i < count; i++) rtcp_tmmb_entry(&feedback, (unsigned)i, &entry);
        rtcp_remb_untrusted(&feedback, &word, &count8);
        rtcp_transport_cc_untrusted(&feedback, &head);
    }
    free(bytes);
    return 0;
}
