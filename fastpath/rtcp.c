#include "rtcp.h"

#include <errno.h>

#include "bytes.h"

int rtcp_next_untrusted(const uint8_t *compound, size_t length, size_t *offset, struct rtcp_block *block)
{
    if (*offset == length) return 0;
    if (*offset > length || length - *offset < 4) return -EBADMSG;
    const uint8_t *head = compound + *offset;
    if (head[0] >> 6 != 2) return -EBADMSG;
    size_t body = (size_t)load_be16(head + 2) * 4;
    if (length - *offset - 4 < body) return -EBADMSG;
    size_t padding = 0;
    if (head[0] & 0x20) {
        if (body == 0) return -EBADMSG;
        padding = head[4 + body - 1];
        if (padding == 0 || padding > body) return -EBADMSG;
    }
    *offset += 4 + body;
    *block = (struct rtcp_block){
        .body = head + 4,
        .length = (uint32_t)(body - padding),
        .type = head[1],
        .count = head[0] & 0x1f,
    };
    return 1;
}

int rtcp_sender_info_untrusted(const struct rtcp_block *block, struct rtcp_sender_info *info)
{
    if (block->type != RTCP_SR || block->length < 24) return -EBADMSG;
    *info = (struct rtcp_sender_info){
        .ssrc = load_be32(block->body),
        .ntp = load_be64(block->body + 4),
        .timestamp = load_be32(block->body + 12),
        .packets = load_be32(block->body + 16),
        .octets = load_be32(block->body + 20),
    };
    return 0;
}

int rtcp_reports_untrusted(const struct rtcp_block *block, uint32_t *ssrc)
{
    size_t head = block->type == RTCP_SR ? 24 : 4;
    if (block->type != RTCP_SR && block->type != RTCP_RR) return -EBADMSG;
    if (block->length < head + (size_t)block->count * 24) return -EBADMSG;
    *ssrc = load_be32(block->body);
    return block->count;
}

int rtcp_report_untrusted(const struct rtcp_block *block, unsigned which, struct rtcp_report *report)
{
    size_t at = (block->type == RTCP_SR ? 24 : 4) + (size_t)which * 24;
    if (block->length < at || block->length - at < 24) return -EBADMSG;
    const uint8_t *from = block->body + at;
    uint32_t lost = load_be24(from + 5);
    *report = (struct rtcp_report){
        .ssrc = load_be32(from),
        .fraction_lost = from[4],
        .lost = (int32_t)lost - (lost & 0x800000 ? 0x1000000 : 0),
        .highest = load_be32(from + 8),
        .jitter = load_be32(from + 12),
        .last_sr = load_be32(from + 16),
        .delay_since_last_sr = load_be32(from + 20),
    };
    return 0;
}

int rtcp_feedback_untrusted(const struct rtcp_block *block, struct rtcp_feedback *feedback)
{
    if (block->type != RTCP_RTPFB && block->type != RTCP_PSFB) return -EBADMSG;
    if (block->length < 8) return -EBADMSG;
    *feedback = (struct rtcp_feedback){
        .sender = load_be32(block->body),
        .media = load_be32(block->body + 4),
        .fci = block->body + 8,
        .fci_length = block->length - 8,
    };
    return 0;
}

int rtcp_nack_untrusted(const struct rtcp_feedback *feedback)
{
    if (feedback->fci_length == 0 || feedback->fci_length % 4 != 0) return -EBADMSG;
    return (int)(feedback->fci_length / 4);
}

void rtcp_nack_entry(const struct rtcp_feedback *feedback, unsigned which, uint16_t *first, uint32_t *mask)
{
    const uint8_t *entry = feedback->fci + (size_t)which * 4;
    *first = load_be16(entry);
    *mask = (uint32_t)load_be16(entry + 2) << 1 | 1;
}

int rtcp_fir_untrusted(const struct rtcp_feedback *feedback)
{
    if (feedback->fci_length == 0 || feedback->fci_length % 8 != 0) return -EBADMSG;
    return (int)(feedback->fci_length / 8);
}

void rtcp_fir_entry(const struct rtcp_feedback *feedback, unsigned which, uint32_t *ssrc, uint8_t *sequence)
{
    const uint8_t *entry = feedback->fci + (size_t)which * 8;
    *ssrc = load_be32(entry);
    *sequence = entry[4];
}

