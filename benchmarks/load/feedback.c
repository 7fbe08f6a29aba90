#include "feedback.h"

#include "bytes.h"
#include "rtcp.h"
#include "rtp.h"

void reporter_arrival(struct reporter *reporter, unsigned extension, const uint8_t *packet,
                      size_t length, uint64_t now_ns)
{
    struct rtp_header header;
    struct rtp_field field;
    reporter->media_ssrc = load_be32(packet + 8);
    if (!extension || rtp_parse_untrusted(packet, length, &header) != 0 ||
        rtp_extension_find(packet, &header, (uint8_t)extension, &field) != 1 || field.length != 2)
        return;
    arrivals_add(&reporter->arrivals, load_be16(packet + field.offset), now_ns);
}

int reporter_feedback(struct reporter *reporter, uint32_t rtcp_ssrc, uint64_t now_ns, uint8_t *out)
{
    int head = reporter_report(rtcp_ssrc, out);
    int block = transport_cc_write(&reporter->arrivals, out + head, 1200, rtcp_ssrc, reporter->media_ssrc, now_ns);
    return block > 0 ? head + block : 0;
}

int reporter_report(uint32_t rtcp_ssrc, uint8_t *out)
{ return rtcp_write_rr(out, 64, rtcp_ssrc, NULL, 0); }

int reporter_seal(struct reporter *reporter, const struct srtp_keys *tx, uint8_t *compound, int length, size_t room)
{ return srtcp_protect(tx, &reporter->srtcp_index, compound, (size_t)length, room); }