int rtcp_remb_untrusted(const struct rtcp_feedback *feedback, uint32_t *bits_per_second, uint8_t *ssrc_count)
{
    if (feedback->fci_length < 8 || memcmp(feedback->fci, "REMB", 4) != 0) return -EBADMSG;
    uint8_t count = feedback->fci[4];
    if (feedback->fci_length - 8 < (size_t)count * 4) return -EBADMSG;
    unsigned exponent = feedback->fci[5] >> 2;
    uint64_t mantissa = load_be24(feedback->fci + 5) & 0x3ffff;
    /* 18 bits shifted by 32 or more are 0 or beyond 32 bits; by less they fit in 64. */
    uint64_t rate = exponent < 32 ? mantissa << exponent : mantissa ? UINT64_MAX : 0;
    *bits_per_second = rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate;
    *ssrc_count = count;
    return 0;
}

int rtcp_transport_cc_untrusted(const struct rtcp_feedback *feedback, struct rtcp_transport_cc *head)
{
    if (feedback->fci_length < 8) return -EBADMSG;
    *head = (struct rtcp_transport_cc){
        .base_sequence = load_be16(feedback->fci),
        .packet_count = load_be16(feedback->fci + 2),
        .reference_time = load_be24(feedback->fci + 4),
        .feedback_count = feedback->fci[7],
    };
    return 0;
}

int rtcp_tmmbn_untrusted(const struct rtcp_feedback *feedback)
{
    if (feedback->fci_length % 8 != 0) return -EBADMSG;
    return (int)(feedback->fci_length / 8);
}

void rtcp_tmmb_entry(const struct rtcp_feedback *feedback, unsigned which, struct rtcp_tmmb_entry *entry)
{
    const uint8_t *from = feedback->fci + (size_t)which * 8;
    uint32_t packed = load_be32(from + 4);
    unsigned exponent = packed >> 26;
    uint64_t mantissa = packed >> 9 & 0x1ffff;
    *entry = (struct rtcp_tmmb_entry){
        .ssrc = load_be32(from),
        .bits_per_second = exponent > 64 - 17 && mantissa >> (64 - exponent) ? UINT64_MAX : mantissa << exponent,
        .overhead = packed & 0x1ff,
    };
}

int rtcp_bye_untrusted(const struct rtcp_block *block)
{
    if (block->type != RTCP_BYE || block->length < (size_t)block->count * 4) return -EBADMSG;
    return block->count;
}

uint32_t rtcp_bye_ssrc(const struct rtcp_block *block, unsigned which)
{ return load_be32(block->body + (size_t)which * 4); }

/* ---- writers ---- */

/* Header of a block of `length` bytes in all; false when it does not fit. */
static bool block_head(uint8_t *to, size_t room, size_t length, unsigned count, enum rtcp_type type)
{
    if (room < length) return false;
    to[0] = (uint8_t)(0x80 | count);
    to[1] = (uint8_t)type;
    store_be16(to + 2, (uint16_t)(length / 4 - 1));
    return true;
}

int rtcp_write_rr(uint8_t *to, size_t room, uint32_t sender, const struct rtcp_report *reports, unsigned count)
{
    size_t length = 8 + (size_t)count * 24;
    if (count > 31 || !block_head(to, room, length, count, RTCP_RR)) return -ENOSPC;
    store_be32(to + 4, sender);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *at = to + 8 + (size_t)i * 24;
        store_be32(at, reports[i].ssrc);
        at[4] = reports[i].fraction_lost;
        store_be24(at + 5, (uint32_t)reports[i].lost & 0xffffff);
        store_be32(at + 8, reports[i].highest);
        store_be32(at + 12, reports[i].jitter);
        store_be32(at + 16, reports[i].last_sr);
        store_be32(at + 20, reports[i].delay_since_last_sr);
    }
    return (int)length;
}

int rtcp_write_sr(uint8_t *to, size_t room, const struct rtcp_sender_info *info)
{
    if (!block_head(to, room, 28, 0, RTCP_SR)) return -ENOSPC;
    store_be32(to + 4, info->ssrc);
    store_be64(to + 8, info->ntp);
    store_be32(to + 16, info->timestamp);
    store_be32(to + 20, info->packets);
    store_be32(to + 24, info->octets);
    return 28;
}

int rtcp_write_sdes(uint8_t *to, size_t room, uint32_t ssrc, const char *cname, size_t cname_length)
{
    /* SSRC, item type and length, the name, and at least one zero byte that ends the chunk at a multiple of 4. */
    size_t length = 4 + (4 + 2 + cname_length + 1 + 3) / 4 * 4;
    if (cname_length > 255 || !block_head(to, room, length, 1, RTCP_SDES)) return -ENOSPC;
    store_be32(to + 4, ssrc);
    to[8] = 1; /* CNAME */
    to[9] = (uint8_t)cname_length;
    memcpy(to + 10, cname, cname_length);
    memset(to + 10 + cname_length, 0, length - 10 - cname_length);
    return (int)length;
}

int rtcp_write_bye(uint8_t *to, size_t room, uint32_t ssrc)
{
    if (!block_head(to, room, 8, 1, RTCP_BYE)) return -ENOSPC;
    store_be32(to + 4, ssrc);
    return 8;
}

int rtcp_write_pli(uint8_t *to, size_t room, uint32_t sender, uint32_t media)
{
    if (!block_head(to, room, 12, RTCP_FMT_PLI, RTCP_PSFB)) return -ENOSPC;
    store_be32(to + 4, sender);
    store_be32(to + 8, media);
    return 12;
}

int rtcp_write_fir(uint8_t *to, size_t room, uint32_t sender, uint32_t ssrc, uint8_t sequence)
{
    if (!block_head(to, room, 20, RTCP_FMT_FIR, RTCP_PSFB)) return -ENOSPC;
    store_be32(to + 4, sender);
    store_be32(to + 8, 0); /* the FCI names the stream */
    store_be32(to + 12, ssrc);
    store_be32(to + 16, (uint32_t)sequence << 24);
    return 20;
}

int rtcp_write_nack(uint8_t *to, size_t room, uint32_t sender, uint32_t media, const uint16_t *lost, unsigned count)
{
    size_t length = 12;
    for (unsigned i = 0; i < count; length += 4) {
        if (room - length < 4 || room < length) return -ENOSPC;
        uint16_t first = lost[i++], mask = 0;
        while (i < count && (uint16_t)(lost[i] - first - 1) < 16)
            mask |= (uint16_t)(1u << (uint16_t)(lost[i++] - first - 1));
        store_be16(to + length, first);
        store_be16(to + length + 2, mask);
    }
    if (count == 0 || !block_head(to, room, length, RTCP_FMT_NACK, RTCP_RTPFB)) return -ENOSPC;
    store_be32(to + 4, sender);
    store_be32(to + 8, media);
    return (int)length;
}

int rtcp_write_remb(uint8_t *to, size_t room, uint32_t sender, uint64_t bits_per_second,
                    const uint32_t *ssrcs, unsigned count)
{
    size_t length = 20 + (size_t)count * 4;
    if (count > 255 || !block_head(to, room, length, RTCP_FMT_REMB, RTCP_PSFB)) return -ENOSPC;
    unsigned exponent = 0;
    while (bits_per_second >> exponent > 0x3ffff) exponent++;
    store_be32(to + 4, sender);
    store_be32(to + 8, 0);
    memcpy(to + 12, "REMB", 4);
    store_be32(to + 16, count << 24 | exponent << 18 | (uint32_t)(bits_per_second >> exponent));
    for (unsigned i = 0; i < count; i++) store_be32(to + 20 + (size_t)i * 4, ssrcs[i]);
    return (int)length;
}

int rtcp_write_tmmbr(uint8_t *to, size_t room, int format, uint32_t sender,
                     const struct rtcp_tmmb_entry *entries, unsigned count)
{
    size_t length = 12 + (size_t)count * 8;
    if (count > LIMIT_RX_SSRCS || !block_head(to, room, length, (unsigned)format, RTCP_RTPFB))
        return -ENOSPC;
    store_be32(to + 4, sender);
    store_be32(to + 8, 0); /* the FCI names the streams */
    for (unsigned i = 0; i < count; i++) {
        uint64_t rate = entries[i].bits_per_second;
        unsigned exponent = 0;
        while (rate >> exponent > 0x1ffff) exponent++;
        store_be32(to + 12 + (size_t)i * 8, entries[i].ssrc);
        store_be32(to + 16 + (size_t)i * 8, exponent << 26 | (uint32_t)(rate >> exponent) << 9 |
                                                (entries[i].overhead & 0x1ffu));
    }
    return (int)length;
}
